//! One generation: a sled directory that is only appended to, and what is known of it while it is closed.
//!
//! When it is full it is *sealed*: what is known of it goes into the file `sealed` in its directory, and it is closed. A
//! start does not look into it. It is read by its frames, without sled, which would write to the disk when it opens (a
//! full one could not be drained), may panic or hang where there is damage, and takes a multiple of the memory.

use crate::forward::journal::Numbered;
use crate::io::frame::{self, Index};
use crate::io::sled_dir::{self, SledDir};
use crate::io::small_file;
use serde::{Deserialize, Serialize};
use std::fs;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use windward_protocol::{Envelope, Epoch, Lane, Record, Seq, SeqRange, SeqSet};

const SEALED: &str = "sealed";
/// A generation is full after this long, so that one is soon all too old: a day.
const DAY_MS: i64 = 86_400_000;

/// A generation of one lane.
#[derive(Debug, Default)]
pub(super) struct Generation {
    pub(super) known: Known,
    pub(super) is_sealed: bool,
    /// For writing. `None`: closed, or sled has failed and has to be opened again.
    pub(super) open: Option<SledDir>,
    /// For reading what is closed.
    pub(super) index: Option<Index>,
}

/// What is known of a generation without opening it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) present: SeqSet,
    /// Every commit up to the one that this number ended is whole.
    pub(super) complete: Seq,
    /// Bytes of all values.
    pub(super) bytes: u64,
    /// Bytes on disk.
    pub(super) disk_bytes: u64,
    /// Times of the first and the last block whose clock was set, as far as they were looked at.
    pub(super) span_ms: Option<(i64, i64)>,
}

/// The contents of the file `sealed`; `small_file` adds a checksum.
#[derive(Serialize, Deserialize)]
struct Sealed {
    epoch: Epoch,
    ranges: Vec<(Seq, Seq)>,
    bytes: u64,
    disk_bytes: u64,
    span_ms: Option<(i64, i64)>,
}

/// The epoch of a sealed generation; `None` when it is not sealed or its file is damaged.
pub(super) fn sealed_epoch(path: &Path) -> Option<Epoch> {
    small_file::read::<Sealed>(path, SEALED).ok().flatten().map(|sealed| sealed.epoch)
}

impl Known {
    /// The greatest number; 0 when there is none.
    pub(super) fn last(&self) -> Seq {
        self.present.ranges().last().map_or(0, |range| range.last)
    }

    /// Whether the next value belongs into another generation.
    pub(super) fn is_full(&self, full_bytes: u64) -> bool {
        self.bytes >= full_bytes || self.span_ms.is_some_and(|(first, last)| last - first >= DAY_MS)
    }

    /// How many of the numbers above `acked` are not in `present`.
    pub(super) fn missing_of(&self, present: &SeqSet, acked: Seq) -> u64 {
        let mut either = self.present.clone();
        either.remove_through(acked);
        present.ranges().for_each(|range| either.insert(range));
        count(&either) - count(present)
    }

    /// How many numbers there are from `first` to `last`.
    fn count(&self, first: Seq, last: Seq) -> u64 {
        let within = |range: SeqRange| (range.last.min(last) + 1).saturating_sub(range.first.max(first));
        self.present.ranges().map(within).sum()
    }

    /// Takes in that a value is there.
    pub(super) fn add(&mut self, seq: Seq, len: usize) {
        self.present.insert(SeqRange { first: seq, last: seq });
        self.bytes += len as u64;
    }

    /// Takes in the time of an envelope, if it has one that can be believed.
    pub(super) fn note_time(&mut self, envelope: &[u8]) {
        let Ok(Envelope { record: Record::Block(block), .. }) = Envelope::decode(envelope) else { return };
        if let Some(&time) = block.times().last().filter(|_| block.synced) {
            let (first, last) = self.span_ms.unwrap_or((time, time));
            self.span_ms = Some((first.min(time), last.max(time)));
        }
    }
}

impl Generation {
    /// A sealed one, closed; `None` when it is not sealed or its file is damaged.
    pub(super) fn sealed(path: &Path, epoch: Epoch) -> Option<Self> {
        let sealed: Sealed = small_file::read(path, SEALED).ok()??;
        if sealed.epoch != epoch {
            return None;
        }
        let mut known =
            Known { bytes: sealed.bytes, disk_bytes: sealed.disk_bytes, span_ms: sealed.span_ms, ..Known::default() };
        sealed.ranges.into_iter().for_each(|(first, last)| known.present.insert(SeqRange { first, last }));
        known.complete = known.last();
        Some(Self { known, is_sealed: true, ..Self::default() })
    }

