//! Who may do what: roles, what a request needs, tokens that are known by their digest alone, sessions under a seal.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::{digest, hmac};
use serde::{Deserialize, Serialize};

/// What somebody may do; each may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Look.
    Viewer,
    /// Acknowledge alerts and comment on them.
    Operator,
    /// Read who did what.
    Admin,
}

impl Role {
    /// From its name.
    pub fn parse(name: &str) -> Result<Self, String> {
        match name {
            "viewer" => Ok(Self::Viewer),
            "operator" => Ok(Self::Operator),
            "admin" => Ok(Self::Admin),
            other => Err(format!("{other:?} is no role: viewer, operator and admin are")),
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        })
    }
}

/// Somebody who is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// Name.
    pub name: String,
    /// What that person or program may do.
    pub role: Role,
}

/// What a request needs: `None` is for everybody. Beside the page's own files, which hold nothing of a farm, that is how the
/// sink is, and signing in and out. What is not named here needs an account, so that a new address is not open by mistake.
pub fn needs(changes: bool, path: &str) -> Option<Role> {
    let is_api = path == "/api" || path.starts_with("/api/") || path == "/metrics" || path.starts_with("/metrics/");
    if !is_api || path == "/api/v1/session" || path.starts_with("/api/v1/session/") {
        return None;
    }
    Some(match path {
        "/api/v1/audit" => Role::Admin,
        _ if changes => Role::Operator,
        _ => Role::Viewer,
    })
}

/// SHA-256 of a token. Tokens are 32 random bytes, so nobody tries them out, and a digest that is quick to make will do;
/// what a configuration holds lets nobody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Of a token.
    pub fn of(token: &str) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
        Self(bytes)
    }

    /// From 64 hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{} characters are no SHA-256: 64 hexadecimal digits are", text.chars().count());
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| wrong())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
        }
        Ok(Self(bytes))
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// How tokens begin: by this one that was published is found.
pub const TOKEN: &str = "windward_";

/// A new token: 256 random bits in hexadecimal. `None`: the machine has no randomness to give.
pub fn new_token() -> Option<String> {
    let mut bytes = [0u8; 32];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(bytes.iter().fold(TOKEN.into(), |text: String, byte| text + &format!("{byte:02x}")))
}

/// Random text for an address or a cookie: 256 bits, base64url.
pub fn random() -> Option<String> {
    let mut bytes = [0u8; 32];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(URL_SAFE_NO_PAD.encode(bytes))
}

/// What a browser holds for us: it can neither change it nor use it after its time.
pub struct Seal(hmac::Key);

/// What is under a seal.
#[derive(Serialize, Deserialize)]
struct Sealed<T> {
    /// What it is for, so that one thing is not taken for another.
    r#for: String,
    until_ms: i64,
    what: T,
}

