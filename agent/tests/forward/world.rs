//! The world that FORWARD lives in, and the oracle.

mod oracle;
mod peer;

use crate::clock::{SimClock, true_ms};
use peer::Peer;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use windward_agent::forward::journal::{Found, Journal, MemoryJournal, Note, Numbered, Room};
use windward_agent::forward::{Forward, Input, Output, Settings, Uplink, recover};
use windward_agent::handover::Handover;
use windward_agent::time::Stamp;
use windward_protocol::{
    AgentId, Alert, AlertKind, AlertPhase, Channel, DeviceManifest, Envelope, Lane, NoData, Quantity, Row, Severity,
    Stats, Value,
};

pub(crate) const EPOCH: u64 = 0xE90C;
const DEVICES: usize = 3;

pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// How unkind the world is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Faults {
    pub(crate) kills: bool,
    pub(crate) power_cuts: bool,
    pub(crate) cuts: bool,
    pub(crate) lost_publishes: bool,
    pub(crate) lost_acks: bool,
    pub(crate) disk_errors: bool,
    /// Boots begin with a clock that is not set.
    pub(crate) clock: bool,
}

pub(crate) const PEACE: Faults = Faults {
    kills: false,
    power_cuts: false,
    cuts: false,
    lost_publishes: false,
    lost_acks: false,
    disk_errors: false,
    clock: false,
};

pub(crate) struct World {
    random: Random,
    faults: Faults,
    now: u64,
    clock: SimClock,
    /// Nothing keeps what waits for the clock from waiting: no power cut, no disk that refuses.
    is_steady: bool,
    /// Rows that WATCH has stamped and FORWARD has not taken.
    queue: VecDeque<(i64, Handover)>,
    /// Notes on their way to the disk.
    unwritten: BTreeMap<Note, Vec<u8>>,
    forward: Forward,
    journal: MemoryJournal,
    side: BTreeMap<u64, Vec<u8>>,
    settings: Settings,
    /// The other ends of the uplinks.
    peers: Vec<Peer>,
    /// What is on its way to the agent, with the time it arrives.
    mail: VecDeque<(u64, Input)>,
    next_row: i64,
    /// When each row was truly taken.
    taken_ms: BTreeMap<i64, i64>,
    next_alert: u64,
    next_stats: u32,
    /// Statistics in the side file or the journal, and those in the journal, by their numbers.
    stats_kept: BTreeSet<u32>,
    stats_durable: BTreeSet<u32>,
    /// Rows in the side file or the journal, by their numbers.
    kept: BTreeSet<i64>,
    /// Alerts in the journal.
    alerts_durable: BTreeSet<u64>,
    /// Rows in the journal.
    durable: BTreeSet<i64>,
}

pub(crate) fn settings() -> Settings {
    let device = |index: usize| DeviceManifest {
        device: format!("device-{index}"),
        location: "Turbine 7, nacelle".into(),
        link: "test".into(),
        interval_ms: 100,
        channels: vec![
            Channel { name: "wind_speed".into(), quantity: Quantity::WindSpeed, unit: "m/s".into() },
            Channel { name: "row".into(), quantity: Quantity::Other, unit: String::new() },
        ],
    };
    Settings {
        agent: AgentId::new("turbine-07").unwrap(),
        farm: "north-ridge".into(),
        version: "test".into(),
        commit_every_ms: 1000,
        max_bytes: u64::MAX,
        max_age_ms: None,
        uplinks: vec![Uplink::new("mqtt")],
        devices: (0..DEVICES).map(device).collect(),
        accept: None,
        seed: 1,
    }
}

pub(crate) fn alert(id: u64, stamp: Stamp, evidence: String) -> Alert {
    Alert {
        id,
        phase: AlertPhase::Open,
        kind: AlertKind::Anomaly,
        severity: Severity::Warning,
        location: "Turbine 7".into(),
        device: "device-0".into(),
        channel: "wind_speed".into(),
        opened_ms: stamp.wall.0,
        at_ms: stamp.wall.0,
        synced: stamp.synced,
        value: Some(31.4),
        unit: "m/s".into(),
        wind_speed: Some(31.4),
        score: Some(4.2),
        threshold: Some(3.0),
        evidence,
    }
}

impl World {
    pub(crate) fn new(seed: u64, faults: Faults, uplinks: &[Uplink]) -> Self {
        let settings = Settings { uplinks: uplinks.to_vec(), ..settings() };
        let (mut random, mut clock) = (Random(seed), SimClock::set());
        if faults.clock {
            clock.boot(0, &mut random);
        }
        let journal = MemoryJournal::default();
        let found = Found { timeline: clock.timeline, ..journal.found(EPOCH) };
        let forward = Forward::new(settings.clone(), &found, clock.now(0));
        Self {
            random,
            faults,
            now: 0,
            clock,
            is_steady: !faults.power_cuts && !faults.disk_errors,
            queue: VecDeque::new(),
            unwritten: BTreeMap::new(),
            forward,
            journal,
            side: BTreeMap::new(),
            peers: uplinks.iter().map(Peer::new).collect(),
            settings,
            mail: VecDeque::new(),
            next_row: 0,
            taken_ms: BTreeMap::new(),
            next_alert: 0,
            next_stats: 0,
            stats_kept: BTreeSet::new(),
            stats_durable: BTreeSet::new(),
            kept: BTreeSet::new(),
            alerts_durable: BTreeSet::new(),
            durable: BTreeSet::new(),
        }
    }

