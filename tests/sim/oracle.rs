//! What must be so, whatever happens: A1 to A7 and S1 to S4 of `agent` and `cloud-sink`, stated as outcomes. It knows
//! what was measured, what disks and store hold, and what went over the wire; it knows nothing of how the cores decide.

mod people;
mod streamed;

use crate::disk::Disk;
use crate::known::{Known, What, number_of};
use crate::machine::{Machine, agent_id};
use crate::scenario::Scenario;
use crate::stage::FARM;
use crate::store::Store;
use people::{Asked, People};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use streamed::Streamed;
use windward_protocol::batch::{self, BatchBuilder};
use windward_protocol::{AgentId, AlertPhase, Envelope, Lane, Record, Schema, SchemaId, Seq, topic};
use windward_sink::decode::{Decoded, Delivery, Known as KnownSchemas, Name, decode, name_of};
use windward_sink::notify::NoticeRow;
use windward_sink::place::{alert_sort, lane_partition, sortable_time};
use windward_sink::query;

/// What must never be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// Its number, or a word for what has none.
    pub(crate) invariant: &'static str,
    pub(crate) what: String,
}

/// The oracle.
pub(crate) struct Oracle {
    pub(crate) agents: Vec<Known>,
    violation: Option<Violation>,
    /// Every envelope as it was first published.
    sent: BTreeMap<Name, Envelope>,
    /// What people have heard of each notice.
    people: People,
    /// All that agents have told of what their packed batches leave out.
    told: KnownSchemas,
    /// What can be read from each agent's stream.
    streams: Vec<Streamed>,
}

