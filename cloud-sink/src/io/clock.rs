//! The sink's one clock.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970-01-01T00:00:00Z.
#[allow(clippy::disallowed_methods, reason = "this is the shell's clock; everything else gets the time as an argument")]
pub fn now_ms() -> i64 {
    // Before 1970 only with a clock that was never set; 0 then.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

/// Milliseconds since the first call; never back, however the wall clock is set.
#[allow(clippy::disallowed_methods, reason = "this is the shell's clock; everything else gets the time as an argument")]
pub fn mono_ms() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_millis() as u64
}
