//! A channel's day from its windows.
//!
//! A day is made anew from all its windows (144 of ten minutes) whenever one of them changes, so late data, repeats and
//! windows told twice need no care: the day is what its windows are. Adding each window to a running day instead would
//! need to remember which it has, 6 kB an item, which to write costs six times what reading the windows does.
//! Two sinks may do one day at once, and the slower must not undo the faster: windows only ever change to a greater
//! (n, due, mean), so the same order holds for their sums, and of two rows of one day the greater stays.

use crate::answer::{DayOfChannel, DayOfFarm, Greatest};
use crate::archive::hour_of;
use crate::place::{AgentRow, StatsRow, sortable_time};
use std::collections::{BTreeMap, BTreeSet};
use windward_protocol::{DeviceManifest, Quantity};

/// Length of a day, ms.
pub const DAY_MS: i64 = 86_400_000;

/// One channel's day, in UTC.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day {
    /// Farm.
    pub farm: String,
    /// `<agent>/<device>/<channel>`.
    pub channel: String,
    /// Its first millisecond.
    pub start_ms: i64,
}

impl Day {
    /// The day in which a window begins, held within the years 0000 to 9999: an agent may say anything.
    pub fn of(farm: &str, channel: &str, window_ms: i64) -> Self {
        let start_ms = hour_of(window_ms).div_euclid(DAY_MS) * DAY_MS;
        Self { farm: farm.into(), channel: channel.into(), start_ms }
    }

    /// Its last millisecond.
    pub fn end_ms(&self) -> i64 {
        self.start_ms + DAY_MS - 1
    }

    /// Sort key of its row.
    pub fn sort(&self) -> String {
        format!("{}#{}", date(self.start_ms), self.channel)
    }
}

/// `2026-11-20`.
pub fn date(ms: i64) -> String {
    sortable_time(ms).split('T').next().unwrap_or_default().into()
}

/// The row of a day: a [`StatsRow`] over 24 hours in the farm's partition. Mean and standard deviation are weighted by
/// readings, maxima are of what was read, availability is `n / due` of the windows that are known.
pub fn row(day: &Day, windows: &[StatsRow]) -> StatsRow {
    let told = || windows.iter().filter(|window| window.n > 0);
    let n: u32 = windows.iter().fold(0, |sum, window| sum.saturating_add(window.n));
    // A direction has no greatest value, and its mean is one of vectors.
    let is_circle = told().next().is_some() && told().all(|window| window.max.is_none() && window.mean.is_some());
    let mean = if is_circle { direction(told()) } else { weighted(told(), |window| window.mean) };
    let square = weighted(told(), |window| Some(window.mean?.powi(2) + window.std?.powi(2)));
    let spread = mean.zip(square).map(|(mean, square)| (square - mean * mean).max(0.0).sqrt());
    let most = |figure: fn(&StatsRow) -> Option<f64>| told().filter_map(figure).reduce(f64::max);
    StatsRow {
        partition: day.farm.clone(),
        sort: day.sort(),
        unit: told().next_back().map(|window| window.unit.clone()).unwrap_or_default(),
        window_ms: DAY_MS as u32,
        n,
        due: windows.iter().fold(0, |sum, window| sum.saturating_add(window.due)),
        mean,
        min: told().filter_map(|window| window.min).reduce(f64::min),
        max: most(|window| window.max),
        std: spread.filter(|_| !is_circle),
        turbulence: None,
        gust_3s: most(|window| window.gust_3s),
    }
}

fn weighted<'a>(windows: impl Iterator<Item = &'a StatsRow>, figure: impl Fn(&StatsRow) -> Option<f64>) -> Option<f64> {
    let known = windows.filter_map(|window| Some((f64::from(window.n), figure(window)?)));
    let (n, sum) = known.fold((0.0, 0.0), |(n, sum), (more, value)| (n + more, sum + more * value));
    (n > 0.0).then(|| sum / n)
}

fn direction<'a>(windows: impl Iterator<Item = &'a StatsRow>) -> Option<f64> {
    let (mut east, mut north) = (0.0, 0.0);
    for window in windows {
        let (sin, cos) = window.mean?.to_radians().sin_cos();
        east += f64::from(window.n) * sin;
        north += f64::from(window.n) * cos;
    }
    Some(east.atan2(north).to_degrees().rem_euclid(360.0))
}

