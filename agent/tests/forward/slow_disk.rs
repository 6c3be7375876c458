//! FORWARD on a disk that takes its time: what stands in line before an alert.

use crate::clock::SimClock;
use crate::world::{EPOCH, alert, settings};
use windward_agent::forward::journal::{MemoryJournal, Numbered, Room};
use windward_agent::forward::{Forward, Input, Output};
use windward_agent::handover::Handover;
use windward_agent::time::Stamp;
use windward_protocol::{Ack, Lane, NoData, Row, SeqRange};

/// FORWARD with a sink that acks everything at once, and a disk that is done when it is told to be.
struct Slow {
    forward: Forward,
    ms: u64,
    commit: Option<(Vec<Numbered>, Vec<Numbered>)>,
    /// What the disk was asked for and what was published, in this order.
    did: Vec<&'static str>,
}

impl Slow {
    fn start() -> Self {
        let forward = Forward::new(settings(), &MemoryJournal::default().found(EPOCH), SimClock::set().now(0));
        let mut slow = Self { forward, ms: 0, commit: None, did: Vec::new() };
        slow.pass(1);
        // The hello.
        slow.done();
        slow.did.clear();
        slow
    }

    fn now(&self) -> Stamp {
        SimClock::set().now(self.ms)
    }

    fn input(&mut self, input: Input) {
        self.forward.handle(input, self.now());
        self.carry_out();
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.forward.poll_output() {
            match output {
                Output::Commit { alerts, readings } => {
                    self.did.push(match (alerts.is_empty(), readings.is_empty()) {
                        (false, true) => "commit alerts",
                        (true, false) => "commit readings",
                        (false, false) => "commit both",
                        (true, true) => "commit nothing",
                    });
                    assert_eq!(self.commit.replace((alerts, readings)), None, "one commit at a time");
                }
                Output::Free { .. } => self.did.push("free"),
                Output::Connect { uplink, .. } => self.input(Input::Connected { uplink }),
                Output::Publish { uplink, token, lane, .. } => {
                    self.did.extend(match lane {
                        Lane::Alerts => Some("send alerts"),
                        Lane::Readings => Some("send readings"),
                        Lane::State => None,
                    });
                    self.input(Input::PubAck { uplink, token });
                    // All that is on disk; FORWARD knows what that is.
                    let ranges = vec![SeqRange { first: 1, last: 1_000 }];
                    self.input(Input::Ack { uplink, bytes: Ack { epoch: EPOCH, lane, ranges }.encode() });
                }
                _ => {}
            }
        }
    }

    /// Time passes; the disk does nothing.
    fn pass(&mut self, ms: u64) {
        self.ms += ms;
        self.forward.handle_timeout(self.now());
        self.carry_out();
    }

    fn row(&mut self) {
        let time_ms = self.now().wall.0;
        let row = Row { time_ms, readings: vec![Err(NoData::Timeout); 2], scores: vec![None; 2] };
        self.input(Input::Handover(Handover::Row { device: 0, synced: true, row }));
    }

    fn alert(&mut self) {
        let alert = alert(self.ms, self.now(), "a gust".into());
        self.input(Input::Handover(Handover::Alert(alert)));
    }

    /// The disk has done what it was asked for.
    fn done(&mut self) {
        let (alerts, readings) = self.commit.take().expect("a commit is under way");
        self.input(Input::Committed { alerts, readings, room: Room::default() });
    }

    fn did(&mut self) -> Vec<&'static str> {
        std::mem::take(&mut self.did)
    }
}

#[test]
fn an_alert_waits_for_the_commit_under_way_and_its_own_and_not_for_readings_that_are_due_too() {
    let mut slow = Slow::start();
    slow.row();
    slow.pass(1_000);
    slow.row();
    slow.alert();
    slow.pass(4_000);
    assert_eq!(slow.did(), ["commit readings"], "the next readings are due by now, and the disk is still busy");
    slow.done();
    assert_eq!(slow.did(), ["commit alerts", "send readings"]);
    slow.pass(4_000);
    slow.done();
    assert_eq!(slow.did(), ["commit readings", "send alerts"]);
}

#[test]
fn readings_that_are_due_wait_for_one_commit_of_alerts_and_not_for_another() {
    let mut slow = Slow::start();
    let mut commits = Vec::new();
    slow.alert();
    for _ in 0..6 {
        slow.row();
        slow.alert();
        slow.pass(4_000);
        slow.done();
        commits.extend(slow.did().into_iter().filter(|did| did.starts_with("commit")));
    }
    let [alerts, both] = ["commit alerts", "commit both"];
    assert_eq!(commits, [alerts, alerts, both, alerts, both, alerts, both], "the first came before readings were due");
}

#[test]
fn an_alert_goes_before_what_is_acked_is_freed() {
    let mut slow = Slow::start();
    slow.row();
    slow.pass(1_000);
    slow.done();
    slow.row();
    slow.pass(1_000);
    slow.alert();
    // The disk is busy for so long that freeing is due as well.
    slow.pass(70_000);
    slow.did();
    slow.done();
    assert_eq!(slow.did(), ["commit alerts", "send readings"]);
    slow.done();
    assert_eq!(slow.did(), ["free", "free", "send alerts"], "in either lane");
}
