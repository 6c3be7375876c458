//! The rows: what the tables hold, whatever the store.

use crate::access::Role;
use crate::archive::HourRow;
use crate::days::Day;
use crate::decode::LaneName;
use crate::notify::NoticeRow;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use windward_protocol::{AgentId, Alert, Epoch, Schema, Seq, SeqSet};

/// What one group of deliveries writes; committed as a whole or tried again as a whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// Blocks of readings.
    pub readings: Vec<ReadingsRow>,
    /// Steps of alerts, merged into their rows.
    pub alerts: Vec<AlertStep>,
    /// Whom to tell of them. One that is there already stays.
    pub notices: Vec<NoticeRow>,
    /// Statistics over windows.
    pub stats: Vec<StatsRow>,
    /// Days of which a window changes: made anew from their windows, after these are written.
    pub days: BTreeSet<Day>,
    /// What agents said of themselves.
    pub agents: Vec<AgentChange>,
    /// Losses the agents reported.
    pub gaps: Vec<GapRow>,
    /// What could not be decoded.
    pub poison: Vec<PoisonRow>,
    /// What packed batches said once and will go by the name of.
    pub schemas: BTreeSet<Schema>,
    /// Hours of the archive that the rows touch; written after the rows.
    pub hours: Vec<HourRow>,
    /// Sequences seen; written last, because it vouches for the others.
    pub ledger: Seen,
}

/// Blocks of one device: one, or several that came together.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadingsRow {
    /// `<agent>/<device>`.
    pub partition: String,
    /// `<first time>#<epoch>#<seq>` of one block; of several, the first's with a digest of all sequences. So what is
    /// stored again is the same row, and what came grouped otherwise is another.
    pub sort: String,
    /// Agent.
    pub agent: AgentId,
    /// Device.
    pub device: String,
    /// Where it stands.
    pub location: String,
    /// Time of the first row, ms.
    pub first_ms: i64,
    /// Time of the last row, ms.
    pub last_ms: i64,
    /// Number of moments.
    pub n: u32,
    /// Whether the agent's clock was set.
    pub synced: bool,
    /// A summary of each channel.
    pub channels: Vec<ChannelSummary>,
    /// The envelopes as they came, as a batch ([`windward_protocol::batch`]); the rows in full.
    pub block: Vec<u8>,
}

/// One channel of a row in plain numbers. Numbers that are not finite, and what nothing is known of, are left out; the
/// block holds them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChannelSummary {
    /// Channel.
    pub name: String,
    /// Its unit.
    pub unit: String,
    /// Moments with a value.
    pub n: u32,
    /// Least value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// Mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean: Option<f64>,
    /// Greatest value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// Standard deviation of the population.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub std: Option<f64>,
    /// Last value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<f64>,
    /// Greatest score, AWS scale.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_score: Option<f64>,
}

/// One step of an alert, as it is merged into the alert's row.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertStep {
    /// Farm, the partition.
    pub farm: String,
    /// `<opened time>#<agent>#<id>`.
    pub sort: String,
    /// Agent.
    pub agent: AgentId,
    /// Rank of this step among those that describe the alert; the greatest stays. A clear ranks below all others,
    /// because it says how the alert ended, not what it was.
    pub said: String,
    /// The step itself.
    pub alert: Alert,
}

/// An alert as it stands in the table: the latest description, and when it ended.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertRow {
    /// `<opened time>#<agent>#<id>`.
    pub sort: String,
    /// Agent.
    pub agent: String,
    /// Number of the alert within its agent.
    pub id: u64,
    /// Where the device stands.
    pub location: String,
    /// Device.
    pub device: String,
    /// Channel; empty when it is about the whole device.
    pub channel: String,
    /// Kind by name.
    pub kind: String,
    /// Severity by name.
    pub severity: String,
    /// When it opened.
    pub opened_ms: i64,
    /// When it was last described.
    pub at_ms: i64,
    /// When it ended; `None` while it lasts.
    pub cleared_ms: Option<i64>,
    /// Value of the channel.
    pub value: Option<f64>,
    /// Unit of the value.
    pub unit: String,
    /// Wind speed, m/s.
    pub wind_speed: Option<f64>,
    /// The forest's score.
    pub anomaly_score: Option<f64>,
    /// Threshold it passed.
    pub threshold: Option<f64>,
    /// What was seen.
    pub evidence: String,
    /// When people were first told.
    pub notified_ms: Option<i64>,
    /// Who has acknowledged it, if somebody has.
    pub acknowledged: Option<Acknowledged>,
    /// What people have said of it, the earliest first.
    pub comments: Vec<Comment>,
}

/// What somebody said of an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Comment {
    /// When, ms.
    pub at_ms: i64,
    /// Who.
    pub by: String,
    /// What.
    pub text: String,
}

