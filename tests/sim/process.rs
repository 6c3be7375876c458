//! The agent's process: WATCH, the queue, FORWARD and the disk thread, put together as `agent/src/io` does it.

mod forward;

use crate::breaks::Break;
use crate::disk::Job;
use crate::machine::Machine;
use crate::stage::{Event, Stage};
use std::collections::VecDeque;
use windward_agent::forward::journal::Room;
use windward_agent::forward::{Forward, Input};
use windward_agent::handover::Handover;
use windward_agent::watch::{self, Query, Watch};
use windward_protocol::{Alert, Value};

/// Places in the queue between the halves: few, so that a stalled disk fills it.
const HANDOVERS: usize = 64;
/// Time between two accounts of the devices, ms.
const DEVICES_EVERY_MS: u64 = 10_000;

/// A running process.
pub(crate) struct Process {
    forward: Forward,
    watch: Option<Watch>,
    /// With the number that the oracle knows a row by.
    queue: VecDeque<(Option<u64>, Handover)>,
    /// Alerts that wait for room in the queue.
    alerts: VecDeque<Alert>,
    dropped_rows: u64,
    devices_at: u64,
    /// What FORWARD has not taken yet because a write hangs.
    inputs: VecDeque<Input>,
    hangs_until: u64,
    jobs: VecDeque<Job>,
    is_working: bool,
    /// When the next [`Event::Wake`] comes.
    wake_at: u64,
    /// Refusals of the side file that FORWARD has just been told of.
    log_failures: Vec<String>,
    /// What FORWARD was last told of the disk.
    room: Room,
    /// What a break makes wait for the disk.
    held: Vec<Alert>,
    finished: bool,
}

impl Process {
    pub(crate) fn new(forward: Forward, watch: Option<Watch>) -> Self {
        Self {
            forward,
            watch,
            queue: VecDeque::new(),
            alerts: VecDeque::new(),
            dropped_rows: 0,
            devices_at: 0,
            inputs: VecDeque::new(),
            hangs_until: 0,
            jobs: VecDeque::new(),
            is_working: false,
            wake_at: u64::MAX,
            log_failures: Vec::new(),
            room: Room::default(),
            held: Vec::new(),
            finished: false,
        }
    }

    /// What the disk is doing.
    pub(crate) fn job(&self) -> Option<&Job> {
        self.jobs.front().filter(|_| self.is_working)
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.finished
    }

    /// Whether nothing is left to be done with what was read.
    pub(crate) fn is_drained(&self) -> bool {
        self.queue.is_empty() && self.alerts.is_empty() && self.forward.counters().waiting == 0
    }

    /// In words, for a world that does not come to rest.
    pub(crate) fn state(&self) -> String {
        let (counters, due) = (self.forward.counters(), self.forward.poll_timeout());
        format!("{counters:?}, next: {due:?}, {} jobs, {} in the queue", self.jobs.len(), self.queue.len())
    }

    /// A row of a device without WATCH.
    pub(crate) fn read(&mut self, device: usize, machine: &mut Machine, stage: &mut Stage) {
        let now = machine.clock.now(stage.now);
        let (number, row) = machine.plant.row(device, now.wall.0);
        stage.oracle.agents[machine.index].taken(number, device, &row, now.synced, stage.now);
        self.hand_over_row(number, Handover::Row { device, synced: now.synced, row }, machine, stage);
        self.work(machine, stage);
    }

    fn hand_over_row(&mut self, number: u64, mut handover: Handover, machine: &Machine, stage: &mut Stage) {
        if let Handover::Row { row, .. } = &mut handover
            && stage.breaks(Break::FailedReadIsZero)
        {
            let zero = Ok(Value::Int { mantissa: 0, exponent: 0 });
            row.readings.iter_mut().filter(|reading| reading.is_err()).for_each(|reading| *reading = zero);
        }
        self.send_waiting();
        if self.alerts.is_empty() && self.queue.len() < HANDOVERS {
            self.queue.push_back((Some(number), handover));
        } else {
            stage.count("rows dropped and counted");
            self.dropped_rows += 1;
            stage.oracle.agents[machine.index].dropped(number);
        }
    }

    /// An alert of WATCH, or what stands for one: told here and now (A7), then handed over.
    fn alert(&mut self, alert: Alert, machine: &Machine, stage: &mut Stage) {
        stage.oracle.agents[machine.index].raised(&alert, stage.now);
        if stage.breaks(Break::AlertWaits) && self.is_working {
            self.held.push(alert.clone());
        } else {
            stage.oracle.agents[machine.index].told(&alert, stage.now);
        }
        stage.count("steps of alerts");
        self.alerts.push_back(alert);
        self.send_waiting();
    }

    fn send_waiting(&mut self) {
        while self.queue.len() < HANDOVERS
            && let Some(alert) = self.alerts.pop_front()
        {
            self.queue.push_back((None, Handover::Alert(alert)));
        }
    }

    /// An alert out of nowhere.
    pub(crate) fn raise(&mut self, machine: &mut Machine, stage: &mut Stage) {
        let now = machine.clock.now(stage.now);
        let alert = machine.plant.alert(now.wall.0, now.synced);
        self.alert(alert, machine, stage);
        self.work(machine, stage);
    }

