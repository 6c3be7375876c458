//! NMEA 0183: `$`, talker (2) and kind (3), fields between commas, `*` and two hexadecimal digits, which are the
//! exclusive or of what stands between `$` and `*`.
//!
//! ```text
//! $WIMWV,041.1,R,01.0,N,A*16          angle, R(elative) or T(rue), speed, its unit K M N S, status A or V
//! $IIVWR,45.0,L,12.6,N,6.5,M,23.3,K*62   angle, side, speed in knots, m/s and km/h
//! $WIMDA,29.7544,I,1.0076,B,35.5,C,,,42.1,,20.6,C,116.4,T,107.7,M,1.2,N,0.6,M*66
//!                                     pressure twice, air and water temperature, relative and absolute humidity, dew
//!                                     point, direction from true and from magnetic north, speed twice
//! $WIXDR,C,23.3,C,0,H,50.1,P,0*hh     any number of: type, value, unit, name
//! ```
//! The standard lets old kinds go without a checksum. Here it must be there: a sentence that was cut short looks like
//! one that never had any.

use super::number::{Number, Range, Scale, pressure, reading, speed, temperature};
use super::{Fault, Sentence, checksum, text};
use windward_protocol::{NoData, Reading};

/// Names and units. `MWV.speed` takes both references as they come; where a device sends both, name the one.
pub(super) const FIELDS: &[(&str, &str)] = &[
    ("MWV.speed", "m/s"),
    ("MWV.angle", "°"),
    ("MWV.R.speed", "m/s"),
    ("MWV.R.angle", "°"),
    ("MWV.T.speed", "m/s"),
    ("MWV.T.angle", "°"),
    ("VWR.speed", "m/s"),
    ("VWR.angle", "°"),
    ("MDA.pressure", "hPa"),
    ("MDA.air_temperature", "°C"),
    ("MDA.water_temperature", "°C"),
    ("MDA.humidity", "%"),
    ("MDA.dew_point", "°C"),
    ("MDA.direction", "°"),
    ("MDA.magnetic_direction", "°"),
    ("MDA.speed", "m/s"),
];

const SAME: Scale = Scale::Decimal(0);

/// Reads a line that begins with `$` or `!`.
pub(super) fn parse(line: &[u8]) -> Result<Sentence, Fault> {
    let [b'$' | b'!', rest @ ..] = line else { return Err(Fault::Malformed) };
    let [guarded @ .., b'*', high, low] = rest else { return Err(Fault::Checksum) };
    if !checksum::is_hex(&[*high, *low], checksum::xor(guarded)) {
        return Err(Fault::Checksum);
    }
    let mut fields = text(guarded)?.split(',');
    let head = fields.next().unwrap_or_default();
    let fields: Vec<&str> = fields.collect();
    let Some((talker, kind)) = head.split_at_checked(2).filter(|_| line[0] == b'$') else { return Err(Fault::Other) };
    let mut sentence = Sentence::new(Some(talker));
    match kind {
        "MWV" => mwv(&mut sentence, &fields)?,
        "VWR" => vwr(&mut sentence, &fields)?,
        "MDA" => mda(&mut sentence, &fields)?,
        "XDR" => xdr(&mut sentence, &fields)?,
        _ => return Err(Fault::Other),
    }
    Ok(sentence)
}

fn mwv(sentence: &mut Sentence, fields: &[&str]) -> Result<(), Fault> {
    let (angle, reference, value, unit, status) = match *fields {
        [angle, reference, value, unit, status] => (angle, reference, value, unit, status),
        // Before version 2.0 there was no status.
        [angle, reference, value, unit] => (angle, reference, value, unit, "A"),
        _ => return Err(Fault::Malformed),
    };
    let [angle_name, speed_name] = match reference {
        "R" => ["MWV.R.angle", "MWV.R.speed"],
        "T" => ["MWV.T.angle", "MWV.T.speed"],
        _ => return Err(Fault::Malformed),
    };
    // Gill can be set to put its own code, 00 for sound, into the status (WindSonic manual, 9.5).
    let (angle, speed) = match status {
        "A" | "00" => (reading(angle, SAME, Range::Circle)?, first_of(&[(value, unit)], speed, Range::NotNegative)?),
        _ => (Err(NoData::Invalid), Err(NoData::Invalid)),
    };
    sentence.put("MWV.angle", angle);
    sentence.put("MWV.speed", speed);
    sentence.put(angle_name, angle);
    sentence.put(speed_name, speed);
    Ok(())
}

fn vwr(sentence: &mut Sentence, fields: &[&str]) -> Result<(), Fault> {
    let [angle, side, knots, n, mps, m, kmh, k] = *fields else { return Err(Fault::Malformed) };
    sentence.put("VWR.angle", from_bow(angle, side)?);
    sentence.put("VWR.speed", first_of(&[(mps, m), (knots, n), (kmh, k)], speed, Range::NotNegative)?);
    Ok(())
}

