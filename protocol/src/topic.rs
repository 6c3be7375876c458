//! The MQTT topics: `windward/v1/<agent>/{readings,alerts,state,ack,cmd}`. Nobody else spells them.

use crate::{AgentId, Lane};
use alloc::format;
use alloc::string::String;

/// First segments of every topic.
pub const ROOT: &str = "windward/v1";

/// Topic an agent publishes a lane on.
pub fn of_lane(agent: &AgentId, lane: Lane) -> String {
    format!("{ROOT}/{agent}/{lane}")
}

/// Topic the sink acks on.
pub fn ack(agent: &AgentId) -> String {
    format!("{ROOT}/{agent}/ack")
}

/// Topic an agent is commanded on.
pub fn command(agent: &AgentId) -> String {
    format!("{ROOT}/{agent}/cmd")
}

/// Filters a sink subscribes to, one a lane; `group` makes them shared subscriptions (MQTT 5, section 4.8.2).
pub fn sink_filters(group: Option<&str>) -> [String; 3] {
    [Lane::Alerts, Lane::Readings, Lane::State].map(|lane| match group {
        Some(group) => format!("$share/{group}/{ROOT}/+/{lane}"),
        None => format!("{ROOT}/+/{lane}"),
    })
}

/// What a topic that the sink receives names: the agent and the lane. `None`: not one of ours.
pub fn parse(topic: &str) -> Option<(AgentId, Lane)> {
    let (agent, lane) = topic.strip_prefix(ROOT)?.strip_prefix('/')?.split_once('/')?;
    let lane = [Lane::Alerts, Lane::Readings, Lane::State].into_iter().find(|known| known.name() == lane)?;
    Some((AgentId::new(agent).ok()?, lane))
}
