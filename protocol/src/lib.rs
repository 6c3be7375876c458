//! What Windward's agent and sink say to each other, and nothing else.
//!
//! Bytes become values here and values bytes; no I/O, no clock, no policy. The byte tables stand beside the code
//! in `WIRE.md`. The path of a reading: rows are packed into a [`Block`], a block travels in an [`Envelope`],
//! envelopes travel together in a [`batch`], and the sink answers with an [`Ack`].
//!
//! Times are milliseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
#![no_std]
extern crate alloc;

mod ack;
pub mod batch;
mod block;
mod calendar;
mod command;
mod envelope;
mod ids;
pub mod json;
mod pack;
mod record;
mod seal;
pub mod topic;

pub use ack::{Ack, MAX_RANGES, SeqRange, SeqSet};
pub use block::{
    Block, BlockBuilder, Channel, Column, Full, MAX_CHANNELS, MAX_ROWS, Quality, Quantity, Row, Run, Values,
};
pub use calendar::{Iso8601, parse_iso8601};
pub use command::{Answer, Command, MAX_ORDER, Order, Outcome, Request};
pub use envelope::{Envelope, MAX_ENVELOPE, version};
pub use ids::{AgentId, BadAgentId, Epoch, Lane, Seq};
pub use pack::{Schema, SchemaId};
pub use record::{
    Alert, AlertKind, AlertPhase, DeviceHealth, DeviceManifest, Gap, GapReason, Health, Hello, LaneHealth, NoData,
    Reading, Record, Severity, Stats, Value,
};
pub use seal::DecodeError;
