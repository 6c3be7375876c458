//! What size of a number is usual: a running mean of magnitudes that no single outlier moves far. Pure.

use serde::{Deserialize, Serialize};

/// Magnitudes to see before an outlier is told from the rest.
const SETTLING: u32 = 30;

/// The usual magnitude of a number, as the greater of a short and a long running mean: after a change of weather the
/// short one is there at once, and in a lull the long one stays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Scale {
    short: f64,
    long: f64,
    seen: u32,
    /// Numbers the short and the long mean remember.
    memory: (u32, u32),
    /// A magnitude counts as at most this many times the usual one.
    limit: f64,
}

impl Scale {
    pub(super) fn new(memory: (u32, u32), limit: f64) -> Self {
        Scale { short: 0.0, long: 0.0, seen: 0, memory, limit }
    }

    /// The usual magnitude; 0 before anything was seen.
    pub(super) fn usual(&self) -> f64 {
        self.short.max(self.long)
    }

    /// Whether enough was seen to tell an outlier.
    pub(super) fn settled(&self) -> bool {
        self.seen > SETTLING
    }

    /// Takes a number. `floor`: the smallest magnitude that means anything; from there a channel that never moved learns
    /// what it does when it begins to.
    pub(super) fn take(&mut self, number: f64, floor: f64) {
        let mut magnitude = number.abs();
        if self.settled() {
            magnitude = magnitude.min(self.limit * self.usual().max(floor));
        }
        self.seen = self.seen.saturating_add(1);
        self.short += (magnitude - self.short) / f64::from(self.seen.min(self.memory.0));
        self.long += (magnitude - self.long) / f64::from(self.seen.min(self.memory.1));
    }
}
