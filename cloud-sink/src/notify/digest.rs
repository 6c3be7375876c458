//! Many notices of one minute as one message.

use super::message::{ascii, attributes};
use super::{About, MINUTE_MS, Message, NoticeRow, Phase, Said};
use crate::place::sortable_time;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use windward_protocol::{Alert, Iso8601, Severity};

/// Most notices in one digest, so that it fits an item of DynamoDB. What is more goes into the next.
pub const MAX_MEMBERS: u32 = 1_500;
/// Lines of a digest; of the rest it gives the number.
const MAX_LINES: usize = 40;
/// After the end of the minute, ms: what was counted in its last moment has been put into the digest by then.
const SETTLES_MS: i64 = 2_000;
/// After the digest is due, its members look after themselves, ms.
const LEFT_MS: i64 = 2 * super::CLAIM_MS;

/// A digest once it is sealed: what goes out, and whom it speaks for. Neither changes any more, so that it goes out
/// the same however often it is tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Digest {
    /// What is said.
    pub message: Message,
    /// Sort keys of the notices it speaks for.
    pub members: BTreeSet<String>,
}

/// The digest of the minute of `now_ms` for the target of `row`, not sealed yet.
pub fn digest_row(row: &NoticeRow, now_ms: i64) -> NoticeRow {
    let minute_ms = minute_of(now_ms) * MINUTE_MS;
    NoticeRow {
        farm: row.farm.clone(),
        sort: format!("digest#{}#{}", sortable_time(minute_ms), row.target),
        target: row.target.clone(),
        phase: Phase::Digest,
        created_ms: now_ms,
        due_ms: minute_ms + MINUTE_MS + SETTLES_MS,
        attempts: 0,
        said: None,
        told_ms: None,
        about: About::Digest(None),
    }
}

/// The minute in which a message of this time is counted.
pub(super) fn minute_of(now_ms: i64) -> i64 {
    now_ms.div_euclid(MINUTE_MS)
}

impl NoticeRow {
    /// The minute of this digest, since 1970.
    pub fn minute(&self) -> i64 {
        minute_of(self.created_ms)
    }

    /// What stands in the members of this digest, as how they are said.
    pub fn members_say(&self) -> [String; 2] {
        [Said::Own, Said::Gone].map(|said| said.within(self).text())
    }

    /// When the members of this digest are looked at once more, in case it has left one out, ms.
    pub fn members_due_ms(&self) -> i64 {
        (self.minute() + 1) * MINUTE_MS + SETTLES_MS + LEFT_MS
    }
}

/// Seals a digest over its members.
pub(super) fn seal(row: &NoticeRow, members: &[NoticeRow], page: Option<&str>) -> Digest {
    let mut said: Vec<(&NoticeRow, &str, &Alert)> = members
        .iter()
        .filter_map(|member| match &member.about {
            About::Alert { agent, alert } => Some((member, agent.as_str(), alert)),
            About::Digest(_) => None,
        })
        .collect();
    said.sort_by_key(|(member, agent, alert)| {
        (std::cmp::Reverse(alert.severity), alert.location.as_str(), *agent, &member.sort)
    });
    let mut kinds: BTreeMap<&str, u32> = BTreeMap::new();
    for (_, _, alert) in &said {
        *kinds.entry(alert.kind.name()).or_default() += 1;
    }
    let severity = said.iter().map(|(_, _, alert)| alert.severity).max().unwrap_or(Severity::Info).name();
    let agents: Vec<&str> = said.iter().map(|(_, agent, _)| *agent).collect();
    let agent = match agents.as_slice() {
        [first, rest @ ..] if rest.iter().all(|agent| agent == first) => first,
        _ => "several",
    };
    let kind = if kinds.len() == 1 { kinds.keys().next().copied().unwrap_or("several") } else { "several" };
    let (farm, count) = (row.farm.as_str(), said.len());
    let lines: Vec<String> = said.iter().take(MAX_LINES).map(|(member, _, alert)| line(member, alert)).collect();
    let since = Iso8601(row.minute() * MINUTE_MS);
    let mut body = format!("{count} more messages of one minute at {farm}, the worst of them {severity}.\n\n");
    for (kind, times) in &kinds {
        // A String takes everything.
        writeln!(body, "{times:6}  {kind}").ok();
    }
    body.push('\n');
    lines.iter().for_each(|line| body.extend([line, "\n"]));
    if count > lines.len() {
        writeln!(body, "and {} more.", count - lines.len()).ok();
    }
    body.push_str(
        "\nSo many at once are seldom so many faults: think of the weather, the grid or the network first.\n",
    );
    writeln!(body, "Counted in the minute from {since}.").ok();
    if let Some(page) = page {
        writeln!(body, "Page: {page}").ok();
    }
    let farm_ascii: String = ascii(farm).chars().take(40).collect();
    Digest {
        message: Message {
            subject: format!("Windward: {count} messages of one minute at {farm_ascii} ({severity})"),
            body,
            attributes: attributes([farm, agent, kind, severity, Phase::Digest.name()]),
            json: json!({
                "farm": farm, "phase": Phase::Digest.name(), "agent": agent, "kind": kind, "severity": severity,
                "count": count, "kinds": kinds, "lines": lines, "minute": since.to_string(), "page": page,
            }),
            dedup_id: format!("digest-{}-{}", row.target, row.minute()),
            group_id: "digest".into(),
        },
        members: members.iter().map(|member| member.sort.clone()).collect(),
    }
}

fn line(member: &NoticeRow, alert: &Alert) -> String {
    let phase = match member.phase {
        _ if member.said.as_ref().is_some_and(Said::is_gone) => " (came and went)".into(),
        Phase::Open | Phase::Digest => String::new(),
        phase => format!(" ({})", phase.name()),
    };
    format!(
        "{}: {}: {}{phase}, opened {}: {}",
        alert.severity.name(),
        alert.location,
        alert.kind.name(),
        Iso8601(alert.opened_ms),
        alert.evidence
    )
}
