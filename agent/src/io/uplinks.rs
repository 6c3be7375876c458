//! Where FORWARD's uplinks lead, from the configuration.

#[cfg(feature = "kinesis")]
use super::kinesis;
use super::mqtt;
use super::session::{Session, Teller};
#[cfg(feature = "kinesis")]
use crate::config::Kinesis;
use crate::config::{AckMode, Commands, Config, Mqtt, Sending};
use crate::forward::{AckBy, Uplink};
use windward_protocol::AgentId;

/// Headers of a PUBLISH with its PUBACK, with those of TLS, TCP and IP, bytes: about.
const MQTT_OVERHEAD: u64 = 150;

/// Headers of a signed PutRecords with its answer and those of TLS, TCP and IP, bytes: about.
#[cfg(feature = "kinesis")]
const KINESIS_OVERHEAD: u64 = 1_500;

/// Where an uplink leads.
#[derive(Clone, Debug)]
pub(super) enum Way {
    /// To a broker, over which commands come too where they are taken.
    Mqtt { settings: Mqtt, hears_commands: bool },
    /// To a stream.
    #[cfg(feature = "kinesis")]
    Kinesis(Kinesis),
}

impl Way {
    /// Begins to connect.
    pub(super) fn connect(&self, agent: &AgentId, will: Vec<u8>, teller: Teller) -> Session {
        match self {
            Way::Mqtt { settings, hears_commands } => {
                mqtt::connect(settings.clone(), agent.clone(), *hears_commands, will, teller)
            }
            #[cfg(feature = "kinesis")]
            Way::Kinesis(settings) => kinesis::connect(settings.clone(), agent.clone(), teller),
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
        (uplink, Way::Mqtt { settings: mqtt.clone(), hears_commands: config.commands != Commands::None })
    });
    // Without the feature, the configuration's check has refused it.
    #[cfg(feature = "kinesis")]
    let mqtt = mqtt.chain(config.kinesis.iter().map(|kinesis| {
        let mut uplink = uplink("kinesis", &kinesis.sending);
        (uplink.ack, uplink.one_by_one, uplink.state) = (AckBy::Uplink, true, false);
        uplink.overhead_bytes = KINESIS_OVERHEAD;
        (uplink, Way::Kinesis(kinesis.clone()))
    }));
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
