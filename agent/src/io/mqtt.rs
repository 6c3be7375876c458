//! One MQTT 5 connection to the broker, from CONNECT to the first error.
//!
//! rumqttc forgets publishes when it reconnects by itself, and can block for ever after a collision of packet
//! identifiers (bytebeamio/rumqtt #1014, #1056), so it never does: each connection has clients of its own, and FORWARD
//! knows what to send again. Publishing and listening are two clients: only then do the packet identifiers of outgoing
//! publishes come in the order the publishes were asked for.
//!
//! The first publish of each lane on a connection carries its topic and an alias for it, the later ones the alias
//! alone, where the broker grants as many (MQTT 5, 3.3.2.3.4). An alias lives as long as its connection; rumqttc would
//! send a publish that holds nothing but an alias on the next one too (#972), which is one reason more to have none.

use super::session::{Event, Publish, Session, Teller};
use super::tls;
use crate::config::Mqtt;
use crate::forward::WINDOW;
use anyhow::{Context as _, bail};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnAck, LastWill, Packet, PubAckReason, PublishProperties, SubscribeReasonCode};
use rumqttc::v5::{self, AsyncClient, EventLoop, MqttOptions};
use rumqttc::{Outgoing, TlsConfiguration, Transport};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use windward_protocol::batch::MAX_BATCH;
use windward_protocol::{AgentId, Lane, topic};

/// A CONNECT, TLS included, that takes longer has failed.
const CONNECT_TIMEOUT_S: u64 = 10;
/// Most publishes rumqttc has under way, or fewer where the broker says so; FORWARD's window stays below it, so that
/// identifiers never collide.
const INFLIGHT: u16 = 100;
/// Largest packet taken: acks are far smaller.
const MAX_PACKET: u32 = MAX_BATCH as u32;
/// Events of one client on their way to the connection's task; when full, the client waits.
const EVENTS: usize = 256;

/// Begins to connect.
pub(super) fn connect(settings: Mqtt, agent: AgentId, hears_commands: bool, will: Vec<u8>, teller: Teller) -> Session {
    Session::start(teller, |publishes, teller| converse(settings, agent, hears_commands, will, publishes, teller))
}

async fn converse(
    settings: Mqtt,
    agent: AgentId,
    hears_commands: bool,
    will: Vec<u8>,
    mut publishes: mpsc::Receiver<Publish>,
    teller: Teller,
) -> anyhow::Result<()> {
    let ack_topic = topic::ack(&agent);
    let command_topic = hears_commands.then(|| topic::command(&agent));
    let topics: Vec<&String> = [&ack_topic].into_iter().chain(&command_topic).collect();
    let (_listener, mut heard) = listen(&settings, &agent, &topics).await?;

    let mut options = options(&settings, agent.as_str())?;
    let state_topic = topic::of_lane(&agent, Lane::State);
    options.set_last_will(LastWill::new(state_topic, will, QoS::AtLeastOnce, true, None));
    let (publisher, mut said) = open(options, "publish");
    let mut aliases = Aliases::granted(&connected(&mut said).await?);
    teller.tell(Event::Connected).await?;

    let (mut asked, mut by_pkid) = (VecDeque::new(), BTreeMap::new());
    loop {
        tokio::select! {
            publish = publishes.recv() => {
                let Some(Publish { token, lane, retain, payload }) = publish else {
                    // A graceful end: what was asked for has been acked, or nobody waits for it.
                    publisher.client.disconnect().await?;
                    let ended = |event: &v5::Event| matches!(event, v5::Event::Outgoing(Outgoing::Disconnect));
                    while said.recv().await.is_some_and(|event| event.is_ok_and(|event| !ended(&event))) {}
                    return Ok(());
                };
                asked.push_back(token);
                let (topic, alias) = aliases.of(&agent, lane);
                let properties = PublishProperties { topic_alias: alias, ..PublishProperties::default() };
                let qos = QoS::AtLeastOnce;
                publisher.client.try_publish_with_properties(topic, qos, retain, payload, properties)?;
            }
            event = said.recv() => match event.context("the client has ended")?? {
                v5::Event::Outgoing(Outgoing::Publish(pkid)) => {
                    let token = asked.pop_front().context("a publish nobody asked for")?;
                    by_pkid.insert(pkid, token);
                }
                v5::Event::Incoming(Packet::PubAck(ack)) => {
                    let Some(token) = by_pkid.remove(&ack.pkid) else { continue };
                    teller.tell(match ack.reason {
                        PubAckReason::Success | PubAckReason::NoMatchingSubscribers => Event::PubAck(token),
                        reason => {
                            tracing::warn!(?reason, "the broker refused a publish");
                            Event::Refused(token)
                        }
                    }).await?;
                }
                _ => {}
            },
            event = heard.recv() => {
                let event = event.context("the ack client has ended")??;
                let v5::Event::Incoming(Packet::Publish(message)) = event else { continue };
                if message.topic == ack_topic {
                    teller.tell(Event::Ack(message.payload.to_vec())).await?;
                } else if command_topic.as_ref().is_some_and(|topic| message.topic == *topic) && !message.retain {
                    teller.tell(Event::Order(message.payload.to_vec())).await?;
                }
            }
        }
    }
}

/// How the lanes' topics are written on one connection.
struct Aliases {
    granted: u16,
    told: [bool; 3],
}

