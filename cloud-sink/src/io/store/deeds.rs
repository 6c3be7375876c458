//! Who did what, in both stores.

use super::Store;
use crate::access::random;
use crate::place::{Deed, sortable_time};
use anyhow::{Context as _, Result};

impl Store {
    /// Notes that somebody does something. Before it is done, so that nothing is done that is not noted.
    pub async fn note_deed(&self, farm: &str, deed: &Deed) -> Result<()> {
        // Several sinks on one store may note in the same millisecond.
        let random = random().context("this machine gives no random numbers")?;
        let sort = format!("{}#{}", sortable_time(deed.at_ms), &random[..8]);
        match self {
            Store::Sqlite(sqlite) => sqlite.note_deed(farm, sort, deed).await,
            #[cfg(feature = "aws")]
            Store::DynamoDb(dynamodb) => dynamodb.note_deed(farm, sort, deed).await,
        }
    }

    /// What was done, the latest first, behind the row named by `after`; and where the next page begins, when there is one.
    pub async fn deeds(&self, farm: &str, after: Option<&str>, limit: u32) -> Result<(Vec<Deed>, Option<String>)> {
        let mut rows = match self {
            Store::Sqlite(sqlite) => sqlite.deeds(farm, after, limit + 1).await?,
            #[cfg(feature = "aws")]
            Store::DynamoDb(dynamodb) => dynamodb.deeds(farm, after, limit + 1).await?,
        };
        let has_more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let next = rows.last().map(|(sort, _)| sort.clone()).filter(|_| has_more);
        Ok((rows.into_iter().map(|(_, deed)| deed).collect(), next))
    }
}
