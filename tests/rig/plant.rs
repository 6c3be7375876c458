//! A simulated turbine: wind with realistic turbulence, what the machine makes of it, and what its sensors say,
//! faults included. Pure and seeded: the same seed and times give the same samples.
//!
//! Turbulence is a sum of five Ornstein-Uhlenbeck processes whose spectrum follows the Kaimal spectrum of
//! IEC 61400-1 (annex B) within 10 % from 0.003 to 30 in reduced frequency; its standard deviation is that of the
//! normal turbulence model (IEC 61400-1, 6.3.1.3), class B.

use crate::random::Random;
use std::f64::consts::PI;
use std::fmt;
use std::str::FromStr;

/// Time step of the simulation, ms.
const STEP_MS: u64 = 50;
/// Length scale of the longitudinal component at hub heights over 60 m, m (IEC 61400-1, table B.1).
const LENGTH_M: f64 = 340.2;
/// Reference turbulence intensity of class B.
const I_REF: f64 = 0.14;
/// Time constants of the five processes, in units of length scale over mean wind speed.
const TIME_CONSTANTS: [f64; 5] = [2.0, 0.5, 0.12, 0.03, 0.008];
/// Their shares of the variance, fitted to the Kaimal spectrum by least squares.
const SHARES: [f64; 5] = [0.32, 0.43, 0.18, 0.04, 0.03];
/// Time in which rotor and power follow the wind, s.
const ROTOR_S: f64 = 5.0;
/// Rated power, kW, and the wind speeds of the power curve, m/s.
const RATED_KW: f64 = 2_000.0;
const CUT_IN_MPS: f64 = 3.0;
const RATED_MPS: f64 = 12.0;
const CUT_OUT_MPS: f64 = 25.0;
/// Duration of the extreme operating gust, ms (IEC 61400-1, 6.3.2.2).
pub const GUST_MS: u64 = 10_500;
/// How many times the extreme operating gust of the class an injected gust is: one that the machine is not built for,
/// so that an alarm is right.
const GUST_TIMES: f64 = 4.0;
/// Time in which ice slows an anemometer down, ms, and the share of the wind it measures then.
const ICING_MS: u64 = 20_000;
const ICED_SHARE: f64 = 0.3;
/// Standard deviation of what the second anemometer measures beside the wind, m/s: the rotor's wake, its own bearing.
const SECOND_NOISE_MPS: f64 = 0.1;
/// Time between two spikes, ms, and their height, m/s.
const SPIKE_EVERY_MS: u64 = 4_000;
const SPIKE_MPS: f64 = 62.0;

/// What can go wrong at a turbine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A gust in the shape of the extreme operating gust, four times as high.
    Gust,
    /// The anemometer repeats its last value.
    Stuck,
    /// Ice slows the first anemometer down, more and more, while the second and the rotor turn on.
    Icing,
    /// The device does not answer.
    Dropout,
    /// Single readings far beyond the wind: a bad contact.
    Spike,
}

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 5] = [Fault::Gust, Fault::Stuck, Fault::Icing, Fault::Dropout, Fault::Spike];

    /// Its name on the command line, in URLs and in logs.
    pub fn name(self) -> &'static str {
        match self {
            Fault::Gust => "gust",
            Fault::Stuck => "stuck",
            Fault::Icing => "icing",
            Fault::Dropout => "dropout",
            Fault::Spike => "spike",
        }
    }

    /// How long it lasts when nobody says, ms.
    pub fn usual_ms(self) -> u64 {
        match self {
            Fault::Gust => GUST_MS,
            Fault::Stuck => 20_000,
            Fault::Icing => 40_000,
            Fault::Dropout => 10_000,
            Fault::Spike => 12_000,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Fault::ALL.into_iter().find(|fault| fault.name() == text);
        known.ok_or_else(|| format!("`{text}` is no fault; there are gust, stuck, icing, dropout, spike"))
    }
}

