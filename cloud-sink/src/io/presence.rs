//! Looks, again and again, for what no single agent can tell, and tells it: [`crate::presence`] and [`crate::fleet`] done
//! against store and people. Everything that is remembered stands in the store.

use super::store::{Document, MAX_LEDGER_ROWS, Shelf, Store};
use super::{Counts, Stop, clock, fleet};
use crate::answer::AlertState;
use crate::config::{Config, Fleet, Presence};
use crate::notify::{self, Policy};
use crate::place::{AlertRow, AlertStep};
use crate::presence::watch::{Cause, Stage, Step, Watch, Watches, steps};
use crate::presence::{Facts, Look, ROUNDS};
use crate::query;
use anyhow::Result;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::watch;
use windward_protocol::AlertKind;

/// How often the ledger is looked through for what is missing, ms: it is the longest of the tables that are looked at.
const GAPS_EVERY_MS: i64 = 300_000;
/// Most alerts of an agent that are looked at for what it tells itself, the latest first.
const LATEST_ALERTS: u32 = 100;
/// Agents of which that is asked in one look; of more at once the sink tells too.
const ASKED_AGENTS: usize = 50;

/// What it takes to look and to tell.
#[derive(Clone)]
pub struct Lookout {
    pub(super) store: Store,
    pub(super) farm: String,
    policy: Policy,
    presence: Presence,
    pub(super) fleet: Fleet,
}

impl Lookout {
    /// A lookout as the configuration wants it.
    pub fn new(store: Store, config: &Config) -> Self {
        Self {
            store,
            farm: config.farm.clone(),
            policy: config.notify.policy.clone(),
            presence: config.presence.clone(),
            fleet: config.fleet.clone(),
        }
    }

    /// Looks until the sink stops.
    pub(super) async fn run(self, counts: Arc<Counts>, mut stop: watch::Receiver<Stop>) {
        let mut listening_since_ms = None;
        loop {
            let pause = Duration::from_secs(self.presence.every_s.into());
            if tokio::time::timeout(pause, stop.wait_for(|stop| *stop == Stop::Quit)).await.is_ok() {
                return;
            }
            let now_ms = clock::now_ms();
            let is_listening = counts.connected.load(Ordering::Relaxed);
            listening_since_ms = listening_since_ms.filter(|_| is_listening).or(is_listening.then_some(now_ms));
            if let Err(error) = presence_once(&self, listening_since_ms, now_ms).await {
                tracing::error!("presence: {error:#}");
            }
        }
    }

    /// Makes alerts durable, and with them whom to tell.
    pub(super) async fn tell(&self, alerts: Vec<AlertStep>, now_ms: i64) -> Result<()> {
        if alerts.is_empty() {
            return Ok(());
        }
        let of = |step: &AlertStep| notify::notices_for(&step.farm, &self.policy, &step.agent, &step.alert, now_ms);
        let notices = alerts.iter().flat_map(of).collect();
        self.store.commit_alerts(alerts, notices).await
    }
}

/// One look at everything. `listening_since_ms`: since when agents are heard, for a sink that hears nobody finds nobody
/// silent; an invocation by a schedule, whose source is always there, gives 0.
pub async fn presence_once(lookout: &Lookout, listening_since_ms: Option<i64>, now_ms: i64) -> Result<()> {
    // One that fails does not hold the other up.
    let presence = presence(lookout, listening_since_ms, now_ms).await;
    let fleet = if lookout.fleet.enabled { fleet::once(lookout, now_ms).await } else { Ok(()) };
    presence.and(fleet)
}

