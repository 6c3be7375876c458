//! Learned state across restarts: read at the start, written while the agent runs and when it ends.
//!
//! WATCH never waits for this disk either (A7): it makes the bytes of one part of one device at a time, and only when the
//! writer has room; the writer is a thread of its own. A state is less precious than an alert: whatever is wrong with a
//! part is told in the log, and that part starts afresh.

use super::clock::Clock;
use super::state_sled::{Found, Name, State, Store};
use crate::config::Config;
use crate::time::{Mono, Wall};
use crate::watch::Watch;
use crate::watch::checkpoint::{BadState, Part, Turns, believable, fingerprint};
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
    /// By turn, what [`Watch::news`] said when its part was last written.
    written: Vec<u64>,
    /// Room for one part, or at a stop for one device, beside the one that is being written.
    to_writer: mpsc::Sender<Vec<State>>,
    ended: oneshot::Receiver<()>,
}

/// Reads the states of an earlier run into `core`, and starts the writer. For each device whose readings go on from a
/// state, when that was saved.
pub(super) async fn start(config: &Arc<Config>, core: &mut Watch, clock: Clock) -> (Checkpoints, Vec<Option<Wall>>) {
    let mut checkpoints = Checkpoints::none(config.clone(), clock);
    let mut restored = vec![None; config.devices.len()];
    let every_ms = config.spool.checkpoint_every_s * 1_000;
    if every_ms == 0 {
        return (checkpoints, restored);
    }
    let names = config.devices.iter().enumerate().flat_map(|(index, device)| {
        let name = |part| (device.name.clone(), part);
        core.parts(index).into_iter().map(name).collect::<Vec<_>>()
    });
    let (store, found) = load(config, names.collect()).await;
    for damage in found.damage {
        tracing::warn!(damage, "learned state was damaged");
    }
    for (index, device) in config.devices.iter().enumerate() {
        let mine = found.states.iter().filter(|state| state.name.0 == device.name).collect::<Vec<_>>();
        restored[index] = restore(index, &mine, fingerprint(device, &config.detect), core, clock);
    }
    let (states, ending) = checkpoints.begin(every_ms, core);
    let writer = std::thread::Builder::new().name("state".into()).spawn(move || write_all(store, states, ending));
    if let Err(error) = writer {
        tracing::error!(%error, "learned state is not written: no thread");
    }
    (checkpoints, restored)
}

