//! What an envelope can say. These enums only grow at the end: the position of a variant is its wire number.

use crate::{Answer, Block, Channel, Lane, Seq};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};

/// One thing said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Record {
    /// Readings of one device.
    Block(Block),
    /// An alert opened, changed or cleared.
    Alert(Alert),
    /// Statistics of one channel over a window.
    Stats(Stats),
    /// Sequences that will never come, and why.
    Gap(Gap),
    /// How the agent is.
    Health(Health),
    /// An agent started: who it is and what it reads.
    Hello(Hello),
    /// What became of a command. On the state lane, not retained.
    Answer(Answer),
}

/// A value, in the form it was read: registers stay integers with a decimal exponent, floats stay floats.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// `mantissa · 10^exponent`.
    Int {
        /// Register value after sign and word order.
        mantissa: i64,
        /// Decimal exponent, for example -1 for a register in tenths.
        exponent: i8,
    },
    /// A true single-precision float.
    F32(f32),
    /// A true double-precision float, or an integer scaled by something that is no power of ten.
    F64(f64),
}

impl Value {
    /// The value as a number. Dividing by a power of ten keeps `105 · 10^-1` at exactly `10.5`.
    pub fn as_f64(self) -> f64 {
        match self {
            Value::Int { mantissa, exponent } if exponent < 0 => mantissa as f64 / pow10(exponent.unsigned_abs()),
            Value::Int { mantissa, exponent } => mantissa as f64 * pow10(exponent.unsigned_abs()),
            Value::F32(value) => f64::from(value),
            Value::F64(value) => value,
        }
    }
}

fn pow10(n: u8) -> f64 {
    (0..n).fold(1.0, |power, _| power * 10.0)
}

/// Why there is no value. A failed read is data (invariant A6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum NoData {
    /// The device did not answer in time.
    Timeout,
    /// The device answered with this Modbus exception code.
    Exception(u8),
    /// The answer's checksum was wrong.
    Checksum,
    /// The value lies outside the channel's valid range.
    OutOfRange,
    /// The device sent its error value.
    Sentinel,
    /// No connection to the device, or the port is gone.
    Disconnected,
    /// The device sent a float that is not a number.
    NotANumber,
    /// An answer that does not fit the question: wrong length, wrong function, wrong slave.
    Protocol,
    /// Not asked: the device is being skipped after repeated failures.
    Skipped,
    /// Nothing was due: the channel is read less often than its device, or its sentence comes less often.
    NotDue,
    /// The device answered, and left the value out: a vane in a calm.
    Empty,
    /// The device marks its own value as invalid: NMEA status V, an error code in the sentence.
    Invalid,
    /// A current loop or voltage outside what a sound transmitter gives: a broken wire, a short circuit.
    BrokenWire,
}

impl NoData {
    /// Whether nothing is wrong: no value was to be expected at this time.
    pub fn is_no_fault(self) -> bool {
        matches!(self, NoData::NotDue | NoData::Empty)
    }
}

impl fmt::Display for NoData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NoData::Timeout => "timeout",
            NoData::Exception(code) => return write!(f, "exception {code}"),
            NoData::Checksum => "checksum",
            NoData::OutOfRange => "out of range",
            NoData::Sentinel => "sentinel",
            NoData::Disconnected => "disconnected",
            NoData::NotANumber => "not a number",
            NoData::Protocol => "protocol",
            NoData::Skipped => "skipped",
            NoData::NotDue => "not due",
            NoData::Empty => "empty",
            NoData::Invalid => "invalid",
            NoData::BrokenWire => "broken wire",
        })
    }
}

/// One reading: a value, or why there is none.
pub type Reading = Result<Value, NoData>;

/// What happened to an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AlertPhase {
    /// It began. This is what people are told.
    Open,
    /// It grew worse or changed.
    Update,
    /// It ended.
    Clear,
}

impl AlertPhase {
    /// The phase's name in tables, message attributes and logs.
    pub fn name(self) -> &'static str {
        match self {
            AlertPhase::Open => "open",
            AlertPhase::Update => "update",
            AlertPhase::Clear => "clear",
        }
    }
}

