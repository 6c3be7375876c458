//! A gateway's disk, with the page cache in front of it. What was written and not synced survives a killed process; a
//! power cut takes any part of it: some values and not others, half of a side file, a file that was removed comes back.
//! An unlucky disk forgets even the last values that it has synced, and leaves no trace of them. Values are damaged, one or
//! as many as a generation holds.
//!
//! Small files (the mark, the notes) are replaced whole and synced, as `agent/src/io/small_file.rs` does it: a crash
//! leaves the old one or the new one. A full disk takes what the ballast has left, and what is freed.

mod faults;
mod mark;
mod space;

use crate::breaks::Break;
use crate::scenario::DiskFaults;
use mark::Mark;
use std::collections::BTreeMap;
use windward_agent::forward::Input;
use windward_agent::forward::journal::{Found, Journal, JournalError, LaneFound, Note, Numbered, Room, Stretch};
use windward_protocol::{Envelope, Epoch, Lane, Record, Seq, SeqRange, SeqSet};
use windward_tests::random::Random;

/// Something that the disk thread does.
#[derive(Clone, Debug)]
pub(crate) enum Job {
    Commit { alerts: Vec<Numbered>, readings: Vec<Numbered> },
    Read { uplink: usize, lane: Lane, from: Seq, max_bytes: usize },
    Free { lane: Lane, through: Seq },
    Keep(Note, Vec<u8>),
}

/// Why nothing can be written for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    Full,
    ReadOnly,
}

#[derive(Clone, Debug)]
struct Value {
    bytes: Vec<u8>,
    /// The last one of a commit.
    ends: bool,
    synced: bool,
    rotten: bool,
}

#[derive(Clone, Debug, Default)]
struct SideFile {
    bytes: Vec<u8>,
    /// So many of them are on the platter.
    written_back: usize,
}

/// The disk.
#[derive(Debug)]
pub(crate) struct Disk {
    random: Random,
    pub(crate) epoch: Epoch,
    lanes: [BTreeMap<Seq, Value>; 2],
    marks: [Mark; 2],
    notes: BTreeMap<Note, Vec<u8>>,
    /// One as it was before the last write, for as long as that may come to nothing.
    note_before: Option<(Note, Vec<u8>)>,
    side: BTreeMap<u64, SideFile>,
    /// Number of the last side file that earlier processes have left; those of this one go on behind it.
    side_before: u64,
    /// Removed, and still there on the platter.
    ghosts: BTreeMap<u64, Vec<u8>>,
    /// Up to here no side file holds readings any more.
    covered: Seq,
    /// Since the spool was last open.
    power_was_cut: bool,
    trouble: Option<Trouble>,
    has_ballast: bool,
    is_full: bool,
    /// Bytes that still fit while it is full.
    spare: u64,
    faults: DiskFaults,
    broken: Option<Break>,
}

impl Disk {
    pub(crate) fn new(epoch: Epoch, faults: DiskFaults, broken: Option<Break>, random: Random) -> Self {
        Self {
            random,
            epoch,
            lanes: Default::default(),
            marks: Default::default(),
            notes: BTreeMap::new(),
            note_before: None,
            side: BTreeMap::new(),
            side_before: 0,
            ghosts: BTreeMap::new(),
            covered: 0,
            power_was_cut: false,
            trouble: None,
            has_ballast: true,
            is_full: false,
            spare: 0,
            faults,
            broken,
        }
    }

    /// Nothing fails any more.
    pub(crate) fn at_peace(&mut self, faults: DiskFaults) {
        self.trouble = None;
        self.faults = faults;
    }

    /// It falls into trouble, or out of it.
    pub(crate) fn trouble(&mut self, trouble: Trouble) -> Option<Trouble> {
        self.trouble = if self.trouble.is_some() { None } else { Some(trouble) };
        self.spare = 0;
        if self.trouble == Some(Trouble::ReadOnly) {
            self.write_back();
        }
        self.trouble
    }

