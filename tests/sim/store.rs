//! The sink's store in memory, with the semantics of the real ones (`cloud-sink/src/io/sqlite.rs`, `dynamodb.rs`): rows
//! that are there stay, alerts and statistics merge, the ledger only grows, a claim holds until it ends. What is written
//! is durable.

use std::collections::{BTreeMap, BTreeSet};
use windward_protocol::{AgentId, AlertPhase, Envelope, Epoch, Lane, Schema, Seq, SeqSet};
use windward_sink::decode::{Delivery, Known, LaneName, named};
use windward_sink::notify::{CLAIM_MS, Notice, StepResult};
use windward_sink::place::{
    AgentChange, AlertStep, GapRow, LEDGER_BUCKET, LedgerRow, PoisonRow, ReadingsRow, Rows, Seen, StatsRow, envelopes,
    lane_partition, ledger_rows,
};

/// One thing to write, in the order in which they are written: the ledger last.
pub(crate) enum Item<'a> {
    Schema(&'a Schema),
    Readings(&'a ReadingsRow),
    Alert(&'a AlertStep),
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
    pub(crate) notified: bool,
}

#[derive(Debug, Default)]
struct NoticeRow {
    claimed_until_ms: i64,
    told: bool,
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
    notices: BTreeMap<(String, String, String), NoticeRow>,
}

impl Store {
    /// Writes one item. `ledger_forgets`: a bucket is replaced.
    pub(crate) fn write(&mut self, item: &Item<'_>, ledger_forgets: bool) {
        match *item {
            Item::Schema(schema) => {
                self.schemas.insert((schema.agent.clone(), schema.id()), schema.clone());
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

    /// Reserves a notice.
    pub(crate) fn claim(&mut self, notice: &Notice, now_ms: i64) -> StepResult {
        let row = self.notices.entry(key(notice)).or_default();
        if row.told {
            return StepResult::ToldBefore;
        }
        if row.claimed_until_ms > now_ms {
            return StepResult::Held;
        }
        row.claimed_until_ms = now_ms + CLAIM_MS;
        StepResult::Done
    }

    /// Gives a reservation back.
    pub(crate) fn release(&mut self, notice: &Notice) {
        self.notices.entry(key(notice)).or_default().claimed_until_ms = 0;
    }

    /// Records that a notice was told.
    pub(crate) fn mark(&mut self, notice: &Notice) {
        self.notices.entry(key(notice)).or_default().told = true;
        if notice.phase == AlertPhase::Open
            && let Some(row) = self.alerts.get_mut(&(notice.farm.clone(), notice.sort.clone()))
        {
            row.notified = true;
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

fn key(notice: &Notice) -> (String, String, String) {
    (notice.farm.clone(), notice.sort.clone(), notice.mark())
}
