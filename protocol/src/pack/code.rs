//! Joined rows to bits and back: times, then column by column qualities, values and scores.
//!
//! Each is a series of integers. Times are differences of differences; values are differences, floats among them as
//! the decimals they were made of, or else as their bits in the order of their size; scores are differences of
//! hundredths, or the scores of the column before, for a device's channels are mostly judged as one.

use super::bits::{BadBits, BitReader, BitWriter, Rice, bit_len};
use super::float;
use super::rows::{Column, EXCEPTION, Form, Rows, number_of, reason_of};
use crate::Quality;
use alloc::vec::Vec;

/// Values and scores of one batch, each a column of each row; more are not packed.
pub(super) const MAX_CELLS: usize = 2 * crate::batch::MAX_BATCH;

/// About the size of what stands once: `k` of a gamma code. Milliseconds since 1970, zigzag; values as numbers, as the
/// bits of singles, and of doubles.
const FIRST_TIME: u32 = 41;
const FIRST_DISTANCE: u32 = 10;
const FIRST_VALUES: [u32; 3] = [10, 31, 62];
const FIRST_SCORE: u32 = 7;

/// About how great the differences of values are. As above: of numbers, of the bits of singles, and of doubles.
const DIFFERENCES: [u64; 3] = [64, 1 << 20, 1 << 48];

/// How a column's scores stand.
const UNSCORED: u64 = 0;
const AS_BEFORE: u64 = 1;
const WHERE_GOOD: u64 = 2;
const EVERYWHERE: u64 = 3;

/// What one column teaches about the next.
#[derive(Debug)]
struct Learned {
    form: Option<Form>,
    /// `k` for the first value, of each kind of number.
    first: [u32; 3],
    values: [Rice; 3],
    scores: Rice,
    good_runs: Rice,
    bad_runs: Rice,
    /// The last score seen in each row, of any column so far.
    row_scores: Vec<u32>,
}

impl Learned {
    fn new(rows: usize) -> Self {
        Self {
            form: None,
            first: FIRST_VALUES,
            values: DIFFERENCES.map(Rice::new),
            scores: Rice::new(16),
            good_runs: Rice::new(16),
            bad_runs: Rice::new(4),
            row_scores: alloc::vec![0; rows],
        }
    }

    fn note_scores(&mut self, scores: &[u32]) {
        for (row, score) in self.row_scores.iter_mut().zip(scores) {
            if *score > 0 {
                *row = *score;
            }
        }
    }
}

pub(super) fn write(rows: &Rows, bits: &mut BitWriter) {
    write_times(&rows.times, bits);
    let mut learned = Learned::new(rows.times.len());
    let mut before: Option<&Column> = None;
    for column in &rows.columns {
        write_runs(column, before, &mut learned, bits);
        write_values(column, &mut learned, bits);
        write_scores(column, &mut learned, bits);
        before = Some(column);
    }
}

/// Reads what [`write`] wrote; at least one row, and not more cells than [`MAX_CELLS`].
pub(super) fn read(width: usize, rows: usize, bits: &mut BitReader<'_>) -> Result<Rows, BadBits> {
    let times = read_times(rows, bits)?;
    let mut learned = Learned::new(rows);
    let mut columns: Vec<Column> = Vec::with_capacity(width);
    for _ in 0..width {
        let mut column = Column::default();
        read_runs(&mut column, columns.last(), rows, &mut learned, bits)?;
        read_values(&mut column, &mut learned, bits)?;
        read_scores(&mut column, rows, &mut learned, bits)?;
        columns.push(column);
    }
    Ok(Rows { times, columns })
}

fn write_times(times: &[i64], bits: &mut BitWriter) {
    bits.signed(times[0], FIRST_TIME);
    let (mut rice, mut before, mut distance) = (Rice::new(1), times[0], None::<i64>);
    for &time in &times[1..] {
        let step = time.wrapping_sub(before);
        match distance {
            None => bits.signed(step, FIRST_DISTANCE),
            Some(distance) => rice.write_signed(bits, step.wrapping_sub(distance)),
        }
        (before, distance) = (time, Some(step));
    }
}

fn read_times(rows: usize, bits: &mut BitReader<'_>) -> Result<Vec<i64>, BadBits> {
    let mut time = bits.signed(FIRST_TIME)?;
    let mut times = alloc::vec![time];
    let (mut rice, mut distance) = (Rice::new(1), None::<i64>);
    while times.len() < rows {
        let step = match distance {
            None => bits.signed(FIRST_DISTANCE)?,
            Some(distance) => distance.wrapping_add(rice.read_signed(bits)?),
        };
        time = time.wrapping_add(step);
        distance = Some(step);
        times.push(time);
    }
    Ok(times)
}

