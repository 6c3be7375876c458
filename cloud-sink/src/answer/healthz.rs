//! How the sink is.

use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// How the sink is.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Healthz {
    /// `ok` while all its sources are heard, and otherwise what is wrong.
    pub status: String,
    /// The sink's clock.
    pub now_ms: i64,
    /// For those who may look.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub work: Option<Work>,
}

/// What the sink has done since its start.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Work {
    /// The farm.
    pub farm: String,
    /// Whether all its sources are heard: broker, stream.
    pub connected: bool,
    /// Messages taken from the broker, or records from the stream.
    pub deliveries: u64,
    /// Envelopes stored for the first time.
    pub envelopes: u64,
    /// Readings in them: one a row and channel, failed reads included.
    pub readings: u64,
    /// Envelopes stored before, which changed nothing.
    pub repeated: u64,
    /// Steps of alerts received, repeats included.
    pub alerts: u64,
    /// Notices told, or found to be told before.
    pub told: u64,
    /// Messages that a target did not take; they are tried again until it does.
    pub untold: u64,
    /// Messages or envelopes that could not be decoded.
    pub poison: u64,
    /// Commits that failed and were tried again.
    pub commits_failed: u64,
    /// Messages left unacked because they name a schema that is not known here.
    pub unknown_schema: u64,
    /// Shards of the stream, or partitions of the topic, that are read here.
    pub shards: u64,
    /// How long ago the shard furthest behind was last read to its newest record.
    pub behind_ms: u64,
    /// Records put into the streams of the labs' consumers.
    pub labs_records: u64,
    /// Items put into their tables.
    pub labs_items: u64,
    /// Readings and maxima that could not be told to them.
    pub labs_left_out: u64,
    /// How those that people are told through do, by their names.
    pub targets: BTreeMap<String, TargetHealth>,
}

/// How a target does.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TargetHealth {
    /// Messages that it took.
    pub messages: u64,
    /// Messages that it did not take; they are tried again.
    pub failed: u64,
    /// Since when it takes nothing, if so.
    pub failing_since_ms: Option<i64>,
    /// Why.
    pub error: Option<String>,
}
