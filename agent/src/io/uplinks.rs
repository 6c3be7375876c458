//! Where FORWARD's uplinks lead, from the configuration.

use super::mqtt;
use super::session::{Session, Teller};
use crate::config::{AckMode, Config, Mqtt, Sending};
use crate::forward::{AckBy, Uplink};
use windward_protocol::AgentId;

/// Headers of a PUBLISH with its PUBACK, with those of TLS, TCP and IP, bytes: about.
const MQTT_OVERHEAD: u64 = 150;

/// Where an uplink leads.
#[derive(Clone, Debug)]
pub(super) enum Way {
    /// To a broker.
    Mqtt(Mqtt),
}

impl Way {
    /// Begins to connect.
    pub(super) fn connect(&self, agent: &AgentId, will: Vec<u8>, teller: Teller) -> Session {
        match self {
            Way::Mqtt(settings) => mqtt::connect(settings.clone(), agent.clone(), will, teller),
        }
    }
}

/// All uplinks, as FORWARD knows them and where they lead.
pub(super) fn of(config: &Config) -> Vec<(Uplink, Way)> {
    let mqtt = config.mqtt.iter().map(|mqtt| {
        let ack = match mqtt.ack {
            AckMode::Sink => AckBy::Sink,
            AckMode::Broker => AckBy::Uplink,
        };
        let uplink = Uplink { ack, overhead_bytes: MQTT_OVERHEAD, ..uplink("mqtt", &mqtt.sending) };
        (uplink, Way::Mqtt(mqtt.clone()))
    });
    mqtt.collect()
}

fn uplink(name: &str, sending: &Sending) -> Uplink {
    Uplink {
        frees: !sending.mirror,
        encoding: sending.encoding,
        order: sending.order,
        max_bytes_per_s: sending.max_bytes_per_s,
        publish_every_ms: sending.publish_every_ms,
        ..Uplink::new(name)
    }
}
