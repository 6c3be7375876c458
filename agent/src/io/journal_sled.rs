//! The journal on disk: `sled` 0.34, in the one way that is durable (see `sled_dir`).
//!
//! ```text
//! <data>/spool/mark                          what must not be forgotten when all else is, in two slots (see `mark`)
//!              eras                          which readings wait for the clock, or have been shifted
//!              uplinks                       how far each of several uplinks has got
//!              commands                      time of the last command taken
//!              time                          the last known time (see `last_time`)
//!              ballast                       space for when there is none (see `ballast`)
//!              open-<n>.log                  side files (see `side_files`)
//!              alerts/<first number>/        generations: one sled directory each, append only,
//!              readings/<first number>/      big-endian number -> frame (see `frame`)
//!                                sealed      what is known of a full one, so that it can stay closed
//!              alerts/emptied                how far the numbers were when no generation was left; readings likewise
//!              quarantine/<time>-<name>/     what was damaged, for people to look at
//! ```
//! A generation is removed whole when it is acked; nothing is ever deleted inside one.
//!
//! **Room.** The oldest readings go first, by whole generations, and alerts never: when readings take more than they may,
//! when the disk is full, or when they are too old. FORWARD decides, makes the gap record durable, and then frees them
//! (A4). On a full disk the ballast is given up first, so that there is room for that record and for alerts; it is
//! restored when there is room for it again.

mod ballast;
/// What must hold of any bytes on disk; here, because nobody outside may name what reads them.
#[cfg(any(test, fuzzing))]
#[path = "../../../tests/fuzz/checks/spool.rs"]
pub mod bytes_on_disk;
mod generation;
mod lane;
mod mark;
mod names;
mod quarantine;
mod trouble;

use super::small_file;
use crate::forward::journal::{Found, Journal, JournalError, LaneFound, Note, Numbered, Room};
use ballast::Ballast;
use lane::{LaneLog, Place};
use mark::{LaneMark, LaneState, Mark, MarkFile, Saved};
use serde::Serialize;
use std::fs;
use std::path::{Path, PathBuf};
use windward_protocol::{Epoch, Lane, Seq};

/// How far ahead numbers are reserved in the mark (A2).
const RESERVE: Seq = 1 << 16;

/// How a spool is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// Epoch of the spool if it is new.
    pub epoch: Epoch,
    /// This boot, by a number that no other boot has; 0 when it is not known.
    pub boot: u128,
    /// Names what has to be set aside; a time.
    pub label: String,
    /// Bytes of values after which a generation is full. The oldest readings go by whole generations.
    pub generation_bytes: u64,
    /// Bytes kept free for when the disk is full; 0: none.
    pub ballast_bytes: u64,
}

impl Default for Options {
    /// A new spool would have epoch 1: whoever makes one says which.
    fn default() -> Self {
        // What a generation holds is looked through at a start after a crash, and takes sled memory while it is in use:
        // 8 MiB of small values cost about as much. Smaller ones would be begun several times a second at full load.
        let (generation_bytes, ballast_bytes) = (8 * 1024 * 1024, 8 * 1024 * 1024);
        Self { epoch: 1, boot: 0, label: "damaged".into(), generation_bytes, ballast_bytes }
    }
}

/// The journal of one spool directory, which it owns: sled's lock keeps a second agent out.
#[derive(Debug)]
pub struct SledJournal {
    dir: PathBuf,
    mark: Mark,
    mark_file: MarkFile,
    /// The file says less than `mark`.
    mark_is_behind: bool,
    lanes: [LaneLog; 2],
    ballast: Ballast,
    is_full: bool,
}

impl SledJournal {
    /// Opens the spool in `dir`, or makes one. Damage is set aside and told in [`Found::damage`]; an error means that the
    /// directory cannot be used at all. A disk that is full, or for now takes nothing, is no error: the journal begins
    /// with what can be read, and commits fail until it is well.
    pub fn open(dir: &Path, options: &Options) -> Result<(Self, Found), JournalError> {
        let mut ballast = Ballast::find(dir, options.ballast_bytes);
        match Self::try_open(dir, options) {
            Err(error) if trouble::is_full(&error.0) && ballast.release() => Self::try_open(dir, options),
            opened => opened,
        }
    }

