//! The judge of one device: readings in, scores and steps of alerts out. Pure; it waits for nothing (A7).
//!
//! It asks of every row whether a value is strange (`detect.rs`) and whether a sensor stands still or says nothing
//! (`health.rs`), and makes of the answers alerts that open, are updated and clear (`alarm.rs`). A failed read never
//! becomes a value (A6): it is counted, and the forest does not see it.

pub use super::detect::{BadDetect, DetectConfig};

use super::alarm::{Alarm, Patience, Verdict};
use super::detect::{Detector, Opinion, Strange};
use super::health::{Hold, MOVING_WIND_MPS, Silence};
use crate::time::Stamp;
use std::fmt::Write;
use windward_protocol::{Alert, AlertKind, AlertPhase, Channel, NoData, Quantity, Reading, Severity};

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
}

/// What the judge says of one row.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// One score a channel, on the AWS scale; `None` where nothing was scored.
    pub scores: Vec<Option<f32>>,
    /// Steps of alerts, in the order of the channels, those of the whole device first.
    pub alerts: Vec<Alert>,
}

/// The judge of one device.
#[derive(Clone, Debug)]
pub struct Judge {
    device: JudgeDevice,
    config: DetectConfig,
    states: Vec<ChannelState>,
    silence: Silence,
    no_data: Raised,
    ids: Ids,
}

#[derive(Clone, Debug)]
struct ChannelState {
    detector: Option<Detector>,
    hold: Hold,
    silence: Silence,
    anomaly: Raised,
    stuck: Raised,
    no_data: Raised,
}

/// An alarm, and the alert it has open.
#[derive(Clone, Debug, Default)]
struct Raised {
    alarm: Alarm,
    id: u64,
    opened_ms: i64,
}

/// What an alert says beyond its phase.
struct Case {
    kind: AlertKind,
    severity: Severity,
    value: Option<f64>,
    score: Option<f64>,
    threshold: Option<f64>,
    evidence: String,
}

/// One bad reading is enough: a spike may be one reading long.
const ANOMALY: Patience = Patience { open_after: 1, clear_after: 10, min_open_ms: 5_000, update_every_ms: 10_000 };
/// The patience of a stuck sensor is in its rule; it has recovered when it has moved for a few readings.
const STUCK: Patience = Patience { open_after: 1, clear_after: 3, min_open_ms: 0, update_every_ms: 600_000 };
/// A held value may still waver by this share of the channel's own standard deviation.
const STUCK_TOLERANCE: f64 = 0.01;
/// A score this many times the threshold is critical.
const CRITICAL: f64 = 1.5;

impl Judge {
    /// A judge that has seen nothing. `config` has passed [`DetectConfig::check`]. The same `seed` and rows give the same
    /// scores and alerts, bit for bit; seeds that differ between starts of an agent keep alert ids apart even where its
    /// clock repeats itself.
    pub fn new(device: JudgeDevice, config: &DetectConfig, seed: u64) -> Judge {
        let name = device.device.bytes().fold(mix(seed), |hash, byte| mix(hash ^ u64::from(byte)));
        let channel = |(index, channel): (usize, &JudgeChannel)| {
            let (quantity, seed) = (channel.channel.quantity, mix(name ^ (index as u64 + 1)));
            ChannelState {
                detector: channel.detect.then(|| Detector::new(config, quantity, device.interval_ms, seed)),
                hold: Hold::default(),
                silence: Silence::default(),
                anomaly: Raised::default(),
                stuck: Raised::default(),
                no_data: Raised::default(),
            }
        };
        Judge {
            states: device.channels.iter().enumerate().map(channel).collect(),
            silence: Silence::default(),
            no_data: Raised::default(),
            ids: Ids { base: name, opened: 0 },
            config: config.clone(),
            device,
        }
    }

    /// Learns from a row of history, oldest first, and raises nothing. Only the detectors learn: how long a value was
    /// held and how long a device was silent is counted from the start of judging, on a clock that history does not have.
    pub fn learn(&mut self, _stamp: Stamp, readings: &[Reading]) {
        assert_eq!(readings.len(), self.states.len(), "one reading a channel");
        for (index, &reading) in readings.iter().enumerate() {
            self.opinion(index, reading);
        }
    }

    /// Judges a row: one reading a channel, in the device's order.
    pub fn judge(&mut self, stamp: Stamp, readings: &[Reading]) -> Judged {
        assert_eq!(readings.len(), self.states.len(), "one reading a channel");
        let wind_speed = self.wind_speed(readings);
        let mut judged = Judged { scores: Vec::with_capacity(readings.len()), alerts: Vec::new() };
        self.judge_silence(stamp, readings, &mut judged.alerts);
        for (index, &reading) in readings.iter().enumerate() {
            let opinion = self.opinion(index, reading);
            judged.scores.push(opinion.and_then(|opinion| opinion.score).map(|score| score as f32));
            self.judge_anomaly(stamp, index, reading, opinion, &mut judged.alerts);
            self.judge_stuck(stamp, index, reading, &mut judged.alerts);
        }
        for alert in &mut judged.alerts {
            alert.wind_speed = wind_speed;
        }
        judged
    }

