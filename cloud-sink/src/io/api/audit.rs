//! Who did what.

use super::Shared;
use super::ask::{self, Asked};
use super::problem::{Problem, Refusal};
use crate::answer::Audit;
use axum::Json;
use axum::extract::{Query, State};

/// Who did what, the latest first: signed in, acknowledged, commented, commanded.
#[utoipa::path(get, path = "/api/v1/audit", tag = "people", params(ask::Pages),
    responses((status = 200, body = Audit), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn audit(State(shared): State<Shared>, asked: Asked<ask::Pages>) -> Result<Json<Audit>, Refusal> {
    let Query(asked) = asked?;
    let limit = ask::limit(asked.limit)?;
    let (entries, next) = shared.store.deeds(&shared.farm, asked.after.as_deref(), limit).await?;
    Ok(Json(Audit { entries, next }))
}
