//! Is what a device says strange? All that looks at readings, put together: the forests, the single signals, the pairs.
//! Pure; readings are counted, and time enters only as the interval.
//!
//! - `track.rs`: what one signal does by itself: jumps, shifts, bursts of noise.
//! - `drift.rs`: how far its mean moves for how little it changes: ice, friction.
//! - `apart.rs`: two channels that measure the same, and leave each other.
//! - `windows.rs`: a forest over the last hours of a channel.
//! - `vector.rs`: a forest over each row of a device: the score that is shown beside the readings.
//! - `tail.rs`: how large a statistic must be to be an event; learned, with one false alarm in `return_days` as the aim.
//! - `resting.rs`: a forest between two of its windows; `kept.rs`: what outlives a restart; `config.rs`: the settings.

mod apart;
mod config;
mod drift;
mod kept;
mod resting;
mod scale;
mod tail;
mod track;
mod vector;
mod windows;

pub use config::{BadDetect, DetectConfig};

pub(super) use apart::Gap;
pub(super) use track::{Act, Found};
pub(super) use windows::Window;

use apart::Apart;
use scale::Scale;
use serde::{Deserialize, Serialize};
use tail::Care;
use track::Track;
use vector::Vector;
use windows::Windows;
use windward_forest::MAX_MAGNITUDE;
use windward_protocol::Quantity;

/// What is asked of the tails, in the device's own readings.
#[derive(Clone, Copy, Debug)]
struct Settings {
    /// Readings in a block of a tail.
    block: u32,
    /// Logarithm of the return period, counted in blocks.
    log_return: f64,
    /// What is thought of a mean far from those before.
    care: Care,
}

/// How far beyond its level an act, or the gap of a pair, is told of. 1 would be the level itself.
pub(super) const BEYOND: f64 = 1.1;
/// A return period is never longer than e to this power, in blocks: blocks of a fast signal are not independent.
const LONGEST_RETURN: f64 = 9.0;
/// Blocks a tail needs before it has a level.
const BLOCKS_TO_LEARN: u32 = 5;

impl Settings {
    fn new(config: &DetectConfig, interval_ms: u32, judged: usize) -> Self {
        let block = (config.warm_up / BLOCKS_TO_LEARN).clamp(8, 64);
        let block_s = f64::from(block) * f64::from(interval_ms.max(1)) / 1_000.0;
        let log_return = (config.return_days * 86_400.0 / block_s).max(1.0).ln().clamp(3.0, LONGEST_RETURN);
        let care = if judged < MACHINE { Care::Wary } else { Care::Bold };
        Settings { block, log_return, care }
    }
}

/// What stood out in one channel.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Signs {
    /// The act farthest beyond its level, or nearest to it.
    pub(super) act: Option<Found>,
    /// The last hours are strange.
    pub(super) window: Option<Window>,
    /// A related channel says that the value is right.
    pub(super) confirmed: bool,
    /// The usual change from one reading to the next.
    pub(super) wander: f64,
}

/// Two related channels, by their places, and how far they are apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pair {
    pub(super) channels: (usize, usize),
    pub(super) gap: Gap,
}

/// What stood out in a row.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Seen {
    /// Score of the row, on the AWS scale; `None` while the forest is learning.
    pub(super) score: Option<f64>,
    /// How strange the device has been lately: 0 is usual. It outlasts what raised it, as a chart needs it.
    pub(super) strangeness: f64,
    /// For each channel.
    pub(super) signs: Vec<Signs>,
    /// Related channels.
    pub(super) pairs: Vec<Pair>,
}

/// The detector of one device.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Detector {
    #[serde(skip)]
    settings: Option<Settings>,
    channels: Vec<Option<Signal>>,
    pairs: Vec<(usize, usize, Apart)>,
    vector: Option<Vector>,
    /// Decaying maximum of the windows' scores, and running mean of the rows' strangeness.
    windows: f64,
    rows: f64,
    seen: f64,
}

/// What is known of one channel.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Signal {
    seen: f64,
    mean: f64,
    last: Option<f64>,
    /// The smallest step the channel ever made: the last digit of its register.
    step: f64,
    wander: Scale,
    circular: bool,
    missed: u32,
    /// The value before stood still though it should not.
    held: bool,
    track: Track,
    windows: Windows,
}

