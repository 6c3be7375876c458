//! Readings, and figures made of them.

use serde::Serialize;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Readings of one device.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct Readings {
    /// Agent.
    pub agent: String,
    /// Device.
    pub device: String,
    /// Where it stands.
    pub location: String,
    /// Its channels: name, quantity, unit.
    pub channels: Json,
    /// Moments, by time.
    pub rows: Vec<Moment>,
    /// What to give as `after` for the next page, if there may be one.
    pub next: Option<String>,
}

/// What was read of a device at one time.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Moment {
    /// When, ISO 8601.
    pub time: String,
    /// The same.
    pub time_ms: i64,
    /// Whether the agent's clock was set.
    pub synced: bool,
    /// Values by channel; one that is not finite is `null`.
    pub values: BTreeMap<String, Option<f64>>,
    /// Why there is none, by channel.
    pub no_data: BTreeMap<String, String>,
    /// Scores by channel.
    pub scores: BTreeMap<String, f64>,
}

/// Channels of a device over a span, for a picture.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SeriesAnswer {
    /// Agent.
    pub agent: String,
    /// Device.
    pub device: String,
    /// Start of the span.
    pub from_ms: i64,
    /// Its end, included.
    pub to_ms: i64,
    /// What it was made from: `reading`, `minute` (summaries of stored rows), `window` (10 minutes) or `day`.
    pub level: &'static str,
    /// One for each channel that was asked for and exists.
    pub channels: Vec<SeriesColumns>,
}

/// A channel over a span: columns of one length. An entry of nulls stands where nothing was read.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct SeriesColumns {
    /// Channel.
    pub channel: String,
    /// What it measures, by name: `wind-speed`, …
    #[schema(value_type = String)]
    pub quantity: Json,
    /// Its unit.
    pub unit: String,
    /// The middle of each entry.
    pub time_ms: Vec<i64>,
    /// Least values; of a direction there is none.
    pub min: Vec<Option<f64>>,
    /// Greatest values; of a direction there is none.
    pub max: Vec<Option<f64>>,
    /// Means; of a direction that of its vectors.
    pub mean: Vec<Option<f64>>,
    /// Greatest scores.
    pub score: Vec<Option<f64>>,
}

/// Statistics of a channel.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Stats {
    /// Agent.
    pub agent: String,
    /// Device.
    pub device: String,
    /// Channel.
    pub channel: String,
    /// Windows, the earliest first.
    pub windows: Vec<Window>,
}

/// One window of a channel.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Window {
    /// When it begins, ISO 8601.
    pub start: String,
    /// The same.
    pub start_ms: Option<i64>,
    /// How long it is.
    pub window_ms: u32,
    /// Unit of the figures.
    pub unit: String,
    /// Readings with a value.
    pub n: u32,
    /// Readings that were due.
    pub due: u32,
    /// `n` of `due`.
    pub availability: Option<f64>,
    /// Mean; of a direction that of its vectors.
    pub mean: Option<f64>,
    /// Least value.
    pub min: Option<f64>,
    /// Greatest value.
    pub max: Option<f64>,
    /// Standard deviation.
    pub std: Option<f64>,
    /// Turbulence intensity.
    pub turbulence: Option<f64>,
    /// Greatest 3-second mean.
    pub gust_3s: Option<f64>,
}

/// Days of a farm, the earliest first.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Days {
    /// Farm.
    pub farm: String,
    /// Whether these are all: a span of too many rows is given up to where they end.
    pub whole: bool,
    /// Days.
    pub days: Vec<DayOfFarm>,
}

/// A day (UTC) of the farm, and of each channel.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct DayOfFarm {
    /// Date, ISO 8601.
    pub date: String,
    /// Greatest reading of a wind speed.
    pub max_wind_speed: Option<Greatest>,
    /// Greatest mean of a wind speed over three seconds.
    pub max_gust_3s: Option<Greatest>,
    /// Mean of all readings of wind speeds.
    pub mean_wind_speed: Option<f64>,
    /// Share of the readings of wind speeds that were due and came.
    pub availability: Option<f64>,
    /// Each channel.
    pub channels: Vec<DayOfChannel>,
}

/// The greatest of a day, and where it was read.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Greatest {
    /// Value.
    pub value: f64,
    /// `<agent>/<device>/<channel>`.
    pub of: String,
}

/// A channel on a day.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct DayOfChannel {
    /// Agent.
    pub agent: String,
    /// Device.
    pub device: String,
    /// Channel.
    pub channel: String,
    /// Unit of the figures.
    pub unit: String,
    /// Readings with a value.
    pub n: u32,
    /// Readings that were due.
    pub due: u32,
    /// Share of them that came.
    pub availability: Option<f64>,
    /// Mean.
    pub mean: Option<f64>,
    /// Least.
    pub min: Option<f64>,
    /// Greatest.
    pub max: Option<f64>,
    /// Standard deviation.
    pub std: Option<f64>,
    /// Greatest mean over three seconds.
    pub gust_3s: Option<f64>,
}

/// The wind at a place: whence, how strong, how turbulent.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct WindAnswer {
    /// 10-minute windows that were looked at.
    pub windows: usize,
    /// Wind rose.
    pub rose: Rose,
    /// Turbulence intensity by speed, in bins of 1 m/s.
    pub turbulence: Vec<Turbulence>,
    /// Classes of IEC 61400-1 to hold it against: its sigma is `i_ref` (0.75 v + 5.6 m/s).
    pub iec: Vec<IecClass>,
}

/// A wind rose.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Rose {
    /// Sectors; the first lies about north.
    pub sectors: usize,
    /// Lower ends of the classes of speed, m/s.
    pub classes_mps: Vec<f64>,
    /// Windows of each sector, in it of each class.
    pub counts: Vec<Vec<u32>>,
    /// Windows of less than 0.5 m/s, which have no direction.
    pub calm: u32,
    /// Whether the device measures direction.
    pub has_direction: bool,
}

/// Turbulence intensity at a speed.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Turbulence {
    /// Middle of the bin, m/s.
    pub speed_mps: i64,
    /// Windows.
    pub n: usize,
    /// Mean.
    pub mean: f64,
    /// What nine of ten do not exceed.
    pub p90: f64,
}

/// A class of IEC 61400-1.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct IecClass {
    /// Name.
    pub class: &'static str,
    /// Reference turbulence intensity.
    pub i_ref: f64,
}
