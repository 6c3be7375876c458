//! The store for the cloud: DynamoDB. Keys are text: `pk`, and `sk` where there is a sort key.
//!
//! There is no transaction over a group; every write is idempotent by itself and the ledger comes last, so a group that
//! broke off halfway is written again as a whole (S2).

mod items;
mod tables;

use super::aws;
use super::store::{Claim, MAX_LEDGER_ROWS, Page, Span};
use crate::config;
use crate::notify::Notice;
use crate::place::{
    AgentChange, AgentRow, AlertRow, AlertStep, GapRow, LedgerRow, PoisonRow, Rows, StatsRow, sortable_time,
};
use crate::query::LOOK_BACK_MS;
use anyhow::{Result, anyhow, bail};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::UpdateItemOutput;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, ReturnValue, WriteRequest};
use items::{
    Item, alert_row, finite, get_bytes, get_i64, get_text, key, number, numbers, readings_item, stats_item, stats_row,
    text,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;
use tokio::task::JoinSet;
use windward_protocol::{AgentId, AlertPhase, SchemaId};

/// Items in one BatchWriteItem, the service's limit.
const BATCH: usize = 25;
/// Calls under way at once within one commit.
const CALLS: usize = 8;
/// Tries of a batch's unprocessed items before the whole group is tried again.
const UNPROCESSED_TRIES: u32 = 8;
/// First pause before unprocessed items are sent again; doubles each time.
const UNPROCESSED_PAUSE: Duration = Duration::from_millis(50);
/// Index of the alerts by agent.
const BY_AGENT: &str = "by-agent";

/// The tables under one prefix.
#[derive(Clone)]
pub struct DynamoDb {
    client: Client,
    prefix: String,
}

impl DynamoDb {
    /// A client. Nothing is asked of the service yet.
    pub async fn open(config: &config::DynamoDb) -> Self {
        let shared = aws::load(config.endpoint.as_deref(), config.region.as_deref()).await;
        Self { client: Client::new(&shared), prefix: config.prefix.clone() }
    }

    pub(super) async fn commit(&self, rows: &Rows) -> Result<Vec<BTreeSet<u16>>> {
        self.put_all(rows).await?;
        for step in &rows.alerts {
            self.merge_alert(step).await?;
        }
        for change in &rows.agents {
            self.change_agent(change).await?;
        }
        for row in &rows.poison {
            self.keep_poison(row).await?;
        }
        let mut before = Vec::with_capacity(rows.ledger.len());
        for row in &rows.ledger {
            before.push(self.add_to_ledger(row).await?);
        }
        Ok(before)
    }

    /// The bytes of each, where it is kept.
    pub(super) async fn schemas(&self, keys: &[(AgentId, SchemaId)]) -> Result<Vec<Option<Vec<u8>>>> {
        let mut found = Vec::with_capacity(keys.len());
        for (agent, id) in keys {
            let get = self.client.get_item().table_name(self.table("schemas")).consistent_read(true);
            let got = get.set_key(Some(key(agent.as_str(), &id.to_string()))).send().await;
            let got = got.map_err(|error| anyhow!("schemas: {}", aws::explain(&error)))?;
            found.push(got.item().map(|item| get_bytes(item, "schema")));
        }
        Ok(found)
    }

    pub(super) async fn claim(&self, notice: &Notice, now_ms: i64, until_ms: i64) -> Result<Claim> {
        let mark = notice.mark();
        let claimed = self
            .client
            .update_item()
            .table_name(self.table("alerts"))
            .set_key(Some(key(&notice.farm, &notice.sort)))
            .update_expression("SET #claim = :until")
            .condition_expression("attribute_not_exists(#told) AND (attribute_not_exists(#claim) OR #claim <= :now)")
            .expression_attribute_names("#claim", format!("claim_{mark}"))
            .expression_attribute_names("#told", format!("told_{mark}"))
            .expression_attribute_values(":until", number(until_ms))
            .expression_attribute_values(":now", number(now_ms))
            .send()
            .await;
        match claimed.map_err(|error| error.into_service_error()) {
            Ok(_) => Ok(Claim::Ours),
            Err(error) if error.is_conditional_check_failed_exception() => {
                let row = self
                    .client
                    .get_item()
                    .table_name(self.table("alerts"))
                    .set_key(Some(key(&notice.farm, &notice.sort)))
                    .consistent_read(true)
                    .send()
                    .await
                    .map_err(|error| anyhow!("{}", aws::explain(&error)))?;
                let told = row.item().is_some_and(|item| item.contains_key(&format!("told_{mark}")));
                Ok(if told { Claim::ToldBefore } else { Claim::Held })
            }
            Err(error) => bail!("{}", aws::explain(&error)),
        }
    }

    pub(super) async fn release(&self, notice: &Notice) -> Result<()> {
        let set = [(format!("claim_{}", notice.mark()), number(0))];
        let key = key(&notice.farm, &notice.sort);
        self.update("alerts", key, set.into(), None).await?;
        Ok(())
    }

    pub(super) async fn mark(&self, notice: &Notice, now_ms: i64) -> Result<()> {
        let update = self
            .client
            .update_item()
            .table_name(self.table("alerts"))
            .set_key(Some(key(&notice.farm, &notice.sort)))
            .expression_attribute_names("#told", format!("told_{}", notice.mark()))
            .expression_attribute_values(":now", number(now_ms));
        let mut expression = "SET #told = if_not_exists(#told, :now)".to_string();
        if notice.phase == AlertPhase::Open {
            expression.push_str(", notified_ms = if_not_exists(notified_ms, :now)");
        }
        let marked = update.update_expression(expression).send().await;
        marked.map_err(|error| anyhow!("{}", aws::explain(&error)))?;
        Ok(())
    }

    pub(super) async fn agents(&self) -> Result<Vec<AgentRow>> {
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
            })
            .collect();
        rows.sort_by(|a, b| a.agent.cmp(&b.agent));
        Ok(rows)
    }

    pub(super) async fn alerts(&self, farm: &str, agent: Option<&str>, limit: u32) -> Result<Vec<AlertRow>> {
        let mut query = self.client.query().table_name(self.table("alerts")).scan_index_forward(false);
        query = match agent {
            Some(agent) => query
                .index_name(BY_AGENT)
                .key_condition_expression("agent = :key")
                .expression_attribute_values(":key", text(agent)),
            None => query.key_condition_expression("pk = :key").expression_attribute_values(":key", text(farm)),
        };
        let mut pages = query.into_paginator().page_size(limit.min(1000) as i32).items().send();
        let mut rows = Vec::new();
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

    pub(super) async fn readings(&self, span: &Span) -> Result<Page> {
        let from = sortable_time(span.from_ms.saturating_sub(LOOK_BACK_MS));
        // A space follows no key of this form, so this is just behind the last block of the page before.
        let after = span.after.as_ref().map(|after| format!("{after} "));
        let mut pages = self
            .client
            .query()
            .table_name(self.table("readings"))
            .key_condition_expression("pk = :pk AND sk BETWEEN :from AND :to")
            .filter_expression("last_ms >= :least")
            .expression_attribute_values(":pk", text(&span.partition))
            .expression_attribute_values(":from", text(after.map_or(from.clone(), |after| after.max(from))))
            .expression_attribute_values(":to", text(format!("{}~", sortable_time(span.to_ms))))
            .expression_attribute_values(":least", number(span.from_ms))
            .into_paginator()
            .items()
            .send();
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

    pub(super) async fn stats(&self, partition: &str, from_ms: i64, to_ms: i64, limit: u32) -> Result<Vec<StatsRow>> {
        let mut pages = self
            .client
            .query()
            .table_name(self.table("stats"))
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

    pub(super) async fn ledger(&self) -> Result<Vec<LedgerRow>> {
        let row = |item: &Item| {
            Some(LedgerRow {
                partition: get_text(item, "pk")?,
                bucket: get_text(item, "sk")?.parse().ok()?,
                seen: numbers(item.get("seen")),
            })
        };
        Ok(self.scan("ledger").await?.iter().filter_map(row).collect())
    }

    pub(super) async fn gaps(&self) -> Result<Vec<GapRow>> {
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

    pub(super) async fn poison(&self, limit: u32) -> Result<Vec<PoisonRow>> {
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

    /// Readings, gaps and schemas: whole items that are the same however often they are put. And statistics, each on its own, for
    /// a batch knows no conditions.
    async fn put_all(&self, rows: &Rows) -> Result<()> {
        // One batch may name a key only once.
        let mut items: BTreeMap<(String, String, String), Item> = BTreeMap::new();
        let mut add = |table: &str, pk: &str, sk: &str, mut item: Item| {
            item.extend(key(pk, sk));
            items.insert((self.table(table), pk.into(), sk.into()), item);
        };
        for row in &rows.readings {
            add("readings", &row.partition, &row.sort, readings_item(row));
        }
        for row in &rows.gaps {
            let sort = format!("{:020}-{:020}", row.from, row.to);
            let item = Item::from([("reason".into(), text(&row.reason))]);
            add("gaps", &row.partition, &sort, item);
        }
        for schema in &rows.schemas {
            let item = Item::from([("schema".into(), AttributeValue::B(Blob::new(schema.encode())))]);
            add("schemas", schema.agent.as_str(), &schema.id().to_string(), item);
        }
        let items: Vec<_> = items.into_iter().map(|((table, ..), item)| (table, item)).collect();
        let mut calls: JoinSet<Result<()>> = JoinSet::new();
        for batch in items.chunks(BATCH) {
            room_for_a_call(&mut calls).await?;
            calls.spawn(put_batch(self.client.clone(), batch.to_vec()));
        }
        for row in &rows.stats {
            room_for_a_call(&mut calls).await?;
            calls.spawn(merge_stats(self.client.clone(), self.table("stats"), row.clone()));
        }
        while let Some(done) = calls.join_next().await {
            done??;
        }
        Ok(())
    }

    async fn merge_alert(&self, step: &AlertStep) -> Result<()> {
        let alert = &step.alert;
        let row_key = key(&step.farm, &step.sort);
        let mut set: BTreeMap<String, AttributeValue> = [
            ("agent", text(step.agent.as_str())),
            ("id", text(format!("{:016x}", alert.id))),
            ("said", text(&step.said)),
            ("location", text(&alert.location)),
            ("device", text(&alert.device)),
            ("channel", text(&alert.channel)),
            ("kind", text(alert.kind.name())),
            ("severity", text(alert.severity.name())),
            ("opened_ms", number(alert.opened_ms)),
            ("at_ms", number(alert.at_ms)),
            ("unit", text(&alert.unit)),
            ("evidence", text(&alert.evidence)),
        ]
        .map(|(name, value)| (name.to_string(), value))
        .into();
        for (name, value) in [
            ("value", alert.value),
            ("wind_speed", alert.wind_speed),
            ("anomaly_score", alert.score),
            ("threshold", alert.threshold),
        ] {
            // NULL, not absence: an older step's number must not stay beside a newer one's words.
            let value = value.and_then(finite).unwrap_or(AttributeValue::Null(true));
            set.insert(name.into(), value);
        }
        self.update("alerts", row_key.clone(), set, Some(("said", "<"))).await?;
        if alert.phase == AlertPhase::Clear {
            let set = [("cleared_ms".to_string(), number(alert.at_ms))];
            self.update("alerts", row_key, set.into(), Some(("cleared_ms", "<"))).await?;
        }
        Ok(())
    }

    async fn change_agent(&self, change: &AgentChange) -> Result<()> {
        let (agent, set, order) = match change {
            AgentChange::Hello { agent, epoch, at_ms, version, manifest } => {
                let set = vec![
                    ("epoch", text(format!("{epoch:016x}"))),
                    ("started_ms", number(*at_ms)),
                    ("version", text(version)),
                    ("manifest", text(manifest)),
                ];
                (agent, set, "started_ms")
            }
            AgentChange::Health { agent, heard_ms, seen_ms, online, health } => {
                let mut set = vec![("heard_ms", number(*heard_ms)), ("online", number(i64::from(*online)))];
                set.extend(seen_ms.map(|seen_ms| ("seen_ms", number(seen_ms))));
                set.extend(health.as_ref().map(|health| ("health", text(health))));
                (agent, set, "heard_ms")
            }
        };
        let set = set.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
        let key = Item::from([("pk".into(), text(agent.as_str()))]);
        self.update("agents", key, set, Some((order, "<="))).await
    }

    async fn keep_poison(&self, row: &PoisonRow) -> Result<()> {
        let set: BTreeMap<String, AttributeValue> = [
            ("topic", text(&row.topic)),
            ("reason", text(&row.reason)),
            ("at_ms", number(row.at_ms)),
            ("bytes", AttributeValue::B(Blob::new(row.bytes.clone()))),
        ]
        .map(|(name, value)| (name.to_string(), value))
        .into();
        // The first time it came stays.
        self.update("poison", key(&row.partition, &row.sort), set, Some(("at_ms", ">"))).await
    }

    /// Sets attributes; with an `order` only if that attribute is not there yet, or compares so with the new value.
    async fn update(
        &self,
        table: &str,
        key: Item,
        set: BTreeMap<String, AttributeValue>,
        order: Option<(&str, &str)>,
    ) -> Result<()> {
        let mut update = self.client.update_item().table_name(self.table(table)).set_key(Some(key));
        let mut assignments = Vec::new();
        for (index, (name, value)) in set.into_iter().enumerate() {
            if let Some((by, compares)) = order
                && by == name
            {
                update = update
                    .condition_expression(format!("attribute_not_exists(#{index}) OR #{index} {compares} :{index}"));
            }
            // Placeholders throughout: `location`, `value` and others are reserved words.
            assignments.push(format!("#{index} = :{index}"));
            update = update
                .expression_attribute_names(format!("#{index}"), name)
                .expression_attribute_values(format!(":{index}"), value);
        }
        let updated = update.update_expression(format!("SET {}", assignments.join(", "))).send().await;
        match updated.map_err(|error| error.into_service_error()) {
            Ok(UpdateItemOutput { .. }) => Ok(()),
            // The row knows better already.
            Err(error) if error.is_conditional_check_failed_exception() => Ok(()),
            Err(error) => bail!("{}: {}", self.table(table), aws::explain(&error)),
        }
    }

    /// Adds to a bucket's number set, and gives what it held before.
    async fn add_to_ledger(&self, row: &LedgerRow) -> Result<BTreeSet<u16>> {
        let seen = row.seen.iter().map(u16::to_string).collect();
        let added = self
            .client
            .update_item()
            .table_name(self.table("ledger"))
            .set_key(Some(key(&row.partition, &format!("{:020}", row.bucket))))
            .update_expression("ADD seen :seen")
            .expression_attribute_values(":seen", AttributeValue::Ns(seen))
            .return_values(ReturnValue::UpdatedOld)
            .send()
            .await
            .map_err(|error| anyhow!("ledger: {}", aws::explain(&error)))?;
        Ok(numbers(added.attributes().and_then(|old| old.get("seen"))))
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

    fn table(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

async fn room_for_a_call(calls: &mut JoinSet<Result<()>>) -> Result<()> {
    if calls.len() == CALLS
        && let Some(done) = calls.join_next().await
    {
        done??;
    }
    Ok(())
}

/// Of two rows of one window, the one with the greater (n, due, mean) stays.
async fn merge_stats(client: Client, table: String, row: StatsRow) -> Result<()> {
    let mut item = stats_item(&row);
    item.extend(key(&row.partition, &row.sort));
    let put = client
        .put_item()
        .table_name(&table)
        .set_item(Some(item))
        .condition_expression(
            "attribute_not_exists(#n) OR #n < :n OR (#n = :n AND (#due < :due OR (#due = :due AND #mean < :mean)))",
        )
        .expression_attribute_names("#n", "n")
        .expression_attribute_names("#due", "due")
        .expression_attribute_names("#mean", "mean")
        .expression_attribute_values(":n", number(row.n.into()))
        .expression_attribute_values(":due", number(row.due.into()))
        .expression_attribute_values(":mean", row.mean.and_then(finite).unwrap_or(number(0)))
        .send()
        .await;
    match put.map_err(|error| error.into_service_error()) {
        Ok(_) => Ok(()),
        Err(error) if error.is_conditional_check_failed_exception() => Ok(()),
        Err(error) => bail!("{table}: {}", aws::explain(&error)),
    }
}

async fn put_batch(client: Client, items: Vec<(String, Item)>) -> Result<()> {
    let mut left: HashMap<String, Vec<WriteRequest>> = HashMap::new();
    for (table, item) in items {
        let put = PutRequest::builder().set_item(Some(item)).build()?;
        let request = WriteRequest::builder().put_request(put).build();
        left.entry(table).or_default().push(request);
    }
    for attempt in 0..UNPROCESSED_TRIES {
        if attempt > 0 {
            tokio::time::sleep(UNPROCESSED_PAUSE * 2u32.pow(attempt - 1)).await;
        }
        let answer = client
            .batch_write_item()
            .set_request_items(Some(left))
            .send()
            .await
            .map_err(|error| anyhow!("BatchWriteItem: {}", aws::explain(&error)))?;
        left = answer.unprocessed_items.unwrap_or_default();
        if left.is_empty() {
            return Ok(());
        }
    }
    let items: usize = left.values().map(Vec::len).sum();
    bail!("DynamoDB left {items} items unprocessed {UNPROCESSED_TRIES} times; its capacity is too small")
}