/// A device with so many judged channels is a machine, whose parts keep to their places better than the wind does.
const MACHINE: usize = 3;
/// Most pairs of a device that are watched.
const MOST_PAIRS: usize = 28;
/// Polls without a value after which nothing is compared across the pause.
const PAUSE: u32 = 16;
/// A related channel that is no farther away than this share of its level confirms a value.
const CONFIRMS: f64 = 0.7;
/// Readings after which a strange window's score has fallen by the factor e, and readings a row's strangeness lasts.
const WINDOWS_LAST: f64 = 150.0;
const ROWS_LAST: f64 = 64.0;
/// No value counts as more than this: its square, and sums of those, stay far from the end of the numbers.
const MOST_VALUE: f64 = 1e12;
/// A change below this share of the channel's magnitude means nothing.
const RELATIVE_FLOOR: f64 = 2e-4;

impl Detector {
    /// A detector that has seen nothing. `channels`: the quantity of each channel, `None` for one that is not judged.
    /// `config` has passed its check.
    pub(super) fn new(config: &DetectConfig, channels: &[Option<Quantity>], interval_ms: u32, seed: u64) -> Self {
        let judged = channels.iter().flatten().count();
        let settings = Settings::new(config, interval_ms, judged);
        let places = || channels.iter().enumerate().filter_map(|(place, quantity)| Some((place, (*quantity)?)));
        let related = places().flat_map(|(a, of)| {
            let after = places().filter(move |&(b, other)| b > a && other == of && !is_circular(of));
            after.map(move |(b, _)| (a, b))
        });
        let mut related: Vec<(usize, usize)> = related.collect();
        // Neighbours first: of many like channels each has some pair.
        related.sort_by_key(|(a, b)| b - a);
        related.truncate(MOST_PAIRS);
        let pair = |&(a, b): &(usize, usize)| (a, b, Apart::new(settings.block));
        let signal = |(place, quantity): (usize, &Option<Quantity>)| {
            let seed = seed ^ (place as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            quantity.map(|quantity| Signal::new(config, settings, quantity, interval_ms, seed))
        };
        Detector {
            channels: channels.iter().enumerate().map(signal).collect(),
            pairs: related.iter().map(pair).collect(),
            vector: (judged > 0).then(|| Vector::new(judged, config.trees, config.sample_size, seed)),
            windows: 0.0,
            rows: 0.0,
            seen: 0.0,
            settings: Some(settings),
        }
    }

    /// Takes the next row, one value a channel where there is one, and says what it thinks of it by what it knew before.
    pub(super) fn observe(&mut self, row: &[Option<f64>]) -> Seen {
        let Some(Settings { log_return, .. }) = self.settings else { return Seen::default() };
        let values: Vec<Option<f64>> =
            self.channels.iter_mut().zip(row).map(|(signal, value)| signal.as_mut()?.unwound(*value)).collect();
        let mut seen = Seen { signs: vec![Signs::default(); row.len()], ..Seen::default() };
        let mut most: f64 = 0.0;
        for (a, b, apart) in &mut self.pairs {
            let held = |place: usize| self.channels[place].as_ref().is_some_and(|signal| signal.held);
            let (Some(value), Some(partner), false) = (values[*a], values[*b], held(*a) || held(*b)) else { continue };
            let floor = self.channels[*a].as_ref().map_or(0.0, Signal::floor);
            if let Some(gap) = apart.observe(value, partner, floor, log_return) {
                most = most.max(gap.ratio);
                for place in [*a, *b] {
                    seen.signs[place].confirmed |= gap.ratio < CONFIRMS;
                }
                seen.pairs.push(Pair { channels: (*a, *b), gap });
            }
        }
        let (mut windows, mut turn): (f64, bool) = (0.0, true);
        for ((signal, value), signs) in self.channels.iter_mut().zip(&values).zip(&mut seen.signs) {
            let Some(signal) = signal else { continue };
            signal.held = false;
            signal.observe(*value, signs, log_return, &mut turn);
            most = most.max(signs.act.map_or(0.0, |found| found.ratio));
            windows = windows.max(signal.windows.score());
        }
        let judged: Vec<Option<f64>> =
            self.channels.iter().zip(&values).filter(|(signal, _)| signal.is_some()).map(|(_, value)| *value).collect();
        seen.score = self.vector.as_mut().and_then(|vector| vector.observe(&judged));
        self.seen += 1.0;
        self.windows = (self.windows * (-1.0 / WINDOWS_LAST).exp()).max(windows - 1.0);
        self.rows += (seen.score.unwrap_or(0.0) + 0.3 * most.min(3.0) - self.rows) / self.seen.min(ROWS_LAST);
        seen.strangeness = self.windows + self.rows;
        seen
    }

    /// There was a pause: nothing is compared across it.
    pub(super) fn interrupt(&mut self) {
        for signal in self.channels.iter_mut().flatten() {
            signal.interrupt();
        }
    }

    /// The value of `channel` stands still though it should not: what comes after is not compared with it, and it teaches
    /// nothing.
    pub(super) fn held(&mut self, channel: usize) {
        if let Some(signal) = &mut self.channels[channel] {
            signal.interrupt();
            signal.held = true;
        }
    }

    /// Which channel adds most to the score of the last row, and its share of it.
    pub(super) fn foremost(&mut self) -> Option<(usize, f64)> {
        let (nth, share) = self.vector.as_mut()?.foremost()?;
        let mut judged = self.channels.iter().enumerate().filter(|(_, signal)| signal.is_some());
        judged.nth(nth).map(|(place, _)| (place, share))
    }

    /// The strange window of `channel` has been told of.
    pub(super) fn told_window(&mut self, channel: usize) {
        if let Some(signal) = &mut self.channels[channel] {
            signal.windows.told();
        }
    }
}

impl Signal {
    fn new(config: &DetectConfig, settings: Settings, quantity: Quantity, interval_ms: u32, seed: u64) -> Self {
        Signal {
            seen: 0.0,
            mean: 0.0,
            last: None,
            step: f64::INFINITY,
            wander: Scale::new((1_000, 1_000), 4.0),
            circular: is_circular(quantity),
            missed: 0,
            held: false,
            track: Track::new(settings.block, settings.care),
            windows: Windows::new(config.trees, interval_ms, seed),
        }
    }

