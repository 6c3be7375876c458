//! The outbox: the steps of [`crate::notify`], done against the store.

use super::Store;
#[cfg(feature = "aws")]
use crate::io::dynamodb::DynamoDb;
use crate::io::sqlite::Sqlite;
use crate::notify::{CLAIM_MS, Look, NoticeRow, Outcome, Step, Telling, digest_row};
use crate::place::{Acknowledged, AlertStep, Comment, Rows};
use anyhow::{Result, ensure};
use std::sync::Arc;

/// Calls the same function of the store that was chosen.
macro_rules! of_either {
    ($store:expr, $name:ident($($argument:expr),*)) => {
        match $store {
            Store::Sqlite(sqlite) => Sqlite::$name(sqlite, $($argument),*).await,
            #[cfg(feature = "aws")]
            Store::DynamoDb(dynamodb) => DynamoDb::$name(dynamodb, $($argument),*).await,
        }
    };
}

impl Store {
    /// Makes alerts and whom to tell of them durable, for alerts that came with no delivery.
    pub async fn commit_alerts(&self, alerts: Vec<AlertStep>, notices: Vec<NoticeRow>) -> Result<()> {
        self.commit(Arc::new(Rows { alerts, notices, ..Rows::default() })).await?;
        Ok(())
    }

    /// Notices of a target for which there is something to do, the earliest first.
    pub async fn due_notices(&self, farm: &str, target: &str, now_ms: i64, limit: u32) -> Result<Vec<NoticeRow>> {
        of_either!(self, due_notices(farm, target, now_ms, limit))
    }

    /// Does one step of telling: every step but [`Step::Publish`], which is not the store's. `at_once`: so many
    /// messages of one minute have room by themselves.
    pub async fn perform(&self, telling: &Telling, at_once: u32, now_ms: i64) -> Result<Outcome> {
        let row = &telling.row;
        match &telling.step {
            Step::Claim => of_either!(self, claim_notice(row, now_ms, now_ms + CLAIM_MS)),
            Step::Look => Ok(Outcome::Looked(self.look(row).await?)),
            Step::Place(said) => of_either!(self, place_notice(row, said, at_once, &digest_row(row, now_ms))),
            Step::Settle(sort) => {
                let digest = of_either!(self, notice(&row.farm, sort))?;
                Ok(Outcome::Digest(digest.map(Box::new)))
            }
            Step::Gather | Step::Members => Ok(Outcome::Gathered(of_either!(self, digest_members(row))?)),
            Step::Seal(digest) => of_either!(self, seal_notice(row, digest)),
            Step::Mark(follow) => {
                let told = [(row.clone(), follow.as_deref().cloned())];
                of_either!(self, mark_notices(&told, now_ms))
            }
            Step::MarkAll(told) => of_either!(self, mark_notices(told, now_ms)),
            Step::Drop => of_either!(self, drop_notice(row)),
            Step::Postpone { due_ms, attempts, anew } => {
                of_either!(self, postpone_notice(row, *due_ms, *attempts, *anew))
            }
            Step::Publish | Step::Over(_) => Ok(Outcome::Failed),
        }
    }

    async fn look(&self, row: &NoticeRow) -> Result<Look> {
        match row.alert_sort() {
            Some(sort) => of_either!(self, look(&row.farm, &sort)),
            None => Ok(Look::default()),
        }
    }

    /// Keeps that somebody sees to an alert; the first to say so stays. Gives who that is, or `None` if there is no such
    /// alert. `sort` is the alert's sort key.
    pub async fn acknowledge(
        &self,
        farm: &str,
        sort: &str,
        by: &str,
        note: &str,
        now_ms: i64,
    ) -> Result<Option<Acknowledged>> {
        ensure!(!by.trim().is_empty(), "say who acknowledges it");
        let said = Acknowledged { by: by.into(), at_ms: now_ms, note: note.into() };
        of_either!(self, acknowledge(farm, sort, said))
    }

    /// Adds what somebody says of an alert; not more than [`super::MAX_COMMENTS`]. Whether it was added.
    pub async fn comment(&self, farm: &str, sort: &str, said: Comment) -> Result<bool> {
        of_either!(self, comment(farm, sort, said))
    }
}
