//! Bytes on the wire a value: eight channels of one device at 1 Hz, a block a second, published every 1, 10, 60 and 300 s.
//!
//! ```text
//! cargo bench -p windward-protocol --bench wire [-- FOLDER]
//! ```
//! The eight channels are eight stretches of the tables `timestamp,value,..` in the folder; without one, a synthetic wind.
//! The score is noise, somewhat wider than a forest's. "Value" counts a row's eight values; their times, qualities and
//! scores are in the bytes, and so is all of the PUBLISH. Every batch is expanded again and compared.

#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use windward_protocol::batch::{self, BatchBuilder};
use windward_protocol::{
    AgentId, BlockBuilder, Channel, Envelope, Lane, NoData, Quantity, Record, Row, SchemaId, Value, json, topic,
};

const CHANNELS: usize = 8;
/// Rows of a stretch, and how far apart stretches begin.
const ROWS: usize = 7_200;
const APART: usize = 72_000;

/// PUBLISH at QoS 1 beside topic and payload: type, remaining length, length of the topic, packet id.
const MQTT_3: usize = 1 + 2 + 2 + 2;
/// MQTT 5 has a length of properties more, and with an alias the topic is empty: property, alias.
const MQTT_5_ALIAS: usize = 1 + 2 + 2 + 2 + 1 + 3;

/// What a device makes of a value.
type Form = fn(f64) -> Value;

/// One second.
struct Line {
    time_ms: i64,
    values: [Option<f64>; CHANNELS],
    score: Option<f32>,
}

fn main() {
    let folder = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let winds = match &folder {
        Some(folder) => read(folder),
        None => synthetic(),
    };
    let lines = lines(&winds);
    println!("{} rows of {}", lines.len(), folder.as_deref().unwrap_or("a synthetic wind"));
    println!("bytes a value: payload, with MQTT 3.1.1 and topic, with MQTT 5 and topic alias");
    let forms: [(&str, Form, bool); 4] = [
        ("hundredths, a score a row", hundredths, true),
        ("hundredths, a score a channel", hundredths, false),
        ("f32 of two decimals", |value| Value::F32(value as f32), true),
        ("f32 of all digits", |value| Value::F32((value * 1.943_844_5) as f32), true),
    ];
    for (name, form, shared) in forms {
        println!("\n{name}");
        let envelopes = envelopes(&lines, form, shared);
        for every_s in [1, 10, 60, 300] {
            compare(&envelopes, every_s);
        }
    }
}

fn hundredths(value: f64) -> Value {
    Value::Int { mantissa: (value * 100.0).round() as i64, exponent: -2 }
}

fn compare(envelopes: &[Vec<u8>], every_s: usize) {
    let batches: Vec<BatchBuilder> = envelopes.chunks_exact(every_s).map(filled).collect();
    let known: BTreeSet<SchemaId> = batches[0].clone().finish_packed(&BTreeSet::new()).schemas.into_iter().collect();
    let schemas = batch::split(&batches[0].clone().finish_packed(&BTreeSet::new()).bytes).schemas;
    let lookup: BTreeMap<_, _> = schemas.into_iter().map(|schema| (schema.id(), schema)).collect();
    let per_value = |bytes: usize| bytes as f64 / (batches.len() * every_s * CHANNELS) as f64;
    let show = |name: &str, payloads: &mut dyn Iterator<Item = usize>| {
        let payload: usize = payloads.sum();
        let topic = topic::of_lane(&AgentId::new("turbine-01").unwrap(), Lane::Readings).len();
        let with = |overhead: usize| per_value(payload + overhead * batches.len());
        println!(
            "{every_s:4} s  {name:24} {:6.2}  {:6.2}  {:6.2}",
            per_value(payload),
            with(MQTT_3 + topic),
            with(MQTT_5_ALIAS)
        );
    };
    show(
        "JSON",
        &mut envelopes.chunks_exact(every_s).map(|chunk| chunk.iter().map(|envelope| json_len(envelope)).sum()),
    );
    show("envelopes in LZ4", &mut batches.iter().map(|batch| batch.clone().finish().len()));
    show("packed, schema in full", &mut batches.iter().map(|batch| packed(batch, &BTreeSet::new())));
    show("packed, schema named", &mut batches.iter().map(|batch| packed(batch, &known)));
    for (batch, chunk) in batches.iter().zip(envelopes.chunks_exact(every_s)) {
        let split = batch::split_with(&batch.clone().finish_packed(&known).bytes, &lookup);
        assert!(split.broken.is_none() && split.envelopes == chunk, "what was packed came out changed");
    }
}

