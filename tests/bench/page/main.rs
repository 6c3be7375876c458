//! A sink over a year of readings, one a second: 31.5 million of one channel, taken in as an agent would have sent them.
//! Run by `tests/bench/page/run`.
//!
//! The wind wanders with the weather, the day and the second; the 10-minute statistics are those of its readings. The agent
//! closes a block every ten seconds. The year ends when this is run.

mod year;

use anyhow::{Context as _, Result};
use clap::Parser;
use std::path::PathBuf;
use windward_sink::config::{self, Config};
use windward_sink::io::{self, store::Store};

/// The sink's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Fills a store with a year of readings, and serves its page and API until it is interrupted.
#[derive(Parser)]
struct Arguments {
    /// The store; filled if it is not there.
    file: PathBuf,
    /// How many days.
    #[arg(long, default_value_t = 365)]
    days: i64,
    /// Seconds between two blocks of the agent.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(i64).range(1..=60))]
    block_s: i64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let Arguments { file, days, block_s } = Arguments::parse();
    if !file.exists() {
        let store = Store::open(&config::Store::Sqlite(file.clone())).await?;
        year::fill(&store, days, block_s).await?;
    }
    let text = format!(
        "farm = \"year\"\n[mqtt]\nhost = \"127.0.0.1\"\nport = 1\n[store]\nsqlite = {file:?}\n\
         [http]\nlisten = \"127.0.0.1:0\"\nguarded = true\n"
    );
    let running = io::start(Config::from_toml(&text, "the sink of a year")?).await?;
    println!("Page: http://{}", running.http);
    tokio::signal::ctrl_c().await.context("nothing can interrupt it")?;
    running.stop().await
}
