//! What is asked of the file.

use super::Sqlite;
use super::commit::{bits_of, members};
use crate::io::store::{MAX_LEDGER_ROWS, Page, Span, Summaries, Summary};
use crate::place::{
    Acknowledged, AgentRow, AlertRow, GapRow, LedgerRow, PoisonRow, Seen, StatsRow, ledger_rows, sortable_time,
};
use crate::query::LOOK_BACK_MS;
use anyhow::Result;
use rusqlite::{OptionalExtension, Row, params};
use windward_protocol::{AgentId, SchemaId, SeqSet};

impl Sqlite {
    /// The bytes of each, where it is kept.
    pub(in crate::io) async fn schemas(&self, keys: &[(AgentId, SchemaId)]) -> Result<Vec<Option<Vec<u8>>>> {
        let keys = keys.to_vec();
        self.read(move |db| {
            let mut statement = db.prepare("SELECT schema FROM schemas WHERE agent = ? AND id = ?")?;
            let one = |(agent, id): &(AgentId, SchemaId)| {
                statement.query_row(params![agent.as_str(), id.to_string()], |row| row.get(0)).optional()
            };
            Ok(keys.iter().map(one).collect::<Result<_, _>>()?)
        })
        .await
    }

    /// What the ledger has in the buckets of these sequences.
    pub(in crate::io) async fn seen(&self, sequences: &Seen) -> Result<Seen> {
        let sequences = sequences.clone();
        self.read(move |db| {
            let mut seen = Seen::new();
            for (lane, row) in ledger_rows(&sequences) {
                if let Some(bits) = bits_of(db, &row)? {
                    members(row.bucket, &bits, seen.entry(lane.clone()).or_default());
                }
            }
            Ok(seen)
        })
        .await
    }

