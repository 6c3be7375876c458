//! The judge as a crew would see it: simulated wind, a fault, and what is raised when.

mod sick;

use super::*;
use crate::time::{Mono, Wall};
use proptest::prelude::*;
use windward_protocol::{AlertKind, AlertPhase, Value};

mod rules;
mod trust;

const START_MS: i64 = 1_760_000_000_000;

#[test]
fn a_jump_of_a_nearly_constant_register_opens_an_alert_at_once() {
    let mut judge = judge(DetectConfig::default());
    for second in 0..900 {
        let judged = judge.judge(at(second), &[wind(8.0 + f64::from(second as u32 / 30 % 2) * 0.1)]);
        assert_eq!(judged.alerts, [], "second {second}");
    }
    let judged = judge.judge(at(900), &[wind(40.0)]);
    let [alert] = &judged.alerts[..] else { panic!("{judged:?}") };
    assert_eq!((alert.kind, alert.phase, alert.severity), (AlertKind::Spike, AlertPhase::Open, Severity::Critical));
    assert_eq!((alert.value, alert.wind_speed), (Some(40.0), Some(40.0)));
    assert_eq!(
        (alert.device.as_str(), alert.location.as_str(), alert.channel.as_str()),
        ("mast", "north ridge", "wind")
    );
    assert_eq!((alert.opened_ms, alert.at_ms), (START_MS + 900_000, START_MS + 900_000));
    assert!(alert.score.unwrap() > 3.0, "{alert:?}");
    assert_eq!(judged.scores[0], alert.score.map(|score| score as f32));
    assert!(alert.evidence.contains("from 8.1 to 40 m/s from one reading to the next"), "{}", alert.evidence);
}

#[test]
fn each_fault_of_the_demo_farm_is_raised_in_time_and_cleared_after() {
    let spike = |second: f64, usual: f64| usual + if second < 1.0 { 15.0 } else { 0.0 };
    let dropout = |_: f64, _: f64| 0.0;
    let gust = |second: f64, usual: f64| usual + 12.0 * (second / 5.0).min(1.0);
    let icing = |second: f64, usual: f64| usual * (1.0 - 0.7 * (second / 10.0).min(1.0));
    let jump = |_: f64, usual: f64| usual * 100.0;
    type Fault = fn(f64, f64) -> f64;
    let faults: [(&str, Fault, u64); 5] =
        [("spike", spike, 1), ("dropout", dropout, 2), ("gust", gust, 5), ("icing", icing, 20), ("jump", jump, 1)];
    for (name, fault, within) in faults {
        for seed in 0..8 {
            let (mut judge, mut breeze) = warm(seed);
            let mut opened = None;
            let mut steps = vec![];
            for second in 0..320u64 {
                let usual = breeze.next();
                let value = if second < 20 { fault(second as f64, usual) } else { usual };
                for alert in judge.judge(at(3_600 + second), &[wind(value)]).alerts {
                    steps.push((alert.kind, alert.phase, second));
                    opened = opened.or(Some(second));
                }
            }
            assert!(opened.is_some_and(|second| second < within), "{name}, seed {seed}: opened at {opened:?}");
            assert!(steps.last().is_some_and(|step| step.1 == AlertPhase::Clear), "{name}, seed {seed}: {steps:?}");
        }
    }
}

#[test]
fn a_second_spike_while_the_first_is_remembered_is_its_own_alert() {
    let (mut judge, mut breeze) = warm(7);
    let mut opened = vec![];
    for second in 3_600..3_800 {
        let spike = if second == 3_610 || second == 3_700 { 15.0 } else { 0.0 };
        let judged = judge.judge(at(second), &[wind(breeze.next() + spike)]);
        opened.extend(
            judged.alerts.iter().filter(|alert| alert.phase == AlertPhase::Open).map(|alert| (second, alert.id)),
        );
    }
    let [(3_610, first), (3_700, second)] = opened[..] else { panic!("{opened:?}") };
    assert_ne!(first, second);
}

