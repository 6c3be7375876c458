//! What is asked of the tables.

use super::calls::Calls;
use super::items::{
    Item, alert_row, get_bytes, get_i64, get_text, key, ledger_key, members, number, stats_row, summary, text,
};
use super::{BY_AGENT, DynamoDb, HEARD, OPEN, OPEN_IN, aws};
use crate::io::store::{MAX_LEDGER_ROWS, Page, Span, Summaries};
use crate::place::{AgentRow, AlertRow, GapRow, LedgerRow, PoisonRow, Seen, StatsRow, ledger_rows, sortable_time};
use crate::query::LOOK_BACK_MS;
use anyhow::{Result, anyhow};
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;
use std::collections::BTreeMap;
use windward_protocol::{AgentId, SchemaId, SeqSet};

impl DynamoDb {
    /// The bytes of each, where it is kept.
    pub(in crate::io) async fn schemas(&self, keys: &[(AgentId, SchemaId)]) -> Result<Vec<Option<Vec<u8>>>> {
        let mut found = Vec::with_capacity(keys.len());
        for (agent, id) in keys {
            let get = self.client.get_item().table_name(self.table("schemas")).consistent_read(true);
            let got = get.set_key(Some(key(agent.as_str(), &id.to_string()))).send().await;
            let got = got.map_err(|error| anyhow!("schemas: {}", aws::explain(&error)))?;
            found.push(got.item().map(|item| get_bytes(item, "schema")));
        }
        Ok(found)
    }

    /// What the ledger has in the buckets of these sequences. Read without waiting for the latest: that more was seen
    /// than it says does no harm.
    pub(in crate::io) async fn seen(&self, sequences: &Seen) -> Result<Seen> {
        let mut calls = Calls::new();
        for (lane, row) in ledger_rows(sequences) {
            let get = self.client.get_item().table_name(self.table("ledger")).set_key(Some(ledger_key(&row)));
            let (lane, bucket) = (lane.clone(), row.bucket);
            let call = async move {
                let got = get.send().await.map_err(|error| anyhow!("ledger: {}", aws::explain(&error)))?;
                Ok((lane, bucket, got.item))
            };
            calls.spawn(call).await?;
        }
        let mut seen = Seen::new();
        for (lane, bucket, item) in calls.finish().await? {
            members(bucket, item.and_then(|item| item.get("seen").cloned()).as_ref(), seen.entry(lane).or_default());
        }
        Ok(seen)
    }

    pub(in crate::io) async fn agents(&self) -> Result<Vec<AgentRow>> {
        let items = self.scan("agents").await?;
        let mut rows: Vec<AgentRow> = items
            .iter()
            .map(|item| AgentRow {
                agent: get_text(item, "pk").unwrap_or_default(),
                seen_ms: get_i64(item, "seen_ms"),
                online: get_i64(item, "online") == Some(1),
                epoch: get_text(item, "epoch"),
                version: get_text(item, "version"),
                started_ms: get_i64(item, "started_ms"),
                manifest: get_text(item, "manifest"),
                health: get_text(item, "health"),
                heard_ms: get_i64(item, "heard_ms"),
                alive_ms: get_i64(item, "alive_ms"),
                devices: item
                    .keys()
                    .filter_map(|name| Some((name.strip_prefix(HEARD)?.to_string(), get_i64(item, name)?)))
                    .collect(),
            })
            .collect();
        rows.sort_by(|a, b| a.agent.cmp(&b.agent));
        Ok(rows)
    }

    pub(in crate::io) async fn alerts(&self, farm: &str, agent: Option<&str>, limit: u32) -> Result<Vec<AlertRow>> {
        let query = self.client.query().table_name(self.table("alerts"));
        let query = match agent {
            Some(agent) => query
                .index_name(BY_AGENT)
                .key_condition_expression("#agent = :key")
                .expression_attribute_names("#agent", "agent")
                .expression_attribute_values(":key", text(agent)),
            None => query.key_condition_expression("pk = :key").expression_attribute_values(":key", text(farm)),
        };
        alert_rows(query, farm, limit).await
    }

