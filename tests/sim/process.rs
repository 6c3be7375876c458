//! The agent's process: WATCH, the queue, FORWARD and the disk thread, put together as `agent/src/io` does it. All that
//! knows the cores' inputs and outputs stands here.

use crate::breaks::Break;
use crate::disk::Job;
use crate::machine::Machine;
use crate::stage::{Event, Mail, Stage};
use std::collections::VecDeque;
use windward_agent::forward::{Forward, Input, Kept, Output};
use windward_agent::handover::Handover;
use windward_agent::watch::{self, Query, Watch};
use windward_protocol::{Ack, Alert, AlertKind, Envelope, Lane, Record, SeqRange, Value, topic};
use windward_sink::decode::Delivery;

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

    /// The disk is done with the job at the head.
    pub(crate) fn job_done(&mut self, machine: &mut Machine, stage: &mut Stage) {
        self.is_working = false;
        let Some(job) = self.jobs.pop_front() else { return };
        let knows = &mut stage.oracle;
        if let Job::Free { lane, through } = job {
            knows.check_free(machine.index, &machine.disk, &stage.store, lane, through);
        }
        let mut answer = machine.disk.finish(job);
        stage.trace(&machine.id, || format!("disk: {}", words_of(answer.as_ref())));
        if stage.breaks(Break::FailedCommitTaken)
            && let Some(Input::CommitFailed { alerts, readings, .. }) = answer
        {
            answer = Some(Input::Committed { alerts, readings, readings_bytes: 0 });
        }
        if let Some(Input::Committed { alerts, readings, .. }) = &answer {
            let known = &mut stage.oracle.agents[machine.index];
            known.committed(Lane::Alerts, alerts);
            known.committed(Lane::Readings, readings);
        }
        if let Some(Input::Dropped(range)) = answer {
            stage.oracle.agents[machine.index].made_room(range);
            if stage.breaks(Break::AlertsMakeRoom) {
                machine.disk.drop_oldest_alert();
            }
        }
        self.inputs.extend(answer);
        for alert in std::mem::take(&mut self.held) {
            stage.oracle.agents[machine.index].told(&alert, stage.now);
        }
        self.work(machine, stage);
    }

    /// Something came on the connection.
    pub(crate) fn mail(&mut self, mail: Mail, machine: &mut Machine, stage: &mut Stage) {
        let input = match mail {
            Mail::Connected => Input::Connected,
            Mail::PubAck(token) => Input::PubAck(token),
            Mail::Ack(bytes) => Input::Ack(bytes),
            Mail::Gone(reason) => {
                machine.session += 1;
                Input::Disconnected(reason.into())
            }
        };
        self.inputs.push_back(input);
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
                    let number = stage.oracle.agents[machine.index].polled(machine.index, device, &row, synced, stage.now);
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
        } else if after.rows_kept == before.rows_kept {
            stage.oracle.violated("A5", || format!("{} row {number} neither kept nor dropped", machine.id));
        }
    }

    fn input(&mut self, input: Input, number: Option<u64>, machine: &mut Machine, stage: &mut Stage) {
        let failure = match &input {
            Input::CommitFailed { error, .. } | Input::ReadFailed { error, .. } => Some(error.clone()),
            Input::SpoolFailed(error) | Input::ErasFailed(error) => Some(error.clone()),
            _ => None,
        };
        if stage.breaks(Break::FreeAtPuback) && matches!(input, Input::PubAck(_)) {
            let all = Ack { epoch: machine.disk.epoch, lane: Lane::Readings, ranges: vec![SeqRange { first: 1, last: 1 << 40 }] };
            self.forward.handle(Input::Ack(all.encode()), machine.clock.now(stage.now));
        }
        if failure.is_some() && stage.breaks(Break::FailureUntold) {
            if let Input::CommitFailed { alerts, readings, .. } = input {
                self.jobs.push_back(Job::Commit { alerts, readings });
            }
        } else {
            self.forward.handle(input, machine.clock.now(stage.now));
        }
        self.carry_out(number, machine, stage);
        if let Some(error) = failure.filter(|_| !stage.oracle.agents[machine.index].is_failing()) {
            stage.oracle.violated("A5", || format!("{}: {error:?} is not told", machine.id));
        }
    }

    /// Does what FORWARD wants done. `number` is the row it has just taken.
    fn carry_out(&mut self, number: Option<u64>, machine: &mut Machine, stage: &mut Stage) {
        while let Some(output) = self.forward.poll_output() {
            match output {
                Output::Log { file, bytes, kept } => self.log(file, &bytes, kept.zip(number), machine, stage),
                Output::RemoveLogs { through } => {
                    if let Err(error) = machine.disk.remove_side(through) {
                        self.inputs.push_back(Input::SpoolFailed(error.0));
                    }
                }
                Output::Alarm(alert) => stage.oracle.agents[machine.index].alarmed(&alert),
                Output::Commit { alerts, readings } => {
                    let alerts = untold(alerts, stage);
                    if !readings.is_empty() {
                        stage.oracle.agents[machine.index].next_side_file();
                    }
                    self.jobs.push_back(Job::Commit { alerts, readings });
                }
                Output::Read { lane, from, max_bytes } => self.jobs.push_back(Job::Read { lane, from, max_bytes }),
                Output::Free { lane, through } => self.jobs.push_back(Job::Free { lane, through }),
                Output::DropOldest => self.jobs.push_back(Job::DropOldest),
                Output::KeepEras(eras) => self.jobs.push_back(Job::KeepEras(eras)),
                Output::Connect { .. } => {
                    machine.session += 1;
                    machine.last_arrival = 0;
                    let (session, delay) = (machine.session, machine.delay_ms(stage));
                    stage.after(delay, Event::Connect { agent: machine.index, session });
                }
                Output::Disconnect { reason } => {
                    stage.trace(&machine.id, || format!("drops its connection: {reason}"));
                    machine.session += 1;
                }
                Output::Publish { token, lane, payload } => {
                    let delivery = Delivery { topic: topic::of_lane(&machine.id, lane), payload };
                    if stage.breaks(Break::NeverAgain) && lane != Lane::State && stage.oracle.was_sent(&delivery) {
                        continue;
                    }
                    stage.oracle.check_publish(machine, lane, &delivery);
                    stage.trace(&machine.id, || format!("publishes {}", crate::oracle::contents(&delivery)));
                    let (agent, session, delay) = (machine.index, machine.session, machine.delay_ms(stage));
                    stage.after(delay, Event::Publish { agent, session, token, delivery });
                }
                Output::Finished => self.finished = true,
            }
        }
        self.next_job(machine, stage);
    }

    fn next_job(&mut self, machine: &mut Machine, stage: &mut Stage) {
        if self.is_working {
            return;
        }
        if let Some(job) = self.jobs.front() {
            self.is_working = true;
            machine.disk.begin(job);
            let delay = machine.disk.delay_ms();
            stage.after(delay, Event::JobDone { agent: machine.index, life: machine.life });
        }
    }

    fn log(&mut self, file: u64, bytes: &[u8], kept: Option<(Kept, u64)>, machine: &mut Machine, stage: &mut Stage) {
        self.hangs_until = self.hangs_until.max(stage.now + machine.disk.hang_ms());
        if stage.breaks(Break::NoSideFile) {
            // Written by nobody, and said to be.
        } else if let Err(error) = machine.disk.append_side(file, bytes) {
            stage.oracle.agents[machine.index].unlogged();
            return self.inputs.push_back(Input::SpoolFailed(error.0));
        }
        if let Some((_, number)) = kept {
            stage.oracle.agents[machine.index].kept(number);
        }
    }
}

