//! Buses: one task each, which alone owns its line. It answers each ask with exactly one input, hands on what devices
//! say by themselves, and switches the beacon if that hangs on it.

mod backoff;
mod modbus;
mod pins;
mod port;
mod sentences;
#[cfg(test)]
pub(super) mod tests;

pub(super) use modbus::{Connection, ask_once, attach, call, silence};
pub(super) use port::{Port, open};

use crate::config::{BeaconOutput, Bus, Config};
use crate::io::clock::Clock;
use crate::time::Mono;
use crate::watch::{Answer, Ask, Input};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use windward_protocol::NoData;

/// Time after which the beacon is set again although nothing has changed: a relay may have lost its power meanwhile.
const BEACON_EVERY_MS: u64 = 30_000;
/// Time after which a beacon that could not be set is tried again.
const BEACON_RETRY_MS: u64 = 1_000;

/// A bus, and what joins it to the rest of the agent.
pub(super) struct Wiring {
    pub(super) config: Arc<Config>,
    /// Index of the bus in the configuration.
    pub(super) index: usize,
    pub(super) asks: mpsc::Receiver<Ask>,
    pub(super) inputs: mpsc::Sender<Input>,
    /// Whether the beacon is to be on, and where it is, if it hangs on this bus.
    pub(super) beacon: Option<(watch::Receiver<bool>, BeaconOutput)>,
    pub(super) clock: Clock,
}

impl Wiring {
    fn bus(&self) -> &Bus {
        &self.config.buses[self.index]
    }

    /// Sends the answer to an ask; `false` when nobody wants any more.
    async fn answer(&self, ask: &Ask, result: Result<Answer, NoData>) -> bool {
        let answer = Input::Answer { device: ask.device, round: ask.round, request: ask.request, result };
        self.inputs.send(answer).await.is_ok()
    }
}

/// Runs a bus until its asks end. Nobody waits for longer than its timeout plus the time of those before it.
pub(super) async fn run(wiring: Wiring) {
    match wiring.bus() {
        Bus::Modbus { .. } => modbus::run(wiring).await,
        Bus::Sentences { .. } => sentences::run(wiring).await,
        Bus::I2c { .. } | Bus::Gpio { .. } => pins::run(wiring).await,
    }
}

/// The state the beacon is to have, as it changes; it is due at first, after a change, after a failure and now and then.
struct BeaconTimer {
    wanted: Option<watch::Receiver<bool>>,
    clock: Clock,
    /// When it is to be set even though nothing has changed. A moment, not a pause: each ask of its line begins the
    /// waiting anew.
    due_at: Mono,
    failed: bool,
}

impl BeaconTimer {
    fn new(wanted: Option<watch::Receiver<bool>>, clock: Clock) -> Self {
        Self { wanted, clock, due_at: Mono(0), failed: false }
    }

    /// Waits until the beacon is to be set, and gives how; for ever where there is none.
    async fn due(&mut self) -> bool {
        let Some(wanted) = &mut self.wanted else { return std::future::pending().await };
        let gone = tokio::select! {
            changed = wanted.changed() => changed.is_err(),
            () = tokio::time::sleep(self.clock.until(self.due_at)) => false,
        };
        if gone {
            return std::future::pending().await;
        }
        *wanted.borrow_and_update()
    }

    /// Notes how setting it went.
    fn set<E: std::fmt::Display>(&mut self, bus: &Bus, on: bool, result: Result<(), E>) {
        let failed_before = self.failed;
        self.failed = result.is_err();
        self.due_at = self.clock.now().mono + if self.failed { BEACON_RETRY_MS } else { BEACON_EVERY_MS };
        if let Err(error) = result
            && !failed_before
        {
            tracing::error!(%bus, on, %error, "the beacon cannot be set; trying again every second");
        }
    }
}
