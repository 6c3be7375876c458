//! The file as it is written: one struct a table, unknown keys refused. Values that a check may complain about carry
//! their place in the text.

use super::{Function, Kind, Order, Parity};
use crate::watch::judge::DetectConfig;
use serde::Deserialize;
use std::path::PathBuf;
use toml::Spanned;
use windward_protocol::{AgentId, Quantity};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawConfig {
    pub(super) agent: AgentId,
    pub(super) farm: Spanned<String>,
    pub(super) data: PathBuf,
    pub(super) mqtt: RawMqtt,
    #[serde(default)]
    pub(super) spool: RawSpool,
    #[serde(default)]
    pub(super) detect: Option<Spanned<DetectConfig>>,
    #[serde(default)]
    pub(super) alert: RawAlert,
    #[serde(default)]
    pub(super) device: Vec<Spanned<RawDevice>>,
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
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawAck {
    #[default]
    Sink,
    Broker,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawSpool {
    pub(super) commit_every_ms: Spanned<u64>,
    pub(super) max_mib: Spanned<u64>,
}

impl Default for RawSpool {
    fn default() -> Self {
        Self { commit_every_ms: unplaced(1000), max_mib: unplaced(1024) }
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawAlert {
    pub(super) command: Option<Spanned<Vec<String>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDevice {
    pub(super) name: Spanned<String>,
    pub(super) location: Spanned<String>,
    #[serde(default = "slave")]
    pub(super) slave: Spanned<u8>,
    #[serde(default = "interval_ms")]
    pub(super) interval_ms: Spanned<u32>,
    pub(super) timeout_ms: Option<Spanned<u32>>,
    pub(super) late_ms: Option<Spanned<u32>>,
    pub(super) modbus_tcp: Option<Spanned<RawTcp>>,
    pub(super) modbus_rtu: Option<Spanned<RawSerial>>,
    #[serde(default)]
    pub(super) channel: Vec<Spanned<RawChannel>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTcp {
    pub(super) host: Spanned<String>,
    #[serde(default = "modbus_port")]
    pub(super) port: Spanned<u16>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSerial {
    pub(super) port: Spanned<PathBuf>,
    #[serde(default = "baud")]
    pub(super) baud: Spanned<u32>,
    #[serde(default = "parity")]
    pub(super) parity: Parity,
    #[serde(default = "stop_bits")]
    pub(super) stop_bits: Spanned<u8>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawChannel {
    pub(super) name: Spanned<String>,
    #[serde(default = "quantity")]
    pub(super) quantity: Quantity,
    pub(super) unit: Spanned<String>,
    #[serde(default = "function")]
    pub(super) function: Function,
    pub(super) register: Spanned<i64>,
    #[serde(rename = "type")]
    pub(super) kind: Kind,
    #[serde(default = "order")]
    pub(super) order: Order,
    #[serde(default = "scale")]
    pub(super) scale: Spanned<f64>,
    #[serde(default = "offset")]
    pub(super) offset: Spanned<f64>,
    pub(super) range: Option<Spanned<[f64; 2]>>,
    #[serde(default)]
    pub(super) sentinels: Vec<Spanned<f64>>,
    pub(super) detect: Option<bool>,
}

/// A default: it has no place in the text, and needs none, for defaults are valid.
fn unplaced<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}

fn mqtt_port() -> Spanned<u16> {
    unplaced(1883)
}

fn keep_alive_s() -> Spanned<u16> {
    unplaced(30)
}

fn slave() -> Spanned<u8> {
    unplaced(1)
}

fn interval_ms() -> Spanned<u32> {
    unplaced(1000)
}

fn modbus_port() -> Spanned<u16> {
    unplaced(502)
}

/// 19,200 baud, even parity, one stop bit: the defaults of Modbus over Serial Line V1.02, 2.5.1 and 3.1.
fn baud() -> Spanned<u32> {
    unplaced(19_200)
}

fn parity() -> Parity {
    Parity::Even
}

fn stop_bits() -> Spanned<u8> {
    unplaced(1)
}

fn quantity() -> Quantity {
    Quantity::Other
}

fn function() -> Function {
    Function::Input
}

fn order() -> Order {
    Order::Abcd
}

fn scale() -> Spanned<f64> {
    unplaced(1.0)
}

fn offset() -> Spanned<f64> {
    unplaced(0.0)
}
