//! The function against a runtime API that is played here: Lambda's own, of three calls. The tables are ministack's.

use crate::farm::{Place, T0, commit, deliveries, delivery, endpoint, envelope, open_alert, peers};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use windward_protocol::{Ack, Lane, SeqRange};
use windward_sink::decode::Delivery;
use windward_sink::io::clock::{mono_ms, now_ms};
use windward_sink::io::store::Store;
use windward_sink::notify::Policy;
use windward_sink::place::AgentRow;

/// How long anything may take before the test fails.
const DEADLINE: Duration = Duration::from_secs(40);
/// What a store that fails refuses to write: the alert of this number.
const BROKEN: u64 = 0xdead_beef;

type Answered = (bool, Json);

/// Lambda: gives events, takes answers.
struct Lambda {
    address: SocketAddr,
    events: mpsc::Sender<Json>,
    answers: mpsc::Receiver<Answered>,
    /// A word whenever the function asks for the next event.
    asked: Arc<Notify>,
}

#[derive(Clone)]
struct Api {
    events: Arc<tokio::sync::Mutex<mpsc::Receiver<Json>>>,
    answers: mpsc::Sender<Answered>,
    asked: Arc<Notify>,
}

async fn serve(app: Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, app).await.unwrap() });
    address
}

impl Lambda {
    async fn start() -> Self {
        let ((events, given), (taken, answers)) = (mpsc::channel(1), mpsc::channel(1));
        let asked = Arc::new(Notify::new());
        let api = Api { events: Arc::new(tokio::sync::Mutex::new(given)), answers: taken, asked: asked.clone() };
        let next = async |State(api): State<Api>| -> Response {
            api.asked.notify_one();
            // The function is gone by the time nothing more comes.
            let Some(event) = api.events.lock().await.recv().await else {
                return StatusCode::GONE.into_response();
            };
            let headers = [
                ("lambda-runtime-aws-request-id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd".to_string()),
                ("lambda-runtime-deadline-ms", (now_ms() + 20_000).to_string()),
                ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:eu-west-1:123456789012:function:w".into()),
            ];
            let mut response = axum::Json(event).into_response();
            for (name, value) in headers {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            response
        };
        let answer = async |State(api): State<Api>, Path((_, kind)): Path<(String, String)>, body: Bytes| {
            let said = serde_json::from_slice(&body).unwrap_or(Json::Null);
            api.answers.send((kind == "response", said)).await.unwrap();
            StatusCode::ACCEPTED
        };
        let app = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/{kind}", post(answer))
            .with_state(api);
        Self { address: serve(app).await, events, answers, asked }
    }

    async fn invoke(&mut self, event: Json) -> Answered {
        self.events.send(event).await.unwrap();
        let answered = tokio::time::timeout(DEADLINE, self.answers.recv()).await;
        answered.expect("an answer in time").unwrap()
    }
}

/// The program as Lambda starts it: under the name `bootstrap`, its configuration in the environment.
struct Function {
    process: Child,
    _directory: tempfile::TempDir,
}

impl Function {
    /// On a runtime API that is played here.
    async fn start(lambda: &mut Lambda, config: &str) -> Self {
        let begun_ms = mono_ms();
        let function = Self::on(&lambda.address.to_string(), config);
        tokio::time::timeout(DEADLINE, lambda.asked.notified()).await.expect("it asks for an event");
        let (cold_ms, profile) = (mono_ms() - begun_ms, if cfg!(debug_assertions) { "debug" } else { "release" });
        println!("FIGURE Lambda: {cold_ms} ms from the start of the process to its first question ({profile})");
        function
    }

