//! What a commit writes: all of it in one transaction.

use super::{Sqlite, archive, outbox, presence};
use crate::place::{AgentChange, AlertStep, LEDGER_BUCKET, LedgerRow, ReadingsRow, Rows, Seen, StatsRow, ledger_rows};
use anyhow::Result;
use rusqlite::{Connection, OptionalExtension, Params, Transaction, named_params, params};
use std::collections::BTreeMap;
use std::sync::Arc;
use windward_protocol::{AlertPhase, SeqRange, SeqSet};

impl Sqlite {
    pub(in crate::io) async fn commit(&self, rows: Arc<Rows>) -> Result<Seen> {
        self.write(move |tx| {
            insert_readings(tx, &rows.readings)?;
            for step in &rows.alerts {
                merge_alert(tx, step)?;
            }
            outbox::insert(tx, &rows.notices)?;
            for row in &rows.stats {
                merge_stats(tx, "stats", row)?;
            }
            for day in &rows.days {
                presence::make_day(tx, day)?;
            }
            for change in &rows.agents {
                change_agent(tx, change)?;
            }
            for row in &rows.gaps {
                run(
                    tx,
                    "INSERT OR IGNORE INTO gaps VALUES (?, ?, ?, ?)",
                    params![row.partition, row.from as i64, row.to as i64, row.reason],
                )?;
            }
            for row in &rows.poison {
                run(
                    tx,
                    "INSERT OR IGNORE INTO poison VALUES (?, ?, ?, ?, ?, ?)",
                    params![row.partition, row.sort, row.topic, row.reason, row.at_ms, row.bytes],
                )?;
            }
            for schema in &rows.schemas {
                run(
                    tx,
                    "INSERT OR IGNORE INTO schemas VALUES (?, ?, ?)",
                    params![schema.agent.as_str(), schema.id().to_string(), schema.encode()],
                )?;
            }
            archive::touch(tx, &rows.hours)?;
            let mut before = Seen::new();
            for (lane, row) in ledger_rows(&rows.ledger) {
                add_to_ledger(tx, &row, before.entry(lane.clone()).or_default())?;
            }
            Ok(before)
        })
        .await
    }
}

/// Runs a statement that is prepared once a connection: that takes longer than to insert a row.
fn run(tx: &Transaction<'_>, sql: &str, values: impl Params) -> rusqlite::Result<usize> {
    tx.prepare_cached(sql)?.execute(values)
}

/// Longest block of a row that takes more in, bytes: each time it is written anew.
const MOST_JOINED: usize = 4096;

