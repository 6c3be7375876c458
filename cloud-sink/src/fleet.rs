//! Turbines against their neighbours: whose wind or power departs from the farm's under the same weather.
//!
//! For each 10-minute window and quantity, the residual of a turbine is the logarithm of its mean over the farm's
//! median, both freed from what is usual for each turbine when the wind comes from there: wakes and sites make steady
//! differences by direction. What is usual is learned for each sector of 30 degrees (power in three ranges of wind
//! besides): a location and a spread by Huber's M-estimator as a recursion (Huber 1964), which a storm or a day of ice
//! moves little, and which forgets slowly. A cumulative sum (Page 1954) of the residuals in units of their spread, each
//! clipped, opens an alert when it passes a limit; one window alone never does. A second sum, which runs for as long as
//! the alert is open, ends it when the turbine is rather where it belongs than where it had gone.
//! How the estimator and the limits were chosen: `examples/fleet_farm.rs`.

#[cfg(test)]
mod tests;
pub mod turbine;

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use windward_protocol::{AlertPhase, Severity};

/// Length of a window, ms.
pub const WINDOW_MS: i64 = 600_000;

/// Fewer turbines than this have no neighbours to be compared with.
const LEAST_TURBINES: usize = 3;
/// So far above the cut-in wind speed begins the power that is compared, m/s.
const POWER_FROM_MPS: f64 = 1.0;
/// Ranges of wind in which power differs in another way: in the cube, below and at rated power; m/s.
const POWER_RANGES: [f64; 2] = [7.0, 11.0];
/// A turbine that stands still has this share of its neighbours' power: the logarithm of nothing says nothing.
const LEAST_SHARE: f64 = 0.02;
/// Least spread of a residual that is believed: it is worth nothing to be told of one per cent.
const LEAST_SPREAD: f64 = 0.015;
/// So many windows on end say as much as one that stands alone: residuals last for hours.
const ALIKE: f64 = 20.0;
/// Spread before anything is known, and what it counts for, windows.
const FIRST_SPREAD: (f64, f64) = (0.08, 6.0);

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Measure {
    /// Wind speed.
    Speed,
    /// Power.
    Power,
}

impl Measure {
    /// Both, in the order of a baseline.
    pub const ALL: [Measure; 2] = [Measure::Speed, Measure::Power];

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Measure::Speed => "wind speed",
            Measure::Power => "power",
        }
    }
}

/// How it judges.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tuning {
    /// Sectors of the wind rose; 1: direction is not heeded.
    pub sectors: usize,
    /// A residual is learned from up to so many spreads; infinite: a plain mean and standard deviation.
    pub learn_clip: f64,
    /// Mean square of a standard normal number that is clipped so: 2Φ - 1 - 2cφ + 2c²(1 - Φ).
    pub learn_square: f64,
    /// Windows of one sector that a baseline remembers.
    pub memory: f64,
    /// Windows of a sector that must be known before it is judged.
    pub least: f64,
    /// A residual is judged up to so many spreads.
    pub clip: f64,
    /// A departure that is borne, spreads.
    pub borne: f64,
    /// Limit of the sum, spreads.
    pub limit: f64,
    /// Least mean wind of the farm, m/s.
    pub cut_in_mps: f64,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            sectors: 12,
            learn_clip: 1.5,
            learn_square: 0.778_465,
            memory: 1_000.0,
            least: 72.0,
            clip: 3.0,
            borne: 0.5,
            limit: 150.0,
            cut_in_mps: 4.0,
        }
    }
}

/// Means of one turbine over one window, where it has them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Means {
    /// Wind speed, m/s.
    pub speed: Option<f64>,
    /// Power, in whatever unit.
    pub power: Option<f64>,
    /// Direction the wind comes from, degrees.
    pub direction: Option<f64>,
}

/// What is usual for one turbine, and how it departs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// Wind speed, then power.
    measures: [Learned; 2],
}

impl Baseline {
    /// Whether an alert is open.
    pub fn departs(&self, measure: Measure) -> bool {
        self.measures[measure as usize].open.is_some()
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Learned {
    /// By range of wind and sector.
    cells: Vec<Cell>,
    low: Run,
    high: Run,
    open: Option<Open>,
}

/// Location and spread of the residual in one cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Cell {
    n: f32,
    mean: f32,
    spread: f32,
}

/// A sum on its way to the limit, and what it is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Run {
    sum: f64,
    since_ms: i64,
    n: u32,
    /// Of the residuals.
    total: f64,
    /// Of the residuals in spreads, clipped.
    spreads: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Open {
    run: Run,
    is_low: bool,
    severity: Severity,
    back: f64,
}

/// What is to be told of a turbine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Told {
    /// What departs.
    pub measure: Measure,
    /// Whether it begins, grows worse or ends.
    pub phase: AlertPhase,
    /// How much it matters.
    pub severity: Severity,
    /// Mean departure since it began: -0.1 is 10 % below what the neighbours lead to expect.
    pub departs: f64,
    /// When the first window of it began, ms.
    pub since_ms: i64,
    /// When the last one ended, ms.
    pub at_ms: i64,
    /// The wind now: from and to, degrees; `None` where no direction is known.
    pub sector: Option<(u32, u32)>,
    /// Mean wind of the farm, m/s.
    pub wind_mps: f64,
}