    /// On the runtime API at this address.
    fn on(runtime_api: &str, config: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let bootstrap = directory.path().join("bootstrap");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_windward-sink"), &bootstrap).unwrap();
        let mut command = Command::new(bootstrap);
        command
            .env("AWS_LAMBDA_RUNTIME_API", runtime_api)
            .env("AWS_LAMBDA_FUNCTION_NAME", "windward")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
            .env("AWS_REGION", "eu-west-1")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("WINDWARD_CONFIG", config)
            .stderr(Stdio::null());
        Self { process: command.spawn().unwrap(), _directory: directory }
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// cargo-lambda's emulation of Lambda, which is not ours.
struct CargoLambda {
    process: Child,
    address: String,
    _package: tempfile::TempDir,
}

impl CargoLambda {
    /// `None`: it is not installed.
    async fn start() -> Option<Self> {
        let program = peers().join("bin/cargo-lambda");
        if !program.exists() {
            eprintln!("SKIPPED: no {}; tests/run installs it", program.display());
            return None;
        }
        // It wants to stand in a package, and does not build it.
        let package = tempfile::tempdir().unwrap();
        std::fs::create_dir(package.path().join("src")).unwrap();
        std::fs::write(package.path().join("src/main.rs"), "fn main() {}").unwrap();
        std::fs::write(package.path().join("Cargo.toml"), "[package]\nname = \"function\"\nedition = \"2024\"\n")
            .unwrap();
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port().to_string();
        let process = Command::new(program)
            .args(["lambda", "watch", "--only-lambda-apis", "--invoke-address", "127.0.0.1", "--invoke-port", &port])
            .current_dir(package.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let emulator = Self { process, address: format!("127.0.0.1:{port}"), _package: package };
        let begun_ms = mono_ms();
        while TcpStream::connect(&emulator.address).is_err() {
            assert!(mono_ms() - begun_ms < DEADLINE.as_millis() as u64, "cargo-lambda listens in time");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Some(emulator)
    }

    /// What an invocation of its only function answers.
    async fn invoke(&self, event: Json) -> Json {
        let url = format!("http://{}/2015-03-31/functions/_/invocations", self.address);
        let asked = tokio::task::spawn_blocking(move || {
            ureq::post(url).send(event.to_string()).unwrap().body_mut().read_to_string().unwrap()
        });
        serde_json::from_str(&tokio::time::timeout(DEADLINE, asked).await.expect("an answer in time").unwrap()).unwrap()
    }
}

impl Drop for CargoLambda {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// Before DynamoDB: refuses what writes the broken alert, while it is broken.
async fn dynamodb_that_may_fail(endpoint: String, is_broken: Arc<AtomicBool>) -> SocketAddr {
    let pass = move |request: Request| {
        let (endpoint, is_broken) = (endpoint.clone(), is_broken.clone());
        async move {
            let (head, body) = request.into_parts();
            let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
            let marker = format!("{BROKEN:016x}");
            let is_marked = body.windows(marker.len()).any(|part| part == marker.as_bytes());
            if is_broken.load(Ordering::Relaxed) && is_marked {
                return (StatusCode::INTERNAL_SERVER_ERROR, HeaderMap::new(), Body::empty());
            }
            let asked = tokio::task::spawn_blocking(move || {
                let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
                let mut ask = agent.post(&endpoint);
                for (name, value) in head.headers.iter().filter(|(name, _)| *name != "host") {
                    ask = ask.header(name, value);
                }
                let mut answer = ask.send(&body[..]).unwrap();
                (answer.status(), answer.headers().clone(), Body::from(answer.body_mut().read_to_vec().unwrap()))
            });
            asked.await.unwrap()
        }
    };
    serve(Router::new().route("/", post(pass))).await
}

fn kinesis(records: &[(usize, &str, &[u8])]) -> Json {
    let record = |(sequence, key, data): &(usize, &str, &[u8])| {
        json!({
            "kinesis": { "kinesisSchemaVersion": "1.0", "partitionKey": key, "sequenceNumber": sequence.to_string(),
                "data": STANDARD.encode(data), "approximateArrivalTimestamp": 1_795_182_840.5 },
            "eventSource": "aws:kinesis", "eventVersion": "1.0", "eventName": "aws:kinesis:record",
            "eventID": format!("shardId-000000000000:{sequence}"), "awsRegion": "eu-west-1",
            "eventSourceARN": "arn:aws:kinesis:eu-west-1:123456789012:stream/windward",
        })
    };
    json!({ "Records": records.iter().map(record).collect::<Vec<_>>() })
}

/// As a rule passes on what was published.
fn by_rule(delivery: &Delivery) -> Json {
    json!({ "topic": delivery.from.to_string(), "payload": STANDARD.encode(&delivery.payload) })
}

fn failures(first: Option<usize>) -> Answered {
    let failures: Vec<Json> = first.iter().map(|first| json!({ "itemIdentifier": first.to_string() })).collect();
    (true, json!({ "batchItemFailures": failures }))
}

async fn envelopes(store: &Store) -> usize {
    let ledger = store.ledger().await.unwrap();
    let ranges = ledger.iter().flat_map(|row| row.seen.ranges());
    ranges.map(|range| (range.last - range.first + 1) as usize).sum()
}

fn config(endpoint: &str, name: &str, iot: SocketAddr) -> String {
    format!(
        "farm = \"{}\"\n[lambda]\niot_endpoint = \"http://{iot}\"\n[store]\n\
         dynamodb = {{ endpoint = \"{endpoint}\", region = \"eu-west-1\", prefix = \"{}\" }}\n",
        crate::farm::FARM,
        crate::farm::prefix(name)
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_records_fails_from_the_first_that_is_not_stored_or_skipped_without_endpoint() {
    let (Some(endpoint), Some(place)) = (endpoint(), Place::dynamodb("batches").await) else { return };
    let is_broken = Arc::new(AtomicBool::new(true));
    let proxy = dynamodb_that_may_fail(endpoint, is_broken.clone()).await;
    let mut lambda = Lambda::start().await;
    let config = config(&format!("http://{proxy}"), "batches", proxy);
    let _function = Function::start(&mut lambda, &config).await;

    // 64 are committed at a time: of two such groups the second cannot be.
    let block = |seq| {
        delivery(Lane::Readings, &[envelope(Lane::Readings, seq, crate::farm::block(T0 + seq as i64 * 10_000, 80))])
    };
    let mut given: Vec<Delivery> = (0..80).map(block).collect();
    given.insert(70, open_alert(BROKEN, 1));
    let records: Vec<_> = given.iter().enumerate().map(|(at, one)| (1_000 + at, "t1", &one.payload[..])).collect();
    assert_eq!(lambda.invoke(kinesis(&records)).await, failures(Some(1_064)));
    assert_eq!(envelopes(&place.store).await, 64);

    // Kinesis gives again what was not done; by then the store has recovered.
    is_broken.store(false, Ordering::Relaxed);
    assert_eq!(lambda.invoke(kinesis(&records[64..])).await, failures(None));
    assert_eq!(envelopes(&place.store).await, 81);
    // A whole batch once more, as after a lost answer, changes nothing.
    assert_eq!(lambda.invoke(kinesis(&records)).await, failures(None));
    assert_eq!(envelopes(&place.store).await, 81);

    // What nobody understands stops nothing.
    let poison = [(2_000, "t1", &b"{\"speed\":3}"[..]), (2_001, "t2", records[0].2), (2_002, "no name", b"\xff")];
    assert_eq!(lambda.invoke(kinesis(&poison)).await, failures(None));
    assert_eq!(place.store.poison(10).await.unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_of_a_stream_make_the_rows_that_publishes_make_or_skipped_without_endpoint() {
    let (Some(endpoint), Some(place)) = (endpoint(), Place::dynamodb("rows").await) else { return };
    let mut lambda = Lambda::start().await;
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
    let _function = Function::start(&mut lambda, &config(&endpoint, "rows", nowhere)).await;
    let given = deliveries();
    let records: Vec<_> = given.iter().enumerate().map(|(at, one)| (at, "t1", &one.payload[..])).collect();
    assert_eq!(lambda.invoke(kinesis(&records)).await, failures(None));
    let by_mqtt = Place::sqlite().await;
    commit(&by_mqtt.store, Policy::default(), &given, T0).await;
    assert_eq!(crate::farm::rows(&place.store).await, crate::farm::rows(&by_mqtt.store).await);
}

/// The same against an emulator that others wrote.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn and_so_they_do_under_cargo_lambda_or_skipped_without_it_and_endpoint() {
    let (Some(endpoint), Some(place)) = (endpoint(), Place::dynamodb("cargo-lambda").await) else { return };
    let Some(lambda) = CargoLambda::start().await else { return };
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
    let runtime_api = format!("http://{}/.rt", lambda.address);
    let _function = Function::on(&runtime_api, &config(&endpoint, "cargo-lambda", nowhere));
    let given = deliveries();
    let records: Vec<_> = given.iter().enumerate().map(|(at, one)| (at, "t1", &one.payload[..])).collect();
    for _ in 0..2 {
        assert_eq!(lambda.invoke(kinesis(&records)).await, failures(None).1);
    }
    let by_mqtt = Place::sqlite().await;
    commit(&by_mqtt.store, Policy::default(), &given, T0).await;
    assert_eq!(crate::farm::rows(&place.store).await, crate::farm::rows(&by_mqtt.store).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_rule_passes_on_is_stored_and_acked_or_skipped_without_endpoint() {
    let (Some(endpoint), Some(place)) = (endpoint(), Place::dynamodb("rule").await) else { return };
    let acked: Arc<Mutex<Vec<(String, Ack)>>> = Arc::default();
    let take = {
        let acked = acked.clone();
        async move |Path(topic): Path<String>, body: Bytes| {
            acked.lock().unwrap().push((topic, Ack::decode(&body).unwrap()));
            "{}"
        }
    };
    let iot = serve(Router::new().route("/topics/{topic}", post(take))).await;
    let mut lambda = Lambda::start().await;
    let _function = Function::start(&mut lambda, &config(&endpoint, "rule", iot)).await;
    for delivery in deliveries().iter().chain(&deliveries()[..2]).chain([&crate::farm::health(true, T0)]) {
        assert_eq!(lambda.invoke(by_rule(delivery)).await, (true, Json::Null));
    }
    // The same rows as by a broker.
    let by_mqtt = Place::sqlite().await;
    commit(&by_mqtt.store, Policy::default(), &deliveries(), T0).await;
    commit(&by_mqtt.store, Policy::default(), &[crate::farm::health(true, T0)], T0).await;
    assert_eq!(crate::farm::rows(&place.store).await, crate::farm::rows(&by_mqtt.store).await);
    // But for when it was heard, which is when the test ran.
    let agents = async |store: &Store| {
        let unheard = |row| AgentRow { heard_ms: None, alive_ms: None, devices: Default::default(), ..row };
        store.agents().await.unwrap().into_iter().map(unheard).collect::<Vec<_>>()
    };
    assert_eq!(agents(&place.store).await, agents(&by_mqtt.store).await);
    // Acked by topic of the agent: all that was stored, what came twice twice, and nothing of what was refused.
    let acked = std::mem::take(&mut *acked.lock().unwrap());
    assert!(acked.iter().all(|(topic, ack)| topic == "windward/v1/t1/ack" && ack.epoch == 0xabcd));
    let of = |lane| -> Vec<SeqRange> {
        acked.iter().filter(|(_, ack)| ack.lane == lane).flat_map(|(_, ack)| ack.ranges.clone()).collect()
    };
    let range = |(first, last)| SeqRange { first, last };
    assert_eq!(of(Lane::Readings), [(1, 2), (6, 6), (1024, 1024), (1, 2)].map(range));
    assert_eq!(of(Lane::Alerts), [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 6), (1, 1)].map(range));

    let (is_answer, said) = lambda.invoke(json!({ "Records": [{ "eventSource": "aws:s3" }] })).await;
    assert!(!is_answer && said["errorMessage"].as_str().unwrap().contains("missing field"), "{said}");
    let scheduled = json!({ "source": "aws.events", "detail-type": "Scheduled Event" });
    assert_eq!(lambda.invoke(scheduled).await, (true, Json::Null));
}

#[test]
fn what_cannot_work_is_said_at_the_start() {
    let run = |config: &str, api: Option<&str>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_windward-sink"));
        command.arg("lambda").env("WINDWARD_CONFIG", config).env_remove("AWS_LAMBDA_RUNTIME_API");
        let output = command.envs(api.map(|api| ("AWS_LAMBDA_RUNTIME_API", api))).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let sqlite = "farm = \"f\"\n[lambda]\n[store]\nsqlite = \"farm.db\"\n";
    assert!(run(sqlite, None).contains("only AWS Lambda starts this"));
    assert!(run(sqlite, Some("127.0.0.1:9")).contains("Lambda keeps no files; use dynamodb"));
    assert!(run("farm = 1", None).contains("WINDWARD_CONFIG:1: "));
}
