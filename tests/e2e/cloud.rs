//! The tables, streams, topics and queues of ministack, seen by a client that is not the sink.

use anyhow::{Context as _, Result};
use aws_config::{BehaviorVersion, Region};
use aws_sdk_dynamodb::config::Credentials;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_kinesis::types::ShardIteratorType;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use std::collections::{BTreeMap, HashMap};
use windward_tests::peers::{CREDENTIALS, REGION};
use windward_tests::stored::{Stored, unpack};

/// Longest that one look into a queue waits for a message, s.
const LOOK_S: i32 = 1;

pub(crate) struct Cloud {
    dynamodb: aws_sdk_dynamodb::Client,
    kinesis: aws_sdk_kinesis::Client,
    sns: aws_sdk_sns::Client,
    sqs: aws_sdk_sqs::Client,
}

impl Cloud {
    pub(crate) async fn new(endpoint: &str) -> Self {
        let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        let [(_, key), (_, secret)] = CREDENTIALS;
        let config = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(http)
            .endpoint_url(endpoint)
            .region(Region::new(REGION))
            .credentials_provider(Credentials::new(key, secret, None, None, "test"))
            .load()
            .await;
        Self {
            dynamodb: aws_sdk_dynamodb::Client::new(&config),
            kinesis: aws_sdk_kinesis::Client::new(&config),
            sns: aws_sdk_sns::Client::new(&config),
            sqs: aws_sdk_sqs::Client::new(&config),
        }
    }

    /// A topic, and a queue subscribed to it; gives the topic's ARN and the queue's URL.
    pub(crate) async fn topic_and_queue(&self, name: &str) -> Result<(String, String)> {
        let mut topic = self.sns.create_topic().name(name);
        if name.ends_with(".fifo") {
            topic = topic.attributes("FifoTopic", "true");
        }
        let topic = topic.send().await?.topic_arn.context("a topic has an ARN")?;
        let queue = self.queue(&topic, name).await?;
        Ok((topic, queue))
    }

    /// A queue subscribed to a topic that is there; gives its URL.
    pub(crate) async fn queue(&self, topic: &str, name: &str) -> Result<String> {
        let mut queue = self.sqs.create_queue().queue_name(name);
        if name.ends_with(".fifo") {
            queue = queue.attributes(aws_sdk_sqs::types::QueueAttributeName::FifoQueue, "true");
        }
        let queue = queue.send().await?.queue_url.context("a queue has a URL")?;
        let wanted = aws_sdk_sqs::types::QueueAttributeName::QueueArn;
        let attributes =
            self.sqs.get_queue_attributes().queue_url(&queue).attribute_names(wanted.clone()).send().await?;
        let arn = attributes.attributes.and_then(|mut map| map.remove(&wanted)).context("a queue has an ARN")?;
        self.sns.subscribe().topic_arn(topic).protocol("sqs").endpoint(arn).send().await?;
        Ok(queue)
    }

    /// Takes what waits in the queue, at most ten messages, after a wait of at most a second: SNS notifications as JSON.
    pub(crate) async fn take(&self, queue: &str) -> Result<Vec<serde_json::Value>> {
        let received = self.sqs.receive_message().queue_url(queue).max_number_of_messages(10).wait_time_seconds(LOOK_S);
        let mut taken = Vec::new();
        for message in received.send().await?.messages.unwrap_or_default() {
            taken.push(serde_json::from_str(message.body().context("a message has a body")?)?);
            let handle = message.receipt_handle().context("a message has a handle")?;
            self.sqs.delete_message().queue_url(queue).receipt_handle(handle).send().await?;
        }
        Ok(taken)
    }

