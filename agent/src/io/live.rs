//! WATCH and its buses, running: rows, alerts and statistics as they come.

use crate::command::answer;
use crate::config::{Config, Device, DeviceChannel, How, Source};
use crate::io::bus::{self, Wiring};
use crate::io::clock::Clock;
use crate::io::commands::Hurry;
use crate::watch::{Ask, Input, Output, Watch};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use windward_protocol::{Alert, Answer, DeviceHealth, NoData, Outcome, Row, Stats};

/// What came of a reading.
#[derive(Clone, Debug)]
pub(super) enum Told {
    /// A row of the device with this index in the configuration.
    Row { device: usize, synced: bool, row: Row },
    /// A step of an alert. It comes before the row that raised it.
    Alert(Alert),
    /// Statistics of a device's channels.
    Stats(Vec<Stats>),
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

    /// What is told next. Nothing is lost when the wait for it is given up.
    pub(super) async fn next(&mut self) -> Told {
        loop {
            while let Some(output) = self.watch.poll_output() {
                match told(output) {
                    Ok(told) => return told,
                    Err(ask) => self.ask(ask),
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

    /// The core, to be read.
    pub(super) fn watch(&self) -> &Watch {
        &self.watch
    }

    /// How the devices stand.
    pub(super) fn health(&self) -> Vec<DeviceHealth> {
        self.watch.health()
    }

    /// Has a device read more often for a while. Gives the answer to the command.
    pub(super) fn hurry(&mut self, Hurry { command, device, times, minutes }: &Hurry) -> Answer {
        let now = self.clock.now();
        let (outcome, words) = match self.watch.hurry(device, *times, *minutes, now) {
            Ok(words) => (Outcome::Done, words),
            Err(words) => (Outcome::Refused, words),
        };
        answer(*command, outcome, words, now)
    }

    /// Ends the buses, so that their lines are free for others. Gives what was under way.
    pub(super) async fn stop(&mut self) -> Vec<Told> {
        self.queues.clear();
        self.buses.shutdown().await;
        self.watch.finish();
        std::iter::from_fn(|| self.watch.poll_output()).filter_map(|output| told(output).ok()).collect()
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

/// What is told; an ask is carried out.
fn told(output: Output) -> Result<Told, Ask> {
    match output {
        Output::Ask(ask) => Err(ask),
        Output::Row { device, synced, row } => Ok(Told::Row { device, synced, row }),
        Output::Alert(alert) => Ok(Told::Alert(alert)),
        Output::Stats(stats) => Ok(Told::Stats(stats)),
    }
}

/// The wanted devices without channels that reading changes, and without a beacon: what may be read while nobody waits
/// for it. Every row of theirs is told. For each device its place in the configuration, and those of its channels.
pub(super) fn harmless(config: &Config, wanted: impl Fn(&Device) -> bool) -> (Config, Vec<(usize, Vec<usize>)>) {
    let (mut left, mut places) = (config.clone(), Vec::new());
    left.beacon = None;
    left.devices.clear();
    for (index, device) in config.devices.iter().enumerate().filter(|(_, device)| wanted(device)) {
        let keep: Vec<usize> =
            (0..device.channels.len()).filter(|&at| !is_changed_by_reading(&device.channels[at])).collect();
        if keep.is_empty() {
            continue;
        }
        let channels = keep.iter().map(|&at| device.channels[at].clone()).collect();
        let mut device = Device { channels, forward_every_s: None, ..device.clone() };
        // What was left out must not be read along either.
        if let How::Modbus { limits, .. } = &mut device.how {
            limits.max_gap = 0;
        }
        left.devices.push(device);
        places.push((index, keep));
    }
    (left, places)
}

/// Whether reading the channel changes it.
pub(super) fn is_changed_by_reading(channel: &DeviceChannel) -> bool {
    matches!(&channel.source, Source::Register(register) if register.reset_on_read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::{config_of, registers};
    use crate::watch::modbus::plan;

    #[test]
    fn what_reading_resets_is_neither_read_nor_read_along() {
        let table = "[[device]]\nprofile = \"lambrecht-pro-speed\"\nmodbus_rtu = { port = \"/dev/a\" }\nmax_gap = 8\n";
        let config = config_of(table).unwrap();
        let all = config.devices[0].channels.len();
        let (harmless, places) = harmless(&config, |_| true);
        let device = &harmless.devices[0];
        assert_eq!((device.channels.len(), places[0].1.len()), (all - 1, all - 1));
        let How::Modbus { limits, .. } = &device.how else { panic!("a slave") };
        let registers: Vec<_> = registers(device).map(|(_, register)| (register, 1)).collect();
        let (requests, _) = plan(&registers, limits);
        assert!(requests.iter().all(|request| !(request.start..request.start + request.count).contains(&30_002)));
    }
}
