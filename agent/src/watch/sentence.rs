//! Lines of text that sensors send by themselves or when asked: which of them are sentences, and what they say.
//!
//! Bytes go into a [`Framer`], which cuts them into lines; [`parse`] makes a [`Sentence`] of a line or says what is
//! wrong with it. A line is taken whole or not at all: where the format has a checksum, a sentence without a right one
//! says nothing. Readings are in m/s, degrees, °C, % and hPa whatever unit the device was set to; where that takes
//! no more than a power of ten they keep the digits that were sent.
//!
//! | format | sentences | guarded by |
//! |---|---|---|
//! | `nmea` | NMEA 0183 MWV, VWR, MDA, XDR | `*hh`, which must be there |
//! | `gill` | Gill WindSonic, polar and UV | two digits after ETX, which must be there |
//! | `wxt` | Vaisala WXT520/WXT530 ASCII, `0R1` to `0R5` and `0R0` | nothing; in the `0r1` form a CRC |
//! | `wmt` | Vaisala WMT700 messages 21 to 25 | in 24 and 25 a checksum; in 21 to 23 nothing |
//!
//! Where nothing guards a line, damage that leaves the form intact (one digit for another, a status that lost one) cannot
//! be seen; a measured value that was cut short can, and the line is refused. Choose the guarded form where the device
//! offers it.

pub mod checksum;
mod framer;
mod gill;
mod nmea;
mod number;
mod wmt;
mod wxt;

pub use framer::{Framer, MAX_LINE};

use serde::Deserialize;
use std::borrow::Cow;
use std::fmt;
use windward_protocol::{NoData, Reading};

/// How a device writes its lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// NMEA 0183 sentences that begin with `$`.
    Nmea,
    /// Gill's own form, between STX and ETX.
    Gill,
    /// Vaisala WXT520 and WXT530, ASCII, automatic or polled.
    Wxt,
    /// Vaisala WMT700, messages 21 to 25 of the WMT700 profile.
    Wmt,
}

impl fmt::Display for Format {
    /// The name it has in the configuration.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Nmea => "nmea",
            Format::Gill => "gill",
            Format::Wxt => "wxt",
            Format::Wmt => "wmt",
        })
    }
}

/// Why a line gave no sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The checksum does not fit, or there is none where there must be one.
    #[error("the checksum is wrong or missing")]
    Checksum,
    /// Not a line of this format.
    #[error("not a sentence of this format")]
    Malformed,
    /// A sound line of a kind that is not read here; nothing is wrong with it.
    #[error("a sentence of another kind")]
    Other,
}

impl Fault {
    /// What a channel that waited for this line has to say; `None` when the line was no concern of its.
    pub fn no_data(self) -> Option<NoData> {
        match self {
            Fault::Checksum => Some(NoData::Checksum),
            Fault::Malformed => Some(NoData::Protocol),
            Fault::Other => None,
        }
    }
}

/// Name of a value that a sentence may carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    name: Cow<'static, str>,
    unit: &'static str,
}

impl Field {
    /// The field that a configuration calls `name`. The error lists the names that this format has.
    pub fn parse(format: Format, name: &str) -> Result<Self, String> {
        let (known, more) = match format {
            Format::Nmea => (nmea::FIELDS, ", XDR.<type>.<name> such as XDR.C.AirTemp"),
            Format::Gill => (gill::FIELDS, ""),
            Format::Wxt => (wxt::FIELDS, ""),
            Format::Wmt => (wmt::FIELDS, ""),
        };
        if let Some(&(name, unit)) = known.iter().find(|(known, _)| *known == name) {
            return Ok(Self { name: Cow::Borrowed(name), unit });
        }
        if let Some(unit) = nmea::transducer_unit(name).filter(|_| format == Format::Nmea) {
            return Ok(Self { name: Cow::Owned(name.to_owned()), unit });
        }
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        Err(format!("no field {name:?}; there are {}{more}", names.join(", ")))
    }

    /// The name, as in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The unit of the readings; empty for a bare number.
    pub fn unit(&self) -> &'static str {
        self.unit
    }
}

/// What one line said. Holds no more than a line of [`MAX_LINE`] bytes can name.
#[derive(Clone, Debug, PartialEq)]
pub struct Sentence {
    address: Option<String>,
    readings: Vec<(Cow<'static, str>, Reading)>,
}

impl Sentence {
    fn new(address: Option<&str>) -> Self {
        Self { address: address.map(str::to_owned), readings: Vec::new() }
    }

    fn put(&mut self, name: impl Into<Cow<'static, str>>, reading: Reading) {
        self.readings.push((name.into(), reading));
    }

    /// What the line says of `field`; `None` when it does not speak of it.
    pub fn get(&self, field: &Field) -> Option<Reading> {
        self.readings().find(|(name, _)| *name == field.name).map(|(_, reading)| reading)
    }

    /// Who speaks: NMEA's talker (`WI`), Gill's node (`Q`), the WXT's device address (`0`). The WMT700 names none.
    pub fn address(&self) -> Option<&str> {
        self.address.as_deref()
    }

    /// All that the line says, by field name.
    pub fn readings(&self) -> impl Iterator<Item = (&str, Reading)> {
        self.readings.iter().map(|(name, reading)| (name.as_ref(), *reading))
    }
}

/// Reads one line, without its line end.
pub fn parse(format: Format, line: &[u8]) -> Result<Sentence, Fault> {
    match format {
        Format::Nmea => nmea::parse(line),
        Format::Gill => gill::parse(line),
        Format::Wxt => wxt::parse(line),
        Format::Wmt => wmt::parse(line),
    }
}

/// `bytes` as text, if they are printable ASCII. A zero byte, for one, would leave an exclusive or as it is.
fn text(bytes: &[u8]) -> Result<&str, Fault> {
    let plain = bytes.iter().all(|byte| (b' '..=b'~').contains(byte));
    std::str::from_utf8(bytes).ok().filter(|_| plain).ok_or(Fault::Malformed)
}

#[cfg(test)]
mod tests;
