//! A stream as a source: all its shards, or partitions, shared with other sinks by leases in the store.
//!
//! [`crate::shards`] decides; this follows, and leaves to `kinesis` and `kafka` what each service wants. One task looks
//! after leases and positions, one more reads each shard that is ours. Every few seconds a held lease is written with
//! the position up to which all is stored, and nothing beyond it; what died before that is read again, and stored once
//! (S2). A stop stores what was read, writes positions, and gives the leases back, so that the next sink need not wait
//! for their end.
//!
//! Back-pressure: records read and not yet stored have room for `ROOM` pieces together; no shard is read while there
//! is none. At most `READS` pages are in memory beside that.

mod reader;

pub(super) use reader::{Failure, Outcome, Reader};

#[cfg(feature = "kafka")]
use super::kafka;
#[cfg(feature = "aws")]
use super::kinesis;
use super::source::Incoming;
use super::store::Store;
use super::{Counts, Stop, clock};
use crate::config;
use crate::shards::{Lease, Leases, Position, Progress, RENEW_MS, Write};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};

/// Pieces of at most [`PIECE`] bytes that may be on their way from the stream into the store: 32 MiB.
pub(super) const ROOM: usize = 512;
/// A record takes the room of as many pieces as it has begun.
const PIECE: usize = 64 * 1024;
/// Pages taken at the same time; one of Kinesis has at most 10 MiB.
const READS: usize = 4;
/// How often positions are looked at.
const TICK: Duration = Duration::from_millis(500);
/// Pause before a stream that could not be described is asked again.
const PAUSE: Duration = Duration::from_secs(2);
/// The row that remembers where shards begin that have no row of their own. No shard is named like this.
const START: &str = "start";

/// Answers one record.
pub(super) struct Reply {
    progress: Arc<Mutex<Progress>>,
    number: u64,
    is_stored: AtomicBool,
    _room: OwnedSemaphorePermit,
}

impl Reply {
    /// The position may pass the record.
    pub(super) fn stored(&self) {
        self.is_stored.store(true, Ordering::Relaxed);
        lock(&self.progress).stored(self.number);
    }
}

impl Drop for Reply {
    /// A record that nobody has stored: the shard is to be read again from its position.
    fn drop(&mut self) {
        if !*self.is_stored.get_mut() {
            lock(&self.progress).failed();
        }
    }
}

fn lock(progress: &Mutex<Progress>) -> MutexGuard<'_, Progress> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A stream of one of the services.
#[derive(Clone)]
pub(super) enum Stream {
    /// Amazon Kinesis.
    #[cfg(feature = "aws")]
    Kinesis(kinesis::Stream),
    /// A Kafka topic; its partitions are the shards, and none of them ever ends.
    #[cfg(feature = "kafka")]
    Kafka(kafka::Topic),
}

impl Stream {
    fn name(&self) -> &str {
        match self {
            #[cfg(feature = "aws")]
            Stream::Kinesis(stream) => stream.name(),
            #[cfg(feature = "kafka")]
            Stream::Kafka(topic) => topic.name(),
        }
    }

    /// The name of its leases in the store.
    async fn key(&self) -> Result<String> {
        match self {
            #[cfg(feature = "aws")]
            Stream::Kinesis(stream) => stream.key().await,
            #[cfg(feature = "kafka")]
            Stream::Kafka(topic) => topic.key().await,
        }
    }

    /// Its shards, each with its parents.
    async fn shards(&self) -> Result<BTreeMap<String, Vec<String>>> {
        match self {
            #[cfg(feature = "aws")]
            Stream::Kinesis(stream) => stream.shards().await,
            #[cfg(feature = "kafka")]
            Stream::Kafka(topic) => topic.shards().await,
        }
    }

    /// Reads one shard page by page; moves `at` along.
    async fn pages(&self, reader: &Reader, at: &mut Position) -> Result<Outcome, Failure> {
        match self {
            #[cfg(feature = "aws")]
            Stream::Kinesis(stream) => stream.pages(reader, at).await,
            #[cfg(feature = "kafka")]
            Stream::Kafka(topic) => topic.pages(reader, at).await,
        }
    }
}

