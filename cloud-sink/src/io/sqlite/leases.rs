//! Leases of a stream's shards.

use super::Sqlite;
use crate::shards::{Lease, Position, Write};
use anyhow::{Context, Result};
use rusqlite::params;
use std::collections::BTreeMap;

impl Sqlite {
    pub(in crate::io) async fn leases(&self, stream: &str) -> Result<BTreeMap<String, Lease>> {
        let stream = stream.to_string();
        self.read(move |db| {
            let mut statement = db.prepare("SELECT shard, position, owner, counter FROM leases WHERE stream = ?")?;
            let mut rows = statement.query([stream])?;
            let mut leases = BTreeMap::new();
            while let Some(row) = rows.next()? {
                let shard: String = row.get("shard")?;
                let position: String = row.get("position")?;
                let position = Position::parse(&position).with_context(|| format!("lease of {shard}: {position:?}"))?;
                let counter = row.get::<_, i64>("counter")? as u64;
                leases.insert(shard, Lease { position, owner: row.get("owner")?, counter });
            }
            Ok(leases)
        })
        .await
    }

    pub(in crate::io) async fn put_lease(&self, stream: &str, write: &Write) -> Result<bool> {
        let (stream, Write { shard, lease, expected }) = (stream.to_string(), write.clone());
        self.write(move |tx| {
            let (position, counter) = (lease.position.to_string(), lease.counter as i64);
            let made = match expected {
                None => tx.execute(
                    "INSERT OR IGNORE INTO leases VALUES (?, ?, ?, ?, ?)",
                    params![stream, shard, position, lease.owner, counter],
                )?,
                Some(expected) => tx.execute(
                    "UPDATE leases SET position = ?, owner = ?, counter = ?
                     WHERE stream = ? AND shard = ? AND counter = ?",
                    params![position, lease.owner, counter, stream, shard, expected as i64],
                )?,
            };
            Ok(made == 1)
        })
        .await
    }
}
