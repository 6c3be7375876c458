//! The source against streams of others' making: kinesalite, which splits and merges as the service does, and ministack.
//! The test is the committer: it takes what comes, and answers or does not.

mod emulator;

use super::*;
use crate::io::dynamodb::DynamoDb;
use crate::io::stream::ROOM;
use crate::io::{clock, source};
use crate::shards::Write;
use emulator::{Distress, Emulator, eventually};
use std::sync::atomic::Ordering;
use tokio::task::JoinHandle;

/// How long anything may take before the test fails: a lease must end first, when its holder died.
const DEADLINE: Duration = Duration::from_secs(60);
/// Partition keys: enough that every shard has some.
const KEYS: usize = 16;

/// A sink of which only the source is real.
struct Sink {
    incoming: mpsc::Receiver<Incoming>,
    stop: watch::Sender<Stop>,
    counts: Arc<Counts>,
    task: JoinHandle<()>,
}

impl Sink {
    fn start(emulator: &Emulator) -> Self {
        let (stop, stopped) = watch::channel(Stop::Run);
        let (into, incoming) = mpsc::channel(source::QUEUE);
        let counts = Arc::new(Counts::default());
        let following = follow(emulator.config.clone(), emulator.store.clone(), into, stopped, counts.clone());
        Self { incoming, stop, counts, task: tokio::spawn(following) }
    }

    async fn next(&mut self) -> (usize, usize, source::Reply) {
        let taken = tokio::time::timeout(DEADLINE, self.incoming.recv()).await;
        let Incoming { delivery, reply } = taken.expect("a record in time").expect("the source runs");
        let Origin::Record { key, .. } = delivery.from else { panic!("a record of a stream") };
        let number = String::from_utf8(delivery.payload).unwrap().parse().unwrap();
        (key.strip_prefix("turbine-").unwrap().parse().unwrap(), number, reply)
    }

    async fn holds(&self, shards: u64) {
        let held = async || (self.counts.shards.load(Ordering::Relaxed) == shards).then_some(());
        eventually(&format!("{shards} shards"), held).await;
    }

    async fn stop(self) {
        self.stop.send_replace(Stop::Quit);
        self.task.await.unwrap();
    }
}

/// What has come of each key so far, over all sinks.
#[derive(Default)]
struct Log {
    /// Numbers from 0 to this were seen, this one not.
    next: [usize; KEYS],
    repeats: usize,
}

impl Log {
    fn came(&mut self, key: usize, number: usize) {
        assert!(number <= self.next[key], "key {key}: {number} came, and {} did not", self.next[key]);
        self.repeats += usize::from(number < self.next[key]);
        self.next[key] = self.next[key].max(number + 1);
    }

    fn has_all(&self, numbers: usize) -> bool {
        self.next.iter().all(|next| *next == numbers)
    }
}

#[tokio::test]
async fn nothing_is_missed_nor_out_of_order_over_splits_merges_and_deaths_or_skipped_without_kinesalite() {
    let oldest = config::Start::Oldest;
    let Some(emulator) = Emulator::start("WINDWARD_KINESALITE_ENDPOINT", "moving", 2, oldest).await else { return };
    nothing_is_missed_nor_out_of_order(&emulator).await;
}

#[tokio::test]
async fn nor_with_leases_in_dynamodb_or_skipped_without_kinesalite_and_endpoint() {
    let oldest = config::Start::Oldest;
    let Some(mut emulator) = Emulator::start("WINDWARD_KINESALITE_ENDPOINT", "moved", 2, oldest).await else { return };
    let Ok(endpoint) = std::env::var("WINDWARD_DYNAMODB_ENDPOINT") else {
        eprintln!("skipped: WINDWARD_DYNAMODB_ENDPOINT is not set");
        return;
    };
    let prefix = format!("test-{}-moved-", std::process::id());
    let (layout, keep_days) = (config::Layout::default(), None);
    let config =
        config::DynamoDb { endpoint: Some(endpoint), region: Some("eu-west-1".into()), prefix, layout, keep_days };
    let dynamodb = DynamoDb::open(&config).await;
    dynamodb.create_tables().await.unwrap();
    emulator.store = Store::DynamoDb(dynamodb);
    nothing_is_missed_nor_out_of_order(&emulator).await;
}

