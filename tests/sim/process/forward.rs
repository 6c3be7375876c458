//! FORWARD's inputs and outputs, as `agent/src/io/forward.rs` and `disk.rs` carry them. Beside `crate::disk`, which is the
//! journal, nothing in the simulator knows more of FORWARD than this.

use super::Process;
use crate::breaks::Break;
use crate::disk::Job;
use crate::machine::{Link, Machine};
use crate::scenario::StreamUse;
use crate::stage::{Event, Mail, Stage};
use crate::stream::STREAM;
use windward_agent::forward::journal::{Numbered, Room};
use windward_agent::forward::{Input, Kept, Output};
use windward_protocol::{Ack, Envelope, Lane, Record, SeqRange, topic};
use windward_sink::decode::{Delivery, Origin};

impl Process {
    /// The disk is done with the job at the head.
    pub(crate) fn job_done(&mut self, machine: &mut Machine, stage: &mut Stage) {
        self.is_working = false;
        let Some(job) = self.jobs.pop_front() else { return };
        let mut answer = machine.disk.finish(job);
        stage.trace(&machine.id, || format!("disk: {}", words_of(answer.as_ref())));
        if stage.breaks(Break::FailedCommitTaken)
            && let Some(Input::CommitFailed { alerts, readings, .. }) = answer
        {
            answer = Some(Input::Committed { alerts, readings, room: Room::default() });
        }
        if let Some(Input::Committed { alerts, readings, .. }) = &answer {
            let known = &mut stage.oracle.agents[machine.index];
            known.committed(Lane::Alerts, alerts);
            known.committed(Lane::Readings, readings);
        }
        if let Some(Input::Committed { alerts, readings, .. }) = &mut answer
            && !alerts.is_empty()
            && !readings.is_empty()
        {
            self.inputs.push_back(Input::AlertsCommitted(std::mem::take(alerts)));
        }
        self.inputs.extend(answer);
        for alert in std::mem::take(&mut self.held) {
            stage.oracle.agents[machine.index].told(&alert, stage.now);
        }
        self.work(machine, stage);
    }

    /// Something came on the connection.
    pub(crate) fn mail(&mut self, uplink: usize, mail: Mail, machine: &mut Machine, stage: &mut Stage) {
        let input = match mail {
            Mail::Connected => Input::Connected { uplink },
            Mail::PubAck(token) => Input::PubAck { uplink, token },
            Mail::Refused(token) if stage.breaks(Break::RefusedTaken) => Input::PubAck { uplink, token },
            Mail::Refused(token) => Input::Refused { uplink, token },
            Mail::Ack(bytes) => Input::Ack { uplink, bytes },
            Mail::Gone(reason) => {
                machine.links[uplink].session += 1;
                Input::Disconnected { uplink, reason: reason.into() }
            }
        };
        self.inputs.push_back(input);
        self.work(machine, stage);
    }

    pub(super) fn input(&mut self, input: Input, number: Option<u64>, machine: &mut Machine, stage: &mut Stage) {
        let failure = match &input {
            Input::CommitFailed { error, .. } | Input::ReadFailed { error, .. } => Some(error.clone()),
            Input::SpoolFailed(error) | Input::LogFailed(error) | Input::KeepFailed(_, error) => Some(error.clone()),
            _ => None,
        };
        if let Input::Committed { room, .. } | Input::CommitFailed { room, .. } = &input {
            self.room = *room;
        }
        if let Input::Committed { room, .. } = &input {
            stage.oracle.agents[machine.index].stands(room, &stage.scenario.disk, stage.now);
        }
        if stage.breaks(Break::FreeAtPuback) && matches!(input, Input::PubAck { uplink: 0, .. }) {
            let all = Ack {
                epoch: machine.disk.epoch,
                lane: Lane::Readings,
                ranges: vec![SeqRange { first: 1, last: 1 << 40 }],
            };
            self.forward.handle(Input::Ack { uplink: 0, bytes: all.encode() }, machine.clock.now(stage.now));
        }
        if failure.is_some() && stage.breaks(Break::FailureUntold) {
            if let Input::CommitFailed { alerts, readings, .. } = input {
                self.jobs.push_back(Job::Commit { alerts, readings });
            }
        } else {
            self.forward.handle(input, machine.clock.now(stage.now));
        }
        self.carry_out(number, machine, stage);
        self.check_told(failure, machine, stage);
    }

    fn check_told(&self, failure: Option<String>, machine: &Machine, stage: &mut Stage) {
        if failure.is_some() {
            stage.count("refusals of a disk");
        }
        if let Some(error) = failure.filter(|_| !stage.oracle.agents[machine.index].is_failing()) {
            stage.oracle.violated("A5", || format!("{}: {error:?} is not told", machine.id));
        }
    }

