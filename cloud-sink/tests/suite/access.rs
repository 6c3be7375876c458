//! Who is let in to page and API, and what becomes of those who are not, or who do not behave.

use crate::farm::{FARM, T0, commit, deliveries, open_alert};
use serde_json::{Value as Json, json};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;
use tempfile::TempDir;
use windward_sink::access::{Digest, new_token};
use windward_sink::config::{self, Config};
use windward_sink::decode::Delivery;
use windward_sink::io::clock::{mono_ms, now_ms};
use windward_sink::io::store::Store;
use windward_sink::io::{self, Running};
use windward_sink::notify::Policy;

/// A sink that asks who everybody is, and the tokens of those whom it knows.
pub(crate) struct Site {
    pub(crate) running: Running,
    viewer: String,
    operator: String,
    admin: String,
    _directory: TempDir,
}

/// What was answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: ureq::http::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Json {
        serde_json::from_str(&self.text).unwrap_or(Json::Null)
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Site {
    async fn start(more: &str) -> Self {
        let (viewer, operator, admin) = (new_token().unwrap(), new_token().unwrap(), new_token().unwrap());
        let token = |name: &str, role: &str, token: &str| {
            let digest = Digest::of(token);
            format!("[[http.token]]\nname = \"{name}\"\nrole = \"{role}\"\nsha256 = \"{digest}\"\n")
        };
        let tokens =
            [token("screen", "viewer", &viewer), token("crew", "operator", &operator), token("head", "admin", &admin)];
        let (running, directory) = start(&format!("{more}\n{}", tokens.concat())).await;
        Self { running, viewer, operator, admin, _directory: directory }
    }

    /// Asks with these headers.
    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<Json>) -> Answer {
        let url = format!("http://{}{path}", self.running.http);
        ask(method, &url, headers, body.map(|body| body.to_string())).await
    }

    async fn by(&self, token: &str, method: &str, path: &str, body: Option<Json>) -> Answer {
        self.ask(method, path, &[("authorization", &format!("Bearer {token}"))], body).await
    }
}

/// A sink over the small farm, in which alert 8 is open, with these lines below `[http]`.
pub(crate) async fn start(http: &str) -> (Running, TempDir) {
    let (running, _, directory) = start_with(http, &[]).await;
    (running, directory)
}

/// The same with more deliveries in its store, which came just now, and another hand on that.
pub(crate) async fn start_with(http: &str, more: &[Delivery]) -> (Running, Store, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("farm.db");
    let store = Store::open(&config::Store::Sqlite(file.clone())).await.unwrap();
    let mut all = deliveries();
    // Without its agent's second start, after which it would be no open one.
    all.remove(8);
    all.push(open_alert(8, 6));
    commit(&store, Policy::default(), &all, T0).await;
    commit(&store, Policy::default(), more, now_ms()).await;
    let text = format!(
        "farm = \"{FARM}\"\n[mqtt]\nhost = \"127.0.0.1\"\nport = 1\n[store]\nsqlite = {file:?}\n[http]\nlisten = \
         \"127.0.0.1:0\"\n{http}"
    );
    (io::start(Config::from_toml(&text, "test").unwrap()).await.unwrap(), store, directory)
}

/// Asks once; redirections are answers.
pub(crate) async fn ask(method: &str, url: &str, headers: &[(&str, &str)], body: Option<String>) -> Answer {
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if body.is_some() && !headers.iter().any(|(name, _)| *name == "content-type") {
        request = request.header("content-type", "application/json");
    }
    let asked = tokio::task::spawn_blocking(move || {
        let agent =
            ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0).allow_non_standard_methods(true);
        let agent: ureq::Agent = agent.build().into();
        let mut answer = match body {
            Some(body) => agent.run(request.body(body).unwrap()).unwrap(),
            None => agent.run(request.body(()).unwrap()).unwrap(),
        };
        let text = answer.body_mut().read_to_vec().map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Answer { status: answer.status().as_u16(), headers: answer.headers().clone(), text: text.unwrap() }
    });
    asked.await.unwrap()
}

