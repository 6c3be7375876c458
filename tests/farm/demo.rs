//! What the page's buttons ask of the farm: faults to raise, and the link to cut.

use crate::arguments::TURBINES;
use crate::control::Command;
use axum::Router;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Json, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use windward_tests::plant::Fault;

/// How long the link may take to be cut or restored.
const OBEYED: Duration = Duration::from_secs(5);

/// Where commands go, and how the link is.
#[derive(Clone)]
struct Buttons {
    commands: mpsc::Sender<Command>,
    link: watch::Receiver<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultAsked {
    fault: String,
    turbine: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LinkAsked {
    up: bool,
}

type Body<T> = Result<Json<T>, JsonRejection>;

/// A refusal in the words of RFC 9457, as the sink's own are.
struct Refusal(StatusCode, String);

/// For the sink's page, to stand below `/api/v1/demo`.
pub(crate) fn buttons(commands: mpsc::Sender<Command>, link: watch::Receiver<bool>) -> Router {
    Router::new()
        .route("/", get(what_there_is))
        .route("/fault", post(fault))
        .route("/link", post(set_link))
        .fallback(async || Refusal(StatusCode::NOT_FOUND, "there are /, /fault and /link".into()))
        .method_not_allowed_fallback(async || {
            Refusal(StatusCode::METHOD_NOT_ALLOWED, "GET / tells what there is; POST /fault and /link do it".into())
        })
        .with_state(Buttons { commands, link })
}

async fn what_there_is(State(buttons): State<Buttons>) -> Json<Value> {
    let faults = Fault::ALL.map(|fault| json!({ "name": fault.name(), "says": says(fault) }));
    Json(json!({ "turbines": TURBINES, "faults": faults, "link": *buttons.link.borrow() }))
}

/// What happens, to be read behind a turbine's name.
fn says(fault: Fault) -> String {
    let what = match fault {
        Fault::Gust => "a gust four times as high as it is built for, over",
        Fault::Stuck => "its first anemometer repeats one value for",
        Fault::Icing => "ice slows its first anemometer down for",
        Fault::Dropout => "it does not answer for",
        Fault::Spike => "its first anemometer gives single values far off for",
    };
    format!("{what} {:.0} s", fault.usual_ms() as f64 / 1_000.0)
}

async fn fault(State(buttons): State<Buttons>, asked: Body<FaultAsked>) -> Result<StatusCode, Refusal> {
    let Json(FaultAsked { fault, turbine }) = asked?;
    let bad = |reason| Refusal(StatusCode::BAD_REQUEST, reason);
    let fault = fault.parse().map_err(bad)?;
    if !(1..=TURBINES).contains(&turbine) {
        return Err(bad(format!("`{turbine}` is no turbine; there are 1 to {TURBINES}")));
    }
    buttons.send(Command::Fault { fault, turbine: Some(turbine - 1), for_ms: None })?;
    Ok(StatusCode::NO_CONTENT)
}

/// Answers when it is done: the page asks at once how the link is.
async fn set_link(State(mut buttons): State<Buttons>, asked: Body<LinkAsked>) -> Result<StatusCode, Refusal> {
    let Json(LinkAsked { up }) = asked?;
    buttons.send(Command::Link(Some(up)))?;
    match tokio::time::timeout(OBEYED, buttons.link.wait_for(|is_up| *is_up == up)).await {
        Ok(Ok(_)) => Ok(StatusCode::NO_CONTENT),
        _ => Err(Refusal(StatusCode::SERVICE_UNAVAILABLE, "the farm is stopping, or too busy; try again".into())),
    }
}

impl Buttons {
    fn send(&self, command: Command) -> Result<(), Refusal> {
        let full = |_| Refusal(StatusCode::SERVICE_UNAVAILABLE, "too many at once; try again".into());
        self.commands.try_send(command).map_err(full)
    }
}

impl From<JsonRejection> for Refusal {
    fn from(rejection: JsonRejection) -> Self {
        Refusal(rejection.status(), rejection.body_text())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Refusal(status, detail) = self;
        let title = status.canonical_reason().unwrap_or("");
        let problem = json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail });
        (status, [(header::CONTENT_TYPE, "application/problem+json")], problem.to_string()).into_response()
    }
}
