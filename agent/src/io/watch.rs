//! Takes what WATCH tells: raises alarms, hands over to FORWARD.

#[cfg(test)]
mod tests;

use crate::config::Config;
use crate::handover::Handover;
use crate::io::OnAlert;
use crate::io::clock::Clock;
use crate::io::commands::Hurry;
use crate::io::live::{Live, Told};
use crate::io::pulse::Pulse;
use crate::io::state::Checkpoints;
use crate::watch::Watch;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use windward_protocol::{Alert, Answer, DeviceHealth};

/// Time between two accounts of the devices, ms; FORWARD hears every tenth.
const DEVICES_EVERY_MS: u64 = 1_000;
const FORWARDED_EVERY: u64 = 10;
/// How long a stop waits for room in the queue to FORWARD.
const LAST_ALERTS: Duration = Duration::from_secs(2);
/// Steps of alerts that wait here while the queue to FORWARD is full. Any further one is not forwarded, and the log
/// says so; the local alarm has been raised already.
const MAX_WAITING_ALERTS: usize = 1024;

/// What ties WATCH's loop to the rest.
pub(super) struct Ends {
    pub(super) to_forward: mpsc::Sender<Handover>,
    /// What raises the local alarm, and whether the beacon is to be on, where there is one.
    pub(super) alarms: (OnAlert, Option<watch::Receiver<bool>>),
    /// Commands to read more often, and where their answers go.
    pub(super) hurries: mpsc::Receiver<Hurry>,
    pub(super) answers: mpsc::Sender<Answer>,
    /// How the devices stand.
    pub(super) health: watch::Sender<Vec<DeviceHealth>>,
    /// Counts the loop's turns.
    pub(super) pulse: Arc<Pulse>,
    /// Says true, or is gone, when it is to stop.
    pub(super) stopped: watch::Receiver<bool>,
}

/// Runs until `stopped` says true or its sender is gone. `on_alert` raises the local alarm and waits for nothing.
///
/// `to_forward` is never waited for: when it is full a row is dropped and counted, and alerts wait apart and go first
/// as soon as there is room.
pub(super) async fn run(config: Arc<Config>, watch: Watch, clock: Clock, mut checkpoints: Checkpoints, ends: Ends) {
    let Ends { to_forward, alarms: (on_alert, beacon), mut hurries, answers, health, pulse, mut stopped } = ends;
    let mut live = Live::start(&config, watch, beacon, clock);
    let mut outlet = Outlet { on_alert, to_forward, waiting: VecDeque::new(), dropped_rows: 0 };
    let (mut devices_at, mut accounts, mut beats) = (clock.now().mono, 0, pulse.beats());
    loop {
        pulse.watch.turn();
        tokio::select! {
            told = live.next() => {
                if let Told::Alert(alert) = &told {
                    checkpoints.hurry(alert);
                }
                outlet.take(told, &config);
            }
            device = checkpoints.turn() => checkpoints.take(device, live.watch()),
            () = tokio::time::sleep(clock.until(devices_at)) => {
                devices_at = clock.now().mono + DEVICES_EVERY_MS;
                let devices = live.health();
                health.send_replace(devices.clone());
                if accounts % FORWARDED_EVERY == 0 {
                    outlet.hand_over(Handover::Devices { devices, dropped_rows: outlet.dropped_rows });
                }
                accounts += 1;
            }
            // To turn is all.
            () = beats.next() => {}
            () = outlet.room(), if !outlet.waiting.is_empty() => {}
            Some(hurry) = hurries.recv() => {
                // Nobody listens any more when FORWARD is going down.
                drop(answers.try_send(live.hurry(&hurry)));
            }
            changed = stopped.changed() => if changed.is_err() || *stopped.borrow() { break },
        }
    }
    for told in live.stop().await {
        outlet.take(told, &config);
    }
    // FORWARD goes on until this end of the queue is dropped, so a stop loses no alert that waited for room.
    let handed_over = async {
        while !outlet.waiting.is_empty() {
            outlet.room().await
        }
    };
    if tokio::time::timeout(LAST_ALERTS, handed_over).await.is_err() {
        tracing::error!("alerts that waited for the queue to the spool are not forwarded: it stays full");
    }
    drop(outlet);
    checkpoints.finish(live.watch()).await;
}

/// Where rows and alerts go.
struct Outlet {
    on_alert: OnAlert,
    to_forward: mpsc::Sender<Handover>,
    waiting: VecDeque<Alert>,
    dropped_rows: u64,
}

impl Outlet {
    fn take(&mut self, told: Told, config: &Config) {
        match told {
            Told::Alert(alert) => self.alert(alert),
            Told::Row { device, synced, row } => {
                let name = &config.devices[device].name;
                tracing::trace!(device = name, time_ms = row.time_ms, readings = ?row.readings, "row taken");
                self.hand_over(Handover::Row { device, synced, row });
            }
            Told::Stats(stats) => self.hand_over(Handover::Stats(stats)),
        }
    }

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
        let counts = matches!(handover, Handover::Row { .. } | Handover::Stats(_));
        if (!self.waiting.is_empty() || self.to_forward.try_send(handover).is_err()) && counts {
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
