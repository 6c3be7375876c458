//! Who did what, in DynamoDB: table `audit`, `pk` = farm. Nothing of it is ever deleted here.

use super::DynamoDb;
use super::items::{Item, get_i64, get_text, key, number, text};
use crate::access::Role;
use crate::io::aws;
use crate::place::Deed;
use anyhow::{Context as _, Result, anyhow};

impl DynamoDb {
    pub(in crate::io) async fn note_deed(&self, farm: &str, sort: String, deed: &Deed) -> Result<()> {
        let mut item = key(farm, &sort);
        item.extend([
            ("at_ms".to_string(), number(deed.at_ms)),
            ("who".to_string(), text(&deed.who)),
            ("role".to_string(), text(deed.role.to_string())),
            ("what".to_string(), text(&deed.what)),
            ("about".to_string(), text(&deed.about)),
        ]);
        let put = self.client.put_item().table_name(self.table("audit")).set_item(Some(item));
        put.send().await.map_err(|error| anyhow!("audit: {}", aws::explain(&error)))?;
        Ok(())
    }

    pub(in crate::io) async fn deeds(
        &self,
        farm: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<(String, Deed)>> {
        let mut items = self
            .client
            .query()
            .table_name(self.table("audit"))
            .consistent_read(true)
            .key_condition_expression("pk = :farm AND sk < :after")
            .expression_attribute_values(":farm", text(farm))
            // `~` follows all that a time begins with.
            .expression_attribute_values(":after", text(after.unwrap_or("~")))
            .scan_index_forward(false)
            .limit(limit as i32)
            .into_paginator()
            .items()
            .send();
        let mut deeds = Vec::new();
        while deeds.len() < limit as usize
            && let Some(item) = items.next().await
        {
            let item = item.map_err(|error| anyhow!("audit: {}", aws::explain(&error)))?;
            deeds.push(deed(&item).context("audit: an item that cannot be read")?);
        }
        Ok(deeds)
    }
}

fn deed(item: &Item) -> Option<(String, Deed)> {
    let deed = Deed {
        at_ms: get_i64(item, "at_ms")?,
        who: get_text(item, "who")?,
        role: Role::parse(&get_text(item, "role")?).ok()?,
        what: get_text(item, "what")?,
        about: get_text(item, "about")?,
    };
    Some((get_text(item, "sk")?, deed))
}
