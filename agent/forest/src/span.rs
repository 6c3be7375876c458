//! Arithmetic on boxes: a low and a high corner, each as many numbers as a point.
//!
//! Sums run in four lanes, then over the rest, in an order that does not depend on the machine. A NaN stands for a number
//! that is not to be judged: it is outside of nothing.

use crate::four::Four;

/// Sum of the four-wide terms and of those of the rest.
#[inline(always)]
fn sum(width: usize, fours: impl Fn(usize) -> Four, rest: impl Fn(usize) -> f32) -> f32 {
    let (mut total, whole) = (0.0, width & !3);
    if whole > 0 {
        let mut lanes = fours(0);
        for at in (4..whole).step_by(4) {
            lanes = lanes.plus(fours(at));
        }
        total = lanes.sum();
    }
    for at in whole..width {
        total += rest(at);
    }
    total
}

/// The four numbers from `at` on.
#[inline(always)]
fn four(of: &[f32], at: usize) -> Four {
    match of[at..].first_chunk() {
        Some(four) => Four::new(four),
        None => Four::zero(),
    }
}

/// How far `point` lies outside the box, summed over the dimensions; 0 only inside and on the edge.
#[inline(always)]
pub(crate) fn beyond(low: &[f32], high: &[f32], point: &[f32], width: usize) -> f32 {
    let (low, high, point) = (&low[..width], &high[..width], &point[..width]);
    let lanes = |at| {
        let value = four(point, at);
        four(low, at).minus(value).greater(value.minus(four(high, at))).greater(Four::zero())
    };
    sum(width, lanes, |at| outside(low[at], high[at], point[at]))
}

/// How far `value` lies outside of a side.
#[inline(always)]
pub(crate) fn outside(low: f32, high: f32, value: f32) -> f32 {
    let (below, above) = (low - value, value - high);
    let most = if below > above { below } else { above };
    if most > 0.0 { most } else { 0.0 }
}

/// Sum of the box's sides.
#[inline(always)]
pub(crate) fn extent(low: &[f32], high: &[f32], width: usize) -> f32 {
    let (low, high) = (&low[..width], &high[..width]);
    sum(width, |at| four(high, at).minus(four(low, at)), |at| high[at] - low[at])
}

/// Widens the box around another.
#[inline(always)]
pub(crate) fn widen(low: &mut [f32], high: &mut [f32], other_low: &[f32], other_high: &[f32], width: usize) {
    let (low, high) = (&mut low[..width], &mut high[..width]);
    let (other_low, other_high) = (&other_low[..width], &other_high[..width]);
    for at in (0..width & !3).step_by(4) {
        let (lesser, greater) =
            (four(other_low, at).lesser(four(low, at)), four(other_high, at).greater(four(high, at)));
        if let (Some(low), Some(high)) = (low[at..].first_chunk_mut(), high[at..].first_chunk_mut()) {
            lesser.store(low);
            greater.store(high);
        }
    }
    for at in width & !3..width {
        low[at] = if other_low[at] < low[at] { other_low[at] } else { low[at] };
        high[at] = if other_high[at] > high[at] { other_high[at] } else { high[at] };
    }
}
