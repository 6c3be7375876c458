//! FORWARD under a seeded world: a disk that fails and forgets, a broker that loses, a sink that answers late, kills
//! and power cuts. The oracle knows A1, A2, A3 and the promise; it does not know how FORWARD works.
//!
//! `WINDWARD_SEED=n` replays one seed, `WINDWARD_SEEDS=n` runs so many.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use windward_agent::forward::journal::{Found, Journal, MemoryJournal};
use windward_agent::forward::{Forward, Input, Output, Settings, recover};
use windward_agent::handover::Handover;
use windward_agent::time::{Mono, Stamp, Wall};
use windward_protocol::{
    Ack, AgentId, Alert, AlertKind, AlertPhase, Channel, DeviceManifest, Envelope, GapReason, Lane, NoData, Quantity,
    Record, Row, Seq, SeqRange, Severity, Value, batch,
};

const EPOCH: u64 = 0xE90C;
const DEVICES: usize = 3;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// How unkind the world is.
#[derive(Clone, Copy, Debug)]
struct Faults {
    kills: bool,
    power_cuts: bool,
    cuts: bool,
    lost_publishes: bool,
    lost_acks: bool,
    disk_errors: bool,
}

struct World {
    random: Random,
    faults: Faults,
    now: u64,
    forward: Forward,
    journal: MemoryJournal,
    side: BTreeMap<u64, Vec<u8>>,
    connected: bool,
    /// What is on its way to the agent, with the time it arrives.
    mail: VecDeque<(u64, Input)>,
    next_row: i64,
    next_alert: u64,
    /// Rows in the side file or the journal: (device, time).
    kept: BTreeSet<(usize, i64)>,
    /// Alerts in the journal.
    alerts_durable: BTreeSet<u64>,
    /// Rows in the journal.
    durable: BTreeSet<(usize, i64)>,
    sink: BTreeMap<(Lane, Seq), Envelope>,
}

fn settings() -> Settings {
    let device = |index: usize| DeviceManifest {
        device: format!("device-{index}"),
        location: "Turbine 7, nacelle".into(),
        link: "test".into(),
        interval_ms: 100,
        channels: vec![Channel { name: "wind_speed".into(), quantity: Quantity::WindSpeed, unit: "m/s".into() }],
    };
    Settings {
        agent: AgentId::new("turbine-07").unwrap(),
        farm: "north-ridge".into(),
        version: "test".into(),
        commit_every_ms: 1000,
        max_bytes: u64::MAX,
        broker_ack: false,
        devices: (0..DEVICES).map(device).collect(),
        seed: 1,
    }
}

fn stamp(now: u64) -> Stamp {
    Stamp { mono: Mono(now), wall: Wall(1_700_000_000_000 + now as i64), synced: true }
}

impl World {
    fn new(seed: u64, faults: Faults) -> Self {
        let journal = MemoryJournal::default();
        let forward = Forward::new(settings(), &journal.found(EPOCH), stamp(0));
        Self {
            random: Random(seed),
            faults,
            now: 0,
            forward,
            journal,
            side: BTreeMap::new(),
            connected: false,
            mail: VecDeque::new(),
            next_row: 0,
            next_alert: 0,
            kept: BTreeSet::new(),
            alerts_durable: BTreeSet::new(),
            durable: BTreeSet::new(),
            sink: BTreeMap::new(),
        }
    }

    /// A while of life, then a while of peace in which everything must arrive.
    fn run(&mut self) {
        let steps = 200 + self.random.below(400);
        for _ in 0..steps {
            self.step();
        }
        self.faults = PEACE;
        let give_up = self.now + 3_600_000;
        while self.forward.counters().waiting > 0 {
            assert!(self.now < give_up, "still waiting after an hour of peace: {:?}", self.forward.counters());
            self.pass_time();
        }
    }

    fn step(&mut self) {
        let faults = self.faults;
        match self.random.below(20) {
            0..=11 => self.row(),
            12 => self.alert(),
            13 if faults.cuts && self.connected && self.random.one_in(3) => self.cut(),
            14 if faults.kills && self.random.one_in(6) => self.restart(false),
            15 if faults.power_cuts && self.random.one_in(6) => self.restart(true),
            _ => self.pass_time(),
        }
    }

    fn row(&mut self) {
        self.next_row += 1;
        let device = self.random.below(DEVICES as u64) as usize;
        let time_ms = 1_700_000_000_000 + self.next_row;
        let reading = match self.random.below(10) {
            0 => Err(NoData::Timeout),
            1 => Ok(Value::F64(0.5)),
            _ => Ok(Value::Int { mantissa: self.random.below(400) as i64, exponent: -1 }),
        };
        let row = Row { time_ms, readings: vec![reading], scores: vec![Some(1.25)] };
        let kept = self.forward.counters().rows_kept;
        self.input(Input::Handover(Handover::Row { device, synced: true, row }));
        if self.forward.counters().rows_kept > kept {
            self.kept.insert((device, time_ms));
        }
    }

