//! Hours of the archive. An hour is an item (`pk` the farm, `sk` `<data set>#<begin>`), and each partition that holds
//! rows of it is one of its own (`pk` `<farm>#<data set>#<begin>`): a set within the hour's item would be written whole
//! with every addition, and end at 400 KB.

use super::commit::{BATCH, put_batch};
use super::items::{Item, alert_row, get_i64, get_text, key, number, text};
use super::{DIRTY, DynamoDb, aws};
use crate::archive::{DataSet, HOUR_MS, Hour, HourRow, OPEN_AFTER_END_MS};
use crate::io::store::Taken;
use crate::place::{AlertRow, sortable_time};
use anyhow::{Result, anyhow, bail};
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use windward_protocol::parse_iso8601;

/// Most members of open hours that are remembered. When there would be more, all are forgotten and written again.
const MOST: usize = 50_000;

/// What this program has already written of hours that are open still: nobody archives those yet, so it need not be
/// written again with every commit.
#[derive(Clone, Default)]
pub(super) struct OpenHours(Arc<Mutex<BTreeSet<(Hour, String)>>>);

impl OpenHours {
    /// The members of the row that are not remembered; `None` when the row is, as a whole.
    fn news(&self, row: &HourRow) -> Option<Vec<String>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = |member: &&String| !known.contains(&(row.hour.clone(), (*member).clone()));
        let news: Vec<String> = row.members.iter().filter(is_new).cloned().collect();
        let whole = news.is_empty() && known.contains(&(row.hour.clone(), String::new()));
        (!whole).then_some(news)
    }

    fn remember(&self, row: &HourRow) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() + row.members.len() >= MOST {
            known.clear();
        }
        known.insert((row.hour.clone(), String::new()));
        known.extend(row.members.iter().map(|member| (row.hour.clone(), member.clone())));
    }
}

impl DynamoDb {
    /// Raises the versions of the hours that a commit touches, once their rows and members are written.
    pub(super) async fn touch(&self, rows: &[HourRow]) -> Result<()> {
        for row in rows {
            // Read here, behind the rows: whatever held them up, the hour is open now that they are there.
            let is_open = (self.clock)() < row.hour.start_ms.saturating_add(HOUR_MS + OPEN_AFTER_END_MS);
            let news = match self.open_hours.news(row) {
                None if is_open => continue,
                news => news.unwrap_or_default(),
            };
            let partition = members_of(&row.hour);
            let items: Vec<_> = news.iter().map(|member| (self.table("hours"), key(&partition, member))).collect();
            for batch in items.chunks(BATCH) {
                put_batch(self.client.clone(), batch.to_vec()).await?;
            }
            self.raise_hour(&row.hour).await?;
            if is_open {
                self.open_hours.remember(row);
            }
        }
        Ok(())
    }

    pub(in crate::io) async fn dirty_hours(
        &self,
        farm: &str,
        set: DataSet,
        before_ms: i64,
        limit: u32,
    ) -> Result<Vec<i64>> {
        let mut pages = self
            .client
            .query()
            .table_name(self.table("hours"))
            .index_name(DIRTY)
            .key_condition_expression("dirty = :farm AND sk BETWEEN :from AND :to")
            .expression_attribute_values(":farm", text(farm))
            .expression_attribute_values(":from", text(format!("{}#", set.name())))
            .expression_attribute_values(":to", text(sort(set, before_ms.saturating_sub(1))))
            .into_paginator()
            .items()
            .send();
        let mut hours = Vec::new();
        while hours.len() < limit as usize
            && let Some(item) = pages.next().await
        {
            let item = item.map_err(|error| anyhow!("hours: {}", aws::explain(&error)))?;
            let sort = get_text(&item, "sk").unwrap_or_default();
            hours.extend(sort.split_once('#').and_then(|(_, start)| parse_iso8601(start)));
        }
        Ok(hours)
    }

    pub(in crate::io) async fn take_hour(
        &self,
        hour: &Hour,
        claim: &str,
        now_ms: i64,
        until_ms: i64,
    ) -> Result<Option<Taken>> {
        let update = self
            .update_hour(hour)
            .update_expression("SET claim = :claim, claimed_until_ms = :until")
            .condition_expression(
                "attribute_exists(dirty) AND (attribute_not_exists(claimed_until_ms) OR claimed_until_ms <= :now)",
            )
            .expression_attribute_values(":claim", text(claim))
            .expression_attribute_values(":until", number(until_ms))
            .expression_attribute_values(":now", number(now_ms))
            .return_values(aws_sdk_dynamodb::types::ReturnValue::AllNew);
        let Some(item) = conditional(update).await? else { return Ok(None) };
        let count = |name| get_i64(&item, name).unwrap_or_default();
        Ok(Some(Taken {
            hour: hour.clone(),
            claim: claim.into(),
            version: count("version"),
            rows: count("archived_rows") as u64,
        }))
    }

