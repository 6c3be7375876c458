//! Gill WindSonic, polar and UV, continuous or polled (WindSonic manual 1405-PS-0019, 9.1 to 9.3).
//!
//! ```text
//! STX Q,229,002.74,M,00, ETX 16       node, direction, speed, unit, status; exclusive or of what is between STX and ETX
//! STX Q,,000.04,M,00, ETX hh          no direction in a calm
//! STX Q,+001.59,-002.74,M,00, ETX hh  u (from south) and v (from east), always signed
//! ```

use super::number::{Range, Scale, reading};
use super::{Fault, Sentence, checksum, text};
use windward_protocol::NoData;

/// Begins a sentence.
pub(super) const STX: u8 = 2;
/// Ends what the checksum guards.
const ETX: u8 = 3;

/// Names and units.
pub(super) const FIELDS: &[(&str, &str)] = &[("speed", "m/s"), ("direction", "°"), ("u", "m/s"), ("v", "m/s")];

/// Reads a line that begins with STX.
pub(super) fn parse(line: &[u8]) -> Result<Sentence, Fault> {
    let [STX, guarded @ .., ETX, high, low] = line else { return Err(Fault::Malformed) };
    if !checksum::is_hex(&[*high, *low], checksum::xor(guarded)) {
        return Err(Fault::Checksum);
    }
    let fields: Vec<&str> = text(guarded)?.split(',').collect();
    let [node, first, second, unit, status, ""] = fields[..] else { return Err(Fault::Malformed) };
    if !matches!(node.as_bytes(), [b'A'..=b'Z']) {
        return Err(Fault::Malformed);
    }
    let mut sentence = Sentence::new(Some(node));
    // Any code but 00 is a failed axis or memory, or an average that is not complete yet (11.5). Which of the two forms
    // it would have been cannot be told then.
    if status != "00" {
        for (name, _) in FIELDS {
            sentence.put(*name, Err(NoData::Invalid));
        }
        return Ok(sentence);
    }
    let scale = speed(unit)?;
    if first.starts_with(['+', '-']) {
        sentence.put("u", reading(first, scale, Range::Any)?);
        sentence.put("v", reading(second, scale, Range::Any)?);
    } else {
        sentence.put("direction", reading(first, Scale::Decimal(0), Range::Circle)?);
        sentence.put("speed", reading(second, scale, Range::NotNegative)?);
    }
    Ok(sentence)
}

/// To m/s from Gill's own letters, of which P and S differ from NMEA's.
fn speed(unit: &str) -> Result<Scale, Fault> {
    match unit {
        "P" => super::number::speed("S"),
        "F" => Ok(Scale::Factor(0.3048 / 60.0)),
        "M" | "N" | "K" => super::number::speed(unit),
        _ => Err(Fault::Malformed),
    }
}
