//! Alerts, and that somebody sees to them.

use super::ask::{self, Asked, span};
use super::door::Caller;
use super::problem::{Problem, Refusal};
use super::{MAX_ALERTS, Shared};
use crate::answer::{Alert, AlertState, Alerts};
use crate::io::clock::now_ms;
use crate::io::store::MAX_COMMENTS;
use crate::place::{AlertRow, Comment, Deed};
use crate::query;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Deserialize;
use utoipa::ToSchema;

/// Longest name, in characters.
const MAX_NAME: usize = 100;
/// Longest note, in characters.
const MAX_NOTE: usize = 2_000;

/// Alerts, the latest opened first; those that have no end, or of the 10,000 latest those that fit.
#[utoipa::path(get, path = "/api/v1/alerts", tag = "alerts", params(ask::OfAlerts),
    responses((status = 200, body = Alerts), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn alerts(State(shared): State<Shared>, asked: Asked<ask::OfAlerts>) -> Result<Json<Alerts>, Refusal> {
    let Query(asked) = asked?;
    let (limit, (from_ms, to_ms)) = (ask::limit(asked.limit)? as usize, span(&asked.from, &asked.to)?);
    // The latest are not looked for among all, and one more says whether there is another page.
    let is_plain = asked.state.is_none() && asked.severity.is_none() && asked.kind.is_none();
    let is_plain = is_plain && asked.from.is_none() && asked.to.is_none() && asked.after.is_none();
    let most = if is_plain { limit as u32 + 1 } else { MAX_ALERTS };
    let (farm, agent) = (&*shared.farm, asked.agent.as_deref());
    let rows = match asked.state {
        Some(AlertState::Open | AlertState::Restarted) => shared.store.open_alerts(farm, agent, most).await?,
        Some(AlertState::Cleared) | None => shared.store.alerts(farm, agent, most).await?,
    };
    let agents = shared.store.agents().await?;
    let starts = query::starts(&agents);
    let fits = |alert: &Alert| {
        asked.state.is_none_or(|state| alert.state == state)
            && asked.severity.as_ref().is_none_or(|severity| alert.severity == *severity)
            && asked.kind.as_ref().is_none_or(|kind| alert.kind == *kind)
            && alert.opened_ms <= to_ms
            && alert.cleared_ms.is_none_or(|cleared_ms| cleared_ms >= from_ms)
    };
    // Their keys begin with the time at which they opened, and the latest is first.
    let behind = rows.iter().filter(|row| asked.after.as_ref().is_none_or(|after| row.sort < *after));
    let mut fitting = behind.map(|row| (row, query::alert(row, &starts))).filter(|(_, alert)| fits(alert)).peekable();
    let (mut alerts, mut last) = (Vec::new(), None);
    while alerts.len() < limit
        && let Some((row, alert)) = fitting.next()
    {
        last = Some(row.sort.clone());
        alerts.push(alert);
    }
    let next = last.filter(|_| fitting.peek().is_some());
    Ok(Json(Alerts { alerts, next }))
}

/// That somebody sees to an alert.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Acknowledgement {
    /// Who; 1 to 100 characters. Somebody who is signed in has a name already.
    #[schema(min_length = 1, max_length = 100, pattern = "[^\\s\\u0085]")]
    by: Option<String>,
    /// What there is to say about it; at most 2000 characters.
    #[serde(default)]
    #[schema(max_length = 2000)]
    note: String,
}

/// Says that somebody sees to an alert: people are told of it no more. Whoever was first stays.
#[utoipa::path(post, path = "/api/v1/alerts/{agent}/{id}/acknowledge", tag = "alerts",
    params(("agent" = String, Path, description = "Agent"), ("id" = String, Path, description = "Number, hexadecimal",
        pattern = "^[0-9a-fA-F]{1,16}$")),
    request_body = Acknowledgement,
    responses((status = 200, body = Alert), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn acknowledge(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path((agent, id)): Path<(String, String)>,
    said: Result<Json<Acknowledgement>, JsonRejection>,
) -> Result<Json<Alert>, Refusal> {
    let Json(Acknowledgement { by, note }) = said.map_err(|wrong| Refusal(wrong.status(), wrong.body_text()))?;
    let (by, note) = (name(&caller, by)?, within(note, "note")?);
    let row = find(&shared, &agent, &id).await?;
    if row.cleared_ms.is_some() {
        return Err(Refusal(StatusCode::CONFLICT, "it has ended already; there is nothing to see to".into()));
    }
    shared.store.note_deed(&shared.farm, &deed(&caller, &by, "acknowledge", &row)).await?;
    shared.store.acknowledge(&shared.farm, &row.sort, &by, &note, now_ms()).await?;
    shared.live.look_soon();
    stands(&shared, &agent, &id).await
}

/// What somebody says of an alert.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Said {
    /// Who; 1 to 100 characters. Somebody who is signed in has a name already.
    #[schema(min_length = 1, max_length = 100, pattern = "[^\\s\\u0085]")]
    by: Option<String>,
    /// What; 1 to 2000 characters.
    #[schema(min_length = 1, max_length = 2000, pattern = "[^\\s\\u0085]")]
    text: String,
}

