//! Who is silent, whose clock is off, whose spool fills, what is missing: alerts of the sink's own, from what the store
//! knows and a time.
//!
//! [`Look::causes`] says what is wrong now; [`watch::steps`] makes alerts of it. About what cannot be judged (a sink
//! without a broker hears nobody) nothing is said, and what was said stays.

mod gaps;
pub mod hearing;
#[cfg(test)]
mod tests;
pub mod watch;

use crate::config::Presence;
use crate::days::manifest;
use crate::health::AgentHealth;
use crate::place::AgentRow;
use crate::query::Missing;
use std::collections::BTreeSet;
use watch::{Cause, Stage, Watch, Watches, key};
use windward_protocol::{AgentId, AlertKind, DeviceManifest, Iso8601, Severity};

/// The agent of alerts that are about the farm as a whole.
pub const SINK: &str = "windward-sink";

/// Kinds that the sink alone tells.
const OWN: [AlertKind; 8] = [
    AlertKind::AgentSilent,
    AlertKind::FarmSilent,
    AlertKind::DeviceSilent,
    AlertKind::ClockOff,
    AlertKind::SpoolFilling,
    AlertKind::GapsFound,
    AlertKind::Loss,
    AlertKind::Departs,
];

/// Most rounds of one look: a cause becomes a watch, the watch an alert, and the alert is told.
pub const ROUNDS: usize = 3;
/// From so many agents on, and half of all, one thing is said instead of one for each.
const MANY: usize = 3;
/// How long a clock must be off before it is told, ms; one that is not set, longer: an agent waits ten minutes for its
/// clock before it sends estimates.
const CLOCK_HOLD_MS: (i64, i64) = (120_000, 900_000);
/// How long a spool must be failing or over its limit, ms. The agent's own alert comes first.
const SPOOL_HOLD_MS: i64 = 120_000;
/// Fewer envelopes in a spool than this are no growth.
const GROWTH_FROM: u64 = 1_000;
/// Least silence of a device whose agent says that it is well, ms. Two and a half windows of statistics: with
/// `forward_every_s` there may be nothing else.
const LEAST_DEVICE_SILENCE_MS: i64 = 1_500_000;
/// Intervals of a device that make a silence.
const DEVICE_INTERVALS: i64 = 5;
/// A health record older than this says nothing of now, ms: three that did not come.
const HEALTH_MS: i64 = 90_000;

/// What is known.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// All agents.
    pub agents: Vec<AgentRow>,
    /// Since when the sink hears what agents say, ms; `None`: it does not.
    pub listening_since_ms: Option<i64>,
    /// What is missing; `None`: not looked at this time.
    pub missing: Option<Vec<Missing>>,
    /// Alerts that agents have told of themselves, and that are open: agent, kind by name, device.
    pub told: BTreeSet<(String, String, String)>,
}

/// Whether alerts of the kind of this name are the sink's.
pub fn is_own(kind: &str) -> bool {
    OWN.iter().any(|own| own.name() == kind)
}

/// One look at what is known.
pub struct Look<'a> {
    /// What is known.
    pub facts: &'a Facts,
    /// What is being watched.
    pub watches: &'a Watches,
    /// Limits.
    pub config: &'a Presence,
    /// Now.
    pub now_ms: i64,
}

