//! The judge of one device: readings in, scores and steps of alerts out. Pure; it waits for nothing (A7).
//!
//! It asks of every row what stands out (`detect.rs`), whether a sensor stands still or says nothing (`health.rs`), and
//! whether the wind is dangerous (`wind.rs`), and makes of the answers alerts that open, are updated and clear
//! (`alarm.rs`). Beside that it holds each channel against a person's own limits (`rules.rs`). A sick sensor says nothing
//! about the wind: while it is told of, its wind alerts are not. A failed read never becomes a value (A6): it is counted,
//! and no forest sees it.

mod channel;
mod limits;
mod raise;
mod words;

pub use super::detect::{BadDetect, DetectConfig};
pub use super::rules::{Bounds, Limit, Over, Rule, Statistic};
pub use super::wind::Turbine;

use super::alarm::{Patience, Verdict};
use super::checkpoint::{BadState, Part};
use super::detect::{BEYOND, Detector, Seen};
use super::health::{Hold, Silence};
use super::wind::Wind;
use crate::time::{Stamp, Wall};
use limits::Rules;
use raise::{Ids, Raised, mix};
use serde::{Deserialize, Serialize};
use windward_protocol::{Alert, Channel, NoData, Quantity, Reading, Severity};

/// What the judge knows of its device.
#[derive(Clone, Debug, PartialEq)]
pub struct JudgeDevice {
    /// Device.
    pub device: String,
    /// Where it stands, in the crew's words.
    pub location: String,
    /// Time between readings, ms.
    pub interval_ms: u32,
    /// Its channels, in the order of the readings.
    pub channels: Vec<JudgeChannel>,
}

/// One channel of a [`JudgeDevice`].
#[derive(Clone, Debug, PartialEq)]
pub struct JudgeChannel {
    /// The channel.
    pub channel: Channel,
    /// Whether its values are scored by a forest.
    pub detect: bool,
    /// A person's own limits for it.
    pub rules: Vec<Rule>,
}

/// What the judge says of one row.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// One score a channel, on the AWS scale, `None` where nothing was scored. The channels of a device are judged as one
    /// point and share its score.
    pub scores: Vec<Option<f32>>,
    /// How strange the device has been lately; 0 is usual. What raises it lasts a while in it, which makes it the better
    /// line to look at over hours.
    pub strangeness: f64,
    /// Steps of alerts: of the whole device, then of its channels in their order, then of rules.
    pub alerts: Vec<Alert>,
}

/// The judge of one device.
#[derive(Clone, Debug)]
pub struct Judge {
    device: JudgeDevice,
    config: DetectConfig,
    ids: Ids,
    state: State,
    rules: Rules,
}

/// What a judge has learned and what it has told: all that is kept over a restart.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct State {
    detector: Detector,
    channels: Vec<ChannelState>,
    no_data: Raised,
    row: Raised,
    #[serde(skip)]
    silence: Silence,
    #[serde(skip)]
    last: Option<crate::time::Mono>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct ChannelState {
    hold: Hold,
    wind: Wind,
    no_data: Raised,
    stuck: Raised,
    apart: Raised,
    act: Raised,
    window: Raised,
    gust: Raised,
    high_wind: Raised,
    turbulence: Raised,
    /// Readings for which a fault that is over may still stand in the means of its pairs.
    mending: u32,
    #[serde(skip)]
    silence: Silence,
}

/// One strange reading is enough: a spike may be one reading long. The end is patient, so that one event is one alert.
const STRANGE: Patience = Patience { open_after: 1, clear_after: 50, min_open_ms: 5_000, update_every_ms: 10_000 };
/// The patience of a stuck sensor is in its rule; it has recovered when it has moved for a few readings.
const STUCK: Patience = Patience { open_after: 1, clear_after: 3, min_open_ms: 0, update_every_ms: 600_000 };
/// A strange window is told once; the alert ends with the first usual one.
const WINDOW: Patience = Patience { open_after: 1, clear_after: 1, min_open_ms: 0, update_every_ms: u64::MAX };
const WEATHER: Patience = Patience { open_after: 1, clear_after: 10, min_open_ms: 60_000, update_every_ms: 60_000 };
/// Below this share of its threshold an alarm begins to clear.
const USUAL: f64 = 0.6;
/// This many times beyond its level is critical.
const CRITICAL: f64 = 1.5;
/// Polls this many intervals apart have a pause between them.
const PAUSE: u64 = 20;

