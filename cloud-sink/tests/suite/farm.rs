//! A small farm's deliveries, and a store to put them in.

use std::path::PathBuf;
use std::sync::Arc;
use windward_protocol::batch::BatchBuilder;
use windward_protocol::{
    AgentId, Alert, AlertKind, AlertPhase, BlockBuilder, Channel, DeviceManifest, Envelope, Gap, GapReason, Health,
    Hello, Lane, LaneHealth, NoData, Quantity, Record, Row, Severity, Stats, Value, topic,
};
use windward_sink::config;
use windward_sink::decode::{self, Delivery, Origin};
use windward_sink::io::dynamodb::DynamoDb;
use windward_sink::io::store::{Span, Store};
use windward_sink::notify::Policy;
use windward_sink::query;
use windward_sink::sink::{self, Plan, Tally};

pub(crate) const FARM: &str = "north-ridge";
pub(crate) const T0: i64 = 1_795_182_840_000;

pub(crate) fn agent() -> AgentId {
    AgentId::new("t1").unwrap()
}

pub(crate) fn channel(name: &str, quantity: Quantity, unit: &str) -> Channel {
    Channel { name: name.into(), quantity, unit: unit.into() }
}

pub(crate) fn channels() -> Vec<Channel> {
    vec![channel("wind_speed", Quantity::WindSpeed, "m/s"), channel("temperature", Quantity::Temperature, "°C")]
}

/// Ten rows, a second apart; wind in tenths of m/s; the temperature fails once.
pub(crate) fn block(first_ms: i64, tenths: i64) -> Record {
    let mut block = BlockBuilder::new(&agent(), "anemometer", "Turbine 1, nacelle", &channels(), true);
    for second in 0..10 {
        let wind = Value::Int { mantissa: tenths + second, exponent: -1 };
        let temperature = if second == 4 { Err(NoData::Timeout) } else { Ok(Value::F32(-3.5)) };
        let row = Row {
            time_ms: first_ms + second * 1000,
            readings: vec![Ok(wind), temperature],
            scores: vec![Some(0.5 + second as f32 / 10.0), None],
        };
        block.push(&row).unwrap();
    }
    Record::Block(block.finish().unwrap())
}

pub(crate) fn alert(id: u64, phase: AlertPhase, at_ms: i64) -> Alert {
    let (severity, words) = match phase {
        AlertPhase::Open => (Severity::Warning, "rose by 20 m/s within 1 s"),
        AlertPhase::Update => (Severity::Critical, "rose by 30 m/s within 2 s"),
        AlertPhase::Clear => (Severity::Info, "quiet for 10 s"),
    };
    Alert {
        id,
        phase,
        kind: AlertKind::Anomaly,
        severity,
        location: "Turbine 1, nacelle".into(),
        device: "anemometer".into(),
        channel: "wind_speed".into(),
        opened_ms: T0 + 20_000 + id as i64,
        at_ms,
        synced: true,
        value: Some(31.2),
        unit: "m/s".into(),
        wind_speed: Some(31.2),
        score: (phase != AlertPhase::Clear).then_some(4.25),
        threshold: Some(3.0),
        evidence: words.into(),
    }
}

pub(crate) fn envelope(lane: Lane, seq: u64, record: Record) -> Vec<u8> {
    let envelope = Envelope { agent: agent(), epoch: 0xabcd, lane, seq, record };
    envelope.encode().unwrap()
}

pub(crate) fn delivery(lane: Lane, envelopes: &[Vec<u8>]) -> Delivery {
    let mut batch = BatchBuilder::new();
    for envelope in envelopes {
        assert!(batch.push(envelope));
    }
    Delivery { from: Origin::Topic(topic::of_lane(&agent(), lane)), payload: batch.finish() }
}

/// Ten minutes of wind, of which `n` readings came.
pub(crate) fn stats(n: u32) -> Stats {
    Stats {
        device: "anemometer".into(),
        channel: channels().remove(0),
        start_ms: T0,
        window_ms: 600_000,
        n,
        due: 600,
        mean: 8.0,
        min: 4.0,
        max: 13.0,
        std: 1.0,
        gust_3s: (n > 100).then_some(12.5),
    }
}

pub(crate) fn open_alert(id: u64, seq: u64) -> Delivery {
    delivery(Lane::Alerts, &[alert_step(id, AlertPhase::Open, seq)])
}

/// A step of an alert: it opens at its time, and has ended ten seconds later.
pub(crate) fn alert_step(id: u64, phase: AlertPhase, seq: u64) -> Vec<u8> {
    let after_ms = if phase == AlertPhase::Clear { 10_000 } else { 0 };
    let record = Record::Alert(alert(id, phase, T0 + 20_000 + id as i64 + after_ms));
    envelope(Lane::Alerts, seq, record)
}

/// So many alerts that open after the others and end.
pub(crate) fn short_alerts(count: u64) -> Vec<Delivery> {
    let steps = |n| {
        let (id, seq) = (1_000 + n, 10_000 + 2 * n);
        [alert_step(id, AlertPhase::Open, seq), alert_step(id, AlertPhase::Clear, seq + 1)]
    };
    (0..count).map(|n| delivery(Lane::Alerts, &steps(n))).collect()
}

pub(crate) fn health(online: bool, at_ms: i64) -> Delivery {
    let lane = LaneHealth { waiting: 3, durable: 9, acked: 6 };
    let record = Record::Health(Health {
        online,
        at_ms,
        synced: true,
        uptime_ms: 1000,
        rss_kib: 9000,
        alerts: lane.clone(),
        readings: lane,
        dropped_rows: 0,
        spool_error: String::new(),
        devices: Vec::new(),
    });
    delivery(Lane::State, &[envelope(Lane::State, 0, record)])
}

