//! The archive, pure: which hours a commit touches, which rows belong to an hour, where its file stands.
//!
//! A *data set* (readings, alerts, statistics) is archived in closed hours, a file each:
//! `<data set>/farm=<farm>/date=YYYY-MM-DD/hour=HH/<data set>.parquet`, all times UTC. Each commit raises the version of
//! the hours that it touches; whoever writes an hour's file reads the version first, then the rows, and records that
//! version last. So what comes late, or a crash anywhere, leaves the version above the one recorded, and the hour is
//! written again, over its own file.
//!
//! ```text
//!   block ──▶ DeviceHour ──▶ readings in order ─┐
//!                          alerts, statistics ──┴─▶ Table ──▶ Parquet, CSV
//! ```

mod device;
mod rows;
mod table;

pub use device::{DeviceHour, Reading, envelopes};
pub use rows::{push_alert, push_reading, push_stats, table_of};
pub use table::{Cells, Column, Kind, MAX_ROWS, Table};

use crate::place::Rows;
use crate::query::LOOK_BACK_MS;
use std::collections::{BTreeMap, BTreeSet};
use windward_protocol::parse_iso8601;

/// An hour, ms.
pub const HOUR_MS: i64 = 3_600_000;

/// For how long after its end an hour counts as open, ms: what is committed then need not raise its version, because
/// nobody archives it yet. `archive.close_after_min` is greater by what the clocks of several sinks may differ.
pub const OPEN_AFTER_END_MS: i64 = 60_000;

/// What is archived, each in files of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DataSet {
    /// One row a reading.
    Readings,
    /// One row an alert.
    Alerts,
    /// One row a channel and 10-minute window.
    Stats,
}

impl DataSet {
    /// All of them.
    pub const ALL: [DataSet; 3] = [DataSet::Readings, DataSet::Alerts, DataSet::Stats];

    /// The name in paths and tables.
    pub fn name(self) -> &'static str {
        match self {
            DataSet::Readings => "readings",
            DataSet::Alerts => "alerts",
            DataSet::Stats => "stats",
        }
    }
}

/// An hour of a data set, which a commit touches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HourRow {
    /// The hour.
    pub hour: Hour,
    /// Partitions of the data set's table that hold rows of it; none for alerts, whose partition is the farm.
    pub members: BTreeSet<String>,
}

/// The name of an hour of a data set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hour {
    /// Farm.
    pub farm: String,
    /// Data set.
    pub set: DataSet,
    /// Its begin, ms; a multiple of [`HOUR_MS`].
    pub start_ms: i64,
}

impl Hour {
    /// Its last millisecond.
    pub fn last_ms(&self) -> i64 {
        self.start_ms.saturating_add(HOUR_MS - 1)
    }

    /// Where its file stands below the archive's root. The farm is escaped as Hive does: bytes other than
    /// `A-Z a-z 0-9 . _ -` as `%XX`.
    pub fn path(&self) -> String {
        let set = self.set.name();
        let time = crate::place::sortable_time(self.start_ms);
        format!("{set}/farm={}/date={}/hour={}/{set}.parquet", escaped(&self.farm), &time[..10], &time[11..13])
    }
}

/// Begin of the hour that a time lies in, held within the years 0000 to 9999.
pub fn hour_of(ms: i64) -> i64 {
    // A time that is out of those years would have no date to stand under.
    let held = parse_iso8601(&crate::place::sortable_time(ms)).unwrap_or(0);
    held.div_euclid(HOUR_MS) * HOUR_MS
}

/// Begin of the hour that a row is archived in, of a block that begins at `first_ms`: its own; but a row that a clock
/// set within the block has carried further than a query looks back, or before the block's first row, stays in the
/// first row's hour. So each row is in one hour, and found there.
pub fn hour_of_row(first_ms: i64, time_ms: i64) -> i64 {
    let (first, own) = (hour_of(first_ms), hour_of(time_ms));
    if own > first && own.saturating_sub(first_ms) <= LOOK_BACK_MS { own } else { first }
}

/// The hours that these rows touch.
pub fn touched(farm: &str, rows: &Rows) -> Vec<HourRow> {
    let mut hours: BTreeMap<(DataSet, i64), BTreeSet<String>> = BTreeMap::new();
    for row in &rows.readings {
        let first = hour_of(row.first_ms);
        hours.entry((DataSet::Readings, first)).or_default().insert(row.partition.clone());
        let next = first.saturating_add(HOUR_MS);
        if next <= row.last_ms && hour_of_row(row.first_ms, next) == next {
            hours.entry((DataSet::Readings, next)).or_default().insert(row.partition.clone());
        }
    }
    for step in &rows.alerts {
        hours.entry((DataSet::Alerts, hour_of(step.alert.opened_ms))).or_default();
    }
    for row in &rows.stats {
        let hour = hour_of(parse_iso8601(&row.sort).unwrap_or(0));
        hours.entry((DataSet::Stats, hour)).or_default().insert(row.partition.clone());
    }
    let row = |((set, start_ms), members)| HourRow { hour: Hour { farm: farm.into(), set, start_ms }, members };
    hours.into_iter().map(row).collect()
}

