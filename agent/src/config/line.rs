//! The lines devices hang on.

use crate::watch::sentence::Format;
use std::fmt;
use std::path::PathBuf;

/// A line that devices hang on. It has one owner, and only one request is on it at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bus {
    /// Slaves that are asked for registers.
    Modbus {
        /// What carries the bytes.
        link: Link,
        /// How they are framed.
        framing: Framing,
        /// Least silence between two requests, ms: the greatest that a device on the line needs.
        gap_ms: u32,
    },
    /// Devices that send lines of text, by themselves or when asked.
    Sentences {
        /// What carries the bytes.
        link: Link,
        /// What they say.
        format: Format,
    },
    /// An I2C bus of the gateway, with ADS1115 converters on it.
    I2c {
        /// The bus device, for example `/dev/i2c-1`.
        path: PathBuf,
    },
    /// A GPIO chip of the gateway, with pulse inputs on its lines.
    Gpio {
        /// The chip device, for example `/dev/gpiochip0`.
        chip: PathBuf,
    },
}

impl Bus {
    /// Least silence between two requests, ms.
    pub(super) fn gap_ms(&self) -> u32 {
        match self {
            Bus::Modbus { gap_ms, .. } => *gap_ms,
            _ => 0,
        }
    }

    /// The bus with another such silence.
    pub(super) fn with_gap_ms(mut self, gap: u32) -> Bus {
        if let Bus::Modbus { gap_ms, .. } = &mut self {
            *gap_ms = gap;
        }
        self
    }

    /// Whether both are the same line, with whatever settings.
    pub(super) fn same_line(&self, other: &Bus) -> bool {
        match (self, other) {
            (Bus::Modbus { link, .. } | Bus::Sentences { link, .. }, Bus::Modbus { link: of_other, .. })
            | (Bus::Modbus { link, .. } | Bus::Sentences { link, .. }, Bus::Sentences { link: of_other, .. }) => {
                match (link, of_other) {
                    (Link::Serial { port, .. }, Link::Serial { port: other, .. }) => port == other,
                    _ => link == of_other,
                }
            }
            _ => self == other,
        }
    }
}

impl fmt::Display for Bus {
    /// For people: `modbus tcp 10.0.0.7:502`, `modbus rtu /dev/ttyUSB0 19200 8E1`, `nmea /dev/ttyS1 4800 8N1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bus::Modbus { link, framing: Framing::Tcp, .. } => write!(f, "modbus tcp {link}"),
            Bus::Modbus { link: link @ Link::Tcp { .. }, framing: Framing::Rtu, .. } => {
                write!(f, "modbus rtu over tcp {link}")
            }
            Bus::Modbus { link, framing: Framing::Rtu, .. } => write!(f, "modbus rtu {link}"),
            Bus::Sentences { link, format } => write!(f, "{format} {link}"),
            Bus::I2c { path } => write!(f, "i2c {}", path.display()),
            Bus::Gpio { chip } => write!(f, "gpio {}", chip.display()),
        }
    }
}

/// What carries the bytes of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// A TCP connection to a device, or to a gateway or device server in front of it.
    Tcp {
        /// Host name or address.
        host: String,
        /// TCP port.
        port: u16,
    },
    /// A serial port: eight data bits.
    Serial {
        /// Path of the port, best one of `/dev/serial/by-id`, which a replugged adapter keeps.
        port: PathBuf,
        /// Bits per second.
        baud: u32,
        /// Parity bit.
        parity: Parity,
        /// Stop bits: 1 or 2.
        stop_bits: u8,
    },
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Link::Tcp { host, port } => write!(f, "{host}:{port}"),
            Link::Serial { port, baud, parity, stop_bits } => {
                write!(f, "{} {baud} 8{}{stop_bits}", port.display(), parity.letter())
            }
        }
    }
}

/// How Modbus requests are framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// With the MBAP header of Modbus TCP.
    Tcp,
    /// With slave address and CRC, as on a serial line; over TCP to a device server that knows no Modbus.
    Rtu,
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
    /// The letter in `8N1`.
    pub fn letter(self) -> char {
        match self {
            Parity::Even => 'E',
            Parity::Odd => 'O',
            Parity::None => 'N',
        }
    }
}
