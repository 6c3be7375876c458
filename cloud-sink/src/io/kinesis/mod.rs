//! The Kinesis source: the calls to the service. `stream` makes a source of them.

use super::source::Incoming;
use super::store::Store;
use super::stream::{self, Failure, Outcome, Reader};
use super::{Counts, Stop, aws};
use crate::config;
use crate::decode::Origin;
use crate::shards::Position;
use anyhow::{Context, Result, anyhow};
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::{Record, ShardIteratorType};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// Most records of one page, of which the service gives at most 10 MiB: so a reader keeps up with four times what may be
/// put into a shard, 1,000 records a second.
const PAGE: i32 = 1_000;
/// Pause between pages while there is more, and once there is none. A shard gives five pages a second to all who read it
/// together; at its end, this leaves room for one more reader.
const PAUSES: (Duration, Duration) = (Duration::from_millis(220), Duration::from_millis(400));

/// Whether the stream is there.
pub async fn check(config: &config::Kinesis) -> Result<String> {
    let stream = Stream::open(config).await;
    stream.key().await?;
    Ok(format!("{}, {} shards", config.stream, stream.shards().await?.len()))
}

/// Follows the stream until told to quit.
pub(super) async fn follow(
    config: config::Kinesis,
    store: Store,
    into: mpsc::Sender<Incoming>,
    stop: watch::Receiver<Stop>,
    counts: Arc<Counts>,
) {
    let stream = stream::Stream::Kinesis(Stream::open(&config).await);
    stream::follow(stream, config.start, store, into, stop, counts).await;
}

/// One stream.
#[derive(Clone)]
pub(super) struct Stream {
    client: Client,
    name: String,
}

/// What one call gives.
struct Page {
    records: Vec<Record>,
    /// Where to go on; `None`: the shard is closed, and this was its end.
    next: Option<String>,
    /// How far its last record is behind the newest of the shard, ms.
    behind_ms: u64,
}

impl Stream {
    pub(super) async fn open(config: &config::Kinesis) -> Self {
        let shared = aws::load(config.endpoint.as_deref(), config.region.as_deref()).await;
        Self { client: Client::new(&shared), name: config.stream.clone() }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// `<name>@<when it was made, s>`: a stream that was deleted and made anew has other records under the same shards.
    pub(super) async fn key(&self) -> Result<String> {
        let described = self.client.describe_stream_summary().stream_name(&self.name).send().await;
        let described = described.map_err(|error| anyhow!("DescribeStreamSummary: {}", aws::explain(&error)))?;
        let summary = described.stream_description_summary.context("DescribeStreamSummary: an answer without it")?;
        Ok(format!("{}@{}", self.name, summary.stream_creation_timestamp.secs()))
    }

    /// Its shards, each with its parents.
    pub(super) async fn shards(&self) -> Result<BTreeMap<String, Vec<String>>> {
        let (mut shards, mut next) = (BTreeMap::new(), None);
        loop {
            // A token stands for the name too, and both together are refused.
            let name = if next.is_none() { Some(self.name.clone()) } else { None };
            let listed = self.client.list_shards().set_stream_name(name).set_next_token(next).send().await;
            let listed = listed.map_err(|error| anyhow!("ListShards: {}", aws::explain(&error)))?;
            for shard in listed.shards.unwrap_or_default() {
                let parents = [shard.parent_shard_id, shard.adjacent_parent_shard_id];
                shards.insert(shard.shard_id, parents.into_iter().flatten().collect());
            }
            next = listed.next_token;
            if next.is_none() {
                return Ok(shards);
            }
        }
    }

    /// Reads a shard with one iterator after the other, each from the page before; moves `at` along.
    pub(super) async fn pages(&self, reader: &Reader, at: &mut Position) -> Result<Outcome, Failure> {
        let mut next = self.iterator(&reader.shard, at).await?;
        while let Some(iterator) = next {
            let Some(turn) = reader.turn().await else { return Ok(Outcome::Again("the sink stops")) };
            let page = self.page(&iterator).await?;
            reader.is_behind(page.behind_ms);
            for record in page.records {
                let sequence = record.sequence_number;
                let from = Origin::Record { stream: self.name.clone(), key: record.partition_key.unwrap_or_default() };
                if !reader.hand_over(from, sequence.clone(), record.data.into_inner()).await {
                    return Ok(Outcome::Again("the sink stops"));
                }
                *at = Position::After(sequence);
            }
            next = page.next;
            drop(turn);
            tokio::time::sleep(if page.behind_ms > 0 { PAUSES.0 } else { PAUSES.1 }).await;
        }
        Ok(reader.ended())
    }

    /// An iterator that begins behind the position. `None`: there is nothing behind it.
    async fn iterator(&self, shard: &str, position: &Position) -> Result<Option<String>, Failure> {
        let ask = self.client.get_shard_iterator().stream_name(&self.name).shard_id(shard);
        let ask = match position {
            Position::Oldest => ask.shard_iterator_type(ShardIteratorType::TrimHorizon),
            Position::Since(ms) => {
                ask.shard_iterator_type(ShardIteratorType::AtTimestamp).timestamp(DateTime::from_millis(*ms))
            }
            Position::After(sequence) => {
                ask.shard_iterator_type(ShardIteratorType::AfterSequenceNumber).starting_sequence_number(sequence)
            }
            Position::End => return Ok(None),
        };
        let asked = ask.send().await.map_err(|error| {
            let said = format!("GetShardIterator: {}", aws::explain(&error));
            match error.into_service_error() {
                error if error.is_resource_not_found_exception() => Failure::Gone,
                error if error.is_invalid_argument_exception() => Failure::NoPosition(said),
                _ => Failure::Passing(said),
            }
        })?;
        Ok(asked.shard_iterator)
    }

    async fn page(&self, iterator: &str) -> Result<Page, Failure> {
        let read = self.client.get_records().shard_iterator(iterator).limit(PAGE).send().await;
        let read = read.map_err(|error| {
            let said = format!("GetRecords: {}", aws::explain(&error));
            match error.into_service_error() {
                error if error.is_resource_not_found_exception() => Failure::Gone,
                _ => Failure::Passing(said),
            }
        })?;
        let behind_ms = read.millis_behind_latest.unwrap_or_default().max(0) as u64;
        Ok(Page { records: read.records, next: read.next_shard_iterator, behind_ms })
    }
}

#[cfg(test)]
mod tests;
