//! A channel over a span of time as few points as a picture has columns: each the least, greatest and mean value and the
//! greatest score of its part of the span, so that no gust is lost between two columns.
//!
//! What is read for it depends on the span: readings themselves, the summaries of stored rows (of a minute at most), the
//! agent's 10-minute windows, or days. A year of one channel is 52,560 windows, whatever its rate.

use crate::answer::SeriesColumns;
use crate::place::{ChannelSummary, StatsRow};
use serde_json::json;
use std::collections::BTreeMap;
use windward_protocol::{Block, Channel, Quality, Quantity, parse_iso8601};

/// Most moments of a device that are unpacked for one picture: some tenths of a second's work.
const MAX_MOMENTS: i64 = 500_000;
/// Length of an agent's windows, ms.
const WINDOW_MS: i64 = 600_000;
const DAY_MS: i64 = 86_400_000;

/// From what a picture is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Readings.
    Reading,
    /// Summaries of stored rows.
    Minute,
    /// 10-minute windows.
    Window,
    /// Days.
    Day,
}

impl Level {
    /// The finest that a span of a device read every `interval_ms` may have, and no finer than `points` need.
    pub fn of(span_ms: i64, interval_ms: i64, points: i64) -> Self {
        if span_ms / interval_ms.max(1) <= MAX_MOMENTS {
            Level::Reading
        } else if span_ms / DAY_MS >= points {
            Level::Day
        } else if span_ms / WINDOW_MS >= points {
            Level::Window
        } else {
            Level::Minute
        }
    }

    /// Time between two of what it is made of, where readings come every `interval_ms`.
    pub fn every_ms(self, interval_ms: i64) -> i64 {
        match self {
            Level::Reading => interval_ms,
            Level::Minute => 60_000,
            Level::Window => WINDOW_MS,
            Level::Day => DAY_MS,
        }
    }

    /// Its name in answers.
    pub fn name(self) -> &'static str {
        match self {
            Level::Reading => "reading",
            Level::Minute => "minute",
            Level::Window => "window",
            Level::Day => "day",
        }
    }
}

/// One entry: the part of the span that one column of the picture shows.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Part {
    first_ms: i64,
    last_ms: i64,
    min: f64,
    max: f64,
    n: f64,
    /// Sum of the values; of a direction the sum of its vectors' east and north.
    sum: (f64, f64),
    score: Option<f64>,
}

/// A channel's picture while it is made.
#[derive(Clone, Debug)]
pub struct Series {
    channel: Channel,
    from_ms: i64,
    to_ms: i64,
    width_ms: i64,
    /// Longest time between two entries that have no gap between them, ms.
    joined_ms: i64,
    parts: BTreeMap<i64, Part>,
}

impl Series {
    /// Of `channel` between two times, both included, in at most `points` parts; `every_ms` is the time between two of
    /// what it is made from.
    pub fn new(channel: Channel, from_ms: i64, to_ms: i64, points: i64, every_ms: i64) -> Self {
        let width_ms = (to_ms.saturating_sub(from_ms) / points.max(1)).saturating_add(1);
        let joined_ms = width_ms.max(every_ms).saturating_mul(5) / 2;
        Self { channel, from_ms, to_ms, width_ms, joined_ms, parts: BTreeMap::new() }
    }

    /// The channel's name.
    pub fn name(&self) -> &str {
        &self.channel.name
    }

    /// The readings of a block, and its scores.
    pub fn add_block(&mut self, block: &Block) {
        let Some(index) = block.channels.iter().position(|channel| channel.name == self.channel.name) else { return };
        let (column, times) = (&block.columns[index], block.times());
        let (mut numbers, mut row) = (column.numbers(), 0);
        for run in &column.quality {
            for _ in 0..run.rows {
                if run.quality == Quality::Good
                    && let Some(value) = numbers.next()
                    && let Some(&time_ms) = times.get(row)
                {
                    let score = column.scores.get(row).and_then(|score| score.checked_sub(1));
                    self.add(time_ms, time_ms, 1.0, [value; 3], score.map(|score| f64::from(score) / 100.0));
                }
                row += 1;
            }
        }
    }

    /// What a stored row says of the channel.
    pub fn add_summary(&mut self, first_ms: i64, last_ms: i64, summary: &ChannelSummary) {
        // A mean of directions as numbers says nothing; the last one was there.
        let mean = if self.is_circle() { summary.last } else { summary.mean };
        let Some(mean) = mean else { return };
        let (min, max) = (summary.min.unwrap_or(mean), summary.max.unwrap_or(mean));
        self.add(first_ms, last_ms, f64::from(summary.n), [min, mean, max], summary.max_score);
    }

