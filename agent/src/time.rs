//! Two clocks that are never mixed: deadlines are [`Mono`], what is written down is wall-clock time.

use serde::{Deserialize, Serialize};
use std::ops::{Add, Sub};

/// Milliseconds on a clock that never steps, since the machine's boot or some other moment before the agent started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Mono(pub u64);

/// Milliseconds since 1970-01-01T00:00:00Z by a clock that may be wrong and may step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wall(pub i64);

/// One moment on both clocks, and whether the system's clock has been set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// For deadlines.
    pub mono: Mono,
    /// For what is written down.
    pub wall: Wall,
    /// Whether `wall` can be believed: it is the system's clock, and that has been set. Otherwise it is an estimate on
    /// the [`Timeline`].
    pub synced: bool,
}

/// What stands for the wall-clock time of one boot until the system's clock is set: `base_ms` plus [`Mono`]. All
/// processes of a boot share it, so that what one of them has estimated another can still put right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeline {
    /// The boot, by a number that no other boot has.
    pub boot: u128,
    /// Estimated wall-clock time of the boot, ms.
    pub base_ms: i64,
}

impl Timeline {
    /// The estimated wall-clock time.
    pub fn at(self, mono: Mono) -> Wall {
        Wall(self.base_ms.saturating_add_unsigned(mono.0))
    }
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
