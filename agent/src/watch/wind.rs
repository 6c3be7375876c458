//! Wind that is dangerous though every sensor is well: gusts, cut-out, turbulence. Pure; time is an argument.
//!
//! Source: IEC 61400-1 ed. 3, section 6.3 (wind conditions): turbulence intensity classes, the extreme operating gust, the
//! extreme coherent gust; cut-out by the 10-minute mean with a lower restart, as turbine controllers do it.

use crate::time::Mono;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// What the turbine was built for: the `[detect.turbine]` table.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Turbine {
    /// Reference speed, m/s: 50 for class I, 42.5 for II, 37.5 for III.
    pub reference_speed: f64,
    /// Reference turbulence intensity at 15 m/s: 0.16 for class A, 0.14 for B, 0.12 for C.
    pub reference_turbulence: f64,
    /// Rotor diameter, m.
    pub rotor_m: f64,
    /// 10-minute mean at which the turbine cuts out, m/s.
    pub cut_out: f64,
    /// 10-minute mean below which it starts again, m/s.
    pub restart: f64,
}

impl Default for Turbine {
    /// Class IA, a rotor of 90 m, out at 25 m/s and back at 22 m/s.
    fn default() -> Self {
        Turbine { reference_speed: 50.0, reference_turbulence: 0.16, rotor_m: 90.0, cut_out: 25.0, restart: 22.0 }
    }
}

impl Turbine {
    /// The settings with their limits, for the check of the table that holds them.
    pub(super) fn limits(&self) -> [(&'static str, f64, f64, f64); 5] {
        [
            ("turbine.reference_speed", self.reference_speed, 20.0, 80.0),
            ("turbine.reference_turbulence", self.reference_turbulence, 0.05, 0.3),
            ("turbine.rotor_m", self.rotor_m, 1.0, 400.0),
            ("turbine.cut_out", self.cut_out, 5.0, 60.0),
            ("turbine.restart", self.restart, 3.0, self.cut_out),
        ]
    }

    /// Standard deviation that 90 % of the 10-minute windows with this mean stay below (normal turbulence model).
    fn deviation(&self, mean: f64) -> f64 {
        self.reference_turbulence * (0.75 * mean + 5.6)
    }

    /// Size of the extreme operating gust at this 10-minute mean, m/s.
    fn operating_gust(&self, mean: f64) -> f64 {
        let yearly = 0.8 * 1.4 * self.reference_speed;
        let by_turbulence = 3.3 * self.deviation(mean) / (1.0 + 0.1 * self.rotor_m / TURBULENCE_SCALE_M);
        by_turbulence.min(1.35 * (yearly - mean)).max(0.0)
    }
}

/// Longitudinal turbulence scale for hubs above 60 m.
const TURBULENCE_SCALE_M: f64 = 42.0;
/// Length of the extreme operating gust, ms; readings farther apart than a third of it cannot show one.
const GUST_MS: u64 = 10_500;
/// A gust is told of from this many times what the class foresees: in turbulent wind the once is nothing rare.
const GUST_TIMES: f64 = 2.0;
/// Readings before there is a mean to hold a gust against.
const GUST_SETTLING: u32 = 20;
/// Length of the mean that decides on cut-out, and of the window turbulence is judged over, ms.
const MEAN_MS: u64 = 600_000;
/// Windows in a row above the class before turbulence is told of: one in ten is by definition.
const WINDOWS: u32 = 6;
/// Below this mean, m/s, turbulence loads nothing.
const TURBULENT_FROM: f64 = 6.0;
/// Fewest readings of a window whose deviation means something.
const LEAST_READINGS: u32 = 60;

/// What the wind does.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Weather {
    /// A gust beyond the design's: its rise, and the greatest the class foresees, m/s.
    pub(super) gust: Option<(f64, f64)>,
    /// 10-minute mean, m/s, once there is one.
    pub(super) mean: Option<f64>,
    /// Turbulence beyond the class for an hour: the last window's deviation, and the class's, m/s.
    pub(super) turbulence: Option<(f64, f64)>,
}

/// Watches the wind of one anemometer.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Wind {
    /// The last readings of a gust's length.
    recent: VecDeque<(u64, f64)>,
    /// Sums of tenths of the mean's length: start, readings, sum.
    tenths: VecDeque<(u64, u32, f64)>,
    window: Window,
    turbulent: u32,
    last_window: Option<(f64, f64)>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Window {
    since: u64,
    readings: u32,
    mean: f64,
    squares: f64,
}

impl Wind {
    /// Takes a speed in m/s.
    pub(super) fn observe(&mut self, now: Mono, speed: f64, turbine: &Turbine) -> Weather {
        let mean = self.mean(now.0, speed);
        self.turbulence(now.0, speed, turbine);
        let turbulence = self.last_window.filter(|_| self.turbulent >= WINDOWS);
        Weather { gust: self.gust(now.0, speed, turbine), mean, turbulence }
    }

