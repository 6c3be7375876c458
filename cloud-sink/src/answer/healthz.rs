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

/// What the sink does.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Work {
    /// The farm.
    pub farm: String,
    /// What it has done.
    #[serde(flatten)]
    pub counters: Counters,
    /// How those that people are told through do, by their names.
    pub targets: BTreeMap<String, TargetHealth>,
}

/// What a sink has done since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Counters {
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
    /// Messages that a target did not take. They are tried again until it does.
    pub untold: u64,
    /// Messages or envelopes that could not be decoded.
    pub poison: u64,
    /// Commits that failed and were tried again.
    pub commits_failed: u64,
    /// Messages left unacked because they name a schema that is not known here; their agents send them again in full.
    pub unknown_schema: u64,
    /// Files written to the archive.
    pub archived: u64,
    /// Hours that could not be archived, and are tried again.
    pub archive_failed: u64,
    /// Rows of the store that the archive could not read, and left out.
    pub archive_unreadable: u64,
    /// Shards of the stream, or partitions of the topic, that are read here.
    pub shards: u64,
    /// How long ago the shard furthest behind was last read to its newest record, as far as the service tells, ms. It
    /// grows while calls fail.
    pub behind_ms: u64,
    /// Records put into the streams of the labs' consumers, repeats included.
    pub labs_records: u64,
    /// Items put into their tables, repeats included.
    pub labs_items: u64,
    /// Readings and maxima that could not be told to them.
    pub labs_left_out: u64,
    /// Whether all sources are heard: the broker has granted the subscriptions, the stream and its leases answer.
    pub connected: bool,
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
