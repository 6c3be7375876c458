//! The rows of many blocks of one device, joined; and the part of an envelope in which a block's rows stand.

use super::cursor::{Cursor, put_signed, put_varint};
use crate::{MAX_ROWS, NoData, Quality};
use alloc::vec::Vec;

/// What the values of a column are. All of a stream's blocks agree in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Mantissas of this decimal exponent.
    Int(i8),
    /// The bits of single-precision floats.
    F32,
    /// The bits of double-precision floats.
    F64,
}

/// One channel over all rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Column {
    /// Qualities of all rows; neighbours differ.
    pub(super) runs: Vec<(u32, Quality)>,
    /// `None`: no value yet.
    pub(super) form: Option<Form>,
    /// Mantissas, or the floats' bits, of the good rows.
    pub(super) values: Vec<i64>,
    /// Scores of all rows as in [`crate::Column`], 0 where nothing was scored.
    pub(super) scores: Vec<u32>,
}

/// Rows of one device.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Rows {
    pub(super) times: Vec<i64>,
    pub(super) columns: Vec<Column>,
}

impl Column {
    /// More rows of one quality.
    pub(super) fn push_run(&mut self, rows: u32, quality: Quality) {
        match self.runs.last_mut() {
            Some((before, same)) if *same == quality => *before += rows,
            _ => self.runs.push((rows, quality)),
        }
    }
}

impl Rows {
    pub(super) fn new(width: usize) -> Self {
        Self { times: Vec::new(), columns: alloc::vec![Column::default(); width] }
    }

    /// Whether the rows of `other` can follow: no column changes its form.
    pub(super) fn takes(&self, other: &Rows) -> bool {
        let fits = |(ours, theirs): (&Column, &Column)| {
            ours.form.is_none() || theirs.form.is_none() || ours.form == theirs.form
        };
        self.columns.iter().zip(&other.columns).all(fits)
    }

    pub(super) fn append(&mut self, other: &Rows) {
        self.times.extend_from_slice(&other.times);
        for (ours, theirs) in self.columns.iter_mut().zip(&other.columns) {
            for &(rows, quality) in &theirs.runs {
                ours.push_run(rows, quality);
            }
            ours.form = ours.form.or(theirs.form);
            ours.values.extend_from_slice(&theirs.values);
            ours.scores.extend_from_slice(&theirs.scores);
        }
    }

    /// Takes a block's rows in the place of these: what follows its channels in the envelope. Gives whether its clock was
    /// set, or `None` for anything that [`write`] would not write again, bit for bit.
    pub(super) fn parse(&mut self, bytes: &[u8]) -> Option<bool> {
        let mut cursor = Cursor::new(bytes);
        let synced = match cursor.byte()? {
            0 => false,
            1 => true,
            _ => return None,
        };
        self.parse_times(&mut cursor)?;
        if cursor.len()? != self.columns.len() {
            return None;
        }
        let rows = self.times.len();
        for column in &mut self.columns {
            let good = column.parse_runs(&mut cursor, rows)?;
            column.parse_values(&mut cursor, good)?;
            column.parse_scores(&mut cursor, rows)?;
        }
        cursor.rest().is_empty().then_some(synced)
    }

    fn parse_times(&mut self, cursor: &mut Cursor<'_>) -> Option<()> {
        self.times.clear();
        let (mut time, mut distance) = (cursor.signed()?, 0i64);
        self.times.push(time);
        let steps = cursor.len().filter(|steps| *steps < MAX_ROWS)?;
        for _ in 0..steps {
            distance = distance.wrapping_add(cursor.signed()?);
            time = time.wrapping_add(distance);
            self.times.push(time);
        }
        Some(())
    }
}

