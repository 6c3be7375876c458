//! Leases of a stream's shards, in both stores.

use super::Store;
use crate::shards::{Lease, Write};
use anyhow::Result;
use std::collections::BTreeMap;

impl Store {
    /// The leases of a stream, by shard.
    pub async fn leases(&self, stream: &str) -> Result<BTreeMap<String, Lease>> {
        match self {
            Store::Sqlite(sqlite) => sqlite.leases(stream).await,
            #[cfg(feature = "aws")]
            Store::DynamoDb(dynamodb) => dynamodb.leases(stream).await,
        }
    }

    /// Makes the write unless another was made since. Says whether it was made.
    pub async fn put_lease(&self, stream: &str, write: &Write) -> Result<bool> {
        match self {
            Store::Sqlite(sqlite) => sqlite.put_lease(stream, write).await,
            #[cfg(feature = "aws")]
            Store::DynamoDb(dynamodb) => dynamodb.put_lease(stream, write).await,
        }
    }
}
