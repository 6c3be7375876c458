//! One device's readings of one hour, from blocks to sorted readings.

use super::hour_of_row;
use crate::place::two_decimals;
use std::collections::{BTreeMap, BTreeSet};
use windward_protocol::{Block, Channel, DecodeError, Envelope, Epoch, NoData, Quantity, Record, Seq, batch};

/// A reading as it is archived.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading<'a> {
    /// When it was read, ms.
    pub time_ms: i64,
    /// Where the device stands.
    pub location: &'a str,
    /// Channel.
    pub channel: &'a str,
    /// What the channel measures.
    pub quantity: &'a str,
    /// Unit.
    pub unit: &'a str,
    /// The value.
    pub value: Option<f64>,
    /// Why there is none.
    pub no_data: Option<&'a str>,
    /// The forest's score, AWS scale.
    pub score: Option<f64>,
    /// Whether the agent's clock was set.
    pub synced: bool,
    /// Spool of the block that it came in.
    pub epoch: &'a str,
    /// Sequence of that block.
    pub seq: Seq,
}

/// What the blocks of a device hold of one hour: some 32 bytes a reading.
#[derive(Clone, Debug, Default)]
pub struct DeviceHour {
    channels: BTreeMap<Channel, Vec<Sample>>,
    blocks: Vec<Source>,
    /// A block may be stored twice under one name.
    seen: BTreeSet<(Epoch, Seq)>,
    reasons: BTreeMap<NoData, String>,
    quantities: BTreeMap<Quantity, String>,
    unreadable: u64,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    time_ms: i64,
    reading: Result<f64, NoData>,
    /// Not a number where nothing was scored.
    score: f32,
    /// Place in `blocks`.
    block: u32,
}

#[derive(Clone, Debug)]
struct Source {
    location: String,
    synced: bool,
    epoch: String,
    seq: Seq,
}

/// The envelopes of a stored row of readings; what is behind bytes that are no envelopes is lost with them.
pub fn envelopes(row: &[u8]) -> Vec<Result<Envelope, DecodeError>> {
    let split = batch::split(row);
    let decoded = split.envelopes.iter().map(|bytes| Envelope::decode(bytes));
    decoded.chain(split.broken.map(Err)).collect()
}

/// The name of a quantity as the API gives it.
fn name_of(quantity: Quantity) -> String {
    serde_json::to_value(quantity).ok().and_then(|name| Some(name.as_str()?.to_string())).unwrap_or_default()
}

impl DeviceHour {
    /// Adds what a stored row holds of the hour that begins at `hour_ms`, as far as `keep` wants a time. Bytes that
    /// cannot be read cost their own rows.
    pub fn add(&mut self, row: &[u8], hour_ms: i64, keep: impl Fn(i64) -> bool) {
        let mut blocks = Vec::new();
        for envelope in envelopes(row) {
            match envelope {
                Ok(Envelope { epoch, seq, record: Record::Block(block), .. }) => blocks.push((epoch, seq, block)),
                Ok(_) | Err(_) => self.unreadable += 1,
            }
        }
        // As the row has it, for its hours were touched by that.
        let first_ms = blocks.iter().map(|(_, _, block)| block.first_ms).min().unwrap_or(0);
        for (epoch, seq, block) in blocks {
            if self.seen.insert((epoch, seq)) {
                self.add_block(epoch, seq, &block, |time_ms| {
                    hour_of_row(first_ms, time_ms) == hour_ms && keep(time_ms)
                });
            }
        }
    }

    fn add_block(&mut self, epoch: Epoch, seq: Seq, block: &Block, keep: impl Fn(i64) -> bool) {
        let source =
            Source { location: block.location.clone(), synced: block.synced, epoch: format!("{epoch:016x}"), seq };
        let place = self.blocks.len() as u32;
        self.blocks.push(source);
        let mut columns: Vec<Vec<Sample>> = vec![Vec::new(); block.channels.len()];
        for row in block.rows().into_iter().filter(|row| keep(row.time_ms)) {
            for (index, samples) in columns.iter_mut().enumerate() {
                // Nothing was to be read at this time, so there is nothing to say of it.
                if row.readings[index] == Err(NoData::NotDue) {
                    continue;
                }
                let value = |value: windward_protocol::Value| {
                    Some(value.as_f64()).filter(|value| value.is_finite()).ok_or(NoData::NotANumber)
                };
                let reading = row.readings[index].and_then(value);
                let score = row.scores[index].unwrap_or(f32::NAN);
                samples.push(Sample { time_ms: row.time_ms, reading, score, block: place });
            }
        }
        for (channel, samples) in block.channels.iter().zip(columns) {
            if !samples.is_empty() {
                self.channels.entry(channel.clone()).or_default().extend(samples);
            }
        }
    }

    /// Rows of the store that could not be read.
    pub fn unreadable(&self) -> u64 {
        self.unreadable
    }

    /// The readings by channel and time.
    pub fn readings(&mut self) -> impl Iterator<Item = Reading<'_>> {
        for (channel, samples) in &mut self.channels {
            self.quantities.entry(channel.quantity).or_insert_with(|| name_of(channel.quantity));
            samples.sort_by_key(|sample| sample.time_ms);
            for reason in samples.iter().filter_map(|sample| sample.reading.err()) {
                self.reasons.entry(reason).or_insert_with(|| reason.to_string());
            }
        }
        let (blocks, reasons, quantities) = (&self.blocks, &self.reasons, &self.quantities);
        self.channels.iter().flat_map(move |(channel, samples)| {
            let quantity = &quantities[&channel.quantity];
            samples.iter().map(move |sample| {
                let source = &blocks[sample.block as usize];
                Reading {
                    time_ms: sample.time_ms,
                    location: &source.location,
                    channel: &channel.name,
                    quantity,
                    unit: &channel.unit,
                    value: sample.reading.ok(),
                    no_data: sample.reading.err().map(|reason| reasons[&reason].as_str()),
                    score: Some(sample.score).filter(|score| !score.is_nan()).map(two_decimals),
                    synced: source.synced,
                    epoch: &source.epoch,
                    seq: source.seq,
                }
            })
        })
    }
}