/// What the sensors of a turbine say at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Wind speed by the first anemometer, m/s.
    pub wind_mps: f64,
    /// Wind speed by the second anemometer, beside it on the nacelle, m/s. It has no faults but the device's silence.
    pub second_wind_mps: f64,
    /// Direction the wind comes from, degrees from north.
    pub direction_deg: f64,
    /// Air temperature, °C.
    pub temperature_c: f64,
    /// Rotor speed, 1/min.
    pub rotor_rpm: f64,
    /// Active power, kW.
    pub power_kw: f64,
}

/// A turbine.
#[derive(Clone, Debug)]
pub struct Turbine {
    random: Random,
    at_ms: u64,
    mean_mps: f64,
    drift_mps: f64,
    turbulence: [f64; 5],
    direction_deg: f64,
    temperature_c: f64,
    rotor_wind_mps: f64,
    /// What the second anemometer measures beside the wind. Its random numbers are its own: it changes no wind.
    second_noise_mps: f64,
    second_random: Random,
    faults: Vec<Injected>,
    said: Option<f64>,
}

#[derive(Clone, Copy, Debug)]
struct Injected {
    fault: Fault,
    start_ms: u64,
    end_ms: u64,
    /// The anemometer's last word before a stuck fault.
    held: Option<f64>,
    spikes: u64,
}

impl Turbine {
    /// A turbine at time 0. Turbines of different seeds stand in different wind.
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mean_mps = 7.5 + 3.0 * random.uniform();
        let turbulence = std::array::from_fn(|_| random.normal());
        Self {
            at_ms: 0,
            mean_mps,
            drift_mps: 0.0,
            turbulence,
            direction_deg: 210.0 + 40.0 * random.uniform(),
            // Cold enough for ice.
            temperature_c: -2.0 + 4.0 * random.uniform(),
            rotor_wind_mps: mean_mps,
            second_noise_mps: 0.0,
            second_random: Random::new(!seed),
            faults: Vec::new(),
            said: None,
            random,
        }
    }

    /// Lets a fault begin at `start_ms`.
    pub fn inject(&mut self, fault: Fault, start_ms: u64, for_ms: u64) {
        self.faults.push(Injected { fault, start_ms, end_ms: start_ms + for_ms, held: None, spikes: 0 });
    }

    /// What the sensors say at `at_ms`, or `None` when they do not answer. Times must not go back.
    pub fn sample(&mut self, at_ms: u64) -> Option<Sample> {
        while self.at_ms + STEP_MS <= at_ms {
            self.step();
        }
        self.faults.retain(|injected| injected.end_ms > at_ms);
        let wind_mps = self.wind();
        let mut sample = Sample {
            wind_mps,
            second_wind_mps: (wind_mps + self.second_noise_mps).max(0.0),
            direction_deg: self.direction_deg.rem_euclid(360.0),
            temperature_c: self.temperature_c,
            rotor_rpm: rotor_rpm(self.rotor_wind_mps),
            power_kw: power_kw(self.rotor_wind_mps),
        };
        let mut answers = true;
        let said = self.said;
        for injected in self.faults.iter_mut().filter(|injected| injected.start_ms <= at_ms) {
            let since_ms = at_ms - injected.start_ms;
            match injected.fault {
                Fault::Gust => {}
                Fault::Stuck => sample.wind_mps = *injected.held.get_or_insert(said.unwrap_or(wind_mps)),
                Fault::Icing => {
                    sample.wind_mps *= 1.0 - (1.0 - ICED_SHARE) * (since_ms as f64 / ICING_MS as f64).min(1.0);
                }
                Fault::Dropout => answers = false,
                Fault::Spike => {
                    if since_ms >= injected.spikes * SPIKE_EVERY_MS {
                        injected.spikes += 1;
                        sample.wind_mps = SPIKE_MPS;
                    }
                }
            }
        }
        self.said = Some(sample.wind_mps);
        answers.then_some(sample)
    }

    fn wind(&self) -> f64 {
        let mean = self.mean_mps + self.drift_mps;
        let turbulence: f64 = self.turbulence.iter().zip(SHARES).map(|(wave, share)| wave * share.sqrt()).sum();
        let gusts = self.faults.iter().filter(|injected| injected.fault == Fault::Gust);
        let gust: f64 = gusts.map(|injected| extreme_gust(mean, self.at_ms, injected.start_ms)).sum();
        (mean + sigma(mean) * turbulence + GUST_TIMES * gust).max(0.0)
    }

    fn step(&mut self) {
        let dt = STEP_MS as f64 / 1000.0;
        let mean = self.mean_mps + self.drift_mps;
        for (wave, constant) in self.turbulence.iter_mut().zip(TIME_CONSTANTS) {
            *wave = follow(*wave, dt, constant * LENGTH_M / mean, &mut self.random);
        }
        self.drift_mps = 0.6 * follow(self.drift_mps / 0.6, dt, 1_800.0, &mut self.random);
        self.direction_deg += 0.4 * dt.sqrt() * self.random.normal();
        self.temperature_c += 0.01 * dt.sqrt() * self.random.normal();
        self.second_noise_mps = SECOND_NOISE_MPS * self.second_random.normal();
        self.at_ms += STEP_MS;
        self.rotor_wind_mps += (self.wind() - self.rotor_wind_mps) * (1.0 - (-dt / ROTOR_S).exp());
    }
}

