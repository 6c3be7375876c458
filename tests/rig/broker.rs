//! An MQTT broker inside the process: rumqttd. It has no way to be stopped and ends with the process.

use crate::process::free_port;
use anyhow::Context as _;
use rumqttd::{Broker, Config, ConnectionSettings, RouterConfig, ServerSettings};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;
use windward_protocol::batch::MAX_BATCH;

/// Room for a publish's topic and properties beside its payload, bytes.
const HEADROOM: usize = 4_096;

/// Starts a broker on a free port of loopback, for MQTT 5; gives where it listens.
pub async fn start() -> anyhow::Result<SocketAddr> {
    let addr = SocketAddr::from(([127, 0, 0, 1], free_port()?));
    let server = |name: &str, listen| ServerSettings {
        name: name.into(),
        listen,
        tls: None,
        next_connection_delay_ms: 1,
        connections: ConnectionSettings {
            connection_timeout_ms: 5_000,
            max_payload_size: MAX_BATCH + HEADROOM,
            max_inflight_count: 200,
            auth: None,
            external_auth: None,
            dynamic_filters: false,
        },
    };
    let config = Config {
        router: RouterConfig {
            max_connections: 64,
            max_outgoing_packet_count: 200,
            max_segment_size: 16 * 1024 * 1024,
            max_segment_count: 4,
            ..RouterConfig::default()
        },
        v5: Some(HashMap::from([("v5".into(), server("v5", addr))])),
        ..Config::default()
    };
    let mut broker = Broker::new(config);
    std::thread::Builder::new().name("broker".into()).spawn(move || {
        if let Err(error) = broker.start() {
            tracing::error!(%error, "the embedded broker has ended");
        }
    })?;
    crate::process::wait_for_port(addr, Duration::from_secs(5)).await.context("the embedded broker")?;
    Ok(addr)
}
