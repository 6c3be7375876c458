//! How the comparison of neighbours was chosen: a seeded farm with wakes, offsets, weather and missing windows, judged
//! by each candidate; false alarms a turbine-year, and how soon faults are told.
//!
//! ```text
//! cargo run -p windward-sink --example fleet_farm                          # the table
//! cargo run -p windward-sink --example fleet_farm -- pair.csv [pair.csv]   # residuals of two real anemometers
//! ```
//! A real pair is a table `timestamp,value,value2,…` of 10-minute means.
#![allow(clippy::unwrap_used, reason = "an example fails by panicking")]

use std::collections::BTreeMap;
use windward_protocol::AlertPhase;
use windward_sink::fleet::{Baseline, Means, Measure, Told, Tuning, WINDOW_MS, judge};

const TURBINES: usize = 12;
const DAY: usize = 144;
const LEARNING: usize = 120 * DAY;
const FALSE_ALARMS: usize = 3 * 365 * DAY;
const FAULT: usize = 30 * DAY;
const TRIALS: usize = 24;

fn main() {
    let files: Vec<String> = std::env::args().skip(1).collect();
    if files.is_empty() { table() } else { files.iter().for_each(|file| pair(file)) }
}

/// Numbers that a seed repeats (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.next()).ln()).sqrt() * (std::f64::consts::TAU * self.next()).cos()
    }
}

/// Noise that remembers for so many windows: a first-order process of unit variance.
#[derive(Clone, Copy, Default)]
struct Slow(f64);

impl Slow {
    fn next(&mut self, windows: f64, random: &mut Random) -> f64 {
        let keeps = (-1.0 / windows).exp();
        self.0 = keeps * self.0 + (1.0 - keeps * keeps).sqrt() * random.normal();
        self.0
    }
}

/// A farm of 4 by 3, five diameters apart. Between turbines the 10-minute means differ by what a Kaimal spectrum leaves
/// of turbulence in them (2 % from one window to the next) and by what lasts (3.5 % over two hours, 2 % over a day): 4.5 %
/// in all, and as correlated after ten minutes, one and six hours as two real anemometers (0.73, 0.47, 0.20).
struct Farm {
    random: Random,
    weather: [Slow; 3],
    veer: Slow,
    turbines: Vec<Turbine>,
    window: usize,
}

#[derive(Clone, Copy, Default)]
struct Turbine {
    place: (f64, f64),
    offset: f64,
    vane: f64,
    hour: Slow,
    day: Slow,
    plant: Slow,
    away: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    Reads(f64),
    Iced,
    Derated(f64),
    Capped(f64),
    Yawed(f64),
}

impl Farm {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let turbine = |index: usize| Turbine {
            place: ((index % 4) as f64 * 5.0, (index / 4) as f64 * 5.0),
            offset: 0.03 * random.normal(),
            vane: 5.0 * random.normal(),
            ..Turbine::default()
        };
        let turbines = (0..TURBINES).map(turbine).collect();
        Self { random, weather: Default::default(), veer: Slow::default(), turbines, window: 0 }
    }

    /// The next ten minutes. The fault is of turbine 5, so many windows old.
    fn next(&mut self, fault: Option<(Fault, usize)>) -> (i64, BTreeMap<String, Means>) {
        let random = &mut self.random;
        let [fast, day, week] = &mut self.weather;
        let weather = 0.15 * fast.next(18.0, random) + 0.3 * day.next(144.0, random) + 0.3 * week.next(700.0, random);
        let free = 7.5 * weather.exp();
        let from = (240.0 + 80.0 * self.veer.next(250.0, random)).rem_euclid(360.0);
        let places: Vec<(f64, f64)> = self.turbines.iter().map(|turbine| turbine.place).collect();
        let mut means = BTreeMap::new();
        for (index, turbine) in self.turbines.iter_mut().enumerate() {
            let (hour, day) = (turbine.hour.next(12.0, random), turbine.day.next(144.0, random));
            let differs = 0.02 * random.normal() + 0.035 * hour + 0.02 * day;
            let wind = free * wake(index, &places, from, free) * differs.exp();
            let mut speed = wind * turbine.offset.exp();
            let mut power = curve(wind) * (0.015 * turbine.plant.next(36.0, random) + 0.01 * random.normal()).exp();
            if let Some((fault, age)) = fault.filter(|_| index == 5) {
                match fault {
                    Fault::Reads(share) => speed *= share,
                    Fault::Iced => speed *= 1.0 - 0.7 * (age as f64 / 36.0).min(1.0),
                    Fault::Derated(share) => power *= share,
                    Fault::Capped(share) => power = power.min(share),
                    Fault::Yawed(degrees) => power = curve(wind * degrees.to_radians().cos()),
                }
            }
            turbine.away = match turbine.away {
                0 if random.next() < 0.0005 => 60,
                away => away.saturating_sub(1),
            };
            let direction = Some((from + turbine.vane + 3.0 * random.normal()).rem_euclid(360.0));
            if turbine.away == 0 && random.next() > 0.01 {
                means.insert(format!("t{index:02}"), Means { speed: Some(speed), power: Some(power), direction });
            }
        }
        self.window += 1;
        (self.window as i64 * WINDOW_MS, means)
    }
}

