//! Where an axis has its marks.

use windward_protocol::{Iso8601, parse_iso8601};

/// Most marks on the time axis.
const MOST_MARKS: i64 = 12;
const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// Times between marks that people read easily, ms.
const STEPS_MS: [i64; 25] = [
    100,
    200,
    500,
    SECOND,
    2 * SECOND,
    5 * SECOND,
    10 * SECOND,
    15 * SECOND,
    30 * SECOND,
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    5 * DAY,
    7 * DAY,
    14 * DAY,
];
/// And longer ones, in months.
const STEPS_MONTHS: [i64; 9] = [1, 2, 3, 6, 12, 60, 120, 1_200, 12_000];

/// A mark on the time axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TimeMark {
    /// Where it stands, ms since 1970.
    pub(super) at_ms: i64,
    /// What stands below it.
    pub(super) label: String,
    /// What stands below that: the day or the year, where it is another than at the mark before.
    pub(super) below: String,
}

/// Marks of the times `from..=to`, ms since 1970, on round times of UTC.
pub(super) fn times(from: i64, to: i64) -> Vec<TimeMark> {
    let few = |step: &i64| to.saturating_sub(from) / step < MOST_MARKS;
    let (times, label, below) = match STEPS_MS.into_iter().find(few) {
        Some(step) => {
            let first = from.div_euclid(step) + i64::from(from.rem_euclid(step) > 0);
            let times = (first..).map(|n| n * step).take_while(|&at| at <= to).collect();
            match step {
                ..SECOND => (times, 11..21, 0..10),
                SECOND..MINUTE => (times, 11..19, 0..10),
                MINUTE..DAY => (times, 11..16, 0..10),
                _ => (times, 5..10, 0..4),
            }
        }
        None => {
            let month = 30 * DAY;
            let step = STEPS_MONTHS.into_iter().find(|step| few(&(step * month))).unwrap_or(12_000);
            let times = months(from, to, step);
            if step < 12 { (times, 0..7, 0..0) } else { (times, 0..4, 0..0) }
        }
    };
    let mut before = String::new();
    let mark = |at_ms: i64| {
        let text = Iso8601(at_ms).to_string();
        let part = |range: std::ops::Range<usize>| text.get(range).unwrap_or_default().to_owned();
        let now = part(below.clone());
        let below = if now == before { String::new() } else { now.clone() };
        before = now;
        TimeMark { at_ms, label: part(label.clone()), below }
    };
    times.into_iter().map(mark).collect()
}

/// The beginnings of every `step`th month.
fn months(from: i64, to: i64, step: i64) -> Vec<i64> {
    let text = Iso8601(from).to_string();
    let number = |range| text.get(range).and_then(|digits: &str| digits.parse::<i64>().ok()).unwrap_or(0);
    let month = number(0..4) * 12 + number(5..7) - 1;
    let begin = |month: i64| parse_iso8601(&format!("{:04}-{:02}-01T00:00:00", month / 12, month % 12 + 1));
    (month.div_euclid(step)..)
        .map_while(|n| begin(n * step))
        .skip_while(|&at| at < from)
        .take_while(|&at| at <= to)
        .collect()
}

/// Round values within `least..=most`, and their labels: five at most.
pub(super) fn values(least: f64, most: f64) -> Vec<(f64, String)> {
    let span = most - least;
    if !span.is_finite() || span <= 0.0 {
        return Vec::new();
    }
    let power = 10f64.powf((span / 4.0).log10().floor());
    let Some(step) = [1.0, 2.0, 5.0, 10.0].map(|digit| digit * power).into_iter().find(|step| span / step <= 4.0)
    else {
        return Vec::new();
    };
    let first = (least / step).ceil();
    let values = (0..=4).map(|n| (first + f64::from(n)) * step);
    values.filter(|value| (least..=most).contains(value)).map(|value| (value, label(value, step))).collect()
}

fn label(value: f64, step: f64) -> String {
    let value = if value == 0.0 { 0.0 } else { value };
    let decimals = (-step.log10().floor()).max(0.0);
    if decimals > 4.0 || value.abs() >= 1e6 { format!("{value:.2e}") } else { format!("{value:.*}", decimals as usize) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(from: &str, to: &str) -> String {
        let moment = |text| super::super::super::time(text).unwrap();
        let marks = times(moment(from), moment(to));
        let show = |mark: &TimeMark| format!("{} {}", mark.label, mark.below).trim_end().to_owned();
        marks.iter().map(show).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn marks_stand_on_round_times_and_name_a_day_once() {
        for (from, to, expected) in [
            ("2026-11-20 13:54:00.25", "2026-11-20 13:54:00.5", "13:54:00.3 2026-11-20, 13:54:00.4, 13:54:00.5"),
            (
                "2026-11-20 13:54:03",
                "2026-11-20 13:54:20",
                "13:54:04 2026-11-20, 13:54:06, 13:54:08, 13:54:10, 13:54:12, 13:54:14, 13:54:16, 13:54:18, 13:54:20",
            ),
            (
                "2026-11-20 20:00",
                "2026-11-21 04:30",
                "20:00 2026-11-20, 21:00, 22:00, 23:00, 00:00 2026-11-21, 01:00, 02:00, 03:00, 04:00",
            ),
            ("2026-12-28 01:00", "2027-01-03 23:00", "12-29 2026, 12-30, 12-31, 01-01 2027, 01-02, 01-03"),
            (
                "2026-07-02 00:00",
                "2027-03-05 00:00",
                "2026-08, 2026-09, 2026-10, 2026-11, 2026-12, 2027-01, 2027-02, 2027-03",
            ),
            ("2016-07-02 00:00", "2026-03-05 00:00", "2017, 2018, 2019, 2020, 2021, 2022, 2023, 2024, 2025, 2026"),
            ("2026-11-20 13:54", "2026-11-20 13:54", "13:54:00.0 2026-11-20"),
        ] {
            assert_eq!(shown(from, to), expected, "{from} to {to}");
        }
    }

    #[test]
    fn values_are_round() {
        for (least, most, expected) in [
            (0.0, 17.3, "0 5 10 15"),
            (-0.004, 0.011, "0.000 0.005 0.010"),
            (99.5, 100.5, "99.5 100.0 100.5"),
            (0.0, 4e7, "0 1.00e7 2.00e7 3.00e7 4.00e7"),
            (3.0, 3.0, ""),
            (f64::MIN, f64::MAX, ""),
        ] {
            let labels: Vec<String> = values(least, most).into_iter().map(|(_, label)| label).collect();
            assert_eq!(labels.join(" "), expected, "{least} to {most}");
        }
    }

    proptest! {
        #[test]
        fn marks_are_few_and_within(from in 0i64..200_000_000_000_000, span in 0i64..100_000_000_000_000, cut in 0u32..40) {
            let to = from + (span >> cut);
            let marks = times(from, to);
            prop_assert!(marks.len() <= 14, "{}", marks.len());
            prop_assert!(marks.iter().all(|mark| (from..=to).contains(&mark.at_ms)));
        }

        #[test]
        fn values_are_few_and_within(least: f64, most: f64) {
            prop_assume!(least < most);
            prop_assert!(values(least, most).iter().all(|(value, _)| (least..=most).contains(value)));
        }
    }
}
