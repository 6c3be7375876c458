//! The judge of one device: readings in, scores and steps of alerts out. Pure; it waits for nothing (A7).
//!
//! It asks of every row what stands out (`detect.rs`), whether a sensor stands still or says nothing (`health.rs`), and
//! whether the wind is dangerous (`wind.rs`), and makes of the answers alerts that open, are updated and clear
//! (`alarm.rs`). A sick sensor says nothing about the wind: while it is told of, its wind alerts are not. A failed read
//! never becomes a value (A6): it is counted, and no forest sees it.

mod raise;
mod words;

pub use super::detect::{BadDetect, DetectConfig};
pub use super::wind::Turbine;

use super::alarm::{Patience, Verdict};
use super::checkpoint::BadState;
use super::detect::{Act, Detector, Found, Pair, Seen};
use super::health::{Held, Hold, Silence};
use super::wind::{Weather, Wind};
use crate::time::{Stamp, Wall};
use raise::{Case, Ids, Raised, mix};
use serde::{Deserialize, Serialize};
use windward_protocol::{Alert, AlertKind, Channel, NoData, Quantity, Reading, Severity};

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
    /// One score a channel, on the AWS scale, `None` where nothing was scored. The channels of a device are judged as one
    /// point and share its score.
    pub scores: Vec<Option<f32>>,
    /// How strange the device has been lately; 0 is usual. What raises it lasts a while in it, which makes it the better
    /// line to look at over hours.
    pub strangeness: f64,
    /// Steps of alerts: of the whole device, then of its channels in their order.
    pub alerts: Vec<Alert>,
}

