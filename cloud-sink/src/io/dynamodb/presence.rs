//! Days, and what the sink keeps for itself.

use super::DynamoDb;
use super::commit::merge_stats;
use super::items::{Item, get_i64, get_text, key, number, stats_row, text};
use crate::days::{self, Day};
use crate::io::aws;
use crate::io::store::{Document, Shelf};
use crate::place::{StatsRow, sortable_time};
use anyhow::{Result, anyhow, bail};
use aws_sdk_dynamodb::types::AttributeValue;

impl DynamoDb {
    pub(in crate::io) async fn days(&self, farm: &str, from_ms: i64, to_ms: i64, limit: u32) -> Result<Vec<StatsRow>> {
        self.span("days", farm, &days::date(from_ms), &format!("{}~", days::date(to_ms)), limit).await
    }

    /// Makes days anew from their windows, which are written by now.
    pub(super) async fn make_days<'a>(&self, days: impl IntoIterator<Item = &'a Day>) -> Result<()> {
        for day in days {
            let (from, to) = (sortable_time(day.start_ms), sortable_time(day.end_ms()));
            let windows = self.span("stats", &day.channel, &from, &to, u32::MAX).await?;
            merge_stats(self.client.clone(), self.table("days"), days::row(day, &windows)).await?;
        }
        Ok(())
    }

    /// Rows of a partition from one sort key to another, both included, as they are now.
    async fn span(&self, table: &str, partition: &str, from: &str, to: &str, limit: u32) -> Result<Vec<StatsRow>> {
        let mut pages = self
            .client
            .query()
            .table_name(self.table(table))
            .consistent_read(true)
            .key_condition_expression("pk = :pk AND sk BETWEEN :from AND :to")
            .expression_attribute_values(":pk", text(partition))
            .expression_attribute_values(":from", text(from))
            .expression_attribute_values(":to", text(to))
            .into_paginator()
            .items()
            .send();
        let mut rows = Vec::new();
        while rows.len() < limit as usize
            && let Some(item) = pages.next().await
        {
            rows.push(stats_row(&item.map_err(|error| anyhow!("{table}: {}", aws::explain(&error)))?));
        }
        Ok(rows)
    }

    pub(in crate::io) async fn documents(&self, shelf: Shelf, farm: &str) -> Result<Vec<Document>> {
        let mut pages = self
            .client
            .query()
            .table_name(self.table(shelf.table()))
            .consistent_read(true)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", text(farm))
            .into_paginator()
            .items()
            .send();
        let mut documents = Vec::new();
        while let Some(item) = pages.next().await {
            let item = item.map_err(|error| anyhow!("{}: {}", shelf.table(), aws::explain(&error)))?;
            documents.push(Document {
                key: get_text(&item, "sk").unwrap_or_default(),
                revision: get_i64(&item, "revision").unwrap_or_default(),
                text: get_text(&item, "text").unwrap_or_default(),
            });
        }
        Ok(documents)
    }

    pub(in crate::io) async fn put(
        &self,
        shelf: Shelf,
        farm: &str,
        before: Option<i64>,
        document: &Document,
    ) -> Result<bool> {
        let mut item: Item = key(farm, &document.key);
        item.insert("revision".into(), number(document.revision));
        item.insert("text".into(), text(&document.text));
        let (condition, before) = only_over(before);
        let put = self.client.put_item().table_name(self.table(shelf.table())).set_item(Some(item));
        let put = put.condition_expression(condition).set_expression_attribute_values(before);
        match put.send().await.map_err(|error| error.into_service_error()) {
            Ok(_) => Ok(true),
            Err(error) if error.is_conditional_check_failed_exception() => Ok(false),
            Err(error) => bail!("{}: {}", shelf.table(), aws::explain(&error)),
        }
    }

    pub(in crate::io) async fn remove(&self, shelf: Shelf, farm: &str, sort: &str, before: i64) -> Result<bool> {
        let (condition, before) = only_over(Some(before));
        let delete = self.client.delete_item().table_name(self.table(shelf.table())).set_key(Some(key(farm, sort)));
        let delete = delete.condition_expression(condition).set_expression_attribute_values(before);
        match delete.send().await.map_err(|error| error.into_service_error()) {
            Ok(_) => Ok(true),
            Err(error) if error.is_conditional_check_failed_exception() => Ok(false),
            Err(error) => bail!("{}: {}", shelf.table(), aws::explain(&error)),
        }
    }
}

/// The condition that a document is still as it was read.
fn only_over(before: Option<i64>) -> (&'static str, Option<Item>) {
    match before {
        None => ("attribute_not_exists(pk)", None),
        Some(before) => {
            let value: (String, AttributeValue) = (":before".into(), number(before));
            ("revision = :before", Some(Item::from([value])))
        }
    }
}
