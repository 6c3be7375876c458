//! The outbox in DynamoDB: table `notices`, `pk` = farm. `pending` = `<farm>#<target>` stands in an item until it is told
//! or dropped, so that the index `due` holds no others. The index may lag; what it names is asked of the item itself.

use super::DynamoDb;
use super::calls::Calls;
use super::items::{Item, acknowledged, get_i64, get_text, key, number, text};
use crate::io::aws;
use crate::io::store::MAX_COMMENTS;
use crate::notify::{About, Digest, Look, MAX_MEMBERS, NoticeRow, Outcome, Phase, Said};
use crate::place::{Acknowledged, Comment};
use anyhow::{Context as _, Result, anyhow, bail};
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use windward_protocol::AlertPhase;

/// Index of the notices that are pending by target, in the order in which they are due.
pub(super) const DUE: &str = "due";
/// How long the counts of a minute are kept, seconds.
const COUNTS_KEPT_S: i64 = 24 * 3_600;
/// What a write asks for that holds only under our claim.
const OURS: &str = "attribute_exists(pending) AND due_ms = :ours";

fn pending(farm: &str, target: &str) -> AttributeValue {
    text(format!("{farm}#{target}"))
}

fn item_of(row: &NoticeRow) -> Result<Item> {
    let mut item = key(&row.farm, &row.sort);
    item.extend([
        ("target".into(), text(&row.target)),
        ("phase".into(), text(row.phase.name())),
        ("created_ms".into(), number(row.created_ms)),
        ("due_ms".into(), number(row.due_ms)),
        ("attempts".into(), number(row.attempts.into())),
        ("about".into(), text(serde_json::to_string(&row.about)?)),
    ]);
    item.extend(row.said.as_ref().map(|said| ("said".into(), text(said.text()))));
    item.extend(row.told_ms.map(|told_ms| ("told_ms".into(), number(told_ms))));
    item.extend(row.is_pending().then(|| ("pending".into(), pending(&row.farm, &row.target))));
    Ok(item)
}

fn notice_of(item: &Item) -> Result<NoticeRow> {
    let sort = get_text(item, "sk").context("a notice without its key")?;
    let read = || {
        let about = get_text(item, "about")?;
        Some(NoticeRow {
            farm: get_text(item, "pk")?,
            sort: sort.clone(),
            target: get_text(item, "target")?,
            phase: Phase::named(&get_text(item, "phase")?)?,
            created_ms: get_i64(item, "created_ms")?,
            due_ms: get_i64(item, "due_ms")?,
            attempts: get_i64(item, "attempts")?.try_into().ok()?,
            said: get_text(item, "said").as_deref().map(Said::parse),
            told_ms: get_i64(item, "told_ms"),
            about: serde_json::from_str::<About>(&about).ok()?,
        })
    };
    read().ok_or_else(|| anyhow!("notice {sort}: cannot be read"))
}

/// The notice, if it can be read; of others the log tells.
fn readable(item: &Item) -> Option<NoticeRow> {
    notice_of(item).inspect_err(|error| tracing::error!("{error:#}")).ok()
}

/// Sends a conditional change. False: its condition did not hold.
async fn changed(update: UpdateItemFluentBuilder) -> Result<bool> {
    match update.send().await.map_err(|error| error.into_service_error()) {
        Ok(_) => Ok(true),
        Err(error) if error.is_conditional_check_failed_exception() => Ok(false),
        Err(error) => bail!("notices: {}", aws::explain(&error)),
    }
}

impl DynamoDb {
    pub(super) async fn insert_notices(&self, rows: &[NoticeRow]) -> Result<()> {
        let mut calls = Calls::new();
        for row in rows {
            let (store, row) = (self.clone(), row.clone());
            calls.spawn(async move { store.insert_notice(&row).await }).await?;
        }
        calls.finish().await?;
        Ok(())
    }

    /// One that is there stays.
    async fn insert_notice(&self, row: &NoticeRow) -> Result<()> {
        let put = self
            .client
            .put_item()
            .table_name(self.table("notices"))
            .set_item(Some(item_of(row)?))
            .condition_expression("attribute_not_exists(pk)")
            .send()
            .await;
        match put.map_err(|error| error.into_service_error()) {
            Ok(_) => Ok(()),
            Err(error) if error.is_conditional_check_failed_exception() => Ok(()),
            Err(error) => bail!("notices: {}", aws::explain(&error)),
        }
    }

    pub(in crate::io) async fn due_notices(
        &self,
        farm: &str,
        target: &str,
        now_ms: i64,
        limit: u32,
    ) -> Result<Vec<NoticeRow>> {
        let due = self
            .client
            .query()
            .table_name(self.table("notices"))
            .index_name(DUE)
            .key_condition_expression("pending = :pending AND due_ms <= :now")
            .expression_attribute_values(":pending", pending(farm, target))
            .expression_attribute_values(":now", number(now_ms))
            .limit(limit as i32)
            .send()
            .await
            .map_err(|error| anyhow!("notices: {}", aws::explain(&error)))?;
        Ok(due.items().iter().filter_map(readable).collect())
    }

