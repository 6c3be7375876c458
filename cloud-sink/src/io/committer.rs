//! Commits what comes in, group by group, and acks it.

use super::api::live::Live;
use super::intake::Intake;
use super::pulse::beats;
use super::source::{Incoming, Reply};
use super::tell::Queues;
use super::{Counts, GROUP, Stop};
use crate::decode::Delivery;
use crate::sink::{self, Plan, Tally};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// Pause before a failed commit is tried again, and the longest.
const PAUSE_MS: (u64, u64) = (250, 10_000);

/// The one who commits.
pub(super) struct Committer {
    pub(super) intake: Intake,
    pub(super) queues: Queues,
    pub(super) counts: Arc<Counts>,
    pub(super) live: Live,
}

impl Committer {
    /// Commits until the sink stops and nothing more waits.
    pub(super) async fn run(mut self, mut incoming: mpsc::Receiver<Incoming>, mut stop: watch::Receiver<Stop>) {
        let (mut group, mut beats) = (Vec::with_capacity(GROUP), beats());
        loop {
            self.counts.pulse.committer.turn();
            tokio::select! {
                biased;
                taken = incoming.recv_many(&mut group, GROUP) => if taken == 0 { break },
                // Only once the queue is empty: what was taken is finished.
                _ = stop.wait_for(|stop| *stop != Stop::Run) => break,
                _ = beats.tick() => continue,
            }
            let (deliveries, replies): (Vec<Delivery>, Vec<Reply>) =
                group.drain(..).map(|incoming| (incoming.delivery, incoming.reply)).unzip();
            if let Some(plan) = self.take(&deliveries, &stop).await {
                self.answer(plan, &replies).await;
            }
        }
    }

    /// Makes deliveries durable. `None`: the sink is stopping and the store still fails.
    async fn take(&mut self, deliveries: &[Delivery], stop: &watch::Receiver<Stop>) -> Option<Plan> {
        let mut pause = PAUSE_MS.0;
        loop {
            match self.intake.take(deliveries).await {
                Ok((plan, tally)) => {
                    self.count(&plan, tally);
                    return Some(plan);
                }
                Err(error) => {
                    self.counts.commits_failed.fetch_add(1, Ordering::Relaxed);
                    tracing::error!(again_ms = pause, "commit: {error:#}");
                }
            }
            if *stop.borrow() != Stop::Run {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(pause)).await;
            // It is the store that fails, which a new start would not mend.
            self.counts.pulse.committer.turn();
            pause = (pause * 2).min(PAUSE_MS.1);
        }
    }

    /// S1: from here on the rows are durable, and with them that people will be told.
    async fn answer(&self, mut plan: Plan, replies: &[Reply]) {
        self.queues.hand(std::mem::take(&mut plan.rows.notices));
        // A broker wants its PUBACKs in the order of its deliveries (MQTT 5, section 4.6).
        for reply in replies {
            reply.stored().await;
        }
        let waited_for = || plan.deliveries.iter().zip(replies).filter(|(_, reply)| reply.reaches_agents());
        if let Some((_, reply)) = waited_for().last() {
            for (agent, ack) in sink::acks(waited_for().flat_map(|(remaining, _)| &remaining.placed)) {
                reply.ack(&agent, &ack).await;
            }
        }
        // People and agents do not wait for pages.
        self.live.committed(&plan.rows);
    }

    fn count(&self, plan: &Plan, tally: Tally) {
        let add = |count: &AtomicU64, more: u64| count.fetch_add(more, Ordering::Relaxed);
        add(&self.counts.deliveries, plan.deliveries.len() as u64);
        add(&self.counts.envelopes, tally.envelopes);
        add(&self.counts.readings, tally.readings);
        add(&self.counts.repeated, tally.repeated);
        add(&self.counts.alerts, plan.rows.alerts.len() as u64);
        add(&self.counts.poison, plan.rows.poison.len() as u64);
        add(&self.counts.unknown_schema, plan.unknown.len() as u64);
    }
}