/// What an alert is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AlertKind {
    /// The channel, or the device, does what it never did: a jump, a shift, a drift, strange hours, a score over the
    /// threshold.
    Anomaly,
    /// The value does not move although it should.
    Stuck,
    /// The device gives no data.
    NoData,
    /// The spool is failing (invariant A5).
    Spool,
    /// Readings were lost; a gap record says which.
    Loss,
    /// The signal is gone: the sensor reports its zero, below all that the channel held.
    Dropout,
    /// A change that no wind makes: a fault of the sensor or its line.
    Spike,
    /// The value shakes more than it does.
    Noise,
    /// Two sensors that measure the same have left each other.
    Offset,
    /// An anemometer reads less and less than its neighbour: ice, or a bearing.
    Iced,
    /// A gust beyond what the turbine was built for.
    Gust,
    /// The 10-minute mean is beyond cut-out.
    HighWind,
    /// Turbulence beyond the turbine's class.
    Turbulence,
    /// An agent is not heard any more. This and all to [`AlertKind::Departs`] are said by the sink.
    AgentSilent,
    /// Most agents are not heard any more: the way to them is gone, or the broker.
    FarmSilent,
    /// A device gives nothing although its agent is there.
    DeviceSilent,
    /// An agent's clock is not set, or differs from the sink's.
    ClockOff,
    /// A spool fills instead of emptying.
    SpoolFilling,
    /// Sequences are missing that nobody has explained (invariant S4).
    GapsFound,
    /// A turbine departs from its neighbours in the same wind.
    Departs,
    /// A reading, or a figure of a window, is beyond a limit that a person has set. Said by the agent.
    Limit,
}

impl AlertKind {
    /// The kind's name in tables, message attributes and logs.
    pub fn name(self) -> &'static str {
        match self {
            AlertKind::Anomaly => "anomaly",
            AlertKind::Stuck => "stuck",
            AlertKind::NoData => "no-data",
            AlertKind::Spool => "spool",
            AlertKind::Loss => "loss",
            AlertKind::Dropout => "dropout",
            AlertKind::Spike => "spike",
            AlertKind::Noise => "noise",
            AlertKind::Offset => "offset",
            AlertKind::Iced => "iced",
            AlertKind::Gust => "gust",
            AlertKind::HighWind => "high-wind",
            AlertKind::Turbulence => "turbulence",
            AlertKind::AgentSilent => "agent-silent",
            AlertKind::FarmSilent => "farm-silent",
            AlertKind::DeviceSilent => "device-silent",
            AlertKind::ClockOff => "clock-off",
            AlertKind::SpoolFilling => "spool-filling",
            AlertKind::GapsFound => "gaps-found",
            AlertKind::Departs => "departs",
            AlertKind::Limit => "limit",
        }
    }
}

/// How much an alert matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Look at it today.
    Warning,
    /// Look at it now.
    Critical,
}

impl Severity {
    /// The severity's name in tables, message attributes and logs.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        }
    }
}

/// One step in the life of an alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// The same for every step of one alert, unique within the agent.
    pub id: u64,
    /// Which step.
    pub phase: AlertPhase,
    /// What it is about.
    pub kind: AlertKind,
    /// How much it matters.
    pub severity: Severity,
    /// Where the device stands, in the crew's words.
    pub location: String,
    /// Device it is about.
    pub device: String,
    /// Channel it is about; empty when it is about the whole device.
    pub channel: String,
    /// When it opened.
    pub opened_ms: i64,
    /// When this step happened.
    pub at_ms: i64,
    /// Whether the clock was set when this step happened.
    pub synced: bool,
    /// Value of the channel at this step, in `unit`; of a rule, the figure that it holds against its limit.
    pub value: Option<f64>,
    /// Unit of `value`.
    pub unit: String,
    /// Wind speed at the device, m/s, where it measures one.
    pub wind_speed: Option<f64>,
    /// The forest's score at this step, on the AWS scale.
    pub score: Option<f64>,
    /// The threshold the score passed; of a rule, its limit, in `unit`.
    pub threshold: Option<f64>,
    /// What was seen, in words.
    pub evidence: String,
}

