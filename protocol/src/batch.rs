//! What one MQTT publish or one Kinesis record carries: envelopes, each with its length, compressed as a whole.
//!
//! ```text
//! 0        1        codec   0 = plain, 1 = LZ4 block, 2 = packed
//! 1        4        length of the plain form, u32 little endian (LZ4 only)
//! …                 the plain form: (u16 little endian length, envelope) repeated; its LZ4 block; its packed form
//! ```
//! The packed form is several times shorter: it joins the blocks of a device and leaves out what the receiver knows.
//! What it says once and both sides remember is a [`Schema`]; a batch that names one in place of carrying it can be read
//! only where that has arrived. So the sender names only what the receiver has acked. Whatever it sends again after a
//! silence it sends in full, or not packed at all, and it forgets what was acked: a receiver that has lost its memory
//! learns anew. Where an ack does not say that a schema is kept (a broker's, Kinesis's), everything is sent in full.

use crate::envelope::MAX_ENVELOPE;
use crate::pack;
use crate::seal::DecodeError;
use crate::{Schema, SchemaId};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::borrow::Borrow;

/// Longest batch, encoded and plain, in bytes: the largest publish AWS IoT Core takes.
pub const MAX_BATCH: usize = 128 * 1024;

const PLAIN: u8 = 0;
const LZ4: u8 = 1;
const PACKED: u8 = 2;

/// Envelopes on their way into one batch.
#[derive(Clone, Debug, Default)]
pub struct BatchBuilder {
    plain: Vec<u8>,
}

impl BatchBuilder {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether an encoded envelope still fits.
    pub fn has_room_for(&self, envelope: &[u8]) -> bool {
        1 + self.plain.len() + 2 + envelope.len() <= MAX_BATCH
    }

    /// Adds an encoded envelope, or says that it no longer fits.
    pub fn push(&mut self, envelope: &[u8]) -> bool {
        assert!(envelope.len() <= MAX_ENVELOPE, "an envelope is at most {MAX_ENVELOPE} bytes");
        if !self.has_room_for(envelope) {
            return false;
        }
        self.plain.extend_from_slice(&(envelope.len() as u16).to_le_bytes());
        self.plain.extend_from_slice(envelope);
        true
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.plain.is_empty()
    }

    /// The batch as bytes, compressed when that is shorter.
    pub fn finish(self) -> Vec<u8> {
        let packed = lz4_flex::block::compress(&self.plain);
        let (codec, body): (u8, &[u8]) =
            if packed.len() + 4 < self.plain.len() { (LZ4, &packed) } else { (PLAIN, &self.plain) };
        let mut bytes = Vec::with_capacity(5 + body.len());
        bytes.push(codec);
        if codec == LZ4 {
            bytes.extend_from_slice(&(self.plain.len() as u32).to_le_bytes());
        }
        bytes.extend_from_slice(body);
        bytes
    }

    /// The batch as bytes, packed where there is a block in it. `known`: schemas that the receiver has acked.
    pub fn finish_packed(self, known: &BTreeSet<SchemaId>) -> Packed {
        let envelopes = core::iter::successors(pack::split_first(&self.plain), |(_, rest)| pack::split_first(rest));
        // Where it is not shorter it may still be packed, for its receiver learns a schema from it.
        let serves = |packed: &[u8], schemas: &[SchemaId]| {
            packed.len() < self.plain.len()
                || (packed.len() < MAX_BATCH && schemas.iter().any(|id| !known.contains(id)))
        };
        match pack::pack(envelopes.map(|(envelope, _)| envelope), known) {
            Some((packed, schemas)) if serves(&packed, &schemas) => {
                let mut bytes = Vec::with_capacity(1 + packed.len());
                bytes.push(PACKED);
                bytes.extend_from_slice(&packed);
                Packed { bytes, schemas }
            }
            _ => Packed { bytes: self.finish(), schemas: Vec::new() },
        }
    }
}

/// A batch as bytes, and what its receiver learns from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// What is published.
    pub bytes: Vec<u8>,
    /// Schemas that it carries or names: the receiver has them once it has acked any envelope of the batch.
    pub schemas: Vec<SchemaId>,
}

