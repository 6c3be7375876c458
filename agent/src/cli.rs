//! The command line.

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use windward_agent::config::Config;
use windward_agent::io::{self, Options};

/// Windward's edge agent: reads a turbine's sensors, judges every reading on the spot, keeps it on disk and forwards it.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read, judge, keep and forward until stopped (SIGTERM or Ctrl-C end it well).
    ///
    /// What it does is logged on standard error; RUST_LOG sets how much: `RUST_LOG=debug`, or
    /// `RUST_LOG=info,windward_agent::kept=trace` for one line for every reading that is safe from a killed process.
    Run {
        /// The configuration file; deploy/examples/agent.toml explains every key.
        #[arg(long, short, value_name = "FILE", default_value = "/etc/windward/agent.toml")]
        config: PathBuf,
    },
    /// Try a configuration out: read every channel once, reach the broker, write to the data directory. Changes nothing.
    ///
    /// Prints what each channel says and what is wrong, and ends with status 1 when something is.
    Check {
        /// The configuration file; deploy/examples/agent.toml explains every key.
        #[arg(long, short, value_name = "FILE", default_value = "/etc/windward/agent.toml")]
        config: PathBuf,
    },
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    match arguments.command {
        Command::Run { config } => run_agent(read(&config)?).await,
        Command::Check { config } => {
            let well = io::check::check(&read(&config)?, &mut std::io::stdout()).await?;
            Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

async fn run_agent(config: Config) -> anyhow::Result<ExitCode> {
    let mut terminate = signal(SignalKind::terminate())?;
    tracing::info!(agent = %config.agent, devices = config.devices.len(), version = env!("CARGO_PKG_VERSION"), "starting");
    let mut running = io::start(config, Options::default()).await?;
    tokio::select! {
        end = tokio::signal::ctrl_c() => end?,
        _ = terminate.recv() => {}
        error = running.failed() => return Err(error),
    }
    tracing::info!("stopping");
    running.stop().await?;
    tracing::info!("stopped; everything read is on disk");
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> anyhow::Result<Config> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Config::from_toml(&text, &path.display().to_string())?)
}
