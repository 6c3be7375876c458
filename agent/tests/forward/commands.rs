//! Commands: let in, made durable, done once, answered on the state topic.

use crate::clock::SimClock;
use crate::world::{EPOCH, settings};
use std::collections::BTreeMap;
use windward_agent::command::{Accept, answer};
use windward_agent::forward::journal::{Journal, MemoryJournal, Note};
use windward_agent::forward::{Forward, Input, Output, Settings};
use windward_agent::handover::Handover;
use windward_agent::time::Stamp;
use windward_protocol::{
    Ack, Answer, Command, Envelope, Lane, NoData, Order, Outcome, Record, Request, Row, Schema, SchemaId, SeqRange,
    batch,
};

/// FORWARD with a journal that answers at once, on a connection that is up.
struct Agent {
    forward: Forward,
    journal: MemoryJournal,
    now: Stamp,
    answers: Vec<Answer>,
    /// Numbers of the readings published, in their order.
    published: Vec<u64>,
    /// Neither published nor written.
    others: Vec<Output>,
    disk_works: bool,
    schemas: BTreeMap<SchemaId, Schema>,
}

impl Agent {
    fn new(accept: Option<Accept>, journal: MemoryJournal) -> Self {
        let now = SimClock::set().now(1_000);
        let forward = Forward::new(Settings { accept, ..settings() }, &journal.found(EPOCH), now);
        let (answers, published, others) = (vec![], vec![], vec![]);
        let mut agent =
            Self { forward, journal, now, answers, published, others, disk_works: true, schemas: BTreeMap::new() };
        agent.forward.handle_timeout(now);
        agent.handle(Input::Connected { uplink: 0 });
        agent
    }

    fn handle(&mut self, input: Input) {
        self.forward.handle(input, self.now);
        while let Some(output) = self.forward.poll_output() {
            let input = match output {
                Output::Commit { alerts, readings } => {
                    self.journal.commit(&alerts, &readings).unwrap();
                    Input::Committed { alerts, readings, room: self.journal.room() }
                }
                Output::Keep(note, _) if !self.disk_works => Input::KeepFailed(note, "no room".into()),
                Output::Keep(note, bytes) => {
                    self.journal.keep(note, &bytes).unwrap();
                    Input::Kept(note)
                }
                Output::Read { uplink, lane, from, max_bytes } => {
                    Input::Read { uplink, lane, values: self.journal.read(lane, from, max_bytes).unwrap() }
                }
                Output::Free { lane, through } => {
                    self.journal.free(lane, through).unwrap();
                    continue;
                }
                Output::Publish { uplink, token, retain, payload, .. } => {
                    self.publish(retain, &payload);
                    Input::PubAck { uplink, token }
                }
                Output::Log { .. } | Output::RemoveLogs { .. } | Output::Connect { .. } => continue,
                other => {
                    self.others.push(other);
                    continue;
                }
            };
            self.forward.handle(input, self.now);
        }
    }

    fn publish(&mut self, retain: bool, payload: &[u8]) {
        let split = batch::split_with(payload, &self.schemas);
        self.schemas.extend(split.schemas.into_iter().map(|schema| (schema.id(), schema)));
        for bytes in split.envelopes {
            let Envelope { lane, seq, record, .. } = Envelope::decode(&bytes).unwrap();
            assert_eq!(retain, matches!(record, Record::Health(_)), "only health is kept by the broker");
            match record {
                Record::Answer(answer) => self.answers.push(answer),
                _ if lane == Lane::Readings => self.published.push(seq),
                _ => {}
            }
        }
    }

    fn order(&mut self, id: u64, request: Request) {
        let command = Command { agent: settings().agent, id, at_ms: self.now.wall.0 + id as i64, request };
        let bytes = Order { command: command.encode(), signature: vec![] }.encode().unwrap();
        self.handle(Input::Order { bytes, holds: false });
    }

    /// Blocks of one row each.
    fn read(&mut self, blocks: usize) {
        for _ in 0..blocks {
            self.now.mono = self.now.mono + 1_000;
            self.now.wall.0 += 1_000;
            let row = Row { time_ms: self.now.wall.0, readings: vec![Err(NoData::Timeout); 2], scores: vec![None; 2] };
            self.handle(Input::Handover(Handover::Row { device: 0, synced: true, row }));
            self.now.mono = self.now.mono + 1_000;
            self.forward.handle_timeout(self.now);
            self.handle(Input::Handover(Handover::Devices { devices: vec![], dropped_rows: 0 }));
        }
    }

