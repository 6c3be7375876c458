//! Why a request got no answer, as RFC 9457 says it.

use axum::extract::rejection::QueryRejection;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// A refusal: its status, and the reason in words.
#[derive(Debug)]
pub(super) struct Refusal(pub(super) StatusCode, pub(super) String);

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
}

impl Refusal {
    pub(super) fn bad(reason: impl Into<String>) -> Self {
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
        let Refusal(status, detail) = self;
        let title = status.canonical_reason().unwrap_or("");
        let problem = Problem { r#type: "about:blank", title, status: status.as_u16(), detail };
        (status, [(header::CONTENT_TYPE, "application/problem+json")], axum::Json(problem)).into_response()
    }
}
