//! The calls to the leader of one partition.

use super::CALL;
use crate::io::stream::Failure;
use crate::shards::Position;
use rskafka::chrono::DateTime;
use rskafka::client::Client;
use rskafka::client::error::{Error, ProtocolError, RequestError};
use rskafka::client::partition::{OffsetAt, PartitionClient, UnknownTopicHandling};
use rskafka::record::Record;
use tokio::time::timeout;

/// How long a leader waits for something new before it answers that there is nothing, ms.
const WAIT_MS: i32 = 500;

/// One partition.
pub(super) struct Partition(PartitionClient);

/// What stands at an offset.
pub(super) enum Found {
    /// Records with their offsets, perhaps none; and the offset behind the partition's last record.
    Records { records: Vec<(i64, Record)>, end: i64 },
    /// Something that is no record we could read; why.
    Unreadable(String),
}

impl Partition {
    pub(super) async fn open(client: &Client, topic: &str, partition: &str) -> Result<Self, Failure> {
        let Ok(number) = partition.parse() else { return Err(Failure::Gone) };
        let opened = timeout(CALL, client.partition_client(topic, number, UnknownTopicHandling::Error)).await;
        match opened {
            Ok(Ok(client)) => Ok(Self(client)),
            Ok(Err(error)) => Err(failure("Metadata", error)),
            Err(_elapsed) => Err(Failure::Passing(format!("Metadata: no answer within {CALL:?}"))),
        }
    }

    /// The offset of the first record that is to be read. `None`: there is nothing behind the position.
    pub(super) async fn first(&self, position: &Position) -> Result<Option<i64>, Failure> {
        match position {
            Position::Oldest => self.offset(OffsetAt::Earliest).await.map(Some),
            Position::Since(ms) => {
                // Asked for first: what comes in between is behind it.
                let end = self.offset(OffsetAt::Latest).await?;
                let since = DateTime::from_timestamp_millis(*ms).unwrap_or_default();
                let found = self.offset(OffsetAt::Timestamp(since)).await?;
                // None of its records is so late.
                Ok(Some(if found < 0 { end } else { found }))
            }
            Position::After(offset) => {
                let parsed = offset.parse::<i64>();
                let offset = parsed.map_err(|_| Failure::NoPosition(format!("{offset:?} is no offset")))?;
                Ok(Some(offset + 1))
            }
            Position::End => Ok(None),
        }
    }

    async fn offset(&self, at: OffsetAt) -> Result<i64, Failure> {
        match timeout(CALL, self.0.get_offset(at)).await {
            Ok(asked) => asked.map_err(|error| failure("ListOffsets", error)),
            Err(_elapsed) => Err(Failure::Passing(format!("ListOffsets: no answer within {CALL:?}"))),
        }
    }

    /// What stands at the offset and behind it, as far as so many bytes go, but at least one batch of records.
    pub(super) async fn fetch(&self, offset: i64, bytes: i32) -> Result<Found, Failure> {
        match timeout(CALL, self.0.fetch_records(offset, 1..bytes + 1, WAIT_MS)).await {
            Ok(Ok((records, end))) => {
                let records = records.into_iter().map(|found| (found.offset, found.record)).collect();
                Ok(Found::Records { records, end })
            }
            Ok(Err(error)) => match unreadable(&error) {
                Some(reason) => Ok(Found::Unreadable(reason)),
                None => Err(failure("Fetch", error)),
            },
            Err(_elapsed) => Err(Failure::Passing(format!("Fetch: no answer within {CALL:?}"))),
        }
    }

    /// Where to go on when what stands at `next` cannot be read. A batch is asked for by any of its offsets, and does not
    /// say how many those are; so each is tried.
    pub(super) async fn behind_unreadable(&self, next: i64) -> Result<i64, Failure> {
        let mut ask = next + 1;
        while let Found::Unreadable(_) = self.fetch(ask, 1).await? {
            ask += 1;
        }
        Ok(ask)
    }

    /// Where to go on when nothing stands at `next` though the partition goes on behind it: the mark of a transaction,
    /// what compaction has left, or records of a transaction that is still open. Only once something behind it is given
    /// out is it known that nothing will come here any more; `next` itself, if something came after all. `at_end` is told
    /// whenever there is no more for now.
    pub(super) async fn behind_nothing(&self, next: i64, at_end: impl Fn()) -> Result<i64, Failure> {
        let mut ask = next + 1;
        loop {
            match self.fetch(ask, 1).await? {
                Found::Records { records, end } if records.is_empty() => match ask < end {
                    true => ask += 1,
                    // The call itself has waited.
                    false => at_end(),
                },
                Found::Records { .. } | Found::Unreadable(_) => break,
            }
        }
        // What was open when it was asked for may be closed by now.
        match self.fetch(next, 1).await? {
            Found::Records { records, .. } if records.is_empty() => Ok(ask),
            _ => Ok(next),
        }
    }
}

/// What the library says of records whose time no calendar has; all else that it calls an invalid response is of a cluster
/// that is changing, and passes.
const BAD_TIMES: [&str; 2] = ["Timestamp overflow", "Not a valid timestamp"];

/// Why an answer came and cannot be read.
fn unreadable(error: &Error) -> Option<String> {
    match error {
        Error::Request(RequestError::ReadVersionedError(error)) => Some(error.to_string()),
        Error::InvalidResponse(said) if BAD_TIMES.iter().any(|bad| said.starts_with(bad)) => Some(said.clone()),
        _ => None,
    }
}

fn failure(call: &str, error: Error) -> Failure {
    let said = format!("{call}: {error}");
    match error {
        // The library says so too where a new leader does not know yet how far all its replicas are; that passes.
        Error::ServerError { protocol_error: ProtocolError::OffsetOutOfRange, is_virtual: false, .. } => {
            Failure::NoPosition(said)
        }
        Error::ServerError { protocol_error: ProtocolError::UnknownTopicOrPartition, .. } => Failure::Gone,
        _ => Failure::Passing(said),
    }
}
