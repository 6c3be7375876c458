//! The Kafka source: the calls to the cluster. `stream` makes a source of them: the topic's partitions are its shards, and
//! offsets their sequence numbers. No consumer group is joined: partitions are shared and positions kept where the rows
//! are, by the same leases as a Kinesis stream's, so that a position never says more than the store has.
//!
//! A batch of records that cannot be had (damaged, or in a form that nobody knows any more) fails the whole call that it
//! comes with. It is asked for alone then, and if that fails too it is passed over, offset by offset, and word of it is
//! left in the poison table (S3): it stops nothing that stands behind it.

mod partition;

use super::source::Incoming;
use super::store::Store;
use super::stream::{self, Failure, Outcome, Reader};
use super::{Counts, Stop};
use crate::config::{self, Sasl};
use crate::decode::Origin;
use crate::shards::Position;
use anyhow::{Context, Result};
use partition::{Found, Partition};
use rskafka::BackoffConfig;
use rskafka::client::{Client, ClientBuilder, Credentials, SaslConfig};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OnceCell, mpsc, watch};
use tokio::time::timeout;

/// Longest that one call may take with its retries.
const CALL: Duration = Duration::from_secs(15);
/// For so long the client tries by itself: enough for a leader to move.
const RETRY: Duration = Duration::from_secs(10);
/// Pauses before it tries again.
const AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// Most bytes of a page of a partition that has more, and of one that is waited for at its end. A single batch is given
/// whole all the same; brokers take them up to 1 MiB unless told otherwise.
const PAGES: (i32, i32) = (1024 * 1024, 64 * 1024);
/// Longest answer taken.
const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// Whether the topic is there.
pub async fn check(config: &config::Kafka) -> Result<String> {
    let partitions = Topic::new(config.clone()).shards().await?.len();
    Ok(format!("{}, {partitions} partitions", config.topic))
}

/// Follows the topic until told to quit.
pub(super) async fn follow(
    config: config::Kafka,
    store: Store,
    into: mpsc::Sender<Incoming>,
    stop: watch::Receiver<Stop>,
    counts: Arc<Counts>,
) {
    let start = config.start;
    stream::follow(stream::Stream::Kafka(Topic::new(config)), start, store, into, stop, counts).await;
}

/// One topic.
#[derive(Clone)]
pub(super) struct Topic {
    config: Arc<config::Kafka>,
    /// Made when the cluster first answers.
    client: Arc<OnceCell<Client>>,
}

impl Topic {
    fn new(config: config::Kafka) -> Self {
        Self { config: Arc::new(config), client: Arc::default() }
    }

    pub(super) fn name(&self) -> &str {
        &self.config.topic
    }

    async fn client(&self) -> Result<&Client> {
        let connect = self.client.get_or_try_init(|| async { Ok(builder(&self.config)?.build().await?) });
        timeout(CALL, connect).await.with_context(|| format!("no broker answers within {CALL:?}"))?
    }

    /// `kafka:<name>`, once the topic is there.
    pub(super) async fn key(&self) -> Result<String> {
        self.shards().await?;
        Ok(format!("kafka:{}", self.name()))
    }

    /// Its partitions.
    pub(super) async fn shards(&self) -> Result<BTreeMap<String, Vec<String>>> {
        let listed = timeout(CALL, self.client().await?.list_topics()).await;
        let topics = listed.with_context(|| format!("Metadata: no answer within {CALL:?}"))??;
        let topic = topics.into_iter().find(|topic| topic.name == self.name());
        let partitions = topic.with_context(|| format!("the cluster has no topic {} for us", self.name()))?.partitions;
        Ok(partitions.into_iter().map(|partition| (partition.to_string(), Vec::new())).collect())
    }

