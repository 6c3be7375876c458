//! The sink's one clock.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970-01-01T00:00:00Z.
#[allow(clippy::disallowed_methods, reason = "this is the shell's clock; everything else gets the time as an argument")]
pub fn now_ms() -> i64 {
    // Before 1970 only with a clock that was never set; 0 then.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