/// A batch taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Encoded envelopes, in order; each still to be decoded and checked on its own.
    pub envelopes: Vec<Vec<u8>>,
    /// Schemas that it carries in full, to be remembered under their agents before anything of it is acked.
    pub schemas: Vec<Schema>,
    /// Why the rest could not be taken apart; the envelopes before it are whole.
    pub broken: Option<DecodeError>,
}

/// Takes a batch apart that needs no memory. What can be read is given even when the end is broken.
pub fn split(bytes: &[u8]) -> Split {
    split_with(bytes, &BTreeMap::<SchemaId, Schema>::new())
}

/// Takes a batch apart. `known`: at least those of [`named`] that its agent has told. A packed batch is read as a whole
/// or not at all.
pub fn split_with(bytes: &[u8], known: &BTreeMap<SchemaId, impl Borrow<Schema>>) -> Split {
    let whole = |(envelopes, schemas)| Split { envelopes, schemas, broken: None };
    let broken = |error| Split { envelopes: Vec::new(), schemas: Vec::new(), broken: Some(error) };
    match packed_form(bytes) {
        Some(packed) => packed.and_then(|packed| pack::expand(packed, known)).map_or_else(broken, whole),
        None => plain_form(bytes).map_or_else(broken, |plain| split_plain(&plain)),
    }
}

/// Schemas that a batch names and does not carry: what its receiver looks up before [`split_with`]. Empty also for
/// what is no batch; `split_with` says why.
pub fn named(bytes: &[u8]) -> Vec<SchemaId> {
    packed_form(bytes).and_then(Result::ok).and_then(|packed| pack::named(packed).ok()).unwrap_or_default()
}

fn packed_form(bytes: &[u8]) -> Option<Result<&[u8], DecodeError>> {
    let packed = bytes.strip_prefix(&[PACKED])?;
    let too_long = DecodeError::TooLong { len: bytes.len(), max: MAX_BATCH };
    Some(if bytes.len() > MAX_BATCH { Err(too_long) } else { Ok(packed) })
}

fn plain_form(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    if bytes.len() > MAX_BATCH {
        return Err(DecodeError::TooLong { len: bytes.len(), max: MAX_BATCH });
    }
    match bytes.split_first() {
        Some((&PLAIN, rest)) => Ok(rest.to_vec()),
        Some((&LZ4, rest)) => {
            let Some((len, packed)) = rest.split_first_chunk::<4>() else {
                return Err(DecodeError::Truncated { have: bytes.len(), need: 5 });
            };
            let len = u32::from_le_bytes(*len) as usize;
            if len > MAX_BATCH {
                return Err(DecodeError::TooLong { len, max: MAX_BATCH });
            }
            let plain =
                lz4_flex::block::decompress(packed, len).map_err(|_| DecodeError::Malformed("not an LZ4 block"))?;
            if plain.len() != len {
                return Err(DecodeError::Malformed("LZ4 block of another length than stated"));
            }
            Ok(plain)
        }
        Some(_) => Err(DecodeError::Malformed("unknown codec of a batch")),
        None => Err(DecodeError::Truncated { have: 0, need: 1 }),
    }
}

fn split_plain(mut plain: &[u8]) -> Split {
    let (mut envelopes, schemas) = (Vec::new(), Vec::new());
    while !plain.is_empty() {
        let Some((len, rest)) = plain.split_first_chunk::<2>() else {
            let broken = Some(DecodeError::Truncated { have: plain.len(), need: 2 });
            return Split { envelopes, schemas, broken };
        };
        let len = usize::from(u16::from_le_bytes(*len));
        let Some((envelope, rest)) = rest.split_at_checked(len) else {
            let broken = Some(DecodeError::Truncated { have: rest.len(), need: len });
            return Split { envelopes, schemas, broken };
        };
        envelopes.push(envelope.to_vec());
        plain = rest;
    }
    Split { envelopes, schemas, broken: None }
}
