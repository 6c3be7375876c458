//! The agent's configuration: one TOML file, checked once, into what the code uses.
//!
//! [`Config::from_toml`] reads the text into raw structs that refuse unknown keys, then checks what no single key can
//! show (duplicate names, lines that contradict each other, limits of the wire). It reports every fault it finds, each
//! with its file, line and column. What comes out is valid: no code after it checks again.

mod check;
mod problem;
mod raw;

pub use problem::{ConfigError, Problem};

use crate::watch::judge::DetectConfig;
use std::fmt;
use std::path::PathBuf;
use windward_protocol::{AgentId, Channel, DeviceManifest};

/// All an agent needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of the agent: of its certificate, its MQTT client and its topics.
    pub agent: AgentId,
    /// Farm it belongs to.
    pub farm: String,
    /// Directory of the spool. It is created when it is missing.
    pub data: PathBuf,
    /// The broker.
    pub mqtt: Mqtt,
    /// What is kept on disk.
    pub spool: Spool,
    /// How readings are judged.
    pub detect: DetectConfig,
    /// Program and arguments run at each step of an alert; `None`: the log alone tells.
    pub alert_command: Option<Vec<String>>,
    /// The lines devices hang on, each once.
    pub buses: Vec<Bus>,
    /// The devices, in the order of the file; at least one.
    pub devices: Vec<Device>,
}

impl Config {
    /// Reads and checks the text of a configuration file. `file` only serves to name it in errors.
    pub fn from_toml(text: &str, file: &str) -> Result<Config, ConfigError> {
        let raw = toml::from_str(text).map_err(|error| problem::of_toml(&error, text, file))?;
        check::check(raw, text, file)
    }

    /// What the agent says of its devices when it starts.
    pub fn manifest(&self) -> Vec<DeviceManifest> {
        let manifest = |device: &Device| DeviceManifest {
            device: device.name.clone(),
            location: device.location.clone(),
            link: format!("{} slave {}", self.buses[device.bus], device.slave),
            interval_ms: device.interval_ms,
            channels: device.wire_channels(),
        };
        self.devices.iter().map(manifest).collect()
    }
}

/// How the broker is reached and what counts as delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mqtt {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Time between pings when nothing else is sent, s.
    pub keep_alive_s: u16,
    /// TLS; `None`: plain TCP.
    pub tls: Option<Tls>,
    /// User name, and the file that holds the password.
    pub login: Option<(String, PathBuf)>,
    /// Whose ack frees a block from the disk (invariant A3).
    pub ack: AckMode,
}

/// The files of a TLS connection, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Authorities that may sign the broker's certificate.
    pub ca: PathBuf,
    /// The agent's own certificate and key.
    pub cert_key: Option<(PathBuf, PathBuf)>,
}

/// Whose ack frees a block from the disk (invariant A3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckMode {
    /// The sink's: what it has committed.
    Sink,
    /// The broker's PUBACK: weaker, for the broker may lose what it has acked.
    Broker,
}

/// What is kept on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spool {
    /// Time between commits, ms: what a power cut may cost. 100 to 60,000.
    pub commit_every_ms: u64,
    /// Most bytes on disk; when they are used up, the oldest readings go (invariant A4).
    pub max_bytes: u64,
}

/// A line that devices hang on. Only one request is on a line at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bus {
    /// A Modbus TCP endpoint: a device, or a gateway to several.
    Tcp {
        /// Host name or address.
        host: String,
        /// TCP port.
        port: u16,
    },
    /// A serial port spoken to in Modbus RTU.
    Serial {
        /// Path of the port.
        port: PathBuf,
        /// Bits per second.
        baud: u32,
        /// Parity bit.
        parity: Parity,
        /// Stop bits: 1 or 2.
        stop_bits: u8,
    },
}

impl fmt::Display for Bus {
    /// For people: `modbus tcp 10.0.0.7:502`, `modbus rtu /dev/ttyUSB0 19200 8E1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bus::Tcp { host, port } => write!(f, "modbus tcp {host}:{port}"),
            Bus::Serial { port, baud, parity, stop_bits } => {
                write!(f, "modbus rtu {} {baud} 8{}{stop_bits}", port.display(), parity.letter())
            }
        }
    }
}

