//! A person's own limits: of a channel's readings, or of what they come to over tumbling windows. Pure.
//!
//! ```text
//!  wall clock   ····│10:00:00 ··········│10:00:10 ··········│10:00:20 ····     window_s = 10
//!  readings      · · · · · · · · · · · · · · · · · · · · · · · · · · · ·
//!  windows     ─────┴───────────────────┴───────────────────┴──▶  each is judged by the first row after its end
//! ```
//! Windows follow one another without a hole on the clock that never steps, and each ends at the next full `window_s`
//! of the wall clock (UTC) that is at least half a window away. So the figure of an alert can be made again from the
//! stored rows, windows of all agents end together, and a wall clock that is set makes one window up to half as long
//! again, or as short as half: none is empty, endless or counted twice. The first window after a start, and one after
//! rows have stayed away for a whole window, begin where they are.
//!
//! A reading without a value is in no figure but that of [`Statistic::Count`], which is of values (invariant A6). A
//! window without any says nothing, so that a device that falls silent neither opens an alert nor clears one.

use super::alarm::Verdict;
use super::figures::Figures;
use crate::time::{Mono, Stamp};
use std::collections::VecDeque;
use windward_protocol::{NoData, Quantity, Reading, Severity};

/// What a person wants to be told of a channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Its name, unique within the agent: an alert begins with it, and goes on under it after a restart.
    pub name: String,
    /// What is held against the limits.
    pub over: Over,
    /// What it may be.
    pub bounds: Bounds,
    /// So many windows, or readings, on end must be beyond a limit to open an alert, and within to clear it; at least 1.
    pub for_windows: u32,
    /// How much it matters.
    pub severity: Severity,
    /// What is to be done; an alert ends with it. Empty: nothing is said.
    pub say: String,
}

/// What a rule looks at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Over {
    /// Each reading by itself.
    Readings,
    /// A figure of the readings of a window.
    Windows {
        /// Length of a window, ms.
        length_ms: u64,
        /// Which figure.
        statistic: Statistic,
    },
}

/// A figure of the values of one window, in the channel's unit where nothing else is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistic {
    /// Mean. Of a wind direction: that of unit vectors.
    Mean,
    /// Least value.
    Min,
    /// Greatest value.
    Max,
    /// Greatest less least value.
    Range,
    /// Standard deviation of the population.
    Std,
    /// How many values there were, a number without unit.
    Count,
    /// Last less first value.
    Change,
    /// The mean less the mean of the means of the windows before. Nothing is said before there are so many of them, nor
    /// while more than half of them had no value.
    Deviation {
        /// Windows that are looked back on, from 1.
        history: u32,
    },
}

/// The limits of a rule; at least one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// Beyond it is above it.
    pub above: Option<Limit>,
    /// Beyond it is below it.
    pub below: Option<Limit>,
}

/// A limit, and how far within it an alert ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit {
    /// What is beyond this opens an alert.
    pub at: f64,
    /// What is not beyond this ends it; the limit itself, or within it.
    pub clear: f64,
}

impl Bounds {
    /// What a figure says while an alert is open, or is not. Between a limit and where it is cleared an open alert stays,
    /// and none begins.
    pub(super) fn verdict(&self, value: f64, is_open: bool) -> Verdict {
        if self.excess(value, |limit| limit.at) > 0.0 {
            Verdict::Bad(self.excess(value, |limit| limit.clear))
        } else if is_open && self.excess(value, |limit| limit.clear) > 0.0 {
            Verdict::Unsure
        } else {
            Verdict::Good
        }
    }

    /// The limit that a figure is beyond, or nearest to, and whether that is the upper one.
    pub(super) fn nearest(&self, value: f64) -> Option<(f64, bool)> {
        let upper = self.above.map(|limit| (limit.at - value, (limit.at, true)));
        let lower = self.below.map(|limit| (value - limit.at, (limit.at, false)));
        upper.into_iter().chain(lower).min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, limit)| limit)
    }

    /// How far a figure is beyond the edges; negative within them.
    fn excess(&self, value: f64, edge: impl Fn(Limit) -> f64) -> f64 {
        let above = self.above.map_or(f64::NEG_INFINITY, |limit| value - edge(limit));
        let below = self.below.map_or(f64::NEG_INFINITY, |limit| edge(limit) - value);
        above.max(below)
    }
}

/// What has come out for a rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Figure {
    /// The value of the statistic, or of the reading; `None`: there is none.
    pub(super) value: Option<f64>,
    /// What a deviation is from.
    pub(super) usual: Option<f64>,
}

/// One channel as one rule sees it.
#[derive(Clone, Debug, Default)]
pub(super) struct Follow {
    window: Option<Window>,
    /// Of the windows before, the latest last, the means that a deviation is from; `None`: one had no value.
    pub(super) history: VecDeque<Option<f64>>,
}

