//! What it costs the sink to take readings in. Run by `tests/bench/sink/run`.
//!
//! - `place`: decoding and placing alone, in this process. `sqlite`: the same into a file, synced at every commit.
//!   `memory`: what it holds over ten million readings.
//! - `load`: the program itself on one core, behind mosquitto, with a thousand agents of eight channels that publish every
//!   second. The lag is from an agent's publish to the sink's ack at the agent.
//!
//! A reading is one value; CPU is processor time.

mod farm;
mod load;
mod place;

use anyhow::{Context as _, Result, bail};
use load::Load;
use std::path::PathBuf;
use std::time::Duration;

const PARTS: [&str; 4] = ["place", "sqlite", "memory", "load"];

/// The sink's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<()> {
    let mut parts: Vec<String> = Vec::new();
    let mut load = Load { agents: 1_000, lasts: Duration::from_secs(600), every_s: 1 };
    let mut dir = std::env::temp_dir();
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--agents" => load.agents = value()?.parse()?,
            "--seconds" => load.lasts = Duration::from_secs(value()?.parse()?),
            "--every" => load.every_s = value()?.parse()?,
            "--dir" => dir = PathBuf::from(value()?),
            part if PARTS.contains(&part) => parts.push(part.into()),
            other => {
                bail!("unknown argument {other}; parts: {}; --agents, --seconds, --every, --dir", PARTS.join(", "))
            }
        }
    }
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|wanted| wanted == part);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        if wanted("place") {
            place::place().await?;
        }
        if wanted("sqlite") {
            place::sqlite(&dir).await?;
        }
        if wanted("memory") {
            place::memory(&dir).await?;
        }
        if wanted("load") {
            load::load(load, tempfile::tempdir_in(&dir)?.path()).await?;
        }
        Ok(())
    })
}
