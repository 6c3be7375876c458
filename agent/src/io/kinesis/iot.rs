//! Temporary credentials from AWS IoT's credential provider, for the certificate that the agent has anyway (AWS IoT Core
//! developer guide, "Authorizing direct calls to AWS services").
//!
//! One GET a session: `https://<endpoint>/role-aliases/<alias>/credentials`. The SDK keeps what comes, and asks again
//! before it expires.

use crate::config::IotCredentials;
use crate::io::tls;
use anyhow::Context as _;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, Result, future};
use aws_sdk_kinesis::primitives::{DateTime, DateTimeFormat};
use serde::Deserialize;
use std::time::{Duration, SystemTime};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

/// Longest that the answer may take; the SDK gives up on credentials after five seconds itself.
const PATIENCE: Duration = Duration::from_secs(4);

/// The provider.
#[derive(Debug)]
pub(super) struct Provider {
    url: String,
    thing: String,
    agent: ureq::Agent,
}

/// What it answers, as far as it matters.
#[derive(Deserialize)]
struct Answer {
    credentials: Granted,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Granted {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
    expiration: String,
}

impl Provider {
    /// Reads the certificates and the key; asks for nothing yet.
    pub(super) fn new(settings: &IotCredentials) -> anyhow::Result<Self> {
        let files = &settings.tls;
        let (certificate, key) = files.cert_key.as_ref().context("no certificate to show")?;
        let certificates = |path| -> anyhow::Result<Vec<Certificate<'static>>> {
            let found = tls::certificates(path)?;
            Ok(found.iter().map(|der| Certificate::from_der(der).to_owned()).collect())
        };
        let pem = std::fs::read(key).with_context(|| format!("cannot read {}", key.display()))?;
        let key = PrivateKey::from_pem(&pem).with_context(|| format!("no private key in {}", key.display()))?;
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&certificates(&files.ca)?))
            .client_cert(Some(ClientCert::new_with_certs(&certificates(certificate)?, key)))
            .build();
        let config = ureq::Agent::config_builder().tls_config(tls).https_only(true).timeout_global(Some(PATIENCE));
        Ok(Self {
            url: format!("https://{}/role-aliases/{}/credentials", settings.endpoint, settings.role_alias),
            thing: settings.thing.clone(),
            agent: config.max_redirects(0).http_status_as_error(false).build().into(),
        })
    }

    /// Asks once. Waits on the network.
    fn ask(&self) -> anyhow::Result<Credentials> {
        let request = self.agent.get(&self.url).header("x-amzn-iot-thingname", &self.thing);
        let mut answer = request.call().with_context(|| format!("cannot ask {}", self.url))?;
        let text = answer.body_mut().read_to_string().context("the answer breaks off")?;
        anyhow::ensure!(answer.status().is_success(), "{} says {}: {text}", self.url, answer.status());
        read(&text)
    }
}

impl ProvideCredentials for Provider {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let provider = Self { url: self.url.clone(), thing: self.thing.clone(), agent: self.agent.clone() };
        future::ProvideCredentials::new(async move {
            let asked = tokio::task::spawn_blocking(move || provider.ask()).await;
            let answer = asked.map_err(CredentialsError::provider_error)?;
            Result::from(answer.map_err(|error| CredentialsError::provider_error(format!("{error:#}"))))
        })
    }
}

fn read(text: &str) -> anyhow::Result<Credentials> {
    // The text is not quoted: it holds secrets.
    let Answer { credentials } = serde_json::from_str(text).context("the answer holds no credentials")?;
    let expires = DateTime::from_str(&credentials.expiration, DateTimeFormat::DateTime)?;
    Ok(Credentials::new(
        credentials.access_key_id,
        credentials.secret_access_key,
        Some(credentials.session_token),
        Some(SystemTime::try_from(expires)?),
        "AWS IoT",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_read_with_their_end() {
        let text = r#"{"credentials": {"accessKeyId": "A", "secretAccessKey": "S", "sessionToken": "T",
            "expiration": "2018-01-18T09:18:06Z"}}"#;
        let read = read(text).unwrap();
        let parts = (read.access_key_id(), read.secret_access_key(), read.session_token());
        assert_eq!(parts, ("A", "S", Some("T")));
        assert_eq!(read.expiry(), Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_516_267_086)));
    }

    #[test]
    fn an_answer_that_is_none_is_refused_and_not_quoted() {
        for text in ["", "{}", r#"{"credentials": {"accessKeyId": "SECRET"}}"#, "[1, 2]"] {
            let error = format!("{:#}", read(text).unwrap_err());
            assert!(!error.contains("SECRET"), "{error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_answer_makes_it_panic(text in ".{0,200}", end in ".{0,30}") {
            let granted = serde_json::json!({ "credentials": { "accessKeyId": text, "secretAccessKey": text,
                "sessionToken": text, "expiration": end } });
            for answer in [text, granted.to_string()] {
                drop(read(&answer));
            }
        }
    }
}
