//! Vaisala WMT700, the messages of the WMT700 profile (User Guide M211095EN, 5.10.2). A device can be given messages of
//! other forms; those are not read.
//!
//! ```text
//! 21  $00.08,299.20                                          speed, direction
//! 22  $-00.04,00.07                                          x, y
//! 23  $03.21,75.83,03.34,03.15,22.37,12.2,23.5,20.0,32       speed, direction, max, min, sonic temperature,
//!                                                            heater and supply voltage, transducer temperature, status
//! 24  $03.45,76.03,03.58,03.37,21.97,23.8,23.6,23.8,0,0B     23 with a checksum
//! 25  $03.22,75.29,03.38,03.07,22.13,0,3E                    speed, direction, max, min, sonic temperature, status,
//!                                                            checksum
//! ```
//! The messages do not say which they are, and 21 and 22 look alike. So a field names its message (`24.speed`), and is
//! never taken from another one: damage that makes a guarded message look like an unguarded one says nothing.
//! The checksum is the exclusive or of everything from `$` to the comma before it; both examples of the guide fit.
//! Units are taken to be m/s and °C, as the device is delivered: the messages do not tell.

use super::number::{Number, Range, Scale};
use super::{Fault, Sentence, checksum, text};
use windward_protocol::{NoData, Reading};

/// Names and units.
pub(super) const FIELDS: &[(&str, &str)] = &[
    ("21.speed", "m/s"),
    ("21.direction", "°"),
    ("22.x", "m/s"),
    ("22.y", "m/s"),
    ("23.speed", "m/s"),
    ("23.direction", "°"),
    ("23.max", "m/s"),
    ("23.min", "m/s"),
    ("23.sonic_temperature", "°C"),
    ("23.heater_voltage", "V"),
    ("23.supply_voltage", "V"),
    ("23.transducer_temperature", "°C"),
    ("23.status", ""),
    ("24.speed", "m/s"),
    ("24.direction", "°"),
    ("24.max", "m/s"),
    ("24.min", "m/s"),
    ("24.sonic_temperature", "°C"),
    ("24.heater_voltage", "V"),
    ("24.supply_voltage", "V"),
    ("24.transducer_temperature", "°C"),
    ("24.status", ""),
    ("25.speed", "m/s"),
    ("25.direction", "°"),
    ("25.max", "m/s"),
    ("25.min", "m/s"),
    ("25.sonic_temperature", "°C"),
    ("25.status", ""),
];

/// Where the fields of the messages begin in [`FIELDS`].
const M21: usize = 0;
const M22: usize = 2;
const M23: usize = 4;
const M24: usize = 13;
const M25: usize = 22;

/// What stands in a missing reading's place (5.10.3).
const MISSING: i64 = 999;

/// Reads a line that begins with `$`.
pub(super) fn parse(line: &[u8]) -> Result<Sentence, Fault> {
    // A command, come back as an echo: `$0POLL,24`.
    if let [b'$', _, b'A'..=b'Z', b'A'..=b'Z', ..] = line {
        return Err(Fault::Other);
    }
    let Some(fields) = text(line)?.strip_prefix('$') else { return Err(Fault::Malformed) };
    let fields: Vec<&str> = fields.split(',').collect();
    let messages: &[usize] = match fields.len() {
        2 => &[M21, M22],
        9 => &[M23],
        10 => &[M24],
        7 => &[M25],
        _ => return Err(Fault::Malformed),
    };
    let mut values = &fields[..];
    if let ([M24 | M25], [before @ .., sum]) = (messages, values) {
        if !checksum::is_hex(sum.as_bytes(), checksum::xor(&line[..line.len() - sum.len()])) {
            return Err(Fault::Checksum);
        }
        values = before;
    }
    let mut sentence = Sentence::new(None);
    for &message in messages {
        for (&(name, unit), value) in FIELDS[message..].iter().zip(values) {
            sentence.put(name, reading(name, unit, value)?);
        }
    }
    Ok(sentence)
}

fn reading(name: &str, unit: &str, text: &str) -> Result<Reading, Fault> {
    let number = Number::parse(text).ok_or(Fault::Malformed)?;
    // Wind is written with two decimals in every example of the guide, and a status has none. So a message without a
    // checksum that was cut in its last field is seen.
    let wind = matches!(unit, "m/s" | "°");
    if (wind && number.decimals != 2) || (unit.is_empty() && number.decimals != 0) {
        return Err(Fault::Malformed);
    }
    let missing = number.mantissa == MISSING * 10i64.pow(u32::from(number.decimals));
    if missing && !unit.is_empty() {
        return Ok(Err(NoData::Sentinel));
    }
    let range = match unit {
        "°" => Range::Circle,
        "m/s" if !name.starts_with("22.") => Range::NotNegative,
        _ => Range::Any,
    };
    Ok(number.reading(Scale::Decimal(0), range))
}
