//! A farm with rows in a store, an archiver for it, and DuckDB to look at what that wrote.

use crate::farm::{FARM, Place, T0, channel, commit, open_alert, peers};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use windward_protocol::batch::BatchBuilder;
use windward_protocol::{
    AgentId, BlockBuilder, Channel, Envelope, Lane, NoData, Quantity, Record, Row, Stats, Value, topic,
};
use windward_sink::archive::{DataSet, Hour, hour_of};
use windward_sink::config::ArchivePlace;
use windward_sink::decode::{Delivery, Origin};
use windward_sink::io::archive::{Archiver, CLAIM_MS, Round};
use windward_sink::io::store::{Span, Store};
use windward_sink::notify::Policy;
use windward_sink::query;

pub(super) const HOUR: i64 = 3_600_000;
/// 2026-11-20T13:00Z, the first hour of the farm's readings.
pub(super) const H13: i64 = T0 - 54 * 60_000;
pub(super) const AGENTS: [&str; 3] = ["t1", "t1-b", "t2"];
/// Five seconds past: so a block lies on the turn of the hour.
pub(super) const BEGIN: i64 = T0 + 5_000;

// Moments: none of the two hours is closed, the first, both.
pub(super) fn at_1409() -> i64 {
    H13 + HOUR + 9 * 60_000
}
pub(super) fn at_1411() -> i64 {
    H13 + HOUR + 11 * 60_000
}
pub(super) fn at_1600() -> i64 {
    H13 + 3 * HOUR
}
pub(super) fn claim_later() -> i64 {
    at_1600() + CLAIM_MS
}

pub(super) fn channels() -> Vec<Channel> {
    vec![
        channel("wind_speed", Quantity::WindSpeed, "m/s"),
        channel("direction", Quantity::WindDirection, "°"),
        channel("power", Quantity::Power, "kW"),
        channel("oil", Quantity::Temperature, "°C"),
    ]
}

/// Ten rows of an agent's nacelle, from `index` times ten seconds on. Reads fail, floats are no numbers, and the oil is
/// due only every fifth time.
pub(super) fn block(agent: &AgentId, index: i64) -> Record {
    let mut block = BlockBuilder::new(agent, "nacelle", "Turbine, \"north\"", &channels(), index % 7 != 0);
    for second in 0..10 {
        let at = index * 10 + second;
        let wind = Value::Int { mantissa: 80 + (at * 37) % 50, exponent: -1 };
        let power = if at % 97 == 0 { f64::NAN } else { 100.25 + at as f64 };
        let readings = vec![
            if at % 11 == 3 { Err(NoData::Timeout) } else { Ok(wind) },
            Ok(Value::F32((at % 360) as f32)),
            if at % 50 == 7 { Err(NoData::Exception(4)) } else { Ok(Value::F64(power)) },
            if at % 5 == 0 { Ok(Value::F32(41.5)) } else { Err(NoData::NotDue) },
        ];
        let scores = vec![(at % 3 == 0).then_some(0.75), None, None, None];
        block.push(&Row { time_ms: BEGIN + at * 1000, readings, scores }).unwrap();
    }
    Record::Block(block.finish().unwrap())
}

pub(super) fn deliver(agent: &AgentId, lane: Lane, records: impl IntoIterator<Item = (u64, Record)>) -> Delivery {
    let mut batch = BatchBuilder::new();
    for (seq, record) in records {
        let envelope = Envelope { agent: agent.clone(), epoch: 0xabcd, lane, seq, record };
        assert!(batch.push(&envelope.encode().unwrap()));
    }
    Delivery { from: Origin::Topic(topic::of_lane(agent, lane)), payload: batch.finish() }
}

/// The blocks of this agent with these numbers.
pub(super) fn readings(agent: &str, blocks: std::ops::Range<i64>) -> Delivery {
    let agent = AgentId::new(agent).unwrap();
    deliver(&agent, Lane::Readings, blocks.map(|index| (index as u64 + 1, block(&agent, index))))
}

/// Twelve minutes of three turbines over the turn of an hour, their statistics, and two alerts.
pub(super) fn farm_deliveries() -> Vec<Delivery> {
    let mut deliveries: Vec<_> = AGENTS.into_iter().map(|agent| readings(agent, 0..72)).collect();
    for agent in AGENTS {
        let agent = AgentId::new(agent).unwrap();
        let stats = channels().into_iter().take(2).enumerate().map(|(index, channel)| {
            let mean = if index == 0 { 9.0 } else { 215.0 };
            let stats = Stats {
                device: "nacelle".into(),
                channel,
                start_ms: T0 - 4 * 60_000,
                window_ms: 600_000,
                n: 540,
                due: 600,
                mean,
                min: 4.0,
                max: 14.5,
                std: 1.5,
                gust_3s: (index == 0).then_some(13.5),
            };
            (1000 + index as u64, Record::Stats(stats))
        });
        deliveries.push(deliver(&agent, Lane::Readings, stats));
    }
    deliveries.extend([open_alert(7, 1), open_alert(8, 2)]);
    deliveries
}

/// A store with the farm's rows, an archiver for it, and where that writes.
pub(super) struct Site {
    pub(super) archiver: Archiver,
    pub(super) folder: tempfile::TempDir,
    _place: Place,
}

