//! FORWARD on a quick disk with lines of a given speed: what goes out when.

use crate::clock::SimClock;
use crate::world::{EPOCH, alert, settings};
use std::collections::BTreeMap;
use windward_agent::forward::journal::{Journal, MemoryJournal, Room};
use windward_agent::forward::{AckBy, Encoding, Forward, Input, Output, Settings, Uplink};
use windward_agent::handover::Handover;
use windward_protocol::{Ack, Envelope, Lane, Row, Schema, SchemaId, Seq, SeqRange, Value, batch};

/// Something that went out.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) at: u64,
    pub(crate) uplink: usize,
    pub(crate) lane: Lane,
    pub(crate) seqs: Vec<Seq>,
    pub(crate) payload: Vec<u8>,
}

/// A line and who is at its other end.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) is_up: bool,
    pub(crate) bytes_per_s: u64,
    /// When the last byte that was given to it has arrived.
    busy_until: u64,
}

pub(crate) struct Bench {
    settings: Settings,
    forward: Forward,
    journal: MemoryJournal,
    pub(crate) now: u64,
    pub(crate) lines: Vec<Line>,
    mail: BTreeMap<(u64, u64), Input>,
    mails: u64,
    pub(crate) sent: Vec<Sent>,
    schemas: BTreeMap<SchemaId, Schema>,
    rows: i64,
}

impl Bench {
    /// All lines are down, and endless when they come up.
    pub(crate) fn new(uplinks: &[Uplink]) -> Self {
        let settings = Settings { uplinks: uplinks.to_vec(), ..settings() };
        let journal = MemoryJournal::default();
        let forward = Forward::new(settings.clone(), &journal.found(EPOCH), SimClock::set().now(0));
        let line = Line { is_up: false, bytes_per_s: u64::MAX, busy_until: 0 };
        let lines = vec![line; uplinks.len()];
        let (mail, sent) = (BTreeMap::new(), Vec::new());
        let mut bench =
            Self { settings, forward, journal, now: 0, lines, mail, mails: 0, sent, schemas: BTreeMap::new(), rows: 0 };
        bench.carry_out();
        bench
    }

    /// The process ends, and another begins.
    pub(crate) fn restart(&mut self) {
        self.mail.clear();
        let found = self.journal.found(EPOCH);
        self.forward = Forward::new(self.settings.clone(), &found, SimClock::set().now(self.now));
        self.carry_out();
    }

    pub(crate) fn waiting(&self) -> u64 {
        self.forward.counters().waiting
    }

    pub(crate) fn acked(&self, lane: Lane) -> Seq {
        self.journal.found(EPOCH).acked(lane)
    }

