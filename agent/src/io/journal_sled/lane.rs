//! One lane on disk: its generations in the order of their numbers. A generation holds the numbers from its own first to
//! the next one's; the last one is in use, the others are sealed and mostly closed.

use super::generation::{Generation, Known};
use super::mark::LaneState;
use super::{io_error, names, quarantine, trouble};
use crate::forward::journal::{JournalError, LaneFound, Numbered, Stretch};
use crate::io::frame::{self, Salvaged};
use crate::io::sled_dir::LOCKED;
use crate::io::small_file::sync_dir;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use windward_protocol::{Epoch, Lane, Seq, SeqRange, SeqSet};

/// Most closed generations of a lane that are ready to be read: two uplinks may read in different places.
const MAX_READ: usize = 2;

/// What the lanes of a spool have in common.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) spool: PathBuf,
    pub(super) epoch: Epoch,
    /// Bytes of values after which a generation is full.
    pub(super) generation_bytes: u64,
    /// Names what is set aside (a time).
    pub(super) label: String,
}

/// The generations of a lane.
#[derive(Debug)]
pub(super) struct LaneLog {
    lane: Lane,
    place: Place,
    dir: PathBuf,
    /// By first number.
    generations: BTreeMap<Seq, Generation>,
    /// The closed ones that are being read, the one that was read last behind.
    read: Vec<Seq>,
}

impl LaneLog {
    /// Finds the generations of a lane. Sealed ones stay closed. What cannot be opened is set aside, with what can be
    /// salvaged kept; `damage` says so. `is_known`: whether the spool's mark says what these generations belong to.
    pub(super) fn open(
        place: &Place,
        lane: Lane,
        is_known: bool,
        acked: Seq,
        damage: &mut Vec<String>,
    ) -> Result<(Self, LaneState), JournalError> {
        let mut state = LaneState::Whole;
        let dir = place.spool.join(lane.name());
        let mut log = LaneLog { lane, place: place.clone(), dir, generations: BTreeMap::new(), read: Vec::new() };
        let firsts = names::list(&log.dir)?;
        for &first in &firsts {
            let path = log.path(first);
            if !is_known {
                let aside = log.set_aside(first)?;
                damage.push(format!(
                    "{lane} from {first}: the mark is missing or damaged; set aside as {}",
                    aside.display()
                ));
                continue;
            }
            if let Some(generation) = Generation::sealed(&path, place.epoch) {
                log.generations.insert(first, generation);
                continue;
            }
            // Before sled has a chance to cut off what it does not understand: it may do so without a word.
            let raw = frame::salvage(&path.join("db"), place.epoch, lane, acked);
            if let Some((found, told)) = log.take_in(first, &raw, acked)? {
                state = state.max(found);
                damage.push(told);
            }
            if Some(&first) != firsts.last() {
                log.seal(first);
            }
        }
        Ok((log, state))
    }

    /// Opens an unsealed generation. Gives what was wrong with it.
    fn take_in(&mut self, first: Seq, raw: &Salvaged, acked: Seq) -> Result<Option<(LaneState, String)>, JournalError> {
        let lane = self.lane;
        let reason = match Generation::open(&self.path(first)) {
            Ok(mut generation) => {
                let present = generation.known.present.clone();
                let left_out = || raw.values().filter(|(seq, _)| !present.contains(*seq));
                let missing = left_out().count();
                let told = || format!("{lane} from {first}: {missing} values left out by sled, salvaged");
                // Where sled was mended its end may be gone, and is not to be trusted (A2).
                let told = (missing > 0 || generation.was_mended()).then(|| (LaneState::LeftOut, told()));
                match if missing > 0 { generation.append(left_out(), false) } else { Ok(()) } {
                    Ok(()) => drop(self.generations.insert(first, generation)),
                    Err(reason) if trouble::is_of_the_disk(&reason) => {
                        self.begin_with(first, raw, generation.known.complete, &reason);
                    }
                    Err(reason) => return Err(JournalError(reason)),
                }
                return Ok(told);
            }
            Err(reason) => reason,
        };
        if reason.contains(LOCKED) {
            return Err(JournalError(format!("{} is in use by another process", self.path(first).display())));
        }
        if trouble::is_of_the_disk(&reason) {
            self.begin_with(first, raw, 0, &reason);
            return Ok(None);
        }
        let told = match self.replace(first, &reason, raw, false, acked) {
            Err(JournalError(error)) if trouble::is_of_the_disk(&error) => {
                self.begin_with(first, raw, 0, &error);
                format!("{lane} from {first}: {reason}; {} values can be read", raw.seqs().count())
            }
            told => told?,
        };
        Ok(Some((LaneState::Salvaged, told)))
    }

