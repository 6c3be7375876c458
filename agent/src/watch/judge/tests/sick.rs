//! A sick sensor says nothing about the wind, and what it did teaches nothing.

use super::*;

/// Steps told of in these rows, the first of them at second 3,600.
fn told(judge: &mut Judge, rows: impl Iterator<Item = Vec<Reading>>) -> Vec<(u64, AlertKind, AlertPhase, String)> {
    let mut told = vec![];
    for (second, row) in (3_600..).zip(rows) {
        let alerts = judge.judge(at(second), &row).alerts;
        told.extend(alerts.into_iter().map(|alert| (second, alert.kind, alert.phase, alert.channel)));
    }
    told
}

#[test]
fn a_sensor_that_comes_free_in_another_wind_tells_of_neither_a_gust_nor_a_jump() {
    for seed in 0..4 {
        let (mut judge, mut breeze) = warm(seed);
        let held = std::iter::repeat_n(8.01, 60);
        // A storm came while it was held.
        let free: Vec<f64> = (0..300).map(|_| breeze.next() + 13.0).collect();
        let told = told(&mut judge, held.chain(free).map(|value| vec![wind(value)]));
        assert!(told.iter().any(|(second, kind, ..)| *kind == AlertKind::Stuck && *second < 3_640), "{told:?}");
        let later = told.iter().filter(|(second, _, phase, _)| *second >= 3_650 && *phase == AlertPhase::Open);
        assert_eq!(later.count(), 0, "seed {seed}: {told:?}");
    }
}

#[test]
fn a_gust_is_told_by_the_sensor_that_is_well_and_not_by_the_one_that_is_off() {
    let channels = [(Quantity::WindSpeed, true), (Quantity::WindSpeed, true)];
    let mut device = device_of(&channels);
    device.channels[1].channel.name = "well".to_owned();
    let mut judge = Judge::new(device, &DetectConfig::default(), 1);
    let (mut breeze, mut noise) = (Breeze::new(1), Breeze::new(2));
    let mut row = |off: f64, gust: f64| {
        let speed = breeze.next() + gust;
        vec![wind(speed - off), wind(speed + 0.05 * noise.normal())]
    };
    for second in 0..3_600 {
        judge.learn(at(second), &row(0.0, 0.0));
    }
    let gust = |second: u64| 16.0 * ((second as f64 - 200.0) / 6.0).clamp(0.0, 1.0);
    let rows: Vec<_> = (0..210).map(|second| row(if second < 100 { 0.0 } else { 3.0 }, gust(second))).collect();
    let told = told(&mut judge, rows.into_iter());
    let open = |of: AlertKind| {
        let mut all = told.iter().filter(move |(_, kind, phase, _)| *kind == of && *phase == AlertPhase::Open);
        (all.next().map(|(.., channel)| channel.as_str()), all.count())
    };
    // Nobody knows how cold it is, and it reads far less.
    assert_eq!(open(AlertKind::Iced), (Some("wind"), 0), "{told:?}");
    assert_eq!(open(AlertKind::Gust), (Some("well"), 0), "{told:?}");
    // Nor is anything else told of the one that is off.
    assert!(told.iter().all(|(_, kind, _, channel)| channel == "well" || *kind == AlertKind::Iced), "{told:?}");
}

#[test]
fn nothing_is_compared_across_a_pause_in_which_no_row_came() {
    let (mut judge, mut breeze) = warm(5);
    for second in 3_600..3_604 {
        assert_eq!(judge.judge(at(second), &[wind(8.01)]).alerts, []);
    }
    // An hour later the same value again is no hold of an hour, and another wind no jump.
    for second in 7_204..7_208 {
        assert_eq!(judge.judge(at(second), &[wind(8.01)]).alerts, [], "{second}");
    }
    for second in 11_000..11_300 {
        assert_eq!(judge.judge(at(second), &[wind(breeze.next() + 9.0)]).alerts, [], "{second}");
    }
}

#[test]
fn nothing_is_compared_across_a_long_stop_of_the_agent() {
    let (before, mut breeze) = warm(5);
    let mut after = judge(DetectConfig::default());
    let restarted = Stamp { mono: Mono(5_000), wall: Wall(START_MS + 7_200_000), synced: true };
    for part in before.parts() {
        let mut bytes = vec![];
        before.save(part, &mut bytes);
        after.restore(part, &bytes, restarted, Wall(START_MS + 3_600_000)).unwrap();
    }
    for second in 0..300 {
        let stamp = Stamp { mono: Mono(5_000 + second * 1_000), ..at(7_200 + second) };
        assert_eq!(after.judge(stamp, &[wind(breeze.next() + 9.0)]).alerts, [], "{second}");
    }
}

#[test]
fn cut_out_stays_between_cut_out_and_restart() {
    let mut judge = judge(DetectConfig { stuck_after_s: 0, ..DetectConfig::default() });
    let mut breeze = Breeze::new(3);
    let mut told = vec![];
    for second in 0..7_000u64 {
        let level = match second {
            ..2_400 => 18.5,
            2_400..5_000 => 15.5,
            _ => 11.0,
        };
        let judged = judge.judge(at(second), &[wind(breeze.next() + level)]);
        told.extend(judged.alerts.iter().filter(|a| a.kind == AlertKind::HighWind).map(|a| (second, a.phase)));
    }
    let [(opened, AlertPhase::Open), (cleared, AlertPhase::Clear)] = told[..] else { panic!("{told:?}") };
    assert!(opened < 1_000 && (5_000..5_700).contains(&cleared), "{told:?}");
}