#[test]
fn wind_that_stands_still_is_a_stuck_sensor_until_it_moves() {
    let (mut judge, mut breeze) = warm(2);
    let mut steps = vec![];
    for second in 3_600..3_700 {
        let value = if second < 3_660 { 8.01 } else { breeze.next() };
        let judged = judge.judge(at(second), &[wind(value)]);
        steps.extend(judged.alerts.into_iter().map(|alert| (second, alert)));
    }
    let [(opened, open), (cleared, clear)] = &steps[..] else { panic!("{steps:?}") };
    assert!(*opened < 3_620 && *cleared == 3_662, "{steps:?}");
    assert_eq!((open.kind, open.phase), (AlertKind::Stuck, AlertPhase::Open));
    assert!(open.evidence.starts_with("held at 8.0 m/s for "), "{}", open.evidence);
    assert_eq!((clear.phase, clear.id, clear.opened_ms), (AlertPhase::Clear, open.id, open.opened_ms));
}

#[test]
fn wind_that_never_moved_since_the_start_is_a_frozen_sensor() {
    let mut judge = judge(DetectConfig::default());
    let stuck = (0..3_000).find(|&second| !judge.judge(at(second), &[wind(8.0)]).alerts.is_empty());
    assert_eq!(stuck, Some(600));
}

#[test]
fn a_signal_that_is_gone_is_a_dropout() {
    let (mut judge, _) = warm(4);
    let alerts: Vec<Alert> = (3_600..3_630).flat_map(|second| judge.judge(at(second), &[wind(0.0)]).alerts).collect();
    assert!(alerts.iter().any(|alert| alert.kind == AlertKind::Dropout), "{alerts:?}");
}

#[test]
fn an_anemometer_that_ices_up_is_iced_and_no_anomaly_of_the_wind() {
    for seed in 0..6 {
        let channels = [(Quantity::WindSpeed, true), (Quantity::WindSpeed, true), (Quantity::Temperature, false)];
        let mut judge = judge_of(&channels, DetectConfig::default());
        let (mut breeze, mut noise) = (Breeze::new(seed), Breeze::new(seed + 100));
        let mut told = vec![];
        for second in 0..9_000u64 {
            let (wind_speed, other) = (breeze.next(), 0.05 * noise.normal());
            let ice = 1.0 - 0.7 * ((second as f64 - 5_400.0) / 1_800.0).clamp(0.0, 1.0);
            let row = [wind((wind_speed * ice * 100.0).round() / 100.0), wind(wind_speed + other), wind(0.5)];
            told.extend(judge.judge(at(second), &row).alerts.into_iter().map(|alert| (second, alert)));
        }
        let opened: Vec<_> = told.iter().filter(|(_, alert)| alert.phase == AlertPhase::Open).collect();
        let [(second, alert)] = &opened[..] else { panic!("seed {seed}: {opened:?}") };
        assert_eq!((alert.kind, alert.channel.as_str()), (AlertKind::Iced, "wind"), "seed {seed}: {alert:?}");
        assert!((5_400..7_200).contains(second), "seed {seed}: {second}");
        assert!(alert.evidence.contains("as an iced sensor does"), "{}", alert.evidence);
    }
}

#[test]
fn a_gust_that_two_sensors_see_is_weather_and_a_gust_alert() {
    let channels = [(Quantity::WindSpeed, true), (Quantity::WindSpeed, true)];
    let mut judge = judge_of(&channels, DetectConfig::default());
    let (mut breeze, mut noise) = (Breeze::new(1), Breeze::new(2));
    let mut told = vec![];
    for second in 0..5_500u64 {
        let gust = 14.0 * ((second as f64 - 5_000.0) / 6.0).clamp(0.0, 1.0);
        let speed = breeze.next() + gust;
        let row = [wind(speed), wind(speed + 0.05 * noise.normal())];
        told.extend(judge.judge(at(second), &row).alerts.into_iter().map(|alert| (second, alert.kind, alert.phase)));
    }
    let opened: Vec<_> = told.iter().filter(|(.., phase)| *phase == AlertPhase::Open).collect();
    assert!(opened.iter().any(|(second, kind, _)| *kind == AlertKind::Gust && *second < 5_007), "{told:?}");
    assert!(!opened.iter().any(|(_, kind, _)| matches!(kind, AlertKind::Offset | AlertKind::Iced)), "{told:?}");
}

