//! Streams and tables of others' making, and before them a service in distress.

use crate::config;
use crate::io::aws;
use crate::io::dynamodb::LabsTables;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_kinesis::types::{ShardIteratorType, StreamStatus};
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const REGION: &str = "eu-west-1";
/// How long a stream may take to be there.
const DEADLINE: Duration = Duration::from_secs(20);

/// Two streams and two tables of a test's own.
pub(super) struct Emulator {
    pub(super) endpoint: String,
    kinesis: aws_sdk_kinesis::Client,
    dynamodb: aws_sdk_dynamodb::Client,
    name: String,
}

impl Emulator {
    /// The streams on the server that the variable names. The tables are made by whoever wants them.
    pub(super) async fn start(variable: &str, name: &str) -> Option<Self> {
        let Ok(endpoint) = std::env::var(variable) else {
            eprintln!("skipped: {variable} is not set");
            return None;
        };
        let shared = aws::load(Some(&endpoint), Some(REGION)).await;
        let name = format!("labs-{name}-{}", std::process::id());
        let (kinesis, dynamodb) = (aws_sdk_kinesis::Client::new(&shared), aws_sdk_dynamodb::Client::new(&shared));
        let emulator = Self { endpoint, kinesis, dynamodb, name };
        for stream in ["anomalies", "maxima", "source"] {
            emulator.create_stream(&emulator.named(stream)).await;
        }
        Some(emulator)
    }

