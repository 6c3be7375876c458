//! What the plot keeps of rows, and that it is a document.

use super::*;
use crate::time::{Mono, Wall};
use crate::watch::judge::JudgeChannel;
use proptest::prelude::*;
use windward_protocol::{Alert, AlertKind, AlertPhase, Channel, Quantity, Severity, Value};

const STEP_MS: u32 = 1_000;

fn trace(rows: &[(u64, Reading)]) -> Trace {
    let mut trace = Trace::new(1, STEP_MS);
    for &(at_ms, reading) in rows {
        let stamp = Stamp { mono: Mono(at_ms), wall: Wall(at_ms as i64 + 1_795_182_840_000), synced: true };
        trace.row(stamp, &[reading], 1.0);
    }
    trace
}

fn value(value: f64) -> Reading {
    Ok(Value::F64(value))
}

fn device(name: &str) -> JudgeDevice {
    let channel = Channel { name: name.into(), quantity: Quantity::Other, unit: "m/s".into() };
    let channels = vec![JudgeChannel { channel, detect: true, rules: Vec::new() }];
    JudgeDevice { device: "mast".into(), location: String::new(), interval_ms: STEP_MS, channels }
}

fn opened(channel: &str, evidence: &str) -> Summary {
    let mut summary = Summary::new(STEP_MS);
    summary.alert(Alert {
        id: 1,
        phase: AlertPhase::Open,
        kind: AlertKind::Anomaly,
        severity: Severity::Critical,
        location: String::new(),
        device: "mast".into(),
        channel: channel.into(),
        opened_ms: 1_795_182_845_000,
        at_ms: 1_795_182_845_000,
        synced: true,
        value: None,
        unit: String::new(),
        wind_speed: None,
        score: None,
        threshold: None,
        evidence: evidence.into(),
    });
    summary
}

/// Panics unless each element that is opened is closed, in turn, and all that is left is text without markup.
fn assert_well_formed(svg: &str) {
    let (mut open, mut rest) = (Vec::new(), svg);
    while let Some(at) = rest.find('<') {
        assert!(!rest[..at].contains('>'), "{}", &rest[..at]);
        let end = at + rest[at..].find('>').unwrap();
        let tag = &rest[at + 1..end];
        let quotes = tag.matches('"').count();
        assert_eq!(quotes % 2, 0, "{tag}");
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name), "{tag}"),
            None if tag.ends_with('/') => {}
            None => open.push(tag.split([' ', '\n']).next().unwrap()),
        }
        rest = &rest[end + 1..];
    }
    assert!(open.is_empty() && rest.trim().is_empty(), "{open:?} {rest}");
    for (at, _) in svg.match_indices('&') {
        let entity = svg[at..].split(';').next().unwrap();
        assert!(["&amp", "&lt", "&gt", "&quot"].contains(&entity), "{entity}");
    }
}

#[test]
fn a_signal_is_one_run_though_rows_come_a_little_late() {
    let rows: Vec<_> = (0..50).map(|n| (n * 1_000 + n % 7 * 90, value(n as f64))).collect();
    assert_eq!(trace(&rows).signal_runs(0).len(), 1);
}

#[test]
fn a_failed_reading_and_a_gap_end_a_run_and_a_reading_that_was_not_due_does_not() {
    for (between, runs) in [
        (vec![(1_000, value(1.0))], 1),
        (vec![(1_000, Err(NoData::NotDue))], 1),
        (vec![(1_000, Err(NoData::Invalid))], 2),
    ] {
        let rows: Vec<_> = [vec![(0, value(1.0))], between.clone(), vec![(2_000, value(1.0))]].concat();
        assert_eq!(trace(&rows).signal_runs(0).len(), runs, "{between:?}");
    }
    assert_eq!(trace(&[(0, value(1.0)), (3_000, value(2.0))]).signal_runs(0).len(), 2);
    assert_eq!(trace(&[(0, value(1.0)), (3_000, value(2.0))]).score_runs().len(), 2);
}

#[test]
fn ten_years_after_a_second_are_still_a_few_columns() {
    let trace = trace(&[(0, value(1.0)), (1_000, value(3.0)), (315_360_000_000, value(2.0))]);
    assert!(trace.columns.len() <= MOST_COLUMNS);
    assert_eq!(trace.range(0), Some((1.0, 3.0)));
}

#[test]
fn texts_cannot_break_the_document() {
    let nasty = "a<b & \"c\"\u{7} ]]> </svg>";
    let rows = [(0, value(1.0)), (1_000, Err(NoData::NotANumber)), (9_000, value(f64::MAX)), (9_500, value(f64::MIN))];
    let svg = trace(&rows).svg(nasty, &device(nasty), &opened(nasty, nasty));
    assert_well_formed(&svg);
    let drawn = svg.split("</style>").last().unwrap();
    assert!(!drawn.contains('\u{7}') && !drawn.contains("NaN") && !drawn.contains("inf"));
    assert!(svg.contains("a&lt;b &amp; &quot;c&quot; ]]&gt; &lt;/svg&gt; [m/s]"));
}

#[test]
fn a_plot_of_nothing_is_a_document_too() {
    assert_well_formed(&trace(&[]).svg("nothing", &device("value"), &Summary::new(STEP_MS)));
    assert_well_formed(&trace(&[(0, value(0.0))]).svg("a row", &device("value"), &Summary::new(STEP_MS)));
}

#[test]
fn an_alert_stands_as_a_band_with_what_it_says_on_its_channel_and_on_the_score() {
    let rows: Vec<_> = (0..20).map(|n| (n * 1_000, value(n as f64))).collect();
    let bands = |channel: &str| {
        let svg = trace(&rows).svg("t", &device("speed"), &opened(channel, "from 1 to 9 at once"));
        svg.matches("class=\"band critical\"").count()
    };
    assert_eq!((bands("speed"), bands(""), bands("other")), (2, 2, 1));
}

proptest! {
    #[test]
    fn columns_hold_the_least_and_the_greatest_whatever_came(
        rows in prop::collection::vec((0u64..50_000_000, prop::option::of(-1e3..1e3)), 1..300)
    ) {
        let mut at_ms = 0;
        let rows: Vec<(u64, Reading)> = rows.into_iter().map(|(step, number): (u64, Option<f64>)| {
            at_ms += step;
            (at_ms, number.map(Value::F64).ok_or(NoData::Invalid))
        }).collect();
        let trace = trace(&rows);
        let values: Vec<f64> = rows.iter().filter_map(|(_, reading)| reading.ok()).map(Value::as_f64).collect();
        let least = values.iter().copied().reduce(f64::min);
        let most = values.iter().copied().reduce(f64::max);
        prop_assert_eq!(trace.range(0), least.zip(most));
        prop_assert!(trace.columns.len() <= MOST_COLUMNS);
        assert_well_formed(&trace.svg("t", &device("value"), &Summary::new(STEP_MS)));
    }
}
