//! What all AWS clients share: rustls on ring, and an end to every attempt (the SDK sets none by itself).

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use std::error::Error;
use std::time::Duration;

/// Longest that one call may take with its retries: well below [`crate::notify::CLAIM_MS`].
const OPERATION: Duration = Duration::from_secs(10);
const ATTEMPT: Duration = Duration::from_secs(4);
const CONNECT: Duration = Duration::from_secs(2);
const ATTEMPTS: u32 = 3;

/// Shared configuration. `endpoint` may be plain http for an emulator.
pub(super) async fn load(endpoint: Option<&str>, region: Option<&str>) -> SdkConfig {
    let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_attempt_timeout(ATTEMPT)
        .operation_timeout(OPERATION)
        .build();
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(http)
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS));
    if let Some(endpoint) = endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    if let Some(region) = region {
        loader = loader.region(Region::new(region.to_string()));
    }
    loader.load().await
}

/// What the service said; or, when none answered, what failed on the way. The SDK's own text is either "service error"
/// or the whole response.
pub(super) fn explain<E: Error + ProvideErrorMetadata + 'static>(error: &E) -> String {
    match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        _ => {
            let (mut said, mut cause) = (error.to_string(), error.source());
            while let Some(error) = cause {
                said.push_str(&format!(": {error}"));
                cause = error.source();
            }
            said
        }
    }
}
