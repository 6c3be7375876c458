//! The packed form of a batch: blocks of one device joined, and what both sides know left out.
//!
//! On disk every envelope speaks for itself; on the wire a minute of them says the same sixty times. Packing takes the
//! blocks of a batch apart, joins those of one device, writes their columns as series of integers (`pack/code.rs`) and
//! names what stays the same, the [`Schema`], by its [`SchemaId`] where the receiver has it. The receiver writes the very
//! envelopes again, bit for bit. What is no block, or could not be written again bit for bit, travels as it is.
//!
//! The checksum at the end is over the checksums of the *expanded* envelopes, each reckoned anew from what was
//! expanded: a wrong schema, or two schemas of one name, cannot pass as data. (Over the sealed envelopes themselves it
//! would be worth nothing: after a text and its own CRC, a CRC is the same whatever the text.)
//!
//! The bytes stand in `WIRE.md`. A batch is at most [`MAX_BATCH`] long, expanded too, so a receiver knows what it may
//! cost before it begins.

mod bits;
mod code;
mod cursor;
mod float;
mod order;
mod rows;
mod schema;

pub use schema::{Schema, SchemaId};

use crate::batch::MAX_BATCH;
use crate::envelope::MAX_ENVELOPE;
use crate::seal::{CHECKSUM, DecodeError, crc};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use bits::{BadBits, BitReader, BitWriter};
use core::borrow::Borrow;
use cursor::{Cursor, put_varint};
use order::{Entry, MAX_COUNT};
use rows::{Cutter, Rows};
use schema::Frame;

/// Most schemas in a packed batch; blocks of further ones travel as they are.
const MAX_SCHEMAS: usize = 256;
/// Most streams in a packed batch.
const MAX_STREAMS: usize = 2 * MAX_SCHEMAS;

/// The blocks of one schema whose columns keep their form, joined.
struct Stream {
    /// Which schema.
    frame: usize,
    rows: Rows,
}

/// A batch on its way into the packed form.
#[derive(Default)]
struct Packer {
    frames: Vec<Frame>,
    streams: Vec<Stream>,
    entries: Vec<Entry>,
    verbatim: Vec<u8>,
    /// Checksums of the envelopes.
    sums: Vec<u8>,
    /// Room for one block of each schema.
    scratch: Vec<Rows>,
}

/// What is packed, without the codec's byte, and the schemas it names or carries. `None`: nothing in it can be packed.
pub(crate) fn pack<'a>(
    envelopes: impl Iterator<Item = &'a [u8]>,
    known: &BTreeSet<SchemaId>,
) -> Option<(Vec<u8>, Vec<SchemaId>)> {
    let mut packer = Packer::default();
    for envelope in envelopes {
        packer.push(envelope);
    }
    packer.finish(known)
}

impl Packer {
    fn push(&mut self, envelope: &[u8]) {
        let body = unsealed(envelope);
        let sum = crc(body).to_le_bytes();
        self.sums.extend_from_slice(&sum);
        let sealed = envelope[body.len()..] == sum;
        let entry = if sealed { self.block(envelope, body) } else { None };
        self.entries.push(entry.unwrap_or_else(|| {
            put_item(&mut self.verbatim, envelope);
            Entry::Verbatim
        }));
    }

    fn block(&mut self, envelope: &[u8], body: &[u8]) -> Option<Entry> {
        let opened = self.frames.iter().enumerate().find_map(|(index, frame)| Some((index, frame.open(body)?)));
        let (index, (seq, rest)) = match opened {
            Some(opened) => opened,
            None if self.frames.len() == MAX_SCHEMAS => return None,
            None => {
                let frame = Frame::of(envelope)?;
                let opened = frame.open(body)?;
                self.scratch.push(Rows::new(frame.width));
                self.frames.push(frame);
                (self.frames.len() - 1, opened)
            }
        };
        let block = &mut self.scratch[index];
        let synced = block.parse(rest)?;
        let rows = block.times.len();
        let taken = self.streams.iter().position(|stream| stream.frame == index && stream.rows.takes(block));
        let stream = match taken {
            Some(stream) => stream,
            None if self.streams.len() == MAX_STREAMS => return None,
            None => {
                self.streams.push(Stream { frame: index, rows: Rows::new(block.columns.len()) });
                self.streams.len() - 1
            }
        };
        self.streams[stream].rows.append(block);
        Some(Entry::Block { stream, seq, synced, rows })
    }

