//! Arguments, signals and exit codes.

#[path = "cli/check.rs"]
mod check;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use windward_protocol::{AgentId, BadAgentId, Lane, Request, SeqRange};
use windward_sink::access::{Digest, Role, new_token};
use windward_sink::archive::DataSet;
use windward_sink::config::{self, Config};
use windward_sink::io;
use windward_sink::io::archive::Format;
use windward_sink::io::archive::export::{Export, export};
use windward_sink::io::clock::now_ms;
use windward_sink::io::secrets;
use windward_sink::io::store::Store;
use windward_sink::io::systemd::Manager;
use windward_sink::place::Deed;
use windward_sink::query;

/// Windward's cloud sink: takes what the agents of a wind farm send, stores every reading once, tells people of every
/// alert once, and shows the farm on a page.
#[derive(Parser)]
#[command(
    name = "windward-sink",
    version,
    after_help = "\
Logging: RUST_LOG=debug, or RUST_LOG=windward_sink=debug,info for one part; info unless set.
AWS credentials come from where the AWS SDK looks: environment, profile, container or instance role."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run until Ctrl-C or SIGTERM; then finish and ack what was taken.
    Run {
        /// Configuration file; deploy/examples/sink.toml explains every key.
        #[arg(long, short, value_name = "FILE", default_value = "/etc/windward/sink.toml")]
        config: PathBuf,
    },
    /// Serve the invocations of an AWS Lambda function: records of Kinesis, publishes by an IoT rule, a schedule.
    ///
    /// Lambda starts it, where the program is called `bootstrap` without any argument. Needs DynamoDB.
    Lambda {
        /// Configuration file, unless the environment holds its text (WINDWARD_CONFIG).
        #[arg(long, short, value_name = "FILE", default_value = "sink.toml")]
        config: PathBuf,
    },
    /// Try everything the configuration names, and say how each part stands. Fails if any part does.
    Check {
        /// Configuration file.
        #[arg(long, short, value_name = "FILE", default_value = "/etc/windward/sink.toml")]
        config: PathBuf,
        /// Make the DynamoDB tables that are not there.
        #[arg(long)]
        create: bool,
    },
    /// Ask the sink that runs with this configuration on this machine how it is. Fails unless it hears all its sources and
    /// its store answers.
    ///
    /// For the health check of a container, which has no other program.
    Health {
        /// Configuration file, of which [http] is used.
        #[arg(long, short, value_name = "FILE", default_value = "/etc/windward/sink.toml")]
        config: PathBuf,
    },
    /// Write a range of what is stored as Parquet or CSV.
    ///
    /// The store is read, not the archive; a sink may be running on it.
    Export {
        /// Configuration file, of which farm and store are used.
        #[arg(long, short, value_name = "FILE", default_value = "/etc/windward/sink.toml")]
        config: PathBuf,
        /// From this time on: like 2026-11-20T13:00:00Z, or milliseconds since 1970.
        #[arg(long, value_name = "TIME", value_parser = query::parse_time)]
        from: i64,
        /// Until this time, included.
        #[arg(long, value_name = "TIME", value_parser = query::parse_time)]
        to: i64,
        /// Only this agent.
        #[arg(long, value_name = "NAME")]
        agent: Option<String>,
        /// Only this device.
        #[arg(long, value_name = "NAME")]
        device: Option<String>,
        /// What: readings, alerts or stats.
        #[arg(long, value_parser = data_set, default_value = "readings")]
        data: DataSet,
        /// Form of the file: parquet or csv.
        #[arg(long, value_parser = format, default_value = "parquet")]
        format: Format,
        /// One file; or a folder, given with a / at its end: then a file an hour, as in the archive.
        #[arg(long, value_name = "PATH")]
        out: PathBuf,
    },
    /// Say that somebody sees to an alert, so that it is not repeated or escalated. The first to say so stays.
    Acknowledge {
        /// Configuration file, of which farm and store are used.
        #[arg(long, short, value_name = "FILE", default_value = "/etc/windward/sink.toml")]
        config: PathBuf,
        /// The alert's id, as messages and the API give it.
        #[arg(long, value_name = "ID", value_parser = alert_id)]
        alert: u64,
        /// Who sees to it.
        #[arg(long, value_name = "NAME")]
        by: String,
        /// What there is to say about it.
        #[arg(long, value_name = "TEXT", default_value = "")]
        note: String,
        /// The alert's agent, where two agents have alerts of the same id.
        #[arg(long, short, value_parser = agent_id)]
        agent: Option<AgentId>,
    },
    /// Make a token for somebody, and print it with the lines of the configuration that let it in.
    ///
    /// The token is shown once and kept nowhere: the configuration holds its digest alone.
    Token {
        /// Whose it is; stands in alerts and in the audit log.
        #[arg(value_name = "NAME")]
        name: String,
        /// What it lets do: viewer looks, operator acknowledges too, admin reads who did what.
        #[arg(long, value_parser = Role::parse)]
        role: Role,
    },
    /// Command an agent, and print its answers. Fails unless the last one is `done`.
    ///
    /// The agent takes commands when its configuration says so: from everyone whom the broker lets publish on its
    /// topic, or only what is signed (--key). Keys: `openssl genpkey -algorithm ed25519 -out operator.key`, then
    /// `openssl pkey -in operator.key -pubout -out operator.pub` for the agents.
    #[command(name = "command")]
    Give {
        /// Configuration file, of which the broker is used.
        #[arg(long, short, value_name = "FILE", default_value = "/etc/windward/sink.toml")]
        config: PathBuf,
        /// The agent.
        #[arg(long, short, value_parser = agent_id)]
        agent: AgentId,
        /// File of the operator's private key: PKCS #8 in PEM, Ed25519.
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
        /// How long to wait for its last word, seconds. A new configuration takes up to three minutes.
        #[arg(long, value_name = "SECONDS", default_value_t = 240)]
        wait: u64,
        /// Who commands, for the audit log; the user of this machine unless given.
        #[arg(long, value_name = "NAME")]
        by: Option<String>,
        #[command(subcommand)]
        ask: Ask,
    },
}