    /// The value as it is judged: a direction goes on past 360 rather than back to 0.
    fn unwound(&self, value: Option<f64>) -> Option<f64> {
        let value = value?.clamp(-MOST_VALUE, MOST_VALUE);
        match self.last {
            Some(last) if self.circular => Some(value + 360.0 * ((last - value) / 360.0).round()),
            _ => Some(value),
        }
    }

    /// The smallest change that means anything.
    fn floor(&self) -> f64 {
        let digit = if self.step.is_finite() { 0.6 * self.step } else { 0.0 };
        (RELATIVE_FLOOR * self.mean.abs()).max(digit).max(1e-9)
    }

    fn interrupt(&mut self) {
        self.track.interrupt();
        self.last = None;
    }

    fn observe(&mut self, value: Option<f64>, signs: &mut Signs, log_return: f64, turn: &mut bool) {
        let Some(value) = value else {
            self.missed = self.missed.saturating_add(1);
            return;
        };
        if self.missed >= PAUSE {
            self.interrupt();
        }
        self.missed = 0;
        self.seen += 1.0;
        let mut off = value - self.mean;
        if self.wander.settled() {
            // One absurd value must not make every change look small.
            let most = 20.0 * self.wander.usual() + 0.1 * self.mean.abs();
            // Not `clamp`, which panics where a restored state makes no sense.
            off = off.max(-most).min(most);
        }
        self.mean += off / self.seen.min(1_000.0);
        if let Some(last) = self.last {
            let change = (value - last).abs();
            if change > 0.0 {
                self.step = self.step.min(change);
            }
            self.wander.take(change, self.floor());
        }
        self.last = Some(value);
        signs.wander = self.wander.usual();
        signs.act = self.track.observe(value, self.floor(), log_return);
        signs.window = self.windows.observe(value, turn);
    }
}

fn is_circular(quantity: Quantity) -> bool {
    matches!(quantity, Quantity::WindDirection | Quantity::YawAngle)
}

/// A number as a forest takes it. What leaves the range of `f32` stays at its end: strange enough.
fn number(value: f64) -> f32 {
    let most = f64::from(MAX_MAGNITUDE);
    value.clamp(-most, most) as f32
}