    fn alert(&mut self) {
        self.next_alert += 1;
        let alert = Alert {
            id: self.next_alert,
            phase: AlertPhase::Open,
            kind: AlertKind::Anomaly,
            severity: Severity::Warning,
            location: "Turbine 7".into(),
            device: "device-0".into(),
            channel: "wind_speed".into(),
            opened_ms: self.now as i64,
            at_ms: self.now as i64,
            synced: true,
            value: Some(31.4),
            unit: "m/s".into(),
            wind_speed: Some(31.4),
            score: Some(4.2),
            threshold: Some(3.0),
            evidence: "x".repeat(self.random.below(3000) as usize),
        };
        self.input(Input::Handover(Handover::Alert(alert)));
    }

    fn cut(&mut self) {
        self.connected = false;
        self.mail.retain(|(_, input)| !matches!(input, Input::Connected | Input::PubAck(_) | Input::Ack(_)));
        self.input(Input::Disconnected("cut".into()));
    }

    /// A killed process keeps its side files; a power cut takes a random part of what was not synced.
    fn restart(&mut self, power_cut: bool) {
        self.connected = false;
        self.mail.clear();
        if power_cut {
            for bytes in self.side.values_mut() {
                bytes.truncate(self.random.below(bytes.len() as u64 + 1) as usize);
            }
            self.kept = self.durable.clone();
        }
        let mut found = Found { side_files: self.side.values().cloned().collect(), ..self.journal.found(EPOCH) };
        recover(&settings().agent, &mut found, &mut self.journal).unwrap();
        self.side.clear();
        self.note_durable(self.journal_envelopes(Lane::Readings));
        self.forward = Forward::new(settings(), &found, stamp(self.now));
        self.carry_out();
    }

    fn pass_time(&mut self) {
        let mail = self.mail.iter().map(|(at, _)| *at).min();
        let timeout = self.forward.poll_timeout().map(|(at, _)| at.0);
        let next = [mail, timeout].into_iter().flatten().min().unwrap_or(self.now + 1000);
        self.now = self.now.max(next.min(self.now + 1000));
        while let Some(index) = self.mail.iter().position(|(at, _)| *at <= self.now) {
            if let Some((_, input)) = self.mail.remove(index) {
                self.connected |= matches!(input, Input::Connected);
                self.input(input);
            }
        }
        if self.forward.poll_timeout().is_some_and(|(at, _)| at.0 <= self.now) {
            self.forward.handle_timeout(stamp(self.now));
            self.carry_out();
            let still = self.forward.poll_timeout().filter(|(at, _)| at.0 <= self.now);
            assert_eq!(still, None, "a timeout that does not go away spins the shell");
        }
    }

    fn input(&mut self, input: Input) {
        self.forward.handle(input, stamp(self.now));
        self.carry_out();
    }

    fn later(&mut self, within_ms: u64, input: Input) {
        let at = self.now + 1 + self.random.below(within_ms);
        self.mail.push_back((at, input));
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.forward.poll_output() {
            match output {
                Output::Log { file, bytes, .. } => self.side.entry(file).or_default().extend(bytes),
                Output::RemoveLogs { through } => self.side.retain(|file, _| *file > through),
                Output::Commit { alerts, readings } if self.faults.disk_errors && self.random.one_in(5) => {
                    self.later(50, Input::CommitFailed { alerts, readings, error: "no space left".into() });
                }
                Output::Commit { alerts, readings } => {
                    self.journal.commit(&alerts, &readings).unwrap();
                    let values = alerts.iter().chain(&readings);
                    self.note_durable(values.map(|(_, bytes)| Envelope::decode(bytes).unwrap()).collect());
                    self.later(50, Input::Committed { alerts, readings, readings_bytes: 0 });
                }
                Output::Read { lane, from, max_bytes } => {
                    let values = self.journal.read(lane, from, max_bytes).unwrap();
                    self.later(20, Input::Read { lane, values });
                }
                Output::Free { lane, through } => {
                    for seq in self.journal.found(EPOCH).acked(lane) + 1..=through {
                        let stored = self.sink.contains_key(&(lane, seq)) || self.is_gap(lane, seq);
                        assert!(stored, "A3: {lane} {seq} freed and not in the sink");
                    }
                    self.journal.free(lane, through).unwrap();
                }
                Output::Connect { .. } => self.later(200, Input::Connected),
                Output::Disconnect { .. } => self.connected = false,
                Output::Publish { token, lane, payload } => self.publish(token, lane, &payload),
                Output::Alarm(_) | Output::DropOldest | Output::Finished => {}
            }
        }
    }

    fn is_gap(&self, lane: Lane, seq: Seq) -> bool {
        let names = |envelope: &Envelope| match &envelope.record {
            Record::Gap(gap) => gap.lane == lane && (gap.from..=gap.to).contains(&seq),
            _ => false,
        };
        let durable = self.journal_envelopes(Lane::Alerts);
        self.sink.values().any(names) || durable.iter().any(names)
    }