/// What follows a row within its minute goes into that row. What that cannot hold is a row of its own.
pub(super) fn insert_readings(tx: &Transaction<'_>, rows: &[ReadingsRow]) -> Result<()> {
    let mut insert = tx.prepare_cached("INSERT OR IGNORE INTO readings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?;
    for row in rows {
        if row.block.len() < MOST_JOINED && follows(tx, row)? {
            continue;
        }
        insert.execute(params![
            row.partition,
            row.sort,
            row.agent.as_str(),
            row.device,
            row.location,
            row.first_ms,
            row.last_ms,
            row.n,
            row.synced,
            serde_json::to_string(&row.channels)?,
            row.block
        ])?;
    }
    Ok(())
}

/// Whether the row before this one has taken it in, now or once before.
fn follows(tx: &Transaction<'_>, row: &ReadingsRow) -> Result<bool> {
    let mut select = tx.prepare_cached(
        "SELECT * FROM readings WHERE partition = ?1 AND sort < ?2 AND sort > substr(?2, 1, 17) ORDER BY sort DESC LIMIT 1",
    )?;
    let before = select.query_row(params![row.partition, row.sort], |found| {
        let channels = serde_json::from_str(&found.get::<_, String>("channels")?).unwrap_or_default();
        Ok(ReadingsRow {
            partition: found.get("partition")?,
            sort: found.get("sort")?,
            agent: row.agent.clone(),
            device: found.get("device")?,
            location: found.get("location")?,
            first_ms: found.get("first_ms")?,
            last_ms: found.get("last_ms")?,
            n: found.get("n")?,
            synced: found.get("synced")?,
            channels,
            block: found.get("block")?,
        })
    });
    let Some(mut before) = before.optional()? else { return Ok(false) };
    match before.take(row, MOST_JOINED) {
        None => return Ok(false),
        Some(false) => {}
        Some(true) => {
            run(
                tx,
                "UPDATE readings SET first_ms = ?, last_ms = ?, n = ?, channels = ?, block = ? WHERE partition = ? AND sort = ?",
                params![
                    before.first_ms,
                    before.last_ms,
                    before.n,
                    serde_json::to_string(&before.channels)?,
                    before.block,
                    before.partition,
                    before.sort
                ],
            )?;
        }
    }
    Ok(true)
}

/// The description with the greatest rank stays, and the latest end: in whatever order the steps come.
fn merge_alert(tx: &Transaction<'_>, step: &AlertStep) -> Result<()> {
    let alert = &step.alert;
    run(
        tx,
        "INSERT INTO alerts (farm, sort, agent, id, said, location, device, channel, kind, severity, opened_ms, at_ms,
             value, unit, wind_speed, anomaly_score, threshold, evidence)
         VALUES (:farm, :sort, :agent, :id, :said, :location, :device, :channel, :kind, :severity, :opened_ms, :at_ms,
             :value, :unit, :wind_speed, :anomaly_score, :threshold, :evidence)
         ON CONFLICT DO UPDATE SET said = excluded.said, location = excluded.location, device = excluded.device,
             channel = excluded.channel, kind = excluded.kind, severity = excluded.severity, at_ms = excluded.at_ms,
             value = excluded.value, unit = excluded.unit, wind_speed = excluded.wind_speed,
             anomaly_score = excluded.anomaly_score, threshold = excluded.threshold, evidence = excluded.evidence
         WHERE excluded.said > alerts.said",
        named_params! {
            ":farm": step.farm, ":sort": step.sort, ":agent": step.agent.as_str(), ":id": format!("{:016x}", alert.id),
            ":said": step.said, ":location": alert.location, ":device": alert.device, ":channel": alert.channel,
            ":kind": alert.kind.name(), ":severity": alert.severity.name(), ":opened_ms": alert.opened_ms,
            ":at_ms": alert.at_ms, ":value": alert.value, ":unit": alert.unit, ":wind_speed": alert.wind_speed,
            ":anomaly_score": alert.score, ":threshold": alert.threshold, ":evidence": alert.evidence,
        },
    )?;
    if alert.phase == AlertPhase::Clear {
        run(
            tx,
            "UPDATE alerts SET cleared_ms = max(coalesce(cleared_ms, ?1), ?1) WHERE farm = ?2 AND sort = ?3",
            params![alert.at_ms, step.farm, step.sort],
        )?;
    }
    Ok(())
}

/// Of two rows of one window, or of one day, the one with the greater (n, due, mean) stays.
pub(super) fn merge_stats(tx: &Transaction<'_>, table: &str, row: &StatsRow) -> Result<()> {
    run(
        tx,
        &format!(
            "INSERT INTO {table} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT DO UPDATE SET unit = excluded.unit, window_ms = excluded.window_ms, n = excluded.n,
                 due = excluded.due, mean = excluded.mean, min = excluded.min, max = excluded.max, std = excluded.std,
                 turbulence = excluded.turbulence, gust_3s = excluded.gust_3s
             WHERE (excluded.n, excluded.due, coalesce(excluded.mean, 0)) > (n, due, coalesce(mean, 0))"
        ),
        params![
            row.partition,
            row.sort,
            row.unit,
            row.window_ms,
            row.n,
            row.due,
            row.mean,
            row.min,
            row.max,
            row.std,
            row.turbulence,
            row.gust_3s
        ],
    )?;
    Ok(())
}

