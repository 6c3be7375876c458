//! The section `[lambda]`.

use serde::Deserialize;

/// AWS Lambda as source: what invokes the function is said there, not here. Used by `windward-sink lambda` alone.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lambda {
    /// Where acks go back to agents that came by an IoT rule: the account's own,
    /// `https://<id>-ats.iot.<region>.amazonaws.com`; the region's unless given.
    pub iot_endpoint: Option<String>,
}

pub(super) fn check(lambda: &Lambda) -> Result<(), (&'static str, String)> {
    match &lambda.iot_endpoint {
        Some(url) if !url.starts_with("http://") && !url.starts_with("https://") => {
            Err(("lambda.iot_endpoint", "must begin with https://".into()))
        }
        _ => Ok(()),
    }
}
