//! Records to rows. Every row is keyed by what it holds or by its envelope's name, and every change of a row is
//! a maximum or a set addition, so that order and repetition make no difference (invariant S2).

mod readings;
mod rows;

pub use readings::{Gathered, envelopes};
pub use rows::*;

use crate::days::Day;
use crate::decode::{LaneName, Poison};
use crate::health::AgentHealth;
use serde_json::json;
use std::collections::BTreeMap;
use windward_protocol::{
    AgentId, Alert, AlertPhase, Envelope, Epoch, Gap, GapReason, Health, Hello, Iso8601, Lane, Quantity, Record,
    SeqRange, SeqSet, Stats,
};

/// Sequences in one item of the ledger.
pub const LEDGER_BUCKET: u64 = 1024;

/// Least mean wind speed at which turbulence intensity is told, m/s: below, it is noise over next to nothing.
const TURBULENT_FROM_MPS: f64 = 1.0;

/// Why numbers are missing that were never given out: no loss.
pub const SKIPPED: &str = "never given out";

/// Most bytes of a refused message that are kept.
pub const MAX_POISON_BYTES: usize = 128 * 1024;

/// Adds what one envelope says to `rows`, blocks of readings and the ledger excepted.
pub fn place(farm: &str, envelope: &Envelope, now_ms: i64, rows: &mut Rows) {
    match &envelope.record {
        // Gathered by `readings::Gathered`, for those that come together are one row.
        Record::Block(_) => {}
        Record::Alert(alert) => rows.alerts.push(alert_step(farm, envelope, alert)),
        Record::Stats(stats) => {
            let row = stats_row(&envelope.agent, stats);
            rows.days.insert(Day::of(farm, &row.partition, stats.start_ms));
            rows.stats.push(row);
        }
        Record::Gap(gap) => rows.gaps.push(gap_row(envelope, gap)),
        Record::Health(health) => rows.agents.push(health_change(&envelope.agent, health, now_ms)),
        Record::Hello(hello) => rows.agents.push(hello_change(envelope, hello)),
        // It is for whoever gave the command, who listens on the same topic.
        Record::Answer(_) => {}
    }
}

/// The row of something refused.
pub fn poison_row(topic: &str, poison: Poison, now_ms: i64) -> PoisonRow {
    let digest = fnv1a(topic.as_bytes().iter().chain(&[0]).chain(&poison.bytes));
    let sort = format!("{digest:016x}-{}", poison.bytes.len());
    let mut bytes = poison.bytes;
    bytes.truncate(MAX_POISON_BYTES);
    PoisonRow {
        partition: poison.agent.map_or_else(|| "-".into(), |agent| agent.to_string()),
        sort,
        topic: topic.into(),
        reason: poison.reason,
        at_ms: now_ms,
        bytes,
    }
}

/// The ledger's rows for these sequences, each with its lane.
pub fn ledger_rows(seen: &Seen) -> Vec<(&LaneName, LedgerRow)> {
    let mut rows = Vec::new();
    for (lane, seen) in seen {
        let mut buckets: BTreeMap<u64, SeqSet> = BTreeMap::new();
        for SeqRange { first, last } in seen.ranges() {
            for bucket in first / LEDGER_BUCKET..=last / LEDGER_BUCKET {
                let start = bucket * LEDGER_BUCKET;
                let range = SeqRange { first: first.max(start), last: last.min(start + (LEDGER_BUCKET - 1)) };
                buckets.entry(bucket).or_default().insert(range);
            }
        }
        let partition = lane_partition(&lane.0, lane.1, lane.2);
        let row = |(bucket, seen)| (lane, LedgerRow { partition: partition.clone(), bucket, seen });
        rows.extend(buckets.into_iter().map(row));
    }
    rows
}

/// `<agent>#<epoch>#<lane>`, the partition of ledger and gaps.
pub fn lane_partition(agent: &AgentId, epoch: Epoch, lane: Lane) -> String {
    format!("{agent}#{epoch:016x}#{lane}")
}

