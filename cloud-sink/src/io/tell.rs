//! Tells people of alerts: the steps of [`crate::notify`], done against store and targets.
//!
//! Each target has a worker of its own, so that none waits for another. The committer hands over what it has just
//! committed; what finds no room in the queue, is due later or was left by a crash is found in the store.

use super::clock::now_ms;
use super::mail::Mail;
#[cfg(feature = "aws")]
use super::sns::Sns;
use super::store::Store;
use super::webhook::Webhook;
use super::{Counts, Stop};
use crate::answer::TargetHealth;
use crate::config;
use crate::notify::{Ended, Message, NoticeRow, Outcome, Policy, Step, Telling};
use anyhow::{Context as _, Result};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

/// Most notices that wait for one target's worker. When full, the next look into the store finds the rest.
const QUEUE: usize = 64;
/// Time between two looks into the store for what is due.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Most notices that one look takes.
const PAGE: u32 = 100;

/// A client for one target.
#[derive(Clone)]
enum Target {
    #[cfg(feature = "aws")]
    Sns(Sns),
    Webhook(Webhook),
    Mail(Box<Mail>),
}

/// How a target has done since the start.
#[derive(Debug, Default)]
struct Health {
    told: AtomicU64,
    failed: AtomicU64,
    /// Since when it takes nothing, ms, and why.
    failing: Mutex<Option<(i64, String)>>,
}

/// Everything that telling needs.
#[derive(Clone)]
pub(super) struct Notifier {
    farm: Arc<str>,
    store: Store,
    policy: Arc<Policy>,
    targets: Arc<BTreeMap<String, (Target, Health)>>,
    counts: Arc<Counts>,
}

/// The way to the workers.
pub(super) struct Queues {
    queues: BTreeMap<String, mpsc::Sender<NoticeRow>>,
}

impl Queues {
    /// Hands over what has just been committed, as far as it is due and there is room.
    pub(super) fn hand(&self, notices: Vec<NoticeRow>) {
        let now_ms = now_ms();
        for notice in notices.into_iter().filter(|notice| notice.due_ms <= now_ms) {
            if let Some(queue) = self.queues.get(&notice.target)
                && queue.try_send(notice).is_err()
            {
                tracing::debug!("many are to be told at once; the rest follows from the store");
            }
        }
    }
}

impl Notifier {
    /// Clients for the targets. Nothing is asked of them yet.
    pub(super) async fn open(farm: String, store: Store, config: &config::Notify, counts: Arc<Counts>) -> Result<Self> {
        let mut targets = BTreeMap::new();
        for (name, target) in &config.targets {
            let client = Target::open(target).await.with_context(|| format!("target {name}"))?;
            targets.insert(name.clone(), (client, Health::default()));
        }
        let policy = Arc::new(config.policy.clone());
        Ok(Self { farm: farm.into(), store, policy, targets: Arc::new(targets), counts })
    }

    /// Tells what has just been committed, and is due, each target beside the others: for a sink that has no workers.
    #[cfg(feature = "aws")]
    pub(super) async fn tell_now(&self, notices: Vec<NoticeRow>) {
        let now_ms = now_ms();
        let mut of_targets: BTreeMap<String, Vec<NoticeRow>> = BTreeMap::new();
        for notice in notices.into_iter().filter(|notice| notice.due_ms <= now_ms) {
            of_targets.entry(notice.target.clone()).or_default().push(notice);
        }
        let mut targets = JoinSet::new();
        for notices in of_targets.into_values() {
            let notifier = self.clone();
            targets.spawn(async move {
                for notice in notices {
                    notifier.tell(notice).await;
                }
            });
        }
        targets.join_all().await;
    }

    /// Tells what the store has that is due now, each target beside the others.
    #[cfg(feature = "aws")]
    pub(super) async fn tell_due(&self) -> Result<()> {
        let (_running, stop) = watch::channel(Stop::Run);
        let mut targets = JoinSet::new();
        for name in self.targets.keys() {
            let (notifier, name, stop) = (self.clone(), name.clone(), stop.clone());
            targets.spawn(async move { notifier.tell_due_to(&name, &stop).await });
        }
        while let Some(told) = targets.join_next().await {
            told??;
        }
        Ok(())
    }

    /// Starts a worker for each target. They end after the committer, with what it has handed over.
    pub(super) fn run(self, stop: watch::Receiver<Stop>) -> (Queues, JoinHandle<()>) {
        let (mut queues, mut workers) = (BTreeMap::new(), JoinSet::new());
        for name in self.targets.keys() {
            let (queue, handed) = mpsc::channel(QUEUE);
            queues.insert(name.clone(), queue);
            workers.spawn(self.clone().work(name.clone(), handed, stop.clone()));
        }
        let mut stop = stop;
        let all = async move {
            // Without a target there is no worker, and that is no fault.
            if stop.wait_for(|stop| *stop != Stop::Run).await.is_err() {
                tracing::debug!("the sink is gone");
            }
            while let Some(ended) = workers.join_next().await {
                if let Err(error) = ended {
                    tracing::error!("a notifier's worker: {error}");
                }
            }
        };
        (Queues { queues }, tokio::spawn(all))
    }

