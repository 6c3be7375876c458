//! FORWARD, the core of the agent's second half. Pure: no disk, no network, no clock.
//!
//! Rows fill open blocks (`blocks`) and stand at once in the side file (`side`). Every `commit_every_ms` the blocks are
//! closed and made durable together; alerts are made durable at once (`keep`, `core`). What is durable waits in its
//! lane (`lanes`) until the uplink (`uplink`) has room, alerts first, and leaves the disk when the sink has acked it
//! (`send`).
//! Readings taken before the clock was set wait for that, and leave with their true times (`eras`).
//!
//! One commit is under way at a time. Its values travel to the disk and come back with the answer, so nothing is held
//! twice and a failed commit is tried again with what it held.

mod blocks;
mod core;
mod eras;
pub mod journal;
mod keep;
mod lanes;
mod recover;
mod send;
mod side;
mod trouble;
mod uplink;

pub use self::core::Forward;
pub use recover::recover;
pub use uplink::WINDOW;

use crate::handover::Handover;
use journal::Numbered;
use windward_protocol::{AgentId, Alert, DeviceManifest, Lane, Seq, SeqRange};

/// What FORWARD has to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This agent.
    pub agent: AgentId,
    /// Its farm.
    pub farm: String,
    /// Version of the program.
    pub version: String,
    /// How long a row may wait for its commit, ms.
    pub commit_every_ms: u64,
    /// Most bytes of readings on disk; beyond, the oldest go (A4).
    pub max_bytes: u64,
    /// Whether the broker's PUBACK frees the disk instead of the sink's ack: weaker, see A3.
    pub broker_ack: bool,
    /// The devices, in the order of their indices.
    pub devices: Vec<DeviceManifest>,
    /// Shapes the jitter of reconnection and the numbers of FORWARD's own alerts.
    pub seed: u64,
}

/// What happens to FORWARD.
#[allow(missing_docs, reason = "each variant's text names its fields")]
#[derive(Debug)]
pub enum Input {
    /// WATCH hands something over.
    Handover(Handover),
    /// The values are durable; they come back with the answer. `readings_bytes` is what the readings take on disk.
    Committed { alerts: Vec<Numbered>, readings: Vec<Numbered>, readings_bytes: u64 },
    /// The disk refused the commit; its values come back.
    CommitFailed { alerts: Vec<Numbered>, readings: Vec<Numbered>, error: String },
    /// The disk refused a row of the side file, or to give space back.
    SpoolFailed(String),
    /// Values read from the journal.
    Read { lane: Lane, values: Vec<Numbered> },
    /// The journal could not be read.
    ReadFailed { lane: Lane, error: String },
    /// What `KeepEras` gave is durable.
    ErasKept,
    /// The disk refused what `KeepEras` gave.
    ErasFailed(String),
    /// The oldest readings made room (A4).
    Dropped(SeqRange),
    /// The broker took the connection.
    Connected,
    /// The connection is gone, for this reason.
    Disconnected(String),
    /// The broker took the publish with this token.
    PubAck(u64),
    /// Bytes on the ack topic.
    Ack(Vec<u8>),
    /// Come to a good end.
    Stop,
}

/// What FORWARD wants done.
#[allow(missing_docs, reason = "each variant's text names its fields")]
#[derive(Debug, PartialEq)]
pub enum Output {
    /// Append to side file `file` now, without a sync. `kept` is the row that a killed process keeps from then on.
    Log { file: u64, bytes: Vec<u8>, kept: Option<Kept> },
    /// Remove the side files up to and including this one.
    RemoveLogs { through: u64 },
    /// Append these to the journal and make them durable; answer with `Committed` or `CommitFailed`.
    Commit { alerts: Vec<Numbered>, readings: Vec<Numbered> },
    /// Make these bytes durable before any later commit; answer with `ErasKept` or `ErasFailed`.
    KeepEras(Vec<u8>),
    /// Read from the journal; answer with `Read` or `ReadFailed`.
    Read { lane: Lane, from: Seq, max_bytes: usize },
    /// Everything up to here is acked; give its space back.
    Free { lane: Lane, through: Seq },
    /// Remove the oldest readings; answer with `Dropped` if there were any to remove.
    DropOldest,
    /// Connect to the broker, with this last will on the state topic.
    Connect { will: Vec<u8> },
    /// Drop the connection; whatever still comes from it is not to be handed in.
    Disconnect { reason: &'static str },
    /// Publish on the lane's topic with QoS 1 (the state lane retained); answer with `PubAck`.
    Publish { token: u64, lane: Lane, payload: Vec<u8> },
    /// Tell people on the spot: the spool itself is failing (A5).
    Alarm(Alert),
    /// The good end: everything is durable, nothing more will come.
    Finished,
}

/// A row as the trace of what was kept names it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kept {
    /// Index of the device.
    pub device: usize,
    /// When it was read.
    pub time_ms: i64,
    /// Its first channel's value.
    pub first: Option<f64>,
}

/// Figures of a running FORWARD.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Rows written to the side file.
    pub rows_kept: u64,
    /// Rows dropped, here or before the queue.
    pub rows_dropped: u64,
    /// Envelopes made durable.
    pub durable: u64,
    /// Envelopes published, repeats included.
    pub sent: u64,
    /// Envelopes on disk or on their way there, not acked.
    pub waiting: u64,
}
