//! A notice in plain words, in the forms that targets need.

use super::Phase;
use crate::place::alert_sort;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use windward_protocol::{AgentId, Alert, AlertKind, Iso8601};

/// Longest subject SNS takes, in ASCII characters.
const MAX_SUBJECT: usize = 100;

/// What is said, in the forms targets need.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// One line of ASCII, at most 100 characters.
    pub subject: String,
    /// The whole in plain words.
    pub body: String,
    /// For subscription filters: farm, agent, kind, severity, phase.
    pub attributes: Vec<(String, String)>,
    /// The same as data, for the webhook.
    pub json: Json,
    /// The same for every copy of this message: agent, alert and phase.
    pub dedup_id: String,
    /// Messages of one group stay in order: the agent.
    pub group_id: String,
}

/// The message of the notice `sort`. `gone`: the alert came and went before anybody was told.
pub(super) fn message(
    farm: &str,
    agent: &AgentId,
    alert: &Alert,
    phase: Phase,
    sort: &str,
    gone: bool,
    page: Option<&str>,
) -> Message {
    let (kind, severity) = (alert.kind.name(), alert.severity.name());
    // `<mark>#<target>` without the target.
    let mark = sort.strip_prefix(&alert_sort(agent, alert)).and_then(|mark| mark.rsplit_once('#'));
    let mark = mark.map_or("", |(mark, _)| mark).replace('#', "-");
    Message {
        subject: subject(said(phase, gone).0, alert),
        body: body(farm, agent, alert, phase, gone, page),
        attributes: attributes([farm, agent.as_str(), kind, severity, phase.name()]),
        json: json!({
            "farm": farm, "agent": agent.as_str(), "id": format!("{:016x}", alert.id), "phase": phase.name(),
            "came_and_went": gone, "kind": kind,
            "severity": severity, "location": alert.location, "device": alert.device, "channel": alert.channel,
            "opened": Iso8601(alert.opened_ms).to_string(), "at": Iso8601(alert.at_ms).to_string(),
            "clock_set": alert.synced, "value": alert.value, "unit": alert.unit, "wind_speed": alert.wind_speed,
            "anomaly_score": alert.score, "threshold": alert.threshold, "evidence": alert.evidence,
            "meaning": meaning(alert.kind), "page": page,
        }),
        dedup_id: format!("{agent}-{:016x}{mark}", alert.id),
        group_id: agent.to_string(),
    }
}

/// Named as subscriptions filter by them.
pub(super) fn attributes(values: [&str; 5]) -> Vec<(String, String)> {
    let names = ["farm", "agent", "kind", "severity", "phase"];
    names.into_iter().zip(values).map(|(name, value)| (name.into(), value.into())).collect()
}

/// What sets a phase apart: in the subject, and as a sentence.
fn said(phase: Phase, gone: bool) -> (&'static str, &'static str) {
    match phase {
        Phase::Clear => ("ended: ", ""),
        _ if gone => ("came and went: ", "It ended before you were told."),
        Phase::Update => ("worse: ", "It has grown worse."),
        Phase::Repeat => ("still open: ", "It still lasts, and nobody has acknowledged it."),
        Phase::Escalate => ("nobody answers: ", "It lasts, and those who were told have not acknowledged it."),
        Phase::Open | Phase::Digest => ("", ""),
    }
}

fn subject(before: &str, alert: &Alert) -> String {
    let (kind, severity) = (alert.kind.name(), alert.severity.name());
    let location = ascii(&alert.location);
    let fixed = format!("Windward: {before}{kind} at  ({severity})").len();
    let location = &location[..location.len().min(MAX_SUBJECT.saturating_sub(fixed))];
    format!("Windward: {before}{kind} at {location} ({severity})")
}

/// SNS refuses a subject with anything but printable ASCII, and names of places hold more than that.
pub(super) fn ascii(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect()
}

fn body(farm: &str, agent: &AgentId, alert: &Alert, phase: Phase, gone: bool, page: Option<&str>) -> String {
    let (kind, severity) = (alert.kind.name(), alert.severity.name());
    let mut lines = vec![
        match phase {
            Phase::Clear => format!("An alert has ended: {kind} at {}.", alert.location),
            _ => format!("{} at {}: {severity}.", capitalised(kind), alert.location),
        },
        alert.evidence.clone(),
    ];
    lines.extend(Some(said(phase, gone).1).filter(|words| !words.is_empty()).map(str::to_string));
    if phase != Phase::Clear {
        lines.extend([String::new(), meaning(alert.kind).to_string()]);
    }
    lines.extend([
        String::new(),
        format!("Farm: {farm}"),
        format!("Location: {}", alert.location),
        format!("Agent: {agent}"),
        format!("Device: {}", alert.device),
    ]);
    if !alert.channel.is_empty() {
        lines.push(format!("Channel: {}", alert.channel));
    }
    let clock = if alert.synced { "" } else { " (the agent's clock is not set)" };
    lines.push(format!("Opened: {}{clock}", Iso8601(alert.opened_ms)));
    if phase == Phase::Clear {
        lines.push(format!("Ended: {}", Iso8601(alert.at_ms)));
    }
    let number = |name: &str, value: Option<f64>, unit: &str| {
        value.map(|value| format!("{name}: {value:.2} {unit}").trim_end().to_string())
    };
    lines.extend(number("Value", alert.value, &alert.unit));
    lines.extend(number("Wind speed", alert.wind_speed, "m/s"));
    lines.extend(number("Anomaly score", alert.score, ""));
    lines.extend(number("Threshold", alert.threshold, ""));
    lines.push(format!("Alert: {:016x}", alert.id));
    lines.extend(page.map(|page| format!("Page: {page}")));
    lines.push(String::new());
    lines.join("\n")
}