/// Each address and method of the document, with something for what stands in braces.
fn addresses(document: &Json) -> Vec<(String, String)> {
    let paths = document["paths"].as_object().unwrap().iter();
    let each = paths.flat_map(|(path, methods)| {
        let path = path.replace("{agent}", "t1").replace("{id}", "0000000000000008");
        methods.as_object().unwrap().keys().map(move |method| (method.to_uppercase(), path.clone()))
    });
    each.collect()
}

#[tokio::test]
async fn nobody_gets_anything_of_the_farm_without_an_account_and_none_more_than_his_role_may() {
    let site = Site::start("").await;
    let document = site.by(&site.viewer, "GET", "/api/v1/openapi.json", None).await.json();
    let mut all = addresses(&document);
    assert!(all.len() >= 20, "{all:?}");
    for more in ["/metrics", "/api/docs", "/api/v1/openapi.json", "/api/v1/nothing", "/api/v1/demo"] {
        all.push(("GET".into(), more.into()));
    }
    let unknown = new_token().unwrap();
    for (method, path) in &all {
        let said = if path.ends_with("session") { json!({ "token": unknown }) } else { json!({ "by": "Eve" }) };
        let body = (method == "POST").then_some(said);
        let is_for_all = path == "/healthz" || (path == "/api/v1/session" && method == "DELETE");
        let foreign = [("authorization", format!("Bearer {unknown}")), ("cookie", format!("windward={unknown}"))];
        let others = [("authorization", "Basic eDp5".to_string()), ("cookie", "windward=e30.AAAA".into())];
        for headers in [&[][..], &foreign[..1], &foreign[1..], &others[..1], &others[1..]] {
            let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let answer = site.ask(method, path, &headers, body.clone()).await;
            if is_for_all {
                assert!(answer.json()["deliveries"].is_null(), "{method} {path} tells strangers: {}", answer.text);
                continue;
            }
            // Too much that is wrong is not even looked at.
            assert!([401, 429].contains(&answer.status), "{method} {path} {headers:?}: {}", answer.text);
            assert_eq!(answer.header("content-type"), "application/problem+json", "{method} {path}");
        }
        let needs_more = path == "/api/v1/audit" || (method == "POST" && path != "/api/v1/session");
        if needs_more {
            let answer = site.by(&site.viewer, method, path, body).await;
            assert_eq!(answer.status, 403, "{method} {path}: {}", answer.text);
            assert!(answer.json()["detail"].as_str().unwrap().contains("screen is viewer"), "{}", answer.text);
        } else if method == "GET" && path != "/api/v1/live" {
            let answer = site.by(&site.viewer, method, path, None).await;
            assert!(![401, 403, 429].contains(&answer.status), "{method} {path}: {}", answer.text);
        }
    }
    assert_eq!(site.by(&site.operator, "GET", "/api/v1/audit", None).await.status, 403);
    let health = site.by(&site.viewer, "GET", "/healthz", None).await.json();
    assert_eq!(health["deliveries"], 0, "who may look is told how much came: {health}");
    assert_eq!(site.ask("GET", "/", &[], None).await.status, 200, "the page holds nothing of the farm");
    site.running.stop().await.unwrap();
}

