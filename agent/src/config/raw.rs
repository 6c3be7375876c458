//! The file as it is written: one struct a table, unknown keys refused. Values that a check may complain about carry
//! their place in the text. What a device leaves out its profile may give, so that almost every key is optional here.

use super::{Function, Kind, Mechanism, Order, Parity};
use crate::hal::analog::Signal;
use crate::watch::judge::DetectConfig;
use crate::watch::sentence::Format;
use serde::Deserialize;
use std::path::PathBuf;
use toml::Spanned;
use windward_protocol::{AgentId, Quantity, Severity};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawConfig {
    pub(super) agent: Spanned<AgentId>,
    pub(super) farm: Spanned<String>,
    pub(super) location: Option<Spanned<String>>,
    pub(super) data: PathBuf,
    pub(super) mqtt: Option<RawMqtt>,
    pub(super) kinesis: Option<Spanned<RawKinesis>>,
    pub(super) kafka: Option<Spanned<RawKafka>>,
    #[serde(default)]
    pub(super) spool: RawSpool,
    #[serde(default)]
    pub(super) detect: Option<Spanned<DetectConfig>>,
    #[serde(default)]
    pub(super) commands: RawCommands,
    #[serde(default)]
    pub(super) alert: RawAlert,
    #[serde(default)]
    pub(super) device: Vec<Spanned<RawDevice>>,
    #[serde(default)]
    pub(super) rule: Vec<Spanned<RawRule>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMqtt {
    pub(super) host: Spanned<String>,
    #[serde(default = "mqtt_port")]
    pub(super) port: Spanned<u16>,
    #[serde(default = "keep_alive_s")]
    pub(super) keep_alive_s: Spanned<u16>,
    pub(super) ca: Option<PathBuf>,
    pub(super) cert: Option<Spanned<PathBuf>>,
    pub(super) key: Option<Spanned<PathBuf>>,
    pub(super) username: Option<Spanned<String>>,
    pub(super) password_file: Option<Spanned<PathBuf>>,
    #[serde(default)]
    pub(super) ack: RawAck,
    #[serde(default = "postcard")]
    pub(super) encoding: Spanned<RawEncoding>,
    #[serde(default)]
    pub(super) order: RawOrder,
    pub(super) max_bytes_per_s: Option<Spanned<u64>>,
    pub(super) publish_every_ms: Option<Spanned<u64>>,
    #[serde(default)]
    pub(super) mirror: bool,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawAck {
    #[default]
    Sink,
    Broker,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawEncoding {
    #[default]
    Postcard,
    Json,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawOrder {
    #[default]
    Oldest,
    Live,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawKinesis {
    pub(super) stream: Spanned<String>,
    pub(super) region: Spanned<String>,
    pub(super) endpoint: Option<Spanned<String>>,
    pub(super) iot: Option<RawIot>,
    #[serde(default)]
    pub(super) encoding: RawEncoding,
    #[serde(default)]
    pub(super) order: RawOrder,
    pub(super) max_bytes_per_s: Option<Spanned<u64>>,
    pub(super) publish_every_ms: Option<Spanned<u64>>,
    #[serde(default)]
    pub(super) mirror: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawIot {
    pub(super) endpoint: Spanned<String>,
    pub(super) role_alias: Spanned<String>,
    pub(super) thing: Option<Spanned<String>>,
    pub(super) ca: PathBuf,
    pub(super) cert: PathBuf,
    pub(super) key: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawKafka {
    pub(super) brokers: Spanned<Vec<Spanned<String>>>,
    pub(super) topic: Spanned<String>,
    pub(super) ca: Option<PathBuf>,
    pub(super) cert: Option<Spanned<PathBuf>>,
    pub(super) key: Option<Spanned<PathBuf>>,
    pub(super) sasl: Option<Spanned<Mechanism>>,
    pub(super) username: Option<Spanned<String>>,
    pub(super) password_file: Option<Spanned<PathBuf>>,
    #[serde(default)]
    pub(super) encoding: RawEncoding,
    #[serde(default)]
    pub(super) order: RawOrder,
    pub(super) max_bytes_per_s: Option<Spanned<u64>>,
    pub(super) publish_every_ms: Option<Spanned<u64>>,
    #[serde(default)]
    pub(super) mirror: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawSpool {
    pub(super) commit_every_ms: Spanned<u64>,
    pub(super) max_mib: Spanned<u64>,
    pub(super) max_age_days: Spanned<u64>,
    pub(super) checkpoint_every_s: Spanned<u64>,
}

impl Default for RawSpool {
    fn default() -> Self {
        Self {
            commit_every_ms: unplaced(1000),
            max_mib: unplaced(1024),
            max_age_days: unplaced(0),
            checkpoint_every_s: unplaced(900),
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawCommands {
    pub(super) accept: Option<Spanned<RawAccept>>,
    pub(super) key: Option<Spanned<PathBuf>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawAccept {
    Acl,
    Signed,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawAlert {
    pub(super) command: Option<Spanned<Vec<String>>>,
    pub(super) beacon: Option<Spanned<RawBeacon>>,
}

/// What shows the alarms: a coil of a Modbus relay, or a pin of the gateway.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBeacon {
    pub(super) severity: Option<RawSeverity>,
    pub(super) modbus_tcp: Option<Spanned<RawTcp>>,
    pub(super) modbus_rtu_tcp: Option<Spanned<RawTcp>>,
    pub(super) modbus_rtu: Option<Spanned<RawSerial>>,
    pub(super) gpio: Option<Spanned<RawGpio>>,
    pub(super) slave: Option<Spanned<u8>>,
    pub(super) coil: Option<Spanned<u16>>,
    pub(super) line: Option<Spanned<u32>>,
    #[serde(default)]
    pub(super) active_low: bool,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawSeverity {
    Info,
    Warning,
    Critical,
}

impl RawSeverity {
    pub(super) fn severity(self) -> Severity {
        match self {
            RawSeverity::Info => Severity::Info,
            RawSeverity::Warning => Severity::Warning,
            RawSeverity::Critical => Severity::Critical,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDevice {
    pub(super) name: Option<Spanned<String>>,
    pub(super) location: Option<Spanned<String>>,
    pub(super) profile: Option<Spanned<String>>,
    pub(super) modbus_tcp: Option<Spanned<RawTcp>>,
    pub(super) modbus_rtu_tcp: Option<Spanned<RawTcp>>,
    pub(super) modbus_rtu: Option<Spanned<RawSerial>>,
    pub(super) serial: Option<Spanned<RawSerial>>,
    pub(super) serial_tcp: Option<Spanned<RawTcp>>,
    pub(super) i2c: Option<Spanned<RawI2c>>,
    pub(super) gpio: Option<Spanned<RawGpio>>,
    pub(super) slave: Option<Spanned<u8>>,
    pub(super) interval_ms: Option<Spanned<u32>>,
    pub(super) forward_every_s: Option<Spanned<u32>>,
    pub(super) timeout_ms: Option<Spanned<u32>>,
    pub(super) late_ms: Option<Spanned<u32>>,
    pub(super) gap_ms: Option<Spanned<u32>>,
    pub(super) retries: Option<Spanned<u8>>,
    pub(super) wake: Option<Spanned<bool>>,
    pub(super) max_block: Option<Spanned<u16>>,
    pub(super) max_gap: Option<Spanned<u16>>,
    pub(super) one_by_one: Option<Spanned<bool>>,
    pub(super) format: Option<Spanned<Format>>,
    pub(super) poll: Option<Spanned<String>>,
    pub(super) address: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) channel: Vec<Spanned<RawChannel>>,
    #[serde(default)]
    pub(super) text: Vec<Spanned<RawText>>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTcp {
    pub(super) host: Spanned<String>,
    pub(super) port: Option<Spanned<u16>>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSerial {
    pub(super) port: Spanned<PathBuf>,
    pub(super) baud: Option<Spanned<u32>>,
    pub(super) parity: Option<Parity>,
    pub(super) stop_bits: Option<Spanned<u8>>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawI2c {
    pub(super) bus: Spanned<PathBuf>,
    pub(super) address: Option<Spanned<u8>>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawGpio {
    pub(super) chip: Spanned<PathBuf>,
}

/// A channel: what it is, and where it stands on its line. Which of the latter keys it takes depends on the line.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawChannel {
    pub(super) name: Spanned<String>,
    pub(super) quantity: Option<Quantity>,
    pub(super) unit: Option<Spanned<String>>,
    pub(super) range: Option<Spanned<[f64; 2]>>,
    pub(super) interval_ms: Option<Spanned<u32>>,
    pub(super) detect: Option<bool>,
    pub(super) scale: Option<Spanned<f64>>,
    pub(super) offset: Option<Spanned<f64>>,
    // Modbus.
    pub(super) function: Option<Spanned<Function>>,
    pub(super) register: Option<Spanned<i64>>,
    #[serde(rename = "type")]
    pub(super) kind: Option<Spanned<Kind>>,
    pub(super) order: Option<Spanned<Order>>,
    pub(super) bits: Option<Spanned<[u8; 2]>>,
    pub(super) sentinels: Option<Vec<Spanned<f64>>>,
    pub(super) exponent_register: Option<Spanned<i64>>,
    pub(super) reset_on_read: Option<Spanned<bool>>,
    // Sentences.
    pub(super) field: Option<Spanned<String>>,
    // Converters.
    pub(super) input: Option<Spanned<u8>>,
    pub(super) signal: Option<Spanned<Signal>>,
    pub(super) span: Option<Spanned<[f64; 2]>>,
    pub(super) shunt_ohm: Option<Spanned<f64>>,
    pub(super) divider: Option<Spanned<f64>>,
    // Pulses.
    pub(super) line: Option<Spanned<u32>>,
    // Of profiles: where the figures come from, and what is not known for sure.
    pub(super) source: Option<String>,
    pub(super) unsure: Option<String>,
}

/// What a device says of itself in registers: maker, model, serial number.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawText {
    pub(super) name: Spanned<String>,
    pub(super) function: Option<Function>,
    pub(super) register: Spanned<i64>,
    pub(super) words: Spanned<u16>,
}

/// A person's own limit for some channels.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRule {
    pub(super) name: Spanned<String>,
    pub(super) device: Option<Spanned<String>>,
    pub(super) channel: Option<Spanned<String>>,
    pub(super) quantity: Option<Spanned<Quantity>>,
    pub(super) window_s: Option<Spanned<u32>>,
    pub(super) statistic: Option<Spanned<RawStatistic>>,
    pub(super) history: Option<Spanned<u32>>,
    pub(super) above: Option<Spanned<f64>>,
    pub(super) clear_below: Option<Spanned<f64>>,
    pub(super) below: Option<Spanned<f64>>,
    pub(super) clear_above: Option<Spanned<f64>>,
    pub(super) for_windows: Option<Spanned<u32>>,
    pub(super) severity: Option<RawSeverity>,
    pub(super) say: Option<Spanned<String>>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawStatistic {
    Mean,
    Min,
    Max,
    Range,
    Std,
    Count,
    Change,
    Deviation,
}

/// A default: it has no place in the text, and needs none, for defaults are valid.
pub(super) fn unplaced<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}

fn mqtt_port() -> Spanned<u16> {
    unplaced(1883)
}

fn postcard() -> Spanned<RawEncoding> {
    unplaced(RawEncoding::Postcard)
}

fn keep_alive_s() -> Spanned<u16> {
    unplaced(30)
}
