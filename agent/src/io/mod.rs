//! The shell: everything that touches the world, and the two loops that drive the cores.

pub mod alerts;
mod bus;
pub mod check;
pub mod clock;
mod commands;
pub mod credentials;
mod disk;
pub mod drill;
mod forward;
mod frame;
#[cfg(feature = "hal")]
pub mod hal;
mod journal_sled;
#[cfg(feature = "kafka")]
mod kafka;
#[cfg(feature = "kinesis")]
mod kinesis;
mod last_time;
mod live;
mod mqtt;
pub mod probe;
mod progress;
mod pulse;
pub mod reconfigure;
pub mod replay;
mod secrets;
mod session;
mod side_files;
mod sled_dir;
mod small_file;
pub mod spool;
mod state;
mod state_sled;
mod systemd;
mod tls;
mod uplinks;
mod watch;

#[cfg(any(test, fuzzing))]
pub use journal_sled::bytes_on_disk;

use crate::command::{self, Accept};
use crate::config::{Commands, Config};
use crate::forward::journal::Found;
use crate::forward::{Counters, Forward, Settings, recover};
use crate::handover::Handover;
use crate::watch::Watch;
use crate::watch::beacon::Beacon;
use alerts::LocalAlarm;
use anyhow::Context as _;
use clock::{Clock, World};
use commands::{Carried, Key, Wanted};
use last_time::LastTime;
use pulse::Pulse;
use spool::{SideFiles, SledJournal};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use systemd::Sight;
use tokio::sync::{mpsc, oneshot, watch as signal};
use tokio::task::JoinHandle;
use windward_protocol::{AgentId, Alert, Answer, DeviceHealth, Iso8601, Outcome, Row};

/// The queue between the cores. When it is full a row is dropped and counted, and an alert waits in WATCH's shell.
const HANDOVERS: usize = 4096;
/// Answers of the disk thread on their way to FORWARD; when full, the thread waits.
const ANSWERS: usize = 64;

/// Told of every step of an alert, at the moment it is raised.
pub type OnAlert = Arc<dyn Fn(&Alert) + Send + Sync>;

/// What a program that runs the agent inside itself may add.
#[derive(Default)]
pub struct Options {
    /// Rows of each device, by name, that the detector learns from before it starts.
    pub history: BTreeMap<String, Vec<Row>>,
    /// Told of every step of an alert, after the log and before the local command has run.
    pub on_alert: Option<OnAlert>,
    /// How often each part is to move though it has nothing to do, for whoever looks whether it still does.
    pub beat: Option<Duration>,
}

/// A running agent.
pub struct Running {
    stop: signal::Sender<bool>,
    counters: signal::Receiver<Counters>,
    devices: signal::Receiver<Vec<DeviceHealth>>,
    wanted: mpsc::Receiver<Wanted>,
    answers: mpsc::Sender<Answer>,
    clock: Clock,
    pulse: Arc<Pulse>,
    watch: JoinHandle<()>,
    forward: oneshot::Receiver<()>,
    disk: std::thread::JoinHandle<()>,
}

impl Running {
    /// Figures so far.
    pub fn counters(&self) -> Counters {
        *self.counters.borrow()
    }

    /// What the service manager is told about.
    fn sight(&self) -> Sight {
        Sight { pulse: self.pulse.clone(), counters: self.counters.clone(), devices: self.devices.clone() }
    }

    /// The devices of which this can be said, by name.
    fn devices_that(&self, is: impl Fn(&DeviceHealth) -> bool) -> BTreeSet<String> {
        self.devices.borrow().iter().filter(|device| is(device)).map(|device| device.device.clone()).collect()
    }

    /// Answers a command.
    fn answer(&self, answer: Answer) {
        if self.answers.try_send(answer).is_err() {
            tracing::warn!("the answer to a command is lost: nobody takes it");
        }
    }