#[tokio::test]
async fn a_browser_signs_in_by_a_token_acts_under_its_name_and_that_is_written_down() {
    let site = Site::start("public = \"https://farm.example\"").await;
    let wrong = site.ask("POST", "/api/v1/session", &[], Some(json!({ "token": "windward_0" }))).await;
    assert_eq!((wrong.status, wrong.json()["detail"].as_str()), (401, Some("this token is not known")));
    let signed_in = site.ask("POST", "/api/v1/session", &[], Some(json!({ "token": site.operator }))).await;
    assert_eq!(signed_in.status, 204);
    let kept = signed_in.header("set-cookie").to_string();
    for part in ["windward=windward_", "; HttpOnly", "; SameSite=Strict", "; Secure", "; Path=/"] {
        assert!(kept.contains(part), "{kept}");
    }
    let cookie = [("cookie", kept.split(';').next().unwrap())];
    let me = site.ask("GET", "/api/v1/me", &cookie, None).await.json();
    assert_eq!((&me["name"], &me["role"], &me["auth"]), (&json!("crew"), &json!("operator"), &json!(true)));

    let alert = "/api/v1/alerts/t1/0000000000000008";
    let seen = site.ask("POST", &format!("{alert}/acknowledge"), &cookie, Some(json!({ "note": "on my way" }))).await;
    assert_eq!((seen.status, seen.json()["acknowledged_by"].as_str()), (200, Some("crew")), "{}", seen.text);
    let said = json!({ "by": "Ann", "text": "cup replaced" });
    let said = site.ask("POST", &format!("{alert}/comments"), &cookie, Some(said)).await;
    assert_eq!(said.json()["comments"][0]["by"], "Ann (crew)");
    // A page of another site, in the same browser.
    let foreign = [cookie[0], ("origin", "https://evil.example")];
    assert_eq!(
        site.ask("POST", &format!("{alert}/comments"), &foreign, Some(json!({ "text": "x" }))).await.status,
        403
    );

    let audit = site.by(&site.admin, "GET", "/api/v1/audit?limit=2", None).await.json();
    let line = |entry: &Json| format!("{} {} {}", entry["who"], entry["what"], entry["role"]).replace('"', "");
    assert_eq!(line(&audit["entries"][0]), "Ann (crew) comment operator");
    assert_eq!(line(&audit["entries"][1]), "crew acknowledge operator");
    assert!(audit["entries"][1]["about"].as_str().unwrap().starts_with("t1 0000000000000008, "), "{audit}");
    let older = format!("/api/v1/audit?limit=2&after={}", audit["next"].as_str().unwrap().replace('#', "%23"));
    let older = site.by(&site.admin, "GET", &older, None).await.json();
    assert_eq!((line(&older["entries"][0]), &older["next"]), ("crew sign-in operator".into(), &Json::Null));

    let out = site.ask("DELETE", "/api/v1/session", &cookie, None).await;
    assert!(out.status == 204 && out.header("set-cookie").starts_with("windward=; "), "{}", out.header("set-cookie"));
    site.running.stop().await.unwrap();
}

