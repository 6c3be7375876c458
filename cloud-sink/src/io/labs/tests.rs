//! The outputs against streams and tables of others' making (ministack, kinesalite), with faults before them.

mod emulator;

use super::*;
use crate::config::{Config, LabsFormat, Store as Place};
use crate::decode::{Delivery, Origin};
use crate::io::dynamodb::DynamoDb;
use crate::io::intake::Intake;
use crate::notify::Policy;
use crate::place::sortable_time;
use emulator::{Emulator, Fault, Proxy};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use windward_protocol::batch::BatchBuilder;
use windward_protocol::{AgentId, BlockBuilder, Channel, Lane, Quantity, Record, Row, Stats, Value, topic};

const DYNAMODB: &str = "WINDWARD_DYNAMODB_ENDPOINT";
const KINESALITE: &str = "WINDWARD_KINESALITE_ENDPOINT";
const T0: i64 = 1_795_182_840_000;
/// Readings of a block: more than one call of PutRecords takes, together with those of another block.
const ROWS: i64 = 300;

fn wind() -> Channel {
    Channel { name: "wind".into(), quantity: Quantity::WindSpeed, unit: "m/s".into() }
}

fn envelope(seq: u64, record: Record) -> Vec<u8> {
    let agent = AgentId::new("t1").unwrap();
    Envelope { agent, epoch: 7, lane: Lane::Readings, seq, record }.encode().unwrap()
}

/// A second each; speed and score say which.
fn block(seq: u64) -> Vec<u8> {
    let mut block = BlockBuilder::new(&AgentId::new("t1").unwrap(), "nacelle", "Turbine 1", &[wind()], true);
    for row in 0..ROWS {
        let mantissa = seq as i64 * ROWS + row;
        let readings = vec![Ok(Value::Int { mantissa, exponent: -2 })];
        block.push(&Row { time_ms: T0 + 1_000 * mantissa, readings, scores: vec![Some(row as f32 / 100.0)] }).unwrap();
    }
    envelope(seq, Record::Block(block.finish().unwrap()))
}

fn window(seq: u64, start_ms: i64, max: f64) -> Vec<u8> {
    let (mean, min, std) = (8.0, 4.0, 1.0);
    envelope(
        seq,
        Record::Stats(Stats {
            device: "nacelle".into(),
            channel: wind(),
            start_ms,
            window_ms: 600_000,
            n: 600,
            due: 600,
            mean,
            min,
            max,
            std,
            gust_3s: None,
        }),
    )
}

fn payload(envelopes: &[Vec<u8>]) -> Vec<u8> {
    let mut batch = BatchBuilder::new();
    envelopes.iter().for_each(|envelope| assert!(batch.push(envelope)));
    batch.finish()
}

fn delivery(envelopes: &[Vec<u8>]) -> Delivery {
    let from = Origin::Topic(topic::of_lane(&AgentId::new("t1").unwrap(), Lane::Readings));
    Delivery { from, payload: payload(envelopes) }
}

/// Two blocks and two windows, of one of which the agent was started anew within it.
fn deliveries() -> Vec<Delivery> {
    let windows = [window(3, T0, 13.1), window(4, T0 + 600_000, 11.0), window(5, T0 + 600_000, 10.5)];
    vec![delivery(&[block(1)]), delivery(&[block(2)]), delivery(&windows)]
}

/// The records that these deliveries make: of readings with at least this score, in hundredths.
fn anomalies(from_score: i64) -> Vec<String> {
    let record = |mantissa: i64, row: i64| {
        let reading = Scored { location: "", time_ms: 0, speed: mantissa as f64 / 100.0, score: row as f64 / 100.0 };
        anomaly_record(LabsFormat::Json, &Scored { location: "Turbine 1", ..reading })
    };
    (1..3)
        .flat_map(|seq| (from_score..ROWS).map(move |row| (seq * ROWS + row, row)))
        .map(|(m, r)| record(m, r))
        .collect()
}

const MAXIMA: [&str; 3] = ["\"Turbine 1\",13.1", "\"Turbine 1\",11", "\"Turbine 1\",10.5"];

async fn sqlite(directory: &Path) -> (PathBuf, Store) {
    let file = directory.join("farm.db");
    (file.clone(), Store::open(&Place::Sqlite(file)).await.unwrap())
}

async fn intake(store: &Store, labs: &config::Labs) -> Intake {
    Intake::new("north-ridge".into(), Policy::default(), store.clone()).with_labs(Labs::open(labs).await)
}

async fn committed(store: &Store) -> u64 {
    let ledger = store.ledger().await.unwrap();
    ledger.iter().flat_map(|row| row.seen.ranges()).map(|range| range.last - range.first + 1).sum()
}

