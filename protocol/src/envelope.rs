//! One record with its name: who, which spool, which lane, which number.

use crate::seal::{self, DecodeError};
use crate::{AgentId, Epoch, Lane, Record, Seq};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Versions of the wire.
pub mod version {
    /// Oldest version that is still read.
    pub const MIN: u8 = 1;
    /// Version that is written.
    pub const CURRENT: u8 = 1;
}

/// Longest encoded envelope in bytes: what fits one value of the agent's spool with its frame.
pub const MAX_ENVELOPE: usize = 4096 - 16;

/// A record and the name it has for ever: `(agent, epoch, lane, seq)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    /// Who wrote it.
    pub agent: AgentId,
    /// Spool it was kept in.
    pub epoch: Epoch,
    /// Stream it belongs to.
    pub lane: Lane,
    /// Number within the lane.
    pub seq: Seq,
    /// What it says.
    pub record: Record,
}

impl Envelope {
    /// Encodes; an envelope over [`MAX_ENVELOPE`] is refused, for the sink would refuse it too.
    pub fn encode(&self) -> Result<Vec<u8>, DecodeError> {
        let bytes = seal::seal(version::CURRENT, self);
        if bytes.len() > MAX_ENVELOPE {
            return Err(DecodeError::TooLong { len: bytes.len(), max: MAX_ENVELOPE });
        }
        Ok(bytes)
    }

    /// Decodes and checks one envelope; `bytes` must be exactly one.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let envelope: Envelope = seal::open(bytes, MAX_ENVELOPE, (version::MIN, version::CURRENT))?;
        if let Record::Block(block) = &envelope.record {
            block.check()?;
        }
        Ok(envelope)
    }
}