#[tokio::test]
async fn a_sink_without_accounts_says_how_to_make_one_and_a_guarded_one_keeps_to_its_names() {
    let (running, _directory) = start("").await;
    let url = format!("http://{}/api/v1/agents", running.http);
    let refused = ask("GET", &url, &[], None).await;
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, "Bearer"));
    assert!(refused.json()["detail"].as_str().unwrap().contains("`windward-sink token` makes one"), "{}", refused.text);
    running.stop().await.unwrap();

    let (running, _directory) = start("guarded = true\npublic = \"https://farm.example\"\n").await;
    let url = format!("http://{}/api/v1/agents", running.http);
    assert_eq!(ask("GET", &url, &[], None).await.status, 200);
    assert_eq!(ask("GET", &url, &[("host", "farm.example")], None).await.status, 200);
    let rebound = ask("GET", &url, &[("host", "evil.example")], None).await;
    assert_eq!(rebound.status, 421, "{}", rebound.text);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn who_asks_too_much_waits_and_wrong_tokens_lock_nobody_out() {
    let site = Site::start("requests_per_s = 1").await;
    let mut statuses = Vec::new();
    for _ in 0..12 {
        statuses.push(site.by(&site.viewer, "GET", "/api/v1/me", None).await.status);
    }
    assert!(statuses[..10].iter().all(|status| *status == 200) && statuses[11] == 429, "{statuses:?}");
    assert_eq!(site.by(&site.operator, "GET", "/api/v1/me", None).await.status, 200, "each has his own");
    let mut wrong = Vec::new();
    for _ in 0..25 {
        wrong.push(site.by("windward_x", "GET", "/api/v1/me", None).await.status);
    }
    assert!(wrong[..20].iter().all(|status| *status == 401) && wrong[24] == 429, "{wrong:?}");
    let waits = site.by("windward_x", "GET", "/api/v1/me", None).await;
    assert!((1..=6).contains(&waits.header("retry-after").parse().unwrap()), "{}", waits.text);
    assert_eq!(site.by(&site.operator, "GET", "/api/v1/me", None).await.status, 200, "nobody is locked out");
    site.running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_the_same_is_not_sent_again_and_a_large_one_is_packed() {
    let (running, _directory) = start("guarded = true\n").await;
    let url = format!("http://{}/api/v1/readings?agent=t1&device=anemometer", running.http);
    let first = ask("GET", &url, &[], None).await;
    let name = first.header("etag").to_string();
    assert!(first.status == 200 && name.starts_with("W/\""), "{name}");
    let again = ask("GET", &url, &[("if-none-match", &name)], None).await;
    assert_eq!((again.status, again.text.as_str(), again.header("etag")), (304, "", name.as_str()));
    assert_eq!(ask("GET", &url, &[("if-none-match", "W/\"other\"")], None).await.status, 200);
    let text = raw(
        &running,
        "GET /api/v1/readings?agent=t1&device=anemometer HTTP/1.1\r\nhost: 127.0.0.1\r\n\
        accept-encoding: gzip\r\nconnection: close\r\n\r\n",
    );
    let head = text.split("\r\n\r\n").next().unwrap().to_lowercase();
    assert!(head.contains("content-encoding: gzip") && text.len() * 2 < first.text.len(), "{head}");
    running.stop().await.unwrap();
}

/// What comes back for these bytes until the sink hangs up.
fn raw(running: &Running, request: &str) -> String {
    let mut stream = TcpStream::connect(running.http).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // A connection that is cut while it is written to may end in an error; what was said before counts.
    stream.read_to_end(&mut answer).ok();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_that_climb_bodies_without_end_and_clients_that_dawdle_are_refused() {
    let (running, _directory) = start("guarded = true\n").await;
    let status = |request: &str| raw(&running, request).split(' ').nth(1).unwrap_or("none").to_string();
    let get = |path: &str| status(&format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n"));
    for path in [
        "/../../../../etc/passwd",
        "/assets/../../../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/assets/..%2f..%2f..%2fetc%2fpasswd",
        "/..%5c..%5cetc%5cpasswd",
        "//etc/passwd",
        "/api/v1/alerts/..%2f..%2fetc/passwd",
    ] {
        assert!(["400", "404"].contains(&get(path).as_str()), "{path}: {}", get(path));
    }
    let post = "POST /api/v1/alerts/t1/8/comments HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\ncontent-type: \
                application/json\r\n";
    let large = format!("{post}content-length: 20000\r\n\r\n{}", "x".repeat(20_000));
    assert_eq!(status(&large), "413");
    assert_eq!(status(&format!("{post}content-length: 99999999999\r\n\r\n{{")), "413");
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
    assert_eq!(status(&format!("{post}transfer-encoding: chunked\r\n\r\n{}0\r\n\r\n", chunk.repeat(5))), "413");
    let long = format!("GET /{} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n", "a".repeat(1_000_000));
    assert!(["414", "431", "400"].contains(&status(&long).as_str()));
    // A head that never ends, and a body that never does: both at once, because each is waited for.
    let begun = mono_ms();
    std::thread::scope(|scope| {
        let head = scope.spawn(|| (raw(&running, "GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nx-slow: "), mono_ms() - begun));
        let body = scope.spawn(|| (raw(&running, &format!("{post}content-length: 100\r\n\r\n{{")), mono_ms() - begun));
        let (said, after) = head.join().unwrap();
        assert!(said.is_empty() || said.contains(" 408 "), "{said}");
        assert!(after < 25_000, "{after} ms");
        let (said, after) = body.join().unwrap();
        assert!(said.contains(" 503 ") && said.contains("no answer in 30 s"), "{said}");
        assert!(after < 45_000, "{after} ms");
    });
    running.stop().await.unwrap();
}
