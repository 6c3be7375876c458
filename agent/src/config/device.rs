//! A device and its channels.

use super::{Register, Scaling};
use crate::hal::analog::Analog;
use crate::hal::pulses::Cup;
use crate::watch::sentence::Field;

/// A device: something on a bus that is read at a fixed rate, or that speaks by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Device {
    /// Name, unique within the agent.
    pub name: String,
    /// Where it stands, in the crew's words.
    pub location: String,
    /// Name of the profile it follows.
    pub profile: Option<String>,
    /// Index into [`super::Config::buses`].
    pub bus: usize,
    /// Time between readings, ms. Of a device that speaks by itself: between its sentences.
    pub interval_ms: u32,
    /// Of each channel one reading in so many seconds is forwarded, and all around an alert; `None`: all are.
    pub forward_every_s: Option<u32>,
    /// How long to wait for an answer, ms. Of a device that speaks by itself: how long it may be silent before that is
    /// a fault.
    pub timeout_ms: u32,
    /// After a device on a line missed its time or garbled its answer: how long it may still be talking, ms. The line
    /// rests that long, so that a late answer is not taken for another's.
    pub late_ms: u32,
    /// How often a request that failed on the line is asked again within its round.
    pub retries: u8,
    /// How it is read.
    pub how: How,
    /// Its channels, 1 to [`windward_protocol::MAX_CHANNELS`].
    pub channels: Vec<Channel>,
    /// What it says of itself.
    pub texts: Vec<Text>,
    /// What its profile could not say for sure, for `check` to ask.
    pub unsure: Vec<String>,
}

impl Device {
    /// The channels as they go over the wire.
    pub fn wire_channels(&self) -> Vec<windward_protocol::Channel> {
        self.channels.iter().map(|channel| channel.channel.clone()).collect()
    }

    /// The registers of its channels, each with at every how many intervals it is read. Of a Modbus device, one a channel.
    pub fn registers(&self) -> Vec<(&Register, u32)> {
        fn register(channel: &Channel) -> Option<(&Register, u32)> {
            match &channel.source {
                Source::Register(register) => Some((register, channel.every)),
                _ => None,
            }
        }
        self.channels.iter().filter_map(register).collect()
    }

    /// Whether it is read when it is asked, rather than speaking by itself.
    pub fn is_asked(&self) -> bool {
        !matches!(self.how, How::Sentences { poll: None, .. })
    }
}

/// How a device is read; which one follows from its bus.
#[derive(Clone, Debug, PartialEq)]
pub enum How {
    /// Asked for registers.
    Modbus {
        /// Slave address (unit identifier), 0 to 255 over Modbus TCP, else 1 to 247.
        slave: u8,
        /// Whether the first query of a round may fail and is then asked again: a device that has to wake up.
        wake: bool,
        /// How its registers may be asked for together.
        limits: Limits,
    },
    /// Sends lines of text.
    Sentences {
        /// What to send it at each interval; `None`: it speaks by itself.
        poll: Option<Vec<u8>>,
        /// The talker, node or address its sentences must carry.
        address: Option<String>,
    },
    /// An ADS1115 converter.
    Converter {
        /// Its I2C address, 0x48 to 0x4b.
        address: u8,
    },
    /// Pulse inputs.
    Pulses,
}

/// How registers may be asked for together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most registers one request may ask for.
    pub max_block: u16,
    /// So many registers that no channel names may be read along to join two requests.
    pub max_gap: u16,
    /// Whether each channel is asked for alone.
    pub one_by_one: bool,
}

/// A channel of a device: what it measures, and where it is read.
#[derive(Clone, Debug, PartialEq)]
pub struct Channel {
    /// Name, quantity and unit.
    pub channel: windward_protocol::Channel,
    /// Where its value is read.
    pub source: Source,
    /// From what was read to the channel's unit, and what is valid there.
    pub scaling: Scaling,
    /// It is read at every so many of the device's intervals, from 1.
    pub every: u32,
    /// Whether its values are judged.
    pub detect: bool,
}

/// Where a value is read; which one follows from the device's bus.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// In registers of a slave.
    Register(Register),
    /// In a field of a sentence.
    Field(Field),
    /// At an input of a converter.
    Analog(Analog),
    /// As the frequency of pulses on a line of a GPIO chip.
    Pulses {
        /// Number of the line.
        line: u32,
        /// How long the line must have been low before a rise counts, µs.
        debounce_us: u64,
        /// From Hz to the channel's unit, and what is valid there; [`Channel::scaling`] changes nothing then.
        cup: Cup,
    },
}

/// What a device says of itself in registers: two characters each. Shown by `check` and `probe`, never forwarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// What it is: `model`, `serial number`.
    pub name: String,
    /// Which table of registers.
    pub function: super::Function,
    /// Wire address of the first register.
    pub start: u16,
    /// Number of registers.
    pub words: u16,
}
