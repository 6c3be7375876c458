//! What is being watched, and the steps from a cause to an alert and back. The store holds the watches, the sink none,
//! so that several sinks, or an invocation a minute, take the steps together: each change is written only over the very
//! revision that was read. What is to be told is part of the watch until it was told: who falls behind, or dies, tells
//! what stands there or nothing.
//!
//! ```text
//!   (nothing) ──cause──▶ Waiting ──held for as long as its cause must──▶ Open ──away for `settle`──▶ (nothing)
//!                 ◀──away──┘                                              └──a loss──▶ Done ──more lost──▶ Waiting
//! ```

use crate::place::{AlertStep, fnv1a, sortable_time};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use windward_protocol::{AgentId, Alert, AlertKind, AlertPhase, Severity};

/// A cause for an alert, as it is now.
#[derive(Clone, Debug, PartialEq)]
pub struct Cause {
    /// Agent it is about, or [`super::SINK`].
    pub agent: AgentId,
    /// Kind.
    pub kind: AlertKind,
    /// What of the agent, where there can be several: a device, a lane.
    pub subject: String,
    /// Since when, if the facts tell; else since it was first seen.
    pub since_ms: Option<i64>,
    /// How long it must be seen before it is told, ms.
    pub hold_ms: i64,
    /// How bad it is, in a figure of its own that is told again when it has doubled.
    pub level: i64,
    /// A cause that is not told yet begins anew when this falls: what was missing came, what was growing fell.
    pub floor: i64,
    /// Severity.
    pub severity: Severity,
    /// Where.
    pub location: String,
    /// Device, if it is about one.
    pub device: String,
    /// What is seen, in words.
    pub evidence: String,
}

/// How far a watch has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// Its cause is seen, and not told yet.
    Waiting,
    /// Its alert is open.
    Open,
    /// Its alert is over, and what it told is not told again.
    Done,
}

/// One thing that is watched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Watch {
    /// Agent.
    pub agent: AgentId,
    /// Kind.
    pub kind: AlertKind,
    /// What of the agent.
    pub subject: String,
    /// How far it has come.
    pub stage: Stage,
    /// Since when; the alert's `opened_ms`.
    pub since_ms: i64,
    /// When it was first seen.
    pub seen_ms: i64,
    /// The cause's floor when it was first seen.
    pub floor: i64,
    /// The level that was told last; 0 before.
    pub told: i64,
    /// The severity that was told last.
    pub severity: Severity,
    /// Since when the cause is away.
    pub away_ms: Option<i64>,
    /// Where; the alert's.
    pub location: String,
    /// Device; the alert's.
    pub device: String,
    /// What is to be told before anything else comes of it.
    pub pending: Option<Alert>,
}

/// The watches of a farm by key, each with its revision.
pub type Watches = BTreeMap<String, (i64, Watch)>;

/// One step: first the alert, then the watch.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Key of the watch.
    pub key: String,
    /// The revision that was read; `None` if there was no such watch.
    pub before: Option<i64>,
    /// What becomes of it; `None`: it goes.
    pub after: Option<Watch>,
    /// What is told.
    pub alert: Option<AlertStep>,
}

/// The key of a watch.
pub fn key(agent: &AgentId, kind: AlertKind, subject: &str) -> String {
    format!("{agent}#{}#{subject}", kind.name())
}

/// The steps that follow from the causes. `is_judged`: whether causes of this kind were looked for; the watches of
/// other kinds stay as they are.
pub fn steps(
    farm: &str,
    watches: &Watches,
    causes: &[Cause],
    is_judged: impl Fn(&Watch) -> bool,
    settle_ms: i64,
    now_ms: i64,
) -> Vec<Step> {
    let mut causes: BTreeMap<String, &Cause> =
        causes.iter().map(|cause| (key(&cause.agent, cause.kind, &cause.subject), cause)).collect();
    let mut steps = Vec::new();
    for (key, (revision, watch)) in watches {
        let cause = causes.remove(key);
        if let Some(alert) = &watch.pending {
            let alert = Some(own_step(farm, &watch.agent, alert.clone()));
            steps.push(Step { key: key.clone(), before: Some(*revision), after: told(watch), alert });
            continue;
        }
        let changed = match cause {
            Some(cause) => with_cause(watch, cause, now_ms).map(Some),
            None if is_judged(watch) => without_cause(watch, settle_ms, now_ms),
            None => None,
        };
        steps.extend(changed.map(|after| Step { key: key.clone(), before: Some(*revision), after, alert: None }));
    }
    for (key, cause) in causes {
        steps.push(Step { key, before: None, after: Some(begun(cause, 0, now_ms)), alert: None });
    }
    steps
}

