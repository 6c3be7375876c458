//! Streams of others' making, and before them a service in distress.

use super::{DEADLINE, KEYS};
use crate::config;
use crate::io::aws;
use crate::io::store::Store;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, StreamStatus};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(super) struct Emulator {
    pub(super) client: Client,
    pub(super) config: config::Kinesis,
    pub(super) store: Store,
    _directory: tempfile::TempDir,
}

impl Emulator {
    /// A stream of its own on the server that the variable names, and a SQLite file for the leases.
    pub(super) async fn start(variable: &str, stream: &str, shards: i32, start: config::Start) -> Option<Self> {
        let Ok(endpoint) = std::env::var(variable) else {
            eprintln!("skipped: {variable} is not set");
            return None;
        };
        let stream = format!("{stream}-{}", std::process::id());
        let config =
            config::Kinesis { stream, region: Some("eu-west-1".into()), endpoint: Some(endpoint.clone()), start };
        let client = Client::new(&aws::load(Some(&endpoint), Some("eu-west-1")).await);
        client.create_stream().stream_name(&config.stream).shard_count(shards).send().await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&config::Store::Sqlite(directory.path().join("farm.db"))).await.unwrap();
        let emulator = Self { client, config, store, _directory: directory };
        emulator.active().await;
        Some(emulator)
    }

    pub(super) async fn active(&self) {
        let is_active = async || {
            let asked = self.client.describe_stream_summary().stream_name(&self.config.stream).send().await.unwrap();
            let summary = asked.stream_description_summary.unwrap();
            (summary.stream_status == StreamStatus::Active).then_some(())
        };
        eventually("an active stream", is_active).await;
    }

    /// One record a key, each holding the number.
    pub(super) async fn put(&self, numbers: std::ops::Range<usize>) {
        for number in numbers {
            let entry = |key: usize| {
                let entry = PutRecordsRequestEntry::builder().partition_key(format!("turbine-{key:02}"));
                entry.data(Blob::new(number.to_string())).build().unwrap()
            };
            let put = self.client.put_records().stream_name(&self.config.stream);
            let put = put.set_records(Some((0..KEYS).map(entry).collect())).send().await.unwrap();
            assert_eq!(put.failed_record_count.unwrap_or_default(), 0);
        }
    }

    pub(super) async fn open_shards(&self) -> Vec<(String, u128, u128)> {
        let listed = self.client.list_shards().stream_name(&self.config.stream).send().await.unwrap();
        let open = listed.shards.unwrap().into_iter().filter_map(|shard| {
            let is_open = shard.sequence_number_range.unwrap().ending_sequence_number.is_none();
            let keys = shard.hash_key_range.unwrap();
            let bound = |text: String| text.parse().unwrap();
            is_open.then(|| (shard.shard_id, bound(keys.starting_hash_key), bound(keys.ending_hash_key)))
        });
        open.collect()
    }

    /// Splits the first open shard in its middle.
    pub(super) async fn split(&self) {
        let (shard, from, to) = self.open_shards().await.remove(0);
        let split = self.client.split_shard().stream_name(&self.config.stream).shard_to_split(shard);
        split.new_starting_hash_key((from + (to - from) / 2).to_string()).send().await.unwrap();
        self.active().await;
    }

    /// Merges the two that lie last.
    pub(super) async fn merge(&self) {
        let mut open = self.open_shards().await;
        open.sort_by_key(|(_, from, _)| *from);
        let [.., (left, ..), (right, ..)] = open.as_slice() else { panic!("two open shards") };
        let merge = self.client.merge_shards().stream_name(&self.config.stream).shard_to_merge(left);
        merge.adjacent_shard_to_merge(right).send().await.unwrap();
        self.active().await;
    }
}

pub(super) async fn eventually<T>(what: &str, mut there: impl AsyncFnMut() -> Option<T>) -> T {
    let waiting = async {
        loop {
            if let Some(found) = there().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(DEADLINE, waiting).await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

/// Before the stream, a service in distress: calls fail in runs longer than the client's own patience.
pub(super) struct Distress {
    pub(super) endpoint: String,
    pub(super) failed: Arc<Mutex<BTreeMap<&'static str, u64>>>,
}

impl Distress {
    pub(super) async fn before(endpoint: String) -> Self {
        let failed: Arc<Mutex<BTreeMap<&'static str, u64>>> = Arc::default();
        let (count, calls) = (failed.clone(), Arc::new(AtomicU64::new(0)));
        let answer = move |request: axum::extract::Request| {
            let (endpoint, count, calls) = (endpoint.clone(), count.clone(), calls.clone());
            async move {
                let target = request.headers()["x-amz-target"].to_str().unwrap().to_string();
                let is_read = target.ends_with("GetRecords") || target.ends_with("GetShardIterator");
                let call = if is_read { calls.fetch_add(1, Ordering::Relaxed) } else { 0 };
                let fault = match call / 4 % 8 {
                    1 if call % 4 == 0 && target.ends_with("GetRecords") => Some((400, "ExpiredIteratorException")),
                    3 => Some((400, "ProvisionedThroughputExceededException")),
                    5 => Some((400, "LimitExceededException")),
                    7 => Some((500, "InternalFailureException")),
                    _ => None,
                };
                if let Some((status, name)) = fault {
                    *count.lock().unwrap().entry(name).or_default() += 1;
                    return (axum::http::StatusCode::from_u16(status).unwrap(), format!("{{\"__type\":\"{name}\"}}"));
                }
                let body = axum::body::to_bytes(request.into_body(), usize::MAX).await.unwrap();
                let asked = tokio::task::spawn_blocking(move || {
                    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
                    let ask = agent.post(&endpoint).header("X-Amz-Target", &target).header("Authorization", SIGNED);
                    let ask = ask.header("Content-Type", "application/x-amz-json-1.1").header("X-Amz-Date", "now");
                    let mut answer = ask.send(&body[..]).unwrap();
                    (answer.status(), answer.body_mut().read_to_string().unwrap())
                });
                asked.await.unwrap()
            }
        };
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let app = axum::Router::new().route("/", axum::routing::post(answer));
        tokio::spawn(async { axum::serve(listener, app).await.unwrap() });
        Self { endpoint, failed }
    }
}

/// Of its form alone: the emulator does not check who signs.
const SIGNED: &str =
    "AWS4-HMAC-SHA256 Credential=test/20261122/eu-west-1/kinesis/aws4_request, SignedHeaders=host, Signature=0";
