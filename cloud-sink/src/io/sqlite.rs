//! The store for one machine: a SQLite file in WAL mode, synced to disk at every commit.
//!
//! One connection writes, one reads; each call takes its connection on tokio's blocking threads.

mod answers;
mod archive;
mod commit;
mod deeds;
mod leases;
mod outbox;
mod presence;
mod prune;
#[cfg(test)]
mod tests;

use anyhow::{Context, Result, anyhow, ensure};
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The schema, step by step; `PRAGMA user_version` counts the steps a file has taken. Only ever appended to.
const MIGRATIONS: [&str; 11] = [
    include_str!("schema.sql"),
    include_str!("schema_2.sql"),
    include_str!("schema_3.sql"),
    include_str!("schema_4.sql"),
    include_str!("schema_5.sql"),
    include_str!("schema_6.sql"),
    include_str!("schema_7.sql"),
    include_str!("schema_8.sql"),
    include_str!("schema_9.sql"),
    include_str!("schema_10.sql"),
    include_str!("schema_11.sql"),
];

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
