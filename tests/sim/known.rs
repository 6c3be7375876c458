//! What the oracle knows of one agent.

mod limits;

use crate::clock::ERROR_MS;
use crate::oracle::Violation;
use crate::plant;
use crate::scenario::DiskFaults;
use crate::stage::BEGIN_MS;
use limits::Limits;
use std::collections::{BTreeMap, BTreeSet};
use windward_agent::forward::journal::{Numbered, Room};
use windward_protocol::{
    Alert, AlertKind, AlertPhase, Block, Envelope, Gap, GapReason, Lane, Record, Row, Seq, SeqRange, SeqSet, Value,
};
use windward_sink::place::SKIPPED;

/// Numbers above are those of rows whose device gave none.
const WITHOUT_NUMBER: u64 = 1 << 40;

/// What an envelope that was durable says.
#[derive(Clone, Debug)]
pub(crate) enum What {
    Alert(Box<Alert>),
    Other,
}

#[derive(Clone, Debug)]
struct Taken {
    device: String,
    row: Row,
    synced: bool,
    /// When it was truly taken.
    true_ms: i64,
    fate: Fate,
}

/// How far a row has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// In memory only.
    Read,
    /// In a side file: a killed process keeps it.
    Kept,
    /// Confirmed: a power cut leaves it.
    Durable,
    /// Gone, as the promise allows it.
    Gone(&'static str),
}

/// What is known of an agent.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) violation: Option<Violation>,
    rows: BTreeMap<u64, Taken>,
    /// Rows in memory, and in side files only.
    at_risk: BTreeSet<u64>,
    numberless: BTreeMap<(String, i64), u64>,
    /// Every envelope that was ever durable.
    pub(crate) durable: BTreeMap<(Lane, Seq), What>,
    contents: BTreeMap<(Lane, Seq), Vec<u8>>,
    rows_in: BTreeMap<Seq, Vec<u64>>,
    /// The gaps that were declared, by the numbers of their records.
    gaps: Vec<(Seq, Gap)>,
    pub(crate) damaged: BTreeSet<(Lane, Seq)>,
    /// Those that a disk has forgotten after it had confirmed them.
    forgotten: BTreeSet<(Lane, Seq)>,
    /// Those that were to make room, or were too old.
    made_room: SeqSet,
    /// Records of gaps that were put out and are not durable yet.
    declarations: BTreeSet<Seq>,
    spool_alert_open: bool,
    /// Alerts that were raised and not told, with the time.
    raised: Vec<(u64, AlertPhase, u64)>,
    limits: Limits,
}

impl Known {
    fn violated(&mut self, invariant: &'static str, what: String) {
        self.violation.get_or_insert(Violation { invariant, what });
    }

    /// A row was measured.
    pub(crate) fn taken(&mut self, number: u64, device: usize, row: &Row, synced: bool, now: u64) {
        let (device, true_ms) = (format!("device-{device}"), BEGIN_MS + now as i64);
        let taken = Taken { device, row: row.clone(), synced, true_ms, fate: Fate::Read };
        if self.rows.insert(number, taken).is_some() {
            self.violated("A6", format!("row {number} was given out a second time"));
        }
        self.at_risk.insert(number);
    }

    /// WATCH made this of what a device answered, or did not. Gives the number of the row.
    pub(crate) fn polled(&mut self, agent: usize, device: usize, row: &Row, synced: bool, now: u64) -> u64 {
        let number = match (number_of(row), &row.readings[1]) {
            (Some(number), Ok(value)) => {
                let expected = f64::from(plant::tenths(agent, device, number)) / 10.0;
                if value.as_f64() != expected {
                    self.violated("A6", format!("row {number} of device {device} says {value:?}, and not {expected}"));
                }
                number
            }
            (None, Err(_)) if row.readings[0].is_err() => {
                let number = WITHOUT_NUMBER + self.rows.len() as u64;
                self.numberless.insert((format!("device-{device}"), row.time_ms), number);
                number
            }
            _ => {
                self.violated("A6", format!("half a row of device {device}: {row:?}"));
                return 0;
            }
        };
        self.taken(number, device, row, synced, now);
        number
    }

