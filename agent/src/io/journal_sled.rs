//! The journal on disk: `sled` 0.34, in the one way that is durable (see `sled_dir`).
//!
//! ```text
//! <data>/spool/mark                          epoch, and for each lane: acked, reserved
//!              eras, uplinks, commands       what is kept beside the lanes (`Note`)
//!              time                          the last known time (see `last_time`)
//!              open-<n>.log                  side files (see `side_files`)
//!              alerts/<first seq>/           generations: one sled directory each, append only,
//!              readings/<first seq>/         big-endian sequence -> frame (see `frame`)
//!              quarantine/<time>-<name>/     what was damaged, for people to look at
//! ```
//! A generation is removed whole when it is acked; nothing is ever deleted inside one.

use super::frame;
use super::sled_dir::{self, LOCKED, SledDir};
use super::small_file::{self, sync_dir};
use crate::forward::journal::{Found, Journal, JournalError, LaneFound, Note, Numbered};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use windward_protocol::{Epoch, Lane, Seq, SeqRange, SeqSet};

const MARK: &str = "mark";
/// Bytes of values after which a new generation is begun.
const GENERATION_BYTES: u64 = 64 * 1024 * 1024;
/// How far ahead sequence numbers are reserved in the mark (A2).
const RESERVE: Seq = 1 << 16;

/// The journal of one spool directory, which it owns: sled's lock keeps a second agent out.
#[derive(Debug)]
pub(super) struct SledJournal {
    dir: PathBuf,
    mark: Mark,
    lanes: [LaneLog; 2],
}

/// The contents of the file `mark`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    epoch: Epoch,
    acked: [Seq; 2],
    /// No sequence above was ever given out.
    reserved: [Seq; 2],
}

#[derive(Debug)]
struct LaneLog {
    dir: PathBuf,
    /// By first sequence.
    generations: BTreeMap<Seq, Generation>,
}

#[derive(Debug)]
struct Generation {
    dir: SledDir,
    bytes: u64,
    last: Seq,
}

impl SledJournal {
    /// Opens the spool in `dir`, or makes one with `new_epoch`. Damage is set aside and told in [`Found::damage`]; an
    /// error means that the directory cannot be used at all. `label` names what is set aside (a time).
    pub(super) fn open(dir: &Path, new_epoch: Epoch, label: &str) -> Result<(Self, Found), JournalError> {
        for lane in Lane::DURABLE {
            let lane_dir = dir.join(lane.name());
            fs::create_dir_all(&lane_dir).map_err(|error| io_error("create", &lane_dir, &error))?;
        }
        let mut damage = Vec::new();
        // What a mark that is damaged should name is set aside under a new epoch.
        let mark: Option<Mark> =
            small_file::read(dir, MARK).map_err(|error| io_error("read", &dir.join(MARK), &error))?;
        let note = |note| {
            let name = note_name(note);
            let kept = small_file::read::<Vec<u8>>(dir, name);
            kept.map(Option::unwrap_or_default).map_err(|error| io_error("read", &dir.join(name), &error))
        };
        let (eras, uplinks, commands) = (note(Note::Eras)?, note(Note::Uplinks)?, note(Note::Commands)?);
        let mut open_lane = |lane| LaneLog::open(dir, lane, mark.as_ref(), label, &mut damage);
        let (alert_log, alerts) = open_lane(Lane::Alerts)?;
        let (reading_log, readings) = open_lane(Lane::Readings)?;
        let mark = mark.unwrap_or(Mark { epoch: new_epoch, acked: [0; 2], reserved: [0; 2] });
        let found = Found { epoch: mark.epoch, alerts, readings, eras, uplinks, commands, damage, ..Found::default() };
        let journal = Self { dir: dir.to_path_buf(), mark, lanes: [alert_log, reading_log] };
        journal.write_mark()?;
        Ok((journal, found))
    }

    fn write_mark(&self) -> Result<(), JournalError> {
        self.replace(MARK, &self.mark)
    }

    fn replace<T: Serialize>(&self, name: &str, value: &T) -> Result<(), JournalError> {
        small_file::replace(&self.dir, name, value).map_err(|error| io_error("write", &self.dir.join(name), &error))
    }
}

fn note_name(note: Note) -> &'static str {
    match note {
        Note::Eras => "eras",
        Note::Uplinks => "uplinks",
        Note::Commands => "commands",
    }
}

impl Journal for SledJournal {
    fn commit(&mut self, alerts: &[Numbered], readings: &[Numbered]) -> Result<(), JournalError> {
        let mut mark_moved = false;
        for (index, values) in [alerts, readings].into_iter().enumerate() {
            if let Some(last) = values.iter().map(|(seq, _)| *seq).max()
                && last > self.mark.reserved[index]
            {
                self.mark.reserved[index] = last + RESERVE;
                mark_moved = true;
            }
        }
        if mark_moved {
            self.write_mark()?;
        }
        self.lanes[0].append(alerts)?;
        self.lanes[1].append(readings)
    }

