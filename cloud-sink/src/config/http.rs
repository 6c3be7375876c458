//! The section `[http]`: where page and API listen, and who is let in.

use super::Notify;
use crate::access::{Digest, Role};
use serde::{Deserialize, Deserializer};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Where the page and the API listen, and who is let in.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Address and port; port 0 takes a free one. Another than a loopback address needs accounts, or a guard.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// Something else decides who reaches that address: a container's published port, a firewall, a proxy. Without accounts
    /// nobody is asked then who they are.
    #[serde(default)]
    pub guarded: bool,
    /// Scheme, name and port under which people reach the page; those of `notify.page` unless given.
    pub public: Option<String>,
    /// Certificate chain (PEM); with it page and API speak TLS.
    pub cert: Option<PathBuf>,
    /// Its key (PEM).
    pub key: Option<PathBuf>,
    /// Requests a second that one account may make in the long run, 1 to 10000; ten seconds' worth at once.
    #[serde(default = "default_requests_per_s")]
    pub requests_per_s: u32,
    /// Tokens of people and programs.
    #[serde(default, rename = "token")]
    pub tokens: Vec<Token>,
    /// The company's login.
    pub oidc: Option<Oidc>,
}

/// A token, as `windward-sink token` makes them.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Whose it is; stands in alerts and in the audit log.
    pub name: String,
    /// What it lets do.
    pub role: Role,
    /// SHA-256 of the token, hexadecimal.
    #[serde(deserialize_with = "digest")]
    pub sha256: Digest,
}

/// A provider of OpenID Connect (OpenID Connect Core 1.0): the authorization code flow with PKCE for people, its tokens
/// (JWT) as bearer tokens for programs.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Oidc {
    /// Issuer, as its tokens name it; `<issuer>/.well-known/openid-configuration` says the rest.
    pub issuer: String,
    /// This sink's name at the provider.
    pub client_id: String,
    /// File that holds the client's secret, and nothing else. Without one the client is a public one, and sessions end with
    /// the sink.
    pub client_secret_file: Option<PathBuf>,
    /// CA certificates (PEM) that vouch for the provider, in place of the public ones.
    pub ca: Option<PathBuf>,
    /// What stands on the page's button.
    #[serde(default = "default_name")]
    pub name: String,
    /// What is asked of the provider; `openid` is part of it.
    #[serde(default = "default_scope")]
    pub scope: String,
    /// Claim that holds somebody's groups; dots lead into objects, as in `realm_access.roles`.
    #[serde(default = "default_claim")]
    pub role_claim: String,
    /// Role of each group; the highest of somebody's counts, and who has none is refused.
    pub roles: BTreeMap<String, Role>,
    /// Hours after which people sign in again, 1 to 168.
    #[serde(default = "default_session_h")]
    pub session_h: u32,
}

impl Http {
    /// On this address, with nothing said.
    pub fn on(listen: SocketAddr) -> Self {
        let requests_per_s = default_requests_per_s();
        let (public, cert, key, oidc) = (None, None, None, None);
        Self { listen, guarded: false, public, cert, key, requests_per_s, tokens: Vec::new(), oidc }
    }

    /// Whether anybody can be known.
    pub fn has_accounts(&self) -> bool {
        !self.tokens.is_empty() || self.oidc.is_some()
    }

    /// Whether nobody is asked who they are.
    pub fn is_open(&self) -> bool {
        self.guarded && !self.has_accounts()
    }
}

impl Default for Http {
    fn default() -> Self {
        Self::on(default_listen())
    }
}

/// Checks it; the public address that was not said is that of the messages' links.
pub(super) fn check(http: Option<Http>, notify: &Notify) -> Result<Http, (&'static str, String)> {
    let mut http = http.unwrap_or_default();
    if !http.listen.ip().is_loopback() && !http.guarded && !http.has_accounts() {
        let reason = format!(
            "{} is not a loopback address, and there are no accounts: add an [[http.token]] (`windward-sink token` makes \
             one) or [http.oidc]; or say guarded = true where something else keeps others out, as in a container whose port \
             is published on the host's loopback address",
            http.listen
        );
        return Err(("http.listen", reason));
    }
    if http.cert.is_some() != http.key.is_some() {
        return Err(("http.cert", "cert and key go together".into()));
    }
    if !(1..=10_000).contains(&http.requests_per_s) {
        return Err(("http.requests_per_s", "must be 1 to 10000".into()));
    }
    match &http.public {
        Some(public) if origin(public) != Some(public) => {
            return Err((
                "http.public",
                format!("{public:?} is not like https://farm.example.org: a scheme and a name"),
            ));
        }
        Some(_) => {}
        None => http.public = notify.policy.page.as_deref().and_then(origin).map(str::to_string),
    }
    check_tokens(&http.tokens)?;
    http.oidc.as_ref().map_or(Ok(()), |oidc| check_oidc(oidc, http.public.is_some()))?;
    Ok(http)
}

fn check_tokens(tokens: &[Token]) -> Result<(), (&'static str, String)> {
    let (mut names, mut digests) = (BTreeSet::new(), BTreeSet::new());
    for token in tokens {
        let name = &token.name;
        if name.trim().is_empty() || name.chars().count() > 100 || name.chars().any(char::is_control) {
            return Err(("http.token.name", format!("{name:?} is no name of 1 to 100 characters")));
        }
        if !names.insert(name) || !digests.insert(token.sha256.to_string()) {
            return Err(("http.token", format!("{name:?} stands there twice, or its token does")));
        }
    }
    Ok(())
}

