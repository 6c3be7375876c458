//! librdkafka's mock cluster: three brokers in a Python process, and librdkafka itself as a producer and a consumer.
//!
//! It keeps what it is given in memory, moves leaders, refuses and disappears as told. It is no Kafka: nothing is
//! replicated, no retention deletes, nobody is asked who he is, there is no TLS, and a fetch gives one batch.

use crate::peers::venv;
use crate::process::{Process, free_port};
use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// How long it may take to listen.
const START: Duration = Duration::from_secs(20);
/// How long it may take to answer.
const CONTROL: Duration = Duration::from_secs(30);
/// Its brokers, by number.
pub const BROKERS: std::ops::RangeInclusive<u8> = 1..=3;

/// Whether the Python package is there.
pub fn there() -> bool {
    let package = Command::new(venv().join("bin/python")).args(["-c", "import confluent_kafka"]).output();
    package.is_ok_and(|output| output.status.success())
}

/// The cluster. It ends when this is dropped.
#[derive(Debug)]
pub struct KafkaMock {
    /// Its brokers, as configurations name them.
    pub brokers: Vec<String>,
    control: BufReader<TcpStream>,
    _process: Process,
}

/// A record as librdkafka's consumer has read it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
pub struct Read {
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Key.
    pub key: Option<String>,
    /// Value, in hexadecimal digits.
    pub hex: Option<String>,
}

impl KafkaMock {
    /// Starts it.
    pub async fn start() -> anyhow::Result<Self> {
        let control = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/kafka_mock.py");
        let mut command = Command::new(venv().join("bin/python"));
        command.env("PYTHONDONTWRITEBYTECODE", "1").arg(script).arg(control.port().to_string());
        let mut process = Process::start("kafka-mock", &mut command)?;
        process.listens(control, START).await?;
        // The one that looked whether it listens has hung up.
        let control = TcpStream::connect(control)?;
        control.set_read_timeout(Some(CONTROL))?;
        let mut mock = Self { brokers: Vec::new(), control: BufReader::new(control), _process: process };
        let bootstrap = mock.tell(json!({"bootstrap": []}))?;
        let bootstrap = bootstrap.as_str().context("the cluster's brokers")?;
        mock.brokers = bootstrap.split(',').map(str::to_owned).collect();
        Ok(mock)
    }

    /// Makes a topic.
    pub fn make(&mut self, topic: &str, partitions: u32) -> anyhow::Result<()> {
        self.tell(json!({"make": [topic, partitions]})).map(drop)
    }

    /// Moves a partition to this broker.
    pub fn lead(&mut self, topic: &str, partition: i32, broker: u8) -> anyhow::Result<()> {
        self.tell(json!({"leader": [topic, partition, broker]})).map(drop)
    }

    /// Answers the next Produce requests with this error of the protocol.
    pub fn refuse(&mut self, code: i16, requests: u32) -> anyhow::Result<()> {
        self.tell(json!({"refuse": [code, requests]})).map(drop)
    }

    /// Takes a broker away, or brings it back.
    pub fn set(&mut self, broker: u8, up: bool) -> anyhow::Result<()> {
        let command = if up { "up" } else { "down" };
        self.tell(json!({ command: broker })).map(drop)
    }

    /// Puts a record, compressed as said (`none`, `gzip`, `snappy`, `lz4`, `zstd`), by librdkafka's producer.
    pub fn put(
        &mut self,
        topic: &str,
        partition: i32,
        key: Option<&str>,
        value: Option<&[u8]>,
        codec: &str,
    ) -> anyhow::Result<()> {
        self.tell(json!({"put": [topic, partition, key, value.map(hex), codec]})).map(drop)
    }

    /// Puts a record of a time that no calendar has.
    pub fn put_timeless(&mut self, topic: &str, partition: i32, key: &str, value: &[u8]) -> anyhow::Result<()> {
        self.tell(json!({"put": [topic, partition, key, hex(value), "none", i64::MAX / 2]})).map(drop)
    }

    /// Puts a batch of three records that nobody can read.
    pub fn damage(&mut self, topic: &str, partition: i32) -> anyhow::Result<()> {
        self.tell(json!({"damage": [topic, partition]})).map(drop)
    }

    /// Puts what ends a transaction: it takes an offset, and is for no consumer.
    pub fn mark(&mut self, topic: &str, partition: i32) -> anyhow::Result<()> {
        self.tell(json!({"mark": [topic, partition]})).map(drop)
    }

    /// Puts an offset without a record, as compaction leaves it.
    pub fn hollow(&mut self, topic: &str, partition: i32) -> anyhow::Result<()> {
        self.tell(json!({"hollow": [topic, partition]})).map(drop)
    }

    /// All records of a topic, a partition after the other, by librdkafka's consumer.
    pub fn read(&mut self, topic: &str) -> anyhow::Result<Vec<Read>> {
        let mut read: Vec<Read> = serde_json::from_value(self.tell(json!({"read": topic}))?)?;
        read.sort_by_key(|record| (record.partition, record.offset));
        Ok(read)
    }

    fn tell(&mut self, command: Value) -> anyhow::Result<Value> {
        writeln!(self.control.get_mut(), "{command}")?;
        let mut answer = String::new();
        self.control.read_line(&mut answer)?;
        let mut answer: Value = serde_json::from_str(&answer).context("the mock cluster's answer")?;
        match answer.get("error") {
            Some(error) => bail!("the mock cluster: {error}"),
            None => Ok(answer["said"].take()),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
