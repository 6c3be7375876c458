//! The company's login: a provider of OpenID Connect, asked over HTTPS.

use super::clock::mono_ms;
use super::jwt;
use crate::access::Who;
use crate::config::Oidc;
use crate::oidc::{self, Flow};
use anyhow::{Context as _, Result, anyhow, bail, ensure};
use jsonwebtoken::jwk::JwkSet;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;
use serde_json::Value as Json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// How long the provider has for one answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most bytes of an answer.
const MAX_ANSWER: u64 = 1_000_000;
/// A key that is not known is asked for at most so often: anybody can name one.
const ASK_AGAIN: Duration = Duration::from_secs(30);
/// A provider that gave no answer is left alone for so long: nobody else is to wait for it.
const REST: Duration = Duration::from_secs(5);
/// How long what the provider said of itself is used.
const KEPT: Duration = Duration::from_secs(3_600);

/// A provider.
pub struct Company {
    oidc: Oidc,
    /// Where people come back to.
    redirect: String,
    secret: Option<String>,
    agent: ureq::Agent,
    kept: Mutex<Kept>,
}

/// What is known of the provider, and when it last gave no answer.
#[derive(Default)]
struct Kept {
    said: Option<Arc<Said>>,
    failed_ms: Option<u64>,
}

/// What the provider says of itself.
struct Said {
    at_ms: u64,
    authorization_endpoint: String,
    token_endpoint: String,
    /// Whether the secret goes into the form, and not into a header.
    is_post: bool,
    keys: JwkSet,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    /// `client_secret_basic` unless it is said (OpenID Connect Discovery 1.0, section 3).
    #[serde(default)]
    token_endpoint_auth_methods_supported: Vec<String>,
}

