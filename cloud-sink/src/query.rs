//! Rows to answers: what the tables hold, for pages and people.

use crate::answer::{Agent, Alert, AlertState, Gap, Moment, Poison, Readings, Window};
use crate::decode::{Name, name_of};
use crate::place::{self, AgentRow, AlertRow, GapRow, LedgerRow, PoisonRow, SKIPPED, StatsRow, two_decimals};
use crate::presence;
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use windward_protocol::{Block, Channel, Envelope, Iso8601, NoData, Record, SeqRange, SeqSet, parse_iso8601};

/// How long before the time asked for a block may begin and still hold rows of it, ms. An agent closes its blocks
/// within a minute.
pub const LOOK_BACK_MS: i64 = 120_000;

/// A time given by a client: milliseconds since 1970, or ISO 8601 in UTC.
pub fn parse_time(text: &str) -> Result<i64, String> {
    let ms = text.parse().ok().or_else(|| parse_iso8601(text));
    ms.ok_or_else(|| format!("{text:?} is neither milliseconds since 1970 nor a time like 2026-11-20T13:54:00Z"))
}

/// One agent.
pub fn agent(row: &AgentRow, now_ms: i64) -> Agent {
    let parsed = |text: &Option<String>| -> Json {
        text.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Json::Null)
    };
    Agent {
        agent: row.agent.clone(),
        online: row.online,
        seen_ms: row.seen_ms,
        age_ms: row.seen_ms.map(|seen_ms| now_ms.saturating_sub(seen_ms).max(0)),
        heard_ms: row.alive_ms,
        epoch: row.epoch.clone(),
        version: row.version.clone(),
        started_ms: row.started_ms,
        devices: parsed(&row.manifest),
        health: parsed(&row.health),
    }
}

/// When each agent last started, by the agent's clock.
pub fn starts(agents: &[AgentRow]) -> BTreeMap<&str, i64> {
    agents.iter().filter_map(|row| Some((row.agent.as_str(), row.started_ms?))).collect()
}

/// The state of an alert. It is `Restarted` when its agent has started anew and has not spoken of it since: it lost its
/// state, and were the cause still there, another alert would be open. What the sink has seen itself, no restart of an
/// agent makes forgotten. `starts` is what [`starts`] gives.
pub fn alert_state(row: &AlertRow, starts: &BTreeMap<&str, i64>) -> AlertState {
    let is_restarted = starts.get(row.agent.as_str()).is_some_and(|started_ms| row.at_ms < *started_ms);
    match row.cleared_ms {
        Some(_) => AlertState::Cleared,
        None if is_restarted && !presence::is_own(&row.kind) => AlertState::Restarted,
        None => AlertState::Open,
    }
}

/// One alert, with its [`alert_state`].
pub fn alert(row: &AlertRow, starts: &BTreeMap<&str, i64>) -> Alert {
    let acknowledged = row.acknowledged.as_ref();
    Alert {
        agent: row.agent.clone(),
        id: format!("{:016x}", row.id),
        location: row.location.clone(),
        device: row.device.clone(),
        channel: row.channel.clone(),
        kind: row.kind.clone(),
        severity: row.severity.clone(),
        state: alert_state(row, starts),
        opened: Iso8601(row.opened_ms).to_string(),
        opened_ms: row.opened_ms,
        updated_ms: row.at_ms.max(row.cleared_ms.unwrap_or(row.at_ms)),
        cleared_ms: row.cleared_ms,
        value: row.value,
        unit: row.unit.clone(),
        wind_speed: row.wind_speed,
        anomaly_score: row.anomaly_score,
        threshold: row.threshold,
        evidence: row.evidence.clone(),
        notified_ms: row.notified_ms,
        acknowledged_by: acknowledged.map(|acknowledged| acknowledged.by.clone()),
        acknowledged_ms: acknowledged.map(|acknowledged| acknowledged.at_ms),
        note: acknowledged.map(|acknowledged| acknowledged.note.clone()),
        comments: row.comments.clone(),
    }
}

/// The rows of some stored blocks of one device, between `from_ms` and `to_ms`, both included.
pub fn readings(stored: &[Vec<u8>], from_ms: i64, to_ms: i64) -> Readings {
    let mut answer = Readings::default();
    for block in blocks(stored) {
        for row in block.rows() {
            if (from_ms..=to_ms).contains(&row.time_ms) {
                answer.rows.push(moment(&row, &block.channels, block.synced));
            }
        }
        (answer.location, answer.channels) = (block.location, json!(block.channels));
    }
    answer.rows.sort_by_key(|row| row.time_ms);
    answer
}

/// The blocks in stored rows, each once: where two sinks took the same envelope at the same time, it can stand in two
/// rows. Only what decoded was stored; bytes damaged since then cost their own readings and no others.
pub fn blocks(stored: &[Vec<u8>]) -> impl Iterator<Item = Block> {
    named_blocks(stored).map(|(_, block)| block)
}

/// [`blocks`], each with its name.
pub fn named_blocks(stored: &[Vec<u8>]) -> impl Iterator<Item = (Name, Block)> {
    let mut met = BTreeSet::new();
    let envelopes = stored.iter().flat_map(|row| place::envelopes(row));
    envelopes.filter_map(move |bytes| {
        let envelope = Envelope::decode(&bytes).ok()?;
        let name = name_of(&envelope);
        let Record::Block(block) = envelope.record else { return None };
        met.insert(name.clone()).then_some((name, block))
    })
}

/// Statistics of one window.
pub fn stats(row: &StatsRow) -> Window {
    Window {
        start: row.sort.clone(),
        start_ms: parse_iso8601(&row.sort),
        window_ms: row.window_ms,
        unit: row.unit.clone(),
        n: row.n,
        due: row.due,
        availability: (row.due > 0).then(|| f64::from(row.n) / f64::from(row.due)),
        mean: row.mean,
        min: row.min,
        max: row.max,
        std: row.std,
        turbulence: row.turbulence,
        gust_3s: row.gust_3s,
    }
}

