//! FORWARD on a disk that takes its time: what stands in line before an alert, and how long readings wait.

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

    /// The disk has done the alerts of a commit of both lanes.
    fn alerts_done(&mut self) {
        let (alerts, _) = self.commit.as_mut().expect("a commit is under way");
        let alerts = std::mem::take(alerts);
        self.input(Input::AlertsCommitted(alerts));
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
fn an_alert_committed_with_readings_is_sent_before_they_are_durable() {
    let mut slow = Slow::start();
    slow.alert();
    slow.row();
    slow.alert();
    slow.pass(4_000);
    slow.done();
    slow.row();
    slow.alert();
    slow.pass(4_000);
    slow.done();
    slow.did();
    slow.alert();
    slow.pass(4_000);
    slow.alerts_done();
    assert_eq!(slow.did(), ["send alerts"], "the alerts of the commit, and nothing of its readings");
    slow.pass(4_000);
    slow.done();
    assert_eq!(slow.did(), ["commit alerts", "send readings"]);
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

/// Rows at these times, ms; how long each waited until its commit began, and how many commits there were.
fn waits(rows: &[u64]) -> (Vec<u64>, usize) {
    let mut slow = Slow::start();
    let (begin, mut waiting, mut waited, mut commits) = (slow.ms, Vec::new(), Vec::new(), 0);
    while waited.len() < rows.len() {
        let now = slow.ms - begin;
        for _ in rows.iter().filter(|at| **at == now) {
            slow.row();
            waiting.push(now);
        }
        slow.pass(1);
        if slow.did().contains(&"commit readings") {
            slow.done();
            commits += 1;
            waited.extend(waiting.drain(..).map(|at| now - at));
        }
    }
    (waited, commits)
}

#[test]
fn a_reading_a_second_is_committed_in_its_own_moment() {
    // As timers and lines are: some milliseconds early or late.
    let rows: Vec<u64> = (0..120).map(|second| 500 + second * 1_000 + second * 7 % 30).collect();
    let (waited, commits) = waits(&rows);
    assert!(waited.iter().all(|wait| *wait <= 25), "{waited:?}");
    assert_eq!(commits, rows.len(), "no more commits than seconds");
}

#[test]
fn a_reading_that_was_late_makes_none_of_the_later_wait_for_long() {
    let mut rows: Vec<u64> = (0..30).map(|second| 500 + second * 1_000).collect();
    rows[10] += 600;
    let (waited, commits) = waits(&rows);
    assert!(waited[..11].iter().all(|wait| *wait <= 25), "{waited:?}");
    assert!(waited[11..].is_sorted_by(|one, next| one >= next), "each sooner than the one before: {waited:?}");
    assert!(waited[25..].iter().all(|wait| *wait <= 25), "{waited:?}");
    assert_eq!(commits, rows.len());
}

#[test]
fn many_readings_a_second_share_a_commit_a_second() {
    let rows: Vec<u64> = (0..600).map(|tenth| 500 + tenth * 100).collect();
    let (waited, commits) = waits(&rows);
    assert!(waited.iter().all(|wait| *wait <= 1_000), "{waited:?}");
    // A twentieth more than a commit a second.
    assert!((60..=65).contains(&commits), "{commits} commits in a minute");
}

#[test]
fn what_devices_say_in_one_moment_is_one_commit() {
    let rows: Vec<u64> = (0..60).flat_map(|second| [0, 4, 9, 15].map(|ms| 500 + second * 1_000 + ms)).collect();
    let (waited, commits) = waits(&rows);
    assert!(waited.iter().all(|wait| *wait <= 25), "{waited:?}");
    assert_eq!(commits, 60);
}