/// `<opened time>#<agent>#<id>`, the sort key of an alert.
pub fn alert_sort(agent: &AgentId, alert: &Alert) -> String {
    format!("{}#{agent}#{:016x}", sortable_time(alert.opened_ms), alert.id)
}

/// A time whose text order is its order: ISO 8601, held within the years 0000 to 9999 of that form.
pub fn sortable_time(ms: i64) -> String {
    const YEAR_0: i64 = -62_167_219_200_000;
    const YEAR_9999_END: i64 = 253_402_300_799_999;
    Iso8601(ms.clamp(YEAR_0, YEAR_9999_END)).to_string()
}

fn alert_step(farm: &str, envelope: &Envelope, alert: &Alert) -> AlertStep {
    let describes = u8::from(alert.phase != AlertPhase::Clear);
    AlertStep {
        farm: farm.into(),
        sort: alert_sort(&envelope.agent, alert),
        agent: envelope.agent.clone(),
        said: format!("{describes}#{}#{:016x}#{:020}", sortable_time(alert.at_ms), envelope.epoch, envelope.seq),
        alert: alert.clone(),
    }
}

fn stats_row(agent: &AgentId, stats: &Stats) -> StatsRow {
    let quantity = stats.channel.quantity;
    let figure = |value| finite(value).filter(|_| stats.n > 0);
    let end = |value| figure(value).filter(|_| quantity != Quantity::WindDirection);
    let is_turbulent = quantity == Quantity::WindSpeed && stats.mean >= TURBULENT_FROM_MPS;
    StatsRow {
        partition: format!("{agent}/{}/{}", stats.device, stats.channel.name),
        sort: sortable_time(stats.start_ms),
        unit: stats.channel.unit.clone(),
        window_ms: stats.window_ms,
        n: stats.n,
        due: stats.due,
        mean: figure(stats.mean),
        min: end(stats.min),
        max: end(stats.max),
        std: figure(stats.std),
        turbulence: figure(stats.std / stats.mean).filter(|_| is_turbulent),
        gust_3s: stats.gust_3s.and_then(figure),
    }
}

fn gap_row(envelope: &Envelope, gap: &Gap) -> GapRow {
    GapRow {
        partition: lane_partition(&envelope.agent, envelope.epoch, gap.lane),
        from: gap.from,
        to: gap.to,
        reason: match gap.reason {
            GapReason::PowerCut => "power cut",
            GapReason::Damage => "damaged medium",
            GapReason::SpaceEnded => "space ended",
            GapReason::Refused => "refused by the agent's store",
            GapReason::TooOld => "kept for too long",
            GapReason::Skipped => SKIPPED,
        }
        .into(),
    }
}

fn health_change(agent: &AgentId, health: &Health, now_ms: i64) -> AgentChange {
    AgentChange::Health {
        agent: agent.clone(),
        heard_ms: now_ms,
        // An agent whose clock runs ahead is not seen in the future.
        seen_ms: health.online.then_some(health.at_ms.min(now_ms)),
        online: health.online,
        health: health.online.then(|| AgentHealth::of(health).write()),
    }
}

fn hello_change(envelope: &Envelope, hello: &Hello) -> AgentChange {
    AgentChange::Hello {
        agent: envelope.agent.clone(),
        epoch: envelope.epoch,
        at_ms: hello.at_ms,
        version: hello.version.clone(),
        manifest: json!(hello.devices).to_string(),
    }
}

pub(crate) fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

/// A score is kept to hundredths; as a double it would show its single-precision tail.
pub(crate) fn two_decimals(score: f32) -> f64 {
    (f64::from(score) * 100.0).round() / 100.0
}

/// FNV-1a, 64 bits (Fowler, Noll, Vo): names bytes, protects nothing.
pub(crate) fn fnv1a<'a>(bytes: impl Iterator<Item = &'a u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}
