//! Floats as integers. Most floats that sensors give were decimals once; `m / 10^d` gives them back bit for bit, and
//! is tried value by value. The others are their bits, in an order in which near floats have near numbers.

use super::rows::Form;

/// Stands for a column that is not of decimals.
pub(super) const NOT_DECIMAL: u8 = 15;
/// Most decimals tried, and the mantissas up to which integers and their quotients are exact.
const MAX_DECIMALS: (u8, u8) = (6, 9);
const MAX_MANTISSA: (i64, i64) = (1 << 24, 1 << 53);

/// The least number of decimals with which all values can be told; `None`: they are no decimals, or no floats.
pub(super) fn decimals(form: Form, values: &[i64]) -> Option<u8> {
    let most = match form {
        Form::Int(_) => return None,
        Form::F32 => MAX_DECIMALS.0,
        Form::F64 => MAX_DECIMALS.1,
    };
    let mut decimals = 0;
    for &value in values {
        while mantissa(form, decimals, value).is_none() {
            decimals += 1;
            if decimals > most {
                return None;
            }
        }
    }
    // A value that needs fewer has been seen with fewer only; larger ones may not be exact with more.
    values.iter().all(|value| mantissa(form, decimals, *value).is_some()).then_some(decimals)
}

/// The number that stands for a value on the wire.
pub(super) fn to_number(form: Form, decimals: Option<u8>, value: i64) -> i64 {
    match (form, decimals) {
        (Form::Int(_), _) => value,
        // `decimals` has tried each of them.
        (_, Some(decimals)) => mantissa(form, decimals, value).unwrap_or(0),
        (Form::F32, None) => i64::from(turned_32(value as u32 as i32)),
        (Form::F64, None) => turned_64(value),
    }
}

/// The value that a number stands for.
pub(super) fn from_number(form: Form, decimals: Option<u8>, number: i64) -> i64 {
    match (form, decimals) {
        (Form::Int(_), _) => number,
        (_, Some(decimals)) => quotient(form, decimals, number),
        (Form::F32, None) => i64::from(turned_32(number as i32) as u32),
        (Form::F64, None) => turned_64(number),
    }
}

/// `m` where this value is `m / 10^decimals` to the last bit.
fn mantissa(form: Form, decimals: u8, value: i64) -> Option<i64> {
    let (float, most) = match form {
        Form::F32 => (f64::from(f32::from_bits(value as u32)), MAX_MANTISSA.0),
        _ => (f64::from_bits(value as u64), MAX_MANTISSA.1),
    };
    let scaled = float * POWERS[usize::from(decimals)];
    // `as` saturates and makes NaN 0, which the last line refuses.
    let number = (scaled + if scaled < 0.0 { -0.5 } else { 0.5 }) as i64;
    (number.unsigned_abs() <= most as u64 && quotient(form, decimals, number) == value).then_some(number)
}

fn quotient(form: Form, decimals: u8, number: i64) -> i64 {
    let quotient = number as f64 / POWERS[usize::from(decimals).min(POWERS.len() - 1)];
    match form {
        Form::F32 => i64::from((quotient as f32).to_bits()),
        _ => quotient.to_bits() as i64,
    }
}

/// Powers of ten, all exact.
const POWERS: [f64; 10] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

/// Sign and magnitude to two's complement, and back: then the greater float has the greater number.
fn turned_32(bits: i32) -> i32 {
    bits ^ ((bits >> 31) as u32 >> 1) as i32
}

fn turned_64(bits: i64) -> i64 {
    bits ^ ((bits >> 63) as u64 >> 1) as i64
}
