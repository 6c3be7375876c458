//! Signing in and out.

use super::Shared;
use super::door::{COOKIE, Peer, SESSION, cookie};
use super::problem::{Problem, Refusal};
use crate::access::Who;
use crate::io::clock::now_ms;
use crate::oidc::{FLOW_MS, Flow};
use crate::place::Deed;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse as _, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use utoipa::ToSchema;

/// The cookie of a signing-in that is under way.
const FLOW: &str = "windward_login";
/// Seconds for which a browser keeps a token.
const KEPT_S: i64 = 30 * 86_400;

/// How somebody signs in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SignIn {
    /// A token.
    #[schema(max_length = 200)]
    token: String,
}

/// Signs a browser in by a token, which it keeps as a cookie that no script can read.
#[utoipa::path(post, path = "/api/v1/session", tag = "people", request_body = SignIn, security(()),
    responses((status = 204), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn sign_in(
    State(shared): State<Shared>,
    Extension(peer): Extension<Peer>,
    said: Result<Json<SignIn>, JsonRejection>,
) -> axum::response::Result<Response> {
    let Json(SignIn { token }) = said.map_err(|wrong| Refusal(wrong.status(), wrong.body_text()))?;
    let Some(who) = shared.door.owner(token.trim()) else {
        shared.door.count_wrong(peer.0)?;
        tracing::warn!(from = %peer.0, "refused: a token that is not known");
        return Err(Refusal(StatusCode::UNAUTHORIZED, "this token is not known".into()).into());
    };
    note(&shared, who, "by a token").await?;
    let kept = shared.door.cookie(COOKIE, token.trim(), KEPT_S, "Strict");
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, kept)]).into_response())
}

/// Signs a browser out: it forgets.
#[utoipa::path(delete, path = "/api/v1/session", tag = "people", security(()), responses((status = 204)))]
pub(super) async fn sign_out(State(shared): State<Shared>) -> Response {
    let forgotten = shared.door.cookie(COOKIE, "", 0, "Strict");
    (StatusCode::NO_CONTENT, [(header::SET_COOKIE, forgotten)]).into_response()
}

/// Sends a browser to the company's login.
pub(super) async fn login(State(shared): State<Shared>) -> Result<Response, Refusal> {
    let company = shared.door.company().ok_or_else(no_company)?;
    let flow = Flow::begin().ok_or_else(|| Refusal::failed("this machine gives no random numbers"))?;
    let address = company.address(&flow).await.map_err(away)?;
    let sealed = shared.door.seal().close(FLOW, &flow, now_ms() + FLOW_MS).unwrap_or_default();
    // Not `Strict`: it must come along when another site, the provider, sends the browser back.
    let kept = shared.door.cookie(FLOW, &sealed, FLOW_MS / 1_000, "Lax");
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, address.as_str())], [(header::SET_COOKIE, kept)]).into_response())
}

/// What the provider sends a browser back with.
#[derive(Deserialize)]
pub(super) struct Back {
    code: Option<String>,
    state: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
}

/// Takes a browser that comes back from the company's login, and leads it to the page.
pub(super) async fn back(
    State(shared): State<Shared>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    said: Result<Query<Back>, QueryRejection>,
) -> axum::response::Result<Response> {
    let company = shared.door.company().ok_or_else(no_company)?;
    let refused = |reason: String| {
        tracing::warn!(from = %peer.0, "not signed in: {reason}");
        let text = format!("You are not signed in: {reason}.\n\nBegin again at the page.\n");
        let forgotten = shared.door.cookie(FLOW, "", 0, "Lax");
        (StatusCode::FORBIDDEN, [(header::SET_COOKIE, forgotten)], text).into_response()
    };
    let Query(back) = said.map_err(Refusal::from)?;
    let sealed = cookie(&headers, FLOW).and_then(|text| shared.door.seal().open::<Flow>(FLOW, text, now_ms()));
    let Some(flow) = sealed.filter(|flow| back.state.as_ref() == Some(&flow.state)) else {
        shared.door.count_wrong(peer.0)?;
        return Ok(refused("this browser did not begin to sign in here, or took longer than ten minutes".into()));
    };
    let Some(code) = back.code else {
        return Ok(refused(back.error_description.or(back.error).unwrap_or("the provider gave no reason".into())));
    };
    let who = match company.redeem(&flow, &code).await {
        Ok(Ok(who)) => who,
        Ok(Err(reason)) => return Ok(refused(reason)),
        Err(error) => return Ok(refused(format!("the company's login does not confirm it: {error:#}"))),
    };
    note(&shared, &who, "by the company's login").await?;
    let until_ms = now_ms() + company.session_ms();
    let session = shared.door.seal().close(SESSION, &who, until_ms).unwrap_or_default();
    let cookies = [
        shared.door.cookie(COOKIE, &session, company.session_ms() / 1_000, "Strict"),
        shared.door.cookie(FLOW, "", 0, "Lax"),
    ];
    let cookies = AppendHeaders(cookies.map(|cookie| (header::SET_COOKIE, cookie)));
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, "/")], cookies).into_response())
}

async fn note(shared: &Shared, who: &Who, how: &str) -> Result<(), Refusal> {
    let deed =
        Deed { at_ms: now_ms(), who: who.name.clone(), role: who.role, what: "sign-in".into(), about: how.into() };
    Ok(shared.store.note_deed(&shared.farm, &deed).await?)
}

fn no_company() -> Refusal {
    Refusal(StatusCode::NOT_FOUND, "there is no company's login here ([http.oidc]); sign in by a token".into())
}

fn away(error: anyhow::Error) -> Refusal {
    tracing::error!("the company's login: {error:#}");
    Refusal(
        StatusCode::BAD_GATEWAY,
        "the company's login does not answer; see the sink's log, or sign in by a token".into(),
    )
}
