//! The agent's program: arguments, logging, signals.

mod cli;

use clap::Parser as _;
use std::io::IsTerminal as _;
use std::process::ExitCode;
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

// FORWARD and the disk have threads of their own; what is left, WATCH and its buses, passes every reading from task to
// task, and on one thread that wakes nobody.
#[tokio::main(worker_threads = 1)]
async fn main() -> ExitCode {
    let to_stderr = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    tracing_subscriber::registry().with(to_stderr.with_ansi(std::io::stderr().is_terminal())).with(logged()).init();
    match cli::run(cli::Arguments::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("windward-agent: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What is logged: levels of targets, as `RUST_LOG` says. By these alone, for to choose by fields and spans, which nobody
/// wants of an agent, takes an engine for regular expressions.
fn logged() -> Targets {
    let said = std::env::var("RUST_LOG").ok().filter(|said| !said.is_empty());
    let usual =
        || Targets::new().with_default(Level::INFO).with_targets([("sled", Level::WARN), ("rumqttc", Level::WARN)]);
    let logged: Targets = said.and_then(|said| said.parse().ok()).unwrap_or_else(usual);
    // Below this level it tells whole messages, and what AWS IoT answers with are credentials.
    logged.with_targets([("ureq", Level::WARN), ("ureq_proto", Level::WARN)])
}
