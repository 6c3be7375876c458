//! What it costs the sink to take readings in: decoding and placing alone, and into SQLite.
//!
//! ```text
//! cargo bench -p windward-sink --bench place [-- place | sqlite | memory]
//! ```
//! Twenty agents with a device of eight channels each, whose batches are packed as an agent's are that knows its schema to be
//! known. A reading is one value. CPU is that of the process; SQLite syncs every commit.

#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use cpu_time::ProcessTime;
use std::collections::BTreeSet;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;
use windward_protocol::batch::BatchBuilder;
use windward_protocol::{
    AgentId, BlockBuilder, Channel, Envelope, Lane, Quantity, Record, Row, SchemaId, Value, topic,
};
use windward_sink::config;
use windward_sink::decode::{Delivery, Known};
use windward_sink::io::store::Store;
use windward_sink::ledger::Ledger;
use windward_sink::notify::Policy;
use windward_sink::sink;

const AGENTS: usize = 20;
const CHANNELS: usize = 8;
/// Deliveries committed together.
const GROUP: usize = 64;
/// Moments a block, blocks a publish: committed every second and published so or every ten, committed every ten and
/// published every minute, a backlog.
const SHAPES: [(usize, usize); 5] = [(1, 1), (1, 10), (10, 1), (10, 6), (50, 8)];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let wanted = |part: &str| arguments.is_empty() || arguments.iter().any(|argument| argument == part);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if wanted("place") {
        println!("decode and place, no store: CPU ns a reading, readings/s of one core");
        for shape in SHAPES {
            runtime.block_on(run(shape, 2_000_000, None));
        }
    }
    if wanted("sqlite") {
        println!("into SQLite: also readings/s by the clock, bytes of the file a reading");
        for shape in SHAPES {
            let dir = tempfile::tempdir().unwrap();
            let store = config::Store::Sqlite(dir.path().join("farm.db"));
            let store = runtime.block_on(Store::open(&store)).unwrap();
            runtime.block_on(run(shape, 1_000_000, Some(&store)));
            let size: u64 =
                std::fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
            println!("{:>52} bytes a reading", format!("{:.1}", size as f64 / 1e6));
        }
    }
    if wanted("memory") {
        println!("resident memory over ten million readings into SQLite, MiB a million");
        let dir = tempfile::tempdir().unwrap();
        let store = config::Store::Sqlite(dir.path().join("farm.db"));
        let store = runtime.block_on(Store::open(&store)).unwrap();
        let mut farm = Farm::new((10, 6));
        let mut sink = Sink::new();
        for million in 1..=10 {
            while farm.readings < million * 1_000_000 {
                let group = farm.group();
                runtime.block_on(sink.take(&group, Some(&store)));
            }
            print!(" {:.1}", resident_mib());
        }
        println!();
    }
}

/// Takes so many readings in, and says what that cost.
async fn run(shape: (usize, usize), readings: usize, store: Option<&Store>) {
    let mut farm = Farm::new(shape);
    let mut sink = Sink::new();
    // The schemas become known.
    sink.take(&farm.group(), store).await;
    let before = farm.readings;
    let (mut cpu, mut clock) = (Duration::ZERO, Duration::ZERO);
    while farm.readings < readings {
        let group = farm.group();
        let (began, at) = (ProcessTime::now(), clock_now());
        sink.take(&group, store).await;
        cpu += began.elapsed();
        clock += at.elapsed();
    }
    let taken = (farm.readings - before) as f64;
    let (ns, a_core) = (cpu.as_secs_f64() * 1e9 / taken, taken / cpu.as_secs_f64());
    let by_clock = store.map(|_| format!("{:>12.0} by the clock", taken / clock.as_secs_f64())).unwrap_or_default();
    println!("  {:>2} moments x {:>2} blocks {ns:>10.0} {a_core:>12.0}{by_clock}", shape.0, shape.1);
}

#[allow(clippy::disallowed_methods, reason = "a benchmark looks at the clock")]
fn clock_now() -> std::time::Instant {
    std::time::Instant::now()
}

fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

