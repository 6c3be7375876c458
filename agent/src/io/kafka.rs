//! A topic of a Kafka cluster: what FORWARD publishes becomes records, and their success frees the disk (A3).
//!
//! A batch of envelopes is one record; with JSON each line is one. The key is the agent, and the partition the one that
//! other producers choose for that key too, so that all it sends stays in order within it. A record counts as taken once
//! all replicas in sync have it (`acks = all`). FORWARD has at most one publish of a lane under way, and each is a call of
//! its own: an alert waits for no readings.
//!
//! A leader that has moved is found by the client within the call. Where the leader says no (too few replicas in sync, a
//! quota, no right to write), FORWARD is told that the publish was refused, and sends it again before any later one of
//! the lane. A call without an answer ends the connection, as does a cluster that cannot be reached; FORWARD backs off and
//! sends again, from a client of its own. There is no idempotent producer: what is sent again stands in the topic twice,
//! and is stored once.
//!
//! The topic is not made here, and there is no state topic: who reads one has no use for a last will.

use super::clock::Clock;
use super::session::{self, Event, Publish, Session, Teller};
use super::tls;
use crate::config::{Kafka, Mechanism};
use crate::forward::Encoding;
use anyhow::{Context as _, bail};
use rskafka::BackoffConfig;
use rskafka::chrono::DateTime;
use rskafka::client::error::{Error, ProtocolError};
use rskafka::client::partition::{Compression, PartitionClient, UnknownTopicHandling};
use rskafka::client::{ClientBuilder, Credentials, SaslConfig};
use rskafka::record::Record;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;
use windward_protocol::AgentId;

/// Longest that the cluster may take to say which partitions there are, and who leads ours.
const CONNECT: Duration = Duration::from_secs(10);
/// Longest that one call may take with its retries: below the time after which FORWARD gives up a connection on which
/// nothing moves.
const OPERATION: Duration = Duration::from_secs(9);
/// For so long the client tries by itself: enough for a leader to move.
const RETRY: Duration = Duration::from_secs(7);
/// Pauses before it tries again.
const AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// Most bytes of one call, a single record excepted: half of what a broker takes unless told otherwise.
const MAX_CALL: usize = 512 * 1024;

/// Begins to connect.
pub(super) fn connect(settings: Kafka, agent: AgentId, clock: Clock, teller: Teller) -> Session {
    Session::start(teller, move |publishes, teller| converse(settings, agent, clock, publishes, teller))
}

async fn converse(
    settings: Kafka,
    agent: AgentId,
    clock: Clock,
    publishes: mpsc::Receiver<Publish>,
    teller: Teller,
) -> anyhow::Result<()> {
    let opened = timeout(CONNECT, Topic::open(&settings, &agent, clock)).await;
    let topic = opened.with_context(|| format!("no answer within {CONNECT:?}"))??;
    teller.tell(Event::Connected).await?;
    session::put_all(publishes, teller, |publish| topic.clone().put(publish)).await
}

/// The agent's partition of the topic.
#[derive(Clone)]
struct Topic {
    partition: Arc<PartitionClient>,
    key: Vec<u8>,
    encoding: Encoding,
    clock: Clock,
}

impl Topic {
    async fn open(settings: &Kafka, agent: &AgentId, clock: Clock) -> anyhow::Result<Self> {
        let client = builder(settings, agent)?.build().await?;
        let topics = client.list_topics().await?;
        let name = &settings.topic;
        let topic = topics.into_iter().find(|topic| topic.name == *name);
        let partitions = topic.with_context(|| format!("the cluster has no topic {name} for us"))?.partitions;
        let key = agent.as_str().as_bytes().to_vec();
        let index = index_of(&key, partitions.len());
        let partition = *partitions.iter().nth(index).with_context(|| format!("topic {name} has no partition"))?;
        let partition = client.partition_client(name, partition, UnknownTopicHandling::Error).await?;
        Ok(Self { partition: Arc::new(partition), key, encoding: settings.sending.encoding, clock })
    }

