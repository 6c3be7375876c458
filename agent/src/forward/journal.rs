//! The disk as FORWARD sees it. Two implementations: sled's (`io/journal_sled.rs`) and [`MemoryJournal`]; what
//! they must do alike stands in [`conformance`].

pub mod conformance;

use crate::time::Timeline;
use std::collections::BTreeMap;
use windward_protocol::{Epoch, Lane, Seq, SeqRange, SeqSet};

/// An encoded envelope and its number.
pub type Numbered = (Seq, Vec<u8>);

/// The disk refused; what was to be written is still the caller's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("spool: {0}")]
pub struct JournalError(pub String);

/// Small things that are kept beside the lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Note {
    /// Which readings wait for the clock, or have been shifted. What is sent depends on it: durable before a later commit.
    Eras,
    /// How far each uplink is. Lost, it costs that some is sent again.
    Uplinks,
    /// Time of the last command taken. Durable before the command is done, or a restart would do a repeat of it.
    Commands,
}

/// An append-only log for each durable lane, with an ack watermark.
///
/// Values are encoded envelopes of at most [`windward_protocol::MAX_ENVELOPE`] bytes. Sequences may be appended in any
/// order, and appending one again is harmless. After an error the journal mends itself as far as it can in the next
/// call of [`Journal::commit`].
pub trait Journal {
    /// Appends to both lanes and returns when everything appended so far is durable (A1). With nothing to append it only
    /// sees whether what has failed works again.
    fn commit(&mut self, alerts: &[Numbered], readings: &[Numbered]) -> Result<(), JournalError>;

    /// Values of a lane from sequence `from` on, in order, about `max_bytes` of them but at least one if there is one.
    fn read(&mut self, lane: Lane, from: Seq, max_bytes: usize) -> Result<Vec<Numbered>, JournalError>;

    /// Makes it durable that everything up to and including `through` is acked, then gives its space back (A2, A3).
    fn free(&mut self, lane: Lane, through: Seq) -> Result<(), JournalError>;

    /// Makes these few bytes durable in place of those kept under this note before, which survive a failure.
    fn keep(&mut self, note: Note, bytes: &[u8]) -> Result<(), JournalError>;

    /// How the disk stands. Touches no disk.
    fn room(&self) -> Room;
}

/// How the disk stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Bytes that the readings take on disk.
    pub readings_bytes: u64,
    /// The oldest stretch of readings, the first to go when room is needed (A4). `None`: only what is being written is
    /// left.
    pub oldest: Option<Stretch>,
    /// The disk is full: what is written now takes the place that was kept free for that.
    pub is_full: bool,
}

/// Readings that are given back together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Their numbers. Some may be acked, some may never have been on disk.
    pub range: SeqRange,
    /// Time of the newest, ms UTC; `None` when it is not known.
    pub newest_ms: Option<i64>,
}

/// What a journal found when it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The spool's epoch.
    pub epoch: Epoch,
    /// The alert lane.
    pub alerts: LaneFound,
    /// The reading lane.
    pub readings: LaneFound,
    /// Contents of the side files, oldest first.
    pub side_files: Vec<Vec<u8>>,
    /// What [`super::recover`] has found in them and the disk did not take: the first commit has it, under numbers of its
    /// own. The side files are needed until then.
    pub unsaved: Vec<Numbered>,
    /// `eras` says what is so, and the disk has not taken it.
    pub eras_are_behind: bool,
    /// What is kept under [`Note::Eras`]; empty when there is nothing.
    pub eras: Vec<u8>,
    /// What is kept under [`Note::Uplinks`].
    pub uplinks: Vec<u8>,
    /// What is kept under [`Note::Commands`].
    pub commands: Vec<u8>,
    /// What this boot's time is estimated on while the clock is not set. The journal does not know it: whoever opens
    /// the journal says so here.
    pub timeline: Timeline,
    /// What was damaged and set aside, in words for the log; empty when nothing was.
    pub damage: Vec<String>,
}

impl Found {
    /// Everything up to here is acked.
    pub fn acked(&self, lane: Lane) -> Seq {
        match lane {
            Lane::Alerts => self.alerts.acked,
            Lane::Readings => self.readings.acked,
            Lane::State => 0,
        }
    }
}

/// What a journal found in one lane.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaneFound {
    /// Everything up to here is acked.
    pub acked: Seq,
    /// Every sequence on disk above `acked`.
    pub present: SeqSet,
    /// No sequence above this one was ever given out (A2); at least the greatest one present.
    pub high_water: Seq,
    /// Every number up to here has been through a commit, for a commit of readings holds all that were given out: what is
    /// not on disk of them is lost, and no side file, which may have come back after a power cut, says what it was (A2).
    pub complete: Seq,
    /// Numbers that were never given out, as far as is known. After a power cut the disk's word is not enough: what it
    /// may have lost must not be given out again.
    pub skipped: SeqSet,
}

impl LaneFound {
    /// Numbers above the ack watermark that were given out and are not on disk.
    pub fn holes(&self) -> Vec<SeqRange> {
        self.absent().into_iter().flat_map(|range| split(range, &self.skipped).1).collect()
    }

