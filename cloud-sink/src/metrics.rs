//! The farm in figures for Prometheus: rows to text, in its text format 0.0.4.
//!
//! All that is told is what the rows say at one look; nothing counts in between. That is why no library does it: one that
//! keeps counters of its own would have to be told each of them again before it could write them, and what it would write
//! is a line each.

use crate::answer::{AlertState, Gap};
use crate::health::AgentHealth;
use crate::place::{AgentRow, AlertRow};
use crate::query;
use crate::recent::Recent;
use std::collections::BTreeMap;

/// How alerts are told apart; each is told even where there is none, so that a rule need not ask whether it is there.
const SEVERITIES: [&str; 3] = ["critical", "warning", "info"];

/// Whether a figure only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It grows until its program starts anew.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// Families of figures, a line each.
#[derive(Clone, Debug, Default)]
pub struct Text(String);

impl Text {
    /// A figure that stands alone.
    pub fn one(&mut self, kind: Kind, name: &str, help: &str, value: f64) {
        self.family(kind, name, help, [([], value)]);
    }

    /// A figure of each of several, told apart by labels.
    pub fn family<'a, const N: usize>(
        &mut self,
        kind: Kind,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = ([(&'static str, &'a str); N], f64)>,
    ) {
        let kind = if kind == Kind::Counter { "counter" } else { "gauge" };
        self.0.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        for (labels, value) in samples {
            self.0.push_str(name);
            for (index, (label, said)) in labels.into_iter().enumerate() {
                let before = if index == 0 { '{' } else { ',' };
                self.0.push_str(&format!("{before}{label}=\"{}\"", escaped(said)));
            }
            let after = if N > 0 { "}" } else { "" };
            self.0.push_str(&format!("{after} {value}\n"));
        }
    }

    /// What was written.
    pub fn finish(self) -> String {
        self.0
    }
}

/// A label's value as the format wants it.
fn escaped(said: &str) -> String {
    said.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// What is known of a farm's agents at one look.
#[derive(Clone, Copy, Debug)]
pub struct Farm<'a> {
    /// All agents.
    pub agents: &'a [AgentRow],
    /// Alerts that last, and perhaps others.
    pub alerts: &'a [AlertRow],
    /// What is missing.
    pub gaps: &'a [Gap],
    /// What was read last.
    pub recent: &'a Recent,
}

