//! The sink's side alone: what others put into a topic, and several sinks that share one.

use crate::{SOON, TOPIC, cluster, sink, store, table};
use anyhow::{Context as _, Result, ensure};
use windward_protocol::batch::BatchBuilder;
use windward_protocol::{AgentId, Envelope, Gap, GapReason, Lane, Record};
use windward_sink::io::Running;
use windward_sink::shards::{Lease, Position, Write};
use windward_tests::kafka::KafkaMock;
use windward_tests::process::eventually;

const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];

/// A batch as an agent makes it, with one record that costs nothing to make.
fn batch(agent: &str, seq: u64) -> Result<Vec<u8>> {
    let record = Record::Gap(Gap { lane: Lane::Readings, from: 1, to: 2, reason: GapReason::Damage });
    let envelope = Envelope { agent: AgentId::new(agent)?, epoch: 7, lane: Lane::Alerts, seq, record };
    let mut batch = BatchBuilder::new();
    ensure!(batch.push(&envelope.encode()?), "a batch holds one");
    Ok(batch.finish())
}

async fn until(what: &str, sink: &Running, is: impl Fn(windward_sink::io::Counters) -> bool) -> Result<()> {
    eventually(SOON, what, async || Ok(is(sink.counters()).then_some(())))
        .await
        .with_context(|| format!("{:?}", sink.counters()))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_put_into_the_topic_is_kept_with_its_reason_and_stops_nothing() -> Result<()> {
    let Some(mut mock) = cluster(1).await? else { return Ok(()) };
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("farm.db");
    let own = batch("t1", 1)?;
    mock.put(TOPIC, 0, None, Some(&own), "none")?;
    mock.put(TOPIC, 0, Some("no name"), Some(&own), "none")?;
    mock.put(TOPIC, 0, Some("t2"), Some(&own), "none")?;
    mock.put(TOPIC, 0, Some("t1"), None, "none")?;
    mock.put(TOPIC, 0, Some("t1"), Some(b"{\"location\":\"Turbine 1\",\"speed\":31.2}"), "none")?;
    mock.damage(TOPIC, 0)?;
    mock.put(TOPIC, 0, Some("t1"), Some(&vec![7; 700_000]), "none")?;
    mock.mark(TOPIC, 0)?;
    mock.hollow(TOPIC, 0)?;
    mock.put_timeless(TOPIC, 0, "t1", &own)?;
    for (seq, codec) in (1..).zip(CODECS) {
        mock.put(TOPIC, 0, Some("t1"), Some(&batch("t1", seq)?), codec)?;
    }
    let running = sink(&table(&mock), &file).await?;
    until("all records", &running, |counters| counters.envelopes == 5).await?;
    until("the end", &running, |counters| counters.connected && counters.shards == 1 && counters.behind_ms < 2_000)
        .await?;
    // A batch that cannot be read is one delivery, whatever it holds.
    let counters = running.counters();
    ensure!((counters.deliveries, counters.envelopes, counters.poison) == (15, 5, 10), "{counters:?}");
    running.stop().await?;
    let refused = store(&file).await?.poison(20).await?;
    for (place, reason) in [
        ("kafka:windward/", "key \"\" names no agent"),
        ("kafka:windward/no name", "key \"no name\" names no agent"),
        ("kafka:windward/t2", "agent t1 inside, key t2"),
        ("kafka:windward/t1", "batch: "),
        ("kafka:windward/t1", "JSON, for consumers that are not ours"),
        ("kafka:windward/0@5-7", ""),
        ("kafka:windward/0@9-9", ""),
        ("kafka:windward/0@10-10", "nothing in it that could be read"),
        ("kafka:windward/0@11-11", "Not a valid timestamp"),
    ] {
        let is_there = refused.iter().any(|row| row.topic == place && row.reason.starts_with(reason));
        ensure!(is_there, "{place} {reason}: {refused:?}");
    }

    // Behind it all, and behind offsets without records, the next sink goes on where this one was.
    mock.hollow(TOPIC, 0)?;
    mock.hollow(TOPIC, 0)?;
    mock.put(TOPIC, 0, Some("t1"), Some(&batch("t1", 6)?), "none")?;
    let running = sink(&table(&mock), &file).await?;
    until("what is new", &running, |counters| counters.envelopes > 0).await?;
    let counters = running.counters();
    ensure!((counters.deliveries, counters.envelopes, counters.poison) == (2, 1, 1), "{counters:?}");
    running.stop().await
}

/// One record of each of four agents, each in a partition of its own.
fn put(mock: &mut KafkaMock, seq: u64) -> Result<()> {
    (0..4).try_for_each(|partition| {
        let agent = format!("t{partition}");
        mock.put(TOPIC, partition, Some(&agent), Some(&batch(&agent, seq)?), "none")
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn sinks_share_the_partitions_and_take_over_from_one_that_dies_or_stops() -> Result<()> {
    let Some(mut mock) = cluster(4).await? else { return Ok(()) };
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("farm.db");
    let first = sink(&table(&mock), &file).await?;
    put(&mut mock, 1)?;
    until("four partitions", &first, |counters| counters.shards == 4 && counters.envelopes == 4).await?;
    let second = sink(&table(&mock), &file).await?;
    until("its share", &second, |counters| counters.shards == 2).await?;
    until("its share", &first, |counters| counters.shards == 2).await?;
    put(&mut mock, 2)?;
    let stored = async |what: &str, seq: u64| -> Result<()> {
        let store = store(&file).await?;
        let all = async || {
            let ledger = store.ledger().await?;
            let has_all = |agent: &str| {
                let row = ledger.iter().find(|row| row.partition.starts_with(&format!("{agent}#")));
                row.is_some_and(|row| (1..=seq).all(|seq| row.seen.contains(seq)))
            };
            Ok(["t0", "t1", "t2", "t3"].into_iter().all(has_all).then_some(()))
        };
        eventually(SOON, what, all).await
    };
    stored("what came to two", 2).await?;

    // It dies without a word: its leases end by themselves.
    drop(first);
    put(&mut mock, 3)?;
    stored("what came to one that is dead", 3).await?;
    until("all partitions", &second, |counters| counters.shards == 4).await?;
    second.stop().await?;
    for (shard, lease) in store(&file).await?.leases("kafka:windward").await? {
        let stands = shard == "start" || lease.position == Position::After("2".into());
        ensure!(stands && lease.owner.is_empty(), "{shard}: {lease:?}");
    }

    // All of it was stored and said so: a third reads what is new, and nothing else.
    put(&mut mock, 4)?;
    let third = sink(&table(&mock), &file).await?;
    until("what is new", &third, |counters| counters.deliveries == 4 && counters.shards == 4).await?;
    ensure!(third.counters().repeated == 0, "{:?}", third.counters());
    third.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_latest_are_those_since_a_sink_first_saw_the_topic() -> Result<()> {
    let Some(mut mock) = cluster(4).await? else { return Ok(()) };
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("farm.db");
    put(&mut mock, 1)?;
    let latest = format!("{}start = \"latest\"\n", table(&mock));
    let first = sink(&latest, &file).await?;
    let is_begun = async || {
        let leases = store(&file).await?.leases("kafka:windward").await?;
        let begun = leases.values().filter(|lease| matches!(lease.position, Position::After(_))).count();
        Ok((begun == 4).then_some(()))
    };
    eventually(SOON, "positions at the end of all partitions", is_begun).await?;
    // It is stopped before it has stored anything; what comes while it is away is not lost for that.
    first.stop().await?;
    put(&mut mock, 2)?;
    let second = sink(&latest, &file).await?;
    until("what came in between", &second, |counters| counters.deliveries == 4).await?;
    second.stop().await
}

/// A topic that was deleted and made anew, and has not come as far as the old one.
#[tokio::test(flavor = "multi_thread")]
async fn a_position_that_the_topic_does_not_have_is_its_start() -> Result<()> {
    let Some(mut mock) = cluster(4).await? else { return Ok(()) };
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("farm.db");
    let lease = Lease { position: Position::After("1000".into()), owner: String::new(), counter: 1 };
    let write = Write { shard: "0".into(), lease, expected: None };
    ensure!(store(&file).await?.put_lease("kafka:windward", &write).await?, "the row is new");
    put(&mut mock, 1)?;
    let running = sink(&table(&mock), &file).await?;
    until("all records", &running, |counters| counters.envelopes == 4).await?;
    running.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_says_what_is_there_and_what_is_not() -> Result<()> {
    let Some(mock) = cluster(4).await? else { return Ok(()) };
    let told = async |source: &str| {
        let config = crate::config(source, &std::env::temp_dir().join("never.db"))?;
        windward_sink::io::kafka::check(&config.kafka.context("it has [kafka]")?).await
    };
    ensure!(told(&table(&mock)).await? == "windward, 4 partitions");
    let other = told(&table(&mock).replace(TOPIC, "other")).await.expect_err("no such topic").to_string();
    ensure!(other == "the cluster has no topic other for us", "{other}");
    Ok(())
}