/// One window judged: each turbine's new baseline, and what is to be told of it. Empty when the window says nothing.
pub fn judge(
    baselines: &BTreeMap<String, Baseline>,
    means: &BTreeMap<String, Means>,
    window_ms: i64,
    tuning: &Tuning,
) -> BTreeMap<String, (Baseline, Vec<Told>)> {
    let direction = direction(means.values().filter_map(|means| means.direction));
    let sector = direction.filter(|_| tuning.sectors > 1).map_or(0, |degrees| sector_of(degrees, tuning.sectors));
    let speeds = logarithms(means, |means| means.speed);
    let Some(wind) = reference(baselines, &speeds, Measure::Speed, sector) else { return BTreeMap::new() };
    let wind_mps = wind.exp();
    if wind_mps < tuning.cut_in_mps {
        return BTreeMap::new();
    }
    let mut judged: BTreeMap<String, (Baseline, Vec<Told>)> = BTreeMap::new();
    let mut compare = |measure: Measure, values: &BTreeMap<&str, f64>, cell: usize, reference: f64| {
        for (turbine, value) in values {
            let known = || (baselines.get(*turbine).cloned().unwrap_or_default(), Vec::new());
            let (baseline, told) = judged.entry((*turbine).to_string()).or_insert_with(known);
            let residual = (value - reference).max(LEAST_SHARE.ln());
            if let Some((phase, open)) = baseline.measures[measure as usize].take(residual, cell, window_ms, tuning) {
                told.push(Told {
                    measure,
                    phase,
                    severity: open.severity,
                    departs: (open.run.total / f64::from(open.run.n.max(1))).exp() - 1.0,
                    since_ms: open.run.since_ms,
                    at_ms: window_ms + WINDOW_MS,
                    sector: direction.map(|_| bounds(sector, tuning.sectors)),
                    wind_mps,
                });
            }
        }
    };
    compare(Measure::Speed, &speeds, sector, wind);
    if wind_mps >= tuning.cut_in_mps + POWER_FROM_MPS {
        let cell = sector + tuning.sectors * POWER_RANGES.iter().filter(|from| wind_mps >= **from).count();
        let least = least_power(means);
        let powers = logarithms(means, |means| means.power.map(|power| power.max(least)));
        if let Some(power) = reference(baselines, &powers, Measure::Power, cell) {
            compare(Measure::Power, &powers, cell, power);
        }
    }
    judged
}

impl Learned {
    /// Takes a residual in: judges it by what is usual, then learns from it.
    fn take(&mut self, residual: f64, cell: usize, window_ms: i64, tuning: &Tuning) -> Option<(AlertPhase, Open)> {
        if self.cells.len() <= cell {
            self.cells.resize(cell + 1, Cell::default());
        }
        let known = self.cells[cell];
        self.cells[cell].learn(residual, tuning);
        if f64::from(known.n) < tuning.least {
            return None;
        }
        let departs = residual - f64::from(known.mean);
        let spread = f64::from(known.spread).max(LEAST_SPREAD);
        let spreads = (departs / spread).clamp(-tuning.clip, tuning.clip);
        // What is usual is itself only known so well.
        let borne = tuning.borne + (ALIKE / f64::from(known.n)).sqrt();
        match self.open {
            None => self.look(departs, spreads, borne, window_ms, tuning.limit),
            Some(open) => self.follow(open, departs, spreads, tuning),
        }
    }

    fn look(
        &mut self,
        departs: f64,
        spreads: f64,
        borne: f64,
        window_ms: i64,
        limit: f64,
    ) -> Option<(AlertPhase, Open)> {
        self.low.add(-spreads - borne, departs, spreads, window_ms);
        self.high.add(spreads - borne, departs, spreads, window_ms);
        let is_low = self.low.sum >= self.high.sum;
        let run = if is_low { self.low } else { self.high };
        if run.sum < limit {
            return None;
        }
        let open = Open { run, is_low, severity: severity(&run), back: 0.0 };
        (self.low, self.high, self.open) = (Run::default(), Run::default(), Some(open));
        Some((AlertPhase::Open, open))
    }

