//! Learned state across restarts: read at the start, written while the agent runs and when it ends.
//!
//! WATCH never waits for this disk either (A7): it makes the bytes of one device at a time, and only when the writer has
//! room; the writer is a thread of its own. A state is less precious than an alert: whatever is wrong with it is told in
//! the log, and the judge starts afresh.

use super::clock::Clock;
use super::state_sled::{Found, State, Store};
use crate::config::Config;
use crate::time::{Mono, Wall};
use crate::watch::Watch;
use crate::watch::checkpoint::{Turns, believable, fingerprint};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use windward_protocol::{Alert, AlertPhase, Iso8601};

/// How long a stop waits until all states are written.
const AT_STOP: Duration = Duration::from_secs(10);

/// The turns of the devices, and the way to the writer.
pub(super) struct Checkpoints {
    config: Arc<Config>,
    clock: Clock,
    turns: Turns,
    fingerprints: Vec<u64>,
    /// By device, what [`Watch::news`] said when its state was last written.
    written: Vec<u64>,
    /// Room for one state, beside the one that is being written.
    to_writer: mpsc::Sender<State>,
    ended: oneshot::Receiver<()>,
}

/// Reads the states of an earlier run into `core`, and starts the writer. For each device that goes on from a state, when
/// that was saved.
pub(super) async fn start(config: &Arc<Config>, core: &mut Watch, clock: Clock) -> (Checkpoints, Vec<Option<Wall>>) {
    let mut checkpoints = Checkpoints::none(config.clone(), clock);
    let mut restored = vec![None; config.devices.len()];
    let every_ms = config.spool.checkpoint_every_s * 1_000;
    if every_ms == 0 {
        return (checkpoints, restored);
    }
    let (store, found) = load(config).await;
    for damage in found.damage {
        tracing::warn!(damage, "learned state was damaged");
    }
    for state in found.states {
        if let Some(index) = config.devices.iter().position(|device| device.name == state.device) {
            let fingerprint = fingerprint(&config.devices[index], &config.detect);
            restored[index] = restore(index, &state, fingerprint, core, clock);
        }
    }
    let (states, ending) = checkpoints.begin(every_ms, core);
    let writer = std::thread::Builder::new().name("state".into()).spawn(move || write_all(store, states, ending));
    if let Err(error) = writer {
        tracing::error!(%error, "learned state is not written: no thread");
    }
    (checkpoints, restored)
}

/// The store, and what it holds: nothing, when that cannot be read.
async fn load(config: &Config) -> (Store, Found) {
    let store = || Store::new(config.data.join("state"), config.devices.iter().map(|device| device.name.clone()));
    let mut loading = store();
    let loaded = tokio::task::spawn_blocking(move || {
        let found = loading.load();
        (loading, found)
    });
    let (store, error) = match loaded.await {
        Ok((store, Ok(found))) => return (store, found),
        Ok((store, Err(error))) => (store, error),
        Err(panic) => (store(), panic.to_string()),
    };
    tracing::warn!(error, "learned state cannot be read; all devices are learned afresh");
    (store, Found::default())
}

/// Hands the state to its judge. When it was saved, if the judge goes on from it.
fn restore(index: usize, state: &State, fingerprint: u64, core: &mut Watch, clock: Clock) -> Option<Wall> {
    let (device, saved, now) = (&state.device, state.saved, clock.now());
    let time = Iso8601(saved.0);
    if state.fingerprint != fingerprint {
        tracing::info!(device, saved = %time, "learned afresh: its channels or the settings of the judge have changed");
        return None;
    }
    match core.restore(index, &state.bytes, now, believable(saved, now.wall)) {
        Ok(()) => {
            tracing::info!(device, saved = %time, "goes on from what was learned");
            Some(saved)
        }
        Err(error) => {
            tracing::warn!(device, saved = %time, %error, "learned afresh");
            None
        }
    }
}

