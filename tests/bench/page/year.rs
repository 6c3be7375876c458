//! A year of an anemometer's readings, through the sink's own hands into its store.

use anyhow::{Result, ensure};
use std::sync::Arc;
use windward_protocol::batch::BatchBuilder;
use windward_protocol::{
    AgentId, BlockBuilder, Channel, DeviceManifest, Envelope, Hello, Lane, Quantity, Record, Row, Stats, Value, topic,
};
use windward_sink::decode::{Delivery, Known, Origin};
use windward_sink::io::store::Store;
use windward_sink::ledger::Ledger;
use windward_sink::notify::Policy;
use windward_sink::sink;
use windward_tests::clock;

/// Readings of one publish, ms: a minute's backlog.
const PUBLISH_MS: i64 = 60_000;
/// Publishes committed together.
const GROUP: usize = 64;
const WINDOW_MS: i64 = 600_000;
const DAY_MS: i64 = 86_400_000;

/// Fills an empty store with readings of so many days up to now, a block every `block_s` seconds.
pub(crate) async fn fill(store: &Store, days: i64, block_s: i64) -> Result<()> {
    let began = clock::now();
    let end_ms = clock::wall_ms().div_euclid(WINDOW_MS) * WINDOW_MS;
    let first_ms = end_ms - days * DAY_MS;
    let (mut agent, mut sink) = (Agent::new(), Sink::default());
    let hello = agent.hello(first_ms);
    let mut group = vec![agent.publish(Lane::Alerts, vec![hello])];
    let (mut window, mut told) = (Window::new(first_ms), 0);
    for at_ms in (first_ms..end_ms).step_by(PUBLISH_MS as usize) {
        let mut records = Vec::new();
        for block_ms in (at_ms..at_ms + PUBLISH_MS).step_by(block_s as usize * 1_000) {
            let until_ms = (block_ms + block_s * 1_000).min(at_ms + PUBLISH_MS);
            records.push(agent.block(block_ms, until_ms, &mut window)?);
        }
        if at_ms + PUBLISH_MS == window.start_ms + WINDOW_MS {
            records.push(Record::Stats(window.finish(agent.channel.clone())));
            window = Window::new(at_ms + PUBLISH_MS);
        }
        group.push(agent.publish(Lane::Readings, records));
        if group.len() >= GROUP || at_ms + PUBLISH_MS == end_ms {
            sink.take(&std::mem::take(&mut group), store).await?;
        }
        let done = (at_ms - first_ms) * 10 / (end_ms - first_ms);
        if done > told {
            told = done;
            eprintln!("{} % of {days} days, {:.0} s", done * 10, began.elapsed().as_secs_f64());
        }
    }
    let (readings, seconds) = (days * DAY_MS / 1_000, began.elapsed().as_secs_f64());
    println!(
        "FIGURE {readings} readings of {days} days, a block every {block_s} s: taken in within {seconds:.0} s, {:.0} a second",
        readings as f64 / seconds
    );
    Ok(())
}

/// What is read at a time, hundredths of m/s: weather of days, a day's course, and gusts that nobody foresees.
fn wind(time_ms: i64) -> i64 {
    let days = time_ms as f64 / DAY_MS as f64;
    let slow = 8.0 + 3.5 * (days * 1.7).sin() + 1.5 * (days * std::f64::consts::TAU).sin();
    // Knuth's multiplicative hash of the second.
    let hash = (time_ms / 1_000).wrapping_mul(2_654_435_761).rem_euclid(1 << 32) >> 16;
    let gust = (hash as f64 / 65_536.0 - 0.5) * slow * 0.4;
    ((slow + gust).max(0.0) * 100.0).round() as i64
}

/// An anemometer's agent.
struct Agent {
    id: AgentId,
    channel: Channel,
    /// Blocks and other records so far, of alerts and of readings.
    seqs: (u64, u64),
}

impl Agent {
    fn new() -> Self {
        #[allow(clippy::unwrap_used, reason = "the name is one")]
        let id = AgentId::new("turbine-1").unwrap();
        let channel = Channel { name: "wind_speed".into(), quantity: Quantity::WindSpeed, unit: "m/s".into() };
        Self { id, channel, seqs: (0, 0) }
    }