/// Something that somebody did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Deed {
    /// When, ms.
    pub at_ms: i64,
    /// Who: the name of the account, or what somebody said whom nobody asked for one.
    pub who: String,
    /// What that person may do.
    pub role: Role,
    /// `sign-in`, `acknowledge`, `comment` or `command`.
    pub what: String,
    /// Of what: an agent and an alert, how somebody signed in, what was commanded.
    pub about: String,
}

/// That somebody sees to an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// Who.
    pub by: String,
    /// When, ms.
    pub at_ms: i64,
    /// What there is to say about it; may be empty.
    pub note: String,
}

/// Statistics of one channel over one window. Of two rows of one window, the one with the greater (n, due, mean) stays:
/// an agent that was started within it tells it twice, each time what it has seen itself.
#[derive(Clone, Debug, PartialEq)]
pub struct StatsRow {
    /// `<agent>/<device>/<channel>`.
    pub partition: String,
    /// Start of the window.
    pub sort: String,
    /// Unit of the figures.
    pub unit: String,
    /// Length of the window, ms.
    pub window_ms: u32,
    /// Readings with a value.
    pub n: u32,
    /// Readings that were due.
    pub due: u32,
    /// Mean; as all figures, only where it says something.
    pub mean: Option<f64>,
    /// Least value.
    pub min: Option<f64>,
    /// Greatest value.
    pub max: Option<f64>,
    /// Standard deviation of the population.
    pub std: Option<f64>,
    /// Turbulence intensity: standard deviation over mean of a wind speed whose mean is at least 1 m/s.
    pub turbulence: Option<f64>,
    /// Greatest 3-second mean.
    pub gust_3s: Option<f64>,
}

/// What changes in an agent's row.
#[derive(Clone, Debug, PartialEq)]
pub enum AgentChange {
    /// A start; the latest stays.
    Hello {
        /// Agent.
        agent: AgentId,
        /// Its spool.
        epoch: Epoch,
        /// When it started.
        at_ms: i64,
        /// Version of the agent.
        version: String,
        /// What it reads, as JSON.
        manifest: String,
    },
    /// A sign of life, or the last will. The last to arrive stays: a will carries the time of the connection it
    /// belongs to, not of its end, so the agent's own time cannot order it.
    Health {
        /// Agent.
        agent: AgentId,
        /// When the sink received it.
        heard_ms: i64,
        /// When the agent said it; `None` in a last will.
        seen_ms: Option<i64>,
        /// Whether the agent is there.
        online: bool,
        /// What it said, as JSON ([`crate::health::AgentHealth`]); `None` in a last will, which knows nothing of the
        /// present.
        health: Option<String>,
    },
    /// Something came from it; the latest stays.
    Heard {
        /// Agent.
        agent: AgentId,
        /// When the sink received it.
        at_ms: i64,
        /// Devices of which it spoke.
        devices: BTreeSet<String>,
    },
}

/// An agent as it stands in the table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AgentRow {
    /// Agent.
    pub agent: String,
    /// When it last showed life, by its own clock.
    pub seen_ms: Option<i64>,
    /// Whether it was there when last heard of.
    pub online: bool,
    /// Its spool.
    pub epoch: Option<String>,
    /// Version of the agent.
    pub version: Option<String>,
    /// When it started.
    pub started_ms: Option<i64>,
    /// What it reads, as JSON.
    pub manifest: Option<String>,
    /// Its last health, as JSON ([`crate::health::AgentHealth`]).
    pub health: Option<String>,
    /// When its last health or its last will arrived, by the sink's clock.
    pub heard_ms: Option<i64>,
    /// When anything last came from itself, by the sink's clock, to some ten seconds. A last will is the broker's.
    pub alive_ms: Option<i64>,
    /// When anything last came of each of its devices, by the sink's clock, likewise.
    pub devices: BTreeMap<String, i64>,
}

/// A loss the agent reported.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GapRow {
    /// `<agent>#<epoch>#<lane>`.
    pub partition: String,
    /// First sequence lost.
    pub from: Seq,
    /// Last sequence lost, included.
    pub to: Seq,
    /// Why, in words.
    pub reason: String,
}

/// Something refused. The same bytes from the same place are one row, however often they come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoisonRow {
    /// The agent that topic or partition key names, or `-`.
    pub partition: String,
    /// Digest of topic and bytes, with their length.
    pub sort: String,
    /// Where it came from: an MQTT topic, `kinesis:<stream>/<partition key>`, `kafka:<topic>/<key>`, or the place in a
    /// stream of what could not be had.
    pub topic: String,
    /// Why, in words.
    pub reason: String,
    /// When it first came.
    pub at_ms: i64,
    /// The bytes, at most [`super::MAX_POISON_BYTES`].
    pub bytes: Vec<u8>,
}

/// Sequences seen in one bucket of a lane (invariant S4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerRow {
    /// `<agent>#<epoch>#<lane>`.
    pub partition: String,
    /// Sequence divided by [`super::LEDGER_BUCKET`].
    pub bucket: u64,
    /// Sequences seen.
    pub seen: SeqSet,
}

/// Sequences, by lane.
pub type Seen = BTreeMap<LaneName, SeqSet>;
