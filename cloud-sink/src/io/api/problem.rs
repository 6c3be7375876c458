//! Why a request got no answer, as RFC 9457 says it.

use crate::answer::CompanyLogin;
use axum::extract::rejection::QueryRejection;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// A refusal: its status, and the reason in words.
#[derive(Debug)]
pub(super) struct Refusal(pub(super) StatusCode, pub(super) String);

/// That somebody has to wait so many seconds.
#[derive(Debug)]
pub(super) struct TooMany(u64);

/// Its body (RFC 9457, `application/problem+json`).
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Problem {
    /// Always `about:blank`: the status says what kind of problem it is.
    r#type: &'static str,
    /// The status in words.
    title: &'static str,
    /// The status.
    status: u16,
    /// What is wrong with this request.
    detail: String,
    /// Where to sign in, when that is what is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    oidc: Option<CompanyLogin>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: String) -> Self {
        let title = status.canonical_reason().unwrap_or("");
        Self { r#type: "about:blank", title, status: status.as_u16(), detail, oidc: None }
    }

    pub(super) fn with_login(self, oidc: Option<CompanyLogin>) -> Self {
        Self { oidc, ..self }
    }
}

impl Refusal {
    pub(super) fn bad(reason: impl Into<String>) -> Self {
        Refusal(StatusCode::BAD_REQUEST, reason.into())
    }

    pub(super) fn failed(reason: impl Into<String>) -> Self {
        Refusal(StatusCode::SERVICE_UNAVAILABLE, reason.into())
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
        let Refusal(status, detail) = self;
        let problem = Problem::new(status, detail);
        (status, [(header::CONTENT_TYPE, "application/problem+json")], axum::Json(problem)).into_response()
    }
}

impl TooMany {
    pub(super) fn after(wait_ms: u64) -> Self {
        Self(wait_ms.div_ceil(1_000))
    }
}

impl IntoResponse for TooMany {
    fn into_response(self) -> Response {
        let TooMany(wait_s) = self;
        let refusal = Refusal(StatusCode::TOO_MANY_REQUESTS, format!("too many requests; come again in {wait_s} s"));
        ([(header::RETRY_AFTER, wait_s.to_string())], refusal).into_response()
    }
}
