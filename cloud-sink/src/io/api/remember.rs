//! What was read last, of those who are not heard here: before this sink started, or by another sink on the same store.

use super::Shared;
use crate::days::manifest;
use crate::io::Stop;
use crate::io::clock::now_ms;
use crate::io::store::Span;
use crate::place::AgentRow;
use crate::recent::{STEP_MS, STEPS};
use std::time::Duration;
use tokio::sync::watch;

/// How often it is looked for.
const EVERY: Duration = Duration::from_secs(30);
/// As far back as tiles show.
const BACK_MS: i64 = STEP_MS * STEPS as i64;
/// Most rows of a device in one look: half an hour of one a second.
const MAX_ROWS: u64 = 2_000;

/// Looks for it in the store, at once and then again and again, until the sink stops.
pub(in crate::io) async fn remember(shared: Shared, mut stop: watch::Receiver<Stop>) {
    loop {
        if let Err(error) = look(&shared).await {
            tracing::warn!("tiles show no wind of agents that are not heard here: {error:#}");
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            _ = stop.wait_for(|stop| *stop != Stop::Run) => return,
        }
    }
}

async fn look(shared: &Shared) -> anyhow::Result<()> {
    let now_ms = now_ms();
    for agent in shared.store.agents().await? {
        let newest_ms = shared.latest.read().newest_ms(&agent.agent);
        let from_ms = newest_ms.map_or(i64::MIN, |newest_ms| newest_ms + 1).max(now_ms - BACK_MS);
        // Of one that is heard here nothing is missing, and of one that nobody hears there is nothing.
        let is_heard = newest_ms.is_some_and(|newest_ms| now_ms - newest_ms < 2 * STEP_MS);
        if !is_heard && agent.seen_ms.is_some_and(|seen_ms| seen_ms >= from_ms) {
            of_agent(shared, &agent, from_ms, now_ms).await?;
        }
    }
    Ok(())
}

async fn of_agent(shared: &Shared, agent: &AgentRow, from_ms: i64, to_ms: i64) -> anyhow::Result<()> {
    for device in manifest(agent) {
        let partition = format!("{}/{}", agent.agent, device.device);
        let span = Span { partition: partition.clone(), from_ms, to_ms, after: None, limit: MAX_ROWS };
        let found = shared.store.summaries(&span).await?;
        shared.latest.change(|recent| {
            for row in &found.rows {
                recent.note_summaries(&partition, row.first_ms, row.last_ms, &row.channels);
            }
        });
    }
    Ok(())
}