    /// A window or a day.
    pub fn add_stats(&mut self, row: &StatsRow) {
        // A day's key begins with its date, a window's is its time.
        let day = |sort: &str| parse_iso8601(&format!("{}T00:00:00Z", sort.split('#').next()?));
        let (Some(mean), Some(start_ms)) = (row.mean, parse_iso8601(&row.sort).or_else(|| day(&row.sort))) else {
            return;
        };
        let (min, max) = (row.min.unwrap_or(mean), row.max.unwrap_or(mean));
        let last_ms = start_ms.saturating_add(i64::from(row.window_ms) - 1);
        self.add(start_ms, last_ms, f64::from(row.n), [min, mean, max], None);
    }

    fn is_circle(&self) -> bool {
        self.channel.quantity == Quantity::WindDirection
    }

    fn add(&mut self, first_ms: i64, last_ms: i64, n: f64, [min, mean, max]: [f64; 3], score: Option<f64>) {
        if !mean.is_finite() || n < 1.0 || last_ms < self.from_ms || first_ms > self.to_ms {
            return;
        }
        let sum = if self.is_circle() {
            let (sin, cos) = mean.to_radians().sin_cos();
            (n * sin, n * cos)
        } else {
            (n * mean, 0.0)
        };
        let index = first_ms.max(self.from_ms).saturating_sub(self.from_ms) / self.width_ms;
        let more = Part { first_ms, last_ms, min, max, n, sum, score };
        self.parts.entry(index).and_modify(|part| part.take(more)).or_insert(more);
    }

    /// Columns of one length. Where nothing was read stands one entry of nulls.
    pub fn answer(&self) -> SeriesColumns {
        let mut entries: Vec<(i64, Option<&Part>)> = Vec::with_capacity(self.parts.len());
        let mut end_ms: Option<i64> = None;
        for part in self.parts.values() {
            if let Some(end_ms) = end_ms.filter(|end_ms| part.first_ms.saturating_sub(*end_ms) > self.joined_ms) {
                entries.push((middle(end_ms, part.first_ms), None));
            }
            entries.push((middle(part.first_ms, part.last_ms), Some(part)));
            end_ms = Some(part.last_ms);
        }
        let column = |figure: &dyn Fn(&Part) -> Option<f64>| -> Vec<Option<f64>> {
            entries.iter().map(|(_, part)| part.and_then(figure).map(short)).collect()
        };
        let end = |value: f64| (!self.is_circle()).then_some(value);
        SeriesColumns {
            channel: self.channel.name.clone(),
            quantity: json!(self.channel.quantity),
            unit: self.channel.unit.clone(),
            time_ms: entries.iter().map(|(time_ms, _)| *time_ms).collect(),
            min: column(&|part| end(part.min)),
            max: column(&|part| end(part.max)),
            mean: column(&|part| part.mean(self.is_circle())),
            score: column(&|part| part.score),
        }
    }
}

impl Part {
    fn take(&mut self, more: Part) {
        self.first_ms = self.first_ms.min(more.first_ms);
        self.last_ms = self.last_ms.max(more.last_ms);
        self.min = self.min.min(more.min);
        self.max = self.max.max(more.max);
        self.n += more.n;
        self.sum = (self.sum.0 + more.sum.0, self.sum.1 + more.sum.1);
        self.score = self.score.into_iter().chain(more.score).reduce(f64::max);
    }

    fn mean(&self, is_circle: bool) -> Option<f64> {
        let (sum, north) = self.sum;
        let mean = if is_circle { sum.atan2(north).to_degrees().rem_euclid(360.0) } else { sum / self.n };
        mean.is_finite().then_some(mean)
    }
}

/// Half-way between two times, which an agent may have set to anything.
fn middle(from_ms: i64, to_ms: i64) -> i64 {
    from_ms.saturating_add(to_ms.saturating_sub(from_ms) / 2)
}

