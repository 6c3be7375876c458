//! The file `mark`: what a spool must not forget even when it is empty.
//!
//! ```text
//! 0     slot: u16 length, postcard (count, mark), u32 CRC-32C, all little endian
//! 4096  slot
//! ```
//! The slots are written in turn, in place, and made durable; the intact one with the greater count is valid. A file that
//! is written in place costs the disk a tenth of one that is replaced, and a full disk takes it still. What no damage may
//! turn back, the reserved numbers (A2), is written to both before a number is used.

use crate::forward::journal::LaneFound;
use crate::io::frame;
use crate::io::small_file::sync_dir;
use serde::{Deserialize, Serialize};
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use windward_protocol::{Epoch, Lane, Seq, SeqRange};

const NAME: &str = "mark";
/// Bytes of a slot, a page: what is torn or lost of one does not touch the other.
const SLOT: usize = 4096;

/// Most stretches of skipped numbers that are remembered for a lane, one a power cut. Of those forgotten a gap record
/// says that they are lost.
const MAX_SKIPPED: usize = 64;

/// The contents of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    pub(super) epoch: Epoch,
    /// The boot in which the spool was last open.
    pub(super) boot: u128,
    pub(super) lanes: [LaneMark; 2],
}

/// The file.
#[derive(Debug, Default)]
pub(super) struct MarkFile {
    /// That of the slot that was written last.
    count: u64,
    /// The reserved numbers that stand in both slots.
    reserved: Option<[Seq; 2]>,
}

/// What the file of an earlier run says.
#[derive(Debug)]
pub(super) enum Saved {
    /// There is no mark, or nothing of it is intact.
    Nothing,
    /// What was written last, as far as can be told from one slot: it may be older.
    OneSlot(Mark),
    /// What was written last.
    Mark(Mark),
}

impl MarkFile {
    /// Reads it; it need not be there.
    pub(super) fn read(spool: &Path) -> io::Result<(Self, Saved)> {
        let bytes = match fs::read(spool.join(NAME)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            read => read?,
        };
        Ok(Self::of(&bytes))
    }

    /// The file with these contents.
    pub(super) fn of(bytes: &[u8]) -> (Self, Saved) {
        let mut slots: Vec<(u64, Mark)> = bytes.chunks(SLOT).take(2).filter_map(in_slot).collect();
        slots.sort_by_key(|(count, _)| *count);
        let is_whole = slots.len() == 2;
        let Some((count, mark)) = slots.pop() else { return (Self::default(), Saved::Nothing) };
        let saved = if is_whole { Saved::Mark(mark) } else { Saved::OneSlot(mark) };
        (Self { count, reserved: None }, saved)
    }

    /// Makes `mark` durable in place of the older slot, or of both.
    pub(super) fn write(&mut self, spool: &Path, mark: &Mark) -> io::Result<()> {
        let reserved = mark.lanes.each_ref().map(|lane| lane.reserved);
        if self.reserved != Some(reserved) {
            self.write_slot(spool, mark)?;
        }
        self.write_slot(spool, mark)?;
        self.reserved = Some(reserved);
        Ok(())
    }

    fn write_slot(&mut self, spool: &Path, mark: &Mark) -> io::Result<()> {
        let (path, count) = (spool.join(NAME), self.count + 1);
        let is_new = !path.exists();
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        file.write_all_at(&slot(count, mark), count % 2 * SLOT as u64)?;
        if is_new {
            file.sync_all()?;
            sync_dir(spool)?;
        } else {
            file.sync_data()?;
        }
        self.count = count;
        Ok(())
    }
}

fn slot(count: u64, mark: &Mark) -> Vec<u8> {
    let sealed = frame::seal(&(count, mark));
    // 128 stretches of skipped numbers of at most 20 bytes, and a few numbers.
    assert!(sealed.len() + 2 <= SLOT, "a mark of {} bytes", sealed.len());
    let mut slot = (sealed.len() as u16).to_le_bytes().to_vec();
    slot.extend(sealed);
    slot.resize(SLOT, 0);
    slot
}

fn in_slot(slot: &[u8]) -> Option<(u64, Mark)> {
    let (len, rest) = slot.split_first_chunk::<2>()?;
    frame::unseal(rest.get(..usize::from(u16::from_le_bytes(*len)))?)
}

