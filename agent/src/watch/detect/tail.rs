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
/// What more than this share of the blocks reached is no event, however the rest lies: switches that are thrown now and
/// then.
const USUAL_SHARE: f64 = 0.07;

/// What is thought of a level while little has been seen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Care {
    /// Weather has surprises, and there are many statistics.
    Wary,
    /// For two sensors that measure the same. In health only noise parts them, and a fault parts them far: the return period
    /// is the asked one from the first level on.
    Sure,
    /// For the one statistic that finds a changed machine within minutes of its first start.
    Bold,
}

impl Care {
    /// The return period is at most so many times what has been seen: from an hour nobody knows what two months hold.
    /// False alarms still end: of N blocks they are at most ln(N) over this.
    fn caution(self) -> f64 {
        match self {
            Care::Wary => 30.0,
            Care::Sure => f64::INFINITY,
            Care::Bold => 3.0,
        }
    }

    /// A level from N blocks lies by so much over N farther out: quartiles of a few blocks are not those of all. Without
    /// it the level from ten blocks is passed twice as often as it says.
    fn few(self) -> f64 {
        match self {
            Care::Wary | Care::Sure => 3.0,
            Care::Bold => 0.0,
        }
    }
}

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
    care: Care,
    level: f32,
}

impl Tail {
    pub(super) fn new(block: u32, care: Care) -> Self {
        Tail {
            blocks: Vec::with_capacity(BLOCKS),
            next: 0,
            greatest: 0.0,
            filled: 0,
            seen: 0,
            block,
            care,
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
            self.level = self.fit(log_return.min((self.care.caution() * f64::from(self.seen)).ln())).max(least) as f32;
        }
    }

    fn fit(&self, log_return: f64) -> f64 {
        let mut sorted = [0f32; BLOCKS];
        let sorted = &mut sorted[..self.blocks.len()];
        sorted.copy_from_slice(&self.blocks);
        // Numbers that are not negative have the order of their bits.
        sorted.sort_unstable_by_key(|value| value.to_bits());
        let (low, median, high) = (quantile(sorted, 0.25), quantile(sorted, 0.5), quantile(sorted, 0.75));
        // Of a Gumbel distribution of width 1 the quartiles lie at -0.327, 0.367 and 1.246.
        let width = ((high - low) / 1.5725).max((high - median) / 0.8794).max(0.05 * median);
        let few = 1.0 + self.care.few() / sorted.len() as f64;
        let usual = f64::from(sorted[((1.0 - USUAL_SHARE) * (sorted.len() - 1) as f64) as usize]);
        (median + few * width * (log_return - 0.3665)).max(1.1 * usual)
    }
}

/// The value below which a share of all lies, not of those seen alone: of five blocks the second is not the first quarter's
/// end (W. Weibull, 1939).
fn quantile(sorted: &[f32], share: f64) -> f64 {
    let place = (share * (sorted.len() + 1) as f64 - 1.0).clamp(0.0, (sorted.len() - 1) as f64);
    let (below, part) = (place as usize, place.fract());
    let above = (below + 1).min(sorted.len() - 1);
    f64::from(sorted[below]) * (1.0 - part) + f64::from(sorted[above]) * part
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seeded numbers between 0 and 1, without the ends.
    fn uniform(seed: u64) -> impl Iterator<Item = f64> {
        (1u64..).map(move |nth| {
            let mut mixed = (seed << 32 ^ nth).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            mixed ^= mixed >> 31;
            mixed = mixed.wrapping_mul(0xbf58_476d_1ce4_e5b9);
            ((mixed >> 12) as f64 + 0.5) / (1u64 << 52) as f64
        })
    }

    /// Numbers whose tail falls off like an exponential.
    fn exponential(seed: u64) -> impl Iterator<Item = f64> {
        uniform(seed).map(|share| -share.ln())
    }

    /// How often any of `count` values passes the level that was there before it, and the level at the end.
    fn passes(mut tail: Tail, values: impl Iterator<Item = f64>) -> (usize, f64) {
        let mut passed = 0;
        for value in values {
            passed += usize::from(value > tail.level());
            tail.take(value, 9.0, 0.0);
        }
        (passed, tail.level())
    }

    #[test]
    fn a_cold_start_passes_the_level_as_rarely_as_it_says() {
        // 20 blocks of 64 each: at most ln(20) / 30 a run are due, and quartiles of few blocks are not exact.
        let runs = 400;
        let passed: usize =
            (0..runs).map(|seed| passes(Tail::new(64, Care::Wary), exponential(seed).take(1_280)).0).sum();
        assert!(passed <= runs as usize / 6, "{passed} in {runs}");
    }

    #[test]
    fn the_level_comes_near_the_one_that_is_passed_once_in_the_return_period() {
        // The greatest of 64 passes ln(64) + 9 once in e^9 blocks.
        for seed in 0..20 {
            let (_, level) = passes(Tail::new(64, Care::Wary), exponential(seed).take(64 * 600));
            let due = 64f64.ln() + 9.0;
            assert!((0.75..1.35).contains(&(level / due)), "{level} where {due} is due");
        }
    }

    #[test]
    fn a_few_faults_among_the_blocks_move_the_level_little() {
        let faulty = |nth: usize, value: f64| if nth % 1_600 == 800 { 200.0 } else { value };
        let (_, clean) = passes(Tail::new(64, Care::Wary), exponential(3).take(12_800));
        let values = exponential(3).take(12_800).enumerate().map(|(nth, value)| faulty(nth, value));
        let (_, level) = passes(Tail::new(64, Care::Wary), values);
        assert!((0.9..1.25).contains(&(level / clean)), "{level} with faults, {clean} without");
    }

    #[test]
    fn what_many_blocks_reach_is_no_event() {
        // A switch that is thrown once in five blocks.
        let values = exponential(4).take(12_800).enumerate();
        let thrown = values.map(|(nth, value)| if nth % 320 == 100 { 60.0 } else { value });
        let (_, level) = passes(Tail::new(64, Care::Wary), thrown);
        assert!(level > 60.0, "{level}");
    }

    #[test]
    fn quantiles_lie_between_the_values_and_never_outside() {
        let sorted = [1.0, 2.0, 4.0, 8.0, 16.0];
        for (share, expected) in [(0.25, 1.5), (0.5, 4.0), (0.75, 12.0), (0.01, 1.0), (0.99, 16.0)] {
            assert_eq!(quantile(&sorted, share), expected, "at {share}");
        }
        assert_eq!(quantile(&[3.0], 0.25), 3.0);
    }
}