/// A sink, but for its connections.
struct Sink {
    known: Known,
    ledger: Ledger,
}

impl Sink {
    fn new() -> Self {
        Self { known: Known::new(), ledger: Ledger::default() }
    }

    async fn take(&mut self, group: &[Delivery], store: Option<&Store>) {
        let opened = sink::open(group, self.known.clone());
        let unknown = self.ledger.unknown(&opened.sequences());
        if let Some(store) = store {
            let found = store.seen(&unknown).await.unwrap();
            self.ledger.looked_up(&unknown, &found);
        }
        let mut plan = sink::plan("farm", Policy::default(), opened, self.ledger.seen(), 0);
        assert!(plan.unknown.is_empty() && plan.rows.poison.is_empty());
        let schemas = plan.rows.schemas.iter();
        self.known.extend(schemas.map(|schema| ((schema.agent.clone(), schema.id()), schema.clone())));
        let rows = Arc::new(std::mem::take(&mut plan.rows));
        if let Some(store) = store {
            let before = store.commit(rows.clone()).await.unwrap();
            black_box(plan.tally(&before));
        }
        self.ledger.add(&rows.ledger);
        black_box(sink::acks(plan.deliveries.iter().flat_map(|remaining| &remaining.placed)));
    }
}

/// Agents that publish in turn.
struct Farm {
    moments: usize,
    blocks: usize,
    agents: Vec<AgentId>,
    channels: Vec<Channel>,
    acked: Vec<BTreeSet<SchemaId>>,
    /// Blocks and publishes so far.
    seqs: Vec<u64>,
    turn: usize,
    readings: usize,
}

impl Farm {
    fn new((moments, blocks): (usize, usize)) -> Self {
        let agents = (0..AGENTS).map(|number| AgentId::new(&format!("turbine-{number:03}")).unwrap()).collect();
        let channel =
            |index| Channel { name: format!("channel_{index}"), quantity: Quantity::WindSpeed, unit: "m/s".into() };
        let channels = (0..CHANNELS).map(channel).collect();
        let (acked, seqs) = (vec![BTreeSet::new(); AGENTS], vec![0; AGENTS]);
        Self { moments, blocks, agents, channels, acked, seqs, turn: 0, readings: 0 }
    }

    fn group(&mut self) -> Vec<Delivery> {
        (0..GROUP).map(|_| self.publish()).collect()
    }

    fn publish(&mut self) -> Delivery {
        let turn = self.turn % AGENTS;
        self.turn += 1;
        let mut batch = BatchBuilder::new();
        for _ in 0..self.blocks {
            assert!(batch.push(&self.block(turn)));
        }
        let packed = batch.finish_packed(&self.acked[turn]);
        self.acked[turn].extend(packed.schemas);
        Delivery { topic: topic::of_lane(&self.agents[turn], Lane::Readings), payload: packed.bytes }
    }

    fn block(&mut self, turn: usize) -> Vec<u8> {
        let agent = &self.agents[turn];
        let mut block = BlockBuilder::new(agent, "mast", "Turbine, nacelle", &self.channels, true);
        for moment in 0..self.moments {
            let second = self.seqs[turn] * self.moments as u64 + moment as u64;
            // A wind that wanders, in hundredths; each channel a little apart.
            let wind = |index: usize| 900 + ((second * 37 + index as u64 * 113) % 400) as i64;
            let readings = (0..CHANNELS).map(|index| Ok(Value::Int { mantissa: wind(index), exponent: -2 })).collect();
            let scores = (0..CHANNELS).map(|index| (index == 0).then_some((second % 90) as f32 / 100.0)).collect();
            let time_ms = 1_795_182_840_000 + second as i64 * 1_000;
            block.push(&Row { time_ms, readings, scores }).unwrap();
        }
        self.seqs[turn] += 1;
        self.readings += self.moments * CHANNELS;
        let record = Record::Block(block.finish().unwrap());
        let (epoch, lane, seq) = (7, Lane::Readings, self.seqs[turn]);
        Envelope { agent: agent.clone(), epoch, lane, seq, record }.encode().unwrap()
    }
}