async fn nothing_is_missed_nor_out_of_order(emulator: &Emulator) {
    let mut log = Log::default();
    emulator.put(0..20).await;
    emulator.split().await;
    emulator.put(20..40).await;
    emulator.merge().await;

    // The first reads some, of which the last are never stored, and dies without a word.
    let mut first = Sink::start(emulator);
    for taken in 0..400 {
        let (key, number, reply) = first.next().await;
        log.came(key, number);
        if taken < 350 {
            reply.stored().await;
        }
    }
    let is_passed = async || {
        let leases = emulator.store.leases(&Stream::open(&emulator.config).await.key().await.unwrap()).await.unwrap();
        leases.values().any(|lease| matches!(lease.position, Position::After(_) | Position::End)).then_some(())
    };
    eventually("a position", is_passed).await;
    first.task.abort();
    let aborted = first.task.await;
    assert!(aborted.unwrap_err().is_cancelled());

    // The second takes over while the stream goes on changing.
    let mut second = Sink::start(emulator);
    emulator.put(40..50).await;
    emulator.split().await;
    emulator.merge().await;
    emulator.put(50..60).await;
    while !log.has_all(60) {
        let (key, number, reply) = second.next().await;
        log.came(key, number);
        reply.stored().await;
    }
    second.holds(emulator.open_shards().await.len() as u64).await;
    second.stop().await;
    assert!(log.repeats >= 50, "what was not stored comes again: {}", log.repeats);

    // All was stored and said so: a third reads what is new, and nothing else.
    let mut third = Sink::start(emulator);
    emulator.put(60..61).await;
    let mut keys = [0; KEYS];
    for _ in 0..KEYS {
        let (key, number, reply) = third.next().await;
        assert_eq!(number, 60);
        keys[key] += 1;
        reply.stored().await;
    }
    assert_eq!(keys, [1; KEYS]);
    println!("FIGURE {} records over 2 splits, 2 merges and a death, {} of them again", 61 * KEYS, log.repeats);
}

#[tokio::test]
async fn sinks_share_the_shards_and_a_stop_gives_them_back_at_once_or_skipped_without_endpoint() {
    let oldest = config::Start::Oldest;
    let Some(emulator) = Emulator::start("WINDWARD_DYNAMODB_ENDPOINT", "shared", 4, oldest).await else { return };
    let first = Sink::start(&emulator);
    first.holds(4).await;
    let second = Sink::start(&emulator);
    second.holds(2).await;
    first.holds(2).await;
    let (begun_ms, mut second) = (clock::mono_ms(), second);
    first.stop().await;
    second.holds(4).await;
    assert!(clock::mono_ms() - begun_ms < crate::shards::LEASE_MS, "it did not wait for the end of the leases");
    emulator.put(0..1).await;
    for _ in 0..KEYS {
        second.next().await;
    }
}

#[tokio::test]
async fn the_latest_are_those_since_a_sink_first_saw_the_stream_or_skipped_without_endpoint() {
    let latest = config::Start::Latest;
    let Some(emulator) = Emulator::start("WINDWARD_DYNAMODB_ENDPOINT", "latest", 1, latest).await else { return };
    emulator.put(0..3).await;
    let first = Sink::start(&emulator);
    first.holds(1).await;
    // It is stopped before it has stored anything; what comes while it is away is not lost for that.
    first.stop().await;
    emulator.put(3..4).await;
    let mut second = Sink::start(&emulator);
    for _ in 0..KEYS {
        assert_eq!(second.next().await.1, 3);
    }
}

#[tokio::test]
async fn a_record_left_undone_comes_again_with_all_behind_it_or_skipped_without_endpoint() {
    let oldest = config::Start::Oldest;
    let Some(emulator) = Emulator::start("WINDWARD_DYNAMODB_ENDPOINT", "undone", 1, oldest).await else { return };
    emulator.put(0..1).await;
    let mut sink = Sink::start(&emulator);
    for index in 0..KEYS {
        let (key, _, reply) = sink.next().await;
        assert_eq!(key, index);
        if index != 3 {
            reply.stored().await;
        }
    }
    let mut held = Vec::new();
    for index in 3..KEYS {
        let (key, _, reply) = sink.next().await;
        assert_eq!(key, index);
        // Once more the first is not stored: a stop writes no position beyond it.
        if index > 3 {
            reply.stored().await;
        }
        held.push(reply);
    }
    sink.stop().await;
    let mut sink = Sink::start(&emulator);
    assert_eq!(sink.next().await.0, 3);
}

