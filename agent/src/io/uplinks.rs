//! Where FORWARD's uplinks lead, from the configuration.

use super::clock::Clock;
#[cfg(feature = "kafka")]
use super::kafka;
#[cfg(feature = "kinesis")]
use super::kinesis;
use super::mqtt;
use super::session::{Session, Teller};
#[cfg(feature = "kafka")]
use crate::config::Kafka;
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

/// Headers of a Produce with its answer and those of TLS, TCP and IP, bytes: about.
#[cfg(feature = "kafka")]
const KAFKA_OVERHEAD: u64 = 350;

/// Where an uplink leads.
#[derive(Clone, Debug)]
pub(super) enum Way {
    /// To a broker, over which commands come too where they are taken.
    Mqtt { settings: Mqtt, hears_commands: bool },
    /// To a stream.
    #[cfg(feature = "kinesis")]
    Kinesis(Kinesis),
    /// To a topic of a Kafka cluster.
    #[cfg(feature = "kafka")]
    Kafka(Kafka),
}

impl Way {
    /// Begins to connect.
    #[cfg_attr(
        not(feature = "kafka"),
        allow(unused_variables, reason = "only Kafka's records carry a time of their own")
    )]
    pub(super) fn connect(&self, agent: &AgentId, will: Vec<u8>, clock: Clock, teller: Teller) -> Session {
        match self {
            Way::Mqtt { settings, hears_commands } => {
                mqtt::connect(settings.clone(), agent.clone(), *hears_commands, will, teller)
            }
            #[cfg(feature = "kinesis")]
            Way::Kinesis(settings) => kinesis::connect(settings.clone(), agent.clone(), teller),
            #[cfg(feature = "kafka")]
            Way::Kafka(settings) => kafka::connect(settings.clone(), agent.clone(), clock, teller),
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
    // Without their features, the configuration's check has refused them.
    #[cfg(feature = "kinesis")]
    let mqtt = mqtt.chain(
        config
            .kinesis
            .iter()
            .map(|kinesis| (by_call("kinesis", &kinesis.sending, KINESIS_OVERHEAD), Way::Kinesis(kinesis.clone()))),
    );
    #[cfg(feature = "kafka")]
    let mqtt = mqtt.chain(
        config.kafka.iter().map(|kafka| (by_call("kafka", &kafka.sending, KAFKA_OVERHEAD), Way::Kafka(kafka.clone()))),
    );
    mqtt.collect()
}

/// One to a service whose answer to a call is the ack.
#[cfg(any(feature = "kafka", feature = "kinesis"))]
fn by_call(name: &str, sending: &Sending, overhead_bytes: u64) -> Uplink {
    Uplink { ack: AckBy::Uplink, one_by_one: true, state: false, overhead_bytes, ..uplink(name, sending) }
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
