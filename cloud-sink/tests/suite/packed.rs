//! Packed batches: what they say once is kept before it is acked, under its agent, and found again after a restart.

use crate::farm::{FARM, Place, T0, block, commit, delivery, envelope};
use std::collections::BTreeSet;
use windward_protocol::batch::BatchBuilder;
use windward_protocol::{AgentId, Block, Lane, SchemaId, topic};
use windward_sink::decode::{Delivery, Known, Origin};
use windward_sink::io::store::{Span, Store};
use windward_sink::notify::Policy;
use windward_sink::place::Seen;
use windward_sink::{query, sink};

/// Two blocks of one device from this number on, packed by an agent that holds these schemas for acked; and the schemas
/// it holds for acked once this is.
fn packed(seq: u64, acked: &BTreeSet<SchemaId>) -> (Delivery, BTreeSet<SchemaId>) {
    let mut batch = BatchBuilder::new();
    for seq in [seq, seq + 1] {
        assert!(batch.push(&envelope(Lane::Readings, seq, block(T0 + seq as i64 * 10_000, 80))));
    }
    let packed = batch.finish_packed(acked);
    assert_eq!(packed.bytes[0], 2, "packed");
    (
        Delivery { from: Origin::Topic(topic::of_lane(&crate::farm::agent(), Lane::Readings)), payload: packed.bytes },
        packed.schemas.into_iter().collect(),
    )
}

async fn blocks(store: &Store) -> Vec<Block> {
    let span = Span { partition: "t1/anemometer".into(), from_ms: i64::MIN, to_ms: i64::MAX, after: None, limit: 1000 };
    query::blocks(&store.readings(&span).await.unwrap().blocks).collect()
}

/// What the agent was told is committed: first and last sequence.
fn acked(plan: &sink::Plan) -> Vec<(u64, u64)> {
    let acks = sink::acks(plan.deliveries.iter().flat_map(|remaining| &remaining.placed));
    acks.iter().flat_map(|(_, ack)| &ack.ranges).map(|range| (range.first, range.last)).collect()
}

async fn what_is_packed_is_stored_as_what_is_not(packed_place: Place) {
    let plain_place = Place::sqlite().await;
    let (full, known) = packed(1, &BTreeSet::new());
    let (named, _) = packed(3, &known);
    assert!(named.payload.len() + 50 < full.payload.len());
    for (delivery, range) in [(full, (1, 2)), (named, (3, 4))] {
        // Each in a group of its own: the second finds the schema in the store.
        let (plan, tally) = commit(&packed_place.store, Policy::default(), &[delivery], T0).await;
        assert_eq!((acked(&plan), tally.readings), (vec![range], 40));
    }
    let plain: Vec<_> = (1..=4).map(|seq| envelope(Lane::Readings, seq, block(T0 + seq as i64 * 10_000, 80))).collect();
    commit(&plain_place.store, Policy::default(), &[delivery(Lane::Readings, &plain)], T0).await;
    assert_eq!(blocks(&packed_place.store).await, blocks(&plain_place.store).await);
    assert_eq!(blocks(&plain_place.store).await.len(), 4);
}

/// Not poison, not acked: once it is sent again in full, it is stored.
async fn a_schema_that_was_never_told_is_waited_for(place: Place) {
    let (_, known) = packed(1, &BTreeSet::new());
    let (named, _) = packed(1, &known);
    let (plan, tally) = commit(&place.store, Policy::default(), std::slice::from_ref(&named), T0).await;
    let id = *known.first().unwrap();
    assert_eq!(plan.unknown, [(crate::farm::agent(), id)]);
    assert_eq!((acked(&plan), tally.envelopes), (vec![], 0));
    assert_eq!(place.store.poison(10).await.unwrap(), []);
    assert_eq!(place.store.ledger().await.unwrap(), []);

    let (again, _) = packed(1, &BTreeSet::new());
    // Of one group, what follows the full one may go by the name.
    let (plan, tally) = commit(&place.store, Policy::default(), &[again.clone(), named, again], T0).await;
    assert_eq!((acked(&plan), tally.envelopes, tally.repeated), (vec![(1, 2)], 2, 4));
    assert_eq!(plan.rows.schemas.len(), 1);
    assert_eq!(blocks(&place.store).await.len(), 2);
}

/// A name is one agent's own: another, which may have made up a schema of the same name, cannot stand in its way.
async fn an_agents_schemas_are_its_own(place: Place) {
    let (full, known) = packed(1, &BTreeSet::new());
    let stolen = Delivery { from: Origin::Topic("windward/v1/t2/readings".into()), ..full };
    let (plan, _) = commit(&place.store, Policy::default(), &[stolen], T0).await;
    assert_eq!((plan.rows.schemas.len(), plan.rows.poison.len()), (0, 2));
    let (named, _) = packed(1, &known);
    let (plan, _) = commit(&place.store, Policy::default(), &[named], T0).await;
    assert_eq!(plan.unknown.len(), 1);
    let keys = ["t1", "t2"].map(|agent| (AgentId::new(agent).unwrap(), *known.first().unwrap()));
    assert_eq!(place.store.schemas(&keys).await.unwrap(), Known::new());
}

#[test]
fn schemas_are_part_of_the_rows_that_are_durable_before_the_ack() {
    let (full, _) = packed(1, &BTreeSet::new());
    let plan = sink::plan(FARM, &Policy::default(), sink::open(&[full], Known::new()), &Seen::new(), T0);
    assert_eq!(plan.rows.schemas.first().map(|schema| schema.device.as_str()), Some("anemometer"));
}

on_both_stores! {
    what_is_packed_is_stored_as_what_is_not
    a_schema_that_was_never_told_is_waited_for
    an_agents_schemas_are_its_own
}