/// One exact step of an Ornstein-Uhlenbeck process of unit variance.
fn follow(value: f64, dt: f64, constant: f64, random: &mut Random) -> f64 {
    let kept = (-dt / constant).exp();
    value * kept + (1.0 - kept * kept).sqrt() * random.normal()
}

/// Standard deviation of the normal turbulence model.
fn sigma(mean_mps: f64) -> f64 {
    I_REF * (0.75 * mean_mps + 5.6)
}

/// The extreme operating gust's share of the wind: a dip, a rise, a dip. Rotor of 80 m, turbulence scale of 42 m.
fn extreme_gust(mean_mps: f64, at_ms: u64, start_ms: u64) -> f64 {
    if !(start_ms..start_ms + GUST_MS).contains(&at_ms) {
        return 0.0;
    }
    let height = 3.3 * sigma(mean_mps) / (1.0 + 0.1 * 80.0 / 42.0);
    let t = (at_ms - start_ms) as f64 / GUST_MS as f64;
    -0.37 * height * (3.0 * PI * t).sin() * (1.0 - (2.0 * PI * t).cos())
}

fn power_kw(wind_mps: f64) -> f64 {
    if !(CUT_IN_MPS..CUT_OUT_MPS).contains(&wind_mps) {
        return 0.0;
    }
    let share = (wind_mps.powi(3) - CUT_IN_MPS.powi(3)) / (RATED_MPS.powi(3) - CUT_IN_MPS.powi(3));
    RATED_KW * share.min(1.0)
}

