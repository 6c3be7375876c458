//! Alerts, and that somebody sees to them.

use super::ask::{self, Asked};
use super::problem::{Problem, Refusal};
use super::{MAX_ALERTS, Shared};
use crate::answer::{Alert, Alerts};
use crate::io::clock::now_ms;
use crate::query;
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

/// Longest name, in characters.
const MAX_NAME: usize = 100;
/// Longest note, in characters.
const MAX_NOTE: usize = 2_000;

/// Alerts, the latest opened first; of the 10,000 latest those that fit.
#[utoipa::path(get, path = "/api/v1/alerts", tag = "alerts", params(ask::OfAlerts),
    responses((status = 200, body = Alerts), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn alerts(State(shared): State<Shared>, asked: Asked<ask::OfAlerts>) -> Result<Json<Alerts>, Refusal> {
    let Query(asked) = asked?;
    let limit = ask::limit(asked.limit)?;
    // Without a filter on what is made of them, the store need give no more than are wanted.
    let is_filtered = asked.state.is_some() || asked.severity.is_some() || asked.kind.is_some();
    let most = if is_filtered { MAX_ALERTS } else { limit };
    let rows = shared.store.alerts(&shared.farm, asked.agent.as_deref(), most).await?;
    let agents = shared.store.agents().await?;
    let starts = query::starts(&agents);
    let fits = |alert: &Alert| {
        asked.state.is_none_or(|state| alert.state == state)
            && asked.severity.as_ref().is_none_or(|severity| alert.severity == *severity)
            && asked.kind.as_ref().is_none_or(|kind| alert.kind == *kind)
    };
    let alerts = rows.iter().map(|row| query::alert(row, &starts)).filter(fits).take(limit as usize).collect();
    Ok(Json(Alerts { alerts }))
}

/// That somebody sees to an alert.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Acknowledgement {
    /// Who; 1 to 100 characters.
    #[schema(min_length = 1, max_length = 100)]
    by: String,
    /// What there is to say about it; at most 2000 characters.
    #[serde(default)]
    #[schema(max_length = 2000)]
    note: String,
}

/// Says that somebody sees to an alert: people are told of it no more. Whoever was first stays.
#[utoipa::path(post, path = "/api/v1/alerts/{agent}/{id}/acknowledge", tag = "alerts",
    params(("agent" = String, Path, description = "Agent"), ("id" = String, Path, description = "Number, hexadecimal")),
    request_body = Acknowledgement,
    responses((status = 200, body = Alert), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn acknowledge(
    State(shared): State<Shared>,
    Path((agent, id)): Path<(String, String)>,
    said: Result<Json<Acknowledgement>, JsonRejection>,
) -> Result<Json<Alert>, Refusal> {
    let Json(Acknowledgement { by, note }) = said.map_err(|wrong| Refusal(wrong.status(), wrong.body_text()))?;
    let by = by.trim();
    if by.is_empty() || by.chars().count() > MAX_NAME {
        return Err(Refusal::bad(format!("by is a name of 1 to {MAX_NAME} characters")));
    }
    if note.chars().count() > MAX_NOTE {
        return Err(Refusal::bad(format!("note is longer than {MAX_NOTE} characters")));
    }
    let number =
        u64::from_str_radix(&id, 16).map_err(|_| Refusal::bad(format!("id {id:?} is no hexadecimal number")))?;
    let find = async || -> Result<_, Refusal> {
        let rows = shared.store.alerts(&shared.farm, Some(&agent), MAX_ALERTS).await?;
        rows.into_iter().find(|row| row.id == number).ok_or_else(|| {
            Refusal(StatusCode::NOT_FOUND, format!("agent {agent:?} has no alert {id} among its {MAX_ALERTS} latest"))
        })
    };
    let row = find().await?;
    if row.cleared_ms.is_some() {
        return Err(Refusal(StatusCode::CONFLICT, "it has ended already; there is nothing to see to".into()));
    }
    shared.store.acknowledge(&shared.farm, &row.sort, by, &note, now_ms()).await?;
    let (row, agents) = (find().await?, shared.store.agents().await?);
    Ok(Json(query::alert(&row, &query::starts(&agents))))
}