impl Column {
    /// Gives the number of good rows.
    fn parse_runs(&mut self, cursor: &mut Cursor<'_>, rows: usize) -> Option<usize> {
        self.runs.clear();
        let (mut covered, mut good) = (0, 0);
        for _ in 0..cursor.len()? {
            let run = cursor.varint().filter(|run| (1..=rows as u64).contains(run))? as usize;
            let quality = parse_quality(cursor)?;
            if self.runs.last().is_some_and(|(_, before)| *before == quality) {
                return None;
            }
            self.runs.push((run as u32, quality));
            covered += run;
            good += if quality == Quality::Good { run } else { 0 };
        }
        (covered == rows).then_some(good)
    }

    fn parse_values(&mut self, cursor: &mut Cursor<'_>, good: usize) -> Option<()> {
        self.values.clear();
        let form = match cursor.byte()? {
            0 => Form::Int(cursor.byte()? as i8),
            1 => Form::F32,
            2 => Form::F64,
            _ => return None,
        };
        // A column without a value stands as an empty one of doubles; that is how a block begins.
        let empty_as_begun = good > 0 || form == Form::F64;
        if cursor.len()? != good || !empty_as_begun {
            return None;
        }
        self.form = (good > 0).then_some(form);
        let mut mantissa = 0i64;
        for _ in 0..good {
            self.values.push(match form {
                Form::Int(_) => {
                    mantissa = mantissa.wrapping_add(cursor.signed()?);
                    mantissa
                }
                Form::F32 => i64::from(u32::from_le_bytes(cursor.array()?)),
                Form::F64 => i64::from_le_bytes(cursor.array()?),
            });
        }
        Some(())
    }

    fn parse_scores(&mut self, cursor: &mut Cursor<'_>, rows: usize) -> Option<()> {
        self.scores.clear();
        let len = cursor.len()?;
        let mut all = 0;
        for _ in 0..len {
            let score = u32::try_from(cursor.varint()?).ok()?;
            all |= score;
            self.scores.push(score);
        }
        self.scores.resize(rows, 0);
        // Either nothing was scored and nothing stands there, or a score for every row.
        ((len == 0) == (all == 0) && (len == 0 || len == rows)).then_some(())
    }
}

/// Writes joined rows again as they stood in their blocks.
#[derive(Debug)]
pub(super) struct Cutter<'a> {
    rows: &'a Rows,
    at: usize,
    places: Vec<Place>,
}

/// Where in a column the next block begins.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    run: usize,
    /// Rows of that run that are used up.
    used: u32,
    value: usize,
}

impl<'a> Cutter<'a> {
    pub(super) fn new(rows: &'a Rows) -> Self {
        Self { rows, at: 0, places: alloc::vec![Place::default(); rows.columns.len()] }
    }

    /// The next block's rows, as [`Rows::parse`] takes them. There must be as many left, and at least one.
    pub(super) fn write(&mut self, rows: usize, synced: bool, into: &mut Vec<u8>) {
        let span = self.at..self.at + rows;
        into.push(u8::from(synced));
        let times = &self.rows.times[span.clone()];
        put_signed(into, times[0]);
        put_varint(into, rows as u64 - 1);
        let (mut time, mut distance) = (times[0], 0i64);
        for &next in &times[1..] {
            let step = next.wrapping_sub(time);
            put_signed(into, step.wrapping_sub(distance));
            (time, distance) = (next, step);
        }
        put_varint(into, self.rows.columns.len() as u64);
        for (column, place) in self.rows.columns.iter().zip(&mut self.places) {
            let good = column.write_runs(place, rows as u32, into);
            let values = &column.values[place.value..place.value + good];
            place.value += good;
            column.write_values(values, into);
            let scores = &column.scores[span.clone()];
            let scored = scores.iter().any(|score| *score > 0);
            put_varint(into, if scored { scores.len() as u64 } else { 0 });
            if scored {
                scores.iter().for_each(|score| put_varint(into, u64::from(*score)));
            }
        }
        self.at += rows;
    }
}