    fn wind_speed(&self, readings: &[Reading]) -> Option<f64> {
        let mut pairs = self.device.channels.iter().zip(readings);
        let (_, reading) = pairs.find(|(channel, _)| channel.channel.quantity == Quantity::WindSpeed)?;
        reading.ok().map(|value| value.as_f64())
    }

    /// What the detector of a channel thinks of a reading, if it has one and there is a value.
    fn opinion(&mut self, index: usize, reading: Reading) -> Option<Opinion> {
        let detector = self.states[index].detector.as_mut()?;
        match reading {
            Ok(value) => Some(detector.observe(value.as_f64())),
            Err(NoData::NotDue) => None,
            Err(_) => {
                detector.miss();
                None
            }
        }
    }

    /// For how long the value of a wind channel has been held, in ms, if that is too long; 0 if it is not; `None` where
    /// that cannot be said.
    fn held_ms(&mut self, index: usize, stamp: Stamp, reading: Reading) -> Option<u64> {
        let state = &mut self.states[index];
        if self.config.stuck_after_s == 0 || self.device.channels[index].channel.quantity != Quantity::WindSpeed {
            return None;
        }
        let value = reading.ok()?.as_f64();
        if value <= MOVING_WIND_MPS {
            state.hold.rest();
            return Some(0);
        }
        let tolerance = STUCK_TOLERANCE * state.detector.as_ref().map_or(0.0, Detector::spread);
        let after_ms = u64::from(self.config.stuck_after_s) * 1_000;
        Some(state.hold.observe(stamp.mono, value, tolerance, after_ms).unwrap_or(0))
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
        let silent = self.silence.observe(stamp.mono, device_speaks);
        let reason = readings.iter().filter(|reading| expected(reading)).find_map(|reading| reading.err());
        let case = silence_case(silent, reason);
        let step = self.no_data.alarm.step(stamp.mono, silence_verdict(silent), &patience);
        if let Some(phase) = step {
            alerts.push(self.no_data.tell(phase, stamp, case, &self.device, None, &mut self.ids));
        }
        if !device_speaks || readings.len() == 1 {
            return;
        }
        for (index, reading) in readings.iter().enumerate().filter(|(_, reading)| expected(reading)) {
            let state = &mut self.states[index];
            let silent = state.silence.observe(stamp.mono, reading.is_ok());
            let step = state.no_data.alarm.step(stamp.mono, silence_verdict(silent), &patience);
            if let Some(phase) = step {
                let case = silence_case(silent, reading.err());
                alerts.push(state.no_data.tell(phase, stamp, case, &self.device, Some(index), &mut self.ids));
            }
        }
    }

    fn judge_anomaly(
        &mut self,
        stamp: Stamp,
        index: usize,
        reading: Reading,
        opinion: Option<Opinion>,
        alerts: &mut Vec<Alert>,
    ) {
        let (Some(opinion), Ok(value)) = (opinion, reading) else {
            return;
        };
        let verdict = match opinion.score {
            Some(score) if opinion.strange.is_some() => Verdict::Bad(score),
            Some(score) if score < f64::from(self.config.clear_below) => Verdict::Good,
            _ => Verdict::Unsure,
        };
        let state = &mut self.states[index];
        let Some(phase) = state.anomaly.alarm.step(stamp.mono, verdict, &ANOMALY) else {
            return;
        };
        let looks_back = state.detector.as_ref().map_or(0, Detector::looks_back);
        let back_ms = u64::from(looks_back) * u64::from(self.device.interval_ms);
        let (score, threshold) = (opinion.score.unwrap_or(0.0), f64::from(self.config.threshold));
        let unit = &self.device.channels[index].channel.unit;
        let case = Case {
            kind: AlertKind::Anomaly,
            severity: if score >= CRITICAL * threshold { Severity::Critical } else { Severity::Warning },
            value: Some(value.as_f64()),
            score: opinion.score,
            threshold: Some(threshold),
            evidence: anomaly_evidence(phase, value.as_f64(), unit, opinion, threshold, back_ms),
        };
        alerts.push(state.anomaly.tell(phase, stamp, case, &self.device, Some(index), &mut self.ids));
    }

