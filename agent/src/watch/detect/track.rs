//! What one signal does by itself: jumps, shifts and drifts of its mean, bursts of noise. Each is a number that is usually
//! about 1 and grows with the event, compared with its own tail. Pure; readings are counted, time does not enter.

use super::BEYOND;
use super::drift::{self, Drift, Moved};
use super::scale::Scale;
use super::tail::{Care, Tail};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// What a signal did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::watch) enum Act {
    /// It changed by more than it does, within some readings.
    Jump {
        /// Readings.
        within: u32,
        /// The value then.
        from: f64,
    },
    /// The mean of some readings moved by more than it does.
    Shift {
        /// Readings between the two means.
        within: u32,
        /// The mean then.
        from: f64,
        /// The mean now.
        to: f64,
    },
    /// Its mean moved far for how little it changes from one reading to the next.
    Drift {
        /// Readings between the two means.
        within: u32,
        /// The mean then.
        from: f64,
        /// The mean now.
        to: f64,
    },
    /// Its changes are larger than they are.
    Noise {
        /// Readings.
        over: u32,
        /// How many times larger.
        times: f64,
    },
}

/// An act and how far beyond its level it is: 1 is at the level.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::watch) struct Found {
    pub(in crate::watch) act: Act,
    pub(in crate::watch) ratio: f64,
}

const JUMPS: [usize; 3] = [1, 4, 16];
/// Readings in a mean, and means between two that are compared.
const SHIFTS: [(u32, usize); 2] = [(16, 4), (32, 8)];
/// In means a value counts as at most so many usual changes away from the one before.
const MOST_CHANGES: f64 = 50.0;
const NOISES: [u32; 2] = [16, 64];
/// Least size, in usual ones, of a jump from one reading to the next, and of one within several.
const LEAST_JUMP: f64 = 5.0;
const LEAST_LATER_JUMP: f64 = 6.0;
/// Of a shift, and of one between the means of [`STEP`]: of those each has most of its readings in common with the last.
const LEAST_SHIFT: f64 = 5.0;
const LEAST_STEP: f64 = 4.0;
/// Of noise.
const LEAST_NOISE: f64 = 2.0;
/// A tail takes an exponential fall for granted. Changes from one reading to the next fall off faster, though not as fast
/// as normal ones, of which the square would be exponential: to this power they fit.
const JUMP_POWER: f64 = 1.5;
/// Noise must be this many times farther beyond its level than the rest: gusty wind is a little of it.
const NOISE_LATER: f64 = 1.2;
/// The mean of so many readings is compared with the mean of so many before them, at every reading.
const STEP: (usize, usize) = (10, 60);

/// What one signal has done so far.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Track {
    /// The last values, the newest last.
    recent: VecDeque<f64>,
    jumps: Vec<(Scale, Tail)>,
    shifts: Vec<Shift>,
    drift: Drift,
    step: (Scale, Tail),
    change: Scale,
    /// Running means of the changes' magnitudes.
    noises: Vec<(f64, Tail)>,
    changes: u32,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Shift {
    sum: f64,
    filled: u32,
    /// Something was told of within the mean that is being made.
    tainted: bool,
    /// The last means; `None` where something was told of: what comes after is not compared with that.
    means: Vec<Option<f64>>,
    scale: Scale,
    tail: Tail,
}

impl Track {
    /// A track that has seen nothing. `block`: readings in a block of the tails. `care`: what is thought of a mean far from
    /// those before.
    pub(super) fn new(block: u32, care: Care) -> Self {
        Track {
            recent: VecDeque::with_capacity(STEP.0 + STEP.1),
            jumps: JUMPS.iter().map(|_| (Scale::new((60, 600), 4.0), Tail::new(block, Care::Wary))).collect(),
            shifts: SHIFTS
                .iter()
                .map(|&(_, apart)| Shift {
                    sum: 0.0,
                    filled: 0,
                    tainted: false,
                    means: Vec::with_capacity(apart),
                    scale: Scale::new((20, 160), 3.0),
                    tail: Tail::new((block / 8).max(2), Care::Wary),
                })
                .collect(),
            drift: Drift::new(block),
            step: (Scale::new((1_500, 1_500), 4.0), Tail::new(block, care)),
            change: Scale::new((2_000, 2_000), 4.0),
            noises: NOISES.iter().map(|_| (0.0, Tail::new(block, Care::Wary))).collect(),
            changes: 0,
        }
    }

