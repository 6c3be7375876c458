//! What must raise nothing, and what must not be told again and again: an alert is worth what a crew believes of it.

use super::*;

#[test]
fn a_day_of_turbulent_wind_raises_nothing() {
    for seed in 100..103 {
        let (mut judge, mut breeze) = warm(seed);
        for second in 3_600..90_000 {
            let judged = judge.judge(at(second), &[wind(breeze.next())]);
            assert_eq!(judged.alerts, [], "seed {seed}, second {second}");
        }
    }
}

#[test]
fn a_cold_start_raises_nothing() {
    for seed in 0..50 {
        let (mut judge, mut breeze) = (judge(DetectConfig::default()), Breeze::new(seed));
        for second in 0..600 {
            assert_eq!(judge.judge(at(second), &[wind(breeze.next())]).alerts, [], "seed {seed}, second {second}");
        }
    }
}

#[test]
fn eight_anemometers_beside_each_other_start_cold_and_raise_nothing() {
    let mut judge = judge_of(&[(Quantity::WindSpeed, true); 8], DetectConfig::default());
    let mut breeze = Breeze::new(7);
    let mut noise = Breeze::new(8);
    for second in 0..1_500 {
        let usual = breeze.next();
        let row: Vec<Reading> = (0..8).map(|_| wind(usual + 0.05 * (noise.next() - 8.0))).collect();
        assert_eq!(judge.judge(at(second), &row).alerts, [], "second {second}");
    }
}

#[test]
fn a_rotor_that_leaves_its_rated_speed_after_hours_is_a_few_alerts_and_no_storm() {
    let mut judge = judge_of(&[(Quantity::RotorSpeed, true)], DetectConfig::default());
    let mut breeze = Breeze::new(3);
    let mut opened = 0;
    for second in 0..12_000 {
        let usual = breeze.next();
        let speed = if second < 6_000 { 14.0 + 0.01 * (usual - 8.0) } else { 4.0 + usual };
        let judged = judge.judge(at(second), &[wind(speed)]);
        opened += judged.alerts.iter().filter(|alert| alert.phase == AlertPhase::Open).count();
    }
    assert!((1..=8).contains(&opened), "{opened}");
}

#[test]
fn a_spike_is_told_once_and_not_by_the_hours_it_stands_in_as_well() {
    let device = JudgeDevice { interval_ms: 600_000, ..device_of(&[(Quantity::WindSpeed, true)]) };
    let mut judge = Judge::new(device, &DetectConfig::default(), 1);
    let mut breeze = Breeze::new(5);
    let mut opened = vec![];
    for row in 0..840 {
        let value = breeze.next() + if row == 800 { 45.0 } else { 0.0 };
        let alerts = judge.judge(at(600 * row), &[wind(value)]).alerts;
        opened.extend(alerts.iter().filter(|alert| alert.phase == AlertPhase::Open).map(|alert| (row, alert.kind)));
    }
    assert_eq!(opened, [(800, AlertKind::Spike)]);
}