    fn read(&mut self, lane: Lane, from: Seq, max_bytes: usize) -> Result<Vec<Numbered>, JournalError> {
        self.lanes[index(lane)].read(from, max_bytes)
    }

    fn free(&mut self, lane: Lane, through: Seq) -> Result<(), JournalError> {
        let index = index(lane);
        if through <= self.mark.acked[index] {
            return Ok(());
        }
        self.mark.acked[index] = through;
        // The mark first: a generation must not be gone while the mark still asks for it.
        self.write_mark()?;
        self.lanes[index].remove_through(through)
    }

    fn keep(&mut self, note: Note, bytes: &[u8]) -> Result<(), JournalError> {
        self.replace(note_name(note), &bytes)
    }

    fn readings_bytes(&self) -> u64 {
        self.lanes[1].generations.values().map(|generation| generation.bytes).sum()
    }

    fn drop_oldest_readings(&mut self) -> Result<Option<SeqRange>, JournalError> {
        let generations = &self.lanes[1].generations;
        let (Some((&first, _)), Some((&second, _))) = (generations.iter().next(), generations.iter().nth(1)) else {
            return Ok(None);
        };
        self.free(Lane::Readings, second - 1)?;
        Ok(Some(SeqRange { first, last: second - 1 }))
    }
}

impl LaneLog {
    /// Opens the generations of a lane. What cannot be opened is set aside, with what can be salvaged kept.
    fn open(
        spool: &Path,
        lane: Lane,
        mark: Option<&Mark>,
        label: &str,
        damage: &mut Vec<String>,
    ) -> Result<(Self, LaneFound), JournalError> {
        let mut log = LaneLog { dir: spool.join(lane.name()), generations: BTreeMap::new() };
        let (acked, reserved) = mark.map_or((0, 0), |mark| (mark.acked[index(lane)], mark.reserved[index(lane)]));
        let (mut salvaged, damaged_before) = (Vec::new(), damage.len());
        for first in log.list()? {
            let path = log.path(first);
            // Before sled has a chance to cut off what it does not understand: it may do so without a word.
            let raw = match mark {
                Some(mark) => frame::salvage(&path.join("db"), mark.epoch, lane, acked),
                None => BTreeMap::new(),
            };
            let opened = match mark {
                Some(_) => open_generation(&path),
                None => Err("the spool's mark is missing or damaged".into()),
            };
            match opened {
                Ok(generation) => {
                    let missing = generation.missing(raw)?;
                    if !missing.is_empty() {
                        damage
                            .push(format!("{lane} from {first}: {} values left out by sled, salvaged", missing.len()));
                        salvaged.extend(missing);
                    }
                    log.generations.insert(first, generation);
                }
                Err(reason) if reason.contains(LOCKED) => {
                    return Err(JournalError(format!("{} is in use by another process", path.display())));
                }
                Err(reason) => {
                    let aside = quarantine(spool, &path, lane, label)?;
                    let (aside, saved) = (aside.display(), raw.len());
                    damage
                        .push(format!("{lane} from {first}: {reason}; set aside as {aside}, {saved} values salvaged"));
                    salvaged.extend(raw);
                }
            }
        }
        log.append(&salvaged)?;
        let present = log.present(acked)?;
        let last = present.ranges().last().map_or(acked, |range| range.last);
        let high_water = if damage.len() > damaged_before { last.max(reserved) } else { last };
        Ok((log, LaneFound { acked, present, high_water }))
    }

    /// First sequences of the generations on disk. Removes what an interrupted removal has left.
    fn list(&self) -> Result<Vec<Seq>, JournalError> {
        let error = |error: std::io::Error| io_error("read", &self.dir, &error);
        let mut firsts = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(error)? {
            let entry = entry.map_err(error)?;
            let name = entry.file_name();
            match name.to_str().and_then(|name| name.parse().ok()) {
                Some(first) => firsts.push(first),
                None if name.to_string_lossy().starts_with("drained-") => {
                    fs::remove_dir_all(entry.path()).map_err(error)?;
                }
                None => {}
            }
        }
        firsts.sort_unstable();
        Ok(firsts)
    }

    fn path(&self, first: Seq) -> PathBuf {
        self.dir.join(format!("{first:020}"))
    }

    /// Appends and makes durable.
    fn append(&mut self, values: &[Numbered]) -> Result<(), JournalError> {
        let Some((first, _)) = values.first() else { return Ok(()) };
        let full = self.generations.values().next_back().is_none_or(|generation| generation.bytes > GENERATION_BYTES);
        if full {
            let path = self.path(*first);
            let generation = open_generation(&path).map_err(JournalError)?;
            sync_dir(&self.dir).map_err(|error| io_error("sync", &self.dir, &error))?;
            self.generations.insert(*first, generation);
        }
        let Some((first, mut current)) = self.generations.pop_last() else { unreachable!("one was just made") };
        match current.append(values) {
            Ok(()) => {
                self.generations.insert(first, current);
                Ok(())
            }
            Err(error) => {
                // After an error sled takes nothing more until it is opened again.
                drop(current);
                let path = self.path(first);
                let reopened =
                    open_generation(&path).map_err(|again| JournalError(format!("{error}; reopening: {again}")))?;
                self.generations.insert(first, reopened);
                Err(error)
            }
        }
    }

