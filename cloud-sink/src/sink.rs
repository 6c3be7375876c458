//! The sink's core, pure: deliveries become a [`Plan`]; what came of its steps becomes acks.
//!
//! ```text
//!   deliveries ──▶ plan ──▶ commit rows ──▶ ack what needs no more
//!                                   └─────▶ tell people ──▶ ack the rest
//! ```
//! Nothing is acked before every enabled step of its plan is durable (S1). A commit that fails is tried again with the
//! same rows; a delivery that comes again makes the same rows (S2). Telling people runs beside the readings: however
//! long it fails, they go on. The ack meant is the agent's ([`Ack`], A3); the broker's PUBACK follows the commit, for a
//! broker wants PUBACKs in order and an alert would hold up the readings behind it.

use crate::decode::{Delivery, Known, Name, Received, decode, name_of};
use crate::notify::{self, Notice, Policy};
use crate::place::{self, Rows};
use std::collections::{BTreeMap, BTreeSet};
use windward_protocol::{Ack, AgentId, Envelope, Epoch, Lane, MAX_RANGES, Record, SchemaId, SeqRange, SeqSet};

/// What a group of deliveries asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Step one, for all deliveries together.
    pub rows: Rows,
    /// The rest, a delivery each, in the order given.
    pub deliveries: Vec<Remaining>,
    /// Schemas for want of which a delivery could not be read, one a delivery. Nothing of it is acked.
    pub unknown: Vec<(AgentId, SchemaId)>,
    /// Readings in each envelope of the durable lanes.
    readings: BTreeMap<Name, u64>,
    /// Envelopes that came twice within the group.
    twice: u64,
}

/// What one delivery still asks for after the commit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Remaining {
    /// Envelopes that are done with the commit.
    pub placed: Vec<Name>,
    /// Envelopes that people must be told of first.
    pub to_tell: Vec<(Name, Vec<Notice>)>,
}

/// What a commit changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Envelopes stored for the first time.
    pub envelopes: u64,
    /// Readings in them: values and failed reads alike.
    pub readings: u64,
    /// Envelopes that were stored before, and changed nothing.
    pub repeated: u64,
}

/// Plans for a group of deliveries. `known`: at least those they name ([`crate::decode::named`]) that were told before.
pub fn plan(farm: &str, policy: Policy, deliveries: &[Delivery], mut known: Known, now_ms: i64) -> Plan {
    let mut plan = Plan::default();
    let mut poisoned = BTreeSet::new();
    for delivery in deliveries {
        let mut remaining = Remaining::default();
        let decoded = decode(delivery, &known);
        plan.unknown.extend(decoded.unknown);
        for schema in decoded.schemas {
            // It is kept with this very group, so what follows in it may go by the name.
            known.insert((schema.agent.clone(), schema.id()), schema.clone());
            plan.rows.schemas.insert(schema);
        }
        for poison in decoded.poison {
            let durable = poison.name.clone().filter(|(_, _, lane, _)| *lane != Lane::State);
            remaining.placed.extend(durable.inspect(|name| plan.note(name, 0)));
            let row = place::poison_row(&delivery.topic, poison, now_ms);
            if poisoned.insert((row.partition.clone(), row.sort.clone())) {
                plan.rows.poison.push(row);
            }
        }
        for received in decoded.received {
            plan.add(farm, policy, &received, now_ms, &mut remaining);
        }
        plan.deliveries.push(remaining);
    }
    plan.rows.ledger = place::ledger_rows(plan.readings.keys());
    plan
}

impl Plan {
    fn add(&mut self, farm: &str, policy: Policy, received: &Received, now_ms: i64, remaining: &mut Remaining) {
        let envelope = &received.envelope;
        if envelope.lane == Lane::State {
            place::place(farm, received, now_ms, &mut self.rows);
            return;
        }
        let name = name_of(envelope);
        if self.readings.contains_key(&name) {
            self.twice += 1;
        } else {
            place::place(farm, received, now_ms, &mut self.rows);
            self.note(&name, readings_in(envelope));
        }
        let notices = match &envelope.record {
            Record::Alert(alert) => {
                let sort = place::alert_sort(&envelope.agent, alert);
                notify::notices(farm, &envelope.agent, &sort, alert, policy)
            }
            _ => Vec::new(),
        };
        if notices.is_empty() {
            remaining.placed.push(name);
        } else {
            remaining.to_tell.push((name, notices));
        }
    }

    fn note(&mut self, name: &Name, readings: u64) {
        self.readings.insert(name.clone(), readings);
    }

    /// Counts what a commit changed. `before` holds, for each row of the plan's ledger, what it had already seen.
    pub fn tally(&self, before: &[BTreeSet<u16>]) -> Tally {
        let seen: BTreeSet<(&str, u64, u16)> = self
            .rows
            .ledger
            .iter()
            .zip(before)
            .flat_map(|(row, before)| before.iter().map(|rest| (row.partition.as_str(), row.bucket, *rest)))
            .collect();
        let mut tally = Tally { repeated: self.twice, ..Tally::default() };
        for ((agent, epoch, lane, seq), readings) in &self.readings {
            let (bucket, rest) = place::bucket_of(*seq);
            let partition = place::lane_partition(agent, *epoch, *lane);
            if seen.contains(&(partition.as_str(), bucket, rest)) {
                tally.repeated += 1;
            } else {
                tally.envelopes += 1;
                tally.readings += readings;
            }
        }
        tally
    }
}

/// The acks for these envelopes, as few as hold them all (A3).
pub fn acks<'a>(names: impl IntoIterator<Item = &'a Name>) -> Vec<(AgentId, Ack)> {
    let mut lanes: BTreeMap<(&AgentId, Epoch, Lane), SeqSet> = BTreeMap::new();
    for (agent, epoch, lane, seq) in names {
        let set = lanes.entry((agent, *epoch, *lane)).or_default();
        set.insert(SeqRange { first: *seq, last: *seq });
    }
    let mut acks = Vec::new();
    for ((agent, epoch, lane), set) in lanes {
        let ranges: Vec<SeqRange> = set.ranges().collect();
        for ranges in ranges.chunks(MAX_RANGES) {
            let ack = Ack { epoch, lane, ranges: ranges.to_vec() };
            acks.push((agent.clone(), ack));
        }
    }
    acks
}

fn readings_in(envelope: &Envelope) -> u64 {
    match &envelope.record {
        Record::Block(block) => block.len() as u64 * block.channels.len() as u64,
        _ => 0,
    }
}