/// One bit: all good. Else one bit: as in the column before. Else run by run; mostly two qualities take turns.
fn write_runs(column: &Column, before: Option<&Column>, learned: &mut Learned, bits: &mut BitWriter) {
    let all_good = matches!(column.runs[..], [(_, Quality::Good)]);
    bits.flag(!all_good);
    if all_good {
        return;
    }
    let as_before = before.is_some_and(|before| before.runs == column.runs);
    bits.flag(as_before);
    if as_before {
        return;
    }
    let (mut last, mut last_but_one) = (None, Some(Quality::Good));
    for &(rows, quality) in &column.runs {
        let in_turn = last_but_one == Some(quality);
        bits.flag(in_turn);
        if !in_turn {
            write_quality(quality, bits);
        }
        let rice = if quality == Quality::Good { &mut learned.good_runs } else { &mut learned.bad_runs };
        rice.write(bits, u64::from(rows) - 1);
        (last_but_one, last) = (last, Some(quality));
    }
}

fn read_runs(
    column: &mut Column,
    before: Option<&Column>,
    rows: usize,
    learned: &mut Learned,
    bits: &mut BitReader<'_>,
) -> Result<(), BadBits> {
    if !bits.flag()? {
        column.runs.push((rows as u32, Quality::Good));
        return Ok(());
    }
    if bits.flag()? {
        column.runs = before.ok_or(BadBits)?.runs.clone();
        return Ok(());
    }
    let (mut last, mut last_but_one) = (None, Some(Quality::Good));
    let mut left = rows as u64;
    while left > 0 {
        let quality = if bits.flag()? { last_but_one.ok_or(BadBits)? } else { read_quality(bits)? };
        let rice = if quality == Quality::Good { &mut learned.good_runs } else { &mut learned.bad_runs };
        let more = rice.read(bits)?;
        if more >= left || last == Some(quality) {
            return Err(BadBits);
        }
        column.runs.push((more as u32 + 1, quality));
        left -= more + 1;
        (last_but_one, last) = (last, Some(quality));
    }
    Ok(())
}

/// Four bits: 0 good, else the reason and 1; an exception has its code with it.
fn write_quality(quality: Quality, bits: &mut BitWriter) {
    let Quality::NoData(reason) = quality else { return bits.bits(0, 4) };
    let (number, code) = number_of(reason);
    bits.bits(u64::from(number) + 1, 4);
    if let Some(code) = code {
        bits.bits(u64::from(code), 8);
    }
}

fn read_quality(bits: &mut BitReader<'_>) -> Result<Quality, BadBits> {
    let Some(number) = (bits.bits(4)? as u8).checked_sub(1) else { return Ok(Quality::Good) };
    let code = if number == EXCEPTION { bits.bits(8)? as u8 } else { 0 };
    reason_of(number, code).map(Quality::NoData).ok_or(BadBits)
}

/// Nothing where there is no value. Else the form, the first value and differences.
fn write_values(column: &Column, learned: &mut Learned, bits: &mut BitWriter) {
    let Some(form) = column.form else { return };
    let same = learned.form == Some(form);
    bits.flag(same);
    if !same {
        write_form(form, bits);
    }
    let decimals = float::decimals(form, &column.values);
    if !matches!(form, Form::Int(_)) {
        // Fifteen: not decimals.
        bits.bits(u64::from(decimals.unwrap_or(float::NOT_DECIMAL)), 4);
    }
    learned.form = Some(form);
    let kind = kind_of(form, decimals);
    let mut rice = learned.values[kind].guess();
    let mut before = None::<i64>;
    for &value in &column.values {
        let number = float::to_number(form, decimals, value);
        match before {
            None => {
                bits.signed(number, learned.first[kind]);
                learned.first[kind] = magnitude(number);
            }
            Some(before) => rice.write_signed(bits, number.wrapping_sub(before)),
        }
        before = Some(number);
    }
    learned.values[kind] = rice;
}