fn change_agent(tx: &Transaction<'_>, change: &AgentChange) -> Result<()> {
    match change {
        AgentChange::Hello { agent, epoch, at_ms, version, manifest } => run(
            tx,
            "INSERT INTO agents (agent, epoch, version, started_ms, manifest) VALUES (?, ?, ?, ?, ?)
                 ON CONFLICT DO UPDATE SET epoch = excluded.epoch, version = excluded.version,
                     started_ms = excluded.started_ms, manifest = excluded.manifest
                 WHERE excluded.started_ms >= coalesce(agents.started_ms, excluded.started_ms)",
            params![agent.as_str(), format!("{epoch:016x}"), version, at_ms, manifest],
        )?,
        AgentChange::Health { agent, heard_ms, seen_ms, online, health } => run(
            tx,
            "INSERT INTO agents (agent, heard_ms, seen_ms, online, health) VALUES (?, ?, ?, ?, ?)
                 ON CONFLICT DO UPDATE SET heard_ms = excluded.heard_ms, online = excluded.online,
                     seen_ms = coalesce(excluded.seen_ms, agents.seen_ms),
                     health = coalesce(excluded.health, agents.health)
                 WHERE excluded.heard_ms >= coalesce(agents.heard_ms, excluded.heard_ms)",
            params![agent.as_str(), heard_ms, seen_ms, online, health],
        )?,
        AgentChange::Heard { agent, at_ms, devices } => {
            let devices: BTreeMap<&String, i64> = devices.iter().map(|device| (device, *at_ms)).collect();
            run(
                tx,
                "INSERT INTO agents (agent, alive_ms, devices) VALUES (?, ?, ?)
                 ON CONFLICT DO UPDATE SET alive_ms = excluded.alive_ms,
                     devices = json_patch(agents.devices, excluded.devices)
                 WHERE excluded.alive_ms > coalesce(agents.alive_ms, excluded.alive_ms - 1)",
                params![agent.as_str(), at_ms, serde_json::to_string(&devices)?],
            )?
        }
    };
    Ok(())
}

/// Adds to a bucket's bit set, and to `before` what it held.
fn add_to_ledger(tx: &Transaction<'_>, row: &LedgerRow, before: &mut SeqSet) -> Result<()> {
    let mut bits = bits_of(tx, row)?.unwrap_or_else(|| vec![0; LEDGER_BUCKET as usize / 8]);
    members(row.bucket, &bits, before);
    for seq in row.seen.ranges().flat_map(|range| range.first..=range.last) {
        let rest = (seq % LEDGER_BUCKET) as usize;
        bits[rest / 8] |= 1 << (rest % 8);
    }
    let written = params![row.partition, row.bucket as i64, bits];
    run(tx, "INSERT OR REPLACE INTO ledger VALUES (?, ?, ?)", written)?;
    Ok(())
}

/// The bit set of a bucket, where there is one.
pub(super) fn bits_of(db: &Connection, row: &LedgerRow) -> Result<Option<Vec<u8>>> {
    let mut statement = db.prepare_cached("SELECT seen FROM ledger WHERE partition = ? AND bucket = ?")?;
    Ok(statement.query_row(params![row.partition, row.bucket as i64], |row| row.get(0)).optional()?)
}

/// Adds the members of a bucket's bit set to `seen`: run by run, for where nothing is missing there is one.
pub(super) fn members(bucket: u64, bits: &[u8], seen: &mut SeqSet) {
    let is_set = |bit: u64| bits.get(bit as usize / 8).is_some_and(|byte| byte & (1 << (bit % 8)) != 0);
    let (first, mut begun) = (bucket * LEDGER_BUCKET, None);
    // One more, which is not set, ends the last run.
    for bit in 0..=bits.len() as u64 * 8 {
        match (is_set(bit), begun) {
            (true, None) => begun = Some(bit),
            (false, Some(from)) => {
                seen.insert(SeqRange { first: first + from, last: first + bit - 1 });
                begun = None;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bit_set_is_read_as_the_sequences_that_it_holds() {
        for bits in [vec![0; 128], vec![255; 128], vec![0b1010_0110, 0, 255, 1, 0, 128], vec![1]] {
            let one_by_one = (0..bits.len() as u64 * 8).filter(|bit| bits[*bit as usize / 8] & (1 << (bit % 8)) != 0);
            let expected: SeqSet = one_by_one.map(|bit| 2 * LEDGER_BUCKET + bit).collect();
            let mut seen = SeqSet::new();
            members(2, &bits, &mut seen);
            assert_eq!(seen, expected, "{bits:?}");
        }
    }
}
