//! What an agent says of itself, as the JSON of its row: written and read here, so that both know the same fields.

use serde::{Deserialize, Serialize};
use windward_protocol::{Health, LaneHealth, Seq};

/// An agent's health as its row holds it. What an older sink did not write is read as zero.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AgentHealth {
    /// Agent's clock, ms.
    pub at_ms: i64,
    /// Whether that clock is set.
    pub synced: bool,
    /// Since the agent's start, ms.
    pub uptime_ms: u64,
    /// Resident memory, KiB; 0 where it is not known.
    pub rss_kib: u64,
    /// The alert lane.
    pub alerts: SpoolLane,
    /// The reading lane.
    pub readings: SpoolLane,
    /// Rows dropped because the queue between the agent's cores was full, since its start.
    pub dropped_rows: u64,
    /// What is wrong with the spool; empty when nothing is.
    pub spool_error: String,
    /// Devices.
    pub devices: Vec<DeviceState>,
}

/// How one lane of an agent's spool stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SpoolLane {
    /// Envelopes on disk that are not acked.
    pub waiting: u64,
    /// Greatest sequence that is durable on disk.
    pub durable: Seq,
    /// Greatest sequence up to which all are acked.
    pub acked: Seq,
}

/// How one device stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeviceState {
    /// Device.
    pub device: String,
    /// Polls that gave a value, since the agent's start.
    pub good: u64,
    /// Polls that gave none, since the agent's start.
    pub failed: u64,
    /// Why the last poll gave none, in words, if it gave none.
    pub failing: Option<String>,
}

impl AgentHealth {
    /// What a health record says.
    pub fn of(health: &Health) -> Self {
        let lane = |lane: &LaneHealth| SpoolLane { waiting: lane.waiting, durable: lane.durable, acked: lane.acked };
        let devices = health.devices.iter().map(|device| DeviceState {
            device: device.device.clone(),
            good: device.good,
            failed: device.failed,
            failing: device.failing.map(|reason| reason.to_string()),
        });
        Self {
            at_ms: health.at_ms,
            synced: health.synced,
            uptime_ms: health.uptime_ms,
            rss_kib: health.rss_kib,
            alerts: lane(&health.alerts),
            readings: lane(&health.readings),
            dropped_rows: health.dropped_rows,
            spool_error: health.spool_error.clone(),
            devices: devices.collect(),
        }
    }

    /// Reads a row's JSON; `None` when it is none of ours.
    pub fn read(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }

    /// The JSON of a row.
    pub fn write(&self) -> String {
        serde_json::json!(self).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use windward_protocol::{DeviceHealth, NoData};

    #[test]
    fn what_is_written_is_read_and_what_an_older_sink_left_out_is_zero() {
        let lane = LaneHealth { waiting: 3, durable: 9, acked: 6 };
        let health = Health {
            online: true,
            at_ms: 17,
            synced: true,
            uptime_ms: 1000,
            rss_kib: 9000,
            alerts: lane.clone(),
            readings: lane,
            dropped_rows: 2,
            spool_error: "disk full".into(),
            devices: vec![DeviceHealth {
                device: "vane".into(),
                good: 5,
                failed: 1,
                failing: Some(NoData::Exception(4)),
            }],
        };
        let read = AgentHealth::read(&AgentHealth::of(&health).write()).unwrap();
        assert_eq!(read, AgentHealth::of(&health));
        assert_eq!(read.devices[0].failing.as_deref(), Some("exception 4"));
        assert_eq!(
            AgentHealth::read("{\"synced\":true}"),
            Some(AgentHealth { synced: true, ..AgentHealth::default() })
        );
        assert_eq!(AgentHealth::read("no JSON"), None);
    }
}
