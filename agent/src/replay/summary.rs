//! What a replay has to say at its end.

use std::collections::BTreeMap;
use std::fmt;
use windward_protocol::{Alert, AlertKind, AlertPhase, Iso8601, Severity};

/// So many alerts of a file are listed; the rest are counted.
pub const LISTED: usize = 10_000;
/// A month of 30.44 days, ms.
const MONTH_MS: f64 = 30.44 * 86_400_000.0;

/// Figures and alerts of one file.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Rows judged.
    pub rows: u64,
    /// Time between rows, ms.
    pub step_ms: u32,
    /// Least and greatest time of a row, ms since 1970.
    pub span_ms: (i64, i64),
    /// Rows whose time lies before that of the row before.
    pub back: u64,
    /// Rows whose time is that of the row before.
    pub twice: u64,
    /// Readings that were due and had no value.
    pub missing: u64,
    /// Alerts opened, by kind.
    pub opened: BTreeMap<AlertKind, u64>,
    /// The first [`LISTED`] of them, in order.
    pub events: Vec<Event>,
}

/// An alert, from its beginning to its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The same for each of its steps.
    pub id: u64,
    /// What it is about.
    pub kind: AlertKind,
    /// Greatest severity of its steps.
    pub severity: Severity,
    /// Channel it is about; empty when it is about the whole device.
    pub channel: String,
    /// When it opened, ms since 1970.
    pub opened_ms: i64,
    /// When it cleared; `None`: it was open at the end.
    pub cleared_ms: Option<i64>,
    /// What was seen when it opened.
    pub evidence: String,
}

impl Summary {
    pub(super) fn new(step_ms: u32) -> Summary {
        let opened = BTreeMap::new();
        Summary { rows: 0, step_ms, span_ms: (0, 0), back: 0, twice: 0, missing: 0, opened, events: Vec::new() }
    }

    /// Takes a step of an alert.
    pub(super) fn alert(&mut self, alert: Alert) {
        if alert.phase != AlertPhase::Open {
            // One that is open opened lately.
            let Some(event) = self.events.iter_mut().rev().find(|event| event.id == alert.id) else { return };
            event.severity = event.severity.max(alert.severity);
            if alert.phase == AlertPhase::Clear {
                event.cleared_ms = Some(alert.at_ms);
            }
            return;
        }
        *self.opened.entry(alert.kind).or_default() += 1;
        if self.events.len() < LISTED {
            self.events.push(Event {
                id: alert.id,
                kind: alert.kind,
                severity: alert.severity,
                channel: alert.channel,
                opened_ms: alert.at_ms,
                cleared_ms: None,
                evidence: alert.evidence,
            });
        }
    }

    /// Months of data: rows times the time between them, so that gaps do not count.
    pub fn months(&self) -> f64 {
        self.rows as f64 * f64::from(self.step_ms) / MONTH_MS
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let channel = if self.channel.is_empty() { "(device)" } else { &self.channel };
        let (opened, kind, severity) = (Iso8601(self.opened_ms), self.kind.name(), self.severity.name());
        write!(f, "{opened}  {channel:<12} {kind:<10} {severity:<8} ")?;
        match self.cleared_ms {
            Some(end) => write!(f, "{:>8}", lasting(end.saturating_sub(self.opened_ms)))?,
            None => write!(f, "{:>8}", "to end")?,
        }
        write!(f, "  {}", self.evidence)
    }
}

/// Figures, one line each; the events are not among them.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rows == 0 {
            return write!(f, "no rows");
        }
        let months = self.months();
        write!(f, "{} rows, one every {}, {months:.3} months", self.rows, lasting(self.step_ms.into()))?;
        write!(f, ", {} to {}", Iso8601(self.span_ms.0), Iso8601(self.span_ms.1))?;
        for (n, what) in [
            (self.missing, "readings without a value"),
            (self.back, "rows earlier than the row before"),
            (self.twice, "rows at the time of the row before"),
        ] {
            if n > 0 {
                write!(f, "\n{n} {what}")?;
            }
        }
        write!(f, "\nalerts: {}", Counts { opened: &self.opened, months })
    }
}

/// Alerts by kind, and how many a month that is.
pub(crate) struct Counts<'a> {
    pub(crate) opened: &'a BTreeMap<AlertKind, u64>,
    pub(crate) months: f64,
}

impl fmt::Display for Counts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let a_month = |n: u64| if self.months > 0.0 { n as f64 / self.months } else { 0.0 };
        let all = self.opened.values().sum();
        write!(f, "{all} ({:.2} a month)", a_month(all))?;
        for (at, (kind, &n)) in self.opened.iter().enumerate() {
            let sign = if at == 0 { ": " } else { ", " };
            write!(f, "{sign}{} {n} ({:.2})", kind.name(), a_month(n))?;
        }
        Ok(())
    }
}

/// A length of time in its greatest fitting unit.
pub(super) fn lasting(ms: i64) -> String {
    match ms / 1_000 {
        0 => format!("{ms} ms"),
        seconds @ 1..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}