/// The days of some rows, a date after the other: each channel's, and over all channels of a wind speed the farm's.
/// Which channels are wind speeds, the agents' manifests say.
pub fn answer(rows: &[StatsRow], agents: &[AgentRow]) -> Vec<DayOfFarm> {
    let winds: BTreeSet<String> = agents.iter().flat_map(wind_speeds).collect();
    let mut days: BTreeMap<&str, Vec<&StatsRow>> = BTreeMap::new();
    for row in rows {
        days.entry(row.sort.split('#').next().unwrap_or_default()).or_default().push(row);
    }
    let day = |(date, rows): (&str, Vec<&StatsRow>)| {
        let farm = rows.iter().filter(|row| winds.contains(channel(row)));
        let most = |figure: fn(&StatsRow) -> Option<f64>| {
            farm.clone().filter_map(|row| Some((figure(row)?, *row))).max_by(|a, b| a.0.total_cmp(&b.0))
        };
        let place =
            |most: Option<(f64, &StatsRow)>| most.map(|(value, row)| Greatest { value, of: channel(row).into() });
        let (n, due) =
            farm.clone().fold((0u64, 0u64), |(n, due), row| (n + u64::from(row.n), due + u64::from(row.due)));
        DayOfFarm {
            date: date.into(),
            max_wind_speed: place(most(|row| row.max)),
            max_gust_3s: place(most(|row| row.gust_3s)),
            mean_wind_speed: weighted(farm.clone().copied(), |row| row.mean),
            availability: share(n, due),
            channels: rows.iter().map(|row| one(row)).collect(),
        }
    };
    days.into_iter().map(day).collect()
}

/// The channels of an agent that measure wind speed, `<agent>/<device>/<channel>`.
fn wind_speeds(row: &AgentRow) -> Vec<String> {
    let mut names = Vec::new();
    for device in manifest(row) {
        for channel in device.channels.iter().filter(|channel| channel.quantity == Quantity::WindSpeed) {
            names.push(format!("{}/{}/{}", row.agent, device.device, channel.name));
        }
    }
    names
}

/// What an agent reads, as far as it has said.
pub fn manifest(row: &AgentRow) -> Vec<DeviceManifest> {
    row.manifest.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

fn channel(row: &StatsRow) -> &str {
    row.sort.split_once('#').map_or("", |(_, channel)| channel)
}

fn one(row: &StatsRow) -> DayOfChannel {
    let mut parts = channel(row).splitn(3, '/').map(str::to_string);
    let mut part = || parts.next().unwrap_or_default();
    DayOfChannel {
        agent: part(),
        device: part(),
        channel: part(),
        unit: row.unit.clone(),
        n: row.n,
        due: row.due,
        availability: share(row.n.into(), row.due.into()),
        mean: row.mean,
        min: row.min,
        max: row.max,
        std: row.std,
        gust_3s: row.gust_3s,
    }
}

fn share(n: u64, due: u64) -> Option<f64> {
    (due > 0).then(|| n as f64 / due as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(n: u32, due: u32, mean: f64, max: Option<f64>) -> StatsRow {
        StatsRow {
            partition: "t1/mast/wind".into(),
            sort: String::new(),
            unit: "m/s".into(),
            window_ms: 600_000,
            n,
            due,
            mean: (n > 0).then_some(mean),
            min: max.map(|_| mean - 1.0),
            max,
            std: (n > 0).then_some(1.0),
            turbulence: None,
            gust_3s: max.map(|max| max - 0.5),
        }
    }

    #[test]
    fn a_day_is_weighted_by_what_was_read() {
        let day = Day::of("north-ridge", "t1/mast/wind", 1_795_182_840_000);
        let row = row(
            &day,
            &[window(600, 600, 8.0, Some(12.0)), window(0, 600, 0.0, None), window(200, 600, 4.0, Some(31.0))],
        );
        assert_eq!(row.sort, "2026-11-20#t1/mast/wind");
        assert_eq!((row.n, row.due), (800, 1800));
        assert_eq!((row.mean, row.max, row.min, row.gust_3s), (Some(7.0), Some(31.0), Some(3.0), Some(30.5)));
        // Within the windows 1, between them 12 - that is 600 at +1 and 200 at -3: 3.
        assert!((row.std.unwrap() - 2.0).abs() < 1e-9);
        let none = super::row(&day, &[]);
        assert_eq!((none.n, none.mean, none.max, none.std), (0, None, None, None));
    }

    #[test]
    fn a_direction_has_a_mean_on_the_circle_and_no_ends() {
        let day = Day::of("north-ridge", "t1/vane/direction", 0);
        let row = row(&day, &[window(600, 600, 350.0, None), window(600, 600, 20.0, None)]);
        assert!((row.mean.unwrap() - 5.0).abs() < 1e-9);
        assert_eq!((row.max, row.std), (None, None));
    }

    #[test]
    fn a_day_begins_at_midnight_utc_also_before_1970() {
        for (ms, start_ms) in [(0, 0), (DAY_MS - 1, 0), (DAY_MS, DAY_MS), (-1, -DAY_MS)] {
            assert_eq!(Day::of("f", "c", ms).start_ms, start_ms);
        }
        assert_eq!(Day::of("f", "c", 0).sort(), "1970-01-01#c");
    }
}
