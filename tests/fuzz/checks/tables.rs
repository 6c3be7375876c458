//! What must hold of any table that is replayed: cells behind commas, lines behind line feeds.

use windward_agent::replay::{Header, Plan, Replay, SURVEYED, reading, time};
use windward_agent::watch::judge::DetectConfig;
use windward_protocol::MAX_CHANNELS;

/// Panics when something does not hold.
pub(crate) fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    text.split([',', '\n']).for_each(check_cell);
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let Some(Ok(header)) = lines.next().map(|line| Header::of(line.into_iter())) else { return };
    assert!((1..=MAX_CHANNELS).contains(&header.values.len()));
    let rows: Vec<Vec<&str>> = lines.filter(|row| row.len() == header.columns).collect();
    let times: Vec<i64> = rows.iter().take(SURVEYED).filter_map(|row| time(row[header.time])).collect();
    let plan = Plan::of_columns("table", &header, &times);
    let mut replay = Replay::new(&plan, &DetectConfig::default(), true);
    let mut readings = Vec::new();
    for row in rows {
        let Some(time_ms) = time(row[header.time]) else { continue };
        if plan.readings(|at| row[at], &mut readings).is_ok() {
            let verdict = replay.row(time_ms, &readings);
            assert!(verdict.score.is_finite(), "a score of {}", verdict.score);
        }
    }
    let (summary, plot) = replay.finish("<table>");
    assert!(summary.months().is_finite());
    assert!(plot.is_some_and(|svg| !svg.contains("<table>")), "a name that is markup in the plot");
}

fn check_cell(cell: &str) {
    if let Some(Ok(value)) = reading(cell) {
        assert!(value.as_f64().is_finite());
    }
    if let Some(ms) = time(cell) {
        assert!(ms.unsigned_abs() < 400_000_000_000_000, "{cell:?} is {ms} ms");
    }
}