fn begun(cause: &Cause, told: i64, now_ms: i64) -> Watch {
    Watch {
        agent: cause.agent.clone(),
        kind: cause.kind,
        subject: cause.subject.clone(),
        stage: Stage::Waiting,
        since_ms: cause.since_ms.unwrap_or(now_ms),
        seen_ms: now_ms,
        floor: cause.floor,
        told,
        severity: cause.severity,
        away_ms: None,
        location: cause.location.clone(),
        device: cause.device.clone(),
        pending: None,
    }
}

/// What becomes of a watch whose cause is there; `None`: nothing.
fn with_cause(watch: &Watch, cause: &Cause, now_ms: i64) -> Option<Watch> {
    let mut after = Watch { away_ms: None, ..watch.clone() };
    match watch.stage {
        Stage::Done => return Some(begun(cause, watch.told, now_ms)),
        Stage::Waiting if cause.floor < watch.floor => return Some(begun(cause, watch.told, now_ms)),
        Stage::Waiting if now_ms < watch.seen_ms + cause.hold_ms => return None,
        Stage::Waiting => {
            (after.stage, after.told, after.severity) = (Stage::Open, cause.level, cause.severity);
            let at_ms = watch.seen_ms + cause.hold_ms;
            after.pending = Some(alert(&after, AlertPhase::Open, at_ms, &cause.evidence));
            return Some(after);
        }
        Stage::Open => {}
    }
    // Each loss is one more; what only grows is told again at twice the size.
    let next = if cause.kind == AlertKind::Loss { watch.told + 1 } else { watch.told.saturating_mul(2).max(1) };
    if cause.severity > watch.severity || cause.level >= next {
        (after.told, after.severity) = (cause.level, cause.severity.max(watch.severity));
        after.pending = Some(alert(&after, AlertPhase::Update, now_ms, &cause.evidence));
    }
    (after != *watch).then_some(after)
}

/// What becomes of a watch whose cause is away; `None`: nothing, `Some(None)`: it goes.
fn without_cause(watch: &Watch, settle_ms: i64, now_ms: i64) -> Option<Option<Watch>> {
    match (watch.stage, watch.away_ms) {
        // What losses were told before is not forgotten.
        (Stage::Waiting, _) if watch.told > 0 => Some(Some(Watch { stage: Stage::Done, ..watch.clone() })),
        (Stage::Waiting, _) => Some(None),
        (Stage::Done, _) => None,
        (Stage::Open, None) => Some(Some(Watch { away_ms: Some(now_ms), ..watch.clone() })),
        (Stage::Open, Some(away_ms)) if now_ms < away_ms + settle_ms => None,
        (Stage::Open, Some(away_ms)) => {
            let pending = Some(alert(watch, AlertPhase::Clear, away_ms, "it is over"));
            Some(Some(Watch { pending, ..watch.clone() }))
        }
    }
}

/// What becomes of a watch whose alert was told; `None`: it goes.
fn told(watch: &Watch) -> Option<Watch> {
    let is_over = watch.pending.as_ref().is_some_and(|alert| alert.phase == AlertPhase::Clear);
    let after = Watch { pending: None, ..watch.clone() };
    match watch.kind {
        _ if !is_over => Some(after),
        AlertKind::Loss => Some(Watch { stage: Stage::Done, away_ms: None, ..after }),
        _ => None,
    }
}

fn alert(watch: &Watch, phase: AlertPhase, at_ms: i64, evidence: &str) -> Alert {
    let name = format!("{}#{}#{}", key(&watch.agent, watch.kind, &watch.subject), watch.since_ms, watch.seen_ms);
    let id = fnv1a(name.as_bytes().iter());
    Alert {
        id,
        phase,
        kind: watch.kind,
        severity: watch.severity,
        location: watch.location.clone(),
        device: watch.device.clone(),
        channel: String::new(),
        opened_ms: watch.since_ms,
        at_ms,
        synced: true,
        value: None,
        unit: String::new(),
        wind_speed: None,
        score: None,
        threshold: None,
        evidence: evidence.into(),
    }
}

/// The step of an alert of the sink's own, which no envelope carried.
pub(crate) fn own_step(farm: &str, agent: &AgentId, alert: Alert) -> AlertStep {
    let describes = u8::from(alert.phase != AlertPhase::Clear);
    AlertStep {
        farm: farm.into(),
        sort: crate::place::alert_sort(agent, &alert),
        agent: agent.clone(),
        said: format!("{describes}#{}#{:016x}#{:020}", sortable_time(alert.at_ms), 0, 0),
        alert,
    }
}
