//! Is this value strange? A Random Cut Forest over the last readings of one channel, and a look at what the channel did
//! lately. Pure; time does not enter, readings are counted.
//!
//! The forest sees each value together with its change from the value before, in shingles. A value is strange when
//! - its **score** passes the threshold: the last readings together are unlike those before; and
//! - its **size** can be seen: the value, or its change, lies outside what the last ten minutes held by a margin, counted
//!   in standard deviations of the same ten minutes.
//!
//! The forest alone raises hundreds of alarms a month on turbulent wind at 1 Hz, for among millions of readings some
//! always stand apart. The size takes nearly all of those away, and gives the alert words that a person can check.
//! What is strange does not widen what counts as usual; the forest learns it, so that a lasting change ends by itself.

use serde::Deserialize;
use windward_forest::{Forest, MAX_MAGNITUDE, Options};
use windward_protocol::Quantity;

/// How anomalies and sick sensors are told: the `[detect]` table of the agent's configuration.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DetectConfig {
    /// Trees of the forest, 10 to 200. More are steadier and slower.
    pub trees: usize,
    /// Readings each tree remembers, 32 to 1024.
    pub sample_size: usize,
    /// Readings judged together, 1 to 32.
    pub shingle: usize,
    /// Score that opens an alert, on the AWS scale; with 256 readings a tree it can reach 8.
    pub threshold: f32,
    /// Score below which a reading counts towards the end of an alert.
    pub clear_below: f32,
    /// By how many standard deviations a value, or its change, must lie outside what the last ten minutes held. 0 asks for
    /// no more than a new extreme.
    pub margin: f32,
    /// Readings to learn from before anything is judged, at least 16.
    pub warm_up: u32,
    /// Seconds for which wind may hold one value exactly before the sensor is called stuck; 0 turns that off.
    pub stuck_after_s: u32,
    /// Polls in a row without a value before that is an alert, at least 1.
    pub no_data_after: u32,
}

impl Default for DetectConfig {
    fn default() -> Self {
        DetectConfig {
            trees: 50,
            sample_size: 256,
            shingle: 2,
            threshold: 2.5,
            clear_below: 1.8,
            margin: 2.5,
            warm_up: 120,
            stuck_after_s: 60,
            no_data_after: 5,
        }
    }
}

/// A setting of [`DetectConfig`] that cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum BadDetect {
    /// A number outside its limits.
    #[error("`{key}` is {value}, it must lie between {least} and {most}")]
    Range {
        /// The setting.
        key: &'static str,
        /// What it says.
        value: f64,
        /// Least value allowed.
        least: f64,
        /// Greatest value allowed.
        most: f64,
    },
    /// An alert could not end, or would end at once.
    #[error("`clear_below` ({clear_below}) must be less than `threshold` ({threshold})")]
    NoHysteresis {
        /// Setting.
        clear_below: f32,
        /// Setting.
        threshold: f32,
    },
}

impl DetectConfig {
    /// Checks all settings; the first that cannot be used is the error.
    pub fn check(&self) -> Result<(), BadDetect> {
        let top = f64::from(self.sample_size.max(1) as u32 + 1).log2();
        let limits = [
            ("trees", self.trees as f64, 10.0, 200.0),
            ("sample_size", self.sample_size as f64, 32.0, 1024.0),
            ("shingle", self.shingle as f64, 1.0, 32.0),
            ("threshold", f64::from(self.threshold), 1.0, top),
            ("clear_below", f64::from(self.clear_below), 0.8, top),
            ("margin", f64::from(self.margin), 0.0, 100.0),
            ("warm_up", f64::from(self.warm_up), 16.0, 100_000.0),
            ("stuck_after_s", f64::from(self.stuck_after_s), 0.0, 86_400.0),
            ("no_data_after", f64::from(self.no_data_after), 1.0, 100_000.0),
        ];
        for (key, value, least, most) in limits {
            if !(least..=most).contains(&value) {
                return Err(BadDetect::Range { key, value, least, most });
            }
        }
        if self.clear_below >= self.threshold {
            let (clear_below, threshold) = (self.clear_below, self.threshold);
            return Err(BadDetect::NoHysteresis { clear_below, threshold });
        }
        Ok(())
    }
}

