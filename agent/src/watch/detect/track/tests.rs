//! What one signal does, and what is said of it.

use super::*;

const LOG_RETURN: f64 = 9.0;

/// Wind, one reading a second: gusts of some seconds on slow weather.
struct Wind {
    state: u64,
    gust: f64,
    slow: f64,
}

impl Wind {
    fn new(seed: u64) -> Self {
        Wind { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, gust: 0.0, slow: 0.0 }
    }

    /// Nearly normal, of deviation 1.
    fn normal(&mut self) -> f64 {
        let mut sum = 0.0;
        for _ in 0..12 {
            self.state ^= self.state << 13;
            self.state ^= self.state >> 7;
            self.state ^= self.state << 17;
            sum += (self.state >> 11) as f64 / (1u64 << 53) as f64;
        }
        sum - 6.0
    }

    fn blow(&mut self) -> f64 {
        self.gust = 0.95 * self.gust + 0.3 * self.normal();
        self.slow = 0.999 * self.slow + 0.03 * self.normal();
        10.0 + self.gust + self.slow
    }
}

/// Readings in which the wind becomes known; what is told of in them is `tail.rs`'s matter.
const LEARNED: usize = 3_600;

/// All that was told of later, with the reading at which it was.
fn told(values: impl Iterator<Item = f64>) -> Vec<(usize, Act)> {
    let mut track = Track::new(64, Care::Wary);
    let found = values.enumerate().filter_map(|(at, value)| Some((at, track.observe(value, 0.006, LOG_RETURN)?)));
    found.filter(|(at, found)| *at > LEARNED && found.ratio > BEYOND).map(|(at, found)| (at, found.act)).collect()
}

/// How much of the wind an iced cup shows: less and less, then all of it again as the ice goes.
fn iced(at: usize, start: usize) -> f64 {
    match at.saturating_sub(start) as f64 / 4_000.0 {
        share @ 0.0..0.6 => 1.0 - 0.7 * share / 0.6,
        0.6..0.9 => 0.3,
        share @ 0.9..1.0 => 0.3 + 7.0 * (share - 0.9),
        _ => 1.0,
    }
}

#[test]
fn a_day_of_usual_wind_is_nothing_once_it_is_known() {
    for seed in 1..=3 {
        let mut wind = Wind::new(seed);
        assert_eq!(told((0..86_400).map(|_| wind.blow())), [], "seed {seed}");
    }
}

#[test]
fn a_cup_that_sheds_its_ice_over_minutes_drifts() {
    for seed in 1..=5 {
        let mut wind = Wind::new(seed);
        let told = told((0..26_000).map(|at| wind.blow() * iced(at, 20_000)));
        let drifts = told.iter().filter(|(_, act)| matches!(act, Act::Drift { from, to, .. } if to > from));
        let shed = drifts.clone().filter(|(at, _)| (23_600..24_300).contains(at)).count();
        assert!((1..=2).contains(&shed), "seed {seed}: {told:?}");
    }
}

#[test]
fn wind_that_rises_as_far_out_of_lively_air_is_no_drift() {
    for seed in 1..=5 {
        let mut wind = Wind::new(seed);
        let rise = |at: usize| 4.0 * ((at as f64 - 20_000.0) / 400.0).clamp(0.0, 1.0);
        let told = told((0..26_000).map(|at| wind.blow() + rise(at)));
        assert!(!told.iter().any(|(_, act)| matches!(act, Act::Drift { .. })), "seed {seed}: {told:?}");
    }
}

#[test]
fn a_step_of_seven_usual_changes_is_a_jump_at_once() {
    for seed in 1..=5 {
        let mut wind = Wind::new(seed);
        let step = |at: usize| if at < 20_000 { 0.0 } else { 2.1 };
        let told = told((0..20_010).map(|at| wind.blow() + step(at)));
        assert!(matches!(told[..], [(20_000, Act::Jump { within: 1, .. }), ..]), "seed {seed}: {told:?}");
    }
}