    /// How long the next job takes, ms.
    pub(crate) fn delay_ms(&mut self) -> u64 {
        if self.random.one_in(self.faults.stall) {
            self.random.between(500, self.faults.stall_ms.max(500))
        } else {
            self.random.between(1, 12)
        }
    }

    /// How long a plain write hangs, ms: mostly not at all.
    pub(crate) fn hang_ms(&mut self) -> u64 {
        if self.random.one_in(self.faults.stall.saturating_mul(10)) { self.faults.stall_ms } else { 0 }
    }

    /// What a job has done to the page cache before it is over.
    pub(crate) fn begin(&mut self, job: &Job) {
        match job {
            Job::Commit { alerts, readings } if self.trouble.is_none() => self.append(alerts, readings),
            Job::Keep(note, bytes) if self.trouble.is_none() && !self.forgets(*note) => {
                self.note_before = Some((*note, self.notes.insert(*note, bytes.clone()).unwrap_or_default()));
            }
            _ => {}
        }
    }

    /// The end of a job, and FORWARD's answer.
    pub(crate) fn finish(&mut self, job: Job) -> Option<Input> {
        match job {
            Job::Commit { alerts, readings } => Some(match self.commit(&alerts, &readings) {
                Ok(()) => Input::Committed { alerts, readings, room: self.room() },
                Err(JournalError(error)) => Input::CommitFailed { alerts, readings, error, room: self.room() },
            }),
            Job::Read { uplink, lane, from, max_bytes } => Some(match self.read(lane, from, max_bytes) {
                Ok(values) => Input::Read { uplink, lane, values },
                Err(JournalError(error)) => Input::ReadFailed { uplink, lane, error },
            }),
            Job::Free { lane, through } => {
                self.free(lane, through).err().map(|JournalError(error)| Input::SpoolFailed(error))
            }
            Job::Keep(note, bytes) => Some(match self.keep(note, &bytes) {
                Ok(()) => Input::Kept(note),
                Err(JournalError(error)) => Input::KeepFailed(note, error),
            }),
        }
    }

    /// The process has closed its spool in order.
    pub(crate) fn close(&mut self) {
        for (mark, lane) in self.marks.iter_mut().zip(&self.lanes) {
            mark.ended = Some(lane.last_key_value().map_or(0, |(&last, _)| last).max(mark.acked));
        }
    }

    /// What is there when a process starts: FORWARD's view, with the side files, which stay where they are. Opening syncs
    /// what stood in the cache: for that there is room on a full disk, and one that is read-only had done so before.
    pub(crate) fn open(&mut self) -> Result<Found, JournalError> {
        if self.trouble.is_none() {
            self.write(0)?;
        }
        if !self.breaks(Break::CommitWithoutSync) {
            self.lanes.iter_mut().flat_map(BTreeMap::values_mut).for_each(|value| value.synced = true);
        }
        self.note_before = None;
        let same_boot = !std::mem::take(&mut self.power_was_cut);
        let mut damage = Vec::new();
        let [alerts, readings] = [0, 1].map(|index| self.open_lane(index, same_boot, &mut damage));
        let note = |note| self.notes.get(&note).cloned().unwrap_or_default();
        let (eras, uplinks, commands) = (note(Note::Eras), note(Note::Uplinks), note(Note::Commands));
        let side_files = self.side.values().map(|file| file.bytes.clone()).collect();
        self.side_before = self.side.last_key_value().map_or(0, |(&last, _)| last);
        let mut found = Found {
            epoch: self.epoch,
            alerts,
            readings,
            side_files,
            eras,
            uplinks,
            commands,
            damage,
            ..Found::default()
        };
        if self.breaks(Break::NumbersRestart) && found.readings.present.is_empty() {
            found.readings = LaneFound::default();
        }
        self.restore_ballast();
        Ok(found)
    }

