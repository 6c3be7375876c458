//! The tables that the labs' consumers read: their attributes, with numbers as numbers, and times of the event.
//!
//! Both have the keys `location` and `timestamp`. What is put twice is the same item.

use super::calls::Calls;
use super::commit::{BATCH, put_batch};
use super::items::{Item, text};
use super::tables::{attribute, key_part, usable};
use crate::config;
use crate::io::aws;
use crate::labs::{Maximum, Scored, items, number};
use crate::place::sortable_time;
use anyhow::{Context as _, Result, anyhow, ensure};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue, BillingMode, KeyType};

/// Keys, partition and sort.
const KEYS: [&str; 2] = ["location", "timestamp"];

/// Those of the two that are wanted.
pub(in crate::io) struct LabsTables {
    client: Client,
    wind_data: Option<String>,
    diy: Option<String>,
}

impl LabsTables {
    pub(in crate::io) async fn open(config: &config::Labs) -> Self {
        let shared = aws::load(config.endpoint.as_deref(), config.region.as_deref()).await;
        let (wind_data, diy) = (config.wind_data_table.clone(), config.diy_table.clone());
        Self { client: Client::new(&shared), wind_data, diy }
    }

    /// Puts readings; gives how many items that made.
    pub(in crate::io) async fn put_scored(&self, scored: &[Scored<'_>]) -> Result<u64> {
        let Some(table) = &self.wind_data else { return Ok(0) };
        let mut puts = Vec::new();
        for ((location, time_ms), (speed, score)) in items(scored) {
            let mut item = key(location, time_ms);
            item.insert("wind_speed".into(), AttributeValue::N(number(speed)));
            item.insert("anomaly_score".into(), AttributeValue::N(number(score)));
            puts.push((table.clone(), item));
        }
        let mut calls = Calls::new();
        for batch in puts.chunks(BATCH) {
            calls.spawn(put_batch(self.client.clone(), batch.to_vec())).await.with_context(|| table.clone())?;
        }
        calls.finish().await.with_context(|| table.clone())?;
        Ok(puts.len() as u64)
    }

    /// Puts maxima, each on its own: of two of one location and window the greater one stays, whichever comes first.
    pub(in crate::io) async fn put_maxima(&self, maxima: &[Maximum<'_>]) -> Result<u64> {
        let Some(table) = &self.diy else { return Ok(0) };
        let mut calls = Calls::new();
        for maximum in maxima {
            let speed = AttributeValue::N(number(maximum.speed));
            let mut item = key(&maximum.location, maximum.start_ms);
            item.insert("max_wind_speed".into(), speed.clone());
            calls.spawn(put_greater(self.client.clone(), table.clone(), item, speed)).await?;
        }
        calls.finish().await?;
        Ok(maxima.len() as u64)
    }

    /// Makes those that are not there; gives the names of those made.
    pub(in crate::io) async fn create(&self) -> Result<Vec<String>> {
        let mut made = Vec::new();
        for table in self.wind_data.iter().chain(&self.diy) {
            let [location, timestamp] = KEYS;
            let create = self
                .client
                .create_table()
                .table_name(table)
                .billing_mode(BillingMode::PayPerRequest)
                .attribute_definitions(attribute(location)?)
                .attribute_definitions(attribute(timestamp)?)
                .key_schema(key_part(location, KeyType::Hash)?)
                .key_schema(key_part(timestamp, KeyType::Range)?);
            match create.send().await.map_err(|error| error.into_service_error()) {
                Ok(_) => made.push(table.clone()),
                Err(error) if error.is_resource_in_use_exception() => continue,
                Err(error) => return Err(anyhow!("{table}: {}", aws::explain(&error))),
            }
            usable(&self.client, table).await.with_context(|| table.clone())?;
        }
        Ok(made)
    }

    /// Whether they are there, and have the keys that tell one location's reading from another's.
    pub(in crate::io) async fn check(&self) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for name in self.wind_data.iter().chain(&self.diy) {
            let described = self.client.describe_table().table_name(name).send().await;
            let described = described.map_err(|error| anyhow!("table {name}: {}", aws::explain(&error)))?;
            let table = described.table.with_context(|| format!("table {name}: an answer without it"))?;
            let mut keys: Vec<&str> = table.key_schema().iter().map(|part| part.attribute_name()).collect();
            // Either may be the partition.
            keys.sort();
            ensure!(keys == KEYS, "table {name}: its keys are {keys:?}, not {KEYS:?}");
            found.push(name.clone());
        }
        Ok(found)
    }
}

fn key(location: &str, time_ms: i64) -> Item {
    let [name, timestamp] = KEYS;
    Item::from([(name.into(), text(location)), (timestamp.into(), text(sortable_time(time_ms)))])
}

async fn put_greater(client: Client, table: String, item: Item, speed: AttributeValue) -> Result<()> {
    let put = client
        .put_item()
        .table_name(&table)
        .set_item(Some(item))
        .condition_expression("attribute_not_exists(max_wind_speed) OR max_wind_speed < :speed")
        .expression_attribute_values(":speed", speed);
    match put.send().await.map_err(|error| error.into_service_error()) {
        Ok(_) => Ok(()),
        // The greater one is there.
        Err(error) if error.is_conditional_check_failed_exception() => Ok(()),
        Err(error) => Err(anyhow!("{table}: {}", aws::explain(&error))),
    }
}