#[test]
fn cut_out_is_told_by_the_ten_minute_mean_and_ends_at_restart() {
    let mut judge = judge(DetectConfig { stuck_after_s: 0, ..DetectConfig::default() });
    let mut breeze = Breeze::new(3);
    let mut told = vec![];
    for second in 0..9_000u64 {
        let level = if (3_000..6_000).contains(&second) { 20.0 } else { 0.0 };
        let lift = level * ((second as f64 - 3_000.0) / 900.0).clamp(0.0, 1.0);
        let judged = judge.judge(at(second), &[wind(breeze.next() + lift)]);
        told.extend(judged.alerts.iter().filter(|a| a.kind == AlertKind::HighWind).map(|a| (second, a.phase)));
    }
    let [(opened, AlertPhase::Open), .., (cleared, AlertPhase::Clear)] = told[..] else { panic!("{told:?}") };
    assert!((3_900..4_500).contains(&opened) && (6_000..6_700).contains(&cleared), "{told:?}");
}

#[test]
fn what_was_learned_and_what_is_open_goes_on_after_a_restart() {
    let (mut before, mut breeze) = warm(6);
    for second in 3_600..3_620 {
        before.judge(at(second), &[wind(8.01)]);
    }
    let mut after = judge(DetectConfig::default());
    let restarted = Stamp { mono: Mono(5_000), wall: Wall(START_MS + 3_622_000), synced: true };
    for part in before.parts() {
        let mut bytes = vec![];
        before.save(part, &mut bytes);
        after.restore(part, &bytes, restarted, Wall(START_MS + 3_620_000)).unwrap();
    }
    let mut steps = vec![];
    for second in 0..600u64 {
        let stamp = Stamp { mono: Mono(5_000 + second * 1_000), ..at(3_622 + second) };
        let row = [wind(breeze.next())];
        let judged = [&mut before, &mut after].map(|judge| judge.judge(stamp, &row));
        assert_eq!(judged[0].scores, judged[1].scores, "second {second}");
        steps.extend(judged[1].alerts.iter().map(|alert| (alert.kind, alert.phase)));
    }
    assert_eq!(steps, [(AlertKind::Stuck, AlertPhase::Update), (AlertKind::Stuck, AlertPhase::Clear)]);
}

#[test]
fn a_state_that_is_damaged_or_of_another_device_changes_nothing() {
    let (learned, _) = warm(6);
    let mut other = judge_of(&[(Quantity::WindSpeed, true), (Quantity::Temperature, true)], DetectConfig::default());
    for part in [Part::Readings, Part::Rows] {
        let mut bytes = vec![];
        learned.save(part, &mut bytes);
        let restore = |judge: &mut Judge, bytes: &[u8]| judge.restore(part, bytes, at(0), Wall(START_MS));
        assert!(restore(&mut other, &bytes).is_err());
        for cut in [0, 1, bytes.len() / 2, bytes.len() - 1] {
            assert!(restore(&mut judge(DetectConfig::default()), &bytes[..cut]).is_err(), "{part}, {cut}");
        }
    }
}

#[test]
fn a_channel_that_stood_still_at_first_is_learned_when_it_moves() {
    let (mut judge, mut breeze) = (judge_of(&[(Quantity::Pressure, true)], DetectConfig::default()), Breeze::new(4));
    let mut opened = vec![];
    for second in 0..12_000u64 {
        let spike = if second == 11_500 { 15.0 } else { 0.0 };
        let value = if second < 2_000 { 8.0 } else { breeze.next() + spike };
        let judged = judge.judge(at(second), &[wind(value)]);
        opened.extend(judged.alerts.iter().filter(|a| a.phase == AlertPhase::Open).map(|_| second));
    }
    assert!(opened.iter().filter(|second| (3_000..11_500).contains(*second)).count() == 0, "{opened:?}");
    assert!(opened.contains(&11_500), "{opened:?}");
}

#[test]
fn an_absurd_value_is_told_and_blinds_nothing() {
    let (mut judge, mut breeze) = warm(8);
    let mut opened = vec![];
    for second in 3_600..5_000u64 {
        let value = match second {
            3_700 => f64::MAX,
            4_500 => breeze.next() + 15.0,
            _ => breeze.next(),
        };
        let judged = judge.judge(at(second), &[wind(value)]);
        opened.extend(judged.alerts.into_iter().filter(|a| a.phase == AlertPhase::Open).map(|a| (second, a)));
    }
    let at: Vec<u64> = opened.iter().map(|(second, _)| *second).collect();
    assert_eq!(at, [3_700, 4_500], "{opened:#?}");
}