/// Follows the stream until told to quit.
pub(super) async fn follow(
    stream: Stream,
    start: config::Start,
    store: Store,
    into: mpsc::Sender<Incoming>,
    mut stop: watch::Receiver<Stop>,
    counts: Arc<Counts>,
) {
    let (key, start) = loop {
        counts.pulse.stream.turn();
        match begin(&stream, &store, start).await {
            Ok(begun) => break begun,
            Err(error) => tracing::warn!(stream = stream.name(), "stream: {error:#}"),
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            _ = stop.wait_for(|stop| *stop == Stop::Quit) => return,
        }
    };
    let me = format!("{:016x}", RandomState::new().hash_one(clock::now_ms()));
    tracing::info!(stream = stream.name(), %me, begin = %start, "following");
    let follower = Follower {
        leases: Leases::new(me, start),
        readers: BTreeMap::new(),
        tasks: JoinSet::new(),
        looked_ms: None,
        room: Arc::new(Semaphore::new(ROOM)),
        reads: Arc::new(Semaphore::new(READS)),
        stream,
        key,
        store,
        into,
        counts,
    };
    follower.run(stop).await;
}

/// The name of the stream's leases, and where shards without one begin: settled by the first sink that ever saw it.
async fn begin(stream: &Stream, store: &Store, start: config::Start) -> Result<(String, Position)> {
    let key = stream.key().await?;
    let position = match start {
        config::Start::Oldest => Position::Oldest,
        config::Start::Latest => Position::Since(clock::now_ms()),
    };
    let lease = Lease { position, owner: String::new(), counter: 1 };
    store.put_lease(&key, &Write { shard: START.into(), lease, expected: None }).await?;
    let mut rows = store.leases(&key).await?;
    let start = rows.remove(START).context("the row that was just written is not there")?;
    Ok((key, start.position))
}

/// A shard that is ours.
struct Held {
    progress: Arc<Mutex<Progress>>,
    /// All that was put until then has been read; monotonic, ms. It stands still when calls fail.
    until_ms: Arc<AtomicI64>,
    task: AbortHandle,
}

struct Follower {
    leases: Leases,
    readers: BTreeMap<String, Held>,
    tasks: JoinSet<(String, Outcome)>,
    /// When shards and leases were last looked at; `None`: look now.
    looked_ms: Option<u64>,
    room: Arc<Semaphore>,
    reads: Arc<Semaphore>,
    stream: Stream,
    key: String,
    store: Store,
    into: mpsc::Sender<Incoming>,
    counts: Arc<Counts>,
}