    /// Comes to a good end: stops reading, makes everything durable, waits a moment for acks, disconnects. Gives the last
    /// figures; between those of before and the end rows may still have come.
    pub async fn stop(self) -> anyhow::Result<Counters> {
        self.stop.send_replace(true);
        self.watch.await.context("the watch half failed")?;
        self.forward.await.context("the forward half failed")?;
        let joined = tokio::task::spawn_blocking(|| self.disk.join()).await?;
        joined.map_err(|_| anyhow::anyhow!("the disk thread panicked"))?;
        Ok(*self.counters.borrow())
    }

    /// Waits for an end that nobody asked for: one of the halves has failed.
    pub async fn failed(&mut self) -> anyhow::Error {
        loop {
            let wanted = match self.next().await {
                Ok(wanted) => wanted,
                Err(error) => return error,
            };
            let words = "it runs inside another program, which has its configuration".into();
            self.answer(command::answer(wanted.command, Outcome::Refused, words, self.clock.now()));
        }
    }

    /// The next configuration that an operator wants used; or an end that nobody asked for: one of the halves has failed.
    async fn next(&mut self) -> anyhow::Result<Wanted> {
        let (half, end) = tokio::select! {
            end = &mut self.watch => ("watch", end.map_err(anyhow::Error::from)),
            end = &mut self.forward => ("forward", end.map_err(anyhow::Error::from)),
            Some(wanted) = self.wanted.recv() => return Ok(wanted),
        };
        match end {
            Ok(()) => anyhow::bail!("the {half} half has ended"),
            Err(error) => Err(error.context(format!("the {half} half failed"))),
        }
    }
}

/// Starts an agent: opens its spool, saves what a killed process has left, then reads and forwards.
pub async fn start(config: Config, options: Options) -> anyhow::Result<Running> {
    start_in(World::read(), config, options).await
}

async fn start_in(world: World, config: Config, options: Options) -> anyhow::Result<Running> {
    let config = Arc::new(config);
    secrets::warn(&config);
    let (spool, agent, seed) = (config.data.join("spool"), config.agent.clone(), random());
    let max_bytes = config.spool.max_bytes;
    let opened = tokio::task::spawn_blocking(move || open_spool(&spool, max_bytes, &agent, world)).await?;
    let Spool { journal, side_files, found, last_time, clock, .. } =
        opened.with_context(|| format!("the spool in {}", config.data.display()))?;

    let (on_alert, beacon) = alarms(&config, options.on_alert);
    let (to_forward, from_watch) = mpsc::channel::<Handover>(HANDOVERS);
    let (answers, from_disk) = mpsc::channel(ANSWERS);
    let (counters, counted) = signal::channel(Counters::default());
    let (stop, stopped) = signal::channel(false);
    let pulse = Arc::new(Pulse::new(options.beat));
    let (jobs, disk) = disk::start(journal, last_time, clock, answers, pulse.clone())?;
    let key = match &config.commands {
        Commands::Signed(file) => Some(Key::read(file)?),
        Commands::None | Commands::Acl => None,
    };
    let (carriers, Carried { hurries, wanted, answers }) = commands::ends(key);
    let (health, devices) = signal::channel(Vec::new());
    let shell = forward::Shell {
        agent: config.agent.clone(),
        ways: uplinks::of(&config).into_iter().map(|(_, way)| way).collect(),
        devices: config.devices.iter().map(|device| device.name.clone()).collect(),
        clock,
        jobs,
        side_files,
        on_alarm: on_alert.clone(),
        counters,
        carriers,
        pulse: pulse.clone(),
    };
    let core = Forward::new(settings(&config, seed), &found, clock.now());
    let forward = forward::start(move || forward::run(core, shell, from_watch, from_disk))?;

    let mut core = Watch::new(&config, seed);
    let (checkpoints, restored) = state::start(&config, &mut core, clock).await;
    for (index, device) in config.devices.iter().enumerate() {
        if let Some(rows) = options.history.get(&device.name) {
            let known = restored[index].map_or(0, |saved| rows.partition_point(|row| row.time_ms <= saved.0));
            core.learn(index, &rows[known..]);
        }
    }
    let ends = watch::Ends {
        to_forward,
        alarms: (on_alert, beacon),
        hurries,
        answers: answers.clone(),
        health,
        pulse: pulse.clone(),
        stopped,
    };
    let watch = tokio::spawn(watch::run(config, core, clock, checkpoints, ends));
    Ok(Running { stop, counters: counted, devices, wanted, answers, clock, pulse, watch, forward, disk })
}

