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
    assert!(config.http.listen.ip().is_loopback() || config.http.guarded, "the API asks nobody who they are");
    assert!(config.mqtt.is_some() || config.kinesis.is_some() || config.kafka.is_some() || config.lambda.is_some());
    assert_ne!(config.keep_days, Some(0));
    if let Store::Sqlite(path) = &config.store {
        assert!(!text.is_empty() && path.as_os_str().len() <= text.len());
    }
}
