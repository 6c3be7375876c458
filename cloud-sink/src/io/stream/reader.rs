//! Reads one shard, page by page, for as long as its lease is ours.

use super::{PIECE, ROOM, Reply, Stream, lock};
use crate::decode::{Delivery, Origin};
use crate::io::clock;
use crate::io::source::{self, Incoming};
use crate::shards::{Position, Progress};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};

/// First pause after a failed call, and the longest, ms.
const AGAIN_MS: (u64, u64) = (500, 10_000);

/// Why a reader has ended.
pub(in crate::io) enum Outcome {
    /// The shard is closed, and was read to its end.
    Ended,
    /// The lease is to be given back, and what is not stored read again by whoever takes it.
    Again(&'static str),
}

/// Why no more pages come for now.
pub(in crate::io) enum Failure {
    /// The shard is not there any more.
    Gone,
    /// What was asked for cannot be: the position is none of this stream.
    NoPosition(String),
    /// Something that may pass.
    Passing(String),
}

/// One reader.
pub(in crate::io) struct Reader {
    pub(super) stream: Stream,
    pub(in crate::io) shard: String,
    pub(super) progress: Arc<Mutex<Progress>>,
    pub(super) until_ms: Arc<AtomicI64>,
    pub(super) room: Arc<Semaphore>,
    pub(super) reads: Arc<Semaphore>,
    pub(super) into: mpsc::Sender<Incoming>,
}

impl Reader {
    /// Reads from behind `position`.
    pub(super) async fn read(self, position: Position) -> Outcome {
        let mut at = position;
        let mut again_ms = AGAIN_MS.0;
        loop {
            let begun = at.clone();
            let failure = match self.stream.pages(&self, &mut at).await {
                Ok(outcome) => return outcome,
                Err(failure) => failure,
            };
            if at != begun {
                again_ms = AGAIN_MS.0;
            }
            match failure {
                Failure::Gone => return Outcome::Again("the stream has no such shard any more"),
                Failure::NoPosition(said) if matches!(at, Position::After(_)) => {
                    // Rather all of it once more than nothing of it.
                    tracing::error!(shard = self.shard, "read again from its oldest record: {said}");
                    at = Position::Oldest;
                }
                Failure::NoPosition(said) | Failure::Passing(said) => {
                    let jitter_ms = RandomState::new().hash_one(again_ms) % again_ms;
                    tracing::warn!(shard = self.shard, again_ms = again_ms + jitter_ms, "{said}");
                    tokio::time::sleep(Duration::from_millis(again_ms + jitter_ms)).await;
                    again_ms = (again_ms * 2).min(AGAIN_MS.1);
                }
            }
        }
    }

    /// Waits until a page may be taken into memory. `None`: the sink stops.
    pub(in crate::io) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.reads.acquire().await.ok()
    }

    /// All that was put until so long ago has been read.
    pub(in crate::io) fn is_behind(&self, behind_ms: u64) {
        self.until_ms.store(clock::mono_ms() as i64 - behind_ms as i64, Ordering::Relaxed);
    }

    /// Where the first record is that its position stands for has been found out.
    #[cfg(feature = "kafka")]
    pub(in crate::io) fn begins(&self, position: Position) {
        lock(&self.progress).begins(position);
    }

    /// The shard is closed, and was read to its end.
    pub(in crate::io) fn ended(&self) -> Outcome {
        lock(&self.progress).ended();
        self.until_ms.store(i64::MAX, Ordering::Relaxed);
        Outcome::Ended
    }

    /// Waits for room, and hands a record to the committer. False: there is no committer any more.
    pub(in crate::io) async fn hand_over(&self, from: Origin, sequence: String, payload: Vec<u8>) -> bool {
        let pieces = payload.len().div_ceil(PIECE).clamp(1, ROOM) as u32;
        let Ok(room) = self.room.clone().acquire_many_owned(pieces).await else { return false };
        let number = lock(&self.progress).read(sequence);
        let reply = Reply { progress: self.progress.clone(), number, is_stored: false.into(), _room: room };
        let incoming = Incoming { delivery: Delivery { from, payload }, reply: source::Reply::Stream(reply) };
        self.into.send(incoming).await.is_ok()
    }
}
