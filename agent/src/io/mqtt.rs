//! One connection to the broker, from CONNECT to the first error.
//!
//! rumqttc forgets publishes when it reconnects by itself (bytebeamio/rumqtt #1014, #1056), so it never does: each
//! connection has clients of its own, and FORWARD knows what to send again. Publishing and listening are two clients:
//! only then do the packet identifiers of outgoing publishes come in the order the publishes were asked for.

use super::tls;
use crate::config::Mqtt;
use crate::forward::WINDOW;
use anyhow::{Context as _, anyhow, bail};
use rumqttc::{
    AsyncClient, Event, EventLoop, LastWill, MqttOptions, Outgoing, Packet, QoS, TlsConfiguration, Transport,
};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinHandle};
use windward_protocol::batch::MAX_BATCH;
use windward_protocol::{AgentId, Lane, topic};

/// A CONNECT, TLS included, that takes longer has failed.
const CONNECT_TIMEOUT_S: u64 = 10;
/// rumqttc's own limit; FORWARD's window stays below it, so identifiers never collide.
const INFLIGHT: u16 = 100;
/// Room for a batch with its topic.
const MAX_PACKET: usize = MAX_BATCH + 1024;
/// How long a DISCONNECT may take.
const CLOSE: Duration = Duration::from_secs(1);
/// Events of one connection on their way to FORWARD; when full, the connection waits.
const EVENTS: usize = 256;

/// What happens on a connection.
#[derive(Debug)]
pub(super) enum MqttEvent {
    /// Connected, and listening on the ack topic.
    Connected,
    /// The broker took the publish with this token.
    PubAck(u64),
    /// A message on the ack topic.
    Ack(Vec<u8>),
    /// The end, and why. Nothing follows.
    Gone(String),
}

/// A publish to be sent.
#[derive(Debug)]
pub(super) struct Publish {
    pub(super) token: u64,
    pub(super) lane: Lane,
    pub(super) retain: bool,
    pub(super) payload: Vec<u8>,
}

/// A running connection; dropped, it ends at once.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) publishes: mpsc::Sender<Publish>,
    task: JoinHandle<()>,
}

