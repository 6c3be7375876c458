//! The bytes of wire version 1. Never edited: a sink must read what an agent of any age has on its disk.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use windward_protocol::batch::{self, BatchBuilder};
use windward_protocol::{
    Ack, AgentId, Alert, AlertKind, AlertPhase, BlockBuilder, Channel, DeviceHealth, DeviceManifest, Envelope, Gap,
    GapReason, Health, Hello, Lane, LaneHealth, NoData, Quantity, Record, Row, SeqRange, Severity, Stats, Value,
};

fn channel(name: &str) -> Channel {
    Channel { name: name.into(), quantity: Quantity::WindSpeed, unit: "m/s".into() }
}

fn envelope(lane: Lane, seq: u64, record: Record) -> Envelope {
    Envelope { agent: AgentId::new("t1").unwrap(), epoch: 0x0102_0304, lane, seq, record }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn frozen(envelope: &Envelope, bytes: &str) {
    assert_eq!(hex(&envelope.encode().unwrap()), bytes);
    let raw: Vec<u8> =
        (0..bytes.len()).step_by(2).map(|at| u8::from_str_radix(&bytes[at..at + 2], 16).unwrap()).collect();
    assert_eq!(&Envelope::decode(&raw).unwrap(), envelope);
}

#[test]
fn block() {
    let channels = [channel("now"), channel("mean"), channel("temp")];
    let mut builder = BlockBuilder::new(&AgentId::new("t1").unwrap(), "wind", "T1", &channels, true);
    let int = |mantissa| Ok(Value::Int { mantissa, exponent: -1 });
    for (time_ms, first, third, score) in [
        (1_000, int(105), Ok(Value::F64(20.5)), None),
        (2_000, int(103), Err(NoData::Exception(2)), Some(1.07)),
        (3_001, Err(NoData::Timeout), Ok(Value::F64(-0.25)), None),
    ] {
        let readings = vec![first, Ok(Value::F32(1.5)), third];
        builder.push(&Row { time_ms, readings, scores: vec![score, None, None] }).unwrap();
    }
    frozen(
        &envelope(Lane::Readings, 300, Record::Block(builder.finish().unwrap())),
        "010274318486880801ac02000477696e6402543103036e6f7701036d2f73046d65616e01036d2f730474656d7001036d2f7301d00f02d00f020302020001010000ff02d2010303006c0001030001030000c03f0000c03f0000c03f0003010001010102010002020000000000803440000000000000d0bf00a1acef92",
    );
}

#[test]
fn alert() {
    let alert = Alert {
        id: 77,
        phase: AlertPhase::Update,
        kind: AlertKind::Stuck,
        severity: Severity::Critical,
        location: "T1".into(),
        device: "wind".into(),
        channel: "now".into(),
        opened_ms: 1_000,
        at_ms: 2_000,
        synced: false,
        value: Some(31.5),
        unit: "m/s".into(),
        wind_speed: Some(31.5),
        score: None,
        threshold: Some(3.0),
        evidence: "x".into(),
    };
    frozen(
        &envelope(Lane::Alerts, 1, Record::Alert(alert)),
        "01027431848688080001014d0101020254310477696e64036e6f77d00fa01f00010000000000803f40036d2f73010000000000803f400001000000000000084001784fb61cdc",
    );
}

#[test]
fn stats() {
    let stats = Stats {
        device: "wind".into(),
        channel: channel("now"),
        start_ms: 600_000,
        window_ms: 600_000,
        n: 599,
        due: 600,
        mean: 8.0,
        min: 4.0,
        max: 16.0,
        std: 1.0,
        gust_3s: Some(15.0),
    };
    frozen(
        &envelope(Lane::Readings, 2, Record::Stats(stats)),
        "01027431848688080102020477696e64036e6f7701036d2f73809f49c0cf24d704d804000000000000204000000000000010400000000000003040000000000000f03f010000000000002e40c801b527",
    );
}

#[test]
fn gap() {
    let gap = Gap { lane: Lane::Readings, from: 5, to: 900, reason: GapReason::SpaceEnded };
    frozen(&envelope(Lane::Alerts, 3, Record::Gap(gap)), "0102743184868808000303010584070251a65f2a");
}

#[test]
fn health() {
    let lane = |waiting| LaneHealth { waiting, durable: 300, acked: 299 };
    let health = Health {
        online: true,
        at_ms: 5_000,
        synced: true,
        uptime_ms: 4_000,
        rss_kib: 9_000,
        alerts: lane(0),
        readings: lane(1),
        dropped_rows: 2,
        spool_error: "full".into(),
        devices: vec![DeviceHealth { device: "wind".into(), good: 10, failed: 1, failing: Some(NoData::Skipped) }],
    };
    frozen(
        &envelope(Lane::State, 4, Record::Health(health)),
        "010274318486880802040401904e01a01fa84600ac02ab0201ac02ab02020466756c6c010477696e640a0101080610c241",
    );
}

#[test]
fn hello() {
    let device = DeviceManifest {
        device: "wind".into(),
        location: "T1".into(),
        link: "x".into(),
        interval_ms: 1_000,
        channels: vec![channel("now")],
    };
    let hello = Hello { version: "0.1.0".into(), farm: "f".into(), at_ms: 9, devices: vec![device] };
    frozen(
        &envelope(Lane::Alerts, 5, Record::Hello(hello)),
        "010274318486880800050505302e312e30016612010477696e640254310178e80701036e6f7701036d2f73b24b593c",
    );
}

#[test]
fn ack() {
    let ranges = vec![SeqRange { first: 1, last: 300 }, SeqRange { first: 302, last: 302 }];
    let ack = Ack { epoch: 0x0102_0304, lane: Lane::Readings, ranges };
    assert_eq!(hex(&ack.encode()), "0184868808010201ac02ae02ae02658d64c6");
    assert_eq!(Ack::decode(&ack.encode()), Ok(ack));
}

#[test]
fn batch_plain_and_packed() {
    let mut plain = BatchBuilder::new();
    plain.push(&[1, 2, 3]);
    assert_eq!(hex(&plain.finish()), "000300010203");
    // Another version of the compressor may pack differently; what was packed once must unpack for ever.
    let packed = "01cc0000003f6400070100500f66004d60070707070707";
    let raw: Vec<u8> =
        (0..packed.len()).step_by(2).map(|at| u8::from_str_radix(&packed[at..at + 2], 16).unwrap()).collect();
    assert_eq!(batch::split(&raw).envelopes, vec![vec![7; 100], vec![7; 100]]);
}
