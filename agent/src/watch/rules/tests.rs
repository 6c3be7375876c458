//! Windows and their figures against a naive account of the same rows; what a wall clock that steps makes of them.

use super::*;
use crate::time::Wall;
use proptest::prelude::*;
use windward_protocol::Value;

/// Midnight of 2026-01-01.
const START_MS: i64 = 1_767_225_600_000;
const LENGTH_MS: u64 = 10_000;
const HISTORY: u32 = 3;

fn at(mono: u64, ahead_ms: i64) -> Stamp {
    Stamp { mono: Mono(mono), wall: Wall(START_MS + ahead_ms + mono as i64), synced: true }
}

fn reading(value: Option<f64>) -> Reading {
    value.map(Value::F64).ok_or(NoData::Timeout)
}

fn over(statistic: Statistic) -> Over {
    Over::Windows { length_ms: LENGTH_MS, statistic }
}

/// What comes out of rows: time and value.
fn figures(statistic: Statistic, rows: &[(u64, Option<f64>)]) -> Vec<Option<f64>> {
    let mut follow = Follow::default();
    let take = |&(ms, value): &(u64, Option<f64>)| {
        follow.observe(over(statistic), Quantity::Temperature, at(ms, 0), reading(value)).map(|figure| figure.value)
    };
    rows.iter().filter_map(take).collect()
}