    /// A while of life, then a while of peace in which everything must arrive.
    pub(crate) fn run(&mut self) {
        let steps = 200 + self.random.below(400);
        for _ in 0..steps {
            self.step();
        }
        self.hand_over();
        // Nothing but the clock delays anything in an otherwise peaceful world: ten minutes, two after connecting.
        let is_peaceful = Faults { clock: false, ..self.faults } == PEACE;
        let give_up = self.now + if is_peaceful { 12 * 60_000 } else { 3_600_000 };
        self.faults = PEACE;
        while self.forward.counters().waiting > 0 {
            assert!(self.now < give_up, "still waiting after a long peace: {:?}", self.forward.counters());
            self.pass_time();
        }
    }

    fn step(&mut self) {
        let faults = self.faults;
        match self.random.below(20) {
            0..=11 => self.row(),
            12 if self.random.one_in(2) => self.stats(),
            12 => self.alert(),
            13 if faults.cuts && self.random.one_in(3) => self.cut(),
            14 if faults.kills && self.random.one_in(6) => self.restart(false),
            15 if faults.power_cuts && self.random.one_in(6) => self.restart(true),
            16 if faults.clock && self.clock.now(self.now).synced && self.random.one_in(8) => {
                self.account();
                self.clock.lose(self.now, &mut self.random);
            }
            17 => self.clock.remember(self.now),
            18 if faults.clock && self.random.one_in(8) => {
                // A device that is read seldom.
                self.now += self.random.below(300_000);
                self.account();
            }
            _ => self.pass_time(),
        }
    }

    fn row(&mut self) {
        self.now += 1;
        self.next_row += 1;
        let device = self.random.below(DEVICES as u64) as usize;
        let reading = match self.random.below(10) {
            0 => Err(NoData::Timeout),
            1 => Ok(Value::F64(0.5)),
            _ => Ok(Value::Int { mantissa: self.random.below(400) as i64, exponent: -1 }),
        };
        let stamp = self.clock.now(self.now);
        let number = Ok(Value::Int { mantissa: self.next_row, exponent: 0 });
        let row = Row { time_ms: stamp.wall.0, readings: vec![reading, number], scores: vec![Some(1.25), None] };
        self.taken_ms.insert(self.next_row, true_ms(self.now));
        self.queue.push_back((self.next_row, Handover::Row { device, synced: stamp.synced, row }));
        if !self.random.one_in(5) {
            self.hand_over();
        }
    }

    /// FORWARD takes what WATCH has stamped.
    fn hand_over(&mut self) {
        while let Some((number, handover)) = self.queue.pop_front() {
            let kept = self.forward.counters().rows_kept;
            self.input(Input::Handover(handover));
            if self.forward.counters().rows_kept > kept {
                self.kept.insert(number);
            }
        }
    }

    /// WATCH says how the devices are, every ten seconds; FORWARD is told what time it is at least as often.
    fn account(&mut self) {
        self.input(Input::Handover(Handover::Devices { devices: Vec::new(), dropped_rows: 0 }));
    }

    fn alert(&mut self) {
        self.next_alert += 1;
        let stamp = self.clock.now(self.now);
        let evidence = "x".repeat(self.random.below(3000) as usize);
        let alert = alert(self.next_alert, stamp, evidence);
        self.input(Input::Handover(Handover::Alert(alert)));
    }

    /// Ten minutes of a device's channels are over. Their `n` tells them apart.
    fn stats(&mut self) {
        let channels = settings().devices[0].channels.clone();
        let stats = channels.into_iter().map(|channel| {
            self.next_stats += 1;
            self.stats_kept.insert(self.next_stats);
            let (device, start_ms) = ("device-0".into(), self.clock.now(self.now).wall.0);
            let n = self.next_stats;
            Stats {
                device,
                channel,
                start_ms,
                window_ms: 600_000,
                n,
                due: n,
                mean: 8.0,
                min: 0.0,
                max: 9.0,
                std: 1.0,
                gust_3s: None,
            }
        });
        let stats = stats.collect();
        self.input(Input::Handover(Handover::Stats(stats)));
    }

