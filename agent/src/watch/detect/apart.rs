//! Two channels that measure the same, or nearly: does one leave the other? Pure.

use super::scale::Scale;
use super::tail::{Care, Tail};
use serde::{Deserialize, Serialize};

/// Readings the relation of two channels is learned over.
const MEMORY: f64 = 3_000.0;
/// Readings before a residual is taken.
const SETTLING: u32 = 60;
/// Least correlation of two channels that are compared.
const RELATED: f64 = 0.9;
/// A residual below this share of the channel's standard deviation matters to nobody.
const MATTERS: f64 = 0.15;
/// A residual this many times the usual one teaches nothing.
const FAULT: f64 = 50.0;
/// Readings the residual is averaged over.
const MEANS: [u32; 3] = [1, 6, 24];

/// How far a channel is from what its partner makes one expect.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::watch) struct Gap {
    /// Beyond its level: 1 is at the level.
    pub(in crate::watch) ratio: f64,
    /// What was expected, now.
    pub(in crate::watch) expected: f64,
    /// Mean residual.
    pub(in crate::watch) by: f64,
    /// Its usual magnitude.
    pub(in crate::watch) usual: f64,
    /// Readings of the mean.
    pub(in crate::watch) over: u32,
}

/// The relation `value = a + b * partner`, learned, and the residual's tails.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Apart {
    seen: u32,
    mean: (f64, f64),
    variance: (f64, f64),
    covariance: f64,
    residual: Scale,
    means: Vec<(f64, Scale, Tail)>,
    last: f64,
    step: (Scale, Tail),
    /// Pairs in a row that were too far off to learn from.
    refused: u32,
    block: u32,
}

impl Apart {
    pub(super) fn new(block: u32) -> Self {
        let mean = |&over: &u32| {
            let short = match over {
                1 => 200,
                6 => 500,
                _ => 2_000,
            };
            (0.0, Scale::new((short, 2_000), 3.0), Tail::new(block, Care::Sure))
        };
        Apart {
            seen: 0,
            mean: (0.0, 0.0),
            variance: (0.0, 0.0),
            covariance: 0.0,
            residual: Scale::new((3_000, 3_000), 3.0),
            means: MEANS.iter().map(mean).collect(),
            last: 0.0,
            step: (Scale::new((60, 600), 4.0), Tail::new(block, Care::Sure)),
            refused: 0,
            block,
        }
    }

    fn correlation(&self) -> f64 {
        let product = self.variance.0 * self.variance.1;
        if product > 0.0 { self.covariance / product.sqrt() } else { 0.0 }
    }

    /// Takes a pair; gives how far they are apart if they are related.
    pub(super) fn observe(&mut self, value: f64, partner: f64, floor: f64, log_return: f64) -> Option<Gap> {
        let slope = if self.variance.1 > 0.0 { self.covariance / self.variance.1 } else { 0.0 };
        let expected = self.mean.0 + slope * (partner - self.mean.1);
        let residual = value - expected;
        let mut best = None;
        if self.seen > SETTLING {
            best = self.residual(residual, expected, floor, log_return);
        }
        let told = best.is_some_and(|gap| gap.ratio > 1.0);
        self.learn(value, partner, residual, floor, told);
        best.filter(|_| self.correlation() >= RELATED)
    }

    /// What stands out in the residual. What is told of teaches nothing: a pair that goes on as it is must stay strange.
    fn residual(&mut self, residual: f64, expected: f64, floor: f64, log_return: f64) -> Option<Gap> {
        let least = (MATTERS * self.variance.0.sqrt()).max(floor);
        let mut best: Option<Gap> = None;
        let mut sizes = [0.0; MEANS.len() + 1];
        for (&over, (mean, ..)) in MEANS.iter().zip(&mut self.means) {
            *mean += (residual - *mean) / f64::from(over.min(self.seen - SETTLING));
        }
        let step = residual - self.last;
        self.last = residual;
        let means = MEANS.iter().zip(&self.means).map(|(&over, (mean, scale, tail))| (over, *mean, scale, tail));
        let all = means.chain([(0, step, &self.step.0, &self.step.1)]);
        for ((over, by, scale, tail), size) in all.zip(&mut sizes) {
            let usual = scale.usual().max(floor);
            *size = if scale.settled() { by.abs() / usual } else { 0.0 };
            // A difference that nobody would notice among the channel's own ups and downs is none.
            let ratio = *size / tail.level() * (by.abs() / least).min(1.0);
            if best.is_none_or(|best| ratio > best.ratio) {
                best = Some(Gap { ratio, expected, by, usual, over });
            }
        }
        if best.is_none_or(|best| best.ratio <= 1.0) {
            let means = self.means.iter_mut().map(|(mean, scale, tail)| (*mean, scale, tail));
            for ((by, scale, tail), size) in means.chain([(step, &mut self.step.0, &mut self.step.1)]).zip(sizes) {
                tail.take(size, log_return, 4.0);
                scale.take(by, floor);
            }
        }
        best
    }

