//! Windward's two programs with their configurations, and what came out of them.

use anyhow::Result;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use windward_tests::peers::{CREDENTIALS, REGION};
use windward_tests::process::{Process, program};
pub(crate) use windward_tests::stored::kept;

/// How long a program may take to stop well.
pub(crate) const STOP: Duration = Duration::from_secs(30);
/// How long anything may take that should be done in seconds, on a machine that is busy.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// The seed of this run: `WINDWARD_SEED`, or one drawn from the clock.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("WINDWARD_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| windward_tests::clock::wall_ms() as u64 % 1_000_000);
    println!("seed: WINDWARD_SEED={seed}");
    seed
}

/// One of Windward's programs: started, killed and started again with the same configuration.
pub(crate) struct Program {
    name: &'static str,
    /// Another program than the one of this name that was built beside the tests.
    instead: Option<PathBuf>,
    config: PathBuf,
    environment: Vec<(&'static str, OsString)>,
    process: Option<Process>,
    /// Output of the runs that have ended.
    before: String,
}

impl Program {
    /// Writes the configuration; starts nothing.
    pub(crate) fn new(name: &'static str, dir: &Path, config: &str) -> Result<Self> {
        let path = dir.join(format!("{name}.toml"));
        std::fs::write(&path, config)?;
        Ok(Self { name, instead: None, config: path, environment: Vec::new(), process: None, before: String::new() })
    }

    /// Sets a variable of its environment.
    pub(crate) fn env(&mut self, name: &'static str, value: impl Into<OsString>) {
        self.environment.push((name, value.into()));
    }

    /// Has another program run in its place: one for another machine.
    #[allow(dead_code, reason = "for tests/arm, which has this file too")]
    pub(crate) fn instead(&mut self, program: PathBuf) {
        self.instead = Some(program);
    }

    pub(crate) fn start(&mut self) -> Result<()> {
        self.process = Some(Process::start(self.name, &mut self.command(&["run"])?)?);
        Ok(())
    }

    /// `check` with these further arguments, to its end; gives whether it found all well, and what it said.
    pub(crate) async fn check(&self, arguments: &[&str]) -> Result<(bool, String)> {
        self.run(&[&["check"], arguments].concat()).await
    }

    /// Another of its commands, to its end; gives whether it was a good one, and what it said.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Result<(bool, String)> {
        let mut process = Process::start(self.name, &mut self.command(arguments)?)?;
        let status = process.ended(STOP).await?;
        Ok((status.success(), process.output()))
    }

    /// Runs to an end that comes by itself; gives whether it was a good one, and what it said.
    pub(crate) async fn refused(&mut self) -> Result<(bool, String)> {
        let mut process = Process::start(self.name, &mut self.command(&["run"])?)?;
        let status = process.ended(STOP).await?;
        Ok((status.success(), process.output()))
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) -> Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        process.kill()?;
        self.before.push_str(&process.output());
        Ok(())
    }

    /// SIGTERM; the end must be a good one.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        let status = process.terminate(STOP).await?;
        self.before.push_str(&process.output());
        anyhow::ensure!(status.success(), "{} stopped with {status}, see {}", self.name, process.log().display());
        Ok(())
    }

    pub(crate) fn check_alive(&mut self) -> Result<()> {
        self.process.as_mut().map_or(Ok(()), Process::check_alive)
    }

    /// The id of the one that runs.
    pub(crate) fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    pub(crate) fn rss_kib(&self) -> Result<u64> {
        self.process.as_ref().map_or(Ok(0), Process::rss_kib)
    }

    /// Everything it has said, in all runs.
    pub(crate) fn output(&self) -> String {
        let now = self.process.as_ref().map(Process::output).unwrap_or_default();
        format!("{}{now}", self.before)
    }

    fn command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(self.instead.clone().map_or_else(|| program(self.name), Ok)?);
        command.args(arguments).arg("--config").arg(&self.config).envs(CREDENTIALS).env("AWS_REGION", REGION);
        command.env("RUST_LOG", "info,windward_agent::kept=trace").env("NO_COLOR", "1");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }
}

/// An agent's configuration with everything but its devices.
pub(crate) fn agent_toml(agent: &str, dir: &Path, broker: u16, more: &str) -> String {
    let data = dir.join(agent);
    format!(
        "agent = \"{agent}\"\nfarm = \"test-farm\"\ndata = {data:?}\n[mqtt]\nhost = \"127.0.0.1\"\nport = {broker}\n\
         [spool]\ncommit_every_ms = 200\n{more}"
    )
}

/// A sink's configuration; `notify` stands in its table.
pub(crate) fn sink_toml(broker: u16, store: &str, notify: &str, http: u16) -> String {
    format!(
        "farm = \"test-farm\"\n[mqtt]\nhost = \"127.0.0.1\"\nport = {broker}\n[store]\n{store}\n[notify]\n{notify}\n\
         [http]\nlisten = \"127.0.0.1:{http}\"\nguarded = true\n"
    )
}

/// What the sink's API says at `path`.
pub(crate) fn ask(http: u16, path: &str) -> Result<serde_json::Value> {
    let text = ureq::get(format!("http://127.0.0.1:{http}{path}")).call()?.body_mut().read_to_string()?;
    Ok(serde_json::from_str(&text)?)
}
