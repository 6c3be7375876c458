//! Where everything is sent, and in which manner.

use crate::forward::{Encoding, Order};
use serde::Deserialize;
use std::path::PathBuf;

/// How the broker is reached and what counts as delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mqtt {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Time between pings when nothing else is sent, s.
    pub keep_alive_s: u16,
    /// TLS; `None`: plain TCP.
    pub tls: Option<Tls>,
    /// User name, and the file that holds the password.
    pub login: Option<(String, PathBuf)>,
    /// Whose ack frees a block from the disk (invariant A3).
    pub ack: AckMode,
    /// What is sent, and when.
    pub sending: Sending,
}

/// The files of a TLS connection, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Authorities that may sign the broker's certificate.
    pub ca: PathBuf,
    /// The agent's own certificate and key.
    pub cert_key: Option<(PathBuf, PathBuf)>,
}

/// Whose ack frees a block from the disk (invariant A3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckMode {
    /// The sink's: what it has committed.
    Sink,
    /// The broker's PUBACK: weaker, for the broker may lose what it has acked.
    Broker,
}

/// An Amazon Kinesis data stream. What it says it has taken counts as delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kinesis {
    /// Name of the stream.
    pub stream: String,
    /// Its region.
    pub region: String,
    /// URL of the service, where it is not the region's own.
    pub endpoint: Option<String>,
    /// Who vouches for the agent; `None`: the standard chain (environment, profile files, container, instance).
    pub iot: Option<IotCredentials>,
    /// What is sent, and when.
    pub sending: Sending,
}

/// AWS IoT's credential provider: temporary credentials for the agent's own certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IotCredentials {
    /// Host, and port where it is not 443: what `aws iot describe-endpoint --endpoint-type iot:CredentialProvider` says.
    pub endpoint: String,
    /// Role alias that the certificate's policy lets it assume.
    pub role_alias: String,
    /// The thing's name.
    pub thing: String,
    /// The files of the connection; the certificate is there.
    pub tls: Tls,
}

/// A topic of a Kafka cluster. What all replicas in sync have taken counts as delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kafka {
    /// Some of the cluster's brokers, `host:port` each; the others are found by them.
    pub brokers: Vec<String>,
    /// Name of the topic. It is not made here.
    pub topic: String,
    /// TLS; `None`: plain TCP.
    pub tls: Option<Tls>,
    /// The user that brokers want to know; `None`: nobody, or the certificate's.
    pub sasl: Option<Sasl>,
    /// What is sent, and when.
    pub sending: Sending,
}

/// A user of a Kafka cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sasl {
    /// How the password is shown.
    pub mechanism: Mechanism,
    /// User name.
    pub username: String,
    /// File that holds the password, and nothing else.
    pub password_file: PathBuf,
}

/// How a password is shown to a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Mechanism {
    /// As it is; only within TLS.
    #[serde(rename = "plain")]
    Plain,
    /// By SCRAM with SHA-256.
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
    /// By SCRAM with SHA-512.
    #[serde(rename = "scram-sha-512")]
    ScramSha512,
}

/// What is sent over an uplink, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sending {
    /// How it is written.
    pub encoding: Encoding,
    /// Which readings go first.
    pub order: Order,
    /// Most bytes a second, headers included by estimate; 0: no limit.
    pub max_bytes_per_s: u64,
    /// How long readings are gathered before they are published, ms.
    pub publish_every_ms: u64,
    /// Whether it only mirrors: what all other uplinks have acked leaves the disk all the same.
    pub mirror: bool,
}