    pub(in crate::io) async fn claim_notice(&self, row: &NoticeRow, now_ms: i64, until_ms: i64) -> Result<Outcome> {
        let claimed = self
            .change(row)
            .update_expression("SET due_ms = :until")
            .condition_expression("attribute_exists(pending) AND due_ms <= :now")
            .expression_attribute_values(":until", number(until_ms))
            .expression_attribute_values(":now", number(now_ms))
            .return_values(ReturnValue::AllNew)
            .send()
            .await;
        match claimed.map_err(|error| error.into_service_error()) {
            Ok(claimed) => {
                let item = claimed.attributes().context("a claim gives its item")?;
                Ok(Outcome::Claimed(Box::new(notice_of(item)?)))
            }
            Err(error) if error.is_conditional_check_failed_exception() => {
                let stands = self.notice(&row.farm, &row.sort).await?;
                Ok(if stands.is_some_and(|row| !row.is_pending()) { Outcome::Before } else { Outcome::Held })
            }
            Err(error) => bail!("notices: {}", aws::explain(&error)),
        }
    }

    pub(in crate::io) async fn look(&self, farm: &str, alert_sort: &str) -> Result<Look> {
        let alert = self.item("alerts", farm, alert_sort).await?.unwrap_or_default();
        let mut pages = self
            .client
            .query()
            .table_name(self.table("notices"))
            .consistent_read(true)
            .key_condition_expression("pk = :farm AND begins_with(sk, :alert)")
            .expression_attribute_values(":farm", text(farm))
            .expression_attribute_values(":alert", text(format!("{alert_sort}#")))
            .into_paginator()
            .items()
            .send();
        let mut notices = Vec::new();
        while let Some(item) = pages.next().await {
            let item = item.map_err(|error| anyhow!("notices: {}", aws::explain(&error)))?;
            notices.extend(readable(&item));
        }
        let cleared = alert.contains_key("cleared_ms");
        Ok(Look { cleared, acknowledged: alert.contains_key("acknowledged_by"), notices })
    }

