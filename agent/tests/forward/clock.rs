//! A gateway's clock without a battery: behind the true time until it is set, if it ever is.

use crate::world::Random;
use windward_agent::time::{Mono, Stamp, Timeline, Wall};

/// 2024-01-01T00:00:00Z: nothing may ever be stamped with an earlier time.
pub(crate) const FIRST_MS: i64 = 1_704_067_200_000;
/// True time when the world begins.
const BEGIN_MS: i64 = 1_767_225_600_000;
/// How far a clock that is set may be off, ms.
pub(crate) const ERROR_MS: i64 = 5;

pub(crate) struct SimClock {
    pub(crate) timeline: Timeline,
    /// It is set from this time on.
    set_at: u64,
    /// The last time the agent has written down.
    known_ms: i64,
    /// Whether it has been set within nine minutes after every boot, and stayed so.
    pub(crate) is_kind: bool,
}

impl SimClock {
    /// A clock that is set from the beginning.
    pub(crate) fn set() -> Self {
        Self { timeline: Timeline { boot: 1, base_ms: BEGIN_MS }, set_at: 0, known_ms: FIRST_MS, is_kind: true }
    }

    /// A new boot, with a clock that is set some time later or never.
    pub(crate) fn boot(&mut self, now: u64, random: &mut Random) {
        let base_ms = self.known_ms - now as i64;
        self.timeline = Timeline { boot: self.timeline.boot + 1, base_ms };
        self.lose(now, random);
    }

    /// The clock is not set (any more) for some time or for ever.
    pub(crate) fn lose(&mut self, now: u64, random: &mut Random) {
        let within = [0, 20_000, 120_000, 540_000, 1_500_000, u64::MAX / 2][random.below(6) as usize];
        self.is_kind &= within <= 540_000;
        self.set_at = if within < u64::MAX / 2 { now + random.below(within + 1) } else { within };
    }

    pub(crate) fn now(&self, now: u64) -> Stamp {
        let synced = self.set_at <= now;
        // A set clock is corrected every now and then: a shift computed later is another one.
        let error = (now / 1000 % (2 * ERROR_MS as u64 + 1)) as i64 - ERROR_MS;
        let wall = if synced { Wall(true_ms(now) + error) } else { self.timeline.at(Mono(now)) };
        Stamp { mono: Mono(now), wall, synced }
    }

    /// The agent writes down what time it is, if it knows.
    pub(crate) fn remember(&mut self, now: u64) {
        let stamp = self.now(now);
        if stamp.synced {
            self.known_ms = stamp.wall.0;
        }
    }
}

pub(crate) fn true_ms(now: u64) -> i64 {
    BEGIN_MS + now as i64
}
