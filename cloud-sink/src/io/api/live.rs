//! What changes, as it changes: server-sent events for pages that stay open.
//!
//! One task looks at the farm every two seconds, and at once when an alert comes or somebody says something of one, for
//! as long as anybody listens; what it finds changed is made text once and given to all. A client that is too slow for
//! that is hung up on: it comes again, and asks anew.

use super::ask::{self, Asked};
use super::problem::{Problem, Refusal};
use super::{LATEST_ALERTS, Latest, Shared};
use crate::answer::{Alert, Tile};
use crate::io::Stop;
use crate::io::clock::now_ms;
use crate::place::{AlertRow, ReadingsRow, Rows};
use crate::{overview, query};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, Sse};
use futures_util::stream::{self, Stream};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, broadcast, watch};
use utoipa::ToSchema;

/// Most clients at a time.
const MAX_CLIENTS: usize = 1_000;
/// Most agents whose readings one client follows.
const MAX_FOLLOWED: usize = 8;
/// Messages that a client may be behind.
const BACKLOG: usize = 256;
/// How often the farm is looked at: what tiles of hundreds of turbines cost a page that is open all day is half of what
/// it is at a second. Readings and alerts do not wait for it.
const LOOK: Duration = Duration::from_secs(2);
/// Shortest time between two looks.
const REST: Duration = Duration::from_millis(100);
/// A client that hears nothing for so long is told the time.
const HELLO: Duration = Duration::from_secs(15);

/// One event, for all or for those who follow an agent.
#[derive(Clone)]
struct Message {
    agent: Option<Arc<str>>,
    event: &'static str,
    data: Arc<str>,
}

/// The one who tells, and those who listen.
#[derive(Clone)]
pub(in crate::io) struct Live {
    out: broadcast::Sender<Message>,
    room: Arc<Semaphore>,
    /// How many clients follow an agent's readings.
    followed: Arc<Mutex<BTreeMap<Arc<str>, usize>>>,
    alert: Arc<Notify>,
    /// Whether a look has been had at what stands, so that what changes from then on is told.
    based: watch::Sender<bool>,
    latest: Latest,
}

impl Live {
    pub(in crate::io) fn new(latest: Latest) -> Self {
        let (out, _) = broadcast::channel(BACKLOG);
        let room = Arc::new(Semaphore::new(MAX_CLIENTS));
        let based = watch::Sender::new(false);
        Self { out, room, followed: Arc::default(), alert: Arc::default(), based, latest }
    }

    /// Notes what was committed, and tells it to those who listen.
    pub(in crate::io) fn committed(&self, rows: &Rows) {
        self.latest.change(|recent| rows.readings.iter().for_each(|row| recent.note(row)));
        if !rows.alerts.is_empty() {
            self.alert.notify_one();
        }
        let followed = self.followed();
        if followed.is_empty() {
            return;
        }
        for row in &rows.readings {
            if let Some((agent, _)) = followed.get_key_value(row.agent.as_str()) {
                self.tell(Some(agent.clone()), "readings", moments(row).into());
            }
        }
    }

    /// Has the farm looked at now: what somebody said of an alert is news to others.
    pub(super) fn look_soon(&self) {
        self.alert.notify_one();
    }

    /// How many listen.
    pub(super) fn clients(&self) -> usize {
        MAX_CLIENTS - self.room.available_permits()
    }

    fn tell(&self, agent: Option<Arc<str>>, event: &'static str, data: Arc<str>) {
        // An error says that nobody listens.
        drop(self.out.send(Message { agent, event, data }));
    }