#[test]
fn severity_grows_with_how_far_beyond_its_level_it_is() {
    assert_eq!(
        [1.2, 1.4, 1.5, 9.0].map(severity),
        [Severity::Warning, Severity::Warning, Severity::Critical, Severity::Critical]
    );
}

#[test]
fn between_bad_and_usual_nothing_is_said() {
    let said = [1.2, 1.05, 0.7, 0.6].map(|ratio| verdict(ratio, BEYOND, None));
    assert_eq!(said, [Verdict::Bad(1.2), Verdict::Unsure, Verdict::Unsure, Verdict::Good]);
}

#[test]
fn after_a_restart_cut_out_is_told_by_the_new_clock() {
    let (mut before, _) = warm(1);
    for second in 3_600..4_300 {
        before.judge(at(second), &[wind(8.0 + (second % 7) as f64 / 10.0)]);
    }
    let mut after = judge(DetectConfig::default());
    let stamp = |second: u64| Stamp { mono: Mono(second * 1_000), ..at(4_300 + second) };
    for part in before.parts() {
        let mut bytes = vec![];
        before.save(part, &mut bytes);
        after.restore(part, &bytes, stamp(0), stamp(0).wall).unwrap();
    }
    let mut alerts =
        (0..1_300).flat_map(|second| after.judge(stamp(second), &[wind(26.0 + (second % 7) as f64 / 10.0)]).alerts);
    assert!(alerts.any(|alert| alert.kind == AlertKind::HighWind && alert.phase == AlertPhase::Open));
}

/// What two sensors read of a wind.
type Reads<'a> = &'a dyn Fn(f64) -> [f64; 2];

/// Kinds opened by two anemometers that have learned an hour of the same wind, and a thermometer where there is a
/// temperature. `rows`: what the first and the second read of the usual wind then.
fn opened_by_two<'a>(air: Option<f64>, rows: impl Iterator<Item = Reads<'a>>) -> Vec<(AlertKind, String)> {
    let channels = [(Quantity::WindSpeed, true), (Quantity::WindSpeed, true), (Quantity::Temperature, false)];
    let channels = &channels[..if air.is_some() { 3 } else { 2 }];
    let mut device = device_of(channels);
    device.channels[1].channel.name = "well".to_owned();
    let mut judge = Judge::new(device, &DetectConfig::default(), 1);
    let (mut breeze, mut noise) = (Breeze::new(11), Breeze::new(12));
    let mut row = |reads: Reads<'_>| {
        let [first, second] = reads(breeze.next());
        let row = [wind(first), wind(second + 0.05 * noise.normal())];
        row.into_iter().chain(air.map(wind)).collect::<Vec<Reading>>()
    };
    for second in 0..3_600 {
        judge.learn(at(second), &row(&|speed| [speed, speed]));
    }
    let rows: Vec<_> = rows.map(row).collect();
    let told = told(&mut judge, rows.into_iter()).into_iter();
    told.filter(|(_, _, phase, _)| *phase == AlertPhase::Open).map(|(_, kind, _, channel)| (kind, channel)).collect()
}

#[test]
fn a_sensor_that_falls_behind_is_iced_where_it_may_be_cold_and_else_off() {
    let less: Reads<'_> = &|speed| [0.7 * speed, speed];
    let little: Reads<'_> = &|speed| [0.9 * speed, speed];
    for (air, reads, kind) in [
        (Some(0.5), less, AlertKind::Iced),
        (Some(20.0), less, AlertKind::Offset),
        (None, less, AlertKind::Iced),
        (None, little, AlertKind::Offset),
    ] {
        let opened = opened_by_two(air, std::iter::repeat_n(reads, 200));
        assert_eq!(opened, [(kind, "wind".to_owned())], "{air:?}");
    }
}

#[test]
fn a_sensor_that_stands_still_beside_one_that_does_not_is_stuck_and_nothing_else() {
    let usual: Reads<'_> = &|speed| [speed, speed];
    let held = std::cell::OnceCell::new();
    let stuck: Reads<'_> = &|speed| [*held.get_or_init(|| speed), speed];
    let rows = std::iter::repeat_n(usual, 20).chain(std::iter::repeat_n(stuck, 120));
    // Once it moves again neither is blamed for what the other said meanwhile.
    let rows = rows.chain(std::iter::repeat_n(usual, 300));
    assert_eq!(opened_by_two(None, rows), [(AlertKind::Stuck, "wind".to_owned())]);
}

#[test]
fn a_step_that_both_sensors_see_is_weather_and_one_that_has_no_witness_is_not() {
    let usual: Reads<'_> = &|speed| [speed, speed];
    let both: Reads<'_> = &|speed| [speed + 3.0, speed + 3.0];
    assert_eq!(opened_by_two(None, std::iter::repeat_n(usual, 20).chain(std::iter::repeat_n(both, 60))), []);
    let (mut judge, mut breeze) = warm(11);
    let rows: Vec<_> = (0..80).map(|at| vec![wind(breeze.next() + if at < 20 { 0.0 } else { 3.0 })]).collect();
    assert!(!told(&mut judge, rows.into_iter()).is_empty());
}

#[test]
fn a_value_is_stuck_only_after_as_long_as_was_asked_for() {
    for (stuck_after_s, expected) in [(3, 3_604..3_620), (60, 3_660..3_661)] {
        let mut judge = judge(DetectConfig { stuck_after_s, ..DetectConfig::default() });
        let mut breeze = Breeze::new(2);
        (0..3_600).for_each(|second| judge.learn(at(second), &[wind(breeze.next())]));
        let told = told(&mut judge, (0..100).map(|_| vec![wind(8.01)]));
        assert!(told.first().is_some_and(|(second, ..)| expected.contains(second)), "{stuck_after_s}: {told:?}");
    }
}