    /// The disk is full, or takes nothing. What the raw bytes say is enough to begin with: values are read by it, and the
    /// next commit opens the generation, or mends it.
    fn begin_with(&mut self, first: Seq, raw: &Salvaged, complete: Seq, reason: &str) {
        tracing::error!(lane = %self.lane, first, reason, "cannot open a generation; trying again later");
        // A killed process may have left some of it with the system alone, and what is sent is durable (A1).
        if let Err(error) = fs::File::open(self.path(first).join("db")).and_then(|file| file.sync_data()) {
            tracing::error!(lane = %self.lane, first, %error, "nor can it be synced");
        }
        let mut known = Known { complete, ..Known::default() };
        raw.values().for_each(|(seq, envelope)| known.add(seq, envelope.len()));
        self.generations.insert(first, Generation { known, ..Generation::default() });
    }

    /// What was found, without its high water.
    pub(super) fn found(&self, acked: Seq) -> LaneFound {
        let mut present = SeqSet::new();
        self.generations
            .values()
            .flat_map(|generation| generation.known.present.ranges())
            .for_each(|range| present.insert(range));
        present.remove_through(acked);
        let high_water = present.ranges().last().map_or(acked, |range| range.last);
        let complete = self.generations.values().map(|generation| generation.known.complete).max().unwrap_or(0);
        LaneFound { acked, present, high_water, complete, skipped: SeqSet::new() }
    }

    #[cfg(test)]
    pub(super) fn open_count(&self) -> usize {
        let is_open = |generation: &&Generation| generation.open.is_some() || generation.index.is_some();
        self.generations.values().filter(is_open).count()
    }

    #[cfg(test)]
    pub(super) fn generation_in_use(&mut self) -> &mut Generation {
        self.generations.values_mut().next_back().unwrap()
    }

    /// Seals the generation in use as well. Gives the greatest number on disk; 0 when there is none.
    pub(super) fn close(&mut self) -> Seq {
        let in_use = self.generations.last_key_value().filter(|(_, last)| !last.is_sealed && last.known.last() > 0);
        if let Some(first) = in_use.map(|(&first, _)| first) {
            self.seal(first);
        }
        self.generations.values().map(|generation| generation.known.last()).max().unwrap_or(0)
    }

    /// Bytes on disk.
    pub(super) fn bytes(&self) -> u64 {
        self.generations.values().map(|generation| generation.known.disk_bytes).sum()
    }

    /// The oldest sealed generation.
    pub(super) fn oldest(&self) -> Option<Stretch> {
        let mut generations = self.generations.iter();
        let (&first, oldest) = generations.next().filter(|(_, generation)| generation.is_sealed)?;
        let last = generations.next().map_or(oldest.known.last(), |(&next, _)| next - 1);
        let newest_ms = oldest.known.span_ms.map(|(_, newest)| newest);
        Some(Stretch { range: SeqRange { first, last }, newest_ms })
    }

    /// Appends and makes durable.
    pub(super) fn append(&mut self, values: &[Numbered], acked: Seq) -> Result<(), JournalError> {
        let mut homes: BTreeMap<Seq, Vec<&Numbered>> = BTreeMap::new();
        // Where a value belongs that lies below all generations, or above them when the last one is sealed.
        let lowest =
            |above: Seq| values.iter().map(|(seq, _)| *seq).filter(|seq| *seq > above).min().unwrap_or(above + 1);
        let end =
            self.generations.last_key_value().filter(|(_, last)| last.is_sealed).map(|(_, last)| last.known.last());
        let (below, beyond) = (lowest(0), end.map(lowest));
        for value in values {
            let home = match (beyond, self.generations.range(..=value.0).next_back()) {
                (Some(beyond), _) if value.0 >= beyond => beyond,
                (_, Some((&first, _))) => first,
                (_, None) => below,
            };
            homes.entry(home).or_default().push(value);
        }
        let last = homes.keys().next_back().copied();
        for (first, values) in homes {
            self.append_to(first, &values, Some(first) == last, acked)?;
        }
        Ok(())
    }