    fn try_open(dir: &Path, options: &Options) -> Result<(Self, Found), JournalError> {
        for lane in Lane::DURABLE {
            let lane_dir = dir.join(lane.name());
            fs::create_dir_all(&lane_dir).map_err(|error| io_error("create", &lane_dir, &error))?;
        }
        let note = |note| {
            let kept = small_file::read::<Vec<u8>>(dir, name_of(note));
            kept.map(Option::unwrap_or_default).map_err(|error| io_error("read", &dir.join(name_of(note)), &error))
        };
        let [eras, uplinks, commands] = [note(Note::Eras)?, note(Note::Uplinks)?, note(Note::Commands)?];
        let mut damage = Vec::new();
        let (mark_file, saved) = MarkFile::read(dir).map_err(|error| io_error("read the mark in", dir, &error))?;
        let Start { mut mark, is_known, state: least, same_boot } = start(dir, options, saved, &mut damage)?;
        let place = Place {
            spool: dir.to_path_buf(),
            epoch: mark.epoch,
            generation_bytes: options.generation_bytes,
            label: options.label.clone(),
        };
        let mut open_lane = |lane| -> Result<(LaneLog, LaneFound), JournalError> {
            let lane_mark = &mut mark.lanes[index(lane)];
            let (log, state) = LaneLog::open(&place, lane, is_known, lane_mark.acked, &mut damage)?;
            let mut found = log.found(lane_mark.acked);
            if least == LaneState::LeftOut {
                lane_mark.reserved = lane_mark.reserved.max(found.high_water + RESERVE);
            }
            let told = lane_mark.go_on(lane, same_boot, state.max(least), &mut found);
            if !same_boot {
                // What could not be salvaged may have been sent, and a side file may have come back in part (A2).
                lane_mark.complete = if state == LaneState::Salvaged { found.high_water } else { found.complete };
            }
            found.complete = found.complete.max(lane_mark.complete);
            damage.extend(told);
            Ok((log, found))
        };
        let (alert_log, alerts) = open_lane(Lane::Alerts)?;
        let (reading_log, readings) = open_lane(Lane::Readings)?;
        let found = Found { epoch: mark.epoch, alerts, readings, eras, uplinks, commands, damage, ..Found::default() };
        let ballast = Ballast::find(dir, options.ballast_bytes);
        let lanes = [alert_log, reading_log];
        let dir = dir.to_path_buf();
        let mut journal = Self { dir, mark, mark_file, mark_is_behind: true, lanes, ballast, is_full: false };
        if let Err(error) = journal.write_mark() {
            if !trouble::is_of_the_disk(&error.0) || (trouble::is_full(&error.0) && journal.ballast.is_there()) {
                return Err(error);
            }
            tracing::error!(%error, "the spool cannot be written; trying again with every commit");
        }
        journal.remove_drained();
        journal.restore_ballast();
        Ok((journal, found))
    }

    /// Closing seals what is in use, also where all of it is acked: nobody will free that once more, and left there it
    /// would be the oldest for ever, behind which the quota takes nothing (A4).
    fn remove_drained(&mut self) {
        for (lane, mark) in self.lanes.iter_mut().zip(&self.mark.lanes) {
            if let Err(error) = lane.remove_through(mark.acked, false) {
                tracing::warn!(%error, "what is acked is still on disk");
            }
        }
    }

    fn try_commit(&mut self, alerts: &[Numbered], readings: &[Numbered]) -> Result<(), JournalError> {
        for (lane, values) in self.mark.lanes.iter_mut().zip([alerts, readings]) {
            let last = values.iter().map(|(seq, _)| *seq).max().unwrap_or(0);
            if last > lane.reserved {
                lane.reserved = last + RESERVE;
                self.mark_is_behind = true;
            }
            for (seq, _) in values {
                self.mark_is_behind |= lane.give_out(*seq);
            }
        }
        self.write_mark()?;
        for (index, values) in [alerts, readings].into_iter().enumerate() {
            if !values.is_empty() {
                self.lanes[index].append(values, self.mark.lanes[index].acked)?;
            }
        }
        Ok(())
    }

    /// Makes the mark durable, if it says anything new.
    fn write_mark(&mut self) -> Result<(), JournalError> {
        if self.mark_is_behind {
            let written = self.mark_file.write(&self.dir, &self.mark);
            written.map_err(|error| io_error("write the mark in", &self.dir, &error))?;
            self.mark_is_behind = false;
        }
        Ok(())
    }

    /// The disk is full as long as there is no room for the ballast.
    fn restore_ballast(&mut self) {
        if !self.ballast.is_there() {
            let restored = self.ballast.restore();
            self.is_full = restored.is_err();
            if let Err(error) = restored {
                tracing::warn!(%error, "no room for the ballast");
            }
        }
    }
}

