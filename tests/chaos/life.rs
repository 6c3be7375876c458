//! One life over a spool, in a process of its own: `spool-life <spool> <said> <seed> <life> <boot> <blocks> <sink> <steps>`.

use anyhow::Context as _;
use std::path::PathBuf;
use windward_tests::life::{Blocks, Life, Plan};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [spool, said, seed, life, boot, blocks, sink, steps] = arguments.as_slice() else {
        anyhow::bail!("spool-life <spool> <said> <seed> <life> <boot> <blocks> <sink> <steps>")
    };
    let blocks = Blocks::named(blocks).context("blocks are row, kib or full")?;
    let plan = Plan { boot: boot.parse()?, has_sink: sink.parse()?, ..Plan::new(seed.parse()?, life.parse()?, blocks) };
    let mut life = Life::begin(&PathBuf::from(spool), &PathBuf::from(said), &plan)?;
    for _ in 0..steps.parse::<u64>()? {
        life.step()?;
    }
    // Ends as a killed process does: nothing is put in order.
    std::process::exit(0)
}
