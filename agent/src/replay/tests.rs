//! Rows through a replay.

use super::*;
use windward_protocol::{NoData, Value};

const START_MS: i64 = 1_795_182_840_000;

fn plan(columns: &str) -> Plan {
    let header = Header::of(columns.split(',')).unwrap();
    let times: Vec<i64> = (0..100).map(|n| START_MS + n * 1_000).collect();
    Plan::of_columns("mast", &header, &times)
}

/// A signal that swings a little, so that a detector soon knows it, and jumps at one row.
fn swing(n: i64, jump: i64) -> f64 {
    let usual = 8.0 + (n as f64 * 0.7).sin() + (n * 7_919 % 13) as f64 * 0.05;
    if n == jump { usual + 60.0 } else { usual }
}

#[test]
fn an_alert_is_marked_at_the_row_where_it_opens_and_listed_with_its_end() {
    let mut replay = Replay::new(&plan("timestamp,value"), &DetectConfig::default(), false);
    let mut opened = Vec::new();
    for n in 0..3_000 {
        let verdict = replay.row(START_MS + n * 1_000, &[Ok(Value::F64(swing(n, 2_000)))]);
        assert!(verdict.score.is_finite() && verdict.score >= 0.0);
        opened.extend(verdict.opened.then_some(n));
    }
    let (summary, plot) = replay.finish("swing.csv");
    assert_eq!(plot, None);
    assert!(opened.contains(&2_000), "{opened:?}");
    let listed: Vec<i64> = summary.events.iter().map(|event| (event.opened_ms - START_MS) / 1_000).collect();
    assert_eq!(listed, opened);
    let event = summary.events.iter().find(|event| event.opened_ms == START_MS + 2_000_000).unwrap();
    assert!(event.cleared_ms.is_some_and(|end| end > event.opened_ms), "{event}");
    assert_eq!(event.channel, "value");
}

#[test]
fn times_that_go_back_or_stand_still_are_counted_and_judged_all_the_same() {
    let mut replay = Replay::new(&plan("timestamp,value"), &DetectConfig::default(), true);
    for seconds in [0, 1, 1, 2, -5, 3, 3, 10] {
        replay.row(START_MS + seconds * 1_000, &[Ok(Value::F64(1.0))]);
    }
    let (summary, plot) = replay.finish("times.csv");
    assert_eq!((summary.rows, summary.back, summary.twice), (8, 1, 2));
    assert_eq!(summary.span_ms, (START_MS - 5_000, START_MS + 10_000));
    assert!(plot.is_some());
}

#[test]
fn the_clock_of_the_judge_never_goes_back() {
    let (mut clock, mut summary) = (Clock::default(), Summary::new(1_000));
    let mut mono = |ms| clock.at(ms, &mut summary).mono.0;
    assert_eq!([5_000, 6_000, 4_000, 5_500, 8_000].map(&mut mono), [0, 1_000, 1_000, 1_000, 3_000]);
}

#[test]
fn readings_that_failed_are_counted_and_those_not_due_are_not() {
    let mut replay = Replay::new(&plan("timestamp,a,b"), &DetectConfig::default(), false);
    replay.row(START_MS, &[Err(NoData::Invalid), Ok(Value::F64(1.0))]);
    replay.row(START_MS + 1_000, &[Err(NoData::NotDue), Err(NoData::NotANumber)]);
    assert_eq!(replay.finish("").0.missing, 2);
}

#[test]
fn months_are_counted_by_rows_so_that_gaps_do_not_count() {
    let mut summary = Summary::new(600_000);
    summary.rows = 4_383;
    assert!((summary.months() - 1.0).abs() < 1e-3, "{}", summary.months());
}

#[test]
fn cells_become_the_readings_of_the_plan() {
    let (plan, mut readings) = (plan("timestamp,a,label,b"), Vec::new());
    let row = ["2026-11-20", "1.5", "yes", "nan"];
    assert_eq!(plan.readings(|at| row[at], &mut readings), Ok(()));
    assert_eq!(readings, [Ok(Value::F64(1.5)), Err(NoData::NotANumber)]);
    let row = ["2026-11-20", "", "yes", "b"];
    assert_eq!(plan.readings(|at| row[at], &mut readings), Err(3));
}