    fn present(&self, acked: Seq) -> Result<SeqSet, JournalError> {
        let mut present = SeqSet::new();
        for generation in self.generations.values() {
            for key in generation.dir.db.range((acked + 1).to_be_bytes()..).keys() {
                let seq = sequence(&key.map_err(sled_error)?)?;
                present.insert(SeqRange { first: seq, last: seq });
            }
        }
        Ok(present)
    }

    fn read(&self, from: Seq, max_bytes: usize) -> Result<Vec<Numbered>, JournalError> {
        let (mut values, mut bytes) = (Vec::new(), 0);
        for generation in self.generations.values().filter(|generation| generation.last >= from) {
            for entry in generation.dir.db.range(from.to_be_bytes()..) {
                let (key, framed) = entry.map_err(sled_error)?;
                // A value that is damaged is left out; the reader sees the hole and says so.
                let Some(envelope) = frame::unframe(&framed) else { continue };
                bytes += envelope.len();
                if !values.is_empty() && bytes > max_bytes {
                    return Ok(values);
                }
                values.push((sequence(&key)?, envelope.to_vec()));
            }
        }
        Ok(values)
    }

    /// Removes the generations that hold nothing above `acked`, but for the one that is being written.
    fn remove_through(&mut self, acked: Seq) -> Result<(), JournalError> {
        while self.generations.len() > 1 {
            let Some(oldest) = self.generations.first_entry().filter(|oldest| oldest.get().last <= acked) else {
                return Ok(());
            };
            let (first, generation) = oldest.remove_entry();
            drop(generation);
            let (path, gone) = (self.path(first), self.dir.join(format!("drained-{first:020}")));
            // Renamed first: half a sled directory would look like damage at the next start.
            fs::rename(&path, &gone)
                .and_then(|()| fs::remove_dir_all(&gone))
                .map_err(|error| io_error("remove", &path, &error))?;
        }
        Ok(())
    }
}

impl Generation {
    /// Those of `raw` that sled does not give.
    fn missing(&self, mut raw: BTreeMap<Seq, Vec<u8>>) -> Result<BTreeMap<Seq, Vec<u8>>, JournalError> {
        for key in self.dir.db.iter().keys() {
            raw.remove(&sequence(&key.map_err(sled_error)?)?);
        }
        Ok(raw)
    }

    fn append(&mut self, values: &[Numbered]) -> Result<(), JournalError> {
        for (seq, envelope) in values {
            self.dir.db.insert(seq.to_be_bytes(), frame::frame(envelope)).map_err(sled_error)?;
            self.bytes += envelope.len() as u64;
            self.last = self.last.max(*seq);
        }
        self.dir.sync().map_err(JournalError)
    }
}

/// Opens a generation; one that holds a damaged value is damaged.
fn open_generation(path: &Path) -> Result<Generation, String> {
    let (dir, (bytes, last)) = sled_dir::open(path, scan)?;
    Ok(Generation { dir, bytes, last })
}

/// Bytes of all values, and the last sequence.
fn scan(db: &sled::Db) -> Result<(u64, Seq), String> {
    let (mut bytes, mut last) = (0, 0);
    for entry in db.iter() {
        let (key, value) = entry.map_err(|error| error.to_string())?;
        let seq = sequence(&key).map_err(|error| error.to_string())?;
        if frame::unframe(&value).is_none() {
            return Err(format!("value {seq} is damaged"));
        }
        (bytes, last) = (bytes + value.len() as u64, seq);
    }
    Ok((bytes, last))
}

fn quarantine(spool: &Path, path: &Path, lane: Lane, label: &str) -> Result<PathBuf, JournalError> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let aside = spool.join("quarantine").join(format!("{label}-{lane}-{name}"));
    fs::create_dir_all(spool.join("quarantine"))
        .and_then(|()| fs::rename(path, &aside))
        .map_err(|error| io_error("set aside", path, &error))?;
    Ok(aside)
}

/// Place of a durable lane in the arrays.
fn index(lane: Lane) -> usize {
    usize::from(lane == Lane::Readings)
}

fn sequence(key: &[u8]) -> Result<Seq, JournalError> {
    let bytes = key.try_into().map_err(|_| JournalError(format!("a key of {} bytes", key.len())))?;
    Ok(Seq::from_be_bytes(bytes))
}

fn sled_error(error: sled::Error) -> JournalError {
    JournalError(error.to_string())
}

fn io_error(verb: &str, path: &Path, error: &std::io::Error) -> JournalError {
    JournalError(format!("cannot {verb} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests;
