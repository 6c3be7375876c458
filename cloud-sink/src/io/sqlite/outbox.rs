//! The outbox in SQLite.

use super::Sqlite;
use super::answers::acknowledged;
use crate::io::store::MAX_COMMENTS;
use crate::notify::{About, Digest, Look, MAX_MEMBERS, NoticeRow, Outcome, Phase, Said};
use crate::place::{Acknowledged, Comment};
use anyhow::{Result, anyhow};
use rusqlite::{OptionalExtension, Row, Transaction, params};
use windward_protocol::AlertPhase;

/// How long the counts of a minute are kept, minutes.
const COUNTS_KEPT: i64 = 60;

/// What stands in `pending` while it does.
fn pending(row: &NoticeRow) -> Option<&str> {
    row.is_pending().then_some(row.target.as_str())
}

/// Inserts notices; one that is there stays.
pub(super) fn insert(tx: &Transaction<'_>, rows: &[NoticeRow]) -> Result<()> {
    for row in rows {
        tx.execute(
            "INSERT OR IGNORE INTO notices VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                row.farm,
                row.sort,
                row.target,
                row.phase.name(),
                row.created_ms,
                row.due_ms,
                row.attempts,
                row.said.as_ref().map(Said::text),
                row.told_ms,
                pending(row),
                serde_json::to_string(&row.about)?,
            ],
        )?;
    }
    Ok(())
}

/// A row that this program cannot read is an error of its own, which the caller may leave out.
fn notice_row(row: &Row<'_>) -> Result<NoticeRow> {
    let (sort, phase, about): (String, String, String) = (row.get("sort")?, row.get("phase")?, row.get("about")?);
    let said: Option<String> = row.get("said")?;
    Ok(NoticeRow {
        farm: row.get("farm")?,
        target: row.get("target")?,
        phase: Phase::named(&phase).ok_or_else(|| anyhow!("notice {sort}: phase {phase:?}"))?,
        created_ms: row.get("created_ms")?,
        due_ms: row.get("due_ms")?,
        attempts: row.get("attempts")?,
        said: said.as_deref().map(Said::parse),
        told_ms: row.get("told_ms")?,
        about: serde_json::from_str::<About>(&about).map_err(|error| anyhow!("notice {sort}: {error}"))?,
        sort,
    })
}

/// All rows that can be read; of the others the log tells.
fn readable(mut rows: rusqlite::Rows<'_>) -> Result<Vec<NoticeRow>> {
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        match notice_row(row) {
            Ok(notice) => found.push(notice),
            Err(error) => tracing::error!("{error:#}"),
        }
    }
    Ok(found)
}

/// What a write that holds only under our claim has changed.
fn ours(changed: usize) -> Outcome {
    if changed == 1 { Outcome::Done } else { Outcome::Held }
}

impl Sqlite {
    pub(in crate::io) async fn due_notices(
        &self,
        farm: &str,
        target: &str,
        now_ms: i64,
        limit: u32,
    ) -> Result<Vec<NoticeRow>> {
        let (farm, target) = (farm.to_string(), target.to_string());
        self.read(move |db| {
            let mut due = db.prepare(
                "SELECT * FROM notices WHERE farm = ? AND pending = ? AND due_ms <= ? ORDER BY due_ms, sort LIMIT ?",
            )?;
            readable(due.query(params![farm, target, now_ms, limit])?)
        })
        .await
    }

    pub(in crate::io) async fn claim_notice(&self, row: &NoticeRow, now_ms: i64, until_ms: i64) -> Result<Outcome> {
        let (farm, sort) = (row.farm.clone(), row.sort.clone());
        self.write(move |tx| {
            let mut claim = tx.prepare(
                "UPDATE notices SET due_ms = ? WHERE farm = ? AND sort = ? AND pending IS NOT NULL AND due_ms <= ?
                 RETURNING *",
            )?;
            if let Some(row) = claim.query(params![until_ms, farm, sort, now_ms])?.next()? {
                return Ok(Outcome::Claimed(Box::new(notice_row(row)?)));
            }
            let mut stands = tx.prepare("SELECT pending IS NULL FROM notices WHERE farm = ? AND sort = ?")?;
            let over = stands.query_row(params![farm, sort], |row| row.get::<_, bool>(0)).optional()?;
            Ok(if over == Some(true) { Outcome::Before } else { Outcome::Held })
        })
        .await
    }