#[test]
fn calm_wind_other_quantities_and_a_switched_off_rule_are_never_stuck() {
    let off = DetectConfig { stuck_after_s: 0, ..DetectConfig::default() };
    let cases = [
        (judge(DetectConfig::default()), 0.0),
        (judge(DetectConfig::default()), 1.5),
        (judge_of(&[(Quantity::Temperature, true)], DetectConfig::default()), 21.5),
        (judge_of(&[(Quantity::Pressure, true)], DetectConfig::default()), 1_013.2),
        (judge_of(&[(Quantity::Power, false)], DetectConfig::default()), 900.0),
        (judge(off), 8.0),
    ];
    for (mut judge, value) in cases {
        for second in 0..600 {
            assert_eq!(judge.judge(at(second), &[wind(value)]).alerts, [], "{value} at {second}");
        }
    }
}

#[test]
fn a_silent_device_is_one_alert_that_clears_when_it_is_back() {
    let mut judge = judge_of(&[(Quantity::WindSpeed, true), (Quantity::Temperature, false)], DetectConfig::default());
    let mut steps = vec![];
    for second in 0..30u64 {
        let silent = (10..20).contains(&second);
        let readings = if silent { [Err(NoData::Timeout); 2] } else { [wind(8.0 + second as f64 * 0.1), wind(21.0)] };
        let judged = judge.judge(at(second), &readings);
        assert!(!silent || judged.scores == [None, None]);
        steps.extend(judged.alerts.into_iter().map(|alert| (second, alert)));
    }
    let [(14, open), (20, clear)] = &steps[..] else { panic!("{steps:?}") };
    assert_eq!((open.kind, open.phase, open.channel.as_str()), (AlertKind::NoData, AlertPhase::Open, ""));
    assert_eq!(open.evidence, "no value in 5 polls over 4 s; last: timeout");
    assert_eq!((open.value, open.wind_speed), (None, None), "no stale value is told (A6)");
    assert_eq!((clear.phase, clear.id), (AlertPhase::Clear, open.id));
    assert_eq!(clear.wind_speed, Some(10.0));
}

#[test]
fn a_dead_channel_is_told_and_silences_no_other() {
    let mut judge = judge_of(&[(Quantity::Temperature, true), (Quantity::WindSpeed, true)], DetectConfig::default());
    let mut breeze = Breeze::new(3);
    let mut told = vec![];
    for second in 0..600u64 {
        let dead = if second < 300 { wind(20.0) } else { Err(NoData::Exception(2)) };
        let spike = if second == 500 { 15.0 } else { 0.0 };
        let judged = judge.judge(at(second), &[dead, wind(breeze.next() + spike)]);
        assert_eq!(judged.scores[1].is_some(), second >= 64, "second {second}");
        told.extend(judged.alerts.into_iter().map(|alert| (second, alert.kind, alert.phase, alert.channel)));
    }
    let open = AlertPhase::Open;
    assert_eq!(told[0], (304, AlertKind::NoData, open, "temperature".to_owned()));
    assert_eq!(told[1], (500, AlertKind::Spike, open, "wind".to_owned()));
    assert_eq!(told[2].2, AlertPhase::Clear, "{told:?}");
    assert_eq!(told.len(), 3, "{told:?}");
}

#[test]
fn what_was_not_to_be_expected_is_neither_speech_nor_silence() {
    let mut judge = judge_of(&[(Quantity::WindSpeed, false), (Quantity::Temperature, false)], DetectConfig::default());
    let mut told = vec![];
    // Read every ten seconds; from the second minute on it fails whenever it is due.
    for second in 0..180u64 {
        let slow = match second % 10 {
            0 if second < 60 => wind(20.0),
            0 => Err(NoData::Timeout),
            _ => Err(NoData::NotDue),
        };
        let calm = if second < 120 { wind(8.0 + (second % 7) as f64 * 0.1) } else { Err(NoData::Empty) };
        let judged = judge.judge(at(second), &[calm, slow]);
        told.extend(judged.alerts.into_iter().map(|alert| (second, alert.kind, alert.phase, alert.evidence)));
    }
    let evidence = "no value in 5 polls over 40 s; last: timeout".to_owned();
    assert_eq!(told[0], (100, AlertKind::NoData, AlertPhase::Open, evidence), "five times that it was due");
    assert_eq!(told.len(), 1, "a device that leaves a value out has answered: {told:?}");
}

