//! The farm at a glance, and how what agents keep comes here.

use crate::answer::{
    AgentDelivery, AlertState, Delivery, Failing, Gap, LaneDelivery, OpenAlert, Spark, Tile, TileState, Wind,
};
use crate::days::manifest;
use crate::health::{AgentHealth, SpoolLane};
use crate::place::{AgentRow, AlertRow, GapRow, LedgerRow, lane_partition};
use crate::query;
use crate::recent::{self, Recent};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use windward_protocol::{AgentId, DeviceManifest, Epoch, Lane, Quantity};

/// Of an agent of which nothing was heard for so long, nothing is known, ms.
const SILENT_MS: i64 = 60_000;
/// Most alerts that a tile names.
const MAX_OPEN: usize = 5;

/// A tile for each agent, by name. `alerts` are those that last and perhaps others.
pub fn tiles(agents: &[AgentRow], alerts: &[AlertRow], recent: &Recent, now_ms: i64) -> Vec<Tile> {
    let starts = query::starts(agents);
    let mut open: BTreeMap<&str, Vec<&AlertRow>> = BTreeMap::new();
    for alert in alerts.iter().filter(|alert| query::alert_state(alert, &starts) == AlertState::Open) {
        open.entry(&alert.agent).or_default().push(alert);
    }
    agents.iter().map(|row| tile(row, open.remove(row.agent.as_str()).unwrap_or_default(), recent, now_ms)).collect()
}

fn tile(row: &AgentRow, mut open: Vec<&AlertRow>, recent: &Recent, now_ms: i64) -> Tile {
    // The worst first, and of those the latest.
    open.sort_by_key(|alert| (rank(&alert.severity), Reverse(alert.opened_ms)));
    let health = health(row);
    let devices = manifest(row);
    let failing: Vec<Failing> = health
        .devices
        .iter()
        .filter_map(|device| Some(Failing { device: device.device.clone(), reason: device.failing.clone()? }))
        .collect();
    let heard_ms = row.alive_ms.max(row.heard_ms);
    // A last will may come after the agent is back: what comes from itself behind it counts for more.
    let is_gone = !row.online && row.alive_ms <= row.heard_ms;
    let is_silent = is_gone || heard_ms.is_none_or(|at_ms| now_ms - at_ms > SILENT_MS);
    let worst = open.first().map(|alert| alert.severity.as_str());
    let state = match worst {
        Some("critical") => TileState::Critical,
        _ if heard_ms.is_none() => TileState::New,
        _ if is_silent => TileState::Silent,
        Some(_) => TileState::Warning,
        None if !failing.is_empty() || !health.spool_error.is_empty() => TileState::Failing,
        None => TileState::Well,
    };
    let (wind, spark) = wind(row, &devices, recent, now_ms);
    let mut locations: Vec<String> = devices.into_iter().map(|device| device.location).collect();
    locations.dedup();
    Tile {
        agent: row.agent.clone(),
        locations,
        online: row.online,
        seen_ms: row.seen_ms,
        state,
        open_count: open.len(),
        open: open.into_iter().take(MAX_OPEN).map(open_alert).collect(),
        waiting: health.alerts.waiting + health.readings.waiting,
        spool_error: health.spool_error,
        failing,
        wind,
        spark,
    }
}

fn rank(severity: &str) -> u8 {
    match severity {
        "critical" => 0,
        "warning" => 1,
        _ => 2,
    }
}

fn open_alert(row: &AlertRow) -> OpenAlert {
    OpenAlert {
        id: format!("{:016x}", row.id),
        severity: row.severity.clone(),
        kind: row.kind.clone(),
        device: row.device.clone(),
        channel: row.channel.clone(),
        evidence: row.evidence.clone(),
        opened_ms: row.opened_ms,
    }
}

/// The first wind speed of an agent, as it has said what it reads.
fn wind(row: &AgentRow, devices: &[DeviceManifest], recent: &Recent, now_ms: i64) -> (Option<Wind>, Spark) {
    let channel = devices.iter().find_map(|device| {
        let channel = device.channels.iter().find(|channel| channel.quantity == Quantity::WindSpeed)?;
        Some((&device.device, &channel.name))
    });
    let recently = channel.and_then(|(device, name)| recent.of(&format!("{}/{device}", row.agent), name));
    let wind = channel.zip(recently).and_then(|((device, channel), recently)| {
        let (device, channel, unit) = (device.clone(), channel.clone(), recently.unit.clone());
        Some(Wind { device, channel, value: recently.value?, unit, time_ms: recently.time_ms })
    });
    let (from_ms, mean) = recently.cloned().unwrap_or_default().spark(now_ms);
    (wind, Spark { from_ms, step_ms: recent::STEP_MS, mean })
}

