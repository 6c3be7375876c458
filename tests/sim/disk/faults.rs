//! What befalls a disk and what is on it.

use super::{Disk, Job, SideFile, Value};
use std::collections::BTreeMap;
use windward_protocol::{Lane, Seq};

/// Lane and number of a value that is lost, and what it was.
pub(crate) type Lost = (Lane, Seq, Vec<u8>);

impl Disk {
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
            Some(Job::Keep(..)) => self.old_note_or_new(),
            Some(Job::Free { lane, through }) if self.trouble.is_none() && self.random.one_in(2) => {
                self.free_now(*lane, *through);
            }
            _ => {}
        }
    }

    /// The power is gone. Gives what is forgotten that was durable.
    pub(crate) fn power_cut(&mut self, job: Option<&Job>) -> Vec<Lost> {
        self.kill(job);
        self.power_was_cut = true;
        let Self { random, lanes, side, ghosts, covered, .. } = self;
        for lane in lanes {
            let count = lane.len();
            lane.retain(|_, value| value.synced || random.one_in(2));
            let is_whole = lane.len() == count;
            for value in lane.values_mut().filter(|value| !value.synced) {
                value.synced = true;
                value.ends &= is_whole;
            }
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
            if random.one_in(2) && side.get(&number).is_none_or(|file| file.bytes.is_empty()) {
                let written_back = bytes.len();
                side.insert(number, SideFile { bytes, written_back });
                *covered = 0;
            }
        }
        self.forget_the_end()
    }

    /// The last values of a lane are gone; of readings only where no side file could give them back in part.
    fn forget_the_end(&mut self) -> Vec<Lost> {
        let mut forgotten = Vec::new();
        for (index, lane) in Lane::DURABLE.into_iter().enumerate() {
            let is_covered = self.lanes[index].last_key_value().is_some_and(|(&last, _)| last <= self.covered);
            if self.random.one_in(self.faults.forgets) && (lane == Lane::Alerts || is_covered) {
                for _ in 0..self.random.between(1, 4) {
                    forgotten.extend(self.lanes[index].pop_last().map(|(seq, value)| (lane, seq, value.bytes)));
                }
            }
        }
        forgotten
    }

    /// The system writes its cache back.
    pub(crate) fn write_back(&mut self) {
        self.lanes.iter_mut().flat_map(BTreeMap::values_mut).for_each(|value| value.synced = true);
        self.side.values_mut().for_each(|file| file.written_back = file.bytes.len());
        self.ghosts.clear();
    }

    /// A value that is on the platter is damaged, or as many in a row as a generation may hold; which ones. While the disk
    /// takes nothing, readings that a side file holds as well are spared: a start that can write nothing down cannot tell
    /// one that was sent and went bad from one that never was on disk, and its rows would be stored twice.
    pub(crate) fn rot(&mut self) -> Vec<Lost> {
        let index = usize::from(!self.random.one_in(8));
        let spared = if self.trouble.is_some() && index == 1 { self.covered } else { Seq::MAX };
        let sound = self.lanes[index].range_mut(..=spared).filter(|(_, value)| value.synced && !value.rotten);
        let sound: Vec<(Seq, &mut Value)> = sound.map(|(seq, value)| (*seq, value)).collect();
        let from = self.random.bits() as usize % sound.len().max(1);
        let (from, count) = match self.random.between(0, 3) {
            0 => (0, sound.len() / 4),
            1 => (from, sound.len() / 4),
            _ => (from, 1),
        };
        let damage = |(seq, value): (Seq, &mut Value)| {
            value.rotten = true;
            (Lane::DURABLE[index], seq, value.bytes.clone())
        };
        sound.into_iter().skip(from).take(count.max(1)).map(damage).collect()
    }

    pub(super) fn old_note_or_new(&mut self) {
        if let Some((note, before)) = self.note_before.take()
            && self.random.one_in(2)
        {
            self.notes.insert(note, before);
        }
    }
}