/// For a break: what a commit of the alert lane says of gaps is something else.
fn untold(alerts: Vec<(u64, Vec<u8>)>, stage: &Stage) -> Vec<(u64, Vec<u8>)> {
    if !stage.breaks(Break::GapUntold) {
        return alerts;
    }
    let says_less = |(seq, bytes): (u64, Vec<u8>)| match Envelope::decode(&bytes) {
        Ok(mut envelope) => {
            if let Record::Gap(gap) = &mut envelope.record {
                gap.to = gap.from;
            }
            (seq, envelope.encode().unwrap_or(bytes))
        }
        Err(_) => (seq, bytes),
    };
    alerts.into_iter().map(says_less).collect()
}

/// Whether an alert is FORWARD's own, about its spool.
pub(crate) fn is_of_spool(alert: &Alert) -> bool {
    alert.kind == AlertKind::Spool
}

fn words_of(answer: Option<&Input>) -> String {
    let seqs = |values: &[(u64, Vec<u8>)]| values.iter().map(|(seq, _)| *seq).collect::<Vec<_>>();
    match answer {
        Some(Input::Committed { alerts, readings, .. }) => {
            format!("committed alerts {:?}, readings {:?}", seqs(alerts), seqs(readings))
        }
        Some(Input::CommitFailed { alerts, readings, error }) => {
            format!("refused alerts {:?}, readings {:?}: {error}", seqs(alerts), seqs(readings))
        }
        Some(Input::Read { lane, values }) => format!("read {lane} {:?}", seqs(values)),
        None => "done".into(),
        Some(other) => format!("{other:?}"),
    }
}
