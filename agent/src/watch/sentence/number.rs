//! Numbers as devices write them, and the units they may be in.

use super::Fault;
use windward_protocol::{NoData, Reading, Value};

/// Most digits a number may have: so many fit both forms of [`Value`] exactly.
const MAX_DIGITS: usize = 15;

/// A decimal number, `mantissa · 10^-decimals`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Number {
    pub(super) mantissa: i64,
    /// Digits after the point.
    pub(super) decimals: u8,
}

/// How a unit becomes the one that readings are in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scale {
    /// Times this power of ten; the digits stay.
    Decimal(i8),
    /// Times this.
    Factor(f64),
    /// Degrees Fahrenheit to °C.
    Fahrenheit,
}

/// What values are possible at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Range {
    Any,
    /// Speeds, durations, amounts.
    NotNegative,
    /// Directions, 0 to 360 degrees.
    Circle,
    /// Angles to either side, -360 to 360 degrees.
    Turn,
}

impl Number {
    /// A sign or none, digits, and a point with digits behind it or none; nothing else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let has_point = whole.len() < digits.len();
        let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !all_digits(whole) || !all_digits(fraction) || digits.len() > MAX_DIGITS + usize::from(has_point) {
            return None;
        }
        let decimals = if has_point { fraction.len() } else { 0 };
        let digit = |mantissa: i64, byte: u8| mantissa * 10 + i64::from(byte - b'0');
        let mantissa = digits.bytes().filter(|byte| *byte != b'.').fold(0, digit);
        Some(Self { mantissa: if text.starts_with('-') { -mantissa } else { mantissa }, decimals: decimals as u8 })
    }

    /// The reading, in the unit that `scale` leads to.
    pub(super) fn reading(self, scale: Scale, range: Range) -> Reading {
        let exponent = -(self.decimals as i8);
        let sent = Value::Int { mantissa: self.mantissa, exponent };
        let value = match scale {
            Scale::Decimal(power) => Value::Int { mantissa: self.mantissa, exponent: exponent + power },
            Scale::Factor(factor) => Value::F64(sent.as_f64() * factor),
            Scale::Fahrenheit => Value::F64((sent.as_f64() - 32.0) / 1.8),
        };
        let possible = match range {
            Range::Any => true,
            Range::NotNegative => value.as_f64() >= 0.0,
            Range::Circle => (0.0..=360.0).contains(&value.as_f64()),
            Range::Turn => value.as_f64().abs() <= 360.0,
        };
        if possible { Ok(value) } else { Err(NoData::OutOfRange) }
    }
}

/// The reading of a text that may be empty; anything but a number makes the whole line suspect.
pub(super) fn reading(text: &str, scale: Scale, range: Range) -> Result<Reading, Fault> {
    if text.is_empty() {
        return Ok(Err(NoData::Empty));
    }
    Ok(Number::parse(text).ok_or(Fault::Malformed)?.reading(scale, range))
}

/// To m/s from what NMEA 0183 and Vaisala call K (km/h), M (m/s), N (knots) and S (miles an hour).
pub(super) fn speed(unit: &str) -> Result<Scale, Fault> {
    match unit {
        "M" => Ok(Scale::Decimal(0)),
        "K" => Ok(Scale::Factor(1.0 / 3.6)),
        "N" => Ok(Scale::Factor(1852.0 / 3600.0)),
        "S" => Ok(Scale::Factor(0.447_04)),
        _ => Err(Fault::Malformed),
    }
}

/// To °C.
pub(super) fn temperature(unit: &str) -> Result<Scale, Fault> {
    match unit {
        "C" => Ok(Scale::Decimal(0)),
        "F" => Ok(Scale::Fahrenheit),
        _ => Err(Fault::Malformed),
    }
}

/// To hPa from what NMEA 0183 and Vaisala call B (bar), P (Pa), H (hPa), I (inches of mercury) and M (mm of mercury).
pub(super) fn pressure(unit: &str) -> Result<Scale, Fault> {
    match unit {
        "H" => Ok(Scale::Decimal(0)),
        "P" => Ok(Scale::Decimal(-2)),
        "B" => Ok(Scale::Decimal(3)),
        "I" => Ok(Scale::Factor(33.863_89)),
        "M" => Ok(Scale::Factor(1.333_224)),
        _ => Err(Fault::Malformed),
    }
}
