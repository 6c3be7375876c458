//! A gateway's clock: set and a few ms off, not set for a while after a boot, or set wrongly and back again.

use crate::stage::BEGIN_MS;
use windward_agent::time::{Mono, Stamp, Timeline, Wall};
use windward_tests::random::Random;

/// 2024-01-01T00:00:00Z: nothing is ever stamped with an earlier time.
const FIRST_MS: i64 = 1_704_067_200_000;
/// How far a clock that is set may be off, ms.
pub(crate) const ERROR_MS: i64 = 5;
/// Uptime at which the agent's first process starts, ms.
const UPTIME_MS: u64 = 4_000;

/// The clock of one machine.
#[derive(Debug)]
pub(crate) struct Clock {
    random: Random,
    timeline: Timeline,
    /// Virtual time of the last boot.
    booted: u64,
    /// The clock is set from this virtual time on.
    set_at: u64,
    /// By how much it has been set wrongly, ms.
    wrong_ms: i64,
    /// The last time that the agent has written down.
    known_ms: i64,
}

impl Clock {
    /// A clock that is set.
    pub(crate) fn new(random: Random) -> Self {
        let timeline = Timeline { boot: 1, base_ms: BEGIN_MS - UPTIME_MS as i64 };
        Self { random, timeline, booted: 0, set_at: 0, wrong_ms: 0, known_ms: FIRST_MS }
    }

    /// The machine starts. With `unset`, its clock is set some time later, or never.
    pub(crate) fn boot(&mut self, now: u64, unset: bool) {
        self.booted = now;
        self.timeline = Timeline { boot: self.timeline.boot + 1, base_ms: self.known_ms };
        if unset {
            let within = [0, 5_000, 20_000, 120_000, 900_000, u64::MAX / 2][self.random.between(0, 5) as usize];
            self.set_at = if within < u64::MAX / 2 { now + self.random.between(0, within) } else { within };
        }
    }

    /// What the agent takes the time for.
    pub(crate) fn now(&self, now: u64) -> Stamp {
        // A machine that is switched off has none; nobody asks it.
        let mono = Mono(now.saturating_sub(self.booted) + UPTIME_MS);
        let synced = self.set_at <= now;
        // A set clock is corrected every now and then: a shift that were computed later would be another one.
        let error = (now / 1_000 % (2 * ERROR_MS as u64 + 1)) as i64 - ERROR_MS;
        let wall = if synced { Wall(BEGIN_MS + now as i64 + error + self.wrong_ms) } else { self.timeline.at(mono) };
        Stamp { mono, wall, synced }
    }

    /// The virtual time at which the agent's clock will say `mono`.
    pub(crate) fn when(&self, mono: Mono) -> u64 {
        (mono.0 + self.booted).saturating_sub(UPTIME_MS)
    }

    /// What all processes of this boot estimate on.
    pub(crate) fn timeline(&self) -> Timeline {
        self.timeline
    }

    /// Somebody sets the clock to a wrong time, or back.
    pub(crate) fn step(&mut self) {
        self.wrong_ms = if self.wrong_ms == 0 { self.random.between(1, 60_000) as i64 - 30_000 } else { 0 };
    }

    /// It is right from now on.
    pub(crate) fn set_right(&mut self, now: u64) {
        self.wrong_ms = 0;
        self.set_at = self.set_at.min(now);
    }

    /// The agent writes down what time it is, if it knows.
    pub(crate) fn remember(&mut self, now: u64) {
        let stamp = self.now(now);
        if stamp.synced {
            self.known_ms = stamp.wall.0;
        }
    }
}
