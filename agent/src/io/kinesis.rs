//! An Amazon Kinesis data stream: what FORWARD publishes becomes records, and their success frees the disk (A3).
//!
//! A batch of envelopes is one record; with JSON each line is one. The partition key is the agent, so that all it sends
//! stays in order within its shard. FORWARD has at most one publish of a lane under way, and each is a call of its own:
//! an alert waits for no readings.
//!
//! A call that fails as a whole ends the connection, as does anything else that is not about single records; FORWARD
//! backs off and sends again. Single records that fail (HTTP 200, most often
//! `ProvisionedThroughputExceededException`) are another matter:
//! - of a publish of which nothing landed, FORWARD is told that it was refused, and sends it again before any later one
//!   of the lane;
//! - of a publish that landed in part, which only JSON can, the rest is put again from here, alone, until it has landed.
//!   So a line may come after lines that stood behind it in the same publish, but never after one of a later publish.
//!
//! There is no state topic: who reads a stream has no use for a last will, and presence is told by what comes.

mod iot;

use super::session::{self, Event, Publish, Session, Teller};
use crate::config::Kinesis;
use crate::forward::Encoding;
use anyhow::{Context as _, anyhow};
use aws_config::identity::IdentityCache;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::error::ProvideErrorMetadata;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use std::error::Error;
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;
use tokio::sync::mpsc;
use windward_protocol::AgentId;

/// Most records of one call.
const MAX_RECORDS: usize = 500;
/// Longest that one call may take with its retries: below the time after which FORWARD gives up a connection on which
/// nothing moves.
const OPERATION: Duration = Duration::from_secs(9);
const ATTEMPT: Duration = Duration::from_secs(4);
const CONNECT: Duration = Duration::from_secs(3);
const ATTEMPTS: u32 = 2;
/// Credentials are renewed at a random time within so long of their end: many agents do not ask in one moment.
const RENEW_BEFORE: Duration = Duration::from_secs(300);
/// Pauses before the rest of a publish is put again, ms.
const AGAIN_FIRST_MS: u64 = 100;
const AGAIN_MAX_MS: u64 = 2_000;

/// Begins to connect.
pub(super) fn connect(settings: Kinesis, agent: AgentId, teller: Teller) -> Session {
    Session::start(teller, |publishes, teller| converse(settings, agent, publishes, teller))
}

async fn converse(
    settings: Kinesis,
    agent: AgentId,
    publishes: mpsc::Receiver<Publish>,
    teller: Teller,
) -> anyhow::Result<()> {
    let client = client(&settings).await?;
    let stream = Stream { client, name: settings.stream, key: agent.to_string(), encoding: settings.sending.encoding };
    teller.tell(Event::Connected).await?;
    session::put_all(publishes, teller, |publish| stream.clone().put(publish)).await
}

#[derive(Clone)]
struct Stream {
    client: Client,
    name: String,
    key: String,
    encoding: Encoding,
}

impl Stream {
    /// Puts one publish into the stream, and says what became of it.
    async fn put(self, publish: Publish) -> anyhow::Result<Event> {
        let records = publish.records(self.encoding);
        let mut has_landed = false;
        for chunk in records.chunks(MAX_RECORDS) {
            let mut left = chunk.to_vec();
            let mut pause_ms = AGAIN_FIRST_MS;
            loop {
                let failed = self.call(&left).await?;
                has_landed |= failed.len() < left.len();
                left = failed;
                if left.is_empty() {
                    break;
                }
                if !has_landed {
                    return Ok(Event::Refused(publish.token));
                }
                let jitter_ms = RandomState::new().hash_one(publish.token) % pause_ms;
                tokio::time::sleep(Duration::from_millis(pause_ms + jitter_ms)).await;
                pause_ms = (pause_ms * 2).min(AGAIN_MAX_MS);
            }
        }
        Ok(Event::PubAck(publish.token))
    }

    /// One PutRecords; gives the records that failed.
    async fn call<'a>(&self, records: &[&'a [u8]]) -> anyhow::Result<Vec<&'a [u8]>> {
        let entry = |record: &&[u8]| {
            PutRecordsRequestEntry::builder().partition_key(&self.key).data(Blob::new(*record)).build()
        };
        let entries = records.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        let request = self.client.put_records().stream_name(&self.name).set_records(Some(entries));
        let answer = request.send().await.map_err(|error| anyhow!("PutRecords: {}", explain(&error)))?;
        // A record without an entry in the answer counts as failed: at least once.
        let failed = |index: usize| answer.records.get(index).is_none_or(|entry| entry.error_code().is_some());
        let reason = answer.records.iter().find_map(|entry| entry.error_code());
        if let Some(reason) = reason {
            tracing::debug!(stream = self.name, reason, "records failed");
        }
        Ok((0..records.len()).filter(|index| failed(*index)).map(|index| records[index]).collect())
    }
}

/// A client whose credentials have been got once: that there are none is better said as such.
async fn client(settings: &Kinesis) -> anyhow::Result<Client> {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_attempt_timeout(ATTEMPT)
        .operation_timeout(OPERATION)
        .build();
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https())
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
        .identity_cache(IdentityCache::lazy().buffer_time(RENEW_BEFORE).build())
        .region(Region::new(settings.region.clone()));
    if let Some(endpoint) = &settings.endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    if let Some(iot) = &settings.iot {
        loader = loader.credentials_provider(SharedCredentialsProvider::new(iot::Provider::new(iot)?));
    }
    let config = loader.load().await;
    let provider = config.credentials_provider().context("no credentials are configured")?;
    provider.provide_credentials().await.map_err(|error| anyhow!("no credentials: {}", with_causes(&error)))?;
    Ok(Client::new(&config))
}

/// What the service said; or, when none answered, what failed on the way.
fn explain<E: Error + ProvideErrorMetadata + 'static>(error: &E) -> String {
    match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        (None, _) => with_causes(error),
    }
}

/// The SDK's errors name their cause as a source alone.
fn with_causes(error: &dyn Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        said += &format!(": {error}");
        cause = error.source();
    }
    said
}
