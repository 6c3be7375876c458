//! The store for the cloud: DynamoDB. Keys are text: `pk`, and `sk` where there is a sort key.
//!
//! There is no transaction over a group; every write is idempotent by itself and the ledger comes last, so a group that
//! broke off halfway is written again as a whole (S2).

mod answers;
mod archive;
mod calls;
mod commit;
mod deeds;
mod items;
mod labs;
mod leases;
mod outbox;
mod presence;
mod tables;
mod values;

use super::{aws, clock};
use crate::config::{self, Layout};
use anyhow::{Result, bail};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::UpdateItemOutput;
use aws_sdk_dynamodb::types::AttributeValue;
use items::Item;
pub(super) use labs::LabsTables;
use std::collections::BTreeMap;

/// Index of the alerts by agent.
const BY_AGENT: &str = "by-agent";
/// Index of the alerts that have no end; they alone have its key, [`OPEN_IN`].
const OPEN: &str = "open";
/// The farm of an alert that has no end.
const OPEN_IN: &str = "open_in";
/// What the names of attributes begin with that say when each device of an agent was heard.
const HEARD: &str = "heard:";

/// Index of the hours whose file is not of their version; they alone have its key.
const DIRTY: &str = "dirty";

/// The tables under one prefix.
#[derive(Clone)]
pub struct DynamoDb {
    client: Client,
    prefix: String,
    layout: Layout,
    keep_days: Option<u32>,
    open_hours: archive::OpenHours,
    clock: fn() -> i64,
}

impl DynamoDb {
    /// A client. Nothing is asked of the service yet.
    pub async fn open(config: &config::DynamoDb) -> Self {
        let shared = aws::load(config.endpoint.as_deref(), config.region.as_deref()).await;
        Self {
            client: Client::new(&shared),
            prefix: config.prefix.clone(),
            layout: config.layout,
            keep_days: config.keep_days,
            open_hours: archive::OpenHours::default(),
            clock: clock::now_ms,
        }
    }

    /// The same with another clock, for tests: it says which hours of the archive are open still.
    pub fn with_clock(self, clock: fn() -> i64) -> Self {
        Self { clock, ..self }
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

    fn table(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}
