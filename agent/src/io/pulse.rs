//! Counts the turns of the agent's parts, for the watchdog.

use crate::watchdog::Turns;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::{Interval, MissedTickBehavior};

/// The turns while they are counted.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    pub(super) watch: Part,
    pub(super) forward: Part,
    pub(super) disk: Part,
    /// How often each turns though it has nothing to do; where nobody looks, only as often as it has.
    every: Option<Duration>,
}

/// The turns of one part.
#[derive(Debug, Default)]
pub(super) struct Part(AtomicU64);

impl Part {
    /// Counts a turn.
    pub(super) fn turn(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn turns(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Pulse {
    pub(super) fn new(every: Option<Duration>) -> Self {
        Self { every, ..Self::default() }
    }

    /// What has been counted.
    pub(super) fn turns(&self) -> Turns {
        Turns { watch: self.watch.turns(), forward: self.forward.turns(), disk: self.disk.turns() }
    }

    /// The beats at which a part turns though it has nothing to do; the first comes at once.
    pub(super) fn beats(&self) -> Beats {
        Beats(self.every.map(|every| {
            let mut beats = tokio::time::interval(every);
            beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
            beats
        }))
    }
}

/// See [`Pulse::beats`].
#[derive(Debug)]
pub(super) struct Beats(Option<Interval>);

impl Beats {
    /// Waits for the next one. None is lost when the wait is given up.
    pub(super) async fn next(&mut self) {
        match &mut self.0 {
            Some(beats) => drop(beats.tick().await),
            None => std::future::pending().await,
        }
    }
}
