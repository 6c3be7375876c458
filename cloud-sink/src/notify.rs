//! An alert to the message people get, and the steps that tell it once (invariant S2).
//!
//! ```text
//!   Claim ──ours──▶ Publish ──ok──▶ Mark ──▶ told
//!     │                └──failed──▶ Release ──▶ later
//!     ├──told already──▶ told
//!     └──another holds it──▶ later
//! ```
//! A claim ends by itself after [`CLAIM_MS`], so a sink that dies between two steps holds nothing up. Should it die
//! between Publish and Mark, the message goes out again under the same [`Message::dedup_id`], which a FIFO topic and a
//! receiver that honours `Idempotency-Key` absorb.

use serde_json::{Value as Json, json};
use windward_protocol::{AgentId, Alert, AlertPhase, Iso8601};

/// How long a claim holds, ms: longer than any attempt to publish may take.
pub const CLAIM_MS: i64 = 30_000;

/// Longest subject SNS takes, in ASCII characters.
const MAX_SUBJECT: usize = 100;

/// Who is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// The SNS topic.
    pub sns: bool,
    /// The webhook.
    pub webhook: bool,
    /// Whether the end of an alert is told too.
    pub clear: bool,
}

/// Where a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// The SNS topic.
    Sns,
    /// The webhook.
    Webhook,
}

/// One message to one target, and the alert it belongs to.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// Where it goes.
    pub target: Target,
    /// Farm of the alert's row.
    pub farm: String,
    /// Sort key of the alert's row.
    pub sort: String,
    /// Phase told: open or clear.
    pub phase: AlertPhase,
    /// What is said.
    pub message: Message,
}

impl Notice {
    /// Name of the claim and mark on the alert's row: `open_sns`, `clear_webhook`.
    pub fn mark(&self) -> String {
        let target = match self.target {
            Target::Sns => "sns",
            Target::Webhook => "webhook",
        };
        format!("{}_{target}", self.phase.name())
    }
}

/// What is said, in the forms targets need.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// One line of ASCII, at most 100 characters.
    pub subject: String,
    /// The whole in plain words.
    pub body: String,
    /// For subscription filters: farm, agent, kind, severity, phase.
    pub attributes: [(&'static str, String); 5],
    /// The same as data, for the webhook.
    pub json: Json,
    /// The same for every copy of this message: agent, alert and phase.
    pub dedup_id: String,
    /// Messages of one group stay in order: the agent.
    pub group_id: String,
}

/// One thing to do next for a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Reserve the notice in the store.
    Claim,
    /// Send the message.
    Publish,
    /// Record in the store that it was sent.
    Mark,
    /// Give the reservation back.
    Release,
}

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepResult {
    /// Done.
    Done,
    /// Claim only: it was told before.
    ToldBefore,
    /// Claim only: another holds it, now.
    Held,
    /// It failed; the shell has logged why.
    Failed,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Do this.
    Do(Step),
    /// The notice is told and marked.
    Told,
    /// Begin again with a claim, later.
    Later,
}

/// The step after `step` ended with `result`; every notice begins with [`Step::Claim`].
pub fn next(step: Step, result: StepResult) -> Next {
    match (step, result) {
        (Step::Claim, StepResult::Done) => Next::Do(Step::Publish),
        (Step::Claim, StepResult::ToldBefore) => Next::Told,
        (Step::Publish, StepResult::Done) => Next::Do(Step::Mark),
        (Step::Publish, _) => Next::Do(Step::Release),
        (Step::Mark, StepResult::Done) => Next::Told,
        // A message that went out unmarked keeps its claim: to publish it again at once would repeat it.
        (Step::Claim | Step::Mark | Step::Release, _) => Next::Later,
    }
}

/// The notices an alert's step calls for; none for updates, which change the row only.
pub fn notices(farm: &str, agent: &AgentId, sort: &str, alert: &Alert, policy: Policy) -> Vec<Notice> {
    let told = match alert.phase {
        AlertPhase::Open => true,
        AlertPhase::Update => false,
        AlertPhase::Clear => policy.clear,
    };
    if !told {
        return Vec::new();
    }
    let message = message(farm, agent, alert);
    [(policy.sns, Target::Sns), (policy.webhook, Target::Webhook)]
        .into_iter()
        .filter(|(enabled, _)| *enabled)
        .map(|(_, target)| Notice {
            target,
            farm: farm.into(),
            sort: sort.into(),
            phase: alert.phase,
            message: message.clone(),
        })
        .collect()
}

fn message(farm: &str, agent: &AgentId, alert: &Alert) -> Message {
    let (phase, kind, severity) = (alert.phase.name(), alert.kind.name(), alert.severity.name());
    Message {
        subject: subject(alert),
        body: body(farm, agent, alert),
        attributes: [
            ("farm", farm.into()),
            ("agent", agent.to_string()),
            ("kind", kind.into()),
            ("severity", severity.into()),
            ("phase", phase.into()),
        ],
        json: json!({
            "farm": farm, "agent": agent.as_str(), "id": format!("{:016x}", alert.id), "phase": phase, "kind": kind,
            "severity": severity, "location": alert.location, "device": alert.device, "channel": alert.channel,
            "opened": Iso8601(alert.opened_ms).to_string(), "at": Iso8601(alert.at_ms).to_string(),
            "clock_set": alert.synced, "value": alert.value, "unit": alert.unit, "wind_speed": alert.wind_speed,
            "anomaly_score": alert.score, "threshold": alert.threshold, "evidence": alert.evidence,
        }),
        dedup_id: format!("{agent}-{:016x}-{phase}", alert.id),
        group_id: agent.to_string(),
    }
}