impl Company {
    /// Reads what there is to read here; the provider is asked later, so that a sink starts without it.
    pub fn open(oidc: &Oidc, public: &str) -> Result<Self> {
        let read = |path: &std::path::Path| std::fs::read_to_string(path).with_context(|| path.display().to_string());
        let secret = oidc.client_secret_file.as_deref().map(read).transpose()?.map(|text| text.trim_end().to_string());
        let mut config =
            ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).http_status_as_error(false).max_redirects(0);
        if let Some(ca) = &oidc.ca {
            let text = read(ca)?;
            let certificates: Vec<Certificate<'static>> = CertificateDer::pem_slice_iter(text.as_bytes())
                .map(|der| der.map(|der| Certificate::from_der(&der).to_owned()))
                .collect::<Result<_, _>>()
                .map_err(|error| anyhow!("{}: {error}", ca.display()))?;
            ensure!(!certificates.is_empty(), "{}: holds no certificate", ca.display());
            let roots = RootCerts::Specific(Arc::new(certificates));
            config = config.tls_config(TlsConfig::builder().root_certs(roots).build());
        }
        let redirect = format!("{public}/api/v1/session/return");
        Ok(Self { oidc: oidc.clone(), redirect, secret, agent: config.build().into(), kept: Mutex::default() })
    }

    /// Asks the provider what it says of itself.
    pub async fn check(&self) -> Result<String> {
        let said = self.said(KEPT).await?;
        Ok(format!("{}, {} keys; people come back to {}", self.oidc.issuer, said.keys.keys.len(), self.redirect))
    }

    /// What stands on the page's button.
    pub fn name(&self) -> &str {
        &self.oidc.name
    }

    /// How long a session lasts, ms.
    pub fn session_ms(&self) -> i64 {
        i64::from(self.oidc.session_h) * 3_600_000
    }

    /// What a session's seal is made of, if the client has a secret.
    pub fn secret(&self) -> Option<&str> {
        self.secret.as_deref()
    }

    /// Where a browser is sent to sign in.
    pub async fn address(&self, flow: &Flow) -> Result<String> {
        Ok(flow.address(&self.said(KEPT).await?.authorization_endpoint, &self.oidc, &self.redirect))
    }

    /// Who has signed in, by the code that the browser has brought back.
    pub async fn redeem(&self, flow: &Flow, code: &str) -> Result<Result<Who, String>> {
        let said = self.said(KEPT).await?;
        let in_form = self.secret.as_deref().filter(|_| said.is_post);
        let in_header = self.secret.as_deref().filter(|_| !said.is_post);
        let form = flow.redemption(code, &self.oidc, &self.redirect, in_form);
        let basic = in_header.map(|secret| oidc::basic(&self.oidc.client_id, secret));
        let (agent, endpoint) = (self.agent.clone(), said.token_endpoint.clone());
        let asked = tokio::task::spawn_blocking(move || {
            let form_of = "application/x-www-form-urlencoded";
            let request = agent.post(&endpoint).header("Content-Type", form_of).header("Accept", "application/json");
            let request = basic.into_iter().fold(request, |request, basic| request.header("Authorization", basic));
            json(request.send(form), &endpoint)
        });
        let answer = asked.await??;
        let token = answer["id_token"].as_str().context("the provider gave no id_token; does scope hold openid?")?;
        let claims = self.claims(token).await?;
        ensure!(claims["nonce"] == flow.nonce.as_str(), "the provider's token was made for another signing-in");
        Ok(oidc::who(&claims, &self.oidc))
    }

    /// Who a bearer token of the provider speaks of.
    pub async fn bearer(&self, token: &str) -> Result<Result<Who, String>> {
        Ok(oidc::who(&self.claims(token).await?, &self.oidc))
    }

    async fn claims(&self, token: &str) -> Result<Json> {
        let mut said = self.said(KEPT).await?;
        // Providers change their keys; the new one is named before we know it.
        if jwt::key_of(&said.keys, token)?.is_none() {
            said = self.said(ASK_AGAIN).await?;
        }
        let key =
            jwt::key_of(&said.keys, token)?.context("the token is signed with a key that the provider has not")?;
        jwt::claims(token, key, &self.oidc.issuer, &self.oidc.client_id)
    }

    /// What the provider says, not older than this; while it is away, what it said before.
    async fn said(&self, age: Duration) -> Result<Arc<Said>> {
        // Held while it is asked, so that many who come at once ask once.
        let mut kept = self.kept.lock().await;
        let is_within = |at_ms: u64, age: Duration| mono_ms() - at_ms < age.as_millis() as u64;
        let is_fresh = kept.said.as_ref().is_some_and(|said| is_within(said.at_ms, age));
        if is_fresh || kept.failed_ms.is_some_and(|at_ms| is_within(at_ms, REST)) {
            return kept.said.clone().context("the company's login did not answer a moment ago");
        }
        let (agent, issuer) = (self.agent.clone(), self.oidc.issuer.clone());
        match tokio::task::spawn_blocking(move || discover(&agent, &issuer)).await? {
            Ok(said) => {
                kept.failed_ms = None;
                Ok(kept.said.insert(Arc::new(said)).clone())
            }
            Err(error) => {
                kept.failed_ms = Some(mono_ms());
                let old = kept.said.clone().ok_or_else(|| anyhow!("{error:#}"))?;
                tracing::warn!("the company's login: {error:#}");
                Ok(old)
            }
        }
    }
}

fn discover(agent: &ureq::Agent, issuer: &str) -> Result<Said> {
    let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    let found: Discovery = serde_json::from_value(json(agent.get(&url).call(), &url)?).context(url)?;
    ensure!(found.issuer == issuer, "the provider calls itself {}, not {issuer}", found.issuer);
    let keys = json(agent.get(&found.jwks_uri).call(), &found.jwks_uri)?;
    let keys = serde_json::from_value(keys).with_context(|| found.jwks_uri.clone())?;
    let methods = &found.token_endpoint_auth_methods_supported;
    let takes = |method: &str| methods.iter().any(|taken| taken == method);
    let is_post = !takes("client_secret_basic") && takes("client_secret_post");
    let Discovery { authorization_endpoint, token_endpoint, .. } = found;
    Ok(Said { at_ms: mono_ms(), authorization_endpoint, token_endpoint, is_post, keys })
}

/// The body of an answer that is a success. What a refusal says of itself is told; the request, which has the secret, never.
fn json(answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>, url: &str) -> Result<Json> {
    let mut answer = answer.with_context(|| url.to_string())?;
    let text = answer.body_mut().with_config().limit(MAX_ANSWER).read_to_string();
    let text = text.with_context(|| url.to_string())?;
    let body: Json = serde_json::from_str(&text).unwrap_or_default();
    if !answer.status().is_success() {
        let said = body["error_description"].as_str().or(body["error"].as_str()).unwrap_or("no reason given");
        bail!("{url}: {}: {said}", answer.status());
    }
    Ok(body)
}
