//! What the archive asks of a store.

use super::Store;
use crate::archive::{DataSet, Hour};
use crate::place::AlertRow;
use anyhow::Result;

/// A claim on an hour: nobody else writes its file until it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The hour.
    pub hour: Hour,
    /// Who holds it; a text that nobody else has.
    pub claim: String,
    /// The version that the rows read from now on have at least.
    pub version: i64,
    /// Rows in the file that was written last.
    pub rows: u64,
}

impl Store {
    /// Begins of the hours that begin before `before_ms` and whose file is not of their version, the earliest first.
    pub async fn dirty_hours(&self, farm: &str, set: DataSet, before_ms: i64, limit: u32) -> Result<Vec<i64>> {
        match self {
            Store::Sqlite(sqlite) => sqlite.dirty_hours(farm, set, before_ms, limit).await,
            #[cfg(feature = "aws")]
            Store::DynamoDb(dynamodb) => dynamodb.dirty_hours(farm, set, before_ms, limit).await,
        }
    }

    /// Claims a dirty hour until `until_ms`. `None`: another holds it, or it is dirty no more.
    pub async fn take_hour(&self, hour: &Hour, claim: &str, now_ms: i64, until_ms: i64) -> Result<Option<Taken>> {
        match self {
            Store::Sqlite(sqlite) => sqlite.take_hour(hour, claim, now_ms, until_ms).await,
            #[cfg(feature = "aws")]
            Store::DynamoDb(dynamodb) => dynamodb.take_hour(hour, claim, now_ms, until_ms).await,
        }
    }

    /// Holds a claim for longer. False: it has ended, and another has taken the hour.
    pub async fn hold_hour(&self, taken: &Taken, until_ms: i64) -> Result<bool> {
        match self {
            Store::Sqlite(sqlite) => sqlite.hold_hour(taken, until_ms).await,
            #[cfg(feature = "aws")]
            Store::DynamoDb(dynamodb) => dynamodb.hold_hour(taken, until_ms).await,
        }
    }

    /// Records that the hour's file holds so many rows of the claim's version, and gives the claim back. False: another
    /// has taken the hour meanwhile, and whose file stands there nobody knows; so it is dirty again.
    pub async fn finish_hour(&self, taken: &Taken, rows: u64) -> Result<bool> {
        match self {
            Store::Sqlite(sqlite) => sqlite.finish_hour(taken, rows).await,
            #[cfg(feature = "aws")]
            Store::DynamoDb(dynamodb) => dynamodb.finish_hour(taken, rows).await,
        }
    }

    /// The partitions that hold rows of an hour, in order.
    pub async fn hour_members(&self, hour: &Hour) -> Result<Vec<String>> {
        match self {
            Store::Sqlite(sqlite) => sqlite.hour_members(hour).await,
            #[cfg(feature = "aws")]
            Store::DynamoDb(dynamodb) => dynamodb.hour_members(hour).await,
        }
    }

    /// A farm's alerts that opened in this span, both ends included, the earliest first.
    pub async fn alerts_opened(&self, farm: &str, from_ms: i64, to_ms: i64) -> Result<Vec<AlertRow>> {
        match self {
            Store::Sqlite(sqlite) => sqlite.alerts_opened(farm, from_ms, to_ms).await,
            #[cfg(feature = "aws")]
            Store::DynamoDb(dynamodb) => dynamodb.alerts_opened(farm, from_ms, to_ms).await,
        }
    }
}
