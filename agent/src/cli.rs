//! The command line.

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use windward_agent::config::{Bus, Config, Link, Parity, profile};
use windward_agent::drill::Fault;
use windward_agent::io;
use windward_agent::probe;

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
    /// Find out what hangs on a line, how it is set and how it is read; ends with a table for the configuration.
    ///
    /// A probe only reads: function codes 1 to 4 and 0x2B, and never a register whose reading resets it.
    ///
    /// `probe serial /dev/ttyUSB0` listens for a device that speaks by itself (NMEA, Gill, Vaisala), then tries baud,
    /// parity and slave addresses for Modbus. `probe tcp 10.0.0.7` asks the units behind an address. Whoever answers is
    /// asked who it is, searched for a SunSpec map, and compared with all profiles. If none fits, its registers are
    /// watched for a few seconds, and what moves like a measurement is listed with type, word order and sureness.
    ///
    /// `probe --watch --config FILE` shows the live values of all devices of a configuration instead. No agent may run
    /// on the same line meanwhile. Ends with status 1 when nothing was found.
    #[command(arg_required_else_help = true)]
    Probe(Probe),
    /// List the device profiles, or explain one: wiring, settings, channels, traps, and the manual's pages.
    Profiles {
        /// Name of a profile.
        name: Option<String>,
    },
    /// Prove it on this gateway: write, be killed, lose the link, fill the quota, come back, and count what is lost.
    ///
    /// A drill takes about a minute (ten seconds with --quick) and works in a folder of its own beside the agent's data, on
    /// the same disk, which it removes in the end. The live spool is never opened; an agent that runs meanwhile notices a
    /// busier disk, nothing else. It needs no broker: the program plays broker and sink itself.
    ///
    /// Prints how fast the disk commits, what was confirmed, stored, given up and lost, what came again, and how long a
    /// killed agent took until its first publish. Ends with status 0 when nothing was lost and every gap is declared, else
    /// with 1 and the names of what is missing.
    Drill(Drill),
    /// Judge history: what would the agent have said of these readings?
    ///
    /// Reads a table with a header `timestamp,value[,value2..]`, each column but `timestamp` and `label` a channel, and runs
    /// it through the judge that runs live. Times are ISO 8601 (UTC unless they say otherwise), or seconds or milliseconds
    /// since 1970. An empty cell is a reading that failed; so is nan.
    ///
    /// Writes a table `timestamp,score,alert` with a row for each row of the input: `score` says how strange the table has
    /// been lately (0 is usual), `alert` is 1 where an alert opened, else 0. Prints the alerts and how many a month they
    /// are.
    Replay(Replay),
}

#[derive(Debug, Args)]
struct Drill {
    /// The configuration file, which names the data directory; nothing else of it is used.
    #[arg(long, short, value_name = "FILE", default_value = "/etc/windward/agent.toml", conflicts_with = "dir")]
    config: PathBuf,
    /// Work in this folder in place of the data directory; best on the disk that the agent uses.
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// Ten seconds in place of a minute.
    #[arg(long)]
    quick: bool,
    /// How many times the agent is killed.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(0..=1000))]
    kills: u32,
    /// Leave the drill's folder where it is, with the log of the agent under drill.
    #[arg(long)]
    keep: bool,
    /// Have the agent under drill do something wrong, to see that it is noticed.
    #[arg(long, hide = true, value_parser = fault)]
    fault: Option<Fault>,
    /// Be the agent under drill.
    #[arg(long, hide = true)]
    child: bool,
}

#[derive(Debug, Args)]
struct Replay {
    /// The table to replay.
    #[arg(value_name = "IN.csv", required_unless_present = "dir", conflicts_with = "dir")]
    input: Option<PathBuf>,
    /// Replay every *.csv below this folder, on all cores. Ends with status 1 when one of them failed.
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// Where the output goes; with --dir a folder, in which the files get the same relative paths.
    #[arg(long, short, value_name = "OUT.csv")]
    out: PathBuf,
    /// The configuration file that says what the columns are (a device's channels of the same names) and how they are
    /// judged, rules among it. Without it each column is a quantity of which nothing is known.
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// With --config: which device the columns are, when several fit.
    #[arg(long, value_name = "NAME", requires = "config")]
    device: Option<String>,
    /// Draw signal, score and alerts into this SVG file.
    #[arg(long, value_name = "OUT.svg", conflicts_with = "dir")]
    plot: Option<PathBuf>,
    /// Print the figures alone: no alerts, and no progress.
    #[arg(long, short)]
    quiet: bool,
}