    fn open_lane(&mut self, index: usize, same_boot: bool, damage: &mut Vec<String>) -> LaneFound {
        let acked = self.marks[index].acked;
        let (mut present, mut complete, mut rotten) = (SeqSet::new(), 0, 0);
        for (&seq, value) in self.lanes[index].range(acked + 1..) {
            if value.rotten {
                rotten += 1;
            } else {
                present.insert(SeqRange { first: seq, last: seq });
                complete = if value.ends { seq } else { complete };
            }
        }
        let last = present.ranges().last().map_or(acked, |range| range.last);
        let mut found = LaneFound { acked, present, high_water: last, complete, ..LaneFound::default() };
        let (skips, remembers) = (!self.breaks(Break::NumbersReused), !self.breaks(Break::DamageForgotten));
        self.marks[index].go_on(same_boot, rotten > 0, skips, remembers, &mut found);
        if rotten > 0 {
            // What was salvaged is written down as one commit; after a power cut what was not may have been sent.
            found.complete = if same_boot { last } else { found.high_water };
            if !remembers {
                self.lanes[index].retain(|_, value| !value.rotten);
            }
            // Told at every start until what was lost is freed: a start may come to nothing.
            damage.push(format!("{rotten} values are damaged"));
        }
        if !same_boot {
            self.marks[index].complete = found.complete;
        }
        found.complete = found.complete.max(self.marks[index].complete);
        if self.breaks(Break::SideFilesBelieved) {
            found.complete = 0;
        }
        found
    }

    /// Appends to a side file of this process, without a sync.
    pub(crate) fn append_side(&mut self, file: u64, bytes: &[u8]) -> Result<(), JournalError> {
        self.write(bytes.len() as u64)?;
        self.side.entry(self.side_before + file).or_default().bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// Removes the side files up to and including this one of this process, and all of earlier ones.
    pub(crate) fn remove_side(&mut self, through: u64) -> Result<(), JournalError> {
        if self.trouble == Some(Trouble::ReadOnly) {
            return self.write(0);
        }
        let kept = self.side.split_off(&(self.side_before + through + 1));
        for (number, file) in std::mem::replace(&mut self.side, kept) {
            self.spare += file.bytes.len() as u64;
            self.ghosts.insert(number, file.bytes[..file.written_back].to_vec());
        }
        if self.side.is_empty() {
            self.covered = self.lanes[1].last_key_value().map_or(0, |(&last, _)| last);
        }
        Ok(())
    }

    /// Whether a power cut would leave this value.
    pub(crate) fn is_durable(&self, lane: Lane, seq: Seq) -> bool {
        self.lanes[index(lane)].get(&seq).is_some_and(|value| value.synced)
    }

    /// Values that can still be read, from a number on.
    pub(crate) fn values(&self, lane: Lane, from: Seq) -> impl Iterator<Item = (Seq, &[u8])> {
        let sound = self.lanes[index(lane)].range(from..).filter(|(_, value)| !value.rotten);
        sound.map(|(seq, value)| (*seq, value.bytes.as_slice()))
    }

    /// Everything up to here is durably acked.
    pub(crate) fn acked(&self, lane: Lane) -> Seq {
        self.marks[index(lane)].acked
    }

    /// For a break: the oldest alert makes room.
    pub(crate) fn drop_oldest_alert(&mut self) {
        self.lanes[0].pop_first();
    }

    fn append(&mut self, alerts: &[Numbered], readings: &[Numbered]) {
        for (lane, values) in self.lanes.iter_mut().zip([alerts, readings]) {
            for (index, (seq, bytes)) in values.iter().enumerate() {
                let ends = index + 1 == values.len();
                // Written a second time after an answer that said no, with what it held; what was damaged is whole again.
                match lane.get_mut(seq).filter(|known| !known.rotten && known.bytes == *bytes) {
                    Some(known) => known.ends = ends,
                    None => drop(lane.insert(*seq, Value { bytes: bytes.clone(), ends, synced: false, rotten: false })),
                }
            }
        }
    }

    fn free_now(&mut self, lane: Lane, through: Seq) {
        let index = index(lane);
        self.marks[index].free(through);
        let kept = self.lanes[index].split_off(&(through + 1));
        let gone = std::mem::replace(&mut self.lanes[index], kept);
        self.spare += gone.values().map(|value| value.bytes.len() as u64).sum::<u64>();
    }

    fn breaks(&self, which: Break) -> bool {
        self.broken == Some(which)
    }

    fn forgets(&self, note: Note) -> bool {
        note == Note::Eras && self.breaks(Break::ErasForgotten)
    }
}

impl Journal for Disk {
    fn commit(&mut self, alerts: &[Numbered], readings: &[Numbered]) -> Result<(), JournalError> {
        let bytes: usize = alerts.iter().chain(readings).map(|(_, bytes)| bytes.len()).sum();
        let written = self.write_with_ballast(bytes as u64);
        if alerts.is_empty() && readings.is_empty() {
            self.restore_ballast();
        }
        written?;
        self.append(alerts, readings);
        let syncs = !self.breaks(Break::CommitWithoutSync);
        for ((lane, values), mark) in self.lanes.iter_mut().zip([alerts, readings]).zip(&mut self.marks) {
            for (seq, _) in values {
                mark.reserve(*seq);
                if let Some(value) = lane.get_mut(seq).filter(|_| syncs) {
                    value.synced = true;
                }
            }
        }
        Ok(())
    }

