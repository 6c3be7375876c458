//! Registers that nobody has described: which of them look like a measurement, and in which type and order.
//!
//! A float shows itself: read in a wrong order, its exponent is absurd or leaps. An integer shows less; what it is worth
//! can only be guessed from its size. Every judgement is a score from 0 to 1 that only serves to compare.

use crate::config::{Function, Kind, Order, Register, Scale, Scaling};
use crate::watch::modbus::decode;

/// Floats that a measurement may have, apart from zero.
const SANE: std::ops::Range<f64> = 1e-3..1e5;
/// A measurement whose steps are as large as this part of it, at 300 ms between samples, is rather a wrong reading.
const ROUGHEST: f64 = 0.5;
/// Candidates whose score is nearer than this are each other's rivals.
const CLOSE: f64 = 0.1;
/// Counts by which a 32-bit integer grows between samples are fewer than this.
const LARGEST_COUNT: f64 = 4_096.0;
const ORDERS: [Order; 4] = [Order::Abcd, Order::Cdab, Order::Badc, Order::Dcba];

/// A value that may stand among the registers.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// Its first register, counted from the first of the samples.
    pub offset: u16,
    /// Type.
    pub kind: Kind,
    /// Order of words and bytes.
    pub order: Order,
    /// What one count may be worth.
    pub scale: f64,
    /// What it moves like.
    pub looks: Looks,
    /// How well it looks, 0 to 1.
    pub score: f64,
    /// Whether it changed while it was watched.
    pub moves: bool,
    /// Least and greatest value seen, scaled.
    pub range: (f64, f64),
    /// Other readings of the same registers that are about as good.
    pub rivals: Vec<(Kind, Order)>,
}

/// What a value moves like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looks {
    /// 0 to 75.
    WindSpeed,
    /// 0 to 360.
    WindDirection,
    /// Any number.
    Number,
}

/// The values that stand in a run of registers, which was read several times, a few hundred ms apart. The best first;
/// no two of them share a register.
pub fn plausible(samples: &[Vec<u16>]) -> Vec<Candidate> {
    let count = samples.iter().map(Vec::len).min().unwrap_or(0);
    let floats = (0..count)
        .flat_map(|offset| ORDERS.into_iter().filter_map(move |order| float(samples, offset, order)))
        .collect();
    let mut all = prefer_one_order(floats);
    all.extend((0..count).filter_map(|offset| short(samples, offset)));
    all.extend((0..count).flat_map(|offset| {
        [Order::Abcd, Order::Cdab].into_iter().filter_map(move |order| long(samples, offset, order))
    }));
    apart(all)
}

/// All floats of a device have one order: that in which most of it makes sense. Only floats that moved in both words
/// have a say; one that borrows a neighbour's word hardly does.
fn prefer_one_order(floats: Vec<(Candidate, Moved)>) -> Vec<Candidate> {
    let worth = |order: Order| {
        let of_order = floats.iter().filter(|(float, moved)| float.order == order && moved.high && moved.low);
        let of_order = of_order.map(|(float, _)| float.clone()).collect();
        apart(of_order).iter().map(|float| float.score).sum::<f64>()
    };
    let worths = ORDERS.map(|order| (order, worth(order)));
    let most = worths.iter().map(|(_, worth)| *worth).fold(0.0, f64::max);
    let preferred = |order: Order| worths.iter().any(|(of, worth)| *of == order && *worth >= most);
    let bonus = |float: Candidate| {
        let score = float.score + if preferred(float.order) { 0.05 } else { 0.0 };
        Candidate { score, ..float }
    };
    floats.into_iter().map(|(float, _)| bonus(float)).collect()
}

/// Which words of a float changed while it was watched: that with the exponent, and the other.
struct Moved {
    high: bool,
    low: bool,
}

/// The best candidates that share no register; what had to give way and was about as good is its rival.
fn apart(mut all: Vec<Candidate>) -> Vec<Candidate> {
    all.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut best: Vec<Candidate> = Vec::new();
    for candidate in all {
        let end = |candidate: &Candidate| candidate.offset + candidate.kind.words();
        let shares = |other: &&mut Candidate| other.offset < end(&candidate) && candidate.offset < end(other);
        match best.iter_mut().find(shares) {
            Some(better)
                if (better.offset, better.kind) == (candidate.offset, candidate.kind)
                    && better.score - candidate.score < CLOSE =>
            {
                better.rivals.push((candidate.kind, candidate.order));
            }
            Some(_) => {}
            None => best.push(candidate),
        }
    }
    best
}

fn float(samples: &[Vec<u16>], offset: usize, order: Order) -> Option<(Candidate, Moved)> {
    let series = series(samples, offset, Kind::F32, order)?;
    let sane = |value: &f64| *value == 0.0 || SANE.contains(&value.abs());
    if !series.iter().all(sane) || series.iter().all(|value| *value == 0.0) {
        return None;
    }
    let rough = rough(&series);
    if rough > ROUGHEST {
        return None;
    }
    let moves = moves(&series);
    let word_moves = |word: usize| samples.iter().any(|sample| sample[offset + word] != samples[0][offset + word]);
    let high = usize::from(matches!(order, Order::Cdab | Order::Dcba));
    let moved = Moved { high: word_moves(high), low: word_moves(1 - high) };
    let score = match &moved {
        _ if !moves => 0.35,
        // Less than a hundredth of the value: a calm day, or another value's word behind a constant.
        Moved { high: false, .. } => 0.6,
        Moved { low, .. } => 0.6 + 0.25 * (1.0 - 2.0 * rough) + if *low { 0.05 } else { 0.0 },
    };
    // Tables of floats mostly begin at an even address, and in the order of the specification.
    let score =
        score + if offset.is_multiple_of(2) { 0.02 } else { 0.0 } + if order == Order::Abcd { 0.01 } else { 0.0 };
    let looks = match bounds(&series) {
        (least, most) if moves && least >= 0.0 && most <= 75.0 => Looks::WindSpeed,
        (least, most) if moves && least >= 0.0 && most <= 360.0 => Looks::WindDirection,
        _ => Looks::Number,
    };
    Some((candidate(offset, Kind::F32, order, (1.0, looks), score, &series), moved))
}

