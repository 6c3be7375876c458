//! What the consumers of the AWS wind farm labs read, in the forms that they know. Pure.
//!
//! | goes to | form | says |
//! |---|---|---|
//! | stream `AnomalyDetectionStream` | `{"location":"Turbine 1","speed":8.3,"score":0.97}`, or `Turbine 1,8.3,0.97` | each scored wind speed |
//! | stream `MaxWindSpeed` | `"Turbine 1",13.1` | the greatest wind speed of each window of statistics |
//! | table `WindDataTable` | `timestamp`, `location`, `wind_speed`, `anomaly_score` | each scored wind speed |
//! | table `DIYTable` | `timestamp`, `location`, `max_wind_speed` | the greatest wind speed of each location and window |
//!
//! A turbine's one sensor stands at one location there. Where several sensors do, a stream has a record of each; an item
//! of a table is of its location and time, and the strangest reading of them stays, or the greatest maximum.

#[cfg(test)]
mod tests;

use crate::config::LabsFormat;
use crate::place::{AgentRow, two_decimals};
use std::borrow::Cow;
use std::collections::BTreeMap;
use windward_protocol::{AgentId, Block, DeviceManifest, Envelope, Quantity, Record, Stats};

/// Longest location that can be told, characters: it is the records' partition key, of which Kinesis takes no more.
pub const MAX_LOCATION: usize = 256;

/// No wind is as much as this, m/s. What is more, or no number at all, is left out rather than told with so many digits.
const MOST_MPS: f64 = 1e6;

/// Most devices whose locations are at hand. When there would be more, all are forgotten and looked up again.
const MOST_DEVICES: usize = 65_536;

/// One scored reading.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored<'a> {
    /// Where it was read.
    pub location: &'a str,
    /// When, ms.
    pub time_ms: i64,
    /// Wind speed, m/s.
    pub speed: f64,
    /// Its score, AWS scale.
    pub score: f64,
}

/// The greatest reading of one sensor over one window.
#[derive(Clone, Debug, PartialEq)]
pub struct Maximum<'a> {
    /// Where it was read.
    pub location: Cow<'a, str>,
    /// When the window began, ms.
    pub start_ms: i64,
    /// Wind speed, m/s.
    pub speed: f64,
}

/// What envelopes say to the labs' consumers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Told<'a> {
    /// Scored readings, each device's in their order.
    pub scored: Vec<Scored<'a>>,
    /// Maxima.
    pub maxima: Vec<Maximum<'a>>,
    /// What cannot be told: its location is empty or longer than [`MAX_LOCATION`], or its number is no wind's.
    pub left_out: u64,
}

/// What these envelopes say. Of scored readings those with at least this score; a reading without a score is nothing to
/// consumers who want one.
pub fn told<'a>(
    envelopes: impl IntoIterator<Item = &'a Envelope>,
    locations: &Locations,
    from_score: Option<f64>,
) -> Told<'a> {
    let mut told = Told::default();
    for envelope in envelopes {
        match &envelope.record {
            Record::Block(block) => told.add_block(block, from_score),
            Record::Stats(stats) => told.add_stats(&envelope.agent, stats, locations),
            _ => {}
        }
    }
    told
}

impl<'a> Told<'a> {
    fn add_block(&mut self, block: &'a Block, from_score: Option<f64>) {
        let is_told = |index: &usize| {
            block.channels[*index].quantity == Quantity::WindSpeed && !block.columns[*index].scores.is_empty()
        };
        let channels: Vec<usize> = (0..block.channels.len()).filter(is_told).collect();
        if channels.is_empty() {
            return;
        }
        for row in block.rows() {
            for index in &channels {
                let (Ok(value), Some(score)) = (row.readings[*index], row.scores[*index]) else { continue };
                let (speed, score) = (value.as_f64(), two_decimals(score));
                if from_score.is_some_and(|least| score < least) {
                    continue;
                }
                if can_be_key(&block.location) && is_wind(speed) {
                    self.scored.push(Scored { location: &block.location, time_ms: row.time_ms, speed, score });
                } else {
                    self.left_out += 1;
                }
            }
        }
    }

    fn add_stats(&mut self, agent: &'a AgentId, stats: &Stats, locations: &Locations) {
        if stats.channel.quantity != Quantity::WindSpeed || stats.n == 0 {
            return;
        }
        let location = match locations.of(agent, &stats.device) {
            Some(location) => Cow::Owned(location.to_string()),
            // As an agent calls the place of a device of which its configuration says nothing.
            None => Cow::Borrowed(agent.as_str()),
        };
        if can_be_key(&location) && is_wind(stats.max) {
            self.maxima.push(Maximum { location, start_ms: stats.start_ms, speed: stats.max });
        } else {
            self.left_out += 1;
        }
    }
}

