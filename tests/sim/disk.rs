//! A gateway's disk, with the page cache in front of it. What was written and not synced survives a killed process; a
//! power cut takes any part of it: some values and not others, half of a side file, a file that was removed comes back.
//!
//! Small files (the mark, the eras) are replaced whole and synced, as `agent/src/io/small_file.rs` does it: a crash
//! leaves the old one or the new one.

use crate::breaks::Break;
use crate::scenario::DiskFaults;
use std::collections::BTreeMap;
use windward_agent::forward::Input;
use windward_agent::forward::journal::{Found, Journal, JournalError, LaneFound, Numbered};
use windward_protocol::{Epoch, Lane, Seq, SeqRange, SeqSet};
use windward_tests::random::Random;

/// How far ahead numbers are reserved in the mark (A2).
const RESERVE: Seq = 2_048;

/// Something that the disk thread does.
#[derive(Clone, Debug)]
pub(crate) enum Job {
    Commit { alerts: Vec<Numbered>, readings: Vec<Numbered> },
    Read { lane: Lane, from: Seq, max_bytes: usize },
    Free { lane: Lane, through: Seq },
    DropOldest,
    KeepEras(Vec<u8>),
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
    synced: bool,
    rotten: bool,
}

#[derive(Clone, Debug, Default)]
struct Mark {
    acked: [Seq; 2],
    reserved: [Seq; 2],
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
    mark: Mark,
    eras: Vec<u8>,
    /// As they were before the last write, for as long as that may come to nothing.
    eras_before: Option<Vec<u8>>,
    side: BTreeMap<u64, SideFile>,
    /// Removed, and still there on the platter.
    ghosts: BTreeMap<u64, Vec<u8>>,
    pub(crate) trouble: Option<Trouble>,
    faults: DiskFaults,
    broken: Option<Break>,
}

impl Disk {
    pub(crate) fn new(epoch: Epoch, faults: DiskFaults, broken: Option<Break>, random: Random) -> Self {
        Self {
            random,
            epoch,
            lanes: Default::default(),
            mark: Mark::default(),
            eras: Vec::new(),
            eras_before: None,
            side: BTreeMap::new(),
            ghosts: BTreeMap::new(),
            trouble: None,
            faults,
            broken,
        }
    }