    pub(in crate::io) async fn place_notice(
        &self,
        row: &NoticeRow,
        said: &Said,
        at_once: u32,
        digest: &NoticeRow,
    ) -> Result<Outcome> {
        let minute = digest.minute();
        let counted = self
            .client
            .update_item()
            .table_name(self.table("notices"))
            .set_key(Some(key(&row.farm, &format!("count#{}#{minute}", row.target))))
            .update_expression("ADD n :one SET #ttl = :ttl")
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":ttl", number(minute * 60 + COUNTS_KEPT_S))
            .return_values(ReturnValue::UpdatedNew)
            .send()
            .await
            .map_err(|error| anyhow!("notices: {}", aws::explain(&error)))?;
        let count = counted.attributes().and_then(|item| get_i64(item, "n")).context("a count gives its number")?;
        let (said, due_ms, outcome) = if count <= i64::from(at_once) {
            (said.clone(), row.due_ms, Outcome::Done)
        } else {
            // The digest first: a notice may not point at what is not there.
            self.insert_notice(digest).await?;
            (said.within(digest), digest.members_due_ms(), Outcome::Folded)
        };
        let place = self
            .change_of_ours(row, "SET said = :said, due_ms = :due")
            .expression_attribute_values(":said", text(said.text()))
            .expression_attribute_values(":due", number(due_ms));
        Ok(if changed(place).await? { outcome } else { Outcome::Held })
    }

    pub(in crate::io) async fn notice(&self, farm: &str, sort: &str) -> Result<Option<NoticeRow>> {
        self.item("notices", farm, sort).await?.as_ref().map(notice_of).transpose()
    }

    pub(in crate::io) async fn digest_members(&self, digest: &NoticeRow) -> Result<Vec<NoticeRow>> {
        let [began, gone] = digest.members_say();
        let mut pages = self
            .client
            .query()
            .table_name(self.table("notices"))
            .index_name(DUE)
            .key_condition_expression("pending = :pending AND due_ms = :due")
            .filter_expression("said IN (:began, :gone)")
            .expression_attribute_values(":pending", pending(&digest.farm, &digest.target))
            .expression_attribute_values(":due", number(digest.members_due_ms()))
            .expression_attribute_values(":began", text(began))
            .expression_attribute_values(":gone", text(gone))
            .into_paginator()
            .items()
            .send();
        let mut members = Vec::new();
        while members.len() < MAX_MEMBERS as usize
            && let Some(item) = pages.next().await
        {
            let item = item.map_err(|error| anyhow!("notices: {}", aws::explain(&error)))?;
            members.extend(readable(&item));
        }
        Ok(members)
    }

    pub(in crate::io) async fn seal_notice(&self, row: &NoticeRow, digest: &Digest) -> Result<Outcome> {
        let about = serde_json::to_string(&About::Digest(Some(digest.clone())))?;
        let seal = self.change_of_ours(row, "SET about = :about").expression_attribute_values(":about", text(about));
        ours(seal).await
    }

    pub(in crate::io) async fn mark_notices(
        &self,
        told: &[(NoticeRow, Option<NoticeRow>)],
        now_ms: i64,
    ) -> Result<Outcome> {
        let mut calls = Calls::new();
        for (row, follow) in told {
            let (store, row, follow) = (self.clone(), row.clone(), follow.clone());
            calls.spawn(async move { store.mark_notice(&row, follow, now_ms).await }).await?;
        }
        calls.finish().await?;
        Ok(Outcome::Done)
    }

    async fn mark_notice(&self, row: &NoticeRow, follow: Option<NoticeRow>, now_ms: i64) -> Result<()> {
        self.insert_notices(follow.as_slice()).await?;
        let mark = self
            .change(row)
            .update_expression("SET told_ms = if_not_exists(told_ms, :now) REMOVE pending")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_values(":now", number(now_ms));
        changed(mark).await?;
        if let (true, Some(sort)) = (row.phase == AlertPhase::Open.into(), row.alert_sort()) {
            let notified = self
                .client
                .update_item()
                .table_name(self.table("alerts"))
                .set_key(Some(key(&row.farm, &sort)))
                .update_expression("SET notified_ms = if_not_exists(notified_ms, :now)")
                .condition_expression("attribute_exists(pk)")
                .expression_attribute_values(":now", number(now_ms));
            changed(notified).await?;
        }
        Ok(())
    }

    pub(in crate::io) async fn drop_notice(&self, row: &NoticeRow) -> Result<Outcome> {
        let dropped = text(Said::Dropped.text());
        let drop = self.change_of_ours(row, "SET said = :said REMOVE pending");
        ours(drop.expression_attribute_values(":said", dropped)).await
    }

    pub(in crate::io) async fn postpone_notice(
        &self,
        row: &NoticeRow,
        due_ms: i64,
        attempts: u32,
        anew: bool,
    ) -> Result<Outcome> {
        let anew = if anew { " REMOVE said" } else { "" };
        let postpone = self
            .change_of_ours(row, &format!("SET due_ms = :due, attempts = :attempts{anew}"))
            .expression_attribute_values(":due", number(due_ms))
            .expression_attribute_values(":attempts", number(attempts.into()));
        ours(postpone).await
    }

    pub(in crate::io) async fn comment(&self, farm: &str, sort: &str, said: Comment) -> Result<bool> {
        let comment = self
            .client
            .update_item()
            .table_name(self.table("alerts"))
            .set_key(Some(key(farm, sort)))
            .update_expression("SET comments = list_append(if_not_exists(comments, :none), :said)")
            .condition_expression("attribute_exists(pk) AND (attribute_not_exists(comments) OR size(comments) < :most)")
            .expression_attribute_values(":none", AttributeValue::L(Vec::new()))
            .expression_attribute_values(":said", AttributeValue::L(vec![text(serde_json::to_string(&said)?)]))
            .expression_attribute_values(":most", number(MAX_COMMENTS as i64));
        changed(comment).await
    }

    pub(in crate::io) async fn acknowledge(
        &self,
        farm: &str,
        sort: &str,
        said: Acknowledged,
    ) -> Result<Option<Acknowledged>> {
        let acknowledge = self
            .client
            .update_item()
            .table_name(self.table("alerts"))
            .set_key(Some(key(farm, sort)))
            .update_expression("SET acknowledged_by = :by, acknowledged_ms = :at, note = :note")
            .condition_expression("attribute_exists(pk) AND attribute_not_exists(acknowledged_by)")
            .expression_attribute_values(":by", text(&said.by))
            .expression_attribute_values(":at", number(said.at_ms))
            .expression_attribute_values(":note", text(&said.note));
        if changed(acknowledge).await? {
            return Ok(Some(said));
        }
        Ok(self.item("alerts", farm, sort).await?.as_ref().and_then(acknowledged))
    }

    fn change(&self, row: &NoticeRow) -> UpdateItemFluentBuilder {
        self.client.update_item().table_name(self.table("notices")).set_key(Some(key(&row.farm, &row.sort)))
    }

    /// A change that holds only while our claim does.
    fn change_of_ours(&self, row: &NoticeRow, expression: &str) -> UpdateItemFluentBuilder {
        self.change(row)
            .update_expression(expression)
            .condition_expression(OURS)
            .expression_attribute_values(":ours", number(row.due_ms))
    }

    async fn item(&self, table: &str, pk: &str, sk: &str) -> Result<Option<Item>> {
        let get = self.client.get_item().table_name(self.table(table)).set_key(Some(key(pk, sk)));
        let got = get.consistent_read(true).send().await;
        Ok(got.map_err(|error| anyhow!("{table}: {}", aws::explain(&error)))?.item)
    }
}

async fn ours(update: UpdateItemFluentBuilder) -> Result<Outcome> {
    Ok(if changed(update).await? { Outcome::Done } else { Outcome::Held })
}
