use super::commit::insert_readings;
use super::*;
use crate::place::{Gathered, ReadingsRow, envelopes, sortable_time};
use windward_protocol::{AgentId, BlockBuilder, Channel, Envelope, Lane, Quantity, Record, Value};

fn file() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("farm.db");
    (dir, path)
}

/// A block's row, as large as that of one reading of eight channels.
fn row(seq: i64) -> ReadingsRow {
    ReadingsRow {
        partition: "t1/mast".into(),
        sort: format!("{}#{:016x}#{seq:020}", sortable_time(seq * 1_000), 1),
        agent: AgentId::new("t1").unwrap(),
        device: "mast".into(),
        location: "here".into(),
        first_ms: seq * 1_000,
        last_ms: seq * 1_000,
        n: 1,
        synced: true,
        channels: Vec::new(),
        block: vec![seq as u8; 1_100],
    }
}

fn readings(db: &Connection) -> Vec<(String, i64, Vec<u8>)> {
    let mut all = db.prepare("SELECT sort, last_ms, block FROM readings ORDER BY partition, sort").unwrap();
    let rows = all.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

#[test]
fn a_file_of_an_earlier_schema_keeps_its_readings_and_takes_more() {
    let (_dir, path) = file();
    let mut db = connect(&path).unwrap();
    for (step, sql) in MIGRATIONS[..2].iter().enumerate() {
        db.execute_batch(&format!("{sql}; PRAGMA user_version = {}", step + 1)).unwrap();
    }
    let tx = db.transaction().unwrap();
    insert_readings(&tx, &[row(3), row(1), row(2)]).unwrap();
    tx.commit().unwrap();
    let before = readings(&db);

    migrate(&db).unwrap();
    let after = readings(&db);
    assert_eq!(after.len(), 3);
    for ((sort, last_ms, envelope), (same, last, stored)) in before.iter().zip(&after) {
        assert_eq!((sort, last_ms), (same, last));
        // What was one envelope is now a batch of one.
        assert_eq!(envelopes(stored), std::slice::from_ref(envelope));
    }
    let tx = db.transaction().unwrap();
    insert_readings(&tx, &[row(2), row(4)]).unwrap();
    tx.commit().unwrap();
    assert_eq!(readings(&db)[..3], after, "a repeat changes nothing (S2)");
    assert_eq!(readings(&db).len(), 4);
    migrate(&db).unwrap();
}

#[test]
fn a_small_row_takes_no_page_of_its_own() {
    let (_dir, path) = file();
    let mut db = connect(&path).unwrap();
    migrate(&db).unwrap();
    let tx = db.transaction().unwrap();
    insert_readings(&tx, &(0..1_000).map(row).collect::<Vec<_>>()).unwrap();
    tx.commit().unwrap();
    let pages: i64 = db.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    assert!(pages < 500, "{pages} pages for 1,000 rows");
}

/// A row of one block of one moment, as an agent sends each second.
fn heard(second: i64) -> ReadingsRow {
    let agent = AgentId::new("t1").unwrap();
    let wind = Channel { name: "wind".into(), quantity: Quantity::WindSpeed, unit: "m/s".into() };
    let mut block = BlockBuilder::new(&agent, "mast", "here", &[wind], true);
    let readings = vec![Ok(Value::Int { mantissa: 80 + second, exponent: -1 })];
    block.push(&windward_protocol::Row { time_ms: second * 1_000, readings, scores: vec![None] }).unwrap();
    let block = block.finish().unwrap();
    let record = Record::Block(block.clone());
    let envelope = Envelope { agent: agent.clone(), epoch: 7, lane: Lane::Readings, seq: second as u64, record };
    let mut gathered = Gathered::default();
    gathered.add(agent, 7, second as u64, block, envelope.encode().unwrap());
    gathered.rows().remove(0)
}

#[tokio::test]
async fn an_agent_that_is_heard_every_second_leaves_a_row_a_minute() {
    let (_dir, path) = file();
    let sqlite = Sqlite::open(path.clone()).await.unwrap();
    let seconds = (0..150).filter(|second| *second != 30).chain([30, 30, 100]);
    for second in seconds {
        sqlite.write(move |tx| insert_readings(tx, &[heard(second)])).await.unwrap();
    }
    let db = connect(&path).unwrap();
    let mut all = db.prepare("SELECT n, first_ms, last_ms, channels, block FROM readings ORDER BY sort").unwrap();
    let rows: Vec<(u32, i64, i64, String, Vec<u8>)> = all
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let spans: Vec<_> = rows.iter().map(|row| (row.0, row.1, row.2)).collect();
    assert_eq!(spans, [(60, 0, 59_000), (60, 60_000, 119_000), (30, 120_000, 149_000)], "a repeat is nothing new");
    assert_eq!(rows.iter().map(|row| envelopes(&row.4).len()).collect::<Vec<_>>(), [60, 60, 30]);
    let wind: Vec<crate::place::ChannelSummary> = serde_json::from_str(&rows[1].3).unwrap();
    assert_eq!((wind[0].n, wind[0].min, wind[0].max, wind[0].last), (60, Some(14.0), Some(19.9), Some(19.9)));
}

#[tokio::test]
async fn readings_that_were_kept_for_long_enough_go_and_no_others() {
    let (_dir, path) = file();
    let sqlite = Sqlite::open(path.clone()).await.unwrap();
    let of = |partition: &str, seq| ReadingsRow { partition: partition.into(), ..row(seq) };
    let rows: Vec<_> = (0..2_500).map(|seq| of("t1/mast", seq)).chain((0..10).map(|seq| of("t2/mast", seq))).collect();
    sqlite.write(move |tx| insert_readings(tx, &rows)).await.unwrap();
    assert_eq!(sqlite.prune(0).await.unwrap(), 0);
    assert_eq!(sqlite.prune(2_400_000).await.unwrap(), 2_410);
    assert_eq!(sqlite.prune(2_400_000).await.unwrap(), 0);
    let left = readings(&connect(&path).unwrap());
    assert_eq!((left.len(), left[0].1), (100, 2_400_000));
}

#[test]
fn what_an_earlier_schema_was_told_of_stays_told() {
    let (_dir, path) = file();
    let db = connect(&path).unwrap();
    for (step, sql) in MIGRATIONS[..3].iter().enumerate() {
        db.execute_batch(&format!("{sql}; PRAGMA user_version = {}", step + 1)).unwrap();
    }
    db.execute_batch(
        "INSERT INTO notices VALUES ('f', 's', 'open_sns', 5, 7), ('f', 's', 'clear_webhook', 9, NULL);
         INSERT INTO alerts VALUES ('f', 's', 't1', '01', '', '', '', '', '', '', 1, 1, NULL, NULL, '', NULL, NULL, NULL,
             '', 7)",
    )
    .unwrap();
    migrate(&db).unwrap();
    let mut rows = db.prepare("SELECT sort, target, phase, said, told_ms, pending FROM notices").unwrap();
    let row =
        |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?));
    type Notice = (String, String, String, String, i64, Option<String>);
    let rows: Vec<Notice> = rows.query_map([], row).unwrap().collect::<Result<_, _>>().unwrap();
    let words = ["s#open#sns", "sns", "open", "own"].map(String::from);
    let [sort, target, phase, said] = words;
    assert_eq!(rows, [(sort, target, phase, said, 7, None)], "what was not told comes again with its alert");
    let row = db.query_row("SELECT * FROM alerts", [], answers::alert_row).unwrap();
    assert_eq!((row.notified_ms, row.acknowledged), (Some(7), None));
}
