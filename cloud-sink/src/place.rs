//! Records to rows. Every row is keyed by what it holds or by its envelope's name, and every change of a row is
//! a maximum or a set addition, so that order and repetition make no difference (invariant S2).

mod readings;

pub use readings::{Gathered, envelopes};

use crate::archive::HourRow;
use crate::days::Day;
use crate::decode::{LaneName, Poison};
use crate::health::AgentHealth;
use crate::notify::NoticeRow;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use windward_protocol::{
    AgentId, Alert, AlertPhase, Envelope, Epoch, Gap, GapReason, Health, Hello, Iso8601, Lane, Quantity, Record,
    Schema, Seq, SeqRange, SeqSet, Stats,
};

/// Sequences in one item of the ledger.
pub const LEDGER_BUCKET: u64 = 1024;

/// Least mean wind speed at which turbulence intensity is told, m/s: below, it is noise over next to nothing.
const TURBULENT_FROM_MPS: f64 = 1.0;

/// Why numbers are missing that were never given out: no loss.
pub const SKIPPED: &str = "never given out";

/// Most bytes of a refused message that are kept.
pub const MAX_POISON_BYTES: usize = 128 * 1024;

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
        /// What it said, as JSON ([`AgentHealth`]); `None` in a last will, which knows nothing of the present.
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
    /// Its last health, as JSON ([`AgentHealth`]).
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
    /// Where it came from: an MQTT topic, or `kinesis:<stream>/<partition key>`.
    pub topic: String,
    /// Why, in words.
    pub reason: String,
    /// When it first came.
    pub at_ms: i64,
    /// The bytes, at most [`MAX_POISON_BYTES`].
    pub bytes: Vec<u8>,
}

/// Sequences seen in one bucket of a lane (invariant S4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerRow {
    /// `<agent>#<epoch>#<lane>`.
    pub partition: String,
    /// Sequence divided by [`LEDGER_BUCKET`].
    pub bucket: u64,
    /// Sequences seen.
    pub seen: SeqSet,
}

/// Sequences, by lane.
pub type Seen = BTreeMap<LaneName, SeqSet>;

/// Adds what one envelope says to `rows`, blocks of readings and the ledger excepted.
pub fn place(farm: &str, envelope: &Envelope, now_ms: i64, rows: &mut Rows) {
    match &envelope.record {
        // Gathered by `readings::Gathered`, for those that come together are one row.
        Record::Block(_) => {}
        Record::Alert(alert) => rows.alerts.push(alert_step(farm, envelope, alert)),
        Record::Stats(stats) => {
            let row = stats_row(&envelope.agent, stats);
            rows.days.insert(Day::of(farm, &row.partition, stats.start_ms));
            rows.stats.push(row);
        }
        Record::Gap(gap) => rows.gaps.push(gap_row(envelope, gap)),
        Record::Health(health) => rows.agents.push(health_change(&envelope.agent, health, now_ms)),
        Record::Hello(hello) => rows.agents.push(hello_change(envelope, hello)),
        // It is for whoever gave the command, who listens on the same topic.
        Record::Answer(_) => {}
    }
}

/// The row of something refused.
pub fn poison_row(topic: &str, poison: Poison, now_ms: i64) -> PoisonRow {
    let digest = fnv1a(topic.as_bytes().iter().chain(&[0]).chain(&poison.bytes));
    let sort = format!("{digest:016x}-{}", poison.bytes.len());
    let mut bytes = poison.bytes;
    bytes.truncate(MAX_POISON_BYTES);
    PoisonRow {
        partition: poison.agent.map_or_else(|| "-".into(), |agent| agent.to_string()),
        sort,
        topic: topic.into(),
        reason: poison.reason,
        at_ms: now_ms,
        bytes,
    }
}

/// The ledger's rows for these sequences, each with its lane.
pub fn ledger_rows(seen: &Seen) -> Vec<(&LaneName, LedgerRow)> {
    let mut rows = Vec::new();
    for (lane, seen) in seen {
        let mut buckets: BTreeMap<u64, SeqSet> = BTreeMap::new();
        for SeqRange { first, last } in seen.ranges() {
            for bucket in first / LEDGER_BUCKET..=last / LEDGER_BUCKET {
                let start = bucket * LEDGER_BUCKET;
                let range = SeqRange { first: first.max(start), last: last.min(start + (LEDGER_BUCKET - 1)) };
                buckets.entry(bucket).or_default().insert(range);
            }
        }
        let partition = lane_partition(&lane.0, lane.1, lane.2);
        let row = |(bucket, seen)| (lane, LedgerRow { partition: partition.clone(), bucket, seen });
        rows.extend(buckets.into_iter().map(row));
    }
    rows
}

