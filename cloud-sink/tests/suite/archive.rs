//! The archive holds what the store holds, as somebody else's program reads it: DuckDB.

mod site;

use crate::farm::{FARM, Place, T0, commit, endpoint, prefix};
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use serde_json::json;
use site::*;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::Poll;
use windward_protocol::{AgentId, Lane, Record};
use windward_sink::archive::{DataSet, HourRow, hour_of};
use windward_sink::config::{ArchivePlace, Config, DynamoDb as DynamoDbConfig, Layout, S3};
use windward_sink::decode::Known;
use windward_sink::io::archive::export::{Export, export};
use windward_sink::io::archive::{Archiver, CLAIM_MS, Format, Round};
use windward_sink::io::dynamodb::DynamoDb;
use windward_sink::io::store::Store;
use windward_sink::notify::Policy;
use windward_sink::place::{Rows, Seen};
use windward_sink::sink;

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

/// Whatever the archiver has done when it dies, the next one finishes it; and no file is ever half of one.
async fn an_archiver_may_die_at_any_step(place: Place) {
    // Every death leaves a claim, and the next round waits until that has ended.
    static NOW: AtomicI64 = AtomicI64::new(0);
    NOW.fetch_max(at_1600(), Ordering::Relaxed);
    let mut site = Site::with_farm(place).await;
    site.archiver.clock = || NOW.load(Ordering::Relaxed);
    site.round().await;
    let file = site.folder.path().join("archive").join(BOTH_HOURS[2]);
    // Each answer of DynamoDB is many steps; most of them are left out there.
    let is_fine = matches!(site.store(), Store::Sqlite(_));
    let (mut rows, mut deaths, mut steps) = (rows_in(&file), 0, 1);
    for late in 72.. {
        site.commit(&[readings("t1", late..late + 1)]).await;
        let died = dies_after(steps, site.archiver.round()).await.is_none();
        // Ten of three channels, two of the oil.
        let (before, after) = (rows, rows + 32);
        assert!([before, after].contains(&rows_in(&file)), "{} rows after death {deaths}", rows_in(&file));
        NOW.fetch_add(CLAIM_MS + 1, Ordering::Relaxed);
        site.round().await;
        rows = rows_in(&file);
        assert_eq!(rows, after, "after death {deaths}");
        if !died {
            break;
        }
        deaths += 1;
        steps += if is_fine { 1 } else { 1 + steps / 8 };
    }
    println!("FIGURE an archiver died {deaths} times, at up to {steps} steps");
    assert!(deaths > 5, "{deaths} deaths");
    assert_eq!(site.files(), BOTH_HOURS, "nothing half-made is left");
}

/// What comes of work that dies at the step of this number; `None`: it did. On a runtime with one thread for what blocks
/// each wait for that thread is one step: it is held meanwhile, so that nothing is done before it is waited for.
async fn dies_after<T>(steps: usize, work: impl Future<Output = T>) -> Option<T> {
    let mut work = Box::pin(work);
    let mut left = steps;
    std::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        let (release, held) = std::sync::mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || held.recv());
        let polled = work.as_mut().poll(context).map(Some);
        drop(release);
        polled
    })
    .await
}

#[test]
fn an_archiver_may_die_at_any_step_on_sqlite() {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.max_blocking_threads(1).enable_all().build().unwrap();
    runtime.block_on(async { an_archiver_may_die_at_any_step(Place::sqlite().await).await });
}

#[tokio::test]
async fn an_archiver_may_die_at_any_step_on_dynamodb_or_skipped_without_endpoint() {
    if let Some(place) = Place::dynamodb("dying").await {
        an_archiver_may_die_at_any_step(place).await;
    }
}

fn rows_in(file: &Path) -> i64 {
    let reader = SerializedFileReader::new(std::fs::File::open(file).unwrap()).expect("a whole file");
    reader.metadata().file_metadata().num_rows()
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
    let sql = include_str!("../../../deploy/examples/queries.sql");
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
         [http]\nlisten = \"127.0.0.1:0\"\nguarded = true\n[archive]\nfolder = \"{archive}\"\n"
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
    let Some(endpoint) = endpoint() else { return };
    let config = DynamoDbConfig {
        endpoint: Some(endpoint),
        region: Some("eu-west-1".into()),
        prefix: prefix("open"),
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
    let Some(endpoint) = endpoint() else { return };
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

on_both_stores! {
    what_duckdb_counts_and_sums_is_what_the_store_holds
    an_hour_that_late_data_dirty_is_written_again_over_its_file
    what_is_committed_while_an_hour_is_written_is_not_lost
    an_hour_whose_archiver_died_is_written_by_the_next
    two_archivers_write_each_hour_once
    an_hour_is_left_alone_until_it_is_closed
    a_block_that_cannot_be_read_costs_its_own_rows
    a_block_that_is_stored_twice_is_archived_once
    a_file_is_never_replaced_by_one_with_fewer_rows
    a_range_is_exported_as_the_store_holds_it
}