    fn publish(&mut self, token: u64, lane: Lane, payload: &[u8]) {
        assert!(self.connected, "published without a connection");
        if self.faults.lost_publishes && self.random.one_in(10) {
            // The broker acks and forgets.
            return self.later(100, Input::PubAck(token));
        }
        let split = batch::split(payload);
        assert_eq!(split.broken, None);
        let mut seqs = Vec::new();
        for bytes in &split.envelopes {
            let envelope = Envelope::decode(bytes).unwrap();
            assert_eq!((envelope.lane, envelope.epoch), (lane, EPOCH));
            if lane == Lane::State {
                continue;
            }
            let on_disk = self.journal.read(lane, envelope.seq, 1).unwrap();
            assert!(
                on_disk.first().is_some_and(|(seq, _)| *seq == envelope.seq),
                "A1: sent {lane} {} undurable",
                envelope.seq
            );
            seqs.push(envelope.seq);
            let known = self.sink.insert((lane, envelope.seq), envelope.clone());
            assert!(known.is_none_or(|known| known == envelope), "one number, two contents");
        }
        self.later(100, Input::PubAck(token));
        if lane != Lane::State && !(self.faults.lost_acks && self.random.one_in(5)) {
            let range = SeqRange { first: seqs[0], last: seqs[seqs.len() - 1] };
            let ack = Ack { epoch: EPOCH, lane, ranges: vec![range] };
            self.later(300, Input::Ack(ack.encode()));
        }
    }

    fn journal_envelopes(&self, lane: Lane) -> Vec<Envelope> {
        let found = self.journal.found(EPOCH);
        let present = if lane == Lane::Alerts { found.alerts.present } else { found.readings.present };
        let seqs = present.ranges().flat_map(|range| range.first..=range.last);
        seqs.filter_map(|seq| Envelope::decode(self.journal.value(lane, seq)?).ok()).collect()
    }

    fn note_durable(&mut self, envelopes: Vec<Envelope>) {
        for envelope in envelopes {
            match envelope.record {
                Record::Block(block) => {
                    let device = block.device.trim_start_matches("device-").parse().unwrap();
                    self.durable.extend(block.times().into_iter().map(|time| (device, time)));
                }
                Record::Alert(alert) if alert.kind != AlertKind::Spool => {
                    self.alerts_durable.insert(alert.id);
                }
                _ => {}
            }
        }
    }

    fn check(&self) {
        let mut stored = BTreeSet::new();
        let mut alerts = BTreeSet::new();
        for envelope in self.sink.values() {
            match &envelope.record {
                Record::Block(block) => {
                    let device: usize = block.device.trim_start_matches("device-").parse().unwrap();
                    for time in block.times() {
                        assert!(stored.insert((device, time)), "row {time} of {device} stored twice");
                    }
                }
                Record::Alert(alert) if alert.kind != AlertKind::Spool => {
                    assert!(alerts.insert(alert.id), "alert {} stored under two numbers", alert.id);
                }
                Record::Gap(gap) => assert_eq!(gap.reason, GapReason::PowerCut, "nothing else loses here"),
                _ => {}
            }
        }
        let missing: Vec<_> = self.kept.difference(&stored).collect();
        assert!(missing.is_empty(), "kept and not stored: {missing:?}");
        let missing: Vec<_> = self.alerts_durable.difference(&alerts).collect();
        assert!(missing.is_empty(), "durable alerts not stored: {missing:?}");
    }
}

fn many_seeds(faults: Faults) {
    let number = |name| std::env::var(name).ok().and_then(|text: String| text.parse::<u64>().ok());
    let seeds = match number("WINDWARD_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("WINDWARD_SEEDS").unwrap_or(200),
    };
    for seed in seeds {
        let run = std::panic::catch_unwind(|| {
            let mut world = World::new(seed, faults);
            world.run();
            world.check();
        });
        assert!(run.is_ok(), "failed; replay with WINDWARD_SEED={seed}");
    }
}

const PEACE: Faults = Faults {
    kills: false,
    power_cuts: false,
    cuts: false,
    lost_publishes: false,
    lost_acks: false,
    disk_errors: false,
};

#[test]
fn in_peace_everything_arrives_once() {
    many_seeds(PEACE);
}

#[test]
fn a_killed_process_loses_nothing_it_kept() {
    many_seeds(Faults { kills: true, ..PEACE });
}

#[test]
fn a_power_cut_loses_nothing_that_was_committed() {
    many_seeds(Faults { power_cuts: true, ..PEACE });
}

#[test]
fn cut_links_and_forgetful_brokers_lose_nothing() {
    many_seeds(Faults { cuts: true, lost_publishes: true, lost_acks: true, ..PEACE });
}

#[test]
fn a_failing_disk_loses_nothing_it_kept() {
    many_seeds(Faults { disk_errors: true, kills: true, ..PEACE });
}

#[test]
fn all_at_once() {
    many_seeds(Faults {
        kills: true,
        power_cuts: true,
        cuts: true,
        lost_publishes: true,
        lost_acks: true,
        disk_errors: true,
    });
}