    pub(in crate::io) async fn hold_hour(&self, taken: &Taken, until_ms: i64) -> Result<bool> {
        let update = self
            .update_hour(&taken.hour)
            .update_expression("SET claimed_until_ms = :until")
            .condition_expression("claim = :claim")
            .expression_attribute_values(":claim", text(&taken.claim))
            .expression_attribute_values(":until", number(until_ms));
        Ok(conditional(update).await?.is_some())
    }

    pub(in crate::io) async fn finish_hour(&self, taken: &Taken, rows: u64) -> Result<bool> {
        // While the version is still the claim's, the hour leaves the index; else it stays there.
        for (condition, leaves) in [("claim = :claim AND version = :version", ", dirty"), ("claim = :claim", "")] {
            let mut update = self
                .update_hour(&taken.hour)
                .update_expression(format!(
                    "SET archived = :version, archived_rows = :rows REMOVE claim, claimed_until_ms{leaves}"
                ))
                .condition_expression(condition)
                .expression_attribute_values(":claim", text(&taken.claim))
                .expression_attribute_values(":rows", number(rows as i64));
            update = update.expression_attribute_values(":version", number(taken.version));
            if conditional(update).await?.is_some() {
                return Ok(true);
            }
        }
        self.raise_hour(&taken.hour).await?;
        Ok(false)
    }

    pub(in crate::io) async fn hour_members(&self, hour: &Hour) -> Result<Vec<String>> {
        let mut pages = self
            .client
            .query()
            .table_name(self.table("hours"))
            .consistent_read(true)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", text(members_of(hour)))
            .into_paginator()
            .items()
            .send();
        let mut members = Vec::new();
        while let Some(item) = pages.next().await {
            let item = item.map_err(|error| anyhow!("hours: {}", aws::explain(&error)))?;
            members.extend(get_text(&item, "sk"));
        }
        Ok(members)
    }

    pub(in crate::io) async fn alerts_opened(&self, farm: &str, from_ms: i64, to_ms: i64) -> Result<Vec<AlertRow>> {
        let mut pages = self
            .client
            .query()
            .table_name(self.table("alerts"))
            .consistent_read(true)
            .key_condition_expression("pk = :pk AND sk BETWEEN :from AND :to")
            .expression_attribute_values(":pk", text(farm))
            .expression_attribute_values(":from", text(sortable_time(from_ms)))
            .expression_attribute_values(":to", text(format!("{}~", sortable_time(to_ms))))
            .into_paginator()
            .items()
            .send();
        let mut rows = Vec::new();
        while let Some(item) = pages.next().await {
            rows.push(alert_row(&item.map_err(|error| anyhow!("alerts: {}", aws::explain(&error)))?));
        }
        Ok(rows)
    }

    async fn raise_hour(&self, hour: &Hour) -> Result<()> {
        let update = self
            .update_hour(hour)
            .update_expression("ADD version :one SET dirty = :farm")
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":farm", text(&hour.farm));
        conditional(update).await.map(drop)
    }

    fn update_hour(&self, hour: &Hour) -> UpdateItemFluentBuilder {
        let update = self.client.update_item().table_name(self.table("hours"));
        update.set_key(Some(key(&hour.farm, &sort(hour.set, hour.start_ms))))
    }
}

/// The item's new attributes as far as they were asked for; `None` when the condition does not hold.
async fn conditional(update: UpdateItemFluentBuilder) -> Result<Option<Item>> {
    match update.send().await.map_err(|error| error.into_service_error()) {
        Ok(updated) => Ok(Some(updated.attributes.unwrap_or_default())),
        Err(error) if error.is_conditional_check_failed_exception() => Ok(None),
        Err(error) => bail!("hours: {}", aws::explain(&error)),
    }
}

fn sort(set: DataSet, start_ms: i64) -> String {
    format!("{}#{}", set.name(), sortable_time(start_ms))
}

fn members_of(hour: &Hour) -> String {
    format!("{}#{}", hour.farm, sort(hour.set, hour.start_ms))
}
