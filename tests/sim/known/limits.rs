//! The limits that a configuration sets: what readings may take on disk, and how long they may stay there (A4); how fast
//! an uplink may send.

use super::Known;
use crate::clock::ERROR_MS;
use crate::scenario::DiskFaults;
use crate::stage::BEGIN_MS;
use windward_agent::forward::journal::Room;
use windward_protocol::{Lane, Seq};

/// Answers of the disk within which the oldest readings go once they must: the record of their gap is to be durable
/// before, and a disk that refuses to give their space back is asked again.
const PATIENCE: u32 = 20;

/// How an agent's process stands to them.
#[derive(Debug, Default)]
pub(super) struct Limits {
    /// The oldest reading on disk, when it last had to go.
    oldest: Seq,
    /// Answers of the disk since.
    answers: u32,
    /// What has gone out on the limited uplink beyond what the time allows, thousandths of a byte.
    excess: u64,
    sent_at: u64,
}

impl Known {
    /// A4: a commit is done, and readings that take too much on disk, or are too old, go sooner or later.
    pub(crate) fn stands(&mut self, room: &Room, limits: &DiskFaults, now: u64) {
        let Some(oldest) = room.oldest else { return };
        let is_too_old = |age_ms: u64| {
            let ends_ms = oldest.newest_ms.map(|newest_ms| newest_ms + age_ms as i64 + ERROR_MS);
            ends_ms.is_some_and(|ends_ms| ends_ms < BEGIN_MS + now as i64)
        };
        let must_go =
            room.is_full || room.readings_bytes > limits.max_bytes || limits.max_age_ms.is_some_and(is_too_old);
        if !must_go || self.limits.oldest != oldest.range.first {
            (self.limits.oldest, self.limits.answers) = (oldest.range.first, 0);
        }
        self.limits.answers += u32::from(must_go);
        if self.limits.answers > PATIENCE {
            self.violated("A4", format!("nothing goes, after {PATIENCE} answers of the disk: {room:?}"));
        }
    }

    /// The limited uplink sends: over no stretch of time more than the limit and a second's worth, before readings go.
    pub(crate) fn sends(&mut self, lane: Lane, bytes: usize, bytes_per_s: u64, now: u64) {
        let limits = &mut self.limits;
        limits.excess = limits.excess.saturating_sub((now - limits.sent_at) * bytes_per_s);
        limits.sent_at = now;
        let excess = limits.excess;
        limits.excess += bytes as u64 * 1_000;
        if lane == Lane::Readings && excess > bytes_per_s * 1_000 {
            let beyond = excess / 1_000;
            self.violated(
                "limit",
                format!("readings go, and {beyond} bytes too many have gone at {bytes_per_s} a second"),
            );
        }
    }
}