    /// Puts one publish into the topic, and says what became of it.
    async fn put(self, publish: Publish) -> anyhow::Result<Event> {
        for call in calls(publish.records(self.encoding)) {
            let records = call.into_iter().map(|value| self.record(value)).collect();
            let produced = timeout(OPERATION, self.partition.produce(records, Compression::NoCompression)).await;
            match produced.with_context(|| format!("Produce: no answer within {OPERATION:?}"))? {
                Ok(_offsets) => {}
                Err(Error::ServerError { protocol_error: ProtocolError::UnknownTopicOrPartition, .. }) => {
                    bail!("Produce: the partition is not there any more");
                }
                Err(Error::ServerError { protocol_error: reason, .. }) => {
                    tracing::warn!(topic = self.partition.topic(), ?reason, "the leader refused records");
                    return Ok(Event::Refused(publish.token));
                }
                Err(error) => return Err(error).context("Produce"),
            }
        }
        Ok(Event::PubAck(publish.token))
    }

    /// Its time is that of sending, and an estimate while the clock is not set: brokers delete by it, unless the topic is
    /// told to go by their own clocks, and a record of 1970 would be gone at once.
    fn record(&self, value: &[u8]) -> Record {
        let timestamp = DateTime::from_timestamp_millis(self.clock.now().wall.0).unwrap_or_default();
        Record { key: Some(self.key.clone()), value: Some(value.to_vec()), headers: BTreeMap::new(), timestamp }
    }
}

fn builder(settings: &Kafka, agent: &AgentId) -> anyhow::Result<ClientBuilder> {
    let backoff = BackoffConfig { init_backoff: AGAIN.0, max_backoff: AGAIN.1, base: 2.0, deadline: Some(RETRY) };
    let mut builder = ClientBuilder::new(settings.brokers.clone()).client_id(agent.as_str()).backoff_config(backoff);
    if let Some(files) = &settings.tls {
        builder = builder.tls_config(tls::client_config(files)?);
    }
    if let Some(sasl) = &settings.sasl {
        let file = &sasl.password_file;
        let password =
            std::fs::read_to_string(file).with_context(|| format!("cannot read the password in {}", file.display()))?;
        let password = password.trim_end_matches(['\r', '\n']).to_owned();
        let credentials = Credentials::new(sasl.username.clone(), password);
        builder = builder.sasl_config(match sasl.mechanism {
            Mechanism::Plain => SaslConfig::Plain(credentials),
            Mechanism::ScramSha256 => SaslConfig::ScramSha256(credentials),
            Mechanism::ScramSha512 => SaslConfig::ScramSha512(credentials),
        });
    }
    Ok(builder)
}

/// Values in their order, as many a call as it may hold.
fn calls(values: Vec<&[u8]>) -> Vec<Vec<&[u8]>> {
    let mut calls: Vec<Vec<&[u8]>> = Vec::new();
    let mut bytes = 0;
    for value in values {
        bytes += value.len();
        match calls.last_mut() {
            Some(call) if bytes <= MAX_CALL => call.push(value),
            _ => {
                bytes = value.len();
                calls.push(vec![value]);
            }
        }
    }
    calls
}

/// Which of so many partitions a key belongs to: as Kafka's own clients choose it.
fn index_of(key: &[u8], partitions: usize) -> usize {
    (murmur2(key) & 0x7fff_ffff) as usize % partitions.max(1)
}

/// MurmurHash2 of 32 bits by A. Appleby, with Kafka's seed.
fn murmur2(bytes: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ bytes.len() as u32;
    let mut words = bytes.chunks_exact(4);
    for word in &mut words {
        let mut mixed = u32::from_le_bytes([word[0], word[1], word[2], word[3]]).wrapping_mul(M);
        mixed ^= mixed >> 24;
        hash = hash.wrapping_mul(M) ^ mixed.wrapping_mul(M);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        let tail = rest.iter().rev().fold(0, |tail, byte| (tail << 8) | u32::from(*byte));
        hash = (hash ^ tail).wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the test of Kafka's own client expects (`UtilsTest.testMurmur2`).
    #[test]
    fn keys_are_hashed_as_by_kafkas_own_clients() {
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()) as i32, hash, "{key}");
        }
    }

    #[test]
    fn a_call_holds_what_a_broker_takes_and_a_longer_record_goes_alone() {
        let (short, long) = (vec![0; 200 * 1024], vec![0; 600 * 1024]);
        let lens = |values: Vec<&[u8]>| -> Vec<usize> { calls(values).iter().map(Vec::len).collect() };
        assert_eq!(lens(Vec::new()), [0; 0]);
        assert_eq!(lens(vec![&short; 5]), [2, 2, 1]);
        assert_eq!(lens(vec![&short, &long, &short]), [1, 1, 1]);
    }
}
