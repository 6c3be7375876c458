//! Bytes from a source to envelopes, or to poison with its reason (invariant S3).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use windward_protocol::{AgentId, DecodeError, Envelope, Epoch, Lane, Record, Schema, SchemaId, Seq, batch, topic};

/// Longest name of a device or channel that is stored, bytes: names become keys, and stores bound those.
pub const MAX_NAME: usize = 256;

/// The name of an envelope, for ever.
pub type Name = (AgentId, Epoch, Lane, Seq);

/// The name of a lane of an agent's spool.
pub type LaneName = (AgentId, Epoch, Lane);

/// The name of this envelope.
pub fn name_of(envelope: &Envelope) -> Name {
    (envelope.agent.clone(), envelope.epoch, envelope.lane, envelope.seq)
}

/// One message as a source delivers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Where it came from.
    pub from: Origin,
    /// What was sent.
    pub payload: Vec<u8>,
}

/// Where a delivery came from, and so what is known of its sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// An MQTT topic. A broker lets an agent publish on its own topics only: who sent it is proved.
    Topic(String),
    /// A record of a Kinesis stream. Its partition key is the agent by agreement. That is a claim and no proof: whoever
    /// may write into the stream may write any key. An envelope of another agent than the key's is refused all the same,
    /// because a mistake is one too, and because order holds per key.
    Record {
        /// The stream.
        stream: String,
        /// Partition key.
        key: String,
    },
    /// A record of a Kafka topic. Its key is the agent by agreement, and as little a proof as a partition key.
    Kafka {
        /// The topic.
        topic: String,
        /// Key; empty where it has none.
        key: String,
    },
    /// What stands in a stream and cannot be had from it: it is passed over, and this is left in its place. No bytes come
    /// with it.
    Unreadable {
        /// Where it stands: `kafka:<topic>/<partition>@<first offset>-<last>`.
        place: String,
        /// Why it cannot be read.
        reason: String,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Topic(topic) => f.write_str(topic),
            Origin::Record { stream, key } => write!(f, "kinesis:{stream}/{key}"),
            Origin::Kafka { topic, key } => write!(f, "kafka:{topic}/{key}"),
            Origin::Unreadable { place, .. } => f.write_str(place),
        }
    }
}

/// Who sent a delivery, as far as its source knows.
struct Sender {
    agent: AgentId,
    /// The lane that all of it must be of, where the source tells it.
    lane: Option<Lane>,
    /// What names the agent, in words.
    by: &'static str,
    /// Whether the agent hears that a schema is missing here, and sends again in full. It hears it by the missing ack.
    hears: bool,
}

impl Origin {
    fn sender(&self) -> Result<Sender, String> {
        match self {
            Origin::Topic(topic) => match topic::parse(topic) {
                Some((agent, lane)) => Ok(Sender { agent, lane: Some(lane), by: "topic of", hears: true }),
                None => Err(format!("topic {topic:?} names no agent and lane")),
            },
            Origin::Record { key, .. } => match AgentId::new(key) {
                Ok(agent) => Ok(Sender { agent, lane: None, by: "partition key", hears: false }),
                Err(_) => Err(format!("partition key {key:?} names no agent")),
            },
            Origin::Kafka { key, .. } => match AgentId::new(key) {
                Ok(agent) => Ok(Sender { agent, lane: None, by: "key", hears: false }),
                Err(_) => Err(format!("key {key:?} names no agent")),
            },
            Origin::Unreadable { reason, .. } => Err(reason.clone()),
        }
    }
}

/// An envelope and the bytes it came as, which are kept with its rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Received {
    /// Decoded and checked.
    pub envelope: Envelope,
    /// As encoded by the agent.
    pub bytes: Vec<u8>,
}

/// What could not be used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poison {
    /// The sender by topic or partition key; `None` when that is none of ours.
    pub agent: Option<AgentId>,
    /// Name of the envelope, where it could be read: it is acked like any other, for it would be refused again.
    pub name: Option<Name>,
    /// Why, in words.
    pub reason: String,
    /// The bytes refused.
    pub bytes: Vec<u8>,
}

