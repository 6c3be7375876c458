//! A backtest over history: rows of a file go through the judge that runs live, and what it would have said comes out.
//! Pure: the shell ([`crate::io::replay`]) reads and writes the files.
//!
//! A file is a table. Its column `timestamp` gives the time, its column `label` is passed over, and each other column is
//! a channel. A [`Plan`] says which device these are; [`Replay`] judges row by row.

mod cell;
mod header;
mod plan;
mod plot;
mod summary;

pub use cell::{reading, time};
pub use header::{BadHeader, Header};
pub use plan::{NoDevice, Plan, SURVEYED};
pub(crate) use summary::Counts;
pub use summary::{Event, LISTED, Summary};

use crate::time::{Mono, Stamp, Wall};
use crate::watch::judge::{DetectConfig, Judge, JudgeDevice};
use plot::Trace;
use windward_protocol::{AlertPhase, NoData, Reading};

/// The forests' seed: the same file gives the same scores every time.
const SEED: u64 = 1;

/// A replay of one file.
#[derive(Clone, Debug)]
pub struct Replay {
    judge: Judge,
    device: JudgeDevice,
    clock: Clock,
    summary: Summary,
    trace: Option<Trace>,
}

/// What a row of the output says beside its time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// How strange the table has been lately; 0 is usual.
    pub score: f32,
    /// Whether an alert opened at this row.
    pub opened: bool,
}

impl Replay {
    /// A replay with nothing learned yet. `plotted`: whether a plot is wanted at its end.
    pub fn new(plan: &Plan, config: &DetectConfig, plotted: bool) -> Replay {
        let device = plan.device.clone();
        Replay {
            judge: Judge::new(device.clone(), config, SEED),
            clock: Clock::default(),
            summary: Summary::new(plan.step_ms),
            trace: plotted.then(|| Trace::new(device.channels.len(), plan.step_ms)),
            device,
        }
    }

    /// Judges the next row of the file: its time, ms since 1970, and one reading a channel in the plan's order.
    pub fn row(&mut self, time_ms: i64, readings: &[Reading]) -> Verdict {
        let stamp = self.clock.at(time_ms, &mut self.summary);
        let judged = self.judge.judge(stamp, readings);
        let score = judged.strangeness as f32;
        self.summary.rows += 1;
        self.summary.missing += readings.iter().filter(|reading| is_missing(reading)).count() as u64;
        if let Some(trace) = &mut self.trace {
            trace.row(stamp, readings, score);
        }
        let mut opened = false;
        for alert in judged.alerts {
            opened |= alert.phase == AlertPhase::Open;
            self.summary.alert(alert);
        }
        Verdict { score, opened }
    }

    /// What there is to say at the end, and the plot as SVG if it was wanted. `title` names the file in the plot.
    pub fn finish(self, title: &str) -> (Summary, Option<String>) {
        let svg = self.trace.map(|trace| trace.svg(title, &self.device, &self.summary));
        (self.summary, svg)
    }
}

fn is_missing(reading: &Reading) -> bool {
    reading.is_err_and(|reason| reason != NoData::NotDue)
}

/// Makes stamps of the file's times. The monotone clock stands still while times go back.
#[derive(Clone, Copy, Debug, Default)]
struct Clock {
    first_ms: Option<i64>,
    before_ms: i64,
    now: u64,
}

impl Clock {
    fn at(&mut self, time_ms: i64, summary: &mut Summary) -> Stamp {
        match self.first_ms {
            None => {
                self.first_ms = Some(time_ms);
                summary.span_ms = (time_ms, time_ms);
            }
            Some(_) if time_ms < self.before_ms => summary.back += 1,
            Some(_) if time_ms == self.before_ms => summary.twice += 1,
            Some(_) => {}
        }
        let first_ms = self.first_ms.unwrap_or(time_ms);
        self.before_ms = time_ms;
        self.now = self.now.max(u64::try_from(time_ms.saturating_sub(first_ms)).unwrap_or(0));
        summary.span_ms = (summary.span_ms.0.min(time_ms), summary.span_ms.1.max(time_ms));
        Stamp { mono: Mono(self.now), wall: Wall(time_ms), synced: true }
    }
}

#[cfg(test)]
mod tests;
