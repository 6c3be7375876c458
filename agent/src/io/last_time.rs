//! The last time the agent knew, in the file `time` of the spool: what a clock that starts in the past goes on from.

use super::clock::{Clock, World};
use super::small_file;
use crate::time::{Mono, Stamp, Timeline};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// How often the file is written while the clock is set: what an estimate after a power cut is wrong by at least.
const EVERY_MS: u64 = 600_000;
const NAME: &str = "time";

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Saved {
    /// The boot it was written in. The next process of the same boot goes on with it.
    pub(super) timeline: Timeline,
    /// It was this late or later.
    pub(super) known_ms: i64,
}

/// The file.
#[derive(Debug)]
pub(super) struct LastTime {
    dir: PathBuf,
    timeline: Timeline,
    renew_at: Mono,
}

impl LastTime {
    /// Starts the clock from what the file in `dir` says, and writes down what it starts from.
    pub(super) fn open(dir: &Path, world: World) -> (Self, Clock) {
        let saved = small_file::read::<Saved>(dir, NAME).unwrap_or_else(|error| {
            tracing::error!(%error, "the last known time cannot be read");
            None
        });
        let clock = Clock::after(saved, world);
        let now = clock.now();
        let mut file = Self { dir: dir.to_path_buf(), timeline: clock.timeline(), renew_at: now.mono };
        if now.synced {
            file.renew(now);
        } else {
            tracing::warn!(
                system_ms = (world.system)(),
                estimate_ms = now.wall.0,
                "the system's clock is not set, or the file `time` of the spool is wrong; times are estimates until it is"
            );
            let known_ms = saved.map_or(0, |saved| saved.known_ms);
            file.write(Saved { timeline: file.timeline, known_ms });
        }
        (file, clock)
    }

    /// Writes the time down when it is known and due.
    pub(super) fn renew_if_due(&mut self, now: Stamp) {
        if now.synced && self.renew_at <= now.mono {
            self.renew(now);
        }
    }

    /// Writes the time down, if it is known.
    pub(super) fn renew(&mut self, now: Stamp) {
        if now.synced {
            self.renew_at = now.mono + EVERY_MS;
            self.write(Saved { timeline: self.timeline, known_ms: now.wall.0 });
        }
    }

    /// A failure costs a good estimate after the next power cut, nothing else; a disk that fails is told elsewhere (A5).
    fn write(&self, saved: Saved) {
        if let Err(error) = small_file::replace(&self.dir, NAME, &saved) {
            tracing::warn!(%error, "the last known time cannot be written");
        }
    }
}
