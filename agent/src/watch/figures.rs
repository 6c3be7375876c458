//! The figures of one channel over a window, one value at a time. For 10-minute statistics and for rules.

use crate::time::Mono;
use std::collections::VecDeque;
use windward_protocol::Quantity;

/// A gust is the greatest mean over this time, ms (WMO-No. 8, I.5).
const GUST_MS: u64 = 3_000;
/// Readings further apart than this say nothing about gusts, ms.
const GUST_INTERVAL_MS: u64 = 1_000;
/// Most values within the time of a gust: those of 100 Hz, the fastest a device is read, and some more. A device that
/// speaks faster has no gusts.
const MAX_GUST_VALUES: usize = 400;

/// What came out. Without a value, all of it is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Results {
    pub(super) mean: f64,
    /// Least and greatest value; of a direction, which has neither, 0.
    pub(super) min: f64,
    pub(super) max: f64,
    /// Standard deviation of the population: of the ten minutes themselves, not of what they may be a sample of.
    pub(super) std: f64,
    pub(super) gust_3s: Option<f64>,
}

/// What is counted of a channel. Which figures make sense depends on its quantity.
#[derive(Clone, Debug)]
pub(super) enum Figures {
    /// A number on a line.
    Number(Moments),
    /// The same, and gusts.
    Gusty(Moments, Gust),
    /// Degrees on a circle: 350° and 10° are 0° on average, not 180°.
    Direction(Vector),
}

impl Figures {
    pub(super) fn new(quantity: Quantity, interval_ms: u64) -> Self {
        match quantity {
            Quantity::WindDirection => Figures::Direction(Vector::default()),
            Quantity::WindSpeed if interval_ms <= GUST_INTERVAL_MS => {
                Figures::Gusty(Moments::default(), Gust::new(interval_ms))
            }
            _ => Figures::Number(Moments::default()),
        }
    }

    pub(super) fn add(&mut self, at: Mono, value: f64) {
        match self {
            Figures::Number(moments) => moments.add(value),
            Figures::Gusty(moments, gust) => {
                moments.add(value);
                gust.add(at, value);
            }
            Figures::Direction(vector) => vector.add(value),
        }
    }

    /// How far `a` is from `b`; on a circle the shorter way, clockwise from -180 to below 180.
    pub(super) fn difference(&self, a: f64, b: f64) -> f64 {
        match self {
            Figures::Number(_) | Figures::Gusty(..) => a - b,
            Figures::Direction(_) => (a - b + 180.0).rem_euclid(360.0) - 180.0,
        }
    }

    /// A reading had no value.
    pub(super) fn miss(&mut self) {
        if let Figures::Gusty(_, gust) = self {
            gust.last.clear();
        }
    }

    /// The figures of the window, and a fresh start. A gust under way goes on: it counts where it ends.
    pub(super) fn finish(&mut self) -> Results {
        match self {
            Figures::Number(moments) => std::mem::take(moments).results(),
            Figures::Gusty(moments, gust) => {
                Results { gust_3s: gust.greatest.take(), ..std::mem::take(moments).results() }
            }
            Figures::Direction(vector) => std::mem::take(vector).results(),
        }
    }
}

/// Mean and spread, with small errors however far the values are from 0 (Welford 1962).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moments {
    n: f64,
    mean: f64,
    squares: f64,
    min: f64,
    max: f64,
}

impl Moments {
    fn add(&mut self, value: f64) {
        let first = self.n == 0.0;
        (self.min, self.max) = if first { (value, value) } else { (self.min.min(value), self.max.max(value)) };
        self.n += 1.0;
        let off = value - self.mean;
        self.mean += off / self.n;
        self.squares += off * (value - self.mean);
    }

    fn results(self) -> Results {
        let std = if self.n == 0.0 { 0.0 } else { (self.squares / self.n).sqrt() };
        Results { mean: self.mean, min: self.min, max: self.max, std, gust_3s: None }
    }
}

/// Direction of the mean of unit vectors, and its spread (Yamartino 1984, J. Climate Appl. Meteor. 23, 1362).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Vector {
    n: f64,
    sin: f64,
    cos: f64,
}

impl Vector {
    fn add(&mut self, degrees: f64) {
        let (sin, cos) = degrees.to_radians().sin_cos();
        self.n += 1.0;
        self.sin += sin;
        self.cos += cos;
    }

    fn results(self) -> Results {
        if self.n == 0.0 {
            return Results::default();
        }
        let (sin, cos) = (self.sin / self.n, self.cos / self.n);
        let mean = sin.atan2(cos).to_degrees().rem_euclid(360.0);
        let spread = (1.0 - sin * sin - cos * cos).clamp(0.0, 1.0).sqrt();
        let std = spread.asin() * (1.0 + (2.0 / 3f64.sqrt() - 1.0) * spread.powi(3));
        // A hair below 0° becomes 360° by rounding.
        Results { mean: if mean < 360.0 { mean } else { 0.0 }, std: std.to_degrees(), ..Results::default() }
    }
}

/// The greatest mean of the values of three seconds on end.
#[derive(Clone, Debug)]
pub(super) struct Gust {
    interval_ms: u64,
    /// The values of the last three seconds, without a hole.
    last: VecDeque<(Mono, f64)>,
    greatest: Option<f64>,
}

impl Gust {
    fn new(interval_ms: u64) -> Self {
        Self { interval_ms, last: VecDeque::new(), greatest: None }
    }

    fn add(&mut self, at: Mono, value: f64) {
        if self.last.back().is_some_and(|(before, _)| at - *before > 2 * self.interval_ms) {
            self.last.clear();
        }
        self.last.push_back((at, value));
        // Half an interval less than three seconds: a reading that comes a little late or early changes nothing.
        let span_ms = GUST_MS - self.interval_ms / 2;
        while self.last.len() > MAX_GUST_VALUES || self.last.front().is_some_and(|(then, _)| at - *then >= span_ms) {
            self.last.pop_front();
        }
        let wanted = (GUST_MS / self.interval_ms) as usize;
        let begun = self.last.front().map_or(at, |(then, _)| *then);
        let is_whole = at - begun + self.interval_ms >= span_ms && self.last.len() >= wanted - wanted / 10;
        if !is_whole {
            return;
        }
        let mean = self.last.iter().map(|(_, value)| value).sum::<f64>() / self.last.len() as f64;
        self.greatest = Some(self.greatest.map_or(mean, |greatest| greatest.max(mean)));
    }
}
