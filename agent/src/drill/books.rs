//! The sink's books: what was said to be safe, what has arrived, and what is wrong between the two.

use super::rows::{self, RUN};
use super::{Held, Wrong, Wrongs};
use std::collections::BTreeMap;
use windward_protocol::batch::split_with;
use windward_protocol::{
    Alert, AlertKind, Block, DecodeError, Envelope, Epoch, Gap, GapReason, Lane, Record, Schema, SchemaId, Seq,
    SeqRange, SeqSet,
};

/// Said to be safe from a kill, or from a power cut.
const SAID: u8 = 1;
const STORED: u8 = 2;
/// In a block that a gap record declares lost to the quota.
const GIVEN_UP: u8 = 4;

/// Figures of the books.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Rows that were said to be safe.
    pub rows_said: u64,
    /// Rows that are stored.
    pub rows_stored: u64,
    /// Of these: written just before a kill that left no time to say so.
    pub rows_unsaid: u64,
    /// Rows that the quota has cost, each declared by a gap record.
    pub rows_given_up: u64,
    /// Rows that were said to be safe, and are neither.
    pub rows_lost: u64,
    /// Alerts that were said to be durable.
    pub alerts_said: u64,
    /// Alerts that are stored.
    pub alerts_stored: u64,
    /// Envelopes that are stored.
    pub envelopes: u64,
    /// Envelopes that came again as they were, and changed nothing.
    pub repeated: u64,
    /// Gap records for what the quota has cost.
    pub gaps: u64,
    /// Rows that stood in the side file alone when the process was killed, and came back from it.
    pub rows_saved: u64,
}

/// The books of one drill.
#[derive(Debug)]
pub struct Books {
    base_ms: i64,
    epoch: Option<Epoch>,
    runs: Vec<Run>,
    lanes: [LaneBook; 2],
    /// What the agent's batches say once.
    schemas: BTreeMap<SchemaId, Schema>,
    /// Blocks of rows that are durable and have not arrived.
    blocks: BTreeMap<Seq, Vec<u64>>,
    /// What the quota has cost.
    given_up: SeqSet,
    saved: u64,
    gaps: u64,
    spool_alerts: Vec<String>,
    wrongs: Wrongs,
}

/// One run of the agent. Its rows and alerts have numbers from `RUN` times its place on.
#[derive(Debug, Default)]
struct Run {
    rows: Vec<u8>,
    alerts: Vec<u8>,
    /// It may have written more than it could say.
    killed: bool,
}

#[derive(Debug, Default)]
struct LaneBook {
    durable: SeqSet,
    sent: SeqSet,
    /// Checksum of each envelope that is stored.
    stored: BTreeMap<Seq, u64>,
    /// Numbers that a gap record declares.
    declared: SeqSet,
    repeated: u64,
}

impl Books {
    /// Empty books. `base_ms`: time of the row that would have number 0.
    pub fn new(base_ms: i64) -> Self {
        Self {
            base_ms,
            epoch: None,
            runs: Vec::new(),
            lanes: <[LaneBook; 2]>::default(),
            schemas: BTreeMap::new(),
            blocks: BTreeMap::new(),
            given_up: SeqSet::new(),
            saved: 0,
            gaps: 0,
            spool_alerts: Vec::new(),
            wrongs: Wrongs::default(),
        }
    }

    /// A run of the agent begins; gives the first number for its rows and alerts.
    pub fn begin(&mut self) -> u64 {
        self.runs.push(Run::default());
        self.runs.len() as u64 * RUN
    }

    /// The run was killed.
    pub fn killed(&mut self) {
        self.runs.iter_mut().last().into_iter().for_each(|run| run.killed = true);
    }

    /// The agent has opened its spool: it holds, or has freed, these numbers of either lane, and `saved` rows stood in
    /// its side file alone.
    pub fn ready(&mut self, epoch: Epoch, durable: &[Vec<SeqRange>; 2], saved: u64) {
        if self.epoch.is_some_and(|known| known != epoch) {
            self.wrongs.add(Wrong::Foreign, 1, format_args!("the spool came back as another, {epoch:016x}"));
        }
        self.epoch = Some(epoch);
        self.saved += saved;
        for (lane, ranges) in self.lanes.iter_mut().zip(durable) {
            ranges.iter().for_each(|range| lane.durable.insert(*range));
        }
    }