    pub(in crate::io) async fn open_alerts(
        &self,
        farm: &str,
        agent: Option<&str>,
        limit: u32,
    ) -> Result<Vec<AlertRow>> {
        let mut query = self
            .client
            .query()
            .table_name(self.table("alerts"))
            .index_name(OPEN)
            .key_condition_expression(format!("{OPEN_IN} = :farm"))
            .expression_attribute_values(":farm", text(farm));
        if let Some(agent) = agent {
            query = query
                .filter_expression("#agent = :agent")
                .expression_attribute_names("#agent", "agent")
                .expression_attribute_values(":agent", text(agent));
        }
        alert_rows(query, farm, limit).await
    }

    pub(in crate::io) async fn alert(&self, farm: &str, agent: &str, id: u64) -> Result<Option<AlertRow>> {
        let query = self.client.query().table_name(self.table("alerts")).scan_index_forward(false).index_name(BY_AGENT);
        let mut pages = query
            .key_condition_expression("#agent = :agent")
            // A reserved word of DynamoDB's.
            .expression_attribute_names("#agent", "agent")
            .expression_attribute_values(":agent", text(agent))
            .into_paginator()
            .items()
            .send();
        while let Some(item) = pages.next().await {
            let item = item.map_err(|error| anyhow!("{}", aws::explain(&error)))?;
            let row = alert_row(&item);
            if row.id == id && get_text(&item, "pk").as_deref() == Some(farm) {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }

    pub(in crate::io) async fn readings(&self, span: &Span) -> Result<Page> {
        // The archive must find what was committed before it asked.
        let mut pages = self.rows_of(span).consistent_read(true).into_paginator().items().send();
        let (mut page, mut n) = (Page::default(), 0u64);
        while let Some(item) = pages.next().await {
            let item = item.map_err(|error| anyhow!("{}", aws::explain(&error)))?;
            page.blocks.push(get_bytes(&item, "block"));
            n += get_i64(&item, "n").unwrap_or_default() as u64;
            if n >= span.limit {
                page.next = get_text(&item, "sk");
                break;
            }
        }
        Ok(page)
    }

    pub(in crate::io) async fn summaries(&self, span: &Span) -> Result<Summaries> {
        let query = self.rows_of(span).projection_expression("sk, first_ms, last_ms, channels");
        let mut pages = query.into_paginator().items().send();
        let mut page = Summaries::default();
        while let Some(item) = pages.next().await {
            let item = item.map_err(|error| anyhow!("{}", aws::explain(&error)))?;
            page.rows.push(summary(&item));
            if page.rows.len() as u64 >= span.limit {
                page.next = get_text(&item, "sk");
                break;
            }
        }
        Ok(page)
    }

    /// Asks for the rows of a span, by time.
    fn rows_of(&self, span: &Span) -> QueryFluentBuilder {
        let from = sortable_time(span.from_ms.saturating_sub(LOOK_BACK_MS));
        // A space follows no key of this form, so this is just behind the last block of the page before.
        let after = span.after.as_ref().map(|after| format!("{after} "));
        self.client
            .query()
            .table_name(self.table("readings"))
            .key_condition_expression("pk = :pk AND sk BETWEEN :from AND :to")
            .filter_expression("last_ms >= :least")
            .expression_attribute_values(":pk", text(&span.partition))
            .expression_attribute_values(":from", text(after.map_or(from.clone(), |after| after.max(from))))
            .expression_attribute_values(":to", text(format!("{}~", sortable_time(span.to_ms))))
            .expression_attribute_values(":least", number(span.from_ms))
    }

    pub(in crate::io) async fn stats(
        &self,
        partition: &str,
        from_ms: i64,
        to_ms: i64,
        limit: u32,
    ) -> Result<Vec<StatsRow>> {
        let mut pages = self
            .client
            .query()
            .table_name(self.table("stats"))
            .consistent_read(true)
            .key_condition_expression("pk = :pk AND sk BETWEEN :from AND :to")
            .expression_attribute_values(":pk", text(partition))
            .expression_attribute_values(":from", text(sortable_time(from_ms)))
            .expression_attribute_values(":to", text(sortable_time(to_ms)))
            .limit(limit as i32)
            .into_paginator()
            .items()
            .send();
        let mut rows = Vec::new();
        while rows.len() < limit as usize
            && let Some(item) = pages.next().await
        {
            rows.push(stats_row(&item.map_err(|error| anyhow!("{}", aws::explain(&error)))?));
        }
        Ok(rows)
    }

    pub(in crate::io) async fn ledger(&self) -> Result<Vec<LedgerRow>> {
        let row = |item: &Item| {
            let (bucket, mut seen) = (get_text(item, "sk")?.parse().ok()?, SeqSet::new());
            members(bucket, item.get("seen"), &mut seen);
            Some(LedgerRow { partition: get_text(item, "pk")?, bucket, seen })
        };
        Ok(self.scan("ledger").await?.iter().filter_map(row).collect())
    }

    pub(in crate::io) async fn gaps(&self) -> Result<Vec<GapRow>> {
        let row = |item: &Item| {
            let sort = get_text(item, "sk")?;
            let (from, to) = sort.split_once('-')?;
            Some(GapRow {
                partition: get_text(item, "pk")?,
                from: from.parse().ok()?,
                to: to.parse().ok()?,
                reason: get_text(item, "reason")?,
            })
        };
        let mut rows: Vec<GapRow> = self.scan("gaps").await?.iter().filter_map(row).collect();
        rows.sort();
        Ok(rows)
    }

    pub(in crate::io) async fn poison(&self, limit: u32) -> Result<Vec<PoisonRow>> {
        let row = |item: &Item| PoisonRow {
            partition: get_text(item, "pk").unwrap_or_default(),
            sort: get_text(item, "sk").unwrap_or_default(),
            topic: get_text(item, "topic").unwrap_or_default(),
            reason: get_text(item, "reason").unwrap_or_default(),
            at_ms: get_i64(item, "at_ms").unwrap_or_default(),
            bytes: get_bytes(item, "bytes"),
        };
        let mut rows: Vec<PoisonRow> = self.scan("poison").await?.iter().map(row).collect();
        rows.sort_by(|a, b| (b.at_ms, &a.sort).cmp(&(a.at_ms, &b.sort)));
        rows.truncate(limit as usize);
        Ok(rows)
    }

    /// All items of a table, their attributes as text: for tests and those who look for themselves.
    pub async fn items_of(&self, table: &str) -> Result<Vec<BTreeMap<String, String>>> {
        let shown = |(name, value): (String, AttributeValue)| {
            let shown = match value {
                AttributeValue::S(text) | AttributeValue::N(text) => text,
                other => format!("{other:?}"),
            };
            (name, shown)
        };
        Ok(self.scan(table).await?.into_iter().map(|item| item.into_iter().map(shown).collect()).collect())
    }

    async fn scan(&self, table: &str) -> Result<Vec<Item>> {
        let mut pages = self.client.scan().table_name(self.table(table)).into_paginator().items().send();
        let mut items = Vec::new();
        while items.len() < MAX_LEDGER_ROWS
            && let Some(item) = pages.next().await
        {
            items.push(item.map_err(|error| anyhow!("{table}: {}", aws::explain(&error)))?);
        }
        Ok(items)
    }
}

/// A farm's alerts of a query, the latest opened first.
async fn alert_rows(query: QueryFluentBuilder, farm: &str, limit: u32) -> Result<Vec<AlertRow>> {
    let query = query.scan_index_forward(false).into_paginator().page_size(limit.min(1000) as i32);
    let (mut pages, mut rows) = (query.items().send(), Vec::new());
    while rows.len() < limit as usize
        && let Some(item) = pages.next().await
    {
        let item = item.map_err(|error| anyhow!("{}", aws::explain(&error)))?;
        if get_text(&item, "pk").as_deref() == Some(farm) {
            rows.push(alert_row(&item));
        }
    }
    Ok(rows)
}