impl Seal {
    /// A seal whose key follows from a secret: all who have it know each other's seals.
    pub fn from_secret(secret: &[u8]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let key = hmac::sign(&key, b"windward session 1");
        Self(hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()))
    }

    /// Puts something under the seal, until a time. `r#for` says what it is.
    pub fn close<T: Serialize>(&self, r#for: &str, what: &T, until_ms: i64) -> Option<String> {
        let text = serde_json::to_vec(&Sealed { r#for: r#for.into(), until_ms, what }).ok()?;
        let sealed = hmac::sign(&self.0, &text);
        Some(format!("{}.{}", URL_SAFE_NO_PAD.encode(&text), URL_SAFE_NO_PAD.encode(sealed)))
    }

    /// What is under the seal, if it is ours, whole, and its time has not passed.
    pub fn open<T: for<'a> Deserialize<'a>>(&self, r#for: &str, text: &str, now_ms: i64) -> Option<T> {
        let (what, seal) = text.split_once('.')?;
        let (what, seal) = (URL_SAFE_NO_PAD.decode(what).ok()?, URL_SAFE_NO_PAD.decode(seal).ok()?);
        hmac::verify(&self.0, &what, &seal).ok()?;
        let sealed: Sealed<T> = serde_json::from_slice(&what).ok()?;
        (sealed.r#for == r#for && now_ms < sealed.until_ms).then_some(sealed.what)
    }
}

/// Whether a browser that asks for this host cannot have been led here by a name that somebody else made point to this
/// machine (DNS rebinding): an address, this machine's own name for itself, or the name under which people reach the page.
pub fn is_own_host(host: &str, public: Option<&str>) -> bool {
    let name = match host.strip_prefix('[') {
        Some(v6) => return v6.split_once(']').is_some_and(|(ip, _)| ip.parse::<std::net::Ipv6Addr>().is_ok()),
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    name.parse::<std::net::Ipv4Addr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || public.and_then(|public| public.split_once("://")).is_some_and(|(_, of)| of.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_digest() {
        let token = new_token().unwrap();
        assert_eq!(token.len(), TOKEN.len() + 64);
        assert_eq!(Digest::parse(&Digest::of(&token).to_string()), Ok(Digest::of(&token)));
        assert_ne!(Digest::of(&token), Digest::of(&new_token().unwrap()));
        // FIPS 180-2, appendix B.1.
        assert!(Digest::of("abc").to_string().starts_with("ba7816bf8f01cfea"));
        assert!(Digest::parse("abc").unwrap_err().contains("64 hexadecimal digits"));
        assert!(Digest::parse(&"é".repeat(32)).is_err());
        assert!(Digest::parse(&"+1".repeat(32)).is_err());
    }

    #[test]
    fn each_role_may_do_what_those_before_it_may() {
        assert!(Role::Viewer < Role::Operator && Role::Operator < Role::Admin);
        for role in [Role::Viewer, Role::Operator, Role::Admin] {
            assert_eq!(Role::parse(&role.to_string()), Ok(role));
        }
        assert!(Role::parse("root").unwrap_err().contains("viewer, operator and admin"));
    }

    #[test]
    fn an_address_that_nobody_thought_of_needs_an_account() {
        for open in ["/", "/assets/app.js", "/healthz", "/api/v1/session", "/api/v1/session/login"] {
            assert_eq!(needs(false, open), None, "{open}");
        }
        for look in ["/api", "/api/", "/api/v1/agents", "/api/v2/new", "/api/docs", "/metrics", "/api/v1/sessions"] {
            assert_eq!((needs(false, look), needs(true, look)), (Some(Role::Viewer), Some(Role::Operator)), "{look}");
        }
        assert_eq!(needs(false, "/api/v1/audit"), Some(Role::Admin));
    }

    #[test]
    fn what_is_sealed_is_ours_until_its_time_and_for_its_purpose() {
        let (seal, who) = (Seal::from_secret(b"secret"), Who { name: "Jo".into(), role: Role::Operator });
        let text = seal.close("session", &who, 1_000).unwrap();
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)), "{text}");
        let open = |seal: &Seal, r#for: &str, text: &str, now| seal.open::<Who>(r#for, text, now);
        assert_eq!(open(&seal, "session", &text, 999), Some(who.clone()));
        assert_eq!(open(&Seal::from_secret(b"secret"), "session", &text, 999), Some(who));
        assert_eq!(open(&seal, "session", &text, 1_000), None);
        assert_eq!(open(&seal, "login", &text, 999), None);
        assert_eq!(open(&Seal::from_secret(b"another"), "session", &text, 999), None);
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(open(&seal, "session", std::str::from_utf8(&changed).unwrap(), 999), None, "{at}");
        }
    }

    #[test]
    fn a_name_that_another_made_point_here_is_not_ours() {
        let public = Some("https://farm.example:8443");
        for own in ["127.0.0.1:8080", "192.168.7.2", "[::1]:8080", "localhost:1", "LOCALHOST", "Farm.example:8443"] {
            assert!(is_own_host(own, public), "{own}");
        }
        for other in ["", "evil.example:8080", "farm.example", "127.0.0.1.evil.example", "[evil]", "[::1"] {
            assert!(!is_own_host(other, public), "{other}");
        }
    }
}
