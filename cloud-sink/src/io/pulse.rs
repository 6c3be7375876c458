//! Counts the turns of the sink's parts, for the watchdog.

use crate::watchdog::Part;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::{Interval, MissedTickBehavior};

/// How often a part turns though nothing comes.
const BEAT: Duration = Duration::from_secs(1);

/// The turns while they are counted.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    pub(super) committer: Turns,
    pub(super) broker: Turns,
    pub(super) stream: Turns,
}

/// The turns of one part.
#[derive(Debug, Default)]
pub(super) struct Turns(AtomicU64);

impl Turns {
    /// Counts one.
    pub(super) fn turn(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// What has been counted.
    pub(super) fn part(&self, name: &'static str) -> Part {
        Part { name, turns: self.0.load(Ordering::Relaxed) }
    }
}

/// The beats at which a part turns though nothing comes.
pub(super) fn beats() -> Interval {
    let mut beats = tokio::time::interval(BEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beats
}