/// Its children wait for it, so it must not be left at that.
#[tokio::test]
async fn so_does_one_of_a_shard_that_was_read_to_its_end_or_skipped_without_kinesalite() {
    let oldest = config::Start::Oldest;
    let Some(emulator) = Emulator::start("WINDWARD_KINESALITE_ENDPOINT", "ended", 1, oldest).await else { return };
    emulator.put(0..1).await;
    emulator.split().await;
    emulator.put(1..2).await;
    let (mut sink, mut replies) = (Sink::start(&emulator), Vec::new());
    for _ in 0..KEYS {
        let (_, number, reply) = sink.next().await;
        assert_eq!(number, 0);
        replies.push(reply);
    }
    // At its end it is behind by nothing, and stays so.
    let mut polls = 0;
    let is_at_end = async || {
        polls = if sink.counts.behind_ms.load(Ordering::Relaxed) == 0 { polls + 1 } else { 0 };
        (polls == 20).then_some(())
    };
    eventually("the end of the shard", is_at_end).await;
    drop(replies.remove(0));
    for reply in replies {
        reply.stored().await;
    }
    let mut log = Log::default();
    while !log.has_all(2) {
        let (key, number, reply) = sink.next().await;
        log.came(key, number);
        reply.stored().await;
    }
    assert_eq!(log.repeats, 0);
}

#[tokio::test]
async fn no_more_is_read_while_there_is_no_room_or_skipped_without_endpoint() {
    let oldest = config::Start::Oldest;
    let Some(emulator) = Emulator::start("WINDWARD_DYNAMODB_ENDPOINT", "room", 1, oldest).await else { return };
    emulator.put(0..ROOM / KEYS + 2).await;
    let mut sink = Sink::start(&emulator);
    let mut replies = Vec::new();
    for _ in 0..ROOM {
        replies.push(sink.next().await.2);
    }
    let more = tokio::time::timeout(Duration::from_secs(2), sink.incoming.recv()).await;
    assert!(more.is_err(), "a record without room for it");
    let reply = replies.remove(0);
    reply.stored().await;
    drop(reply);
    sink.next().await;
}

#[tokio::test]
async fn a_service_in_distress_delays_and_loses_nothing_or_skipped_without_kinesalite() {
    let oldest = config::Start::Oldest;
    let Some(mut emulator) = Emulator::start("WINDWARD_KINESALITE_ENDPOINT", "distress", 1, oldest).await else {
        return;
    };
    let distress = Distress::before(emulator.config.endpoint.take().unwrap()).await;
    emulator.config.endpoint = Some(distress.endpoint.clone());
    let (mut sink, mut log) = (Sink::start(&emulator), Log::default());
    for number in 0..24 {
        emulator.put(number..number + 1).await;
        while !log.has_all(number + 1) {
            let (key, number, reply) = sink.next().await;
            log.came(key, number);
            reply.stored().await;
        }
    }
    assert_eq!(log.repeats, 0);
    let failed = distress.failed.lock().unwrap().clone();
    assert_eq!(failed.len(), 4, "every kind of failure: {failed:?}");
    println!("FIGURE {} records, none twice, through {failed:?}", 24 * KEYS);
    sink.stop().await;
    let key = Stream::open(&emulator.config).await.key().await.unwrap();
    let leases = emulator.store.leases(&key).await.unwrap();
    assert!(matches!(leases["shardId-000000000000"].position, Position::After(_)));
}

/// A stream that was deleted and made anew has the same shards by name, and none of the old positions hold.
#[tokio::test]
async fn a_stream_made_anew_is_read_from_its_start_or_skipped_without_kinesalite() {
    let oldest = config::Start::Oldest;
    let Some(emulator) = Emulator::start("WINDWARD_KINESALITE_ENDPOINT", "anew", 1, oldest).await else { return };
    emulator.put(0..2).await;
    let mut sink = Sink::start(&emulator);
    for _ in 0..2 * KEYS {
        sink.next().await.2.stored().await;
    }
    sink.stop().await;
    let stream = Stream::open(&emulator.config).await;
    let old = stream.key().await.unwrap();
    // The emulator numbers records by whole seconds of their stream's life; the service needs longer to delete one.
    let made_anew = async || {
        let (client, name) = (&emulator.client, &emulator.config.stream);
        client.delete_stream().stream_name(name).send().await.ok()?;
        eventually("the stream anew", async || {
            client.create_stream().stream_name(name).shard_count(1).send().await.ok()
        })
        .await;
        emulator.active().await;
        stream.key().await.ok().filter(|new| *new != old)
    };
    let new = eventually("a stream of another second", made_anew).await;
    emulator.put(0..1).await;
    // By one who does not notice: the positions of the old one are refused, and passed over.
    for (shard, lease) in emulator.store.leases(&old).await.unwrap() {
        emulator.store.put_lease(&new, &Write { shard, lease, expected: None }).await.unwrap();
    }
    let mut sink = Sink::start(&emulator);
    for _ in 0..KEYS {
        assert_eq!(sink.next().await.1, 0);
    }
}