#[derive(Debug, Args)]
struct Probe {
    #[command(subcommand)]
    line: Option<ProbeLine>,
    /// Show live values, each with its quality and the age of the last good one: of what was found, or of --config.
    #[arg(long, global = true)]
    watch: bool,
    /// End --watch after so many seconds; without it Ctrl-C does.
    #[arg(long = "for", value_name = "SECONDS", global = true, requires = "watch")]
    for_s: Option<u64>,
    /// With --watch: show all devices of this configuration file, and look for none.
    #[arg(long, short, value_name = "FILE", requires = "watch")]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum ProbeLine {
    /// A serial port: listen first, then sweep baud, parity and slave addresses.
    ///
    /// Without options the settings that sensors are delivered with are tried first (9600 8N1, 19200 8E1, 4800 8N1, ...),
    /// with slaves 1 to 16 and those of known devices: 75 seconds if nobody answers. All 247 addresses:
    /// `--slaves 1-247`, better with the baud that the label says.
    Serial {
        /// The port, for example /dev/ttyUSB0; best a link in /dev/serial/by-id, which a replugged adapter keeps.
        port: PathBuf,
        /// Rates to try, separated by commas: --baud 9600,19200.
        #[arg(long, value_delimiter = ',', value_name = "BAUD")]
        baud: Vec<u32>,
        /// Parities to try, separated by commas: even, odd, none.
        #[arg(long, value_delimiter = ',', value_name = "PARITY", value_parser = parity)]
        parity: Vec<Parity>,
        #[command(flatten)]
        common: Common,
    },
    /// Modbus TCP: which units answer behind one or more addresses.
    Tcp {
        /// Host names or addresses, separated by commas.
        #[arg(value_delimiter = ',', required = true, value_name = "HOST")]
        hosts: Vec<String>,
        /// TCP port.
        #[arg(long, default_value_t = 502)]
        port: u16,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, Args)]
struct Common {
    /// Slave addresses (unit identifiers) to ask: 1-32, or 0,1,255.
    #[arg(long, value_name = "LIST", value_parser = slaves)]
    slaves: Option<Slaves>,
    /// How long a slave has to answer, ms. Give a slow device 1000, a gateway 3000.
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u32).range(10..=60_000))]
    timeout_ms: Option<u32>,
    /// With --watch: look for nothing, and show the device as this profile reads it.
    #[arg(long, value_name = "NAME", requires = "watch")]
    profile: Option<String>,
}

impl Common {
    fn slaves(&self) -> Vec<u8> {
        self.slaves.as_ref().map_or_else(Vec::new, |slaves| slaves.0.clone())
    }
}

/// A list, which is one argument.
#[derive(Clone, Debug)]
struct Slaves(Vec<u8>);

fn slaves(text: &str) -> Result<Slaves, String> {
    probe::sweep::parse_slaves(text).map(Slaves)
}

