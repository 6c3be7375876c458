//! The agent's program: arguments, logging, signals.

mod cli;

use clap::Parser as _;
use std::io::IsTerminal as _;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

// FORWARD and the disk have threads of their own; what is left, WATCH and its buses, passes every reading from task to
// task, and on one thread that wakes nobody.
#[tokio::main(worker_threads = 1)]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,sled=warn,rumqttc=warn"));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours).init();
    match cli::run(cli::Arguments::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("windward-agent: {error:#}");
            ExitCode::FAILURE
        }
    }
}
