//! Which of a device's rows are forwarded when not all are to be: of each channel one reading a period, every change
//! between value and no value, and all rows around an alert.
//!
//! ```text
//!  rows      ─┬┬┬┬┬┬┬┬┬┬┬┬┬┬┬┬┬┬┬┬┬┬┬┬┬┬┬┬┬┬┬┬┬┬┬┬▶
//!  forwarded  │    │    │  ┃┃┃┃┃┃┃┃┃┃┃┃┃ │    │
//!                          └ 60 s ┴ 60 s ┘
//!                               alert
//! ```
//! Statistics and judge see every row before. The rows of a period go at once, so that a page that shows them is not
//! late; those before an alert follow when it opens. That is the one place where time goes back, by at most
//! [`BURST_MS`]; no row is given twice.

use crate::time::{Mono, Stamp};
use std::collections::VecDeque;
use windward_protocol::{NoData, Row};

/// How long before and after an alert opens all rows are forwarded, ms.
pub(super) const BURST_MS: u64 = 60_000;
/// Most rows kept for an alert to come: a minute at 20 Hz. A faster device has less than a minute.
const MAX_HELD: usize = 1_200;
/// Most held rows given for each row taken, so that a burst does not fill the queue to the disk.
const RELEASE: usize = 16;

/// A row, and whether the clock was set when it was read.
pub(super) type Passed = (bool, Row);

/// The rows of one device on their way out.
pub(super) struct Thin {
    every_ms: i64,
    /// Of each channel, the period and the quality of what was last forwarded.
    gone: Vec<Option<(i64, Option<NoData>)>>,
    /// Rows not forwarded yet; around an alert those that are, oldest first.
    held: VecDeque<(Mono, Passed)>,
    /// Until when all rows are forwarded.
    burst_until: Option<Mono>,
}

impl Thin {
    /// Forwards a reading of each channel at every full `every_ms` of the clock.
    pub(super) fn new(every_ms: u64, channels: usize) -> Self {
        Self { every_ms: every_ms as i64, gone: vec![None; channels], held: VecDeque::new(), burst_until: None }
    }

    /// Takes a row; `opens` is whether an alert of the device opens with it. Gives what is to be forwarded now.
    pub(super) fn pass(&mut self, stamp: Stamp, row: Row, opens: bool) -> Vec<Passed> {
        let wanted = self.is_wanted(&row);
        let mut out = Vec::new();
        if self.burst_until.is_some_and(|until| until < stamp.mono) && !opens {
            out = self.finish();
        }
        if opens {
            self.forget_before(stamp.mono);
            self.burst_until = Some(stamp.mono + BURST_MS);
        }
        match self.burst_until {
            None if wanted => out.push((stamp.synced, row)),
            None => {
                self.held.push_back((stamp.mono, (stamp.synced, row)));
                self.forget_before(stamp.mono);
            }
            Some(_) => {
                self.held.push_back((stamp.mono, (stamp.synced, row)));
                let count = self.held.len().min(RELEASE);
                out.extend(self.held.drain(..count).map(|(_, passed)| passed));
            }
        }
        out
    }

    /// Ends a burst, and gives what is left of it.
    pub(super) fn finish(&mut self) -> Vec<Passed> {
        match self.burst_until.take() {
            Some(_) => self.held.drain(..).map(|(_, passed)| passed).collect(),
            None => Vec::new(),
        }
    }

    /// Whether a channel has something to say that is new in its period or in its quality; then it is said.
    fn is_wanted(&mut self, row: &Row) -> bool {
        let period = row.time_ms.div_euclid(self.every_ms);
        let mut wanted = false;
        for (gone, reading) in self.gone.iter_mut().zip(&row.readings) {
            if *reading == Err(NoData::NotDue) {
                continue;
            }
            let now = Some((period, reading.err()));
            wanted |= std::mem::replace(gone, now) != now;
        }
        wanted
    }

    /// While no burst is under way, lets go of rows that no alert can want any more.
    fn forget_before(&mut self, now: Mono) {
        let is_old = |(at, _): &(Mono, Passed)| now - *at > BURST_MS;
        while self.burst_until.is_none() && (self.held.len() > MAX_HELD || self.held.front().is_some_and(is_old)) {
            self.held.pop_front();
        }
    }
}

#[cfg(test)]
mod tests;