    /// The agent says of these rows that they are in its side file.
    pub fn kept(&mut self, numbers: &[u64]) {
        for number in numbers {
            self.say(*number, |run| &mut run.rows);
        }
    }

    /// The agent says of these envelopes that they are durable.
    pub fn confirmed(&mut self, alerts: &[Held], readings: &[Held]) {
        for (index, held) in [alerts, readings].into_iter().enumerate() {
            for Held { seq, holds } in held {
                self.lanes[index].durable.insert(SeqRange { first: *seq, last: *seq });
                for number in holds {
                    self.say(*number, |run| if index == 0 { &mut run.alerts } else { &mut run.rows });
                }
            }
        }
        let blocks = readings.iter().filter(|held| !self.lanes[1].stored.contains_key(&held.seq));
        self.blocks.extend(blocks.map(|held| (held.seq, held.holds.clone())));
    }

    /// A publish has been sent. Where it `arrives`, what is in it is stored; gives the numbers to ack.
    pub fn published(&mut self, lane: Lane, payload: &[u8], arrives: bool) -> Vec<SeqRange> {
        let (mut stored, batch) = (SeqSet::new(), split_with(payload, &self.schemas));
        match batch.broken {
            // Nothing of it is acked, and it comes again in full.
            Some(DecodeError::UnknownSchema(_)) | None => {}
            Some(broken) => self.wrongs.add(Wrong::Foreign, 1, format_args!("a batch: {broken}")),
        }
        if arrives {
            self.schemas.extend(batch.schemas.into_iter().map(|schema| (schema.id(), schema)));
        }
        for bytes in batch.envelopes {
            match Envelope::decode(&bytes) {
                Ok(envelope) if self.is_ours(&envelope, lane) => {
                    let seq = envelope.seq;
                    self.sent(lane, seq);
                    if arrives {
                        self.store(envelope, &bytes);
                        stored.insert(SeqRange { first: seq, last: seq });
                    }
                }
                Ok(Envelope { agent, epoch, lane, seq, .. }) => {
                    let place = format_args!("{agent} {epoch:016x} {lane} {seq}");
                    self.wrongs.add(Wrong::Foreign, 1, place);
                }
                Err(error) => self.wrongs.add(Wrong::Foreign, 1, format_args!("{lane}: {error}")),
            }
        }
        stored.ranges().collect()
    }

    /// What the agent's own alerts say of its spool: the disk refused something.
    pub fn spool_alerts(&self) -> &[String] {
        &self.spool_alerts
    }

    /// Closes the books, when everything has had time to arrive: `waiting` envelopes have not. `has_quota`: the quota
    /// was filled.
    pub fn close(mut self, waiting: u64, has_quota: bool) -> (Tally, Wrongs) {
        self.settle_given_up();
        let mut tally = Tally { gaps: self.gaps, rows_saved: self.saved, ..Tally::default() };
        let (mut rows_lost, mut alerts_lost) = (SeqSet::new(), SeqSet::new());
        for (index, run) in self.runs.iter().enumerate() {
            let first = (index as u64 + 1) * RUN;
            for (number, flags) in (first..).zip(&run.rows) {
                tally.rows_said += u64::from(flags & SAID != 0);
                tally.rows_stored += u64::from(flags & STORED != 0);
                tally.rows_unsaid += u64::from(flags & (STORED | SAID) == STORED);
                tally.rows_given_up += u64::from(flags & (STORED | GIVEN_UP) == GIVEN_UP);
                if *flags == SAID {
                    tally.rows_lost += 1;
                    rows_lost.insert(SeqRange { first: number, last: number });
                }
            }
            for (number, flags) in (first..).zip(&run.alerts) {
                tally.alerts_said += u64::from(flags & SAID != 0);
                tally.alerts_stored += u64::from(flags & STORED != 0);
                if *flags == SAID {
                    alerts_lost.insert(SeqRange { first: number, last: number });
                }
            }
        }
        for (wrong, what, lost) in [(Wrong::RowsLost, "rows", rows_lost), (Wrong::AlertsLost, "alerts", alerts_lost)] {
            lost.ranges().for_each(|range| self.wrongs.add(wrong, count(range), Named(what, range)));
        }
        for (lane, book) in Lane::DURABLE.into_iter().zip(&self.lanes) {
            tally.envelopes += book.stored.len() as u64;
            tally.repeated += book.repeated;
            for range in book.missing() {
                self.wrongs.add(Wrong::Missing, count(range), Named(lane.name(), range));
            }
        }
        if waiting > 0 {
            self.wrongs.add(Wrong::NotDrained, waiting, "after the last wait");
        }
        if has_quota && tally.gaps == 0 {
            self.wrongs.add(Wrong::QuotaIdle, 1, "no gap record came");
        }
        (tally, self.wrongs)
    }