fn check_oidc(oidc: &Oidc, has_public: bool) -> Result<(), (&'static str, String)> {
    let is_here = ["http://127.0.0.1", "http://localhost", "http://[::1]"].iter().any(|at| oidc.issuer.starts_with(at));
    if !oidc.issuer.starts_with("https://") && !is_here {
        let reason = "must begin with https://: whoever can change what the provider says lets in whom he likes";
        return Err(("http.oidc.issuer", reason.into()));
    }
    if oidc.client_id.is_empty() {
        return Err(("http.oidc.client_id", "is empty; it is this sink's name at the provider".into()));
    }
    if oidc.roles.is_empty() {
        return Err(("http.oidc.roles", "is empty: nobody would be let in; map groups to roles".into()));
    }
    if !oidc.scope.split(' ').any(|scope| scope == "openid") {
        return Err(("http.oidc.scope", "must contain openid".into()));
    }
    if !(1..=168).contains(&oidc.session_h) {
        return Err(("http.oidc.session_h", "must be 1 to 168".into()));
    }
    if !has_public {
        let reason = "is needed with [http.oidc]: the provider sends people back to it";
        return Err(("http.public", reason.into()));
    }
    Ok(())
}

/// Scheme, name and port of an address.
fn origin(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let host = rest.split('/').next().unwrap_or("");
    let is_host = !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte));
    is_host.then(|| &url[..url.len() - rest.len() + host.len()])
}

fn digest<'a, D: Deserializer<'a>>(from: D) -> Result<Digest, D::Error> {
    Digest::parse(&String::deserialize(from)?).map_err(serde::de::Error::custom)
}

fn default_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8080))
}

fn default_requests_per_s() -> u32 {
    200
}

fn default_name() -> String {
    "Company login".into()
}

fn default_scope() -> String {
    "openid profile".into()
}

fn default_claim() -> String {
    "roles".into()
}

fn default_session_h() -> u32 {
    12
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const LEAST: &str = "farm = \"north-ridge\"\n[mqtt]\nhost = \"127.0.0.1\"\n[store]\nsqlite = \"farm.db\"\n";
    const TOKEN: &str = "[[http.token]]\nname = \"Jo\"\nrole = \"operator\"\nsha256 = \
                         \"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"\n";
    const OIDC: &str = "[http.oidc]\nissuer = \"https://id.example\"\nclient_id = \"windward\"\nroles = { crew = \
                        \"operator\" }\n";

    fn read(http: &str) -> Result<Http, String> {
        Config::from_toml(&format!("{LEAST}{http}"), "sink.toml").map(|config| config.http).map_err(|no| no.to_string())
    }

    #[test]
    fn an_address_that_others_reach_needs_accounts_or_a_guard() {
        let others = "[http]\nlisten = \"0.0.0.0:8080\"\n";
        assert!(read(others).unwrap_err().contains("http.listen: 0.0.0.0:8080 is not a loopback address"));
        assert!(read(&format!("{others}guarded = true\n")).unwrap().is_open());
        assert!(!read(&format!("{others}guarded = true\n{TOKEN}")).unwrap().is_open());
        let by_token = read(&format!("{others}{TOKEN}")).unwrap();
        assert_eq!((by_token.tokens[0].name.as_str(), by_token.tokens[0].role), ("Jo", Role::Operator));
        assert_eq!(by_token.tokens[0].sha256, Digest::of("abc"));
        assert!(!read("").unwrap().is_open(), "asked by default");
    }

    #[test]
    fn the_company_s_login_needs_to_know_where_people_come_back_to() {
        let with = |http: &str, oidc: &str| read(&format!("[http]\n{http}{OIDC}{oidc}"));
        let oidc = with("public = \"https://farm.example\"\n", "").unwrap().oidc.unwrap();
        assert_eq!((oidc.name.as_str(), oidc.session_h, oidc.role_claim.as_str()), ("Company login", 12, "roles"));
        assert!(with("", "").unwrap_err().contains("http.public: is needed with [http.oidc]"));
        let linked = format!("{LEAST}{OIDC}[notify]\npage = \"https://farm.example/page\"\n");
        let linked = Config::from_toml(&linked, "sink.toml").unwrap().http;
        assert_eq!(linked.public.as_deref(), Some("https://farm.example"));
    }

    #[test]
    fn what_cannot_work_is_refused_with_the_reason() {
        let farm = "public = \"https://farm.example\"\n";
        for (text, reason) in [
            ("[http]\ncert = \"c.pem\"\n".to_string(), "http.cert: cert and key go together"),
            ("[http]\nrequests_per_s = 0\n".into(), "http.requests_per_s: must be 1 to 10000"),
            ("[http]\npublic = \"farm.example\"\n".into(), "http.public: \"farm.example\" is not like https://"),
            ("[http]\npublic = \"https://farm.example/\"\n".into(), "http.public: "),
            (TOKEN.replace("ba78", "xyz"), "64 hexadecimal digits"),
            (TOKEN.replace("operator", "root"), "unknown variant `root`"),
            (TOKEN.replace("Jo", " "), "http.token.name: \" \" is no name"),
            (format!("{TOKEN}{TOKEN}"), "http.token: \"Jo\" stands there twice"),
            (format!("[http]\n{farm}{}", OIDC.replace("https://id", "http://id")), "http.oidc.issuer: must begin with"),
            (format!("[http]\n{farm}{}", OIDC.replace("crew = \"operator\"", "")), "http.oidc.roles: is empty"),
            (format!("[http]\n{farm}{OIDC}scope = \"profile\"\n"), "http.oidc.scope: must contain openid"),
            (format!("[http]\n{farm}{OIDC}session_h = 0\n"), "http.oidc.session_h: must be 1 to 168"),
        ] {
            let error = read(&text).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
