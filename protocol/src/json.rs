//! The other encoding: one JSON object a line, for consumers that are not ours.
//!
//! A reading is `{"location","device","time","channel","value","unit","score"}`; a failed one has `"value":null` and
//! `"no_data"`; a channel that was not due has no line. An alert carries the same names, so one parser reads both;
//! `"alert"` names its phase.

use crate::{Alert, Block, Envelope, Iso8601, NoData, Record};
use alloc::string::{String, ToString};
use serde::Serialize;

#[derive(Serialize)]
struct ReadingLine<'a> {
    location: &'a str,
    device: &'a str,
    time: String,
    channel: &'a str,
    value: Option<f64>,
    unit: &'a str,
    score: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    no_data: Option<String>,
}

#[derive(Serialize)]
struct AlertLine<'a> {
    location: &'a str,
    device: &'a str,
    time: String,
    channel: &'a str,
    value: Option<f64>,
    unit: &'a str,
    score: Option<f64>,
    alert: &'static str,
    id: String,
    kind: &'static str,
    severity: &'static str,
    opened: String,
    wind_speed: Option<f64>,
    evidence: &'a str,
}

/// The lines of an envelope's readings or alert, each ended by a line feed; empty for other records.
pub fn lines(envelope: &Envelope) -> String {
    match &envelope.record {
        Record::Block(block) => block_lines(block),
        Record::Alert(alert) => alert_line(alert),
        Record::Stats(_) | Record::Gap(_) | Record::Health(_) | Record::Hello(_) | Record::Answer(_) => String::new(),
    }
}

fn block_lines(block: &Block) -> String {
    let mut out = String::new();
    for row in block.rows() {
        let time = Iso8601(row.time_ms).to_string();
        for (index, channel) in block.channels.iter().enumerate() {
            let reading = row.readings[index];
            if reading == Err(NoData::NotDue) {
                continue;
            }
            push_line(
                &mut out,
                &ReadingLine {
                    location: &block.location,
                    device: &block.device,
                    time: time.clone(),
                    channel: &channel.name,
                    value: reading.ok().map(|value| value.as_f64()),
                    unit: &channel.unit,
                    score: row.scores[index].map(two_decimals),
                    no_data: reading.err().map(|reason| reason.to_string()),
                },
            );
        }
    }
    out
}

/// The line of an alert, ended by a line feed.
pub fn alert_line(alert: &Alert) -> String {
    let mut out = String::new();
    push_line(
        &mut out,
        &AlertLine {
            location: &alert.location,
            device: &alert.device,
            time: Iso8601(alert.at_ms).to_string(),
            channel: &alert.channel,
            value: alert.value,
            unit: &alert.unit,
            score: alert.score,
            alert: alert.phase.name(),
            id: alloc::format!("{:016x}", alert.id),
            kind: alert.kind.name(),
            severity: alert.severity.name(),
            opened: Iso8601(alert.opened_ms).to_string(),
            wind_speed: alert.wind_speed,
            evidence: &alert.evidence,
        },
    );
    out
}

fn push_line<T: Serialize>(out: &mut String, line: &T) {
    #[allow(clippy::unwrap_used, reason = "these structs hold only strings and numbers, and NaN becomes null")]
    out.push_str(&serde_json::to_string(line).unwrap());
    out.push('\n');
}

/// A score is kept to hundredths; as a double it would show its single-precision tail.
fn two_decimals(score: f32) -> f64 {
    f64::from((score * 100.0 + 0.5) as u32) / 100.0
}
