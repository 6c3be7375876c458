//! What an agent can be asked over its command topic, and what it answers on its state topic.
//!
//! ```text
//! operator ── Order { Command, signature } ──▶ windward/v1/<agent>/cmd ──▶ agent
//! operator ◀── Envelope { Record::Answer }  ◀── windward/v1/<agent>/state ◀──┘   not retained
//! ```

use crate::seal::{self, DecodeError};
use crate::{AgentId, Lane, SeqRange, version};
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Longest order, bytes: room for a configuration and what stands around it.
pub const MAX_ORDER: usize = 64 * 1024;

/// What an agent is asked to do. Only grows at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Say how you are.
    Status,
    /// Send these once more, as far as they are still on disk.
    Resend {
        /// Lane.
        lane: Lane,
        /// Sequences.
        range: SeqRange,
    },
    /// Read more often for a while. What is read in between is forwarded, but neither judged nor counted.
    Rate {
        /// Device; empty: all.
        device: String,
        /// How many times as often; 1 ends it.
        times: u16,
        /// For so many minutes.
        minutes: u16,
    },
    /// Go on with this configuration; with the old one again if it does not come up healthy.
    Configure {
        /// Text of the configuration file.
        toml: String,
    },
}

/// A request with its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// The agent it is for; another ignores it.
    pub agent: AgentId,
    /// Chosen by the sender; comes back in the answers. A repeat is answered again and not done again.
    pub id: u64,
    /// Sender's clock. An agent takes none that is not later than the last, or whose time is far from its own.
    pub at_ms: i64,
    /// What is asked.
    pub request: Request,
}

impl Command {
    /// Encodes; these are the bytes that are signed.
    pub fn encode(&self) -> Vec<u8> {
        seal::seal(version::CURRENT, self)
    }

    /// Decodes and checks.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let command: Command = seal::open(bytes, MAX_ORDER, (version::MIN, version::CURRENT))?;
        match command.request {
            Request::Resend { range, .. } if range.first > range.last => {
                Err(DecodeError::Malformed("a range that ends before it begins"))
            }
            _ => Ok(command),
        }
    }
}

/// A command as it travels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// An encoded [`Command`].
    pub command: Vec<u8>,
    /// Ed25519 over `command` (RFC 8032), 64 bytes; empty: not signed.
    pub signature: Vec<u8>,
}

impl Order {
    /// Encodes. One over [`MAX_ORDER`] is refused, for the agent would refuse it too.
    pub fn encode(&self) -> Result<Vec<u8>, DecodeError> {
        let bytes = seal::seal(version::CURRENT, self);
        if bytes.len() > MAX_ORDER {
            return Err(DecodeError::TooLong { len: bytes.len(), max: MAX_ORDER });
        }
        Ok(bytes)
    }

    /// Decodes the outside; the command within is still to be decoded and checked.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        seal::open(bytes, MAX_ORDER, (version::MIN, version::CURRENT))
    }
}

/// How a command stands. Only grows at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It is done.
    Done,
    /// It was taken; another answer follows.
    Taken,
    /// It was not taken, and nothing has changed.
    Refused,
    /// It was tried, and everything is as before.
    Failed,
}

/// An agent's answer to a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// [`Command::id`].
    pub command: u64,
    /// How it stands.
    pub outcome: Outcome,
    /// The same in words, or what was asked for; at most [`Answer::MAX_TEXT`] bytes.
    pub text: String,
    /// Agent's clock.
    pub at_ms: i64,
}

impl Answer {
    /// Longest text, bytes: an answer fits an envelope.
    pub const MAX_TEXT: usize = 3_500;
}