/// Speed and score of an item, by its time.
fn wind_data() -> BTreeMap<String, String> {
    let item = |mantissa: i64, row: i64| {
        let (score, speed) = (row as f64 / 100.0, mantissa as f64 / 100.0);
        let said = format!("anomaly_score={score} location=\"Turbine 1\" wind_speed={speed}");
        (sortable_time(T0 + 1_000 * mantissa), said)
    };
    (1..3).flat_map(|seq| (0..ROWS).map(move |row| item(seq * ROWS + row, row))).collect()
}

fn diy() -> BTreeMap<String, String> {
    let item = |start_ms, max| (sortable_time(start_ms), format!("location=\"Turbine 1\" max_wind_speed={max}"));
    BTreeMap::from([item(T0, 13.1), item(T0 + 600_000, 11.0)])
}

fn times(times: usize, records: &[String]) -> Vec<String> {
    let mut all = vec![records; times].concat();
    all.sort();
    all
}

async fn sorted(emulator: &Emulator, stream: &str) -> Vec<String> {
    let mut records = emulator.records(stream).await;
    records.sort();
    records
}

#[tokio::test]
async fn an_output_that_fails_holds_the_commit_back_or_skipped_without_endpoint() {
    let Some(emulator) = Emulator::start(DYNAMODB, "failing").await else { return };
    let directory = tempfile::tempdir().unwrap();
    let (_, store) = sqlite(directory.path()).await;
    let proxy = Proxy::before(&emulator.endpoint).await;
    let labs = config::Labs { endpoint: Some(proxy.endpoint.clone()), ..emulator.all().await };
    let mut intake = intake(&store, &labs).await;
    // In the order in which they are put.
    for what in ["anomalies", "maxima", "wind", "diy"] {
        proxy.fault(Fault::Away(emulator.named(what)));
        let error = format!("{:#}", intake.take(&deliveries()).await.unwrap_err());
        assert!(error.starts_with("labs: ") && error.contains(&emulator.named(what)), "{error}");
        assert!(error.contains("ResourceNotFoundException"), "{error}");
        assert_eq!(committed(&store).await, 0);
    }
    proxy.fault(Fault::None);
    intake.take(&deliveries()).await.unwrap();
    assert_eq!(committed(&store).await, 5);
    // What was in a stream already was not put again.
    assert_eq!(emulator.records("anomalies").await, anomalies(0));
    assert_eq!(emulator.records("maxima").await, MAXIMA);
    assert_eq!((emulator.items("wind").await, emulator.items("diy").await), (wind_data(), diy()));
    // What comes again is in the ledger.
    intake.take(&deliveries()).await.unwrap();
    assert_eq!(emulator.records("anomalies").await.len(), anomalies(0).len());
}

#[tokio::test]
async fn what_fails_of_a_call_is_put_again_and_nothing_else_or_skipped_without_endpoint() {
    let Some(emulator) = Emulator::start(DYNAMODB, "in-part").await else { return };
    let directory = tempfile::tempdir().unwrap();
    let (_, store) = sqlite(directory.path()).await;
    let proxy = Proxy::before(&emulator.endpoint).await;
    let labs = config::Labs { endpoint: Some(proxy.endpoint.clone()), ..emulator.all().await };
    proxy.fault(Fault::InPart);
    intake(&store, &labs).await.take(&deliveries()).await.unwrap();
    assert_eq!(sorted(&emulator, "anomalies").await, times(1, &anomalies(0)));
    assert_eq!(sorted(&emulator, "maxima").await, times(1, &MAXIMA.map(String::from)));
    assert_eq!((emulator.items("wind").await, emulator.items("diy").await), (wind_data(), diy()));
}

/// The outputs come first; so a sink that dies before its commit repeats, and loses nothing.
#[tokio::test]
async fn a_crash_before_the_commit_repeats_records_and_no_items_or_skipped_without_endpoint() {
    let Some(emulator) = Emulator::start(DYNAMODB, "crash").await else { return };
    let directory = tempfile::tempdir().unwrap();
    let (file, store) = sqlite(directory.path()).await;
    let labs = emulator.all().await;
    let other = rusqlite::Connection::open(&file).unwrap();
    other.execute_batch("CREATE TRIGGER full BEFORE INSERT ON ledger BEGIN SELECT RAISE(ABORT, 'full'); END").unwrap();
    let mut first = intake(&store, &labs).await;
    for _ in 0..3 {
        let error = format!("{:#}", first.take(&deliveries()).await.unwrap_err());
        assert!(error.contains("full"), "{error}");
        assert_eq!(committed(&store).await, 0);
        // However often it tries.
        assert_eq!(sorted(&emulator, "anomalies").await, times(1, &anomalies(0)));
    }
    drop(first);
    other.execute_batch("DROP TRIGGER full").unwrap();
    intake(&store, &labs).await.take(&deliveries()).await.unwrap();
    assert_eq!(committed(&store).await, 5);
    assert_eq!(sorted(&emulator, "anomalies").await, times(2, &anomalies(0)));
    assert_eq!(sorted(&emulator, "maxima").await, times(2, &MAXIMA.map(String::from)));
    assert_eq!((emulator.items("wind").await, emulator.items("diy").await), (wind_data(), diy()));
}

