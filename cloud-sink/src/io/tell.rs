//! Tells people of alerts, beside the readings: the steps of [`crate::notify`], done against store and targets.

use super::clock::now_ms;
#[cfg(feature = "aws")]
use super::sns::Sns;
use super::store::{Claim, Store};
use super::webhook::Webhook;
use crate::config;
use crate::notify::{CLAIM_MS, Message, Next, Notice, Step, StepResult, Target, next};
use anyhow::Context as _;
use std::time::Duration;

/// Attempts at one notice before its alert is left to the agent, which sends it again because its ack is missing.
const ATTEMPTS: u32 = 7;
/// First pause between attempts; doubles each time, so that the last comes after a claim left by a crash has ended.
const PAUSE: Duration = Duration::from_millis(500);

/// The targets that are configured.
#[derive(Clone)]
pub struct Teller {
    store: Store,
    #[cfg(feature = "aws")]
    sns: Option<Sns>,
    webhook: Option<Webhook>,
}

impl Teller {
    /// Clients for the targets.
    #[cfg_attr(not(feature = "aws"), allow(clippy::unused_async, reason = "SNS alone is waited for"))]
    pub async fn open(store: Store, config: &config::Notify) -> Self {
        Self {
            store,
            #[cfg(feature = "aws")]
            sns: match &config.sns {
                Some(sns) => Some(Sns::open(sns).await),
                None => None,
            },
            webhook: config.webhook.as_ref().map(Webhook::new),
        }
    }

    /// Tells one notice. False: it could not be told now.
    pub async fn tell(&self, notice: &Notice) -> bool {
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                tokio::time::sleep(PAUSE * 2u32.pow(attempt - 1)).await;
            }
            if self.attempt(notice).await {
                return true;
            }
        }
        false
    }

    async fn attempt(&self, notice: &Notice) -> bool {
        let mut step = Step::Claim;
        loop {
            let result = self.perform(step, notice).await.unwrap_or_else(|error| {
                let alert = &notice.message.dedup_id;
                tracing::warn!(alert, ?step, target = ?notice.target, "telling of an alert failed: {error:#}");
                StepResult::Failed
            });
            match next(step, result) {
                Next::Do(following) => step = following,
                Next::Told => return true,
                Next::Later => return false,
            }
        }
    }

    async fn perform(&self, step: Step, notice: &Notice) -> anyhow::Result<StepResult> {
        match step {
            Step::Claim => {
                let now_ms = now_ms();
                return Ok(match self.store.claim(notice, now_ms, now_ms + CLAIM_MS).await? {
                    Claim::Ours => StepResult::Done,
                    Claim::ToldBefore => StepResult::ToldBefore,
                    Claim::Held => StepResult::Held,
                });
            }
            Step::Publish => match notice.target {
                Target::Sns => self.publish(&notice.message).await?,
                Target::Webhook => {
                    let webhook = self.webhook.as_ref().context("no webhook is configured")?;
                    webhook.post(&notice.message).await?
                }
            },
            Step::Mark => self.store.mark(notice, now_ms()).await?,
            Step::Release => self.store.release(notice).await?,
        }
        Ok(StepResult::Done)
    }

    #[cfg(feature = "aws")]
    async fn publish(&self, message: &Message) -> anyhow::Result<()> {
        self.sns.as_ref().context("no SNS topic is configured")?.publish(message).await
    }

    #[cfg(not(feature = "aws"))]
    #[allow(clippy::unused_async, reason = "stands for the one that waits")]
    async fn publish(&self, _: &Message) -> anyhow::Result<()> {
        anyhow::bail!("this program was built without SNS (feature `aws`)")
    }
}
