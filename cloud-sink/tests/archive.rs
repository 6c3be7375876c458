//! The archive holds what the store holds, as somebody else's program reads it: DuckDB.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod farm;

use farm::{FARM, Place, T0, channel, commit, open_alert};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use windward_protocol::batch::BatchBuilder;
use windward_protocol::{
    AgentId, BlockBuilder, Channel, Envelope, Lane, NoData, Quantity, Record, Row, Stats, Value, topic,
};
use windward_sink::archive::{DataSet, Hour, HourRow, hour_of};
use windward_sink::config::{ArchivePlace, Config, DynamoDb as DynamoDbConfig, Layout, S3};
use windward_sink::decode::{Delivery, Known, Origin};
use windward_sink::io::archive::export::{Export, export};
use windward_sink::io::archive::{Archiver, CLAIM_MS, Format, Round};
use windward_sink::io::dynamodb::DynamoDb;
use windward_sink::io::store::{Span, Store};
use windward_sink::notify::Policy;
use windward_sink::place::{Rows, Seen};
use windward_sink::{query, sink};

const HOUR: i64 = 3_600_000;
/// 2026-11-20T13:00Z, the first hour of the farm's readings.
const H13: i64 = T0 - 54 * 60_000;
const AGENTS: [&str; 3] = ["t1", "t1-b", "t2"];
/// Five seconds past: so a block lies on the turn of the hour.
const BEGIN: i64 = T0 + 5_000;

// Moments: none of the two hours is closed, the first, both.
fn at_1409() -> i64 {
    H13 + HOUR + 9 * 60_000
}
fn at_1411() -> i64 {
    H13 + HOUR + 11 * 60_000
}
fn at_1600() -> i64 {
    H13 + 3 * HOUR
}
fn claim_later() -> i64 {
    at_1600() + CLAIM_MS
}

fn channels() -> Vec<Channel> {
    vec![
        channel("wind_speed", Quantity::WindSpeed, "m/s"),
        channel("direction", Quantity::WindDirection, "°"),
        channel("power", Quantity::Power, "kW"),
        channel("oil", Quantity::Temperature, "°C"),
    ]
}