    async fn work(self, target: String, mut handed: mpsc::Receiver<NoticeRow>, stop: watch::Receiver<Stop>) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                notice = handed.recv() => match notice {
                    Some(notice) => { self.tell(notice).await; }
                    // The committer has ended, and will hand over nothing more.
                    None => return,
                },
                _ = look.tick() => {
                    // What is not taken now is taken at the next look, so that what is handed over does not wait.
                    if let Err(error) = self.tell_due_to(&target, &stop).await {
                        tracing::error!(target, "what is due to be told: {error:#}");
                    }
                }
            }
        }
    }

    async fn tell_due_to(&self, target: &str, stop: &watch::Receiver<Stop>) -> Result<()> {
        for notice in self.store.due_notices(&self.farm, target, now_ms(), PAGE).await? {
            if *stop.borrow() != Stop::Run {
                break;
            }
            self.tell(notice).await;
        }
        Ok(())
    }

    /// Goes through the steps of one notice, as far as they lead now.
    async fn tell(&self, notice: NoticeRow) -> Ended {
        let mut telling = Telling::begin(notice);
        loop {
            let done = match &telling.step {
                Step::Over(ended) => {
                    if *ended == Ended::Told {
                        self.counts.told.fetch_add(1, Ordering::Relaxed);
                    }
                    return *ended;
                }
                Step::Publish => self.publish(&telling.row).await,
                _ => self.store.perform(&telling, self.policy.at_once, now_ms()).await,
            };
            let outcome = done.unwrap_or_else(|error| {
                let (notice, target) = (&telling.row.sort, &telling.row.target);
                if telling.row.is_overdue(now_ms()) {
                    tracing::error!(notice, target, "nobody has been told of it for more than a day: {error:#}");
                } else {
                    tracing::warn!(notice, target, "telling failed: {error:#}");
                }
                Outcome::Failed
            });
            telling.take(outcome, &self.policy, now_ms());
        }
    }

    async fn publish(&self, row: &NoticeRow) -> Result<Outcome> {
        let (target, health) = self.targets.get(&row.target).context("no such target is configured")?;
        let message = row.message(self.policy.page.as_deref()).context("a digest that is not sealed")?;
        let published = target.publish(&message).await;
        let mut failing = health.failing.lock().unwrap_or_else(PoisonError::into_inner);
        match &published {
            Ok(()) => {
                health.told.fetch_add(1, Ordering::Relaxed);
                *failing = None;
            }
            Err(error) => {
                health.failed.fetch_add(1, Ordering::Relaxed);
                self.counts.untold.fetch_add(1, Ordering::Relaxed);
                let since_ms = failing.as_ref().map_or_else(now_ms, |(since_ms, _)| *since_ms);
                *failing = Some((since_ms, format!("{error:#}")));
            }
        }
        published.map(|()| Outcome::Done)
    }

    /// How each target does, as JSON.
    pub(super) fn health(&self) -> BTreeMap<String, TargetHealth> {
        let of_each = self.targets.iter().map(|(name, (_, health))| {
            let failing = health.failing.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let (failing_since_ms, error) = failing.unzip();
            let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
            let (messages, failed) = (read(&health.told), read(&health.failed));
            (name.clone(), TargetHealth { messages, failed, failing_since_ms, error })
        });
        of_each.collect()
    }
}

impl Target {
    #[cfg_attr(not(feature = "aws"), allow(clippy::unused_async, reason = "SNS alone is waited for"))]
    async fn open(config: &config::Target) -> Result<Self> {
        Ok(match config {
            #[cfg(feature = "aws")]
            config::Target::Sns(sns) => Target::Sns(Sns::open(sns).await),
            #[cfg(not(feature = "aws"))]
            config::Target::Sns(_) => anyhow::bail!("this program was built without SNS (feature `aws`)"),
            config::Target::Webhook(webhook) => Target::Webhook(Webhook::new(webhook)),
            config::Target::Mail(mail) => Target::Mail(Box::new(Mail::new(mail)?)),
        })
    }

    async fn publish(&self, message: &Message) -> Result<()> {
        match self {
            #[cfg(feature = "aws")]
            Target::Sns(sns) => sns.publish(message).await,
            Target::Webhook(webhook) => webhook.post(message).await,
            Target::Mail(mail) => mail.send(message).await,
        }
    }
}