    fn finish(self, known: &BTreeSet<SchemaId>) -> Option<(Vec<u8>, Vec<SchemaId>)> {
        let cells: usize = self.streams.iter().map(|stream| stream.rows.times.len() * stream.rows.columns.len()).sum();
        if self.streams.is_empty() || self.entries.len() > MAX_COUNT || cells > code::MAX_CELLS {
            return None;
        }
        let ids: Vec<SchemaId> = self.frames.iter().map(|frame| SchemaId::of(&frame.schema)).collect();
        let (named, full): (Vec<usize>, Vec<usize>) = (0..ids.len()).partition(|frame| known.contains(&ids[*frame]));
        let mut bytes = Vec::new();
        put_varint(&mut bytes, named.len() as u64);
        for frame in &named {
            bytes.extend_from_slice(&ids[*frame].0.to_le_bytes());
        }
        put_varint(&mut bytes, (full.len() as u64) << 1 | u64::from(!self.verbatim.is_empty()));
        let mut text = Vec::new();
        for frame in &full {
            put_item(&mut text, &self.frames[*frame].schema);
        }
        text.extend_from_slice(&self.verbatim);
        if text.len() > MAX_BATCH {
            return None;
        }
        if !text.is_empty() {
            put_text(&mut bytes, &text);
        }
        let order: Vec<usize> = named.into_iter().chain(full).collect();
        let own = self.streams.iter().map(|stream| order.iter().position(|frame| *frame == stream.frame).unwrap_or(0));
        let mut bits = BitWriter::default();
        write_streams(&own.collect::<Vec<_>>(), order.len(), &mut bits);
        order::write(&self.entries, self.streams.len(), &mut bits);
        for stream in &self.streams {
            code::write(&stream.rows, &mut bits);
        }
        bytes.extend(bits.finish());
        bytes.extend_from_slice(&crc(&self.sums).to_le_bytes());
        Some((bytes, ids))
    }
}

/// Envelopes that were packed, and the schemas that stood there in full.
type Expanded = (Vec<Vec<u8>>, Vec<Schema>);

/// Takes a batch, without the codec's byte, out of the packed form. `lookup` gives the schemas that are known.
pub(crate) fn expand(bytes: &[u8], lookup: &BTreeMap<SchemaId, impl Borrow<Schema>>) -> Result<Expanded, DecodeError> {
    let (body, stored) = checked_end(bytes)?;
    let parts = Parts::read(body)?;
    let mut frames = Vec::new();
    for id in &parts.named {
        frames.push(Frame::new(lookup.get(id).ok_or(DecodeError::UnknownSchema(*id))?.borrow()));
    }
    frames.extend(parts.full.iter().map(Frame::new));
    let (envelopes, sums) = write_again(&parts, &frames)?;
    let computed = crc(&sums);
    if stored != computed {
        return Err(DecodeError::Checksum { stored, computed });
    }
    Ok((envelopes, parts.full))
}

/// Schemas that a batch, without the codec's byte, names and does not carry.
pub(crate) fn named(bytes: &[u8]) -> Result<Vec<SchemaId>, DecodeError> {
    Ok(Parts::read(checked_end(bytes)?.0)?.named)
}

/// The envelopes, and their checksums one after the other, reckoned from what stands in them.
fn write_again(parts: &Parts<'_>, frames: &[Frame]) -> Result<(Vec<Vec<u8>>, Vec<u8>), DecodeError> {
    let (entries, own, streams) = read_bits(parts.bits, frames)?;
    let mut cutters: Vec<Cutter<'_>> = streams.iter().map(Cutter::new).collect();
    let mut verbatim = parts.verbatim.as_slice();
    let mut envelopes = Vec::with_capacity(entries.len());
    let mut sums = Vec::with_capacity(CHECKSUM * entries.len());
    let mut len = 1;
    for entry in entries {
        let envelope = match entry {
            Entry::Block { stream, seq, synced, rows } => {
                let mut envelope = Vec::with_capacity(256);
                frames[own[stream]].begin(seq, &mut envelope);
                cutters[stream].write(rows, synced, &mut envelope);
                let sum = crc(&envelope).to_le_bytes();
                envelope.extend_from_slice(&sum);
                sums.extend_from_slice(&sum);
                envelope
            }
            Entry::Verbatim => {
                let (first, rest) = split_first(verbatim).ok_or(MALFORMED)?;
                verbatim = rest;
                sums.extend_from_slice(&crc(unsealed(first)).to_le_bytes());
                first.to_vec()
            }
        };
        len += 2 + envelope.len();
        if envelope.len() > MAX_ENVELOPE {
            return Err(DecodeError::TooLong { len: envelope.len(), max: MAX_ENVELOPE });
        }
        if len > MAX_BATCH {
            return Err(DecodeError::TooLong { len, max: MAX_BATCH });
        }
        envelopes.push(envelope);
    }
    if verbatim.is_empty() { Ok((envelopes, sums)) } else { Err(MALFORMED) }
}

