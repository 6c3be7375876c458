//! `farm`: all of Windward on one machine. Three simulated turbines behind real Modbus sockets, one agent each, an
//! embedded broker, a sink on SQLite, and the live page.

mod arguments;
mod control;
mod demo;
mod farm;
mod keys;
mod page;
mod report;

use anyhow::Context as _;
use arguments::{Arguments, Event};
use clap::Parser as _;
use control::Command;
use farm::Farm;
use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tracing_subscriber::EnvFilter;
use windward_tests::clock;

/// Commands that wait to be done; a key or request beyond that is refused.
const COMMANDS: usize = 16;
/// Time between two live lines, ms: on a terminal, and in a file, where each stays.
const LINE_EVERY_MS: u64 = 1_000;
const LINE_EVERY_IN_FILE_MS: u64 = 10_000;

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("farm: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// True when nothing was lost and every fault raised its alert.
async fn run(arguments: Arguments) -> anyhow::Result<bool> {
    let folder = tempfile::Builder::new().prefix("windward-farm-").tempdir()?;
    let data = arguments.data.clone().unwrap_or_else(|| folder.path().to_path_buf());
    std::fs::create_dir_all(&data).with_context(|| format!("cannot create {}", data.display()))?;
    let log = data.join("farm.log");
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,rumqttd=error,sled=warn"));
    let file = std::fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(file).init();

    println!("The farm: 3 turbines, each with its agent; broker, sink and page in this process.");
    let (commands, received) = mpsc::channel(COMMANDS);
    let mut farm = Farm::start(&arguments, &data, &commands).await?;
    farm.introduce(&arguments, &log);

    control::serve(arguments.control, commands.clone()).await?;
    plan(&arguments, &commands);
    // Held to the end of the loop, so that the terminal is as it was when the table is printed.
    let keys = keys::listen(&commands)?;
    if keys.is_some() {
        println!("Keys: g gust, s stuck, i icing, d dropout, p spike; 1 2 3 which turbine; l link; q quit.");
    }
    drive(&mut farm, &arguments, received).await?;
    drop(keys);
    let report = farm.finish().await?;
    report.print(arguments.duration_ms.is_some());
    if !report.good() && arguments.data.is_none() {
        println!("Data and log stay in {}.", folder.keep().display());
    }
    Ok(report.good())
}

/// Hands in what the command line has planned, each at its time.
fn plan(arguments: &Arguments, commands: &mpsc::Sender<Command>) {
    let planned = arguments.faults.iter().flat_map(|planned| match planned.event {
        Event::Fault { fault, turbine } => {
            let for_ms = planned.for_ms.unwrap_or(fault.usual_ms());
            vec![(planned.at_ms, Command::Fault { fault, turbine: Some(turbine), for_ms: Some(for_ms) })]
        }
        Event::Cut => {
            let end_ms = planned.at_ms + planned.for_ms.unwrap_or(arguments::USUAL_CUT_MS);
            vec![(planned.at_ms, Command::Link(Some(false))), (end_ms, Command::Link(Some(true)))]
        }
    });
    for (at_ms, command) in planned {
        let commands = commands.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(at_ms)).await;
            // Refused only when the farm is stopping.
            commands.send(command).await.ok();
        });
    }
}

/// Runs until the time is over or somebody ends it.
async fn drive(farm: &mut Farm, arguments: &Arguments, mut commands: mpsc::Receiver<Command>) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let end = async {
        match arguments.duration_ms {
            Some(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(end);
    let on_terminal = std::io::stdout().is_terminal();
    let every_ms = if on_terminal { LINE_EVERY_MS } else { LINE_EVERY_IN_FILE_MS };
    let every = Duration::from_millis(every_ms);
    let mut ticks = tokio::time::interval_at((clock::now() + every).into(), every);
    loop {
        tokio::select! {
            () = &mut end => return Ok(()),
            interrupted = tokio::signal::ctrl_c() => return Ok(interrupted?),
            _ = terminate.recv() => return Ok(()),
            _ = ticks.tick() => farm.line(on_terminal)?,
            Some(command) = commands.recv() => {
                if command == Command::Quit {
                    return Ok(());
                }
                farm.obey(command);
            }
        }
    }
}
