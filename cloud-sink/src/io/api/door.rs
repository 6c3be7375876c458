//! Who is let in: everybody who asks is known by a token, by the company's login or by the session that followed from one
//! of them; unless something else guards the address.

use super::problem::{Problem, Refusal, TooMany};
use crate::access::{Digest, Role, Seal, TOKEN, Who, is_own_host, needs, random};
use crate::answer::CompanyLogin;
use crate::config;
use crate::io::clock::{mono_ms, now_ms};
use crate::io::company::Company;
use crate::limit::Limit;
use anyhow::Context as _;
use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// The cookie of a session: a token, or who somebody is under our seal.
pub(super) const COOKIE: &str = "windward";
/// What a sealed session is for.
pub(super) const SESSION: &str = "session";
/// Seconds' worth of requests that somebody may make at once.
const BURST_S: u32 = 10;
/// Most who are counted at a time.
const MAX_COUNTED: usize = 10_000;
/// Wrong tokens that an address may send at once, and the time after which it may send another, ms. A right one is always
/// let in, so that nobody can lock others out.
const WRONG: (u32, u64) = (20, 6_000);

/// Who asks. Without a name nobody was asked for one.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) name: Option<String>,
    pub(super) role: Role,
}

/// Where a request came from.
#[derive(Clone, Copy, Debug)]
pub(in crate::io) struct Peer(pub(in crate::io) IpAddr);

/// Who is let in.
#[derive(Clone)]
pub(in crate::io) struct Door(Arc<Inner>);

struct Inner {
    is_open: bool,
    has_accounts: bool,
    /// Whether browsers reach the page by TLS only.
    is_tls: bool,
    public: Option<String>,
    tokens: HashMap<Digest, Who>,
    company: Option<Company>,
    seal: Seal,
    asked: Mutex<Limit<String>>,
    wrong: Mutex<Limit<IpAddr>>,
}

/// Why a credential is not taken.
enum Unknown {
    /// Nothing was shown.
    Nobody,
    /// It is wrong, or its time has passed.
    Wrong(String),
}

impl Door {
    /// As the configuration says.
    pub(in crate::io) fn new(http: &config::Http) -> anyhow::Result<Self> {
        let tokens = http.tokens.iter().map(|token| {
            let who = Who { name: token.name.clone(), role: token.role };
            (token.sha256, who)
        });
        let public = http.public.clone();
        let open = |oidc: &config::Oidc| Company::open(oidc, public.as_deref().unwrap_or("")).context("[http.oidc]");
        let company = http.oidc.as_ref().map(open).transpose()?;
        let secret = company.as_ref().and_then(|company| company.secret().map(str::to_string));
        let secret = secret.or_else(random).context("this machine gives no random numbers")?;
        let per_s = http.requests_per_s;
        Ok(Self(Arc::new(Inner {
            is_open: http.is_open(),
            has_accounts: http.has_accounts(),
            is_tls: http.cert.is_some() || public.as_ref().is_some_and(|public| public.starts_with("https://")),
            public,
            tokens: tokens.collect(),
            company,
            seal: Seal::from_secret(secret.as_bytes()),
            asked: Mutex::new(Limit::new(per_s * BURST_S, u64::from((1_000 / per_s).max(1)), MAX_COUNTED)),
            wrong: Mutex::new(Limit::new(WRONG.0, WRONG.1, MAX_COUNTED)),
        })))
    }

    /// Whether people are asked who they are.
    pub(super) fn asks(&self) -> bool {
        !self.0.is_open
    }

    pub(super) fn company(&self) -> Option<&Company> {
        self.0.company.as_ref()
    }

    pub(super) fn company_login(&self) -> Option<CompanyLogin> {
        let name = self.0.company.as_ref()?.name().to_string();
        Some(CompanyLogin { name, href: "/api/v1/session/login" })
    }

    pub(super) fn seal(&self) -> &Seal {
        &self.0.seal
    }

