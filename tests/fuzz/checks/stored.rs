//! What must hold of whatever stands in a store's rows: they may be of another version, damaged, or written by others.

use std::collections::BTreeMap;
use windward_protocol::{Schema, SeqRange};
use windward_sink::archive::{DeviceHour, hour_of};
use windward_sink::fleet::Baseline;
use windward_sink::health::AgentHealth;
use windward_sink::notify::About;
use windward_sink::place::{AgentRow, GapRow, LEDGER_BUCKET, LedgerRow, SKIPPED};
use windward_sink::presence::watch::Watch;
use windward_sink::shards::Position;
use windward_sink::{days, query};

/// Panics when something does not hold.
pub(crate) fn check(bytes: &[u8]) {
    check_block(bytes);
    check_ledger(bytes);
    if let Some(schema) = Schema::decode(bytes) {
        assert_eq!(Schema::decode(&schema.encode()), Some(schema));
    }
    check_text(&String::from_utf8_lossy(bytes));
}

fn check_block(bytes: &[u8]) {
    let stored = [bytes.to_vec(), bytes.to_vec()];
    assert!(query::blocks(&stored).count() <= query::blocks(&stored[..1]).count(), "a block counted twice");
    query::readings(&stored, i64::MIN, i64::MAX);
    let mut hour = DeviceHour::default();
    hour.add(bytes, hour_of(0), |_| true);
    assert!(hour.readings().all(|reading| !reading.channel.is_empty() || reading.quantity.len() < 64));
}

/// Rows of ledger and gaps with any numbers, each of three.
fn check_ledger(bytes: &[u8]) {
    let (mut ledger, mut gaps) = (Vec::new(), Vec::new());
    for part in bytes.as_chunks::<17>().0 {
        let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|byte| part[at + byte]));
        let (first, last, partition) = (number(1), number(9), format!("t{}#1#readings", part[0] & 1));
        if part[0] & 2 == 0 {
            let bucket = first % (u64::MAX / LEDGER_BUCKET);
            let seen = (0..64).filter(|bit| last >> bit & 1 == 1).map(|bit| bucket * LEDGER_BUCKET + bit).collect();
            ledger.push(LedgerRow { partition, bucket, seen });
        } else {
            let reason = if part[0] & 4 == 0 { "power cut" } else { SKIPPED };
            gaps.push(GapRow { partition, from: first, to: last, reason: reason.into() });
        }
    }
    for whole in [true, false] {
        for missing in query::missing(&ledger, whole, &gaps) {
            let SeqRange { first, last } = missing.range;
            assert!(first <= last || missing.reason.is_some(), "{first} to {last} is missing");
        }
    }
}

fn check_text(text: &str) {
    if let Some(health) = AgentHealth::read(text) {
        assert_eq!(AgentHealth::read(&health.write()), Some(health));
    }
    if let Some(position) = Position::parse(text) {
        assert_eq!(Position::parse(&position.to_string()), Some(position));
    }
    if let Ok(ms) = query::parse_time(text) {
        assert_eq!(query::parse_time(&ms.to_string()), Ok(ms));
    }
    drop((serde_json::from_str::<Watch>(text), serde_json::from_str::<Baseline>(text)));
    drop(serde_json::from_str::<About>(text));
    let given = || Some(text.to_owned());
    let row = AgentRow {
        agent: "t1".into(),
        seen_ms: Some(i64::MIN),
        online: true,
        epoch: given(),
        version: given(),
        started_ms: Some(i64::MAX),
        manifest: given(),
        health: given(),
        heard_ms: None,
        alive_ms: None,
        devices: BTreeMap::new(),
    };
    query::agent(&row, 1_750_000_000_000);
    days::manifest(&row);
}