#[test]
fn failed_reads_are_no_values_to_the_forest() {
    let (mut with, mut breeze) = warm(5);
    let mut without = with.clone();
    for second in 3_600..4_000 {
        let value = breeze.next();
        if second % 7 == 0 {
            with.judge(at(second), &[Err(NoData::Sentinel)]);
        }
        let scores = [&mut with, &mut without].map(|judge| judge.judge(at(second), &[wind(value)]).scores);
        assert_eq!(scores[0], scores[1]);
    }
}

#[test]
fn wind_that_is_another_after_a_long_silence_is_no_anomaly() {
    let (mut judge, mut breeze) = warm(9);
    for second in 3_600..7_200 {
        judge.judge(at(second), &[Err(NoData::Disconnected)]);
    }
    for second in 7_200..7_500 {
        let judged = judge.judge(at(second), &[wind(breeze.next() + 9.0)]);
        assert!(judged.alerts.iter().all(|alert| alert.kind == AlertKind::NoData), "{:?}", judged.alerts);
    }
}

#[test]
fn history_teaches_and_raises_nothing() {
    let (mut taught, mut breeze) = warm(11);
    let judged = taught.judge(at(3_600), &[wind(breeze.next() + 15.0)]);
    assert_eq!(judged.alerts.len(), 1, "the first reading after history is judged: {judged:?}");
}

#[test]
fn ids_differ_between_devices_starts_and_alerts_and_fit_a_double() {
    let mut ids = std::collections::BTreeSet::new();
    for seed in 0..20 {
        for device in ["a", "b"] {
            let device = JudgeDevice { device: device.to_owned(), ..device_of(&[(Quantity::WindSpeed, true)]) };
            let mut judge = Judge::new(device, &DetectConfig { no_data_after: 1, ..DetectConfig::default() }, seed);
            // Long enough apart that each is an alert of its own.
            for second in 0..40 {
                let reading = if second % 4 == 0 { Err(NoData::Timeout) } else { wind(8.0) };
                ids.extend(judge.judge(at(second), &[reading]).alerts.iter().map(|alert| alert.id));
            }
        }
    }
    assert_eq!(ids.len(), 20 * 2 * 10);
    assert!(ids.iter().all(|&id| id < 1 << 53));
}

#[test]
fn settings_that_cannot_be_used_are_named() {
    let good = DetectConfig::default();
    assert_eq!(good.check(), Ok(()));
    let said = |config: DetectConfig| config.check().unwrap_err().to_string();
    assert_eq!(said(DetectConfig { trees: 5, ..good.clone() }), "`trees` is 5, it must lie between 10 and 200");
    assert!(said(DetectConfig { threshold: Some(f32::NAN), ..good.clone() }).contains("`threshold` is NaN"));
    assert!(
        said(DetectConfig { threshold: Some(9.0), ..good.clone() }).contains("`threshold` is 9"),
        "no score reaches 9"
    );
    let turbine = Turbine { restart: 26.0, ..Turbine::default() };
    assert!(
        said(DetectConfig { turbine, ..good.clone() })
            .contains("`turbine.restart` is 26, it must lie between 3 and 25")
    );
    assert!(said(DetectConfig { no_data_after: 0, ..good }).contains("`no_data_after` is 0"));
}

