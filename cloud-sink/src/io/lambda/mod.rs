//! The sink as a function of AWS Lambda: nothing of it lives on between invocations but what it need not look up again.
//!
//! | invoked by | is done with it | answer |
//! |---|---|---|
//! | Kinesis, by an event source mapping with `ReportBatchItemFailures` | stored in order | the first record that is not stored: Kinesis gives it and all behind it again |
//! | an IoT rule, one publish each | stored, acks published to the agent (A3) | an error if it is not stored: what has no ack the agent sends again |
//! | a schedule | what a sink that lives does by itself from time to time: tell what is due, look who is silent, archive | none |
//!
//! People are told of what an invocation has stored as far as its time allows, and of the rest by the next one that a
//! schedule makes.
//!
//! Every invocation may run beside others, twice, or end in the middle: rows and telling are made for that (S2).

mod event;
#[cfg(test)]
#[path = "../../../../tests/fuzz/checks/events.rs"]
mod events;

#[cfg(feature = "archive")]
use super::archive::Archiver;
use super::intake::Intake;
use super::labs::Labs;
use super::presence::{Lookout, presence_once};
use super::store::Store;
use super::tell::Notifier;
use super::{Counts, GROUP, aws, clock};
use crate::config::{self, Config};
use crate::decode::Delivery;
use crate::sink::{self, Plan};
use anyhow::{Context as _, Result, anyhow, ensure};
use aws_sdk_iotdataplane::Client;
use aws_sdk_iotdataplane::primitives::Blob;
use event::{Event, Record};
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::{Value as Json, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::timeout;
use windward_protocol::{Ack, AgentId, topic};

/// What is left of an invocation's time for its answer, ms.
const ANSWER_MS: i64 = 1_000;

/// Serves invocations until Lambda ends the process.
pub async fn serve(config: Config) -> Result<()> {
    ensure!(
        std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_some(),
        "AWS_LAMBDA_RUNTIME_API is not set: only AWS Lambda starts this; `windward-sink run` is for everywhere else"
    );
    let function = Arc::new(Mutex::new(Function::open(config).await?));
    let serving = lambda_runtime::run(service_fn(move |LambdaEvent { payload, context }: LambdaEvent<Json>| {
        let function = function.clone();
        async move {
            let (deadline, now_ms) = (context.deadline as i64, clock::now_ms());
            // Lambda says until when, cargo-lambda for how long.
            let until_ms = if deadline < now_ms { now_ms.saturating_add(deadline) } else { deadline };
            let answer = function.lock().await.invoked(payload, until_ms - ANSWER_MS).await;
            answer.map_err(|error| {
                tracing::error!("{error:#}");
                lambda_runtime::Error::from(format!("{error:#}"))
            })
        }
    }));
    serving.await.map_err(|error| anyhow!("{error}"))
}

struct Function {
    farm: String,
    intake: Intake,
    notifier: Notifier,
    lookout: Lookout,
    #[cfg(feature = "archive")]
    archiver: Option<Archiver>,
    iot: Client,
}

impl Function {
    async fn open(config: Config) -> Result<Self> {
        let lambda = config.lambda.clone().context("[lambda] is missing")?;
        ensure!(matches!(config.store, config::Store::DynamoDb(_)), "store: Lambda keeps no files; use dynamodb");
        let (store, farm) = (Store::open(&config.store).await?, config.farm.clone());
        let intake = Intake::new(farm.clone(), config.notify.policy.clone(), store.clone());
        Ok(Self {
            intake: match &config.labs {
                Some(labs) => intake.with_labs(Labs::open(labs).await),
                None => intake,
            },
            notifier: Notifier::open(farm.clone(), store.clone(), &config.notify, Arc::<Counts>::default()).await?,
            lookout: Lookout::new(store.clone(), &config),
            #[cfg(feature = "archive")]
            archiver: match &config.archive {
                Some(archive) => Some(Archiver::open(store, farm.clone(), archive).await.context("archive")?),
                None => None,
            },
            farm,
            iot: Client::new(&aws::load(lambda.iot_endpoint.as_deref(), None).await),
        })
    }

    async fn invoked(&mut self, event: Json, until_ms: i64) -> Result<Json> {
        match Event::read(event).map_err(|reason| anyhow!("{reason}"))? {
            Event::Records(records) => {
                let failed = self.records(&records, until_ms).await;
                let failures = failed.iter().map(|first| json!({ "itemIdentifier": records[*first].sequence }));
                Ok(json!({ "batchItemFailures": failures.collect::<Vec<_>>() }))
            }
            Event::Publish(delivery) => self.publish(delivery, until_ms).await.map(|()| Json::Null),
            Event::Scheduled => self.scheduled(until_ms).await.map(|()| Json::Null),
        }
    }

    /// What a sink that lives does from time to time by itself. One that fails does not hold the others up.
    async fn scheduled(&self, until_ms: i64) -> Result<()> {
        // Its source is always there: it is the schedule that is heard.
        let presence = in_time(until_ms, presence_once(&self.lookout, Some(0), clock::now_ms())).await;
        let told = in_time(until_ms, self.notifier.tell_due()).await;
        #[cfg(feature = "archive")]
        if let Some(archiver) = &self.archiver {
            // What it has not come to, the next invocation goes on with.
            match in_time(until_ms, archiver.round()).await {
                Ok(round) => tracing::info!(farm = self.farm, ?round, "archived"),
                Err(error) => tracing::warn!(farm = self.farm, "archive: {error:#}"),
            }
        }
        presence.context("presence")?;
        told.context("telling")
    }

    /// Gives the index of the first record that is not stored.
    async fn records(&mut self, records: &[Record], until_ms: i64) -> Option<usize> {
        for (index, group) in records.chunks(GROUP).enumerate() {
            let deliveries: Vec<Delivery> = group.iter().map(|record| record.delivery.clone()).collect();
            if let Err(error) = self.take(&deliveries, until_ms).await {
                tracing::error!(sequence = group[0].sequence, "commit: {error:#}");
                return Some(index * GROUP);
            }
        }
        None
    }

    async fn publish(&mut self, delivery: Delivery, until_ms: i64) -> Result<()> {
        let plan = self.take(&[delivery], until_ms).await?;
        for (agent, ack) in sink::acks(plan.deliveries.iter().flat_map(|remaining| &remaining.placed)) {
            self.ack(&agent, &ack).await;
        }
        Ok(())
    }

    /// Makes deliveries durable, once, for Lambda tries again by itself; and tells people what is now due.
    async fn take(&mut self, deliveries: &[Delivery], until_ms: i64) -> Result<Plan> {
        let (mut plan, tally) = in_time(until_ms, self.intake.take(deliveries)).await?;
        tracing::info!(deliveries = deliveries.len(), ?tally, poison = plan.rows.poison.len(), "stored");
        let notices = std::mem::take(&mut plan.rows.notices);
        let telling = async {
            self.notifier.tell_now(notices).await;
            Ok(())
        };
        if let Err(error) = in_time(until_ms, telling).await {
            tracing::warn!("telling people: {error:#}; it goes on with the next schedule");
        }
        Ok(plan)
    }

    /// Tells an agent what is committed (A3).
    async fn ack(&self, agent: &AgentId, ack: &Ack) {
        let publish = self.iot.publish().topic(topic::ack(agent)).qos(0).payload(Blob::new(ack.encode()));
        if let Err(error) = publish.send().await {
            tracing::warn!(%agent, "ack: {}; the agent sends again", aws::explain(&error));
        }
    }
}

/// Ends what would take longer than the invocation may.
async fn in_time<T>(until_ms: i64, work: impl Future<Output = Result<T>>) -> Result<T> {
    let left = Duration::from_millis(until_ms.saturating_sub(clock::now_ms()).max(0) as u64);
    timeout(left, work).await.unwrap_or_else(|_| Err(anyhow!("the invocation's time has run out")))
}
