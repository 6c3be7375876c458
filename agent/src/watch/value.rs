//! From what was read to the channel's unit.

use crate::config::{Scale, Scaling};
use windward_protocol::{NoData, Reading, Value};

/// The value in the channel's unit, or why that is none. An integer keeps its digits when its scale is a power of ten
/// and nothing is added.
pub(super) fn scaled(value: Value, scaling: &Scaling) -> Reading {
    let value = match (value, scaling.scale) {
        (Value::Int { mantissa, exponent }, Scale::Decimal(scale)) => {
            Value::Int { mantissa, exponent: exponent.saturating_add(scale) }
        }
        (Value::F32(_) | Value::F64(_), Scale::Decimal(0)) => value,
        (_, Scale::Decimal(scale)) => Value::F64(value.as_f64() * 10f64.powi(scale.into())),
        (_, Scale::Factor(factor)) => Value::F64(value.as_f64() * factor),
    };
    let value = if scaling.offset == 0.0 { value } else { Value::F64(value.as_f64() + scaling.offset) };
    let number = value.as_f64();
    match scaling.range {
        _ if !number.is_finite() => Err(NoData::NotANumber),
        Some((least, most)) if !(least..=most).contains(&number) => Err(NoData::OutOfRange),
        _ => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Scaling = Scaling { scale: Scale::Decimal(0), offset: 0.0, range: None };

    fn int(mantissa: i64, exponent: i8) -> Value {
        Value::Int { mantissa, exponent }
    }

    #[test]
    fn a_power_of_ten_keeps_the_digits_and_anything_else_makes_a_float() {
        let tenths = Scaling { scale: Scale::Decimal(-1), ..PLAIN };
        assert_eq!(scaled(int(105, 0), &tenths), Ok(int(105, -1)));
        assert_eq!(scaled(int(105, -2), &tenths), Ok(int(105, -3)));
        let kelvin = Scaling { offset: -273.15, ..tenths };
        assert_eq!(scaled(int(2932, 0), &kelvin), Ok(Value::F64(293.2 - 273.15)));
        let halves = Scaling { scale: Scale::Factor(0.5), ..PLAIN };
        assert_eq!(scaled(int(-3, 0), &halves), Ok(Value::F64(-1.5)));
        assert_eq!(scaled(Value::F32(1.5), &PLAIN), Ok(Value::F32(1.5)));
        assert_eq!(scaled(Value::F32(1.5), &tenths), Ok(Value::F64(0.15000000000000002)));
    }

    #[test]
    fn limits_and_floats_that_are_no_numbers_give_their_reason() {
        let speed = Scaling { range: Some((0.0, 75.0)), ..PLAIN };
        assert_eq!(scaled(int(750, -1), &speed), Ok(int(750, -1)));
        assert_eq!(scaled(int(751, -1), &speed), Err(NoData::OutOfRange));
        assert_eq!(scaled(Value::F32(f32::NAN), &speed), Err(NoData::NotANumber));
        assert_eq!(scaled(Value::F64(f64::INFINITY), &PLAIN), Err(NoData::NotANumber));
    }
}
