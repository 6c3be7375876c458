//! The company's login, against a provider that the test plays: who signs in there is let in here, and nothing else is.

use crate::access::{Answer, ask, start};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::{get, post};
use axum::{Json as Body, Router};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use ring::{digest, hmac};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpListener;
use windward_sink::access::{Digest, new_token};
use windward_sink::io::Running;
use windward_sink::io::clock::{mono_ms, now_ms};

/// A provider. What it says next is in its state.
#[derive(Clone)]
struct Provider(Arc<Mutex<Said>>);

struct Said {
    issuer: String,
    key: EcdsaKeyPair,
    /// Under which name the key is published.
    name: String,
    /// What the next token claims beside the usual.
    claims: Json,
    /// What the token endpoint was sent.
    redeemed: Vec<BTreeMap<String, String>>,
}

fn new_key() -> EcdsaKeyPair {
    let (how, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
    let document = EcdsaKeyPair::generate_pkcs8(how, &random).unwrap();
    EcdsaKeyPair::from_pkcs8(how, document.as_ref(), &random).unwrap()
}

fn text(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Said {
    fn keys(&self) -> Json {
        let point = self.key.public_key().as_ref();
        let (x, y) = (text(&point[1..33]), text(&point[33..]));
        json!({ "keys": [{ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.name, "x": x, "y": y }] })
    }

    /// The usual claims, changed by these.
    fn token(&self, changes: &Json) -> String {
        let now = now_ms() / 1_000;
        let mut claims = json!({ "iss": self.issuer, "aud": "windward", "sub": "17", "preferred_username": "jo",
            "iat": now, "exp": now + 300, "roles": ["crew"] });
        for changes in [&self.claims, changes] {
            claims
                .as_object_mut()
                .unwrap()
                .extend(changes.as_object().into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())));
        }
        let header = json!({ "alg": "ES256", "typ": "JWT", "kid": self.name });
        let message = format!("{}.{}", text(header.to_string()), text(claims.to_string()));
        let signed = self.key.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", text(signed))
    }
}

impl Provider {
    async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let provider = Self(Arc::new(Mutex::new(Said {
            issuer,
            key: new_key(),
            name: "key 1".into(),
            claims: json!({}),
            redeemed: Vec::new(),
        })));
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/keys", get(async |State(Provider(said))| Body(said.lock().unwrap().keys())))
            .route("/token", post(token))
            .with_state(provider.clone());
        tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
        provider
    }

    fn claims(&self, claims: Json) {
        self.0.lock().unwrap().claims = claims;
    }

    fn bearer(&self, changes: &Json) -> String {
        self.0.lock().unwrap().token(changes)
    }
}

async fn discovery(State(Provider(said)): State<Provider>) -> Body<Json> {
    let issuer = said.lock().unwrap().issuer.clone();
    Body(json!({ "issuer": issuer, "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"), "jwks_uri": format!("{issuer}/keys") }))
}

async fn token(State(Provider(said)): State<Provider>, headers: HeaderMap, form: String) -> Body<Json> {
    let mut said = said.lock().unwrap();
    let mut form: BTreeMap<String, String> = form_urlencoded::parse(form.as_bytes()).into_owned().collect();
    form.insert("authorization".into(), headers["authorization"].to_str().unwrap().into());
    said.redeemed.push(form);
    Body(json!({ "access_token": "x", "token_type": "Bearer", "id_token": said.token(&json!({})) }))
}

struct Site {
    provider: Provider,
    running: Running,
    _directory: TempDir,
}

impl Site {
    async fn start() -> Self {
        let provider = Provider::start().await;
        let issuer = provider.0.lock().unwrap().issuer.clone();
        let secret = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(secret.path(), "between us\n").unwrap();
        let http = format!(
            "public = \"http://farm.example\"\n[http.oidc]\nissuer = \"{issuer}\"\nclient_id = \"windward\"\nclient_secret_file = \
             {:?}\nname = \"North Ridge\"\nroles = {{ crew = \"operator\", boss = \"admin\" }}\n",
            secret.path()
        );
        let (running, directory) = start(&http).await;
        Self { provider, running, _directory: directory }
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        ask("GET", &format!("http://{}{path}", self.running.http), headers, None).await
    }