    fn append_to(&mut self, first: Seq, values: &[&Numbered], ends: bool, acked: Seq) -> Result<(), JournalError> {
        let (path, full_bytes) = (self.path(first), self.place.generation_bytes);
        if !self.generations.contains_key(&first) {
            let generation = Generation::open(&path).map_err(JournalError)?;
            sync_dir(&self.dir).map_err(|error| io_error("sync", &self.dir, &error))?;
            self.generations.insert(first, generation);
        }
        self.opened(first, acked)?;
        let is_last = self.generations.last_key_value().is_some_and(|(&last, _)| last == first);
        let generation = self.generations.entry(first).or_default();
        if generation.is_sealed {
            generation.unseal(&path).map_err(JournalError)?;
        }
        generation.append(values.iter().map(|(seq, envelope)| (*seq, &envelope[..])), ends).map_err(JournalError)?;
        if generation.known.is_full(full_bytes) || !is_last {
            self.seal(first);
        }
        Ok(())
    }

    /// Values from `from` on. Damage that shows itself is set aside, and what can be salvaged is read.
    pub(super) fn read(&mut self, from: Seq, max_bytes: usize, acked: Seq) -> Result<Vec<Numbered>, JournalError> {
        let mut values: Vec<Numbered> = Vec::new();
        let mut room = max_bytes;
        let holds = |(&first, generation): (&Seq, &Generation)| (generation.known.last() >= from).then_some(first);
        let firsts: Vec<Seq> = self.generations.iter().filter_map(holds).collect();
        for first in firsts {
            let (part, is_whole) = self.read_one(first, from, room, acked)?;
            let len: usize = part.iter().map(|(_, envelope)| envelope.len()).sum();
            let fits = values.is_empty() || len <= room;
            if fits {
                values.extend(part);
            }
            room = room.saturating_sub(len);
            if !fits || !is_whole || room == 0 {
                break;
            }
        }
        Ok(values)
    }

    fn read_one(
        &mut self,
        first: Seq,
        from: Seq,
        max_bytes: usize,
        acked: Seq,
    ) -> Result<(Vec<Numbered>, bool), JournalError> {
        let part = self.index(first, acked).and_then(|()| self.generations[&first].read(from, max_bytes));
        let reason = match part {
            Ok(part) => return Ok(part),
            Err(reason) if trouble::is_of_the_disk(&reason) => return Err(JournalError(reason)),
            Err(reason) => reason,
        };
        self.mend(first, &reason, acked)?;
        let part = self.index(first, acked).and_then(|()| self.generations[&first].read(from, max_bytes));
        part.map_err(JournalError)
    }

    /// Sees to it that a generation can be read. Few are ready at once.
    fn index(&mut self, first: Seq, acked: Seq) -> Result<(), String> {
        let path = self.path(first);
        let Some(generation) = self.generations.get_mut(&first) else { return Ok(()) };
        if generation.open.is_some() {
            return Ok(());
        }
        if generation.index.is_none() {
            generation.index(&path, self.place.epoch, self.lane, acked)?;
        }
        self.read.retain(|read| *read != first);
        self.read.push(first);
        if self.read.len() > MAX_READ {
            let longest_ago = self.read.remove(0);
            self.generations.entry(longest_ago).or_default().index = None;
        }
        Ok(())
    }

    /// Removes the generations that hold nothing above `acked`; the one in use only when `all` is asked for.
    pub(super) fn remove_through(&mut self, acked: Seq, all: bool) -> Result<(), JournalError> {
        while !self.generations.is_empty() {
            let is_in_use = self.generations.len() == 1;
            let Some(oldest) = self.generations.first_entry() else { return Ok(()) };
            let generation = oldest.get();
            if generation.known.last() > acked || (is_in_use && !generation.is_sealed && !all) {
                return Ok(());
            }
            let first = *oldest.key();
            drop(oldest.remove());
            self.read.retain(|read| *read != first);
            let (path, gone) = (self.path(first), names::drained(&self.dir, first));
            // Renamed first: half a sled directory would look like damage at the next start.
            fs::rename(&path, &gone)
                .and_then(|()| fs::remove_dir_all(&gone))
                .map_err(|error| io_error("remove", &path, &error))?;
            if self.generations.is_empty() {
                names::say_emptied(&self.dir, acked)?;
            }
        }
        Ok(())
    }