/// What an agent can be asked.
#[derive(Subcommand)]
enum Ask {
    /// Say how you are.
    Status,
    /// Send sequences of a lane once more, as far as they are still on the agent's disk.
    Resend {
        /// Lane: alerts or readings.
        #[arg(value_parser = lane)]
        lane: Lane,
        /// First sequence.
        from: u64,
        /// Last sequence.
        to: u64,
    },
    /// Read so many times as often for a while; `rate 1` ends it.
    Rate {
        /// How many times as often.
        times: u16,
        /// For so many minutes.
        #[arg(long, default_value_t = 10)]
        minutes: u16,
        /// Only this device.
        #[arg(long, default_value = "")]
        device: String,
    },
    /// Go on with this configuration; the agent goes back to its old one if it does not come up healthy.
    Configure {
        /// The agent's new configuration file.
        file: PathBuf,
    },
}

fn agent_id(text: &str) -> std::result::Result<AgentId, BadAgentId> {
    AgentId::new(text)
}

fn data_set(text: &str) -> std::result::Result<DataSet, String> {
    let known = DataSet::ALL.into_iter().find(|set| set.name() == text);
    known.ok_or_else(|| "readings, alerts or stats".into())
}

fn format(text: &str) -> std::result::Result<Format, String> {
    let known = [Format::Parquet, Format::Csv].into_iter().find(|format| format.ending() == text);
    known.ok_or_else(|| "parquet or csv".into())
}

fn alert_id(text: &str) -> std::result::Result<u64, String> {
    u64::from_str_radix(text, 16).map_err(|_| "16 hexadecimal digits, like 000000000000002a".into())
}

fn lane(text: &str) -> std::result::Result<Lane, String> {
    let known = Lane::DURABLE.into_iter().find(|lane| lane.name() == text);
    known.ok_or_else(|| "alerts or readings".into())
}