    fn ack(&mut self, first: u64, last: u64) {
        let ranges = vec![SeqRange { first, last }];
        self.handle(Input::Ack { uplink: 0, bytes: Ack { epoch: EPOCH, lane: Lane::Readings, ranges }.encode() });
    }

    fn said(&mut self) -> Vec<(u64, Outcome, String)> {
        self.answers.drain(..).map(|answer| (answer.command, answer.outcome, answer.text)).collect()
    }
}

fn agent() -> Agent {
    Agent::new(Some(Accept::Acl), MemoryJournal::default())
}

#[test]
fn status_is_answered_in_words() {
    let mut agent = agent();
    agent.read(3);
    agent.order(1, Request::Status);
    let said = agent.said();
    let text = "version test, up 6 s, clock set, memory 0 KiB; mqtt: connected, 1 alerts and 3 readings wait; \
                alerts: durable to 1; readings: durable to 3";
    assert_eq!(said, [(1, Outcome::Done, text.to_owned())]);
}

#[test]
fn nothing_is_done_that_the_disk_does_not_know_to_be_taken() {
    let mut agent = agent();
    agent.disk_works = false;
    let hurry = || Request::Rate { device: "mast".into(), times: 10, minutes: 5 };
    agent.order(1, hurry());
    assert_eq!(agent.said(), [(1, Outcome::Failed, "no room".into())]);
    assert!(!agent.others.iter().any(|output| matches!(output, Output::Hurry { .. })));
    agent.disk_works = true;
    agent.order(2, hurry());
    let hurried = Output::Hurry { command: 2, device: "mast".into(), times: 10, minutes: 5 };
    assert!(agent.others.contains(&hurried));
    assert_eq!(agent.said(), [], "it is answered when it is done");
    agent.handle(Input::Answer(answer(2, Outcome::Done, "for 5 minutes".into(), agent.now)));
    assert_eq!(agent.said(), [(2, Outcome::Done, "for 5 minutes".into())]);

    // What was taken before a restart is not done again after it.
    let mut after = Agent::new(Some(Accept::Acl), agent.journal);
    after.now = agent.now;
    after.order(2, hurry());
    let said = after.said();
    assert_eq!((said[0].0, said[0].1), (2, Outcome::Refused), "{said:?}");
    assert!(!after.others.iter().any(|output| matches!(output, Output::Hurry { .. })));
}

#[test]
fn a_configuration_is_put_out_and_answered_twice() {
    let mut agent = agent();
    agent.order(1, Request::Configure { toml: "x".into() });
    assert!(agent.others.contains(&Output::Configure { command: 1, toml: "x".into() }));
    for outcome in [Outcome::Taken, Outcome::Done] {
        agent.handle(Input::Answer(answer(1, outcome, String::new(), agent.now)));
    }
    let outcomes: Vec<Outcome> = agent.said().into_iter().map(|said| said.1).collect();
    assert_eq!(outcomes, [Outcome::Taken, Outcome::Done]);
}

#[test]
fn a_range_goes_again_and_nothing_else_does() {
    let mut agent = agent();
    agent.read(8);
    agent.ack(1, 6);
    agent.published.clear();
    let resend = |first, last| Request::Resend { lane: Lane::Readings, range: SeqRange { first, last } };
    agent.order(1, resend(3, 4));
    // 7 and 8 are under way all the same: what is sent again goes before them, and they are not acked either.
    assert_eq!(agent.published, [3, 4, 7, 8]);
    assert_eq!(agent.said()[0].2, "readings 3 to 4 go again, as far as they are on disk");
    agent.ack(3, 4);
    agent.ack(7, 8);
    agent.published.clear();
    agent.order(2, resend(20, 30));
    assert_eq!(agent.said(), [(2, Outcome::Refused, "nothing of that is on disk: the readings end at 8".into())]);

    // What has left the disk was acked before: it is no loss, and no gap.
    agent.now.mono = agent.now.mono + 60_000;
    agent.forward.handle_timeout(agent.now);
    agent.read(1);
    agent.published.clear();
    agent.order(3, resend(1, 30));
    assert_eq!(agent.published, [9]);
    agent.read(1);
    assert_eq!(agent.published, [9, 10]);
    let last = agent.journal.found(EPOCH).alerts.high_water;
    assert_eq!(last, 1, "the hello alone: no gap record");
}

#[test]
fn who_takes_no_commands_says_nothing() {
    let mut agent = Agent::new(None, MemoryJournal::default());
    agent.order(1, Request::Status);
    assert_eq!(agent.said(), []);
    assert!(agent.journal.found(EPOCH).commands.is_empty());
    agent.journal.keep(Note::Commands, &[1]).unwrap();
    assert_eq!(agent.journal.found(EPOCH).commands, [1]);
}
