//! The sink's store in memory, with the semantics of the real ones (`cloud-sink/src/io/sqlite.rs`, `dynamodb.rs`): rows
//! that are there stay, alerts and statistics merge, the ledger only grows, a claim holds until it ends. What is written
//! is durable.

use std::collections::{BTreeMap, BTreeSet};
use windward_protocol::{AgentId, AlertPhase, Envelope, Epoch, Lane, Schema, Seq, SeqSet};
use windward_sink::decode::{Delivery, Known, LaneName, named};
use windward_sink::notify::{About, CLAIM_MS, Look, NoticeRow, Outcome, Said, Step, Telling, digest_row};
use windward_sink::place::{
    AgentChange, AlertStep, GapRow, LEDGER_BUCKET, LedgerRow, PoisonRow, ReadingsRow, Rows, Seen, StatsRow, envelopes,
    lane_partition, ledger_rows,
};

/// One thing to write, in the order in which they are written: the ledger last.
pub(crate) enum Item<'a> {
    Schema(&'a Schema),
    Readings(&'a ReadingsRow),
    Alert(&'a AlertStep),
    Notice(&'a NoticeRow),
    Stats(&'a StatsRow),
    Agent(&'a AgentChange),
    Gap(&'a GapRow),
    Poison(&'a PoisonRow),
    Ledger(LedgerRow),
}

/// All items of a plan.
pub(crate) fn items(rows: &Rows) -> Vec<Item<'_>> {
    let mut items: Vec<Item<'_>> = rows.schemas.iter().map(Item::Schema).collect();
    items.extend(rows.readings.iter().map(Item::Readings));
    items.extend(rows.alerts.iter().map(Item::Alert));
    items.extend(rows.notices.iter().map(Item::Notice));
    items.extend(rows.stats.iter().map(Item::Stats));
    items.extend(rows.agents.iter().map(Item::Agent));
    items.extend(rows.gaps.iter().map(Item::Gap));
    items.extend(rows.poison.iter().map(Item::Poison));
    items.extend(ledger_rows(&rows.ledger).into_iter().map(|(_, row)| Item::Ledger(row)));
    items
}

/// An alert as it stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct AlertRow {
    pub(crate) said: String,
    pub(crate) at_ms: i64,
    pub(crate) evidence: String,
    pub(crate) cleared_ms: Option<i64>,
}

/// The tables.
#[derive(Debug, Default)]
pub(crate) struct Store {
    pub(crate) readings: BTreeMap<(String, String), ReadingsRow>,
    /// In how many rows each block stands: by partition, epoch and number.
    pub(crate) blocks: BTreeMap<(String, (Epoch, Seq)), u32>,
    /// By farm and sort key.
    pub(crate) alerts: BTreeMap<(String, String), AlertRow>,
    pub(crate) stats: BTreeMap<(String, String), StatsRow>,
    pub(crate) agents: BTreeSet<AgentId>,
    pub(crate) gaps: BTreeSet<GapRow>,
    /// What packed batches have said once.
    pub(crate) schemas: Known,
    pub(crate) poison: BTreeMap<(String, String), PoisonRow>,
    pub(crate) ledger: BTreeMap<(String, u64), SeqSet>,
    /// The outbox, by sort key.
    pub(crate) notices: BTreeMap<String, NoticeRow>,
    /// Messages of each target and minute.
    counts: BTreeMap<(String, i64), u32>,
}

impl Store {
    /// Writes one item. `ledger_forgets`: a bucket is replaced.
    pub(crate) fn write(&mut self, item: &Item<'_>, ledger_forgets: bool) {
        match *item {
            Item::Schema(schema) => {
                self.schemas.insert((schema.agent.clone(), schema.id()), schema.clone().into());
            }
            Item::Readings(row) => {
                if self.readings.contains_key(&(row.partition.clone(), row.sort.clone())) {
                    return;
                }
                for name in names_in(row) {
                    *self.blocks.entry((row.partition.clone(), name)).or_default() += 1;
                }
                self.readings.insert((row.partition.clone(), row.sort.clone()), row.clone());
            }
            Item::Alert(step) => self.merge_alert(step),
            Item::Notice(row) => self.insert(row),
            Item::Stats(row) => {
                let rank = |row: &StatsRow| (row.n, row.due, row.mean.unwrap_or(0.0));
                let key = (row.partition.clone(), row.sort.clone());
                let known = self.stats.entry(key).or_insert_with(|| row.clone());
                if rank(row) > rank(known) {
                    *known = row.clone();
                }
            }
            Item::Agent(
                AgentChange::Hello { agent, .. } | AgentChange::Health { agent, .. } | AgentChange::Heard { agent, .. },
            ) => {
                self.agents.insert(agent.clone());
            }
            Item::Gap(row) => {
                self.gaps.insert(row.clone());
            }
            Item::Poison(row) => {
                let key = (row.partition.clone(), row.sort.clone());
                self.poison.entry(key).or_insert_with(|| row.clone());
            }
            Item::Ledger(ref row) => {
                let bucket = self.ledger.entry((row.partition.clone(), row.bucket)).or_default();
                if ledger_forgets {
                    *bucket = SeqSet::new();
                }
                row.seen.ranges().for_each(|range| bucket.insert(range));
            }
        }
    }

    fn merge_alert(&mut self, step: &AlertStep) {
        let row = self.alerts.entry((step.farm.clone(), step.sort.clone())).or_default();
        if step.said > row.said {
            row.said.clone_from(&step.said);
            row.at_ms = step.alert.at_ms;
            row.evidence.clone_from(&step.alert.evidence);
        }
        if step.alert.phase == AlertPhase::Clear {
            row.cleared_ms = row.cleared_ms.max(Some(step.alert.at_ms));
        }
    }

    /// What is known of the schemas that these deliveries name.
    pub(crate) fn known(&self, deliveries: &[Delivery]) -> Known {
        let named = deliveries.iter().flat_map(named);
        named.filter_map(|key| Some((key.clone(), self.schemas.get(&key)?.clone()))).collect()
    }

    /// What the ledger has in the buckets of these sequences.
    pub(crate) fn seen(&self, sequences: &Seen) -> Seen {
        let found = |(lane, row): (&LaneName, LedgerRow)| {
            Some((lane.clone(), self.ledger.get(&(row.partition, row.bucket))?.clone()))
        };
        let mut seen = Seen::new();
        for (lane, found) in ledger_rows(sequences).into_iter().filter_map(found) {
            let into = seen.entry(lane).or_default();
            found.ranges().for_each(|range| into.insert(range));
        }
        seen
    }

    /// Inserts a notice; one that is there stays.
    fn insert(&mut self, row: &NoticeRow) {
        self.notices.entry(row.sort.clone()).or_insert_with(|| row.clone());
    }

    /// What is due to be told now.
    pub(crate) fn due(&self, now_ms: i64) -> Vec<NoticeRow> {
        let due = self.notices.values().filter(|row| row.is_pending() && row.due_ms <= now_ms);
        due.cloned().collect()
    }

    /// Whether nothing is left to be told.
    pub(crate) fn is_told(&self) -> bool {
        self.notices.values().all(|row| !row.is_pending())
    }

    /// One step of telling. `whole`: all of it, or what comes first of several writes.
    pub(crate) fn perform(&mut self, telling: &Telling, at_once: u32, now_ms: i64, whole: bool) -> Outcome {
        let row = &telling.row;
        match &telling.step {
            Step::Claim => self.claim(row, now_ms),
            Step::Look => Outcome::Looked(self.look(row)),
            Step::Place(said) => self.place(row, said, at_once, now_ms, whole),
            Step::Settle(sort) => Outcome::Digest(self.notices.get(sort).cloned().map(Box::new)),
            Step::Gather | Step::Members => {
                let (says, due_ms) = (row.members_say(), row.members_due_ms());
                let is_in = |one: &NoticeRow| one.said.as_ref().is_some_and(|said| says.contains(&said.text()));
                let members = self.notices.values().filter(|one| one.is_pending() && one.due_ms == due_ms);
                Outcome::Gathered(members.filter(|one| is_in(one)).cloned().collect())
            }
            Step::Seal(digest) => self.ours(row, |row| row.about = About::Digest(Some(digest.clone()))),
            Step::Mark(follow) => {
                follow.iter().for_each(|follow| self.insert(follow));
                if whole { self.mark(row, now_ms) } else { Outcome::Failed }
            }
            Step::MarkAll(told) => {
                let count = if whole { told.len() } else { told.len() / 2 };
                told[..count].iter().for_each(|(row, _)| drop(self.mark(row, now_ms)));
                if whole { Outcome::Done } else { Outcome::Failed }
            }
            Step::Drop => self.ours(row, |row| row.said = Some(Said::Dropped)),
            Step::Postpone { due_ms, attempts, anew } => self.ours(row, |row| {
                (row.due_ms, row.attempts) = (*due_ms, *attempts);
                row.said = row.said.take().filter(|_| !anew);
            }),
            Step::Publish | Step::Over(_) => Outcome::Failed,
        }
    }

    fn claim(&mut self, row: &NoticeRow, now_ms: i64) -> Outcome {
        match self.notices.get_mut(&row.sort) {
            Some(row) if !row.is_pending() => Outcome::Before,
            Some(row) if row.due_ms <= now_ms => {
                row.due_ms = now_ms + CLAIM_MS;
                Outcome::Claimed(Box::new(row.clone()))
            }
            _ => Outcome::Held,
        }
    }

    fn look(&self, row: &NoticeRow) -> Look {
        let alert = row.alert_sort().unwrap_or_default();
        let is_of = |sort: &String| sort.strip_prefix(&alert).is_some_and(|mark| mark.starts_with('#'));
        let notices = self.notices.iter().filter(|(sort, _)| is_of(sort)).map(|(_, row)| row.clone()).collect();
        let stands = self.alerts.get(&(row.farm.clone(), alert.clone()));
        Look { cleared: stands.is_some_and(|row| row.cleared_ms.is_some()), acknowledged: false, notices }
    }

    fn place(&mut self, row: &NoticeRow, said: &Said, at_once: u32, now_ms: i64, whole: bool) -> Outcome {
        let digest = digest_row(row, now_ms);
        let count = self.counts.entry((row.target.clone(), digest.minute())).or_default();
        *count += 1;
        let is_full = *count > at_once;
        if is_full {
            self.insert(&digest);
        }
        if !whole {
            return Outcome::Failed;
        }
        let (said, due_ms) = match is_full {
            true => (said.within(&digest), digest.members_due_ms()),
            false => (said.clone(), row.due_ms),
        };
        match self.ours(row, |row| (row.said, row.due_ms) = (Some(said), due_ms)) {
            Outcome::Done if is_full => Outcome::Folded,
            outcome => outcome,
        }
    }

    fn mark(&mut self, row: &NoticeRow, now_ms: i64) -> Outcome {
        if let Some(row) = self.notices.get_mut(&row.sort) {
            row.told_ms.get_or_insert(now_ms);
        }
        Outcome::Done
    }

    /// A write that holds only under our claim.
    fn ours(&mut self, claimed: &NoticeRow, write: impl FnOnce(&mut NoticeRow)) -> Outcome {
        match self.notices.get_mut(&claimed.sort).filter(|row| row.is_pending() && row.due_ms == claimed.due_ms) {
            Some(row) => {
                write(row);
                Outcome::Done
            }
            None => Outcome::Held,
        }
    }

    /// Whether the ledger says that this envelope is here.
    pub(crate) fn in_ledger(&self, agent: &AgentId, epoch: Epoch, lane: Lane, seq: Seq) -> bool {
        let bucket = self.ledger.get(&(lane_partition(agent, epoch, lane), seq / LEDGER_BUCKET));
        bucket.is_some_and(|seen| seen.contains(seq))
    }

    /// Whether a block of this name is here.
    pub(crate) fn has_block(&self, agent: &AgentId, device: &str, epoch: Epoch, seq: Seq) -> bool {
        self.blocks.contains_key(&(format!("{agent}/{device}"), (epoch, seq)))
    }

    /// Whether an agent has said that this number will never come, and why.
    pub(crate) fn gap(&self, agent: &AgentId, epoch: Epoch, lane: Lane, seq: Seq) -> Option<&GapRow> {
        let partition = lane_partition(agent, epoch, lane);
        self.gaps.iter().find(|gap| gap.partition == partition && (gap.from..=gap.to).contains(&seq))
    }
}

/// Epochs and numbers of a row's blocks.
fn names_in(row: &ReadingsRow) -> Vec<(Epoch, Seq)> {
    let envelopes = envelopes(&row.block);
    let decoded = envelopes.iter().filter_map(|bytes| Envelope::decode(bytes).ok());
    decoded.map(|envelope| (envelope.epoch, envelope.seq)).collect()
}