    fn read(&mut self, lane: Lane, from: Seq, max_bytes: usize) -> Result<Vec<Numbered>, JournalError> {
        if self.random.one_in(self.faults.read_error) {
            return Err(JournalError("input/output error".into()));
        }
        let (mut bytes, mut values) = (0, Vec::new());
        for (seq, value) in self.values(lane, from) {
            bytes += value.len();
            if !values.is_empty() && bytes > max_bytes {
                break;
            }
            values.push((seq, value.to_vec()));
        }
        Ok(values)
    }

    fn free(&mut self, lane: Lane, through: Seq) -> Result<(), JournalError> {
        self.write(0)?;
        self.free_now(lane, through);
        self.restore_ballast();
        Ok(())
    }

    fn keep(&mut self, note: Note, bytes: &[u8]) -> Result<(), JournalError> {
        if let Err(error) = self.write(0) {
            self.old_note_or_new();
            return Err(error);
        }
        self.note_before = None;
        if !self.forgets(note) {
            self.notes.insert(note, bytes.to_vec());
        }
        Ok(())
    }

    /// The oldest quarter goes together. What is damaged has no part in it, as a generation of which nothing can be saved.
    fn room(&self) -> Room {
        let sound: Vec<(Seq, &Value)> =
            self.lanes[1].iter().filter(|(_, value)| !value.rotten).map(|(&seq, value)| (seq, value)).collect();
        let (quarter, rest) = sound.split_at(sound.len() / 4);
        let oldest = quarter.first().zip(rest.first()).map(|(&(first, _), &(next, _))| {
            let dated = quarter.iter().filter(|_| self.faults.max_age_ms.is_some());
            let newest_ms = dated.filter_map(|(_, value)| newest_ms_of(&value.bytes)).max();
            Stretch { range: SeqRange { first, last: next - 1 }, newest_ms }
        });
        let readings_bytes = sound.iter().map(|(_, value)| value.bytes.len() as u64).sum();
        Room { readings_bytes, oldest, is_full: self.is_full }
    }
}

/// Place of a durable lane in the arrays.
fn index(lane: Lane) -> usize {
    usize::from(lane == Lane::Readings)
}

/// Time of the newest reading in a value.
fn newest_ms_of(bytes: &[u8]) -> Option<i64> {
    match Envelope::decode(bytes).ok()?.record {
        Record::Block(block) => block.times().into_iter().max(),
        _ => None,
    }
}
