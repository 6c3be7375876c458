//! What every way in does with deliveries: take them apart, put out what other consumers read, plan, commit.

use super::clock;
#[cfg(feature = "aws")]
use super::labs::Labs;
use super::schemas::Schemas;
use super::store::Store;
use crate::decode::Delivery;
use crate::ledger::Ledger;
use crate::notify::Policy;
use crate::presence::hearing::Hearing;
use crate::sink::{self, Plan, Tally};
use anyhow::{Context as _, Result};
use std::sync::Arc;

/// The store, and what of it need not be looked up again.
pub(super) struct Intake {
    farm: String,
    policy: Policy,
    schemas: Schemas,
    ledger: Ledger,
    hearing: Hearing,
    store: Store,
    #[cfg(feature = "aws")]
    labs: Option<Labs>,
}

impl Intake {
    pub(super) fn new(farm: String, policy: Policy, store: Store) -> Self {
        let (schemas, ledger, hearing) = (Schemas::new(store.clone()), Ledger::default(), Hearing::default());
        Self {
            farm,
            policy,
            schemas,
            ledger,
            hearing,
            store,
            #[cfg(feature = "aws")]
            labs: None,
        }
    }

    /// The same with the labs' outputs.
    #[cfg(feature = "aws")]
    pub(super) fn with_labs(self, labs: Labs) -> Self {
        Self { labs: Some(labs), ..self }
    }

    /// Makes what follows from these deliveries durable: outputs first, then the rows, and with them that people will be
    /// told (S1). After an error some of it may be; to take the same deliveries again then changes nothing of that (S2).
    pub(super) async fn take(&mut self, deliveries: &[Delivery]) -> Result<(Plan, Tally)> {
        let known = self.schemas.known(deliveries).await.context("schemas")?;
        let opened = sink::open(deliveries, known);
        let unknown = self.ledger.unknown(&opened.sequences());
        if !unknown.is_empty() {
            let found = self.store.seen(&unknown).await.context("ledger")?;
            self.ledger.looked_up(&unknown, &found);
        }
        #[cfg(feature = "aws")]
        if let Some(labs) = &mut self.labs {
            labs.put(&opened, self.ledger.seen(), &self.store).await.context("labs")?;
        }
        let now_ms = clock::now_ms();
        let mut plan = sink::plan(&self.farm, &self.policy, opened, self.ledger.seen(), now_ms);
        let heard = self.hearing.note(plan.agents(), &plan.rows, now_ms);
        plan.rows.agents.extend(heard);
        // Every record of a stream carries its schemas.
        plan.rows.schemas.retain(|schema| !self.schemas.has(schema));
        let rows = Arc::new(std::mem::take(&mut plan.rows));
        let before = match self.store.commit(rows.clone()).await {
            Ok(before) => before,
            Err(error) => {
                // What it noted is not in the store.
                self.hearing = Hearing::default();
                return Err(error);
            }
        };
        plan.rows = Arc::unwrap_or_clone(rows);
        self.schemas.learn(&plan.rows.schemas);
        self.ledger.add(&before);
        self.ledger.add(&plan.rows.ledger);
        for (agent, schema) in &plan.unknown {
            tracing::warn!(%agent, %schema, "a schema that is not known here; the agent sends it again in full");
        }
        for row in &plan.rows.poison {
            tracing::warn!(topic = row.topic, reason = row.reason, "refused and kept as poison");
        }
        let tally = plan.tally(&before);
        Ok((plan, tally))
    }
}
