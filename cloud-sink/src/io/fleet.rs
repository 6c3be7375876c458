//! The comparison of neighbours done against the store: windows in, baselines and alerts out.

use super::presence::Lookout;
use super::store::{Document, Shelf, Store};
use crate::fleet::turbine::{Turbine, Windows};
use crate::fleet::{Baseline, Tuning, WINDOW_MS, judge};
use crate::place::StatsRow;
use anyhow::Result;
use std::collections::BTreeMap;

/// How long after its end a window is judged, ms: what comes later is not compared.
const LAG_MS: i64 = 300_000;
/// For so long after that it is looked whether there is one to judge, ms: baselines are too many to read them every few
/// seconds. What failed in that time is made up for after the next window.
const LOOK_MS: i64 = 60_000;
/// Most windows that are made up for after a standstill: six hours.
const MAX_WINDOWS: i64 = 36;
/// Where the last window judged is kept; no agent has this name.
const CURSOR: &str = "#cursor";

/// Judges the windows that have ended since the last one judged, each once: a baseline is written over the one that was
/// read, and under the window it has come to. A sink that dies in between tells the same again under the same names.
pub(super) async fn once(lookout: &Lookout, now_ms: i64) -> Result<()> {
    if (now_ms - LAG_MS).rem_euclid(WINDOW_MS) >= LOOK_MS {
        return Ok(());
    }
    let latest_ms = (now_ms - LAG_MS).div_euclid(WINDOW_MS) * WINDOW_MS - WINDOW_MS;
    let (store, farm) = (&lookout.store, lookout.farm.as_str());
    let kept = Kept::read(store, farm).await?;
    let earliest_ms = latest_ms - (MAX_WINDOWS - 1) * WINDOW_MS;
    let from_ms = kept.cursor_ms.map_or(latest_ms, |cursor_ms| (cursor_ms + WINDOW_MS).max(earliest_ms));
    if from_ms > latest_ms {
        return Ok(());
    }
    let agents = store.agents().await?;
    let turbines: BTreeMap<String, Turbine> =
        agents.iter().filter_map(|row| Some((row.agent.clone(), Turbine::of(row)?))).collect();
    let mut windows = Windows::new();
    for turbine in turbines.values() {
        turbine.add(rows(store, turbine, from_ms, latest_ms).await?, &mut windows);
    }
    let tuning = Tuning { cut_in_mps: lookout.fleet.cut_in_mps, ..Tuning::default() };
    let (mut baselines, mut alerts) = (kept.baselines.clone(), Vec::new());
    for (window_ms, means) in &windows {
        for (name, (baseline, told)) in judge(&baselines, means, *window_ms, &tuning) {
            // Of a turbine that another sink has brought further, nothing is said twice.
            let is_new = kept.revisions.get(&name).is_none_or(|revision| revision < window_ms);
            if let Some(turbine) = turbines.get(&name).filter(|_| is_new) {
                alerts.extend(told.iter().map(|told| turbine.step(farm, told)));
                baselines.insert(name, baseline);
            }
        }
    }
    lookout.tell(alerts, now_ms).await?;
    for (name, baseline) in &baselines {
        if kept.baselines.get(name) != Some(baseline) {
            let document = Document { key: name.clone(), revision: latest_ms, text: serde_json::to_string(baseline)? };
            store.put(Shelf::Fleet, farm, kept.revisions.get(name).copied(), &document).await?;
        }
    }
    // Last, because it vouches for the others.
    let cursor = Document { key: CURSOR.into(), revision: latest_ms, text: String::new() };
    store.put(Shelf::Fleet, farm, kept.cursor_ms, &cursor).await?;
    Ok(())
}

#[derive(Default)]
struct Kept {
    cursor_ms: Option<i64>,
    baselines: BTreeMap<String, Baseline>,
    revisions: BTreeMap<String, i64>,
}

impl Kept {
    async fn read(store: &Store, farm: &str) -> Result<Self> {
        let mut kept = Kept::default();
        for Document { key, revision, text } in store.documents(Shelf::Fleet, farm).await? {
            if key == CURSOR {
                kept.cursor_ms = Some(revision);
                continue;
            }
            // One that this program does not understand is learned anew.
            kept.baselines.insert(key.clone(), serde_json::from_str(&text).unwrap_or_default());
            kept.revisions.insert(key, revision);
        }
        Ok(kept)
    }
}

async fn rows(store: &Store, turbine: &Turbine, from_ms: i64, to_ms: i64) -> Result<[Vec<StatsRow>; 3]> {
    let mut rows = [Vec::new(), Vec::new(), Vec::new()];
    for (rows, partition) in rows.iter_mut().zip(turbine.partitions()) {
        if let Some(partition) = partition {
            *rows = store.stats(&partition, from_ms, to_ms, MAX_WINDOWS as u32).await?;
        }
    }
    Ok(rows)
}
