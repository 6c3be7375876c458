//! Packed batches as they were first written, byte for byte. What was packed once must expand for ever; this file is
//! never edited.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use windward_protocol::batch;
use windward_protocol::{
    AgentId, BlockBuilder, Channel, Envelope, Gap, GapReason, Lane, NoData, Quantity, Record, Row, SchemaId, Value,
};

fn envelope(seq: u64, record: Record) -> Vec<u8> {
    Envelope { agent: AgentId::new("t1").unwrap(), epoch: 0x0102_0304, lane: Lane::Readings, seq, record }
        .encode()
        .unwrap()
}

/// Rows of three channels: hundredths, a single-precision decimal, a double that is none.
fn block(device: &str, seq: u64, synced: bool, rows: std::ops::Range<i64>) -> Vec<u8> {
    let channel = |name: &str, quantity| Channel { name: name.into(), quantity, unit: "u".into() };
    let channels = [
        channel("speed", Quantity::WindSpeed),
        channel("temperature", Quantity::Temperature),
        channel("power", Quantity::Power),
    ];
    let agent = AgentId::new("t1").unwrap();
    let mut builder = BlockBuilder::new(&agent, device, "T1", &channels, synced);
    for row in rows {
        let temperature = if row % 5 == 3 { Err(NoData::Exception(4)) } else { Ok(Value::F32(-3.5 + row as f32)) };
        let readings = vec![
            Ok(Value::Int { mantissa: 850 + row * row * 7 % 31, exponent: -2 }),
            temperature,
            Ok(Value::F64(1.0 / (3.0 + row as f64))),
        ];
        let score = (row > 1).then_some(1.0 + row as f32 / 50.0);
        let scores = vec![score, score.filter(|_| temperature.is_ok()), None];
        builder.push(&Row { time_ms: 1_735_689_600_000 + row * 1_000 + row % 3, readings, scores }).unwrap();
    }
    envelope(seq, Record::Block(builder.finish().unwrap()))
}

fn sent() -> Vec<Vec<u8>> {
    let gap = Record::Gap(Gap { lane: Lane::Readings, from: 3, to: 5, reason: GapReason::Damage });
    vec![
        block("a", 70_000, true, 0..4),
        block("b", 70_001, false, 0..1),
        envelope(70_002, gap),
        block("a", 70_003, true, 4..8),
        block("b", 70_004, false, 1..2),
        block("a", 70_006, true, 8..9),
    ]
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn with_schemas_in_full() {
    let split = batch::split(&bytes(FULL));
    assert_eq!(split.broken, None);
    assert_eq!(split.envelopes, sent());
    let ids: Vec<SchemaId> = split.schemas.iter().map(|schema| schema.id()).collect();
    assert_eq!(ids, [SchemaId(ID_A), SchemaId(ID_B)]);
}

#[test]
fn with_schemas_named() {
    let schemas = batch::split(&bytes(FULL)).schemas;
    let known: BTreeMap<_, _> = schemas.into_iter().map(|schema| (schema.id(), schema)).collect();
    let split = batch::split_with(&bytes(NAMED), &known);
    assert_eq!(split.broken, None);
    assert_eq!(split.envelopes, sent());
    assert_eq!(batch::named(&bytes(NAMED)), [SchemaId(ID_A), SchemaId(ID_B)]);
}

const FULL: &str = concat!(
    "020005794df7222f0002743184868808010161025431030573706565640101750b74656d706572617475726503017505706f77657206",
    "017531001f62310012341500016300c0f2a20403010305011cefe7642ec045e40a06375300f8523e2893de77d803f8472a27558d10be",
    "110a00feffff0f29822084500921408b421151348ca228fc54555555555555ffffa5aaaaaaaaaade3233333333332522222222224261",
    "18866118861b4992244992a4e3388ee3388e1bd8822dd882ad53823c25c85308005fca0765d2837fa472a050040a7eaaaaaaaaaaaaaa",
    "ffff525555555555017c76771b",
);
const NAMED: &str = concat!(
    "02027ead3b18abb6a10041192339d59e02250117171500010274318486880801f2a20403010305011cefe7642ec045e40a06375300f8",
    "523e2893de77d803f8472a27558d10be110a00feffff0f29822084500921408b421151348ca228fc54555555555555ffffa5aaaaaaaa",
    "aade323333333333252222222222426118866118861b4992244992a4e3388ee3388e1bd8822dd882ad53823c25c85308005fca0765d2",
    "837fa472a050040a7eaaaaaaaaaaaaaaffff525555555555017c76771b",
);
const ID_A: u64 = 0x00a1_b6ab_183b_ad7e;
const ID_B: u64 = 0x2502_9ed5_3923_1941;
