//! The farm: who is there, how it is, what is missing.

use super::Shared;
use super::ask::{self, Asked, Nothing};
use super::door::Caller;
use super::problem::{Problem, Refusal};
use crate::answer::{Agents, Delivery, Gaps, Healthz, Me, Overview, Poisons, Work};
use crate::io::clock::now_ms;
use crate::io::store::MAX_LEDGER_ROWS;
use crate::{overview, query};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::{Extension, Json};

/// How the sink is: 200 while all its sources are heard and its store answers.
#[utoipa::path(get, path = "/healthz", tag = "farm", security(()),
    responses((status = 200, body = Healthz), (status = 503, description = "A source is not heard, or the store does not answer",
            content((Healthz = "application/json"), (Problem = "application/problem+json"))),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn healthz(
    State(shared): State<Shared>,
    asked: HeaderMap,
) -> Result<(StatusCode, Json<Healthz>), Refusal> {
    shared.store.agents().await?;
    let counters = shared.counts.read();
    let (status, word) = if counters.connected {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "a source is not heard")
    };
    // A probe needs no more than the word; how much comes in is for those who may look.
    let work = || Work { farm: shared.farm.to_string(), counters, targets: shared.notifier.health() };
    let work = shared.door.knows(&asked).await.then(work);
    Ok((status, Json(Healthz { status: word.into(), now_ms: now_ms(), work })))
}

/// Who asks, and what that person may do.
#[utoipa::path(get, path = "/api/v1/me", tag = "farm",
    responses((status = 200, body = Me), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn me(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    asked: Asked<Nothing>,
) -> Result<Json<Me>, Refusal> {
    let Query(Nothing {}) = asked?;
    let Caller { name, role } = caller;
    let (farm, version, demo) = (shared.farm.to_string(), env!("CARGO_PKG_VERSION"), shared.is_demo);
    let (auth, oidc) = (shared.door.asks(), shared.door.company_login());
    Ok(Json(Me { name, role, auth, farm, version, demo, oidc }))
}

/// All agents, with what they read and what they last said of themselves.
#[utoipa::path(get, path = "/api/v1/agents", tag = "farm",
    responses((status = 200, body = Agents), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn agents(State(shared): State<Shared>, asked: Asked<Nothing>) -> Result<Json<Agents>, Refusal> {
    let Query(Nothing {}) = asked?;
    let now_ms = now_ms();
    let rows = shared.store.agents().await?;
    let agents = rows.iter().map(|row| query::agent(row, now_ms)).collect();
    Ok(Json(Agents { farm: shared.farm.to_string(), now_ms, agents }))
}

/// The farm at a glance: a tile a turbine.
#[utoipa::path(get, path = "/api/v1/overview", tag = "farm",
    responses((status = 200, body = Overview), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn overview(State(shared): State<Shared>, asked: Asked<Nothing>) -> Result<Json<Overview>, Refusal> {
    let Query(Nothing {}) = asked?;
    let (now_ms, rows) = (now_ms(), shared.store.agents().await?);
    let alerts = shared.alerts_now().await?;
    let turbines = overview::tiles(&rows, &alerts, &shared.latest.read(), now_ms);
    Ok(Json(Overview { farm: shared.farm.to_string(), now_ms, turbines }))
}

/// How what agents have kept comes here: on their disks, stored, missing (S4).
#[utoipa::path(get, path = "/api/v1/delivery", tag = "farm",
    responses((status = 200, body = Delivery), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn delivery(State(shared): State<Shared>, asked: Asked<Nothing>) -> Result<Json<Delivery>, Refusal> {
    let Query(Nothing {}) = asked?;
    let (ledger, reported) = (shared.store.ledger().await?, shared.store.gaps().await?);
    let whole = ledger.len() < MAX_LEDGER_ROWS;
    let agents = shared.store.agents().await?;
    Ok(Json(overview::delivery(&agents, &ledger, whole, &reported, now_ms())))
}

/// Sequences that are not here, with the reason where the agent has told one.
#[utoipa::path(get, path = "/api/v1/gaps", tag = "farm",
    responses((status = 200, body = Gaps), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn gaps(State(shared): State<Shared>, asked: Asked<Nothing>) -> Result<Json<Gaps>, Refusal> {
    let Query(Nothing {}) = asked?;
    let (ledger, reported) = (shared.store.ledger().await?, shared.store.gaps().await?);
    let whole = ledger.len() < MAX_LEDGER_ROWS;
    Ok(Json(Gaps { whole, gaps: query::gaps(&ledger, whole, &reported) }))
}

/// Messages that were refused, with the reason.
#[utoipa::path(get, path = "/api/v1/poison", tag = "farm", params(ask::Listing),
    responses((status = 200, body = Poisons), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn poison(State(shared): State<Shared>, asked: Asked<ask::Listing>) -> Result<Json<Poisons>, Refusal> {
    let Query(asked) = asked?;
    let rows = shared.store.poison(ask::limit(asked.limit)?).await?;
    let wanted = rows.iter().filter(|row| asked.agent.as_ref().is_none_or(|agent| *agent == row.partition));
    Ok(Json(Poisons { poison: wanted.map(query::poison).collect() }))
}
