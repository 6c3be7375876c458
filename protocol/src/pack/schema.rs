//! What stays the same from block to block of one device, and the short name for it.

use super::cursor::Cursor;
use crate::{AgentId, Block, Channel, Envelope, Epoch, Lane, MAX_CHANNELS, MAX_ENVELOPE, version};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};

/// All that stays the same in the envelopes of one device's blocks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Schema {
    /// Who writes them.
    pub agent: AgentId,
    /// Spool they are kept in.
    pub epoch: Epoch,
    /// Stream they belong to.
    pub lane: Lane,
    /// Device.
    pub device: String,
    /// Where it stands, in the crew's words.
    pub location: String,
    /// Its channels; at most [`MAX_CHANNELS`].
    pub channels: Vec<Channel>,
}

/// Name of a [`Schema`]: FNV-1a, 64 bits, of its bytes. On purpose no CRC: two texts with one CRC could stand for each
/// other without the checksum over the whole changing.
///
/// Others can find two schemas with one name; a receiver therefore looks up an agent's names among that agent's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SchemaId(pub u64);

impl fmt::Display for SchemaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Schema {
    /// Its name.
    pub fn id(&self) -> SchemaId {
        SchemaId::of(&self.encode())
    }

    /// Its bytes, as they stand in a batch.
    pub fn encode(&self) -> Vec<u8> {
        to_bytes(self)
    }

    /// The schema that these bytes are: all of them, and as [`Schema::encode`] writes them. `None`: they are none.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > MAX_ENVELOPE {
            return None;
        }
        let schema: Self = postcard::from_bytes(bytes).ok()?;
        (schema.channels.len() <= MAX_CHANNELS && schema.encode() == bytes).then_some(schema)
    }

    fn of(envelope: &Envelope, block: &Block) -> Self {
        Self {
            agent: envelope.agent.clone(),
            epoch: envelope.epoch,
            lane: envelope.lane,
            device: block.device.clone(),
            location: block.location.clone(),
            channels: block.channels.clone(),
        }
    }
}

impl SchemaId {
    /// The name of a schema of these bytes.
    pub(super) fn of(schema: &[u8]) -> Self {
        let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        Self(schema.iter().fold(0xcbf2_9ce4_8422_2325, step))
    }
}

/// A schema as it stands in every envelope: before the sequence number, and behind it.
#[derive(Debug)]
pub(super) struct Frame {
    /// The schema's bytes.
    pub(super) schema: Vec<u8>,
    /// Number of channels.
    pub(super) width: usize,
    /// Version, agent, epoch and lane.
    head: Vec<u8>,
    /// Kind of the record, device, location and channels.
    body: Vec<u8>,
}

impl Frame {
    pub(super) fn new(schema: &Schema) -> Self {
        // The first variant of `Record`, and postcard's form of a variant's number.
        const BLOCK: u8 = 0;
        let head = to_bytes(&(version::CURRENT, &schema.agent, schema.epoch, schema.lane));
        let body = to_bytes(&(BLOCK, &schema.device, &schema.location, &schema.channels));
        Self { schema: schema.encode(), width: schema.channels.len(), head, body }
    }

    /// The frame of an envelope with a block in it; `None` for anything else.
    pub(super) fn of(envelope: &[u8]) -> Option<Self> {
        let envelope = Envelope::decode(envelope).ok()?;
        let crate::Record::Block(block) = &envelope.record else { return None };
        Some(Self::new(&Schema::of(&envelope, block)))
    }

    /// The sequence number and what follows the frame, if this envelope without its checksum is of this schema.
    pub(super) fn open<'a>(&self, envelope: &'a [u8]) -> Option<(u64, &'a [u8])> {
        let mut rest = Cursor::new(envelope.strip_prefix(self.head.as_slice())?);
        let seq = rest.varint()?;
        Some((seq, rest.rest().strip_prefix(self.body.as_slice())?))
    }

    /// Begins an envelope.
    pub(super) fn begin(&self, seq: u64, into: &mut Vec<u8>) {
        into.extend_from_slice(&self.head);
        super::cursor::put_varint(into, seq);
        into.extend_from_slice(&self.body);
    }
}

#[allow(
    clippy::unwrap_used,
    reason = "postcard fails only on a full buffer or an unsized sequence; a Vec grows and the types are sized"
)]
fn to_bytes<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_extend(value, Vec::with_capacity(256)).unwrap()
}