    fn say(&mut self, number: u64, of: impl Fn(&mut Run) -> &mut Vec<u8>) {
        if let Some(flags) = flags(&mut self.runs, number, of) {
            *flags |= SAID;
        } else {
            self.wrongs.add(Wrong::Invented, 1, format_args!("said to be safe: {number}"));
        }
    }

    fn is_ours(&self, envelope: &Envelope, lane: Lane) -> bool {
        let durable = Lane::DURABLE.contains(&lane);
        durable && envelope.lane == lane && Some(envelope.epoch) == self.epoch && envelope.agent == rows::agent()
    }

    /// What is sent for the first time is durable (A1), and comes after all that was sent before.
    fn sent(&mut self, lane: Lane, seq: Seq) {
        let book = &mut self.lanes[usize::from(lane == Lane::Readings)];
        let before = book.sent.ranges().last().map_or(0, |range| range.last);
        if seq < before && !book.sent.contains(seq) {
            self.wrongs.add(Wrong::Disorder, 1, format_args!("{lane} {seq} after {before}"));
        }
        if !book.durable.contains(seq) {
            self.wrongs.add(Wrong::TooEarly, 1, format_args!("{lane} {seq}"));
        }
        book.sent.insert(SeqRange { first: seq, last: seq });
    }

    fn store(&mut self, envelope: Envelope, bytes: &[u8]) {
        let (lane, seq, checksum) = (envelope.lane, envelope.seq, checksum(bytes));
        let book = &mut self.lanes[usize::from(lane == Lane::Readings)];
        if let Some(known) = book.stored.get(&seq) {
            if *known == checksum {
                book.repeated += 1;
            } else {
                self.wrongs.add(Wrong::TwoThings, 1, format_args!("{lane} {seq}"));
            }
            return;
        }
        book.stored.insert(seq, checksum);
        match envelope.record {
            Record::Block(block) => {
                self.blocks.remove(&seq);
                self.store_rows(&block, seq);
            }
            Record::Alert(alert) if alert.kind == AlertKind::Spool => self.spool_alerts.push(alert.evidence),
            Record::Alert(alert) => self.store_alert(&alert, seq),
            Record::Gap(gap) => self.store_gap(gap),
            Record::Hello(_) => {}
            other => self.wrongs.add(Wrong::Invented, 1, format_args!("{lane} {seq}: {other:?}")),
        }
    }

    fn store_rows(&mut self, block: &Block, seq: Seq) {
        for row in block.rows() {
            let number = rows::number(row.time_ms, self.base_ms);
            let written = number.map(|number| rows::row(number, self.base_ms));
            let name = |device: usize| rows::devices()[device].device.clone();
            match (number, written) {
                (Some(number), Some((device, written))) if written == row && name(device) == block.device => {
                    self.mark_stored(number, seq, |run| &mut run.rows);
                }
                _ => {
                    let place = format_args!("block {seq}, {}, {} ms", block.device, row.time_ms);
                    self.wrongs.add(Wrong::Changed, 1, place);
                }
            }
        }
    }