    fn followed(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, usize>> {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The moments of a row that was just stored.
fn moments(row: &ReadingsRow) -> String {
    let mut rows = Vec::new();
    for block in query::blocks(std::slice::from_ref(&row.block)) {
        rows.extend(block.rows().iter().map(|row| query::moment(row, &block.channels, block.synced)));
    }
    rows.sort_by_key(|row| row.time_ms);
    json!({ "agent": row.agent.as_str(), "device": row.device, "rows": rows }).to_string()
}

/// What was told last.
#[derive(Default)]
struct Seen {
    tiles: BTreeMap<String, Tile>,
    /// By agent and number; `None` before the first look.
    alerts: Option<BTreeMap<(String, String), Alert>>,
}

/// Looks at the farm for those who listen, until the sink quits.
pub(in crate::io) async fn watch(shared: Shared, mut stop: watch::Receiver<Stop>) {
    let mut seen = Seen::default();
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = shared.live.alert.notified() => {}
            _ = stop.wait_for(|stop| *stop == Stop::Quit) => return,
        }
        if shared.live.out.receiver_count() == 0 {
            // Who comes from now on waits for the next look.
            shared.live.based.send_replace(false);
            if shared.live.out.receiver_count() == 0 {
                seen = Seen::default();
                continue;
            }
        }
        match look(&shared, &mut seen).await {
            Ok(()) => drop(shared.live.based.send_replace(true)),
            Err(error) => tracing::warn!("pages are told nothing for now: {error:#}"),
        }
        // A storm of alerts is not a look each.
        tokio::time::sleep(REST).await;
    }
}

/// Tells what has changed since the last look. The first look tells nothing of alerts: who listens asks for them after it.
async fn look(shared: &Shared, seen: &mut Seen) -> anyhow::Result<()> {
    let agents = shared.store.agents().await?;
    let mut rows = shared.alerts_now().await?;
    rows.extend(ended(shared, seen, &rows).await?);
    let now_ms = now_ms();
    let mut changed = overview::tiles(&agents, &rows, &shared.latest.read(), now_ms);
    changed.retain(|tile| seen.tiles.get(&tile.agent) != Some(tile));
    if !changed.is_empty() {
        shared.live.tell(None, "overview", json!({ "now_ms": now_ms, "turbines": changed }).to_string().into());
    }
    seen.tiles.extend(changed.into_iter().map(|tile| (tile.agent.clone(), tile)));
    let starts = query::starts(&agents);
    let before = seen.alerts.take();
    let alerts: BTreeMap<(String, String), Alert> = rows
        .iter()
        .map(|row| query::alert(row, &starts))
        .map(|alert| ((alert.agent.clone(), alert.id.clone()), alert))
        .collect();
    if let Some(before) = before {
        let mut news: Vec<&Alert> =
            alerts.iter().filter(|(key, alert)| before.get(key) != Some(alert)).map(|(_, alert)| alert).collect();
        news.sort_by_key(|alert| alert.opened_ms);
        for alert in news {
            shared.live.tell(None, "alert", json!(alert).to_string().into());
        }
    }
    seen.alerts = Some(alerts);
    Ok(())
}

/// What lasted at the last look and is neither among those that last now nor among the latest.
async fn ended(shared: &Shared, seen: &Seen, rows: &[AlertRow]) -> anyhow::Result<Vec<AlertRow>> {
    let known: BTreeSet<(&str, u64)> = rows.iter().map(|row| (&*row.agent, row.id)).collect();
    let lasted = seen.alerts.iter().flat_map(BTreeMap::values).filter(|alert| alert.cleared_ms.is_none());
    let lasted = lasted.filter_map(|alert| Some((&*alert.agent, u64::from_str_radix(&alert.id, 16).ok()?)));
    let mut ended = Vec::new();
    for (agent, id) in lasted.filter(|key| !known.contains(key)).take(LATEST_ALERTS as usize) {
        ended.extend(shared.store.alert(&shared.farm, agent, id).await?);
    }
    Ok(ended)
}

/// One who listens.
struct Client {
    messages: broadcast::Receiver<Message>,
    stop: watch::Receiver<Stop>,
    agents: BTreeSet<Arc<str>>,
    live: Live,
    greeted: bool,
    _room: OwnedSemaphorePermit,
}

impl Drop for Client {
    fn drop(&mut self) {
        let mut followed = self.live.followed();
        for agent in &self.agents {
            if let Some(clients) = followed.get_mut(agent) {
                *clients -= 1;
                if *clients == 0 {
                    followed.remove(agent);
                }
            }
        }
    }
}

impl Client {
    /// The next event; `None` hangs up.
    async fn next(&mut self) -> Option<Event> {
        if !std::mem::replace(&mut self.greeted, true) {
            // From here on every change is told: what the page asks after this misses nothing.
            let mut based = self.live.based.subscribe();
            tokio::select! {
                // Without a store there is no look; the page says so itself.
                _ = tokio::time::timeout(HELLO, based.wait_for(|based| *based)) => {}
                _ = self.stop.wait_for(|stop| *stop != Stop::Run) => return None,
            }
            return Some(hello());
        }
        loop {
            tokio::select! {
                said = tokio::time::timeout(HELLO, self.messages.recv()) => match said {
                    Ok(Ok(Message { agent, event, data })) => {
                        if agent.is_none_or(|agent| self.agents.contains(&agent)) {
                            return Some(Event::default().event(event).data(&*data));
                        }
                    }
                    Ok(Err(_)) => return None,
                    Err(_) => return Some(hello()),
                },
                _ = self.stop.wait_for(|stop| *stop != Stop::Run) => return None,
            }
        }
    }
}

fn hello() -> Event {
    Event::default().event("hello").data(json!({ "now_ms": now_ms() }).to_string())
}

/// One event of the stream, for the document: as OpenAPI 3.2 describes such a stream.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its description is all that is wanted of it")]
struct Told {
    /// `hello`, `overview`, `alert` or `readings`.
    #[schema(pattern = "^(hello|overview|alert|readings)$")]
    event: String,
    /// JSON.
    data: String,
}

/// Server-sent events: `overview` (tiles that changed), `alert` (one that opened, changed, ended or was acknowledged),
/// `readings` (of the agents that are named), `hello` (first, when all that changes from then on is told; and after
/// fifteen silent seconds). A client that falls behind is hung up on.
#[utoipa::path(get, path = "/api/v1/live", tag = "farm", params(ask::Live),
    responses((status = 200, body = Told, content_type = "text/event-stream"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json")))]
pub(super) async fn live(
    State(shared): State<Shared>,
    asked: Asked<ask::Live>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Refusal> {
    let Query(ask::Live { agent }) = asked?;
    let agents: BTreeSet<Arc<str>> = agent.iter().flat_map(|names| names.split(',')).map(Arc::from).collect();
    if agents.len() > MAX_FOLLOWED {
        return Err(Refusal::bad(format!("{} agents are named, at most {MAX_FOLLOWED} are followed", agents.len())));
    }
    let full = || Refusal(StatusCode::SERVICE_UNAVAILABLE, format!("{MAX_CLIENTS} pages are open already"));
    let room = shared.live.room.clone().try_acquire_owned().map_err(|_| full())?;
    let messages = shared.live.out.subscribe();
    // The first look is not waited for.
    shared.live.look_soon();
    for agent in &agents {
        *shared.live.followed().entry(agent.clone()).or_default() += 1;
    }
    let (live, stop) = (shared.live.clone(), shared.stop.clone());
    let client = Client { messages, stop, agents, live, greeted: false, _room: room };
    Ok(Sse::new(stream::unfold(client, async |mut client| {
        let event = client.next().await?;
        Some((Ok(event), client))
    })))
}
