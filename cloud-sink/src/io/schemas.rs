//! The schemas of packed batches: looked up in the store once, then at hand.

use super::store::Store;
use crate::decode::{Delivery, Known, named};
use anyhow::Result;
use std::collections::BTreeSet;
use std::sync::Arc;
use windward_protocol::Schema;

/// Most schemas at hand, a few hundred bytes each. When there would be more, all are forgotten and looked up again.
const MOST: usize = 4096;

/// What agents have told, behind it the store.
pub(super) struct Schemas {
    store: Store,
    at_hand: Known,
}

impl Schemas {
    pub(super) fn new(store: Store) -> Self {
        Self { store, at_hand: Known::new() }
    }

    /// All that is known of what these deliveries name.
    pub(super) async fn known(&mut self, deliveries: &[Delivery]) -> Result<Known> {
        let wanted: BTreeSet<_> = deliveries.iter().flat_map(named).collect();
        let missing: Vec<_> = wanted.iter().filter(|key| !self.at_hand.contains_key(key)).cloned().collect();
        let found = if missing.is_empty() { Known::new() } else { self.store.schemas(&missing).await? };
        let at_hand = wanted.into_iter().filter_map(|key| Some((key.clone(), self.at_hand.get(&key)?.clone())));
        let known: Known = at_hand.chain(found.clone()).collect();
        found.into_values().for_each(|schema| self.keep(schema));
        Ok(known)
    }

    /// Whether the store is known to have it.
    pub(super) fn has(&self, schema: &Schema) -> bool {
        self.at_hand.contains_key(&(schema.agent.clone(), schema.id()))
    }

    /// Puts at hand what the store now has.
    pub(super) fn learn(&mut self, schemas: &BTreeSet<Schema>) {
        schemas.iter().cloned().for_each(|schema| self.keep(schema.into()));
    }

    fn keep(&mut self, schema: Arc<Schema>) {
        if self.at_hand.len() == MOST {
            self.at_hand.clear();
        }
        self.at_hand.insert((schema.agent.clone(), schema.id()), schema);
    }
}
