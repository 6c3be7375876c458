//! The store for the cloud: DynamoDB. Keys are text: `pk`, and `sk` where there is a sort key.
//!
//! There is no transaction over a group; every write is idempotent by itself and the ledger comes last, so a group that
//! broke off halfway is written again as a whole (S2).

mod answers;
mod archive;
mod calls;
mod commit;
mod items;
mod leases;
mod presence;
mod tables;
mod values;

use super::store::Claim;
use super::{aws, clock};
use crate::config::{self, Layout};
use crate::notify::Notice;
use anyhow::{Result, anyhow, bail};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::UpdateItemOutput;
use aws_sdk_dynamodb::types::AttributeValue;
use items::{Item, key, number};
use std::collections::BTreeMap;
use windward_protocol::AlertPhase;

/// Index of the alerts by agent.
const BY_AGENT: &str = "by-agent";
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
