//! The agent's configuration: one TOML file, checked once, into what the code uses.
//!
//! [`Config::from_toml`] reads the text into raw structs that refuse unknown keys, then checks what no single key can
//! show (duplicate names, lines that contradict each other, limits of the wire). It reports every fault it finds, each
//! with its file, line and column. What comes out is valid: no code after it checks again.

mod built;
mod buses;
mod channel;
mod check;
mod commands;
mod credentials;
mod device;
mod devices;
mod faults;
mod line;
mod problem;
pub mod profile;
mod raw;
mod register;
mod remote;
mod rules;
mod uplink;
mod uplinks;

pub use device::{Channel as DeviceChannel, Device, How, Limits, Source, Text};
pub use line::{Bus, Framing, Link, Parity};
pub use problem::{ConfigError, Problem};
pub use register::{Function, Kind, Order, Register, Scale, Scaling, Sentinel};
pub use rules::{Channels, Watching};
pub use uplink::{AckMode, IotCredentials, Kafka, Kinesis, Mechanism, Mqtt, Sasl, Sending, Tls};

use crate::watch::judge::DetectConfig;
use faults::Faults;
use raw::RawConfig;
use std::path::PathBuf;
use windward_protocol::{AgentId, DeviceManifest, Severity};

/// All an agent needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of the agent: of its certificate, its MQTT client and its topics.
    pub agent: AgentId,
    /// Farm it belongs to.
    pub farm: String,
    /// Directory of the spool. It is created when it is missing.
    pub data: PathBuf,
    /// The broker; it, the stream or the topic is there, or several of them.
    pub mqtt: Option<Mqtt>,
    /// The stream.
    pub kinesis: Option<Kinesis>,
    /// The topic of a Kafka cluster.
    pub kafka: Option<Kafka>,
    /// What is kept on disk.
    pub spool: Spool,
    /// How readings are judged.
    pub detect: DetectConfig,
    /// A person's own limits, in the order of the file.
    pub rules: Vec<Watching>,
    /// Whose commands are taken.
    pub commands: Commands,
    /// Program and arguments run at each step of an alert; `None`: the log alone tells.
    pub alert_command: Option<Vec<String>>,
    /// What shows at the turbine that something is wrong; `None`: nothing does.
    pub beacon: Option<Beacon>,
    /// The lines devices hang on, each once.
    pub buses: Vec<Bus>,
    /// The devices, in the order of the file; at least one.
    pub devices: Vec<Device>,
}

impl Config {
    /// Reads and checks the text of a configuration file. `file` only serves to name it in errors. What this program was
    /// built without is refused.
    pub fn from_toml(text: &str, file: &str) -> Result<Config, ConfigError> {
        Self::read(text, file, built::check)
    }

    /// The same, but to know devices rather than to read them: whatever this program was built without.
    pub(crate) fn of_any_program(text: &str, file: &str) -> Result<Config, ConfigError> {
        Self::read(text, file, |_, _| {})
    }

    fn read(text: &str, file: &str, built: fn(&RawConfig, &mut Faults<'_>)) -> Result<Config, ConfigError> {
        let raw = toml::from_str(text).map_err(|error| problem::of_toml(&error, text, file))?;
        let mut faults = Faults::new(text, file);
        built(&raw, &mut faults);
        check::check(raw, faults)
    }

    /// What the agent says of its devices when it starts.
    pub fn manifest(&self) -> Vec<DeviceManifest> {
        let manifest = |device: &Device| DeviceManifest {
            device: device.name.clone(),
            location: device.location.clone(),
            link: match &device.how {
                How::Modbus { slave, .. } => format!("{} slave {slave}", self.buses[device.bus]),
                How::Converter { address } => format!("{} address {address:#x}", self.buses[device.bus]),
                How::Sentences { .. } | How::Pulses => self.buses[device.bus].to_string(),
            },
            interval_ms: device.interval_ms,
            channels: device.wire_channels(),
        };
        self.devices.iter().map(manifest).collect()
    }
}

/// Whose commands are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Commands {
    /// Nobody's.
    None,
    /// Those of everyone whom the broker lets publish on the command topic.
    Acl,
    /// Those signed with the key whose public half is in this PEM file (Ed25519).
    Signed(PathBuf),
}

/// What is kept on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spool {
    /// Time between commits, ms: what a power cut may cost. 100 to 60,000.
    pub commit_every_ms: u64,
    /// Most bytes on disk; when they are used up, the oldest readings go (invariant A4).
    pub max_bytes: u64,
    /// How long readings may wait on disk, ms; older ones go, and a gap record says so. `None`: as long as there is room.
    pub max_age_ms: Option<u64>,
    /// Time between two checkpoints of what a device's judge has learned, s; its forests are written every six hours, or as
    /// seldom as this. 0: never, and an earlier one is not read.
    pub checkpoint_every_s: u64,
}

/// A lamp or horn that is on while an alert is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beacon {
    /// Index into [`Config::buses`].
    pub bus: usize,
    /// What is switched there.
    pub output: BeaconOutput,
    /// Least severity of an alert that turns it on.
    pub severity: Severity,
}

/// What switches a beacon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BeaconOutput {
    /// A coil of a Modbus relay, function code 5.
    Coil {
        /// Slave address.
        slave: u8,
        /// Wire address of the coil.
        coil: u16,
    },
    /// A pin of the gateway.
    Pin {
        /// Number of the line on its chip.
        line: u32,
        /// Whether low means on.
        active_low: bool,
    },
}
