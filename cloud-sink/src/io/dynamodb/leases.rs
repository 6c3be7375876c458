//! Leases of a stream's shards.

use super::DynamoDb;
use super::items::{Item, get_i64, get_text, key, number, text};
use crate::io::aws;
use crate::shards::{Lease, Position, Write};
use anyhow::{Context, Result, anyhow, bail};
use std::collections::BTreeMap;

impl DynamoDb {
    pub(in crate::io) async fn leases(&self, stream: &str) -> Result<BTreeMap<String, Lease>> {
        let query = self
            .client
            .query()
            .table_name(self.table("leases"))
            .consistent_read(true)
            .key_condition_expression("pk = :stream")
            .expression_attribute_values(":stream", text(stream));
        let mut items = query.into_paginator().items().send();
        let mut leases = BTreeMap::new();
        while let Some(item) = items.next().await {
            let item = item.map_err(|error| anyhow!("leases: {}", aws::explain(&error)))?;
            let shard = get_text(&item, "sk").unwrap_or_default();
            leases.insert(shard.clone(), lease(&item).with_context(|| format!("lease of {shard}: {item:?}"))?);
        }
        Ok(leases)
    }

    pub(in crate::io) async fn put_lease(&self, stream: &str, write: &Write) -> Result<bool> {
        let mut item = key(stream, &write.shard);
        item.extend([
            ("position".to_string(), text(write.lease.position.to_string())),
            ("owner".to_string(), text(&write.lease.owner)),
            ("counter".to_string(), number(write.lease.counter as i64)),
        ]);
        let put = self.client.put_item().table_name(self.table("leases")).set_item(Some(item));
        let put = match write.expected {
            None => put.condition_expression("attribute_not_exists(pk)"),
            Some(expected) => put
                .condition_expression("#counter = :expected")
                .expression_attribute_names("#counter", "counter")
                .expression_attribute_values(":expected", number(expected as i64)),
        };
        match put.send().await.map_err(|error| error.into_service_error()) {
            Ok(_) => Ok(true),
            Err(error) if error.is_conditional_check_failed_exception() => Ok(false),
            Err(error) => bail!("leases: {}", aws::explain(&error)),
        }
    }
}

fn lease(item: &Item) -> Option<Lease> {
    Some(Lease {
        position: Position::parse(&get_text(item, "position")?)?,
        owner: get_text(item, "owner")?,
        counter: get_i64(item, "counter")? as u64,
    })
}