    /// Numbers above the ack watermark that are not on disk and were never given out, as far as is known.
    pub fn skips(&self) -> Vec<SeqRange> {
        self.absent().into_iter().flat_map(|range| split(range, &self.skipped).0).collect()
    }

    /// This number is on disk.
    pub(super) fn add(&mut self, seq: Seq) {
        self.present.insert(SeqRange { first: seq, last: seq });
        self.high_water = self.high_water.max(seq);
    }

    /// This number was given out, and what stood under it will stand under another.
    pub(super) fn skip(&mut self, seq: Seq) {
        self.skipped.insert(SeqRange { first: seq, last: seq });
        self.high_water = self.high_water.max(seq);
    }

    fn absent(&self) -> Vec<SeqRange> {
        split(SeqRange { first: self.acked + 1, last: self.high_water }, &self.present).1
    }
}

/// The parts of `range` that are in `set`, and those that are not.
fn split(range: SeqRange, set: &SeqSet) -> (Vec<SeqRange>, Vec<SeqRange>) {
    let (mut inside, mut outside) = (Vec::new(), Vec::new());
    let mut next = range.first;
    for part in set.ranges().filter(|part| part.first <= range.last && part.last >= range.first) {
        if part.first > next {
            outside.push(SeqRange { first: next, last: part.first - 1 });
        }
        inside.push(SeqRange { first: part.first.max(range.first), last: part.last.min(range.last) });
        next = part.last + 1;
    }
    if next <= range.last {
        outside.push(SeqRange { first: next, last: range.last });
    }
    (inside, outside)
}

/// A journal in memory, for tests and for trying the core out; it forgets nothing and survives nothing.
#[derive(Debug, Default)]
pub struct MemoryJournal {
    lanes: [BTreeMap<Seq, Vec<u8>>; 2],
    acked: [Seq; 2],
    notes: BTreeMap<Note, Vec<u8>>,
}

impl MemoryJournal {
    fn index(lane: Lane) -> usize {
        match lane {
            Lane::Alerts => 0,
            Lane::Readings => 1,
            Lane::State => unreachable!("the state lane is not kept"),
        }
    }

    /// The value of one sequence.
    pub fn value(&self, lane: Lane, seq: Seq) -> Option<&[u8]> {
        self.lanes[Self::index(lane)].get(&seq).map(Vec::as_slice)
    }

    /// What reopening would find.
    pub fn found(&self, epoch: Epoch) -> Found {
        let lane = |index: usize| {
            let mut present = SeqSet::new();
            self.lanes[index].keys().for_each(|&seq| present.insert(SeqRange { first: seq, last: seq }));
            let last = self.lanes[index].keys().next_back().copied().unwrap_or(0);
            LaneFound {
                acked: self.acked[index],
                present,
                high_water: last.max(self.acked[index]),
                complete: 0,
                skipped: SeqSet::new(),
            }
        };
        let note = |note| self.notes.get(&note).cloned().unwrap_or_default();
        let (eras, uplinks, commands) = (note(Note::Eras), note(Note::Uplinks), note(Note::Commands));
        Found { epoch, alerts: lane(0), readings: lane(1), eras, uplinks, commands, ..Found::default() }
    }
}

impl Journal for MemoryJournal {
    fn commit(&mut self, alerts: &[Numbered], readings: &[Numbered]) -> Result<(), JournalError> {
        self.lanes[0].extend(alerts.iter().cloned());
        self.lanes[1].extend(readings.iter().cloned());
        Ok(())
    }

    fn read(&mut self, lane: Lane, from: Seq, max_bytes: usize) -> Result<Vec<Numbered>, JournalError> {
        let mut bytes = 0;
        let within = |(_, value): &(&Seq, &Vec<u8>)| {
            let first = bytes == 0;
            bytes += value.len();
            first || bytes <= max_bytes
        };
        let values = self.lanes[Self::index(lane)].range(from..).take_while(within);
        Ok(values.map(|(&seq, value)| (seq, value.clone())).collect())
    }

    fn free(&mut self, lane: Lane, through: Seq) -> Result<(), JournalError> {
        let index = Self::index(lane);
        self.acked[index] = self.acked[index].max(through);
        self.lanes[index] = self.lanes[index].split_off(&(through + 1));
        Ok(())
    }

    fn keep(&mut self, note: Note, bytes: &[u8]) -> Result<(), JournalError> {
        self.notes.insert(note, bytes.to_vec());
        Ok(())
    }

    /// Each value is a stretch of its own.
    fn room(&self) -> Room {
        let readings = &self.lanes[1];
        let oldest = readings.keys().next().filter(|_| readings.len() > 1);
        let stretch = |&seq: &Seq| Stretch { range: SeqRange { first: seq, last: seq }, newest_ms: None };
        Room {
            readings_bytes: readings.values().map(|value| value.len() as u64).sum(),
            oldest: oldest.map(stretch),
            is_full: false,
        }
    }
}