impl Look<'_> {
    /// What is wrong.
    pub fn causes(&self) -> Vec<Cause> {
        let mut causes = Vec::new();
        if let Some(listening_ms) = self.facts.listening_since_ms {
            let expected: Vec<Known> = self.facts.agents.iter().filter_map(|row| self.expected(row)).collect();
            causes.extend(self.silent(&expected, listening_ms));
            let there: Vec<&Known> = expected.iter().filter(|agent| self.is_there(agent)).collect();
            causes.extend(self.clocks(&there));
            for agent in there {
                causes.extend(self.devices(agent, listening_ms));
                causes.extend(self.spool(agent));
            }
        }
        if let Some(missing) = &self.facts.missing {
            causes.extend(gaps::causes(self, missing));
        }
        causes
    }

    /// Whether the cause of this watch would have been found; if not, its alert stays as it is.
    pub fn can_judge(&self, watch: &Watch) -> bool {
        match watch.kind {
            AlertKind::GapsFound | AlertKind::Loss => self.facts.missing.is_some(),
            _ if self.facts.listening_since_ms.is_none() => false,
            AlertKind::AgentSilent | AlertKind::FarmSilent => true,
            // Of an agent that is away nothing is known; nor is it waited for.
            _ => {
                let row = self.facts.agents.iter().find(|row| row.agent == watch.agent.as_str());
                let agent = row.and_then(|row| self.expected(row));
                let is_known =
                    |agent: Known| self.is_there(&agent) && (agent.health.is_none() || self.health(&agent).is_some());
                watch.stage == Stage::Waiting || agent.is_none_or(is_known)
            }
        }
    }

    /// An agent that was heard, and from which something is expected.
    fn expected<'a>(&self, row: &'a AgentRow) -> Option<Known<'a>> {
        let is_expected = row.alive_ms.is_some() && !self.config.absent.contains(&row.agent);
        Known::of(row).filter(|_| is_expected)
    }

    fn is_there(&self, agent: &Known) -> bool {
        agent.will_ms.is_none() && self.now_ms - agent.alive_ms < ms(self.config.silent_after_s)
    }

    /// Its health, if it is of now.
    fn health<'a>(&self, agent: &'a Known) -> Option<&'a AgentHealth> {
        let is_fresh = agent.row.heard_ms.is_some_and(|heard_ms| self.now_ms - heard_ms < HEALTH_MS);
        agent.health.as_ref().filter(|_| agent.row.online && is_fresh)
    }

    fn watched(&self, agent: &AgentId, kind: AlertKind, subject: &str) -> Option<&Watch> {
        self.watches.get(&key(agent, kind, subject)).map(|(_, watch)| watch)
    }

    fn is_open(&self, agent: &AgentId, kind: AlertKind, subject: &str) -> bool {
        self.watched(agent, kind, subject).is_some_and(|watch| watch.stage == Stage::Open)
    }

    /// When an agent is silent if nothing comes, and when one may suspect it.
    fn silent_from(&self, agent: &Known, listening_ms: i64) -> (i64, i64) {
        // What came while nobody listened is not known, so a silence begins when somebody did.
        let quiet_ms = agent.alive_ms.max(listening_ms);
        let (silent_ms, suspect_ms) =
            (quiet_ms + ms(self.config.silent_after_s), quiet_ms + ms(self.config.silent_after_s) / 2);
        match agent.will_ms {
            Some(will_ms) => (silent_ms.min(will_ms + ms(self.config.will_after_s)), suspect_ms.min(will_ms)),
            None => (silent_ms, suspect_ms),
        }
    }

    /// Silent agents. Those that fall silent together are one thing: when the first of them is, the others have not
    /// been heard for a while either. That lasts until it has settled, or those that come back last would be told one
    /// by one.
    fn silent(&self, expected: &[Known], listening_ms: i64) -> Vec<Cause> {
        let was_farm = AgentId::new(SINK).is_ok_and(|farm| self.is_open(&farm, AlertKind::FarmSilent, ""));
        let is_told = |agent: &&Known| self.is_open(&agent.id, AlertKind::AgentSilent, "");
        let times = |agent: &Known| {
            // What was told ends when something is heard, not when a sink starts.
            let listening_ms = if was_farm || is_told(&agent) { i64::MIN } else { listening_ms };
            self.silent_from(agent, listening_ms)
        };
        let untold: Vec<&Known> = expected.iter().filter(|agent| !is_told(agent)).collect();
        let suspects: Vec<&str> =
            untold.iter().filter(|agent| times(agent).1 <= self.now_ms).map(|agent| agent.row.agent.as_str()).collect();
        let is_any = untold.iter().any(|agent| times(agent).0 <= self.now_ms);
        let is_farm = is_many(suspects.len(), untold.len()) && (is_any || was_farm);
        let mut causes = Vec::new();
        if is_farm {
            let evidence = format!(
                "{} of {} agents are not heard any more ({}{}): the broker, the network or the sink's way to them",
                suspects.len(),
                untold.len(),
                suspects[..suspects.len().min(5)].join(", "),
                if suspects.len() > 5 { ", …" } else { "" },
            );
            causes.extend(of_farm(AlertKind::FarmSilent, Severity::Critical, suspects.len(), evidence));
        }
        let is_held = is_farm || was_farm;
        let silent = |agent: &&Known| times(agent).0 <= self.now_ms && (!is_held || is_told(agent));
        causes.extend(expected.iter().filter(silent).map(|agent| {
            let heard = Iso8601(agent.alive_ms);
            let evidence = match agent.will_ms {
                Some(_) => format!("last heard at {heard}; its connection has ended"),
                None => format!("last heard at {heard}, and nothing since"),
            };
            let cause = agent.cause(AlertKind::AgentSilent, "", evidence);
            Cause { since_ms: Some(agent.alive_ms), severity: Severity::Critical, ..cause }
        }));
        causes
    }

    /// Clocks that are off. If most are, by the sink's clock, it is the sink's.
    fn clocks(&self, there: &[&Known]) -> Vec<Cause> {
        let (mut causes, mut off, mut judged) = (Vec::new(), Vec::new(), 0);
        for agent in there {
            let (Some(health), Some(heard_ms)) = (self.health(agent), agent.row.heard_ms) else { continue };
            judged += 1;
            let ahead_ms = health.at_ms.saturating_sub(heard_ms);
            if !health.synced {
                let cause = agent.cause(AlertKind::ClockOff, "", "its clock is not set".into());
                causes.push(Cause { hold_ms: CLOCK_HOLD_MS.1, ..cause });
            } else if ahead_ms.unsigned_abs() > ms(self.config.clock_limit_s).unsigned_abs() {
                off.push((*agent, ahead_ms));
            }
        }
        if is_many(off.len(), judged) {
            let some = off.len();
            let evidence = format!("the clocks of {some} of {judged} agents differ from the sink's: it is the sink's");
            let cause = of_farm(AlertKind::ClockOff, Severity::Warning, some, evidence);
            causes.extend(cause.map(|cause| Cause { hold_ms: CLOCK_HOLD_MS.0, ..cause }));
            off.retain(|(agent, _)| self.is_open(&agent.id, AlertKind::ClockOff, ""));
        }
        causes.extend(off.into_iter().map(|(agent, ahead_ms)| {
            let (by, way) = (ahead_ms.unsigned_abs() / 1_000, if ahead_ms > 0 { "ahead of" } else { "behind" });
            let cause = agent.cause(AlertKind::ClockOff, "", format!("its clock is {by} s {way} the sink's"));
            Cause { hold_ms: CLOCK_HOLD_MS.0, level: by as i64, ..cause }
        }));
        causes
    }

    /// Devices that give nothing although their agent is there. What the agent tells itself is not told twice.
    fn devices(&self, agent: &Known, listening_ms: i64) -> Vec<Cause> {
        let states = self.health(agent).map_or(&[][..], |health| &health.devices);
        let cause = |device: DeviceManifest| {
            let name = device.device.as_str();
            let is_open = self.is_open(&agent.id, AlertKind::DeviceSilent, name);
            if !is_open && self.facts.is_told(&agent.id, AlertKind::NoData, Some(name)) {
                return None;
            }
            let failing = states.iter().find(|state| state.device == name).and_then(|state| state.failing.as_ref());
            let limit_ms = (i64::from(device.interval_ms) * DEVICE_INTERVALS).max(LEAST_DEVICE_SILENCE_MS);
            let listening_ms = if is_open { i64::MIN } else { listening_ms };
            let quiet =
                agent.row.devices.get(name).filter(|heard_ms| self.now_ms - (**heard_ms).max(listening_ms) >= limit_ms);
            let (evidence, since_ms, hold_ms) = match (failing, quiet) {
                (Some(reason), _) => {
                    (format!("its agent gets no value from it: {reason}"), None, ms(self.config.device_after_s))
                }
                (None, Some(heard_ms)) => {
                    let heard = Iso8601(*heard_ms);
                    (format!("its agent is there, but nothing came of it since {heard}"), Some(*heard_ms), 0)
                }
                (None, None) => return None,
            };
            let cause = agent.cause(AlertKind::DeviceSilent, name, evidence);
            Some(Cause { since_ms, hold_ms, location: device.location, device: device.device, ..cause })
        };
        manifest(agent.row).into_iter().filter_map(cause).collect()
    }

    /// Spools that fill instead of emptying.
    fn spool(&self, agent: &Known) -> Vec<Cause> {
        let Some(health) = self.health(agent) else { return Vec::new() };
        let mut causes = Vec::new();
        let cause = |subject: &str, evidence| agent.cause(AlertKind::SpoolFilling, subject, evidence);
        let is_told = self.facts.is_told(&agent.id, AlertKind::Spool, None);
        let is_open = self.is_open(&agent.id, AlertKind::SpoolFilling, "error");
        if !health.spool_error.is_empty() && (is_open || !is_told) {
            let cause = cause("error", format!("its spool is failing: {}", health.spool_error));
            causes.push(Cause { hold_ms: SPOOL_HOLD_MS, severity: Severity::Critical, ..cause });
        }
        let waiting = health.readings.waiting.saturating_add(health.alerts.waiting);
        let level = i64::try_from(waiting).unwrap_or(i64::MAX);
        if waiting > self.config.spool_waiting {
            let cause = cause("waiting", format!("{waiting} envelopes wait in its spool"));
            causes.push(Cause { hold_ms: SPOOL_HOLD_MS, level, ..cause });
        }
        let minutes = self.config.spool_growing_min;
        let hold_ms = ms(minutes) * 60;
        // Half as much again over the whole time, or it is not growth: then it begins anew.
        let has_stayed = self.watched(&agent.id, AlertKind::SpoolFilling, "growing").is_some_and(|watch| {
            let is_held = watch.stage == Stage::Waiting && self.now_ms >= watch.seen_ms + hold_ms;
            is_held && level < watch.floor.saturating_add(watch.floor / 2)
        });
        if waiting >= GROWTH_FROM && !has_stayed {
            let cause = cause("growing", format!("its spool has grown for {minutes} min, to {waiting} envelopes"));
            causes.push(Cause { hold_ms, level, floor: level, ..cause });
        }
        causes
    }
}

