//! The page and the JSON API, for the loopback address.

use super::clock::now_ms;
use super::store::{MAX_LEDGER_ROWS, Span, Store};
use super::tell::Notifier;
use super::{Counts, Stop};
use crate::query;
use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// What must hold of any request; here, because nobody outside may name what reads one.
#[cfg(any(test, fuzzing))]
#[path = "../../../tests/fuzz/checks/requests.rs"]
pub mod requests;

/// Most alerts or refused messages in one answer.
const MAX_LIMIT: u32 = 1_000;
/// Most rows of readings in one answer, up to the end of the block that reaches it.
const MAX_ROWS: u64 = 10_000;
/// Most rows of days in one answer, one a day and channel.
const MAX_DAY_ROWS: u32 = 20_000;
/// Scripts and styles come from here only, and nothing inline is run.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What the handlers share.
#[derive(Clone)]
pub(super) struct Shared {
    farm: Arc<str>,
    store: Store,
    counts: Arc<Counts>,
    notifier: Notifier,
}

impl Shared {
    pub(super) fn new(farm: String, store: Store, counts: Arc<Counts>, notifier: Notifier) -> Self {
        Self { farm: farm.into(), store, counts, notifier }
    }
}

/// Serves until the sink quits.
pub(super) async fn serve(listener: TcpListener, shared: Shared, mut stop: watch::Receiver<Stop>) {
    let app = Router::new()
        .route("/", get(async || page("text/html; charset=utf-8", include_str!("page.html"))))
        .route("/page.js", get(async || page("text/javascript; charset=utf-8", include_str!("page.js"))))
        .route("/page.css", get(async || page("text/css; charset=utf-8", include_str!("page.css"))))
        .route("/healthz", get(healthz))
        .route("/api/v1/agents", get(agents))
        .route("/api/v1/alerts", get(alerts))
        .route("/api/v1/readings", get(readings))
        .route("/api/v1/stats", get(stats))
        .route("/api/v1/days", get(days))
        .route("/api/v1/gaps", get(gaps))
        .route("/api/v1/poison", get(poison))
        .fallback(|| async { Refusal(StatusCode::NOT_FOUND, "there is nothing at this address".into()) })
        .layer(middleware::from_fn(headers))
        .with_state(shared);
    let served = axum::serve(listener, app).with_graceful_shutdown(async move {
        if stop.wait_for(|stop| *stop == Stop::Quit).await.is_err() {
            tracing::debug!("the sink is gone");
        }
    });
    if let Err(error) = served.await {
        tracing::error!("page and API: {error}");
    }
}

/// Why a request got no answer; said as `{"error": …}`.
struct Refusal(StatusCode, String);

impl Refusal {
    fn bad(reason: impl Into<String>) -> Self {
        Refusal(StatusCode::BAD_REQUEST, reason.into())
    }
}

impl From<anyhow::Error> for Refusal {
    fn from(error: anyhow::Error) -> Self {
        tracing::error!("API: {error:#}");
        Refusal(StatusCode::SERVICE_UNAVAILABLE, "the store does not answer; see the sink's log".into())
    }
}

impl From<QueryRejection> for Refusal {
    fn from(rejection: QueryRejection) -> Self {
        Refusal::bad(rejection.body_text())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, axum::Json(json!({ "error": self.1 }))).into_response()
    }
}

