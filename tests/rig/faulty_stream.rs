//! A proxy before an emulated Kinesis that does what emulators do not: single records fail, calls fail, are throttled,
//! late, or done and not answered.

use crate::random::Random;
use anyhow::Context as _;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Largest request passed on, bytes.
const MAX_REQUEST: usize = 8 * 1024 * 1024;
/// Headers of a request that the emulator is given.
const PASSED: [&str; 4] = ["content-type", "x-amz-target", "x-amz-date", "authorization"];

/// How often what goes wrong, in percent of the calls that put records; `records` in percent of their records.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// Records that fail by themselves.
    pub records: u64,
    /// Calls that are answered with an error and not done.
    pub errors: u64,
    /// Calls that are throttled as a whole.
    pub throttled: u64,
    /// Calls that are done and answered with an error.
    pub unanswered: u64,
    /// Calls that take half a second to two.
    pub late: u64,
}

/// What has gone wrong so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Calls that put records.
    pub calls: u64,
    /// Records in them, and those of them that failed by themselves.
    pub records: u64,
    /// Those that failed by themselves.
    pub failed: u64,
    /// Calls with an error, done or not.
    pub errors: u64,
    /// Throttled calls.
    pub throttled: u64,
    /// Late calls.
    pub late: u64,
    /// Access keys that requests were signed with, each once.
    pub keys: Vec<String>,
}

/// The proxy. Lives as long as the runtime.
#[derive(Debug)]
pub struct FaultyStream {
    /// Its URL.
    pub endpoint: String,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    to: String,
    http: ureq::Agent,
    rates: Rates,
    random: Mutex<Random>,
    tally: Mutex<Tally>,
}

impl FaultyStream {
    /// A proxy to the emulator at `to`, whose faults follow from the seed.
    pub async fn start(to: &str, rates: Rates, seed: u64) -> anyhow::Result<Self> {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
        let addr: SocketAddr = listener.local_addr()?;
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        let shared = Arc::new(Shared {
            to: to.to_owned(),
            http: config.build().into(),
            rates,
            random: Mutex::new(Random::new(seed)),
            tally: Mutex::default(),
        });
        let router = Router::new().fallback(answer).with_state(shared.clone());
        let router = router.layer(axum::extract::DefaultBodyLimit::max(MAX_REQUEST));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { endpoint: format!("http://{addr}"), shared })
    }

    /// What has gone wrong so far.
    pub fn tally(&self) -> Tally {
        self.shared.tally().clone()
    }
}

impl Shared {
    fn tally(&self) -> std::sync::MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn between(&self, least: u64, most: u64) -> u64 {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).between(least, most)
    }

    /// Hands a request on, and gives status and body of the answer.
    async fn pass(self: &Arc<Self>, headers: &HeaderMap, body: Vec<u8>) -> anyhow::Result<(StatusCode, String)> {
        let mut request = self.http.post(&self.to);
        for name in PASSED {
            if let Some(value) = headers.get(name) {
                request = request.header(name, value.to_str()?);
            }
        }
        let sent = tokio::task::spawn_blocking(move || -> anyhow::Result<_> {
            let mut answer = request.send(&body)?;
            Ok((answer.status().as_u16(), answer.body_mut().read_to_string()?))
        });
        let (status, text) = sent.await??;
        Ok((StatusCode::from_u16(status)?, text))
    }

    /// A call of which every record may fail by itself: the emulator is given the others.
    async fn pass_in_part(self: &Arc<Self>, headers: &HeaderMap, body: &[u8]) -> anyhow::Result<(StatusCode, String)> {
        let mut request: Value = serde_json::from_slice(body)?;
        let records = request["Records"].as_array().context("a call that puts records has some")?.clone();
        let fails: Vec<bool> = records.iter().map(|_| self.between(0, 99) < self.rates.records).collect();
        let failed = fails.iter().filter(|fails| **fails).count();
        {
            let mut tally = self.tally();
            tally.records += records.len() as u64;
            tally.failed += failed as u64;
        }
        let passed: Vec<Value> =
            records.into_iter().zip(&fails).filter(|(_, fails)| !**fails).map(|(r, _)| r).collect();
        let mut landed = Vec::new();
        if !passed.is_empty() {
            request["Records"] = passed.into();
            let (status, text) = self.pass(headers, request.to_string().into_bytes()).await?;
            if !status.is_success() {
                return Ok((status, text));
            }
            let answer: Value = serde_json::from_str(&text)?;
            landed = answer["Records"].as_array().context("an answer names its records")?.clone();
        }
        let mut landed = landed.into_iter();
        let entry = |fails: &bool| match fails {
            true => json!({"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "Rate exceeded"}),
            false => landed.next().unwrap_or_default(),
        };
        let entries: Vec<Value> = fails.iter().map(entry).collect();
        Ok((StatusCode::OK, json!({"FailedRecordCount": failed, "Records": entries}).to_string()))
    }
}

async fn answer(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if let Some((_, rest)) = text("authorization").split_once("Credential=") {
        let key = rest.split('/').next().unwrap_or_default().to_owned();
        let mut tally = shared.tally();
        if !tally.keys.contains(&key) {
            tally.keys.push(key);
        }
    }
    let puts = text("x-amz-target").ends_with(".PutRecords");
    let done =
        if puts { put_records(&shared, &headers, &body).await } else { shared.pass(&headers, body.into()).await };
    let (status, text) = done.unwrap_or_else(|error| (StatusCode::BAD_GATEWAY, format!("{error:#}")));
    (status, [(header::CONTENT_TYPE, "application/x-amz-json-1.1")], text).into_response()
}

async fn put_records(shared: &Arc<Shared>, headers: &HeaderMap, body: &Bytes) -> anyhow::Result<(StatusCode, String)> {
    let Rates { errors, throttled, unanswered, late, .. } = shared.rates;
    let says = |status, code: &str| Ok((status, json!({"__type": code, "message": "a fault of the rig"}).to_string()));
    shared.tally().calls += 1;
    let draw = shared.between(0, 99);
    if draw < errors {
        shared.tally().errors += 1;
        return says(StatusCode::INTERNAL_SERVER_ERROR, "InternalFailureException");
    }
    if draw < errors + throttled {
        shared.tally().throttled += 1;
        return says(StatusCode::BAD_REQUEST, "ProvisionedThroughputExceededException");
    }
    if draw < errors + throttled + late {
        shared.tally().late += 1;
        tokio::time::sleep(Duration::from_millis(shared.between(500, 2_000))).await;
    }
    let answer = shared.pass_in_part(headers, body).await?;
    if draw >= 100 - unanswered {
        shared.tally().errors += 1;
        return says(StatusCode::INTERNAL_SERVER_ERROR, "InternalFailureException");
    }
    Ok(answer)
}
