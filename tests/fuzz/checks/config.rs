//! What must hold of any text of an agent's configuration: an operator may send one over the broker.

use windward_agent::config::Config;
use windward_agent::replay::{Header, Plan};
use windward_agent::watch::Watch;
use windward_protocol::MAX_CHANNELS;

/// Panics when something does not hold.
pub(crate) fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let config = match Config::from_toml(&text, "agent.toml") {
        Ok(config) => config,
        Err(error) => return assert!(error.to_string().contains("agent.toml"), "{error}"),
    };
    assert!(!config.devices.is_empty());
    assert!(config.mqtt.is_some() || config.kinesis.is_some() || config.kafka.is_some());
    assert!((100..=60_000).contains(&config.spool.commit_every_ms));
    for device in &config.devices {
        assert!(device.bus < config.buses.len());
        assert!((1..=MAX_CHANNELS).contains(&device.channels.len()));
    }
    assert_eq!(config.manifest().len(), config.devices.len());
    // What is accepted can be run, as far as memory allows many forests here.
    if config.devices.len() <= 4 {
        Watch::new(&config, 1);
    }
    let names: Vec<&str> = std::iter::once("timestamp")
        .chain(config.devices[0].channels.iter().map(|channel| channel.channel.name.as_str()))
        .collect();
    if let Ok(header) = Header::of(names.into_iter()) {
        drop(Plan::of_config(&config, None, "", &header, &[]));
    }
}
