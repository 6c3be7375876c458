//! Drives WATCH: gives it answers and the time, asks the buses, raises alarms, hands over to FORWARD.

#[cfg(test)]
mod tests;

use crate::config::Config;
use crate::handover::Handover;
use crate::io::OnAlert;
use crate::io::bus;
use crate::io::clock::Clock;
use crate::watch::{Ask, Input, Output, Watch};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use windward_protocol::{Alert, NoData};

/// Time between two accounts of the devices, ms.
const DEVICES_EVERY_MS: u64 = 10_000;
/// How long a stop waits for room in the queue to FORWARD.
const LAST_ALERTS: Duration = Duration::from_secs(2);
/// Steps of alerts that wait here while the queue to FORWARD is full. Any further one is not forwarded, and the log
/// says so; the local alarm has been raised already.
const MAX_WAITING_ALERTS: usize = 1024;

/// Runs until `stop` says true or its sender is gone. `on_alert` raises the local alarm and waits for nothing.
///
/// `to_forward` is never waited for: when it is full a row is dropped and counted, and alerts wait apart and go first
/// as soon as there is room.
pub(super) async fn run(
    config: Arc<Config>,
    mut watch: Watch,
    clock: Clock,
    to_forward: mpsc::Sender<Handover>,
    on_alert: OnAlert,
    mut stop: watch::Receiver<bool>,
) {
    let (mut buses, mut answers) = Buses::start(&config, clock);
    let mut outlet = Outlet { on_alert, to_forward, waiting: VecDeque::new(), dropped_rows: 0 };
    let mut devices_at = clock.now().mono;
    loop {
        while let Some(output) = watch.poll_output() {
            match output {
                Output::Ask(ask) => {
                    if let Some(refusal) = buses.ask(ask) {
                        watch.handle(refusal, clock.now());
                    }
                }
                Output::Alert(alert) => outlet.alert(alert),
                Output::Row { device, synced, row } => {
                    let name = &config.devices[device].name;
                    tracing::trace!(device = name, time_ms = row.time_ms, readings = ?row.readings, "row taken");
                    outlet.hand_over(Handover::Row { device, synced, row });
                }
            }
        }
        if devices_at <= clock.now().mono {
            devices_at = clock.now().mono + DEVICES_EVERY_MS;
            outlet.hand_over(Handover::Devices { devices: watch.health(), dropped_rows: outlet.dropped_rows });
        }
        let deadline = watch.poll_timeout().map_or(devices_at, |(at, _why)| at.min(devices_at));
        tokio::select! {
            Some(answer) = answers.recv() => watch.handle(answer, clock.now()),
            () = tokio::time::sleep(clock.until(deadline)) => watch.handle_timeout(clock.now()),
            () = outlet.room(), if !outlet.waiting.is_empty() => {}
            changed = stop.changed() => if changed.is_err() || *stop.borrow() { break },
        }
    }
    buses.stop().await;
    // FORWARD goes on until this end of the queue is dropped, so a stop loses no alert that waited for room.
    let handed_over = async {
        while !outlet.waiting.is_empty() {
            outlet.room().await
        }
    };
    if tokio::time::timeout(LAST_ALERTS, handed_over).await.is_err() {
        tracing::error!("alerts that waited for the queue to the spool are not forwarded: it stays full");
    }
}

/// The buses' tasks, and the queue into each.
struct Buses {
    queues: Vec<mpsc::Sender<Ask>>,
    tasks: JoinSet<()>,
}

impl Buses {
    fn start(config: &Config, clock: Clock) -> (Self, mpsc::Receiver<Input>) {
        // A device has one ask under way, so that neither queue can be full.
        let (to_watch, answers) = mpsc::channel(config.devices.len().max(1));
        let (mut queues, mut tasks) = (Vec::new(), JoinSet::new());
        for (index, bus) in config.buses.iter().enumerate() {
            let devices = config.devices.iter().filter(|device| device.bus == index).count();
            let (queue, asks) = mpsc::channel(devices.max(1));
            queues.push(queue);
            tasks.spawn(bus::run(bus.clone(), asks, to_watch.clone(), clock));
        }
        (Self { queues, tasks }, answers)
    }

    /// Queues the ask. The queue is full only after a round was given up as overdue; then the answer is given here.
    fn ask(&self, ask: Ask) -> Option<Input> {
        let refused = |ask: Ask| Input::Answer {
            device: ask.device,
            round: ask.round,
            request: ask.request,
            result: Err(NoData::Timeout),
        };
        self.queues[ask.bus].try_send(ask).err().map(|error| match error {
            mpsc::error::TrySendError::Full(ask) => refused(ask),
            mpsc::error::TrySendError::Closed(ask) => {
                tracing::error!(bus = ask.bus, "the task of a bus has ended");
                refused(ask)
            }
        })
    }

    async fn stop(&mut self) {
        self.queues.clear();
        self.tasks.shutdown().await;
    }
}

/// Where rows and alerts go.
struct Outlet {
    on_alert: OnAlert,
    to_forward: mpsc::Sender<Handover>,
    waiting: VecDeque<Alert>,
    dropped_rows: u64,
}

impl Outlet {
    /// The local alarm first, then the queue (invariant A7).
    fn alert(&mut self, alert: Alert) {
        (self.on_alert)(&alert);
        if self.waiting.len() == MAX_WAITING_ALERTS {
            tracing::error!(
                id = format_args!("{:016x}", alert.id),
                waiting = MAX_WAITING_ALERTS,
                "alert not forwarded: too many wait for the disk"
            );
            return;
        }
        self.waiting.push_back(alert);
        self.send_waiting();
    }

    /// Sends what is no alert, after the alerts that wait.
    fn hand_over(&mut self, handover: Handover) {
        self.send_waiting();
        let is_row = matches!(handover, Handover::Row { .. });
        if (!self.waiting.is_empty() || self.to_forward.try_send(handover).is_err()) && is_row {
            self.dropped_rows += 1;
            // Powers of two: the first at once, and no flood.
            if self.dropped_rows.is_power_of_two() {
                tracing::error!(dropped = self.dropped_rows, "rows dropped: the queue to the spool is full");
            }
        }
    }

    fn send_waiting(&mut self) {
        while let Some(alert) = self.waiting.pop_front() {
            if let Err(error) = self.to_forward.try_send(Handover::Alert(alert)) {
                if let Handover::Alert(alert) = error.into_inner() {
                    self.waiting.push_front(alert);
                }
                return;
            }
        }
    }

    /// Waits for room in the queue and sends what waits; for ever when the queue is gone.
    async fn room(&mut self) {
        match self.to_forward.reserve().await {
            Ok(permit) => {
                if let Some(alert) = self.waiting.pop_front() {
                    permit.send(Handover::Alert(alert));
                }
            }
            Err(_gone) => std::future::pending::<()>().await,
        }
        self.send_waiting();
    }
}
