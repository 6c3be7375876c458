//! An MQTT client that does what no agent does.

use crate::system::SOON;
use anyhow::{Context as _, Result, bail};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnAck, Packet, PubAckReason};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use rumqttc::{TlsConfiguration, Transport};
use std::path::Path;
use tokio::time::timeout;
use windward_tests::certificates::Issued;

/// One connection to the broker, and what it has heard on it.
pub(super) struct Client {
    client: AsyncClient,
    events: EventLoop,
    /// Topics of the publishes it was given, in their order.
    pub(super) heard: Vec<String>,
}

impl Client {
    /// Connects; an error is why it was not let in.
    pub(super) async fn connect(port: u16, id: &str, ca: &Path, own: Option<&Issued>) -> Result<Self> {
        Self::connect_as(port, id, None, ca, own).await.map(|(client, _)| client)
    }

    /// Connects with a user name of its own, and to the session that is kept under the id, if there is one.
    pub(super) async fn connect_as(
        port: u16,
        id: &str,
        user: Option<&str>,
        ca: &Path,
        own: Option<&Issued>,
    ) -> Result<(Self, ConnAck)> {
        let mut options = MqttOptions::new(id, "localhost", port);
        options.set_clean_start(user.is_none());
        if let Some(user) = user {
            options.set_credentials(user, "secret");
        }
        let own = own.map(|own| Ok::<_, std::io::Error>((std::fs::read(&own.cert)?, std::fs::read(&own.key)?)));
        let tls = TlsConfiguration::Simple { ca: std::fs::read(ca)?, alpn: None, client_auth: own.transpose()? };
        options.set_transport(Transport::tls_with_config(tls));
        let (client, events) = AsyncClient::new(options, 16);
        let mut client = Self { client, events, heard: Vec::new() };
        let packet = client.until(|packet| matches!(packet, Packet::ConnAck(_))).await?;
        let Packet::ConnAck(connack) = packet else { bail!("no CONNACK") };
        Ok((client, connack))
    }

    /// Publishes with QoS 1; gives what the broker said to it.
    pub(super) async fn publish(&mut self, topic: &str, payload: Vec<u8>) -> Result<PubAckReason> {
        self.client.publish(topic, QoS::AtLeastOnce, false, payload).await?;
        match self.until(|packet| matches!(packet, Packet::PubAck(_))).await? {
            Packet::PubAck(puback) => Ok(puback.reason),
            _ => bail!("no PUBACK"),
        }
    }

    /// Subscribes, whatever the broker says to it.
    pub(super) async fn subscribe(&mut self, filter: &str) -> Result<()> {
        self.client.subscribe(filter, QoS::AtLeastOnce).await?;
        self.until(|packet| matches!(packet, Packet::SubAck(_))).await.map(drop)
    }

    /// Goes on until it has heard something on this topic.
    pub(super) async fn hears(&mut self, topic: &str) -> Result<()> {
        self.until(|packet| matches!(packet, Packet::Publish(publish) if publish.topic == topic)).await.map(drop)
    }

    /// Goes on until it is thrown out.
    pub(super) async fn thrown_out(&mut self) -> Result<()> {
        match self.until(|packet| matches!(packet, Packet::Disconnect(_))).await {
            Err(error) if error.to_string().starts_with("waited") => Err(error),
            _ => Ok(()),
        }
    }

    async fn until(&mut self, wanted: impl Fn(&Packet) -> bool) -> Result<Packet> {
        let looked = timeout(SOON, async {
            loop {
                let event = self.events.poll().await.map_err(|error| anyhow::anyhow!("{error:?}"))?;
                let Event::Incoming(packet) = event else { continue };
                if let Packet::Publish(publish) = &packet {
                    self.heard.push(String::from_utf8_lossy(&publish.topic).into_owned());
                }
                if wanted(&packet) {
                    return Ok(packet);
                }
            }
        });
        looked.await.with_context(|| format!("waited {} s in vain for the broker", SOON.as_secs()))?
    }
}