type Answer = Result<axum::Json<Json>, Refusal>;
type Asked<T> = Result<Query<T>, QueryRejection>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listing {
    agent: Option<String>,
    limit: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Days {
    from: Option<String>,
    to: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Readings {
    agent: String,
    device: String,
    from: Option<String>,
    to: Option<String>,
    limit: Option<u64>,
    after: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stats {
    agent: String,
    device: String,
    channel: String,
    from: Option<String>,
    to: Option<String>,
    limit: Option<u32>,
}

/// The span of time that is asked for, both ends included, ms.
fn span(from: &Option<String>, to: &Option<String>) -> Result<(i64, i64), Refusal> {
    let time = |given: &Option<String>, name: &str, otherwise: i64| match given {
        Some(text) => query::parse_time(text).map_err(|reason| Refusal::bad(format!("{name}: {reason}"))),
        None => Ok(otherwise),
    };
    let (from_ms, to_ms) = (time(from, "from", i64::MIN)?, time(to, "to", i64::MAX)?);
    if from_ms > to_ms {
        return Err(Refusal::bad("from is later than to"));
    }
    Ok((from_ms, to_ms))
}

fn limit(asked: Option<u32>) -> Result<u32, Refusal> {
    match asked.unwrap_or(100) {
        limit @ 1..=MAX_LIMIT => Ok(limit),
        limit => Err(Refusal::bad(format!("limit is {limit}, must be 1 to {MAX_LIMIT}"))),
    }
}

async fn healthz(State(shared): State<Shared>) -> Result<Response, Refusal> {
    shared.store.agents().await?;
    let counters = shared.counts.read();
    let (status, word) = if counters.connected {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "a source is not heard")
    };
    let body = json!({
        "status": word, "farm": &*shared.farm, "now_ms": now_ms(), "connected": counters.connected,
        "deliveries": counters.deliveries, "envelopes": counters.envelopes, "readings": counters.readings,
        "repeated": counters.repeated, "alerts": counters.alerts, "told": counters.told, "untold": counters.untold,
        "poison": counters.poison, "commits_failed": counters.commits_failed,
        "unknown_schema": counters.unknown_schema, "shards": counters.shards, "behind_ms": counters.behind_ms,
        "labs_records": counters.labs_records, "labs_items": counters.labs_items,
        "labs_left_out": counters.labs_left_out,
        "targets": shared.notifier.health(),
    });
    Ok((status, axum::Json(body)).into_response())
}

async fn agents(State(shared): State<Shared>, asked: Asked<Nothing>) -> Answer {
    let Query(Nothing {}) = asked?;
    let now_ms = now_ms();
    let rows = shared.store.agents().await?;
    let agents: Vec<Json> = rows.iter().map(|row| query::agent(row, now_ms)).collect();
    Ok(axum::Json(json!({ "farm": &*shared.farm, "now_ms": now_ms, "agents": agents })))
}

async fn alerts(State(shared): State<Shared>, asked: Asked<Listing>) -> Answer {
    let Query(asked) = asked?;
    let rows = shared.store.alerts(&shared.farm, asked.agent.as_deref(), limit(asked.limit)?).await?;
    let agents = shared.store.agents().await?;
    let starts = query::starts(&agents);
    Ok(axum::Json(json!({ "alerts": rows.iter().map(|row| query::alert(row, &starts)).collect::<Vec<_>>() })))
}

async fn readings(State(shared): State<Shared>, asked: Asked<Readings>) -> Answer {
    let Query(asked) = asked?;
    let limit = asked.limit.unwrap_or(1_000);
    if !(1..=MAX_ROWS).contains(&limit) {
        return Err(Refusal::bad(format!("limit is {limit}, must be 1 to {MAX_ROWS}")));
    }
    let (from_ms, to_ms) = span(&asked.from, &asked.to)?;
    let span =
        Span { partition: format!("{}/{}", asked.agent, asked.device), from_ms, to_ms, after: asked.after, limit };
    let page = shared.store.readings(&span).await?;
    let mut answer = query::readings(&page.blocks, from_ms, to_ms);
    answer["agent"] = json!(asked.agent);
    answer["device"] = json!(asked.device);
    answer["next"] = json!(page.next);
    Ok(axum::Json(answer))
}

async fn stats(State(shared): State<Shared>, asked: Asked<Stats>) -> Answer {
    let Query(Stats { agent, device, channel, from, to, limit: asked }) = asked?;
    let (from_ms, to_ms) = span(&from, &to)?;
    let partition = format!("{agent}/{device}/{channel}");
    let rows = shared.store.stats(&partition, from_ms, to_ms, limit(asked)?).await?;
    let windows: Vec<Json> = rows.iter().map(query::stats).collect();
    Ok(axum::Json(json!({ "agent": agent, "device": device, "channel": channel, "windows": windows })))
}

async fn days(State(shared): State<Shared>, asked: Asked<Days>) -> Answer {
    let Query(Days { from, to }) = asked?;
    let (from_ms, to_ms) = span(&from, &to)?;
    let rows = shared.store.days(&shared.farm, from_ms, to_ms, MAX_DAY_ROWS).await?;
    let days = crate::days::answer(&rows, &shared.store.agents().await?);
    let whole = rows.len() < MAX_DAY_ROWS as usize;
    Ok(axum::Json(json!({ "farm": &*shared.farm, "whole": whole, "days": days })))
}

async fn gaps(State(shared): State<Shared>, asked: Asked<Nothing>) -> Answer {
    let Query(Nothing {}) = asked?;
    let (ledger, reported) = (shared.store.ledger().await?, shared.store.gaps().await?);
    let whole = ledger.len() < MAX_LEDGER_ROWS;
    Ok(axum::Json(json!({ "whole": whole, "gaps": query::gaps(&ledger, whole, &reported) })))
}

async fn poison(State(shared): State<Shared>, asked: Asked<Listing>) -> Answer {
    let Query(asked) = asked?;
    let rows = shared.store.poison(limit(asked.limit)?).await?;
    let wanted = rows.iter().filter(|row| asked.agent.as_ref().is_none_or(|agent| *agent == row.partition));
    Ok(axum::Json(json!({ "poison": wanted.map(query::poison).collect::<Vec<_>>() })))
}

fn page(kind: &'static str, text: &'static str) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, kind)], text)
}

async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