    /// Statistics out of nowhere.
    pub(crate) fn count(&mut self, machine: &mut Machine, stage: &mut Stage) {
        let stats = machine.plant.stats();
        if self.alerts.is_empty() && self.queue.len() < HANDOVERS {
            self.queue.push_back((None, Handover::Stats(vec![stats])));
        }
        self.work(machine, stage);
    }

    /// A device has answered, or has not.
    pub(crate) fn answered(&mut self, input: watch::Input, machine: &mut Machine, stage: &mut Stage) {
        if let Some(watch) = &mut self.watch {
            watch.handle(input, machine.clock.now(stage.now));
        }
        self.work(machine, stage);
    }

    /// Comes to a good end.
    pub(crate) fn stop(&mut self, machine: &mut Machine, stage: &mut Stage) {
        self.watch = None;
        self.inputs.push_back(Input::Stop);
        self.work(machine, stage);
    }

    /// Everything that can be done now is done.
    pub(crate) fn work(&mut self, machine: &mut Machine, stage: &mut Stage) {
        self.watch_works(machine, stage);
        while stage.now >= self.hangs_until && !self.finished {
            self.send_waiting();
            let now = machine.clock.now(stage.now);
            if let Some(input) = self.inputs.pop_front() {
                self.input(input, None, machine, stage);
            } else if let Some((number, handover)) = self.queue.pop_front() {
                self.take(number, handover, machine, stage);
            } else if self.devices_at <= stage.now {
                self.devices_at = stage.now + DEVICES_EVERY_MS;
                let devices = self.watch.as_ref().map(Watch::health).unwrap_or_default();
                let handover = Handover::Devices { devices, dropped_rows: self.dropped_rows };
                self.input(Input::Handover(handover), None, machine, stage);
            } else if self.forward.poll_timeout().is_some_and(|(at, _)| at <= now.mono) {
                self.forward.handle_timeout(now);
                self.carry_out(None, machine, stage);
                if let Some((_, why)) = self.forward.poll_timeout().filter(|(at, _)| *at <= now.mono) {
                    stage.oracle.violated("liveness", || format!("a timeout does not go away: {why}"));
                    return;
                }
            } else {
                break;
            }
        }
        self.plan_wake(machine, stage);
    }

    fn plan_wake(&mut self, machine: &Machine, stage: &mut Stage) {
        let due = self.forward.poll_timeout().map(|(at, _)| machine.clock.when(at));
        let watch = self.watch.as_ref().and_then(Watch::poll_timeout).map(|(at, _)| machine.clock.when(at));
        let forward = due.unwrap_or(u64::MAX).min(self.devices_at).max(self.hangs_until);
        let at = forward.min(watch.unwrap_or(u64::MAX)).max(stage.now + 1);
        if at < self.wake_at || self.wake_at <= stage.now {
            self.wake_at = at;
            stage.after(at - stage.now, Event::Wake { agent: machine.index, life: machine.life });
        }
    }

    fn watch_works(&mut self, machine: &mut Machine, stage: &mut Stage) {
        let Some(mut watch) = self.watch.take() else { return };
        let now = machine.clock.now(stage.now);
        // From here on nothing is measured: what the oracle expects is what came before.
        let is_over = stage.now >= stage.scenario.life_ms;
        if !is_over && watch.poll_timeout().is_some_and(|(at, _)| at <= now.mono) {
            watch.handle_timeout(now);
        }
        while let Some(output) = watch.poll_output() {
            match output {
                watch::Output::Ask(ask) => {
                    let Query::Registers { .. } = ask.query else { continue };
                    let result = machine.plant.answer(ask.device).map(watch::Answer::Words);
                    let (device, round, request) = (ask.device, ask.round, ask.request);
                    let after = if result.is_err() { u64::from(ask.timeout_ms) } else { 3 };
                    let input = watch::Input::Answer { device, round, request, result };
                    stage.after(after, Event::Answer { agent: machine.index, life: machine.life, input });
                }
                watch::Output::Row { device, synced, row } => {
                    let number =
                        stage.oracle.agents[machine.index].polled(machine.index, device, &row, synced, stage.now);
                    self.hand_over_row(number, Handover::Row { device, synced, row }, machine, stage);
                }
                watch::Output::Alert(alert) => self.alert(alert, machine, stage),
                watch::Output::Stats(_) => {}
            }
        }
        self.watch = Some(watch).filter(|_| !is_over);
    }

    fn take(&mut self, number: Option<u64>, handover: Handover, machine: &mut Machine, stage: &mut Stage) {
        let before = self.forward.counters();
        self.input(Input::Handover(handover), number, machine, stage);
        let after = self.forward.counters();
        let Some(number) = number else { return };
        if after.rows_dropped > before.rows_dropped {
            stage.oracle.agents[machine.index].dropped(number);
        } else if after.rows_kept == before.rows_kept && !stage.oracle.agents[machine.index].is_failing() {
            // Where the side file fails, and that is told, a row may stand in memory alone.
            stage.oracle.violated("A5", || format!("{} row {number} neither kept nor dropped", machine.id));
        }
    }
}
