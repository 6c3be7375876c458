//! The whole sink against a real broker: Debian's mosquitto, started here; skipped where it is not installed.
#![allow(clippy::disallowed_methods, reason = "a delay is measured")]

use crate::farm::{T0, block, deliveries, delivery, envelope, open_alert};
use axum::routing::post;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{LastWill, Packet};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use serde_json::Value as Json;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use windward_protocol::batch::BatchBuilder;
use windward_protocol::{Ack, Lane, SeqRange, SeqSet, topic};
use windward_sink::config::{Config, Presence};
use windward_sink::decode::{Delivery, Origin};
use windward_sink::io;

/// How long anything may take before the test fails.
const DEADLINE: Duration = Duration::from_secs(20);

struct Broker {
    process: Child,
    port: u16,
}

impl Broker {
    fn start(directory: &TempDir) -> Option<Self> {
        let port = free_port();
        let file = directory.path().join("mosquitto.conf");
        std::fs::write(&file, format!("listener {port} 127.0.0.1\nallow_anonymous true\n")).unwrap();
        // Debian keeps it out of an ordinary user's path.
        let started = ["mosquitto", "/usr/sbin/mosquitto"]
            .into_iter()
            .find_map(|program| Command::new(program).arg("-c").arg(&file).stderr(Stdio::null()).spawn().ok());
        match started {
            Some(process) => Some(Self { process, port }),
            None => {
                eprintln!("skipped: mosquitto is not installed");
                None
            }
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// An agent's side of the wire.
struct Agent {
    client: AsyncClient,
    events: EventLoop,
    /// What the sink has acked.
    alerts: SeqSet,
    readings: SeqSet,
}

impl Agent {
    /// Connects, trying until the broker is up.
    async fn connect(port: u16) -> Self {
        let mut options = MqttOptions::new("t1", "127.0.0.1", port);
        options.set_keep_alive(Duration::from_secs(5));
        let will = crate::farm::health(false, T0);
        options.set_last_will(LastWill::new(will.from.to_string(), will.payload, QoS::AtLeastOnce, true, None));
        let (client, events) = AsyncClient::new(options, 64);
        client.try_subscribe("windward/v1/t1/ack", QoS::AtMostOnce).unwrap();
        let mut agent = Self { client, events, alerts: SeqSet::new(), readings: SeqSet::new() };
        agent.until("a subscription", |event, _| matches!(event, Packet::SubAck(_))).await;
        agent
    }

    async fn publish(&self, delivery: &Delivery) {
        let payload = delivery.payload.clone();
        self.client.publish(delivery.from.to_string(), QoS::AtLeastOnce, false, payload).await.unwrap();
    }

    async fn acked(&mut self, lane: Lane, ranges: &[(u64, u64)]) {
        let wanted: Vec<SeqRange> = ranges.iter().map(|&(first, last)| SeqRange { first, last }).collect();
        let all = |agent: &Self| {
            let set = if lane == Lane::Alerts { &agent.alerts } else { &agent.readings };
            set.ranges().eq(wanted.iter().copied())
        };
        // They may have come while something else was waited for.
        if !all(self) {
            self.until("acks", |_, agent| all(agent)).await;
        }
    }

    async fn until(&mut self, what: &str, reached: impl Fn(&Packet, &Self) -> bool) {
        let waiting = async {
            loop {
                let Ok(event) = self.events.poll().await else {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                };
                let Event::Incoming(packet) = event else { continue };
                if let Packet::Publish(publish) = &packet {
                    let ack = Ack::decode(&publish.payload).unwrap();
                    let set = if ack.lane == Lane::Alerts { &mut self.alerts } else { &mut self.readings };
                    ack.ranges.into_iter().for_each(|range| set.insert(range));
                }
                if reached(&packet, self) {
                    return;
                }
            }
        };
        let reached = tokio::time::timeout(DEADLINE, waiting).await;
        assert!(reached.is_ok(), "no {what}; acked {:?} {:?}", self.alerts, self.readings);
    }
}

/// These envelopes packed: with their schemas named, or in full.
fn packed(envelopes: &[Vec<u8>], named: bool) -> Delivery {
    let mut batch = BatchBuilder::new();
    assert!(envelopes.iter().all(|envelope| batch.push(envelope)));
    let full = batch.clone().finish_packed(&BTreeSet::new());
    let known = full.schemas.iter().copied().collect();
    let payload = if named { batch.finish_packed(&known).bytes } else { full.bytes };
    Delivery { from: Origin::Topic(topic::of_lane(&crate::farm::agent(), Lane::Readings)), payload }
}

/// Takes alerts; the first POST is answered with a failure.
async fn webhook(taken: Arc<Mutex<Vec<Json>>>) -> SocketAddr {
    let answer = move |axum::Json(body): axum::Json<Json>| async move {
        let mut taken = taken.lock().unwrap();
        taken.push(body);
        if taken.len() == 1 { axum::http::StatusCode::INTERNAL_SERVER_ERROR } else { axum::http::StatusCode::OK }
    };
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = axum::Router::new().route("/", post(answer));
    tokio::spawn(async { axum::serve(listener, app).await.unwrap() });
    address
}

async fn get(http: SocketAddr, path: &'static str) -> (u16, String) {
    let asked = tokio::task::spawn_blocking(move || {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut answer = agent.get(format!("http://{http}{path}")).call().unwrap();
        (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
    });
    asked.await.unwrap()
}

async fn json(http: SocketAddr, path: &'static str) -> Json {
    let (status, body) = get(http, path).await;
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).unwrap()
}

async fn connected(running: &io::Running) {
    let waiting = async {
        while !running.counters().connected {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, waiting).await.expect("the sink connects");
}

fn config(directory: &TempDir, broker: u16, webhook: SocketAddr) -> Config {
    config_with(directory, broker, webhook, "")
}

fn config_with(directory: &TempDir, broker: u16, webhook: SocketAddr, more: &str) -> Config {
    let file = directory.path().join("farm.db");
    let text = format!(
        "farm = \"north-ridge\"\n[mqtt]\nhost = \"127.0.0.1\"\nport = {broker}\n[store]\nsqlite = {file:?}\n\
         [notify.targets.crew]\nwebhook = {{ url = \"http://{webhook}/\" }}\n[http]\nlisten = \"127.0.0.1:0\"\nguarded = true\n{more}"
    );
    Config::from_toml(&text, "test").unwrap()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_agents_send_is_stored_told_acked_and_shown_or_skipped_without_mosquitto() {
    let directory = tempfile::tempdir().unwrap();
    let Some(broker) = Broker::start(&directory) else {
        return;
    };
    let taken = Arc::new(Mutex::new(Vec::new()));
    let config = config(&directory, broker.port, webhook(taken.clone()).await);
    let mut agent = Agent::connect(broker.port).await;
    let running = io::start(config.clone()).await.unwrap();
    connected(&running).await;

    for delivery in deliveries().iter().chain(&deliveries()) {
        agent.publish(delivery).await;
    }
    agent.acked(Lane::Readings, &[(1, 2), (6, 6), (1024, 1024)]).await;
    agent.acked(Lane::Alerts, &[(1, 6)]).await;
    // Acked, so it will be told: once refused by the receiver, then taken, then never again (S1, S2).
    told(&running, &taken, 1, 2).await;
    assert_eq!(taken.lock().unwrap()[1]["location"], "Turbine 1, nacelle");
    let counters = running.counters();
    assert_eq!((counters.envelopes, counters.readings, counters.repeated), (10, 60, 10));

    shown(running.http).await;

    // Of what names a schema that was never told, nothing is acked; sent again in full, all of it.
    let blocks: Vec<_> =
        (4..=5).map(|seq| envelope(Lane::Readings, seq, block(T0 + seq as i64 * 60_000, 90))).collect();
    agent.publish(&packed(&blocks, true)).await;
    agent.publish(&delivery(Lane::Readings, &[envelope(Lane::Readings, 7, block(T0 + 420_000, 90))])).await;
    agent.acked(Lane::Readings, &[(1, 2), (6, 7), (1024, 1024)]).await;
    assert_eq!((running.counters().unknown_schema, running.counters().poison), (1, 2));
    agent.publish(&packed(&blocks, false)).await;
    agent.acked(Lane::Readings, &[(1, 2), (4, 7), (1024, 1024)]).await;

    // The broker keeps what comes while the sink is away; what the sink was told, it knows.
    running.stop().await.unwrap();
    agent.publish(&open_alert(8, 7)).await;
    agent.publish(&packed(&[envelope(Lane::Readings, 3, block(T0 + 60_000, 90))], true)).await;
    agent.until("a PUBACK", |packet, _| matches!(packet, Packet::PubAck(_))).await;
    let running = io::start(config).await.unwrap();
    agent.acked(Lane::Alerts, &[(1, 7)]).await;
    agent.acked(Lane::Readings, &[(1, 7), (1024, 1024)]).await;
    told(&running, &taken, 1, 3).await;
    running.stop().await.unwrap();
    assert_eq!(taken.lock().unwrap().len(), 3);
}

/// Waits until the sink has told of so many notices, and checks how many messages that took since the beginning.
async fn told(running: &io::Running, taken: &Mutex<Vec<Json>>, notices: u64, messages: usize) {
    let waiting = async {
        while running.counters().told < notices {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, waiting).await.expect("people are told");
    assert_eq!(taken.lock().unwrap().len(), messages);
}

/// What stands between an alert's publish and its message: broker, commit, claim, look, place, and the target.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_is_told_soon_or_skipped_without_mosquitto() {
    const ALERTS: u64 = 100;
    let directory = tempfile::tempdir().unwrap();
    let Some(broker) = Broker::start(&directory) else {
        return;
    };
    let taken = Arc::new(Mutex::new(vec![Json::Null]));
    let mut config = config(&directory, broker.port, webhook(taken.clone()).await);
    config.notify.policy.at_once = 1_000;
    let mut agent = Agent::connect(broker.port).await;
    let running = io::start(config).await.unwrap();
    connected(&running).await;
    let mut delays_ms = Vec::new();
    for id in 1..=ALERTS {
        let published = std::time::SystemTime::now();
        agent.publish(&open_alert(id, id)).await;
        let reached = async {
            while taken.lock().unwrap().len() <= id as usize {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            () = reached => {}
            () = agent.until("what never comes", |_, _| false) => {}
        }
        delays_ms.push(published.elapsed().unwrap().as_secs_f64() * 1e3);
    }
    running.stop().await.unwrap();
    delays_ms.sort_by(f64::total_cmp);
    let [p50, p99] = [50, 99].map(|percent| delays_ms[ALERTS as usize * percent / 100 - 1]);
    println!("FIGURE alert publish to webhook: p50 {p50:.1} ms, p99 {p99:.1} ms");
    assert!(p50 < 500.0, "not by the look into the store every two seconds: {p50} ms");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_will_of_a_killed_agent_is_told_and_its_return_too_or_skipped_without_mosquitto() {
    let directory = tempfile::tempdir().unwrap();
    let Some(broker) = Broker::start(&directory) else {
        return;
    };
    let taken = Arc::new(Mutex::new(Vec::new()));
    let rule = "[[notify.rules]]\nto = [\"crew\"]\nphases = [\"open\", \"clear\"]\n";
    let mut config = config_with(&directory, broker.port, webhook(taken.clone()).await, rule);
    config.presence = Presence { every_s: 1, will_after_s: 1, settle_s: 1, ..Presence::default() };
    let mut agent = Agent::connect(broker.port).await;
    let running = io::start(config).await.unwrap();
    connected(&running).await;
    let heard = async |agent: &mut Agent, seq: u64| {
        agent.publish(&delivery(Lane::Readings, &[envelope(Lane::Readings, seq, block(T0, 80))])).await;
        agent.acked(Lane::Readings, &[(seq, seq)]).await;
    };
    heard(&mut agent, 1).await;
    // Without a goodbye: the broker tells the will. The receiver refuses the first POST.
    drop(agent);
    came(&taken, 2).await;
    let opened = taken.lock().unwrap()[1].clone();
    assert_eq!((&opened["kind"], &opened["agent"]), (&"agent-silent".into(), &"t1".into()));
    assert_eq!((&opened["phase"], &opened["severity"]), (&"open".into(), &"critical".into()));

    let mut agent = Agent::connect(broker.port).await;
    heard(&mut agent, 2).await;
    came(&taken, 3).await;
    let ended = taken.lock().unwrap()[2].clone();
    assert_eq!((&ended["phase"], &ended["id"]), (&"clear".into(), &opened["id"]));
    let alerts = json(running.http, "/api/v1/alerts").await;
    assert_eq!(alerts["alerts"].as_array().unwrap().len(), 1);
    assert_eq!(alerts["alerts"][0]["state"], "cleared");
    running.stop().await.unwrap();
    assert_eq!(taken.lock().unwrap().len(), 3, "each once");
}

/// Waits for so many messages.
async fn came(taken: &Mutex<Vec<Json>>, messages: usize) {
    let waiting = async {
        while taken.lock().unwrap().len() < messages {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(DEADLINE, waiting).await.is_ok(), "told {:?}", taken.lock().unwrap());
}

async fn shown(http: SocketAddr) {
    let health = json(http, "/healthz").await;
    assert_eq!(health["status"], "ok");
    let crew = &health["targets"]["crew"];
    assert_eq!((&crew["messages"], &crew["failed"], &crew["failing_since_ms"]), (&1.into(), &1.into(), &Json::Null));
    assert_eq!(json(http, "/api/v1/agents").await["agents"][0]["agent"], "t1");
    let alert = &json(http, "/api/v1/alerts?limit=5").await["alerts"][0];
    assert_eq!((&alert["state"], &alert["location"]), (&"cleared".into(), &"Turbine 1, nacelle".into()));
    assert!(alert["notified_ms"].is_i64());
    assert_eq!(alert["acknowledged_by"], Json::Null);
    let path = "/api/v1/readings?agent=t1&device=anemometer&from=2026-11-20T13:54:05Z&to=1795182847000";
    assert_eq!(json(http, path).await["rows"].as_array().unwrap().len(), 3);
    let path = "/api/v1/stats?agent=t1&device=anemometer&channel=wind_speed";
    assert_eq!(json(http, path).await["windows"][0]["gust_3s"], 12.5);
    let day = &json(http, "/api/v1/days?from=2026-11-20T00:00:00Z&to=2026-11-20T23:59:59Z").await["days"][0];
    assert_eq!(day["max_wind_speed"], serde_json::json!({ "value": 13.0, "of": "t1/anemometer/wind_speed" }));
    assert_eq!((&day["max_gust_3s"]["value"], &day["availability"]), (&12.5.into(), &1.0.into()));
    assert_eq!(json(http, "/api/v1/gaps").await["gaps"][0]["reason"], "power cut");
    assert_eq!(json(http, "/api/v1/poison").await["poison"].as_array().unwrap().len(), 1);
    for (path, reason) in [
        ("/api/v1/readings?agent=t1", "missing field `device`"),
        ("/api/v1/readings?agent=t1&device=d&from=noon", "from: \\\"noon\\\" is neither"),
        ("/api/v1/stats?agent=t1&device=d&channel=c&from=2&to=1", "from is later than to"),
        ("/api/v1/alerts?limit=5000", "limit is 5000, must be 1 to 1000"),
        ("/api/v1/alerts?limt=5", "unknown field `limt`"),
    ] {
        let (status, body) = get(http, path).await;
        assert_eq!(status, 400, "{path}");
        assert!(body.contains(reason), "{path}: {body}");
    }
    assert_eq!(get(http, "/nowhere").await.0, 404);
    // The whole page, or the simple one where the program was built without Node.js.
    let page = get(http, "/").await.1;
    assert!(page.contains("/assets/") || page.contains("/page.js"), "{page}");
}