/// A picture needs no more than six digits, and an answer is half as long.
fn short(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let scale = 10f64.powi(5 - value.abs().log10().floor() as i32);
    let rounded = (value * scale).round() / scale;
    if rounded.is_finite() { rounded } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;
    use windward_protocol::{AgentId, BlockBuilder, NoData, Row, Value};

    fn channel(quantity: Quantity) -> Channel {
        Channel { name: "wind".into(), quantity, unit: "m/s".into() }
    }

    fn block(quantity: Quantity, rows: &[(i64, Option<f64>)]) -> Block {
        let agent = AgentId::new("t1").unwrap();
        let mut builder = BlockBuilder::new(&agent, "mast", "Mast", &[channel(quantity)], true);
        for &(time_ms, value) in rows {
            let reading = value.map(Value::F64).ok_or(NoData::Timeout);
            builder.push(&Row { time_ms, readings: vec![reading], scores: vec![value.map(|_| 1.5)] }).unwrap();
        }
        builder.finish().unwrap()
    }

    #[test]
    fn no_extreme_is_lost_however_few_points_there_are() {
        let rows: Vec<_> = (0..1000).map(|n| (n * 1000, Some(if n == 617 { 42.0 } else { 8.0 }))).collect();
        let mut series = Series::new(channel(Quantity::WindSpeed), 0, 999_999, 10, 1000);
        for rows in rows.chunks(50) {
            series.add_block(&block(Quantity::WindSpeed, rows));
        }
        let answer = series.answer();
        assert_eq!(answer.time_ms.len(), 10);
        assert_eq!((answer.max[6], answer.min[6], answer.mean[6]), (Some(42.0), Some(8.0), Some(8.34)));
        assert_eq!((answer.max[5], answer.score[5]), (Some(8.0), Some(1.5)));
    }

    #[test]
    fn few_readings_are_given_as_they_are_and_a_gap_is_one_empty_entry() {
        let mut series = Series::new(channel(Quantity::WindSpeed), 0, 20_000, 1000, 1000);
        let rows = [(0, Some(1.0)), (1000, Some(2.0)), (2000, None), (3000, None), (4000, None), (5000, Some(3.0))];
        series.add_block(&block(Quantity::WindSpeed, &rows));
        let answer = series.answer();
        assert_eq!(answer.time_ms, [0, 1000, 3000, 5000]);
        assert_eq!(answer.mean, [Some(1.0), Some(2.0), None, Some(3.0)]);
        assert_eq!(answer.max, answer.mean);
    }

    #[test]
    fn directions_have_the_mean_of_their_vectors_and_no_ends() {
        let mut series = Series::new(channel(Quantity::WindDirection), 0, 999, 1, 100);
        series.add_block(&block(Quantity::WindDirection, &[(0, Some(350.0)), (100, Some(10.0)), (200, Some(0.0))]));
        let mean = series.answer().mean[0].unwrap();
        assert!(!(1e-6..=359.9999).contains(&mean), "{mean}");
        assert_eq!(series.answer().min, [None]);
    }

    #[test]
    fn what_lies_outside_of_the_span_is_left_out() {
        let mut series = Series::new(channel(Quantity::WindSpeed), 1000, 1999, 10, 1000);
        series.add_block(&block(Quantity::WindSpeed, &[(0, Some(1.0)), (1000, Some(2.0)), (2000, Some(3.0))]));
        assert_eq!(series.answer().mean, [Some(2.0)]);
    }

    #[test]
    fn no_time_that_is_asked_for_or_told_is_too_far_away() {
        for (from_ms, to_ms) in [(i64::MIN, i64::MAX), (i64::MIN, 0), (0, i64::MAX), (i64::MAX, i64::MAX)] {
            let mut series = Series::new(channel(Quantity::WindSpeed), from_ms, to_ms, 10, 1000);
            for time_ms in [i64::MIN, 0, i64::MAX] {
                series.add(time_ms, time_ms, 1.0, [8.0; 3], None);
            }
            let answer = series.answer();
            assert!(answer.time_ms.is_sorted() && answer.mean.contains(&Some(8.0)), "{answer:?}");
        }
    }

    #[test]
    fn the_level_follows_the_span() {
        const HOUR_MS: i64 = 3_600_000;
        assert_eq!(Level::of(HOUR_MS, 50, 1000), Level::Reading);
        assert_eq!(Level::of(5 * DAY_MS, 1000, 1000), Level::Reading);
        assert_eq!(Level::of(DAY_MS, 50, 1000), Level::Minute);
        assert_eq!(Level::of(7 * DAY_MS, 50, 1000), Level::Window);
        assert_eq!(Level::of(365 * DAY_MS, 1000, 1000), Level::Window);
        assert_eq!(Level::of(20 * 365 * DAY_MS, 1000, 1000), Level::Day);
        assert_eq!(Level::of(365 * DAY_MS, 600_000, 1000), Level::Reading);
    }
}