/// The values of each window that is over, by the wall clock alone; the first goes on to the end of the second when less
/// than half of it is seen.
fn windows(rows: &[(u64, Option<f64>)]) -> Vec<Vec<f64>> {
    let begin = rows[0].0;
    let number = |ms: u64| {
        if ms / LENGTH_MS == begin / LENGTH_MS && begin % LENGTH_MS > LENGTH_MS / 2 {
            ms / LENGTH_MS + 1
        } else {
            ms / LENGTH_MS
        }
    };
    let last = number(rows[rows.len() - 1].0);
    let of =
        |window| rows.iter().filter(move |(ms, _)| number(*ms) == window).filter_map(|(_, value)| *value).collect();
    (number(begin)..last).map(of).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The figure of a window by its definition.
fn naive(statistic: Statistic, values: &[f64]) -> f64 {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let greatest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mean = mean(values);
    match statistic {
        Statistic::Mean | Statistic::Deviation { .. } => mean,
        Statistic::Min => least,
        Statistic::Max => greatest,
        Statistic::Range => greatest - least,
        Statistic::Std => (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt(),
        Statistic::Count => values.len() as f64,
        Statistic::Change => values[values.len() - 1] - values[0],
    }
}

/// The same, each from those before it.
fn naive_deviations(windows: &[Vec<f64>]) -> Vec<Option<f64>> {
    let means: Vec<Option<f64>> = windows.iter().map(|values| (!values.is_empty()).then(|| mean(values))).collect();
    let of = |index: usize| {
        let before: Vec<f64> = means[index.checked_sub(HISTORY as usize)?..index].iter().copied().flatten().collect();
        (2 * before.len() >= HISTORY as usize).then(|| Some(means[index]? - mean(&before)))?
    };
    (0..means.len()).map(of).collect()
}

fn alike(a: &[Option<f64>], b: &[Option<f64>]) -> bool {
    let near = |pair: (&Option<f64>, &Option<f64>)| match pair {
        (Some(a), Some(b)) => (a - b).abs() < 1e-6,
        (a, b) => a == b,
    };
    a.len() == b.len() && a.iter().zip(b).all(near)
}

/// Rows of a device that now and then fails, none of them a window apart.
fn rows() -> impl Strategy<Value = Vec<(u64, Option<f64>)>> {
    let row = (1..4_000u64, prop_oneof![4 => (-50.0..50.0f64).prop_map(Some), 1 => Just(None)]);
    (0..100_000u64, prop::collection::vec(row, 1..200)).prop_map(|(start, steps)| {
        let mut now = start;
        let row = |(step, value)| {
            now += step;
            (now, value)
        };
        steps.into_iter().map(row).collect()
    })
}

proptest! {
    #[test]
    fn figures_are_those_of_the_readings_between_two_full_windows_of_the_clock(rows in rows()) {
        let windows = windows(&rows);
        for statistic in [Statistic::Mean, Statistic::Min, Statistic::Max, Statistic::Range, Statistic::Std, Statistic::Change] {
            let expected: Vec<_> =
                windows.iter().map(|values| (!values.is_empty()).then(|| naive(statistic, values))).collect();
            prop_assert!(alike(&figures(statistic, &rows), &expected), "{statistic:?}: {expected:?}");
        }
        let deviations = figures(Statistic::Deviation { history: HISTORY }, &rows);
        prop_assert!(alike(&deviations, &naive_deviations(&windows)), "{deviations:?}");
        // Of the first window nobody knows how many there should have been.
        let counts: Vec<_> = windows.iter().map(|values| Some(naive(Statistic::Count, values))).collect();
        let counted = figures(Statistic::Count, &rows);
        prop_assert_eq!(counted.get(1..).unwrap_or_default(), counts.get(1..).unwrap_or_default());
    }

    #[test]
    fn windows_follow_one_another_whatever_the_wall_clock_does(
        rows in prop::collection::vec((1..25_000u64, any::<bool>(), -300_000_000..300_000_000i64), 1..300),
        length_s in prop_oneof![Just(1u64), Just(7), Just(10), Just(3_600)],
    ) {
        let (length_ms, mut follow) = (length_s * 1_000, Follow::default());
        let (mut now, mut ahead_ms, mut before, mut values, mut rows_so_far) = (0, 0, None::<(Mono, Mono)>, 0, 0);
        for (step, steps_clock, by) in rows {
            now += step;
            // As seldom as one row in some.
            if steps_clock && by % 7 == 0 {
                ahead_ms += by;
            }
            let stamp = at(now, ahead_ms);
            let ended = follow.turn(stamp, length_ms, Quantity::Other);
            let window = follow.window.as_mut().unwrap();
            window.add(1.0, stamp.mono);
            let (begun, end) = (window.begun, window.end);
            prop_assert!(begun <= stamp.mono && stamp.mono < end, "the row is in its window");
            match (before, ended) {
                (None, None) => {}
                (Some(same), None) => prop_assert_eq!(same, (begun, end)),
                (Some(before), Some((ended, _))) => {
                    prop_assert_eq!((ended.begun, ended.end), before);
                    prop_assert!(begun == before.1 || begun == stamp.mono, "a hole, and no reason for it");
                    values += ended.n;
                }
                (None, Some(_)) => prop_assert!(false, "a window that nobody began"),
            }
            if before != Some((begun, end)) {
                let long_ms = end - begun;
                prop_assert!(2 * long_ms >= length_ms && 2 * long_ms < 3 * length_ms, "{long_ms} of {length_ms} ms");
                let wall_ms = stamp.wall.0 + (end - stamp.mono) as i64;
                prop_assert_eq!(wall_ms.rem_euclid(length_ms as i64), 0, "it ends where the clock is full");
            }
            before = Some((begun, end));
            rows_so_far += 1;
            prop_assert_eq!(values + window.n, rows_so_far, "each row in one window");
        }
    }
}

#[test]
fn a_clock_that_is_set_makes_one_window_shorter_or_longer_and_loses_no_reading() {
    // Three minutes at 1 Hz, and the clock is set 93 s in: where windows end, in seconds of the clock that never steps.
    for (by_ms, ends) in [
        (0, [80, 90, 100, 110, 120, 130]),
        (4_000, [80, 90, 100, 106, 116, 126]),
        (7_000, [80, 90, 100, 113, 123, 133]),
        (-4_000, [80, 90, 100, 114, 124, 134]),
        (-3_600_000 - 7_000, [80, 90, 100, 107, 117, 127]),
        (86_400_000, [80, 90, 100, 110, 120, 130]),
    ] {
        let mut follow = Follow::default();
        let (mut ended, mut values) = (Vec::new(), 0);
        for second in 0..180u64 {
            let stamp = at(1_000 * second, if second >= 93 { by_ms } else { 0 });
            if let Some((window, follows)) = follow.turn(stamp, LENGTH_MS, Quantity::Other) {
                assert!(follows);
                values += window.n;
                ended.push(window.end.0 / 1_000);
            }
            follow.window.as_mut().unwrap().add(1.0, stamp.mono);
        }
        assert_eq!(ended[7..13], ends, "set by {by_ms} ms");
        assert_eq!(values + follow.window.unwrap().n, 180);
    }
}

#[test]
fn readings_that_fail_are_counted_and_never_become_values() {
    let minute =
        |value: fn(u64) -> Option<f64>| (0..=60).map(|second| (1_000 * second, value(second))).collect::<Vec<_>>();
    let silent_for_a_window = minute(|second| (!(20..30).contains(&second)).then_some(7.0));
    assert_eq!(
        figures(Statistic::Min, &silent_for_a_window),
        [Some(7.0), Some(7.0), None, Some(7.0), Some(7.0), Some(7.0)]
    );
    let count = [Some(10.0), Some(10.0), Some(0.0), Some(10.0), Some(10.0), Some(10.0)];
    assert_eq!(figures(Statistic::Count, &silent_for_a_window), count);
    let every_third_fails = minute(|second| (second % 3 > 0).then_some(2.0));
    assert_eq!(figures(Statistic::Mean, &every_third_fails), [Some(2.0); 6]);
}

#[test]
fn after_a_time_in_which_nobody_looked_windows_begin_where_they_are_and_look_back_on_nothing() {
    let rows = |seconds: std::ops::Range<u64>, value| seconds.map(move |second| (1_000 * second, Some(value)));
    let all: Vec<_> = rows(0..45, 1.0).chain(rows(3_607..3_680, 5.0)).collect();
    let counts = figures(Statistic::Count, &all);
    assert_eq!(counts[..4], [Some(10.0); 4]);
    assert_eq!(counts[4..6], [None, None], "of neither is known how many there should have been");
    assert_eq!(counts[6..], [Some(10.0); 5]);
    let deviations = figures(Statistic::Deviation { history: HISTORY }, &all);
    let none = [None, None, None];
    assert_eq!(deviations, [&none[..], &[Some(0.0)], &[Some(0.0)], &none, &[Some(0.0); 3]].concat());
}

#[test]
fn a_channel_that_is_read_less_often_than_its_device_is_not_taken_for_silent() {
    let mut follow = Follow::default();
    for second in 0..20u64 {
        let reading = if second % 5 == 0 { reading(Some(second as f64)) } else { Err(NoData::NotDue) };
        let figure = follow.observe(Over::Readings, Quantity::Power, at(1_000 * second, 0), reading);
        assert_eq!(figure.is_some(), second % 5 == 0, "second {second}");
    }
}

#[test]
fn a_direction_has_its_mean_and_its_changes_on_the_circle() {
    let turned = |statistic, rows: &[f64]| {
        let mut follow = Follow::default();
        let take = |(second, &value): (usize, &f64)| {
            let stamp = at(5_000 * second as u64, 0);
            follow.observe(over(statistic), Quantity::WindDirection, stamp, reading(Some(value)))?.value
        };
        rows.iter().enumerate().filter_map(take).last().unwrap()
    };
    assert!((turned(Statistic::Mean, &[350.0, 14.0, 0.0]) - 2.0).abs() < 1e-9);
    assert_eq!(turned(Statistic::Change, &[350.0, 14.0, 0.0]), 24.0);
    assert_eq!(turned(Statistic::Change, &[14.0, 350.0, 0.0]), -24.0);
    let shifted = turned(Statistic::Deviation { history: 1 }, &[355.0, 355.0, 5.0, 5.0, 0.0]);
    assert!((shifted - 10.0).abs() < 1e-9, "{shifted}");
}

#[test]
fn what_is_beyond_a_limit_is_bad_and_an_open_alert_waits_for_its_other_edge() {
    let limit = |at, clear| Some(Limit { at, clear });
    let bounds = Bounds { above: limit(45.0, 43.0), below: limit(5.0, 5.0) };
    for (value, idle, open) in [
        (45.1, "bad", "bad"),
        (45.0, "good", "unsure"),
        (43.1, "good", "unsure"),
        (43.0, "good", "good"),
        (5.0, "good", "good"),
        (4.9, "bad", "bad"),
    ] {
        let said = |is_open| match bounds.verdict(value, is_open) {
            Verdict::Bad(badness) => {
                assert!(badness > 0.0);
                "bad"
            }
            Verdict::Good => "good",
            Verdict::Unsure => "unsure",
        };
        assert_eq!((said(false), said(true)), (idle, open), "{value}");
    }
    assert_eq!(
        [50.0, 30.0, 20.0, 1.0].map(|value| bounds.nearest(value)),
        [Some((45.0, true)); 2].into_iter().chain([Some((5.0, false)); 2]).collect::<Vec<_>>()[..]
    );
}