impl Column {
    /// Gives the number of good rows.
    fn write_runs(&self, place: &mut Place, rows: u32, into: &mut Vec<u8>) -> usize {
        // Their number stands before them, so they are walked through twice.
        let (mut left, mut good, mut runs) = (rows, 0, 0u64);
        let mut ahead = *place;
        while left > 0 {
            left -= ahead.step(&self.runs, left).0;
            runs += 1;
        }
        put_varint(into, runs);
        let mut left = rows;
        while left > 0 {
            let (taken, quality) = place.step(&self.runs, left);
            put_varint(into, u64::from(taken));
            put_quality(into, quality);
            good += if quality == Quality::Good { taken as usize } else { 0 };
            left -= taken;
        }
        good
    }

    fn write_values(&self, values: &[i64], into: &mut Vec<u8>) {
        // As above: what has no value stands as an empty column of doubles.
        let form = self.form.filter(|_| !values.is_empty()).unwrap_or(Form::F64);
        match form {
            Form::Int(exponent) => into.extend_from_slice(&[0, exponent as u8]),
            Form::F32 => into.push(1),
            Form::F64 => into.push(2),
        }
        put_varint(into, values.len() as u64);
        let mut before = 0i64;
        for &value in values {
            match form {
                Form::Int(_) => put_signed(into, value.wrapping_sub(before)),
                Form::F32 => into.extend_from_slice(&(value as u32).to_le_bytes()),
                Form::F64 => into.extend_from_slice(&value.to_le_bytes()),
            }
            before = value;
        }
    }
}

impl Place {
    /// The next rows of one quality, at most `most`.
    fn step(&mut self, runs: &[(u32, Quality)], most: u32) -> (u32, Quality) {
        let (rows, quality) = runs[self.run];
        let taken = (rows - self.used).min(most);
        self.used += taken;
        if self.used == rows {
            (self.run, self.used) = (self.run + 1, 0);
        }
        (taken, quality)
    }
}

fn parse_quality(cursor: &mut Cursor<'_>) -> Option<Quality> {
    match cursor.byte()? {
        0 => Some(Quality::Good),
        1 => {
            let reason = cursor.byte()?;
            let code = if reason == EXCEPTION { cursor.byte()? } else { 0 };
            Some(Quality::NoData(reason_of(reason, code)?))
        }
        _ => None,
    }
}

fn put_quality(into: &mut Vec<u8>, quality: Quality) {
    match quality {
        Quality::Good => into.push(0),
        Quality::NoData(reason) => {
            let (number, code) = number_of(reason);
            into.extend_from_slice(&[1, number]);
            into.extend(code);
        }
    }
}

/// Number of the reason that has a code with it.
pub(super) const EXCEPTION: u8 = 1;

/// A reason's number on the wire, and its code where it has one.
pub(super) fn number_of(reason: NoData) -> (u8, Option<u8>) {
    match reason {
        NoData::Timeout => (0, None),
        NoData::Exception(code) => (EXCEPTION, Some(code)),
        NoData::Checksum => (2, None),
        NoData::OutOfRange => (3, None),
        NoData::Sentinel => (4, None),
        NoData::Disconnected => (5, None),
        NoData::NotANumber => (6, None),
        NoData::Protocol => (7, None),
        NoData::Skipped => (8, None),
        NoData::NotDue => (9, None),
        NoData::Empty => (10, None),
        NoData::Invalid => (11, None),
        NoData::BrokenWire => (12, None),
    }
}

/// The reason of this number; `None` where there is none, as yet.
pub(super) fn reason_of(number: u8, code: u8) -> Option<NoData> {
    Some(match number {
        0 => NoData::Timeout,
        EXCEPTION => NoData::Exception(code),
        2 => NoData::Checksum,
        3 => NoData::OutOfRange,
        4 => NoData::Sentinel,
        5 => NoData::Disconnected,
        6 => NoData::NotANumber,
        7 => NoData::Protocol,
        8 => NoData::Skipped,
        9 => NoData::NotDue,
        10 => NoData::Empty,
        11 => NoData::Invalid,
        12 => NoData::BrokenWire,
        _ => return None,
    })
}
