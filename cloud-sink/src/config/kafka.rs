//! The section `[kafka]`.

use super::Start;
use serde::Deserialize;
use std::path::PathBuf;

/// A Kafka topic that agents write to.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kafka {
    /// Some of the cluster's brokers, `host:port` each; the others are found by them.
    pub brokers: Vec<String>,
    /// Name of the topic.
    pub topic: String,
    /// Where to begin when this store has never seen the topic; after that, each partition goes on where it was.
    #[serde(default)]
    pub start: Start,
    /// CA certificates (PEM); with them connections are TLS.
    pub ca: Option<PathBuf>,
    /// Client certificate (PEM).
    pub cert: Option<PathBuf>,
    /// Its key (PEM).
    pub key: Option<PathBuf>,
    /// How the password is shown.
    pub sasl: Option<Sasl>,
    /// User name.
    pub username: Option<String>,
    /// File that holds the password, and nothing else.
    pub password_file: Option<PathBuf>,
}

/// How a password is shown to a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Sasl {
    /// As it is.
    #[serde(rename = "plain")]
    Plain,
    /// By SCRAM with SHA-256.
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
    /// By SCRAM with SHA-512.
    #[serde(rename = "scram-sha-512")]
    ScramSha512,
}

pub(super) fn check(kafka: &Kafka) -> Result<(), (&'static str, String)> {
    let refuse = |key, reason: &str| Err((key, reason.to_string()));
    let is_address = |broker: &String| {
        broker.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
    };
    if let Some(broker) = kafka.brokers.iter().find(|broker| !is_address(broker)) {
        return Err(("kafka.brokers", format!("{broker:?} is not host:port")));
    }
    if kafka.brokers.is_empty() {
        return refuse("kafka.brokers", "is empty; name some of the cluster's brokers, host:port each");
    }
    let is_of_a_name = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if !(1..=249).contains(&kafka.topic.len()) || !kafka.topic.chars().all(is_of_a_name) {
        let reason = format!("{:?} is no topic's name: 1 to 249 letters, digits and _ . -", kafka.topic);
        return Err(("kafka.topic", reason));
    }
    if kafka.cert.is_some() != kafka.key.is_some() {
        return refuse("kafka.cert", "cert and key go together");
    }
    if kafka.cert.is_some() && kafka.ca.is_none() {
        return refuse("kafka.ca", "is needed with a client certificate");
    }
    match (kafka.sasl, &kafka.username, &kafka.password_file) {
        (None, None, None) => Ok(()),
        (Some(Sasl::Plain), Some(_), Some(_)) if kafka.ca.is_none() => {
            refuse("kafka.sasl", "plain shows the password to everybody on the way; name ca for TLS, or use SCRAM")
        }
        (Some(_), Some(_), Some(_)) => Ok(()),
        _ => refuse("kafka.sasl", "sasl, username and password_file go together"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const LEAST: &str = "[kafka]\nbrokers = [\"k1:9092\", \"k2:9092\"]\ntopic = \"farm\"\n";
    const USER: &str = "username = \"sink\"\npassword_file = \"p\"\n";

    fn read(kafka: &str) -> Result<Config, String> {
        let text = format!("farm = \"north-ridge\"\n{kafka}[store]\nsqlite = \"farm.db\"\n");
        Config::from_toml(&text, "sink.toml").map_err(|error| error.to_string())
    }

    #[test]
    fn a_topic_alone_is_source_enough() {
        let kafka = read(LEAST).unwrap().kafka.unwrap();
        assert_eq!((kafka.brokers.len(), kafka.start, kafka.sasl), (2, Start::Oldest, None));
        let kafka = read(&format!("{LEAST}{USER}sasl = \"scram-sha-256\"\n")).unwrap().kafka.unwrap();
        assert_eq!(kafka.sasl, Some(Sasl::ScramSha256));
    }

    #[test]
    fn what_cannot_work_is_refused_with_the_reason() {
        for (kafka, reason) in [
            (LEAST.replace("[\"k1:9092\", \"k2:9092\"]", "[]"), "kafka.brokers: is empty"),
            (LEAST.replace("k2:9092", "k2"), "kafka.brokers: \"k2\" is not host:port"),
            (LEAST.replace("farm", "a b"), "kafka.topic: \"a b\" is no topic's name"),
            (format!("{LEAST}{USER}"), "kafka.sasl: sasl, username and password_file go together"),
            (format!("{LEAST}{USER}sasl = \"plain\"\n"), "kafka.sasl: plain shows the password"),
            (format!("{LEAST}{USER}sasl = \"gssapi\"\n"), "unknown variant `gssapi`"),
            (format!("{LEAST}cert = \"c\"\n"), "kafka.cert: cert and key go together"),
            (format!("{LEAST}cert = \"c\"\nkey = \"k\"\n"), "kafka.ca: is needed"),
            (format!("[kinesis]\nstream = \"farm\"\n{LEAST}"), "kafka: stands beside [kinesis]"),
        ] {
            let error = read(&kafka).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
