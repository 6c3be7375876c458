//! Where rows stand: SQLite or DynamoDB, with the same rows in both.

mod archive;
mod deeds;
mod leases;
mod outbox;
mod presence;

#[cfg(feature = "aws")]
use super::dynamodb::DynamoDb;
use super::sqlite::Sqlite;
use crate::config;
use crate::decode::Known;
use crate::place::{AgentRow, AlertRow, ChannelSummary, GapRow, LedgerRow, PoisonRow, Rows, Seen, StatsRow};
use anyhow::Result;
pub use presence::{Document, Shelf};
use std::sync::Arc;
use windward_protocol::{AgentId, Schema, SchemaId};

pub use archive::Taken;

/// Most rows of ledger or gaps that one answer looks at.
pub const MAX_LEDGER_ROWS: usize = 10_000;

/// Most comments that one alert takes.
pub const MAX_COMMENTS: usize = 100;

/// The store that the configuration chose.
#[derive(Clone)]
pub enum Store {
    /// A SQLite file.
    Sqlite(Sqlite),
    /// DynamoDB.
    #[cfg(feature = "aws")]
    DynamoDb(DynamoDb),
}

/// Which blocks are asked for.
#[derive(Clone, Debug)]
pub struct Span {
    /// `<agent>/<device>`.
    pub partition: String,
    /// Blocks that end before this are left out, ms.
    pub from_ms: i64,
    /// Blocks that begin after this are left out, ms.
    pub to_ms: i64,
    /// Sort key of the last block of the page before.
    pub after: Option<String>,
    /// Blocks are given until they hold this many rows.
    pub limit: u64,
}

/// One page of blocks, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// The blocks of each row ([`crate::place::envelopes`]).
    pub blocks: Vec<Vec<u8>>,
    /// Sort key of the last row, when there may be more.
    pub next: Option<String>,
}

/// One page of summaries, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summaries {
    /// What each row says of its channels.
    pub rows: Vec<Summary>,
    /// Sort key of the last row, when there may be more.
    pub next: Option<String>,
}

/// What a row says of its channels, without its block.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Time of its first moment, ms.
    pub first_ms: i64,
    /// Time of its last moment, ms.
    pub last_ms: i64,
    /// Its channels.
    pub channels: Vec<ChannelSummary>,
}

impl Store {
    /// Opens what the configuration names.
    pub async fn open(config: &config::Store) -> Result<Self> {
        Ok(match config {
            config::Store::Sqlite(path) => Store::Sqlite(Sqlite::open(path.clone()).await?),
            #[cfg(feature = "aws")]
            config::Store::DynamoDb(dynamodb) => Store::DynamoDb(DynamoDb::open(dynamodb).await),
            #[cfg(not(feature = "aws"))]
            config::Store::DynamoDb(_) => anyhow::bail!("this program was built without DynamoDB (feature `aws`)"),
        })
    }

    /// Makes the rows durable, the ledger last. Gives what the ledger had, at least of those sequences.
    pub async fn commit(&self, rows: Arc<Rows>) -> Result<Seen> {
        match self {
            Store::Sqlite(sqlite) => sqlite.commit(rows).await,
            #[cfg(feature = "aws")]
            Store::DynamoDb(dynamodb) => dynamodb.commit(&rows).await,
        }
    }

    /// What the ledger has, at least of these sequences.
    pub async fn seen(&self, sequences: &Seen) -> Result<Seen> {
        match self {
            Store::Sqlite(sqlite) => sqlite.seen(sequences).await,
            #[cfg(feature = "aws")]
            Store::DynamoDb(dynamodb) => dynamodb.seen(sequences).await,
        }
    }

    /// Those of these schemas that are kept.
    pub async fn schemas(&self, keys: &[(AgentId, SchemaId)]) -> Result<Known> {
        let found = match self {
            Store::Sqlite(sqlite) => sqlite.schemas(keys).await?,
            #[cfg(feature = "aws")]
            Store::DynamoDb(dynamodb) => dynamodb.schemas(keys).await?,
        };
        // Bytes that an older program would not have written are as good as none: the agent is asked again.
        let decoded = keys.iter().zip(found).filter_map(|(key, bytes)| {
            let schema = Schema::decode(&bytes?).filter(|schema| (&schema.agent, schema.id()) == (&key.0, key.1))?;
            Some((key.clone(), schema.into()))
        });
        Ok(decoded.collect())
    }

    /// All agents by name.
    pub async fn agents(&self) -> Result<Vec<AgentRow>> {
        match self {
            Store::Sqlite(sqlite) => sqlite.agents().await,
            #[cfg(feature = "aws")]
            Store::DynamoDb(dynamodb) => dynamodb.agents().await,
        }
    }

