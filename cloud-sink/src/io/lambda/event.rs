//! What invokes the function, as far as it concerns us.

use crate::decode::{Delivery, Origin};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value as Json;

/// One invocation.
#[derive(Debug, PartialEq)]
pub(super) enum Event {
    /// From an event source mapping on a Kinesis stream: records of one shard, in order.
    Records(Vec<Record>),
    /// From an IoT rule: one publish.
    Publish(Delivery),
    /// From a schedule of EventBridge.
    Scheduled,
}

/// One record.
#[derive(Debug, PartialEq)]
pub(super) struct Record {
    pub(super) sequence: String,
    pub(super) delivery: Delivery,
}

#[derive(Deserialize)]
struct Mapped {
    #[serde(rename = "Records")]
    records: Vec<MappedRecord>,
}

#[derive(Deserialize)]
struct MappedRecord {
    kinesis: Kinesis,
    #[serde(rename = "eventSourceARN")]
    source: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kinesis {
    partition_key: String,
    sequence_number: String,
    data: String,
}

/// What the rule selects: `SELECT topic() AS topic, encode(*, 'base64') AS payload`.
#[derive(Deserialize)]
struct Rule {
    topic: String,
    payload: String,
}

impl Event {
    /// Reads an event, or says why it is none that we take.
    pub(super) fn read(event: Json) -> Result<Self, String> {
        if event.get("Records").is_some() {
            let Mapped { records } =
                serde_json::from_value(event).map_err(|error| format!("Kinesis event: {error}"))?;
            return Ok(Event::Records(records.into_iter().map(record).collect()));
        }
        if event.get("topic").is_some() {
            let Rule { topic, payload } =
                serde_json::from_value(event).map_err(|error| format!("IoT event: {error}"))?;
            return Ok(Event::Publish(Delivery { from: Origin::Topic(topic), payload: bytes(payload) }));
        }
        if event.get("detail-type").and_then(Json::as_str) == Some("Scheduled Event") {
            return Ok(Event::Scheduled);
        }
        let said: String = event.to_string().chars().take(200).collect();
        Err(format!("neither records of Kinesis, nor a publish by an IoT rule, nor a schedule: {said}"))
    }
}

fn record(MappedRecord { kinesis, source }: MappedRecord) -> Record {
    // arn:aws:kinesis:<region>:<account>:stream/<name>
    let stream = source.rsplit_once('/').map_or(source.as_str(), |(_, name)| name).to_string();
    let from = Origin::Record { stream, key: kinesis.partition_key };
    Record { sequence: kinesis.sequence_number, delivery: Delivery { from, payload: bytes(kinesis.data) } }
}

/// What is no Base64 is kept as it is; decoding will find it to be no batch, and keep it as poison.
fn bytes(text: String) -> Vec<u8> {
    STANDARD.decode(&text).unwrap_or(text.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn records_of_kinesis_keep_their_order_and_name_stream_and_key() {
        let record = |sequence: &str, data: &str| {
            json!({
                "kinesis": { "kinesisSchemaVersion": "1.0", "partitionKey": "t1", "sequenceNumber": sequence, "data": data,
                    "approximateArrivalTimestamp": 1_795_182_840.987 },
                "eventSource": "aws:kinesis", "eventVersion": "1.0", "eventID": format!("shardId-000000000006:{sequence}"),
                "eventSourceARN": "arn:aws:kinesis:eu-west-1:123456789012:stream/windward",
            })
        };
        let read = Event::read(json!({ "Records": [record("11", "AAE="), record("12", "not base64!")] })).unwrap();
        let from = Origin::Record { stream: "windward".into(), key: "t1".into() };
        let one = |sequence: &str, payload: &[u8]| Record {
            sequence: sequence.into(),
            delivery: Delivery { from: from.clone(), payload: payload.into() },
        };
        assert_eq!(read, Event::Records(vec![one("11", &[0, 1]), one("12", b"not base64!")]));
    }

    #[test]
    fn what_a_rule_selects_is_a_publish_and_a_schedule_is_one() {
        let read = Event::read(json!({ "topic": "windward/v1/t1/alerts", "payload": "AAE=" })).unwrap();
        let from = Origin::Topic("windward/v1/t1/alerts".into());
        assert_eq!(read, Event::Publish(Delivery { from, payload: vec![0, 1] }));
        let scheduled = json!({ "source": "aws.events", "detail-type": "Scheduled Event", "detail": {} });
        assert_eq!(Event::read(scheduled), Ok(Event::Scheduled));
    }

    #[test]
    fn an_event_of_another_kind_is_refused_with_the_reason() {
        for (event, reason) in [
            (json!({ "Records": [{ "s3": {}, "eventSource": "aws:s3" }] }), "Kinesis event: missing field `kinesis`"),
            (json!({ "topic": "windward/v1/t1/alerts" }), "IoT event: missing field `payload`"),
            (json!({ "detail-type": "EC2 Instance State-change Notification" }), "neither records of Kinesis"),
            (json!("hello"), "neither records of Kinesis"),
        ] {
            let refused = Event::read(event).unwrap_err();
            assert!(refused.starts_with(reason), "{refused}");
        }
    }
}