    /// Nothing fails any more.
    pub(crate) fn at_peace(&mut self, faults: DiskFaults) {
        self.trouble = None;
        self.faults = faults;
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
            Job::KeepEras(eras) if self.trouble.is_none() && !self.breaks(Break::ErasForgotten) => {
                self.eras_before = Some(std::mem::replace(&mut self.eras, eras.clone()));
            }
            _ => {}
        }
    }

    /// The end of a job, and FORWARD's answer.
    pub(crate) fn finish(&mut self, job: Job) -> Option<Input> {
        let failed = |JournalError(error)| Some(Input::SpoolFailed(error));
        match job {
            Job::Commit { alerts, readings } => Some(match self.commit(&alerts, &readings) {
                Ok(()) => Input::Committed { alerts, readings, readings_bytes: self.readings_bytes() },
                Err(JournalError(error)) => Input::CommitFailed { alerts, readings, error },
            }),
            Job::Read { lane, from, max_bytes } => Some(match self.read(lane, from, max_bytes) {
                Ok(values) => Input::Read { lane, values },
                Err(JournalError(error)) => Input::ReadFailed { lane, error },
            }),
            Job::Free { lane, through } => self.free(lane, through).err().and_then(failed),
            Job::KeepEras(eras) => Some(match self.keep_eras(&eras) {
                Ok(()) => Input::ErasKept,
                Err(JournalError(error)) => Input::ErasFailed(error),
            }),
            Job::DropOldest => match self.drop_oldest_readings() {
                Ok(range) => range.map(Input::Dropped),
                Err(error) => failed(error),
            },
        }
    }

    /// The process is gone in the middle of `job`: what it had written until then stays.
    pub(crate) fn kill(&mut self, job: Option<&Job>) {
        match job {
            Some(Job::Commit { alerts, readings }) => {
                for (index, values) in [alerts, readings].into_iter().enumerate() {
                    let written = self.random.between(0, values.len() as u64) as usize;
                    for (seq, _) in &values[written..] {
                        let lane = &mut self.lanes[index];
                        if lane.get(seq).is_some_and(|value| !value.synced) {
                            lane.remove(seq);
                        }
                    }
                }
            }
            Some(Job::KeepEras(_)) => self.eras_one_or_the_other(),
            Some(Job::Free { lane, through }) if self.trouble.is_none() && self.random.one_in(2) => {
                self.free_now(*lane, *through);
            }
            _ => {}
        }
    }

    /// The power is gone.
    pub(crate) fn power_cut(&mut self, job: Option<&Job>) {
        self.kill(job);
        let Self { random, lanes, side, ghosts, faults, .. } = self;
        for lane in lanes {
            lane.retain(|_, value| value.synced || random.one_in(2));
            lane.values_mut().for_each(|value| value.synced = true);
        }
        for file in side.values_mut() {
            let kept = random.between(file.written_back as u64, file.bytes.len() as u64) as usize;
            file.bytes.truncate(kept);
            // Pages are written back in any order: one in the middle may be missing.
            if random.one_in(4) && kept > file.written_back {
                let from = random.between(file.written_back as u64, kept as u64) as usize;
                let to = (from + 40).min(kept);
                file.bytes[from..to].fill(0);
            }
            file.written_back = file.bytes.len();
        }
        for (number, bytes) in std::mem::take(ghosts) {
            if faults.ghosts && random.one_in(2) && side.get(&number).is_none_or(|file| file.bytes.is_empty()) {
                let written_back = bytes.len();
                side.insert(number, SideFile { bytes, written_back });
            }
        }
    }

    /// The system writes its cache back.
    pub(crate) fn write_back(&mut self) {
        self.lanes.iter_mut().flat_map(BTreeMap::values_mut).for_each(|value| value.synced = true);
        self.side.values_mut().for_each(|file| file.written_back = file.bytes.len());
        self.ghosts.clear();
    }

    /// A value that is on the platter is damaged; which one.
    pub(crate) fn rot(&mut self) -> Option<(Lane, Seq)> {
        let index = usize::from(!self.random.one_in(8));
        let sound: Vec<Seq> =
            self.lanes[index].iter().filter(|(_, value)| value.synced && !value.rotten).map(|(seq, _)| *seq).collect();
        let seq = *sound.get(self.random.bits() as usize % sound.len().max(1))?;
        self.lanes[index].get_mut(&seq)?.rotten = true;
        Some((Lane::DURABLE[index], seq))
    }

    /// What is there when a process starts: FORWARD's view, with the side files. Opening syncs what stood in the cache.
    pub(crate) fn open(&mut self) -> Result<Found, JournalError> {
        self.writable()?;
        if !self.breaks(Break::CommitWithoutSync) {
            self.lanes.iter_mut().flat_map(BTreeMap::values_mut).for_each(|value| value.synced = true);
        }
        self.eras_before = None;
        let mut damage = Vec::new();
        let [alerts, readings] = [0, 1].map(|index| {
            let acked = self.mark.acked[index];
            let (mut present, mut rotten) = (SeqSet::new(), 0);
            for (&seq, value) in self.lanes[index].range(acked + 1..) {
                if value.rotten {
                    rotten += 1;
                } else {
                    present.insert(SeqRange { first: seq, last: seq });
                }
            }
            let last = present.ranges().last().map_or(acked, |range| range.last);
            if rotten == 0 {
                return LaneFound { acked, present, high_water: last };
            }
            if self.breaks(Break::DamageForgotten) {
                self.lanes[index].retain(|_, value| !value.rotten);
            }
            // Told at every start until what was lost is freed: a start may come to nothing.
            damage.push(format!("{rotten} values are damaged"));
            LaneFound { acked, present, high_water: last.max(self.mark.reserved[index]) }
        });
        let mut found =
            Found { epoch: self.epoch, alerts, readings, eras: self.eras.clone(), damage, ..Found::default() };
        found.side_files = self.side.values().map(|file| file.bytes.clone()).collect();
        if self.breaks(Break::NumbersRestart) && found.readings.present.is_empty() {
            found.readings = LaneFound::default();
        }
        Ok(found)
    }

    /// Appends to a side file, without a sync.
    pub(crate) fn append_side(&mut self, file: u64, bytes: &[u8]) -> Result<(), JournalError> {
        self.writable()?;
        self.side.entry(file).or_default().bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// Removes the side files up to and including this one.
    pub(crate) fn remove_side(&mut self, through: u64) -> Result<(), JournalError> {
        if self.trouble == Some(Trouble::ReadOnly) {
            return self.writable();
        }
        let kept = self.side.split_off(&through.saturating_add(1));
        for (number, file) in std::mem::replace(&mut self.side, kept) {
            self.ghosts.insert(number, file.bytes[..file.written_back].to_vec());
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
        self.mark.acked[index(lane)]
    }

    /// For a break: the oldest alert makes room.
    pub(crate) fn drop_oldest_alert(&mut self) {
        self.lanes[0].pop_first();
    }

    fn append(&mut self, alerts: &[Numbered], readings: &[Numbered]) {
        for (lane, values) in self.lanes.iter_mut().zip([alerts, readings]) {
            for (seq, bytes) in values {
                let value = Value { bytes: bytes.clone(), synced: false, rotten: false };
                // Written a second time after an answer that said no, with what it held; what was damaged is whole again.
                if lane.get(seq).is_none_or(|known| known.rotten || known.bytes != *bytes) {
                    lane.insert(*seq, value);
                }
            }
        }
    }

    fn free_now(&mut self, lane: Lane, through: Seq) {
        let index = index(lane);
        self.mark.acked[index] = self.mark.acked[index].max(through);
        self.lanes[index] = self.lanes[index].split_off(&(through + 1));
    }

    fn eras_one_or_the_other(&mut self) {
        if let Some(before) = self.eras_before.take()
            && self.random.one_in(2)
        {
            self.eras = before;
        }
    }

    fn breaks(&self, which: Break) -> bool {
        self.broken == Some(which)
    }

    fn writable(&mut self) -> Result<(), JournalError> {
        match self.trouble {
            Some(Trouble::Full) => Err(JournalError("no space left on device".into())),
            Some(Trouble::ReadOnly) => Err(JournalError("read-only file system".into())),
            None if self.random.one_in(self.faults.write_error) => Err(JournalError("input/output error".into())),
            None => Ok(()),
        }
    }
}

impl Journal for Disk {
    fn commit(&mut self, alerts: &[Numbered], readings: &[Numbered]) -> Result<(), JournalError> {
        self.writable()?;
        self.append(alerts, readings);
        let syncs = !self.breaks(Break::CommitWithoutSync);
        for ((lane, values), reserved) in
            self.lanes.iter_mut().zip([alerts, readings]).zip(self.mark.reserved.iter_mut())
        {
            for (seq, _) in values {
                if *seq > *reserved {
                    *reserved = seq + RESERVE;
                }
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
        self.writable()?;
        self.free_now(lane, through);
        Ok(())
    }

    fn keep_eras(&mut self, eras: &[u8]) -> Result<(), JournalError> {
        if let Err(error) = self.writable() {
            self.eras_one_or_the_other();
            return Err(error);
        }
        self.eras_before = None;
        if !self.breaks(Break::ErasForgotten) {
            self.eras = eras.to_vec();
        }
        Ok(())
    }

    fn readings_bytes(&self) -> u64 {
        self.lanes[1].values().map(|value| value.bytes.len() as u64).sum()
    }

    /// Names the oldest stretch; it goes when FORWARD frees it, which it does when the record of the gap is durable.
    fn drop_oldest_readings(&mut self) -> Result<Option<SeqRange>, JournalError> {
        let lane = &self.lanes[1];
        let stretch: Vec<Seq> = lane.keys().copied().take(lane.len() / 4).collect();
        Ok(stretch.first().zip(stretch.last()).map(|(&first, &last)| SeqRange { first, last }))
    }
}

/// Place of a durable lane in the arrays.
fn index(lane: Lane) -> usize {
    usize::from(lane == Lane::Readings)
}