/// The window under way.
#[derive(Clone, Debug)]
struct Window {
    begun: Mono,
    /// The first row from here on is of the next.
    end: Mono,
    n: u32,
    first: f64,
    last: f64,
    figures: Figures,
}

impl Follow {
    /// Takes a row's reading of the channel; gives a figure where that ends one.
    pub(super) fn observe(&mut self, over: Over, quantity: Quantity, now: Stamp, reading: Reading) -> Option<Figure> {
        let value = reading.ok().map(|value| value.as_f64()).filter(|value| value.is_finite());
        let Over::Windows { length_ms, statistic } = over else {
            // What was not to be expected is nothing, not even silence.
            return (reading != Err(NoData::NotDue)).then_some(Figure { value, usual: None });
        };
        let ended = self.turn(now, length_ms, quantity);
        if let (Some(window), Some(value)) = (&mut self.window, value) {
            window.add(value, now.mono);
        }
        let (window, has_next) = ended?;
        let figure = match statistic {
            // Half a window has half the values, and that is nobody's fault.
            Statistic::Count if has_next && window.is_whole(length_ms) => Figure::of(window.n.into()),
            Statistic::Count => Figure::NONE,
            Statistic::Deviation { history } => self.deviation(window, history as usize),
            _ => window.figure(statistic),
        };
        if !has_next {
            self.history.clear();
        }
        Some(figure)
    }

    /// The window that is over by now, with whether the next one follows it; the next is begun.
    fn turn(&mut self, now: Stamp, length_ms: u64, quantity: Quantity) -> Option<(Window, bool)> {
        let (from, follows) = match &self.window {
            Some(window) if now.mono < window.end => return None,
            Some(window) if now.mono - window.end < length_ms => (window.end, true),
            // After a whole window without a row nobody knows what was.
            _ => (now.mono, false),
        };
        self.window.replace(Window::begin(from, now, length_ms, quantity)).map(|window| (window, follows))
    }

    /// How far the mean of a window is from those before, which it joins.
    fn deviation(&mut self, mut window: Window, history: usize) -> Figure {
        let mean = window.mean();
        let known = self.history.iter().rev().take(history).flatten();
        let is_known = self.history.len() >= history && 2 * known.clone().count() >= history;
        known.for_each(|&mean| window.figures.add(window.end, mean));
        let usual = is_known.then(|| window.figures.finish().mean);
        self.history.push_back(mean);
        while self.history.len() > history {
            self.history.pop_front();
        }
        let value = mean.zip(usual).map(|(mean, usual)| window.figures.difference(mean, usual));
        Figure { value, usual }
    }
}

impl Figure {
    const NONE: Figure = Figure { value: None, usual: None };

    fn of(value: f64) -> Figure {
        Figure { value: Some(value), usual: None }
    }
}

impl Window {
    /// The window that begins at `from`, not later than `now`; at `now`, if it would be over by then.
    fn begin(from: Mono, now: Stamp, length_ms: u64, quantity: Quantity) -> Self {
        let end = end_of(from, now, length_ms);
        let (begun, end) = if end > now.mono { (from, end) } else { (now.mono, end_of(now.mono, now, length_ms)) };
        // An interval of for ever: no gusts are looked for.
        Self { begun, end, n: 0, first: 0.0, last: 0.0, figures: Figures::new(quantity, u64::MAX) }
    }

    fn add(&mut self, value: f64, at: Mono) {
        if self.n == 0 {
            self.first = value;
        }
        (self.n, self.last) = (self.n + 1, value);
        self.figures.add(at, value);
    }

    fn mean(&mut self) -> Option<f64> {
        let mean = self.figures.finish().mean;
        (self.n > 0).then_some(mean)
    }

    /// What it comes to by itself.
    fn figure(mut self, statistic: Statistic) -> Figure {
        if self.n == 0 {
            return Figure::NONE;
        }
        let results = self.figures.finish();
        Figure::of(match statistic {
            Statistic::Min => results.min,
            Statistic::Max => results.max,
            Statistic::Range => results.max - results.min,
            Statistic::Std => results.std,
            Statistic::Change => self.figures.difference(self.last, self.first),
            Statistic::Count => self.n.into(),
            Statistic::Mean | Statistic::Deviation { .. } => results.mean,
        })
    }

    /// Whether it was about as long as a window is: a clock that is slewed moves its ends by little.
    fn is_whole(&self, length_ms: u64) -> bool {
        (self.end - self.begun).abs_diff(length_ms) * 10 <= length_ms
    }
}

/// The end of a window that begins at `from`, not later than `now`: the next full `length_ms` of the wall clock that is
/// at least half of that away.
fn end_of(from: Mono, now: Stamp, length_ms: u64) -> Mono {
    let wall_ms = now.wall.0.saturating_sub_unsigned(now.mono - from);
    let left_ms = length_ms - wall_ms.rem_euclid(length_ms as i64).unsigned_abs();
    from + if 2 * left_ms < length_ms { left_ms + length_ms } else { left_ms }
}

#[cfg(test)]
mod tests;