/// Runs the program.
pub(crate) fn main() -> ExitCode {
    let mut given: Vec<OsString> = std::env::args_os().collect();
    // Lambda runs the file `bootstrap` of a package, and has no way to give it arguments.
    if given.len() == 1 && Path::new(&given[0]).ends_with("bootstrap") {
        given.push("lambda".into());
    }
    let arguments = Arguments::parse_from(given);
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    // It tells whole addresses below this level, and the path of a webhook often is its secret.
    let quiet = ["ureq=warn", "ureq_proto=warn"].into_iter().filter_map(|directive| directive.parse().ok());
    let filter = quiet.fold(filter, EnvFilter::add_directive);
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let done = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(perform(arguments.command)));
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("windward-sink: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn perform(command: Command) -> Result<bool> {
    match command {
        Command::Run { config: file } => {
            let config = read(&file)?;
            secrets::warn_of_open(secrets::has_webhook(&config).then_some(file.as_path()));
            run(config).await
        }
        Command::Lambda { config } => {
            let config = match std::env::var("WINDWARD_CONFIG") {
                Ok(text) => Config::from_toml(&text, "WINDWARD_CONFIG")?,
                Err(_) => read(&config)?,
            };
            // In a box: the compiler gives up on the layout of a future so deep within another.
            Box::pin(io::lambda::serve(config)).await.map(|()| true)
        }
        Command::Check { config, create } => check::check(read(&config)?, create).await,
        Command::Health { config } => {
            let http = Config::from_file(&config)?.http;
            println!("{}", tokio::task::spawn_blocking(move || io::health::ask(&http)).await??);
            Ok(true)
        }
        Command::Export { config, from, to, agent, device, data, format, out } => {
            let config = Config::from_file(&config)?;
            let store = Store::open(&config.store).await?;
            let asked = Export { farm: config.farm, set: data, from_ms: from, to_ms: to, agent, device, format, out };
            let done = export(&store, &asked).await?;
            println!("{} rows in {} files", done.rows, done.files);
            if done.unreadable > 0 {
                eprintln!("{} rows of the store could not be read and are left out", done.unreadable);
            }
            Ok(done.unreadable == 0)
        }
        Command::Acknowledge { config, alert, by, note, agent } => {
            let config = Config::from_file(&config)?;
            let store = Store::open(&config.store).await?;
            let done = io::acknowledge::by_id(&store, &config.farm, alert, agent.as_ref(), &by, &note).await?;
            println!("{done}");
            Ok(true)
        }
        Command::Token { name, role } => {
            let token = new_token().context("this machine gives no random numbers")?;
            // In quotes and escaped as TOML wants it, which is as Rust does for what a name may hold.
            println!(
                "{token}\n\n[[http.token]]\nname = {name:?}\nrole = \"{role}\"\nsha256 = \"{}\"",
                Digest::of(&token)
            );
            Ok(true)
        }
        Command::Give { config, agent, key, wait, by, ask } => {
            let request = request(ask)?;
            let config = read(&config)?;
            let by = by.or_else(|| std::env::var("USER").ok()).unwrap_or_else(|| "somebody".into());
            note(&config, &by, &agent, &request).await;
            let wait = Duration::from_secs(wait);
            let mqtt = config.mqtt.context("[mqtt] is missing: agents are commanded over a broker")?;
            io::command::command(&mqtt, &agent, request, key.as_deref(), wait, &mut std::io::stdout()).await
        }
    }
}

/// Notes a command in the audit log, where this machine reaches the store. Whoever commands in need is not held up by it.
async fn note(config: &Config, by: &str, agent: &AgentId, request: &Request) {
    let what = match request {
        Request::Status => "status".into(),
        Request::Resend { lane, range } => format!("resend {lane} {} to {}", range.first, range.last),
        Request::Rate { times, minutes, device } => {
            format!("rate {times} of {} for {minutes} min", if device.is_empty() { "all" } else { device })
        }
        Request::Configure { toml } => format!("configure, {} bytes", toml.len()),
    };
    let about = format!("{agent}: {what}");
    let deed = Deed { at_ms: now_ms(), who: by.into(), role: Role::Admin, what: "command".into(), about };
    // A file that is not there is not made: the store is on another machine then.
    let noted = match &config.store {
        config::Store::Sqlite(path) if !path.exists() => Err(anyhow::anyhow!("{} is not here", path.display())),
        store => async { Store::open(store).await?.note_deed(&config.farm, &deed).await }.await,
    };
    if let Err(error) = noted {
        eprintln!("windward-sink: the command does not stand in the audit log: {error:#}");
    }
}

fn request(ask: Ask) -> Result<Request> {
    Ok(match ask {
        Ask::Status => Request::Status,
        Ask::Resend { lane, from, to } => {
            anyhow::ensure!(from <= to, "{from} comes after {to}");
            Request::Resend { lane, range: SeqRange { first: from, last: to } }
        }
        Ask::Rate { times, minutes, device } => Request::Rate { device, times, minutes },
        Ask::Configure { file } => {
            let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            Request::Configure { toml: text }
        }
    })
}

/// The configuration in the file, with the credentials that it names.
fn read(file: &Path) -> Result<Config> {
    let config = Config::from_file(file)?;
    config.with_credentials(io::credentials::file_of).map_err(|error| anyhow::anyhow!("{}: {error}", file.display()))
}

async fn run(config: Config) -> Result<bool> {
    let mut terminate = signal(SignalKind::terminate())?;
    let manager = Manager::of_environment();
    let mut running = io::start(config).await?;
    tokio::select! {
        () = manager.keep_told(running.sight()) => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
        error = running.failed() => return Err(error),
    }
    manager.stopping();
    tracing::info!("stopping");
    let counters = running.counters();
    running.stop().await?;
    tracing::info!(?counters, "stopped");
    Ok(true)
}
