//! Alerts to an SNS topic.

use super::aws;
use crate::config;
use crate::notify::Message;
use anyhow::{Context, Result, anyhow};
use aws_sdk_sns::Client;
use aws_sdk_sns::types::MessageAttributeValue;

/// One topic.
#[derive(Clone)]
pub struct Sns {
    client: Client,
    topic: String,
}

impl Sns {
    /// A client. Nothing is asked of the service yet.
    pub async fn open(config: &config::Sns) -> Self {
        // The topic's own region serves unless another is given: `arn:aws:sns:<region>:…`.
        let region = config.region.as_deref().or_else(|| config.topic.split(':').nth(3));
        let shared = aws::load(config.endpoint.as_deref(), region).await;
        Self { client: Client::new(&shared), topic: config.topic.clone() }
    }

    /// Sends one message.
    pub async fn publish(&self, message: &Message) -> Result<()> {
        let mut publish = self.client.publish().topic_arn(&self.topic).subject(&message.subject).message(&message.body);
        for (name, value) in &message.attributes {
            let value = MessageAttributeValue::builder().data_type("String").string_value(value);
            publish = publish.message_attributes(name, value.build()?);
        }
        if self.topic.ends_with(".fifo") {
            publish = publish.message_deduplication_id(&message.dedup_id).message_group_id(&message.group_id);
        }
        let sent = publish.send().await;
        sent.map_err(|error| anyhow!("{}", aws::explain(&error)))
            .with_context(|| format!("SNS topic {}", self.topic))?;
        Ok(())
    }

    /// Whether the topic is there and may be read.
    pub async fn check(&self) -> Result<String> {
        let asked = self.client.get_topic_attributes().topic_arn(&self.topic).send().await;
        asked.map_err(|error| anyhow!("{}: {}", self.topic, aws::explain(&error)))?;
        Ok(self.topic.clone())
    }
}