    /// A row of one device; the values do not compress well.
    pub(crate) fn row(&mut self) {
        self.rows += 1;
        let noise = self.rows.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64) >> 40;
        let reading = |mantissa| Ok(Value::Int { mantissa, exponent: -2 });
        let time_ms = SimClock::set().now(self.now).wall.0;
        let row = Row { time_ms, readings: vec![reading(noise), reading(self.rows)], scores: vec![None, None] };
        self.input(Input::Handover(Handover::Row { device: 0, synced: true, row }));
    }

    pub(crate) fn alert(&mut self) {
        let alert = alert(self.now, SimClock::set().now(self.now), "a jump".into());
        self.input(Input::Handover(Handover::Alert(alert)));
    }

    /// A row every `every_ms`, until then.
    pub(crate) fn rows_until(&mut self, until: u64, every_ms: u64) {
        while self.now < until {
            self.pass_to(self.now + every_ms);
            self.row();
        }
    }

    /// Time passes.
    pub(crate) fn pass_to(&mut self, until: u64) {
        loop {
            let mail = self.mail.keys().next().map(|(at, _)| *at);
            let timeout = self.forward.poll_timeout().map(|(at, _)| at.0.max(self.now));
            let Some(next) = [mail, timeout].into_iter().flatten().min().filter(|next| *next <= until) else { break };
            self.now = self.now.max(next);
            while let Some(entry) = self.mail.first_entry().filter(|entry| entry.key().0 <= self.now) {
                let input = entry.remove();
                self.input(input);
            }
            self.forward.handle_timeout(SimClock::set().now(self.now));
            self.carry_out();
            let still = self.forward.poll_timeout().filter(|(at, _)| at.0 <= self.now);
            assert_eq!(still, None, "a timeout that does not go away spins the shell");
        }
        self.now = until;
    }

    /// The line comes up, or goes.
    pub(crate) fn set(&mut self, uplink: usize, is_up: bool) {
        self.lines[uplink].is_up = is_up;
        if !is_up {
            self.hang_up(uplink);
            self.input(Input::Disconnected { uplink, reason: "cut".into() });
        }
    }

    fn hang_up(&mut self, gone: usize) {
        self.mail.retain(|_, input| match input {
            Input::Connected { uplink } | Input::PubAck { uplink, .. } | Input::Ack { uplink, .. } => *uplink != gone,
            _ => true,
        });
        self.lines[gone].busy_until = self.now;
    }

    fn input(&mut self, input: Input) {
        self.forward.handle(input, SimClock::set().now(self.now));
        self.carry_out();
    }

    fn later(&mut self, at: u64, input: Input) {
        self.mails += 1;
        self.mail.insert((at, self.mails), input);
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.forward.poll_output() {
            let now = self.now;
            match output {
                Output::Commit { alerts, readings } => {
                    self.journal.commit(&alerts, &readings).unwrap();
                    self.later(now, Input::Committed { alerts, readings, room: Room::default() });
                }
                Output::Keep(note, bytes) => {
                    self.journal.keep(note, &bytes).unwrap();
                    self.later(now, Input::Kept(note));
                }
                Output::Read { uplink, lane, from, max_bytes } => {
                    let values = self.journal.read(lane, from, max_bytes).unwrap();
                    self.later(now, Input::Read { uplink, lane, values });
                }
                Output::Free { lane, through } => self.journal.free(lane, through).unwrap(),
                Output::Connect { uplink, .. } if self.lines[uplink].is_up => {
                    self.later(now + 1, Input::Connected { uplink });
                }
                Output::Connect { uplink, .. } => {
                    self.later(now + 1, Input::Disconnected { uplink, reason: "no line".into() });
                }
                Output::Disconnect { uplink, .. } => self.hang_up(uplink),
                Output::Publish { uplink, token, lane, payload, .. } => self.publish(uplink, token, lane, payload),
                Output::Log { .. } | Output::RemoveLogs { .. } | Output::Alarm(_) => {}
                Output::Finished => {}
                Output::Hurry { .. } | Output::Configure { .. } => panic!("nobody commands"),
            }
        }
    }

    fn publish(&mut self, uplink: usize, token: u64, lane: Lane, payload: Vec<u8>) {
        let line = &mut self.lines[uplink];
        let takes_ms = (payload.len() as u64).saturating_mul(1000) / line.bytes_per_s;
        line.busy_until = line.busy_until.max(self.now) + takes_ms + 1;
        let arrived = line.busy_until;
        self.later(arrived, Input::PubAck { uplink, token });
        let settings = &self.settings.uplinks[uplink];
        let mut seqs = Vec::new();
        if settings.encoding == Encoding::Postcard {
            let split = batch::split_with(&payload, &self.schemas);
            self.schemas.extend(split.schemas.into_iter().map(|schema| (schema.id(), schema)));
            seqs.extend(split.envelopes.iter().map(|bytes| Envelope::decode(bytes).unwrap().seq));
        }
        if lane != Lane::State && settings.ack == AckBy::Sink {
            let ranges = vec![SeqRange { first: seqs[0], last: seqs[seqs.len() - 1] }];
            let bytes = Ack { epoch: EPOCH, lane, ranges }.encode();
            self.later(arrived + 1, Input::Ack { uplink, bytes });
        }
        self.sent.push(Sent { at: self.now, uplink, lane, seqs, payload });
    }
}