/// The writer. It ends when there is no more to come; `_ending` is dropped with it.
fn write_all(mut store: Store, mut states: mpsc::Receiver<State>, _ending: oneshot::Sender<()>) {
    while let Some(state) = states.blocking_recv() {
        // Damage in sled may show itself as a panic; the store is opened anew after it.
        let saved = catch_unwind(AssertUnwindSafe(|| store.save(&state)));
        let (device, bytes) = (&state.device, state.bytes.len());
        match saved.unwrap_or_else(|_| Err("sled panicked".into())) {
            Ok(()) => tracing::debug!(device, bytes, "learned state saved"),
            Err(error) => tracing::warn!(device, bytes, error, "learned state is not saved"),
        }
    }
}

impl Checkpoints {
    /// Nothing is ever written.
    pub(super) fn none(config: Arc<Config>, clock: Clock) -> Self {
        let (turns, fingerprints, written) = (Turns::new(0, 0, Mono(0)), Vec::new(), Vec::new());
        Self { config, clock, turns, fingerprints, written, to_writer: mpsc::channel(1).0, ended: oneshot::channel().1 }
    }

    /// From now on each device has its turn. What is to be written comes out here; the other end is dropped with it.
    pub(super) fn begin(&mut self, every_ms: u64, core: &Watch) -> (mpsc::Receiver<State>, oneshot::Sender<()>) {
        let (devices, detect) = (&self.config.devices, &self.config.detect);
        self.turns = Turns::new(devices.len(), every_ms, self.clock.now().mono);
        self.fingerprints = devices.iter().map(|device| fingerprint(device, detect)).collect();
        self.written = (0..devices.len()).map(|device| core.news(device)).collect();
        let (states, ending);
        (self.to_writer, states) = mpsc::channel(1);
        (ending, self.ended) = oneshot::channel();
        (states, ending)
    }

    /// Waits until a device's state is due and the writer has room for it; says which device's. Nothing is lost when the
    /// wait is given up.
    pub(super) async fn turn(&self) -> usize {
        let Some((due, device)) = self.turns.next() else { return std::future::pending().await };
        tokio::time::sleep(self.clock.until(due)).await;
        match self.to_writer.reserve().await {
            Ok(_room) => device,
            Err(_ended) => std::future::pending().await,
        }
    }

    /// Takes the turn of a device.
    pub(super) fn take(&mut self, device: usize, watch: &Watch) {
        self.turns.done(device, self.clock.now().mono);
        if let Some(state) = self.state(device, watch) {
            // There was room, and nobody else sends.
            drop(self.to_writer.try_send(state));
        }
    }

    /// An alert has taken a step.
    pub(super) fn hurry(&mut self, alert: &Alert) {
        if alert.phase != AlertPhase::Update
            && let Some(device) = self.config.devices.iter().position(|device| device.name == alert.device)
        {
            self.turns.hurry(device, self.clock.now().mono);
        }
    }

    /// Writes all that is new, at a stop.
    pub(super) async fn finish(mut self, watch: &Watch) {
        if self.turns.next().is_none() {
            return;
        }
        let all = async {
            for device in 0..self.config.devices.len() {
                if let Some(state) = self.state(device, watch)
                    && self.to_writer.send(state).await.is_err()
                {
                    break;
                }
            }
            drop(self.to_writer);
            // An error says that the writer is gone, which is what is waited for.
            drop(self.ended.await);
        };
        if tokio::time::timeout(AT_STOP, all).await.is_err() {
            tracing::warn!("learned state is not all saved: the disk takes too long");
        }
    }

    /// The state of a device, if there is anything new in it.
    fn state(&mut self, device: usize, watch: &Watch) -> Option<State> {
        let news = watch.news(device);
        if std::mem::replace(&mut self.written[device], news) == news {
            return None;
        }
        let mut bytes = Vec::new();
        watch.save(device, &mut bytes);
        Some(State {
            device: self.config.devices[device].name.clone(),
            fingerprint: self.fingerprints[device],
            saved: self.clock.now().wall,
            bytes,
        })
    }
}