fn rotor_rpm(wind_mps: f64) -> f64 {
    if !(CUT_IN_MPS..CUT_OUT_MPS).contains(&wind_mps) {
        return 0.0;
    }
    (6.0 + (wind_mps - CUT_IN_MPS)).min(15.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_wind_and_another_seed_other_wind() {
        let run = |seed| {
            let mut turbine = Turbine::new(seed);
            (0..600).map(|n| turbine.sample(n * 200).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
    }

    #[test]
    fn turbulence_has_the_strength_and_the_memory_of_the_standard() {
        // Long enough that the estimate of the slowest process settles.
        let (mut ratios, mut memory) = (Vec::new(), Vec::new());
        for seed in 0..20 {
            let mut turbine = Turbine::new(seed);
            let winds: Vec<f64> = (0..7_200).map(|n| turbine.sample(n * 500).unwrap().wind_mps).collect();
            let mean = winds.iter().sum::<f64>() / winds.len() as f64;
            let covariance = |lag: usize| {
                let pairs = winds.iter().zip(&winds[lag..]);
                pairs.map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>() / (winds.len() - lag) as f64
            };
            ratios.push(covariance(0).sqrt() / sigma(mean));
            memory.push(covariance(20) / covariance(0));
        }
        let average = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        assert!((0.85..1.15).contains(&average(&ratios)), "{}", average(&ratios));
        // Ten seconds at about 9 m/s: the Kaimal spectrum's autocorrelation is about 0.6 there.
        assert!((0.45..0.75).contains(&average(&memory)), "{}", average(&memory));
    }

    #[test]
    fn a_gust_dips_rises_and_ends() {
        let (mean, start) = (9.0, 1_000);
        let at = |share: f64| extreme_gust(mean, start + (share * GUST_MS as f64) as u64, start);
        assert!(at(0.2) < 0.0 && at(0.8) < 0.0);
        assert!((at(0.5) - 0.74 * 3.3 * sigma(mean) / (1.0 + 8.0 / 42.0)).abs() < 0.01);
        assert_eq!((at(-0.01), at(1.0)), (0.0, 0.0));
    }

    #[test]
    fn faults_are_in_the_sensors_and_end() {
        let mut turbine = Turbine::new(1);
        turbine.sample(0);
        turbine.inject(Fault::Stuck, 1_000, 2_000);
        turbine.inject(Fault::Dropout, 5_000, 1_000);
        turbine.inject(Fault::Spike, 8_000, 5_000);
        turbine.inject(Fault::Icing, 20_000, 30_000);
        let mut clean = Turbine::new(1);
        let wind: Vec<f64> = (0..520).map(|n| clean.sample(n * 100).unwrap().wind_mps).collect();
        let samples: Vec<_> = (0..520).map(|n| turbine.sample(n * 100).map(|sample| sample.wind_mps)).collect();
        assert!(samples[10..30].iter().all(|wind| *wind == samples[9]), "stuck repeats its last value");
        assert_ne!(samples[35], samples[9]);
        assert!(samples[50..60].iter().all(Option::is_none) && samples[60].is_some(), "dropout");
        let spikes: Vec<_> = (0..520).filter(|n| samples[*n] == Some(SPIKE_MPS)).collect();
        assert_eq!(spikes, [80, 120]);
        for (at, share) in [(200, 1.0), (300, 0.65), (400, 0.3), (499, 0.3), (500, 1.0)] {
            assert!(
                (samples[at].unwrap() - share * wind[at]).abs() < 1e-9,
                "icing, {} s after its start",
                at / 10 - 20
            );
        }
    }

    #[test]
    fn the_second_anemometer_measures_the_wind_whatever_ails_the_first() {
        let mut turbine = Turbine::new(1);
        turbine.inject(Fault::Icing, 0, 60_000);
        let mut clean = Turbine::new(1);
        let mut off =
            |n: u64| turbine.sample(n * 100).unwrap().second_wind_mps - clean.sample(n * 100).unwrap().wind_mps;
        let off: Vec<f64> = (1..600).map(&mut off).collect();
        let deviation = (off.iter().map(|off| off * off).sum::<f64>() / off.len() as f64).sqrt();
        assert!((0.08..0.12).contains(&deviation), "{deviation}");
    }

    #[test]
    fn power_follows_the_curve() {
        for (wind, power) in [(2.9, 0.0), (3.0, 0.0), (12.0, RATED_KW), (20.0, RATED_KW), (25.0, 0.0)] {
            assert_eq!(power_kw(wind), power, "at {wind} m/s");
        }
        assert!((power_kw(9.0) - 826.0).abs() < 5.0, "{}", power_kw(9.0));
    }
}