/// What the detector thinks of one value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Opinion {
    /// Score on the AWS scale; `None` while the forest is learning, or right after an interruption.
    pub(super) score: Option<f64>,
    /// Why the value is strange; `None` when it is not.
    pub(super) strange: Option<Strange>,
}

/// What about a value is strange.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Strange {
    /// It lies outside what the channel held lately.
    Level {
        /// Least and greatest value, lately.
        held: (f64, f64),
    },
    /// It is farther from the value before than any was lately.
    Change {
        /// The value before.
        from: f64,
        /// Greatest fall (negative) and greatest rise from one reading to the next, lately.
        held: (f64, f64),
    },
}

/// How far a channel's recent past reaches back, ms, and in how many pieces it is kept.
const PAST_MS: u32 = 600_000;
const PIECES: u32 = 20;
/// The newest pieces do not yet count as past: what falls for half a minute must not make its own fall usual.
const TOO_NEW: usize = 2;
/// For sensors read every few minutes each piece has at least this many readings.
const MIN_PIECE: u32 = 6;

/// The detector of one channel.
#[derive(Clone, Debug)]
pub(super) struct Detector {
    config: DetectConfig,
    quantity: Quantity,
    forest: Forest,
    levels: Past,
    changes: Past,
    last: Option<f64>,
    dither: u64,
    /// Polls without a value since the last one.
    missed: u32,
}

impl Detector {
    /// A detector that has seen nothing. `config` has passed its check.
    pub(super) fn new(config: &DetectConfig, quantity: Quantity, interval_ms: u32, seed: u64) -> Self {
        let options = Options {
            dimensions: 2,
            shingle: config.shingle,
            trees: config.trees,
            sample_size: config.sample_size,
            time_decay: 0.1 / config.sample_size as f64,
            output_after: config.warm_up.min(config.sample_size as u32 / 4) as usize,
            seed,
        };
        #[allow(clippy::unwrap_used, reason = "the limits of `DetectConfig::check` lie within those of the forest")]
        let forest = Forest::new(options).unwrap();
        let past = Past::new((PAST_MS / PIECES / interval_ms.max(1)).max(MIN_PIECE));
        Detector {
            config: config.clone(),
            quantity,
            forest,
            levels: past.clone(),
            changes: past,
            last: None,
            dither: seed,
            missed: 0,
        }
    }

    /// Takes the next value and says what it thinks of it, by what it knew before.
    pub(super) fn observe(&mut self, value: f64) -> Opinion {
        self.resume();
        let floor = self.floor(value);
        let change = self.last.map(|last| value - last);
        let point = [self.number(value, floor), self.number(change.unwrap_or(0.0), floor)];
        // The forest refuses only what is no finite number: `number` gives none of those.
        let score = self.forest.score(&point).ok().flatten();
        let passes = score.is_some_and(|score| score >= f64::from(self.config.threshold));
        let strange = if passes { self.size_of(value, floor) } else { None };
        if self.forest.update(&point).is_ok() && strange.is_none() {
            self.levels.add(value);
            if let Some(change) = change {
                self.changes.add(change);
            }
        }
        self.last = Some(value);
        Opinion { score, strange }
    }

    /// A poll gave no value.
    pub(super) fn miss(&mut self) {
        self.missed = self.missed.saturating_add(1);
    }

    /// Standard deviation of the channel, lately.
    pub(super) fn spread(&self) -> f64 {
        self.levels.deviation()
    }

    /// Readings the recent past reaches back.
    pub(super) fn looks_back(&self) -> u32 {
        self.levels.readings.min(self.levels.span())
    }