/// The judge of one device.
#[derive(Clone, Debug)]
pub struct Judge {
    device: JudgeDevice,
    config: DetectConfig,
    ids: Ids,
    state: State,
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
/// How far beyond its level an act, or the gap of a pair, is told of. 1 would be the level itself.
const BEYOND: f64 = 1.1;
/// An act that a related sensor confirms is weather up to this.
const BEYOND_WEATHER: f64 = 2.5;
/// A change that far beyond its level is no wind.
const SPIKE: f64 = 2.0;
/// Wind above this, m/s, that repeats itself so often and so long, ms, is frozen, even where it never moved since the
/// start and nothing could be learned.
const MOVING_WIND: f64 = 2.0;
/// No wind is stronger than this, m/s: the greatest ever measured at the ground outside a tornado is 113.
const STRONGEST_WIND: f64 = 120.0;
const FROZEN_REPEATS: u32 = 10;
const FROZEN_MS: u64 = 600_000;
/// Below this share of its threshold an alarm begins to clear.
const USUAL: f64 = 0.6;
/// This many times beyond its level is critical.
const CRITICAL: f64 = 1.5;
/// Polls this many intervals apart have a pause between them.
const PAUSE: u64 = 20;
/// An anemometer that slowly falls behind its neighbour is iced where it is cold enough for ice, degC; where nobody knows
/// how cold it is, it must have fallen below this share of what is expected.
const ICE_BELOW: f64 = 5.0;
const ICED_SHARE: f64 = 0.85;

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
        Judge { ids: Ids::new(name), config: config.clone(), device, state }
    }

    /// Appends what was learned and what alerts are open.
    pub fn save(&self, out: &mut Vec<u8>) {
        match postcard::to_extend(&self.state, std::mem::take(out)) {
            Ok(bytes) => *out = bytes,
            Err(error) => tracing::error!(device = self.device.device, %error, "state not saved"),
        }
    }

    /// Goes on from what [`Judge::save`] has given, at `at`. Open alerts stay open under their ids. After an error the
    /// judge is as it was. `saved`: when that was; after longer than a pause nothing is compared with the last values.
    pub fn restore(&mut self, bytes: &[u8], at: Stamp, saved: Wall) -> Result<(), BadState> {
        let stored: State = postcard::from_bytes(bytes).map_err(|_| BadState("it cannot be read"))?;
        let detector = self.state.detector.resume(stored.detector).ok_or(BadState("it is of other channels"))?;
        if stored.channels.len() != self.state.channels.len() {
            return Err(BadState("it is of other channels"));
        }
        self.state = State { detector, ..stored };
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

    fn judge_hold(&mut self, stamp: Stamp, index: usize, value: f64, seen: &Seen, alerts: &mut Vec<Alert>) {
        let channel = &self.device.channels[index];
        let state = &mut self.state.channels[index];
        if !channel.detect || self.config.stuck_after_s == 0 || may_stand_still(channel.channel.quantity) {
            return;
        }
        let held_ms = |repeats: u32| u64::from(repeats) * u64::from(self.device.interval_ms);
        let mut held = state.hold.observe(value, seen.signs[index].wander);
        let repeats = state.hold.repeats();
        if channel.channel.quantity == Quantity::WindSpeed
            && value > MOVING_WIND
            && repeats >= FROZEN_REPEATS
            && held_ms(repeats) >= FROZEN_MS
        {
            held = held.or(Some(Held { repeats, below_all: false }));
        }
        let long = held.filter(|held| held_ms(held.repeats) >= 1_000 * u64::from(self.config.stuck_after_s));
        let verdict = match (held, long) {
            (_, Some(held)) => Verdict::Bad(f64::from(held.repeats)),
            (Some(_), None) => Verdict::Unsure,
            (None, None) => Verdict::Good,
        };
        let case =
            |phase| words::held(phase, value, &channel.channel.unit, long.map(|held| (held, held_ms(held.repeats))));
        alerts.extend(state.stuck.step((verdict, &STUCK), stamp, &self.device, Some(index), &mut self.ids, case));
    }

    /// A pair is told of at the channel that reads less than its partner makes one expect: ice, friction and a lost
    /// signal all make it less.
    fn judge_pairs(&mut self, stamp: Stamp, index: usize, readings: &[Reading], seen: &Seen, alerts: &mut Vec<Alert>) {
        let mine = |pair: &&Pair| if pair.gap.by < 0.0 { pair.channels.0 == index } else { pair.channels.1 == index };
        let involved = |pair: &&Pair| pair.channels.0 == index || pair.channels.1 == index;
        let worst = |a: &&Pair, b: &&Pair| a.gap.ratio.total_cmp(&b.gap.ratio);
        let ratio = seen.pairs.iter().filter(involved).max_by(worst).map(|pair| pair.gap.ratio);
        let pair = seen.pairs.iter().filter(mine).max_by(worst).filter(|pair| pair.gap.ratio > BEYOND);
        let Some(ratio) = ratio else { return };
        let other = seen.pairs.iter().any(|pair| {
            let low = if pair.gap.by < 0.0 { pair.channels.0 } else { pair.channels.1 };
            low != index
                && (pair.channels.0 == index || pair.channels.1 == index)
                && self.state.channels[low].apart.is_open()
        });
        let verdict = match pair {
            Some(pair) if !other => Verdict::Bad(pair.gap.ratio),
            _ if ratio < USUAL * BEYOND => Verdict::Good,
            _ => Verdict::Unsure,
        };
        let temperatures = self.device.channels.iter().zip(readings);
        let coldest = temperatures
            .filter(|(channel, _)| channel.channel.quantity == Quantity::Temperature)
            .filter_map(|(_, reading)| value_of(*reading))
            .reduce(f64::min);
        let iced_share = match coldest {
            Some(coldest) if coldest > ICE_BELOW => 0.0,
            Some(_) => 1.0,
            None => ICED_SHARE,
        };
        let (device, state) = (&self.device, &mut self.state.channels[index]);
        let value = value_of(readings[index]).unwrap_or_default();
        let case = |phase| {
            let channel = &device.channels[index].channel;
            let partner = pair.map(|pair| {
                let partner = if pair.channels.0 == index { pair.channels.1 } else { pair.channels.0 };
                (pair.gap, &device.channels[partner].channel, value_of(readings[partner]).unwrap_or_default())
            });
            let iced = channel.quantity == Quantity::WindSpeed
                && pair.is_some_and(|pair| pair.gap.over > 1)
                && partner.is_some_and(|(gap, ..)| gap.expected + gap.by < iced_share * gap.expected);
            words::apart(phase, value, &channel.unit, partner, iced)
        };
        alerts.extend(state.apart.step((verdict, &STRANGE), stamp, device, Some(index), &mut self.ids, case));
    }

    fn judge_acts(&mut self, stamp: Stamp, index: usize, value: f64, seen: &Seen, alerts: &mut Vec<Alert>) {
        let (device, state) = (&self.device, &mut self.state.channels[index]);
        let Some(found) = seen.signs[index].act else { return };
        let beyond = if seen.signs[index].confirmed { BEYOND_WEATHER } else { BEYOND };
        let sick = state.stuck.is_open() || state.apart.is_open();
        let kind = kind_of(found);
        // What is told of already: a sick sensor, or a gust that is just that.
        let known = sick || (state.gust.is_open() && kind != AlertKind::Spike);
        let mut verdict = verdict(found.ratio, beyond, Some(found.ratio));
        if known && !state.act.is_open() && matches!(verdict, Verdict::Bad(_)) {
            verdict = Verdict::Unsure;
        }
        let case = |phase| {
            let unit = &device.channels[index].channel.unit;
            let evidence = words::act(phase, value, unit, found, device.interval_ms);
            Case {
                kind,
                severity: severity(found.ratio),
                value: Some(value),
                score: seen.score,
                threshold: None,
                evidence,
            }
        };
        alerts.extend(state.act.step((verdict, &STRANGE), stamp, device, Some(index), &mut self.ids, case));
    }

    fn judge_windows(&mut self, stamp: Stamp, index: usize, value: f64, seen: &Seen, alerts: &mut Vec<Alert>) {
        let State { detector, channels, .. } = &mut self.state;
        let (device, state) = (&self.device, &mut channels[index]);
        let signs = seen.signs[index];
        let sick = signs.confirmed || state.stuck.is_open() || state.apart.is_open();
        let verdict = match (signs.window, sick) {
            (Some(window), false) => Verdict::Bad(window.score),
            (Some(_), true) => Verdict::Unsure,
            (None, _) => Verdict::Good,
        };
        if matches!(verdict, Verdict::Bad(_)) {
            detector.told_window(index);
        }
        let case =
            |phase| words::window(phase, value, &device.channels[index].channel.unit, signs.window, device.interval_ms);
        alerts.extend(state.window.step((verdict, &WINDOW), stamp, device, Some(index), &mut self.ids, case));
    }

    /// Wind alerts, of a sensor that can be believed.
    fn judge_wind(&mut self, stamp: Stamp, index: usize, value: f64, seen: &Seen, alerts: &mut Vec<Alert>) {
        let (device, state, ids) = (&self.device, &mut self.state.channels[index], &mut self.ids);
        let channel = &device.channels[index];
        if channel.channel.quantity != Quantity::WindSpeed || !channel.detect {
            return;
        }
        let turbine = &self.config.turbine;
        let spike = seen.signs[index].act.is_some_and(|found| kind_of(found) == AlertKind::Spike);
        let sick = state.stuck.is_open() || state.apart.is_open() || state.act.is_open_as(AlertKind::Spike);
        if spike || !(0.0..=STRONGEST_WIND).contains(&value) {
            return;
        }
        let Weather { gust, mean, turbulence } = state.wind.observe(stamp.mono, value, turbine);
        let believed = |verdict| if sick && matches!(verdict, Verdict::Bad(_)) { Verdict::Unsure } else { verdict };
        let blows = gust.map_or(Verdict::Good, |(rise, _)| Verdict::Bad(rise));
        let case = |phase| words::gust(phase, value, gust);
        alerts.extend(state.gust.step((believed(blows), &WEATHER), stamp, device, Some(index), ids, case));
        let high = match mean {
            Some(mean) if mean >= turbine.cut_out => Verdict::Bad(mean),
            Some(mean) if mean < turbine.restart => Verdict::Good,
            _ => Verdict::Unsure,
        };
        let case = |phase| words::high_wind(phase, value, mean.unwrap_or(value), turbine);
        alerts.extend(state.high_wind.step((believed(high), &WEATHER), stamp, device, Some(index), ids, case));
        let rough = turbulence.map_or(Verdict::Good, |(deviation, _)| Verdict::Bad(deviation));
        let case = |phase| words::turbulence(phase, value, turbulence);
        alerts.extend(state.turbulence.step((believed(rough), &WEATHER), stamp, device, Some(index), ids, case));
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

fn kind_of(found: Found) -> AlertKind {
    match found.act {
        Act::Jump { within: 1, .. } if found.ratio >= SPIKE => AlertKind::Spike,
        Act::Noise { .. } => AlertKind::Noise,
        _ => AlertKind::Anomaly,
    }
}

fn severity(ratio: f64) -> Severity {
    if ratio >= CRITICAL { Severity::Critical } else { Severity::Warning }
}

/// Quantities that hold one value for hours and are well: a vane in a calm, a pitch drive, a status word.
fn may_stand_still(quantity: Quantity) -> bool {
    use Quantity::{PitchAngle, StateOfCharge, Status, WindDirection, YawAngle};
    matches!(quantity, WindDirection | YawAngle | PitchAngle | StateOfCharge | Status)
}

fn silence_verdict(silent: Option<(u32, u64)>) -> Verdict {
    match silent {
        Some((polls, _)) => Verdict::Bad(f64::from(polls)),
        None => Verdict::Good,
    }
}

#[cfg(test)]
mod tests;
