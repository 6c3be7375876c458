//! WATCH and its buses, running: rows and alerts as they come.

use crate::config::Config;
use crate::io::bus::{self, Wiring};
use crate::io::clock::Clock;
use crate::watch::{Ask, Input, Output, Watch};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use windward_protocol::{Alert, DeviceHealth, NoData, Row};

/// What came of a reading.
#[derive(Clone, Debug)]
pub(super) enum Told {
    /// A row of the device with this index in the configuration.
    Row { device: usize, synced: bool, row: Row },
    /// A step of an alert. It comes before the row that raised it.
    Alert(Alert),
}

/// The running half of the agent that reads and judges. Dropped, it stops.
pub(super) struct Live {
    watch: Watch,
    queues: Vec<mpsc::Sender<Ask>>,
    inputs: mpsc::Receiver<Input>,
    buses: JoinSet<()>,
    clock: Clock,
}

impl Live {
    /// Starts a task for each bus. `beacon`: whether the beacon is to be on, where there is one.
    pub(super) fn start(
        config: &Arc<Config>,
        watch: Watch,
        mut beacon: Option<watch::Receiver<bool>>,
        clock: Clock,
    ) -> Self {
        // A device has one ask under way, so that no queue of asks can be full. When that of inputs is, buses wait.
        let (to_watch, inputs) = mpsc::channel(config.devices.len().max(1));
        let (mut queues, mut buses) = (Vec::new(), JoinSet::new());
        for index in 0..config.buses.len() {
            let devices = config.devices.iter().filter(|device| device.bus == index).count();
            let (queue, asks) = mpsc::channel(devices.max(1));
            queues.push(queue);
            let output = config.beacon.filter(|beacon| beacon.bus == index).map(|beacon| beacon.output);
            let beacon = output.and_then(|output| Some((beacon.take()?, output)));
            let (config, inputs) = (config.clone(), to_watch.clone());
            buses.spawn(bus::run(Wiring { config, index, asks, inputs, beacon, clock }));
        }
        Self { watch, queues, inputs, buses, clock }
    }

    /// The next row or alert. Nothing is lost when the wait for it is given up.
    pub(super) async fn next(&mut self) -> Told {
        loop {
            while let Some(output) = self.watch.poll_output() {
                match output {
                    Output::Ask(ask) => self.ask(ask),
                    Output::Alert(alert) => return Told::Alert(alert),
                    Output::Row { device, synced, row } => return Told::Row { device, synced, row },
                }
            }
            let deadline = self.watch.poll_timeout().map(|(at, _why)| self.clock.until(at));
            tokio::select! {
                Some(input) = self.inputs.recv() => self.watch.handle(input, self.clock.now()),
                () = tokio::time::sleep(deadline.unwrap_or_default()), if deadline.is_some() => {
                    self.watch.handle_timeout(self.clock.now());
                }
                // Without devices and buses there is nothing to come.
                else => std::future::pending().await,
            }
        }
    }

    /// How the devices stand.
    pub(super) fn health(&self) -> Vec<DeviceHealth> {
        self.watch.health()
    }

    /// Ends the buses, so that their lines are free for others.
    pub(super) async fn stop(&mut self) {
        self.queues.clear();
        self.buses.shutdown().await;
    }

    /// Queues the ask. The queue is full only after a round was given up as overdue; then the answer is given here.
    fn ask(&mut self, ask: Ask) {
        let refused = match self.queues[ask.bus].try_send(ask) {
            Ok(()) => return,
            Err(mpsc::error::TrySendError::Full(ask)) => ask,
            Err(mpsc::error::TrySendError::Closed(ask)) => {
                tracing::error!(bus = ask.bus, "the task of a bus has ended");
                ask
            }
        };
        let Ask { device, round, request, .. } = refused;
        let answer = Input::Answer { device, round, request, result: Err(NoData::Timeout) };
        self.watch.handle(answer, self.clock.now());
    }
}
