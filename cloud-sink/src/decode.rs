//! Bytes from a topic to envelopes, or to poison with its reason (invariant S3).

use std::collections::BTreeMap;
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

/// One message as a broker delivers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Topic it came on.
    pub topic: String,
    /// What was published.
    pub payload: Vec<u8>,
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
    /// The topic's agent; `None` when the topic is none of ours.
    pub agent: Option<AgentId>,
    /// Name of the envelope, where it could be read: it is acked like any other, for it would be refused again.
    pub name: Option<Name>,
    /// Why, in words.
    pub reason: String,
    /// The bytes refused.
    pub bytes: Vec<u8>,
}

/// Schemas that agents have told, each under its agent: what one calls by a name is not what another does.
pub type Known = BTreeMap<(AgentId, SchemaId), Schema>;

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
    let Some((agent, _)) = topic::parse(&delivery.topic) else { return Vec::new() };
    batch::named(&delivery.payload).into_iter().map(|id| (agent.clone(), id)).collect()
}

/// Takes a delivery apart. One bad envelope spoils none of its siblings.
pub fn decode(delivery: &Delivery, known: &Known) -> Decoded {
    let Some((agent, lane)) = topic::parse(&delivery.topic) else {
        let poison = Poison {
            agent: None,
            name: None,
            reason: format!("topic {:?} names no agent and lane", delivery.topic),
            bytes: delivery.payload.clone(),
        };
        return Decoded { poison: vec![poison], ..Decoded::default() };
    };
    let refuse =
        |reason: String, name: Option<Name>, bytes: Vec<u8>| Poison { agent: Some(agent.clone()), name, reason, bytes };
    let of_agent = named(delivery).into_iter().filter_map(|key| Some((key.1, known.get(&key)?.clone()))).collect();
    let split = batch::split_with(&delivery.payload, &of_agent);
    let (mut received, mut poison, mut unknown) = (Vec::new(), Vec::new(), None);
    for bytes in split.envelopes {
        let envelope = match decode_one(&agent, lane, &bytes) {
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
        Some(DecodeError::UnknownSchema(id)) => unknown = Some((agent.clone(), id)),
        Some(error) => poison.push(refuse(format!("batch: {error}"), None, delivery.payload.clone())),
    }
    // Under another's name it would never be looked for.
    let schemas = split.schemas.into_iter().filter(|schema| schema.agent == agent).collect();
    Decoded { received, poison, schemas, unknown }
}

fn decode_one(agent: &AgentId, lane: Lane, bytes: &[u8]) -> Result<Envelope, String> {
    let envelope = Envelope::decode(bytes).map_err(|error| format!("envelope: {error}"))?;
    // A broker lets an agent publish on its own topics only; a name inside that differs is a lie or a mistake.
    if envelope.agent != *agent {
        return Err(format!("agent {} inside, topic of {agent}", envelope.agent));
    }
    if envelope.lane != lane {
        return Err(format!("lane {} inside, topic of lane {lane}", envelope.lane));
    }
    Ok(envelope)
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
    use windward_protocol::{Gap, GapReason, batch::BatchBuilder};

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
        let decoded = decode(&Delivery { topic: topic.into(), payload: batch.finish() }, &Known::new());
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
        let delivery = Delivery { topic: "windward/v1/t1/readings".into(), payload: payload.clone() };
        let decoded = decode(&delivery, &Known::new());
        assert!(decoded.received.is_empty());
        assert_eq!(decoded.poison[0].bytes, payload);
        assert_eq!(decoded.poison[0].reason, "batch: malformed: unknown codec of a batch");
    }
}