/// Schemas that agents have told, each under its agent: what one calls by a name is not what another does.
pub type Known = BTreeMap<(AgentId, SchemaId), Arc<Schema>>;

/// A delivery taken apart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decoded {
    /// What can be used.
    pub received: Vec<Received>,
    /// What cannot.
    pub poison: Vec<Poison>,
    /// Schemas that it carries, to be kept before any of it is acked (S1).
    pub schemas: Vec<Schema>,
    /// The schema without which nothing of it could be read. Not poison: it stays unacked, and the agent sends it again
    /// in full.
    pub unknown: Option<(AgentId, SchemaId)>,
}

/// The schemas that a delivery names and does not carry: what [`decode`] needs to know.
pub fn named(delivery: &Delivery) -> Vec<(AgentId, SchemaId)> {
    let Ok(Sender { agent, .. }) = delivery.from.sender() else { return Vec::new() };
    batch::named(&delivery.payload).into_iter().map(|id| (agent.clone(), id)).collect()
}

/// Takes a delivery apart. One bad envelope spoils none of its siblings.
pub fn decode(delivery: &Delivery, known: &Known) -> Decoded {
    let sender = match delivery.from.sender() {
        Ok(sender) => sender,
        Err(reason) => {
            let poison = Poison { agent: None, name: None, reason, bytes: delivery.payload.clone() };
            return Decoded { poison: vec![poison], ..Decoded::default() };
        }
    };
    let agent = &sender.agent;
    let refuse =
        |reason: String, name: Option<Name>, bytes: Vec<u8>| Poison { agent: Some(agent.clone()), name, reason, bytes };
    let of_agent: BTreeMap<_, _> =
        named(delivery).into_iter().filter_map(|key| Some((key.1, known.get(&key)?.clone()))).collect();
    let split = batch::split_with(&delivery.payload, &of_agent);
    let (mut received, mut poison, mut unknown) = (Vec::new(), Vec::new(), None);
    for bytes in split.envelopes {
        let envelope = match decode_one(&sender, &bytes) {
            Ok(envelope) => envelope,
            Err(reason) => {
                poison.push(refuse(reason, None, bytes));
                continue;
            }
        };
        match check(&envelope) {
            Ok(()) => received.push(Received { envelope, bytes }),
            Err(reason) => poison.push(refuse(reason, Some(name_of(&envelope)), bytes)),
        }
    }
    match split.broken {
        None => {}
        Some(DecodeError::UnknownSchema(id)) if sender.hears => unknown = Some((agent.clone(), id)),
        Some(error) => poison.push(refuse(no_batch(&delivery.payload, &error), None, delivery.payload.clone())),
    }
    // Under another's name it would never be looked for.
    let schemas = split.schemas.into_iter().filter(|schema| schema.agent == *agent).collect();
    Decoded { received, poison, schemas, unknown }
}

/// First bytes of what the Kinesis Producer Library makes of several records.
const AGGREGATED: [u8; 4] = [0xf3, 0x89, 0x9a, 0xc2];

/// Why bytes are no batch, with a better word for what is met in other people's streams.
fn no_batch(bytes: &[u8], error: &DecodeError) -> String {
    if bytes.starts_with(b"{") {
        "JSON, for consumers that are not ours: it has no sequence to be stored once by".into()
    } else if bytes.starts_with(&AGGREGATED) {
        "aggregated by the Kinesis Producer Library, which agents do not use".into()
    } else {
        format!("batch: {error}")
    }
}

fn decode_one(sender: &Sender, bytes: &[u8]) -> Result<Envelope, String> {
    let envelope = Envelope::decode(bytes).map_err(|error| format!("envelope: {error}"))?;
    // A name inside that differs is a lie or a mistake.
    if envelope.agent != sender.agent {
        return Err(format!("agent {} inside, {} {}", envelope.agent, sender.by, sender.agent));
    }
    match sender.lane {
        Some(lane) if envelope.lane != lane => Err(format!("lane {} inside, topic of lane {lane}", envelope.lane)),
        _ => Ok(envelope),
    }
}