/// The store, and what it holds: nothing, when that cannot be read.
async fn load(config: &Config, names: Vec<Name>) -> (Store, Found) {
    let store = || Store::new(config.data.join("state"), names.clone());
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

/// Hands the parts of a device to its judge. When its readings were saved, if the judge goes on from them.
fn restore(index: usize, states: &[&State], fingerprint: u64, core: &mut Watch, clock: Clock) -> Option<Wall> {
    let (device, now) = (&states.first()?.name.0, clock.now());
    let (mut readings, mut found, mut anew) = (None, false, Vec::new());
    for part in core.parts(index) {
        let stored = states.iter().find(|state| state.name.1 == part).ok_or(BadState("it is not there"));
        let restored = stored.and_then(|state| {
            if state.fingerprint != fingerprint {
                return Err(BadState("its channels or the settings of the judge have changed"));
            }
            core.restore(index, part, &state.bytes, now, believable(state.saved, now.wall)).map(|()| state.saved)
        });
        match restored {
            Ok(saved) => {
                found = true;
                readings = readings.or((part == Part::Readings).then_some(saved));
            }
            Err(BadState(why)) => anew.push((part, why)),
        }
    }
    let saved = readings.map(|saved| Iso8601(saved.0).to_string());
    match &anew[..] {
        [] => tracing::info!(device, saved, "goes on from what was learned"),
        [(_, why), ..] if !found => tracing::info!(device, why, "learned afresh"),
        parts => {
            let anew = parts.iter().map(|(part, why)| format!("{part} ({why})")).collect::<Vec<_>>().join(", ");
            tracing::warn!(device, saved, anew, "goes on from what was learned, but parts of it begin anew");
        }
    }
    readings
}

/// The writer. It ends when there is no more to come; `_ending` is dropped with it.
fn write_all(mut store: Store, mut states: mpsc::Receiver<Vec<State>>, _ending: oneshot::Sender<()>) {
    while let Some(states) = states.blocking_recv() {
        // Damage in sled may show itself as a panic; the store is opened anew after it.
        let saved = catch_unwind(AssertUnwindSafe(|| store.save(&states)));
        let saved = saved.unwrap_or_else(|_| Err("sled panicked".into()));
        for State { name: (device, part), bytes, .. } in &states {
            let bytes = bytes.len();
            match &saved {
                Ok(()) => tracing::debug!(device, %part, bytes, "learned state saved"),
                Err(error) => tracing::warn!(device, %part, bytes, error, "learned state is not saved"),
            }
        }
    }
}

impl Checkpoints {
    /// Nothing is ever written.
    pub(super) fn none(config: Arc<Config>, clock: Clock) -> Self {
        let (turns, fingerprints, written) = (Turns::new(&[], 0, Mono(0)), Vec::new(), Vec::new());
        Self { config, clock, turns, fingerprints, written, to_writer: mpsc::channel(1).0, ended: oneshot::channel().1 }
    }

    /// From now on each part has its turn. What is to be written comes out here; the other end is dropped with it.
    pub(super) fn begin(&mut self, every_ms: u64, core: &Watch) -> (mpsc::Receiver<Vec<State>>, oneshot::Sender<()>) {
        let (devices, detect) = (&self.config.devices, &self.config.detect);
        let parts = (0..devices.len()).map(|device| core.parts(device)).collect::<Vec<_>>();
        self.turns = Turns::new(&parts, every_ms, self.clock.now().mono);
        self.fingerprints = devices.iter().map(|device| fingerprint(device, detect)).collect();
        self.written = self.turns.iter().map(|(device, part)| core.news(device, part)).collect();
        let (states, ending);
        (self.to_writer, states) = mpsc::channel(1);
        (ending, self.ended) = oneshot::channel();
        (states, ending)
    }

    /// Waits until a turn has come and the writer has room; says which. Nothing is lost when the wait is given up.
    pub(super) async fn turn(&self) -> usize {
        let Some((due, turn)) = self.turns.next() else { return std::future::pending().await };
        tokio::time::sleep(self.clock.until(due)).await;
        match self.to_writer.reserve().await {
            Ok(_room) => turn,
            Err(_ended) => std::future::pending().await,
        }
    }

    /// Takes a turn.
    pub(super) fn take(&mut self, turn: usize, watch: &Watch) {
        self.turns.done(turn, self.clock.now().mono);
        let owner = self.turns.iter().nth(turn);
        if let Some(state) = owner.and_then(|owner| self.state(turn, owner, watch)) {
            // There was room, and nobody else sends.
            drop(self.to_writer.try_send(vec![state]));
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
            let owners = self.turns.iter().enumerate().collect::<Vec<_>>();
            for device in 0..self.config.devices.len() {
                let mine = owners.iter().filter(|(_, (owner, _))| *owner == device);
                let states: Vec<_> = mine.filter_map(|(turn, owner)| self.state(*turn, *owner, watch)).collect();
                if !states.is_empty() && self.to_writer.send(states).await.is_err() {
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

    /// The part whose turn it is, if there is anything new in it.
    fn state(&mut self, turn: usize, (device, part): (usize, Part), watch: &Watch) -> Option<State> {
        let news = watch.news(device, part);
        if std::mem::replace(&mut self.written[turn], news) == news {
            return None;
        }
        let mut bytes = Vec::new();
        watch.save(device, part, &mut bytes);
        Some(State {
            name: (self.config.devices[device].name.clone(), part),
            fingerprint: self.fingerprints[device],
            saved: self.clock.now().wall,
            bytes,
        })
    }
}

#[cfg(test)]
mod tests;
