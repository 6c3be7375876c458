//! What must hold of any text of a sink's configuration.

use windward_sink::config::{Config, Store};

/// Panics when something does not hold.
pub(crate) fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let config = match Config::from_toml(&text, "sink.toml") {
        Ok(config) => config,
        Err(error) => return assert!(error.to_string().starts_with("sink.toml"), "{error}"),
    };
    assert!(!config.farm.is_empty());
    let http = &config.http;
    assert!(http.listen.ip().is_loopback() || http.guarded || http.has_accounts(), "anybody may come in");
    assert!(!(http.is_open() && http.has_accounts()));
    assert!(http.oidc.is_none() || http.public.is_some());
    assert!(config.mqtt.is_some() || config.kinesis.is_some() || config.kafka.is_some() || config.lambda.is_some());
    assert_ne!(config.keep_days, Some(0));
    if let Store::Sqlite(path) = &config.store {
        assert!(!text.is_empty() && path.as_os_str().len() <= text.len());
    }
}
