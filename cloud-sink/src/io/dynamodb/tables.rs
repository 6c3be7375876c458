//! The tables: made on an emulator or by hand; in production by the stack's template.

use super::outbox::DUE;
use super::{BY_AGENT, DIRTY, DynamoDb, OPEN, OPEN_IN};
use crate::config::Layout;
use crate::io::aws;
use anyhow::{Context, Result, anyhow, bail, ensure};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection, ProjectionType,
    ScalarAttributeType, TableStatus, TimeToLiveSpecification,
};
use std::time::Duration;

/// How long `check --create` waits for a table, seconds.
const CREATE_WAIT_S: u32 = 60;
/// Tables, and whether they have a sort key.
const TABLES: [(&str, bool); 16] = [
    ("readings", true),
    ("alerts", true),
    ("notices", true),
    ("stats", true),
    ("agents", false),
    ("ledger", true),
    ("gaps", true),
    ("poison", true),
    ("schemas", true),
    ("leases", true),
    ("hours", true),
    ("days", true),
    ("watches", true),
    ("fleet", true),
    ("audit", true),
    (VALUES, true),
];
/// Indexes: table, name, keys, and what they hold beside these.
const INDEXES: [(&str, &str, [&str; 2], ProjectionType); 4] = [
    ("alerts", BY_AGENT, ["agent", "sk"], ProjectionType::All),
    ("alerts", OPEN, [OPEN_IN, "sk"], ProjectionType::All),
    ("hours", DIRTY, ["dirty", "sk"], ProjectionType::KeysOnly),
    ("notices", DUE, ["pending", "due_ms"], ProjectionType::All),
];
/// Keys that are numbers.
const NUMBERS: [&str; 1] = ["due_ms"];
/// There only with the layout `item`.
const VALUES: &str = "values";
/// Tables whose items expire, where readings are not kept for ever.
const EXPIRING: [&str; 2] = ["readings", VALUES];

impl DynamoDb {
    /// Makes the tables that are not there, and waits until they can be used. Gives the names of those made.
    pub async fn create_tables(&self) -> Result<Vec<String>> {
        let mut made = Vec::new();
        for (name, sorted) in self.tables() {
            let table = self.table(name);
            let described = self.client.describe_table().table_name(&table).send().await;
            match described.map_err(|error| error.into_service_error()) {
                Ok(_) => continue,
                Err(error) if error.is_resource_not_found_exception() => {}
                Err(error) => bail!("{table}: {}", aws::explain(&error)),
            }
            self.create_table(name, sorted).await.with_context(|| table.clone())?;
            if self.keep_days.is_some() && EXPIRING.contains(&name) {
                self.let_expire(&table).await.with_context(|| table.clone())?;
            }
            made.push(table);
        }
        Ok(made)
    }

    pub(in crate::io) async fn check(&self) -> Result<String> {
        for (name, _) in self.tables() {
            let table = self.table(name);
            let described = self.client.describe_table().table_name(&table).send().await;
            let described = described.map_err(|error| anyhow!("table {table}: {}", aws::explain(&error)))?;
            let has =
                described.table.map(|table| table.global_secondary_indexes.unwrap_or_default()).unwrap_or_default();
            for (_, index, ..) in INDEXES.into_iter().filter(|(of, ..)| *of == name) {
                let is_there = has.iter().any(|found| found.index_name() == Some(index));
                ensure!(is_there, "table {table} has no index {index}; the stack's template makes it");
            }
        }
        Ok(format!("DynamoDB, {} tables {}*", self.tables().count(), self.prefix))
    }

    fn tables(&self) -> impl Iterator<Item = (&'static str, bool)> {
        let has_values = self.layout == Layout::Item;
        TABLES.into_iter().filter(move |(name, _)| *name != VALUES || has_values)
    }

    /// Items go when the time in `ttl` has passed, at no cost.
    async fn let_expire(&self, table: &str) -> Result<()> {
        let ttl = TimeToLiveSpecification::builder().attribute_name("ttl").enabled(true).build()?;
        let update = self.client.update_time_to_live().table_name(table).time_to_live_specification(ttl);
        update.send().await.map_err(|error| anyhow!("{}", aws::explain(&error)))?;
        Ok(())
    }

    async fn create_table(&self, name: &str, sorted: bool) -> Result<()> {
        let mut create = self
            .client
            .create_table()
            .table_name(self.table(name))
            .billing_mode(BillingMode::PayPerRequest)
            .attribute_definitions(attribute("pk")?)
            .key_schema(key_part("pk", KeyType::Hash)?);
        if sorted {
            create = create.attribute_definitions(attribute("sk")?).key_schema(key_part("sk", KeyType::Range)?);
        }
        for (_, index, [pk, sk], holds) in INDEXES.into_iter().filter(|(table, ..)| *table == name) {
            let index = GlobalSecondaryIndex::builder()
                .index_name(index)
                .key_schema(key_part(pk, KeyType::Hash)?)
                .key_schema(key_part(sk, KeyType::Range)?)
                .projection(Projection::builder().projection_type(holds).build())
                .build()?;
            create = create.attribute_definitions(attribute(pk)?).global_secondary_indexes(index);
            // The table's own stands there already.
            if sk != "sk" {
                create = create.attribute_definitions(attribute(sk)?);
            }
        }
        let created = create.send().await;
        created.map_err(|error| anyhow!("{}", aws::explain(&error)))?;
        usable(&self.client, &self.table(name)).await
    }
}

/// Waits until a table that was made can be used.
pub(super) async fn usable(client: &Client, table: &str) -> Result<()> {
    for _ in 0..CREATE_WAIT_S {
        let described = client.describe_table().table_name(table).send().await;
        let status = described.ok().and_then(|answer| answer.table?.table_status);
        if status == Some(TableStatus::Active) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    bail!("was made, but cannot be used after {CREATE_WAIT_S} s")
}

pub(super) fn attribute(name: &str) -> Result<AttributeDefinition> {
    let kind = if NUMBERS.contains(&name) { ScalarAttributeType::N } else { ScalarAttributeType::S };
    Ok(AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build()?)
}

pub(super) fn key_part(name: &str, kind: KeyType) -> Result<KeySchemaElement> {
    Ok(KeySchemaElement::builder().attribute_name(name).key_type(kind).build()?)
}

#[cfg(test)]
mod tests;
