//! Who is told of what, when, in which words, and the steps that tell it once (invariant S2).
//!
//! A delivery with an alert is committed together with its *notices*: one row for each target and reason to tell it, the
//! outbox. The agent's ack follows that commit (S1); telling goes on by itself, from any sink, after any crash.
//!
//! ```text
//!   alert ──▶ notices_for ──▶ rows ──commit──▶ outbox ──▶ steps: claim, look, place, publish, mark
//!                rules                                       │             └─ more than a few a minute: one digest
//!                                                            └─ acknowledged, cleared: dropped, or told otherwise
//! ```

mod digest;
mod message;
mod rules;
mod steps;

pub use digest::{Digest, MAX_MEMBERS, digest_row};
pub use message::Message;
pub use rules::{BadZone, Escalate, Policy, Quiet, Repeat, Rule, kind_named, kinds};
pub use steps::{CLAIM_MS, Ended, Look, Outcome, Step, Telling};

use crate::place;
use serde::{Deserialize, Serialize};
use windward_protocol::{AgentId, Alert, AlertPhase, Severity};

/// Length of the time in which messages are counted, ms.
pub const MINUTE_MS: i64 = 60_000;

/// Why people are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// An alert has opened.
    Open,
    /// It has grown worse.
    Update,
    /// It has ended.
    Clear,
    /// It still lasts, and nobody has acknowledged it.
    Repeat,
    /// The same, told to others.
    Escalate,
    /// Many at once.
    Digest,
}

impl Phase {
    /// By name.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Open => "open",
            Phase::Update => "update",
            Phase::Clear => "clear",
            Phase::Repeat => "repeat",
            Phase::Escalate => "escalate",
            Phase::Digest => "digest",
        }
    }

    /// The phase of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Phase::Open, Phase::Update, Phase::Clear, Phase::Repeat, Phase::Escalate, Phase::Digest]
            .into_iter()
            .find(|phase| phase.name() == name)
    }
}

impl From<AlertPhase> for Phase {
    fn from(phase: AlertPhase) -> Self {
        match phase {
            AlertPhase::Open => Phase::Open,
            AlertPhase::Update => Phase::Update,
            AlertPhase::Clear => Phase::Clear,
        }
    }
}

/// How a notice is said. Written before it is published and never changed after, so that a message that goes out once
/// more after a crash is the same message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// In a message of its own.
    Own,
    /// In a message of its own: the alert came and went before anybody was told.
    Gone,
    /// In a digest.
    Digest {
        /// The digest's sort key.
        sort: String,
        /// As something that came and went before anybody was told.
        gone: bool,
    },
    /// Not at all: there was nothing left to say.
    Dropped,
}

impl Said {
    /// As it stands in a row: a word, or the sort key of a digest, after `gone:` for what came and went.
    pub fn text(&self) -> String {
        match self {
            Said::Own => "own".into(),
            Said::Gone => "gone".into(),
            Said::Dropped => "dropped".into(),
            Said::Digest { sort, gone: false } => sort.clone(),
            Said::Digest { sort, gone: true } => format!("gone:{sort}"),
        }
    }

    /// What stands in a row.
    pub fn parse(text: &str) -> Self {
        match text {
            "own" => Said::Own,
            "gone" => Said::Gone,
            "dropped" => Said::Dropped,
            text => match text.strip_prefix("gone:") {
                Some(sort) => Said::Digest { sort: sort.into(), gone: true },
                None => Said::Digest { sort: text.into(), gone: false },
            },
        }
    }

    /// The same, in a digest.
    pub fn within(&self, digest: &NoticeRow) -> Self {
        Said::Digest { sort: digest.sort.clone(), gone: self.is_gone() }
    }

    /// Whether it says that the alert came and went.
    pub fn is_gone(&self) -> bool {
        matches!(self, Said::Gone | Said::Digest { gone: true, .. })
    }
}

/// What a notice is about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum About {
    /// One step of an alert.
    Alert {
        /// Its agent.
        agent: AgentId,
        /// The step.
        alert: Alert,
    },
    /// A minute's alerts; the digest once it is sealed.
    Digest(Option<Digest>),
}

/// One notice: a reason to tell one target something, as a row of the outbox.
#[derive(Clone, Debug, PartialEq)]
pub struct NoticeRow {
    /// Farm, the partition.
    pub farm: String,
    /// `<alert's sort key>#<mark>`, or a digest's.
    pub sort: String,
    /// Name of the target.
    pub target: String,
    /// Why it is told.
    pub phase: Phase,
    /// When it was planned, ms.
    pub created_ms: i64,
    /// When there is next something to do, ms. A claim puts it off to its own end, and is the claim.
    pub due_ms: i64,
    /// Publishes that failed.
    pub attempts: u32,
    /// How it is said, once that is settled.
    pub said: Option<Said>,
    /// When it was told.
    pub told_ms: Option<i64>,
    /// What it is about.
    pub about: About,
}

impl NoticeRow {
    /// Whether there is still something to do.
    pub fn is_pending(&self) -> bool {
        self.told_ms.is_none() && self.said != Some(Said::Dropped)
    }

    /// Sort key of the alert's row; `None` for a digest.
    pub fn alert_sort(&self) -> Option<String> {
        match &self.about {
            About::Alert { agent, alert } => Some(place::alert_sort(agent, alert)),
            About::Digest(_) => None,
        }
    }

    /// How severe what it says is.
    fn severity(&self) -> Severity {
        match &self.about {
            About::Alert { alert, .. } => alert.severity,
            About::Digest(_) => Severity::Info,
        }
    }

    /// What is said; `None` for a digest that is not sealed. `page`: the link to the farm's page.
    pub fn message(&self, page: Option<&str>) -> Option<Message> {
        match &self.about {
            About::Alert { agent, alert } => {
                let gone = self.said.as_ref().is_some_and(Said::is_gone);
                Some(message::message(&self.farm, agent, alert, self.phase, &self.sort, gone, page))
            }
            About::Digest(digest) => Some(digest.as_ref()?.message.clone()),
        }
    }
}

/// The notices that a step of an alert calls for, idempotent: the same step gives the same rows, but for the times.
pub fn notices_for(farm: &str, policy: &Policy, agent: &AgentId, alert: &Alert, now_ms: i64) -> Vec<NoticeRow> {
    let row = |(mark, wanted): (String, rules::Wanted)| NoticeRow {
        farm: farm.into(),
        sort: format!("{}#{mark}", place::alert_sort(agent, alert)),
        target: wanted.target,
        phase: wanted.phase,
        created_ms: now_ms,
        due_ms: wanted.due_ms,
        attempts: 0,
        said: None,
        told_ms: None,
        about: About::Alert { agent: agent.clone(), alert: alert.clone() },
    };
    policy.wanted(alert, now_ms).into_iter().map(row).collect()
}

#[cfg(test)]
mod tests;