/// Adds to what people have said of an alert.
#[utoipa::path(post, path = "/api/v1/alerts/{agent}/{id}/comments", tag = "alerts",
    params(("agent" = String, Path, description = "Agent"), ("id" = String, Path, description = "Number, hexadecimal",
        pattern = "^[0-9a-fA-F]{1,16}$")),
    request_body = Said,
    responses((status = 200, body = Alert), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn comment(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path((agent, id)): Path<(String, String)>,
    said: Result<Json<Said>, JsonRejection>,
) -> Result<Json<Alert>, Refusal> {
    let Json(Said { by, text }) = said.map_err(|wrong| Refusal(wrong.status(), wrong.body_text()))?;
    let (by, text) = (name(&caller, by)?, within(text, "text")?);
    if text.chars().all(is_blank) {
        return Err(Refusal::bad("text is empty"));
    }
    let row = find(&shared, &agent, &id).await?;
    shared.store.note_deed(&shared.farm, &deed(&caller, &by, "comment", &row)).await?;
    if !shared.store.comment(&shared.farm, &row.sort, Comment { at_ms: now_ms(), by, text }).await? {
        return Err(Refusal(StatusCode::CONFLICT, format!("it has {MAX_COMMENTS} comments, and takes no more")));
    }
    shared.live.look_soon();
    stands(&shared, &agent, &id).await
}

/// Under which name somebody acts: of those who are signed in that of the account, and who uses it where that was said.
fn name(caller: &Caller, by: Option<String>) -> Result<String, Refusal> {
    let by = by.as_deref().map(|by| by.trim_matches(is_blank));
    if by.is_some_and(|by| by.is_empty() || by.chars().count() > MAX_NAME) {
        return Err(Refusal::bad(format!("by is a name of 1 to {MAX_NAME} characters")));
    }
    match (&caller.name, by) {
        (Some(account), Some(by)) if by != account => Ok(format!("{by} ({account})")),
        (Some(account), _) => Ok(account.clone()),
        (None, Some(by)) => Ok(by.into()),
        (None, None) => {
            let reason = "say who you are (by): nobody is asked for an account here";
            Err(Refusal(StatusCode::FORBIDDEN, reason.into()))
        }
    }
}

/// White space of Unicode and, for that is how the document is read, of ECMAScript.
fn is_blank(character: char) -> bool {
    character.is_whitespace() || character == '\u{feff}'
}

fn deed(caller: &Caller, by: &str, what: &str, alert: &AlertRow) -> Deed {
    let about = format!("{} {:016x}, {} at {}", alert.agent, alert.id, alert.kind, alert.location);
    Deed { at_ms: now_ms(), who: by.into(), role: caller.role, what: what.into(), about }
}

fn within(text: String, what: &str) -> Result<String, Refusal> {
    if text.chars().count() > MAX_NOTE {
        return Err(Refusal::bad(format!("{what} is longer than {MAX_NOTE} characters")));
    }
    Ok(text)
}

async fn find(shared: &Shared, agent: &str, id: &str) -> Result<AlertRow, Refusal> {
    let number =
        u64::from_str_radix(id, 16).map_err(|_| Refusal::bad(format!("id {id:?} is no hexadecimal number")))?;
    let row = shared.store.alert(&shared.farm, agent, number).await?;
    row.ok_or_else(|| Refusal(StatusCode::NOT_FOUND, format!("agent {agent:?} has no alert {id}")))
}

/// The alert as it stands now.
async fn stands(shared: &Shared, agent: &str, id: &str) -> Result<Json<Alert>, Refusal> {
    let (row, agents) = (find(shared, agent, id).await?, shared.store.agents().await?);
    Ok(Json(query::alert(&row, &query::starts(&agents))))
}

/// One alert.
#[utoipa::path(get, path = "/api/v1/alerts/{agent}/{id}", tag = "alerts",
    params(("agent" = String, Path, description = "Agent"), ("id" = String, Path, description = "Number, hexadecimal",
        pattern = "^[0-9a-fA-F]{1,16}$")),
    responses((status = 200, body = Alert), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn alert(
    State(shared): State<Shared>,
    Path((agent, id)): Path<(String, String)>,
) -> Result<Json<Alert>, Refusal> {
    stands(&shared, &agent, &id).await
}