    fn follow(&mut self, mut open: Open, departs: f64, spreads: f64, tuning: &Tuning) -> Option<(AlertPhase, Open)> {
        let side = if open.is_low { -1.0 } else { 1.0 };
        // Half-way between where it belongs and where it had gone, as it has been on the mean.
        let gone = (side * open.run.spreads / f64::from(open.run.n.max(1))).max(2.0 * tuning.borne);
        open.back = (open.back + gone / 2.0 - side * spreads).max(0.0);
        if open.back >= tuning.limit {
            self.open = None;
            return Some((AlertPhase::Clear, open));
        }
        if open.back == 0.0 {
            open.run.n = open.run.n.saturating_add(1);
            open.run.total += departs;
            open.run.spreads += spreads;
        }
        let grown = severity(&open.run) > open.severity;
        open.severity = open.severity.max(severity(&open.run));
        self.open = Some(open);
        grown.then_some((AlertPhase::Update, open))
    }
}

impl Run {
    fn add(&mut self, more: f64, departs: f64, spreads: f64, window_ms: i64) {
        if self.sum + more <= 0.0 {
            *self = Run::default();
            return;
        }
        if self.n == 0 {
            self.since_ms = window_ms;
        }
        self.sum += more;
        self.n += 1;
        self.total += departs;
        self.spreads += spreads;
    }
}

impl Cell {
    fn learn(&mut self, residual: f64, tuning: &Tuning) {
        let (first, weight) = FIRST_SPREAD;
        let (n, mut mean, mut spread) = (f64::from(self.n), f64::from(self.mean), f64::from(self.spread));
        if n == 0.0 {
            (mean, spread) = (residual, first);
        }
        let gain = 1.0 / (n + 1.0).min(tuning.memory);
        let scaled = (residual - mean) / spread.max(LEAST_SPREAD / 4.0);
        let clipped = scaled.clamp(-tuning.learn_clip, tuning.learn_clip);
        mean += gain * clipped * spread;
        let gain = 1.0 / (n + weight).min(tuning.memory);
        spread *= (1.0 + gain * (clipped * clipped / tuning.learn_square - 1.0)).sqrt();
        let n = (n + 1.0).min(tuning.memory);
        *self = Cell { n: n as f32, mean: mean as f32, spread: spread as f32 };
    }
}

fn severity(run: &Run) -> Severity {
    match ((run.total / f64::from(run.n.max(1))).exp() - 1.0).abs() {
        departs if departs >= 0.3 => Severity::Critical,
        departs if departs >= 0.1 => Severity::Warning,
        _ => Severity::Info,
    }
}

fn logarithms(means: &BTreeMap<String, Means>, value: impl Fn(&Means) -> Option<f64>) -> BTreeMap<&str, f64> {
    let mut logarithms = BTreeMap::new();
    for (turbine, means) in means {
        if let Some(value) = value(means).filter(|value| *value > 0.0 && value.is_finite()) {
            logarithms.insert(turbine.as_str(), value.ln());
        }
    }
    logarithms
}

/// The least power that is not nothing: a turbine that stands still, or draws power, is compared as if it gave this.
fn least_power(means: &BTreeMap<String, Means>) -> f64 {
    median(means.values().filter_map(|means| means.power)).map_or(0.0, |median| median.max(0.0) * LEAST_SHARE / 2.0)
}

/// The farm's median, each turbine freed from what is usual for it; so it stays the same when some are missing.
fn reference(
    baselines: &BTreeMap<String, Baseline>,
    values: &BTreeMap<&str, f64>,
    measure: Measure,
    cell: usize,
) -> Option<f64> {
    let usual = |turbine: &str| {
        let learned = baselines.get(turbine)?.measures[measure as usize].cells.get(cell)?;
        (learned.n > 0.0).then_some(f64::from(learned.mean))
    };
    (values.len() >= LEAST_TURBINES)
        .then(|| median(values.iter().map(|(turbine, value)| value - usual(turbine).unwrap_or(0.0))))?
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.get(values.len().checked_sub(1)? / 2)?, values.get(values.len() / 2)?);
    Some((low + high) / 2.0)
}

/// The circular median: the given direction from which the others are least far in sum.
fn direction(directions: impl Iterator<Item = f64>) -> Option<f64> {
    let all: Vec<f64> = directions.filter(|degrees| degrees.is_finite()).collect();
    let far = |from: f64| -> f64 { all.iter().map(|to| ((to - from + 180.0).rem_euclid(360.0) - 180.0).abs()).sum() };
    all.iter().copied().min_by(|a, b| far(*a).total_cmp(&far(*b)))
}

/// The sector of a direction; the first is centred on north.
fn sector_of(degrees: f64, sectors: usize) -> usize {
    let width = 360.0 / sectors as f64;
    ((degrees + width / 2.0).rem_euclid(360.0) / width) as usize % sectors
}

fn bounds(sector: usize, sectors: usize) -> (u32, u32) {
    let (width, middle) = (360.0 / sectors as f64, 360.0 * sector as f64 / sectors as f64);
    let degrees = |at: f64| at.rem_euclid(360.0) as u32;
    (degrees(middle - width / 2.0), degrees(middle + width / 2.0))
}
