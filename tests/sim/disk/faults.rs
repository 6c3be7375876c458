//! What befalls a disk and what is on it.

use super::{Disk, Job, SideFile};
use std::collections::BTreeMap;
use windward_protocol::{Lane, Seq};

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
    pub(crate) fn power_cut(&mut self, job: Option<&Job>) -> Vec<(Lane, Seq)> {
        self.kill(job);
        self.power_was_cut = true;
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
        self.forget_the_end()
    }

    /// The last values of a lane are gone; of readings only where no side file could give them back in part.
    fn forget_the_end(&mut self) -> Vec<(Lane, Seq)> {
        let mut forgotten = Vec::new();
        for (index, lane) in Lane::DURABLE.into_iter().enumerate() {
            let is_covered = self.lanes[index].last_key_value().is_some_and(|(&last, _)| last <= self.covered);
            if self.random.one_in(self.faults.forgets) && (lane == Lane::Alerts || is_covered) {
                for _ in 0..self.random.between(1, 4) {
                    forgotten.extend(self.lanes[index].pop_last().map(|(seq, _)| (lane, seq)));
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

    /// A value that is on the platter is damaged; which one.
    pub(crate) fn rot(&mut self) -> Option<(Lane, Seq)> {
        let index = usize::from(!self.random.one_in(8));
        let sound: Vec<Seq> =
            self.lanes[index].iter().filter(|(_, value)| value.synced && !value.rotten).map(|(seq, _)| *seq).collect();
        let seq = *sound.get(self.random.bits() as usize % sound.len().max(1))?;
        self.lanes[index].get_mut(&seq)?.rotten = true;
        Some((Lane::DURABLE[index], seq))
    }

    pub(super) fn old_note_or_new(&mut self) {
        if let Some((note, before)) = self.note_before.take()
            && self.random.one_in(2)
        {
            self.notes.insert(note, before);
        }
    }
}