    /// Sees to it that a generation can be written and holds what is known of it; one that does not is mended.
    fn opened(&mut self, first: Seq, acked: Seq) -> Result<(), JournalError> {
        if let Err(reason) = self.try_opened(first, acked)? {
            self.mend(first, &reason, acked)?;
            self.try_opened(first, acked)?.map_err(JournalError)?;
        }
        Ok(())
    }

    /// The inner error is damage.
    fn try_opened(&mut self, first: Seq, acked: Seq) -> Result<Result<(), String>, JournalError> {
        let generation = &self.generations[&first];
        let is_sealed = generation.is_sealed;
        if generation.open.is_some() {
            return Ok(Ok(()));
        }
        match Generation::open(&self.path(first)) {
            Ok(mut opened) => match generation.known.missing_of(&opened.known.present, acked) {
                0 => {
                    opened.is_sealed = is_sealed;
                    self.generations.insert(first, opened);
                    Ok(Ok(()))
                }
                missing => Ok(Err(format!("{missing} values are missing"))),
            },
            Err(reason) if trouble::is_of_the_disk(&reason) || reason.contains(LOCKED) => Err(JournalError(reason)),
            Err(reason) => Ok(Err(reason)),
        }
    }

    /// Sets a damaged generation aside, and puts what can be salvaged in its place.
    fn mend(&mut self, first: Seq, reason: &str, acked: Seq) -> Result<(), JournalError> {
        let raw = frame::salvage(&self.path(first).join("db"), self.place.epoch, self.lane, acked);
        let is_sealed = self.generations.get(&first).is_some_and(|generation| generation.is_sealed);
        let told = self.replace(first, reason, &raw, is_sealed, acked)?;
        tracing::error!(damage = told, "the spool was damaged");
        Ok(())
    }

    /// The new generation is whole before the old one goes. Gives what has happened, in words.
    fn replace(
        &mut self,
        first: Seq,
        reason: &str,
        raw: &Salvaged,
        is_sealed: bool,
        acked: Seq,
    ) -> Result<String, JournalError> {
        let (lane, path, new) = (self.lane, self.path(first), names::mending(&self.dir, first));
        let damaged = self.generations.entry(first).or_default();
        (damaged.open, damaged.index) = (None, None);
        let missing_before = damaged.known.missing_of(&SeqSet::new(), acked);
        names::remove_if_there(&new)?;
        let saved = raw.seqs().count();
        let mut generation = Generation::open(&new).map_err(JournalError)?;
        generation.append(raw.values(), true).map_err(JournalError)?;
        generation.open = None;
        // Its name too: from here on it may be all that there is, and `names::list` puts it in place.
        sync_dir(&self.dir).map_err(|error| io_error("sync", &self.dir, &error))?;
        let aside = self.set_aside(first)?;
        fs::rename(&new, &path)
            .and_then(|()| sync_dir(&self.dir))
            .map_err(|error| io_error("put in place", &path, &error))?;
        self.generations.insert(first, generation);
        if is_sealed {
            self.seal(first);
        }
        let of = if missing_before > 0 { format!(" of {missing_before}") } else { String::new() };
        Ok(format!("{lane} from {first}: {reason}; set aside as {}, {saved}{of} values salvaged", aside.display()))
    }

    /// A generation that cannot be sealed stays as it is; a later start seals it.
    fn seal(&mut self, first: Seq) {
        let path = self.path(first);
        if let Some(generation) = self.generations.get_mut(&first)
            && let Err(error) = generation.seal(&path, self.place.epoch)
        {
            tracing::warn!(error, "a generation stays open");
        }
    }

    fn set_aside(&self, first: Seq) -> Result<PathBuf, JournalError> {
        let (path, name) = (self.path(first), format!("{}-{}-{first:020}", self.place.label, self.lane));
        quarantine::set_aside(&self.place.spool, &path, &name).map_err(|error| io_error("set aside", &path, &error))
    }

    fn path(&self, first: Seq) -> PathBuf {
        names::generation(&self.dir, first)
    }
}
