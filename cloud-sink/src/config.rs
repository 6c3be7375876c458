//! The configuration: raw TOML, refused on anything unknown, then checked once into what the sink uses.

mod archive;
mod credentials;
mod http;
mod kafka;
mod kinesis;
mod labs;
mod lambda;
mod notify;
mod presence;

pub use archive::{Archive, ArchivePlace, S3};
pub use http::{Http, Oidc, Token};
pub use kafka::{Kafka, Sasl};
pub use kinesis::{Kinesis, Start};
pub use labs::{Labs, LabsFormat};
pub use lambda::Lambda;
pub use notify::{Mail, Notify, Sns, Target, Webhook, shown};
pub use presence::{Fleet, Presence};

use serde::Deserialize;
use std::path::PathBuf;

/// Everything the sink is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Farm, the partition of the alerts.
    pub farm: String,
    /// A broker that deliveries come from. There is at least one source.
    pub mqtt: Option<Mqtt>,
    /// A stream that deliveries come from.
    pub kinesis: Option<Kinesis>,
    /// A topic of a Kafka cluster that deliveries come from; never beside a stream.
    pub kafka: Option<Kafka>,
    /// Invocations that deliveries come by.
    pub lambda: Option<Lambda>,
    /// Where rows go.
    pub store: Store,
    /// Days after which readings are deleted; never unless given.
    pub keep_days: Option<u32>,
    /// Who is told of alerts.
    pub notify: Notify,
    /// Where the page and the API listen.
    pub http: Http,
    /// Parquet files of closed hours; none unless asked for.
    pub archive: Option<Archive>,
    /// Who is silent, and what is missing.
    pub presence: Presence,
    /// Who departs from its neighbours.
    pub fleet: Fleet,
    /// What the labs' consumers read; nothing unless asked for.
    pub labs: Option<Labs>,
}

/// The broker.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mqtt {
    /// Host name or address.
    pub host: String,
    /// Port; 1883 unless given.
    #[serde(default = "default_port")]
    pub port: u16,
    /// Client id; the broker keeps the session under it. Each sink needs its own.
    #[serde(default = "default_client_id")]
    pub client_id: String,
    /// Several sinks of one group share the agents between them (`$share`).
    pub group: Option<String>,
    /// Time between pings, seconds, at least 5.
    #[serde(default = "default_keep_alive_s")]
    pub keep_alive_s: u16,
    /// CA certificates (PEM); with them the connection is TLS.
    pub ca: Option<PathBuf>,
    /// Client certificate (PEM).
    pub cert: Option<PathBuf>,
    /// Its key (PEM).
    pub key: Option<PathBuf>,
    /// User name.
    pub username: Option<String>,
    /// File that holds the password, and nothing else.
    pub password_file: Option<PathBuf>,
}

/// Where rows go.
#[derive(Clone, Debug, PartialEq)]
pub enum Store {
    /// A SQLite file; the embedded default.
    Sqlite(PathBuf),
    /// DynamoDB.
    DynamoDb(DynamoDb),
}

/// DynamoDB. Credentials come from where the AWS SDK looks: environment, profile, container or instance role.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DynamoDb {
    /// Another endpoint than the region's, for emulators.
    pub endpoint: Option<String>,
    /// Region; the SDK's own search unless given.
    pub region: Option<String>,
    /// First part of every table's name.
    #[serde(default = "default_prefix")]
    pub prefix: String,
    /// How readings are laid out.
    #[serde(default)]
    pub layout: Layout,
    /// [`Config::keep_days`].
    #[serde(skip)]
    pub keep_days: Option<u32>,
}

/// How DynamoDB holds readings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// What came together of one device is one item: about a hundredth of the cost.
    #[default]
    Packed,
    /// Beside that, an item a reading in a table of its own (`values`), for programs that read the tables themselves.
    Item,
}

/// Why a configuration was refused; every text names file and line or key, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("{file}: {error}")]
    Unreadable {
        /// File.
        file: String,
        /// Why.
        error: std::io::Error,
    },
    /// The text is no TOML, or has unknown, missing or mistyped keys.
    #[error("{file}:{line}: {reason}")]
    Malformed {
        /// File.
        file: String,
        /// Line, from 1.
        line: usize,
        /// Why.
        reason: String,
    },
    /// A key has a value that cannot work.
    #[error("{file}: {key}: {reason}")]
    Invalid {
        /// File.
        file: String,
        /// Key, with its tables.
        key: &'static str,
        /// Why.
        reason: String,
    },
}

