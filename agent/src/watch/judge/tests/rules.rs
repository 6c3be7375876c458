//! A person's rules, through the judge: when an alert opens and ends, what it says, and what a restart makes of it.

use super::*;
use crate::watch::judge::{Bounds, Limit, Over, Rule, Statistic};
use windward_protocol::Alert;

const WINDOW: Over = Over::Windows { length_ms: 10_000, statistic: Statistic::Mean };

/// Above 45, until it is at 43.
fn hot() -> Rule {
    Rule {
        name: "cell too hot".to_owned(),
        over: WINDOW,
        bounds: Bounds { above: Some(Limit { at: 45.0, clear: 43.0 }), below: None },
        for_windows: 1,
        severity: Severity::Critical,
        say: "Stop charging; open the vents.".to_owned(),
    }
}

/// A judge of a temperature that no detector looks at, and a vibration without rules.
fn judge_with(rules: &[Rule]) -> Judge {
    let mut device = device_of(&[(Quantity::Temperature, false), (Quantity::Vibration, false)]);
    device.channels[0].rules = rules.to_vec();
    Judge::new(device, &DetectConfig::default(), 1)
}

/// The steps of rules' alerts over these seconds, each with its second.
fn told(judge: &mut Judge, seconds: std::ops::Range<u64>, value: impl Fn(u64) -> Option<f64>) -> Vec<(u64, Alert)> {
    let row = |second| [value(second).map(Value::F64).ok_or(NoData::Timeout), Ok(Value::F64(0.0))];
    let steps = |second| judge.judge(at(second), &row(second)).alerts.into_iter().map(move |alert| (second, alert));
    seconds.flat_map(steps).filter(|(_, alert)| alert.kind == AlertKind::Limit).collect()
}

fn steps(told: &[(u64, Alert)]) -> Vec<(u64, AlertPhase)> {
    told.iter().map(|(second, alert)| (*second, alert.phase)).collect()
}

/// A saved judge, and another one with these rules that goes on from it.
fn restarted(judge: &Judge, at_second: u64, rules: &[Rule]) -> Judge {
    let mut bytes = Vec::new();
    judge.save(Part::Readings, &mut bytes);
    let mut next = judge_with(rules);
    // The machine's clock has begun anew.
    let stamp = Stamp { mono: Mono(0), ..at(at_second) };
    next.restore(Part::Readings, &bytes, stamp, at(at_second).wall).unwrap();
    next
}

#[test]
fn a_window_beyond_its_limit_opens_one_alert_that_says_what_and_what_to_do() {
    let mut judge = judge_with(&[hot()]);
    let warm = |second| Some(if (60..85).contains(&second) { 46.0 + (second % 2) as f64 } else { 40.0 });
    let told = told(&mut judge, 0..200, warm);
    assert_eq!(steps(&told), [(70, AlertPhase::Open), (100, AlertPhase::Clear)], "80 to 90 s has a mean of 43.2 °C");
    let [(_, open), (_, clear)] = &told[..] else { panic!() };
    assert_eq!((open.severity, open.channel.as_str(), open.unit.as_str()), (Severity::Critical, "temperature", "°C"));
    assert_eq!((open.value, open.threshold, open.score), (Some(46.5), Some(45.0), None));
    assert_eq!(open.evidence, "cell too hot: mean of 10 s 46.5 °C, above 45 °C. Stop charging; open the vents.");
    assert_eq!((open.id, open.opened_ms), (clear.id, clear.opened_ms));
    assert_eq!(clear.evidence, "cell too hot: mean of 10 s 40.0 °C, within its limits again.");
}

#[test]
fn each_reading_is_judged_by_itself_where_there_is_no_window() {
    let rule = Rule { over: Over::Readings, ..hot() };
    let told =
        told(&mut judge_with(&[rule]), 0..100, |second| Some([40.0, 50.0, 44.0, 43.0][(second as usize / 5) % 4]));
    let expected: Vec<_> = [(5, AlertPhase::Open), (15, AlertPhase::Clear), (25, AlertPhase::Open)].to_vec();
    assert_eq!(steps(&told)[..3], expected);
    assert_eq!(told[0].1.evidence, "cell too hot: 50.0 °C, above 45 °C. Stop charging; open the vents.");
}

#[test]
fn so_many_windows_on_end_open_an_alert_and_as_many_end_it() {
    let rule = Rule { for_windows: 3, ..hot() };
    let hot = |second: u64| Some(if matches!(second / 10, 5 | 6 | 10..=12 | 14 | 16) { 50.0 } else { 30.0 });
    let told = told(&mut judge_with(&[rule]), 0..400, hot);
    assert_eq!(steps(&told), [(130, AlertPhase::Open), (200, AlertPhase::Clear)]);
    assert!(
        told[0].1.evidence.contains("mean of 10 s 50.0 °C, above 45 °C, 3 times on end."),
        "{}",
        told[0].1.evidence
    );
}

