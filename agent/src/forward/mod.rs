//! FORWARD, the core of the agent's second half. Pure: no disk, no network, no clock.
//!
//! Rows fill open blocks (`blocks`) and stand at once in the side file (`side`). Every `commit_every_ms` the blocks are
//! closed and made durable together; alerts are made durable at once (`keep`, `core`). Each uplink (`uplink`) goes
//! through what is durable at a pace of its own: it has a place in either lane (`lanes`) and a connection
//! (`connection`), and sends alerts first (`send`), in few bytes where the sink is known to have what it needs to read
//! them (`known`). What all of them have acked leaves the disk; how far each one is
//! survives a restart (`marks`).
//! Readings taken before the clock was set wait for that, and leave with their true times (`eras`). Commands come in
//! through a gate (`orders`).
//!
//! One commit is under way at a time. Its values travel to the disk and come back with the answer, so nothing is held
//! twice and a failed commit is tried again with what it held.

mod blocks;
mod connection;
mod core;
mod eras;
pub mod journal;
mod keep;
mod known;
mod lanes;
mod marks;
mod orders;
mod payload;
mod rate;
mod recover;
mod send;
mod settings;
mod side;
mod trouble;
mod uplink;

pub use self::core::Forward;
pub use connection::WINDOW;
pub use recover::recover;
pub use settings::{AckBy, Encoding, MAX_UPLINKS, Order, Settings, Uplink};
pub use side::END as SIDE_FILE_END;

use crate::handover::Handover;
use journal::{Note, Numbered, Room};
use windward_protocol::{Alert, Answer, Lane, Seq};

/// What happens to FORWARD.
#[allow(missing_docs, reason = "each variant's text names its fields")]
#[derive(Debug)]
pub enum Input {
    /// WATCH hands something over.
    Handover(Handover),
    /// The alerts of a commit of both lanes are durable; the commit goes on with the readings.
    AlertsCommitted(Vec<Numbered>),
    /// The values are durable; they come back with the answer. `room` is how the disk stands now.
    Committed { alerts: Vec<Numbered>, readings: Vec<Numbered>, room: Room },
    /// The disk refused the commit; its values come back.
    CommitFailed { alerts: Vec<Numbered>, readings: Vec<Numbered>, error: String, room: Room },
    /// The disk refused to append to the side file.
    LogFailed(String),
    /// The disk refused to give space back.
    SpoolFailed(String),
    /// Values read from the journal for an uplink.
    Read { uplink: usize, lane: Lane, values: Vec<Numbered> },
    /// The journal could not be read.
    ReadFailed { uplink: usize, lane: Lane, error: String },
    /// What `Keep` gave is durable.
    Kept(Note),
    /// The disk refused what `Keep` gave.
    KeepFailed(Note, String),
    /// The uplink can be sent on.
    Connected { uplink: usize },
    /// Its connection is gone, for this reason.
    Disconnected { uplink: usize, reason: String },
    /// The other end took the publish with this token: a broker's PUBACK, a stream's success.
    PubAck { uplink: usize, token: u64 },
    /// The other end refused this one publish; it is to be sent again, in order. The connection lives.
    Refused { uplink: usize, token: u64 },
    /// Bytes on the ack topic.
    Ack { uplink: usize, bytes: Vec<u8> },
    /// Bytes on the command topic. `holds`: their signature is that of the operator's key.
    Order { bytes: Vec<u8>, holds: bool },
    /// What became of a command that was put out.
    Answer(Answer),
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
    /// Append these to the journal and make them durable; answer with `Committed` or `CommitFailed`, and before that, where
    /// both lanes have something, with `AlertsCommitted` and these left out.
    Commit { alerts: Vec<Numbered>, readings: Vec<Numbered> },
    /// Make these bytes durable before any later commit; answer with `Kept` or `KeepFailed`.
    Keep(Note, Vec<u8>),
    /// Read from the journal; answer with `Read` or `ReadFailed`.
    Read { uplink: usize, lane: Lane, from: Seq, max_bytes: usize },
    /// Everything up to here is acked by all who must, or lost and said to be; give its space back.
    Free { lane: Lane, through: Seq },
    /// Connect an uplink; where it has a state topic, with this last will on it.
    Connect { uplink: usize, will: Vec<u8> },
    /// Drop the connection; whatever still comes from it is not to be handed in.
    Disconnect { uplink: usize, reason: &'static str },
    /// Publish on the lane's topic with QoS 1, or put into the stream; answer with `PubAck` or `Refused`. Tokens rise,
    /// each uplink's by themselves. `retain`: the broker keeps it for who comes later.
    Publish { uplink: usize, token: u64, lane: Lane, retain: bool, payload: Vec<u8> },
    /// Have WATCH read a device (empty: all) so many times as often, for so many minutes; answer with `Answer`.
    Hurry { command: u64, device: String, times: u16, minutes: u16 },
    /// Have the agent go on with another configuration; answer with `Answer`, perhaps twice.
    Configure { command: u64, toml: String },
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
    /// Envelopes published, repeats included, on all uplinks.
    pub sent: u64,
    /// Envelopes on disk or on their way there, not acked by the uplink that has most to do.
    pub waiting: u64,
    /// Whether every uplink is connected.
    pub connected: bool,
}