    /// After a restart the clock is another one: what is counted in it begins anew.
    pub(super) fn restart(&mut self) {
        *self = Wind::default();
    }

    /// What came last was no wind: no gust is held against it.
    pub(super) fn interrupt(&mut self) {
        self.recent.clear();
    }

    fn mean(&mut self, now: u64, speed: f64) -> Option<f64> {
        match self.tenths.back_mut() {
            Some((since, readings, sum)) if now.saturating_sub(*since) < MEAN_MS / 10 => {
                *readings += 1;
                *sum += speed;
            }
            _ => self.tenths.push_back((now, 1, speed)),
        }
        let mut whole = false;
        while self.tenths.front().is_some_and(|(since, ..)| now.saturating_sub(*since) >= MEAN_MS) {
            whole = true;
            if self.tenths.len() == 1 {
                break;
            }
            self.tenths.pop_front();
        }
        let spans = self.tenths.front().is_some_and(|(since, ..)| now.saturating_sub(*since) >= MEAN_MS * 8 / 10);
        let (readings, sum) = self.sums();
        (whole || spans).then(|| sum / f64::from(readings))
    }

    /// Readings of the mean's length, or those there are, and their sum.
    fn sums(&self) -> (u32, f64) {
        self.tenths.iter().fold((0, 0.0), |(n, s), (_, readings, sum)| (n + readings, s + sum))
    }

    fn gust(&mut self, now: u64, speed: f64, turbine: &Turbine) -> Option<(f64, f64)> {
        while self.recent.front().is_some_and(|(at, _)| now.saturating_sub(*at) > GUST_MS) {
            self.recent.pop_front();
        }
        // A gust is seen only by readings within it.
        let close = self.recent.back().is_some_and(|(at, _)| now.saturating_sub(*at) <= GUST_MS / 3);
        // None is NaN; `f64::min` would ask each.
        let low = self.recent.iter().fold(f64::INFINITY, |low, (_, speed)| if *speed < low { *speed } else { low });
        self.recent.push_back((now, speed));
        let (readings, sum) = self.sums();
        let foreseen = turbine.operating_gust(sum / f64::from(readings.max(1)));
        let settled = readings >= GUST_SETTLING;
        (close && settled && speed - low > GUST_TIMES * foreseen).then_some((speed - low, foreseen))
    }

    fn turbulence(&mut self, now: u64, speed: f64, turbine: &Turbine) {
        let window = &mut self.window;
        if now.saturating_sub(window.since) >= MEAN_MS {
            if window.readings >= LEAST_READINGS {
                let deviation = (window.squares / f64::from(window.readings)).sqrt();
                let foreseen = turbine.deviation(window.mean);
                let beyond = window.mean >= TURBULENT_FROM && deviation > foreseen;
                self.turbulent = if beyond { self.turbulent.saturating_add(1) } else { 0 };
                self.last_window = Some((deviation, foreseen));
            }
            *window = Window { since: now, ..Window::default() };
        }
        window.readings += 1;
        let off = speed - window.mean;
        window.mean += off / f64::from(window.readings);
        window.squares += off * (speed - window.mean);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten minutes at 1 Hz about `mean`, by turns so much above and below. Gives whether turbulence was told at the end.
    fn window(wind: &mut Wind, nth: u64, mean: f64, deviation: f64) -> bool {
        let speed = |second: u64| mean + if second.is_multiple_of(2) { deviation } else { -deviation };
        let observe =
            |second: u64| wind.observe(Mono((nth * 600 + second) * 1_000), speed(second), &Turbine::default());
        (1..601).map(observe).last().is_some_and(|weather| weather.turbulence.is_some())
    }

    #[test]
    fn turbulence_is_told_after_an_hour_on_end_and_not_in_light_wind() {
        let told = |windows: &[(f64, f64)]| {
            let mut wind = Wind::default();
            (0..).zip(windows).any(|(nth, (mean, off))| window(&mut wind, nth, *mean, *off))
        };
        let (rough, smooth, light) = ((12.0, 3.0), (12.0, 1.0), (5.0, 2.5));
        assert!(told(&[rough; 9]));
        assert!(!told(&[rough, rough, rough, rough, smooth, rough, rough, rough, rough]));
        assert!(!told(&[smooth; 9]) && !told(&[light; 9]));
    }

    #[test]
    fn a_gust_is_a_rise_within_ten_seconds_of_readings_that_are_close() {
        let gust = |step_ms: u64, rise: u64| {
            let mut wind = Wind::default();
            let speed = |at: u64| 8.0 + 16.0 * (at.saturating_sub(100) as f64 / rise as f64).min(1.0);
            (0..200).any(|at| wind.observe(Mono(at * step_ms), speed(at), &Turbine::default()).gust.is_some())
        };
        assert!(gust(1_000, 5) && gust(100, 50));
        assert!(!gust(1_000, 40), "too slow for a gust");
        assert!(!gust(5_000, 1), "nobody saw how it rose");
    }
}
