//! Signatures of JSON Web Tokens (RFC 7515, RFC 7518), checked by ring.

use anyhow::{Context as _, Result, anyhow, ensure};
use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::decode_header;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, Validation};
use ring::signature as of_ring;
use ring::signature::{RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm};
use serde_json::Value as Json;
use signature::Verifier;

/// Seconds that our clock and the provider's may differ by.
const LEEWAY_S: u64 = 60;

static RING: CryptoProvider = CryptoProvider {
    // Nothing is signed here.
    signer_factory: |_, _| Err(ErrorKind::UnsupportedAlgorithm.into()),
    verifier_factory: |algorithm, key| {
        // With shared secrets whoever can check a token could make one.
        check_of(*algorithm).ok_or(ErrorKind::UnsupportedAlgorithm)?;
        Ok(Box::new(Key { algorithm: *algorithm, key: key.clone() }))
    },
    key_utils: KeyUtils::new_unimplemented(),
};

/// A public key, and how it is used.
struct Key {
    algorithm: Algorithm,
    key: DecodingKey,
}

enum Check {
    Rsa(&'static RsaParameters),
    Other(&'static dyn VerificationAlgorithm),
}

fn check_of(algorithm: Algorithm) -> Option<Check> {
    Some(match algorithm {
        Algorithm::RS256 => Check::Rsa(&of_ring::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::RS384 => Check::Rsa(&of_ring::RSA_PKCS1_2048_8192_SHA384),
        Algorithm::RS512 => Check::Rsa(&of_ring::RSA_PKCS1_2048_8192_SHA512),
        Algorithm::PS256 => Check::Rsa(&of_ring::RSA_PSS_2048_8192_SHA256),
        Algorithm::PS384 => Check::Rsa(&of_ring::RSA_PSS_2048_8192_SHA384),
        Algorithm::PS512 => Check::Rsa(&of_ring::RSA_PSS_2048_8192_SHA512),
        Algorithm::ES256 => Check::Other(&of_ring::ECDSA_P256_SHA256_FIXED),
        Algorithm::ES384 => Check::Other(&of_ring::ECDSA_P384_SHA384_FIXED),
        Algorithm::EdDSA => Check::Other(&of_ring::ED25519),
        _ => return None,
    })
}

impl Verifier<Vec<u8>> for Key {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let verified = match (check_of(self.algorithm), self.key.kind()) {
            (Some(Check::Rsa(how)), DecodingKeyKind::RsaModulusExponent { n, e }) => {
                RsaPublicKeyComponents { n, e }.verify(how, message, signature)
            }
            (Some(Check::Other(how)), DecodingKeyKind::SecretOrDer(key)) => {
                UnparsedPublicKey::new(how, key).verify(message, signature)
            }
            _ => return Err(signature::Error::new()),
        };
        verified.map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for Key {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

/// The key of a set that a token names; of a set of one, that one.
pub(super) fn key_of<'a>(keys: &'a JwkSet, token: &str) -> Result<Option<&'a Jwk>> {
    let header = decode_header(token).map_err(|error| anyhow!("no JSON Web Token: {error}"))?;
    let mut usable = keys.keys.iter().filter(|key| key.common.public_key_use != Some(PublicKeyUse::Encryption));
    Ok(match &header.kid {
        Some(kid) => usable.find(|key| key.common.key_id.as_ref() == Some(kid)),
        None => usable.next().filter(|_| usable.next().is_none()),
    })
}

/// What a token claims: it is signed with this key, by this issuer, for this audience, and its time has not passed.
pub(super) fn claims(token: &str, key: &Jwk, issuer: &str, audience: &str) -> Result<Json> {
    // An error: it is installed already.
    RING.install_default().ok();
    let header = decode_header(token).context("no JSON Web Token")?;
    ensure!(check_of(header.alg).is_some(), "{:?} is not taken: signatures with a public key are", header.alg);
    if let Some(of_key) = key.common.key_algorithm {
        ensure!(of_key.to_string() == format!("{:?}", header.alg), "the key is not for {:?}", header.alg);
    }
    let mut validation = Validation::new(header.alg);
    validation.leeway = LEEWAY_S;
    validation.validate_nbf = true;
    validation.set_issuer(&[issuer]);
    validation.set_audience(&[audience]);
    validation.set_required_spec_claims(&["exp", "iss", "aud"]);
    let key = DecodingKey::from_jwk(key).context("the provider's key")?;
    Ok(jsonwebtoken::decode::<Json>(token, &key, &validation)?.claims)
}