    pub(in crate::io) async fn agents(&self) -> Result<Vec<AgentRow>> {
        self.read(|db| {
            let mut statement = db.prepare("SELECT * FROM agents ORDER BY agent")?;
            let rows = statement.query_map([], |row| {
                Ok(AgentRow {
                    agent: row.get("agent")?,
                    seen_ms: row.get("seen_ms")?,
                    online: row.get("online")?,
                    epoch: row.get("epoch")?,
                    version: row.get("version")?,
                    started_ms: row.get("started_ms")?,
                    manifest: row.get("manifest")?,
                    health: row.get("health")?,
                    heard_ms: row.get("heard_ms")?,
                    alive_ms: row.get("alive_ms")?,
                    devices: serde_json::from_str(&row.get::<_, String>("devices")?).unwrap_or_default(),
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    pub(in crate::io) async fn alerts(&self, farm: &str, agent: Option<&str>, limit: u32) -> Result<Vec<AlertRow>> {
        let (farm, agent) = (farm.to_string(), agent.map(str::to_string));
        self.read(move |db| {
            let filter = if agent.is_some() { "AND agent = ?3" } else { "AND ?3 IS NULL" };
            let mut statement =
                db.prepare(&format!("SELECT * FROM alerts WHERE farm = ?1 {filter} ORDER BY sort DESC LIMIT ?2"))?;
            let rows = statement.query_map(params![farm, limit, agent], alert_row)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    pub(in crate::io) async fn open_alerts(
        &self,
        farm: &str,
        agent: Option<&str>,
        limit: u32,
    ) -> Result<Vec<AlertRow>> {
        let (farm, agent) = (farm.to_string(), agent.map(str::to_string));
        self.read(move |db| {
            // Named, because an agent's few that last would be looked for among all of its alerts.
            let mut statement = db.prepare(
                "SELECT * FROM alerts INDEXED BY alerts_open
                 WHERE farm = ?1 AND cleared_ms IS NULL AND (?3 IS NULL OR agent = ?3) ORDER BY sort DESC LIMIT ?2",
            )?;
            let rows = statement.query_map(params![farm, limit, agent], alert_row)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    pub(in crate::io) async fn alert(&self, farm: &str, agent: &str, id: u64) -> Result<Option<AlertRow>> {
        let (farm, agent, id) = (farm.to_string(), agent.to_string(), format!("{id:016x}"));
        self.read(move |db| {
            let sql = "SELECT * FROM alerts WHERE farm = ? AND agent = ? AND id = ? ORDER BY sort DESC LIMIT 1";
            Ok(db.query_row(sql, params![farm, agent, id], alert_row).optional()?)
        })
        .await
    }

    pub(in crate::io) async fn readings(&self, span: &Span) -> Result<Page> {
        let span = span.clone();
        self.read(move |db| {
            let mut statement = db.prepare(&rows_of("sort, n, block"))?;
            let mut rows = statement.query(bounds(&span))?;
            let (mut page, mut n, mut last) = (Page::default(), 0u64, None);
            while let Some(row) = rows.next()? {
                // Only where there is more: the newest row may still take in what comes.
                if n >= span.limit {
                    page.next = last;
                    break;
                }
                page.blocks.push(row.get("block")?);
                n += u64::from(row.get::<_, u32>("n")?);
                last = Some(row.get("sort")?);
            }
            Ok(page)
        })
        .await
    }

    pub(in crate::io) async fn summaries(&self, span: &Span) -> Result<Summaries> {
        let span = span.clone();
        self.read(move |db| {
            let mut statement = db.prepare(&rows_of("sort, first_ms, last_ms, channels"))?;
            let mut rows = statement.query(bounds(&span))?;
            let (mut page, mut last) = (Summaries::default(), None);
            while let Some(row) = rows.next()? {
                if page.rows.len() as u64 >= span.limit {
                    page.next = last;
                    break;
                }
                page.rows.push(Summary {
                    first_ms: row.get("first_ms")?,
                    last_ms: row.get("last_ms")?,
                    channels: serde_json::from_str(&row.get::<_, String>("channels")?).unwrap_or_default(),
                });
                last = Some(row.get("sort")?);
            }
            Ok(page)
        })
        .await
    }

    pub(in crate::io) async fn stats(
        &self,
        partition: &str,
        from_ms: i64,
        to_ms: i64,
        limit: u32,
    ) -> Result<Vec<StatsRow>> {
        let partition = partition.to_string();
        self.read(move |db| {
            let mut statement =
                db.prepare("SELECT * FROM stats WHERE partition = ? AND sort BETWEEN ? AND ? ORDER BY sort LIMIT ?")?;
            let span = params![partition, sortable_time(from_ms), sortable_time(to_ms), limit];
            let rows = statement.query_map(span, stats_row)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    pub(in crate::io) async fn ledger(&self) -> Result<Vec<LedgerRow>> {
        self.read(|db| {
            let mut statement = db.prepare("SELECT * FROM ledger ORDER BY partition, bucket DESC LIMIT ?")?;
            let rows = statement.query_map([MAX_LEDGER_ROWS as i64], |row| {
                let (bucket, mut seen) = (row.get::<_, i64>("bucket")? as u64, SeqSet::new());
                members(bucket, &row.get::<_, Vec<u8>>("seen")?, &mut seen);
                Ok(LedgerRow { partition: row.get("partition")?, bucket, seen })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    pub(in crate::io) async fn gaps(&self) -> Result<Vec<GapRow>> {
        self.read(|db| {
            let mut statement = db.prepare("SELECT * FROM gaps ORDER BY partition, from_seq LIMIT ?")?;
            let rows = statement.query_map([MAX_LEDGER_ROWS as i64], |row| {
                Ok(GapRow {
                    partition: row.get("partition")?,
                    from: row.get::<_, i64>("from_seq")? as u64,
                    to: row.get::<_, i64>("to_seq")? as u64,
                    reason: row.get("reason")?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    pub(in crate::io) async fn poison(&self, limit: u32) -> Result<Vec<PoisonRow>> {
        self.read(move |db| {
            let mut statement = db.prepare("SELECT * FROM poison ORDER BY at_ms DESC, sort LIMIT ?")?;
            let rows = statement.query_map([limit], |row| {
                Ok(PoisonRow {
                    partition: row.get("partition")?,
                    sort: row.get("sort")?,
                    topic: row.get("topic")?,
                    reason: row.get("reason")?,
                    at_ms: row.get("at_ms")?,
                    bytes: row.get("bytes")?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }
}

/// Asks for these columns of the rows of a span, by time; they are read one by one, and no more than are wanted.
fn rows_of(columns: &str) -> String {
    format!(
        "SELECT {columns} FROM readings
         WHERE partition = ? AND sort >= ? AND sort <= ? AND sort > ? AND last_ms >= ? ORDER BY sort"
    )
}

/// What [`rows_of`] is asked with.
fn bounds(span: &Span) -> (&str, String, String, &str, i64) {
    let from = sortable_time(span.from_ms.saturating_sub(LOOK_BACK_MS));
    // Greater than every sort key of that millisecond: `~` follows `#`.
    let to = format!("{}~", sortable_time(span.to_ms));
    (&span.partition, from, to, span.after.as_deref().unwrap_or_default(), span.from_ms)
}

pub(super) fn stats_row(row: &Row<'_>) -> rusqlite::Result<StatsRow> {
    Ok(StatsRow {
        partition: row.get("partition")?,
        sort: row.get("sort")?,
        unit: row.get("unit")?,
        window_ms: row.get("window_ms")?,
        n: row.get("n")?,
        due: row.get("due")?,
        mean: row.get("mean")?,
        min: row.get("min")?,
        max: row.get("max")?,
        std: row.get("std")?,
        turbulence: row.get("turbulence")?,
        gust_3s: row.get("gust_3s")?,
    })
}

pub(super) fn alert_row(row: &Row<'_>) -> rusqlite::Result<AlertRow> {
    let id: String = row.get("id")?;
    Ok(AlertRow {
        sort: row.get("sort")?,
        agent: row.get("agent")?,
        id: u64::from_str_radix(&id, 16).unwrap_or_default(),
        location: row.get("location")?,
        device: row.get("device")?,
        channel: row.get("channel")?,
        kind: row.get("kind")?,
        severity: row.get("severity")?,
        opened_ms: row.get("opened_ms")?,
        at_ms: row.get("at_ms")?,
        cleared_ms: row.get("cleared_ms")?,
        value: row.get("value")?,
        unit: row.get("unit")?,
        wind_speed: row.get("wind_speed")?,
        anomaly_score: row.get("anomaly_score")?,
        threshold: row.get("threshold")?,
        evidence: row.get("evidence")?,
        notified_ms: row.get("notified_ms")?,
        acknowledged: acknowledged(row)?,
        comments: serde_json::from_str(&row.get::<_, String>("comments")?).unwrap_or_default(),
    })
}

/// Who has acknowledged an alert.
pub(super) fn acknowledged(row: &Row<'_>) -> rusqlite::Result<Option<Acknowledged>> {
    let by: Option<String> = row.get("acknowledged_by")?;
    let seen = by.map(|by| Ok(Acknowledged { by, at_ms: row.get("acknowledged_ms")?, note: row.get("note")? }));
    seen.transpose()
}
