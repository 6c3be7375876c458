//! The MQTT source: MQTT 5, a session that outlives the connection, acks by hand.
//!
//! The event loop is always polled, for acks leave through it too; back-pressure is the receive maximum, the number of
//! deliveries a broker may have with us unacked. Not every broker keeps to it (mosquitto 2.0.11 sent 100 over a maximum
//! of 512), so the queue is larger; should it fill up all the same, the connection is dropped, and what was not acked
//! comes again on the next one.

use super::pulse::beats;
use super::source::{self, Incoming};
use super::{Counts, Stop};
use crate::config;
use crate::decode::{Delivery, Origin};
use anyhow::{Context, Result, anyhow, bail};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, Publish, SubscribeReasonCode};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions};
use rumqttc::{Outgoing, TlsConfiguration, Transport};
use std::hash::{BuildHasher, RandomState};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Interval;
use windward_protocol::{Ack, AgentId, topic};

/// Deliveries the broker may have with us unacked.
const RECEIVE_MAXIMUM: u16 = 128;
/// Deliveries that wait to be committed.
pub(super) const QUEUE: usize = 1024;
/// Acks on their way into the event loop; when full, who acks waits.
const REQUESTS: usize = 1024;
/// Largest packet taken. Agents send at most 128 KiB; what is larger is read too, to be kept as poison (S3).
const MAX_PACKET: u32 = 1024 * 1024;
/// How long the broker keeps the session of a sink that is away, seconds.
const SESSION_EXPIRY_S: u32 = 24 * 3600;
/// First pause before the broker is called again, and the longest. AWS IoT takes one CONNECT a second.
const PAUSE_MS: (u64, u64) = (1_000, 5_000);
/// How long a graceful disconnect may take.
const DISCONNECT: Duration = Duration::from_secs(2);

/// Answers one publish, on the connection it came by. Once that is gone, answers are lost: the publish comes again.
pub(super) struct Reply {
    publish: Publish,
    client: AsyncClient,
}

impl Reply {
    /// Frees the publish at the broker.
    pub(super) async fn puback(&self) {
        if self.client.ack(&self.publish).await.is_err() {
            tracing::debug!("connection gone before a PUBACK; the delivery comes again");
        }
    }

    /// Tells an agent what is committed (A3).
    pub(super) async fn ack(&self, agent: &AgentId, ack: &Ack) {
        let sent = self.client.publish(topic::ack(agent), QoS::AtMostOnce, false, ack.encode());
        if sent.await.is_err() {
            tracing::debug!(%agent, "connection gone before an ack; the agent sends again");
        }
    }
}

/// Receives until told to quit.
pub(super) async fn receive(
    config: config::Mqtt,
    into: mpsc::Sender<Incoming>,
    mut stop: watch::Receiver<Stop>,
    counts: Arc<Counts>,
) {
    let (least, most) = PAUSE_MS;
    let mut pause = least;
    while *stop.borrow() != Stop::Quit {
        let connected = connection(&config, &into, &mut stop, &counts).await;
        if counts.connected.swap(false, Ordering::Relaxed) {
            pause = least;
        }
        let Err(error) = connected else { return };
        let jitter = RandomState::new().hash_one(pause) % pause;
        tracing::warn!(host = config.host, port = config.port, again_ms = pause + jitter, "broker: {error:#}");
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(pause + jitter)) => {}
            _ = stop.wait_for(|stop| *stop == Stop::Quit) => return,
        }
        pause = (pause * 2).min(most);
    }
}

/// A client with an id of its own, so that a running sink is not thrown off its session.
pub(super) fn apart(config: &config::Mqtt, what: &str) -> Result<(AsyncClient, EventLoop)> {
    let mut options = options(config)?;
    options.set_client_id(format!("{}-{what}", config.client_id));
    options.set_clean_start(true);
    options.set_session_expiry_interval(Some(0));
    options.set_manual_acks(false);
    Ok(AsyncClient::new(options, 8))
}