fn packed(batch: &BatchBuilder, known: &BTreeSet<SchemaId>) -> usize {
    batch.clone().finish_packed(known).bytes.len()
}

fn json_len(envelope: &[u8]) -> usize {
    json::lines(&Envelope::decode(envelope).unwrap()).len()
}

fn filled(envelopes: &[Vec<u8>]) -> BatchBuilder {
    let mut builder = BatchBuilder::new();
    assert!(envelopes.iter().all(|envelope| builder.push(envelope)));
    builder
}

/// A block a row. Live, the channels of a device share a score; `shared` false gives each a score of its own.
fn envelopes(lines: &[Line], form: Form, shared: bool) -> Vec<Vec<u8>> {
    let agent = AgentId::new("turbine-01").unwrap();
    let names = ["speed", "speed_2", "speed_3", "speed_4", "gust", "gust_2", "gust_3", "gust_4"];
    let channels =
        names.map(|name| Channel { name: name.into(), quantity: Quantity::WindSpeed, unit: "m/s".into() }).to_vec();
    let block = |(index, line): (usize, &Line)| {
        let mut builder = BlockBuilder::new(&agent, "anemometer", "Turbine 1, nacelle", &channels, true);
        let readings = line.values.map(|value| value.map(form).ok_or(NoData::Timeout)).to_vec();
        let other =
            |channel: usize| if shared { line.score } else { lines[(index + channel * 977) % lines.len()].score };
        let scores = (0..CHANNELS).map(|channel| other(channel).filter(|_| readings[channel].is_ok())).collect();
        builder.push(&Row { time_ms: line.time_ms, readings, scores }).unwrap();
        let record = Record::Block(builder.finish().unwrap());
        let seq = 1_000_000 + index as u64;
        Envelope { agent: agent.clone(), epoch: 0x1234_5678_9abc_def0, lane: Lane::Readings, seq, record }
            .encode()
            .unwrap()
    };
    lines.iter().enumerate().map(block).collect()
}

/// Values of the channels, in m/s.
fn read(folder: &str) -> Vec<Vec<Option<f64>>> {
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut stretches = Vec::new();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "csv")) {
        let text = std::fs::read_to_string(path).unwrap();
        let value = |line: &str| line.split(',').nth(1).unwrap().parse().ok().filter(|value: &f64| value.is_finite());
        let values: Vec<Option<f64>> = text.lines().skip(1).map(value).collect();
        stretches.extend(values.chunks(APART).filter(|stretch| stretch.len() >= ROWS).map(|all| all[..ROWS].to_vec()));
    }
    assert!(stretches.len() >= CHANNELS, "only {} stretches of {ROWS} rows in {folder}", stretches.len());
    stretches.truncate(CHANNELS);
    stretches
}

/// Wind of 8 to 15 m/s that wanders by some decimetres a second.
fn synthetic() -> Vec<Vec<Option<f64>>> {
    let mut noise = noise(1);
    let wind = |mean: f64, noise: &mut dyn FnMut() -> f64| {
        let mut speed = mean;
        let mut next = |_| {
            speed += 0.05 * (mean - speed) + 0.7 * (noise() + noise() + noise());
            Some((speed * 100.0).round() / 100.0)
        };
        (0..ROWS).map(&mut next).collect()
    };
    (0..CHANNELS).map(|channel| wind(8.0 + channel as f64, &mut noise)).collect()
}

fn lines(winds: &[Vec<Option<f64>>]) -> Vec<Line> {
    let mut noise = noise(2);
    let line = |row: usize| Line {
        time_ms: 1_735_689_600_000 + row as i64 * 1_000,
        values: std::array::from_fn(|channel| winds[channel][row]),
        score: Some((1.0 + 0.4 * noise()) as f32),
    };
    (0..ROWS).map(line).collect()
}

/// Numbers from -0.5 to 0.5: the upper bits of a linear congruential generator (Knuth, MMIX).
fn noise(mut state: u64) -> impl FnMut() -> f64 {
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / (1u64 << 31) as f64 - 0.5
    }
}
