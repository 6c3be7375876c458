//! One device's readings over a span, as columns.
//!
//! Rows share their times. Register values stay integers and are stored as differences, so a slow signal costs one
//! byte a reading; qualities are run-length coded, so a healthy channel costs two bytes a block. What never changes
//! (device, location, channels) stands first, so that blocks that travel together compress well.

use crate::envelope::MAX_ENVELOPE;
use crate::seal::{DecodeError, OVERHEAD};
use crate::{AgentId, NoData, Reading, Value};
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Most channels of a device.
pub const MAX_CHANNELS: usize = 64;
/// Most rows in a block.
pub const MAX_ROWS: usize = 1024;

/// What a channel measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quantity {
    /// Anything without a name of its own here.
    Other,
    /// Horizontal wind speed.
    WindSpeed,
    /// Direction the wind comes from, degrees from north.
    WindDirection,
    /// Air or component temperature.
    Temperature,
    /// Relative humidity.
    Humidity,
    /// Barometric pressure.
    Pressure,
    /// Active power.
    Power,
    /// Rotor or generator speed.
    RotorSpeed,
    /// Blade pitch angle.
    PitchAngle,
    /// Nacelle yaw angle.
    YawAngle,
    /// Vibration velocity or acceleration.
    Vibration,
    /// Electric voltage.
    Voltage,
    /// Electric current.
    Current,
    /// State of charge of a battery.
    StateOfCharge,
    /// A status word or bit.
    Status,
}

/// A channel: what is measured, under which name, in which unit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Channel {
    /// Name, unique within its device.
    pub name: String,
    /// What it measures.
    pub quantity: Quantity,
    /// Unit, for example `m/s`.
    pub unit: String,
}

/// One moment of one device: a reading and a score for each channel, in the order of the device's channels.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// When it was read.
    pub time_ms: i64,
    /// One reading a channel.
    pub readings: Vec<Reading>,
    /// One score a channel, on the AWS scale; `None` where nothing was scored. Kept to hundredths.
    pub scores: Vec<Option<f32>>,
}

/// Whether a stretch of rows has values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Quality {
    /// Values are there.
    Good,
    /// None are, for this reason.
    NoData(NoData),
}

/// So many rows of one quality.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Number of rows, at least 1.
    pub rows: u16,
    /// Their quality.
    pub quality: Quality,
}

/// The values of a column, one for each row of good quality.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Values {
    /// Integers of one decimal exponent: the first, then differences (wrapping).
    Int {
        /// Decimal exponent of all.
        exponent: i8,
        /// Differences to the value before; the first to 0.
        deltas: Vec<i64>,
    },
    /// Single-precision floats.
    F32(Vec<f32>),
    /// Double-precision floats.
    F64(Vec<f64>),
}

impl Values {
    fn len(&self) -> usize {
        match self {
            Values::Int { deltas, .. } => deltas.len(),
            Values::F32(values) => values.len(),
            Values::F64(values) => values.len(),
        }
    }

    fn iter(&self) -> impl Iterator<Item = Value> {
        let mut sum = 0i64;
        (0..self.len()).map(move |index| match self {
            Values::Int { exponent, deltas } => {
                sum = sum.wrapping_add(deltas[index]);
                Value::Int { mantissa: sum, exponent: *exponent }
            }
            Values::F32(values) => Value::F32(values[index]),
            Values::F64(values) => Value::F64(values[index]),
        })
    }
}

/// One channel's share of a block.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Column {
    /// Qualities of all rows.
    pub quality: Vec<Run>,
    /// Values of the good rows.
    pub values: Values,
    /// Scores of all rows in hundredths plus one, 0 where nothing was scored; empty when nothing was scored at all.
    pub scores: Vec<u32>,
}

impl Column {
    /// Values of the good rows as numbers, in their order.
    pub fn numbers(&self) -> impl Iterator<Item = f64> {
        self.values.iter().map(Value::as_f64)
    }

    /// The greatest score of all rows, on the AWS scale.
    pub fn greatest_score(&self) -> Option<f64> {
        let greatest = self.scores.iter().max()?.checked_sub(1)?;
        Some(f64::from(greatest) / 100.0)
    }
}

/// Readings of one device over a span.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Block {
    /// Device.
    pub device: String,
    /// Where it stands, in the crew's words.
    pub location: String,
    /// Its channels.
    pub channels: Vec<Channel>,
    /// Whether the clock was set while these rows were read.
    pub synced: bool,
    /// Time of the first row.
    pub first_ms: i64,
    /// For each further row: by how much its distance from the row before differs from the distance before (ms).
    pub steps: Vec<i64>,
    /// One column a channel.
    pub columns: Vec<Column>,
}