    /// A killed process keeps its side files; a power cut takes a random part of what was not synced.
    fn restart(&mut self, power_cut: bool) {
        self.peers.iter_mut().for_each(Peer::forget);
        // An era that is not on disk yet dies with its process, and its first rows stay estimates.
        self.is_steady &= !self.mail.iter().any(|(_, input)| matches!(input, Input::Kept(Note::Eras)));
        self.mail.clear();
        self.queue.clear();
        self.unwritten.clear();
        self.now += self.random.below(20_000);
        if power_cut {
            if self.faults.clock {
                self.clock.boot(self.now, &mut self.random);
            }
            for bytes in self.side.values_mut() {
                bytes.truncate(self.random.below(bytes.len() as u64 + 1) as usize);
            }
            self.kept = self.durable.clone();
            self.stats_kept = self.stats_durable.clone();
        }
        let mut found = Found {
            side_files: self.side.values().cloned().collect(),
            timeline: self.clock.timeline,
            ..self.journal.found(EPOCH)
        };
        recover(&settings().agent, &mut found, &mut self.journal).unwrap();
        self.side.clear();
        self.note_durable(self.journal_envelopes(Lane::Readings));
        self.forward = Forward::new(self.settings.clone(), &found, self.clock.now(self.now));
        self.carry_out();
    }

    fn pass_time(&mut self) {
        let mail = self.mail.iter().map(|(at, _)| *at).min();
        let timeout = self.forward.poll_timeout().map(|(at, _)| at.0);
        let next = [mail, timeout].into_iter().flatten().min().unwrap_or(self.now + 1000);
        self.now = self.now.max(next.min(self.now + 1000));
        while let Some(index) = self.mail.iter().position(|(at, _)| *at <= self.now) {
            if let Some((_, input)) = self.mail.remove(index) {
                if matches!(input, Input::Kept(_)) {
                    self.write_notes();
                }
                self.note_arrival(&input);
                self.input(input);
            }
        }
        if self.forward.poll_timeout().is_some_and(|(at, _)| at.0 <= self.now) {
            self.forward.handle_timeout(self.clock.now(self.now));
            self.carry_out();
            let still = self.forward.poll_timeout().filter(|(at, _)| at.0 <= self.now);
            assert_eq!(still, None, "a timeout that does not go away spins the shell");
        }
    }

    fn input(&mut self, input: Input) {
        self.forward.handle(input, self.clock.now(self.now));
        self.carry_out();
    }

    fn write_notes(&mut self) {
        for (note, bytes) in std::mem::take(&mut self.unwritten) {
            self.journal.keep(note, &bytes).unwrap();
        }
    }

    fn later(&mut self, within_ms: u64, input: Input) {
        let at = self.now + 1 + self.random.below(within_ms);
        self.mail.push_back((at, input));
    }

    /// Of both lanes the alerts are told first.
    fn committed(&mut self, mut alerts: Vec<Numbered>, readings: Vec<Numbered>) {
        let at = self.now + 1 + self.random.below(50);
        let mut both_at = at;
        if !alerts.is_empty() && !readings.is_empty() {
            self.mail.push_back((at, Input::AlertsCommitted(std::mem::take(&mut alerts))));
            both_at += self.random.below(50);
        }
        self.mail.push_back((both_at, Input::Committed { alerts, readings, room: Room::default() }));
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.forward.poll_output() {
            match output {
                Output::Log { file, bytes, .. } => self.side.entry(file).or_default().extend(bytes),
                Output::RemoveLogs { through } => self.side.retain(|file, _| *file > through),
                Output::Commit { alerts, readings } if self.faults.disk_errors && self.random.one_in(5) => {
                    let (error, room) = ("no space left".into(), Room::default());
                    self.later(50, Input::CommitFailed { alerts, readings, error, room });
                }
                Output::Keep(note, _) if self.faults.disk_errors && self.random.one_in(5) => {
                    self.later(50, Input::KeepFailed(note, "no space left".into()));
                }
                Output::Keep(note, bytes) => {
                    self.unwritten.insert(note, bytes);
                    if !self.faults.disk_errors || self.random.one_in(2) {
                        self.write_notes();
                    }
                    self.later(50, Input::Kept(note));
                }
                Output::Commit { alerts, readings } => {
                    self.write_notes();
                    self.journal.commit(&alerts, &readings).unwrap();
                    let values = alerts.iter().chain(&readings);
                    self.note_durable(values.map(|(_, bytes)| Envelope::decode(bytes).unwrap()).collect());
                    self.committed(alerts, readings);
                }
                Output::Read { uplink, lane, from, max_bytes } => {
                    let values = self.journal.read(lane, from, max_bytes).unwrap();
                    self.later(20, Input::Read { uplink, lane, values });
                }
                Output::Free { lane, through } => {
                    self.check_free(lane, through);
                    self.journal.free(lane, through).unwrap();
                }
                Output::Connect { uplink, .. } => self.later(200, Input::Connected { uplink }),
                Output::Disconnect { uplink, .. } => self.hang_up(uplink),
                Output::Publish { uplink, token, lane, payload, .. } => self.publish(uplink, token, lane, &payload),
                Output::Alarm(_) | Output::Finished => {}
                Output::Hurry { .. } | Output::Configure { .. } => panic!("nobody commands"),
            }
        }
    }
}
