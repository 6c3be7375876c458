//! Which points a tree keeps: a reservoir in which recent points weigh more.
//!
//! Point number i has weight `e^(time_decay * i)`. Drawing without replacement by such weights is keeping the points of
//! least key `ln(-ln u) - time_decay * i`, u uniform in (0, 1) (Efraimidis, Spirakis: "Weighted random sampling with
//! a reservoir", 2006, in logarithms so that no weight overflows).

use crate::log::ln;
use crate::random::Random;
use crate::tree::{Node, Tree};
use alloc::collections::BinaryHeap;
use core::cmp::Ordering;

#[derive(Clone, Debug)]
pub(crate) struct Sampler {
    /// The points kept, the next to go on top. At most `capacity`.
    kept: BinaryHeap<Kept>,
    capacity: usize,
    time_decay: f64,
    random: Random,
}

#[derive(Clone, Debug)]
struct Kept {
    key: f64,
    leaf: Node,
}

impl Sampler {
    pub(crate) fn new(capacity: usize, time_decay: f64, seed: u64) -> Self {
        let kept = BinaryHeap::with_capacity(capacity);
        Sampler { kept, capacity, time_decay, random: Random::new(seed) }
    }

    /// Offers the `number`th point of the stream to `tree`, which takes it, perhaps in exchange for another, or not.
    pub(crate) fn offer(&mut self, number: u64, point: &[f32], tree: &mut Tree) {
        let key = ln(-ln(self.random.unit())) - self.time_decay * number as f64;
        if self.kept.len() == self.capacity {
            match self.kept.peek() {
                Some(worst) if key < worst.key => tree.remove(worst.leaf),
                _ => return,
            }
            self.kept.pop();
        }
        let leaf = tree.insert(point);
        self.kept.push(Kept { key, leaf });
    }
}

impl Ord for Kept {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.total_cmp(&other.key)
    }
}

impl PartialOrd for Kept {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Kept {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Kept {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_without_decay_is_uniform_over_the_stream() {
        let mean = mean_number_kept(0.0);
        assert!((mean - 5_000.0).abs() < 150.0, "mean number {mean}");
    }

    #[test]
    fn a_sample_with_decay_prefers_recent_points() {
        // Kept with a chance falling by e every 1,000 points; of 256 kept none can hide that.
        let mean = mean_number_kept(0.001);
        assert!(mean > 8_500.0, "mean number {mean}");
    }

    /// Mean number of the points kept of 10,000, over 20 samplers.
    fn mean_number_kept(time_decay: f64) -> f64 {
        let means = (0..20).map(|seed| {
            let (mut tree, mut sampler) = (Tree::new(1, seed), Sampler::new(256, time_decay, seed));
            for number in 0..10_000 {
                sampler.offer(number, &[number as f32], &mut tree);
            }
            assert_eq!((sampler.kept.len(), tree.mass()), (256, 256));
            let numbers = sampler.kept.iter().map(|kept| f64::from(tree.low(kept.leaf)[0]));
            numbers.sum::<f64>() / 256.0
        });
        means.sum::<f64>() / 20.0
    }
}