impl Block {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.steps.len() + 1
    }

    /// Never: a block has at least one row.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Times of the rows.
    pub fn times(&self) -> Vec<i64> {
        let (mut time, mut distance) = (self.first_ms, 0i64);
        let rest = self.steps.iter().map(|step| {
            distance = distance.wrapping_add(*step);
            time = time.wrapping_add(distance);
            time
        });
        core::iter::once(self.first_ms).chain(rest).collect()
    }

    /// The same rows, `by_ms` later; earlier when it is negative. Never longer than [`BlockBuilder`] allows for.
    pub fn shift(&mut self, by_ms: i64) {
        self.first_ms = self.first_ms.wrapping_add(by_ms);
    }

    /// The rows, decoded.
    pub fn rows(&self) -> Vec<Row> {
        let width = self.columns.len();
        let blank = |time_ms| Row { time_ms, readings: Vec::with_capacity(width), scores: Vec::with_capacity(width) };
        let mut rows: Vec<Row> = self.times().into_iter().map(blank).collect();
        for column in &self.columns {
            let mut values = column.values.iter();
            let qualities =
                column.quality.iter().flat_map(|run| core::iter::repeat_n(run.quality, usize::from(run.rows)));
            for (index, (row, quality)) in rows.iter_mut().zip(qualities).enumerate() {
                row.readings.push(match quality {
                    // `check` has made sure that there is a value for every good row.
                    Quality::Good => values.next().ok_or(NoData::Protocol),
                    Quality::NoData(reason) => Err(reason),
                });
                let score = column.scores.get(index).copied().unwrap_or(0);
                row.scores.push(score.checked_sub(1).map(|hundredths| hundredths as f32 / 100.0));
            }
        }
        rows
    }

    /// Whether all parts fit each other; done by [`crate::Envelope::decode`] for everything from outside.
    pub fn check(&self) -> Result<(), DecodeError> {
        let rows = self.len();
        if rows > MAX_ROWS || self.channels.len() > MAX_CHANNELS {
            return Err(DecodeError::Malformed("block with too many rows or channels"));
        }
        if self.columns.len() != self.channels.len() {
            return Err(DecodeError::Malformed("block whose columns are not its channels"));
        }
        for column in &self.columns {
            let covered: usize = column.quality.iter().map(|run| usize::from(run.rows)).sum();
            let good: usize =
                column.quality.iter().filter(|run| run.quality == Quality::Good).map(|run| usize::from(run.rows)).sum();
            if covered != rows || good != column.values.len() {
                return Err(DecodeError::Malformed("column whose qualities do not cover its rows"));
            }
            if !column.scores.is_empty() && column.scores.len() != rows {
                return Err(DecodeError::Malformed("column whose scores do not cover its rows"));
            }
        }
        Ok(())
    }
}

/// The block cannot take this row; close it and open a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// A block that is being filled, row by row.
#[derive(Clone, Debug)]
pub struct BlockBuilder {
    block: Block,
    rows: usize,
    last_ms: i64,
    last_distance: i64,
    /// Last mantissa of each integer column.
    last: Vec<i64>,
    /// Upper bound of the encoded envelope's length, bytes.
    size: usize,
}

impl BlockBuilder {
    /// An empty block for a device. At most [`MAX_CHANNELS`] channels.
    pub fn new(agent: &AgentId, device: &str, location: &str, channels: &[Channel], synced: bool) -> Self {
        assert!(channels.len() <= MAX_CHANNELS, "a device has at most {MAX_CHANNELS} channels");
        // The quantity is one byte.
        let text = |text: &str| varint_len(text.len() as u64) + text.len();
        let names: usize = channels.iter().map(|channel| text(&channel.name) + text(&channel.unit) + 1).sum();
        // Version, checksum, epoch, lane, sequence, record kind, lengths, first time; two bytes a length are enough.
        let fixed = OVERHEAD + agent.as_str().len() + device.len() + location.len() + 64;
        let column = Column { quality: Vec::new(), values: Values::F64(Vec::new()), scores: Vec::new() };
        Self {
            block: Block {
                device: device.into(),
                location: location.into(),
                channels: channels.to_vec(),
                synced,
                first_ms: 0,
                steps: Vec::new(),
                columns: alloc::vec![column; channels.len()],
            },
            rows: 0,
            last_ms: 0,
            last_distance: 0,
            last: alloc::vec![0; channels.len()],
            size: fixed + names + channels.len() * 8,
        }
    }

