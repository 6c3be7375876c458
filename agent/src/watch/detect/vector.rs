//! Is this row like the rows before? A Random Cut Forest over all judged channels of a device, one point a row. Pure.
//!
//! Each channel gives three numbers: how far its value is from its mean, how far from the value before, and how much it
//! has moved lately, each in units of what is usual for the channel. So channels of any unit stand side by side.

use serde::{Deserialize, Serialize};
use windward_forest::{Attribution, Forest, Options};

/// Numbers a channel gives.
const EACH: usize = 3;
/// Readings the usual is learned over, and those that are lately.
const LONG: f64 = 1_000.0;
const LATELY: f64 = 16.0;
/// A distance or a change counts as at most this many times the usual one, once so many readings were seen.
const MOST: f64 = 20.0;
const SETTLING: f64 = 30.0;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Vector {
    /// A part of the stored state by itself; `None` in what was just read (`kept.rs`).
    #[serde(skip)]
    pub(super) forest: Option<Forest>,
    channels: Vec<Usual>,
    #[serde(skip)]
    point: Vec<f32>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Usual {
    seen: f64,
    last: f64,
    mean: f64,
    deviation: f64,
    change: f64,
    lately: f64,
}

impl Vector {
    pub(super) fn new(channels: usize, trees: usize, sample_size: usize, seed: u64) -> Self {
        let options = Options {
            dimensions: EACH * channels,
            trees,
            sample_size,
            time_decay: 0.02 / sample_size as f64,
            output_after: 64,
            seed,
            ..Options::default()
        };
        #[allow(clippy::unwrap_used, reason = "the limits of `DetectConfig::check` lie within those of the forest")]
        let forest = Forest::new(options).unwrap();
        Vector { forest: Some(forest), channels: vec![Usual::default(); channels], point: Vec::new() }
    }

    /// Takes a row and scores it by what was known before. A channel without a value is filled in by the forest; a row
    /// without any is no row.
    pub(super) fn observe(&mut self, row: &[Option<f64>]) -> Option<f64> {
        if row.iter().all(Option::is_none) {
            return None;
        }
        self.point.clear();
        for (usual, value) in self.channels.iter_mut().zip(row) {
            let numbers = value.map_or([f64::NAN; EACH], |value| usual.take(value));
            self.point.extend(numbers.map(super::number));
        }
        let forest = self.forest.as_mut()?;
        // The forest refuses only numbers that are too large: `number` gives none.
        if self.point.iter().any(|number| number.is_nan()) {
            return forest.observe_with_gaps(&self.point).ok().flatten();
        }
        forest.observe(&self.point).ok().flatten()
    }

    /// Whether it knows what is usual for a channel: without that the points of a stored forest mean nothing.
    pub(super) fn knows_the_usual(&self) -> bool {
        self.channels.iter().any(|usual| usual.seen > 0.0)
    }

    /// Which channel adds most to the score of the row taken last, and its share.
    pub(super) fn foremost(&mut self) -> Option<(usize, f64)> {
        if self.point.iter().any(|number| number.is_nan()) {
            return None;
        }
        let mut shares = vec![Attribution::default(); self.point.len()];
        let score = self.forest.as_mut()?.attribution(&self.point, &mut shares).ok().flatten()?;
        let sum = |shares: &[Attribution]| shares.iter().map(|share| share.above + share.below).sum::<f64>();
        let of_channels = shares.chunks(EACH).map(sum).enumerate();
        let (channel, most) = of_channels.max_by(|a, b| a.1.total_cmp(&b.1))?;
        (score > 0.0).then_some((channel, most / score))
    }
}

impl Usual {
    fn take(&mut self, value: f64) -> [f64; EACH] {
        let first = self.seen == 0.0;
        if first {
            (self.last, self.mean) = (value, value);
        }
        self.seen += 1.0;
        let (mut off, mut change) = (value - self.mean, value - self.last);
        self.last = value;
        let floor = (super::RELATIVE_FLOOR * self.mean.abs()).max(1e-9);
        if self.seen > SETTLING {
            // What is far beyond the usual is strange enough, and moves the usual no farther.
            let (most_off, most_change) = (MOST * self.deviation.max(floor), MOST * self.change.max(floor));
            // Not `clamp`, which panics where a restored state makes no sense.
            (off, change) = (off.max(-most_off).min(most_off), change.max(-most_change).min(most_change));
        }
        let slow = 1.0 / self.seen.min(LONG);
        self.mean += slow * off;
        self.deviation += slow * (off.abs() - self.deviation);
        self.change += slow * (change.abs() - self.change);
        self.lately += (change.abs() - self.lately) / self.seen.min(LATELY);
        let (deviation, usual) = (self.deviation.max(floor), self.change.max(floor));
        [off / deviation, change / usual, ((self.lately + 0.1 * usual) / usual).ln()]
    }
}