/// `<agent>#<epoch>#<lane>`, the partition of ledger and gaps.
pub fn lane_partition(agent: &AgentId, epoch: Epoch, lane: Lane) -> String {
    format!("{agent}#{epoch:016x}#{lane}")
}

/// `<opened time>#<agent>#<id>`, the sort key of an alert.
pub fn alert_sort(agent: &AgentId, alert: &Alert) -> String {
    format!("{}#{agent}#{:016x}", sortable_time(alert.opened_ms), alert.id)
}

/// A time whose text order is its order: ISO 8601, held within the years 0000 to 9999 of that form.
pub fn sortable_time(ms: i64) -> String {
    const YEAR_0: i64 = -62_167_219_200_000;
    const YEAR_9999_END: i64 = 253_402_300_799_999;
    Iso8601(ms.clamp(YEAR_0, YEAR_9999_END)).to_string()
}

fn alert_step(farm: &str, envelope: &Envelope, alert: &Alert) -> AlertStep {
    let describes = u8::from(alert.phase != AlertPhase::Clear);
    AlertStep {
        farm: farm.into(),
        sort: alert_sort(&envelope.agent, alert),
        agent: envelope.agent.clone(),
        said: format!("{describes}#{}#{:016x}#{:020}", sortable_time(alert.at_ms), envelope.epoch, envelope.seq),
        alert: alert.clone(),
    }
}

fn stats_row(agent: &AgentId, stats: &Stats) -> StatsRow {
    let quantity = stats.channel.quantity;
    let figure = |value| finite(value).filter(|_| stats.n > 0);
    let end = |value| figure(value).filter(|_| quantity != Quantity::WindDirection);
    let is_turbulent = quantity == Quantity::WindSpeed && stats.mean >= TURBULENT_FROM_MPS;
    StatsRow {
        partition: format!("{agent}/{}/{}", stats.device, stats.channel.name),
        sort: sortable_time(stats.start_ms),
        unit: stats.channel.unit.clone(),
        window_ms: stats.window_ms,
        n: stats.n,
        due: stats.due,
        mean: figure(stats.mean),
        min: end(stats.min),
        max: end(stats.max),
        std: figure(stats.std),
        turbulence: figure(stats.std / stats.mean).filter(|_| is_turbulent),
        gust_3s: stats.gust_3s.and_then(figure),
    }
}

fn gap_row(envelope: &Envelope, gap: &Gap) -> GapRow {
    GapRow {
        partition: lane_partition(&envelope.agent, envelope.epoch, gap.lane),
        from: gap.from,
        to: gap.to,
        reason: match gap.reason {
            GapReason::PowerCut => "power cut",
            GapReason::Damage => "damaged medium",
            GapReason::SpaceEnded => "space ended",
            GapReason::Refused => "refused by the agent's store",
            GapReason::TooOld => "kept for too long",
            GapReason::Skipped => SKIPPED,
        }
        .into(),
    }
}

fn health_change(agent: &AgentId, health: &Health, now_ms: i64) -> AgentChange {
    AgentChange::Health {
        agent: agent.clone(),
        heard_ms: now_ms,
        // An agent whose clock runs ahead is not seen in the future.
        seen_ms: health.online.then_some(health.at_ms.min(now_ms)),
        online: health.online,
        health: health.online.then(|| AgentHealth::of(health).write()),
    }
}

fn hello_change(envelope: &Envelope, hello: &Hello) -> AgentChange {
    AgentChange::Hello {
        agent: envelope.agent.clone(),
        epoch: envelope.epoch,
        at_ms: hello.at_ms,
        version: hello.version.clone(),
        manifest: json!(hello.devices).to_string(),
    }
}

pub(crate) fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

/// A score is kept to hundredths; as a double it would show its single-precision tail.
pub(crate) fn two_decimals(score: f32) -> f64 {
    (f64::from(score) * 100.0).round() / 100.0
}

/// FNV-1a, 64 bits (Fowler, Noll, Vo): names bytes, protects nothing.
pub(crate) fn fnv1a<'a>(bytes: impl Iterator<Item = &'a u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}