/// Whether the broker answers, and lets us in.
pub async fn check(config: &config::Mqtt) -> Result<String> {
    let (client, mut events) = apart(config, "check")?;
    client.subscribe_many(filters(config)).await?;
    let asked = async {
        loop {
            if let Event::Incoming(Packet::SubAck(suback)) = events.poll().await.map_err(plain)? {
                return subscribed(&suback.return_codes);
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), asked)
        .await
        .unwrap_or_else(|_| Err(anyhow!("no answer within 10 s")))
        .with_context(|| format!("{}:{}", config.host, config.port))?;
    Ok(format!("{}:{}, subscriptions granted", config.host, config.port))
}

/// One connection, from CONNECT to its end: `Ok` when we ended it.
async fn connection(
    config: &config::Mqtt,
    into: &mpsc::Sender<Incoming>,
    stop: &mut watch::Receiver<Stop>,
    counts: &Counts,
) -> Result<()> {
    let (client, mut events) = AsyncClient::new(options(config)?, REQUESTS);
    let mut beats = beats();
    loop {
        let event = tokio::select! {
            event = polled(&mut events, &mut beats, counts) => event.map_err(plain)?,
            _ = stop.wait_for(|stop| *stop == Stop::Quit) => break,
        };
        match event {
            Event::Incoming(Packet::ConnAck(_)) => client.try_subscribe_many(filters(config))?,
            Event::Incoming(Packet::SubAck(suback)) => {
                subscribed(&suback.return_codes)?;
                counts.connected.store(true, Ordering::Relaxed);
                tracing::info!(host = config.host, port = config.port, "receiving");
            }
            Event::Incoming(Packet::Publish(publish)) if *stop.borrow() == Stop::Run => {
                offer(publish, &client, into)?;
            }
            _ => {}
        }
    }
    // What was acked until now stands in the queue before this, and goes out first.
    client.try_disconnect()?;
    let ended = tokio::time::timeout(DISCONNECT, async {
        while !matches!(events.poll().await, Ok(Event::Outgoing(Outgoing::Disconnect)) | Err(_)) {}
    });
    if ended.await.is_err() {
        tracing::debug!("broker took too long to disconnect from");
    }
    Ok(())
}

/// The next event. The wait for it, which is that for a connection too, is never broken off to count a turn.
async fn polled(events: &mut EventLoop, beats: &mut Interval, counts: &Counts) -> Result<Event, ConnectionError> {
    let mut event = pin!(events.poll());
    loop {
        counts.pulse.broker.turn();
        tokio::select! {
            event = &mut event => return event,
            _ = beats.tick() => {}
        }
    }
}

/// The library's errors say their causes themselves; a chain would say them twice.
pub(super) fn plain(error: ConnectionError) -> anyhow::Error {
    anyhow!("{error}")
}

fn offer(publish: Publish, client: &AsyncClient, into: &mpsc::Sender<Incoming>) -> Result<()> {
    let incoming = Incoming {
        delivery: Delivery {
            from: Origin::Topic(String::from_utf8_lossy(&publish.topic).into_owned()),
            payload: publish.payload.to_vec(),
        },
        reply: source::Reply::Mqtt(Reply { publish, client: client.clone() }),
    };
    if into.try_send(incoming).is_err() {
        bail!("it sent {QUEUE} deliveries and more at once, against a receive maximum of {RECEIVE_MAXIMUM}");
    }
    Ok(())
}

fn filters(config: &config::Mqtt) -> Vec<rumqttc::v5::mqttbytes::v5::Filter> {
    topic::sink_filters(config.group.as_deref())
        .into_iter()
        .map(|filter| rumqttc::v5::mqttbytes::v5::Filter::new(filter, QoS::AtLeastOnce))
        .collect()
}

pub(super) fn subscribed(codes: &[SubscribeReasonCode]) -> Result<()> {
    match codes.iter().find(|code| !matches!(code, SubscribeReasonCode::Success(_))) {
        None => Ok(()),
        Some(code) => bail!("the broker refused a subscription: {code:?}"),
    }
}

fn options(config: &config::Mqtt) -> Result<MqttOptions> {
    let mut options = MqttOptions::new(&config.client_id, &config.host, config.port);
    options
        .set_keep_alive(Duration::from_secs(config.keep_alive_s.into()))
        .set_clean_start(false)
        .set_session_expiry_interval(Some(SESSION_EXPIRY_S))
        .set_receive_maximum(Some(RECEIVE_MAXIMUM))
        .set_max_packet_size(Some(MAX_PACKET))
        .set_manual_acks(true)
        // We publish at QoS 0 only; the library reserves room for every packet id up to this.
        .set_outgoing_inflight_upper_limit(8);
    if let Some(username) = &config.username {
        let password = config.password_file.as_deref().map(read_text).transpose()?;
        options.set_credentials(username, password.unwrap_or_default());
    }
    if let Some(ca) = &config.ca {
        if rustls::crypto::ring::default_provider().install_default().is_err() {
            tracing::debug!("a TLS provider was installed before");
        }
        let client_auth = match (&config.cert, &config.key) {
            (Some(cert), Some(key)) => Some((read(cert)?, read(key)?)),
            _ => None,
        };
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Simple {
            ca: read(ca)?,
            alpn: None,
            client_auth,
        }));
    }
    Ok(options)
}

fn read(path: &std::path::Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn read_text(path: &std::path::Path) -> Result<String> {
    let text = String::from_utf8(read(path)?).with_context(|| format!("{} is no text", path.display()))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_string())
}
