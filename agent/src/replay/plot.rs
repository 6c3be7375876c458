//! What a plot shows of a file, in columns a pixel or two wide: however many rows there are, no more is kept of them.

mod svg;
mod ticks;

use super::Summary;
use crate::time::Stamp;
use crate::watch::judge::JudgeDevice;
use windward_protocol::{NoData, Reading};

/// Most columns. When they are used up, each becomes twice as wide.
const MOST_COLUMNS: usize = 2_400;

/// Signals and scores of a file.
#[derive(Clone, Debug)]
pub(super) struct Trace {
    channels: usize,
    /// Time between rows, ms.
    step_ms: u64,
    /// Wall-clock time at which the first column begins, ms since 1970.
    first_ms: Option<i64>,
    /// Width of a column, ms.
    width_ms: u64,
    columns: Vec<Column>,
}

/// Columns that are drawn as one: index of the column, least and greatest value.
type Run = Vec<(usize, f64, f64)>;

/// What was seen within the width of a column.
#[derive(Clone, Debug)]
struct Column {
    /// Whether there was a row.
    seen: bool,
    score: f32,
    /// One a channel.
    spans: Vec<Span>,
}

/// What a channel did within the width of a column.
#[derive(Clone, Copy, Debug)]
struct Span {
    /// Least and greatest value; crossed while there is none.
    least: f64,
    most: f64,
    /// Whether a reading failed.
    failed: bool,
}

impl Trace {
    pub(super) fn new(channels: usize, step_ms: u32) -> Trace {
        let step_ms = u64::from(step_ms.max(1));
        Trace { channels, step_ms, first_ms: None, width_ms: step_ms, columns: Vec::new() }
    }

    pub(super) fn row(&mut self, stamp: Stamp, readings: &[Reading], score: f32) {
        // The file's clock begins at 0.
        self.first_ms.get_or_insert(stamp.wall.0);
        while stamp.mono.0 / self.width_ms >= MOST_COLUMNS as u64 {
            self.widen();
        }
        let at = (stamp.mono.0 / self.width_ms) as usize;
        if at >= self.columns.len() {
            self.columns.resize(at + 1, Column::empty(self.channels));
        }
        let column = &mut self.columns[at];
        column.seen = true;
        column.score = column.score.max(score);
        for (span, reading) in column.spans.iter_mut().zip(readings) {
            span.join(Span::of(reading));
        }
    }

    /// The plot as an SVG document.
    pub(super) fn svg(&self, title: &str, device: &JudgeDevice, summary: &Summary) -> String {
        svg::draw(self, title, device, summary)
    }

    fn widen(&mut self) {
        self.width_ms *= 2;
        for at in 0..self.columns.len().div_ceil(2) {
            let mut left = self.columns[2 * at].clone();
            if let Some(right) = self.columns.get(2 * at + 1) {
                left.join(right);
            }
            self.columns[at] = left;
        }
        self.columns.truncate(self.columns.len().div_ceil(2));
    }

    /// Least and greatest value of a channel; `None`: it had none.
    fn range(&self, channel: usize) -> Option<(f64, f64)> {
        let mut all = Span::EMPTY;
        self.columns.iter().for_each(|column| all.join(column.spans[channel]));
        all.has_value().then_some((all.least, all.most))
    }

    /// The stretches in which a channel has values without a gap.
    fn signal_runs(&self, channel: usize) -> Vec<Run> {
        self.runs(|column| (column.spans[channel], column.spans[channel].failed))
    }

    /// The same of the score.
    fn score_runs(&self) -> Vec<Run> {
        let score = |column: &Column| f64::from(column.score);
        let span = |column: &Column| Span { least: score(column), most: score(column), failed: false };
        self.runs(|column| (if column.seen { span(column) } else { Span::EMPTY }, false))
    }

    /// The stretches of columns with a value. A column without one ends a stretch if `of` says so, or if it had no row.
    fn runs(&self, of: impl Fn(&Column) -> (Span, bool)) -> Vec<Run> {
        // Rows that come a little late leave a narrow column out.
        let most_left_out = usize::from(self.width_ms < 3 * self.step_ms);
        let (mut runs, mut run, mut left_out) = (Vec::new(), Run::new(), 0);
        for (at, column) in self.columns.iter().enumerate() {
            let (span, ends) = of(column);
            left_out = if column.seen { 0 } else { left_out + 1 };
            if span.has_value() {
                run.push((at, span.least, span.most));
            } else if (ends || left_out > most_left_out) && !run.is_empty() {
                runs.push(std::mem::take(&mut run));
            }
        }
        if !run.is_empty() {
            runs.push(run);
        }
        runs
    }
}

impl Column {
    fn empty(channels: usize) -> Column {
        Column { seen: false, score: 0.0, spans: vec![Span::EMPTY; channels] }
    }

    fn join(&mut self, other: &Column) {
        self.seen |= other.seen;
        self.score = self.score.max(other.score);
        for (span, other) in self.spans.iter_mut().zip(&other.spans) {
            span.join(*other);
        }
    }
}

impl Span {
    const EMPTY: Span = Span { least: f64::INFINITY, most: f64::NEG_INFINITY, failed: false };

    fn of(reading: &Reading) -> Span {
        match reading {
            Ok(value) => Span { least: value.as_f64(), most: value.as_f64(), failed: false },
            Err(reason) => Span { failed: *reason != NoData::NotDue, ..Span::EMPTY },
        }
    }

    fn has_value(self) -> bool {
        self.least <= self.most
    }

    fn join(&mut self, other: Span) {
        self.least = self.least.min(other.least);
        self.most = self.most.max(other.most);
        self.failed |= other.failed;
    }
}

#[cfg(test)]
mod tests;