#[test]
fn a_sensor_that_falls_silent_neither_opens_nor_ends_an_alert_but_can_be_asked_for() {
    let count = Over::Windows { length_ms: 10_000, statistic: Statistic::Count };
    let few = Bounds { above: None, below: Some(Limit { at: 8.0, clear: 8.0 }) };
    let silent = Rule { name: "too few".into(), over: count, bounds: few, severity: Severity::Warning, ..hot() };
    let mut judge = judge_with(&[hot(), silent]);
    let value = |second: u64| (!(75..150).contains(&second)).then_some(if second < 160 { 50.0 } else { 30.0 });
    let told = told(&mut judge, 0..300, value);
    let of = |name: &str| {
        let mine = told.iter().filter(|(_, alert)| alert.evidence.starts_with(name));
        mine.cloned().collect::<Vec<_>>()
    };
    assert_eq!(steps(&of("cell too hot")), [(10, AlertPhase::Open), (170, AlertPhase::Clear)]);
    let few = of("too few");
    assert_eq!(steps(&few)[0], (80, AlertPhase::Open));
    assert_eq!(few.last().map(|(second, alert)| (*second, alert.phase)), Some((160, AlertPhase::Clear)));
    assert_eq!((few[0].1.unit.as_str(), few[0].1.value), ("", Some(5.0)));
    assert!(few[0].1.evidence.starts_with("too few: 5 values in 10 s, below 8."), "{}", few[0].1.evidence);
}

#[test]
fn a_deviation_is_from_the_windows_before_and_is_over_when_it_has_become_usual() {
    let over = Over::Windows { length_ms: 10_000, statistic: Statistic::Deviation { history: 6 } };
    let above = Bounds { above: Some(Limit { at: 8.0, clear: 4.0 }), below: None };
    let rule = Rule { name: "engine".into(), over, bounds: above, say: String::new(), ..hot() };
    let told = told(&mut judge_with(&[rule]), 0..400, |second| Some(if second < 200 { 80.0 } else { 95.0 }));
    // After 200 s of 80 the means before hold 0 to 6 of 95: 15, 12.5, 10, 7.5, 5, 2.5 less.
    assert_eq!(steps(&told), [(210, AlertPhase::Open), (260, AlertPhase::Clear)]);
    assert_eq!(told[0].1.evidence, "engine: mean of 10 s off by 15.0 °C from the 80.0 °C of 60 s before, above 8 °C.");
    assert_eq!((told[0].1.value, told[0].1.threshold), (Some(15.0), Some(8.0)));
}

#[test]
fn an_open_alert_goes_on_over_a_restart_under_its_id_also_when_its_limit_has_changed() {
    for (limit, expected) in [
        (45.0, vec![(101, AlertPhase::Update), (130, AlertPhase::Clear)]),
        (60.0, vec![(101, AlertPhase::Update), (110, AlertPhase::Clear)]),
    ] {
        let mut judge = judge_with(&[hot()]);
        let opened = told(&mut judge, 0..97, |_| Some(50.0));
        assert_eq!(steps(&opened), [(10, AlertPhase::Open)]);
        let changed = Rule { bounds: Bounds { above: Some(Limit { at: limit, clear: limit }), below: None }, ..hot() };
        let mut judge = restarted(&judge, 101, &[changed]);
        let after = told(&mut judge, 101..200, |second| Some(if second < 120 { 50.0 } else { 30.0 }));
        assert_eq!(steps(&after), expected, "limit {limit}");
        assert!(after.iter().all(|(_, alert)| alert.id == opened[0].1.id));
        let said = "cell too hot: still open after a restart of the agent. Stop charging; open the vents.";
        assert_eq!(after[0].1.evidence, said);
    }
}

#[test]
fn an_alert_whose_rule_went_from_the_configuration_is_ended_once_and_others_are_left_alone() {
    let other = Rule { name: "other".into(), ..hot() };
    let mut judge = judge_with(&[hot(), other.clone()]);
    let opened = told(&mut judge, 0..50, |_| Some(50.0));
    assert_eq!(opened.len(), 2);
    // Stopped once more before the first row: it is not forgotten.
    let judge = restarted(&judge, 60, std::slice::from_ref(&other));
    let mut judge = restarted(&judge, 61, &[other]);
    let after = told(&mut judge, 62..200, |_| Some(50.0));
    assert_eq!(steps(&after), [(62, AlertPhase::Clear), (62, AlertPhase::Update)]);
    assert_eq!((after[0].1.id, after[0].1.severity), (opened[0].1.id, Severity::Critical));
    assert_eq!(after[0].1.evidence, "cell too hot: it is no longer in the configuration.");
    assert_eq!(after[1].1.id, opened[1].1.id);
}

proptest! {
    #[test]
    fn alerts_open_beyond_the_limit_and_end_where_they_should_over_restarts_and_silence(
        values in prop::collection::vec(prop_oneof![9 => (30.0..60.0f64).prop_map(Some), 1 => Just(None)], 1..120),
        restarts in prop::collection::btree_set(0..120usize, 0..5),
    ) {
        let rule = Rule { over: Over::Readings, ..hot() };
        let (mut judge, mut open) = (judge_with(std::slice::from_ref(&rule)), None);
        for (index, value) in values.into_iter().enumerate() {
            let second = index as u64;
            if restarts.contains(&index) {
                judge = restarted(&judge, second, std::slice::from_ref(&rule));
            }
            for (_, alert) in told(&mut judge, second..second + 1, |_| value) {
                match alert.phase {
                    AlertPhase::Open => {
                        prop_assert!(open.is_none() && value > Some(45.0));
                        open = Some(alert.id);
                    }
                    AlertPhase::Update => prop_assert_eq!(open, Some(alert.id)),
                    AlertPhase::Clear => {
                        prop_assert!(value.is_some_and(|value| value <= 43.0));
                        prop_assert_eq!(open.take(), Some(alert.id));
                    }
                }
            }
            prop_assert!(open.is_some() || value.is_none_or(|value| value <= 45.0), "{value:?} opened nothing");
        }
    }
}
