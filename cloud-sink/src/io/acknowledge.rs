//! Acknowledges an alert by the id that people are given.

use super::clock::now_ms;
use super::store::Store;
use crate::access::Role;
use crate::place::Deed;
use anyhow::{Context as _, Result, bail, ensure};
use windward_protocol::AgentId;

/// Alerts that are looked through, the latest opened first: of those that have no end, and of all.
const LATEST: u32 = 10_000;

/// Keeps that `by` sees to the alert of this id, and says in words what stands now.
pub async fn by_id(
    store: &Store,
    farm: &str,
    id: u64,
    agent: Option<&AgentId>,
    by: &str,
    note: &str,
) -> Result<String> {
    let agent = agent.map(AgentId::as_str);
    let mut alerts = store.open_alerts(farm, agent, LATEST).await?;
    if alerts.iter().all(|alert| alert.id != id) {
        alerts = store.alerts(farm, agent, LATEST).await?;
    }
    let mut of_id = alerts.iter().filter(|alert| alert.id == id);
    let alert =
        of_id.next().with_context(|| format!("none of the {} latest alerts has the id {id:016x}", alerts.len()))?;
    if let Some(other) = of_id.next().filter(|other| other.agent != alert.agent) {
        bail!("{} and {} both have an alert {id:016x}; say which one by --agent", alert.agent, other.agent);
    }
    ensure!(alert.cleared_ms.is_none(), "alert {id:016x} has ended already; there is nothing to see to");
    let about = format!("{} {id:016x}, {} at {}", alert.agent, alert.kind, alert.location);
    // Whoever may open the store may do all.
    let deed = Deed { at_ms: now_ms(), who: by.into(), role: Role::Admin, what: "acknowledge".into(), about };
    store.note_deed(farm, &deed).await?;
    let stands = store.acknowledge(farm, &alert.sort, by, note, now_ms()).await?;
    let stands = stands.context("the alert is gone")?;
    Ok(format!("{} at {}: {} sees to it", alert.kind, alert.location, stands.by))
}