pub(crate) fn moment(row: &windward_protocol::Row, channels: &[Channel], synced: bool) -> Moment {
    let (time_ms, mut values, mut no_data, mut scores) =
        (row.time_ms, BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for (index, channel) in channels.iter().enumerate() {
        let name = || channel.name.clone();
        match row.readings[index] {
            Ok(value) => drop(values.insert(name(), Some(value.as_f64()).filter(|value| value.is_finite()))),
            // Nothing was to be read at this time, so there is nothing to say of it.
            Err(NoData::NotDue) => {}
            Err(reason) => drop(no_data.insert(name(), reason.to_string())),
        }
        if let Some(score) = row.scores[index] {
            scores.insert(name(), two_decimals(score));
        }
    }
    Moment { time: Iso8601(time_ms).to_string(), time_ms, synced, values, no_data, scores }
}

/// One refused message; its bytes as hex, the first 256 of them.
pub fn poison(row: &PoisonRow) -> Poison {
    Poison {
        agent: row.partition.clone(),
        topic: row.topic.clone(),
        reason: row.reason.clone(),
        first_seen: Iso8601(row.at_ms).to_string(),
        first_seen_ms: row.at_ms,
        length: row.bytes.len(),
        bytes: row.bytes.iter().take(256).map(|byte| format!("{byte:02x}")).collect(),
    }
}

/// Sequences of one lane that are not here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// `<agent>#<epoch>#<lane>`.
    pub partition: String,
    /// Which.
    pub range: SeqRange,
    /// Why, if the agent has said so.
    pub reason: Option<String>,
}

/// The sequences below the greatest seen that are missing, a lane after the other (invariant S4). Where the agent has
/// said why, the reason stands there; the others may still be on their way. Numbers that were never given out are not
/// missing. Without the `whole` ledger, nothing is said of what lies before the first sequence in it.
pub fn missing(ledger: &[LedgerRow], whole: bool, reported: &[GapRow]) -> Vec<Missing> {
    let mut lanes: BTreeMap<&str, (SeqSet, Vec<&GapRow>)> = BTreeMap::new();
    for row in ledger {
        let seen = &mut lanes.entry(&row.partition).or_default().0;
        row.seen.ranges().for_each(|range| seen.insert(range));
    }
    for row in reported {
        lanes.entry(&row.partition).or_default().1.push(row);
    }
    let mut missing = Vec::new();
    for (partition, (mut seen, reported)) in lanes {
        let mut miss = |first, last, reason: Option<&String>| {
            let range = SeqRange { first, last };
            missing.push(Missing { partition: partition.into(), range, reason: reason.cloned() });
        };
        for gap in reported {
            if gap.reason != SKIPPED {
                miss(gap.from, gap.to, Some(&gap.reason));
            }
            if gap.from <= gap.to {
                seen.insert(SeqRange { first: gap.from, last: gap.to });
            }
        }
        let first = seen.ranges().next().map_or(1, |range| range.first);
        let mut next = if whole { 1 } else { first };
        for range in seen.ranges() {
            if range.first > next {
                miss(next, range.first - 1, None);
            }
            next = range.last.saturating_add(1);
        }
    }
    missing
}

/// What is [`missing`], for people.
pub fn gaps(ledger: &[LedgerRow], whole: bool, reported: &[GapRow]) -> Vec<Gap> {
    missing(ledger, whole, reported).into_iter().map(gap).collect()
}

fn gap(missing: Missing) -> Gap {
    let mut parts = missing.partition.split('#').map(str::to_string);
    let mut part = || parts.next().unwrap_or_default();
    let Missing { range, reason, .. } = missing.clone();
    let state = if reason.is_some() { "lost" } else { "not received" };
    Gap { agent: part(), epoch: part(), lane: part(), from: range.first, to: range.last, reason, state }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::LEDGER_BUCKET;

    #[test]
    fn gaps_are_what_was_neither_seen_nor_explained() {
        let seen = |bucket, rests: &[u64]| LedgerRow {
            partition: "t1#00000000000000ff#readings".into(),
            bucket,
            seen: rests.iter().map(|rest| bucket * LEDGER_BUCKET + rest).collect(),
        };
        let reported =
            GapRow { partition: "t1#00000000000000ff#readings".into(), from: 5, to: 1023, reason: "power cut".into() };
        let answer = gaps(&[seen(0, &[2, 4]), seen(1, &[0, 3])], true, &[reported]);
        let told: Vec<_> = answer.iter().map(|gap| (gap.from, gap.to, gap.reason.as_deref())).collect();
        assert_eq!(told, [(5, 1023, Some("power cut")), (1, 1, None), (3, 3, None), (1025, 1026, None)]);
        assert_eq!(answer[0].lane, "readings");
    }

    #[test]
    fn what_was_never_given_out_is_not_missing() {
        let partition = "t1#00000000000000ff#readings";
        let seen = LedgerRow { partition: partition.into(), bucket: 0, seen: [1, 2, 9].into_iter().collect() };
        let skipped = GapRow { partition: partition.into(), from: 3, to: 8, reason: SKIPPED.into() };
        assert_eq!(gaps(&[seen], true, &[skipped]), []);
    }

    #[test]
    fn times_are_milliseconds_or_iso() {
        assert_eq!(parse_time("1500"), Ok(1500));
        assert_eq!(parse_time("1970-01-01T00:00:01.5Z"), Ok(1500));
        assert!(parse_time("yesterday").unwrap_err().contains("2026-11-20T13:54:00Z"));
    }
}