    /// Takes a value; gives what stands out farthest, even below its level. `floor` is the smallest change that means
    /// anything.
    pub(super) fn observe(&mut self, value: f64, floor: f64, log_return: f64) -> Option<Found> {
        let tame = self.tame(value, floor);
        let mut best: Option<Found> = None;
        let mut consider = |act: Act, size: f64, tail: &mut Tail, least: f64| {
            let (power, later) = match act {
                Act::Jump { within: 1, .. } => (JUMP_POWER, 1.0),
                Act::Noise { .. } => (1.0, NOISE_LATER),
                _ => (1.0, 1.0),
            };
            let size = size.powf(power);
            let ratio = (size / tail.level()).powf(1.0 / power) / later;
            tail.take(size, log_return, least.powf(power));
            // A jump from one reading to the next that says enough is not told as one within several.
            let plain = |found: Found| matches!(found.act, Act::Jump { within: 1, .. }) && found.ratio >= 2.0;
            if best.is_none_or(|best| ratio > best.ratio && !plain(best)) {
                best = Some(Found { act, ratio });
            }
        };
        for (&lag, (scale, tail)) in JUMPS.iter().zip(&mut self.jumps) {
            let Some(&from) = self.recent.len().checked_sub(lag).and_then(|at| self.recent.get(at)) else { continue };
            let change = value - from;
            if scale.settled() {
                let least = if lag == 1 { LEAST_JUMP } else { LEAST_LATER_JUMP };
                consider(Act::Jump { within: lag as u32, from }, change.abs() / scale.usual().max(floor), tail, least);
            }
            scale.take(change, floor);
        }
        if let Some(&last) = self.recent.back() {
            let change = (value - last).abs();
            self.changes = self.changes.saturating_add(1);
            let usual = self.change.usual().max(floor);
            for (&over, (mean, tail)) in NOISES.iter().zip(&mut self.noises) {
                let counted = if self.changes > 60 { change.min(12.0 * usual) } else { change };
                *mean += (counted - *mean) / f64::from(self.changes.min(over));
                if self.changes > 60 {
                    let times = *mean / usual;
                    consider(Act::Noise { over, times }, times, tail, LEAST_NOISE);
                }
            }
            self.change.take(change, floor);
        }
        for (&(length, apart), shift) in SHIFTS.iter().zip(&mut self.shifts) {
            shift.sum += tame;
            shift.filled += 1;
            if shift.filled < length {
                continue;
            }
            let to = shift.sum / f64::from(length);
            let tainted = std::mem::take(&mut shift.tainted);
            (shift.sum, shift.filled) = (0.0, 0);
            let before = (shift.means.len() == apart).then(|| shift.means.remove(0));
            if let Some(Some(from)) = before {
                if shift.scale.settled() {
                    let size = (to - from).abs() / shift.scale.usual().max(floor);
                    let within = length * apart as u32;
                    consider(Act::Shift { within, from, to }, size, &mut shift.tail, LEAST_SHIFT);
                }
                shift.scale.take(to - from, floor);
            }
            shift.means.push((!tainted).then_some(to));
        }
        if let Some(Moved { from, to, size }) = self.drift.observe(tame, floor) {
            consider(Act::Drift { within: drift::WITHIN, from, to }, size, &mut self.drift.tail, drift::FAR);
        }
        self.recent.push_back(tame);
        if self.recent.len() > STEP.0 + STEP.1 {
            self.recent.pop_front();
        }
        if self.recent.len() == STEP.0 + STEP.1 {
            let mean =
                |values: std::collections::vec_deque::Iter<'_, f64>, count: usize| values.sum::<f64>() / count as f64;
            let from = mean(self.recent.range(..STEP.1), STEP.1);
            let to = mean(self.recent.range(STEP.1..), STEP.0);
            let (scale, tail) = &mut self.step;
            if scale.settled() {
                let size = (to - from).abs() / scale.usual().max(floor);
                consider(Act::Shift { within: STEP.0 as u32, from, to }, size, tail, LEAST_STEP);
            }
            scale.take(to - from, floor);
        }
        if best.is_some_and(|best| best.ratio > 1.0) {
            self.shifts.iter_mut().for_each(|shift| shift.tainted = true);
        }
        if best.is_some_and(|best| best.ratio > BEYOND) {
            // It would be told of once more, as a drift from before it to after.
            self.drift.interrupt();
        }
        best
    }

    /// The value as it enters means: one absurd reading must not be found again in each of them.
    fn tame(&self, value: f64, floor: f64) -> f64 {
        match self.recent.back() {
            Some(&last) if self.change.settled() => {
                let most = MOST_CHANGES * self.change.usual().max(floor);
                // Not `clamp`, which panics where a restored state makes no sense.
                value.max(last - most).min(last + most)
            }
            _ => value,
        }
    }

    /// The signal was interrupted: nothing is compared across the gap.
    pub(super) fn interrupt(&mut self) {
        self.recent.clear();
        for shift in &mut self.shifts {
            (shift.sum, shift.filled) = (0.0, 0);
            shift.means.clear();
        }
        self.drift.interrupt();
    }
}

#[cfg(test)]
mod tests;
