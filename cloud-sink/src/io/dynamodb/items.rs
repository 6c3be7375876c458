//! Rows to items and back, and DynamoDB's attribute values.

use crate::io::store::Summary;
use crate::place::{Acknowledged, AlertRow, ChannelSummary, Comment, LEDGER_BUCKET, LedgerRow, ReadingsRow, StatsRow};
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use std::collections::HashMap;
use windward_protocol::{SeqRange, SeqSet};

/// One item.
pub(super) type Item = HashMap<String, AttributeValue>;

/// Least and greatest magnitude of a DynamoDB number; outside of it the whole write is refused.
const MAGNITUDE: std::ops::Range<f64> = 1e-130..1e126;

/// Text.
pub(super) fn text(text: impl AsRef<str>) -> AttributeValue {
    AttributeValue::S(text.as_ref().to_string())
}

/// A whole number.
pub(super) fn number(number: i64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// A number, if DynamoDB can hold it.
pub(super) fn finite(number: f64) -> Option<AttributeValue> {
    match number.abs() {
        size if size == 0.0 || (1e-6..1e15).contains(&size) => Some(AttributeValue::N(number.to_string())),
        size if MAGNITUDE.contains(&size) => Some(AttributeValue::N(format!("{number:e}"))),
        _ => None,
    }
}

/// Text of an item.
pub(super) fn get_text(item: &Item, name: &str) -> Option<String> {
    item.get(name)?.as_s().ok().cloned()
}

/// A whole number of an item.
pub(super) fn get_i64(item: &Item, name: &str) -> Option<i64> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

/// A number of an item.
pub(super) fn get_number(item: &Item, name: &str) -> Option<f64> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

/// Bytes of an item; empty when there are none.
pub(super) fn get_bytes(item: &Item, name: &str) -> Vec<u8> {
    let blob = item.get(name).and_then(|value| value.as_b().ok());
    blob.map(|blob| blob.as_ref().to_vec()).unwrap_or_default()
}

/// A block's item.
pub(super) fn readings_item(row: &ReadingsRow) -> Item {
    let summary = |channel: &ChannelSummary| {
        let mut map = Item::from([("unit".into(), text(&channel.unit)), ("n".into(), number(i64::from(channel.n)))]);
        for (name, value) in [
            ("min", channel.min),
            ("mean", channel.mean),
            ("max", channel.max),
            ("std", channel.std),
            ("last", channel.last),
            ("max_score", channel.max_score),
        ] {
            map.extend(value.and_then(finite).map(|value| (name.to_string(), value)));
        }
        (channel.name.clone(), AttributeValue::M(map))
    };
    Item::from([
        ("agent".into(), text(row.agent.as_str())),
        ("device".into(), text(&row.device)),
        ("location".into(), text(&row.location)),
        ("first_ms".into(), number(row.first_ms)),
        ("last_ms".into(), number(row.last_ms)),
        ("n".into(), number(i64::from(row.n))),
        ("synced".into(), AttributeValue::Bool(row.synced)),
        ("channels".into(), AttributeValue::M(row.channels.iter().map(summary).collect())),
        ("block".into(), AttributeValue::B(Blob::new(row.block.clone()))),
    ])
}

/// What a block's item says of its channels.
pub(super) fn summary(item: &Item) -> Summary {
    let channel = |(name, map): (&String, &AttributeValue)| {
        let map = map.as_m().ok()?;
        Some(ChannelSummary {
            name: name.clone(),
            unit: get_text(map, "unit").unwrap_or_default(),
            n: get_i64(map, "n").and_then(|n| u32::try_from(n).ok()).unwrap_or_default(),
            min: get_number(map, "min"),
            mean: get_number(map, "mean"),
            max: get_number(map, "max"),
            std: get_number(map, "std"),
            last: get_number(map, "last"),
            max_score: get_number(map, "max_score"),
        })
    };
    let channels = item.get("channels").and_then(|channels| channels.as_m().ok());
    Summary {
        first_ms: get_i64(item, "first_ms").unwrap_or_default(),
        last_ms: get_i64(item, "last_ms").unwrap_or_default(),
        channels: channels.into_iter().flatten().filter_map(channel).collect(),
    }
}

/// The item of statistics.
pub(super) fn stats_item(row: &StatsRow) -> Item {
    let mut item = Item::from([
        ("unit".into(), text(&row.unit)),
        ("window_ms".into(), number(i64::from(row.window_ms))),
        ("n".into(), number(i64::from(row.n))),
        ("due".into(), number(i64::from(row.due))),
    ]);
    for (name, value) in [
        ("mean", row.mean),
        ("min", row.min),
        ("max", row.max),
        ("std", row.std),
        ("turbulence", row.turbulence),
        ("gust_3s", row.gust_3s),
    ] {
        item.extend(value.and_then(finite).map(|value| (name.to_string(), value)));
    }
    item
}

/// A row of statistics.
pub(super) fn stats_row(item: &Item) -> StatsRow {
    let text = |name| get_text(item, name).unwrap_or_default();
    let count = |name| get_i64(item, name).and_then(|count| u32::try_from(count).ok()).unwrap_or_default();
    StatsRow {
        partition: text("pk"),
        sort: text("sk"),
        unit: text("unit"),
        window_ms: count("window_ms"),
        n: count("n"),
        due: count("due"),
        mean: get_number(item, "mean"),
        min: get_number(item, "min"),
        max: get_number(item, "max"),
        std: get_number(item, "std"),
        turbulence: get_number(item, "turbulence"),
        gust_3s: get_number(item, "gust_3s"),
    }
}

/// An alert's row.
pub(super) fn alert_row(item: &Item) -> AlertRow {
    let text = |name| get_text(item, name).unwrap_or_default();
    AlertRow {
        sort: text("sk"),
        agent: text("agent"),
        id: u64::from_str_radix(&text("id"), 16).unwrap_or_default(),
        location: text("location"),
        device: text("device"),
        channel: text("channel"),
        kind: text("kind"),
        severity: text("severity"),
        opened_ms: get_i64(item, "opened_ms").unwrap_or_default(),
        at_ms: get_i64(item, "at_ms").unwrap_or_default(),
        cleared_ms: get_i64(item, "cleared_ms"),
        value: get_number(item, "value"),
        unit: text("unit"),
        wind_speed: get_number(item, "wind_speed"),
        anomaly_score: get_number(item, "anomaly_score"),
        threshold: get_number(item, "threshold"),
        evidence: text("evidence"),
        notified_ms: get_i64(item, "notified_ms"),
        acknowledged: acknowledged(item),
        comments: comments(item),
    }
}

/// What people have said of an alert, each as JSON.
fn comments(item: &Item) -> Vec<Comment> {
    let all = item.get("comments").and_then(|comments| comments.as_l().ok());
    let one = |comment: &AttributeValue| serde_json::from_str(comment.as_s().ok()?).ok();
    all.into_iter().flatten().filter_map(one).collect()
}

/// Who has acknowledged an alert.
pub(super) fn acknowledged(item: &Item) -> Option<Acknowledged> {
    Some(Acknowledged {
        by: get_text(item, "acknowledged_by")?,
        at_ms: get_i64(item, "acknowledged_ms")?,
        note: get_text(item, "note").unwrap_or_default(),
    })
}

/// A bucket's ranges as the members of a string set, `first-last` from the bucket's start. Ranges and not numbers,
/// because an item is paid by its length at every addition.
pub(super) fn ranges(row: &LedgerRow) -> AttributeValue {
    let start = row.bucket * LEDGER_BUCKET;
    let member = |range: SeqRange| format!("{}-{}", range.first - start, range.last - start);
    AttributeValue::Ss(row.seen.ranges().map(member).collect())
}

/// Adds what a bucket's string set holds to `seen`.
pub(super) fn members(bucket: u64, value: Option<&AttributeValue>, seen: &mut SeqSet) {
    let start = bucket.saturating_mul(LEDGER_BUCKET);
    let members = value.and_then(|value| value.as_ss().ok());
    for (first, last) in members.into_iter().flatten().filter_map(|member| ends(member)) {
        if first <= last && last < LEDGER_BUCKET {
            seen.insert(SeqRange { first: start + first, last: start + last });
        }
    }
}

fn ends(member: &str) -> Option<(u64, u64)> {
    let (first, last) = member.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

/// A bucket's key.
pub(super) fn ledger_key(row: &LedgerRow) -> Item {
    key(&row.partition, &format!("{:020}", row.bucket))
}

/// A key with a sort key.
pub(super) fn key(pk: &str, sk: &str) -> Item {
    Item::from([("pk".into(), text(pk)), ("sk".into(), text(sk))])
}