/// What an alert of a kind means, and what to do first.
fn meaning(kind: AlertKind) -> &'static str {
    match kind {
        AlertKind::Anomaly => {
            "The reading does what this turbine never did before. Compare it with the neighbours' wind first: if theirs \
             moved too it is weather; if not, look at the sensor, then at the turbine."
        }
        AlertKind::Stuck => {
            "The value stands still although it should move: a frozen or blocked sensor, or a logger that repeats \
             itself. Do not trust it; check the sensor for ice and the device for a restart."
        }
        AlertKind::NoData => {
            "The device gives no data: power, cable, address or the device itself. Check its supply and its line first; \
             what it measures is not watched meanwhile."
        }
        AlertKind::Spool => {
            "The gateway cannot write to its disk, and sends only what it has written: what it reads now waits in its memory, \
             and a loss of power costs that. Look at the disk's space and health, and plan to replace it."
        }
        AlertKind::Loss => {
            "Readings were lost and will not come. The gap is on record; look for a power cut, a full disk or a damaged \
             medium at this gateway."
        }
        AlertKind::Dropout => {
            "The signal has fallen to the sensor's zero: a broken wire, a lost supply or a stopped rotor of the \
             anemometer. Check plug and cable first."
        }
        AlertKind::Spike => {
            "The value jumps as no wind does: a loose contact, a failing bearing or interference on the line. Check \
             plugs, shield and earthing."
        }
        AlertKind::Noise => {
            "The value shakes more than it used to: a worn bearing, a loose mount or a disturbed line. Listen to the \
             sensor and check how it is mounted."
        }
        AlertKind::Offset => {
            "Two sensors that measure the same no longer agree: one has shifted or is iced. Find out which of them \
             departs from the neighbours before you trust either."
        }
        AlertKind::Iced => {
            "The anemometer reads less and less than its neighbour: ice, or a bearing that goes. Switch its heating on \
             or mind ice throw, and do not use its wind speed for control."
        }
        AlertKind::Gust => {
            "A gust beyond what the turbine was built for. Keep people off the turbine, see that it has stopped, and \
             inspect blades and bolts before it starts again."
        }
        AlertKind::HighWind => {
            "The mean wind is beyond cut-out. See that the turbine has stopped and feathered; nobody goes up until the \
             wind is down again."
        }
        AlertKind::Turbulence => {
            "The wind is more turbulent than the turbine's class allows: loads are higher than it was built for. If it \
             lasts, curtail this turbine in this wind direction."
        }
        AlertKind::AgentSilent => {
            "Nothing comes from this gateway any more: its power, its link or itself. What it measures is not lost while it \
             runs, but nobody watches it from here; look at the link first, then at its supply."
        }
        AlertKind::FarmSilent => {
            "Most gateways have fallen silent at once: that is the way to them, the broker or this sink rather than the \
             turbines. Look at the broker and the farm's link."
        }
        AlertKind::DeviceSilent => {
            "The gateway is there and gives nothing of this device: its supply, its line or its address. What it measures \
             is not watched meanwhile."
        }
        AlertKind::ClockOff => {
            "The gateway's clock is wrong, and so are the times of its readings. See whether it reaches a time server, and \
             whether the battery of its clock is empty."
        }
        AlertKind::SpoolFilling => {
            "The gateway keeps more than it can send: a slow or broken link, or a broker that refuses. Nothing is lost yet; \
             when its disk is full, the oldest readings go."
        }
        AlertKind::GapsFound => {
            "Readings that the gateway holds for delivered never arrived here. Ask it to send them again (windward-sink \
             command resend), and keep what the API's gaps say."
        }
        AlertKind::Departs => {
            "This turbine's wind or power departs from its neighbours' in the same weather. Compare anemometers first; if \
             they agree, look for ice or dirt on the blades, a yaw error, a derating or a pitch fault."
        }
        AlertKind::Limit => {
            "A limit that somebody has set for this channel is passed. What to do about it stands above, where the rule says \
             so ([[rule]] in the agent's configuration)."
        }
    }
}

fn capitalised(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(chars).collect()
}
