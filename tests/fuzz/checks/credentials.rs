//! What must hold of whatever somebody shows to be let in.

use windward_sink::access::{Digest, Role, Seal, Who, is_own_host};
use windward_sink::config::Config;
use windward_sink::oidc;

/// Panics when something does not hold. The first line is what is shown, the second what a provider claims.
pub(crate) fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (shown, claims) = text.split_once('\n').unwrap_or((&text, ""));
    let seal = Seal::from_secret(b"known to the sink alone");
    assert_eq!(seal.open::<Who>("session", shown, 0), None, "nobody but the sink makes seals");
    let own = Who { name: shown.into(), role: Role::Viewer };
    let sealed = seal.close("session", &own, 1).expect("text is sealed");
    assert_eq!(seal.open("session", &sealed, 0), Some(own));
    match Digest::parse(shown) {
        Ok(digest) => assert_eq!(digest.to_string(), shown.to_lowercase()),
        Err(reason) => assert!(!reason.is_empty()),
    }
    if is_own_host(shown, Some("https://farm.example")) {
        let last = shown.split(':').next().and_then(|name| name.rsplit('.').next()).unwrap_or_default();
        let is_address = shown.starts_with('[') || last.bytes().all(|byte| byte.is_ascii_digit());
        let is_name = ["localhost", "farm"].iter().any(|name| shown.to_lowercase().starts_with(name));
        assert!(is_address || is_name, "{shown:?} may be anybody's name");
    }
    if let (Ok(claims), Some(oidc)) = (serde_json::from_str(claims), login()) {
        match oidc::who(&claims, &oidc) {
            Ok(who) => {
                assert!(!who.name.trim().is_empty() && who.name.chars().count() <= 100, "{who:?}");
                assert!(claims.to_string().contains("crew") || claims.to_string().contains("boss"), "{claims}");
            }
            Err(reason) => assert!(!reason.is_empty()),
        }
    }
}

fn login() -> Option<windward_sink::config::Oidc> {
    let text = "farm = \"f\"\n[mqtt]\nhost = \"h\"\n[store]\nsqlite = \"f\"\n[http]\npublic = \"https://farm.example\"\n\
                [http.oidc]\nissuer = \"https://id.example\"\nclient_id = \"w\"\nroles = { crew = \"operator\", boss = \"admin\" }\n";
    Config::from_toml(text, "sink.toml").ok()?.http.oidc
}