fn subject(alert: &Alert) -> String {
    let ended = if alert.phase == AlertPhase::Clear { "ended: " } else { "" };
    let (kind, severity) = (alert.kind.name(), alert.severity.name());
    // SNS refuses a subject with anything but printable ASCII, and names of places hold more than that.
    let location: String =
        alert.location.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect();
    let fixed = format!("Windward: {ended}{kind} at  ({severity})").len();
    let location = &location[..location.len().min(MAX_SUBJECT.saturating_sub(fixed))];
    format!("Windward: {ended}{kind} at {location} ({severity})")
}

fn body(farm: &str, agent: &AgentId, alert: &Alert) -> String {
    let mut lines = vec![
        match alert.phase {
            AlertPhase::Clear => format!("An alert has ended: {} at {}.", alert.kind.name(), alert.location),
            _ => format!("{} at {}: {}.", capitalised(alert.kind.name()), alert.location, alert.severity.name()),
        },
        alert.evidence.clone(),
        String::new(),
        format!("Farm: {farm}"),
        format!("Location: {}", alert.location),
        format!("Agent: {agent}"),
        format!("Device: {}", alert.device),
    ];
    if !alert.channel.is_empty() {
        lines.push(format!("Channel: {}", alert.channel));
    }
    let clock = if alert.synced { "" } else { " (the agent's clock is not set)" };
    lines.push(format!("Opened: {}{clock}", Iso8601(alert.opened_ms)));
    if alert.phase == AlertPhase::Clear {
        lines.push(format!("Ended: {}", Iso8601(alert.at_ms)));
    }
    let number = |name: &str, value: Option<f64>, unit: &str| {
        value.map(|value| format!("{name}: {value:.2} {unit}").trim_end().to_string())
    };
    lines.extend(number("Value", alert.value, &alert.unit));
    lines.extend(number("Wind speed", alert.wind_speed, "m/s"));
    lines.extend(number("Anomaly score", alert.score, ""));
    lines.extend(number("Threshold", alert.threshold, ""));
    lines.push(String::new());
    lines.join("\n")
}

fn capitalised(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(chars).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use windward_protocol::{AlertKind, Severity};

    fn alert(phase: AlertPhase, location: &str) -> Alert {
        Alert {
            id: 0x2a,
            phase,
            kind: AlertKind::Anomaly,
            severity: Severity::Critical,
            location: location.into(),
            device: "anemometer".into(),
            channel: "wind_speed".into(),
            opened_ms: 1_795_182_840_000,
            at_ms: 1_795_182_841_000,
            synced: true,
            value: Some(31.2),
            unit: "m/s".into(),
            wind_speed: Some(31.2),
            score: Some(4.125),
            threshold: Some(3.0),
            evidence: "Rose by 20 m/s within 1 s.".into(),
        }
    }

    fn all(phase: AlertPhase, policy: Policy) -> Vec<Notice> {
        let agent = AgentId::new("t1").unwrap();
        notices("north-ridge", &agent, "sort", &alert(phase, "Turbine 1, nacelle"), policy)
    }

    #[test]
    fn the_message_names_what_the_crew_must_know() {
        let policy = Policy { sns: true, ..Policy::default() };
        let message = all(AlertPhase::Open, policy).remove(0).message;
        assert_eq!(message.subject, "Windward: anomaly at Turbine 1, nacelle (critical)");
        assert_eq!(
            message.body,
            "Anomaly at Turbine 1, nacelle: critical.\nRose by 20 m/s within 1 s.\n\nFarm: north-ridge\n\
             Location: Turbine 1, nacelle\nAgent: t1\nDevice: anemometer\nChannel: wind_speed\n\
             Opened: 2026-11-20T13:54:00.000Z\nValue: 31.20 m/s\nWind speed: 31.20 m/s\nAnomaly score: 4.12\n\
             Threshold: 3.00\n"
        );
        assert_eq!(message.dedup_id, "t1-000000000000002a-open");
    }

    #[test]
    fn a_subject_is_what_sns_takes() {
        for location in ["Höhe 7", "two\nlines", &"far ".repeat(60), ""] {
            for phase in [AlertPhase::Open, AlertPhase::Clear] {
                let subject = subject(&alert(phase, location));
                assert!(subject.len() <= 100, "{subject}");
                assert!(subject.bytes().all(|b| b == b' ' || b.is_ascii_graphic()), "{subject}");
                assert!(subject.ends_with("(critical)"), "{subject}");
            }
        }
    }

    #[test]
    fn people_are_told_of_an_opening_and_if_wished_of_the_end() {
        let mut policy = Policy { sns: true, webhook: true, clear: false };
        let marks = |phase, policy| -> Vec<String> { all(phase, policy).iter().map(Notice::mark).collect() };
        assert_eq!(marks(AlertPhase::Open, policy), ["open_sns", "open_webhook"]);
        assert!(marks(AlertPhase::Update, policy).is_empty());
        assert!(marks(AlertPhase::Clear, policy).is_empty());
        policy.clear = true;
        assert_eq!(marks(AlertPhase::Clear, policy), ["clear_sns", "clear_webhook"]);
        assert!(marks(AlertPhase::Open, Policy::default()).is_empty());
    }
}
