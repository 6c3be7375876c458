//! What the drill and the agent under drill say to each other.

use serde::{Deserialize, Serialize};
use windward_protocol::{Epoch, Lane, Seq, SeqRange};

/// What a run of the agent is to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// Directory of its spool.
    pub spool: String,
    /// Number of its first row, and of its first alert.
    pub first: u64,
    /// Time of the row that would have number 0, ms since 1970.
    pub base_ms: i64,
    /// Time between commits, ms.
    pub commit_every_ms: u64,
    /// Most bytes of readings on disk (A4).
    pub max_bytes: u64,
    /// What it is to do wrong.
    pub fault: Option<Fault>,
}

/// What an agent can be made to do wrong, to see that it is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// One block in ten is said to be durable and was never written.
    Forget,
    /// Takes all that is durable for acked when any of it is sent.
    Forge,
}

/// What the drill wants of the agent, or what its uplink brings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each variant's text names its fields")]
pub enum Ask {
    /// First of all.
    Begin(Begin),
    /// Write so many rows and alerts a second from now on, or as many as the disk takes if those are fewer.
    Write { rows_per_s: u32, alerts_per_s: u32 },
    /// The connection is there.
    Connected,
    /// The connection is gone.
    Cut,
    /// The other end took the publish with this token.
    PubAck(u64),
    /// Bytes on the ack topic.
    Ack(Vec<u8>),
    /// Come to a good end.
    Stop,
}

/// What the agent says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each variant's text names its fields")]
pub enum Say {
    /// The spool is open: these numbers of the lane of alerts and of that of readings are durable, freed ones
    /// included; `saved` rows stood in the side file alone.
    Ready { epoch: Epoch, durable: [Vec<SeqRange>; 2], saved: u64 },
    /// These rows are in the side file: a kill does not lose them.
    Kept(Vec<u64>),
    /// These are on the disk: a power cut does not lose them.
    Confirmed { alerts: Vec<Held>, readings: Vec<Held> },
    /// Wants to connect.
    Connect,
    /// Has dropped the connection, for this reason.
    Disconnect(String),
    /// A publish.
    Publish { token: u64, lane: Lane, payload: Vec<u8> },
    /// How it is; ten times a second, and at the end.
    Status(Status),
    /// The good end.
    Finished,
}

/// An envelope that is durable, and what it holds: rows, or an alert, or nothing that has a number here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Its number.
    pub seq: Seq,
    /// Numbers of what it holds.
    pub holds: Vec<u64>,
}

/// How the agent under drill is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Whether it is asked to write nothing.
    pub is_idle: bool,
    /// Envelopes that are not acked.
    pub waiting: u64,
    /// Rows dropped because the disk took nothing.
    pub dropped: u64,
    /// Bytes of readings committed since it started.
    pub committed_bytes: u64,
    /// Rows committed since it started.
    pub committed_rows: u64,
    /// Bytes the process has caused to be written to storage; 0 where the system does not tell.
    pub written_bytes: u64,
}