impl Oracle {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let of_each = 0..scenario.agents;
        Self {
            agents: of_each.clone().map(|_| Known::default()).collect(),
            violation: None,
            sent: BTreeMap::new(),
            people: People::default(),
            told: KnownSchemas::new(),
            streams: of_each.map(|_| Streamed::default()).collect(),
        }
    }

    /// The first violation counts.
    pub(crate) fn violated(&mut self, invariant: &'static str, what: impl FnOnce() -> String) {
        self.violation.get_or_insert_with(|| Violation { invariant, what: what() });
    }

    /// What was violated, if anything was.
    pub(crate) fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref().or_else(|| self.agents.iter().find_map(|agent| agent.violation.as_ref()))
    }

    /// An agent tells what its packed batches leave out.
    pub(crate) fn learn(&mut self, agent: &AgentId, delivery: &Delivery) {
        for schema in batch::split_with(&delivery.payload, &self.told_by(agent)).schemas {
            self.told.insert((agent.clone(), schema.id()), schema.into());
        }
    }

    fn told_by(&self, agent: &AgentId) -> BTreeMap<SchemaId, Arc<Schema>> {
        let of_agent = self.told.iter().filter(|((teller, _), _)| teller == agent);
        of_agent.map(|((_, id), schema)| (*id, schema.clone())).collect()
    }

    /// The envelopes of a delivery, for one who has been told everything.
    fn envelopes(&self, delivery: &Delivery) -> Vec<Vec<u8>> {
        let agent = topic::parse(&delivery.from.to_string()).map(|(agent, _)| agent);
        let told = agent.map(|agent| self.told_by(&agent)).unwrap_or_default();
        batch::split_with(&delivery.payload, &told).envelopes
    }

    /// For a break: the same, with nothing but names of what it leaves out.
    pub(crate) fn without_schemas(&self, agent: &AgentId, payload: &[u8]) -> Vec<u8> {
        let told = self.told_by(agent);
        let mut batch = BatchBuilder::new();
        for envelope in batch::split_with(payload, &told).envelopes {
            assert!(batch.push(&envelope), "what was in one batch fits one batch");
        }
        batch.finish_packed(&told.into_keys().collect()).bytes
    }

    /// What a delivery holds, in a few words.
    pub(crate) fn contents(&self, delivery: &Delivery) -> String {
        let from = delivery.from.to_string();
        let topic = from.rsplit('/').next().unwrap_or_default();
        let envelopes = self.envelopes(delivery);
        let seqs: Vec<Seq> = envelopes.iter().filter_map(|bytes| Some(Envelope::decode(bytes).ok()?.seq)).collect();
        match (seqs.first(), seqs.last()) {
            (Some(first), Some(last)) if first < last => format!("{topic} {first} to {last}"),
            (Some(first), _) => format!("{topic} {first}"),
            _ => format!("{} bytes of nothing", delivery.payload.len()),
        }
    }

    /// Whether something of it cannot be decoded.
    pub(crate) fn is_poison(&self, delivery: &Delivery) -> bool {
        !decode(delivery, &self.told).poison.is_empty()
    }

    /// A1, A2, A5 and the times: what an agent sends.
    pub(crate) fn check_publish(&mut self, machine: &Machine, lane: Lane, delivery: &Delivery) {
        for bytes in self.envelopes(delivery) {
            let Ok(envelope) = Envelope::decode(&bytes) else {
                return self.violated("wire", || format!("{} sends what nobody can read", machine.id));
            };
            if let Record::Health(health) = &envelope.record {
                let (told, failing) = (!health.spool_error.is_empty(), self.agents[machine.index].is_failing());
                if told != failing {
                    self.violated("A5", || format!("{}: health says {:?}", machine.id, health.spool_error));
                }
                continue;
            }
            let seq = envelope.seq;
            if !machine.disk.is_durable(lane, seq) {
                self.violated("A1", || format!("{} sends {lane} {seq}, which is not durable", machine.id));
            }
            if let Record::Block(block) = &envelope.record {
                self.agents[machine.index].check_times(block);
            }
            let first = self.sent.entry(name_of(&envelope)).or_insert_with(|| envelope.clone());
            if *first != envelope {
                let (first, now) = (format!("{:?}", first.record), format!("{:?}", envelope.record));
                self.violated("A2", || format!("{} {lane} {seq} was {first}, and is {now}", machine.id));
            }
        }
    }

    /// Whether all of a delivery has been published before.
    pub(crate) fn was_sent(&self, delivery: &Delivery) -> bool {
        let envelopes = self.envelopes(delivery);
        let known = |bytes: &Vec<u8>| Envelope::decode(bytes).is_ok_and(|one| self.sent.contains_key(&name_of(&one)));
        envelopes.iter().all(known)
    }

    /// A3 and A4: what a disk forgets is in the store, or declared to be lost.
    pub(crate) fn check_free(
        &mut self,
        agent: usize,
        disk: &Disk,
        store: &Store,
        scenario: &Scenario,
        lane: Lane,
        through: Seq,
    ) {
        let id = agent_id(agent);
        let known = &self.agents[agent];
        let from = disk.acked(lane).min(through);
        let early = known.durable.range((lane, from + 1)..(lane, through + 1)).map(|((_, seq), _)| *seq);
        let is_owed = |seq| !store.in_ledger(&id, disk.epoch, lane, seq) || self.is_owed(agent, scenario, lane, seq);
        let early = early.filter(|seq| is_owed(*seq) && !known.is_declared(lane, *seq)).min();
        if let Some(seq) = early {
            let invariant = if known.is_gone(lane, seq) { "A4" } else { "A3" };
            self.violated(invariant, || format!("{id} frees {lane} {seq}, which not all have and no gap names"));
        }
        self.leave_behind(agent, scenario, lane, through);
    }

    /// S1: what a sink acks.
    pub(crate) fn check_ack(&mut self, store: &Store, scenario: &Scenario, name: &Name) {
        if let Err(why) = self.is_stored(store, scenario, name, Asked::Noted) {
            let (agent, _, lane, seq) = name;
            self.violated("S1", || format!("a sink acks {agent} {lane} {seq}, and {why}"));
        }
    }

    /// S1 and S3: what a sink frees at the broker, people told or not.
    pub(crate) fn check_puback(&mut self, store: &Store, scenario: &Scenario, delivery: &Delivery) {
        let Decoded { received, poison, schemas, .. } = decode(delivery, &self.told);
        let forgets = scenario.sink.forgets_every_ms > 0;
        if schemas.iter().any(|one| !forgets && !store.schemas.contains_key(&(one.agent.clone(), one.id()))) {
            let what = self.contents(delivery);
            return self.violated("S1", || format!("a sink frees {what}, and a schema is not kept"));
        }
        for one in received.iter().filter(|one| one.envelope.lane != Lane::State) {
            if let Err(why) = self.is_stored(store, scenario, &name_of(&one.envelope), Asked::Noted) {
                let what = self.contents(delivery);
                self.violated("S1", || format!("a sink frees {what}, and {why}"));
            }
        }
        for refused in poison {
            if !store.poison.values().any(|row| row.topic == delivery.from.to_string() && row.bytes == refused.bytes) {
                self.violated("S3", || format!("{:?} is acked and not kept", refused.reason));
            }
        }
    }

    fn is_stored(&self, store: &Store, scenario: &Scenario, name: &Name, asked: Asked) -> Result<(), &'static str> {
        let (agent, epoch, lane, seq) = name;
        let Some(envelope) = self.sent.get(name) else { return Err("nobody has sent it") };
        if !store.in_ledger(agent, *epoch, *lane, *seq) {
            return Err("the ledger does not know it");
        }
        let is_there = match &envelope.record {
            Record::Block(block) => store.has_block(agent, &block.device, *epoch, *seq),
            Record::Alert(alert) => {
                let sort = alert_sort(agent, alert);
                self.people.check(store, scenario, &sort, alert.phase, asked)?;
                store.alerts.contains_key(&(FARM.into(), sort))
            }
            Record::Stats(stats) => {
                let partition = format!("{agent}/{}/{}", stats.device, stats.channel.name);
                let row = store.stats.get(&(partition, sortable_time(stats.start_ms)));
                row.is_some_and(|row| row.n >= stats.n)
            }
            Record::Gap(gap) => store.gap(agent, *epoch, gap.lane, gap.from).is_some(),
            Record::Hello(_) | Record::Health(_) | Record::Answer(_) => store.agents.contains(agent),
        };
        if is_there { Ok(()) } else { Err("its row is not there") }
    }

    /// S2: people get a message.
    pub(crate) fn told(&mut self, store: &Store, row: &NoticeRow) {
        if let Err(what) = self.people.told(store, row) {
            self.violated("S2", || what);
        }
    }

    /// A message is out, and the sink dies or the store fails before that is on record.
    pub(crate) fn unmarked(&mut self, row: &NoticeRow) {
        self.people.unmarked(row);
    }

    /// When all has come to rest.
    pub(crate) fn check_end(&mut self, store: &Store, scenario: &Scenario, epochs: &[u64]) {
        for (index, &epoch) in epochs.iter().enumerate() {
            self.agents[index].nothing_untold();
            self.check_rows(index, store, scenario);
            self.check_names(index, epoch, store, scenario);
            self.check_alerts(index, store);
            self.check_ledger(index, epoch, store, scenario);
        }
    }

    /// Every row that was kept is in the store, once, as it was measured (A6 among it).
    fn check_rows(&mut self, index: usize, store: &Store, scenario: &Scenario) {
        let id = agent_id(index);
        let mut seen: BTreeMap<u64, u32> = BTreeMap::new();
        // Where a commit may stay half done, or another sink may be a step ahead, a block may stand in two rows; whoever
        // asks gets it once. One sink that writes all or nothing has no such excuse.
        if scenario.sinks == 1 && scenario.sink.whole {
            let twice = store.blocks.iter().find(|((partition, _), rows)| **rows > 1 && of_agent(partition, &id));
            if let Some(((partition, name), _)) = twice {
                return self.violated("S2", || format!("block {name:?} of {partition} is stored twice"));
            }
        }
        let rows = store.readings.values().filter(|row| row.agent == id);
        let stored: Vec<Vec<u8>> = rows.map(|row| row.block.clone()).collect();
        for block in query::blocks(&stored) {
            let known = &mut self.agents[index];
            known.check_times(&block);
            for row in block.rows() {
                match number_of(&row).or_else(|| known.number_at(&block.device, row.time_ms)) {
                    Some(number) if known.is_as_measured(number, &row) => *seen.entry(number).or_default() += 1,
                    _ => return self.violated("A6", || format!("{id}: {row:?} was never measured")),
                }
            }
        }
        if let Some((number, _)) = seen.iter().find(|(_, times)| **times > 1) {
            return self.violated("S2", || format!("{id}: row {number} is stored twice"));
        }
        let lost = self.agents[index].expected().find(|number| !seen.contains_key(number));
        if let Some(number) = lost {
            let fate = self.agents[index].fate_of(number);
            self.violated("lost", || format!("{id}: row {number} was {fate}, and is not in the store"));
        }
    }

    /// Every envelope that was durable is in the store, or is declared lost because it was taken by space or damage.
    fn check_names(&mut self, index: usize, epoch: u64, store: &Store, scenario: &Scenario) {
        let id = agent_id(index);
        let names: Vec<(Lane, Seq)> = self.agents[index].durable.keys().copied().collect();
        for (lane, seq) in names {
            let name = (id.clone(), epoch, lane, seq);
            let known = &self.agents[index];
            if self.is_lacking(index, scenario, lane, seq) && !known.is_gone(lane, seq) {
                return self.violated("lost", || format!("{id} {lane} {seq} was durable, and is not in the stream"));
            }
            let Err(why) = self.is_stored(store, scenario, &name, Asked::Told) else { continue };
            let gap = store.gap(&id, epoch, lane, seq).map(|gap| gap.reason.as_str());
            if !known.is_gone(lane, seq) {
                return self.violated("lost", || format!("{id} {lane} {seq} was durable, and {why}; gap: {gap:?}"));
            }
            if !known.may_be_declared(lane, seq, gap) && !known.is_declaration_damaged(lane, seq) {
                return self.violated("A4", || format!("{id} {lane} {seq} went, and is declared as {gap:?}"));
            }
        }
    }

    /// One row for an alert, with its end.
    fn check_alerts(&mut self, index: usize, store: &Store) {
        let id = agent_id(index);
        let mut ends: BTreeMap<String, (Option<i64>, BTreeSet<&str>)> = BTreeMap::new();
        let known = &self.agents[index];
        for what in known.durable.iter().filter(|(name, _)| !known.damaged.contains(name)).map(|(_, what)| what) {
            if let What::Alert(alert) = what {
                let (end, words) = ends.entry(alert_sort(&id, alert)).or_default();
                *end = (*end).max(Some(alert.at_ms).filter(|_| alert.phase == AlertPhase::Clear));
                words.insert(&alert.evidence);
            }
        }
        let wrong = ends.into_iter().find(|(sort, (end, words))| {
            let row = store.alerts.get(&(FARM.into(), sort.clone()));
            row.is_none_or(|row| {
                row.cleared_ms < *end || !words.contains(row.evidence.as_str()) && known.damaged.is_empty()
            })
        });
        if let Some((sort, (end, _))) = wrong {
            let row = store.alerts.get(&(FARM.into(), sort.clone())).cloned();
            self.violated("S2", || format!("alert {sort}, ended {end:?}, stands as {row:?}"));
        }
    }

    /// S4: what the ledger knows is what is there, and what is missing below was declared.
    fn check_ledger(&mut self, index: usize, epoch: u64, store: &Store, scenario: &Scenario) {
        let id = agent_id(index);
        for lane in Lane::DURABLE {
            let partition = lane_partition(&id, epoch, lane);
            let buckets = store.ledger.range((partition.clone(), 0)..=(partition, u64::MAX));
            let seen: BTreeSet<Seq> =
                buckets.flat_map(|(_, seen)| seen.ranges()).flat_map(|range| range.first..=range.last).collect();
            for &seq in &seen {
                if let Err(why) = self.is_stored(store, scenario, &(id.clone(), epoch, lane, seq), Asked::Nothing) {
                    return self.violated("S4", || format!("the ledger knows {id} {lane} {seq}, and {why}"));
                }
            }
            let partition = lane_partition(&id, epoch, lane);
            let gaps: Vec<_> = store.gaps.iter().filter(|gap| gap.partition == partition).collect();
            let last = seen.last().copied().unwrap_or(0);
            let mut next = 1;
            while next <= last {
                let gap = gaps.iter().filter(|gap| (gap.from..=gap.to).contains(&next)).map(|gap| gap.to).max();
                next = match (seen.contains(&next), gap) {
                    (true, _) => next + 1,
                    (false, Some(to)) => to + 1,
                    (false, None) if self.agents[index].is_declaration_damaged(lane, next) => next + 1,
                    (false, None) => {
                        return self.violated("S4", || format!("{id} {lane} {next} is missing, and nobody says why"));
                    }
                };
            }
        }
    }
}

fn of_agent(partition: &str, agent: &AgentId) -> bool {
    partition.split_once('/').is_some_and(|(of, _)| of == agent.as_str())
}