/// Statistics of one channel over a window on wall-clock boundaries (IEC 61400-12-1 practice).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// Device.
    pub device: String,
    /// Channel, with quantity and unit.
    pub channel: Channel,
    /// Start of the window.
    pub start_ms: i64,
    /// Length of the window, ms.
    pub window_ms: u32,
    /// Readings with a value. Without any, the figures below are 0 and say nothing.
    pub n: u32,
    /// Readings that were due in the whole window, seen or not: `n / due` is the availability.
    pub due: u32,
    /// Mean. Of a wind direction: direction of the mean of unit vectors, 0 to below 360 degrees.
    pub mean: f64,
    /// Least value. Of a wind direction 0, for a circle has no ends.
    pub min: f64,
    /// Greatest value. Of a wind direction 0.
    pub max: f64,
    /// Standard deviation of the population. Of a wind direction as Yamartino (1984) has it, degrees.
    pub std: f64,
    /// Greatest mean over 3 seconds on end, of a wind speed that is read at least once a second.
    pub gust_3s: Option<f64>,
}

/// Why sequences are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum GapReason {
    /// Power was cut before they were confirmed.
    PowerCut,
    /// The medium was damaged and they could not be salvaged.
    Damage,
    /// The oldest readings made room for new ones (invariant A4).
    SpaceEnded,
    /// They were refused when they were to be encoded or stored.
    Refused,
    /// They waited for longer than the agent may keep readings.
    TooOld,
    /// They were never given out, as far as is known: after a power cut the agent goes on above what it may have used.
    /// No loss.
    Skipped,
}

/// "The sequences `from..=to` of this lane will never come."
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Lane.
    pub lane: Lane,
    /// First sequence lost.
    pub from: Seq,
    /// Last sequence lost, included.
    pub to: Seq,
    /// Why.
    pub reason: GapReason,
}

/// How one lane of the spool stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneHealth {
    /// Envelopes on disk that the sink has not acked.
    pub waiting: u64,
    /// Greatest sequence that is durable on disk.
    pub durable: Seq,
    /// Greatest sequence up to which all are acked.
    pub acked: Seq,
}

/// How one device stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceHealth {
    /// Device.
    pub device: String,
    /// Polls that gave at least one value, since start.
    pub good: u64,
    /// Polls that gave none, since start.
    pub failed: u64,
    /// Why the last poll gave none, if it gave none.
    pub failing: Option<NoData>,
}

/// How the agent is, now. On the state lane, retained by the broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// False only in the last will, which the broker publishes when the agent goes away.
    pub online: bool,
    /// Agent's clock.
    pub at_ms: i64,
    /// Whether that clock is set.
    pub synced: bool,
    /// Since start, ms.
    pub uptime_ms: u64,
    /// Resident memory, KiB; 0 where it is not known.
    pub rss_kib: u64,
    /// The alert lane.
    pub alerts: LaneHealth,
    /// The reading lane.
    pub readings: LaneHealth,
    /// Rows dropped because the queue between the cores was full, since start.
    pub dropped_rows: u64,
    /// What is wrong with the spool; empty when nothing is.
    pub spool_error: String,
    /// Devices.
    pub devices: Vec<DeviceHealth>,
}

/// A device an agent reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceManifest {
    /// Device.
    pub device: String,
    /// Where it stands.
    pub location: String,
    /// How it is reached, for people: `modbus tcp 10.0.0.7:502 slave 1`.
    pub link: String,
    /// Time between readings, ms.
    pub interval_ms: u32,
    /// Its channels.
    pub channels: Vec<Channel>,
}

/// Said once at each start, on the alert lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Version of the agent.
    pub version: String,
    /// Farm the agent belongs to.
    pub farm: String,
    /// When it started.
    pub at_ms: i64,
    /// What it reads.
    pub devices: Vec<DeviceManifest>,
}