    /// Learns less from a pair the farther off it is, and nothing from one that is told of or a plain fault. When nothing
    /// but faults came for as long as the relation is learned over, a sensor was changed: the relation is learned anew.
    fn learn(&mut self, value: f64, partner: f64, residual: f64, floor: f64, told: bool) {
        let mut weight = 1.0 / f64::from(self.seen.saturating_add(1)).min(MEMORY);
        if self.residual.settled() && self.seen > 200 {
            let usual = self.residual.usual().max(floor);
            if told || residual.abs() > FAULT * usual {
                self.refused += 1;
                if f64::from(self.refused) > MEMORY {
                    *self = Apart::new(self.block);
                }
                return;
            }
            if residual.abs() > 3.0 * usual {
                weight *= 3.0 * usual / residual.abs();
            }
        }
        self.refused = 0;
        self.seen = self.seen.saturating_add(1);
        let off = (value - self.mean.0, partner - self.mean.1);
        self.mean.0 += weight * off.0;
        self.mean.1 += weight * off.1;
        let blend = |old: f64, new: f64| (1.0 - weight) * (old + weight * new);
        self.variance = (blend(self.variance.0, off.0 * off.0), blend(self.variance.1, off.1 * off.1));
        self.covariance = blend(self.covariance, off.0 * off.1);
        if self.seen > SETTLING {
            self.residual.take(residual, floor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two sensors in the same wind: what they read of a reading's number.
    fn wind(nth: u64) -> (f64, f64) {
        let noise = |salt: u64| {
            let mut mixed = (nth ^ salt << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            mixed ^= mixed >> 29;
            (mixed.wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 44) as f64 / f64::from(1 << 20) - 0.5
        };
        let wind = 8.0 + 3.0 * (nth as f64 / 40.0).sin() + noise(1);
        (wind + 0.2 * noise(2), 1.1 * wind + 0.2 * noise(3))
    }

    /// Readings from `from` on, the first sensor off by `by`; the numbers of those at which the pair was told of.
    fn told(apart: &mut Apart, readings: std::ops::Range<u64>, by: f64) -> Vec<u64> {
        let mut told = vec![];
        for nth in readings {
            let (value, partner) = wind(nth);
            let gap = apart.observe(value + by, partner, 0.006, 9.0);
            told.extend(gap.filter(|gap| gap.ratio > 1.0).map(|_| nth));
        }
        told
    }

    fn learned() -> Apart {
        let mut apart = Apart::new(64);
        assert_eq!(told(&mut apart, 0..6_000, 0.0), Vec::<u64>::new(), "they agree");
        apart
    }

    #[test]
    fn a_sensor_that_is_off_is_told_of_at_once_and_for_as_long_as_it_is() {
        let mut apart = learned();
        let off = told(&mut apart, 6_000..8_500, -1.5);
        assert_eq!(off.first(), Some(&6_000));
        assert!(off.len() > 2_490, "what is told of is not learned: {} of 2,500", off.len());
        let after = told(&mut apart, 8_500..9_500, 0.0);
        assert!(after.iter().all(|nth| *nth < 8_620), "and ends soon after it: {after:?}");
    }

    #[test]
    fn a_sensor_that_was_changed_is_learned_anew() {
        let mut apart = learned();
        told(&mut apart, 6_000..9_100, -1.5);
        assert_eq!(told(&mut apart, 9_100..12_000, -1.5), Vec::<u64>::new());
    }

    #[test]
    fn a_difference_that_nobody_would_notice_is_none() {
        let mut apart = learned();
        assert_eq!(told(&mut apart, 6_000..7_000, 0.05), Vec::<u64>::new());
    }

    #[test]
    fn sensors_that_have_nothing_to_do_with_each_other_are_not_compared() {
        let mut apart = Apart::new(64);
        let gaps = (0..6_000).filter_map(|nth| apart.observe(wind(nth).0, wind(nth * 7 + 13).1, 0.006, 9.0));
        // Until the relation is known there may be one by chance; it is never told of.
        assert!(gaps.skip(60).all(|gap| gap.ratio <= 1.0));
    }
}
