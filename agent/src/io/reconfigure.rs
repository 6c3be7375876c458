//! Runs an agent, and goes on with another configuration when a command says so.
//!
//! ```text
//!              refused: it says what is wrong            not healthy: the old one again
//!  run ──▶ asked ──▶ checked ──▶ stop ──▶ start with it ──▶ healthy ──▶ takes the old one's place on disk ──▶ run
//! ```
//! The file is replaced last. Whatever happens before, a kill or a power cut, the next start has the old one.

use super::clock::Clock;
use super::small_file::sync_dir;
use super::systemd::{Manager, Stage};
use super::{Options, Running, start};
use crate::command::answer;
use crate::config::Config;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;
use tokio::sync::watch;
use windward_protocol::Outcome;

/// How long a new configuration has to come up healthy.
const HEALTHY_WITHIN: Duration = Duration::from_secs(90);
/// Time between two looks at it.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Runs the agent of the configuration in `file` until `stop`, and keeps the service manager told. An error: one of its
/// halves has failed, or it could not start at all.
pub async fn run(file: &Path, config: Config, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    let manager = Manager::of_environment();
    let (stage, stages) = watch::channel(Stage::Start);
    let owner = Owner { file, beat: manager.beat(), stage };
    tokio::select! {
        ended = owner.run(config, stop) => ended,
        () = manager.keep_told(stages, Clock::start()) => unreachable!("it is told for as long as the agent runs"),
    }
}

/// Who holds the running agent, and replaces it.
struct Owner<'a> {
    file: &'a Path,
    /// How often the agent's parts are to show that they move.
    beat: Option<Duration>,
    /// How far it is, for the service manager.
    stage: watch::Sender<Stage>,
}

impl Owner<'_> {
    async fn run(&self, mut config: Config, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let mut stop = pin!(stop);
        let mut running = self.start(&config).await?;
        loop {
            let wanted = tokio::select! {
                () = &mut stop => {
                    self.stage.send_replace(Stage::Stop);
                    return running.stop().await.map(drop);
                }
                wanted = running.next() => wanted?,
            };
            let new = match prepare(self.file, &config, &wanted.toml) {
                Ok(new) => new,
                Err(why) => {
                    running.answer(answer(wanted.command, Outcome::Refused, why, running.clock.now()));
                    continue;
                }
            };
            (running, config) = tokio::select! {
                // Stopped half-way, the file is still the old one.
                () = &mut stop => return Ok(()),
                gone_on = self.go_on(running, (config, new), wanted.command) => gone_on?,
            };
        }
    }

    async fn start(&self, config: &Config) -> anyhow::Result<Running> {
        let running = start(config.clone(), Options { beat: self.beat, ..Options::default() }).await?;
        self.stage.send_replace(Stage::Work(running.sight()));
        Ok(running)
    }

    /// Stops the agent and starts it with the new configuration; with the old one, if the new does not come up healthy.
    async fn go_on(
        &self,
        running: Running,
        (old, new): (Config, Config),
        command: u64,
    ) -> anyhow::Result<(Running, Config)> {
        // One that has not been read yet is not known to be sick.
        let (now, well) = (running.clock.now(), running.devices_that(|device| device.failing.is_none()));
        let words =
            format!("stops, and goes on with the new configuration if that is healthy within {HEALTHY_WITHIN:?}");
        running.answer(answer(command, Outcome::Taken, words, now));
        tracing::info!(command, "going on with another configuration");
        self.stage.send_replace(Stage::Change);
        running.stop().await?;
        let why = match self.start(&new).await {
            Ok(mut running) => match healthy(&mut running, &well, &new).await.and_then(|()| replace(self.file)) {
                Ok(()) => {
                    running.answer(answer(command, Outcome::Done, "it is healthy".into(), running.clock.now()));
                    return Ok((running, new));
                }
                Err(why) => {
                    self.stage.send_replace(Stage::Change);
                    running.stop().await?;
                    why
                }
            },
            Err(error) => format!("{error:#}"),
        };
        tracing::error!(why, "the new configuration is not used; going back to the old one");
        let running = self.start(&old).await?;
        running.answer(answer(command, Outcome::Failed, why, running.clock.now()));
        Ok((running, old))
    }
}

/// The new configuration, checked, and written beside the old one.
fn prepare(file: &Path, old: &Config, toml: &str) -> Result<Config, String> {
    let new = Config::from_toml(toml, "the new configuration").map_err(|error| error.to_string())?;
    let new = new.with_credentials(super::credentials::file_of)?;
    if let Some(why) = old.refuses(&new) {
        return Err(why);
    }
    write(&beside(file, "next"), toml).map_err(|error| format!("cannot write beside {}: {error}", file.display()))?;
    Ok(new)
}

/// Waits until the agent is connected and every device that was well before, and is still there, is well again.
async fn healthy(running: &mut Running, before: &BTreeSet<String>, config: &Config) -> Result<(), String> {
    let expected: Vec<&String> =
        before.iter().filter(|name| config.devices.iter().any(|device| device.name == **name)).collect();
    let mut why = String::new();
    let wait = async {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let well = running.devices_that(|device| device.good > 0 && device.failing.is_none());
            let sick = expected.iter().find(|name| !well.contains(**name));
            why = match (running.counters().connected, sick) {
                (false, _) => "no connection to the broker".into(),
                (true, Some(name)) => format!("{name} gives no values, and did before"),
                (true, None) => return,
            };
        }
    };
    match tokio::time::timeout(HEALTHY_WITHIN, wait).await {
        Ok(()) => Ok(()),
        Err(_) => Err(format!("not healthy after {HEALTHY_WITHIN:?}: {why}")),
    }
}

/// Puts the file that [`prepare`] wrote in the place of the old one, which stays beside it.
fn replace(file: &Path) -> Result<(), String> {
    let swap = || {
        fs::copy(file, beside(file, "before"))?;
        fs::rename(beside(file, "next"), file)?;
        sync_dir(file.parent().unwrap_or(Path::new(".")))
    };
    swap()
        .map_err(|error: io::Error| format!("it is healthy, but cannot take the place of {}: {error}", file.display()))
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn beside(file: &Path, what: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(format!(".{what}"));
    name.into()
}