/// Parity of a serial line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Parity {
    /// Even: what Modbus prescribes when nothing else is said (Modbus over Serial Line V1.02, 2.5.1).
    Even,
    /// Odd.
    Odd,
    /// No parity bit.
    None,
}

impl Parity {
    fn letter(self) -> char {
        match self {
            Parity::Even => 'E',
            Parity::Odd => 'O',
            Parity::None => 'N',
        }
    }
}

/// A device: a slave on a bus, read at a fixed rate.
#[derive(Clone, Debug, PartialEq)]
pub struct Device {
    /// Name, unique within the agent.
    pub name: String,
    /// Where it stands, in the crew's words.
    pub location: String,
    /// Index into [`Config::buses`].
    pub bus: usize,
    /// Slave address (unit identifier), 0 to 255 over TCP, 1 to 247 on a serial line.
    pub slave: u8,
    /// Time between readings, ms.
    pub interval_ms: u32,
    /// How long to wait for an answer, ms.
    pub timeout_ms: u32,
    /// After a serial slave missed its time or garbled its answer: how long it may still be talking, ms. The line
    /// rests that long, so that a late answer is not taken for another's.
    pub late_ms: u32,
    /// Its channels, 1 to [`windward_protocol::MAX_CHANNELS`].
    pub channels: Vec<DeviceChannel>,
}

impl Device {
    /// The channels as they go over the wire.
    pub fn wire_channels(&self) -> Vec<Channel> {
        self.channels.iter().map(|channel| channel.channel.clone()).collect()
    }
}

/// A channel of a device: what it measures, and where it is read.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceChannel {
    /// Name, quantity and unit.
    pub channel: Channel,
    /// Where its value is read, and how registers become the value.
    pub register: Register,
    /// Whether the forest judges it.
    pub detect: bool,
}

/// Where a value stands in a slave, and how its registers become a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Register {
    /// Which table of registers.
    pub function: Function,
    /// Wire address of the first register, counted from zero.
    pub start: u16,
    /// Type of the value.
    pub kind: Kind,
    /// Order of its words and bytes.
    pub order: Order,
    /// What one count is worth in the channel's unit.
    pub scale: Scale,
    /// Added after scaling, in the channel's unit.
    pub offset: f64,
    /// Least and greatest valid value, in the channel's unit.
    pub range: Option<(f64, f64)>,
    /// What the slave sends instead of a value when it has none, before scaling.
    pub sentinels: Vec<Sentinel>,
}

/// Which table of registers is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Function {
    /// Input registers, function code 4.
    Input,
    /// Holding registers, function code 3.
    Holding,
}

/// Type of a value in registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// One register, unsigned.
    U16,
    /// One register, two's complement.
    I16,
    /// Two registers, unsigned.
    U32,
    /// Two registers, two's complement.
    I32,
    /// Two registers, IEEE 754 single precision.
    F32,
    /// Four registers, IEEE 754 double precision.
    F64,
}

impl Kind {
    /// Registers the value takes.
    pub fn words(self) -> u16 {
        match self {
            Kind::U16 | Kind::I16 => 1,
            Kind::U32 | Kind::I32 | Kind::F32 => 2,
            Kind::F64 => 4,
        }
    }

    fn is_float(self) -> bool {
        matches!(self, Kind::F32 | Kind::F64)
    }
}

/// Order of a value's words and bytes on the wire, in the usual letters for a 32-bit value whose most significant byte
/// is A. For 64 bits the letters mean the same two things; for 16 bits only the order of bytes matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Order {
    /// Big-endian words and bytes, as the Modbus specification has it.
    Abcd,
    /// Least significant word first.
    Cdab,
    /// Bytes swapped within each word.
    Badc,
    /// Little-endian throughout.
    Dcba,
}

/// What one count is worth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    /// A power of ten: integers stay integers.
    Decimal(i8),
    /// Anything else.
    Factor(f64),
}

/// A value that means "no value", before scaling.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sentinel {
    /// The bits of an integer, as wide as its type.
    Bits(u32),
    /// A float.
    Float(f64),
}