fn can_be_key(location: &str) -> bool {
    !location.is_empty() && location.chars().count() <= MAX_LOCATION
}

fn is_wind(speed: f64) -> bool {
    speed.abs() < MOST_MPS
}

/// The record of a reading.
pub fn anomaly_record(format: LabsFormat, reading: &Scored<'_>) -> String {
    let (speed, score) = (number(reading.speed), number(reading.score));
    match format {
        LabsFormat::Json => {
            let location = serde_json::Value::from(reading.location);
            format!(r#"{{"location":{location},"speed":{speed},"score":{score}}}"#)
        }
        LabsFormat::Csv => format!("{},{speed},{score}", field(reading.location)),
    }
}

/// The record of a maximum: the location in quotes whatever it is, as Flink writes it.
pub fn maximum_record(maximum: &Maximum<'_>) -> String {
    format!("{},{}", quoted(&maximum.location), number(maximum.speed))
}

/// The items of `WindDataTable`: by location and time, speed and score of the strangest reading; of equally strange ones
/// the greatest speed.
pub fn items<'a>(scored: &[Scored<'a>]) -> BTreeMap<(&'a str, i64), (f64, f64)> {
    let mut items = BTreeMap::new();
    for Scored { location, time_ms, speed, score } in scored {
        let item = items.entry((*location, *time_ms)).or_insert((*speed, *score));
        if score.total_cmp(&item.1).then(speed.total_cmp(&item.0)).is_gt() {
            *item = (*speed, *score);
        }
    }
    items
}

/// A number in plain digits: without an exponent, and in no more than six decimals, which is finer than any anemometer.
pub fn number(number: f64) -> String {
    // Adding zero makes of -0 a 0.
    ((number * 1e6).round() / 1e6 + 0.0).to_string()
}

/// A field of CSV (RFC 4180), in quotes where it needs them.
fn field(text: &str) -> Cow<'_, str> {
    match text.contains([',', '"', '\r', '\n']) {
        true => Cow::Owned(quoted(text)),
        false => Cow::Borrowed(text),
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// Where devices stand. Statistics do not say it; blocks do, and what an agent says at its start.
#[derive(Clone, Debug, Default)]
pub struct Locations {
    devices: BTreeMap<AgentId, BTreeMap<String, String>>,
    count: usize,
}

impl Locations {
    /// Notes what envelopes say of it.
    pub fn learn<'a>(&mut self, envelopes: impl IntoIterator<Item = &'a Envelope>) {
        for envelope in envelopes {
            match &envelope.record {
                Record::Block(block) => self.put(&envelope.agent, &block.device, &block.location),
                Record::Hello(hello) => {
                    hello.devices.iter().for_each(|device| self.put(&envelope.agent, &device.device, &device.location));
                }
                _ => {}
            }
        }
    }

    /// Notes what the store has of it, where nothing is known yet.
    pub fn look_up(&mut self, agents: &[AgentRow]) {
        for row in agents {
            let Ok(agent) = AgentId::new(&row.agent) else { continue };
            let manifest = row.manifest.as_deref().and_then(|text| serde_json::from_str(text).ok());
            let devices: Vec<DeviceManifest> = manifest.unwrap_or_default();
            for device in devices {
                if self.of(&agent, &device.device).is_none() {
                    self.put(&agent, &device.device, &device.location);
                }
            }
        }
    }

    /// Whether some of these envelopes are statistics of a device whose place is not known.
    pub fn lack<'a>(&self, envelopes: impl IntoIterator<Item = &'a Envelope>) -> bool {
        envelopes.into_iter().any(|envelope| match &envelope.record {
            Record::Stats(stats) => self.of(&envelope.agent, &stats.device).is_none(),
            _ => false,
        })
    }

    fn of(&self, agent: &AgentId, device: &str) -> Option<&str> {
        Some(self.devices.get(agent)?.get(device)?.as_str())
    }

    fn put(&mut self, agent: &AgentId, device: &str, location: &str) {
        let known = self.of(agent, device);
        if known == Some(location) {
            return;
        }
        if known.is_none() {
            if self.count == MOST_DEVICES {
                *self = Self::default();
            }
            self.count += 1;
        }
        self.devices.entry(agent.clone()).or_default().insert(device.into(), location.into());
    }
}