/// The whole sink, from a stream of agents' records to the labs' streams and tables.
async fn by_the_whole_sink(emulator: &Emulator, store: Place, labs: config::Labs) {
    let source = format!(
        "farm = \"north-ridge\"\n[kinesis]\nstream = \"{}\"\nregion = \"eu-west-1\"\nendpoint = \"{}\"\n\
         [store]\nsqlite = \"farm.db\"\n[http]\nlisten = \"127.0.0.1:0\"\n",
        emulator.named("source"),
        emulator.endpoint
    );
    let config = Config { store, labs: Some(labs), ..Config::from_toml(&source, "test").unwrap() };
    // An agent that did not hear the answer puts it once more.
    for delivery in deliveries().into_iter().chain(deliveries()) {
        emulator.put(delivery.payload).await;
    }
    let running = crate::io::start(config).await.unwrap();
    let all = async {
        while running.counters().envelopes + running.counters().repeated < 10 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(40), all).await.expect("all that was put");
    let counters = running.counters();
    assert_eq!((counters.envelopes, counters.repeated, counters.labs_left_out), (5, 5, 0));
    assert_eq!(counters.labs_records as usize, emulator.records("anomalies").await.len() + MAXIMA.len());
    running.stop().await.unwrap();
    assert_eq!(emulator.records("maxima").await, MAXIMA);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_four_outputs_of_a_sink_with_dynamodb_or_skipped_without_endpoint() {
    let Some(emulator) = Emulator::start(DYNAMODB, "whole").await else { return };
    let dynamodb = config::DynamoDb {
        endpoint: Some(emulator.endpoint.clone()),
        region: Some("eu-west-1".into()),
        prefix: emulator.named(""),
        layout: config::Layout::Packed,
        keep_days: None,
    };
    DynamoDb::open(&dynamodb).await.create_tables().await.unwrap();
    let labs = emulator.all().await;
    by_the_whole_sink(&emulator, Place::DynamoDb(dynamodb), labs.clone()).await;
    assert_eq!(emulator.records("anomalies").await, anomalies(0));
    assert_eq!((emulator.items("wind").await, emulator.items("diy").await), (wind_data(), diy()));
    let found = Labs::open(&labs).await.check().await.unwrap();
    assert_eq!(found, ["anomalies", "maxima", "wind", "diy"].map(|what| emulator.named(what)).join(", "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_alone_of_a_sink_with_sqlite_or_skipped_without_kinesalite() {
    let Some(emulator) = Emulator::start(KINESALITE, "whole").await else { return };
    let directory = tempfile::tempdir().unwrap();
    let labs = config::Labs { from_score: Some(2.5), ..emulator.streams() };
    by_the_whole_sink(&emulator, Place::Sqlite(directory.path().join("farm.db")), labs).await;
    assert_eq!(emulator.records("anomalies").await, anomalies(250));
}

#[tokio::test]
async fn a_table_whose_keys_cannot_tell_locations_apart_is_refused_or_skipped_without_endpoint() {
    let Some(emulator) = Emulator::start(DYNAMODB, "keys").await else { return };
    let labs = config::Labs { diy_table: Some(emulator.named("agents")), ..emulator.streams() };
    let dynamodb = config::DynamoDb {
        endpoint: labs.endpoint.clone(),
        region: labs.region.clone(),
        prefix: emulator.named(""),
        layout: config::Layout::Packed,
        keep_days: None,
    };
    DynamoDb::open(&dynamodb).await.create_tables().await.unwrap();
    let error = Labs::open(&labs).await.check().await.unwrap_err().to_string();
    assert!(error.contains("its keys are [\"pk\"], not [\"location\", \"timestamp\"]"), "{error}");
    let labs = config::Labs { maximum_stream: Some("nobody's".into()), ..emulator.streams() };
    let error = Labs::open(&labs).await.check().await.unwrap_err().to_string();
    assert!(error.starts_with("stream nobody's: "), "{error}");
}