impl Farm<'_> {
    /// Writes what is known of each agent.
    pub fn write(&self, text: &mut Text) {
        self.write_presence(text);
        self.write_spools(text);
        self.write_devices(text);
        self.write_alerts(text);
    }

    fn write_presence(&self, text: &mut Text) {
        let agents = || self.agents.iter().map(|row| (row, row.agent.as_str()));
        let info = agents().map(|(row, agent)| {
            let version = row.version.as_deref().unwrap_or("");
            ([("agent", agent), ("version", version)], 1.0)
        });
        text.family(Kind::Gauge, "windward_agent_info", "Agents that are known, and their programs.", info);
        text.family(
            Kind::Gauge,
            "windward_agent_online",
            "Whether the agent was connected when last heard of.",
            agents().map(|(row, agent)| ([("agent", agent)], flag(row.online))),
        );
        let mut times = |name: &str, help: &str, of: &dyn Fn(&AgentRow) -> Option<i64>| {
            let samples = agents().filter_map(|(row, agent)| Some(([("agent", agent)], seconds(of(row)?))));
            text.family(Kind::Gauge, name, help, samples);
        };
        times(
            "windward_agent_last_heard_timestamp_seconds",
            "When anything last came from the agent itself, by the sink's clock, to some ten seconds.",
            &|row| row.alive_ms,
        );
        times(
            "windward_agent_newest_reading_timestamp_seconds",
            "Time of the newest reading stored since the sink's start; far behind while a backlog comes in.",
            &|row| self.recent.newest_ms(&row.agent),
        );
        times("windward_agent_start_timestamp_seconds", "When the agent started, by its own clock.", &|row| {
            row.started_ms
        });
    }

    fn write_spools(&self, text: &mut Text) {
        let told = self.told();
        let waiting = told.iter().flat_map(|(agent, health)| {
            let lanes = [("readings", health.readings.waiting), ("alerts", health.alerts.waiting)];
            lanes.map(|(lane, waiting)| ([("agent", *agent), ("lane", lane)], waiting as f64))
        });
        let help = "Envelopes on the agent's disk that are not acked, as it last said.";
        text.family(Kind::Gauge, "windward_agent_spool_waiting_envelopes", help, waiting);
        let mut of_each = |kind: Kind, name: &str, help: &str, of: &dyn Fn(&AgentHealth) -> f64| {
            text.family(kind, name, help, told.iter().map(|(agent, health)| ([("agent", *agent)], of(health))));
        };
        of_each(Kind::Gauge, "windward_agent_spool_failing", "Whether something is wrong with its spool.", &|health| {
            flag(!health.spool_error.is_empty())
        });
        of_each(
            Kind::Counter,
            "windward_agent_dropped_rows_total",
            "Moments dropped before they came to the agent's disk, since its start.",
            &|health| health.dropped_rows as f64,
        );
        of_each(Kind::Gauge, "windward_agent_clock_synced", "Whether the agent's clock is set.", &|health| {
            flag(health.synced)
        });
        of_each(Kind::Gauge, "windward_agent_resident_memory_bytes", "Resident memory of the agent.", &|health| {
            health.rss_kib as f64 * 1024.0
        });
        let mut missing: BTreeMap<(&str, &str), f64> = BTreeMap::new();
        for row in self.agents {
            missing.insert((&row.agent, "lost"), 0.0);
            missing.insert((&row.agent, "not received"), 0.0);
        }
        for gap in self.gaps {
            if let Some(sum) = missing.get_mut(&(gap.agent.as_str(), gap.state)) {
                *sum += gap.to.saturating_sub(gap.from) as f64 + 1.0;
            }
        }
        text.family(
            Kind::Gauge,
            "windward_agent_missing_envelopes",
            "Envelopes that are not stored below the newest that is: lost for a reason its agent has told, or not received, \
             which may still be on their way.",
            missing.into_iter().map(|((agent, state), sum)| ([("agent", agent), ("state", state)], sum)),
        );
    }

    fn write_devices(&self, text: &mut Text) {
        let told = self.told();
        let devices = told.iter().map(|(agent, health)| ([("agent", *agent)], health.devices.len() as f64));
        text.family(Kind::Gauge, "windward_agent_devices", "Devices that the agent reads.", devices);
        let failing = told.iter().map(|(agent, health)| {
            let failing = health.devices.iter().filter(|device| device.failing.is_some());
            ([("agent", *agent)], failing.count() as f64)
        });
        text.family(Kind::Gauge, "windward_agent_failing_devices", "Devices whose last poll gave no value.", failing);
        let polls = told.iter().flat_map(|(agent, health)| {
            let good: u64 = health.devices.iter().map(|device| device.good).sum();
            let failed: u64 = health.devices.iter().map(|device| device.failed).sum();
            [("good", good), ("failed", failed)].map(|(result, n)| ([("agent", *agent), ("result", result)], n as f64))
        });
        let help = "Polls of all devices of the agent, since its start.";
        text.family(Kind::Counter, "windward_agent_polls_total", help, polls);
    }

    fn write_alerts(&self, text: &mut Text) {
        let starts = query::starts(self.agents);
        let mut open: BTreeMap<(&str, &str), f64> = BTreeMap::new();
        for row in self.agents {
            open.extend(SEVERITIES.map(|severity| ((row.agent.as_str(), severity), 0.0)));
        }
        for alert in self.alerts.iter().filter(|alert| query::alert_state(alert, &starts) == AlertState::Open) {
            if let Some(count) = open.get_mut(&(alert.agent.as_str(), alert.severity.as_str())) {
                *count += 1.0;
            }
        }
        text.family(
            Kind::Gauge,
            "windward_agent_open_alerts",
            "Alerts that last, of the thousand opened last.",
            open.into_iter().map(|((agent, severity), count)| ([("agent", agent), ("severity", severity)], count)),
        );
    }

    /// What agents said of themselves; of one that has said nothing, nothing is told.
    fn told(&self) -> Vec<(&str, AgentHealth)> {
        let health = |row: &AgentRow| row.health.as_deref().and_then(AgentHealth::read);
        self.agents.iter().filter_map(|row| Some((row.agent.as_str(), health(row)?))).collect()
    }
}

