//! Reads one shard, page by page, for as long as its lease is ours.

use super::stream::{Failure, Stream};
use super::{PIECE, ROOM, Reply, lock};
use crate::decode::{Delivery, Origin};
use crate::io::clock;
use crate::io::source::{self, Incoming};
use crate::shards::{Position, Progress};
use aws_sdk_kinesis::types::Record;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};

/// Pause between pages while there is more, and once there is none. A shard gives five pages a second to all who read it
/// together; at its end, this leaves room for one more reader.
const PAUSES: (Duration, Duration) = (Duration::from_millis(220), Duration::from_millis(400));
/// First pause after a failed call, and the longest, ms.
const AGAIN_MS: (u64, u64) = (500, 10_000);

/// Why a reader has ended.
pub(super) enum Outcome {
    /// The shard is closed, and was read to its end.
    Ended,
    /// The lease is to be given back, and what is not stored read again by whoever takes it.
    Again(&'static str),
}

/// One reader.
pub(super) struct Reader {
    pub(super) stream: Stream,
    pub(super) shard: String,
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
            let failure = match self.pages(&mut at).await {
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

    /// Reads with one iterator after the other, each from the page before; moves `at` along.
    async fn pages(&self, at: &mut Position) -> Result<Outcome, Failure> {
        let mut next = self.stream.iterator(&self.shard, at).await?;
        while let Some(iterator) = next {
            let Ok(turn) = self.reads.acquire().await else { return Ok(Outcome::Again("the sink stops")) };
            let page = self.stream.page(&iterator).await?;
            self.until_ms.store(clock::mono_ms() as i64 - page.behind_ms as i64, Ordering::Relaxed);
            for record in page.records {
                let sequence = record.sequence_number.clone();
                if !self.hand_over(record).await {
                    return Ok(Outcome::Again("the sink stops"));
                }
                *at = Position::After(sequence);
            }
            next = page.next;
            drop(turn);
            tokio::time::sleep(if page.behind_ms > 0 { PAUSES.0 } else { PAUSES.1 }).await;
        }
        lock(&self.progress).ended();
        self.until_ms.store(i64::MAX, Ordering::Relaxed);
        Ok(Outcome::Ended)
    }

    /// Waits for room, and hands the record to the committer. False: there is no committer any more.
    async fn hand_over(&self, record: Record) -> bool {
        let payload = record.data.into_inner();
        let pieces = payload.len().div_ceil(PIECE).clamp(1, ROOM) as u32;
        let Ok(room) = self.room.clone().acquire_many_owned(pieces).await else { return false };
        let from = Origin::Record { stream: self.stream.name().into(), key: record.partition_key.unwrap_or_default() };
        let number = lock(&self.progress).read(record.sequence_number);
        let reply = Reply { progress: self.progress.clone(), number, is_stored: false.into(), _room: room };
        let incoming = Incoming { delivery: Delivery { from, payload }, reply: source::Reply::Kinesis(reply) };
        self.into.send(incoming).await.is_ok()
    }
}
