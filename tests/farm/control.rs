//! What can be done to the running farm, and the small HTTP service by which it is asked.

use crate::arguments::{parse_ms, parse_turbine};
use anyhow::Context as _;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use windward_tests::plant::Fault;

/// Something to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Inject a fault; without a turbine at the selected one, without a length for the usual one.
    Fault { fault: Fault, turbine: Option<usize>, for_ms: Option<u64> },
    /// Restore (true) or cut (false) the link; `None`: the other of what it is.
    Link(Option<bool>),
    /// Select the turbine that faults by key go to.
    Select(usize),
    /// Come to an end.
    Quit,
}

const HELP: &str = "\
POST /fault/gust?turbine=1&for=20s   inject a fault: gust, stuck, icing, dropout, spike
POST /link/cut                       cut the link between agents and broker
POST /link/restore                   restore it
";

/// Serves the fault service for as long as the runtime lives.
pub(crate) async fn serve(listen: SocketAddr, commands: mpsc::Sender<Command>) -> anyhow::Result<()> {
    let taken = || format!("cannot listen at {listen} for faults; choose another address with --control");
    let listener = TcpListener::bind(listen).await.with_context(taken)?;
    println!("Faults by HTTP: curl -X POST 'http://{}/fault/gust?turbine=2'", listener.local_addr()?);
    let router = Router::new()
        .route("/", get(async || HELP))
        .route("/fault/{kind}", post(fault))
        .route("/link/{what}", post(link))
        .with_state(commands);
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "the fault service has ended");
        }
    });
    Ok(())
}

type Answer = Result<&'static str, (StatusCode, String)>;

async fn fault(
    State(commands): State<mpsc::Sender<Command>>,
    Path(kind): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Answer {
    let refuse = |reason: String| (StatusCode::BAD_REQUEST, reason + "\n");
    if let Some(key) = query.keys().find(|key| !matches!(key.as_str(), "turbine" | "for")) {
        return Err(refuse(format!("`{key}` is unknown; there are turbine and for")));
    }
    let turbine = query.get("turbine").map_or(Ok(0), |text| parse_turbine(text)).map_err(refuse)?;
    let for_ms = query.get("for").map(|text| parse_ms(text)).transpose().map_err(refuse)?;
    let fault = kind.parse().map_err(refuse)?;
    send(&commands, Command::Fault { fault, turbine: Some(turbine), for_ms })
}

async fn link(State(commands): State<mpsc::Sender<Command>>, Path(what): Path<String>) -> Answer {
    match what.as_str() {
        "cut" => send(&commands, Command::Link(Some(false))),
        "restore" => send(&commands, Command::Link(Some(true))),
        other => Err((StatusCode::NOT_FOUND, format!("`{other}` is unknown; there are cut and restore\n"))),
    }
}

fn send(commands: &mpsc::Sender<Command>, command: Command) -> Answer {
    match commands.try_send(command) {
        Ok(()) => Ok("done\n"),
        Err(_) => Err((StatusCode::SERVICE_UNAVAILABLE, "too many at once; try again\n".into())),
    }
}
