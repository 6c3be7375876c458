//! What an hour of a farm costs to archive: bytes a reading, processor time, peak memory.
//!
//! ```text
//! archive_hour make  <file> [turbines]   an hour of turbines with 8 channels at 1 Hz into a SQLite file
//! archive_hour write <file> <folder>     archives it, and says what that took
//! ```
#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::path::Path;
use std::sync::Arc;
use windward_protocol::batch::BatchBuilder;
use windward_protocol::{AgentId, BlockBuilder, Channel, Envelope, Lane, Quantity, Record, Row, Value, topic};
use windward_sink::config;
use windward_sink::decode::{Delivery, Known, Origin};
use windward_sink::io::archive::{Archiver, Place};
use windward_sink::io::store::Store;
use windward_sink::notify::Policy;
use windward_sink::place::Seen;
use windward_sink::sink;

const FARM: &str = "north-ridge";
/// 2026-11-20T13:00Z.
const BEGIN: i64 = 1_795_179_600_000;
const CHANNELS: [(&str, Quantity, &str); 8] = [
    ("wind_speed", Quantity::WindSpeed, "m/s"),
    ("direction", Quantity::WindDirection, "°"),
    ("power", Quantity::Power, "kW"),
    ("rotor", Quantity::RotorSpeed, "rpm"),
    ("pitch", Quantity::PitchAngle, "°"),
    ("oil", Quantity::Temperature, "°C"),
    ("vibration", Quantity::Vibration, "mm/s"),
    ("voltage", Quantity::Voltage, "V"),
];

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["make", file] => make(file, 100).await,
        ["make", file, turbines] => make(file, turbines.parse().unwrap()).await,
        ["write", file, folder] => write(file, folder).await,
        _ => eprintln!("archive_hour make <file> [turbines] | write <file> <folder>"),
    }
}

async fn open(file: &str) -> Store {
    Store::open(&config::Store::Sqlite(file.into())).await.unwrap()
}

async fn make(file: &str, turbines: u32) {
    let store = open(file).await;
    for turbine in 0..turbines {
        let agent = AgentId::new(&format!("t{turbine:03}")).unwrap();
        let deliveries = hour(&agent, turbine);
        let plan = sink::plan(FARM, &Policy::default(), sink::open(&deliveries, Known::new()), &Seen::new(), BEGIN);
        store.commit(Arc::new(plan.rows)).await.unwrap();
    }
}

/// An hour of a turbine, a block a minute: eight walks, of which wind, direction and vibration shake the most.
fn hour(agent: &AgentId, seed: u32) -> Vec<Delivery> {
    let channels = CHANNELS.map(|(name, quantity, unit)| Channel { name: name.into(), quantity, unit: unit.into() });
    let mut noise = u64::from(seed) * 7919 + 1;
    let mut step = |spread: i64| {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (noise >> 33) as i64 % (2 * spread + 1) - spread
    };
    let (mut wind, mut direction, mut oil) = (90i64, 2150i64, 415i64);
    let mut deliveries = Vec::new();
    for minute in 0..60 {
        let mut block = BlockBuilder::new(agent, "nacelle", "North ridge", &channels, true);
        for second in 0..60 {
            wind = (wind + step(4)).clamp(0, 300);
            direction = (direction + step(15)).rem_euclid(3600);
            oil += step(1);
            let int = |mantissa, exponent| Ok(Value::Int { mantissa, exponent });
            let readings = vec![
                int(wind, -1),
                int(direction, -1),
                int(wind * wind / 10 + step(5), 0),
                int(wind * 12 + step(3), -2),
                int(20 + step(2), -1),
                int(oil, -1),
                Ok(Value::F32(1.5 + step(1000) as f32 / 997.0)),
                int(6900 + step(15), -1),
            ];
            let mut scores = vec![None; 8];
            scores[0] = Some(0.8 + step(20) as f32 / 100.0);
            block.push(&Row { time_ms: BEGIN + (minute * 60 + second) * 1000, readings, scores }).unwrap();
        }
        let record = Record::Block(block.finish().unwrap());
        let envelope =
            Envelope { agent: agent.clone(), epoch: 7, lane: Lane::Readings, seq: minute as u64 + 1, record };
        let mut batch = BatchBuilder::new();
        assert!(batch.push(&envelope.encode().unwrap()));
        deliveries
            .push(Delivery { from: Origin::Topic(topic::of_lane(agent, Lane::Readings)), payload: batch.finish() });
    }
    deliveries
}

async fn write(file: &str, folder: &str) {
    let archiver = Archiver {
        store: open(file).await,
        place: Place::folder(Path::new(folder)).await.unwrap(),
        farm: FARM.into(),
        close_after_ms: 600_000,
        clock: || BEGIN + 10 * 3_600_000,
    };
    let before = (processor_ms(), peak_kib());
    let round = archiver.round().await.unwrap();
    let path = Path::new(folder).join(format!("readings/farm={FARM}/date=2026-11-20/hour=13/readings.parquet"));
    let bytes = std::fs::metadata(path).unwrap().len();
    println!(
        "{} rows, {bytes} bytes, {:.3} bytes a reading; {} ms of processor; peak memory {} KiB, {} KiB before",
        round.rows,
        bytes as f64 / round.rows as f64,
        processor_ms() - before.0,
        peak_kib(),
        before.1,
    );
}

/// Processor time of this process in user and kernel, from /proc in hundredths of a second.
fn processor_ms() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit(')').next().unwrap();
    after_name.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap() * 10).sum()
}

fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