    fn hello(&self, at_ms: i64) -> Record {
        let device = DeviceManifest {
            device: "nacelle".into(),
            location: "Turbine 1, nacelle".into(),
            link: "modbus tcp 127.0.0.1:502 slave 1".into(),
            interval_ms: 1_000,
            channels: vec![self.channel.clone()],
        };
        Record::Hello(Hello { version: "0.1.0".into(), farm: "year".into(), at_ms, devices: vec![device] })
    }

    fn block(&self, from_ms: i64, until_ms: i64, window: &mut Window) -> Result<Record> {
        let channels = std::slice::from_ref(&self.channel);
        let mut block = BlockBuilder::new(&self.id, "nacelle", "Turbine 1, nacelle", channels, true);
        for time_ms in (from_ms..until_ms).step_by(1_000) {
            let mantissa = wind(time_ms);
            window.add(mantissa as f64 / 100.0);
            let score = (mantissa % 90) as f32 / 100.0;
            let row =
                Row { time_ms, readings: vec![Ok(Value::Int { mantissa, exponent: -2 })], scores: vec![Some(score)] };
            ensure!(block.push(&row).is_ok(), "a block of {} s is too long", (until_ms - from_ms) / 1_000);
        }
        #[allow(clippy::unwrap_used, reason = "rows were pushed")]
        Ok(Record::Block(block.finish().unwrap()))
    }

    fn publish(&mut self, lane: Lane, records: Vec<Record>) -> Delivery {
        let mut batch = BatchBuilder::new();
        for record in records {
            let seq = if lane == Lane::Alerts { &mut self.seqs.0 } else { &mut self.seqs.1 };
            *seq += 1;
            let envelope = Envelope { agent: self.id.clone(), epoch: 7, lane, seq: *seq, record };
            #[allow(clippy::unwrap_used, reason = "it is within its limit")]
            let bytes = envelope.encode().unwrap();
            assert!(batch.push(&bytes), "a batch holds that many");
        }
        Delivery { from: Origin::Topic(topic::of_lane(&self.id, lane)), payload: batch.finish() }
    }
}

/// Ten minutes of readings.
struct Window {
    start_ms: i64,
    values: Vec<f64>,
}

impl Window {
    fn new(start_ms: i64) -> Self {
        Self { start_ms, values: Vec::with_capacity(600) }
    }

    fn add(&mut self, value: f64) {
        self.values.push(value);
    }

    fn finish(&self, channel: Channel) -> Stats {
        let n = self.values.len() as f64;
        let mean = self.values.iter().sum::<f64>() / n;
        let variance = self.values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n;
        let gust = self.values.windows(3).map(|three| three.iter().sum::<f64>() / 3.0).fold(0.0, f64::max);
        Stats {
            device: "nacelle".into(),
            channel,
            start_ms: self.start_ms,
            window_ms: WINDOW_MS as u32,
            n: self.values.len() as u32,
            due: 600,
            mean,
            min: self.values.iter().copied().fold(f64::INFINITY, f64::min),
            max: self.values.iter().copied().fold(0.0, f64::max),
            std: variance.sqrt(),
            gust_3s: Some(gust),
        }
    }
}

/// A sink, but for its connections.
#[derive(Default)]
struct Sink {
    known: Known,
    ledger: Ledger,
}

impl Sink {
    async fn take(&mut self, group: &[Delivery], store: &Store) -> Result<()> {
        let opened = sink::open(group, self.known.clone());
        let unknown = self.ledger.unknown(&opened.sequences());
        if !unknown.is_empty() {
            let found = store.seen(&unknown).await?;
            self.ledger.looked_up(&unknown, &found);
        }
        let mut plan = sink::plan("year", &Policy::default(), opened, self.ledger.seen(), clock::wall_ms());
        ensure!(plan.unknown.is_empty() && plan.rows.poison.is_empty(), "something was refused");
        let schemas = plan.rows.schemas.iter();
        self.known.extend(schemas.map(|schema| ((schema.agent.clone(), schema.id()), schema.clone().into())));
        let rows = Arc::new(std::mem::take(&mut plan.rows));
        store.commit(rows.clone()).await?;
        self.ledger.add(&rows.ledger);
        Ok(())
    }
}