    /// Rows so far.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether no row has been added.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Adds a row, or refuses it unchanged: when the envelope could exceed [`MAX_ENVELOPE`], when there are
    /// [`MAX_ROWS`], or when a channel's values change their form (integer exponent, float width).
    ///
    /// The row must have one reading and one score for each channel.
    pub fn push(&mut self, row: &Row) -> Result<(), Full> {
        let width = self.block.channels.len();
        assert!(
            row.readings.len() == width && row.scores.len() == width,
            "a row has one reading and one score a channel"
        );
        let cost = self.cost(row)?;
        if self.rows == MAX_ROWS || self.size + cost > MAX_ENVELOPE {
            return Err(Full);
        }
        self.size += cost;
        self.push_time(row.time_ms);
        for index in 0..width {
            self.push_reading(index, row.readings[index], row.scores[index]);
        }
        self.rows += 1;
        Ok(())
    }

    /// The block, or `None` when it is empty.
    pub fn finish(self) -> Option<Block> {
        (self.rows > 0).then_some(self.block)
    }

    /// Greatest number of bytes the row can add.
    fn cost(&self, row: &Row) -> Result<usize, Full> {
        let mut cost = if self.rows == 0 { 0 } else { varint_len(zigzag(self.step(row.time_ms))) };
        for (index, reading) in row.readings.iter().enumerate() {
            let column = &self.block.columns[index];
            // The first value decides the column's form.
            let is_first = column.values.len() == 0;
            cost += match (reading, &column.values) {
                (Err(_), _) => 0,
                (Ok(Value::Int { mantissa, exponent }), values)
                    if is_first || matches!(values, Values::Int { exponent: of, .. } if of == exponent) =>
                {
                    varint_len(zigzag(mantissa.wrapping_sub(self.last[index])))
                }
                (Ok(Value::F32(_)), values) if is_first || matches!(values, Values::F32(_)) => 4,
                (Ok(Value::F64(_)), values) if is_first || matches!(values, Values::F64(_)) => 8,
                (Ok(_), _) => return Err(Full),
            };
            // A run counts up to 1024 rows, and a reason takes three bytes at most.
            cost += if column.quality.last().map(|run| run.quality) == Some(quality(reading)) { 0 } else { 5 };
            cost += match row.scores[index] {
                None if column.scores.is_empty() => 0,
                // The column's scores begin here: zeros for all rows before.
                Some(score) if column.scores.is_empty() => self.rows + varint_len(u64::from(hundredths(Some(score)))),
                score => varint_len(u64::from(hundredths(score))),
            };
        }
        Ok(cost)
    }

    fn push_time(&mut self, time_ms: i64) {
        if self.rows == 0 {
            self.block.first_ms = time_ms;
        } else {
            self.block.steps.push(self.step(time_ms));
            self.last_distance = time_ms.wrapping_sub(self.last_ms);
        }
        self.last_ms = time_ms;
    }

    /// By how much the distance to the row before differs from the one before that.
    fn step(&self, time_ms: i64) -> i64 {
        time_ms.wrapping_sub(self.last_ms).wrapping_sub(self.last_distance)
    }

    fn push_reading(&mut self, index: usize, reading: Reading, score: Option<f32>) {
        let column = &mut self.block.columns[index];
        match column.quality.last_mut() {
            Some(run) if run.quality == quality(&reading) => run.rows += 1,
            _ => column.quality.push(Run { rows: 1, quality: quality(&reading) }),
        }
        if let Ok(value) = reading {
            if column.values.len() == 0 {
                column.values = match value {
                    Value::Int { exponent, .. } => Values::Int { exponent, deltas: Vec::new() },
                    Value::F32(_) => Values::F32(Vec::new()),
                    Value::F64(_) => Values::F64(Vec::new()),
                };
            }
            match (&mut column.values, value) {
                (Values::Int { deltas, .. }, Value::Int { mantissa, .. }) => {
                    deltas.push(mantissa.wrapping_sub(self.last[index]));
                    self.last[index] = mantissa;
                }
                (Values::F32(values), Value::F32(value)) => values.push(value),
                (Values::F64(values), Value::F64(value)) => values.push(value),
                _ => unreachable!("`cost` refuses a value of another form"),
            }
        }
        if score.is_some() && column.scores.is_empty() {
            column.scores.resize(self.rows, 0);
        }
        if score.is_some() || !column.scores.is_empty() {
            column.scores.push(hundredths(score));
        }
    }
}

fn quality(reading: &Reading) -> Quality {
    match reading {
        Ok(_) => Quality::Good,
        Err(reason) => Quality::NoData(*reason),
    }
}

/// A score as the column stores it; negative scores and NaN become 0.00, great ones saturate.
fn hundredths(score: Option<f32>) -> u32 {
    match score {
        None => 0,
        // `as` saturates, and NaN becomes 0.
        Some(score) => ((score * 100.0 + 0.5) as u32).min(1_000_000) + 1,
    }
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}