impl Aliases {
    fn granted(connack: &ConnAck) -> Self {
        let granted = connack.properties.as_ref().and_then(|properties| properties.topic_alias_max).unwrap_or(0);
        Self { granted, told: [false; 3] }
    }

    /// The topic of the next publish of a lane, empty where the broker knows the alias by now.
    fn of(&mut self, agent: &AgentId, lane: Lane) -> (String, Option<u16>) {
        let index = match lane {
            Lane::Alerts => 0,
            Lane::Readings => 1,
            Lane::State => 2,
        };
        let alias = index as u16 + 1;
        if alias > self.granted {
            return (topic::of_lane(agent, lane), None);
        }
        let is_told = std::mem::replace(&mut self.told[index], true);
        (if is_told { String::new() } else { topic::of_lane(agent, lane) }, Some(alias))
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

type Heard = mpsc::Receiver<anyhow::Result<v5::Event>>;

/// The client that hears the sinks' acks, and commands.
async fn listen(settings: &Mqtt, agent: &AgentId, topics: &[&String]) -> anyhow::Result<(Client, Heard)> {
    let (client, mut heard) = open(options(settings, &format!("{agent}-ack"))?, "ack");
    connected(&mut heard).await?;
    for topic in topics {
        client.client.subscribe(topic.as_str(), QoS::AtLeastOnce).await?;
        let wanted = |packet| if let Packet::SubAck(suback) = packet { Some(suback.return_codes) } else { None };
        let codes = until(&mut heard, "SUBACK", wanted).await?;
        if let Some(refusal) = codes.iter().find(|code| !matches!(code, SubscribeReasonCode::Success(_))) {
            bail!("the broker refused the subscription to {topic}: {refusal:?}");
        }
    }
    Ok((client, heard))
}

fn open(options: MqttOptions, what: &'static str) -> (Client, Heard) {
    let (client, event_loop) = AsyncClient::new(options, WINDOW + 8);
    let (sender, receiver) = mpsc::channel(EVENTS);
    let task = tokio::spawn(poll(event_loop, sender, what));
    (Client { client, task: task.abort_handle() }, receiver)
}

async fn poll(mut event_loop: EventLoop, sender: mpsc::Sender<anyhow::Result<v5::Event>>, what: &'static str) {
    loop {
        let event = event_loop.poll().await.with_context(|| format!("{what} connection"));
        let ended = event.is_err();
        if sender.send(event).await.is_err() || ended {
            return;
        }
    }
}

async fn connected(heard: &mut Heard) -> anyhow::Result<ConnAck> {
    let wanted = |packet| if let Packet::ConnAck(connack) = packet { Some(connack) } else { None };
    until(heard, "CONNACK", wanted).await
}

async fn until<T>(heard: &mut Heard, what: &str, wanted: impl Fn(Packet) -> Option<T>) -> anyhow::Result<T> {
    let wait = async {
        loop {
            if let v5::Event::Incoming(packet) = heard.recv().await.context("the client has ended")??
                && let Some(found) = wanted(packet)
            {
                return anyhow::Ok(found);
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(CONNECT_TIMEOUT_S), wait).await.with_context(|| format!("no {what}"))?
}

fn options(settings: &Mqtt, client_id: &str) -> anyhow::Result<MqttOptions> {
    let mut options = MqttOptions::new(client_id, &settings.host, settings.port);
    options
        .set_keep_alive(Duration::from_secs(u64::from(settings.keep_alive_s)))
        .set_connection_timeout(CONNECT_TIMEOUT_S)
        .set_clean_start(true)
        .set_outgoing_inflight_upper_limit(INFLIGHT)
        .set_max_packet_size(Some(MAX_PACKET));
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

#[cfg(test)]
mod tests {
    use super::*;
    use rumqttc::v5::mqttbytes::v5::{ConnAckProperties, ConnectReturnCode};

    fn connack(topic_alias_max: Option<u16>) -> ConnAck {
        let properties = topic_alias_max.map(|max| ConnAckProperties {
            topic_alias_max: Some(max),
            session_expiry_interval: None,
            receive_max: None,
            max_qos: None,
            retain_available: None,
            max_packet_size: None,
            assigned_client_identifier: None,
            reason_string: None,
            user_properties: Vec::new(),
            wildcard_subscription_available: None,
            subscription_identifiers_available: None,
            shared_subscription_available: None,
            server_keep_alive: None,
            response_information: None,
            server_reference: None,
            authentication_method: None,
            authentication_data: None,
        });
        ConnAck { session_present: false, code: ConnectReturnCode::Success, properties }
    }

    #[test]
    fn a_topic_is_spelled_once_a_connection_where_the_broker_grants_an_alias() {
        let agent = AgentId::new("t").unwrap();
        let spelled = |granted| {
            let mut aliases = Aliases::granted(&connack(granted));
            [Lane::Readings, Lane::Readings, Lane::Alerts, Lane::State, Lane::Alerts].map(|lane| {
                let (topic, alias) = aliases.of(&agent, lane);
                (!topic.is_empty(), alias)
            })
        };
        let all = [(true, Some(2)), (false, Some(2)), (true, Some(1)), (true, Some(3)), (false, Some(1))];
        assert_eq!(spelled(Some(10)), all);
        let one = [(true, None), (true, None), (true, Some(1)), (true, None), (false, Some(1))];
        assert_eq!(spelled(Some(1)), one);
        assert_eq!(spelled(Some(0)), [(true, None); 5]);
        assert_eq!(spelled(None), [(true, None); 5]);
    }
}
