//! Days, and what the sink keeps for itself.

use super::Sqlite;
use super::answers::stats_row;
use crate::days::{self, Day};
use crate::io::store::{Document, Shelf};
use crate::place::{StatsRow, sortable_time};
use anyhow::Result;
use rusqlite::{Transaction, params};

impl Sqlite {
    pub(in crate::io) async fn days(&self, farm: &str, from_ms: i64, to_ms: i64, limit: u32) -> Result<Vec<StatsRow>> {
        let (farm, from, to) = (farm.to_string(), days::date(from_ms), format!("{}~", days::date(to_ms)));
        self.read(move |db| {
            let mut statement =
                db.prepare("SELECT * FROM days WHERE partition = ? AND sort >= ? AND sort <= ? ORDER BY sort LIMIT ?")?;
            let rows = statement.query_map(params![farm, from, to, limit], stats_row)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    pub(in crate::io) async fn documents(&self, shelf: Shelf, farm: &str) -> Result<Vec<Document>> {
        let farm = farm.to_string();
        self.read(move |db| {
            let table = shelf.table();
            let mut statement =
                db.prepare(&format!("SELECT sort, revision, text FROM {table} WHERE partition = ? ORDER BY sort"))?;
            let rows = statement.query_map([farm], |row| {
                Ok(Document { key: row.get("sort")?, revision: row.get("revision")?, text: row.get("text")? })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    pub(in crate::io) async fn put(
        &self,
        shelf: Shelf,
        farm: &str,
        before: Option<i64>,
        document: &Document,
    ) -> Result<bool> {
        let (farm, table, Document { key, revision, text }) = (farm.to_string(), shelf.table(), document.clone());
        self.write(move |tx| {
            let changed = match before {
                None => tx.execute(
                    &format!("INSERT OR IGNORE INTO {table} VALUES (?, ?, ?, ?)"),
                    params![farm, key, revision, text],
                )?,
                Some(before) => tx.execute(
                    &format!(
                        "UPDATE {table} SET revision = ?, text = ? WHERE partition = ? AND sort = ? AND revision = ?"
                    ),
                    params![revision, text, farm, key, before],
                )?,
            };
            Ok(changed == 1)
        })
        .await
    }

    pub(in crate::io) async fn remove(&self, shelf: Shelf, farm: &str, key: &str, before: i64) -> Result<bool> {
        let (farm, key, table) = (farm.to_string(), key.to_string(), shelf.table());
        self.write(move |tx| {
            let delete = format!("DELETE FROM {table} WHERE partition = ? AND sort = ? AND revision = ?");
            Ok(tx.execute(&delete, params![farm, key, before])? == 1)
        })
        .await
    }
}

/// Makes a day anew from its windows, in the transaction that has changed one.
pub(super) fn make_day(tx: &Transaction<'_>, day: &Day) -> Result<()> {
    let mut statement = tx.prepare("SELECT * FROM stats WHERE partition = ? AND sort BETWEEN ? AND ? ORDER BY sort")?;
    let span = params![day.channel, sortable_time(day.start_ms), sortable_time(day.end_ms())];
    let windows: Vec<StatsRow> = statement.query_map(span, stats_row)?.collect::<Result<_, _>>()?;
    super::commit::merge_stats(tx, "days", &days::row(day, &windows))
}