impl Facts {
    /// Whether an agent has told this itself, of that device or any.
    fn is_told(&self, agent: &AgentId, kind: AlertKind, device: Option<&str>) -> bool {
        let is_this = |(of, named, about): &(String, String, String)| {
            of == agent.as_str() && named == kind.name() && device.is_none_or(|device| device == about)
        };
        self.told.iter().any(is_this)
    }
}

/// An agent, and what its row says.
struct Known<'a> {
    row: &'a AgentRow,
    id: AgentId,
    location: String,
    alive_ms: i64,
    /// When its last will came, and nothing after it.
    will_ms: Option<i64>,
    health: Option<AgentHealth>,
}

impl<'a> Known<'a> {
    fn of(row: &'a AgentRow) -> Option<Self> {
        let alive_ms = row.alive_ms.unwrap_or_default();
        let location = manifest(row).first().map(|device| device.location.clone());
        Some(Self {
            row,
            id: AgentId::new(&row.agent).ok()?,
            location: location.unwrap_or_else(|| row.agent.clone()),
            alive_ms,
            will_ms: row.heard_ms.filter(|heard_ms| !row.online && *heard_ms >= alive_ms),
            health: row.health.as_deref().and_then(AgentHealth::read),
        })
    }

    fn cause(&self, kind: AlertKind, subject: &str, evidence: String) -> Cause {
        Cause {
            agent: self.id.clone(),
            kind,
            subject: subject.into(),
            since_ms: None,
            hold_ms: 0,
            level: 0,
            floor: 0,
            severity: Severity::Warning,
            location: self.location.clone(),
            device: String::new(),
            evidence,
        }
    }
}

/// A cause of the farm as a whole; `None` if [`SINK`] were no agent's name, which it is.
fn of_farm(kind: AlertKind, severity: Severity, level: usize, evidence: String) -> Option<Cause> {
    let row = AgentRow { agent: SINK.into(), ..AgentRow::default() };
    let cause = Known::of(&row)?.cause(kind, "", evidence);
    Some(Cause { severity, level: level as i64, location: "the whole farm".into(), ..cause })
}

/// Whether so many of so many are one thing and not many.
fn is_many(some: usize, all: usize) -> bool {
    some >= MANY && some * 2 >= all
}

fn ms(seconds: u32) -> i64 {
    i64::from(seconds) * 1_000
}
