//! What DynamoDB does by itself: readings that are older than they need be are deleted.

use super::Sqlite;
use crate::place::sortable_time;
use anyhow::Result;
use rusqlite::{OptionalExtension, params};

/// Most rows deleted in one transaction: commits wait meanwhile.
const AT_ONCE: usize = 1_000;

impl Sqlite {
    /// Deletes the rows of readings that begin before a time; gives how many they were.
    pub async fn prune(&self, before_ms: i64) -> Result<usize> {
        let (mut pruned, mut partition) = (0, String::new());
        while let Some(next) = self.partition_after(partition).await? {
            partition = next;
            loop {
                let deleted = self.prune_some(partition.clone(), before_ms).await?;
                pruned += deleted;
                if deleted < AT_ONCE {
                    break;
                }
            }
        }
        Ok(pruned)
    }

    async fn partition_after(&self, partition: String) -> Result<Option<String>> {
        self.read(move |db| {
            let sql = "SELECT partition FROM readings WHERE partition > ? ORDER BY partition LIMIT 1";
            Ok(db.query_row(sql, [partition], |row| row.get(0)).optional()?)
        })
        .await
    }

    async fn prune_some(&self, partition: String, before_ms: i64) -> Result<usize> {
        self.write(move |tx| {
            let sql = "DELETE FROM readings WHERE rowid IN
                (SELECT rowid FROM readings WHERE partition = ? AND sort < ? ORDER BY sort LIMIT ?)";
            Ok(tx.execute(sql, params![partition, sortable_time(before_ms), AT_ONCE as i64])?)
        })
        .await
    }
}
