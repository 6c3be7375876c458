//! The rows of the data sets. What stands here are the columns that readers of the archive know: names and types only
//! ever grow at the end.

use super::table::{Kind, Table};
use super::{DataSet, Reading};
use crate::place::{AlertRow, StatsRow};
use windward_protocol::parse_iso8601;

type Columns = &'static [(&'static str, Kind, bool)];

const READINGS: Columns = &[
    ("time", Kind::Time, true),
    ("agent", Kind::Text, true),
    ("device", Kind::Text, true),
    ("location", Kind::Text, true),
    ("channel", Kind::Text, true),
    ("quantity", Kind::Text, true),
    ("unit", Kind::Text, true),
    ("value", Kind::Number, false),
    ("no_data", Kind::Text, false),
    ("score", Kind::Number, false),
    ("synced", Kind::Flag, true),
    ("epoch", Kind::Text, true),
    ("seq", Kind::Whole, true),
];

const ALERTS: Columns = &[
    ("opened", Kind::Time, true),
    ("updated", Kind::Time, true),
    ("cleared", Kind::Time, false),
    ("agent", Kind::Text, true),
    ("id", Kind::Text, true),
    ("location", Kind::Text, true),
    ("device", Kind::Text, true),
    ("channel", Kind::Text, true),
    ("kind", Kind::Text, true),
    ("severity", Kind::Text, true),
    ("value", Kind::Number, false),
    ("unit", Kind::Text, true),
    ("wind_speed", Kind::Number, false),
    ("anomaly_score", Kind::Number, false),
    ("threshold", Kind::Number, false),
    ("evidence", Kind::Text, true),
];

const STATS: Columns = &[
    ("start", Kind::Time, true),
    ("agent", Kind::Text, true),
    ("device", Kind::Text, true),
    ("channel", Kind::Text, true),
    ("unit", Kind::Text, true),
    ("window_s", Kind::Number, true),
    ("n", Kind::Whole, true),
    ("due", Kind::Whole, true),
    ("mean", Kind::Number, false),
    ("min", Kind::Number, false),
    ("max", Kind::Number, false),
    ("std", Kind::Number, false),
    ("turbulence", Kind::Number, false),
    ("gust_3s", Kind::Number, false),
];

/// An empty table of a data set.
pub fn table_of(set: DataSet) -> Table {
    let columns = match set {
        DataSet::Readings => READINGS,
        DataSet::Alerts => ALERTS,
        DataSet::Stats => STATS,
    };
    Table::new(set.name(), columns)
}

/// Adds a reading to a table of readings.
pub fn push_reading(table: &mut Table, agent: &str, device: &str, reading: &Reading<'_>) {
    table.whole(reading.time_ms);
    table.text(agent);
    table.text(device);
    table.text(reading.location);
    table.text(reading.channel);
    table.text(reading.quantity);
    table.text(reading.unit);
    table.number(reading.value);
    table.text(reading.no_data);
    table.number(reading.score);
    table.flag(reading.synced);
    table.text(reading.epoch);
    table.whole(reading.seq as i64);
}

/// Adds an alert to a table of alerts.
pub fn push_alert(table: &mut Table, row: &AlertRow) {
    table.whole(row.opened_ms);
    table.whole(row.at_ms.max(row.cleared_ms.unwrap_or(row.at_ms)));
    table.whole(row.cleared_ms);
    table.text(row.agent.as_str());
    table.text(format!("{:016x}", row.id).as_str());
    table.text(row.location.as_str());
    table.text(row.device.as_str());
    table.text(row.channel.as_str());
    table.text(row.kind.as_str());
    table.text(row.severity.as_str());
    table.number(row.value);
    table.text(row.unit.as_str());
    table.number(row.wind_speed);
    table.number(row.anomaly_score);
    table.number(row.threshold);
    table.text(row.evidence.as_str());
}

/// Adds statistics to a table of statistics.
pub fn push_stats(table: &mut Table, row: &StatsRow) {
    let (agent, device, channel) = parts(&row.partition);
    table.whole(parse_iso8601(&row.sort).unwrap_or(0));
    table.text(agent);
    table.text(device);
    table.text(channel);
    table.text(row.unit.as_str());
    table.number(Some(f64::from(row.window_ms) / 1000.0));
    table.whole(i64::from(row.n));
    table.whole(i64::from(row.due));
    for figure in [row.mean, row.min, row.max, row.std, row.turbulence, row.gust_3s] {
        table.number(figure);
    }
}

/// Agent, device and channel of a partition of statistics. Names that agents give have no `/`.
fn parts(partition: &str) -> (&str, &str, &str) {
    let (agent, rest) = partition.split_once('/').unwrap_or((partition, ""));
    let (device, channel) = rest.rsplit_once('/').unwrap_or((rest, ""));
    (agent, device, channel)
}