#[test]
fn the_detect_table_knows_its_keys() {
    let config: DetectConfig = toml::from_str("threshold = 3.0\nstuck_after_s = 0").unwrap();
    assert_eq!(config, DetectConfig { threshold: Some(3.0), stuck_after_s: 0, ..DetectConfig::default() });
    assert!(toml::from_str::<DetectConfig>("treshold = 3.0").is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_is_read_steps_are_in_order_and_runs_repeat(rows in prop::collection::vec(row(), 1..300), seed: u64) {
        let config = DetectConfig { warm_up: 16, no_data_after: 2, stuck_after_s: 5, trees: 10, ..DetectConfig::default() };
        let device = device_of(&[(Quantity::WindSpeed, true), (Quantity::Vibration, true), (Quantity::Status, false)]);
        let mut twins = [Judge::new(device.clone(), &config, seed), Judge::new(device, &config, seed)];
        let mut open = std::collections::BTreeMap::new();
        for (second, readings) in rows.iter().enumerate() {
            let [judged, again] = twins.each_mut().map(|judge| judge.judge(at(second as u64), readings));
            prop_assert_eq!(&judged, &again);
            for (score, reading) in judged.scores.iter().zip(readings) {
                prop_assert!(score.is_none() || reading.is_ok());
                prop_assert!(score.is_none_or(|score| score > 0.0 && score < 8.1));
            }
            for alert in judged.alerts {
                let subject = (alert.kind, alert.channel.clone());
                match alert.phase {
                    AlertPhase::Open => prop_assert!(open.insert(subject, (alert.id, alert.opened_ms)).is_none()),
                    AlertPhase::Update => prop_assert_eq!(open.get(&subject), Some(&(alert.id, alert.opened_ms))),
                    AlertPhase::Clear => prop_assert_eq!(open.remove(&subject), Some((alert.id, alert.opened_ms))),
                }
                prop_assert!(alert.opened_ms <= alert.at_ms && !alert.evidence.is_empty());
            }
        }
    }
}

fn row() -> impl Strategy<Value = Vec<Reading>> {
    let reading = prop_oneof![
        4 => (0i64..200).prop_map(|mantissa| Ok(Value::Int { mantissa, exponent: -1 })),
        2 => Just(wind(8.0)),
        1 => prop_oneof![Just(f64::MAX), Just(-1e30), Just(1e-300)].prop_map(wind),
        2 => Just(Err(NoData::Timeout)),
    ];
    prop::collection::vec(reading, 3)
}

fn wind(value: f64) -> Reading {
    Ok(Value::F64(value))
}

fn at(second: u64) -> Stamp {
    Stamp { mono: Mono(second * 1_000), wall: Wall(START_MS + second as i64 * 1_000), synced: true }
}

fn judge(config: DetectConfig) -> Judge {
    judge_of(&[(Quantity::WindSpeed, true)], config)
}

fn judge_of(channels: &[(Quantity, bool)], config: DetectConfig) -> Judge {
    config.check().unwrap();
    Judge::new(device_of(channels), &config, 1)
}

fn device_of(channels: &[(Quantity, bool)]) -> JudgeDevice {
    let channel = |&(quantity, detect): &(Quantity, bool)| {
        let (name, unit) = match quantity {
            Quantity::WindSpeed => ("wind", "m/s"),
            Quantity::Temperature => ("temperature", "°C"),
            Quantity::Vibration => ("vibration", "mm/s"),
            _ => ("other", ""),
        };
        let channel = Channel { name: name.to_owned(), quantity, unit: unit.to_owned() };
        JudgeChannel { channel, detect, rules: Vec::new() }
    };
    JudgeDevice {
        device: "mast".to_owned(),
        location: "north ridge".to_owned(),
        interval_ms: 1_000,
        channels: channels.iter().map(channel).collect(),
    }
}

/// A judge that has learned an hour of wind, and that wind.
fn warm(seed: u64) -> (Judge, Breeze) {
    let (mut judge, mut breeze) = (judge(DetectConfig::default()), Breeze::new(seed));
    for second in 0..3_600 {
        judge.learn(at(second), &[wind(breeze.next())]);
    }
    (judge, breeze)
}

/// Wind of 8 m/s with 10 % turbulence at 1 Hz: a first-order process with a memory of 10 s on a level that wanders by half
/// a metre per second, read in hundredths.
struct Breeze {
    random: u64,
    level: f64,
    eddy: f64,
}

impl Breeze {
    fn new(seed: u64) -> Self {
        Breeze { random: mix(seed), level: 0.0, eddy: 0.0 }
    }

    fn next(&mut self) -> f64 {
        self.level += (self.normal() * 0.5 - self.level) / 900.0 + self.normal() * 0.015;
        let kept = (-0.1f64).exp();
        self.eddy = self.eddy * kept + self.normal() * 0.8 * (1.0 - kept * kept).sqrt();
        ((8.0 + self.level + self.eddy) * 100.0).round().max(0.0) / 100.0
    }

    /// About normal, mean 0, standard deviation 1: the sum of twelve uniform numbers.
    fn normal(&mut self) -> f64 {
        let sum: f64 = (0..12)
            .map(|_| {
                self.random = mix(self.random);
                (self.random >> 11) as f64 / (1u64 << 53) as f64
            })
            .sum();
        sum - 6.0
    }
}