    pub(in crate::io) async fn look(&self, farm: &str, alert_sort: &str) -> Result<Look> {
        let (farm, sort) = (farm.to_string(), alert_sort.to_string());
        self.read(move |db| {
            let mut ends = db.prepare(
                "SELECT cleared_ms IS NOT NULL, acknowledged_ms IS NOT NULL FROM alerts WHERE farm = ? AND sort = ?",
            )?;
            let ends = ends.query_row(params![farm, sort], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
            let (cleared, acknowledged) = ends.unwrap_or_default();
            // `$` follows `#`.
            let mut notices = db.prepare("SELECT * FROM notices WHERE farm = ? AND sort > ? AND sort < ?")?;
            let notices = notices.query(params![farm, format!("{sort}#"), format!("{sort}$")])?;
            Ok(Look { cleared, acknowledged, notices: readable(notices)? })
        })
        .await
    }

    pub(in crate::io) async fn place_notice(
        &self,
        row: &NoticeRow,
        said: &Said,
        at_once: u32,
        digest: &NoticeRow,
    ) -> Result<Outcome> {
        let (row, said, digest) = (row.clone(), said.clone(), digest.clone());
        self.write(move |tx| {
            let minute = digest.minute();
            tx.execute(
                "DELETE FROM notice_counts WHERE farm = ? AND target = ? AND minute < ?",
                params![row.farm, row.target, minute - COUNTS_KEPT],
            )?;
            let count: u32 = tx.query_row(
                "INSERT INTO notice_counts VALUES (?, ?, ?, 1) ON CONFLICT DO UPDATE SET n = n + 1 RETURNING n",
                params![row.farm, row.target, minute],
                |row| row.get(0),
            )?;
            let (said, due_ms, outcome) = if count <= at_once {
                (said, row.due_ms, Outcome::Done)
            } else {
                insert(tx, std::slice::from_ref(&digest))?;
                (said.within(&digest), digest.members_due_ms(), Outcome::Folded)
            };
            let placed = tx.execute(
                "UPDATE notices SET said = ?, due_ms = ?
                 WHERE farm = ? AND sort = ? AND pending IS NOT NULL AND due_ms = ?",
                params![said.text(), due_ms, row.farm, row.sort, row.due_ms],
            )?;
            Ok(if placed == 1 { outcome } else { Outcome::Held })
        })
        .await
    }

    pub(in crate::io) async fn notice(&self, farm: &str, sort: &str) -> Result<Option<NoticeRow>> {
        let (farm, sort) = (farm.to_string(), sort.to_string());
        self.read(move |db| {
            let mut notice = db.prepare("SELECT * FROM notices WHERE farm = ? AND sort = ?")?;
            Ok(readable(notice.query(params![farm, sort])?)?.pop())
        })
        .await
    }

    pub(in crate::io) async fn digest_members(&self, digest: &NoticeRow) -> Result<Vec<NoticeRow>> {
        let digest = digest.clone();
        self.read(move |db| {
            let mut members = db.prepare(
                "SELECT * FROM notices WHERE farm = ? AND pending = ? AND due_ms = ? AND said IN (?, ?)
                 ORDER BY sort LIMIT ?",
            )?;
            let [began, gone] = digest.members_say();
            let due_ms = digest.members_due_ms();
            readable(members.query(params![digest.farm, digest.target, due_ms, began, gone, MAX_MEMBERS])?)
        })
        .await
    }

    pub(in crate::io) async fn seal_notice(&self, row: &NoticeRow, digest: &Digest) -> Result<Outcome> {
        let (row, about) = (row.clone(), serde_json::to_string(&About::Digest(Some(digest.clone())))?);
        self.write(move |tx| {
            let sealed = tx.execute(
                "UPDATE notices SET about = ? WHERE farm = ? AND sort = ? AND pending IS NOT NULL AND due_ms = ?",
                params![about, row.farm, row.sort, row.due_ms],
            )?;
            Ok(ours(sealed))
        })
        .await
    }

    pub(in crate::io) async fn mark_notices(
        &self,
        told: &[(NoticeRow, Option<NoticeRow>)],
        now_ms: i64,
    ) -> Result<Outcome> {
        let told = told.to_vec();
        self.write(move |tx| {
            for (row, follow) in &told {
                insert(tx, follow.as_slice())?;
                tx.execute(
                    "UPDATE notices SET told_ms = coalesce(told_ms, ?), pending = NULL WHERE farm = ? AND sort = ?",
                    params![now_ms, row.farm, row.sort],
                )?;
                if row.phase == AlertPhase::Open.into() {
                    tx.execute(
                        "UPDATE alerts SET notified_ms = coalesce(notified_ms, ?) WHERE farm = ? AND sort = ?",
                        params![now_ms, row.farm, row.alert_sort()],
                    )?;
                }
            }
            Ok(Outcome::Done)
        })
        .await
    }

    pub(in crate::io) async fn drop_notice(&self, row: &NoticeRow) -> Result<Outcome> {
        let row = row.clone();
        self.write(move |tx| {
            let dropped = tx.execute(
                "UPDATE notices SET said = ?, pending = NULL
                 WHERE farm = ? AND sort = ? AND pending IS NOT NULL AND due_ms = ?",
                params![Said::Dropped.text(), row.farm, row.sort, row.due_ms],
            )?;
            Ok(ours(dropped))
        })
        .await
    }

    pub(in crate::io) async fn postpone_notice(
        &self,
        row: &NoticeRow,
        due_ms: i64,
        attempts: u32,
        anew: bool,
    ) -> Result<Outcome> {
        let row = row.clone();
        self.write(move |tx| {
            let postponed = tx.execute(
                "UPDATE notices SET due_ms = ?, attempts = ?, said = iif(?, NULL, said)
                 WHERE farm = ? AND sort = ? AND pending IS NOT NULL AND due_ms = ?",
                params![due_ms, attempts, anew, row.farm, row.sort, row.due_ms],
            )?;
            Ok(ours(postponed))
        })
        .await
    }

    pub(in crate::io) async fn comment(&self, farm: &str, sort: &str, said: Comment) -> Result<bool> {
        let (farm, sort, said) = (farm.to_string(), sort.to_string(), serde_json::to_string(&said)?);
        self.write(move |tx| {
            let changed = tx.execute(
                "UPDATE alerts SET comments = json_insert(comments, '$[#]', json(?))
                 WHERE farm = ? AND sort = ? AND json_array_length(comments) < ?",
                params![said, farm, sort, MAX_COMMENTS as i64],
            )?;
            Ok(changed == 1)
        })
        .await
    }

    pub(in crate::io) async fn acknowledge(
        &self,
        farm: &str,
        sort: &str,
        said: Acknowledged,
    ) -> Result<Option<Acknowledged>> {
        let (farm, sort) = (farm.to_string(), sort.to_string());
        self.write(move |tx| {
            tx.execute(
                "UPDATE alerts SET acknowledged_by = ?, acknowledged_ms = ?, note = ?
                 WHERE farm = ? AND sort = ? AND acknowledged_by IS NULL",
                params![said.by, said.at_ms, said.note, farm, sort],
            )?;
            let mut stands = tx.prepare("SELECT * FROM alerts WHERE farm = ? AND sort = ?")?;
            let stands = stands.query_row(params![farm, sort], acknowledged).optional()?;
            Ok(stands.flatten())
        })
        .await
    }
}