impl Session {
    /// Ends it with a DISCONNECT, so that the broker does not publish the last will.
    pub(super) async fn close(mut self) {
        self.publishes = mpsc::channel(1).0;
        if tokio::time::timeout(CLOSE, &mut self.task).await.is_err() {
            tracing::debug!("the connection did not close in time");
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Begins to connect. The events carry `number`, so that those of an earlier connection can be told apart.
pub(super) fn connect(
    settings: Mqtt,
    agent: AgentId,
    will: Vec<u8>,
    number: u64,
    events: mpsc::Sender<(u64, MqttEvent)>,
) -> Session {
    let (publishes, incoming) = mpsc::channel(WINDOW);
    let task = tokio::spawn(async move {
        let end = converse(&settings, &agent, will, number, incoming, &events).await;
        let reason = end.err().map_or_else(|| "closed".to_owned(), |error| format!("{error:#}"));
        // Nobody listens any more when the agent has stopped.
        drop(events.send((number, MqttEvent::Gone(reason))).await);
    });
    Session { publishes, task }
}

async fn converse(
    settings: &Mqtt,
    agent: &AgentId,
    will: Vec<u8>,
    number: u64,
    mut publishes: mpsc::Receiver<Publish>,
    events: &mpsc::Sender<(u64, MqttEvent)>,
) -> anyhow::Result<()> {
    let tell = async |event| events.send((number, event)).await.map_err(|_| anyhow!("agent stopped"));
    let ack_topic = topic::ack(agent);
    let (listener, mut heard) = open(options(settings, &format!("{agent}-ack"))?, "ack");
    until(&mut heard, "CONNACK", |packet| matches!(packet, Packet::ConnAck(_))).await?;
    listener.client.subscribe(&ack_topic, QoS::AtLeastOnce).await?;
    until(&mut heard, "SUBACK", |packet| matches!(packet, Packet::SubAck(_))).await?;

    let mut options = options(settings, agent.as_str())?;
    options.set_last_will(LastWill::new(topic::of_lane(agent, Lane::State), will, QoS::AtLeastOnce, true));
    let (publisher, mut said) = open(options, "publish");
    until(&mut said, "CONNACK", |packet| matches!(packet, Packet::ConnAck(_))).await?;
    tell(MqttEvent::Connected).await?;

    let (mut asked, mut by_pkid) = (VecDeque::new(), BTreeMap::new());
    loop {
        tokio::select! {
            publish = publishes.recv() => {
                let Some(Publish { token, lane, retain, payload }) = publish else {
                    // A graceful end: what was asked for has been acked, or nobody waits for it.
                    publisher.client.disconnect().await?;
                    while !matches!(said.recv().await, None | Some(Err(_) | Ok(Event::Outgoing(Outgoing::Disconnect)))) {}
                    return Ok(());
                };
                asked.push_back(token);
                let topic = topic::of_lane(agent, lane);
                publisher.client.try_publish(topic, QoS::AtLeastOnce, retain, payload)?;
            }
            event = said.recv() => match event.context("the client has ended")?? {
                Event::Outgoing(Outgoing::Publish(pkid)) => {
                    let token = asked.pop_front().context("a publish nobody asked for")?;
                    by_pkid.insert(pkid, token);
                }
                Event::Incoming(Packet::PubAck(ack)) => {
                    if let Some(token) = by_pkid.remove(&ack.pkid) {
                        tell(MqttEvent::PubAck(token)).await?;
                    }
                }
                Event::Incoming(Packet::Disconnect) => bail!("the broker sent DISCONNECT"),
                _ => {}
            },
            event = heard.recv() => match event.context("the ack client has ended")?? {
                Event::Incoming(Packet::Publish(message)) if message.topic == ack_topic => {
                    tell(MqttEvent::Ack(message.payload.to_vec())).await?;
                }
                Event::Incoming(Packet::Disconnect) => bail!("the broker sent DISCONNECT"),
                _ => {}
            },
        }
    }
}

/// A client with its event loop on a task of its own, for `EventLoop::poll` must not be cancelled half-way.
struct Client {
    client: AsyncClient,
    task: AbortHandle,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Heard = mpsc::Receiver<anyhow::Result<Event>>;

fn open(options: MqttOptions, what: &'static str) -> (Client, Heard) {
    let (client, mut event_loop) = AsyncClient::new(options, WINDOW + 8);
    event_loop.network_options.set_connection_timeout(CONNECT_TIMEOUT_S);
    let (sender, receiver) = mpsc::channel(EVENTS);
    let task = tokio::spawn(poll(event_loop, sender, what));
    (Client { client, task: task.abort_handle() }, receiver)
}

async fn poll(mut event_loop: EventLoop, sender: mpsc::Sender<anyhow::Result<Event>>, what: &'static str) {
    loop {
        let event = event_loop.poll().await.with_context(|| format!("{what} connection"));
        let ended = event.is_err();
        if sender.send(event).await.is_err() || ended {
            return;
        }
    }
}

async fn until(heard: &mut Heard, what: &str, wanted: impl Fn(&Packet) -> bool) -> anyhow::Result<()> {
    let wait = async {
        loop {
            match heard.recv().await.context("the client has ended")?? {
                Event::Incoming(packet) if wanted(&packet) => return anyhow::Ok(()),
                _ => {}
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(CONNECT_TIMEOUT_S), wait).await.with_context(|| format!("no {what}"))?
}

fn options(settings: &Mqtt, client_id: &str) -> anyhow::Result<MqttOptions> {
    let mut options = MqttOptions::new(client_id, &settings.host, settings.port);
    options
        .set_keep_alive(Duration::from_secs(u64::from(settings.keep_alive_s)))
        .set_clean_session(true)
        .set_inflight(INFLIGHT)
        .set_max_packet_size(MAX_PACKET, MAX_PACKET);
    if let Some((user, password_file)) = &settings.login {
        let password = std::fs::read_to_string(password_file)
            .with_context(|| format!("cannot read the password in {}", password_file.display()))?;
        options.set_credentials(user, password.trim_end_matches(['\r', '\n']));
    }
    if let Some(files) = &settings.tls {
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(tls::client_config(files)?)));
    }
    Ok(options)
}
