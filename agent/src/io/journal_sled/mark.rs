//! The file `mark`: what a spool must not forget even when it is empty.

use crate::forward::journal::LaneFound;
use serde::{Deserialize, Serialize};
use windward_protocol::{Epoch, Lane, Seq, SeqRange};

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
}

impl LaneMark {
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
        let mut told = None;
        match (state, self.ended.take()) {
            // What could not be salvaged may be the end.
            (LaneState::Salvaged, _) => found.high_water = last.max(self.reserved),
            (_, Some(ended)) => {
                let missing = ended.saturating_sub(last);
                told = (missing > 0).then(|| format!("{lane}: the last {missing} values are missing"));
                found.high_water = last.max(ended);
            }
            (LaneState::Whole, None) if same_boot => {}
            (LaneState::Whole | LaneState::LeftOut, None) if self.reserved > last => {
                self.skipped.push(SeqRange { first: last + 1, last: self.reserved });
                found.high_water = self.reserved;
            }
            (LaneState::Whole | LaneState::LeftOut, None) => {}
        }
        self.skipped.retain(|skipped| skipped.last > found.acked);
        self.skipped.drain(..self.skipped.len().saturating_sub(MAX_SKIPPED));
        self.skipped.iter().for_each(|skipped| found.skipped.insert(*skipped));
        found.high_water = found.high_water.max(self.started);
        self.started = found.high_water;
        told
    }
}