    /// Reads a partition page by page; moves `at` along.
    pub(super) async fn pages(&self, reader: &Reader, at: &mut Position) -> Result<Outcome, Failure> {
        let client = self.client().await.map_err(|error| Failure::Passing(format!("{error:#}")))?;
        let partition = Partition::open(client, self.name(), &reader.shard).await?;
        let Some(mut next) = partition.first(at).await? else { return Ok(reader.ended()) };
        if !matches!(at, Position::After(_)) {
            // All from here on is to be read, also by who comes after us before anything did.
            *at = after(next - 1);
            reader.begins(at.clone());
        }
        let (mut has_more, mut is_alone) = (true, false);
        loop {
            let _turn = if has_more { reader.turn().await } else { None };
            let bytes = match (is_alone, has_more) {
                (true, _) => 1,
                (_, true) => PAGES.0,
                (_, false) => PAGES.1,
            };
            let (behind, reason) = match partition.fetch(next, bytes).await? {
                Found::Unreadable(_) if !is_alone => {
                    is_alone = true;
                    continue;
                }
                Found::Unreadable(reason) => (partition.behind_unreadable(next).await?, reason),
                Found::Records { records, end } if records.is_empty() && next < end => {
                    let behind = partition.behind_nothing(next, || reader.is_behind(0)).await?;
                    (behind, "nothing in it that could be read".into())
                }
                Found::Records { records, end } => {
                    is_alone = false;
                    for (offset, record) in records {
                        let key = String::from_utf8_lossy(&record.key.unwrap_or_default()).into_owned();
                        let from = Origin::Kafka { topic: self.name().into(), key };
                        if !hand_over(reader, at, from, offset, record.value).await {
                            return Ok(Outcome::Again("the sink stops"));
                        }
                        next = offset + 1;
                    }
                    has_more = next < end;
                    if !has_more {
                        reader.is_behind(0);
                    }
                    continue;
                }
            };
            if behind > next {
                let place = format!("kafka:{}/{}@{next}-{}", self.name(), reader.shard, behind - 1);
                tracing::error!(place, reason, "passed over");
                if !hand_over(reader, at, Origin::Unreadable { place, reason }, behind - 1, None).await {
                    return Ok(Outcome::Again("the sink stops"));
                }
                next = behind;
            }
        }
    }
}

/// Hands a record on, and moves `at` behind it. False: there is no committer any more.
async fn hand_over(reader: &Reader, at: &mut Position, from: Origin, offset: i64, value: Option<Vec<u8>>) -> bool {
    let is_taken = reader.hand_over(from, offset.to_string(), value.unwrap_or_default()).await;
    *at = after(offset);
    is_taken
}

fn after(offset: i64) -> Position {
    Position::After(offset.to_string())
}

fn builder(config: &config::Kafka) -> Result<ClientBuilder> {
    let backoff = BackoffConfig { init_backoff: AGAIN.0, max_backoff: AGAIN.1, base: 2.0, deadline: Some(RETRY) };
    let mut builder = ClientBuilder::new(config.brokers.clone())
        .client_id("windward-sink")
        .backoff_config(backoff)
        .max_message_size(MAX_ANSWER);
    if let Some(ca) = &config.ca {
        builder = builder.tls_config(tls(ca, config.cert.as_deref().zip(config.key.as_deref()))?);
    }
    if let (Some(sasl), Some(username), Some(file)) = (config.sasl, &config.username, &config.password_file) {
        let password = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let credentials = Credentials::new(username.clone(), password.trim_end_matches(['\r', '\n']).into());
        builder = builder.sasl_config(match sasl {
            Sasl::Plain => SaslConfig::Plain(credentials),
            Sasl::ScramSha256 => SaslConfig::ScramSha256(credentials),
            Sasl::ScramSha512 => SaslConfig::ScramSha512(credentials),
        });
    }
    Ok(builder)
}

/// TLS that trusts these authorities alone, and shows a certificate where there is one.
fn tls(ca: &Path, own: Option<(&Path, &Path)>) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca)? {
        roots.add(certificate).with_context(|| format!("{} holds a certificate that is no authority", ca.display()))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let builder = builder.with_root_certificates(roots);
    let Some((cert, key)) = own else { return Ok(Arc::new(builder.with_no_client_auth())) };
    let der = PrivateKeyDer::from_pem_file(key).with_context(|| format!("no private key in {}", key.display()))?;
    let config = builder.with_client_auth_cert(certificates(cert)?, der);
    Ok(Arc::new(config.with_context(|| format!("{} and {} do not fit", cert.display(), key.display()))?))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let read = || CertificateDer::pem_file_iter(path)?.collect::<Result<Vec<_>, _>>();
    let certificates = read().with_context(|| format!("no certificates in {}", path.display()))?;
    anyhow::ensure!(!certificates.is_empty(), "no certificates in {}", path.display());
    Ok(certificates)
}
