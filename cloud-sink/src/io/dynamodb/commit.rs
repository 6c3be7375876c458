//! What a commit writes: the ledger last, because it vouches for the others.

use super::calls::Calls;
use super::items::{Item, finite, key, ledger_key, members, number, ranges, readings_item, stats_item, text};
use super::values::value_items;
use super::{DynamoDb, HEARD, OPEN_IN, aws};
use crate::config::Layout;
use crate::decode::LaneName;
use crate::place::{AgentChange, AlertStep, LedgerRow, PoisonRow, Rows, Seen, StatsRow, ledger_rows};
use anyhow::{Result, anyhow, bail};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, ReturnValue, WriteRequest};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use windward_protocol::{AlertPhase, SeqSet};

/// Items in one BatchWriteItem, the service's limit.
pub(super) const BATCH: usize = 25;
/// Tries of a batch's unprocessed items before the whole group is tried again.
const UNPROCESSED_TRIES: u32 = 8;
/// First pause before unprocessed items are sent again; doubles each time.
const UNPROCESSED_PAUSE: Duration = Duration::from_millis(50);

impl DynamoDb {
    pub(in crate::io) async fn commit(&self, rows: &Rows) -> Result<Seen> {
        self.put_all(rows).await?;
        self.make_days(&rows.days).await?;
        for step in &rows.alerts {
            self.merge_alert(step).await?;
        }
        self.insert_notices(&rows.notices).await?;
        for change in &rows.agents {
            self.change_agent(change).await?;
        }
        for row in &rows.poison {
            self.keep_poison(row).await?;
        }
        self.touch(&rows.hours).await?;
        let mut calls = Calls::new();
        for (lane, row) in ledger_rows(&rows.ledger) {
            calls.spawn(add_to_ledger(self.client.clone(), self.table("ledger"), lane.clone(), row)).await?;
        }
        let mut before = Seen::new();
        for (lane, seen) in calls.finish().await? {
            let into = before.entry(lane).or_default();
            seen.ranges().for_each(|range| into.insert(range));
        }
        Ok(before)
    }

    /// Readings, gaps and schemas: whole items that are the same however often they are put. And statistics, each on
    /// its own, for a batch knows no conditions.
    async fn put_all(&self, rows: &Rows) -> Result<()> {
        // One batch may name a key only once.
        let mut items: BTreeMap<(String, String, String), Item> = BTreeMap::new();
        let mut add = |table: &str, pk: &str, sk: &str, mut item: Item| {
            item.extend(key(pk, sk));
            items.insert((self.table(table), pk.into(), sk.into()), item);
        };
        for row in &rows.readings {
            let ttl =
                self.keep_days.map(|days| ("ttl".to_string(), number(row.last_ms / 1000 + i64::from(days) * 86_400)));
            let expiring = |mut item: Item| {
                item.extend(ttl.clone());
                item
            };
            add("readings", &row.partition, &row.sort, expiring(readings_item(row)));
            if self.layout == Layout::Item {
                for (pk, sk, item) in value_items(row) {
                    add("values", &pk, &sk, expiring(item));
                }
            }
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
        let mut calls = Calls::new();
        for batch in items.chunks(BATCH) {
            calls.spawn(put_batch(self.client.clone(), batch.to_vec())).await?;
        }
        for row in &rows.stats {
            calls.spawn(merge_stats(self.client.clone(), self.table("stats"), row.clone())).await?;
        }
        calls.finish().await?;
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
            self.update("alerts", row_key.clone(), set.into(), Some(("cleared_ms", "<"))).await?;
        }
        self.index_open(step, row_key).await
    }

    /// Puts an alert among those that last, or takes it from there: in whatever order its steps come.
    async fn index_open(&self, step: &AlertStep, row_key: Item) -> Result<()> {
        let update = self.client.update_item().table_name(self.table("alerts")).set_key(Some(row_key));
        let update = match step.alert.phase {
            AlertPhase::Clear => update.update_expression(format!("REMOVE {OPEN_IN}")),
            AlertPhase::Open | AlertPhase::Update => update
                .update_expression(format!("SET {OPEN_IN} = :farm"))
                .condition_expression("attribute_not_exists(cleared_ms)")
                .expression_attribute_values(":farm", text(&step.farm)),
        };
        match update.send().await.map_err(|error| error.into_service_error()) {
            Ok(_) => Ok(()),
            Err(error) if error.is_conditional_check_failed_exception() => Ok(()),
            Err(error) => bail!("{}: {}", self.table("alerts"), aws::explain(&error)),
        }
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
            AgentChange::Heard { agent, at_ms, devices } => {
                let key = Item::from([("pk".into(), text(agent.as_str()))]);
                let mut set = BTreeMap::from([("alive_ms".to_string(), number(*at_ms))]);
                set.extend(devices.iter().map(|device| (format!("{HEARD}{device}"), number(*at_ms))));
                return self.update("agents", key, set, Some(("alive_ms", "<"))).await;
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
}

/// Adds to a bucket's ranges, and gives what it held before.
async fn add_to_ledger(client: Client, table: String, lane: LaneName, row: LedgerRow) -> Result<(LaneName, SeqSet)> {
    let added = client
        .update_item()
        .table_name(&table)
        .set_key(Some(ledger_key(&row)))
        .update_expression("ADD seen :seen")
        .expression_attribute_values(":seen", ranges(&row))
        .return_values(ReturnValue::UpdatedOld)
        .send()
        .await
        .map_err(|error| anyhow!("{table}: {}", aws::explain(&error)))?;
    let mut before = SeqSet::new();
    members(row.bucket, added.attributes().and_then(|old| old.get("seen")), &mut before);
    Ok((lane, before))
}

/// Of two rows of one window, the one with the greater (n, due, mean) stays.
pub(super) async fn merge_stats(client: Client, table: String, row: StatsRow) -> Result<()> {
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

pub(super) async fn put_batch(client: Client, items: Vec<(String, Item)>) -> Result<()> {
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