    /// Does what FORWARD wants done. `number` is the row it has just taken.
    pub(super) fn carry_out(&mut self, number: Option<u64>, machine: &mut Machine, stage: &mut Stage) {
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
                    self.declare(&alerts, machine, stage);
                    let alerts = untold(alerts, stage);
                    self.jobs.push_back(Job::Commit { alerts, readings });
                }
                Output::Read { uplink, lane, from, max_bytes } => {
                    self.jobs.push_back(Job::Read { uplink, lane, from, max_bytes });
                }
                Output::Free { lane: Lane::Readings, .. } if stage.breaks(Break::RoomKept) => {}
                Output::Free { lane, through } => {
                    let Stage { oracle, store, scenario, .. } = &mut *stage;
                    oracle.check_free(machine.index, &machine.disk, store, scenario, lane, through);
                    self.jobs.push_back(Job::Free { lane, through });
                }
                Output::Keep(note, bytes) => self.jobs.push_back(Job::Keep(note, bytes)),
                Output::Connect { uplink, .. } => {
                    let session = machine.links[uplink].session + 1;
                    machine.links[uplink] = Link { session, last_arrival: 0 };
                    let delay = machine.delay_ms(uplink, stage);
                    stage.after(delay, Event::Connect { agent: machine.index, uplink, session });
                }
                Output::Disconnect { uplink, reason } => {
                    stage.trace(&machine.id, || format!("drops connection {uplink}: {reason}"));
                    machine.links[uplink].session += 1;
                }
                Output::Publish { uplink, token, lane, payload, .. } => {
                    let delivery = Delivery { from: Origin::Topic(topic::of_lane(&machine.id, lane)), payload };
                    self.publish(uplink, token, lane, delivery, machine, stage);
                }
                Output::Hurry { .. } | Output::Configure { .. } => {
                    stage.oracle.violated("commands", || format!("{} obeys nobody", machine.id));
                }
                Output::Finished => self.finished = true,
            }
        }
        self.next_job(machine, stage);
        for failure in std::mem::take(&mut self.log_failures) {
            self.check_told(Some(failure), machine, stage);
        }
    }

    fn publish(
        &self,
        uplink: usize,
        token: u64,
        lane: Lane,
        mut delivery: Delivery,
        machine: &mut Machine,
        stage: &mut Stage,
    ) {
        stage.oracle.learn(&machine.id, &delivery);
        if stage.breaks(Break::NeverAgain) && lane != Lane::State && stage.oracle.was_sent(&delivery) {
            return;
        }
        stage.oracle.check_publish(machine, lane, &delivery);
        stage.trace(&machine.id, || format!("publishes {}", stage.oracle.contents(&delivery)));
        if stage.breaks(Break::SchemaUntold) && uplink == 0 {
            delivery.payload = stage.oracle.without_schemas(&machine.id, &delivery.payload);
        }
        let bytes_per_s = stage.scenario.sending.max_bytes_per_s;
        if uplink != STREAM && bytes_per_s > 0 {
            stage.oracle.agents[machine.index].sends(lane, delivery.payload.len(), bytes_per_s, stage.now);
        }
        let (agent, session, delay) = (machine.index, machine.links[uplink].session, machine.delay_ms(uplink, stage));
        let is_mirror = uplink == STREAM && stage.scenario.sending.stream == Some(StreamUse::Mirrors);
        if stage.breaks(Break::MirrorMisses) && is_mirror && token.is_multiple_of(8) {
            return stage.after(delay, Event::Mail { agent, uplink, session, mail: Mail::PubAck(token) });
        }
        stage.after(delay, Event::Publish { agent, uplink, session, token, delivery });
    }

    /// What FORWARD is about to say of numbers that will never come.
    fn declare(&self, alerts: &[Numbered], machine: &mut Machine, stage: &mut Stage) {
        for (seq, bytes) in alerts {
            let Ok(Envelope { record: Record::Gap(gap), .. }) = Envelope::decode(bytes) else { continue };
            let known = &mut stage.oracle.agents[machine.index];
            if known.declares(*seq, &gap, &self.room, &stage.scenario.disk, stage.now) {
                stage.count("stretches that made room");
                if stage.breaks(Break::AlertsMakeRoom) {
                    machine.disk.drop_oldest_alert();
                }
            }
        }
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
            // The shell hands that in before it does anything else.
            self.forward.handle(Input::LogFailed(error.0.clone()), machine.clock.now(stage.now));
            return self.log_failures.push(error.0);
        }
        if let Some((_, number)) = kept {
            stage.oracle.agents[machine.index].kept(number);
        }
    }
}

/// For a break: what a commit of the alert lane says of gaps is something else.
fn untold(alerts: Vec<Numbered>, stage: &Stage) -> Vec<Numbered> {
    if !stage.breaks(Break::GapUntold) {
        return alerts;
    }
    let says_less = |(seq, bytes): Numbered| match Envelope::decode(&bytes) {
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

fn words_of(answer: Option<&Input>) -> String {
    let seqs = |values: &[Numbered]| values.iter().map(|(seq, _)| *seq).collect::<Vec<_>>();
    match answer {
        Some(Input::Committed { alerts, readings, room }) => {
            format!("committed alerts {:?}, readings {:?}; {room:?}", seqs(alerts), seqs(readings))
        }
        Some(Input::CommitFailed { alerts, readings, error, .. }) => {
            format!("refused alerts {:?}, readings {:?}: {error}", seqs(alerts), seqs(readings))
        }
        Some(Input::Read { lane, values, uplink }) => format!("read {lane} {:?} for {uplink}", seqs(values)),
        None => "done".into(),
        Some(other) => format!("{other:?}"),
    }
}