/// What the wire allows and the tables do not.
fn check(envelope: &Envelope) -> Result<(), String> {
    let (device, channels) = match &envelope.record {
        Record::Block(block) => (block.device.as_str(), block.channels.as_slice()),
        Record::Stats(stats) => (stats.device.as_str(), std::slice::from_ref(&stats.channel)),
        Record::Health(_) | Record::Answer(_) if envelope.lane == Lane::State => return Ok(()),
        Record::Health(_) => return Err(format!("a health record on lane {}", envelope.lane)),
        Record::Answer(_) => return Err(format!("an answer on lane {}", envelope.lane)),
        Record::Alert(_) | Record::Gap(_) | Record::Hello(_) => ("", [].as_slice()),
    };
    if envelope.lane == Lane::State {
        return Err("a record other than health and answers on lane state".into());
    }
    if device.len() > MAX_NAME || channels.iter().any(|channel| channel.name.len() > MAX_NAME) {
        return Err(format!("a device or channel name over {MAX_NAME} bytes"));
    }
    if channels.iter().any(|channel| channel.name.is_empty()) {
        return Err("a channel without a name".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use windward_protocol::batch::BatchBuilder;
    use windward_protocol::{BlockBuilder, Channel, Gap, GapReason, Quantity, Row, Value};

    fn envelope(agent: &str, lane: Lane) -> Vec<u8> {
        let envelope = Envelope {
            agent: AgentId::new(agent).unwrap(),
            epoch: 7,
            lane,
            seq: 1,
            record: Record::Gap(Gap { lane: Lane::Readings, from: 1, to: 2, reason: GapReason::Damage }),
        };
        envelope.encode().unwrap()
    }

    fn reasons(topic: &str, envelopes: &[Vec<u8>]) -> (usize, Vec<String>) {
        let mut batch = BatchBuilder::new();
        for envelope in envelopes {
            assert!(batch.push(envelope));
        }
        let decoded = decode(&Delivery { from: Origin::Topic(topic.into()), payload: batch.finish() }, &Known::new());
        (decoded.received.len(), decoded.poison.into_iter().map(|poison| poison.reason).collect())
    }

    #[test]
    fn an_envelope_must_be_its_topics() {
        let good = envelope("t1", Lane::Alerts);
        assert_eq!(reasons("windward/v1/t1/alerts", std::slice::from_ref(&good)), (1, vec![]));
        let (_, refused) = reasons("windward/v1/t2/alerts", std::slice::from_ref(&good));
        assert_eq!(refused, ["agent t1 inside, topic of t2"]);
        let (_, refused) = reasons("windward/v1/t1/readings", std::slice::from_ref(&good));
        assert_eq!(refused, ["lane alerts inside, topic of lane readings"]);
        let (_, refused) = reasons("elsewhere/t1", &[good]);
        assert_eq!(refused, ["topic \"elsewhere/t1\" names no agent and lane"]);
        let (_, refused) = reasons("windward/v1/t1/state", &[envelope("t1", Lane::State)]);
        assert_eq!(refused, ["a record other than health and answers on lane state"]);
    }

    #[test]
    fn one_bad_envelope_spoils_none_of_its_siblings() {
        let good = envelope("t1", Lane::Alerts);
        let mut flipped = good.clone();
        flipped[5] ^= 1;
        let (kept, refused) = reasons("windward/v1/t1/alerts", &[good.clone(), flipped, good]);
        assert_eq!(kept, 2);
        assert!(refused[0].starts_with("envelope: checksum mismatch"), "{refused:?}");
    }

    #[test]
    fn bytes_that_are_no_batch_are_kept_whole() {
        let payload = b"\xffnot ours".to_vec();
        let delivery = Delivery { from: Origin::Topic("windward/v1/t1/readings".into()), payload: payload.clone() };
        let decoded = decode(&delivery, &Known::new());
        assert!(decoded.received.is_empty());
        assert_eq!(decoded.poison[0].bytes, payload);
        assert_eq!(decoded.poison[0].reason, "batch: malformed: unknown codec of a batch");
    }

    fn record(key: &str, payload: Vec<u8>) -> Decoded {
        let from = Origin::Record { stream: "farm".into(), key: key.into() };
        decode(&Delivery { from, payload }, &Known::new())
    }

    #[test]
    fn an_envelope_in_a_stream_must_be_its_partition_keys() {
        let batch = |envelope: Vec<u8>| {
            let mut batch = BatchBuilder::new();
            assert!(batch.push(&envelope));
            batch.finish()
        };
        for lane in Lane::DURABLE {
            assert_eq!(record("t1", batch(envelope("t1", lane))).received.len(), 1);
        }
        let refused = record("t2", batch(envelope("t1", Lane::Alerts)));
        assert_eq!(refused.poison[0].reason, "agent t1 inside, partition key t2");
        let refused = record("a b", batch(envelope("t1", Lane::Alerts)));
        assert_eq!(refused.poison[0].reason, "partition key \"a b\" names no agent");
    }

    #[test]
    fn so_must_one_in_a_kafka_topic_be_its_keys() {
        let record = |key: &str| {
            let mut batch = BatchBuilder::new();
            assert!(batch.push(&envelope("t1", Lane::Alerts)));
            let from = Origin::Kafka { topic: "farm".into(), key: key.into() };
            decode(&Delivery { from, payload: batch.finish() }, &Known::new())
        };
        assert_eq!(record("t1").received.len(), 1);
        assert_eq!(record("t2").poison[0].reason, "agent t1 inside, key t2");
        assert_eq!(record("").poison[0].reason, "key \"\" names no agent");
    }

    #[test]
    fn what_cannot_be_had_from_a_stream_is_poison_without_bytes() {
        let from = Origin::Unreadable { place: "kafka:farm/3@7-9".into(), reason: "no such codec".into() };
        assert_eq!(from.to_string(), "kafka:farm/3@7-9");
        let poison = decode(&Delivery { from, payload: Vec::new() }, &Known::new()).poison;
        assert_eq!(poison, [Poison { agent: None, name: None, reason: "no such codec".into(), bytes: Vec::new() }]);
    }

    /// It cannot be asked for again by leaving out an ack, as it can by MQTT.
    #[test]
    fn a_record_that_wants_a_schema_which_is_not_known_is_poison() {
        let block = |seq| {
            let channel = Channel { name: "wind".into(), quantity: Quantity::WindSpeed, unit: "m/s".into() };
            let agent = AgentId::new("t1").unwrap();
            let mut block = BlockBuilder::new(&agent, "mast", "here", &[channel], true);
            for second in 0..50 {
                let readings = vec![Ok(Value::Int { mantissa: 80 + second % 3, exponent: -1 })];
                block.push(&Row { time_ms: second * 1000, readings, scores: vec![None] }).unwrap();
            }
            let record = Record::Block(block.finish().unwrap());
            Envelope { agent, epoch: 7, lane: Lane::Readings, seq, record }.encode().unwrap()
        };
        let mut batch = BatchBuilder::new();
        assert!(batch.push(&block(1)) && batch.push(&block(2)));
        let full = batch.clone().finish_packed(&Default::default());
        let named = batch.finish_packed(&full.schemas.iter().copied().collect()).bytes;
        let decoded = record("t1", named.clone());
        assert_eq!((decoded.unknown, decoded.poison.len()), (None, 1));
        assert_eq!(decoded.poison[0].bytes, named);
        assert_eq!(record("t1", full.bytes).received.len(), 2);
    }

    #[test]
    fn what_others_put_into_a_stream_is_kept_with_its_reason() {
        for (payload, reason) in [
            (b"{\"location\":\"Turbine 1\"}".to_vec(), "JSON, for consumers that are not ours"),
            ([&AGGREGATED[..], b"\x0a\x02t1"].concat(), "aggregated by the Kinesis Producer Library"),
            (b"\xff".to_vec(), "batch: malformed: unknown codec of a batch"),
            (Vec::new(), "batch: "),
        ] {
            let decoded = record("t1", payload.clone());
            assert!(decoded.poison[0].reason.starts_with(reason), "{}", decoded.poison[0].reason);
            assert_eq!(decoded.poison[0].bytes, payload);
        }
    }
}
