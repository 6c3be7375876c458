//! Hours of the archive.

use super::Sqlite;
use super::answers::alert_row;
use crate::archive::{DataSet, Hour, HourRow};
use crate::io::store::Taken;
use crate::place::{AlertRow, sortable_time};
use anyhow::Result;
use rusqlite::{OptionalExtension as _, Transaction, params};

impl Sqlite {
    pub(in crate::io) async fn dirty_hours(
        &self,
        farm: &str,
        set: DataSet,
        before_ms: i64,
        limit: u32,
    ) -> Result<Vec<i64>> {
        let farm = farm.to_string();
        self.read(move |db| {
            let mut statement = db.prepare(
                "SELECT start_ms FROM hours WHERE farm = ? AND name = ? AND start_ms < ? AND version > archived
                 ORDER BY start_ms LIMIT ?",
            )?;
            let hours = statement.query_map(params![farm, set.name(), before_ms, limit], |row| row.get(0))?;
            Ok(hours.collect::<Result<_, _>>()?)
        })
        .await
    }

    pub(in crate::io) async fn take_hour(
        &self,
        hour: &Hour,
        claim: &str,
        now_ms: i64,
        until_ms: i64,
    ) -> Result<Option<Taken>> {
        let (hour, claim) = (hour.clone(), claim.to_string());
        self.write(move |tx| {
            let found = tx
                .query_row(
                    "UPDATE hours SET claim = ?, claimed_until_ms = ?
                     WHERE farm = ? AND name = ? AND start_ms = ? AND version > archived AND claimed_until_ms <= ?
                     RETURNING version, rows",
                    params![claim, until_ms, hour.farm, hour.set.name(), hour.start_ms, now_ms],
                    |row| Ok((row.get("version")?, row.get::<_, i64>("rows")? as u64)),
                )
                .optional()?;
            Ok(found.map(|(version, rows)| Taken { hour, claim, version, rows }))
        })
        .await
    }

    pub(in crate::io) async fn hold_hour(&self, taken: &Taken, until_ms: i64) -> Result<bool> {
        let Taken { hour, claim, .. } = taken.clone();
        self.write(move |tx| {
            let held = tx.execute(
                "UPDATE hours SET claimed_until_ms = ? WHERE farm = ? AND name = ? AND start_ms = ? AND claim = ?",
                params![until_ms, hour.farm, hour.set.name(), hour.start_ms, claim],
            )?;
            Ok(held == 1)
        })
        .await
    }

    pub(in crate::io) async fn finish_hour(&self, taken: &Taken, rows: u64) -> Result<bool> {
        let Taken { hour, claim, version, .. } = taken.clone();
        self.write(move |tx| {
            let finished = tx.execute(
                "UPDATE hours SET archived = ?, rows = ?, claim = '', claimed_until_ms = 0
                 WHERE farm = ? AND name = ? AND start_ms = ? AND claim = ?",
                params![version, rows as i64, hour.farm, hour.set.name(), hour.start_ms, claim],
            )?;
            if finished == 0 {
                raise(tx, &hour)?;
            }
            Ok(finished == 1)
        })
        .await
    }

    pub(in crate::io) async fn hour_members(&self, hour: &Hour) -> Result<Vec<String>> {
        let hour = hour.clone();
        self.read(move |db| {
            let mut statement = db.prepare(
                "SELECT member FROM hour_members WHERE farm = ? AND name = ? AND start_ms = ? ORDER BY member",
            )?;
            let members = statement.query_map(params![hour.farm, hour.set.name(), hour.start_ms], |row| row.get(0))?;
            Ok(members.collect::<Result<_, _>>()?)
        })
        .await
    }

    pub(in crate::io) async fn alerts_opened(&self, farm: &str, from_ms: i64, to_ms: i64) -> Result<Vec<AlertRow>> {
        let farm = farm.to_string();
        self.read(move |db| {
            let mut statement =
                db.prepare("SELECT * FROM alerts WHERE farm = ? AND sort BETWEEN ? AND ? ORDER BY sort")?;
            let span = params![farm, sortable_time(from_ms), format!("{}~", sortable_time(to_ms))];
            Ok(statement.query_map(span, alert_row)?.collect::<Result<_, _>>()?)
        })
        .await
    }
}

/// Raises the versions of the hours that a commit touches, and adds their members.
pub(super) fn touch(tx: &Transaction<'_>, rows: &[HourRow]) -> Result<()> {
    let mut add = tx.prepare("INSERT OR IGNORE INTO hour_members VALUES (?, ?, ?, ?)")?;
    for HourRow { hour, members } in rows {
        raise(tx, hour)?;
        for member in members {
            add.execute(params![hour.farm, hour.set.name(), hour.start_ms, member])?;
        }
    }
    Ok(())
}

fn raise(tx: &Transaction<'_>, hour: &Hour) -> Result<()> {
    tx.execute(
        "INSERT INTO hours (farm, name, start_ms, version) VALUES (?, ?, ?, 1)
         ON CONFLICT DO UPDATE SET version = version + 1",
        params![hour.farm, hour.set.name(), hour.start_ms],
    )?;
    Ok(())
}
