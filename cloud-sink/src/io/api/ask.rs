//! What a client may ask: the parameters of addresses, and their limits.

use super::problem::Refusal;
use crate::answer::AlertState;
use crate::query;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

/// What must hold of any request; here, because nobody outside may name what reads one.
#[cfg(any(test, fuzzing))]
#[path = "../../../../tests/fuzz/checks/requests.rs"]
pub mod requests;

/// Most alerts, windows or refused messages in one answer.
pub(super) const MAX_LIMIT: u32 = 1_000;
/// Most rows of readings in one answer, up to the end of the block that reaches it.
pub(super) const MAX_ROWS: u64 = 10_000;
/// Most entries of a picture: more than any screen has columns.
pub(super) const MAX_POINTS: u32 = 10_000;
/// Most channels of one picture.
pub(super) const MAX_CHANNELS: usize = 16;

/// Parameters as they were read, or why they were not.
pub(super) type Asked<T> = Result<Query<T>, QueryRejection>;

/// A time as the document shows it; [`query::parse_time`] reads it.
#[derive(ToSchema)]
#[schema(
    example = "2026-11-20T13:54:00Z",
    pattern = r"^(-?[0-9]{1,18}|[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]+)?Z?)$"
)]
#[expect(dead_code, reason = "its description is all that is wanted of it")]
pub(super) struct Time(String);

/// Nothing may be asked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Listing {
    /// Only of this agent.
    pub(super) agent: Option<String>,
    /// Most of them, 1 to 1000; 100 unless given.
    #[param(minimum = 1, maximum = 1000)]
    pub(super) limit: Option<u32>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Pages {
    /// `next` of the page before.
    pub(super) after: Option<String>,
    /// Most of them, 1 to 1000; 100 unless given.
    #[param(minimum = 1, maximum = 1000)]
    pub(super) limit: Option<u32>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct OfAlerts {
    /// Only of this agent.
    pub(super) agent: Option<String>,
    /// Only those that stand so.
    pub(super) state: Option<AlertState>,
    /// Only of this severity: `info`, `warning` or `critical`.
    pub(super) severity: Option<String>,
    /// Only of this kind.
    pub(super) kind: Option<String>,
    /// Only those that had not ended before this time: milliseconds since 1970, or ISO 8601 in UTC.
    #[param(value_type = Option<Time>, inline)]
    pub(super) from: Option<String>,
    /// Only those that had opened by this time.
    #[param(value_type = Option<Time>, inline)]
    pub(super) to: Option<String>,
    /// `next` of the page before.
    pub(super) after: Option<String>,
    /// Most of them, 1 to 1000; 100 unless given.
    #[param(minimum = 1, maximum = 1000)]
    pub(super) limit: Option<u32>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Days {
    /// From this time on: milliseconds since 1970, or ISO 8601 in UTC.
    #[param(value_type = Option<Time>, inline)]
    pub(super) from: Option<String>,
    /// Up to this time, included.
    #[param(value_type = Option<Time>, inline)]
    pub(super) to: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Readings {
    /// Agent.
    pub(super) agent: String,
    /// Device.
    pub(super) device: String,
    /// From this time on: milliseconds since 1970, or ISO 8601 in UTC.
    #[param(value_type = Option<Time>, inline)]
    pub(super) from: Option<String>,
    /// Up to this time, included.
    #[param(value_type = Option<Time>, inline)]
    pub(super) to: Option<String>,
    /// Rows, 1 to 10000, up to the end of the block that reaches it; 1000 unless given.
    #[param(minimum = 1, maximum = 10000)]
    pub(super) limit: Option<u64>,
    /// `next` of the page before.
    pub(super) after: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Series {
    /// Agent.
    pub(super) agent: String,
    /// Device.
    pub(super) device: String,
    /// Channels, separated by commas, at most 16.
    pub(super) channel: String,
    /// From this time on: milliseconds since 1970, or ISO 8601 in UTC.
    #[param(value_type = Time, inline)]
    pub(super) from: String,
    /// Up to this time, included.
    #[param(value_type = Time, inline)]
    pub(super) to: String,
    /// Columns of the picture, 1 to 10000; 1000 unless given.
    #[param(minimum = 1, maximum = 10000)]
    pub(super) points: Option<u32>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Stats {
    /// Agent.
    pub(super) agent: String,
    /// Device.
    pub(super) device: String,
    /// Channel.
    pub(super) channel: String,
    /// From this time on: milliseconds since 1970, or ISO 8601 in UTC.
    #[param(value_type = Option<Time>, inline)]
    pub(super) from: Option<String>,
    /// Up to this time, included.
    #[param(value_type = Option<Time>, inline)]
    pub(super) to: Option<String>,
    /// Windows, 1 to 1000; 100 unless given.
    #[param(minimum = 1, maximum = 1000)]
    pub(super) limit: Option<u32>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct OfDevice {
    /// Agent.
    pub(super) agent: String,
    /// Device.
    pub(super) device: String,
    /// From this time on: milliseconds since 1970, or ISO 8601 in UTC.
    #[param(value_type = Option<Time>, inline)]
    pub(super) from: Option<String>,
    /// Up to this time, included.
    #[param(value_type = Option<Time>, inline)]
    pub(super) to: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Live {
    /// Agents whose readings are told too, separated by commas, at most eight.
    pub(super) agent: Option<String>,
}

/// The span of time that is asked for, both ends included, ms.
pub(super) fn span(from: &Option<String>, to: &Option<String>) -> Result<(i64, i64), Refusal> {
    let time = |given: &Option<String>, name: &str, otherwise: i64| match given {
        Some(text) => query::parse_time(text).map_err(|reason| Refusal::bad(format!("{name}: {reason}"))),
        None => Ok(otherwise),
    };
    let (from_ms, to_ms) = (time(from, "from", i64::MIN)?, time(to, "to", i64::MAX)?);
    if from_ms > to_ms {
        return Err(Refusal::bad("from is later than to"));
    }
    Ok((from_ms, to_ms))
}

pub(super) fn limit(asked: Option<u32>) -> Result<u32, Refusal> {
    within("limit", asked.unwrap_or(100), MAX_LIMIT)
}

pub(super) fn within(name: &str, asked: u32, most: u32) -> Result<u32, Refusal> {
    if (1..=most).contains(&asked) {
        Ok(asked)
    } else {
        Err(Refusal::bad(format!("{name} is {asked}, must be 1 to {most}")))
    }
}
