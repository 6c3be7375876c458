//! Does the mean move far for how little the signal changes from one reading to the next? Pure.
//!
//! A sensor that ice or friction holds back is damped, and its recovery is large against its own liveliness; weather as
//! strong comes out of lively air.

use super::tail::{Care, Tail};
use serde::{Deserialize, Serialize};

/// Readings in a stretch.
const STRETCH: u32 = 64;
/// Stretches between two whose means are compared.
const APART: usize = 4;
/// Stretches up to the first of the two over which the usual change is taken.
const BEFORE: usize = 4;
/// Readings between the two.
pub(super) const WITHIN: u32 = STRETCH * APART as u32;
/// So many usual changes are a drift at least: about what a random walk covers between the two means.
pub(super) const FAR: f64 = 20.0;

/// How far a mean moved.
pub(super) struct Moved {
    pub(super) from: f64,
    pub(super) to: f64,
    /// In usual changes.
    pub(super) size: f64,
}

/// The last stretches of a signal, and the tail of how far their means move.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Drift {
    last: Option<f64>,
    sum: f64,
    /// Sum of the magnitudes of the changes.
    changes: f64,
    filled: u32,
    tainted: bool,
    /// Mean and mean change of the last stretches; `None` where something was told of.
    stretches: Vec<Option<(f64, f64)>>,
    pub(super) tail: Tail,
}

impl Drift {
    pub(super) fn new(block: u32) -> Self {
        Drift {
            last: None,
            sum: 0.0,
            changes: 0.0,
            filled: 0,
            tainted: false,
            stretches: Vec::with_capacity(APART + BEFORE),
            tail: Tail::new((block / 8).max(2), Care::Wary),
        }
    }

    /// Takes a value; gives how far the mean moved when a stretch is full.
    pub(super) fn observe(&mut self, value: f64, floor: f64) -> Option<Moved> {
        self.changes += self.last.replace(value).map_or(0.0, |last| (value - last).abs());
        self.sum += value;
        self.filled += 1;
        if self.filled < STRETCH {
            return None;
        }
        let readings = f64::from(self.filled);
        let (to, change) = (self.sum / readings, self.changes / readings);
        let tainted = std::mem::take(&mut self.tainted);
        (self.sum, self.changes, self.filled) = (0.0, 0.0, 0);
        self.stretches.push((!tainted).then_some((to, change)));
        if self.stretches.len() < APART + BEFORE {
            return None;
        }
        let before: Vec<(f64, f64)> = self.stretches[..BEFORE].iter().copied().flatten().collect();
        let from = self.stretches[BEFORE - 1];
        self.stretches.remove(0);
        let (from, _) = from?;
        let usual = before.iter().map(|(_, change)| change).sum::<f64>() / before.len() as f64;
        Some(Moved { from, to, size: (to - from).abs() / usual.max(floor) })
    }

    /// Something is told of in this stretch: what comes after is not compared with it.
    pub(super) fn taint(&mut self) {
        self.tainted = true;
    }

    pub(super) fn interrupt(&mut self) {
        (self.last, self.sum, self.changes, self.filled) = (None, 0.0, 0.0, 0);
        self.stretches.clear();
    }
}