/// What a spool begins with.
struct Start {
    mark: Mark,
    /// Whether the mark says what the generations belong to.
    is_known: bool,
    /// How far the mark is to be believed.
    state: LaneState,
    same_boot: bool,
}

/// What is lost of the mark is found out from what the generations say of themselves: nothing is given up for it, and
/// numbers go on above all that may have been given out (A2).
fn start(dir: &Path, options: &Options, saved: Saved, damage: &mut Vec<String>) -> Result<Start, JournalError> {
    let new = |epoch| Mark { epoch, boot: options.boot, lanes: <[LaneMark; 2]>::default() };
    let (mut mark, state) = match saved {
        Saved::Mark(mark) => (mark, LaneState::Whole),
        Saved::OneSlot(mark) => (mark, LaneState::LeftOut),
        Saved::Nothing => match names::common_epoch(dir)? {
            Some(epoch) => {
                damage.push("the mark is missing or damaged; what it said was found out from the generations".into());
                (new(epoch), LaneState::LeftOut)
            }
            None => {
                let (mark, state) = (new(options.epoch), LaneState::Whole);
                return Ok(Start { mark, is_known: false, state, same_boot: true });
            }
        },
    };
    if state != LaneState::Whole {
        for lane in Lane::DURABLE {
            // What has gone was acked, or a gap record says what became of it.
            let gone = names::gone_through(&dir.join(lane.name()))?;
            let acked = &mut mark.lanes[index(lane)].acked;
            *acked = gone.max(*acked);
        }
    }
    let same_boot = mark.boot == options.boot && state == LaneState::Whole;
    mark.boot = options.boot;
    Ok(Start { mark, is_known: true, state, same_boot })
}

impl Journal for SledJournal {
    fn commit(&mut self, alerts: &[Numbered], readings: &[Numbered]) -> Result<(), JournalError> {
        let mut result = self.try_commit(alerts, readings);
        if let Err(error) = &result
            && trouble::is_full(&error.0)
        {
            tracing::error!(%error, "the disk is full");
            self.is_full = true;
            if self.ballast.release() {
                result = self.try_commit(alerts, readings);
            }
        }
        if alerts.is_empty() && readings.is_empty() {
            self.restore_ballast();
        }
        result
    }

    fn read(&mut self, lane: Lane, from: Seq, max_bytes: usize) -> Result<Vec<Numbered>, JournalError> {
        self.lanes[index(lane)].read(from, max_bytes, self.mark.lanes[index(lane)].acked)
    }

    fn free(&mut self, lane: Lane, through: Seq) -> Result<(), JournalError> {
        let mark = &mut self.mark.lanes[index(lane)];
        if through > mark.acked {
            mark.acked = through;
            mark.skipped.retain(|skipped| skipped.last > through);
            self.mark_is_behind = true;
        }
        // The mark first: a generation must not be gone while the mark still asks for it.
        self.write_mark()?;
        self.lanes[index(lane)].remove_through(through, self.is_full)?;
        self.restore_ballast();
        Ok(())
    }

    fn keep(&mut self, note: Note, bytes: &[u8]) -> Result<(), JournalError> {
        replace(&self.dir, name_of(note), &bytes)
    }

    fn room(&self) -> Room {
        let [_, readings] = &self.lanes;
        Room { readings_bytes: readings.bytes(), oldest: readings.oldest(), is_full: self.is_full }
    }
}

impl Drop for SledJournal {
    /// A spool that was closed in order is trusted to its last number, and the next start looks into no generation.
    fn drop(&mut self) {
        for (mark, lane) in self.mark.lanes.iter_mut().zip(&mut self.lanes) {
            mark.ended = Some(lane.close().max(mark.acked));
        }
        self.mark_is_behind = true;
        if let Err(error) = self.write_mark() {
            tracing::warn!(%error, "the spool was not closed in order");
        }
    }
}

fn replace<T: Serialize>(dir: &Path, name: &str, value: &T) -> Result<(), JournalError> {
    small_file::replace(dir, name, value).map_err(|error| io_error("write", &dir.join(name), &error))
}

fn name_of(note: Note) -> &'static str {
    match note {
        Note::Eras => "eras",
        Note::Uplinks => "uplinks",
        Note::Commands => "commands",
    }
}

/// Place of a durable lane in the arrays.
fn index(lane: Lane) -> usize {
    usize::from(lane == Lane::Readings)
}

fn io_error(verb: &str, path: &Path, error: &std::io::Error) -> JournalError {
    JournalError(format!("cannot {verb} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests;
