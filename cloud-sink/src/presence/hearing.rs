//! That an agent was heard, told to the store at most every [`EVERY_MS`] an agent.

use crate::health::AgentHealth;
use crate::place::{AgentChange, Rows};
use std::collections::{BTreeMap, BTreeSet};
use windward_protocol::AgentId;

/// Least time between two writes for one agent, ms.
pub const EVERY_MS: i64 = 10_000;

/// A health record that is older than this when it arrives is no sign of life, ms: a broker keeps the last one, and
/// hands it out again long after its agent is gone.
const STALE_MS: i64 = 300_000;

/// Most devices that wait to be written for one agent.
const MAX_DEVICES: usize = 256;

/// Who was heard since the store was told. It may be lost at any time; then the store is told again a little sooner.
#[derive(Debug, Default)]
pub struct Hearing {
    agents: BTreeMap<AgentId, Heard>,
}

#[derive(Debug, Default)]
struct Heard {
    /// When the store was told.
    told_ms: Option<i64>,
    /// Devices heard since.
    devices: BTreeSet<String>,
}

impl Hearing {
    /// Notes what a plan brings, and gives what is to be written with it. `from`: the agents of its envelopes.
    pub fn note<'a>(
        &mut self,
        from: impl IntoIterator<Item = &'a AgentId>,
        rows: &Rows,
        now_ms: i64,
    ) -> Vec<AgentChange> {
        let mut alive: BTreeSet<AgentId> = from.into_iter().cloned().collect();
        alive.extend(rows.agents.iter().filter_map(sign_of_life).cloned());
        for change in &rows.agents {
            // A last will: that the agent is back is to be known at once.
            if let AgentChange::Health { agent, online: false, .. } = change
                && let Some(heard) = self.agents.get_mut(agent)
            {
                heard.told_ms = None;
            }
        }
        for row in &rows.readings {
            self.hear(&row.agent, &row.device);
        }
        for row in &rows.stats {
            let mut parts = row.partition.splitn(3, '/');
            if let (Some(agent), Some(device)) = (parts.next(), parts.next())
                && let Ok(agent) = AgentId::new(agent)
            {
                self.hear(&agent, device);
            }
        }
        let mut changes = Vec::new();
        for agent in alive {
            let heard = self.agents.entry(agent.clone()).or_default();
            // A clock that was set back must not keep an agent unheard.
            let is_due = heard.told_ms.is_none_or(|told_ms| !(told_ms..told_ms + EVERY_MS).contains(&now_ms));
            if is_due {
                heard.told_ms = Some(now_ms);
                let devices = std::mem::take(&mut heard.devices);
                changes.push(AgentChange::Heard { agent, at_ms: now_ms, devices });
            }
        }
        changes
    }

    fn hear(&mut self, agent: &AgentId, device: &str) {
        let devices = &mut self.agents.entry(agent.clone()).or_default().devices;
        if devices.len() < MAX_DEVICES {
            devices.insert(device.into());
        }
    }
}

fn sign_of_life(change: &AgentChange) -> Option<&AgentId> {
    let AgentChange::Health { agent, heard_ms, seen_ms: Some(seen_ms), online: true, health: Some(health) } = change
    else {
        return None;
    };
    let is_synced = AgentHealth::read(health).is_some_and(|health| health.synced);
    (!is_synced || heard_ms.saturating_sub(*seen_ms) < STALE_MS).then_some(agent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(online: bool, synced: bool, seen_ms: i64) -> Rows {
        let agent = AgentId::new("t1").unwrap();
        let health = AgentHealth { synced, ..AgentHealth::default() }.write();
        let (seen_ms, health) = if online { (Some(seen_ms), Some(health)) } else { (None, None) };
        let change = AgentChange::Health { agent, heard_ms: 1_000_000, seen_ms, online, health };
        Rows { agents: vec![change], ..Rows::default() }
    }

    #[test]
    fn an_agent_is_written_at_most_every_ten_seconds_with_all_devices_heard_since() {
        let agent = AgentId::new("t1").unwrap();
        let stats = |device: &str| {
            let mut rows = Rows::default();
            rows.stats.push(crate::place::StatsRow {
                partition: format!("t1/{device}/wind"),
                sort: String::new(),
                unit: String::new(),
                window_ms: 600_000,
                n: 0,
                due: 0,
                mean: None,
                min: None,
                max: None,
                std: None,
                turbulence: None,
                gust_3s: None,
            });
            rows
        };
        let mut hearing = Hearing::default();
        let mut written = Vec::new();
        for (device, now_ms) in [("a", 0), ("b", 4_000), ("c", 9_999), ("a", 10_000), ("a", 5_000)] {
            for change in hearing.note([&agent], &stats(device), now_ms) {
                let AgentChange::Heard { at_ms, devices, .. } = change else { panic!("{change:?}") };
                written.push((at_ms, devices.into_iter().collect::<Vec<_>>().join("")));
            }
        }
        assert_eq!(
            written,
            [(0, "a".into()), (10_000, "abc".into()), (5_000, "a".into())],
            "and when the clock is set back"
        );
    }

    #[test]
    fn a_will_and_what_a_broker_kept_are_no_signs_of_life() {
        for (case, rows, is_life) in [
            ("health", health(true, true, 999_000), 1),
            ("kept by the broker", health(true, true, 600_000), 0),
            ("a clock that is not set", health(true, false, 0), 1),
            ("last will", health(false, true, 0), 0),
        ] {
            assert_eq!(Hearing::default().note([], &rows, 1_000_000).len(), is_life, "{case}");
        }
    }
}