impl Judge {
    /// A judge that has seen nothing. `config` has passed [`DetectConfig::check`]. The same `seed` and rows give the same
    /// scores and alerts, bit for bit; seeds that differ between starts of an agent keep alert ids apart even where its
    /// clock repeats itself.
    pub fn new(device: JudgeDevice, config: &DetectConfig, seed: u64) -> Judge {
        let name = device.device.bytes().fold(mix(seed), |hash, byte| mix(hash ^ u64::from(byte)));
        let quantities: Vec<Option<Quantity>> =
            device.channels.iter().map(|channel| channel.detect.then_some(channel.channel.quantity)).collect();
        let state = State {
            detector: Detector::new(config, &quantities, device.interval_ms, name),
            channels: vec![ChannelState::default(); device.channels.len()],
            no_data: Raised::default(),
            row: Raised::default(),
            silence: Silence::default(),
            last: None,
        };
        Judge { ids: Ids::new(name), config: config.clone(), rules: Rules::new(&device), device, state }
    }

    /// The parts of what is kept, in the order in which they are restored.
    pub fn parts(&self) -> Vec<Part> {
        [vec![Part::Readings], self.state.detector.forests()].concat()
    }

    /// How many points a part that is a forest has taken.
    pub fn points(&self, part: Part) -> u64 {
        self.state.detector.points(part)
    }

    /// Appends a part of what was learned and of what alerts are open.
    pub fn save(&self, part: Part, out: &mut Vec<u8>) {
        let saved = match part {
            Part::Readings => {
                let kept = (&self.state, self.rules.kept(&self.device));
                postcard::to_extend(&kept, std::mem::take(out)).map(|bytes| *out = bytes)
            }
            forest => self.state.detector.save_forest(forest, out),
        };
        if let Err(error) = saved {
            tracing::error!(device = self.device.device, %part, %error, "state not saved");
        }
    }

    /// Goes on from what [`Judge::save`] has given, at `at`; parts are restored in the order of [`Judge::parts`], and what
    /// is left out begins anew. Open alerts stay open under their ids. After an error the judge is as it was. `saved`: when
    /// that was; after longer than a pause nothing is compared with the last values.
    pub fn restore(&mut self, part: Part, bytes: &[u8], at: Stamp, saved: Wall) -> Result<(), BadState> {
        match part {
            Part::Readings => self.restore_readings(bytes, at, saved),
            forest => self.state.detector.resume_forest(forest, bytes),
        }
    }

    fn restore_readings(&mut self, bytes: &[u8], at: Stamp, saved: Wall) -> Result<(), BadState> {
        let (state, rules) =
            postcard::from_bytes::<(State, Vec<limits::Kept>)>(bytes).map_err(|_| BadState("it cannot be read"))?;
        let State { detector, channels, no_data, row, .. } = state;
        if channels.len() != self.state.channels.len() {
            return Err(BadState("it is of other channels"));
        }
        self.state.detector.resume(detector)?;
        (self.state.channels, self.state.no_data, self.state.row) = (channels, no_data, row);
        if at.wall.0.saturating_sub(saved.0) > (PAUSE * u64::from(self.device.interval_ms)) as i64 {
            self.interrupt();
        }
        let State { channels, no_data, row, .. } = &mut self.state;
        for state in channels {
            state.wind.restart();
            for raised in state.raised() {
                raised.resume(at.mono);
            }
        }
        no_data.resume(at.mono);
        row.resume(at.mono);
        self.rules.resume(rules, &self.device, at, saved);
        Ok(())
    }

    /// Learns from a row of history, oldest first, and raises nothing. How long a device was silent is counted from the
    /// start of judging, on a clock that history does not have.
    pub fn learn(&mut self, _stamp: Stamp, readings: &[Reading]) {
        let seen = self.observe(readings);
        for (index, reading) in readings.iter().enumerate() {
            if let Some(value) = value_of(*reading) {
                self.state.channels[index].hold.observe(value, seen.signs[index].wander);
            }
        }
    }

    /// Judges a row: one reading a channel, in the device's order.
    pub fn judge(&mut self, stamp: Stamp, readings: &[Reading]) -> Judged {
        let pause_ms = PAUSE * u64::from(self.device.interval_ms);
        if self.state.last.is_some_and(|last| stamp.mono - last > pause_ms) {
            self.interrupt();
        }
        self.state.last = Some(stamp.mono);
        let seen = self.observe(readings);
        let mut judged =
            Judged { scores: self.scores(readings, &seen), strangeness: seen.strangeness, alerts: Vec::new() };
        self.judge_silence(stamp, readings, &mut judged.alerts);
        self.judge_row(stamp, &seen, &mut judged.alerts);
        for index in 0..readings.len() {
            let Some(value) = value_of(readings[index]) else {
                continue;
            };
            self.judge_hold(stamp, index, value, &seen, &mut judged.alerts);
            self.judge_pairs(stamp, index, readings, &seen, &mut judged.alerts);
            self.judge_wind(stamp, index, value, &seen, &mut judged.alerts);
            self.judge_acts(stamp, index, value, &seen, &mut judged.alerts);
            self.judge_windows(stamp, index, value, &seen, &mut judged.alerts);
        }
        self.rules.judge(stamp, readings, &self.device, &mut self.ids, &mut judged.alerts);
        let wind_speed = self.wind_speed(readings);
        for alert in &mut judged.alerts {
            alert.wind_speed = wind_speed;
        }
        judged
    }