    /// What a browser is told to keep, until so many seconds have passed; for 0 it forgets. `site`: `Strict`, or `Lax` for
    /// what must come along when the provider sends people back.
    pub(super) fn cookie(&self, name: &str, value: &str, max_age_s: i64, site: &str) -> HeaderValue {
        let secure = if self.0.is_tls { "; Secure" } else { "" };
        let text = format!("{name}={value}; Path=/; HttpOnly; SameSite={site}; Max-Age={max_age_s}{secure}");
        HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""))
    }

    /// Whose token that is.
    pub(super) fn owner(&self, token: &str) -> Option<&Who> {
        self.0.tokens.get(&Digest::of(token))
    }

    /// Counts something wrong that was shown from this address. An error: too much was.
    pub(super) fn count_wrong(&self, from: IpAddr) -> Result<(), TooMany> {
        let mut wrong = self.0.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        wrong.take(from, mono_ms()).map_err(TooMany::after)
    }

    fn count(&self, who: String) -> Result<(), TooMany> {
        let mut asked = self.0.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.take(who, mono_ms()).map_err(TooMany::after)
    }

    /// Who shows this.
    async fn find(&self, headers: &HeaderMap) -> Result<Caller, Unknown> {
        if !self.asks() {
            return Ok(Caller { name: None, role: Role::Admin });
        }
        let known = |who: &Who| Ok(Caller { name: Some(who.name.clone()), role: who.role });
        let wrong = |reason: &str| Err(Unknown::Wrong(reason.into()));
        let bearer = headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap_or_default());
        if let Some(said) = bearer {
            let Some(token) = said.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")) else {
                return wrong("Authorization is no bearer token");
            };
            let token = token.1.trim();
            return match (self.owner(token), &self.0.company) {
                (Some(who), _) => known(who),
                (None, Some(company)) if !token.starts_with(TOKEN) => match company.bearer(token).await {
                    Ok(Ok(who)) => known(&who),
                    Ok(Err(reason)) => wrong(&reason),
                    Err(error) => wrong(&format!("the token is not taken: {error:#}")),
                },
                _ => wrong("this token is not known"),
            };
        }
        let Some(cookie) = cookie(headers, COOKIE) else { return Err(Unknown::Nobody) };
        let session = self.0.seal.open::<Who>(SESSION, cookie, now_ms()).filter(|_| self.0.company.is_some());
        match (self.owner(cookie), session) {
            (Some(who), _) => known(who),
            (None, Some(who)) => known(&who),
            (None, None) => wrong("the session has ended; sign in again"),
        }
    }

    /// Whether somebody who may look shows this.
    pub(super) async fn knows(&self, headers: &HeaderMap) -> bool {
        self.find(headers).await.is_ok()
    }

    fn unknown(&self, unknown: Unknown) -> Response {
        let detail = match unknown {
            Unknown::Nobody if !self.0.has_accounts => {
                "nobody has an account yet: `windward-sink token` makes one, [http.oidc] names the company's login; or say \
                 [http] guarded = true, where only those reach this address who may"
                    .into()
            }
            Unknown::Nobody => "say who you are: sign in, or send a token (Authorization: Bearer …)".into(),
            Unknown::Wrong(reason) => reason,
        };
        let status = StatusCode::UNAUTHORIZED;
        let problem = Problem::new(status, detail).with_login(self.company_login());
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer"), (header::CONTENT_TYPE, "application/problem+json")];
        (status, challenge, Json(problem)).into_response()
    }
}

/// Lets in who may, and tells the handler who that is.
pub(super) async fn guard(
    State(door): State<Door>,
    mut request: Request,
    next: Next,
) -> axum::response::Result<Response> {
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let path = request.uri().path();
    let Some(needed) = needs(changes, path) else { return Ok(next.run(request).await) };
    let from = request.extensions().get::<Peer>().map_or(IpAddr::from([0; 16]), |peer| peer.0);
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if !door.asks() && !is_own_host(host, door.0.public.as_deref()) {
        let reason =
            format!("{host:?} is not known as this sink's name; [http] public says under which people reach it");
        return Err(Refusal(StatusCode::MISDIRECTED_REQUEST, reason).into());
    }
    let caller = match door.find(request.headers()).await {
        Ok(caller) => caller,
        Err(unknown) => {
            if let Unknown::Wrong(reason) = &unknown {
                door.count_wrong(from)?;
                tracing::warn!(%from, path, "refused: {reason}");
            }
            return Ok(door.unknown(unknown));
        }
    };
    door.count(caller.name.clone().unwrap_or_else(|| from.to_string()))?;
    if caller.role < needed {
        let reason =
            format!("this takes a role of {needed}, and {} is {}", caller.name.unwrap_or_default(), caller.role);
        return Err(Refusal(StatusCode::FORBIDDEN, reason).into());
    }
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

/// A cookie of this name.
pub(super) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(of, _)| *of == name).map(|(_, value)| value)
}
