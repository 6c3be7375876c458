//! The sink's core, pure: deliveries become a [`Plan`]; what came of its steps becomes acks.
//!
//! ```text
//!   deliveries ──▶ open ──▶ plan ──▶ commit rows, notices among them ──▶ ack
//!                                                   └─────▶ tell people, now or after any crash
//! ```
//! Nothing is acked before every enabled step of its plan is durable (S1); that people are told of an alert is made
//! durable by the notices that are committed with it ([`crate::notify`]). A commit that fails is tried again with the
//! same rows; a delivery that comes again makes the same rows (S2). Telling people runs beside the readings: however
//! long it fails, they go on.

use crate::archive;
use crate::decode::{Decoded, Delivery, Known, Name, Received, decode, name_of};
use crate::notify::{self, Policy};
use crate::place::{self, Gathered, Rows, Seen};
use std::collections::{BTreeMap, BTreeSet};
use windward_protocol::{Ack, AgentId, Envelope, Epoch, Lane, MAX_RANGES, Record, SchemaId, SeqRange, SeqSet};

/// A group of deliveries, taken apart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Opened(Vec<(String, Decoded)>);

/// Takes a group apart. `known`: at least those schemas that it names ([`crate::decode::named`]) and that were told
/// before.
pub fn open(deliveries: &[Delivery], mut known: Known) -> Opened {
    let one = |delivery: &Delivery| {
        let decoded = decode(delivery, &known);
        // They are kept with this very group, so what follows in it may go by the name.
        known.extend(decoded.schemas.iter().map(|schema| ((schema.agent.clone(), schema.id()), schema.clone().into())));
        (delivery.from.to_string(), decoded)
    };
    Opened(deliveries.iter().map(one).collect())
}

impl Opened {
    /// Sequences in it: those of them that the ledger has need not be placed again.
    pub fn sequences(&self) -> Seen {
        let received = self.0.iter().flat_map(|(_, decoded)| &decoded.received);
        let names = received.map(|received| name_of(&received.envelope));
        sequences(names.filter(|(_, _, lane, _)| *lane != Lane::State))
    }

    /// Envelopes of the durable lanes that are new: not among `seen`, and each once.
    pub fn unseen(&self, seen: &Seen) -> Vec<(Name, &Envelope)> {
        let mut names = BTreeSet::new();
        let envelopes = self.0.iter().flat_map(|(_, decoded)| &decoded.received).map(|received| &received.envelope);
        let named =
            envelopes.filter(|envelope| envelope.lane != Lane::State).map(|envelope| (name_of(envelope), envelope));
        named.filter(|(name, _)| !has(seen, name) && names.insert(name.clone())).collect()
    }
}

/// What a group of deliveries asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Step one, for all deliveries together.
    pub rows: Rows,
    /// The rest, a delivery each, in the order given.
    pub deliveries: Vec<Remaining>,
    /// Schemas for want of which a delivery could not be read, one a delivery. Nothing of it is acked.
    pub unknown: Vec<(AgentId, SchemaId)>,
    /// Readings in each envelope of the durable lanes that is to be stored.
    readings: BTreeMap<Name, u64>,
    blocks: Gathered,
    /// Envelopes that came twice within the group, or were stored before.
    repeated: u64,
}

/// What one delivery still asks for after the commit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Remaining {
    /// Envelopes to ack.
    pub placed: Vec<Name>,
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

/// Plans for a group of deliveries. `seen`: sequences that the ledger is known to have; it may have more.
pub fn plan(farm: &str, policy: &Policy, opened: Opened, seen: &Seen, now_ms: i64) -> Plan {
    let mut plan = Plan::default();
    let mut poisoned = BTreeSet::new();
    for (from, decoded) in opened.0 {
        let mut remaining = Remaining::default();
        plan.unknown.extend(decoded.unknown);
        plan.rows.schemas.extend(decoded.schemas);
        for poison in decoded.poison {
            let durable = poison.name.clone().filter(|(_, _, lane, _)| *lane != Lane::State);
            remaining.placed.extend(durable.inspect(|name| plan.note(name, 0)));
            let row = place::poison_row(&from, poison, now_ms);
            if poisoned.insert((row.partition.clone(), row.sort.clone())) {
                plan.rows.poison.push(row);
            }
        }
        for received in decoded.received {
            plan.add(farm, policy, received, seen, now_ms, &mut remaining);
        }
        plan.deliveries.push(remaining);
    }
    plan.rows.readings = std::mem::take(&mut plan.blocks).rows();
    plan.rows.hours = archive::touched(farm, &plan.rows);
    plan.rows.ledger = sequences(plan.readings.keys().cloned());
    plan
}

impl Plan {
    fn add(
        &mut self,
        farm: &str,
        policy: &Policy,
        received: Received,
        seen: &Seen,
        now_ms: i64,
        remaining: &mut Remaining,
    ) {
        let Received { envelope, bytes } = received;
        if envelope.lane == Lane::State {
            place::place(farm, &envelope, now_ms, &mut self.rows);
            return;
        }
        let name = name_of(&envelope);
        remaining.placed.push(name.clone());
        if has(seen, &name) || self.readings.contains_key(&name) {
            self.repeated += 1;
            return;
        }
        place::place(farm, &envelope, now_ms, &mut self.rows);
        self.note(&name, readings_in(&envelope));
        let Envelope { agent, epoch, seq, record, .. } = envelope;
        match record {
            Record::Alert(alert) => {
                self.rows.notices.extend(notify::notices_for(farm, policy, &agent, &alert, now_ms));
            }
            Record::Block(block) => self.blocks.add(agent, epoch, seq, block, bytes),
            _ => {}
        }
    }

    fn note(&mut self, name: &Name, readings: u64) {
        self.readings.insert(name.clone(), readings);
    }

    /// The agents of its envelopes on the durable lanes, some more than once.
    pub fn agents(&self) -> impl Iterator<Item = &AgentId> {
        self.readings.keys().map(|(agent, ..)| agent)
    }

    /// Counts what a commit changed. `before`: what the ledger had of the plan's sequences.
    pub fn tally(&self, before: &Seen) -> Tally {
        let mut tally = Tally { repeated: self.repeated, ..Tally::default() };
        for (name, readings) in &self.readings {
            if has(before, name) {
                tally.repeated += 1;
            } else {
                tally.envelopes += 1;
                tally.readings += readings;
            }
        }
        tally
    }
}

/// Names as sets of sequences.
pub(crate) fn sequences(names: impl Iterator<Item = Name>) -> Seen {
    let mut sequences = Seen::new();
    for (agent, epoch, lane, seq) in names {
        sequences.entry((agent, epoch, lane)).or_default().insert(SeqRange { first: seq, last: seq });
    }
    sequences
}

fn has(seen: &Seen, (agent, epoch, lane, seq): &Name) -> bool {
    seen.get(&(agent.clone(), *epoch, *lane)).is_some_and(|seen| seen.contains(*seq))
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
