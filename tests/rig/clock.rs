//! The rig's one clock.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// For deadlines and delays.
#[allow(clippy::disallowed_methods, reason = "the rig's one clock")]
pub fn now() -> Instant {
    Instant::now()
}

/// Milliseconds since 1970 by the system's clock.
pub fn wall_ms() -> i64 {
    wall_us() / 1_000
}

/// Microseconds since 1970 by the system's clock.
#[allow(clippy::disallowed_methods, reason = "the rig's one clock")]
pub fn wall_us() -> i64 {
    // Before 1970 there is nothing to simulate.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64)
}
