use super::*;
use crate::time::Wall;
use proptest::prelude::*;
use std::collections::BTreeSet;
use windward_protocol::{Reading, Value};

const START_MS: i64 = 1_767_225_600_000;

fn value(mantissa: i64) -> Reading {
    Ok(Value::Int { mantissa, exponent: 0 })
}

/// Passes rows of these times, readings and openings of alerts. Gives for each row the times of the rows it let out.
fn passed(every_ms: u64, rows: &[(u64, Vec<Reading>, bool)]) -> Vec<Vec<u64>> {
    let mut thin = Thin::new(every_ms, rows[0].1.len());
    let time = |(_, row): &Passed| (row.time_ms - START_MS) as u64;
    let pass = |(at, readings, opens): &(u64, Vec<Reading>, bool)| {
        let stamp = Stamp { mono: Mono(at + 77), wall: Wall(START_MS + *at as i64), synced: true };
        let row = Row { time_ms: stamp.wall.0, readings: readings.clone(), scores: vec![None; readings.len()] };
        thin.pass(stamp, row, *opens).iter().map(time).collect()
    };
    let mut out: Vec<Vec<u64>> = rows.iter().map(pass).collect();
    out.push(thin.finish().iter().map(time).collect());
    out
}

fn every_second(count: u64, opens_at: &[u64]) -> Vec<(u64, Vec<Reading>, bool)> {
    (0..count).map(|second| (second * 1_000, vec![value(5)], opens_at.contains(&second))).collect()
}

#[test]
fn in_quiet_times_the_first_row_of_each_period_goes_at_once() {
    let out = passed(10_000, &every_second(31, &[]));
    for (second, out) in (0..31).zip(&out) {
        assert_eq!(*out, if second % 10 == 0 { vec![second * 1_000] } else { vec![] });
    }
}

#[test]
fn a_minute_before_and_after_an_alert_goes_in_full_and_the_queue_is_not_flooded() {
    let out = passed(10_000, &every_second(400, &[200]));
    let all: BTreeSet<u64> = out.iter().flatten().copied().collect();
    let expected = (0..400).filter(|second| second % 10 == 0 || (140..=260).contains(second));
    assert_eq!(all, expected.map(|second| second * 1_000).collect());
    assert!(out.iter().all(|out| out.len() <= RELEASE));
    assert_eq!(out[200][0], 141_000, "140 has gone as the row of its period");
    assert_eq!(out[210], [210_000], "the burst has caught up");
}

#[test]
fn the_minute_around_an_alert_has_both_its_ends() {
    let all: BTreeSet<u64> = passed(10_000, &every_second(400, &[203])).into_iter().flatten().collect();
    let expected = (0..400).filter(|second| second % 10 == 0 || (143..=263).contains(second));
    assert_eq!(all, expected.map(|second| second * 1_000).collect());
}

#[test]
fn a_value_that_goes_away_or_comes_back_is_told_at_once() {
    let dead = Err(NoData::Timeout);
    let row = |at, reading| (at, vec![reading, value(1)], false);
    let rows = [row(0, value(1)), row(1_000, dead), row(2_000, dead), row(3_000, Err(NoData::Skipped))];
    let back = [row(4_000, value(1)), row(5_000, value(2))];
    let out = passed(60_000, &[&rows[..], &back].concat());
    assert_eq!(out, [vec![0], vec![1_000], vec![], vec![3_000], vec![4_000], vec![], vec![]]);
}

#[test]
fn a_channel_that_is_read_seldom_is_not_lost_between_the_periods() {
    let row = |second: u64| {
        let slow = if second % 20 == 3 { value(7) } else { Err(NoData::NotDue) };
        (second * 1_000, vec![value(1), slow], false)
    };
    let out = passed(10_000, &(0..40).map(row).collect::<Vec<_>>());
    let all: Vec<u64> = out.into_iter().flatten().map(|at| at / 1_000).collect();
    assert_eq!(all, [0, 3, 10, 20, 23, 30]);
}

#[test]
fn a_device_that_is_too_fast_for_a_minute_keeps_what_fits() {
    let rows: Vec<_> = (0..6_000).map(|step| (step * 10, vec![value(1)], step == 5_000)).collect();
    let before = passed(3_600_000, &rows).into_iter().flatten().filter(|at| *at < 50_000).count();
    assert_eq!(before, 1 + MAX_HELD);
}

proptest! {
    #[test]
    fn whatever_happens_rows_go_once_and_in_order_but_for_the_minute_before_an_alert(
        every_ms in prop::sample::select(vec![2_000u64, 10_000, 60_000]),
        steps in prop::collection::vec((1u64..4_000, 0u8..40), 1..400),
    ) {
        let mut at = 0;
        let rows: Vec<_> = steps.iter().map(|&(step, kind)| {
            at += step;
            let reading = if kind < 4 { Err(NoData::Timeout) } else { value(kind.into()) };
            (at, vec![reading], kind == 39)
        }).collect();
        let out = passed(every_ms, &rows);
        let flat: Vec<u64> = out.iter().flatten().copied().collect();
        let all: BTreeSet<u64> = flat.iter().copied().collect();
        prop_assert_eq!(flat.len(), all.len(), "twice");

        let opens: Vec<u64> = rows.iter().filter(|row| row.2).map(|row| row.0).collect();
        let mut periods = BTreeSet::new();
        let mut quality = None;
        for (at, readings, _) in &rows {
            let near = opens.iter().any(|open| at.abs_diff(*open) <= BURST_MS);
            let first = periods.insert(at / every_ms);
            let changed = quality.replace(readings[0].err()) != Some(readings[0].err());
            prop_assert_eq!(all.contains(at), near || first || changed, "at {}", at);
        }
        for pair in flat.windows(2).filter(|pair| pair[1] < pair[0]) {
            let of_burst = opens.iter().any(|open| pair[0] <= *open && open - pair[1] <= BURST_MS);
            prop_assert!(of_burst, "{} after {}", pair[1], pair[0]);
        }
        for (row, out) in rows.iter().zip(&out) {
            let since = opens.iter().filter(|open| **open <= row.0).max();
            if since.is_none_or(|open| row.0 - open > 2 * BURST_MS) {
                prop_assert!(out.iter().all(|at| *at == row.0), "a row outside of bursts goes at once or never");
            }
        }
    }
}
