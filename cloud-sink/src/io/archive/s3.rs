//! The client of S3: requests by `object_store`, carried by the HTTP client and TLS that the AWS SDK brings anyway, and
//! with the SDK's credentials. `object_store`'s own way to both would add a second HTTP client and a second
//! cryptography library.

use crate::config::S3;
use crate::io::{aws, clock};
use anyhow::{Context as _, Result};
use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use http_body_util::BodyExt as _;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector as Tcp;
use hyper_util::rt::TokioExecutor;
use object_store::aws::{AmazonS3Builder, AwsCredential};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse, HttpResponseBody,
    HttpService,
};
use object_store::{ClientOptions, CredentialProvider, ObjectStore, RetryConfig};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use tokio::sync::Mutex;

/// Longest that one request may take: a part of 8 MiB over a slow line.
const REQUEST: Duration = Duration::from_secs(60);
/// Longest that a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// Tries of one request, and the time after which there are no more.
const RETRIES: (usize, Duration) = (4, Duration::from_secs(120));
/// How long before their end credentials are asked for anew.
const AHEAD_MS: i64 = 5 * 60_000;
/// How long those without an end are used.
const KEEP_MS: i64 = 15 * 60_000;

/// A client of the bucket. Nothing is asked of it yet.
pub(super) async fn open(config: &S3) -> Result<Arc<dyn ObjectStore>> {
    let shared = aws::load(config.endpoint.as_deref(), config.region.as_deref()).await;
    let provider = shared.credentials_provider().context("no AWS credentials are to be found")?;
    let region = shared.region().context("no AWS region: set archive.s3.region")?;
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&config.bucket)
        .with_region(region.as_ref())
        .with_credentials(Arc::new(Credentials { provider, kept: Mutex::new(None) }))
        .with_http_connector(Connector)
        .with_retry(RetryConfig { max_retries: RETRIES.0, retry_timeout: RETRIES.1, ..RetryConfig::default() });
    if let Some(endpoint) = &config.endpoint {
        builder = builder.with_endpoint(endpoint).with_allow_http(endpoint.starts_with("http://"));
    }
    Ok(Arc::new(builder.build()?))
}

/// Credentials from where the SDK looks, kept until shortly before they end.
#[derive(Debug)]
struct Credentials {
    provider: SharedCredentialsProvider,
    /// Those at hand, and until when they are used, ms.
    kept: Mutex<Option<(Arc<AwsCredential>, i64)>>,
}

type Future<'a, T> = Pin<Box<dyn std::future::Future<Output = T> + Send + 'a>>;

impl CredentialProvider for Credentials {
    type Credential = AwsCredential;

    // Written out, because the trait is declared through a macro.
    fn get_credential<'life0, 'async_trait>(
        &'life0 self,
    ) -> Future<'async_trait, object_store::Result<Arc<AwsCredential>>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(async move {
            let mut kept = self.kept.lock().await;
            let now_ms = clock::now_ms();
            if let Some((credential, until_ms)) = &*kept
                && now_ms < *until_ms
            {
                return Ok(credential.clone());
            }
            let found = self.provider.provide_credentials().await;
            let found = found.map_err(|source| object_store::Error::Generic { store: "S3", source: source.into() })?;
            let end_ms = found.expiry().and_then(|end| end.duration_since(UNIX_EPOCH).ok()).map(|end| end.as_millis());
            let until_ms = end_ms.map_or(now_ms + KEEP_MS, |end_ms| end_ms as i64 - AHEAD_MS);
            let credential = Arc::new(AwsCredential {
                key_id: found.access_key_id().into(),
                secret_key: found.secret_access_key().into(),
                token: found.session_token().map(Into::into),
            });
            *kept = Some((credential.clone(), until_ms));
            Ok(credential)
        })
    }
}

/// Makes the client below.
#[derive(Debug)]
struct Connector;

impl HttpConnector for Connector {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        let unusable = |error: std::io::Error| object_store::Error::Generic { store: "S3", source: error.into() };
        let mut tcp = Tcp::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT));
        let https = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(rustls::crypto::ring::default_provider())
            .map_err(unusable)?
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        Ok(HttpClient::new(Hyper(Client::builder(TokioExecutor::new()).build(https))))
    }
}

#[derive(Debug)]
struct Hyper(Client<HttpsConnector<Tcp>, HttpRequestBody>);

impl HttpService for Hyper {
    fn call<'life0, 'async_trait>(
        &'life0 self,
        request: HttpRequest,
    ) -> Future<'async_trait, Result<HttpResponse, HttpError>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(async move {
            let answered = tokio::time::timeout(REQUEST, self.0.request(request)).await;
            let answered = answered.map_err(|late| HttpError::new(HttpErrorKind::Timeout, late))?;
            let response = answered.map_err(|error| {
                let kind = if error.is_connect() { HttpErrorKind::Connect } else { HttpErrorKind::Request };
                HttpError::new(kind, error)
            })?;
            let undecoded = |error| HttpError::new(HttpErrorKind::Decode, error);
            Ok(response.map(|body| HttpResponseBody::new(body.map_err(undecoded))))
        })
    }
}