fn escaped(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let escape = |byte: u8| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{Delivery, Known, Origin};
    use crate::notify::Policy;
    use crate::place::Seen;
    use crate::sink;
    use proptest::prelude::*;
    use windward_protocol::batch::BatchBuilder;
    use windward_protocol::{AgentId, BlockBuilder, Channel, Envelope, Lane, Quantity, Record, Row, Value, topic};

    /// 2026-11-20T13:00Z.
    const H13: i64 = 1_795_179_600_000;

    #[test]
    fn a_path_says_where_and_when() {
        let path = |farm: &str, start_ms| Hour { farm: farm.into(), set: DataSet::Stats, start_ms }.path();
        assert_eq!(path("north-ridge", H13), "stats/farm=north-ridge/date=2026-11-20/hour=13/stats.parquet");
        assert_eq!(path("é/ 1=%", 0), "stats/farm=%C3%A9%2F%201%3D%25/date=1970-01-01/hour=00/stats.parquet");
    }

    #[test]
    fn a_row_belongs_to_its_own_hour_unless_no_query_would_find_it_there() {
        const MINUTE: i64 = 60_000;
        let h14 = H13 + HOUR_MS;
        for (first_ms, time_ms, hour) in [
            (H13, H13, H13),
            (H13, h14 - 1, H13),
            (h14 - MINUTE, h14 - 1, H13),
            (h14 - MINUTE, h14, h14),
            (h14 - LOOK_BACK_MS, h14, h14),
            (h14 - LOOK_BACK_MS - 1, h14, H13),
            (H13 + MINUTE, H13 - 1, H13),
            (h14 - MINUTE, h14 + HOUR_MS, H13),
            (i64::MIN, i64::MAX, hour_of(i64::MIN)),
        ] {
            assert_eq!(hour_of_row(first_ms, time_ms), hour, "{first_ms} {time_ms}");
        }
    }

    /// The stored row of a block with rows at these times.
    fn rows_of(times: &[i64]) -> Rows {
        let agent = AgentId::new("t1").unwrap();
        let channels = [Channel { name: "wind".into(), quantity: Quantity::WindSpeed, unit: "m/s".into() }];
        let mut block = BlockBuilder::new(&agent, "nacelle", "", &channels, true);
        for &time_ms in times {
            block.push(&Row { time_ms, readings: vec![Ok(Value::F64(1.0))], scores: vec![None] }).unwrap();
        }
        let record = Record::Block(block.finish().unwrap());
        let envelope = Envelope { agent: agent.clone(), epoch: 1, lane: Lane::Readings, seq: 1, record };
        let mut batch = BatchBuilder::new();
        assert!(batch.push(&envelope.encode().unwrap()));
        let from = Origin::Topic(topic::of_lane(&agent, Lane::Readings));
        let opened = sink::open(&[Delivery { from, payload: batch.finish() }], Known::new());
        sink::plan("farm", &Policy::default(), opened, &Seen::new(), 0).rows
    }

    proptest! {
        /// However a clock jumps within a block: each of its rows is in exactly one of the hours that its commit
        /// touches, and the query for that hour finds the block.
        #[test]
        fn every_row_is_in_one_hour_and_found_there(
            first in H13 - HOUR_MS..H13 + HOUR_MS,
            steps in prop::collection::vec(
                prop_oneof![4 => 0..5000i64, 1 => -2 * HOUR_MS..2 * HOUR_MS, 1 => 0..2 * LOOK_BACK_MS], 0..30),
        ) {
            let mut times = vec![first];
            times.extend(steps.iter().scan(first, |time, step| { *time += step; Some(*time) }));
            let rows = rows_of(&times);
            let row = &rows.readings[0];
            let mut found = Vec::new();
            for HourRow { hour, members } in &rows.hours {
                prop_assert_eq!(members, &BTreeSet::from(["t1/nacelle".to_string()]));
                // As the stores ask.
                let span = hour.start_ms - LOOK_BACK_MS..=hour.last_ms();
                prop_assert!(span.contains(&row.first_ms) && row.last_ms >= hour.start_ms);
                let mut device = DeviceHour::default();
                device.add(&row.block, hour.start_ms, |_| true);
                let times: Vec<_> = device.readings().map(|reading| reading.time_ms).collect();
                prop_assert!(times.is_sorted());
                found.extend(times);
            }
            found.sort();
            times.sort();
            prop_assert_eq!(found, times);
        }
    }
}
