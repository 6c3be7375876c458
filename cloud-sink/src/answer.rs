//! What the API answers. Times are milliseconds since 1970 (UTC); a figure that does not exist is `null`.

mod figures;
mod healthz;

pub use figures::*;
pub use healthz::*;

use crate::access::Role;
use crate::place::{Comment, Deed};
use serde::Serialize;
use serde_json::Value as Json;
use utoipa::ToSchema;

/// Who did what, the latest first.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Audit {
    /// What was done.
    pub entries: Vec<Deed>,
    /// Where the next page begins, when there is one.
    pub next: Option<String>,
}

/// Who asks.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Me {
    /// Name, if anybody was asked for one.
    pub name: Option<String>,
    /// What that person may do.
    pub role: Role,
    /// Whether people are asked who they are.
    pub auth: bool,
    /// Farm.
    pub farm: String,
    /// Version of the sink.
    pub version: &'static str,
    /// Whether the farm is simulated, with buttons that raise faults.
    pub demo: bool,
    /// Where people sign in, if the company has a login.
    pub oidc: Option<CompanyLogin>,
}

/// The company's login, as the page shows it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CompanyLogin {
    /// What stands on the button.
    pub name: String,
    /// Where it leads.
    pub href: &'static str,
}

/// All agents of a farm.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Agents {
    /// Farm.
    pub farm: String,
    /// The sink's clock.
    pub now_ms: i64,
    /// By name.
    pub agents: Vec<Agent>,
}

/// An agent.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Agent {
    /// Its name.
    pub agent: String,
    /// Whether it was there when last heard of.
    pub online: bool,
    /// When it last showed life, by its own clock.
    pub seen_ms: Option<i64>,
    /// How long ago that is.
    pub age_ms: Option<i64>,
    /// When anything last came from itself, by the sink's clock, to some ten seconds.
    pub heard_ms: Option<i64>,
    /// Its spool.
    pub epoch: Option<String>,
    /// Its program.
    pub version: Option<String>,
    /// When it started, by its own clock.
    pub started_ms: Option<i64>,
    /// What it reads, as it said at its start: device, location, link, interval, channels.
    pub devices: Json,
    /// What it last said of itself: clock, memory, spool, devices.
    pub health: Json,
}

/// Whether an alert lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AlertState {
    /// It lasts.
    Open,
    /// It has ended.
    Cleared,
    /// Its agent has started anew and has not spoken of it since.
    Restarted,
}

/// Alerts, the latest opened first.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Alerts {
    /// Those that fit.
    pub alerts: Vec<Alert>,
    /// What to give as `after` for the next page, if there may be one.
    pub next: Option<String>,
}

/// An alert.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Alert {
    /// The agent that raised it; what the sink has found itself stands under the agent it is about.
    pub agent: String,
    /// Number within its agent, hexadecimal.
    pub id: String,
    /// Where the device stands.
    pub location: String,
    /// Device.
    pub device: String,
    /// Channel; empty when it is about the whole device.
    pub channel: String,
    /// What is strange: `stuck`, `gust`, `no-data`, `agent-silent`, …
    pub kind: String,
    /// `info`, `warning` or `critical`.
    pub severity: String,
    /// Whether it lasts.
    pub state: AlertState,
    /// When it opened, ISO 8601.
    pub opened: String,
    /// The same.
    pub opened_ms: i64,
    /// When it was last spoken of.
    pub updated_ms: i64,
    /// When it ended.
    pub cleared_ms: Option<i64>,
    /// Value of the channel.
    pub value: Option<f64>,
    /// Unit of the value.
    pub unit: String,
    /// Wind speed, m/s.
    pub wind_speed: Option<f64>,
    /// Score of the forest.
    pub anomaly_score: Option<f64>,
    /// Threshold that was passed.
    pub threshold: Option<f64>,
    /// What was seen, in words.
    pub evidence: String,
    /// When people were first told.
    pub notified_ms: Option<i64>,
    /// Who has acknowledged it.
    pub acknowledged_by: Option<String>,
    /// When.
    pub acknowledged_ms: Option<i64>,
    /// What that person said.
    pub note: Option<String>,
    /// What people have said of it since, the earliest first.
    pub comments: Vec<Comment>,
}

/// Sequences that are missing (S4).
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Gaps {
    /// Whether the whole ledger was looked at; if not, nothing is said of what lies before its first entry.
    pub whole: bool,
    /// A lane after the other.
    pub gaps: Vec<Gap>,
}