impl Site {
    pub(super) async fn new(place: Place) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let to = ArchivePlace::Folder(folder.path().join("archive"));
        let archiver = Archiver {
            store: place.store.clone(),
            place: windward_sink::io::archive::Place::open(&to).await.unwrap(),
            farm: FARM.into(),
            close_after_ms: 10 * 60_000,
            clock: at_1600,
        };
        Self { archiver, folder, _place: place }
    }

    pub(super) async fn with_farm(place: Place) -> Self {
        let site = Self::new(place).await;
        site.commit(&farm_deliveries()).await;
        site
    }

    pub(super) fn store(&self) -> &Store {
        &self.archiver.store
    }

    pub(super) async fn commit(&self, deliveries: &[Delivery]) {
        commit(self.store(), Policy::default(), deliveries, T0).await;
    }

    pub(super) async fn round(&self) -> Round {
        self.archiver.round().await.unwrap()
    }

    pub(super) fn files(&self) -> Vec<String> {
        files(&self.folder.path().join("archive"))
    }

    /// What DuckDB finds in the archive.
    pub(super) fn sums(&self) -> Option<Sums> {
        sums_of(self.folder.path())
    }
}

/// Files below a folder, by their paths from it.
pub(super) fn files(folder: &Path) -> Vec<String> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path.strip_prefix(folder).unwrap().to_str().unwrap().to_string());
            }
        }
    }
    files.sort();
    files
}

pub(super) fn hour(set: DataSet, start_ms: i64) -> Hour {
    Hour { farm: FARM.into(), set, start_ms }
}

/// By hour, agent and channel: rows, rows with a value, sum of the values, rows with a reason, sum of the scores.
pub(super) type Sums = BTreeMap<(i64, String, String), (u64, u64, f64, u64, f64)>;

/// The sums of what the store answers to a client.
pub(super) async fn sums_in(store: &Store) -> Sums {
    let mut sums = Sums::new();
    for agent in AGENTS {
        let span = Span {
            partition: format!("{agent}/nacelle"),
            from_ms: H13,
            to_ms: H13 + 3 * HOUR,
            after: None,
            limit: u64::MAX,
        };
        let answer =
            serde_json::json!(query::readings(&store.readings(&span).await.unwrap().blocks, H13, H13 + 3 * HOUR));
        for row in answer["rows"].as_array().unwrap() {
            let hour = (hour_of(row["time_ms"].as_i64().unwrap()) - H13) / HOUR + 13;
            for channel in channels() {
                let (value, reason) = (&row["values"][&channel.name], &row["no_data"][&channel.name]);
                // The API says null of a float that is no number, and nothing of what was not due.
                let is_nan = row["values"].as_object().unwrap().contains_key(&channel.name) && value.is_null();
                if value.is_null() && reason.is_null() && !is_nan {
                    continue;
                }
                let sum = sums.entry((hour, agent.into(), channel.name.clone())).or_default();
                sum.0 += 1;
                sum.1 += u64::from(value.is_number());
                sum.2 += value.as_f64().unwrap_or(0.0);
                sum.3 += u64::from(reason.is_string() || is_nan);
                sum.4 += row["scores"][&channel.name].as_f64().unwrap_or(0.0);
            }
        }
    }
    sums
}

/// The same sums by DuckDB over `archive/` in this folder; `None` without DuckDB.
pub(super) fn sums_of(folder: &Path) -> Option<Sums> {
    let answers = duckdb(
        folder,
        "SELECT hour, agent, channel, count(*) AS n, count(value) AS good, sum(value) AS total,
             count(no_data) AS reasons, sum(score) AS scores
         FROM read_parquet('archive/readings/**/*.parquet', hive_partitioning = true)
         WHERE farm = 'north-ridge' AND date = DATE '2026-11-20' GROUP BY ALL;",
    )?;
    let row = |row: &Json| {
        let count = |index: usize| row[index].as_u64().unwrap();
        let sum = |index: usize| row[index].as_f64().unwrap_or(0.0);
        let text = |index: usize| row[index].as_str().unwrap().to_string();
        ((row[0].as_i64().unwrap(), text(1), text(2)), (count(3), count(4), sum(5), count(6), sum(7)))
    };
    Some(answers[0].as_array().unwrap().iter().map(row).collect())
}

pub(super) fn assert_same(found: &Sums, expected: &Sums) {
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (key, expected) in expected {
        let found = found[key];
        assert_eq!((found.0, found.1, found.3), (expected.0, expected.1, expected.3), "{key:?}");
        // Summed in another order.
        assert!((found.2 - expected.2).abs() < 1e-6 && (found.4 - expected.4).abs() < 1e-6, "{key:?}");
    }
}

/// The rows that each statement of this SQL answers, run by DuckDB in this folder. `None`: there is no DuckDB.
pub(super) fn duckdb(folder: &Path, sql: &str) -> Option<Vec<Json>> {
    const RUN: &str = "
import duckdb, json, sys
db = duckdb.connect()
db.execute(\"SET TimeZone = 'UTC'\")
answers = []
for statement in duckdb.extract_statements(sys.stdin.read()):
    try:
        answers.append(db.execute(statement).fetchall() or [])
    except Exception as error:
        sys.exit(f'{statement.query}\\n{error}')
print(json.dumps(answers, default=str))
";
    let python = peers().join("bin/python");
    let has_duckdb =
        || Command::new(&python).args(["-c", "import duckdb"]).status().is_ok_and(|status| status.success());
    if !python.exists() || !has_duckdb() {
        eprintln!("SKIPPED: no duckdb for {}; tests/run installs it", python.display());
        return None;
    }
    let mut child = Command::new(python)
        .args(["-c", RUN])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(sql.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "DuckDB refused a statement");
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

pub(super) const BOTH_HOURS: [&str; 4] = [
    "alerts/farm=north-ridge/date=2026-11-20/hour=13/alerts.parquet",
    "readings/farm=north-ridge/date=2026-11-20/hour=13/readings.parquet",
    "readings/farm=north-ridge/date=2026-11-20/hour=14/readings.parquet",
    "stats/farm=north-ridge/date=2026-11-20/hour=13/stats.parquet",
];
