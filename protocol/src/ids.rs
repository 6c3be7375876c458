//! Who sent it, and which number it has.

use alloc::string::{String, ToString};
use core::fmt;
use serde::{Deserialize, Serialize};

/// Random number of a spool, made when the spool is created. Sequences of different epochs are unrelated.
pub type Epoch = u64;

/// Number of an envelope within its agent, epoch and lane; starts at 1 and never goes back.
pub type Seq = u64;

/// The name of an agent: its certificate's name, its MQTT client id and its topic segment.
///
/// 1 to 64 characters of `A-Z a-z 0-9 . _ -`, so that it is safe in topics, file names and table keys.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct AgentId(String);

/// Why a text is no [`AgentId`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("agent id {0:?} is not 1 to 64 characters of A-Z a-z 0-9 . _ -")]
pub struct BadAgentId(pub String);

impl AgentId {
    /// Longest agent id, in bytes.
    pub const MAX_LEN: usize = 64;

    /// Checks `name` and makes it an id.
    pub fn new(name: &str) -> Result<Self, BadAgentId> {
        let allowed = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-');
        if name.is_empty() || name.len() > Self::MAX_LEN || !name.bytes().all(allowed) {
            return Err(BadAgentId(name.chars().take(80).collect()));
        }
        Ok(Self(name.to_string()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for AgentId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        AgentId::new(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// Which of an agent's three streams an envelope belongs to. Each lane has its own sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Lane {
    /// Alerts, gaps and hellos: few, durable, always sent first.
    Alerts,
    /// Blocks of readings and statistics: many, durable.
    Readings,
    /// Health: only the latest counts. Neither kept on disk nor acked.
    State,
}

impl Lane {
    /// The lanes that are kept on disk and acked.
    pub const DURABLE: [Lane; 2] = [Lane::Alerts, Lane::Readings];

    /// The lane's name in topics, tables and logs.
    pub fn name(self) -> &'static str {
        match self {
            Lane::Alerts => "alerts",
            Lane::Readings => "readings",
            Lane::State => "state",
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
