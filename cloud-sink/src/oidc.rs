//! OpenID Connect, what only reckons: where people are sent to sign in, and who the provider says they are.
//!
//! The authorization code flow (OpenID Connect Core 1.0, section 3.1) with PKCE (RFC 7636): the browser is sent to the
//! provider with a state, a nonce and the digest of a verifier, and holds all three under our seal until it comes back.

use crate::access::{Role, Who, random};
use crate::config::Oidc;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::digest;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// How long somebody may take to sign in, ms.
pub const FLOW_MS: i64 = 10 * 60_000;
/// Longest name that is taken over, in characters.
const MAX_NAME: usize = 100;

/// One signing-in that is under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Flow {
    /// Comes back with the code, and so shows that this browser began it.
    pub state: String,
    /// Comes back within the token, and so shows that it was made for this.
    pub nonce: String,
    /// Whoever redeems the code must know it.
    pub verifier: String,
}

impl Flow {
    /// A new one. `None`: the machine has no randomness to give.
    pub fn begin() -> Option<Self> {
        Some(Self { state: random()?, nonce: random()?, verifier: random()? })
    }

    /// Where the browser is sent. `endpoint`: the provider's; `redirect`: ours.
    pub fn address(&self, endpoint: &str, oidc: &Oidc, redirect: &str) -> String {
        let digest = digest::digest(&digest::SHA256, self.verifier.as_bytes());
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("response_type", "code")
            .append_pair("client_id", &oidc.client_id)
            .append_pair("redirect_uri", redirect)
            .append_pair("scope", &oidc.scope)
            .append_pair("state", &self.state)
            .append_pair("nonce", &self.nonce)
            .append_pair("code_challenge", &URL_SAFE_NO_PAD.encode(digest))
            .append_pair("code_challenge_method", "S256")
            .finish();
        let joint = if endpoint.contains('?') { '&' } else { '?' };
        format!("{endpoint}{joint}{query}")
    }

    /// The form by which the code is redeemed; with the secret in it where the provider takes it only so.
    pub fn redemption(&self, code: &str, oidc: &Oidc, redirect: &str, secret: Option<&str>) -> String {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("redirect_uri", redirect)
            .append_pair("client_id", &oidc.client_id)
            .append_pair("code_verifier", &self.verifier);
        if let Some(secret) = secret {
            form.append_pair("client_secret", secret);
        }
        form.finish()
    }
}

/// How a client shows its secret beside the form (RFC 6749, section 2.3.1): a header, which every provider takes that does
/// not say otherwise.
pub fn basic(client_id: &str, secret: &str) -> String {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    format!("Basic {}", STANDARD.encode(format!("{}:{}", encoded(client_id), encoded(secret))))
}

/// Who a token's claims speak of, and what that person may do. The signature, the times and for whom the token is have been
/// checked.
pub fn who(claims: &Json, oidc: &Oidc) -> Result<Who, String> {
    let names = ["preferred_username", "name", "email", "sub"];
    let name = names.iter().find_map(|name| claims[name].as_str().filter(|name| !name.trim().is_empty()));
    let name = name.ok_or("the provider does not say who that is")?;
    let name: String = name.trim().chars().filter(|char| !char.is_control()).take(MAX_NAME).collect();
    let claim = oidc.role_claim.split('.').fold(claims, |claims, part| &claims[part]);
    let groups: Vec<&str> = match claim {
        Json::Array(groups) => groups.iter().filter_map(Json::as_str).collect(),
        Json::String(groups) => groups.split(' ').collect(),
        _ => Vec::new(),
    };
    let role: Option<Role> = groups.iter().filter_map(|group| oidc.roles.get(*group)).max().copied();
    let role = role.ok_or_else(|| {
        format!("{name} has no role here: none of that person's groups ({}) stands in http.oidc.roles", oidc.role_claim)
    })?;
    Ok(Who { name, role })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn oidc() -> Oidc {
        let text = "issuer = \"https://id.example\"\nclient_id = \"windward\"\nroles = { crew = \"operator\", boss = \
                    \"admin\", all = \"viewer\" }\n";
        toml::from_str(text).unwrap()
    }

    #[test]
    fn the_highest_role_of_somebody_s_groups_counts() {
        let of = |claims: Json, claim: &str| who(&claims, &Oidc { role_claim: claim.into(), ..oidc() });
        let jo = json!({ "preferred_username": "jo", "name": "Jo Smith", "roles": ["all", "crew", "other"] });
        assert_eq!(of(jo, "roles").unwrap(), Who { name: "jo".into(), role: Role::Operator });
        let nested = json!({ "name": "Ann\n", "realm_access": { "roles": ["boss"] } });
        assert_eq!(of(nested, "realm_access.roles").unwrap(), Who { name: "Ann".into(), role: Role::Admin });
        let words = json!({ "sub": "17", "groups": "x all" });
        assert_eq!(of(words, "groups").unwrap(), Who { name: "17".into(), role: Role::Viewer });
        for (claims, reason) in [
            (json!({ "name": "Eve", "roles": ["stranger"] }), "Eve has no role here"),
            (json!({ "name": "Eve", "roles": 7 }), "Eve has no role here"),
            (json!({ "name": "Eve" }), "Eve has no role here"),
            (json!({ "name": " ", "roles": ["crew"] }), "does not say who"),
            (json!(null), "does not say who"),
        ] {
            assert!(of(claims, "roles").unwrap_err().contains(reason));
        }
    }

    #[test]
    fn the_provider_is_told_the_digest_of_the_verifier_and_later_the_verifier() {
        // RFC 7636, appendix B.
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".to_string();
        let flow = Flow { state: "s".into(), nonce: "n".into(), verifier };
        let address = flow.address("https://id.example/auth?x=1", &oidc(), "https://farm.example/back");
        assert!(address.starts_with("https://id.example/auth?x=1&response_type=code&client_id=windward&"), "{address}");
        assert!(address.contains("redirect_uri=https%3A%2F%2Ffarm.example%2Fback&scope=openid+profile"), "{address}");
        assert!(address.contains("&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&"), "{address}");
        assert!(!address.contains(&flow.verifier));
        let form = flow.redemption("a b", &oidc(), "https://farm.example/back", Some("&"));
        assert!(form.contains("code=a+b&") && form.ends_with("&client_secret=%26"), "{form}");
        assert!(form.contains(&format!("code_verifier={}", flow.verifier)));
        assert_ne!(Flow::begin(), Flow::begin());
        // Its example there.
        assert_eq!(basic("s6BhdRkqt3", "gX1fBat3bV"), "Basic czZCaGRSa3F0MzpnWDFmQmF0M2JW");
        assert_eq!(basic("a:b", "c d"), "Basic YSUzQWI6Yytk");
    }
}
