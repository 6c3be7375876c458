//! Vaisala WXT520 and WXT530 in ASCII, automatic or polled (User Guide M211840EN, chapter 7).
//!
//! ```text
//! 0R1,Dm=027D,Sm=0.1M                     device address, kind, then name, number and unit letter of each value
//! 0r2,Ta=22.7C,Ua=55.5P,Pa=1004.7H@Fn     the form with CRC: lower-case r, three characters at the end
//! 0r5,Th=25.0C,Vh=10.6#,Vs=10.8V          '#' in the unit's place: the device calls the value invalid
//! ```
//! The form without CRC cannot show damage that exchanges digits: `aXU,M=a` (automatic) or `aXU,M=p`
//! (polled) sets the device to the other one.

use super::number::{Number, Range, Scale, pressure, speed, temperature};
use super::{Fault, Sentence, checksum, text};
use windward_protocol::{NoData, Reading};

/// Names and units: wind, pressure-temperature-humidity, precipitation, auxiliary inputs, supervisor.
pub(super) const FIELDS: &[(&str, &str)] = &[
    ("Dn", "°"),
    ("Dm", "°"),
    ("Dx", "°"),
    ("Sn", "m/s"),
    ("Sm", "m/s"),
    ("Sx", "m/s"),
    ("Ta", "°C"),
    ("Tp", "°C"),
    ("Ua", "%"),
    ("Pa", "hPa"),
    ("Rc", "mm"),
    ("Rd", "s"),
    ("Ri", "mm/h"),
    ("Rp", "mm/h"),
    ("Hc", "hits/cm²"),
    ("Hd", "s"),
    ("Hi", "hits/cm²h"),
    ("Hp", "hits/cm²h"),
    ("Tr", "°C"),
    ("Ra", "mm"),
    ("Sl", "V"),
    ("Sr", "V"),
    ("Th", "°C"),
    ("Vh", "V"),
    ("Vs", "V"),
    ("Vr", "V"),
];

/// Reads a line.
pub(super) fn parse(line: &[u8]) -> Result<Sentence, Fault> {
    // A polled line that is switched on leaves noise before the answer.
    let noise = line.iter().take_while(|byte| !byte.is_ascii_alphanumeric()).count();
    let line = &line[noise..];
    let (address, data) = match line {
        [address, b'R', b'0'..=b'5', b',', data @ ..] => (address, data),
        [address, b'r', b'0'..=b'5', b',', data @ ..] => {
            let Some((data, crc)) = data.split_last_chunk::<3>() else { return Err(Fault::Checksum) };
            if *crc != checksum::wxt(&line[..line.len() - crc.len()]) {
                return Err(Fault::Checksum);
            }
            (address, data)
        }
        // Answers to commands, texts such as `0TX,Start-up`, and queries that come back as an echo.
        [_, b'A'..=b'Z' | b'a'..=b'z', b'A'..=b'Z' | b'a'..=b'z', b',', ..] => return Err(Fault::Other),
        [_, b'R'] | [_, b'R', _] | [_, b'r', _, _, _] | [_, b'r', _, _, _, _] => return Err(Fault::Other),
        _ => return Err(Fault::Malformed),
    };
    let mut sentence = Sentence::new(Some(text(std::slice::from_ref(address))?));
    for pair in text(data)?.split(',') {
        let (name, value) = pair.split_once('=').ok_or(Fault::Malformed)?;
        if let Some(&(name, unit)) = FIELDS.iter().find(|(known, _)| *known == name) {
            sentence.put(name, reading(name, unit, value)?);
        }
    }
    Ok(sentence)
}

/// The reading of a number with its unit letter.
fn reading(name: &str, unit: &str, text: &str) -> Result<Reading, Fault> {
    let (digits, letter) =
        text.len().checked_sub(1).and_then(|last| text.split_at_checked(last)).ok_or(Fault::Malformed)?;
    if letter == "#" {
        return Ok(Err(NoData::Invalid));
    }
    let scale = match unit {
        "°" => only(letter, "D")?,
        "%" => only(letter, "P")?,
        "s" => only(letter, "sS")?,
        "V" if name == "Vh" => only(letter, "VNFW")?,
        "V" => only(letter, "V")?,
        "m/s" => speed(letter)?,
        "°C" => temperature(letter)?,
        "hPa" => pressure(letter)?,
        // Bare hits have no area to be brought to.
        _ if letter == "H" => return Ok(Err(NoData::Protocol)),
        _ => amount(unit, letter)?,
    };
    let range = match unit {
        "°" => Range::Circle,
        "°C" | "V" => Range::Any,
        _ => Range::NotNegative,
    };
    Ok(Number::parse(digits).ok_or(Fault::Malformed)?.reading(scale, range))
}

fn only(letter: &str, letters: &str) -> Result<Scale, Fault> {
    if letters.contains(letter) { Ok(Scale::Decimal(0)) } else { Err(Fault::Malformed) }
}

/// Rain and hail: M is metric, I is inches.
fn amount(unit: &str, letter: &str) -> Result<Scale, Fault> {
    match letter {
        "M" => Ok(Scale::Decimal(0)),
        "I" if unit.starts_with("mm") => Ok(Scale::Factor(25.4)),
        "I" => Ok(Scale::Factor(1.0 / 6.4516)),
        _ => Err(Fault::Malformed),
    }
}