/// Everything an agent can say on its durable lanes, and something nobody understands.
pub(crate) fn deliveries() -> Vec<Delivery> {
    let alerts = |seq, record| delivery(Lane::Alerts, &[envelope(Lane::Alerts, seq, record)]);
    let step = |seq, phase, at_ms| alerts(seq, Record::Alert(alert(7, phase, at_ms)));
    let hello = |seq, at_ms, version: &str| {
        let device = DeviceManifest {
            device: "anemometer".into(),
            location: "Turbine 1, nacelle".into(),
            link: "modbus tcp 127.0.0.1:502 slave 1".into(),
            interval_ms: 1000,
            channels: channels(),
        };
        let hello = Hello { version: version.into(), farm: FARM.into(), at_ms, devices: vec![device] };
        alerts(seq, Record::Hello(hello))
    };
    let stats = Record::Stats(stats(600));
    let gap = Record::Gap(Gap { lane: Lane::Readings, from: 3, to: 5, reason: GapReason::PowerCut });
    let first = [envelope(Lane::Readings, 1, block(T0, 80)), envelope(Lane::Readings, 2, block(T0 + 10_000, 95))];
    vec![
        hello(1, T0, "0.1.0"),
        delivery(Lane::Readings, &first),
        delivery(Lane::Readings, &[envelope(Lane::Readings, 6, block(T0 + 20_000, 120))]),
        delivery(Lane::Readings, &[envelope(Lane::Readings, 1024, stats)]),
        step(2, AlertPhase::Open, T0 + 20_007),
        step(3, AlertPhase::Update, T0 + 22_000),
        step(4, AlertPhase::Clear, T0 + 40_000),
        alerts(5, gap),
        hello(6, T0 + 50_000, "0.1.1"),
        Delivery { from: Origin::Topic(topic::of_lane(&agent(), Lane::Readings)), payload: b"\x07not ours".to_vec() },
    ]
}

/// Where a test's rows go; a directory that goes away with it.
pub(crate) struct Place {
    pub(crate) store: Store,
    _directory: Option<tempfile::TempDir>,
}

/// Where a DynamoDB, Kinesis and SNS that are not Amazon's listen, by `WINDWARD_DYNAMODB_ENDPOINT`.
pub(crate) fn endpoint() -> Option<String> {
    let endpoint = std::env::var("WINDWARD_DYNAMODB_ENDPOINT").ok();
    if endpoint.is_none() {
        eprintln!("skipped: WINDWARD_DYNAMODB_ENDPOINT is not set");
    }
    endpoint
}

/// The Python environment in which `tests/run` installs what is not ours.
pub(crate) fn peers() -> PathBuf {
    std::env::var_os("WINDWARD_PEERS").map(PathBuf::from).unwrap_or_else(|| {
        // <target>/<profile>/deps/<this test>
        std::env::current_exe().unwrap().ancestors().nth(3).unwrap().join("venv")
    })
}

/// First part of the tables' names of a test in DynamoDB.
pub(crate) fn prefix(name: &str) -> String {
    format!("test-{}-{name}-", std::process::id())
}

impl Place {
    /// A store that the test has opened.
    pub(crate) fn of(store: Store) -> Self {
        Self { store, _directory: None }
    }

    pub(crate) async fn sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = config::Store::Sqlite(directory.path().join("farm.db"));
        Self { store: Store::open(&config).await.unwrap(), _directory: Some(directory) }
    }

    /// Tables of its own under `name`, on the endpoint the environment names; `None` without one.
    pub(crate) async fn dynamodb(name: &str) -> Option<Self> {
        let endpoint = endpoint()?;
        let config = config::DynamoDb {
            endpoint: Some(endpoint),
            region: Some("eu-west-1".into()),
            prefix: prefix(name),
            layout: config::Layout::Item,
            keep_days: Some(30),
        };
        // Every hour of these tests is past, whatever the day.
        let dynamodb = DynamoDb::open(&config).await.with_clock(|| i64::MAX);
        dynamodb.create_tables().await.unwrap();
        Some(Self { store: Store::DynamoDb(dynamodb), _directory: None })
    }
}

pub(crate) async fn commit(store: &Store, policy: Policy, deliveries: &[Delivery], now_ms: i64) -> (Plan, Tally) {
    let named: Vec<_> = deliveries.iter().flat_map(decode::named).collect();
    let opened = sink::open(deliveries, store.schemas(&named).await.unwrap());
    let seen = store.seen(&opened.sequences()).await.unwrap();
    let plan = sink::plan(FARM, &policy, opened, &seen, now_ms);
    let before = store.commit(Arc::new(plan.rows.clone())).await.unwrap();
    let tally = plan.tally(&before);
    (plan, tally)
}

/// All that came of the deliveries, in a form to compare; what was refused left out, which says where it came from.
pub(crate) async fn rows(store: &Store) -> String {
    let span =
        Span { partition: "t1/anemometer".into(), from_ms: i64::MIN, to_ms: i64::MAX, after: None, limit: u64::MAX };
    // Which blocks share a row is a matter of which came together.
    let stored = store.readings(&span).await.unwrap().blocks;
    let mut blocks: Vec<_> = query::named_blocks(&stored).collect();
    blocks.sort_by(|(a, _), (b, _)| a.cmp(b));
    let stats = store.stats("t1/anemometer/wind_speed", i64::MIN, i64::MAX, 10).await.unwrap();
    let alerts = store.alerts(FARM, None, 100).await.unwrap();
    let mut ledger = store.ledger().await.unwrap();
    ledger.sort_by(|a, b| (&a.partition, a.bucket).cmp(&(&b.partition, b.bucket)));
    format!("{blocks:?}\n{stats:?}\n{alerts:?}\n{ledger:?}\n{:?}", store.gaps().await.unwrap())
}
