//! Puts out what the labs' consumers read: streams, then tables, before the commit.
//!
//! The ledger keeps what is committed from coming again, so what was put out after a commit would be lost in a crash
//! between the two. Before it, a crash repeats: an item of a table is then the same item; a stream has the record twice,
//! as Kinesis may deliver it twice anyway (at least once). As long as this process lives, a group of deliveries that is
//! taken again goes on where it was. An output that fails holds the commit back, and with it the acks: agents keep what
//! is not acked (S1).

use super::Counts;
use super::aws;
use super::dynamodb::LabsTables;
use super::store::Store;
use crate::config;
use crate::decode::Name;
use crate::labs::{Locations, MAX_LOCATION, Maximum, Scored, anomaly_record, maximum_record, told};
use crate::place::Seen;
use crate::sink::{Opened, sequences};
use anyhow::{Context as _, Result, anyhow, bail};
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use windward_protocol::Envelope;

/// Records in one PutRecords, the service's limit; with locations of [`MAX_LOCATION`] they are far below its 5 MiB.
const RECORDS: usize = 500;
/// Tries of a call's records that fail by themselves, before the whole group is tried again.
const TRIES: u32 = 8;
/// First pause before these are put again; doubles each time.
const PAUSE: Duration = Duration::from_millis(50);

/// The labs' outputs.
pub struct Labs {
    config: config::Labs,
    kinesis: Client,
    tables: LabsTables,
    locations: Locations,
    landed: Landed,
    counts: Arc<Counts>,
}

/// How much of a group is in the streams, while it is not committed.
#[derive(Debug, Default)]
struct Landed {
    group: Seen,
    anomalies: usize,
    maxima: usize,
}

impl Labs {
    /// Clients. Nothing is asked of the services yet.
    pub async fn open(config: &config::Labs) -> Self {
        let shared = aws::load(config.endpoint.as_deref(), config.region.as_deref()).await;
        Self {
            kinesis: Client::new(&shared),
            tables: LabsTables::open(config).await,
            config: config.clone(),
            locations: Locations::default(),
            landed: Landed::default(),
            counts: Arc::default(),
        }
    }

    /// The same, counting there.
    pub(super) fn counting(self, counts: Arc<Counts>) -> Self {
        Self { counts, ..self }
    }

    /// Puts out what is new in a group of deliveries. `seen`: what the ledger is known to have. `store`: where locations are
    /// looked up.
    pub(super) async fn put(&mut self, opened: &Opened, seen: &Seen, store: &Store) -> Result<()> {
        let (names, envelopes): (Vec<Name>, Vec<&Envelope>) = opened.unseen(seen).into_iter().unzip();
        let envelopes = || envelopes.iter().copied();
        self.locations.learn(envelopes());
        if self.locations.lack(envelopes()) {
            self.locations.look_up(&store.agents().await.context("locations")?);
        }
        let told = told(envelopes(), &self.locations, self.config.from_score);
        let group = sequences(names.into_iter());
        if self.landed.group != group {
            self.landed = Landed { group, ..Landed::default() };
        }
        let Self { config, kinesis, landed, counts, .. } = self;
        if let Some(name) = &config.anomaly_stream {
            let format = config.format.unwrap_or_default();
            let record = |reading: &Scored<'_>| entry(reading.location, anomaly_record(format, reading));
            Stream { client: kinesis, name, counts }.put(&told.scored, record, &mut landed.anomalies).await?;
        }
        if let Some(name) = &config.maximum_stream {
            let record = |maximum: &Maximum<'_>| entry(&maximum.location, maximum_record(maximum));
            Stream { client: kinesis, name, counts }.put(&told.maxima, record, &mut landed.maxima).await?;
        }
        let items = self.tables.put_scored(&told.scored).await? + self.tables.put_maxima(&told.maxima).await?;
        self.counts.labs_items.fetch_add(items, Ordering::Relaxed);
        if told.left_out > 0 {
            self.counts.labs_left_out.fetch_add(told.left_out, Ordering::Relaxed);
            tracing::warn!(
                readings = told.left_out,
                "left out of the labs' outputs: a location that is empty or over {MAX_LOCATION} characters, or a speed \
                 that is no wind's"
            );
        }
        Ok(())
    }

    /// Makes the tables that are not there; gives the names of those made.
    pub async fn create(&self) -> Result<Vec<String>> {
        self.tables.create().await
    }

    /// Whether streams and tables are there.
    pub async fn check(&self) -> Result<String> {
        let mut found = Vec::new();
        for name in self.config.anomaly_stream.iter().chain(&self.config.maximum_stream) {
            let described = self.kinesis.describe_stream_summary().stream_name(name).send().await;
            described.map_err(|error| anyhow!("stream {name}: {}", aws::explain(&error)))?;
            found.push(name.clone());
        }
        found.extend(self.tables.check().await?);
        Ok(found.join(", "))
    }
}

/// A stream that records are put into.
struct Stream<'a> {
    client: &'a Client,
    name: &'a str,
    counts: &'a Counts,
}

impl Stream<'_> {
    /// Puts all behind the first `landed`, in their order; `landed` says how many have landed, also after an error.
    async fn put<T>(
        &self,
        all: &[T],
        record: impl Fn(&T) -> Result<PutRecordsRequestEntry>,
        landed: &mut usize,
    ) -> Result<()> {
        for call in all.get(*landed..).unwrap_or_default().chunks(RECORDS) {
            self.call(call.iter().map(&record).collect::<Result<_>>()?).await?;
            *landed += call.len();
            self.counts.labs_records.fetch_add(call.len() as u64, Ordering::Relaxed);
        }
        Ok(())
    }

    /// One call, and more of them for what fails of it by itself, mostly because a shard has taken enough for now.
    async fn call(&self, mut left: Vec<PutRecordsRequestEntry>) -> Result<()> {
        let mut reason = None;
        for attempt in 0..TRIES {
            if attempt > 0 {
                tokio::time::sleep(PAUSE * 2u32.pow(attempt - 1)).await;
            }
            let put = self.client.put_records().stream_name(self.name).set_records(Some(left.clone())).send().await;
            let answer = put.map_err(|error| anyhow!("stream {}: {}", self.name, aws::explain(&error)))?;
            // A record without an entry in the answer counts as failed: at least once.
            let code = |index: usize| match answer.records.get(index) {
                Some(entry) => entry.error_code(),
                None => Some("no answer"),
            };
            reason = (0..left.len()).find_map(code).map(str::to_string);
            left = left
                .into_iter()
                .enumerate()
                .filter(|(index, _)| code(*index).is_some())
                .map(|(_, entry)| entry)
                .collect();
            if left.is_empty() {
                return Ok(());
            }
        }
        let reason = reason.unwrap_or_default();
        bail!("stream {}: {} records failed {TRIES} times ({reason}); has it too few shards?", self.name, left.len())
    }
}

fn entry(key: &str, data: String) -> Result<PutRecordsRequestEntry> {
    Ok(PutRecordsRequestEntry::builder().partition_key(key).data(Blob::new(data)).build()?)
}

#[cfg(test)]
mod tests;