    fn observe(&mut self, readings: &[Reading]) -> Seen {
        assert_eq!(readings.len(), self.state.channels.len(), "one reading a channel");
        let values: Vec<Option<f64>> = readings.iter().map(|reading| value_of(*reading)).collect();
        self.state.detector.observe(&values)
    }

    fn scores(&self, readings: &[Reading], seen: &Seen) -> Vec<Option<f32>> {
        let of = |(channel, reading): (&JudgeChannel, &Reading)| {
            seen.score.filter(|_| channel.detect && reading.is_ok()).map(|score| score as f32)
        };
        self.device.channels.iter().zip(readings).map(of).collect()
    }

    fn interrupt(&mut self) {
        self.state.detector.interrupt();
        for state in &mut self.state.channels {
            state.hold.interrupt();
        }
    }

    fn wind_speed(&self, readings: &[Reading]) -> Option<f64> {
        let mut pairs = self.device.channels.iter().zip(readings);
        let (_, reading) = pairs.find(|(channel, _)| channel.channel.quantity == Quantity::WindSpeed)?;
        value_of(*reading)
    }

    /// The whole device silent is one alert, not one a channel; a channel silent beside others that speak is its own.
    fn judge_silence(&mut self, stamp: Stamp, readings: &[Reading], alerts: &mut Vec<Alert>) {
        let patience = Patience {
            open_after: self.config.no_data_after,
            clear_after: 1,
            min_open_ms: 0,
            update_every_ms: u64::MAX,
        };
        // What was not to be expected is neither speech nor silence.
        let expected = |reading: &Reading| !reading.is_err_and(NoData::is_no_fault);
        // A device that leaves a value out has answered.
        let device_speaks = readings.iter().any(|reading| matches!(reading, Ok(_) | Err(NoData::Empty)));
        if !device_speaks && !readings.iter().any(expected) {
            return;
        }
        let silent = self.state.silence.observe(stamp.mono, device_speaks);
        let reason = readings.iter().filter(|reading| expected(reading)).find_map(|reading| reading.err());
        let (device, ids) = (&self.device, &mut self.ids);
        let verdict = (silence_verdict(silent), &patience);
        let case = |_| words::silence(silent, reason);
        alerts.extend(self.state.no_data.step(verdict, stamp, device, None, ids, case));
        if !device_speaks || readings.len() == 1 {
            return;
        }
        for (index, reading) in readings.iter().enumerate().filter(|(_, reading)| expected(reading)) {
            let state = &mut self.state.channels[index];
            let silent = state.silence.observe(stamp.mono, reading.is_ok());
            let verdict = (silence_verdict(silent), &patience);
            let case = |_| words::silence(silent, reading.err());
            alerts.extend(state.no_data.step(verdict, stamp, device, Some(index), ids, case));
        }
    }

    /// The score of the whole row over the fixed threshold, where one is set.
    fn judge_row(&mut self, stamp: Stamp, seen: &Seen, alerts: &mut Vec<Alert>) {
        let (Some(threshold), Some(score)) = (self.config.threshold.map(f64::from), seen.score) else { return };
        let verdict = verdict(score / threshold, 1.0, Some(score));
        let State { detector, row, .. } = &mut self.state;
        let device = &self.device;
        let case = |phase| {
            let foremost = detector.foremost().map(|(channel, share)| (&device.channels[channel].channel, share));
            words::row(phase, score, threshold, foremost)
        };
        alerts.extend(row.step((verdict, &STRANGE), stamp, device, None, &mut self.ids, case));
    }
}

impl ChannelState {
    fn raised(&mut self) -> [&mut Raised; 8] {
        let ChannelState { no_data, stuck, apart, act, window, gust, high_wind, turbulence, .. } = self;
        [no_data, stuck, apart, act, window, gust, high_wind, turbulence]
    }
}

fn value_of(reading: Reading) -> Option<f64> {
    reading.ok().map(|value| value.as_f64()).filter(|value| value.is_finite())
}

/// Bad above `beyond`, good well below it.
fn verdict(ratio: f64, beyond: f64, badness: Option<f64>) -> Verdict {
    if ratio > beyond {
        Verdict::Bad(badness.unwrap_or(ratio))
    } else if ratio < USUAL * beyond {
        Verdict::Good
    } else {
        Verdict::Unsure
    }
}

fn severity(ratio: f64) -> Severity {
    if ratio >= CRITICAL { Severity::Critical } else { Severity::Warning }
}

fn silence_verdict(silent: Option<(u32, u64)>) -> Verdict {
    match silent {
        Some((polls, _)) => Verdict::Bad(f64::from(polls)),
        None => Verdict::Good,
    }
}

#[cfg(test)]
mod tests;