    /// Opens it, or makes it, and sees what it holds. A damaged value is damage.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let (dir, known) = sled_dir::open(path, scan)?;
        let mut generation = Self { known, is_sealed: path.join(SEALED).exists(), open: Some(dir), index: None };
        generation.known.disk_bytes = disk_bytes(path);
        Ok(generation)
    }

    /// Whether sled had to be mended to open it.
    pub(super) fn was_mended(&self) -> bool {
        self.open.as_ref().is_some_and(|dir| dir.mended)
    }

    /// Writes down what is known of it, and closes it. All of it is durable.
    pub(super) fn seal(&mut self, path: &Path, epoch: Epoch) -> Result<(), String> {
        self.open = None;
        self.known.disk_bytes = disk_bytes(path);
        let sealed = Sealed {
            epoch,
            ranges: self.known.present.ranges().map(|range| (range.first, range.last)).collect(),
            bytes: self.known.bytes,
            disk_bytes: self.known.disk_bytes,
            span_ms: self.known.span_ms,
        };
        small_file::replace(path, SEALED, &sealed)
            .map_err(|error| format!("cannot seal {}: {error}", path.display()))?;
        self.is_sealed = true;
        Ok(())
    }

    /// What is known of it will change.
    pub(super) fn unseal(&mut self, path: &Path) -> Result<(), String> {
        let removed = fs::remove_file(path.join(SEALED)).and_then(|()| small_file::sync_dir(path));
        removed.map_err(|error| format!("cannot unseal {}: {error}", path.display()))?;
        self.is_sealed = false;
        Ok(())
    }

    /// Looks where the values stand. An error when one that should be there is not.
    pub(super) fn index(&mut self, path: &Path, epoch: Epoch, lane: Lane, acked: Seq) -> Result<(), String> {
        let index = Index::of(&path.join("db"), epoch, lane, acked).map_err(|error| error.to_string())?;
        let mut present = SeqSet::new();
        index.seqs().for_each(|seq| present.insert(SeqRange { first: seq, last: seq }));
        match self.known.missing_of(&present, acked) {
            0 => {
                self.index = Some(index);
                Ok(())
            }
            missing => Err(format!("{missing} values are missing")),
        }
    }

    /// Appends and makes durable. `ends`: these are the last ones of a commit. After an error sled takes nothing more
    /// until it is opened again.
    pub(super) fn append<'a>(
        &mut self,
        values: impl Iterator<Item = (Seq, &'a [u8])>,
        ends: bool,
    ) -> Result<(), String> {
        let Some(dir) = &self.open else { return Err("the generation is closed".into()) };
        self.index = None;
        let mut known = self.known.clone();
        let mut newest = None;
        let written = std::panic::catch_unwind(AssertUnwindSafe(|| {
            let mut values = values.peekable();
            while let Some((seq, envelope)) = values.next() {
                let ends = ends && values.peek().is_none();
                dir.db.insert(seq.to_be_bytes(), frame::frame(envelope, ends)).map_err(|error| error.to_string())?;
                known.complete = known.complete.max(if ends { seq } else { 0 });
                known.add(seq, envelope.len());
                newest = Some(envelope);
            }
            dir.sync()
        }));
        match written.unwrap_or_else(|_| Err("sled panicked".into())) {
            Ok(()) => {
                newest.into_iter().for_each(|envelope| known.note_time(envelope));
                known.disk_bytes = known.disk_bytes.max(dir.file_bytes());
                self.known = known;
                Ok(())
            }
            Err(error) => {
                self.open = None;
                Err(error)
            }
        }
    }

    /// Values from `from` on, about `max_bytes` of them but at least one, and whether these are all. An error when one
    /// that should be there is not, or is damaged.
    pub(super) fn read(&self, from: Seq, max_bytes: usize) -> Result<(Vec<Numbered>, bool), String> {
        // A commit that failed may have left values that are not known, and stand elsewhere by now.
        let is_known = |value: &Result<Numbered, String>| {
            value.as_ref().map_or(true, |(seq, _)| self.known.present.contains(*seq))
        };
        let read = || match (&self.open, &self.index) {
            (_, Some(index)) => {
                let values = index.values(from).map(|value| value.map_err(|error| error.to_string()));
                take(values.filter(is_known), max_bytes)
            }
            (Some(dir), None) => take(dir.db.range(from.to_be_bytes()..).map(unframed).filter(is_known), max_bytes),
            (None, None) => Err("the generation is closed".into()),
        };
        let (values, end) =
            std::panic::catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err("sled panicked".into()))?;
        let to = end.map_or(Seq::MAX, |end| end - 1);
        match self.known.count(from, to).saturating_sub(values.len() as u64) {
            0 => Ok((values, end.is_none())),
            missing => Err(format!("{missing} values are missing")),
        }
    }
}

/// At most about `max_bytes`, but at least one; and the number of the first that is left.
fn take(
    values: impl Iterator<Item = Result<Numbered, String>>,
    max_bytes: usize,
) -> Result<(Vec<Numbered>, Option<Seq>), String> {
    let (mut taken, mut bytes) = (Vec::new(), 0);
    for value in values {
        let (seq, envelope) = value?;
        bytes += envelope.len();
        if !taken.is_empty() && bytes > max_bytes {
            return Ok((taken, Some(seq)));
        }
        taken.push((seq, envelope));
    }
    Ok((taken, None))
}

fn unframed(entry: sled::Result<(sled::IVec, sled::IVec)>) -> Result<Numbered, String> {
    let (key, framed) = entry.map_err(|error| error.to_string())?;
    let seq = sequence(&key)?;
    let envelope = frame::unframe(&framed).ok_or_else(|| format!("value {seq} is damaged"))?;
    Ok((seq, envelope.into_owned()))
}

fn count(set: &SeqSet) -> u64 {
    set.ranges().map(|range| range.last - range.first + 1).sum()
}

/// What sled gives.
fn scan(db: &sled::Db) -> Result<Known, String> {
    let (mut known, mut newest) = (Known::default(), None);
    for entry in db.iter() {
        let (key, value) = entry.map_err(|error| error.to_string())?;
        let seq = sequence(&key)?;
        let envelope = frame::unframe(&value).ok_or_else(|| format!("value {seq} is damaged"))?;
        if known.bytes == 0 {
            known.note_time(&envelope);
        }
        known.add(seq, envelope.len());
        known.complete = known.complete.max(if frame::ends(&value) { seq } else { 0 });
        newest = Some(value);
    }
    newest.iter().filter_map(|value| frame::unframe(value)).for_each(|envelope| known.note_time(&envelope));
    Ok(known)
}

fn sequence(key: &[u8]) -> Result<Seq, String> {
    key.try_into().map(Seq::from_be_bytes).map_err(|_| format!("a key of {} bytes", key.len()))
}

/// Bytes of all files of a generation.
fn disk_bytes(path: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(path) else { return 0 };
    entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
}
