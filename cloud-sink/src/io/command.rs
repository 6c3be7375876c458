//! Commands an agent over the broker, and hears its answers.

use super::mqtt;
use crate::config;
use anyhow::{Context as _, Result, anyhow, bail};
use ring::signature::Ed25519KeyPair;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, Publish};
use rumqttc::v5::{Event, EventLoop};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use std::hash::{BuildHasher as _, RandomState};
use std::io::Write;
use std::path::Path;
use std::time::Duration;
use windward_protocol::{AgentId, Answer, Command, Envelope, Lane, Order, Outcome, Record, Request, batch, topic};

/// Gives the command and writes each answer as a line, until the last word or for as long as `wait`. True when the
/// agent says that it is done. `key`: file of the private key to sign with (PKCS #8, PEM, Ed25519).
pub async fn command(
    config: &config::Mqtt,
    agent: &AgentId,
    request: Request,
    key: Option<&Path>,
    wait: Duration,
    out: &mut impl Write,
) -> Result<bool> {
    let id = RandomState::new().hash_one(agent);
    let command = Command { agent: agent.clone(), id, at_ms: super::clock::now_ms(), request }.encode();
    let signature = key.map(|key| sign(&command, key)).transpose()?.unwrap_or_default();
    let order = Order { command, signature }.encode().context("the command")?;

    let (client, mut events) = mqtt::apart(config, "command")?;
    let talk = async {
        // Subscribed first: else the answer might be over before anybody listens.
        client.subscribe(topic::of_lane(agent, Lane::State), QoS::AtLeastOnce).await?;
        subscribed(&mut events).await?;
        client.publish(topic::command(agent), QoS::AtLeastOnce, false, order).await?;
        loop {
            let Event::Incoming(Packet::Publish(publish)) = events.poll().await.map_err(mqtt::plain)? else { continue };
            for answer in said(&publish, agent, id)? {
                writeln!(out, "{}", line(&answer))?;
                if answer.outcome != Outcome::Taken {
                    return Ok(answer.outcome == Outcome::Done);
                }
            }
        }
    };
    let ended = tokio::time::timeout(wait, talk).await;
    drop(client);
    ended.unwrap_or_else(|_| {
        bail!("no last word from {agent} in {} s; does it take commands ([commands] accept)?", wait.as_secs())
    })
}

async fn subscribed(events: &mut EventLoop) -> Result<()> {
    loop {
        if let Event::Incoming(Packet::SubAck(suback)) = events.poll().await.map_err(mqtt::plain)? {
            return mqtt::subscribed(&suback.return_codes);
        }
    }
}

/// The answers to this command in a message on the agent's state topic. That the agent is gone is an error: the broker
/// keeps no command for it.
fn said(publish: &Publish, agent: &AgentId, id: u64) -> Result<Vec<Answer>> {
    let mut answers = Vec::new();
    for bytes in batch::split(&publish.payload).envelopes {
        match Envelope::decode(&bytes).map(|envelope| envelope.record) {
            Ok(Record::Answer(answer)) if answer.command == id => answers.push(answer),
            Ok(Record::Health(health)) if !health.online && publish.retain => {
                bail!("{agent} is not connected to the broker, which keeps no command for it");
            }
            _ => {}
        }
    }
    Ok(answers)
}

fn line(answer: &Answer) -> String {
    let outcome = match answer.outcome {
        Outcome::Done => "done",
        Outcome::Taken => "taken",
        Outcome::Refused => "refused",
        Outcome::Failed => "failed",
    };
    format!("{outcome:8} {}", answer.text)
}

fn sign(command: &[u8], key: &Path) -> Result<Vec<u8>> {
    let der =
        PrivateKeyDer::from_pem_file(key).map_err(|error| anyhow!("no private key in {}: {error}", key.display()))?;
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_der())
        .map_err(|error| anyhow!("{} is no Ed25519 key in PKCS #8: {error}", key.display()))?;
    Ok(pair.sign(command).as_ref().to_vec())
}
