//! Alerts to a webhook: one POST of JSON each.

use crate::config;
use crate::notify::Message;
use anyhow::{Context, Result};
use std::time::Duration;

/// One URL.
#[derive(Clone)]
pub struct Webhook {
    agent: ureq::Agent,
    url: String,
}

impl Webhook {
    /// A client. Nothing is asked of the receiver yet.
    pub fn new(config: &config::Webhook) -> Self {
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_millis(config.timeout_ms)))
            .user_agent(concat!("windward-sink/", env!("CARGO_PKG_VERSION")))
            .build();
        Self { agent: agent.into(), url: config.url.clone() }
    }

    /// Sends one message. Any answer but a success is an error.
    pub async fn post(&self, message: &Message) -> Result<()> {
        let (agent, url) = (self.agent.clone(), self.url.clone());
        let (body, key) = (message.json.to_string(), message.dedup_id.clone());
        let sent = tokio::task::spawn_blocking(move || {
            agent.post(&url).header("Content-Type", "application/json").header("Idempotency-Key", &key).send(&body)
        });
        sent.await?.with_context(|| format!("webhook {}", config::shown(&self.url)))?;
        Ok(())
    }
}