/// One register. Signed where it was below zero by a little.
fn short(samples: &[Vec<u16>], offset: usize) -> Option<Candidate> {
    let signed = series(samples, offset, Kind::I16, Order::Abcd)?;
    let below_zero = signed.iter().any(|value| (-2_000.0..0.0).contains(value));
    let kind = if below_zero && signed.iter().all(|value| value.abs() <= 5_000.0) { Kind::I16 } else { Kind::U16 };
    let series = series(samples, offset, kind, Order::Abcd)?;
    let (least, most) = bounds(&series);
    let rough = rough(&series);
    // Nothing, or what many devices send for "no value".
    if (least, most) == (0.0, 0.0) || (least == most && [32_767.0, 32_768.0, 65_535.0, -1.0].contains(&most)) {
        return None;
    }
    let wraps = most <= 3_600.0 && series.windows(2).any(|pair| (pair[1] - pair[0]).abs() > 1_800.0);
    let scaled = match most {
        _ if kind == Kind::I16 => (0.1, Looks::Number),
        _ if wraps => (0.1, Looks::WindDirection),
        most if most <= 750.0 => (0.1, Looks::WindSpeed),
        most if most <= 3_600.0 => (0.1, Looks::WindDirection),
        most if most <= 7_500.0 => (0.01, Looks::WindSpeed),
        _ => (1.0, Looks::Number),
    };
    let score = match moves(&series) {
        false => 0.15,
        // A counter counts; it measures nothing.
        true if is_counter(&series) => 0.2,
        true if rough > ROUGHEST && !wraps => 0.1,
        true => 0.4 + 0.2 * (1.0 - rough.min(ROUGHEST)),
    };
    let scaled = if moves(&series) { scaled } else { (1.0, Looks::Number) };
    Some(candidate(offset, kind, Order::Abcd, scaled, score, &series))
}

/// Two registers of an unsigned integer; only where it is too large for one.
fn long(samples: &[Vec<u16>], offset: usize, order: Order) -> Option<Candidate> {
    let series = series(samples, offset, Kind::U32, order)?;
    let (least, _) = bounds(&series);
    if least <= f64::from(u16::MAX) || !moves(&series) || rough(&series) > 1e-3 {
        return None;
    }
    // The bits of a float move smoothly too, but not in steps this small.
    let carries = series.windows(2).any(|pair| (pair[0] / 65_536.0).floor() != (pair[1] / 65_536.0).floor())
        && steps(&series) < LARGEST_COUNT;
    let score = if carries { 0.85 } else { 0.3 };
    Some(candidate(offset, Kind::U32, order, (1.0, Looks::Number), score, &series))
}

fn candidate(
    offset: usize,
    kind: Kind,
    order: Order,
    (scale, looks): (f64, Looks),
    score: f64,
    series: &[f64],
) -> Candidate {
    let (least, most) = bounds(series);
    // Three decimals are more than any of it is worth.
    let shown = |value: f64| (value * scale * 1_000.0).round() / 1_000.0;
    let range = (shown(least), shown(most));
    Candidate {
        offset: offset as u16,
        kind,
        order,
        scale,
        looks,
        score,
        moves: moves(series),
        range,
        rivals: Vec::new(),
    }
}

/// The values in all samples; `None` where one is no number or is cut off.
fn series(samples: &[Vec<u16>], offset: usize, kind: Kind, order: Order) -> Option<Vec<f64>> {
    let register = Register {
        function: Function::Input,
        start: 0,
        kind,
        order,
        bits: None,
        exponent: None,
        sentinels: Vec::new(),
        reset_on_read: false,
    };
    let plain = Scaling { scale: Scale::Decimal(0), offset: 0.0, range: None };
    let value = |sample: &Vec<u16>| Some(decode(&register, &plain, sample.get(offset..)?, None).ok()?.as_f64());
    samples.iter().map(value).collect()
}

fn bounds(series: &[f64]) -> (f64, f64) {
    series.iter().fold((f64::MAX, f64::MIN), |(least, most), value| (least.min(*value), most.max(*value)))
}

fn moves(series: &[f64]) -> bool {
    series.windows(2).any(|pair| pair[0] != pair[1])
}

fn is_counter(series: &[f64]) -> bool {
    series.len() > 2 && series[1] > series[0] && series.windows(3).all(|run| run[2] - run[1] == run[1] - run[0])
}

/// The middle step from sample to sample, as a part of the middle value.
fn rough(series: &[f64]) -> f64 {
    let steps = steps(series);
    if steps == 0.0 { 0.0 } else { steps / middle(series.iter().map(|value| value.abs()).collect()).max(1e-3) }
}

/// The middle step from sample to sample.
fn steps(series: &[f64]) -> f64 {
    middle(series.windows(2).map(|pair| (pair[1] - pair[0]).abs()).collect())
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests;