    /// The number of a row that has none in itself.
    pub(crate) fn number_at(&self, device: &str, time_ms: i64) -> Option<u64> {
        self.numberless.get(&(device.to_owned(), time_ms)).copied()
    }

    /// A killed process keeps this row.
    pub(crate) fn kept(&mut self, number: u64) {
        if self.fate(number) == Fate::Read {
            self.set(number, Fate::Kept);
        }
    }

    /// A row was dropped, and that was counted.
    pub(crate) fn dropped(&mut self, number: u64) {
        self.set(number, Fate::Gone("dropped and counted"));
    }

    /// These are on the platter.
    pub(crate) fn committed(&mut self, lane: Lane, values: &[Numbered]) {
        for (seq, bytes) in values {
            self.is_durable(lane, *seq, bytes);
        }
    }

    /// A process has opened its spool and found these.
    pub(crate) fn found<'a>(&mut self, lane: Lane, values: impl Iterator<Item = (Seq, &'a [u8])>) {
        values.for_each(|(seq, bytes)| self.is_durable(lane, seq, bytes));
        self.spool_alert_open = false;
    }

    fn is_durable(&mut self, lane: Lane, seq: Seq, bytes: &[u8]) {
        let was_damaged = self.damaged.remove(&(lane, seq));
        match self.contents.get(&(lane, seq)) {
            Some(known) if known == bytes => {
                if was_damaged && lane == Lane::Readings {
                    self.all_in(seq, Fate::Durable);
                }
                return;
            }
            Some(_) => return self.violated("A2", format!("{lane} {seq} was durable, and is another")),
            None => self.contents.insert((lane, seq), bytes.to_vec()),
        };
        let what = match Envelope::decode(bytes).map(|envelope| envelope.record) {
            Ok(Record::Block(block)) => {
                self.rows_in.insert(seq, self.numbers_in(&block));
                self.all_in(seq, Fate::Durable);
                What::Other
            }
            Ok(Record::Gap(gap)) => {
                if matches!(gap.reason, GapReason::SpaceEnded | GapReason::TooOld) {
                    (gap.from..=gap.to).for_each(|seq| self.all_in(seq, Fate::Gone("made room")));
                }
                self.gaps.push((seq, gap));
                What::Other
            }
            Ok(Record::Alert(alert)) => What::Alert(Box::new(alert)),
            Ok(_) => What::Other,
            Err(error) => return self.violated("wire", format!("{lane} {seq} is durable and unreadable: {error}")),
        };
        self.durable.insert((lane, seq), what);
    }

    fn numbers_in(&self, block: &Block) -> Vec<u64> {
        let number = |row: &Row| number_of(row).or_else(|| self.number_at(&block.device, row.time_ms));
        block.rows().iter().filter_map(number).collect()
    }

    /// The process was killed, or has come to its end.
    pub(crate) fn killed(&mut self) {
        self.lose(|fate| fate == Fate::Read, "in memory when the process ended");
        self.declarations.clear();
        self.limits = Limits::default();
        self.spool_alert_open = false;
        self.nothing_untold();
    }

    /// The machine lost its power.
    pub(crate) fn power_cut(&mut self) {
        self.lose(|fate| matches!(fate, Fate::Read | Fate::Kept), "not durable when the power went");
        self.killed();
    }

    fn lose(&mut self, which: impl Fn(Fate) -> bool, why: &'static str) {
        let lost: Vec<u64> = self.at_risk.iter().copied().filter(|number| which(self.fate(*number))).collect();
        lost.into_iter().for_each(|number| self.set(number, Fate::Gone(why)));
    }

    /// A value went bad on the platter, perhaps one of a commit that was never answered.
    pub(crate) fn damaged(&mut self, lane: Lane, seq: Seq, bytes: &[u8]) {
        self.damaged.insert((lane, seq));
        if let Ok(Envelope { record: Record::Block(block), .. }) = Envelope::decode(bytes) {
            self.rows_in.insert(seq, self.numbers_in(&block));
            self.all_in(seq, Fate::Gone("damaged"));
        }
    }

    /// Whether it made room, or was damaged.
    pub(crate) fn is_gone(&self, lane: Lane, seq: Seq) -> bool {
        self.has_made_room(lane, seq) || self.damaged.contains(&(lane, seq))
    }

    /// Whether this is a true reason for which it is gone.
    pub(crate) fn may_be_declared(&self, lane: Lane, seq: Seq, reason: Option<&str>) -> bool {
        match reason {
            Some("space ended" | "kept for too long") => self.has_made_room(lane, seq),
            Some("power cut" | SKIPPED) => self.forgotten.contains(&(lane, seq)),
            Some("damaged medium") => self.damaged.contains(&(lane, seq)),
            _ => false,
        }
    }

    /// Whether it was to make room, or was too old.
    pub(crate) fn has_made_room(&self, lane: Lane, seq: Seq) -> bool {
        lane == Lane::Readings && self.made_room.contains(seq)
    }

    /// Whether it has been declared durably that this number will never come.
    pub(crate) fn is_declared(&self, lane: Lane, seq: Seq) -> bool {
        self.gaps.iter().any(|(_, gap)| gap.lane == lane && (gap.from..=gap.to).contains(&seq))
    }

    /// Whether that was declared in a record that was damaged in its turn: then nobody can know any more.
    pub(crate) fn is_declaration_damaged(&self, lane: Lane, seq: Seq) -> bool {
        let names = |gap: &Gap| gap.lane == lane && (gap.from..=gap.to).contains(&seq);
        self.gaps.iter().any(|(record, gap)| names(gap) && self.damaged.contains(&(Lane::Alerts, *record)))
    }

    /// A4: the record `record` of a gap is put out. What goes must have to go, and what is said to have been skipped must
    /// never have been. Gives whether it makes room, for the first time.
    pub(crate) fn declares(&mut self, record: Seq, gap: &Gap, room: &Room, limits: &DiskFaults, now: u64) -> bool {
        if !self.declarations.insert(record) {
            return false;
        }
        let is_oldest = room.oldest.is_some_and(|oldest| oldest.range.first <= gap.from && gap.to <= oldest.range.last);
        let is_right = match gap.reason {
            GapReason::SpaceEnded => is_oldest && (room.is_full || room.readings_bytes > limits.max_bytes),
            GapReason::TooOld => is_oldest && limits.max_age_ms.is_some_and(|age_ms| self.all_older(gap, age_ms, now)),
            GapReason::Skipped => !(gap.from..=gap.to).any(|seq| {
                let name = (gap.lane, seq);
                self.durable.contains_key(&name) && !self.forgotten.contains(&name)
            }),
            _ => true,
        };
        if !is_right {
            self.violated("A4", format!("{gap:?} is declared, and {room:?}"));
        }
        let makes_room = matches!(gap.reason, GapReason::SpaceEnded | GapReason::TooOld);
        if makes_room {
            self.made_room.insert(SeqRange { first: gap.from, last: gap.to });
        }
        makes_room
    }

    fn all_older(&self, gap: &Gap, age_ms: u64, now: u64) -> bool {
        let newest_ms = BEGIN_MS + now as i64 - age_ms as i64 + 2 * ERROR_MS;
        // What was damaged or forgotten was lost before.
        let there = (gap.from..=gap.to).filter(|seq| !self.damaged.contains(&(gap.lane, *seq)));
        let rows = there.filter_map(|seq| self.rows_in.get(&seq)).flatten();
        rows.filter_map(|number| self.rows.get(number)).all(|taken| taken.true_ms <= newest_ms)
    }

    /// A disk has confirmed this and forgotten it.
    pub(crate) fn forgotten(&mut self, lane: Lane, seq: Seq, bytes: &[u8]) {
        self.forgotten.insert((lane, seq));
        self.damaged(lane, seq, bytes);
    }

    /// The fate of all rows of a block.
    fn all_in(&mut self, seq: Seq, fate: Fate) {
        for number in self.rows_in.get(&seq).cloned().unwrap_or_default() {
            self.set(number, fate);
        }
    }

    fn set(&mut self, number: u64, fate: Fate) {
        let Some(taken) = self.rows.get_mut(&number) else {
            return self.violated("A6", format!("row {number} was never measured"));
        };
        taken.fate = fate;
        if matches!(fate, Fate::Durable | Fate::Gone(_)) {
            self.at_risk.remove(&number);
        }
    }

    fn fate(&self, number: u64) -> Fate {
        self.rows.get(&number).map_or(Fate::Gone("never measured"), |taken| taken.fate)
    }

    /// In words.
    pub(crate) fn fate_of(&self, number: u64) -> String {
        format!("{:?}", self.fate(number))
    }

    /// Rows that must be in the store in the end.
    pub(crate) fn expected(&self) -> impl Iterator<Item = u64> + '_ {
        self.rows.iter().filter(|(_, taken)| !matches!(taken.fate, Fate::Gone(_))).map(|(number, _)| *number)
    }

    /// Whether a stored row is the one that was measured.
    pub(crate) fn is_as_measured(&self, number: u64, row: &Row) -> bool {
        let Some(taken) = self.rows.get(&number) else { return false };
        taken.row.readings == row.readings && taken.row.scores == row.scores
    }

    /// What says that its clock was set has its true time; what was stamped by a set clock keeps its stamp.
    pub(crate) fn check_times(&mut self, block: &Block) {
        for row in block.rows() {
            let Some(taken) = number_of(&row).and_then(|number| self.rows.get(&number)) else { continue };
            let is_right = match (taken.synced, block.synced) {
                (false, true) => (row.time_ms - taken.true_ms).abs() <= 2 * ERROR_MS,
                _ => row.time_ms == taken.row.time_ms && taken.synced == block.synced,
            };
            if !is_right || block.device != taken.device {
                let (synced, taken) = (block.synced, taken.clone());
                return self.violated("time", format!("{row:?}, synced {synced}, was {taken:?}"));
            }
        }
    }

    /// WATCH raised an alert.
    pub(crate) fn raised(&mut self, alert: &Alert, now: u64) {
        self.nothing_untold();
        self.raised.push((alert.id, alert.phase, now));
    }

    /// It was told on the spot.
    pub(crate) fn told(&mut self, alert: &Alert, now: u64) {
        self.raised.retain(|(id, phase, at)| (*id, *phase, *at) != (alert.id, alert.phase, now));
    }

    /// A7.
    pub(crate) fn nothing_untold(&mut self) {
        if let Some((id, phase, at)) = self.raised.pop() {
            self.violated("A7", format!("alert {id:x}, {phase:?}, raised at {at} ms, was not told then"));
        }
    }

    /// FORWARD alarms people.
    pub(crate) fn alarmed(&mut self, alert: &Alert) {
        if alert.kind == AlertKind::Spool {
            self.spool_alert_open = alert.phase != AlertPhase::Clear;
        }
    }

    /// Whether people have been told that the spool is failing, and not that it works again.
    pub(crate) fn is_failing(&self) -> bool {
        self.spool_alert_open
    }
}

/// The number that a row carries.
pub(crate) fn number_of(row: &Row) -> Option<u64> {
    match row.readings.first() {
        Some(Ok(Value::Int { mantissa, exponent: 0 })) => u64::try_from(*mantissa).ok(),
        _ => None,
    }
}
