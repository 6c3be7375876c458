//! The page and the API, for the loopback address.

mod alerts;
mod ask;
mod farm;
pub(super) mod live;
mod page;
mod problem;
mod readings;

use super::store::Store;
use super::tell::Notifier;
use super::{Counts, Stop};
use crate::recent::Recent;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::get;
use live::Live;
use problem::Refusal;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use tokio::net::TcpListener;
use tokio::sync::watch;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

#[cfg(any(test, fuzzing))]
pub use ask::requests;

/// Most alerts that a search looks through, the latest opened first.
const MAX_ALERTS: u32 = 10_000;
/// The latest, that tiles show: one that has lasted while a thousand others opened is in the list of alerts.
const LATEST_ALERTS: u32 = 1_000;
/// Most rows of days in one answer, one a day and channel.
const MAX_DAY_ROWS: u32 = 20_000;
/// Most bytes that a client may send.
const MAX_BODY: usize = 16 * 1024;
/// Scripts and styles come from here only, and nothing inline is run.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
                      font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What the handlers share.
#[derive(Clone)]
pub(super) struct Shared {
    farm: Arc<str>,
    store: Store,
    counts: Arc<Counts>,
    notifier: Notifier,
    latest: Latest,
    live: Live,
    /// Whether the farm is simulated, and has buttons for faults.
    is_demo: bool,
    stop: watch::Receiver<Stop>,
}

impl Shared {
    pub(super) fn new(
        farm: String,
        store: Store,
        counts: Arc<Counts>,
        notifier: Notifier,
        is_demo: bool,
        stop: watch::Receiver<Stop>,
    ) -> Self {
        let latest = Latest::default();
        let live = Live::new(latest.clone());
        Self { farm: farm.into(), store, counts, notifier, latest, live, is_demo, stop }
    }

    /// Whom the committer tells what it has committed.
    pub(super) fn live(&self) -> Live {
        self.live.clone()
    }
}

/// What was read last, for the committer to note and the page to show.
#[derive(Clone, Default)]
pub(super) struct Latest(Arc<RwLock<Recent>>);

impl Latest {
    /// To read; nobody holds it for long.
    pub(super) fn read(&self) -> RwLockReadGuard<'_, Recent> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes it.
    pub(super) fn change(&self, change: impl FnOnce(&mut Recent)) {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
    }
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Windward", description = "A wind farm's readings, alerts and what is missing of them."),
    tags(
        (name = "farm", description = "Who is there, how it is, what is missing"),
        (name = "readings", description = "What was read, and figures of it"),
        (name = "alerts", description = "What is strange, and who sees to it"),
    )
)]
struct Document;

/// All that is served, and the document that says so.
fn routes(shared: Shared, demo: Option<Router>) -> Router {
    let (api, document) = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(farm::healthz))
        .routes(routes!(farm::me))
        .routes(routes!(farm::agents))
        .routes(routes!(farm::overview))
        .routes(routes!(farm::delivery))
        .routes(routes!(live::live))
        .routes(routes!(farm::gaps))
        .routes(routes!(farm::poison))
        .routes(routes!(alerts::alerts))
        .routes(routes!(alerts::alert))
        .routes(routes!(alerts::acknowledge))
        .routes(routes!(alerts::comment))
        .routes(routes!(readings::readings))
        .routes(routes!(readings::series))
        .routes(routes!(readings::stats))
        .routes(routes!(readings::days))
        .routes(routes!(readings::wind))
        .split_for_parts();
    let document = document.to_json().unwrap_or_default();
    let api = match demo {
        Some(demo) => api.nest_service("/api/v1/demo", demo),
        None => api,
    };
    api.route("/api/v1/openapi.json", get(async move || ([(header::CONTENT_TYPE, "application/json")], document)))
        .fallback(async |method: Method, uri: Uri, asked: HeaderMap| {
            let file = Some(()).filter(|()| method == Method::GET).and_then(|()| page::file(&uri, &asked));
            file.ok_or_else(|| Refusal(StatusCode::NOT_FOUND, "there is nothing at this address".into()))
        })
        .method_not_allowed_fallback(|| async {
            Refusal(StatusCode::METHOD_NOT_ALLOWED, "this address takes another method".into())
        })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn(own_pages_only))
        .layer(middleware::from_fn(headers))
        .with_state(shared)
}

/// Serves until the sink quits.
pub(super) async fn serve(
    listener: TcpListener,
    shared: Shared,
    demo: Option<Router>,
    mut stop: watch::Receiver<Stop>,
) {
    let served = axum::serve(listener, routes(shared, demo)).with_graceful_shutdown(async move {
        if stop.wait_for(|stop| *stop == Stop::Quit).await.is_err() {
            tracing::debug!("the sink is gone");
        }
    });
    if let Err(error) = served.await {
        tracing::error!("page and API: {error}");
    }
}

/// What changes something is taken from pages of this address alone: a page of anybody's, open in the same browser, could
/// else acknowledge alerts. Programs that are not browsers say nothing of where they are.
async fn own_pages_only(request: Request, next: Next) -> Result<Response, Refusal> {
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if changes && !is_own(request.headers()) {
        return Err(Refusal(StatusCode::FORBIDDEN, "this was asked by a page of another address".into()));
    }
    Ok(next.run(request).await)
}

fn is_own(headers: &HeaderMap) -> bool {
    let said = |name: header::HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    match (said(header::ORIGIN), said(header::HOST)) {
        (Some(origin), Some(host)) => origin.split_once("://").is_some_and(|(_, of)| of.eq_ignore_ascii_case(host)),
        (Some(_), None) => false,
        (None, _) => true,
    }
}

async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_another_address_is_not_ones_own() {
        let own = |pairs: &[(header::HeaderName, &'static str)]| {
            is_own(&pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect())
        };
        assert!(own(&[(header::HOST, "farm:8080")]));
        assert!(own(&[(header::HOST, "farm:8080"), (header::ORIGIN, "http://farm:8080")]));
        assert!(own(&[(header::HOST, "farm"), (header::ORIGIN, "https://Farm")]));
        assert!(!own(&[(header::HOST, "farm:8080"), (header::ORIGIN, "http://farm:8081")]));
        assert!(!own(&[(header::HOST, "farm:8080"), (header::ORIGIN, "null")]));
        assert!(!own(&[(header::ORIGIN, "http://farm:8080")]));
    }
}