impl Follower {
    async fn run(mut self, mut stop: watch::Receiver<Stop>) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop == Stop::Quit) => break,
                _ = tick.tick() => {}
            }
            self.counts.pulse.stream.turn();
            let is_running = *stop.borrow() == Stop::Run;
            if !is_running {
                self.tasks.shutdown().await;
            }
            match self.look_after(is_running).await {
                Ok(false) => {}
                Ok(true) => self.counts.stream.store(true, Ordering::Relaxed),
                Err(error) => {
                    self.counts.stream.store(false, Ordering::Relaxed);
                    tracing::error!(stream = self.stream.name(), "stream: {error:#}");
                }
            }
            self.count();
        }
        self.tasks.shutdown().await;
        for shard in self.readers.keys().cloned().collect::<Vec<_>>() {
            self.give_back(&shard).await;
        }
        self.counts.stream.store(false, Ordering::Relaxed);
    }

    /// One turn. True when stream and leases were looked at, and answered.
    async fn look_after(&mut self, is_running: bool) -> Result<bool> {
        for shard in self.leases.expire(clock::mono_ms()) {
            self.lose(&shard, "it could not be renewed in time");
        }
        while let Some(ended) = self.tasks.try_join_next() {
            match ended {
                Ok((shard, Outcome::Ended)) => tracing::info!(shard, "read to its end"),
                Ok((shard, Outcome::Again(why))) => {
                    tracing::warn!(stream = self.stream.name(), shard, "to be read again: {why}");
                    self.give_back(&shard).await;
                }
                // Aborted, because its lease was lost.
                Err(error) if error.is_cancelled() => {}
                Err(error) => {
                    let whose = self.readers.iter().find(|(_, held)| held.task.id() == error.id());
                    let shard = whose.map(|(shard, _)| shard.clone()).unwrap_or_default();
                    tracing::error!(stream = self.stream.name(), shard, "a reader has failed: {error}");
                    self.give_back(&shard).await;
                }
            }
        }
        let has_failed = |(shard, held): (&String, &Held)| lock(&held.progress).has_failed().then(|| shard.clone());
        for shard in self.readers.iter().filter_map(has_failed).collect::<Vec<_>>() {
            tracing::warn!(stream = self.stream.name(), shard, "to be read again: something in it was left undone");
            self.give_back(&shard).await;
        }
        self.renew().await?;
        let now_ms = clock::mono_ms();
        let is_time = self.looked_ms.is_none_or(|at_ms| now_ms.saturating_sub(at_ms) >= RENEW_MS);
        if is_running && is_time {
            self.looked_ms = Some(now_ms);
            self.look().await?;
        }
        Ok(is_running && is_time)
    }

    /// Writes the leases that are due.
    async fn renew(&mut self) -> Result<()> {
        let shards: Vec<String> = self.leases.held().map(str::to_string).collect();
        for shard in shards {
            let Some(held) = self.readers.get(&shard) else { continue };
            let position = lock(&held.progress).position();
            let is_end = position == Position::End;
            let begun_ms = clock::mono_ms();
            let Some(write) = self.leases.renewal(&shard, position, begun_ms) else { continue };
            if !self.store.put_lease(&self.key, &write).await? {
                self.lose(&shard, "another sink has taken it");
                continue;
            }
            self.leases.written(write, begun_ms);
            if is_end {
                self.readers.remove(&shard);
                // Its children may be read now.
                self.looked_ms = None;
            }
        }
        Ok(())
    }

    /// Looks at shards and leases, and takes what is to be taken.
    async fn look(&mut self) -> Result<()> {
        self.leases.listed(self.stream.shards().await?);
        let rows = self.store.leases(&self.key).await?;
        for shard in self.leases.seen(rows, clock::mono_ms()) {
            self.lose(&shard, "another sink has taken it");
        }
        for write in self.leases.takes(clock::mono_ms()) {
            let begun_ms = clock::mono_ms();
            if self.store.put_lease(&self.key, &write).await? {
                tracing::info!(shard = write.shard, position = %write.lease.position, "reading");
                self.read(write.shard.clone(), write.lease.position.clone());
                self.leases.written(write, begun_ms);
            }
        }
        Ok(())
    }

    fn read(&mut self, shard: String, position: Position) {
        let progress = Arc::new(Mutex::new(Progress::new(position.clone())));
        let until_ms = Arc::new(AtomicI64::new(clock::mono_ms() as i64));
        let reader = Reader {
            stream: self.stream.clone(),
            shard: shard.clone(),
            progress: progress.clone(),
            until_ms: until_ms.clone(),
            room: self.room.clone(),
            reads: self.reads.clone(),
            into: self.into.clone(),
        };
        let name = shard.clone();
        let task = self.tasks.spawn(async move { (name, reader.read(position).await) });
        self.readers.insert(shard, Held { progress, until_ms, task });
    }

    /// Stops reading a shard at once. What was read of it and is not stored yet will be, and then passes no position.
    fn lose(&mut self, shard: &str, why: &str) {
        tracing::warn!(stream = self.stream.name(), shard, "no longer read here: {why}");
        self.leases.lost(shard);
        if let Some(held) = self.readers.remove(shard) {
            held.task.abort();
        }
    }

    /// Leaves a shard to whoever takes it next, at the position that it has.
    async fn give_back(&mut self, shard: &str) {
        let Some(held) = self.readers.remove(shard) else { return };
        held.task.abort();
        let position = lock(&held.progress).position();
        let Some(write) = self.leases.giving_back(shard, position) else { return };
        match self.store.put_lease(&self.key, &write).await {
            Ok(_) => tracing::debug!(shard, position = %write.lease.position, "given back"),
            Err(error) => tracing::warn!(shard, "a lease that is not given back ends by itself: {error:#}"),
        }
        self.leases.lost(shard);
    }

    fn count(&self) {
        let least_ms = self.readers.values().map(|held| held.until_ms.load(Ordering::Relaxed)).min();
        let behind_ms = least_ms.map(|until_ms| (clock::mono_ms() as i64).saturating_sub(until_ms).max(0) as u64);
        self.counts.shards.store(self.readers.len() as u64, Ordering::Relaxed);
        self.counts.behind_ms.store(behind_ms.unwrap_or_default(), Ordering::Relaxed);
    }
}