/// An angle of 0 to 180 degrees to one side of the bow, as one of 0 to 360 degrees to the right.
fn from_bow(angle: &str, side: &str) -> Result<Reading, Fault> {
    if angle.is_empty() {
        return Ok(Err(NoData::Empty));
    }
    let number = Number::parse(angle).ok_or(Fault::Malformed)?;
    let half_turn = 180 * 10i64.pow(u32::from(number.decimals));
    let mantissa = match side {
        _ if !(0..=half_turn).contains(&number.mantissa) => return Ok(Err(NoData::OutOfRange)),
        "L" if number.mantissa > 0 => 2 * half_turn - number.mantissa,
        "L" | "R" => number.mantissa,
        _ => return Err(Fault::Malformed),
    };
    Ok(Number { mantissa, ..number }.reading(SAME, Range::Circle))
}

fn mda(sentence: &mut Sentence, fields: &[&str]) -> Result<(), Fault> {
    let &[inches, i, bar, b, air, c, water, d, humidity, _, dew, e, truly, t, magnetic, m, knots, n, mps, s] = fields
    else {
        return Err(Fault::Malformed);
    };
    let north = |unit: &str| if matches!(unit, "T" | "M") { Ok(SAME) } else { Err(Fault::Malformed) };
    let mut put = |name, reading| sentence.put(name, reading);
    put("MDA.pressure", first_of(&[(bar, b), (inches, i)], pressure, Range::NotNegative)?);
    put("MDA.air_temperature", first_of(&[(air, c)], temperature, Range::Any)?);
    put("MDA.water_temperature", first_of(&[(water, d)], temperature, Range::Any)?);
    put("MDA.humidity", reading(humidity, SAME, Range::NotNegative)?);
    put("MDA.dew_point", first_of(&[(dew, e)], temperature, Range::Any)?);
    put("MDA.direction", first_of(&[(truly, t)], north, Range::Circle)?);
    put("MDA.magnetic_direction", first_of(&[(magnetic, m)], north, Range::Circle)?);
    put("MDA.speed", first_of(&[(mps, s), (knots, n)], speed, Range::NotNegative)?);
    Ok(())
}

/// The first of several writings of one value that is there. A unit without its value says nothing.
fn first_of(
    writings: &[(&str, &str)],
    scale: impl Fn(&str) -> Result<Scale, Fault>,
    range: Range,
) -> Result<Reading, Fault> {
    match writings.iter().find(|(value, _)| !value.is_empty()) {
        Some((value, unit)) => reading(value, scale(unit)?, range),
        None => Ok(Err(NoData::Empty)),
    }
}

/// Transducers come in fours. Types and units that are not known here are passed over: the sentence is sound, and
/// its other transducers are none the worse for it.
fn xdr(sentence: &mut Sentence, fields: &[&str]) -> Result<(), Fault> {
    let (transducers, []) = fields.as_chunks::<4>() else { return Err(Fault::Malformed) };
    for [kind, value, unit, name] in transducers {
        let field = format!("XDR.{kind}.{name}");
        if transducer_unit(&field).is_none() {
            continue;
        }
        let reading = match (*unit, transducer(kind, unit)) {
            ("#", _) => Err(NoData::Invalid),
            (_, None) => Err(NoData::Protocol),
            (_, Some((scale, range))) => reading(value, scale, range).unwrap_or(Err(NoData::Protocol)),
        };
        sentence.put(field, reading);
    }
    Ok(())
}

/// The unit of a field `XDR.<type>.<name>`; `None` if there can be no such field.
pub(super) fn transducer_unit(field: &str) -> Option<&'static str> {
    let (kind, name) = field.strip_prefix("XDR.")?.split_once('.')?;
    let sendable =
        !name.is_empty() && name.bytes().all(|byte| (b' '..=b'~').contains(&byte) && !b"$*,".contains(&byte));
    let unit = match kind {
        "A" => "°",
        "C" => "°C",
        "G" => "",
        "H" => "%",
        "I" => "A",
        "P" => "hPa",
        "S" => "m/s",
        "T" => "rpm",
        "U" => "V",
        _ => return None,
    };
    sendable.then_some(unit)
}

/// How a transducer's value is to be read. S as wind speed and V, N, F, W as volts are Vaisala's (WXT530 User Guide
/// M211840EN, transducer table); an angle may be of anything, a pitch below zero too.
fn transducer(kind: &str, unit: &str) -> Option<(Scale, Range)> {
    match (kind, unit) {
        ("A", "D") => Some((SAME, Range::Turn)),
        ("G", _) | ("I", "A") | ("T", "R") | ("U", "V" | "N" | "F" | "W") => Some((SAME, Range::Any)),
        ("C", _) => Some((temperature(unit).ok()?, Range::Any)),
        ("H", "P") => Some((SAME, Range::NotNegative)),
        ("P", _) => Some((pressure(unit).ok()?, Range::Any)),
        ("S", _) => Some((speed(unit).ok()?, Range::NotNegative)),
        _ => None,
    }
}
