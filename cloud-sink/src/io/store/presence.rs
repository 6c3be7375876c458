//! Days, and what the sink keeps for itself.

use super::Store;
use crate::place::StatsRow;
use anyhow::Result;

/// A table of documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shelf {
    /// What presence watches ([`crate::presence::watch::Watch`]).
    Watches,
    /// What is usual for each turbine ([`crate::fleet::Baseline`]).
    Fleet,
}

impl Shelf {
    /// Its table.
    pub fn table(self) -> &'static str {
        match self {
            Shelf::Watches => "watches",
            Shelf::Fleet => "fleet",
        }
    }
}

/// Something the sink keeps for itself; replaced only over the revision that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its key within the farm.
    pub key: String,
    /// Its revision.
    pub revision: i64,
    /// JSON.
    pub text: String,
}

impl Store {
    /// The days of a farm's channels from the day of one time to that of another, both included, the earliest first.
    pub async fn days(&self, farm: &str, from_ms: i64, to_ms: i64, limit: u32) -> Result<Vec<StatsRow>> {
        match self {
            Store::Sqlite(sqlite) => sqlite.days(farm, from_ms, to_ms, limit).await,
            #[cfg(feature = "aws")]
            Store::DynamoDb(dynamodb) => dynamodb.days(farm, from_ms, to_ms, limit).await,
        }
    }

    /// All documents of a farm, by key.
    pub async fn documents(&self, shelf: Shelf, farm: &str) -> Result<Vec<Document>> {
        match self {
            Store::Sqlite(sqlite) => sqlite.documents(shelf, farm).await,
            #[cfg(feature = "aws")]
            Store::DynamoDb(dynamodb) => dynamodb.documents(shelf, farm).await,
        }
    }

    /// Keeps a document in the place of the one of revision `before`, or where there is none. False: another was faster.
    pub async fn put(&self, shelf: Shelf, farm: &str, before: Option<i64>, document: &Document) -> Result<bool> {
        match self {
            Store::Sqlite(sqlite) => sqlite.put(shelf, farm, before, document).await,
            #[cfg(feature = "aws")]
            Store::DynamoDb(dynamodb) => dynamodb.put(shelf, farm, before, document).await,
        }
    }

    /// Removes the document of this revision. False: another was faster.
    pub async fn remove(&self, shelf: Shelf, farm: &str, key: &str, before: i64) -> Result<bool> {
        match self {
            Store::Sqlite(sqlite) => sqlite.remove(shelf, farm, key, before).await,
            #[cfg(feature = "aws")]
            Store::DynamoDb(dynamodb) => dynamodb.remove(shelf, farm, key, before).await,
        }
    }
}
