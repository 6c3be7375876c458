//! What the API answers about a small farm, asked over HTTP. The broker is away: what is stored is shown all the same.

use crate::access::{self, ask};
use crate::farm::{T0, alert_step, block, commit, delivery, envelope, health, open_alert, short_alerts};
use serde_json::{Value as Json, json};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::time::Duration;
use tempfile::TempDir;
use windward_protocol::{AlertPhase, Lane};
use windward_sink::decode::Delivery;
use windward_sink::io::Running;
use windward_sink::io::clock::{mono_ms, now_ms};
use windward_sink::io::store::Store;
use windward_sink::notify::Policy;

/// A sink over a file in which the small farm's rows stand, and another hand on that file.
struct Site {
    running: Running,
    store: Store,
    _directory: TempDir,
}

impl Site {
    async fn start() -> Self {
        Self::start_with(Vec::new()).await
    }

    /// With more deliveries in its store.
    async fn start_with(more: Vec<Delivery>) -> Self {
        let (running, store, directory) = access::start_with("guarded = true\n", &more).await;
        Self { running, store, _directory: directory }
    }

    async fn get(&self, path: &str) -> (u16, Json) {
        self.ask(path, None, None).await
    }

    async fn ok(&self, path: &str) -> Json {
        let (status, body) = self.get(path).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    async fn ask(&self, path: &str, body: Option<Json>, origin: Option<&'static str>) -> (u16, Json) {
        let url = format!("http://{}{path}", self.running.http);
        let asked = tokio::task::spawn_blocking(move || {
            let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
            let mut answer = match body {
                None => agent.get(url).call().unwrap(),
                Some(body) => {
                    let request = agent.post(url).header("Content-Type", "application/json");
                    let request = origin.into_iter().fold(request, |request, origin| request.header("Origin", origin));
                    request.send(body.to_string()).unwrap()
                }
            };
            let text = answer.body_mut().read_to_string().unwrap();
            (answer.status().as_u16(), serde_json::from_str(&text).unwrap_or(Json::Null))
        });
        asked.await.unwrap()
    }
}

#[tokio::test]
async fn a_picture_has_as_many_columns_as_were_asked_for_and_every_extreme() {
    let site = Site::start().await;
    let of = format!("/api/v1/series?agent=t1&device=anemometer&from={T0}&to={}", T0 + 29_999);
    let fine = site.ok(&format!("{of}&channel=wind_speed,temperature")).await;
    assert_eq!(fine["level"], "reading");
    let wind = &fine["channels"][0];
    assert_eq!(
        (&wind["channel"], &wind["quantity"], &wind["unit"]),
        (&json!("wind_speed"), &json!("wind-speed"), &json!("m/s"))
    );
    assert_eq!(wind["mean"].as_array().unwrap().len(), 30);
    assert_eq!((&wind["mean"][0], &wind["score"][9]), (&json!(8.0), &json!(1.4)));
    assert_eq!(
        fine["channels"][1]["mean"].as_array().unwrap().len(),
        27,
        "three moments have none, and 2 s are no gap"
    );
    let coarse = site.ok(&format!("{of}&channel=wind_speed&points=3")).await;
    assert_eq!(coarse["channels"][0]["max"], json!([8.9, 10.4, 12.9]));
    assert_eq!(coarse["channels"][0]["min"], json!([8.0, 9.5, 12.0]));
    let year = "/api/v1/series?agent=t1&device=anemometer&channel=wind_speed&from=2026-01-01T00:00:00Z&to=2026-12-31T00:00:00Z";
    let year = site.ok(year).await;
    assert_eq!(year["level"], "window");
    assert_eq!(
        (&year["channels"][0]["max"], &year["channels"][0]["time_ms"]),
        (&json!([13.0]), &json!([T0 + 299_999]))
    );
    for (path, status, reason) in [
        (format!("{of}&channel=rain"), 404, "has no channel \"rain\""),
        (of.replace("t1", "t2") + "&channel=wind_speed", 404, "there is no agent \"t2\""),
        (format!("{of}&channel=wind_speed&points=0"), 400, "points is 0, must be 1 to 10000"),
        (format!("{of}&channel={}", ["wind_speed"; 17].join(",")), 400, "17 channels are asked for"),
    ] {
        let (got, body) = site.get(&path).await;
        assert_eq!((got, &body["status"]), (status, &json!(status)), "{path}: {body}");
        assert!(body["detail"].as_str().unwrap().contains(reason), "{path}: {body}");
    }
    site.running.stop().await.unwrap();
}

#[tokio::test]
async fn a_tile_shows_the_wind_that_was_stored_before_the_sink_started() {
    let now_ms = now_ms();
    let envelope = envelope(Lane::Readings, 5_000, block(now_ms - 60_000, 80));
    let site = Site::start_with(vec![delivery(Lane::Readings, &[envelope]), health(true, now_ms)]).await;
    let begun = mono_ms();
    let tile = loop {
        let overview = site.ok("/api/v1/overview").await;
        if !overview["turbines"][0]["wind"].is_null() {
            break overview["turbines"][0].clone();
        }
        assert!(mono_ms() - begun < 20_000, "{overview}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!((&tile["wind"]["value"], &tile["wind"]["time_ms"]), (&json!(8.9), &json!(now_ms - 51_000)));
    assert!(tile["spark"]["mean"].as_array().unwrap().iter().any(|mean| !mean.is_null()), "{tile}");
    site.running.stop().await.unwrap();
}

#[tokio::test]
async fn the_farm_at_a_glance_and_what_is_missing_of_it() {
    let site = Site::start().await;
    let overview = site.ok("/api/v1/overview").await;
    let tile = &overview["turbines"][0];
    assert_eq!((&tile["agent"], &tile["locations"]), (&json!("t1"), &json!(["Turbine 1, nacelle"])));
    assert_eq!((&tile["open_count"], &tile["open"][0]["id"]), (&json!(1), &json!("0000000000000008")));
    assert_eq!(tile["spark"]["mean"].as_array().unwrap().len(), 60);
    let delivery = site.ok("/api/v1/delivery").await;
    let lane = &delivery["agents"][0]["lanes"][1];
    assert_eq!((&lane["lane"], &lane["stored"]), (&json!("readings"), &json!(1024)));
    assert_eq!((&lane["holes"][0]["from"], &lane["holes"][0]["reason"]), (&json!(3), &json!("power cut")));
    let wind = site.ok("/api/v1/wind?agent=t1&device=anemometer").await;
    assert_eq!((&wind["windows"], &wind["turbulence"][0]["speed_mps"]), (&json!(1), &json!(8)));
    site.running.stop().await.unwrap();
}

#[tokio::test]
async fn an_alert_is_found_acknowledged_and_told_to_pages_that_are_open() {
    let site = Site::start().await;
    let ids = async |query: &str| -> Vec<String> {
        let alerts = site.ok(&format!("/api/v1/alerts?{query}")).await["alerts"].as_array().unwrap().clone();
        alerts.iter().map(|alert| alert["id"].as_str().unwrap().to_string()).collect()
    };
    let (seven, eight) = ("0000000000000007", "0000000000000008");
    assert_eq!(ids("").await, [eight, seven]);
    assert_eq!(ids("state=open").await, [eight]);
    assert_eq!(ids("state=cleared&severity=critical&kind=anomaly").await, [seven]);
    assert_eq!(ids("state=open&severity=critical").await, [""; 0]);
    assert_eq!(ids(&format!("from={}", T0 + 40_001)).await, [eight], "the other had ended");
    assert_eq!(ids(&format!("to={}", T0 + 20_007)).await, [seven], "the other had not opened");
    let page = site.ok("/api/v1/alerts?limit=1").await;
    let next = page["next"].as_str().unwrap().replace('#', "%23");
    assert_eq!(ids(&format!("limit=1&after={next}")).await, [seven]);
    assert_eq!(site.ok(&format!("/api/v1/alerts?limit=1&after={next}")).await["next"], Json::Null);

    let mut events = Events::open(site.running.http);
    assert_eq!(events.next("hello").await["now_ms"].as_i64().map(|ms| ms > T0), Some(true));
    // At once: from its greeting on a page is told of every change.
    let path = format!("/api/v1/alerts/t1/{eight}/acknowledge");
    let (status, alert) = site.ask(&path, Some(json!({ "by": " Jo ", "note": "on my way" })), None).await;
    assert_eq!((status, &alert["acknowledged_by"], &alert["note"]), (200, &json!("Jo"), &json!("on my way")));
    assert_eq!(events.next("overview").await["turbines"][0]["agent"], "t1");
    assert_eq!(events.next("alert").await["acknowledged_by"], "Jo");
    let comments = format!("/api/v1/alerts/t1/{eight}/comments");
    let (status, alert) = site.ask(&comments, Some(json!({ "by": "Ann", "text": "it was \"ice\"" })), None).await;
    assert_eq!(
        (status, &alert["comments"][0]["by"], &alert["comments"][0]["text"]),
        (200, &json!("Ann"), &json!("it was \"ice\""))
    );
    assert_eq!(events.next("alert").await["comments"].as_array().unwrap().len(), 1);
    assert_eq!(site.ok(&format!("/api/v1/alerts/t1/{eight}")).await["comments"][0]["by"], "Ann");
    commit(&site.store, Policy::default(), &[open_alert(9, 7)], T0).await;
    assert_eq!(events.next("alert").await["id"], "0000000000000009");

    for (path, body, origin, expected) in [
        (path.clone(), json!({ "by": "" }), None, 400),
        (path.clone(), json!({ "by": "Jo", "notes": "" }), None, 422),
        (path.clone(), json!({ "by": "Jo" }), Some("http://elsewhere.example"), 403),
        (path.replace(eight, "xyz"), json!({ "by": "Jo" }), None, 400),
        (path.replace(eight, "99"), json!({ "by": "Jo" }), None, 404),
        (path.replace(eight, seven), json!({ "by": "Jo" }), None, 409),
        (path.clone(), json!({ "by": "Jo", "note": "x".repeat(20_000) }), None, 413),
        (comments, json!({ "by": "Jo", "text": " " }), None, 400),
        ("/api/v1/alerts".into(), json!({}), None, 405),
        ("/api/v1/nothing".into(), json!({}), None, 404),
    ] {
        let (status, problem) = site.ask(&path, Some(body), origin).await;
        assert_eq!((status, &problem["status"]), (expected, &json!(expected)), "{path}: {problem}");
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{path}: {problem}");
    }
    // Pages that are open hold up no stop.
    site.running.stop().await.unwrap();
}

#[tokio::test]
async fn an_alert_that_lasts_is_on_every_view_until_it_ends_however_many_have_opened_since() {
    let site = Site::start_with(short_alerts(250)).await;
    let open = site.ok("/api/v1/alerts?state=open&limit=1").await;
    assert_eq!((&open["alerts"][0]["id"], &open["next"]), (&json!("0000000000000008"), &Json::Null));
    let tile = async || site.ok("/api/v1/overview").await["turbines"][0].clone();
    assert_eq!(tile().await["open"][0]["id"], "0000000000000008");
    let mut events = Events::open(site.running.http);
    events.next("hello").await;
    commit(&site.store, Policy::default(), &[delivery(Lane::Alerts, &[alert_step(8, AlertPhase::Clear, 7)])], T0).await;
    let told = events.next("alert").await;
    assert_eq!((&told["id"], &told["state"]), (&json!("0000000000000008"), &json!("cleared")));
    assert_eq!(tile().await["open_count"], 0);
    site.running.stop().await.unwrap();
}

#[tokio::test]
async fn prometheus_is_told_of_sink_and_agents() {
    let site = Site::start().await;
    let url = format!("http://{}/metrics", site.running.http);
    let asked = tokio::task::spawn_blocking(move || {
        let mut answer = ureq::get(url).call().unwrap();
        let kind = answer.headers()["content-type"].to_str().unwrap().to_string();
        (kind, answer.body_mut().read_to_string().unwrap())
    });
    let (kind, text) = asked.await.unwrap();
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    for line in [
        "windward_sources_connected 0",
        "windward_live_clients 0",
        "windward_agent_info{agent=\"t1\",version=\"0.1.0\"} 1",
        "windward_agent_open_alerts{agent=\"t1\",severity=\"warning\"} 1",
        "windward_agent_missing_envelopes{agent=\"t1\",state=\"lost\"} 3",
    ] {
        assert!(text.lines().any(|told| told == line), "{line} is not in\n{text}");
    }
    site.running.stop().await.unwrap();
}

#[tokio::test]
async fn the_document_names_every_address() {
    let site = Site::start().await;
    let document = site.ok("/api/v1/openapi.json").await;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{}", document["openapi"]);
    let paths = document["paths"].as_object().unwrap();
    for path in [
        "overview", "agents", "alerts", "readings", "series", "stats", "days", "wind", "gaps", "delivery", "poison",
        "live",
    ] {
        assert!(paths.contains_key(&format!("/api/v1/{path}")), "{path}");
    }
    let docs = ask("GET", &format!("http://{}/api/docs", site.running.http), &[], None).await;
    assert!(docs.header("content-type").starts_with("text/html") && !docs.text.contains("<script"));
    for path in paths.keys() {
        assert!(docs.text.contains(&format!("</b> {path}</code>")), "{path} has no documentation");
    }
    site.running.stop().await.unwrap();
}

/// A page that is open.
struct Events(tokio::sync::mpsc::Receiver<(String, Json)>);

impl Events {
    fn open(http: SocketAddr) -> Self {
        let (into, events) = tokio::sync::mpsc::channel(100);
        std::thread::spawn(move || {
            let mut answer = ureq::get(format!("http://{http}/api/v1/live")).call().unwrap();
            let mut event = String::new();
            for line in BufReader::new(answer.body_mut().as_reader()).lines() {
                let Ok(line) = line else { return };
                if let Some(name) = line.strip_prefix("event: ") {
                    event = name.into();
                } else if let Some(data) = line.strip_prefix("data: ")
                    && into.blocking_send((event.clone(), serde_json::from_str(data).unwrap())).is_err()
                {
                    return;
                }
            }
        });
        Self(events)
    }

    /// The next event of this name; others are passed over.
    async fn next(&mut self, name: &str) -> Json {
        let found = async {
            loop {
                let (event, data) = self.0.recv().await.expect("the sink hung up");
                if event == name {
                    return data;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), found).await.expect(name)
    }
}