/// Ten rows of an agent's nacelle, from `index` times ten seconds on. Reads fail, floats are no numbers, and the oil is
/// due only every fifth time.
fn block(agent: &AgentId, index: i64) -> Record {
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

fn deliver(agent: &AgentId, lane: Lane, records: impl IntoIterator<Item = (u64, Record)>) -> Delivery {
    let mut batch = BatchBuilder::new();
    for (seq, record) in records {
        let envelope = Envelope { agent: agent.clone(), epoch: 0xabcd, lane, seq, record };
        assert!(batch.push(&envelope.encode().unwrap()));
    }
    Delivery { from: Origin::Topic(topic::of_lane(agent, lane)), payload: batch.finish() }
}

/// The blocks of this agent with these numbers.
fn readings(agent: &str, blocks: std::ops::Range<i64>) -> Delivery {
    let agent = AgentId::new(agent).unwrap();
    deliver(&agent, Lane::Readings, blocks.map(|index| (index as u64 + 1, block(&agent, index))))
}

/// Twelve minutes of three turbines over the turn of an hour, their statistics, and two alerts.
fn farm_deliveries() -> Vec<Delivery> {
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
struct Site {
    archiver: Archiver,
    folder: tempfile::TempDir,
    _place: Place,
}

impl Site {
    async fn new(place: Place) -> Self {
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

    async fn with_farm(place: Place) -> Self {
        let site = Self::new(place).await;
        site.commit(&farm_deliveries()).await;
        site
    }

    fn store(&self) -> &Store {
        &self.archiver.store
    }

    async fn commit(&self, deliveries: &[Delivery]) {
        commit(self.store(), Policy::default(), deliveries, T0).await;
    }

    async fn round(&self) -> Round {
        self.archiver.round().await.unwrap()
    }

    fn files(&self) -> Vec<String> {
        files(&self.folder.path().join("archive"))
    }

    /// What DuckDB finds in the archive.
    fn sums(&self) -> Option<Sums> {
        sums_of(self.folder.path())
    }
}

/// Files below a folder, by their paths from it.
fn files(folder: &Path) -> Vec<String> {
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

fn hour(set: DataSet, start_ms: i64) -> Hour {
    Hour { farm: FARM.into(), set, start_ms }
}

/// By hour, agent and channel: rows, rows with a value, sum of the values, rows with a reason, sum of the scores.
type Sums = BTreeMap<(i64, String, String), (u64, u64, f64, u64, f64)>;

/// The sums of what the store answers to a client.
async fn sums_in(store: &Store) -> Sums {
    let mut sums = Sums::new();
    for agent in AGENTS {
        let span = Span {
            partition: format!("{agent}/nacelle"),
            from_ms: H13,
            to_ms: H13 + 3 * HOUR,
            after: None,
            limit: u64::MAX,
        };
        let answer = query::readings(&store.readings(&span).await.unwrap().blocks, H13, H13 + 3 * HOUR);
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
fn sums_of(folder: &Path) -> Option<Sums> {
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

fn assert_same(found: &Sums, expected: &Sums) {
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (key, expected) in expected {
        let found = found[key];
        assert_eq!((found.0, found.1, found.3), (expected.0, expected.1, expected.3), "{key:?}");
        // Summed in another order.
        assert!((found.2 - expected.2).abs() < 1e-6 && (found.4 - expected.4).abs() < 1e-6, "{key:?}");
    }
}

/// The rows that each statement of this SQL answers, run by DuckDB in this folder. `None`: there is no DuckDB.
fn duckdb(folder: &Path, sql: &str) -> Option<Vec<Json>> {
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
    let venv = std::env::var_os("WINDWARD_PEERS").map(PathBuf::from).unwrap_or_else(|| {
        // <target>/<profile>/deps/<this test>
        std::env::current_exe().unwrap().ancestors().nth(3).unwrap().join("venv")
    });
    let python = venv.join("bin/python");
    let has_duckdb =
        || Command::new(&python).args(["-c", "import duckdb"]).status().is_ok_and(|status| status.success());
    if !python.exists() || !has_duckdb() {
        eprintln!("SKIPPED: no duckdb in {}; tests/run installs it", venv.display());
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

const BOTH_HOURS: [&str; 4] = [
    "alerts/farm=north-ridge/date=2026-11-20/hour=13/alerts.parquet",
    "readings/farm=north-ridge/date=2026-11-20/hour=13/readings.parquet",
    "readings/farm=north-ridge/date=2026-11-20/hour=14/readings.parquet",
    "stats/farm=north-ridge/date=2026-11-20/hour=13/stats.parquet",
];

async fn what_duckdb_counts_and_sums_is_what_the_store_holds(place: Place) {
    let site = Site::with_farm(place).await;
    let round = site.round().await;
    assert_eq!(site.files(), BOTH_HOURS, "a file an hour and data set, and none for empty hours");
    let expected = sums_in(site.store()).await;
    let rows: u64 = expected.values().map(|sums| sums.0).sum();
    // Two alerts, and two channels' statistics of three turbines.
    assert_eq!(round, Round { files: 4, rows: rows + 2 + 6, ..Round::default() });
    assert_eq!(site.round().await, Round::default(), "what is archived is left alone");
    let Some(found) = site.sums() else { return };
    assert_same(&found, &expected);
    assert_eq!(found.len(), 2 * 3 * 4);
    let order = duckdb(
        site.folder.path(),
        "SELECT count(*) FROM (SELECT (agent, device, channel, time) AS row, lag(row) OVER () AS before
             FROM read_parquet('archive/readings/*/*/hour=13/*.parquet')) WHERE row < before;
         SELECT DISTINCT typeof(time), typeof(value), typeof(synced), typeof(seq), quantity, unit, location
             FROM read_parquet('archive/readings/**/*.parquet') WHERE channel = 'wind_speed';
         SELECT id, kind, severity, wind_speed, cleared IS NULL FROM 'archive/alerts/**/*.parquet' ORDER BY opened;
         SELECT agent, device, channel, n, mean, turbulence FROM 'archive/stats/**/*.parquet' WHERE agent = 't1-b';",
    );
    let types =
        json!([["TIMESTAMP WITH TIME ZONE", "DOUBLE", "BOOLEAN", "BIGINT", "wind-speed", "m/s", "Turbine, \"north\""]]);
    let alerts = json!([
        ["0000000000000007", "anomaly", "warning", 31.2, true],
        ["0000000000000008", "anomaly", "warning", 31.2, true]
    ]);
    let stats = json!([
        ["t1-b", "nacelle", "direction", 540, 215.0, null],
        ["t1-b", "nacelle", "wind_speed", 540, 9.0, 1.5 / 9.0]
    ]);
    assert_eq!(order.unwrap(), [json!([[0]]), types, alerts, stats]);
}

async fn an_hour_that_late_data_dirty_is_written_again_over_its_file(place: Place) {
    let site = Site::new(place).await;
    let [early, late] = [readings("t1", 0..40), readings("t1", 40..72)];
    site.commit(&[early]).await;
    assert_eq!(site.round().await.files, 2);
    // The rest comes hours later, and another turbine with it.
    site.commit(&[late, readings("t2", 0..3)]).await;
    assert_eq!(site.round().await.files, 2);
    assert_eq!(site.files(), [BOTH_HOURS[1], BOTH_HOURS[2]]);
    let Some(found) = site.sums() else { return };
    assert_same(&found, &sums_in(site.store()).await);
    assert_eq!(found[&(13, "t1".into(), "wind_speed".into())].0, 355);
    assert_eq!(found[&(13, "t2".into(), "wind_speed".into())].0, 30);
}

/// The archiver reads the version before the rows: what is committed between the two and the record dirties the hour.
async fn what_is_committed_while_an_hour_is_written_is_not_lost(place: Place) {
    let site = Site::new(place).await;
    site.commit(&[readings("t1", 0..3)]).await;
    let now_ms = at_1600();
    let taken = site.store().take_hour(&hour(DataSet::Readings, H13), "slow", now_ms, now_ms + CLAIM_MS).await.unwrap();
    site.commit(&[readings("t1", 3..6)]).await;
    assert_eq!(site.round().await, Round::default(), "the hour is claimed");
    assert!(site.store().finish_hour(&taken.unwrap(), 30).await.unwrap());
    assert_eq!(site.round().await.files, 1);
    assert_eq!(site.round().await.files, 0);
}

/// Wherever an archiver dies, its claim ends and the hour is written by the next; and one that was only slow notices.
async fn an_hour_whose_archiver_died_is_written_by_the_next(place: Place) {
    let mut site = Site::new(place).await;
    site.commit(&[readings("t1", 0..3)]).await;
    let (store, now_ms) = (site.store().clone(), at_1600());
    let taken =
        store.take_hour(&hour(DataSet::Readings, H13), "dead", now_ms, now_ms + CLAIM_MS).await.unwrap().unwrap();
    assert_eq!(site.round().await, Round::default());
    assert!(store.hold_hour(&taken, now_ms + CLAIM_MS).await.unwrap());
    site.archiver.clock = claim_later;
    assert_eq!(site.round().await.files, 1);
    // It was only slow. That it may not write any more it is told before its file appears; if it has written all the
    // same, the hour is dirty again.
    assert!(!store.hold_hour(&taken, now_ms + 2 * CLAIM_MS).await.unwrap());
    assert_eq!(site.round().await.files, 0);
    assert!(!store.finish_hour(&taken, 30).await.unwrap());
    assert_eq!(site.round().await.files, 1);
}

async fn two_archivers_write_each_hour_once(place: Place) {
    let site = Site::with_farm(place).await;
    let other = Archiver {
        store: site.store().clone(),
        place: site.archiver.place.clone(),
        farm: FARM.into(),
        close_after_ms: 10 * 60_000,
        clock: at_1600,
    };
    let (one, two) = tokio::join!(site.archiver.round(), other.round());
    assert_eq!(one.unwrap().files + two.unwrap().files, 4);
    let Some(found) = site.sums() else { return };
    assert_same(&found, &sums_in(site.store()).await);
}

async fn an_hour_is_left_alone_until_it_is_closed(place: Place) {
    let mut site = Site::with_farm(place).await;
    site.archiver.clock = at_1409;
    assert_eq!(site.round().await, Round::default());
    site.archiver.clock = at_1411;
    assert_eq!(site.round().await.files, 3);
    assert_eq!(site.files(), [BOTH_HOURS[0], BOTH_HOURS[1], BOTH_HOURS[3]]);
}

/// The rows of these blocks, one each as commits of their own would place them, to be spoilt.
fn rows_of(blocks: std::ops::Range<i64>) -> Rows {
    let mut rows = Rows::default();
    for block in blocks {
        let opened = sink::open(&[readings("t1", block..block + 1)], Known::new());
        let placed = sink::plan(FARM, &Policy::default(), opened, &Seen::new(), T0).rows;
        rows.readings.extend(placed.readings);
        rows.hours.extend(placed.hours);
    }
    rows
}

async fn a_block_that_cannot_be_read_costs_its_own_rows(place: Place) {
    let site = Site::new(place).await;
    let mut rows = rows_of(0..3);
    let middle = rows.readings[1].block.len() / 2;
    rows.readings[1].block[middle] ^= 1;
    site.store().commit(Arc::new(rows)).await.unwrap();
    let round = site.round().await;
    assert_eq!((round.files, round.unreadable, round.failed), (1, 1, 0));
    let Some(found) = site.sums() else { return };
    assert_eq!(found[&(13, "t1".into(), "wind_speed".into())].0, 20);
}

async fn a_block_that_is_stored_twice_is_archived_once(place: Place) {
    let site = Site::new(place).await;
    let mut rows = rows_of(0..3);
    let mut again = rows.readings[2].clone();
    again.sort = again.sort.replace("13:54", "13:53");
    rows.readings.push(again);
    site.store().commit(Arc::new(rows)).await.unwrap();
    assert_eq!(site.round().await.files, 1);
    let Some(found) = site.sums() else { return };
    assert_eq!(found[&(13, "t1".into(), "direction".into())].0, 30);
}

/// A store whose rows end after a time must not empty the archive because something late came.
async fn a_file_is_never_replaced_by_one_with_fewer_rows(place: Place) {
    let site = Site::new(place).await;
    site.commit(&[readings("t1", 0..3)]).await;
    site.round().await;
    let file = site.folder.path().join("archive").join(BOTH_HOURS[1]);
    std::fs::write(&file, "as it was").unwrap();
    let touched = HourRow { hour: hour(DataSet::Readings, H13), members: ["t1/nacelle".to_string()].into() };
    let touch = async || {
        let rows = Rows { hours: vec![touched.clone()], ..Rows::default() };
        site.store().commit(Arc::new(rows)).await.unwrap();
    };
    touch().await;
    let now_ms = at_1600();
    let taken = site.store().take_hour(&touched.hour, "more", now_ms, now_ms + CLAIM_MS).await.unwrap().unwrap();
    assert!(site.store().finish_hour(&taken, 1_000_000).await.unwrap());
    touch().await;
    assert_eq!(site.round().await, Round { kept: 1, ..Round::default() });
    assert_eq!(std::fs::read(&file).unwrap(), b"as it was");
    assert_eq!(site.round().await, Round::default());
}

async fn a_range_is_exported_as_the_store_holds_it(place: Place) {
    let site = Site::with_farm(place).await;
    let folder = site.folder.path();
    let all = Export {
        farm: FARM.into(),
        set: DataSet::Readings,
        from_ms: H13,
        to_ms: H13 + 2 * HOUR,
        agent: None,
        device: None,
        format: Format::Parquet,
        out: folder.join("archive/"),
    };
    let done = export(site.store(), &all).await.unwrap();
    assert_eq!(done.files, 2);
    assert_eq!(site.files(), [BOTH_HOURS[1], BOTH_HOURS[2]]);
    let expected = sums_in(site.store()).await;
    assert_eq!(done.rows, expected.values().map(|sums| sums.0).sum::<u64>());
    let stats = Export { set: DataSet::Stats, agent: Some("t2".into()), ..all.clone() };
    assert_eq!(export(site.store(), &stats).await.unwrap().rows, 2);
    // A minute of one turbine over the turn of the hour: 60 rows of four channels, one of them due every fifth time.
    let (from_ms, to_ms) = (H13 + HOUR - 30_000, H13 + HOUR + 29_999);
    let minute = Export { from_ms, to_ms, agent: Some("t1-b".into()), ..all.clone() };
    for (format, name) in [(Format::Parquet, "minute.parquet"), (Format::Csv, "minute.csv")] {
        let done = export(site.store(), &Export { format, out: folder.join(name), ..minute.clone() }).await.unwrap();
        assert_eq!((done.files, done.rows), (1, 3 * 60 + 12));
    }
    let nobody = Export { device: Some("none".into()), out: folder.join("none.csv"), format: Format::Csv, ..all };
    assert_eq!(export(site.store(), &nobody).await.unwrap().rows, 0);
    assert!(std::fs::read_to_string(folder.join("none.csv")).unwrap().starts_with("time,agent,device,"));
    let Some(found) = site.sums() else { return };
    assert_same(&found, &expected);
    let same = duckdb(
        folder,
        "SELECT count(*), count(value), round(sum(value), 6), count(no_data), count(DISTINCT location),
             CAST(min(time) AS VARCHAR) FROM 'minute.parquet';
         SELECT count(*), count(value), round(sum(value), 6), count(no_data), count(DISTINCT location),
             CAST(min(time) AS VARCHAR) FROM 'minute.csv';",
    )
    .unwrap();
    assert_eq!(same[0], same[1]);
    assert_eq!(same[0][0][5], "2026-11-20 13:59:30+00");
}

/// Each of the worked questions has an answer, and some are known beforehand.
#[tokio::test]
async fn the_worked_questions_are_answered() {
    let site = Site::with_farm(Place::sqlite().await).await;
    site.round().await;
    let sql = include_str!("../../deploy/examples/queries.sql");
    let Some(answers) = duckdb(site.folder.path(), sql) else { return };
    // Three views come before the questions.
    let (views, answers) = answers.split_at(3);
    assert!(views.iter().all(|view| view == &json!([])), "{views:?}");
    for (number, answer) in answers.iter().enumerate() {
        assert!(!answer.as_array().unwrap().is_empty(), "question {} has no answer", number + 1);
    }
    let questions = sql.lines().filter(|line| line.starts_with("-- ## ")).count();
    assert_eq!(answers.len(), questions);
    let about = |question: &str| {
        let titles = sql.lines().filter_map(|line| line.strip_prefix("-- ## "));
        let number = titles.into_iter().position(|title| title.contains(question)).unwrap();
        &answers[number]
    };
    assert_eq!(about("Top gusts")[0][5], 13.5);
    assert_eq!(about("Availability")[0], json!(["2026-11-20", "t1", "nacelle", "direction", 540, 600, 0.9]));
    assert_eq!(about("Alerts by kind")[0][3], 2);
    // Calm but for 215 degrees: the sector of 210.
    assert_eq!(about("Turbulence")[0], json!([210, 3, 1.5 / 9.0, 1.5 / 9.0, 9.0]));
    assert_eq!(about("Maximum")[0][4], 12.9);
    // From 13:54:05 to 14:06:04, a mean of some 460 kW.
    let energy = about("Energy")[0][2].as_f64().unwrap();
    assert!((energy - 0.2 * 460.0).abs() < 15.0, "{energy} kWh");
}

/// By its own clock, without a broker.
#[tokio::test]
async fn a_running_sink_archives_what_has_closed() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (file, archive) = (path("farm.db"), path("archive"));
    let agent = AgentId::new("t1").unwrap();
    let Record::Block(mut hours_ago) = block(&agent, 0) else { unreachable!() };
    hours_ago.shift(hour_of(windward_sink::io::clock::now_ms()) - 3 * HOUR - BEGIN);
    let delivery = deliver(&agent, Lane::Readings, [(1, Record::Block(hours_ago))]);
    let store = Store::open(&windward_sink::config::Store::Sqlite(file.clone().into())).await.unwrap();
    commit(&store, Policy::default(), &[delivery], T0).await;
    let config = format!(
        "farm = \"{FARM}\"\n[mqtt]\nhost = \"127.0.0.1\"\nport = 1\n[store]\nsqlite = \"{file}\"\n
         [http]\nlisten = \"127.0.0.1:0\"\n[archive]\nfolder = \"{archive}\"\n"
    );
    let running = windward_sink::io::start(Config::from_toml(&config, "sink.toml").unwrap()).await.unwrap();
    let written = async {
        while running.counters().archived == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), written).await.unwrap();
    running.stop().await.unwrap();
    assert_eq!(files(Path::new(&archive)).len(), 1);
}

/// On DynamoDB every commit to an open hour would cost a write; one tells all. After the hour's end each one tells.
#[tokio::test]
async fn an_open_hour_is_written_once_on_dynamodb() {
    let Ok(endpoint) = std::env::var("WINDWARD_DYNAMODB_ENDPOINT") else {
        eprintln!("skipped: WINDWARD_DYNAMODB_ENDPOINT is not set");
        return;
    };
    let config = DynamoDbConfig {
        endpoint: Some(endpoint),
        region: Some("eu-west-1".into()),
        prefix: format!("test-{}-open-", std::process::id()),
        layout: Layout::default(),
        keep_days: None,
    };
    static NOW: AtomicI64 = AtomicI64::new(0);
    let dynamodb = DynamoDb::open(&config).await.with_clock(|| NOW.load(Ordering::Relaxed));
    dynamodb.create_tables().await.unwrap();
    let store = Store::DynamoDb(dynamodb);
    let mut versions = Vec::new();
    let (open_ms, ended_ms) = (H13 + HOUR + 59_999, H13 + HOUR + 60_000);
    for (now_ms, agent, blocks) in [
        (open_ms, "t1", 0..3),
        (open_ms, "t1", 3..6),
        (open_ms, "t2", 0..3),
        (open_ms, "t2", 3..6),
        (ended_ms, "t1", 6..9),
        (ended_ms, "t1", 9..12),
    ] {
        NOW.store(now_ms, Ordering::Relaxed);
        commit(&store, Policy::default(), &[readings(agent, blocks)], T0).await;
        let taken = store.take_hour(&hour(DataSet::Readings, H13), "look", 0, 0).await.unwrap();
        versions.push(taken.unwrap().version);
    }
    assert_eq!(versions, [1, 1, 2, 2, 3, 4]);
    let members = store.hour_members(&hour(DataSet::Readings, H13)).await.unwrap();
    assert_eq!(members, ["t1/nacelle", "t2/nacelle"]);
}

/// The same farm into a bucket, and the files that stand there fetched as anybody would.
#[tokio::test]
async fn a_bucket_holds_what_a_folder_would() {
    let Ok(endpoint) = std::env::var("WINDWARD_DYNAMODB_ENDPOINT") else {
        eprintln!("skipped: WINDWARD_DYNAMODB_ENDPOINT is not set");
        return;
    };
    let bucket = format!("test-{}-archive", std::process::id());
    http(&endpoint, "PUT", &format!("/{bucket}"));
    let mut site = Site::with_farm(Place::sqlite().await).await;
    let s3 = S3 {
        bucket: bucket.clone(),
        prefix: "farms/all".into(),
        // Where the emulator makes a bucket that is asked for without a word of a region.
        region: Some("us-east-1".into()),
        endpoint: Some(endpoint.clone()),
    };
    site.archiver.place = windward_sink::io::archive::Place::open(&ArchivePlace::S3(s3)).await.unwrap();
    assert_eq!(site.archiver.place.check().await.unwrap(), format!("s3://{bucket}/farms/all"));
    assert_eq!(site.round().await.files, 4);
    site.commit(&[readings("t2", 72..75)]).await;
    assert_eq!(site.round().await.files, 1);
    for file in BOTH_HOURS {
        let bytes = http(&endpoint, "GET", &format!("/{bucket}/farms/all/{file}"));
        let path = site.folder.path().join("archive").join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let Some(found) = site.sums() else { return };
    assert_same(&found, &sums_in(site.store()).await);
}

/// One request, and the body of its answer.
fn http(endpoint: &str, method: &str, path: &str) -> Vec<u8> {
    let host = endpoint.strip_prefix("http://").unwrap();
    let mut stream = std::net::TcpStream::connect(host).unwrap();
    write!(stream, "{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    let body = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    answer.split_off(body)
}

macro_rules! on_both_stores {
    ($($test:ident),* $(,)?) => {
        mod on_sqlite { $(#[tokio::test] async fn $test() { super::$test(super::Place::sqlite().await).await; })* }
        mod on_dynamodb { $(#[tokio::test] async fn $test() {
            if let Some(place) = super::Place::dynamodb(stringify!($test)).await {
                super::$test(place).await;
            }
        })* }
    };
}

on_both_stores! {
    what_duckdb_counts_and_sums_is_what_the_store_holds,
    an_hour_that_late_data_dirty_is_written_again_over_its_file,
    what_is_committed_while_an_hour_is_written_is_not_lost,
    an_hour_whose_archiver_died_is_written_by_the_next,
    two_archivers_write_each_hour_once,
    an_hour_is_left_alone_until_it_is_closed,
    a_block_that_cannot_be_read_costs_its_own_rows,
    a_block_that_is_stored_twice_is_archived_once,
    a_file_is_never_replaced_by_one_with_fewer_rows,
    a_range_is_exported_as_the_store_holds_it,
}
