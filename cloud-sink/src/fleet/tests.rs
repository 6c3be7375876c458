use super::*;

/// A farm of which each turbine reads its own share of the wind, with a little noise of its own.
struct Farm {
    baselines: BTreeMap<String, Baseline>,
    window: i64,
    shares: Vec<f64>,
}

impl Farm {
    fn new(shares: &[f64]) -> Self {
        Self { baselines: BTreeMap::new(), window: 0, shares: shares.to_vec() }
    }

    fn means(&self, wind: f64, direction: f64) -> BTreeMap<String, Means> {
        let one = |(index, share): (usize, &f64)| {
            // From -3 to 3 per cent, other for each turbine and window.
            let noise = (((self.window as u64 + 1) * (index as u64 + 3) * 0x9e37_79b9) >> 16) % 61;
            let wind = wind * share * (1.0 + (noise as f64 - 30.0) / 1_000.0);
            let means = Means { speed: Some(wind), power: Some(wind.powi(3)), direction: Some(direction) };
            (format!("t{index}"), means)
        };
        self.shares.iter().enumerate().map(one).collect()
    }

    fn take(&mut self, means: &BTreeMap<String, Means>) -> Vec<(String, Told)> {
        self.window += 1;
        let mut all = Vec::new();
        for (turbine, (baseline, told)) in judge(&self.baselines, means, self.window * WINDOW_MS, &Tuning::default()) {
            all.extend(told.into_iter().map(|told| (turbine.clone(), told)));
            self.baselines.insert(turbine, baseline);
        }
        all
    }

    fn run(&mut self, windows: usize, wind: f64, direction: f64) -> Vec<(String, Told)> {
        (0..windows).flat_map(|_| self.take(&self.means(wind, direction))).collect()
    }
}

fn words(told: &[(String, Told)]) -> Vec<String> {
    told.iter().map(|(turbine, told)| format!("{} {turbine} {}", told.phase.name(), told.measure.name())).collect()
}

#[test]
fn a_turbine_that_departs_is_told_with_its_size_and_begin_and_again_when_it_is_back() {
    let mut farm = Farm::new(&[1.0, 0.9, 1.0, 0.8, 1.1]);
    assert_eq!(words(&farm.run(300, 9.0, 270.0)), [""; 0], "steady differences are no departures");
    let since_ms = (farm.window + 1) * WINDOW_MS;
    farm.shares[3] *= 0.85;
    let told = farm.run(200, 9.0, 270.0);
    assert_eq!(words(&told), ["open t3 wind speed", "open t3 power"]);
    let speed = told[0].1;
    assert!((speed.departs + 0.15).abs() < 0.02, "{}", speed.departs);
    assert!((told[1].1.departs + 0.386).abs() < 0.04, "{}", told[1].1.departs);
    assert_eq!((speed.severity, told[1].1.severity), (Severity::Warning, Severity::Critical));
    assert_eq!((speed.since_ms, speed.sector), (since_ms, Some((255, 285))));
    farm.shares[3] /= 0.85;
    let told = farm.run(300, 9.0, 270.0);
    assert_eq!(words(&told), ["clear t3 power", "clear t3 wind speed"], "what was farther away is believed sooner");
}

#[test]
fn a_few_windows_however_far_are_no_departure() {
    let mut farm = Farm::new(&[1.0; 5]);
    farm.run(300, 9.0, 270.0);
    farm.shares[2] = 0.1;
    assert_eq!(words(&farm.run(12, 9.0, 270.0)), [""; 0]);
    farm.shares[2] = 1.0;
    assert_eq!(words(&farm.run(300, 9.0, 270.0)), [""; 0]);
}

#[test]
fn what_says_nothing_is_not_learned_from() {
    for (case, turbines, wind) in [("two turbines", 2, 9.0), ("a calm", 5, 3.5)] {
        let mut farm = Farm::new(&vec![1.0; turbines]);
        farm.run(10, wind, 0.0);
        assert!(farm.baselines.is_empty(), "{case}");
    }
}

#[test]
fn a_wake_is_usual_from_where_it_comes_and_nowhere_else() {
    let mut farm = Farm::new(&[1.0; 5]);
    for _ in 0..20 {
        farm.shares[0] = 0.75;
        assert_eq!(words(&farm.run(24, 9.0, 90.0)), [""; 0]);
        farm.shares[0] = 1.0;
        assert_eq!(words(&farm.run(24, 9.0, 180.0)), [""; 0]);
    }
    farm.shares[0] = 0.75;
    assert_eq!(words(&farm.run(200, 9.0, 180.0)), ["open t0 wind speed", "open t0 power"]);
}

#[test]
fn turbines_that_are_missing_move_nobody_else() {
    let mut farm = Farm::new(&[0.7, 0.7, 1.0, 1.3, 1.3]);
    farm.run(300, 9.0, 270.0);
    let mut told = Vec::new();
    for _ in 0..300 {
        let mut means = farm.means(9.0, 270.0);
        means.retain(|turbine, _| turbine != "t0" && turbine != "t1");
        told.extend(farm.take(&means));
    }
    assert_eq!(words(&told), [""; 0], "the median of those that are left is another, what is usual for them is not");
}

#[test]
fn a_turbine_that_stands_still_departs_in_power_only() {
    let mut farm = Farm::new(&[1.0; 5]);
    farm.run(300, 9.0, 270.0);
    let mut told = Vec::new();
    for _ in 0..200 {
        let mut means = farm.means(9.0, 270.0);
        means.get_mut("t4").unwrap().power = Some(-12.0);
        told.extend(farm.take(&means));
    }
    assert_eq!(words(&told), ["open t4 power"]);
    assert!(told[0].1.departs < -0.9);
}

#[test]
fn a_baseline_comes_back_from_its_text_as_it_was_and_is_small() {
    let mut farm = Farm::new(&[1.0; 5]);
    for sector in 0..12 {
        for wind in [5.5, 9.0, 14.0] {
            farm.run(100, wind, 30.0 * f64::from(sector));
        }
    }
    let text = serde_json::to_string(&farm.baselines["t2"]).unwrap();
    assert_eq!(serde_json::from_str::<Baseline>(&text).unwrap(), farm.baselines["t2"]);
    assert!(text.len() < 4_096, "{} bytes", text.len());
}

#[test]
fn directions_go_round() {
    for (degrees, sector) in [(0.0, 0), (359.0, 0), (14.9, 0), (15.0, 1), (345.0, 0), (344.9, 11), (180.0, 6)] {
        assert_eq!(sector_of(degrees, 12), sector, "{degrees}");
    }
    assert_eq!(direction([350.0, 10.0, 12.0].into_iter()), Some(10.0));
    assert_eq!(direction([359.0, 1.0, 358.0, 180.0].into_iter()), Some(359.0));
    assert_eq!(direction(std::iter::empty()), None);
    assert_eq!(bounds(0, 12), (345, 15));
}

#[test]
fn location_and_spread_are_learned_as_they_are_though_what_is_far_is_clipped() {
    let (mut cell, mut state) = (Cell::default(), 7u64);
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    for index in 0..20_000 {
        // Twelve uniform numbers make a normal one; every fiftieth is ice.
        let normal = (0..12).map(|_| uniform()).sum::<f64>() - 6.0;
        let residual = if index % 50 == 0 { -1.0 } else { -0.2 + 0.05 * normal };
        cell.learn(residual, &Tuning::default());
    }
    assert!((f64::from(cell.mean) + 0.2).abs() < 0.006, "{cell:?}");
    assert!((f64::from(cell.spread) - 0.05).abs() < 0.006, "{cell:?}");
}