/// How the generation in use was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum LaneState {
    Whole,
    /// sled left values out that its file still held; they were put back.
    LeftOut,
    /// It was damaged: what could be salvaged is there.
    Salvaged,
}

/// What it says of a lane.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LaneMark {
    pub(super) acked: Seq,
    /// No number above was ever given out.
    pub(super) reserved: Seq,
    /// The last number when the spool was closed; `None` while it is open, and after a crash.
    pub(super) ended: Option<Seq>,
    /// Where the last opening went on from: the next one does not go back behind it, even if no number was given out
    /// in between and the damage that made it go on from there is gone.
    pub(super) started: Seq,
    /// Numbers that were never given out, as far as is known; above `acked`.
    pub(super) skipped: Vec<SeqRange>,
    /// What was complete at the first opening after a power cut. A side file that came back, in part, stays until the next
    /// commit: it is not to be asked by a later opening either, when what was damaged has been set aside.
    pub(super) complete: Seq,
}

impl LaneMark {
    /// This number is given out: what a side file has saved may stand where numbers were skipped. Gives whether it does.
    pub(super) fn give_out(&mut self, seq: Seq) -> bool {
        let is_in = self.skipped.iter().any(|skipped| (skipped.first..=skipped.last).contains(&seq));
        if is_in {
            let below = |skipped: SeqRange| SeqRange { last: skipped.last.min(seq - 1), ..skipped };
            let above = |skipped: SeqRange| SeqRange { first: skipped.first.max(seq + 1), ..skipped };
            let parts = self.skipped.iter().flat_map(|skipped| [below(*skipped), above(*skipped)]);
            self.skipped = parts.filter(|part| part.first <= part.last).collect();
            self.forget_the_oldest();
        }
        is_in
    }

    /// Decides from where the lane goes on (A2), and says so in `found`. `same_boot`: no power was cut since the spool
    /// was last open. Gives what was noticed.
    ///
    /// After a power cut the end of what is on disk is not to be trusted: an unlucky disk forgets its last values in a
    /// way that leaves no trace. Were their numbers given out again, the sink would take the new for a repeat.
    pub(super) fn go_on(
        &mut self,
        lane: Lane,
        same_boot: bool,
        state: LaneState,
        found: &mut LaneFound,
    ) -> Option<String> {
        let last = found.high_water;
        let missing = self.missing(last.max(found.acked));
        let mut told = None;
        match (state, self.ended.take()) {
            // What could not be salvaged may be the end.
            (LaneState::Salvaged, _) => found.high_water = last.max(self.reserved),
            (_, Some(ended)) => {
                let missing = ended.saturating_sub(last);
                told = (missing > 0).then(|| format!("{lane}: the last {missing} values are missing"));
                found.high_water = last.max(ended);
            }
            (LaneState::Whole, None) if same_boot && missing == 0 => {}
            (LaneState::Whole | LaneState::LeftOut, None) => {
                // A kill takes nothing from the disk; the medium has.
                told = (same_boot && missing > 0).then(|| format!("{lane}: {missing} values are missing"));
                // What was there at the last start and is not now is lost, and not skipped.
                let first = last.max(self.started) + 1;
                if self.reserved >= first {
                    self.skipped.push(SeqRange { first, last: self.reserved });
                    found.high_water = self.reserved;
                }
            }
        }
        self.skipped.retain(|skipped| skipped.last > found.acked);
        self.forget_the_oldest();
        self.skipped.iter().for_each(|skipped| found.skipped.insert(*skipped));
        found.high_water = found.high_water.max(self.started);
        self.started = found.high_water;
        told
    }

    /// How many numbers were given out by the last start, neither skipped nor up to `last`.
    fn missing(&self, last: Seq) -> u64 {
        let within = |first: Seq, through: Seq| (through.min(self.started) + 1).saturating_sub(first.max(last + 1));
        let skipped: u64 = self.skipped.iter().map(|range| within(range.first, range.last)).sum();
        within(0, self.started).saturating_sub(skipped)
    }

    /// A slot takes so many and no more.
    fn forget_the_oldest(&mut self) {
        self.skipped.drain(..self.skipped.len().saturating_sub(MAX_SKIPPED));
    }
}