fn read_values(column: &mut Column, learned: &mut Learned, bits: &mut BitReader<'_>) -> Result<(), BadBits> {
    let good: u64 = column.runs.iter().filter(|(_, of)| *of == Quality::Good).map(|(rows, _)| u64::from(*rows)).sum();
    if good == 0 {
        return Ok(());
    }
    let form = match bits.flag()? {
        true => learned.form.ok_or(BadBits)?,
        false => read_form(bits)?,
    };
    let decimals = match form {
        Form::Int(_) => None,
        _ => Some(bits.bits(4)? as u8).filter(|decimals| *decimals != float::NOT_DECIMAL),
    };
    (column.form, learned.form) = (Some(form), Some(form));
    let kind = kind_of(form, decimals);
    let mut rice = learned.values[kind].guess();
    let mut number = bits.signed(learned.first[kind])?;
    learned.first[kind] = magnitude(number);
    for left in (0..good).rev() {
        column.values.push(float::from_number(form, decimals, number));
        if left > 0 {
            number = number.wrapping_add(rice.read_signed(bits)?);
        }
    }
    learned.values[kind] = rice;
    Ok(())
}

/// Numbers as they were read, decimals among them; or the bits of floats that are none, of either width.
fn kind_of(form: Form, decimals: Option<u8>) -> usize {
    match (form, decimals) {
        (Form::F32, None) => 1,
        (Form::F64, None) => 2,
        _ => 0,
    }
}

/// `k` for a first value where this was the one of the column before.
fn magnitude(number: i64) -> u32 {
    bit_len(number.unsigned_abs()).min(63)
}

fn write_form(form: Form, bits: &mut BitWriter) {
    match form {
        Form::Int(exponent) => {
            bits.bits(0, 2);
            bits.bits(u64::from(exponent as u8), 8);
        }
        Form::F32 => bits.bits(1, 2),
        Form::F64 => bits.bits(2, 2),
    }
}

fn read_form(bits: &mut BitReader<'_>) -> Result<Form, BadBits> {
    Ok(match bits.bits(2)? {
        0 => Form::Int(bits.bits(8)? as u8 as i8),
        1 => Form::F32,
        2 => Form::F64,
        _ => return Err(BadBits),
    })
}

fn write_scores(column: &Column, learned: &mut Learned, bits: &mut BitWriter) {
    let scores = &column.scores;
    let mode = if scores.iter().all(|score| *score == 0) {
        UNSCORED
    } else if good_rows(column).zip(scores).all(|(good, score)| good || *score == 0) {
        let mut rows = good_rows(column).zip(scores).zip(&learned.row_scores);
        if rows.all(|((good, score), row)| !good || score == row) { AS_BEFORE } else { WHERE_GOOD }
    } else {
        EVERYWHERE
    };
    bits.bits(mode, 2);
    if mode < WHERE_GOOD {
        return;
    }
    let mut rice = learned.scores.guess();
    let mut before = None::<u32>;
    for (good, &score) in good_rows(column).zip(scores) {
        if !good && mode == WHERE_GOOD {
            continue;
        }
        match before {
            None => bits.gamma(u64::from(score), FIRST_SCORE),
            Some(before) => rice.write_signed(bits, i64::from(score) - i64::from(before)),
        }
        before = Some(score);
    }
    learned.scores = rice;
    learned.note_scores(scores);
}

fn read_scores(
    column: &mut Column,
    rows: usize,
    learned: &mut Learned,
    bits: &mut BitReader<'_>,
) -> Result<(), BadBits> {
    let mode = bits.bits(2)?;
    let mut scores = Vec::with_capacity(rows);
    let mut rice = learned.scores.guess();
    let mut before = None::<u32>;
    for (row, good) in good_rows(column).enumerate() {
        if mode == UNSCORED || (!good && mode != EVERYWHERE) {
            scores.push(0);
            continue;
        }
        if mode == AS_BEFORE {
            scores.push(learned.row_scores[row]);
            continue;
        }
        let score = match before {
            None => bits.gamma(FIRST_SCORE)?,
            Some(before) => (i64::from(before).wrapping_add(rice.read_signed(bits)?)) as u64,
        };
        let score = u32::try_from(score).map_err(|_| BadBits)?;
        scores.push(score);
        before = Some(score);
    }
    if mode >= WHERE_GOOD {
        learned.scores = rice;
        learned.note_scores(&scores);
    }
    column.scores = scores;
    Ok(())
}

fn good_rows(column: &Column) -> impl Iterator<Item = bool> {
    column.runs.iter().flat_map(|&(rows, quality)| core::iter::repeat_n(quality == Quality::Good, rows as usize))
}