fn health(row: &AgentRow) -> AgentHealth {
    row.health.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// For each agent and lane, what is on its disk, what is stored, and what is not stored below that (S4).
pub fn delivery(agents: &[AgentRow], ledger: &[LedgerRow], whole: bool, gaps: &[GapRow], now_ms: i64) -> Delivery {
    let mut stored: BTreeMap<&str, u64> = BTreeMap::new();
    for row in ledger {
        let last = row.seen.ranges().last().map_or(0, |range| range.last);
        let before = stored.entry(&row.partition).or_default();
        *before = last.max(*before);
    }
    let holes = query::gaps(ledger, whole, gaps);
    let agents = agents.iter().map(|row| {
        let health = health(row);
        let lane = |lane: Lane, of: &SpoolLane| lane_delivery(row, lane, of, &stored, &holes);
        AgentDelivery {
            agent: row.agent.clone(),
            online: row.online,
            seen_ms: row.seen_ms,
            lanes: vec![lane(Lane::Alerts, &health.alerts), lane(Lane::Readings, &health.readings)],
            spool_error: health.spool_error,
            dropped_rows: health.dropped_rows,
        }
    });
    Delivery { now_ms, agents: agents.collect() }
}

fn lane_delivery(
    row: &AgentRow,
    lane: Lane,
    of: &SpoolLane,
    stored: &BTreeMap<&str, u64>,
    holes: &[Gap],
) -> LaneDelivery {
    let partition = AgentId::new(&row.agent).ok().zip(row.epoch.as_deref()).and_then(|(agent, epoch)| {
        let epoch: Epoch = u64::from_str_radix(epoch, 16).ok()?;
        Some(lane_partition(&agent, epoch, lane))
    });
    let of_lane = |hole: &&Gap| hole.agent == row.agent && hole.lane == lane.to_string();
    let stored = partition.and_then(|partition| stored.get(partition.as_str()).copied()).unwrap_or(0);
    LaneDelivery {
        lane: lane.to_string(),
        epoch: row.epoch.clone(),
        // What is here was there, whatever it last said.
        durable: of.durable.max(stored),
        acked: of.acked,
        waiting: of.waiting,
        stored,
        holes: holes.iter().filter(of_lane).cloned().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use windward_protocol::{SeqRange, SeqSet};

    const NOW_MS: i64 = 1_795_182_840_000;

    fn agent(online: bool, health: serde_json::Value) -> AgentRow {
        AgentRow {
            agent: "t1".into(),
            online,
            heard_ms: Some(NOW_MS - 5_000),
            alive_ms: Some(NOW_MS - 5_000),
            epoch: Some("00000000000000ff".into()),
            health: Some(health.to_string()),
            ..AgentRow::default()
        }
    }

    fn alert(severity: &str, cleared_ms: Option<i64>) -> AlertRow {
        AlertRow {
            sort: String::new(),
            agent: "t1".into(),
            id: 1,
            location: "Nacelle".into(),
            device: "mast".into(),
            channel: "wind".into(),
            kind: "stuck".into(),
            severity: severity.into(),
            opened_ms: NOW_MS - 60_000,
            at_ms: NOW_MS - 1_000,
            cleared_ms,
            value: None,
            unit: String::new(),
            wind_speed: None,
            anomaly_score: None,
            threshold: None,
            evidence: String::new(),
            notified_ms: None,
            acknowledged: None,
            comments: Vec::new(),
        }
    }

    #[test]
    fn the_worst_that_is_known_of_a_turbine_is_its_state() {
        let state = |row: &AgentRow, alerts: &[AlertRow]| {
            tiles(std::slice::from_ref(row), alerts, &Recent::default(), NOW_MS)[0].state
        };
        let well = agent(true, json!({}));
        assert_eq!(state(&well, &[]), TileState::Well);
        assert_eq!(state(&well, &[alert("critical", Some(NOW_MS))]), TileState::Well, "it has ended");
        assert_eq!(state(&well, &[alert("warning", None)]), TileState::Warning);
        assert_eq!(state(&well, &[alert("warning", None), alert("critical", None)]), TileState::Critical);
        assert_eq!(state(&agent(false, json!({})), &[alert("warning", None)]), TileState::Silent);
        let back = AgentRow { alive_ms: Some(NOW_MS - 1_000), ..agent(false, json!({})) };
        assert_eq!(state(&back, &[]), TileState::Well, "its last will came when it was back");
        let late = AgentRow { alive_ms: Some(NOW_MS - 61_000), heard_ms: None, ..well.clone() };
        assert_eq!(state(&late, &[]), TileState::Silent);
        let failing = agent(true, json!({ "devices": [{ "device": "mast", "failing": "Timeout" }] }));
        assert_eq!(state(&failing, &[]), TileState::Failing);
        assert_eq!(state(&agent(true, json!({ "spool_error": "no space" })), &[]), TileState::Failing);
        let new = AgentRow { agent: "t1".into(), ..AgentRow::default() };
        assert_eq!(state(&new, &[]), TileState::New);
    }

    #[test]
    fn a_lane_shows_what_waits_what_is_stored_and_what_is_missing() {
        let row = agent(true, json!({ "readings": { "waiting": 3, "durable": 12, "acked": 9 } }));
        let mut seen = SeqSet::new();
        seen.insert(SeqRange { first: 1, last: 4 });
        seen.insert(SeqRange { first: 7, last: 9 });
        let ledger = [LedgerRow { partition: "t1#00000000000000ff#readings".into(), bucket: 0, seen }];
        let answer = delivery(&[row], &ledger, true, &[], NOW_MS);
        let lane = &answer.agents[0].lanes[1];
        assert_eq!((lane.durable, lane.acked, lane.waiting, lane.stored), (12, 9, 3, 9));
        assert_eq!(lane.holes.iter().map(|hole| (hole.from, hole.to)).collect::<Vec<_>>(), [(5, 6)]);
        assert_eq!(answer.agents[0].lanes[0].stored, 0);
    }
}
