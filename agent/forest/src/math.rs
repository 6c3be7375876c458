//! Logarithms and powers. `core` has none, and those of `std` differ in the last bits from platform to platform.

use core::f64::consts::{LN_2, SQRT_2};

/// Natural logarithm of a positive, normal number, to a few units in the last place.
pub(crate) fn ln(x: f64) -> f64 {
    debug_assert!(x.is_normal() && x > 0.0);
    let bits = x.to_bits();
    let mut exponent = (bits >> 52) as i64 - 1023;
    let mut fraction = f64::from_bits(bits & ((1 << 52) - 1) | 1023 << 52);
    if fraction > SQRT_2 {
        fraction *= 0.5;
        exponent += 1;
    }
    // ln f = 2 artanh((f-1)/(f+1)); below the root of two the argument is under 0.172, and its 23rd power under 2^-58.
    let t = (fraction - 1.0) / (fraction + 1.0);
    let square = t * t;
    let series = (0..11).rev().fold(0.0, |sum, k| sum * square + 1.0 / f64::from(2 * k + 1));
    exponent as f64 * LN_2 + 2.0 * t * series
}

/// Logarithm to base 2 of a positive, normal number.
pub(crate) fn log2(x: f64) -> f64 {
    ln(x) / LN_2
}

/// `e^x` for x from 0 to 1.
pub(crate) fn exp(x: f64) -> f64 {
    (1..20).rev().fold(1.0, |sum, k| 1.0 + sum * x / f64::from(k))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::{exp, ln, log2};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_the_standard_library(x in 1e-300f64..1e300) {
            let (ours, theirs) = (ln(x), x.ln());
            prop_assert!((ours - theirs).abs() <= 4.0 * f64::EPSILON * theirs.abs().max(1.0), "{ours} {theirs}");
        }

        #[test]
        fn stays_exact_near_one(x in 0.9f64..1.1) {
            prop_assert!((ln(x) - x.ln()).abs() <= 2.0 * f64::EPSILON * x.ln().abs());
        }
    }

    #[test]
    fn powers_of_e() {
        for x in [0.0f64, 1e-9, 0.1 / 256.0, 0.5, 1.0] {
            assert!((exp(x) - x.exp()).abs() <= 4.0 * f64::EPSILON * x.exp());
        }
    }

    #[test]
    fn powers_of_two() {
        assert_eq!(log2(1.0), 0.0);
        assert_eq!(log2(256.0), 8.0);
        assert_eq!(log2(0.5), -1.0);
    }
}