async fn presence(lookout: &Lookout, listening_since_ms: Option<i64>, now_ms: i64) -> Result<()> {
    let Lookout { store, presence: config, .. } = lookout;
    if !config.enabled {
        return Ok(());
    }
    // By the clock, so that it needs no memory; a look that comes too late leaves it to the next time.
    let is_time = now_ms.rem_euclid(GAPS_EVERY_MS) < i64::from(config.every_s) * 1_000;
    let missing = if is_time { Some(missing(store).await?) } else { None };
    let mut facts = Facts { agents: store.agents().await?, listening_since_ms, missing, told: BTreeSet::new() };
    for _ in 0..ROUNDS {
        let watches = watches(lookout).await?;
        let look = |facts: &Facts| Look { facts, watches: &watches, config, now_ms }.causes();
        let mut causes = look(&facts);
        let asked = told_by_agents(&causes, &watches);
        if !asked.is_empty() && facts.told.is_empty() {
            facts.told = told(store, &lookout.farm, &asked, &facts).await?;
            causes = look(&facts);
        }
        let look = Look { facts: &facts, watches: &watches, config, now_ms };
        let settle_ms = i64::from(config.settle_s) * 1_000;
        let steps = steps(&lookout.farm, &watches, &causes, |watch| look.can_judge(watch), settle_ms, now_ms);
        if !take(lookout, steps, now_ms).await? {
            break;
        }
    }
    Ok(())
}

async fn missing(store: &Store) -> Result<Vec<query::Missing>> {
    let (ledger, reported) = (store.ledger().await?, store.gaps().await?);
    Ok(query::missing(&ledger, ledger.len() < MAX_LEDGER_ROWS, &reported))
}

async fn watches(lookout: &Lookout) -> Result<Watches> {
    let documents = lookout.store.documents(Shelf::Watches, &lookout.farm).await?;
    let read = |document: Document| match serde_json::from_str::<Watch>(&document.text) {
        Ok(watch) => Some((document.key, (document.revision, watch))),
        Err(error) => {
            tracing::warn!(key = document.key, "a watch that this program does not understand: {error}");
            None
        }
    };
    Ok(documents.into_iter().filter_map(read).collect())
}

/// Agents that may tell the same themselves.
fn told_by_agents(causes: &[Cause], watches: &Watches) -> BTreeSet<String> {
    let is_open = |cause: &Cause| {
        let key = crate::presence::watch::key(&cause.agent, cause.kind, &cause.subject);
        watches.get(&key).is_some_and(|(_, watch)| watch.stage == Stage::Open)
    };
    let is_asked =
        |cause: &&Cause| matches!(cause.kind, AlertKind::DeviceSilent | AlertKind::SpoolFilling) && !is_open(cause);
    causes.iter().filter(is_asked).map(|cause| cause.agent.to_string()).take(ASKED_AGENTS).collect()
}

/// What these agents tell, and has not ended.
async fn told(
    store: &Store,
    farm: &str,
    agents: &BTreeSet<String>,
    facts: &Facts,
) -> Result<BTreeSet<(String, String, String)>> {
    let starts = query::starts(&facts.agents);
    let mut told = BTreeSet::new();
    for agent in agents {
        let alerts = store.open_alerts(farm, Some(agent), LATEST_ALERTS).await?;
        let lasts = |row: &AlertRow| query::alert_state(row, &starts) == AlertState::Open;
        told.extend(alerts.into_iter().filter(lasts).map(|row| (row.agent, row.kind, row.device)));
    }
    Ok(told)
}

/// Takes steps: first the alert, then the watch. True when another round has something to do.
async fn take(lookout: &Lookout, steps: Vec<Step>, now_ms: i64) -> Result<bool> {
    let alerts = steps.iter().filter_map(|step| step.alert.clone()).collect();
    lookout.tell(alerts, now_ms).await?;
    let mut is_more = false;
    for step in steps {
        match step.after {
            Some(watch) => {
                let revision = step.before.map_or(1, |before| before + 1);
                let document = Document { key: step.key, revision, text: serde_json::to_string(&watch)? };
                let is_ours = lookout.store.put(Shelf::Watches, &lookout.farm, step.before, &document).await?;
                is_more |= is_ours && (watch.pending.is_some() || watch.stage == Stage::Waiting);
            }
            None => {
                if let Some(before) = step.before {
                    lookout.store.remove(Shelf::Watches, &lookout.farm, &step.key, before).await?;
                }
            }
        }
    }
    Ok(is_more)
}
