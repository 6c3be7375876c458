//! What a spool must not forget even when it is empty: how far a lane is acked, and from where its numbers go on (A2).

use windward_agent::forward::journal::LaneFound;
use windward_protocol::{Seq, SeqRange};

/// How far ahead numbers are reserved.
const RESERVE: Seq = 2_048;

/// Of one lane; replaced whole and synced, as all small files are.
#[derive(Clone, Debug, Default)]
pub(super) struct Mark {
    pub(super) acked: Seq,
    /// No number above was ever given out.
    pub(super) reserved: Seq,
    /// The last number when the spool was closed in order.
    pub(super) ended: Option<Seq>,
    /// Where the last opening went on from.
    started: Seq,
    /// Numbers that were never given out, as far as is known.
    skipped: Vec<SeqRange>,
    /// No side file says anything of numbers up to here: one that came back after a power cut did so in part.
    pub(super) complete: Seq,
}

impl Mark {
    /// A number is given out; one that a side file has saved may have been skipped before.
    pub(super) fn reserve(&mut self, seq: Seq) {
        if self.skipped.iter().any(|skipped| (skipped.first..=skipped.last).contains(&seq)) {
            let below = |skipped: SeqRange| SeqRange { last: skipped.last.min(seq - 1), ..skipped };
            let above = |skipped: SeqRange| SeqRange { first: skipped.first.max(seq + 1), ..skipped };
            let parts = self.skipped.iter().flat_map(|skipped| [below(*skipped), above(*skipped)]);
            self.skipped = parts.filter(|part| part.first <= part.last).collect();
        }
        if seq > self.reserved {
            self.reserved = seq + RESERVE;
        }
    }

    /// Everything up to here is acked.
    pub(super) fn free(&mut self, through: Seq) {
        self.acked = self.acked.max(through);
    }

    /// From where the lane goes on, said in `found`. After a power cut, and where the end may have been damaged, that is
    /// above all that may have been given out; `skips` is whether it says so, `remembers` whether the next opening knows.
    pub(super) fn go_on(
        &mut self,
        same_boot: bool,
        is_damaged: bool,
        skips: bool,
        remembers: bool,
        found: &mut LaneFound,
    ) {
        let last = found.high_water;
        match (is_damaged, self.ended.take()) {
            (true, _) => found.high_water = last.max(self.reserved),
            (false, Some(ended)) => found.high_water = last.max(ended),
            (false, None) if !same_boot && skips && self.reserved > last => {
                self.skipped.push(SeqRange { first: last + 1, last: self.reserved });
                found.high_water = self.reserved;
            }
            (false, None) => {}
        }
        self.skipped.retain(|skipped| skipped.last > found.acked);
        self.skipped.iter().for_each(|skipped| found.skipped.insert(*skipped));
        if remembers {
            found.high_water = found.high_water.max(self.started);
            self.started = found.high_water;
        }
    }
}