/// The order of the envelopes, the schema of each stream, and the streams.
type Bits = (Vec<Entry>, Vec<usize>, Vec<Rows>);

fn read_bits(bytes: &[u8], frames: &[Frame]) -> Result<Bits, BadBits> {
    let mut bits = BitReader::new(bytes);
    let own = read_streams(frames.len(), &mut bits)?;
    let entries = order::read(own.len(), &mut bits)?;
    let mut lens = alloc::vec![0; own.len()];
    for entry in &entries {
        if let Entry::Block { stream, rows, .. } = entry {
            lens[*stream] += rows;
        }
    }
    let cells: usize = own.iter().zip(&lens).map(|(frame, len)| frames[*frame].width * len).sum();
    if cells > code::MAX_CELLS || lens.contains(&0) {
        return Err(BadBits);
    }
    let mut streams = Vec::with_capacity(own.len());
    for (frame, len) in own.iter().zip(&lens) {
        streams.push(code::read(frames[*frame].width, *len, &mut bits)?);
    }
    bits.finish()?;
    Ok((entries, own, streams))
}

/// The schema of each stream; nearly always there is one stream for each schema.
fn write_streams(own: &[usize], frames: usize, bits: &mut BitWriter) {
    let plain = own.iter().copied().eq(0..frames);
    bits.flag(!plain);
    if !plain {
        bits.gamma(own.len() as u64 - 1, 0);
        own.iter().for_each(|frame| bits.gamma(*frame as u64, 0));
    }
}

fn read_streams(frames: usize, bits: &mut BitReader<'_>) -> Result<Vec<usize>, BadBits> {
    if !bits.flag()? {
        return Ok((0..frames).collect());
    }
    let more = bits.gamma(0)?;
    let mut own = Vec::new();
    for _ in 0..=more {
        let frame = usize::try_from(bits.gamma(0)?).ok().filter(|frame| *frame < frames).ok_or(BadBits)?;
        own.push(frame);
        if own.len() > MAX_STREAMS {
            return Err(BadBits);
        }
    }
    Ok(own)
}

/// What stands before the bits.
struct Parts<'a> {
    /// Schemas that the receiver has.
    named: Vec<SchemaId>,
    /// Schemas in full; they follow the named ones.
    full: Vec<Schema>,
    /// Lengths and envelopes that are not packed.
    verbatim: Vec<u8>,
    bits: &'a [u8],
}

impl<'a> Parts<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(bytes);
        let count = |count: u64| usize::try_from(count).ok().filter(|count| *count <= MAX_SCHEMAS).ok_or(MALFORMED);
        let mut named = Vec::new();
        for _ in 0..count(cursor.varint().ok_or(MALFORMED)?)? {
            named.push(SchemaId(u64::from_le_bytes(cursor.array().ok_or(MALFORMED)?)));
        }
        let head = cursor.varint().ok_or(MALFORMED)?;
        let (mut full, mut verbatim) = (Vec::new(), Vec::new());
        if head > 0 {
            let text = read_text(&mut cursor)?;
            let mut rest = text.as_slice();
            for _ in 0..count(head >> 1)? {
                let (schema, behind) = split_first(rest).ok_or(MALFORMED)?;
                full.push(Schema::decode(schema).ok_or(MALFORMED)?);
                rest = behind;
            }
            verbatim.extend_from_slice(rest);
        }
        Ok(Self { named, full, verbatim, bits: cursor.rest() })
    }
}