/// What is told of every step of an alert: the log and the local command, the beacon, and whoever runs the agent.
fn alarms(config: &Config, also: Option<OnAlert>) -> (OnAlert, Option<signal::Receiver<bool>>) {
    let alarm = LocalAlarm::new(config.alert_command.clone());
    let (lit, is_lit) = signal::channel(false);
    let beacon = config.beacon.map(|beacon| Mutex::new(Beacon::new(beacon.severity)));
    let has_beacon = beacon.is_some();
    let on_alert = move |alert: &Alert| {
        if let Some(beacon) = &beacon {
            let on = beacon.lock().unwrap_or_else(PoisonError::into_inner).handle(alert);
            lit.send_if_modified(|lit| std::mem::replace(lit, on) != on);
        }
        alarm.raise(alert);
        if let Some(also) = &also {
            also(alert);
        }
    };
    (Arc::new(on_alert), has_beacon.then_some(is_lit))
}

fn settings(config: &Config, seed: u64) -> Settings {
    Settings {
        agent: config.agent.clone(),
        farm: config.farm.clone(),
        version: env!("CARGO_PKG_VERSION").into(),
        commit_every_ms: config.spool.commit_every_ms,
        max_bytes: config.spool.max_bytes,
        max_age_ms: config.spool.max_age_ms,
        uplinks: uplinks::of(config).into_iter().map(|(uplink, _)| uplink).collect(),
        devices: config.manifest(),
        accept: accept(&config.commands),
        seed,
    }
}

fn accept(commands: &Commands) -> Option<Accept> {
    match commands {
        Commands::None => None,
        Commands::Acl => Some(Accept::Acl),
        Commands::Signed(_) => Some(Accept::Signed),
    }
}

/// What was opened.
struct Spool {
    journal: SledJournal,
    side_files: SideFiles,
    found: Found,
    /// Rows that stood in the side files alone.
    rows_saved: usize,
    last_time: LastTime,
    clock: Clock,
}

fn open_spool(dir: &Path, max_bytes: u64, agent: &AgentId, world: World) -> anyhow::Result<Spool> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let (last_time, clock) = LastTime::open(dir, world);
    let label = Iso8601(clock.now().wall.0).to_string().replace(':', "");
    // The oldest readings go by whole generations: a small spool has small ones.
    let generation_bytes = spool::Options::default().generation_bytes.min(max_bytes / 8);
    let boot = clock.timeline().boot;
    let options = spool::Options { epoch: random(), boot, label, generation_bytes, ..spool::Options::default() };
    let (mut journal, mut found) = spool::open(dir, &options)?;
    found.timeline = clock.timeline();
    for damage in &found.damage {
        tracing::error!(damage, "the spool was damaged");
    }
    let rows_saved = recover(agent, &mut found, &mut journal)?;
    let mut side_files = SideFiles::start(dir)?;
    if found.unsaved.is_empty() && !found.eras_are_behind {
        // Saved, they are to say nothing once more of what may be sent from now on, even if its value were damaged.
        if let Err(error) = side_files.remove(0) {
            tracing::warn!(%error, "the side files of the last run stay until the next commit");
        }
    }
    tracing::info!(
        epoch = format_args!("{:016x}", found.epoch),
        waiting = found.readings.high_water - found.readings.acked,
        rows_saved,
        "spool open"
    );
    Ok(Spool { journal, side_files, found, rows_saved, last_time, clock })
}

/// A random number, from the keys the standard library draws from the system for its hash maps.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests;