    fn judge_stuck(&mut self, stamp: Stamp, index: usize, reading: Reading, alerts: &mut Vec<Alert>) {
        let held_ms = self.held_ms(index, stamp, reading);
        let verdict = match held_ms {
            None => Verdict::Unsure,
            Some(0) => Verdict::Good,
            Some(ms) => Verdict::Bad(ms as f64),
        };
        let state = &mut self.states[index];
        let (Some(phase), Ok(value)) = (state.stuck.alarm.step(stamp.mono, verdict, &STUCK), reading) else {
            return;
        };
        let unit = &self.device.channels[index].channel.unit;
        let evidence = match phase {
            AlertPhase::Clear => format!("moves again: {} {unit}", short(value.as_f64())),
            _ => format!("held at {} {unit} for {}", short(value.as_f64()), lasting(held_ms.unwrap_or(0))),
        };
        let case = Case {
            kind: AlertKind::Stuck,
            severity: Severity::Warning,
            value: Some(value.as_f64()),
            score: None,
            threshold: None,
            evidence,
        };
        alerts.push(state.stuck.tell(phase, stamp, case, &self.device, Some(index), &mut self.ids));
    }
}

impl Raised {
    /// The step as an alert. `channel` is an index into the device's channels; `None` is the whole device.
    fn tell(
        &mut self,
        phase: AlertPhase,
        stamp: Stamp,
        case: Case,
        device: &JudgeDevice,
        channel: Option<usize>,
        ids: &mut Ids,
    ) -> Alert {
        if phase == AlertPhase::Open {
            self.id = ids.next(stamp);
            self.opened_ms = stamp.wall.0;
        }
        let channel = channel.map(|index| &device.channels[index].channel);
        Alert {
            id: self.id,
            phase,
            kind: case.kind,
            severity: case.severity,
            location: device.location.clone(),
            device: device.device.clone(),
            channel: channel.map(|channel| channel.name.clone()).unwrap_or_default(),
            opened_ms: self.opened_ms,
            at_ms: stamp.wall.0,
            synced: stamp.synced,
            value: case.value,
            unit: channel.map(|channel| channel.unit.clone()).unwrap_or_default(),
            wind_speed: None,
            score: case.score,
            threshold: case.threshold,
            evidence: case.evidence,
        }
    }
}

/// Makes the ids of a device's alerts: a hash of the seed, the device, the time and a counter, so that neither two
/// devices nor two starts of an agent share one. 53 bits, for ids pass through JSON into programs whose only numbers
/// are doubles; among 100,000 alerts two are equal with a chance of one in two million.
#[derive(Clone, Debug)]
struct Ids {
    base: u64,
    opened: u64,
}

impl Ids {
    fn next(&mut self, stamp: Stamp) -> u64 {
        self.opened += 1;
        mix(mix(self.base ^ stamp.wall.0 as u64).wrapping_add(self.opened)) >> 11
    }
}

/// The finaliser of SplitMix64: every bit of the input moves every bit of the output.
fn mix(input: u64) -> u64 {
    let mut z = input.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn silence_verdict(silent: Option<(u32, u64)>) -> Verdict {
    match silent {
        Some((polls, _)) => Verdict::Bad(f64::from(polls)),
        None => Verdict::Good,
    }
}

fn silence_case(silent: Option<(u32, u64)>, reason: Option<NoData>) -> Case {
    let mut evidence = match silent {
        Some((polls, ms)) => format!("no value in {polls} polls over {}", lasting(ms)),
        None => "values are back".to_owned(),
    };
    if let (Some(_), Some(reason)) = (silent, reason) {
        #[allow(clippy::unwrap_used, reason = "writing to a String cannot fail")]
        write!(evidence, "; last: {reason}").unwrap();
    }
    Case { kind: AlertKind::NoData, severity: Severity::Warning, value: None, score: None, threshold: None, evidence }
}

fn anomaly_evidence(
    phase: AlertPhase,
    value: f64,
    unit: &str,
    opinion: Opinion,
    threshold: f64,
    back_ms: u64,
) -> String {
    let score = opinion.score.unwrap_or(0.0);
    let seen = short(value);
    let back = lasting(back_ms);
    let size = match opinion.strange {
        Some(Strange::Level { held: (low, high) }) if low == high => {
            format!("{seen} {unit} where the last {back} held {}", short(low))
        }
        Some(Strange::Level { held: (low, high) }) => {
            format!("{seen} {unit} where the last {back} held {} to {}", short(low), short(high))
        }
        Some(Strange::Change { from, held: (fall, rise) }) => format!(
            "from {} to {seen} {unit} at once where the last {back} changed by {} to {}",
            short(from),
            short(fall),
            short(rise)
        ),
        None => format!("{seen} {unit}"),
    };
    match phase {
        AlertPhase::Clear => format!("score {score:.1}, usual again at {seen} {unit}"),
        _ => format!("score {score:.1} over threshold {threshold:.1}; {size}"),
    }
}

/// A value in few digits: sensors give one or two decimals, and people read fewer.
fn short(value: f64) -> String {
    if value.abs() >= 1_000.0 || value == value.trunc() {
        format!("{value:.0}")
    } else if value.abs() >= 0.1 {
        format!("{value:.1}")
    } else {
        format!("{value:.2e}")
    }
}

fn lasting(ms: u64) -> String {
    match ms / 1_000 {
        0 => format!("{ms} ms"),
        seconds @ 1..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3_600),
    }
}

#[cfg(test)]
mod tests;
