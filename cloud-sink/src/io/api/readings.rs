//! What was read, and figures of it.

use super::ask::{self, Asked, MAX_CHANNELS, MAX_POINTS, MAX_ROWS, span, within};
use super::problem::{Problem, Refusal};
use super::{MAX_DAY_ROWS, Shared};
use crate::answer::{Days, Readings, SeriesAnswer, Stats, WindAnswer};
use crate::days::{self, manifest};
use crate::io::store::Span;
use crate::place::{AgentRow, StatsRow};
use crate::query;
use crate::series::{Level, Series};
use crate::wind;
use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use windward_protocol::{Channel, DeviceManifest, Quantity};

/// Rows of a page that the store is asked for while a picture is made.
const PAGE_ROWS: u64 = 20_000;
/// Most windows of one picture: seven years of ten minutes.
const MAX_WINDOWS: u32 = 400_000;

/// Readings of a device as they came, page by page.
#[utoipa::path(get, path = "/api/v1/readings", tag = "readings", params(ask::Readings),
    responses((status = 200, body = Readings), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn readings(
    State(shared): State<Shared>,
    asked: Asked<ask::Readings>,
) -> Result<Json<Readings>, Refusal> {
    let Query(asked) = asked?;
    let limit = asked.limit.unwrap_or(1_000);
    if !(1..=MAX_ROWS).contains(&limit) {
        return Err(Refusal::bad(format!("limit is {limit}, must be 1 to {MAX_ROWS}")));
    }
    let (from_ms, to_ms) = span(&asked.from, &asked.to)?;
    let partition = format!("{}/{}", asked.agent, asked.device);
    let page = shared.store.readings(&Span { partition, from_ms, to_ms, after: asked.after, limit }).await?;
    let answer = query::readings(&page.blocks, from_ms, to_ms);
    Ok(Json(Readings { agent: asked.agent, device: asked.device, next: page.next, ..answer }))
}

/// Channels of a device as a picture: at most so many entries, each with the least, greatest and mean value of its part of
/// the span. The finest level that is quick is taken.
#[utoipa::path(get, path = "/api/v1/series", tag = "readings", params(ask::Series),
    responses((status = 200, body = SeriesAnswer), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn series(
    State(shared): State<Shared>,
    asked: Asked<ask::Series>,
) -> Result<Json<SeriesAnswer>, Refusal> {
    let Query(ask::Series { agent, device, channel, from, to, points }) = asked?;
    let (from_ms, to_ms) = span(&Some(from), &Some(to))?;
    let points = i64::from(within("points", points.unwrap_or(1_000), MAX_POINTS)?);
    let said = said_of(&shared, &agent, &device).await?;
    let mut channels = Vec::new();
    for name in channel.split(',') {
        let known = said.channels.iter().find(|channel| channel.name == name);
        channels.push(known.cloned().ok_or_else(|| missing(format!("{agent}/{device} has no channel {name:?}")))?);
    }
    if channels.len() > MAX_CHANNELS {
        return Err(Refusal::bad(format!(
            "{} channels are asked for, at most {MAX_CHANNELS} are given",
            channels.len()
        )));
    }
    let level = Level::of(to_ms.saturating_sub(from_ms), said.interval_ms.into(), points);
    let every_ms = level.every_ms(said.interval_ms.into());
    let new = |channel: &Channel| Series::new(channel.clone(), from_ms, to_ms, points, every_ms);
    let mut all: Vec<Series> = channels.iter().map(new).collect();
    match level {
        Level::Reading | Level::Minute => {
            let partition = format!("{agent}/{device}");
            let mut span = Span { partition, from_ms, to_ms, after: None, limit: PAGE_ROWS };
            while add_page(&shared, level, &mut span, &mut all).await? {}
        }
        Level::Window => {
            for (channel, series) in channels.iter().zip(&mut all) {
                let partition = format!("{agent}/{device}/{}", channel.name);
                let rows = shared.store.stats(&partition, from_ms, to_ms, MAX_WINDOWS).await?;
                rows.iter().for_each(|row| series.add_stats(row));
            }
        }
        Level::Day => {
            let rows = shared.store.days(&shared.farm, from_ms, to_ms, MAX_WINDOWS).await?;
            for (channel, series) in channels.iter().zip(&mut all) {
                let name = format!("#{agent}/{device}/{}", channel.name);
                rows.iter().filter(|row| row.sort.ends_with(&name)).for_each(|row| series.add_stats(row));
            }
        }
    }
    let channels = all.iter().map(Series::answer).collect();
    Ok(Json(SeriesAnswer { agent, device, from_ms, to_ms, level: level.name(), channels }))
}

/// Adds the next page of stored rows; whether there is another.
async fn add_page(shared: &Shared, level: Level, span: &mut Span, all: &mut [Series]) -> Result<bool, Refusal> {
    if level == Level::Reading {
        let page = shared.store.readings(span).await?;
        for block in query::blocks(&page.blocks) {
            all.iter_mut().for_each(|series| series.add_block(&block));
        }
        span.after = page.next;
    } else {
        let page = shared.store.summaries(span).await?;
        for row in &page.rows {
            for series in &mut *all {
                if let Some(summary) = row.channels.iter().find(|summary| summary.name == series.name()) {
                    series.add_summary(row.first_ms, row.last_ms, summary);
                }
            }
        }
        span.after = page.next;
    }
    Ok(span.after.is_some())
}

/// 10-minute statistics of a channel.
#[utoipa::path(get, path = "/api/v1/stats", tag = "readings", params(ask::Stats),
    responses((status = 200, body = Stats), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn stats(State(shared): State<Shared>, asked: Asked<ask::Stats>) -> Result<Json<Stats>, Refusal> {
    let Query(ask::Stats { agent, device, channel, from, to, limit }) = asked?;
    let (from_ms, to_ms) = span(&from, &to)?;
    let partition = format!("{agent}/{device}/{channel}");
    let rows = shared.store.stats(&partition, from_ms, to_ms, ask::limit(limit)?).await?;
    Ok(Json(Stats { agent, device, channel, windows: rows.iter().map(query::stats).collect() }))
}

/// Maximum wind speed, gust, mean and availability of each day (UTC), of each channel and of the farm.
#[utoipa::path(get, path = "/api/v1/days", tag = "readings", params(ask::Days),
    responses((status = 200, body = Days), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn days(State(shared): State<Shared>, asked: Asked<ask::Days>) -> Result<Json<Days>, Refusal> {
    let Query(ask::Days { from, to }) = asked?;
    let (from_ms, to_ms) = span(&from, &to)?;
    let rows = shared.store.days(&shared.farm, from_ms, to_ms, MAX_DAY_ROWS).await?;
    let days = days::answer(&rows, &shared.store.agents().await?);
    let whole = rows.len() < MAX_DAY_ROWS as usize;
    Ok(Json(Days { farm: shared.farm.to_string(), whole, days }))
}

/// Wind rose, and turbulence intensity by speed beside the classes of IEC 61400-1, of a device's first wind speed.
#[utoipa::path(get, path = "/api/v1/wind", tag = "readings", params(ask::OfDevice),
    responses((status = 200, body = WindAnswer), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn wind(
    State(shared): State<Shared>,
    asked: Asked<ask::OfDevice>,
) -> Result<Json<WindAnswer>, Refusal> {
    let Query(ask::OfDevice { agent, device, from, to }) = asked?;
    let (from_ms, to_ms) = span(&from, &to)?;
    let said = said_of(&shared, &agent, &device).await?;
    let of = async |quantity: Quantity| -> Result<Option<Vec<StatsRow>>, Refusal> {
        let Some(channel) = said.channels.iter().find(|channel| channel.quantity == quantity) else { return Ok(None) };
        let partition = format!("{agent}/{device}/{}", channel.name);
        Ok(Some(shared.store.stats(&partition, from_ms, to_ms, MAX_WINDOWS).await?))
    };
    let (speed, direction) = (of(Quantity::WindSpeed).await?, of(Quantity::WindDirection).await?);
    Ok(Json(wind::answer(&speed.unwrap_or_default(), direction.as_deref())))
}

/// What an agent has said of a device.
async fn said_of(shared: &Shared, agent: &str, device: &str) -> Result<DeviceManifest, Refusal> {
    let agents = shared.store.agents().await?;
    let of_agent = |row: &&AgentRow| row.agent == agent;
    let row = agents.iter().find(of_agent).ok_or_else(|| missing(format!("there is no agent {agent:?}")))?;
    let said = manifest(row).into_iter().find(|said| said.device == device);
    said.ok_or_else(|| missing(format!("agent {agent} has no device {device:?}")))
}

fn missing(reason: String) -> Refusal {
    Refusal(StatusCode::NOT_FOUND, reason)
}