/// Yes or no.
pub fn flag(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}

/// A time or length in ms, in Prometheus' unit.
pub fn seconds(ms: i64) -> f64 {
    ms as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn agent(name: &str, health: Option<serde_json::Value>) -> AgentRow {
        AgentRow {
            agent: name.into(),
            online: true,
            alive_ms: Some(1_795_182_840_250),
            health: health.map(|health| health.to_string()),
            ..AgentRow::default()
        }
    }

    fn written(agents: &[AgentRow], gaps: &[Gap]) -> String {
        let mut text = Text::default();
        Farm { agents, alerts: &[], gaps, recent: &Recent::default() }.write(&mut text);
        text.finish()
    }

    fn has(text: &str, line: &str) -> bool {
        text.lines().any(|written| written == line)
    }

    #[test]
    fn a_family_is_its_help_its_type_and_a_line_each() {
        let mut text = Text::default();
        text.one(Kind::Counter, "polls_total", "Polls.", 3.0);
        text.family(Kind::Gauge, "depth", "Depth.", [([("of", "a\"b\\c\nd"), ("lane", "x")], 0.25)]);
        assert_eq!(
            text.finish(),
            "# HELP polls_total Polls.\n# TYPE polls_total counter\npolls_total 3\n\
             # HELP depth Depth.\n# TYPE depth gauge\ndepth{of=\"a\\\"b\\\\c\\nd\",lane=\"x\"} 0.25\n"
        );
    }

    #[test]
    fn of_an_agent_is_told_what_it_said_and_what_it_did_not_say_is_left_out() {
        let health = json!({
            "synced": true, "rss_kib": 2, "readings": { "waiting": 7 }, "spool_error": "no space", "dropped_rows": 4,
            "devices": [{ "device": "mast", "good": 5, "failed": 1, "failing": "timeout" }, { "device": "vane", "good": 2 }],
        });
        let text = written(&[agent("t1", Some(health)), agent("t2", None)], &[]);
        for line in [
            "windward_agent_online{agent=\"t2\"} 1",
            "windward_agent_last_heard_timestamp_seconds{agent=\"t1\"} 1795182840.25",
            "windward_agent_spool_waiting_envelopes{agent=\"t1\",lane=\"readings\"} 7",
            "windward_agent_spool_failing{agent=\"t1\"} 1",
            "windward_agent_dropped_rows_total{agent=\"t1\"} 4",
            "windward_agent_resident_memory_bytes{agent=\"t1\"} 2048",
            "windward_agent_failing_devices{agent=\"t1\"} 1",
            "windward_agent_polls_total{agent=\"t1\",result=\"good\"} 7",
            "windward_agent_open_alerts{agent=\"t2\",severity=\"critical\"} 0",
        ] {
            assert!(has(&text, line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("windward_agent_spool_failing{agent=\"t2\"}"), "nothing is known of it");
        assert!(!text.contains("windward_agent_start_timestamp_seconds{"), "nobody has said when");
    }

    #[test]
    fn what_is_missing_is_counted_by_agent_and_whether_it_is_lost() {
        let gap = |from, to, state| Gap {
            agent: "t1".into(),
            epoch: "ff".into(),
            lane: "readings".into(),
            from,
            to,
            reason: None,
            state,
        };
        let text = written(&[agent("t1", None)], &[gap(3, 5, "lost"), gap(9, 9, "lost"), gap(11, 11, "not received")]);
        assert!(has(&text, "windward_agent_missing_envelopes{agent=\"t1\",state=\"lost\"} 4"), "{text}");
        assert!(has(&text, "windward_agent_missing_envelopes{agent=\"t1\",state=\"not received\"} 1"), "{text}");
    }
}
