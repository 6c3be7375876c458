//! True times for readings that were taken before the system's clock was set.
//!
//! A gateway without a battery for its clock wakes up in the past. Until its clock is set, stamps are estimates on the
//! boot's [`Timeline`], and the blocks made of them say `synced: false`. Those blocks form an *era*, a range of the
//! reading lane's numbers, and wait on disk:
//!
//! ```text
//!                      the clock is set                  LATE_MS later
//!             ┌───────────────────────────────▶ Shifted ───────────────▶ past ──▶ forgotten at a start, when all is acked
//! first row   │
//! ─────────▶ Waiting
//!             │  it is not set for WAIT_MS                the clock is set
//!             └───────────────────────────────▶ AsIs ──────────────────▶ forgotten
//! ```
//! The sink keys rows by number and time, so that a block must never be sent with two different times. Hence the
//! rules, which all follow from one: *what a block is sent as is durable before it is sent, and never changes.*
//! - The shift is fixed once, and made durable before the first block leaves with it.
//! - So is the decision to let the blocks of an era go as they are. Blocks in no era go as they are, always.
//! - An era ends before another begins, and at the latest with the process (`settled`), durably, before a row of the
//!   next one is taken. One of another boot that still waits is given up then: nobody can know any more by how much
//!   it was wrong.
//!
//! Where a rule and the true time cannot both be had, the rule wins and the block says `synced: false`: so do the rows
//! of a process that is killed before the disk has taken in that their era has begun.
//!
//! Alerts do not wait: they go at once, with the estimate.

use super::journal::Found;
use crate::time::{Mono, Stamp, Timeline};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use windward_protocol::{Envelope, Epoch, Record, Seq};

/// How long readings wait for the clock, counted from the first of them.
const WAIT_MS: u64 = 600_000;
/// How long they wait at least once there has been a connection: the network brings the broker and the time together.
const SETTLE_MS: u64 = 120_000;
/// How long after the clock was set rows may come that were stamped before.
const LATE_MS: u64 = 60_000;
/// Most eras that are remembered as past. Beyond, blocks go as they are.
const MAX_PAST: usize = 32;
/// Pause after a failed write.
const WRITE_AGAIN_MS: u64 = 1_000;

/// What is kept on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Table {
    epoch: Epoch,
    /// In the order of their numbers.
    past: Vec<Past>,
    /// All numbers from its first on are its own.
    current: Option<Current>,
}

/// An era that is over, whose blocks are shifted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Past {
    first: Seq,
    last: Seq,
    shift_ms: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Current {
    timeline: Timeline,
    /// [`Mono`] of the first row.
    begun_ms: u64,
    first: Seq,
    fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Fate {
    Waiting,
    Shifted { shift_ms: i64 },
    AsIs,
}

/// All eras that matter, and how much of that is durable.
#[derive(Debug)]
pub(super) struct Eras {
    timeline: Timeline,
    table: Table,
    disk: Disk,
    /// Since when there has been a way to send.
    connected_at: Option<Mono>,
    /// When a shifted era ends.
    end_at: Mono,
}

/// How the file stands to the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disk {
    /// It says the same.
    Same,
    /// It does not; to be written at this time.
    Behind { write_at: Mono },
    /// It is being written; `changed` is whether the table has changed since.
    Writing { changed: bool },
}

/// What an earlier process has kept, in the form in which the next one may go on with it.
pub(super) fn settled(found: &Found) -> Vec<u8> {
    let mut table = Table::decode(found);
    let last = found.readings.high_water;
    match table.current.take() {
        // The same boot: rows may go on to come under it.
        Some(current) if current.timeline == found.timeline && !matches!(current.fate, Fate::Shifted { .. }) => {
            table.current = Some(Current { first: current.first.min(last + 1), ..current });
        }
        Some(current) => table.end(&current, last),
        None => {}
    }
    // Numbers above were never sent, and are given out anew.
    table.past.iter_mut().for_each(|past| past.last = past.last.min(last));
    // Only what is durably acked is never sent again; a running process does not know how far that is.
    table.past.retain(|past| past.last > found.readings.acked && past.last >= past.first);
    table.encode()
}

impl Eras {
    /// The eras in `found`, which are [`settled`].
    pub(super) fn new(found: &Found, now: Mono) -> Self {
        let table = Table::decode(found);
        let disk = if found.eras_are_behind { Disk::Behind { write_at: now } } else { Disk::Same };
        Self { timeline: found.timeline, table, disk, connected_at: None, end_at: now }
    }

    /// A block was opened under this number for a row whose time is an estimate.
    pub(super) fn opened(&mut self, first: Seq, now: Mono) {
        if self.table.current.is_some() {
            return;
        }
        if self.table.past.len() >= MAX_PAST {
            return tracing::debug!(first, "too many eras are remembered; this block keeps its estimated time");
        }
        tracing::warn!(first, "the clock is not set: readings wait for it");
        let fate = Fate::Waiting;
        self.table.current = Some(Current { timeline: self.timeline, begun_ms: now.0, first, fate });
        self.changed(now);
    }

    /// There is a way to send.
    pub(super) fn connected(&mut self, now: Mono) {
        self.connected_at.get_or_insert(now);
    }

    /// Decides what can be decided. `next` is the next number of the lane. Gives what has to be written now.
    pub(super) fn advance(&mut self, now: Stamp, next: Seq) -> Option<Vec<u8>> {
        self.decide(now, next);
        match self.disk {
            Disk::Behind { write_at } if write_at <= now.mono => {
                self.disk = Disk::Writing { changed: false };
                Some(self.table.encode())
            }
            _ => None,
        }
    }

