//! Two clocks that are never mixed: deadlines are [`Mono`], what is written down is wall-clock time.

use std::ops::{Add, Sub};

/// Milliseconds on a clock that never steps, since some moment before the agent started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mono(pub u64);

/// Milliseconds since 1970-01-01T00:00:00Z by the system's clock, which may be wrong and may step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wall(pub i64);

/// One moment on both clocks, and whether the system's clock has been set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// For deadlines.
    pub mono: Mono,
    /// For what is written down.
    pub wall: Wall,
    /// Whether `wall` can be believed.
    pub synced: bool,
}

impl Add<u64> for Mono {
    type Output = Mono;
    /// Later by `ms`.
    fn add(self, ms: u64) -> Mono {
        Mono(self.0.saturating_add(ms))
    }
}

impl Sub for Mono {
    type Output = u64;
    /// Milliseconds from `earlier` to `self`; 0 when `earlier` is later.
    fn sub(self, earlier: Mono) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}