/// What the wakes of those upwind leave (after Jensen 1983): more in light wind, where thrust is high.
fn wake(index: usize, places: &[(f64, f64)], from: f64, wind: f64) -> f64 {
    let (sin, cos) = from.to_radians().sin_cos();
    let mut lost = 0.0;
    for place in places {
        let (east, north) = (place.0 - places[index].0, place.1 - places[index].1);
        let (upwind, across) = (east * sin + north * cos, east * cos - north * sin);
        if upwind > 1.0 {
            let radius = 0.5 + 0.05 * upwind;
            let deficit = 0.5 * (0.5 / radius) * (-(across / radius).powi(2)).exp();
            lost += (deficit * (12.0 / wind.max(6.0)).min(1.4)).powi(2);
        }
    }
    1.0 - f64::sqrt(lost).min(0.6)
}

/// Share of rated power: a cube that bends into rated at 12 m/s.
fn curve(wind: f64) -> f64 {
    let cube = (wind / 11.5).powi(3);
    if wind < 3.0 { 0.0 } else { cube / (1.0 + cube.powi(4)).powf(0.25) }
}

fn table() {
    let chosen = Tuning::default();
    let candidates = [
        ("chosen", chosen),
        ("no sectors", Tuning { sectors: 1, ..chosen }),
        ("6 sectors", Tuning { sectors: 6, ..chosen }),
        ("plain mean and std", Tuning { learn_clip: f64::INFINITY, learn_square: 1.0, ..chosen }),
        ("plain, limit 75", Tuning { learn_clip: f64::INFINITY, learn_square: 1.0, limit: 75.0, ..chosen }),
        ("limit 100", Tuning { limit: 100.0, ..chosen }),
        ("borne 0.75", Tuning { borne: 0.75, ..chosen }),
        ("borne 0.75, limit 100", Tuning { borne: 0.75, limit: 100.0, ..chosen }),
        ("memory 300", Tuning { memory: 300.0, ..chosen }),
    ];
    let faults = [
        ("reads 5 % low", Fault::Reads(0.95), Measure::Speed),
        ("reads 10 % low", Fault::Reads(0.9), Measure::Speed),
        ("iced", Fault::Iced, Measure::Speed),
        ("derated 10 %", Fault::Derated(0.9), Measure::Power),
        ("derated 20 %", Fault::Derated(0.8), Measure::Power),
        ("capped at 50 %", Fault::Capped(0.5), Measure::Power),
        ("yawed 10 deg", Fault::Yawed(10.0), Measure::Power),
        ("yawed 20 deg", Fault::Yawed(20.0), Measure::Power),
    ];
    println!("False alarms a turbine-year, wind and power; then hours to detection, median (share found in 30 days).");
    print!("{:20} {:>6} {:>6}", "", "wind", "power");
    faults.iter().for_each(|(name, ..)| print!(" {name:>16}"));
    println!();
    for (name, tuning) in candidates {
        let (wind, power) = false_alarms(&tuning);
        print!("{name:20} {wind:6.2} {power:6.2}");
        for cell in detections(&tuning, &faults) {
            print!(" {cell:>16}");
        }
        println!();
    }
}

/// A farm and what is usual there.
struct Judged {
    farm: Farm,
    baselines: BTreeMap<String, Baseline>,
}

impl Judged {
    fn learned(seed: u64, tuning: &Tuning) -> Self {
        let mut judged = Self { farm: Farm::new(seed), baselines: BTreeMap::new() };
        (0..LEARNING).for_each(|_| drop(judged.step(None, tuning)));
        judged
    }

    fn step(&mut self, fault: Option<(Fault, usize)>, tuning: &Tuning) -> Vec<(String, Told)> {
        let (window_ms, means) = self.farm.next(fault);
        let mut all = Vec::new();
        for (turbine, (baseline, told)) in judge(&self.baselines, &means, window_ms, tuning) {
            all.extend(told.into_iter().map(|told| (turbine.clone(), told)));
            self.baselines.insert(turbine, baseline);
        }
        all
    }
}

