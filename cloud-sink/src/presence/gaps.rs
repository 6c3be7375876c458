//! Sequences that are missing without a word (invariant S4), and losses that agents have told: a lane, one alert.

use super::watch::Cause;
use super::{Known, Look, ms};
use crate::place::AgentRow;
use crate::query::Missing;
use std::collections::BTreeMap;
use windward_protocol::{AlertKind, Lane, Severity};

/// How long losses are gathered before they are told, ms.
const LOSS_HOLD_MS: i64 = 60_000;
/// How many times as long a sequence may be on its way when its agent says nothing of what is acked.
const UNTOLD_GAP: i64 = 6;

pub(super) fn causes(look: &Look, missing: &[Missing]) -> Vec<Cause> {
    let mut lanes: BTreeMap<&str, (Vec<&Missing>, Vec<&Missing>)> = BTreeMap::new();
    for one in missing {
        let (unexplained, lost) = lanes.entry(&one.partition).or_default();
        if one.reason.is_some() { lost.push(one) } else { unexplained.push(one) }
    }
    let mut causes = Vec::new();
    for (partition, (unexplained, lost)) in lanes {
        let Some((name, lane)) = partition.split_once('#') else { continue };
        let row = look.facts.agents.iter().find(|row| row.agent == name).cloned();
        // What is lost is lost, whether anything is expected of the agent now or not.
        let row = row.unwrap_or_else(|| AgentRow { agent: name.into(), ..AgentRow::default() });
        let Some(agent) = Known::of(&row) else { continue };
        causes.extend(unexplained_gap(look, &agent, lane, &unexplained));
        causes.extend(loss(look, &agent, lane, &lost));
    }
    causes
}

/// Losses, if there are more than were told.
fn loss(look: &Look, agent: &Known, lane: &str, lost: &[&Missing]) -> Option<Cause> {
    let level = count(lost);
    let told = look.watched(&agent.id, AlertKind::Loss, lane).map_or(0, |watch| watch.told);
    let evidence = format!("{}: {level} lost for good: {}", named(lane), ranges(lost));
    let cause = agent.cause(AlertKind::Loss, lane, evidence);
    (level > told).then_some(Cause { hold_ms: LOSS_HOLD_MS, level, ..cause })
}

/// What the agent holds unacked is on its way; what it holds to be acked is not. Where it says nothing, time tells. A lane
/// that is missing from its very beginning was begun with another store, and is told by the list of gaps only.
fn unexplained_gap(look: &Look, agent: &Known, lane: &str, missing: &[&Missing]) -> Option<Cause> {
    let (epoch, name) = lane.split_once('#')?;
    let is_alerts = name == Lane::Alerts.name();
    let is_current = agent.row.epoch.as_deref() == Some(epoch);
    let lane_of =
        |health: &crate::health::AgentHealth| if is_alerts { health.alerts.acked } else { health.readings.acked };
    let acked = agent.health.as_ref().filter(|_| is_current).map(lane_of);
    let is_gone = |one: &&&Missing| one.range.first > 1 && acked.is_none_or(|acked| one.range.first <= acked);
    let gone: Vec<&Missing> = missing.iter().filter(is_gone).copied().collect();
    let first = gone.first()?.range.first;
    let level = count(&gone);
    let evidence = match acked {
        Some(_) => format!("{}: {level} acked and not here: {}", named(lane), ranges(&gone)),
        None => format!("{}: {level} did not come: {}", named(lane), ranges(&gone)),
    };
    let hold_ms = ms(look.config.gap_after_s) * if acked.is_some() { 1 } else { UNTOLD_GAP };
    let severity = if is_alerts { Severity::Critical } else { Severity::Warning };
    // When the first of them comes, those that are missing then have their time.
    let floor = i64::try_from(first).map_or(i64::MIN, |first| -first);
    Some(Cause { hold_ms, level, floor, severity, ..agent.cause(AlertKind::GapsFound, lane, evidence) })
}

/// A lane, `<epoch>#<name>`, in words.
fn named(lane: &str) -> String {
    lane.split_once('#').map_or_else(|| lane.into(), |(epoch, name)| format!("{name}, epoch {epoch}"))
}

fn count(missing: &[&Missing]) -> i64 {
    let lengths = missing.iter().map(|one| one.range.last.saturating_sub(one.range.first).saturating_add(1));
    i64::try_from(lengths.fold(0, u64::saturating_add)).unwrap_or(i64::MAX)
}

/// The first of some ranges, with reasons.
fn ranges(missing: &[&Missing]) -> String {
    const FIRST: usize = 5;
    let one = |missing: &&Missing| {
        let reason = missing.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        format!("{}-{}{reason}", missing.range.first, missing.range.last)
    };
    let mut words: Vec<String> = missing.iter().take(FIRST).map(one).collect();
    if missing.len() > FIRST {
        words.push(format!("and {} more", missing.len() - FIRST));
    }
    words.join(", ")
}
