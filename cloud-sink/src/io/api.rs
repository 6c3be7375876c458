//! The page and the API.

mod alerts;
mod ask;
mod audit;
mod docs;
mod door;
mod farm;
pub(super) mod live;
mod metrics;
mod page;
mod problem;
mod readings;
pub(super) mod remember;
mod same;
pub(super) mod serve;
mod session;

use super::store::Store;
use super::tell::Notifier;
use super::{Counts, Stop};
use crate::place::AlertRow;
use crate::recent::Recent;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{Html, Response};
use axum::routing::get;
pub(super) use door::Door;
use live::Live;
use problem::Refusal;
use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;
use tokio::sync::watch;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

#[cfg(any(test, fuzzing))]
pub use ask::requests;

/// Most alerts that a search looks through, the latest opened first; and most that have no end.
const MAX_ALERTS: u32 = 10_000;
/// The latest, of which pages are told also when they have ended.
const LATEST_ALERTS: u32 = 200;
/// Most rows of days in one answer, one a day and channel.
const MAX_DAY_ROWS: u32 = 20_000;
/// Most bytes that a client may send.
const MAX_BODY: usize = 16 * 1024;
/// How long an answer may take, a slow client's question included.
const IN_TIME: Duration = Duration::from_secs(30);
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
    door: Door,
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
        door: Door,
        is_demo: bool,
        stop: watch::Receiver<Stop>,
    ) -> Self {
        let latest = Latest::default();
        let live = Live::new(latest.clone());
        Self { farm: farm.into(), store, counts, notifier, latest, live, door, is_demo, stop }
    }

    /// The latest alerts, and all that have no end; no order is promised.
    async fn alerts_now(&self) -> anyhow::Result<Vec<AlertRow>> {
        let mut rows = self.store.alerts(&self.farm, None, LATEST_ALERTS).await?;
        let open = self.store.open_alerts(&self.farm, None, MAX_ALERTS).await?;
        // DynamoDB's index may be a moment behind its table.
        let latest: BTreeSet<String> = rows.iter().map(|row| row.sort.clone()).collect();
        rows.extend(open.into_iter().filter(|row| !latest.contains(&row.sort)));
        Ok(rows)
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
        (name = "people", description = "Signing in, and who did what"),
    ),
)]
struct Document;

/// The document's head; where programs are asked who they are, with how they say it.
fn head(asks: bool) -> utoipa::openapi::OpenApi {
    let mut document = Document::openapi();
    if asks {
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(bearer));
        document.security = Some(vec![SecurityRequirement::new("token", Vec::<String>::new())]);
    }
    document
}

/// All that is served, and the document that says so.
pub(super) fn routes(shared: Shared, demo: Option<Router>) -> Router {
    let (api, document) = OpenApiRouter::with_openapi(head(shared.door.asks()))
        .routes(routes!(farm::healthz))
        .routes(routes!(metrics::metrics))
        .routes(routes!(farm::me))
        .routes(routes!(session::sign_in, session::sign_out))
        .routes(routes!(audit::audit))
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
    let (docs, document) = (docs::page(&document), document.to_json().unwrap_or_default());
    let api = match demo {
        Some(demo) => api.nest_service("/api/v1/demo", demo),
        None => api,
    };
    api.route("/api/v1/openapi.json", get(async move || ([(header::CONTENT_TYPE, "application/json")], document)))
        .route("/api/docs", get(async move || Html(docs)))
        .route("/api/docs.css", get(async || ([(header::CONTENT_TYPE, "text/css")], docs::STYLE)))
        .route("/api/v1/session/login", get(session::login))
        .route("/api/v1/session/return", get(session::back))
        .fallback(async |method: Method, uri: Uri, asked: HeaderMap| {
            let file = Some(()).filter(|()| method == Method::GET).and_then(|()| page::file(&uri, &asked));
            file.ok_or_else(|| Refusal(StatusCode::NOT_FOUND, "there is nothing at this address".into()))
        })
        .method_not_allowed_fallback(|| async {
            Refusal(StatusCode::METHOD_NOT_ALLOWED, "this address takes another method".into())
        })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn(same::told))
        .layer(CompressionLayer::new().gzip(true).quality(CompressionLevel::Fastest))
        .layer(middleware::from_fn(bounded))
        .layer(middleware::from_fn_with_state(shared.door.clone(), door::guard))
        .layer(middleware::from_fn(own_pages_only))
        .layer(middleware::from_fn(headers))
        .with_state(shared)
}

/// A question that says it is too large is not waited for; one that comes too slowly, or takes too long to answer, is given
/// up. Streams are answers that have begun.
async fn bounded(request: Request, next: Next) -> Result<Response, Refusal> {
    let length =
        request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > MAX_BODY as u64) {
        let reason = format!("more than {MAX_BODY} bytes are not taken");
        return Err(Refusal(StatusCode::PAYLOAD_TOO_LARGE, reason));
    }
    let late = || Refusal::failed(format!("no answer in {} s; ask for less at once", IN_TIME.as_secs()));
    tokio::time::timeout(IN_TIME, next.run(request)).await.map_err(|_| late())
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