/// Sequences of one lane that are not here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Gap {
    /// Agent.
    pub agent: String,
    /// Its spool.
    pub epoch: String,
    /// `readings` or `alerts`.
    pub lane: String,
    /// First.
    pub from: u64,
    /// Last, included.
    pub to: u64,
    /// Why, if the agent has said so.
    pub reason: Option<String>,
    /// `lost`, or `not received`: it may still be on its way.
    pub state: &'static str,
}

/// Messages that were refused.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Poisons {
    /// The latest first.
    pub poison: Vec<Poison>,
}

/// A message that was refused.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Poison {
    /// The agent that its topic names, or `-`.
    pub agent: String,
    /// Where it came from.
    pub topic: String,
    /// Why it was refused.
    pub reason: String,
    /// When it first came, ISO 8601.
    pub first_seen: String,
    /// The same.
    pub first_seen_ms: i64,
    /// Bytes kept.
    pub length: usize,
    /// The first 256 of them, hexadecimal.
    pub bytes: String,
}

/// How a turbine is, at a glance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TileState {
    /// A critical alert lasts.
    Critical,
    /// Nothing is heard of it.
    Silent,
    /// Another alert lasts.
    Warning,
    /// A device gives nothing, or its spool fails.
    Failing,
    /// It has never said what it reads.
    New,
    /// None of these.
    Well,
}

/// The farm at a glance.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Overview {
    /// Farm.
    pub farm: String,
    /// The sink's clock.
    pub now_ms: i64,
    /// By name.
    pub turbines: Vec<Tile>,
}

/// A turbine at a glance.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Tile {
    /// Its agent.
    pub agent: String,
    /// Where its devices stand.
    pub locations: Vec<String>,
    /// Whether it was there when last heard of.
    pub online: bool,
    /// When it last showed life, by its own clock.
    pub seen_ms: Option<i64>,
    /// How it is.
    pub state: TileState,
    /// Alerts that last, the worst first, at most five.
    pub open: Vec<OpenAlert>,
    /// How many there are.
    pub open_count: usize,
    /// Envelopes on its disk that are not stored yet.
    pub waiting: u64,
    /// What is wrong with its disk; empty when nothing is.
    pub spool_error: String,
    /// Devices that give nothing.
    pub failing: Vec<Failing>,
    /// Its wind now.
    pub wind: Option<Wind>,
    /// Its wind in the last half hour.
    pub spark: Spark,
}

/// An alert that lasts.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct OpenAlert {
    /// Number within its agent, hexadecimal.
    pub id: String,
    /// `info`, `warning` or `critical`.
    pub severity: String,
    /// What is strange.
    pub kind: String,
    /// Device.
    pub device: String,
    /// Channel; empty when it is about the whole device.
    pub channel: String,
    /// What was seen, in words.
    pub evidence: String,
    /// When it opened.
    pub opened_ms: i64,
}

/// A device that gives nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Failing {
    /// Device.
    pub device: String,
    /// Why, in words.
    pub reason: String,
}

/// A wind speed.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Wind {
    /// Device.
    pub device: String,
    /// Channel.
    pub channel: String,
    /// The newest value.
    pub value: f64,
    /// Its unit.
    pub unit: String,
    /// When it was read.
    pub time_ms: i64,
}

/// A spark line.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Spark {
    /// When the first step begins.
    pub from_ms: i64,
    /// Length of a step.
    pub step_ms: i64,
    /// Mean of each step.
    pub mean: Vec<Option<f64>>,
}

/// How what agents have kept comes here: the proof that nothing is missing.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Delivery {
    /// The sink's clock.
    pub now_ms: i64,
    /// By name.
    pub agents: Vec<AgentDelivery>,
}

/// How what one agent has kept comes here.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AgentDelivery {
    /// Agent.
    pub agent: String,
    /// Whether it was there when last heard of.
    pub online: bool,
    /// When it last showed life, by its own clock.
    pub seen_ms: Option<i64>,
    /// What is wrong with its disk; empty when nothing is.
    pub spool_error: String,
    /// Moments it had to drop before they came to its disk, since its start.
    pub dropped_rows: u64,
    /// Its lanes.
    pub lanes: Vec<LaneDelivery>,
}

/// How one lane of one agent comes here. Numbers are sequences, each of one envelope.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LaneDelivery {
    /// `readings` or `alerts`.
    pub lane: String,
    /// Its spool.
    pub epoch: Option<String>,
    /// The last that the agent has had on its disk, as far as is known.
    pub durable: u64,
    /// Up to here it knew all to be stored.
    pub acked: u64,
    /// So many were on its disk then and not known to be stored.
    pub waiting: u64,
    /// The last that is stored here.
    pub stored: u64,
    /// What is not stored below that.
    pub holes: Vec<Gap>,
}