impl Config {
    /// Reads and checks `text`; `file` is named in errors.
    pub fn from_toml(text: &str, file: &str) -> Result<Self, ConfigError> {
        let raw: Raw = toml::from_str(text).map_err(|error| malformed(text, file, &error))?;
        let invalid = |(key, reason): (&'static str, String)| ConfigError::Invalid { file: file.into(), key, reason };
        check(raw).map_err(invalid)
    }

    /// Reads and checks the file.
    pub fn from_file(path: &std::path::Path) -> Result<Self, ConfigError> {
        let file = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::from_toml(&text, &file),
            Err(error) => Err(ConfigError::Unreadable { file, error }),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    farm: String,
    mqtt: Option<Mqtt>,
    kinesis: Option<Kinesis>,
    kafka: Option<Kafka>,
    lambda: Option<Lambda>,
    store: RawStore,
    #[serde(default)]
    notify: notify::RawNotify,
    http: Option<Http>,
    archive: Option<archive::Raw>,
    #[serde(default)]
    presence: Presence,
    #[serde(default)]
    fleet: Fleet,
    labs: Option<Labs>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStore {
    sqlite: Option<PathBuf>,
    dynamodb: Option<DynamoDb>,
    keep_days: Option<u32>,
}

fn check(raw: Raw) -> Result<Config, (&'static str, String)> {
    let refuse = |key, reason: &str| Err((key, reason.to_string()));
    if raw.farm.is_empty() {
        return refuse("farm", "is empty; it names the farm in tables and messages");
    }
    if raw.mqtt.is_none() && raw.kinesis.is_none() && raw.kafka.is_none() && raw.lambda.is_none() {
        return refuse("mqtt", "say where deliveries come from: [mqtt], [kinesis], [kafka]; or [lambda]");
    }
    if raw.kinesis.is_some() && raw.kafka.is_some() {
        return refuse("kafka", "stands beside [kinesis]; run a sink for each, on one store");
    }
    raw.mqtt.as_ref().map_or(Ok(()), check_mqtt)?;
    raw.kinesis.as_ref().map_or(Ok(()), kinesis::check)?;
    raw.kafka.as_ref().map_or(Ok(()), kafka::check)?;
    raw.lambda.as_ref().map_or(Ok(()), lambda::check)?;
    let keep_days = raw.store.keep_days;
    if keep_days == Some(0) {
        return refuse("store.keep_days", "must be at least 1; leave it out to keep readings for ever");
    }
    let store = match (raw.store.sqlite, raw.store.dynamodb) {
        (Some(path), None) => Store::Sqlite(path),
        (None, Some(dynamodb)) => Store::DynamoDb(DynamoDb { keep_days, ..dynamodb }),
        (None, None) => return refuse("store", "say where rows go: sqlite = \"<file>\" or dynamodb = { … }"),
        (Some(_), Some(_)) => return refuse("store", "has both sqlite and dynamodb; keep one"),
    };
    let notify = notify::check(raw.notify)?;
    let http = http::check(raw.http, &notify)?;
    let archive = raw.archive.map(archive::check).transpose()?;
    presence::check(&raw.presence, &raw.fleet)?;
    raw.labs.as_ref().map_or(Ok(()), labs::check)?;
    let Raw { farm, mqtt, kinesis, kafka, lambda, presence, fleet, labs, .. } = raw;
    Ok(Config { farm, mqtt, kinesis, kafka, lambda, store, keep_days, notify, http, archive, presence, fleet, labs })
}

fn check_mqtt(mqtt: &Mqtt) -> Result<(), (&'static str, String)> {
    let refuse = |key, reason: &str| Err((key, reason.to_string()));
    if mqtt.keep_alive_s < 5 {
        return refuse("mqtt.keep_alive_s", "must be at least 5");
    }
    if let Some(group) = &mqtt.group
        && (group.is_empty() || group.contains(['/', '+', '#']))
    {
        return refuse("mqtt.group", "must be a name without / + #");
    }
    if mqtt.client_id.is_empty() {
        return refuse("mqtt.client_id", "is empty; the broker keeps the session under it");
    }
    if mqtt.cert.is_some() != mqtt.key.is_some() {
        return refuse("mqtt.cert", "cert and key go together");
    }
    if mqtt.cert.is_some() && mqtt.ca.is_none() {
        return refuse("mqtt.ca", "is needed with a client certificate");
    }
    if mqtt.password_file.is_some() && mqtt.username.is_none() {
        return refuse("mqtt.username", "is needed with password_file");
    }
    Ok(())
}

fn malformed(text: &str, file: &str, error: &toml::de::Error) -> ConfigError {
    let at = error.span().map_or(0, |span| span.start).min(text.len());
    let line = 1 + text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count();
    let mut reason = error.message().to_string();
    if let Some(suggestion) = suggest(error.message()) {
        reason.push_str(&format!("; did you mean `{suggestion}`?"));
    }
    ConfigError::Malformed { file: file.into(), line, reason }
}

/// The expected key nearest to the unknown one, when it is near: both stand in backticks in serde's message.
fn suggest(message: &str) -> Option<&str> {
    let mut quoted = message.strip_prefix("unknown field ")?.split('`').skip(1).step_by(2);
    let unknown = quoted.next()?;
    let near = quoted.map(|known| (distance(unknown, known), known)).min()?;
    (near.0 <= 1 + unknown.len() / 3).then_some(near.1)
}

/// Edit distance (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut costs: Vec<usize> = (0..=b.len()).collect();
    for (row, x) in a.bytes().enumerate() {
        let mut corner = std::mem::replace(&mut costs[0], row + 1);
        for (column, y) in b.bytes().enumerate() {
            let cost = (corner + usize::from(x != y)).min(costs[column] + 1).min(costs[column + 1] + 1);
            corner = std::mem::replace(&mut costs[column + 1], cost);
        }
    }
    costs[b.len()]
}

fn default_port() -> u16 {
    1883
}

fn default_client_id() -> String {
    "windward-sink".into()
}

fn default_keep_alive_s() -> u16 {
    30
}

fn default_prefix() -> String {
    "windward-".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "farm = \"north-ridge\"\n[mqtt]\nhost = \"127.0.0.1\"\n[store]\nsqlite = \"farm.db\"\n";

    fn refused(text: &str) -> String {
        Config::from_toml(text, "sink.toml").unwrap_err().to_string()
    }

    #[test]
    fn the_least_configuration_is_enough() {
        let config = Config::from_toml(LEAST, "sink.toml").unwrap();
        assert_eq!(config.mqtt.unwrap().port, 1883);
        assert_eq!(config.kinesis, None);
        assert_eq!(config.http.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(config.notify, Notify::default());
    }

    #[test]
    fn a_stream_alone_is_source_enough() {
        let stream = "[kinesis]\nstream = \"farm\"\n";
        let config = Config::from_toml(&LEAST.replace("[mqtt]\nhost = \"127.0.0.1\"\n", stream), "sink.toml").unwrap();
        assert_eq!((config.mqtt, config.kinesis.unwrap().start), (None, Start::Oldest));
    }

    #[test]
    fn the_examples_are_configurations() {
        for example in [
            include_str!("../../deploy/examples/sink.toml"),
            include_str!("../../deploy/examples/vehicle-sink.toml"),
            include_str!("../../deploy/examples/battery-sink.toml"),
            include_str!("../../deploy/onprem/sink.toml"),
            include_str!("../../deploy/debian/sink/start.toml"),
        ] {
            Config::from_toml(example, "sink.toml").unwrap();
        }
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line_and_the_key_that_was_meant() {
        let error = refused(&LEAST.replace("host =", "hots ="));
        assert!(error.starts_with("sink.toml:3: unknown field `hots`"), "{error}");
        assert!(error.ends_with("did you mean `host`?"), "{error}");
        let error = refused(&format!("{LEAST}[notify]\ntargets.a = {{ webhok = {{ url = \"http://x\" }} }}\n"));
        assert!(error.starts_with("sink.toml:7: "), "{error}");
        assert!(error.ends_with("did you mean `webhook`?"), "{error}");
        let error = refused(&format!("{LEAST}zzzzzz = 1\n"));
        assert!(!error.contains("did you mean"), "{error}");
    }

    #[test]
    fn what_cannot_work_is_refused_with_the_reason() {
        for (addition, reason) in [
            ("dynamodb = {}\n", "store: has both sqlite and dynamodb"),
            ("[kinesis]\nstream = \"farm/1\"\n", "kinesis.stream: \"farm/1\" is no stream's name"),
            ("[kinesis]\nstream = \"farm\"\nstart = \"newest\"\n", "unknown variant `newest`"),
            (
                "[lambda]\niot_endpoint = \"x-ats.iot.eu-west-1.amazonaws.com\"\n",
                "lambda.iot_endpoint: must begin with",
            ),
            ("[archive]\n", "archive: say where files go"),
            ("[archive]\nfolder = \"a\"\ns3 = { bucket = \"b\" }\n", "archive: has both folder and s3"),
            ("[archive]\nfolder = \"a\"\nclose_after_min = 1\n", "archive.close_after_min: must be 5 to 1440"),
            ("[archive]\nfolder = \"a\"\nevery_s = 1\n", "archive.every_s: must be 10 to 3600"),
            ("[archive]\ns3 = { bucket = \"b\", prefix = \"/x\" }\n", "archive.s3.prefix: must be names joined"),
            ("[presence]\nevery_s = 0\n", "presence.every_s: must be 1 to 60"),
            ("[presence]\nsilent_after_s = 30\n", "presence.silent_after_s: must be at least 90"),
            ("[fleet]\ncut_in_mps = -1.0\n", "fleet.cut_in_mps: must be 0 to 30"),
        ] {
            let error = refused(&format!("{LEAST}{addition}"));
            assert!(error.contains(reason), "{error}");
        }
        let error = refused(&LEAST.replace("sqlite = \"farm.db\"\n", ""));
        assert!(error.contains("store: say where rows go"), "{error}");
        let error = refused(&LEAST.replace("[mqtt]\nhost = \"127.0.0.1\"\n", ""));
        assert!(error.contains("mqtt: say where deliveries come from"), "{error}");
        let error = refused(&LEAST.replace("[store]", "keep_alive_s = 1\n[store]"));
        assert!(error.contains("mqtt.keep_alive_s: must be at least 5"), "{error}");
    }

    #[test]
    fn distances() {
        for (a, b, edits) in [("", "", 0), ("host", "hots", 2), ("webhok", "webhook", 1), ("abc", "", 3)] {
            assert_eq!((distance(a, b), distance(b, a)), (edits, edits), "{a} {b}");
        }
    }
}
