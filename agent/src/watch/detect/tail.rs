//! How large a statistic has to be before it is an event: learned from its own greatest values. Pure.
//!
//! The stream is cut into blocks, and the greatest value of each is kept. Greatest values of blocks follow a Gumbel
//! distribution when the statistic's tail falls off like an exponential or faster (E. J. Gumbel: Statistics of Extremes,
//! 1958; wind engineers set the fifty-year gust so). Its place and width come from quartiles, which a few faults among the
//! blocks do not move. The level is the one that is passed once in the return period.

use serde::{Deserialize, Serialize};

/// Blocks remembered.
const BLOCKS: usize = 128;
/// Blocks to see before there is a level.
const LEAST_BLOCKS: usize = 5;
/// The return period is at most this many times what has been seen: from an hour nobody knows what two months hold.
/// False alarms still end: of N blocks they are at most ln(N) / CAUTION.
const CAUTION: f64 = 30.0;
/// What more than this share of the blocks reached is no event, however the rest lies: switches that are thrown now and
/// then.
const USUAL_SHARE: f64 = 0.07;

/// The tail of a statistic that is never negative.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Tail {
    /// Greatest value of each of the last blocks; a ring.
    blocks: Vec<f32>,
    next: usize,
    greatest: f32,
    filled: u32,
    /// Blocks seen so far.
    seen: u32,
    /// Values in a block.
    block: u32,
    level: f32,
}

impl Tail {
    pub(super) fn new(block: u32) -> Self {
        Tail {
            blocks: Vec::with_capacity(BLOCKS),
            next: 0,
            greatest: 0.0,
            filled: 0,
            seen: 0,
            block,
            level: f32::INFINITY,
        }
    }

    /// The level that is an event; infinite while the tail is learned.
    pub(super) fn level(&self) -> f64 {
        f64::from(self.level)
    }

    /// Takes a value. `log_return` is the logarithm of the return period counted in blocks; no level is below `least`.
    pub(super) fn take(&mut self, value: f64, log_return: f64, least: f64) {
        self.greatest = self.greatest.max(value as f32);
        self.filled += 1;
        if self.filled < self.block {
            return;
        }
        if self.blocks.len() < BLOCKS {
            self.blocks.push(self.greatest);
        } else {
            self.blocks[self.next] = self.greatest;
            self.next = (self.next + 1) % BLOCKS;
        }
        (self.greatest, self.filled) = (0.0, 0);
        self.seen = self.seen.saturating_add(1);
        if self.blocks.len() >= LEAST_BLOCKS {
            self.level = self.fit(log_return.min((CAUTION * f64::from(self.seen)).ln())).max(least) as f32;
        }
    }

    fn fit(&self, log_return: f64) -> f64 {
        let mut sorted = [0f32; BLOCKS];
        let sorted = &mut sorted[..self.blocks.len()];
        sorted.copy_from_slice(&self.blocks);
        sorted.sort_unstable_by(f32::total_cmp);
        let at = |share: f64| f64::from(sorted[(share * (sorted.len() - 1) as f64) as usize]);
        let (low, median, high) = (at(0.25), at(0.5), at(0.75));
        // Of a Gumbel distribution of width 1 the quartiles lie at -0.327, 0.367 and 1.246.
        let width = ((high - low) / 1.5725).max((high - median) / 0.8794).max(0.05 * median);
        (median + width * (log_return - 0.3665)).max(1.1 * at(1.0 - USUAL_SHARE))
    }
}