    async fn by(&self, token: &str) -> Answer {
        self.get("/api/v1/me", &[("authorization", &format!("Bearer {token}"))]).await
    }

    /// Sends a browser off. Gives the cookie that it keeps, and what the provider is asked.
    async fn leave(&self) -> (String, BTreeMap<String, String>) {
        let away = self.get("/api/v1/session/login", &[]).await;
        assert_eq!(away.status, 303, "{}", away.text);
        let kept = away.header("set-cookie");
        assert!(kept.contains("; HttpOnly; SameSite=Lax; Max-Age=600"), "{kept}");
        let (_, query) = away.header("location").split_once("/authorize?").unwrap();
        let asked = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        (kept.split(';').next().unwrap().into(), asked)
    }

    async fn come_back(&self, cookie: &str, query: &str) -> Answer {
        self.get(&format!("/api/v1/session/return?{query}"), &[("cookie", cookie)]).await
    }
}

#[tokio::test]
async fn a_browser_goes_to_the_provider_and_comes_back_as_somebody() {
    let site = Site::start().await;
    let refused = site.get("/api/v1/me", &[]).await;
    assert_eq!((refused.status, &refused.json()["oidc"]["name"]), (401, &json!("North Ridge")));
    assert_eq!(refused.json()["oidc"]["href"], "/api/v1/session/login");

    let (cookie, asked) = site.leave().await;
    assert_eq!((asked["scope"].as_str(), asked["response_type"].as_str()), ("openid profile", "code"));
    assert_eq!(asked["redirect_uri"], "http://farm.example/api/v1/session/return");
    site.provider.claims(json!({ "nonce": asked["nonce"] }));
    let back = site.come_back(&cookie, &format!("code=abc&state={}", asked["state"])).await;
    assert_eq!((back.status, back.header("location")), (303, "/"), "{}", back.text);
    let session = back.headers.get_all("set-cookie").iter().map(|kept| kept.to_str().unwrap().to_string());
    let session = session.into_iter().find(|kept| kept.starts_with("windward=")).unwrap();
    assert!(session.contains("; HttpOnly; SameSite=Strict; Max-Age=43200"), "{session}");
    let me = site.get("/api/v1/me", &[("cookie", session.split(';').next().unwrap())]).await.json();
    assert_eq!((&me["name"], &me["role"]), (&json!("jo"), &json!("operator")));

    let redeemed = site.provider.0.lock().unwrap().redeemed.clone();
    let shown = format!("Basic {}", STANDARD.encode("windward:between+us"));
    assert_eq!((redeemed[0]["code"].as_str(), &redeemed[0]["authorization"]), ("abc", &shown));
    let verifier = digest::digest(&digest::SHA256, redeemed[0]["code_verifier"].as_bytes());
    assert_eq!(text(verifier), asked["code_challenge"], "the provider can check the verifier");
    let boss = site.provider.bearer(&json!({ "roles": ["boss"], "name": "Kim" }));
    let audit = site.get("/api/v1/audit", &[("authorization", &format!("Bearer {boss}"))]).await.json();
    assert_eq!(audit["entries"][0]["about"], "by the company's login");
    site.running.stop().await.unwrap();
}

#[tokio::test]
async fn who_comes_back_otherwise_is_nobody() {
    let site = Site::start().await;
    let refused = async |cookie: &str, query: &str, reason: &str| {
        let back = site.come_back(cookie, query).await;
        assert_eq!(back.status, 403, "{query}: {}", back.text);
        assert!(back.text.contains(reason), "{query}: {}", back.text);
        assert!(!back.headers.get_all("set-cookie").iter().any(|kept| kept.to_str().unwrap().starts_with("windward=")));
    };
    let (cookie, asked) = site.leave().await;
    let fit = format!("code=abc&state={}", asked["state"]);
    refused(&cookie, "code=abc&state=another", "did not begin to sign in here").await;
    refused("windward_login=e30.AAAA", &fit, "did not begin to sign in here").await;
    refused("", &fit, "did not begin to sign in here").await;
    refused(&cookie, &format!("error=access_denied&state={}", asked["state"]), "access_denied").await;
    site.provider.claims(json!({ "nonce": "of another" }));
    refused(&cookie, &fit, "made for another signing-in").await;
    site.provider.claims(json!({ "nonce": asked["nonce"], "aud": "another" }));
    refused(&cookie, &fit, "does not confirm it").await;
    site.provider.claims(json!({ "nonce": asked["nonce"], "roles": ["guests"] }));
    refused(&cookie, &fit, "jo has no role here").await;
    site.running.stop().await.unwrap();
}

