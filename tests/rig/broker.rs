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

/// Where the broker listens: rumqttd has a port for each version of MQTT.
#[derive(Clone, Copy, Debug)]
pub struct Embedded {
    /// MQTT 3.1.1, for agents.
    pub v4: SocketAddr,
    /// MQTT 5, for sinks.
    pub v5: SocketAddr,
}

/// Starts a broker on free ports of loopback.
pub async fn start() -> anyhow::Result<Embedded> {
    let addr = || free_port().map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let embedded = Embedded { v4: addr()?, v5: addr()? };
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
        v4: Some(HashMap::from([("v4".into(), server("v4", embedded.v4))])),
        v5: Some(HashMap::from([("v5".into(), server("v5", embedded.v5))])),
        ..Config::default()
    };
    let mut broker = Broker::new(config);
    std::thread::Builder::new().name("broker".into()).spawn(move || {
        if let Err(error) = broker.start() {
            tracing::error!(%error, "the embedded broker has ended");
        }
    })?;
    for addr in [embedded.v4, embedded.v5] {
        crate::process::wait_for_port(addr, Duration::from_secs(5)).await.context("the embedded broker")?;
    }
    Ok(embedded)
}