    /// A farm's alerts, the latest opened first.
    pub async fn alerts(&self, farm: &str, agent: Option<&str>, limit: u32) -> Result<Vec<AlertRow>> {
        match self {
            Store::Sqlite(sqlite) => sqlite.alerts(farm, agent, limit).await,
            #[cfg(feature = "aws")]
            Store::DynamoDb(dynamodb) => dynamodb.alerts(farm, agent, limit).await,
        }
    }

    /// A farm's alerts that have no end yet, the latest opened first; however many have opened since.
    pub async fn open_alerts(&self, farm: &str, agent: Option<&str>, limit: u32) -> Result<Vec<AlertRow>> {
        match self {
            Store::Sqlite(sqlite) => sqlite.open_alerts(farm, agent, limit).await,
            #[cfg(feature = "aws")]
            Store::DynamoDb(dynamodb) => dynamodb.open_alerts(farm, agent, limit).await,
        }
    }

    /// One alert, however old; the latest where an agent has given a number twice.
    pub async fn alert(&self, farm: &str, agent: &str, id: u64) -> Result<Option<AlertRow>> {
        match self {
            Store::Sqlite(sqlite) => sqlite.alert(farm, agent, id).await,
            #[cfg(feature = "aws")]
            Store::DynamoDb(dynamodb) => dynamodb.alert(farm, agent, id).await,
        }
    }

    /// Blocks of one device.
    pub async fn readings(&self, span: &Span) -> Result<Page> {
        match self {
            Store::Sqlite(sqlite) => sqlite.readings(span).await,
            #[cfg(feature = "aws")]
            Store::DynamoDb(dynamodb) => dynamodb.readings(span).await,
        }
    }

    /// Summaries of the rows of one device; [`Span::limit`] counts rows.
    pub async fn summaries(&self, span: &Span) -> Result<Summaries> {
        match self {
            Store::Sqlite(sqlite) => sqlite.summaries(span).await,
            #[cfg(feature = "aws")]
            Store::DynamoDb(dynamodb) => dynamodb.summaries(span).await,
        }
    }

    /// Statistics of one channel, `<agent>/<device>/<channel>`: of the windows that begin in this span, both ends
    /// included, the earliest first.
    pub async fn stats(&self, partition: &str, from_ms: i64, to_ms: i64, limit: u32) -> Result<Vec<StatsRow>> {
        match self {
            Store::Sqlite(sqlite) => sqlite.stats(partition, from_ms, to_ms, limit).await,
            #[cfg(feature = "aws")]
            Store::DynamoDb(dynamodb) => dynamodb.stats(partition, from_ms, to_ms, limit).await,
        }
    }

    /// The ledger, at most [`MAX_LEDGER_ROWS`] of it.
    pub async fn ledger(&self) -> Result<Vec<LedgerRow>> {
        match self {
            Store::Sqlite(sqlite) => sqlite.ledger().await,
            #[cfg(feature = "aws")]
            Store::DynamoDb(dynamodb) => dynamodb.ledger().await,
        }
    }

    /// The losses agents reported, at most [`MAX_LEDGER_ROWS`].
    pub async fn gaps(&self) -> Result<Vec<GapRow>> {
        match self {
            Store::Sqlite(sqlite) => sqlite.gaps().await,
            #[cfg(feature = "aws")]
            Store::DynamoDb(dynamodb) => dynamodb.gaps().await,
        }
    }

    /// What was refused, the latest first.
    pub async fn poison(&self, limit: u32) -> Result<Vec<PoisonRow>> {
        match self {
            Store::Sqlite(sqlite) => sqlite.poison(limit).await,
            #[cfg(feature = "aws")]
            Store::DynamoDb(dynamodb) => dynamodb.poison(limit).await,
        }
    }

    /// Deletes readings of before a time; gives how many rows that were. DynamoDB lets them expire by itself.
    pub async fn prune(&self, before_ms: i64) -> Result<usize> {
        match self {
            Store::Sqlite(sqlite) => sqlite.prune(before_ms).await,
            #[cfg(feature = "aws")]
            Store::DynamoDb(_) => Ok(0),
        }
    }

    /// Whether the store answers, and has what it needs.
    pub async fn check(&self) -> Result<String> {
        match self {
            Store::Sqlite(sqlite) => sqlite.check().await,
            #[cfg(feature = "aws")]
            Store::DynamoDb(dynamodb) => dynamodb.check().await,
        }
    }
}