    fn store_alert(&mut self, alert: &Alert, seq: Seq) {
        if *alert == rows::alert(alert.id, self.base_ms) {
            self.mark_stored(alert.id, seq, |run| &mut run.alerts);
        } else {
            self.wrongs.add(Wrong::Changed, 1, format_args!("alert {}, number {seq}", alert.id));
        }
    }

    /// Only a run that was killed may have written what it did not say, and then only beyond what it said.
    fn mark_stored(&mut self, number: u64, seq: Seq, of: impl Fn(&mut Run) -> &mut Vec<u8>) {
        let may_be_unsaid = run_of(number).and_then(|index| self.runs.get_mut(index)).is_some_and(|run| {
            let killed = run.killed;
            killed && !of(run).iter().skip((number % RUN) as usize).any(|flags| flags & SAID != 0)
        });
        let place = || format!("{number}, in envelope {seq}");
        let Some(flags) = flags(&mut self.runs, number, of) else {
            return self.wrongs.add(Wrong::Invented, 1, place());
        };
        if *flags & STORED != 0 {
            self.wrongs.add(Wrong::Twice, 1, place());
        } else if *flags & SAID == 0 && !may_be_unsaid {
            self.wrongs.add(Wrong::Invented, 1, place());
        }
        *flags |= STORED;
    }

    fn store_gap(&mut self, Gap { lane, from, to, reason }: Gap) {
        let range = SeqRange { first: from, last: to };
        if lane == Lane::Readings && reason == GapReason::SpaceEnded {
            self.gaps += 1;
            self.given_up.insert(range);
        } else {
            self.wrongs.add(Wrong::Gap, count(range), format_args!("{lane} {from} to {to}: {reason:?}"));
        }
        if let Some(index) = Lane::DURABLE.into_iter().position(|durable| durable == lane) {
            self.lanes[index].declared.insert(range);
        }
    }

    /// What is in the blocks that the quota has cost.
    fn settle_given_up(&mut self) {
        let gone: Vec<u64> = self
            .blocks
            .iter()
            .filter(|(seq, _)| self.given_up.contains(**seq))
            .flat_map(|(_, numbers)| numbers.iter().copied())
            .collect();
        for number in gone {
            if let Some(flags) = flags(&mut self.runs, number, |run| &mut run.rows) {
                *flags |= GIVEN_UP;
            }
        }
    }
}

impl LaneBook {
    /// Numbers up to the greatest that was durable, or came, of which nothing is known.
    fn missing(&self) -> Vec<SeqRange> {
        let mut known = self.declared.clone();
        self.stored.keys().for_each(|seq| known.insert(SeqRange { first: *seq, last: *seq }));
        let last = known.ranges().chain(self.durable.ranges()).map(|range| range.last).max().unwrap_or(0);
        let (mut missing, mut next) = (Vec::new(), 1);
        for range in known.ranges().chain([SeqRange { first: last + 1, last: last + 1 }]) {
            if range.first > next {
                missing.push(SeqRange { first: next, last: range.first - 1 });
            }
            next = range.last + 1;
        }
        missing
    }
}

/// Names of a stretch of numbers.
struct Named<'a>(&'a str, SeqRange);

impl std::fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Named(what, SeqRange { first, last }) = self;
        if first == last { write!(f, "{what} {first}") } else { write!(f, "{what} {first} to {last}") }
    }
}

fn run_of(number: u64) -> Option<usize> {
    usize::try_from((number / RUN).checked_sub(1)?).ok()
}

/// The flags of a row or an alert; none where no run has such a number.
fn flags(runs: &mut [Run], number: u64, of: impl Fn(&mut Run) -> &mut Vec<u8>) -> Option<&mut u8> {
    let all = of(runs.get_mut(run_of(number)?)?);
    let index = (number % RUN) as usize;
    if all.len() <= index {
        all.resize(index + 1, 0);
    }
    all.get_mut(index)
}

fn count(range: SeqRange) -> u64 {
    range.last - range.first + 1
}

/// FNV-1a: tells two envelopes apart that were not made to be mistaken for each other.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