/// Length as it is, length as it stands here, the bytes: of one length as they are, else an LZ4 block.
fn put_text(into: &mut Vec<u8>, text: &[u8]) {
    let shorter = lz4_flex::block::compress(text);
    let stands = if shorter.len() < text.len() { &shorter } else { text };
    put_varint(into, text.len() as u64);
    put_varint(into, stands.len() as u64);
    into.extend_from_slice(stands);
}

fn read_text(cursor: &mut Cursor<'_>) -> Result<Vec<u8>, DecodeError> {
    let len = cursor.varint().and_then(|len| usize::try_from(len).ok()).ok_or(MALFORMED)?;
    if len > MAX_BATCH {
        return Err(DecodeError::TooLong { len, max: MAX_BATCH });
    }
    let stands = cursor.len().and_then(|len| cursor.take(len)).ok_or(MALFORMED)?;
    if stands.len() == len {
        return Ok(stands.to_vec());
    }
    lz4_flex::block::decompress(stands, len).ok().filter(|plain| plain.len() == len).ok_or(MALFORMED)
}

fn put_item(into: &mut Vec<u8>, item: &[u8]) {
    into.extend_from_slice(&(item.len() as u16).to_le_bytes());
    into.extend_from_slice(item);
}

/// The first of length-prefixed envelopes, and the rest.
pub(crate) fn split_first(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_le_bytes(*len)))
}

/// An envelope without its checksum.
fn unsealed(envelope: &[u8]) -> &[u8] {
    &envelope[..envelope.len().saturating_sub(CHECKSUM)]
}

fn checked_end(bytes: &[u8]) -> Result<(&[u8], u32), DecodeError> {
    match bytes.split_last_chunk::<4>() {
        Some((body, stored)) => Ok((body, u32::from_le_bytes(*stored))),
        None => Err(DecodeError::Truncated { have: bytes.len(), need: 4 }),
    }
}

const MALFORMED: DecodeError = DecodeError::Malformed("not a packed batch");

impl From<BadBits> for DecodeError {
    fn from(_: BadBits) -> Self {
        MALFORMED
    }
}

#[cfg(test)]
mod tests {
    use super::rows::Column;
    use super::*;
    use crate::{AgentId, Channel, Lane, NoData, Quality, Quantity};

    fn frame(width: usize) -> Frame {
        let channel = Channel { name: "c".into(), quantity: Quantity::Other, unit: "".into() };
        Frame::new(&Schema {
            agent: AgentId::new("t1").unwrap(),
            epoch: 1,
            lane: Lane::Readings,
            device: "d".into(),
            location: "l".into(),
            channels: alloc::vec![channel; width],
        })
    }

    /// Failed reads cost next to nothing: blocks of 1,000 rows each, all of the first stream.
    fn failed_reads(width: usize, blocks: usize, own: &[usize]) -> Vec<u8> {
        let len = blocks * 1_000;
        let runs = alloc::vec![(len as u32, Quality::NoData(NoData::Timeout))];
        let column = Column { runs, scores: alloc::vec![0; len], ..Column::default() };
        let rows = Rows { times: alloc::vec![0; len], columns: alloc::vec![column; width] };
        let entry = |seq| Entry::Block { stream: 0, seq, synced: true, rows: 1_000 };
        let mut bits = BitWriter::default();
        write_streams(own, 1, &mut bits);
        order::write(&(1..=blocks as u64).map(entry).collect::<Vec<_>>(), own.len(), &mut bits);
        code::write(&rows, &mut bits);
        // What stands there for a stream that has no row.
        let runs = alloc::vec![(0, Quality::Good)];
        let none = Rows { times: alloc::vec![0], columns: alloc::vec![Column { runs, ..Column::default() }; width] };
        own[1..].iter().for_each(|_| code::write(&none, &mut bits));
        bits.finish()
    }

    #[test]
    fn a_few_bytes_cannot_ask_for_much_room() {
        assert!(read_bits(&failed_reads(64, 4, &[0]), &[frame(64)]).is_ok());
        let bits = failed_reads(64, 5, &[0]);
        assert!(bits.len() < 1_000, "{} bytes", bits.len());
        assert!(read_bits(&bits, &[frame(64)]).is_err(), "too many cells");
        assert!(read_bits(&failed_reads(0, 132, &[0]), &[frame(0)]).is_err(), "too many rows");
        assert!(read_bits(&failed_reads(1, 1, &[0, 0]), &[frame(1)]).is_err(), "a stream without a block");
    }
}