fn false_alarms(tuning: &Tuning) -> (f64, f64) {
    let mut judged = Judged::learned(7, tuning);
    let mut opened = [0u32; 2];
    for _ in 0..FALSE_ALARMS {
        for (_, told) in judged.step(None, tuning) {
            opened[told.measure as usize] += u32::from(told.phase == AlertPhase::Open);
        }
    }
    let years = (FALSE_ALARMS / DAY * TURBINES) as f64 / 365.0;
    (f64::from(opened[0]) / years, f64::from(opened[1]) / years)
}

/// Every fault on its own in the same weather, trial after trial.
fn detections(tuning: &Tuning, faults: &[(&str, Fault, Measure)]) -> Vec<String> {
    let mut hours: Vec<Vec<f64>> = vec![Vec::new(); faults.len()];
    let mut asked = vec![0usize; faults.len()];
    let mut judged = Judged::learned(11, tuning);
    for _ in 0..TRIALS {
        (0..7 * DAY).for_each(|_| drop(judged.step(None, tuning)));
        for (index, (_, fault, measure)) in faults.iter().enumerate() {
            let mut world = Judged { farm: judged.farm.copied(), baselines: judged.baselines.clone() };
            if world.baselines["t05"].departs(*measure) {
                continue;
            }
            asked[index] += 1;
            let found = (0..FAULT).find(|age| {
                let told = world.step(Some((*fault, *age)), tuning);
                told.iter().any(|(turbine, told)| {
                    turbine == "t05" && told.measure == *measure && told.phase == AlertPhase::Open
                })
            });
            hours[index].extend(found.map(|age| (age + 1) as f64 / 6.0));
        }
    }
    let cell = |(hours, asked): (&mut Vec<f64>, &usize)| {
        hours.sort_by(f64::total_cmp);
        let median = hours.get(hours.len() / 2).map_or("-".into(), |median| format!("{median:.0}"));
        format!("{median} h ({:.0} %)", 100.0 * hours.len() as f64 / (*asked).max(1) as f64)
    };
    hours.iter_mut().zip(&asked).map(cell).collect()
}

impl Farm {
    fn copied(&self) -> Farm {
        Farm {
            random: Random(self.random.0),
            weather: self.weather,
            veer: self.veer,
            turbines: self.turbines.clone(),
            window: self.window,
        }
    }
}

/// Residuals of two anemometers on one mast: their spread, how long they last, and what the judge makes of them.
fn pair(file: &str) {
    let text = std::fs::read_to_string(file).unwrap();
    let rows: Vec<(f64, f64)> = text
        .lines()
        .skip(1)
        .filter_map(|line| {
            let mut cells = line.split(',').skip(1).map(|cell| cell.parse::<f64>().ok());
            Some((cells.next()??, cells.next()??))
        })
        .collect();
    let residuals: Vec<f64> = rows.iter().filter(|(a, b)| *a >= 4.0 && *b >= 4.0).map(|(a, b)| (a / b).ln()).collect();
    let mut sorted = residuals.clone();
    sorted.sort_by(f64::total_cmp);
    let quantile = |share: f64| sorted[((sorted.len() - 1) as f64 * share) as usize];
    let mean = residuals.iter().sum::<f64>() / residuals.len() as f64;
    let covariance = |lag: usize| {
        let pairs = residuals.iter().zip(&residuals[lag..]);
        pairs.map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>() / (residuals.len() - lag) as f64
    };
    let lags = [1, 6, 36, 144].map(|lag| format!("{:.2}", covariance(lag) / covariance(0)));
    let robust = (quantile(0.75) - quantile(0.25)) / 1.349;
    println!("{file}: {} windows above 4 m/s", residuals.len());
    println!("  log ratio: median {:.4}, std {:.4}, robust {robust:.4}", quantile(0.5), covariance(0).sqrt());
    println!("  correlation after 10 min, 1 h, 6 h, 1 day: {}", lags.join(", "));
    // The second is told twice, so that the median is its own and the first is the one that departs.
    let tuning = Tuning::default();
    let (mut baselines, mut told) = (BTreeMap::new(), Vec::new());
    for (index, (a, b)) in rows.iter().enumerate() {
        let of = |speed: f64| Means { speed: Some(speed), ..Means::default() };
        let means: BTreeMap<String, Means> =
            [("a", *a), ("b", *b), ("c", *b)].map(|(name, speed)| (name.to_string(), of(speed))).into();
        for (turbine, (baseline, news)) in judge(&baselines, &means, index as i64 * WINDOW_MS, &tuning) {
            told.extend(news.into_iter().filter(|news| news.phase == AlertPhase::Open));
            baselines.insert(turbine, baseline);
        }
    }
    println!("  alerts in {:.1} years: {}", rows.len() as f64 / 52_560.0, told.len());
}
