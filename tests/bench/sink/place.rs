//! Decoding and placing, in this process: alone, and into SQLite.

use crate::farm::Farm;
use cpu_time::ProcessTime;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use windward_sink::config;
use windward_sink::decode::{Delivery, Known};
use windward_sink::io::store::Store;
use windward_sink::ledger::Ledger;
use windward_sink::notify::Policy;
use windward_sink::sink;
use windward_tests::clock;
use windward_tests::process::rss_kib;

const AGENTS: usize = 20;
/// Deliveries committed together.
const GROUP: usize = 64;
/// Moments a block, blocks a publish: committed every second and published so or every ten, committed every ten and
/// published so or every minute, a backlog.
const SHAPES: [(usize, usize); 5] = [(1, 1), (1, 10), (10, 1), (10, 6), (50, 8)];

/// Without a store.
pub(crate) async fn place() -> anyhow::Result<()> {
    println!("decode and place, no store: CPU ns a reading, readings/s of one core");
    for shape in SHAPES {
        run(shape, 2_000_000, None).await?;
    }
    Ok(())
}

/// Into a file in `dir`.
pub(crate) async fn sqlite(dir: &Path) -> anyhow::Result<()> {
    println!("into SQLite, synced: also readings/s by the clock; bytes of the file a reading");
    for shape in SHAPES {
        let dir = tempfile::tempdir_in(dir)?;
        let store = Store::open(&config::Store::Sqlite(dir.path().join("farm.db"))).await?;
        run(shape, 1_000_000, Some(&store)).await?;
        let mut bytes = 0;
        for file in std::fs::read_dir(dir.path())? {
            bytes += file?.metadata()?.len();
        }
        println!("{:>60.1} bytes a reading", bytes as f64 / 1e6);
    }
    Ok(())
}

/// Ten million readings into a file in `dir`.
pub(crate) async fn memory(dir: &Path) -> anyhow::Result<()> {
    let dir = tempfile::tempdir_in(dir)?;
    let store = Store::open(&config::Store::Sqlite(dir.path().join("farm.db"))).await?;
    let (mut farm, mut sink) = (Farm::new(0..AGENTS, (10, 6)), Sink::new());
    print!("resident MiB after each of ten million readings into SQLite:");
    for million in 1..=10 {
        while farm.readings < million * 1_000_000 {
            sink.take(&group(&mut farm), Some(&store)).await?;
        }
        print!(" {:.1}", rss_kib(std::process::id())? as f64 / 1024.0);
    }
    println!();
    Ok(())
}

/// Takes so many readings in, and says what that cost.
async fn run(shape: (usize, usize), readings: usize, store: Option<&Store>) -> anyhow::Result<()> {
    let (mut farm, mut sink) = (Farm::new(0..AGENTS, shape), Sink::new());
    // The schemas become known.
    sink.take(&group(&mut farm), store).await?;
    let before = farm.readings;
    let (mut cpu, mut clock) = (Duration::ZERO, Duration::ZERO);
    while farm.readings < readings {
        let group = group(&mut farm);
        let (began, at) = (ProcessTime::now(), clock::now());
        sink.take(&group, store).await?;
        cpu += began.elapsed();
        clock += at.elapsed();
    }
    let taken = (farm.readings - before) as f64;
    let (ns, a_core) = (cpu.as_secs_f64() * 1e9 / taken, taken / cpu.as_secs_f64());
    let by_clock = store.map(|_| format!("{:>12.0} by the clock", taken / clock.as_secs_f64())).unwrap_or_default();
    println!("  {:>2} moments x {:>2} blocks {ns:>10.0} {a_core:>12.0}{by_clock}", shape.0, shape.1);
    Ok(())
}

fn group(farm: &mut Farm) -> Vec<Delivery> {
    (0..GROUP).map(|_| farm.publish(farm.published % AGENTS)).collect()
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

    async fn take(&mut self, group: &[Delivery], store: Option<&Store>) -> anyhow::Result<()> {
        let opened = sink::open(group, self.known.clone());
        let unknown = self.ledger.unknown(&opened.sequences());
        if let Some(store) = store {
            let found = store.seen(&unknown).await?;
            self.ledger.looked_up(&unknown, &found);
        }
        let mut plan = sink::plan("farm", &Policy::default(), opened, self.ledger.seen(), 0);
        assert!(plan.unknown.is_empty() && plan.rows.poison.is_empty());
        let schemas = plan.rows.schemas.iter();
        self.known.extend(schemas.map(|schema| ((schema.agent.clone(), schema.id()), schema.clone().into())));
        let rows = Arc::new(std::mem::take(&mut plan.rows));
        if let Some(store) = store {
            let before = store.commit(rows.clone()).await?;
            black_box(plan.tally(&before));
        }
        self.ledger.add(&rows.ledger);
        black_box(sink::acks(plan.deliveries.iter().flat_map(|remaining| &remaining.placed)));
        Ok(())
    }
}