    async fn create_stream(&self, name: &str) {
        self.kinesis.create_stream().stream_name(name).shard_count(2).send().await.unwrap();
        let active = async {
            loop {
                let asked = self.kinesis.describe_stream_summary().stream_name(name).send().await.unwrap();
                if asked.stream_description_summary.unwrap().stream_status == StreamStatus::Active {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(DEADLINE, active).await.expect("an active stream");
    }

    pub(super) fn named(&self, what: &str) -> String {
        format!("{}-{what}", self.name)
    }

    /// The streams alone.
    pub(super) fn streams(&self) -> config::Labs {
        config::Labs {
            region: Some(REGION.into()),
            endpoint: Some(self.endpoint.clone()),
            anomaly_stream: Some(self.named("anomalies")),
            maximum_stream: Some(self.named("maxima")),
            ..config::Labs::default()
        }
    }

    /// All four, the tables made.
    pub(super) async fn all(&self) -> config::Labs {
        let (wind_data_table, diy_table) = (Some(self.named("wind")), Some(self.named("diy")));
        let labs = config::Labs { wind_data_table, diy_table, ..self.streams() };
        let tables = LabsTables::open(&labs).await;
        assert_eq!(tables.create().await.unwrap(), [self.named("wind"), self.named("diy")]);
        assert_eq!(tables.create().await.unwrap(), [""; 0], "they are there");
        labs
    }

    /// Puts a record as an agent does.
    pub(super) async fn put(&self, payload: Vec<u8>) {
        let put = self.kinesis.put_record().stream_name(self.named("source")).partition_key("t1");
        put.data(payload.into()).send().await.unwrap();
    }

    /// The records of a stream, their keys being their locations, in the order of each shard.
    pub(super) async fn records(&self, what: &str) -> Vec<String> {
        let (name, mut records) = (self.named(what), Vec::new());
        let listed = self.kinesis.list_shards().stream_name(&name).send().await.unwrap();
        for shard in listed.shards.unwrap() {
            let ask = self.kinesis.get_shard_iterator().stream_name(&name).shard_id(shard.shard_id);
            let ask = ask.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await.unwrap();
            let mut next = ask.shard_iterator;
            while let Some(iterator) = next {
                let page = self.kinesis.get_records().shard_iterator(iterator).send().await.unwrap();
                next = page.next_shard_iterator.filter(|_| !page.records.is_empty());
                for record in page.records {
                    let text = String::from_utf8(record.data.into_inner()).unwrap();
                    assert!(text.contains(&record.partition_key.unwrap()), "{text}");
                    records.push(text);
                }
            }
        }
        records
    }

    /// The items of a table by their keys: each as the attributes that the labs know, with their types.
    pub(super) async fn items(&self, what: &str) -> BTreeMap<String, String> {
        let mut pages = self.dynamodb.scan().table_name(self.named(what)).into_paginator().items().send();
        let mut items = BTreeMap::new();
        while let Some(item) = pages.next().await {
            let mut item: BTreeMap<String, AttributeValue> = item.unwrap().into_iter().collect();
            let AttributeValue::S(timestamp) = item.remove("timestamp").unwrap() else { panic!("a text") };
            let said = |(name, value): (&String, &AttributeValue)| match value {
                AttributeValue::S(text) => format!("{name}={text:?}"),
                AttributeValue::N(number) => format!("{name}={number}"),
                other => panic!("{name} is {other:?}"),
            };
            items.insert(timestamp, item.iter().map(said).collect::<Vec<_>>().join(" "));
        }
        items
    }
}

/// What goes wrong.
#[derive(Clone, Debug, Default)]
pub(super) enum Fault {
    /// Nothing.
    #[default]
    None,
    /// The stream or table of this name is not there.
    Away(String),
    /// Of each call every third record or item fails.
    InPart,
}

pub(super) struct Proxy {
    pub(super) endpoint: String,
    fault: Arc<Mutex<Fault>>,
}

impl Proxy {
    pub(super) async fn before(endpoint: &str) -> Self {
        let fault: Arc<Mutex<Fault>> = Arc::default();
        let (shared, to) = (fault.clone(), endpoint.to_string());
        let answer = move |request: Request| {
            let (fault, to) = (shared.lock().unwrap().clone(), to.clone());
            async move { answer(request, fault, to).await }
        };
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let app = axum::Router::new().route("/", axum::routing::post(answer));
        tokio::spawn(async { axum::serve(listener, app).await.unwrap() });
        Self { endpoint, fault }
    }

    pub(super) fn fault(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }
}

type Answered = (StatusCode, HeaderMap, Body);

async fn answer(request: Request, fault: Fault, to: String) -> Answered {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap().to_vec();
    let pass = async |body: Vec<u8>| {
        let (headers, to) = (head.headers.clone(), to.clone());
        let asked = tokio::task::spawn_blocking(move || {
            let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
            let mut ask = agent.post(&to);
            for (name, value) in headers.iter().filter(|(name, _)| *name != "host" && *name != "content-length") {
                ask = ask.header(name, value);
            }
            let mut answer = ask.send(&body[..]).unwrap();
            (answer.status(), answer.headers().clone(), answer.body_mut().read_to_vec().unwrap())
        });
        asked.await.unwrap()
    };
    match fault {
        Fault::Away(name) if String::from_utf8_lossy(&body).contains(&name) => {
            let said = json!({ "__type": "ResourceNotFoundException", "message": "it is away" });
            (StatusCode::BAD_REQUEST, HeaderMap::new(), said.to_string().into())
        }
        Fault::InPart => {
            let (part, failed) = split(serde_json::from_slice(&body).unwrap());
            let (status, _, answered) = pass(part.to_string().into_bytes()).await;
            let answered: Json = serde_json::from_slice(&answered).unwrap();
            (status, HeaderMap::new(), with_failed(answered, failed).to_string().into())
        }
        Fault::None | Fault::Away(_) => {
            let (status, headers, answered) = pass(body).await;
            (status, headers, answered.into())
        }
    }
}

/// A call without every third of its records or items; and those.
fn split(mut call: Json) -> (Json, Json) {
    let third = |all: &mut Json| {
        let all = all.as_array_mut().unwrap();
        let (left, taken): (Vec<_>, Vec<_>) = all.drain(..).enumerate().partition(|(at, _)| at % 3 == 2);
        all.extend(taken.into_iter().map(|(_, one)| one));
        Json::from(left.into_iter().map(|(_, one)| one).collect::<Vec<_>>())
    };
    let mut failed = Json::Null;
    if let Some(records) = call.get_mut("Records") {
        failed = third(records);
    } else if let Some(Json::Object(tables)) = call.get_mut("RequestItems") {
        let left = tables.iter_mut().map(|(table, items)| (table.clone(), third(items)));
        failed = left.filter(|(_, items)| items.as_array().is_some_and(|items| !items.is_empty())).collect();
    }
    (call, failed)
}

/// What the service would answer to the whole call.
fn with_failed(mut answered: Json, failed: Json) -> Json {
    if let (Some(records), Json::Array(failed)) = (answered.get_mut("Records"), &failed) {
        let records = records.as_array_mut().unwrap();
        for at in 0..failed.len() {
            records.insert(3 * at + 2, json!({ "ErrorCode": "ProvisionedThroughputExceededException" }));
        }
    } else if let Json::Object(_) = failed {
        answered["UnprocessedItems"] = failed;
    }
    answered
}
