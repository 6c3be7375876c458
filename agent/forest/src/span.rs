//! Arithmetic on boxes: a low and a high corner, each as many fours as a point takes; the last is filled up with zeros.
//!
//! Sums run in four lanes, which are added up in an order that does not depend on the machine. A NaN stands for a number
//! that is not to be judged: it is outside of nothing.

use crate::four::Four;

/// Fours that a point of this width takes.
#[inline(always)]
pub(crate) fn fours(width: usize) -> usize {
    width.div_ceil(4)
}

/// The numbers from `at` on, as many as there are.
#[inline(always)]
pub(crate) fn four(of: &[f32], at: usize) -> Four {
    match of[at..].first_chunk() {
        Some(four) => Four::new(four),
        None => Four::new(&core::array::from_fn(|i| of.get(at + i).copied().unwrap_or(0.0))),
    }
}

/// One number of a corner.
#[inline(always)]
pub(crate) fn number(corner: &[Four], at: usize) -> f32 {
    corner[at / 4].numbers()[at % 4]
}

/// How far `point` lies outside the box, summed over the dimensions, 0 only inside and on the edge; and the sum of the
/// box's sides.
#[inline(always)]
pub(crate) fn compare(low: &[Four], high: &[Four], point: &[Four]) -> (f32, f32) {
    let (mut beyond, mut extent) = (Four::zero(), Four::zero());
    for (at, ((&low, &high), &value)) in low.iter().zip(high).zip(point).enumerate() {
        let outside = low.minus(value).greater(value.minus(high)).greater(Four::zero());
        let side = high.minus(low);
        (beyond, extent) = if at == 0 { (outside, side) } else { (beyond.plus(outside), extent.plus(side)) };
    }
    beyond.sums(extent)
}

/// Whether a point of this width lies inside the box and on no face of it.
#[inline(always)]
pub(crate) fn is_within(low: &[Four], high: &[Four], point: &[Four], width: usize) -> bool {
    let mut all = true;
    for (at, ((&low, &high), &value)) in low.iter().zip(high).zip(point).enumerate() {
        let lanes = if width - 4 * at < 4 { (1 << (width - 4 * at)) - 1 } else { 15 };
        all &= value.above(low) & high.above(value) & lanes == lanes;
    }
    all
}

/// How far `value` lies outside of a side.
#[inline(always)]
pub(crate) fn outside(low: f32, high: f32, value: f32) -> f32 {
    let (below, above) = (low - value, value - high);
    let most = if below > above { below } else { above };
    if most > 0.0 { most } else { 0.0 }
}

/// Sets a corner to a point.
#[inline(always)]
pub(crate) fn set(corner: &mut [Four], point: &[f32]) {
    corner.iter_mut().enumerate().for_each(|(at, into)| *into = four(point, 4 * at));
}

/// Widens the box around a point.
#[inline(always)]
pub(crate) fn take_in(low: &mut [Four], high: &mut [Four], point: &[f32]) {
    for (at, (low, high)) in low.iter_mut().zip(high).enumerate() {
        let value = four(point, 4 * at);
        (*low, *high) = (value.lesser(*low), value.greater(*high));
    }
}

/// Whether a box within another one, or around the same points, is smaller.
#[inline(always)]
pub(crate) fn is_smaller(inner: (&[Four], &[Four]), low: &[Four], high: &[Four]) -> bool {
    let lower = inner.0.iter().zip(low).fold(0, |bits, (inner, low)| bits | inner.above(*low));
    inner.1.iter().zip(high).fold(lower, |bits, (inner, high)| bits | high.above(*inner)) != 0
}

/// Widens the box around another.
#[inline(always)]
pub(crate) fn widen(low: &mut [Four], high: &mut [Four], other_low: &[Four], other_high: &[Four]) {
    for (low, other) in low.iter_mut().zip(other_low) {
        *low = other.lesser(*low);
    }
    for (high, other) in high.iter_mut().zip(other_high) {
        *high = other.greater(*high);
    }
}
