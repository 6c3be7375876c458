//! The whole sink on a Kinesis stream, with both stores: ministack is the stream, and DynamoDB too.

use crate::farm::{Place, T0, commit, deliveries, endpoint};
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_kinesis::primitives::Blob;
use aws_smithy_http_client::Builder;
use std::time::Duration;
use windward_sink::config::Config;
use windward_sink::io;
use windward_sink::io::store::Store;
use windward_sink::notify::Policy;
use windward_sink::shards::{Lease, Position, Write};

/// How long anything may take before the test fails.
const DEADLINE: Duration = Duration::from_secs(40);

async fn stream(endpoint: &str, name: &str) -> (Client, String) {
    let config = aws_sdk_kinesis::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(Builder::new().build_http())
        .endpoint_url(endpoint)
        .region(Region::new("eu-west-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .build();
    let (client, name) = (Client::from_conf(config), format!("{name}-{}", std::process::id()));
    client.create_stream().stream_name(&name).shard_count(2).send().await.unwrap();
    (client, name)
}

async fn until(what: &str, mut reached: impl FnMut() -> bool) {
    let waiting = async {
        while !reached() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, waiting).await.unwrap_or_else(|_| panic!("waited in vain for {what}"));
}

/// What others may put into the stream, and why it is refused.
fn foreign() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let alert = deliveries()[4].payload.clone();
    vec![
        ("t1", b"{\"location\":\"Turbine 1\",\"speed\":31.2}".to_vec(), "JSON, for consumers that are not ours"),
        ("t1", b"\xf3\x89\x9a\xc2\x0a\x02t1".to_vec(), "aggregated by the Kinesis Producer Library"),
        ("t2", alert.clone(), "agent t1 inside, partition key t2"),
        ("some key", alert, "partition key \"some key\" names no agent"),
        ("t1", vec![7; 700_000], "batch: "),
    ]
}

async fn what_is_in_the_stream_is_stored_and_told_once(store: &str, place: Place, endpoint: &str, name: &str) {
    let (client, name) = stream(endpoint, name).await;
    let put = async |key: &str, payload: Vec<u8>| {
        let put = client.put_record().stream_name(&name).partition_key(key).data(Blob::new(payload));
        put.send().await.unwrap();
    };
    let text = format!(
        "farm = \"north-ridge\"\n[kinesis]\nstream = \"{name}\"\nregion = \"eu-west-1\"\nendpoint = \"{endpoint}\"\n\
         [store]\n{store}\n[http]\nlisten = \"127.0.0.1:0\"\nguarded = true\n"
    );
    let config = Config::from_toml(&text, "test").unwrap();
    // An agent that did not hear the answer puts it once more.
    for delivery in deliveries().iter().chain(&deliveries()) {
        put("t1", delivery.payload.clone()).await;
    }
    for (key, payload, _) in foreign() {
        put(key, payload).await;
    }
    // Behind what nobody understands: it stops nothing.
    put("t1", crate::farm::open_alert(9, 7).payload).await;
    let records = 2 * deliveries().len() as u64 + foreign().len() as u64 + 1;

    let running = io::start(config.clone()).await.unwrap();
    until("all records", || running.counters().deliveries == records).await;
    let counters = running.counters();
    assert_eq!((counters.envelopes, counters.readings, counters.repeated), (11, 60, 10));
    assert!(counters.connected);
    until("two shards, at their ends", || running.counters().shards == 2 && running.counters().behind_ms < 2_000).await;
    running.stop().await.unwrap();
    let refused: Vec<String> = place.store.poison(10).await.unwrap().into_iter().map(|row| row.reason).collect();
    for (_, _, reason) in foreign() {
        assert!(refused.iter().any(|refused| refused.starts_with(reason)), "{reason}: {refused:?}");
    }

    // The same rows as by MQTT.
    let by_mqtt = Place::sqlite().await;
    commit(&by_mqtt.store, Policy::default(), &deliveries(), T0).await;
    commit(&by_mqtt.store, Policy::default(), &[crate::farm::open_alert(9, 7)], T0).await;
    assert_eq!(crate::farm::rows(&place.store).await, crate::farm::rows(&by_mqtt.store).await);

    // Stopped with everything stored, it takes up where it was.
    put("t1", crate::farm::open_alert(10, 8).payload).await;
    let running = io::start(config).await.unwrap();
    until("what is new", || running.counters().deliveries == 1).await;
    until("the shards", || running.counters().shards == 2).await;
    assert_eq!((running.counters().deliveries, running.counters().repeated), (1, 0));
    running.stop().await.unwrap();
}

/// A lease is written by whoever knows how it stands, and by nobody else.
async fn a_lease_is_written_only_over_the_one_that_was_seen(place: Place) {
    let write = |position: &Position, owner: &str, counter, expected| {
        let lease = Lease { position: position.clone(), owner: owner.into(), counter };
        Write { shard: "shardId-000000000000".into(), lease, expected }
    };
    let after = Position::After("49590338271490256608559692538361571095921575989136588898".into());
    for (write, is_made) in [
        (write(&Position::Oldest, "a", 2, Some(1)), false),
        (write(&Position::Since(T0), "a", 1, None), true),
        (write(&Position::Oldest, "b", 1, None), false),
        (write(&after, "a", 2, Some(1)), true),
        (write(&Position::Oldest, "b", 2, Some(1)), false),
        (write(&Position::End, "", 3, Some(2)), true),
    ] {
        assert_eq!(place.store.put_lease("farm@1", &write).await.unwrap(), is_made, "{write:?}");
        let leases = place.store.leases("farm@1").await.unwrap();
        assert_eq!(leases.get(&write.shard) == Some(&write.lease), is_made);
    }
    assert_eq!(place.store.leases("farm@2").await.unwrap().len(), 0);
}

on_both_stores! {
    a_lease_is_written_only_over_the_one_that_was_seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_into_sqlite_or_skipped_without_endpoint() {
    let Some(endpoint) = endpoint() else { return };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("farm.db");
    let store = Store::open(&windward_sink::config::Store::Sqlite(file.clone())).await.unwrap();
    let place = Place::of(store);
    what_is_in_the_stream_is_stored_and_told_once(&format!("sqlite = {file:?}"), place, &endpoint, "into-sqlite").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_into_dynamodb_or_skipped_without_endpoint() {
    let (Some(endpoint), Some(place)) = (endpoint(), Place::dynamodb("stream").await) else { return };
    let store = format!(
        "dynamodb = {{ endpoint = \"{endpoint}\", region = \"eu-west-1\", prefix = \"{}\" }}",
        crate::farm::prefix("stream")
    );
    what_is_in_the_stream_is_stored_and_told_once(&store, place, &endpoint, "into-dynamodb").await;
}
