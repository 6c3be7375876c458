//! The store for one machine: a SQLite file in WAL mode, synced to disk at every commit.
//!
//! One connection writes, one reads; each call takes its connection on tokio's blocking threads.

#[cfg(test)]
mod tests;

use super::store::{Claim, MAX_LEDGER_ROWS, Page, Span};
use crate::notify::Notice;
use crate::place::{
    AgentChange, AgentRow, AlertRow, AlertStep, GapRow, LEDGER_BUCKET, LedgerRow, PoisonRow, ReadingsRow, Rows,
    StatsRow, sortable_time,
};
use crate::query::LOOK_BACK_MS;
use anyhow::{Context, Result, anyhow, ensure};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, named_params, params};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use windward_protocol::{AgentId, AlertPhase, SchemaId};

/// The schema, step by step; `PRAGMA user_version` counts the steps a file has taken. Only ever appended to.
const MIGRATIONS: [&str; 3] = [include_str!("schema.sql"), include_str!("schema_2.sql"), include_str!("schema_3.sql")];

/// How long a write waits for another process that holds the file, for example a backup.
const BUSY: Duration = Duration::from_secs(5);

/// An open file.
#[derive(Clone)]
pub struct Sqlite {
    path: PathBuf,
    writer: Arc<Mutex<Connection>>,
    reader: Arc<Mutex<Connection>>,
}

impl Sqlite {
    /// Opens or makes the file, and brings its schema up to date.
    pub async fn open(path: PathBuf) -> Result<Self> {
        let opened = tokio::task::spawn_blocking(move || {
            let writer = connect(&path).with_context(|| format!("cannot open {}", path.display()))?;
            migrate(&writer).with_context(|| format!("cannot prepare {}", path.display()))?;
            let reader = connect(&path)?;
            reader.pragma_update(None, "query_only", true)?;
            anyhow::Ok((path, writer, reader))
        });
        let (path, writer, reader) = opened.await??;
        Ok(Self { path, writer: Arc::new(Mutex::new(writer)), reader: Arc::new(Mutex::new(reader)) })
    }

    pub(super) async fn check(&self) -> Result<String> {
        let found: String = self.read(|db| Ok(db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?)).await?;
        ensure!(found == "ok", "{}: {found}", self.path.display());
        Ok(format!("{}, schema {}", self.path.display(), MIGRATIONS.len()))
    }

    pub(super) async fn commit(&self, rows: Arc<Rows>) -> Result<Vec<BTreeSet<u16>>> {
        self.write(move |tx| {
            insert_readings(tx, &rows.readings)?;
            for step in &rows.alerts {
                merge_alert(tx, step)?;
            }
            for row in &rows.stats {
                merge_stats(tx, row)?;
            }
            for change in &rows.agents {
                change_agent(tx, change)?;
            }
            for row in &rows.gaps {
                tx.execute(
                    "INSERT OR IGNORE INTO gaps VALUES (?, ?, ?, ?)",
                    params![row.partition, row.from as i64, row.to as i64, row.reason],
                )?;
            }
            for row in &rows.poison {
                tx.execute(
                    "INSERT OR IGNORE INTO poison VALUES (?, ?, ?, ?, ?, ?)",
                    params![row.partition, row.sort, row.topic, row.reason, row.at_ms, row.bytes],
                )?;
            }
            for schema in &rows.schemas {
                tx.execute(
                    "INSERT OR IGNORE INTO schemas VALUES (?, ?, ?)",
                    params![schema.agent.as_str(), schema.id().to_string(), schema.encode()],
                )?;
            }
            rows.ledger.iter().map(|row| add_to_ledger(tx, row)).collect()
        })
        .await
    }

