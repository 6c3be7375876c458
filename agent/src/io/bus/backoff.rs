//! When a line that could not be opened is tried again.

use super::port::{Port, open};
use crate::config::{Bus, Link};
use crate::io::clock::Clock;
use crate::time::Mono;
use std::io;
use std::time::Duration;
use tokio::time::timeout;

/// First pause after a line could not be opened; each further failure doubles it.
const FIRST_PAUSE_MS: u64 = 250;
/// Longest pause between attempts.
const LONGEST_PAUSE_MS: u64 = 5_000;

/// Attempts to open a line, and the pauses between them.
pub(super) struct Backoff {
    clock: Clock,
    /// Attempts that failed in a row.
    failures: u32,
    /// Before this there is no further attempt.
    pub(super) retry_at: Mono,
}

impl Backoff {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, failures: 0, retry_at: Mono(0) }
    }

    /// Opens the line, if it is time to try; `None`: it is not open.
    pub(super) async fn open(&mut self, bus: &Bus, link: &Link, within_ms: u32) -> Option<Port> {
        if self.clock.now().mono < self.retry_at {
            return None;
        }
        match timeout(Duration::from_millis(within_ms.into()), open(link)).await {
            Ok(Ok(port)) => {
                self.opened(bus);
                Some(port)
            }
            Ok(Err(error)) => self.failed(bus, &error),
            Err(_elapsed) => self.failed(bus, &io::ErrorKind::TimedOut.into()),
        }
    }

    pub(super) fn opened(&mut self, bus: &Bus) {
        if self.failures > 0 {
            tracing::info!(%bus, attempts = self.failures + 1, "open again");
        }
        self.failures = 0;
    }

    pub(super) fn failed<T>(&mut self, bus: &Bus, error: &io::Error) -> Option<T> {
        // Told when it begins; a line that is away for a week is not worth a message every five seconds.
        if self.failures == 0 {
            tracing::warn!(%bus, %error, "cannot open; trying again and again");
        }
        let pause = FIRST_PAUSE_MS << self.failures.min(10);
        self.failures = self.failures.saturating_add(1);
        self.retry_at = self.clock.now().mono + pause.min(LONGEST_PAUSE_MS);
        None
    }
}
