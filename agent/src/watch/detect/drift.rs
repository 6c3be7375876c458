//! Does the mean move far for how little the signal changes from one reading to the next? Pure.
//!
//! A sensor that ice or friction holds back is damped, and its recovery is large against its own liveliness; weather as
//! strong comes out of lively air.

use super::tail::{Care, Tail};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

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
    /// Mean and mean change of the last stretches, the newest last.
    stretches: VecDeque<(f64, f64)>,
    pub(super) tail: Tail,
}

impl Drift {
    pub(super) fn new(block: u32) -> Self {
        Drift {
            last: None,
            sum: 0.0,
            changes: 0.0,
            filled: 0,
            stretches: VecDeque::with_capacity(APART + BEFORE),
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
        (self.sum, self.changes, self.filled) = (0.0, 0.0, 0);
        self.stretches.push_back((to, change));
        if self.stretches.len() < APART + BEFORE {
            return None;
        }
        let usual = self.stretches.range(..BEFORE).map(|(_, change)| change).sum::<f64>() / BEFORE as f64;
        let (from, _) = self.stretches[BEFORE - 1];
        self.stretches.pop_front();
        Some(Moved { from, to, size: (to - from).abs() / usual.max(floor) })
    }

    /// Nothing is compared with what came before.
    pub(super) fn interrupt(&mut self) {
        (self.last, self.sum, self.changes, self.filled) = (None, 0.0, 0.0, 0);
        self.stretches.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stretch about `level` that changes by `change` from one reading to the next.
    fn stretch(drift: &mut Drift, level: f64, change: f64) -> Option<Moved> {
        let value = |at: u32| level + if at.is_multiple_of(2) { 0.5 } else { -0.5 } * change;
        (0..STRETCH).filter_map(|at| drift.observe(value(at), 1e-9)).last()
    }

    #[test]
    fn means_four_stretches_apart_are_compared_by_the_changes_before_the_first() {
        let mut drift = Drift::new(64);
        for nth in 0..7u8 {
            // Livelier later: that is no reason for it.
            let change = if nth < 4 { 1.0 } else { 5.0 };
            assert!(stretch(&mut drift, 10.0 * f64::from(nth), change).is_none(), "stretch {nth}");
        }
        let Moved { from, to, size } = stretch(&mut drift, 70.0, 5.0).unwrap();
        assert_eq!((from, to), (30.0, 70.0));
        assert!((33.0..=40.0).contains(&size), "{size}");
    }

    #[test]
    fn nothing_is_compared_across_an_interruption() {
        let mut drift = Drift::new(64);
        (0..7).for_each(|_| assert!(stretch(&mut drift, 0.0, 1.0).is_none()));
        drift.observe(0.5, 1e-9);
        drift.interrupt();
        (0..7).for_each(|_| assert!(stretch(&mut drift, 100.0, 1.0).is_none()));
        assert_eq!(stretch(&mut drift, 100.0, 1.0).map(|moved| moved.size), Some(0.0));
    }
}