    /// Before a value after a pause: no shingle and no change spans a long one, and after one longer than the recent past
    /// that past is learned anew. The wind may have become another meanwhile.
    fn resume(&mut self) {
        if self.missed as usize > self.config.shingle {
            self.forest.interrupt();
            self.last = None;
        }
        if self.missed > self.levels.span() {
            self.levels.clear();
            self.changes.clear();
        }
        self.missed = 0;
    }

    /// In which way the value is large enough to be strange.
    fn size_of(&self, value: f64, floor: f64) -> Option<Strange> {
        if self.levels.readings < self.config.warm_up {
            return None;
        }
        let margin = f64::from(self.config.margin);
        if let Some(held) = self.levels.left_by(value, margin, floor) {
            return Some(Strange::Level { held });
        }
        let from = self.last?;
        let held = self.changes.left_by(value - from, margin, floor)?;
        Some(Strange::Change { from, held })
    }

    /// Differences below this mean nothing in any channel of this kind. Dithered by it, a constant channel looks to the
    /// forest like one with a little noise, and the last digit of a register is no news.
    fn floor(&self, value: f64) -> f64 {
        match self.quantity {
            Quantity::WindSpeed => 0.1,
            _ => (0.005 * value.abs().max(self.levels.mean.abs())).max(1e-6),
        }
    }

    /// `value` dithered, as the forest takes it. What leaves the range of `f32` stays at its end: strange enough.
    fn number(&mut self, value: f64, floor: f64) -> f32 {
        self.dither = self.dither.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let unit = (self.dither >> 11) as f64 / (1u64 << 53) as f64;
        let most = f64::from(MAX_MAGNITUDE);
        (value + (unit - 0.5) * floor).clamp(-most, most) as f32
    }
}

/// The recent past of one number: least and greatest in pieces, so that it needs no memory of each reading, and mean and
/// variance that forget.
#[derive(Clone, Debug)]
struct Past {
    piece: u32,
    /// The newest last; at most `PIECES` and those too new.
    pieces: Vec<(f64, f64)>,
    /// Readings in the newest piece.
    filled: u32,
    /// Readings taken since the start or the last `clear`.
    readings: u32,
    mean: f64,
    variance: f64,
}

/// Readings over which mean and variance forget.
const MEMORY: u32 = 600;

impl Past {
    fn new(piece: u32) -> Self {
        Past { piece, pieces: Vec::new(), filled: 0, readings: 0, mean: 0.0, variance: 0.0 }
    }

    fn clear(&mut self) {
        *self = Past::new(self.piece);
    }

    fn add(&mut self, value: f64) {
        self.readings = self.readings.saturating_add(1);
        let weight = 1.0 / f64::from(self.readings.min(MEMORY));
        let off = value - self.mean;
        self.mean += weight * off;
        self.variance = (1.0 - weight) * (self.variance + weight * off * off);
        match self.pieces.last_mut() {
            Some((low, high)) if self.filled < self.piece => {
                (*low, *high) = (low.min(value), high.max(value));
                self.filled += 1;
            }
            _ => {
                if self.pieces.len() == PIECES as usize + TOO_NEW {
                    self.pieces.remove(0);
                }
                self.pieces.push((value, value));
                self.filled = 1;
            }
        }
    }

    /// Readings the past reaches back when it is full.
    fn span(&self) -> u32 {
        self.piece.saturating_mul(PIECES)
    }

    fn deviation(&self) -> f64 {
        self.variance.sqrt()
    }

    /// Least and greatest of the past, if `value` lies outside by more than `margin` standard deviations, or floors where
    /// those are greater.
    fn left_by(&self, value: f64, margin: f64, floor: f64) -> Option<(f64, f64)> {
        let old = self.pieces.len().saturating_sub(TOO_NEW);
        let past = if old == 0 { &self.pieces[..] } else { &self.pieces[..old] };
        let held = past.iter().copied().reduce(|(low, high), (l, h)| (low.min(l), high.max(h)))?;
        let beyond = (held.0 - value).max(value - held.1);
        (beyond > margin * self.deviation().max(floor)).then_some(held)
    }
}
