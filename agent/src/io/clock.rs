//! The agent's one clock. Everything else is told the time.

use crate::time::{Mono, Stamp, Wall};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// 2024-01-01T00:00:00Z. No agent was built before it, so an earlier time is that of a clock that was never set:
/// gateways without a battery start in 1970, or at the date of their file system.
const FIRST_BELIEVABLE_MS: i64 = 1_704_067_200_000;

/// The system's clocks. Copies agree with each other.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock whose monotonic time begins now.
    #[allow(clippy::disallowed_methods, reason = "this is the shell's clock")]
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// The time. `synced` is false while the system's clock stands before 2024. A clock that is wrong but not absurd
    /// is not noticed: the kernel's own opinion (`adjtimex`) takes a call that safe Rust does not offer.
    #[allow(clippy::disallowed_methods, reason = "this is the shell's clock")]
    pub fn now(&self) -> Stamp {
        let wall = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => since.as_millis() as i64,
            Err(before) => -(before.duration().as_millis() as i64),
        };
        Stamp {
            mono: Mono(self.start.elapsed().as_millis() as u64),
            wall: Wall(wall),
            synced: wall >= FIRST_BELIEVABLE_MS,
        }
    }

    /// How long it is until `deadline`.
    pub fn until(&self, deadline: Mono) -> Duration {
        Duration::from_millis(deadline - self.now().mono)
    }
}
