//! Which points a tree keeps: a reservoir in which recent points weigh more.
//!
//! Point number i has weight `e^(time_decay * i)`. Drawing without replacement by such weights is keeping the points of
//! least key `-ln(u) / weight`, u uniform in (0, 1) (Efraimidis, Spirakis: "Weighted random sampling with a reservoir",
//! 2006). The weights would outgrow any number: from time to time all are divided by a power of two.
//!
//! Of a key the upper half of its `f32` is kept, which orders as the number does: the random factor spreads over many
//! times what is cut off.

use crate::math::{exp, ln};
use crate::random::Random;
use alloc::vec::Vec;

/// A key, as the upper half of an `f32`.
pub(crate) type Key = u16;

/// Above every key but itself.
pub(crate) const INFINITE: Key = 0x7f80;

/// The weight of the next point; all trees share it.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    pub(crate) weight: f64,
    step: f64,
}

/// Exponent of the power of two that divides the weight when it is reached.
const REBASE: u16 = 32;

impl Clock {
    pub(crate) fn new(time_decay: f64) -> Self {
        Clock { weight: 1.0, step: exp(time_decay) }
    }

    /// Goes on to the next point. Whether all keys must now be [rebased](Sampler::rebase).
    pub(crate) fn tick(&mut self) -> bool {
        self.weight *= self.step;
        let rebase = self.weight >= (1u64 << REBASE) as f64;
        if rebase {
            self.weight /= (1u64 << REBASE) as f64;
        }
        rebase
    }

    /// The key of a new point below `worst`, or `None` if it is not below.
    #[inline]
    pub(crate) fn draw(&self, worst: Key, random: &mut Random) -> Option<Key> {
        let bits = random.next_u64();
        // -ln(1 - v) is above v: most points are refused without a logarithm.
        let bound = value(worst) * self.weight;
        if f64::from((bits >> 32) as u32) >= bound * (1u64 << 32) as f64 {
            return None;
        }
        let v = ((bits >> 12) as f64 + 0.5) / (1u64 << 52) as f64;
        let key = ((-ln(1.0 - v) / self.weight) as f32).to_bits() >> 16;
        ((key as Key) < worst).then_some(key as Key)
    }
}

fn value(key: Key) -> f64 {
    f64::from(f32::from_bits(u32::from(key) << 16))
}

/// The points one tree keeps, each by its leaf: a heap with the greatest key, the next to go, on top.
#[derive(Clone, Debug)]
pub(crate) struct Sampler {
    pub(crate) keys: Vec<Key>,
    pub(crate) leaves: Vec<u16>,
}

impl Sampler {
    pub(crate) fn new(capacity: usize) -> Self {
        Sampler { keys: Vec::with_capacity(capacity), leaves: Vec::with_capacity(capacity) }
    }

    /// Number of points kept.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The greatest key; of an empty sample none is greater.
    #[inline]
    pub(crate) fn worst(&self) -> Key {
        self.keys.first().copied().unwrap_or(INFINITE)
    }

    pub(crate) fn push(&mut self, key: Key, leaf: u16) {
        let mut at = self.keys.len();
        self.keys.push(key);
        self.leaves.push(leaf);
        while at > 0 && self.keys[(at - 1) / 2] < key {
            self.keys[at] = self.keys[(at - 1) / 2];
            self.leaves[at] = self.leaves[(at - 1) / 2];
            at = (at - 1) / 2;
        }
        self.keys[at] = key;
        self.leaves[at] = leaf;
    }

    /// Puts a point in the place of the one with the greatest key. There must be one.
    pub(crate) fn replace_worst(&mut self, key: Key, leaf: u16) {
        let mut at = 0;
        loop {
            let mut child = 2 * at + 1;
            if child >= self.keys.len() {
                break;
            }
            // The other child, if that is greater: added, for no processor can foresee the choice.
            let other = (child + 1).min(self.keys.len() - 1);
            child += usize::from(self.keys[other] > self.keys[child]);
            if self.keys[child] <= key {
                break;
            }
            self.keys[at] = self.keys[child];
            self.leaves[at] = self.leaves[child];
            at = child;
        }
        self.keys[at] = key;
        self.leaves[at] = leaf;
    }

    /// Follows a [`Clock`] whose weight was divided: exactly, for it was divided by a power of two.
    pub(crate) fn rebase(&mut self) {
        for key in &mut self.keys {
            *key = (*key + (REBASE << 7)).min(INFINITE);
        }
    }
}