    /// The bytes of each, where it is kept.
    pub(super) async fn schemas(&self, keys: &[(AgentId, SchemaId)]) -> Result<Vec<Option<Vec<u8>>>> {
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

    pub(super) async fn claim(&self, notice: &Notice, now_ms: i64, until_ms: i64) -> Result<Claim> {
        let (farm, sort, mark) = (notice.farm.clone(), notice.sort.clone(), notice.mark());
        self.write(move |tx| {
            let claimed = tx.execute(
                "INSERT INTO notices VALUES (?, ?, ?, ?, NULL)
                 ON CONFLICT DO UPDATE SET claimed_until_ms = excluded.claimed_until_ms
                 WHERE told_ms IS NULL AND claimed_until_ms <= ?",
                params![farm, sort, mark, until_ms, now_ms],
            )?;
            if claimed == 1 {
                return Ok(Claim::Ours);
            }
            let told: bool = tx.query_row(
                "SELECT told_ms IS NOT NULL FROM notices WHERE farm = ? AND sort = ? AND mark = ?",
                params![farm, sort, mark],
                |row| row.get(0),
            )?;
            Ok(if told { Claim::ToldBefore } else { Claim::Held })
        })
        .await
    }

    pub(super) async fn release(&self, notice: &Notice) -> Result<()> {
        let (farm, sort, mark) = (notice.farm.clone(), notice.sort.clone(), notice.mark());
        self.write(move |tx| {
            tx.execute(
                "UPDATE notices SET claimed_until_ms = 0 WHERE farm = ? AND sort = ? AND mark = ? AND told_ms IS NULL",
                params![farm, sort, mark],
            )?;
            Ok(())
        })
        .await
    }

    pub(super) async fn mark(&self, notice: &Notice, now_ms: i64) -> Result<()> {
        let (farm, sort, mark) = (notice.farm.clone(), notice.sort.clone(), notice.mark());
        let opened = notice.phase == AlertPhase::Open;
        self.write(move |tx| {
            tx.execute(
                "UPDATE notices SET told_ms = coalesce(told_ms, ?) WHERE farm = ? AND sort = ? AND mark = ?",
                params![now_ms, farm, sort, mark],
            )?;
            if opened {
                tx.execute(
                    "UPDATE alerts SET notified_ms = coalesce(notified_ms, ?) WHERE farm = ? AND sort = ?",
                    params![now_ms, farm, sort],
                )?;
            }
            Ok(())
        })
        .await
    }

    pub(super) async fn agents(&self) -> Result<Vec<AgentRow>> {
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
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    pub(super) async fn alerts(&self, farm: &str, agent: Option<&str>, limit: u32) -> Result<Vec<AlertRow>> {
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

    pub(super) async fn readings(&self, span: &Span) -> Result<Page> {
        let span = span.clone();
        self.read(move |db| {
            let mut statement = db.prepare(
                "SELECT sort, n, block FROM readings
                 WHERE partition = ? AND sort >= ? AND sort <= ? AND sort > ? AND last_ms >= ? ORDER BY sort",
            )?;
            let mut rows = statement.query(params![
                span.partition,
                sortable_time(span.from_ms.saturating_sub(LOOK_BACK_MS)),
                // Greater than every sort key of that millisecond: `~` follows `#`.
                format!("{}~", sortable_time(span.to_ms)),
                span.after.unwrap_or_default(),
                span.from_ms,
            ])?;
            let (mut page, mut n) = (Page::default(), 0u64);
            while let Some(row) = rows.next()? {
                page.blocks.push(row.get("block")?);
                n += u64::from(row.get::<_, u32>("n")?);
                if n >= span.limit {
                    page.next = Some(row.get("sort")?);
                    break;
                }
            }
            Ok(page)
        })
        .await
    }

    pub(super) async fn stats(&self, partition: &str, from_ms: i64, to_ms: i64, limit: u32) -> Result<Vec<StatsRow>> {
        let partition = partition.to_string();
        self.read(move |db| {
            let mut statement =
                db.prepare("SELECT * FROM stats WHERE partition = ? AND sort BETWEEN ? AND ? ORDER BY sort LIMIT ?")?;
            let span = params![partition, sortable_time(from_ms), sortable_time(to_ms), limit];
            let rows = statement.query_map(span, |row| {
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
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    pub(super) async fn ledger(&self) -> Result<Vec<LedgerRow>> {
        self.read(|db| {
            let mut statement = db.prepare("SELECT * FROM ledger ORDER BY partition, bucket DESC LIMIT ?")?;
            let rows = statement.query_map([MAX_LEDGER_ROWS as i64], |row| {
                Ok(LedgerRow {
                    partition: row.get("partition")?,
                    bucket: row.get::<_, i64>("bucket")? as u64,
                    seen: members(&row.get::<_, Vec<u8>>("seen")?),
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    pub(super) async fn gaps(&self) -> Result<Vec<GapRow>> {
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

    pub(super) async fn poison(&self, limit: u32) -> Result<Vec<PoisonRow>> {
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

    /// Runs `work` in one transaction: all of it becomes durable, or nothing.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let writer = self.writer.clone();
        let done = tokio::task::spawn_blocking(move || {
            // A panic while it was held rolled its transaction back; the connection is as good as before.
            let mut db = writer.lock().unwrap_or_else(PoisonError::into_inner);
            let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = work(&tx)?;
            tx.commit()?;
            Ok(value)
        });
        done.await?
    }

    async fn read<T: Send + 'static>(&self, work: impl FnOnce(&Connection) -> Result<T> + Send + 'static) -> Result<T> {
        let reader = self.reader.clone();
        let done = tokio::task::spawn_blocking(move || work(&reader.lock().unwrap_or_else(PoisonError::into_inner)));
        done.await?
    }
}

fn connect(path: &Path) -> Result<Connection> {
    let db = Connection::open(path)?;
    db.busy_timeout(BUSY)?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    // In WAL mode NORMAL would leave the last commits to the page cache, and S1 vouches for them.
    db.pragma_update(None, "synchronous", "FULL")?;
    Ok(db)
}

fn migrate(db: &Connection) -> Result<()> {
    let taken = db.query_row("PRAGMA user_version", [], |row| row.get::<_, u32>(0))? as usize;
    ensure!(
        taken <= MIGRATIONS.len(),
        "its schema is version {taken}, this program knows {}: it was written by a newer windward-sink",
        MIGRATIONS.len()
    );
    for (step, sql) in MIGRATIONS.iter().enumerate().skip(taken) {
        db.execute_batch(&format!("BEGIN IMMEDIATE; {sql}; PRAGMA user_version = {}; COMMIT", step + 1))
            .map_err(|error| anyhow!("schema step {}: {error}", step + 1))?;
    }
    Ok(())
}

fn insert_readings(tx: &Transaction<'_>, rows: &[ReadingsRow]) -> Result<()> {
    // Prepared once: that takes longer than to insert a row.
    let mut insert = tx.prepare("INSERT OR IGNORE INTO readings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?;
    for row in rows {
        insert.execute(params![
            row.partition,
            row.sort,
            row.agent.as_str(),
            row.device,
            row.location,
            row.first_ms,
            row.last_ms,
            row.n,
            row.synced,
            serde_json::to_string(&row.channels)?,
            row.block
        ])?;
    }
    Ok(())
}

/// The description with the greatest rank stays, and the latest end: in whatever order the steps come.
fn merge_alert(tx: &Transaction<'_>, step: &AlertStep) -> Result<()> {
    let alert = &step.alert;
    tx.execute(
        "INSERT INTO alerts (farm, sort, agent, id, said, location, device, channel, kind, severity, opened_ms, at_ms,
             value, unit, wind_speed, anomaly_score, threshold, evidence)
         VALUES (:farm, :sort, :agent, :id, :said, :location, :device, :channel, :kind, :severity, :opened_ms, :at_ms,
             :value, :unit, :wind_speed, :anomaly_score, :threshold, :evidence)
         ON CONFLICT DO UPDATE SET said = excluded.said, location = excluded.location, device = excluded.device,
             channel = excluded.channel, kind = excluded.kind, severity = excluded.severity, at_ms = excluded.at_ms,
             value = excluded.value, unit = excluded.unit, wind_speed = excluded.wind_speed,
             anomaly_score = excluded.anomaly_score, threshold = excluded.threshold, evidence = excluded.evidence
         WHERE excluded.said > alerts.said",
        named_params! {
            ":farm": step.farm, ":sort": step.sort, ":agent": step.agent.as_str(), ":id": format!("{:016x}", alert.id),
            ":said": step.said, ":location": alert.location, ":device": alert.device, ":channel": alert.channel,
            ":kind": alert.kind.name(), ":severity": alert.severity.name(), ":opened_ms": alert.opened_ms,
            ":at_ms": alert.at_ms, ":value": alert.value, ":unit": alert.unit, ":wind_speed": alert.wind_speed,
            ":anomaly_score": alert.score, ":threshold": alert.threshold, ":evidence": alert.evidence,
        },
    )?;
    if alert.phase == AlertPhase::Clear {
        tx.execute(
            "UPDATE alerts SET cleared_ms = max(coalesce(cleared_ms, ?1), ?1) WHERE farm = ?2 AND sort = ?3",
            params![alert.at_ms, step.farm, step.sort],
        )?;
    }
    Ok(())
}

fn merge_stats(tx: &Transaction<'_>, row: &StatsRow) -> Result<()> {
    tx.execute(
        "INSERT INTO stats VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET unit = excluded.unit, window_ms = excluded.window_ms, n = excluded.n,
             due = excluded.due, mean = excluded.mean, min = excluded.min, max = excluded.max, std = excluded.std,
             turbulence = excluded.turbulence, gust_3s = excluded.gust_3s
         WHERE (excluded.n, excluded.due, coalesce(excluded.mean, 0)) > (n, due, coalesce(mean, 0))",
        params![
            row.partition,
            row.sort,
            row.unit,
            row.window_ms,
            row.n,
            row.due,
            row.mean,
            row.min,
            row.max,
            row.std,
            row.turbulence,
            row.gust_3s
        ],
    )?;
    Ok(())
}

fn change_agent(tx: &Transaction<'_>, change: &AgentChange) -> Result<()> {
    match change {
        AgentChange::Hello { agent, epoch, at_ms, version, manifest } => tx.execute(
            "INSERT INTO agents (agent, epoch, version, started_ms, manifest) VALUES (?, ?, ?, ?, ?)
                 ON CONFLICT DO UPDATE SET epoch = excluded.epoch, version = excluded.version,
                     started_ms = excluded.started_ms, manifest = excluded.manifest
                 WHERE excluded.started_ms >= coalesce(agents.started_ms, excluded.started_ms)",
            params![agent.as_str(), format!("{epoch:016x}"), version, at_ms, manifest],
        )?,
        AgentChange::Health { agent, heard_ms, seen_ms, online, health } => tx.execute(
            "INSERT INTO agents (agent, heard_ms, seen_ms, online, health) VALUES (?, ?, ?, ?, ?)
                 ON CONFLICT DO UPDATE SET heard_ms = excluded.heard_ms, online = excluded.online,
                     seen_ms = coalesce(excluded.seen_ms, agents.seen_ms),
                     health = coalesce(excluded.health, agents.health)
                 WHERE excluded.heard_ms >= coalesce(agents.heard_ms, excluded.heard_ms)",
            params![agent.as_str(), heard_ms, seen_ms, online, health],
        )?,
    };
    Ok(())
}

/// Adds to a bucket's bit set, and gives what it held before.
fn add_to_ledger(tx: &Transaction<'_>, row: &LedgerRow) -> Result<BTreeSet<u16>> {
    let before: Option<Vec<u8>> = tx
        .query_row(
            "SELECT seen FROM ledger WHERE partition = ? AND bucket = ?",
            params![row.partition, row.bucket as i64],
            |row| row.get(0),
        )
        .optional()?;
    let before = members(&before.unwrap_or_default());
    let mut bits = vec![0u8; LEDGER_BUCKET as usize / 8];
    for rest in before.union(&row.seen) {
        bits[usize::from(*rest) / 8] |= 1 << (rest % 8);
    }
    tx.execute("INSERT OR REPLACE INTO ledger VALUES (?, ?, ?)", params![row.partition, row.bucket as i64, bits])?;
    Ok(before)
}

fn members(bits: &[u8]) -> BTreeSet<u16> {
    let count = (bits.len() * 8).min(LEDGER_BUCKET as usize) as u16;
    (0..count).filter(|rest| bits[usize::from(*rest) / 8] & (1 << (rest % 8)) != 0).collect()
}

fn alert_row(row: &Row<'_>) -> rusqlite::Result<AlertRow> {
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
    })
}