fn parity(text: &str) -> Result<Parity, String> {
    match text.to_lowercase().as_str() {
        "even" | "e" => Ok(Parity::Even),
        "odd" | "o" => Ok(Parity::Odd),
        "none" | "n" => Ok(Parity::None),
        _ => Err("even, odd or none".into()),
    }
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    match arguments.command {
        Command::Run { config } => run_agent(&config).await,
        Command::Check { config } => {
            let well = io::check::check(&read(&config)?, &mut std::io::stdout()).await?;
            Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Probe(wanted) => tokio::select! {
            done = run_probe(wanted) => done,
            end = tokio::signal::ctrl_c() => {
                end?;
                // The progress bar, or half a table, may stand on the line.
                eprintln!();
                // As a shell reports a program that Ctrl-C ended.
                Ok(ExitCode::from(130))
            }
        },
        Command::Profiles { name } => profiles(name.as_deref()),
        Command::Drill(Drill { child: true, .. }) => io::drill::child().await.map(|()| ExitCode::SUCCESS),
        Command::Drill(wanted) => drill(wanted).await,
        Command::Replay(wanted) => replay(wanted),
    }
}

async fn drill(wanted: Drill) -> anyhow::Result<ExitCode> {
    let Drill { config, dir, quick, kills, keep, fault, .. } = wanted;
    let dir = dir.map_or_else(|| parse(&config).map(|config| config.data), Ok)?;
    let options = io::drill::Options { dir, quick, kills, keep, fault };
    let stop = io::drill::Stop::default();
    let stopped = stop.clone();
    // Before there is a folder that they would leave behind.
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut drilled = tokio::task::spawn_blocking(move || io::drill::run(&options, &stopped));
    let report = tokio::select! {
        done = &mut drilled => done?,
        _ = interrupt.recv() => { stop.set(); drilled.await? }
        _ = terminate.recv() => { stop.set(); drilled.await? }
    };
    if stop.is_set() {
        // As a shell reports a program that Ctrl-C ended.
        return Ok(ExitCode::from(130));
    }
    let report = report?;
    println!("{report}");
    Ok(if report.is_well() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn fault(text: &str) -> Result<Fault, String> {
    match text {
        "forget" => Ok(Fault::Forget),
        "forge" => Ok(Fault::Forge),
        _ => Err("forget or forge".into()),
    }
}

async fn run_probe(wanted: Probe) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout();
    let tables = match (wanted.line, &wanted.config) {
        (Some(_), Some(_)) => anyhow::bail!("--config names the lines already: give no port or host beside it"),
        (None, None) => anyhow::bail!("what is to be probed? `probe serial PORT`, `probe tcp HOST`, or --config FILE"),
        (None, Some(path)) => {
            io::probe::show(parse(path)?, wanted.for_s, out.is_terminal(), &mut out).await?;
            return Ok(ExitCode::SUCCESS);
        }
        (Some(ProbeLine::Serial { port, baud, parity, common }), None) => match &common.profile {
            Some(name) => {
                let given = (baud.first().copied(), parity.first().copied());
                vec![table_of(name, &common, |usual| serial_link(&port, given, usual))?]
            }
            None => {
                let (slaves, timeout_ms) = (common.slaves(), common.timeout_ms);
                let wanted = io::probe::Serial { port, bauds: baud, parities: parity, slaves, timeout_ms };
                io::probe::serial(&wanted, &mut out).await?
            }
        },
        (Some(ProbeLine::Tcp { hosts, port, common }), None) => match &common.profile {
            Some(name) => vec![table_of(name, &common, |_| Link::Tcp { host: hosts[0].clone(), port })?],
            None => {
                let (slaves, timeout_ms) = (common.slaves(), common.timeout_ms);
                io::probe::tcp(&io::probe::Tcp { hosts, port, slaves, timeout_ms }, &mut out).await?
            }
        },
    };
    if tables.is_empty() {
        return Ok(ExitCode::FAILURE);
    }
    if wanted.watch {
        let config = probe::config_of(&tables.join("\n"))?;
        io::probe::show(config, wanted.for_s, out.is_terminal(), &mut out).await?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The table of a device that follows the profile, on the line that `link` makes of the one it is delivered for.
fn table_of(name: &str, common: &Common, link: impl Fn(&Link) -> Link) -> anyhow::Result<String> {
    let known = probe::known().into_iter().find(|known| known.name == name).ok_or_else(|| no_profile(name))?;
    let usual = match &known.bus {
        Bus::Modbus { link, .. } | Bus::Sentences { link, .. } => link,
        _ => anyhow::bail!("{name} hangs on the gateway's own pins, on no line"),
    };
    let slave = common.slaves().first().copied();
    probe::table::of_known(&known, &link(usual), slave).with_context(|| format!("{name} hangs on no line"))
}

/// A serial line with what was given, and the rest as the profile's device is delivered.
fn serial_link(port: &Path, (baud, parity): (Option<u32>, Option<Parity>), usual: &Link) -> Link {
    let (usual_baud, usual_parity, stop_bits) = match usual {
        Link::Serial { baud, parity, stop_bits, .. } => (*baud, *parity, *stop_bits),
        Link::Tcp { .. } => (19_200, Parity::Even, 1),
    };
    let (baud, parity) = (baud.unwrap_or(usual_baud), parity.unwrap_or(usual_parity));
    Link::Serial { port: port.to_owned(), baud, parity, stop_bits }
}

fn profiles(name: Option<&str>) -> anyhow::Result<ExitCode> {
    let Some(name) = name else {
        for name in profile::names() {
            let title = profile::find(name).map(|profile| profile.title).unwrap_or_default();
            println!("{name:<30} {title}");
        }
        return Ok(ExitCode::SUCCESS);
    };
    let profile = profile::find(name).ok_or_else(|| no_profile(name))?;
    print!("{}", profile.explain(name));
    Ok(ExitCode::SUCCESS)
}

/// What a configuration with this profile would be told.
fn no_profile(name: &str) -> anyhow::Error {
    let refused = probe::config_of(&format!("[[device]]\nprofile = {name:?}\n")).err();
    let message = refused.and_then(|error| error.problems.into_iter().next()).map(|problem| problem.message);
    anyhow::anyhow!(message.unwrap_or_else(|| format!("there is no profile {name:?}")))
}

fn replay(wanted: Replay) -> anyhow::Result<ExitCode> {
    let config = wanted.config.as_deref().map(parse).transpose()?;
    let options = io::replay::Options { config, device: wanted.device, quiet: wanted.quiet };
    let mut out = std::io::stdout().lock();
    let well = match (&wanted.input, &wanted.dir) {
        (Some(input), _) => {
            io::replay::file(input, &wanted.out, wanted.plot.as_deref(), &options, &mut out)?;
            true
        }
        (None, Some(dir)) => io::replay::tree(dir, &wanted.out, &options, &mut out)?,
        (None, None) => anyhow::bail!("what is to be replayed? `replay IN.csv` or `replay --dir FOLDER`"),
    };
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn run_agent(file: &Path) -> anyhow::Result<ExitCode> {
    let config = read(file)?;
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tracing::info!(agent = %config.agent, devices = config.devices.len(), version = env!("CARGO_PKG_VERSION"), "starting");
    let stop = async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("stopping");
    };
    io::reconfigure::run(file, config, stop).await?;
    tracing::info!("stopped; everything read is on disk");
    Ok(ExitCode::SUCCESS)
}

/// The configuration in the file, with the credentials that it names.
fn read(path: &Path) -> anyhow::Result<Config> {
    let config = parse(path)?;
    config.with_credentials(io::credentials::file_of).map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))
}

/// The configuration in the file, for what needs none of its secrets.
fn parse(path: &Path) -> anyhow::Result<Config> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Config::from_toml(&text, &path.display().to_string())?)
}