    /// Keys and indexes of the tables whose names begin so, by the rest of their names.
    pub(crate) async fn shapes(&self, prefix: &str) -> Result<BTreeMap<String, String>> {
        let mut shapes = BTreeMap::new();
        let mut names = self.dynamodb.list_tables().into_paginator().items().send();
        while let Some(name) = names.next().await {
            let name = name?;
            let Some(rest) = name.strip_prefix(prefix) else { continue };
            let described = self.dynamodb.describe_table().table_name(&name).send().await?;
            let table = described.table.context("a table has a description")?;
            let mut kinds: Vec<String> =
                table.attribute_definitions().iter().map(|known| format!("{known:?}")).collect();
            kinds.sort();
            let mut indexes: Vec<String> = table
                .global_secondary_indexes()
                .iter()
                .map(|index| format!("{:?} {:?} {:?}", index.index_name, index.key_schema, index.projection))
                .collect();
            indexes.sort();
            shapes.insert(rest.to_owned(), format!("{:?} {kinds:?} {indexes:?}", table.key_schema));
        }
        Ok(shapes)
    }

    /// A stream of two shards.
    pub(crate) async fn stream(&self, name: &str) -> Result<()> {
        self.kinesis.create_stream().stream_name(name).shard_count(2).send().await?;
        Ok(())
    }

    /// The texts of all records of a stream, in the order of each shard.
    pub(crate) async fn records(&self, stream: &str) -> Result<Vec<String>> {
        let mut records = Vec::new();
        let listed = self.kinesis.list_shards().stream_name(stream).send().await?;
        for shard in listed.shards() {
            let ask = self.kinesis.get_shard_iterator().stream_name(stream).shard_id(shard.shard_id());
            let mut next = ask.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await?.shard_iterator;
            while let Some(iterator) = next {
                let page = self.kinesis.get_records().shard_iterator(iterator).send().await?;
                next = page.next_shard_iterator.filter(|_| !page.records.is_empty());
                for record in page.records {
                    records.push(String::from_utf8(record.data.into_inner())?);
                }
            }
        }
        Ok(records)
    }

    /// All items of a table.
    pub(crate) async fn scan(&self, table: &str) -> Result<Vec<HashMap<String, AttributeValue>>> {
        let mut pages = self.dynamodb.scan().table_name(table).into_paginator().items().send();
        let mut items = Vec::new();
        while let Some(item) = pages.next().await {
            items.push(item?);
        }
        Ok(items)
    }

    /// The readings' items of one device, in the order of their keys.
    pub(crate) async fn items(&self, partition: &str) -> Result<Vec<HashMap<String, AttributeValue>>> {
        self.items_of("windward-readings", partition).await
    }

    /// The same, of any table.
    pub(crate) async fn items_of(&self, table: &str, partition: &str) -> Result<Vec<HashMap<String, AttributeValue>>> {
        let query = self
            .dynamodb
            .query()
            .table_name(table)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", AttributeValue::S(partition.into()));
        let mut pages = query.into_paginator().items().send();
        let mut items = Vec::new();
        while let Some(item) = pages.next().await {
            items.push(item?);
        }
        Ok(items)
    }
}

/// The rows packed into items.
pub(crate) fn rows(items: &[HashMap<String, AttributeValue>]) -> Result<Stored> {
    let mut stored = Stored::default();
    for item in items {
        let block = item.get("block").and_then(|block| block.as_b().ok()).context("an item holds its block")?;
        unpack(block.as_ref(), &mut stored)?;
    }
    Ok(stored)
}

/// The plain numbers of a channel in an item, by name.
pub(crate) fn numbers(item: &HashMap<String, AttributeValue>, channel: &str) -> Result<BTreeMap<String, f64>> {
    let channels = item.get("channels").and_then(|map| map.as_m().ok()).context("an item holds its channels")?;
    let numbers = channels.get(channel).and_then(|map| map.as_m().ok()).context("a channel holds its numbers")?;
    let number = |(name, value): (&String, &AttributeValue)| Some((name.clone(), value.as_n().ok()?.parse().ok()?));
    Ok(numbers.iter().filter_map(number).collect())
}
