//! The cut that sets a new point apart.

use crate::four::Four;
use crate::span::{number, outside};

/// A cut that sets a point apart from a node.
pub(super) struct Separation {
    pub(super) dimension: u16,
    pub(super) cut: f32,
    /// Which child the point becomes: 0 on the left, 1 on the right.
    pub(super) side: usize,
}

/// The cut that `draw`, uniform below what is beyond the box, picks among those that set the point apart.
pub(super) fn separate(low: &[Four], high: &[Four], point: &[f32], draw: f64) -> Separation {
    let (mut rest, mut found, mut found_rest) = (draw, 0, draw);
    for (i, &value) in point.iter().enumerate() {
        let length = outside(number(low, i), number(high, i), value);
        // Should rounding leave a rest behind the last, it is the last that the point lies outside of.
        (found, found_rest) = if length > 0.0 { (i, rest) } else { (found, found_rest) };
        if rest < f64::from(length) {
            break;
        }
        rest -= f64::from(length);
    }
    let (low, high, value) = (number(low, found), number(high, found), point[found]);
    // The cut lies from one end up to, but without, the other, whatever was rounded.
    let (from, to, side) = if value < low { (value, low, 0) } else { (high, value, 1) };
    let cut = (f64::from(from) + found_rest) as f32;
    Separation { dimension: found as u16, cut: if cut < to { cut } else { from }, side }
}