#[tokio::test]
async fn while_the_provider_is_away_tokens_let_people_in() {
    let token = new_token().unwrap();
    let http = format!(
        "public = \"http://farm.example\"\n[[http.token]]\nname = \"crew\"\nrole = \"operator\"\nsha256 = \
         \"{}\"\n[http.oidc]\nissuer = \"http://127.0.0.1:1\"\nclient_id = \"windward\"\nroles = {{ crew = \"viewer\" }}\n",
        Digest::of(&token)
    );
    let (running, _directory) = start(&http).await;
    let get = async |path: &str, token: &str| {
        let bearer = format!("Bearer {token}");
        ask("GET", &format!("http://{}{path}", running.http), &[("authorization", &bearer)], None).await
    };
    assert_eq!(get("/api/v1/me", &token).await.json()["name"], "crew");
    for _ in 0..2 {
        let away = get("/api/v1/session/login", &token).await;
        assert_eq!(away.status, 502, "{}", away.text);
        assert!(away.json()["detail"].as_str().unwrap().contains("or sign in by a token"), "{}", away.text);
    }
    assert_eq!(get("/api/v1/me", "eyJhbGciOiJFUzI1NiJ9.e30.AAAA").await.status, 401);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_program_s_token_counts_while_it_is_signed_for_us_and_in_time() {
    let site = Site::start().await;
    assert_eq!(site.by(&site.provider.bearer(&json!({}))).await.json()["role"], "operator");
    assert_eq!(site.by(&site.provider.bearer(&json!({ "aud": ["x", "windward"] }))).await.status, 200);
    let now = now_ms() / 1_000;
    for wrong in [
        json!({ "aud": "another" }),
        json!({ "iss": "https://another.example" }),
        json!({ "exp": now - 120 }),
        json!({ "exp": null }),
        json!({ "nbf": now + 600 }),
        json!({ "roles": ["guests"] }),
    ] {
        let answer = site.by(&site.provider.bearer(&wrong)).await;
        assert_eq!(answer.status, 401, "{wrong}: {}", answer.text);
    }
    let good = site.provider.bearer(&json!({}));
    let (message, signature) = good.rsplit_once('.').unwrap();
    let claims = message.split_once('.').unwrap().1;
    let with = |header: Json| format!("{}.{claims}", text(header.to_string()));
    let none = format!("{}.", with(json!({ "alg": "none", "kid": "key 1" })));
    // Signed by means of the public key, as if it were a secret that both have.
    let shared = with(json!({ "alg": "HS256", "kid": "key 1" }));
    let public = site.provider.0.lock().unwrap().key.public_key().as_ref().to_vec();
    let shared =
        format!("{shared}.{}", text(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &public), shared.as_bytes())));
    let rsa = format!("{}.{signature}", with(json!({ "alg": "RS256", "kid": "key 1" })));
    let stranger = format!("{}.{signature}", with(json!({ "alg": "ES256", "kid": "key 2" })));
    let boss = text(json!({ "iss": "x", "aud": "windward", "exp": now + 300, "roles": ["boss"] }).to_string());
    let changed = format!("{}.{boss}.{signature}", message.split_once('.').unwrap().0);
    for wrong in [none, shared, rsa, stranger, changed, "a.b.c".into(), "...".into(), good.replace('.', " ")] {
        let answer = site.by(&wrong).await;
        assert_eq!(answer.status, 401, "{wrong}: {}", answer.text);
    }
    // The provider changes its key: what is signed with the new one is let in before long, and with the old one no more.
    {
        let mut said = site.provider.0.lock().unwrap();
        (said.key, said.name) = (new_key(), "key 2".into());
    }
    let (renewed, begun) = (site.provider.bearer(&json!({})), mono_ms());
    while site.by(&renewed).await.status != 200 {
        assert!(mono_ms() - begun < 120_000, "the new key was never asked for");
        tokio::time::sleep(Duration::from_secs(6)).await;
    }
    assert_eq!(site.by(&good).await.status, 401);
    site.running.stop().await.unwrap();
}