    fn decide(&mut self, now: Stamp, next: Seq) {
        let too_long = self.wait_until().is_some_and(|until| until <= now.mono);
        let Some(current) = &mut self.table.current else { return };
        match current.fate {
            Fate::Waiting if now.synced => {
                let shift_ms = now.wall.0 - self.timeline.at(now.mono).0;
                tracing::info!(first = current.first, shift_ms, "the clock is set: readings get their true times");
                current.fate = Fate::Shifted { shift_ms };
                self.end_at = now.mono + LATE_MS;
            }
            Fate::Waiting if too_long => {
                tracing::warn!(first = current.first, "the clock is still not set: readings go with estimated times");
                current.fate = Fate::AsIs;
            }
            // Were the decision not durable yet, a restart could decide otherwise about blocks that are gone.
            Fate::AsIs if now.synced && self.disk == Disk::Same => self.end(next - 1),
            Fate::Shifted { .. } if self.end_at <= now.mono => self.end(next - 1),
            _ => return,
        }
        self.changed(now.mono);
    }

    fn end(&mut self, last: Seq) {
        if let Some(current) = self.table.current.take() {
            self.table.end(&current, last);
        }
    }

    /// What was to be written is durable.
    pub(super) fn kept(&mut self) {
        self.disk = match self.disk {
            Disk::Writing { changed: true } => Disk::Behind { write_at: Mono(0) },
            _ => Disk::Same,
        };
    }

    /// The disk refused.
    pub(super) fn failed(&mut self, now: Mono) {
        self.disk = Disk::Behind { write_at: now + WRITE_AGAIN_MS };
    }

    /// When [`Self::advance`] is due, and why.
    pub(super) fn deadline(&self) -> Option<(Mono, &'static str)> {
        let write = match self.disk {
            Disk::Behind { write_at } => Some((write_at, "write the eras")),
            _ => None,
        };
        write.or(self.wait_until().map(|at| (at, "send readings without a set clock")))
    }

    /// When the current era has waited for long enough; `None` while it does not wait, or nothing can be sent anyway.
    fn wait_until(&self) -> Option<Mono> {
        let current = self.table.current.as_ref().filter(|current| current.fate == Fate::Waiting)?;
        Some((Mono(current.begun_ms) + WAIT_MS).max(self.connected_at? + SETTLE_MS))
    }

    /// What is sent for the envelope that stands on disk under this number of the reading lane; `None`: not yet.
    pub(super) fn as_sent<'a>(&self, seq: Seq, on_disk: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        match self.fate(seq) {
            None => Some(Cow::Borrowed(on_disk)),
            Some(_) if self.disk != Disk::Same => None,
            Some(Fate::Waiting) => None,
            Some(Fate::AsIs) => Some(Cow::Borrowed(on_disk)),
            Some(Fate::Shifted { shift_ms }) => {
                Some(shifted(on_disk, shift_ms).map_or(Cow::Borrowed(on_disk), Cow::Owned))
            }
        }
    }

    /// That of the era which the number is in.
    fn fate(&self, seq: Seq) -> Option<Fate> {
        let current = self.table.current.as_ref().filter(|current| current.first <= seq);
        let past = || self.table.past.iter().find(|past| (past.first..=past.last).contains(&seq));
        current.map(|current| current.fate).or_else(|| past().map(|past| Fate::Shifted { shift_ms: past.shift_ms }))
    }

    fn changed(&mut self, now: Mono) {
        match &mut self.disk {
            Disk::Same => self.disk = Disk::Behind { write_at: now },
            Disk::Behind { .. } => {}
            Disk::Writing { changed } => *changed = true,
        }
    }
}

impl Table {
    /// What was kept. Of another epoch, or damaged, it says nothing about the blocks there are.
    fn decode(found: &Found) -> Self {
        let none = Self { epoch: found.epoch, ..Self::default() };
        if found.eras.is_empty() {
            return none;
        }
        match postcard::from_bytes::<Self>(&found.eras) {
            Ok(table) if table.epoch == found.epoch => table,
            Ok(_) => none,
            Err(error) => {
                tracing::error!(%error, "what is known about times without a clock is lost; they stay estimates");
                none
            }
        }
    }

    /// Nothing when there is nothing to say.
    fn encode(&self) -> Vec<u8> {
        if self.past.is_empty() && self.current.is_none() {
            return Vec::new();
        }
        #[allow(clippy::unwrap_used, reason = "a Vec grows and the types are sized, so postcard cannot fail")]
        postcard::to_allocvec(self).unwrap()
    }

    /// Ends an era with this number. Only a shifted one has to be remembered: everything else goes as it is.
    fn end(&mut self, era: &Current, last: Seq) {
        if let Fate::Shifted { shift_ms } = era.fate {
            self.past.push(Past { first: era.first, last, shift_ms });
        }
    }
}

/// The block, at its true time; `None` if its time is no estimate.
fn shifted(on_disk: &[u8], shift_ms: i64) -> Option<Vec<u8>> {
    let mut envelope = Envelope::decode(on_disk).ok()?;
    match &mut envelope.record {
        Record::Block(block) if !block.synced => {
            block.shift(shift_ms);
            block.synced = true;
        }
        _ => return None,
    }
    envelope.encode().ok()
}

#[cfg(test)]
mod tests;
