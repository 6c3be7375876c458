//! Kafka whole, from a device's registers to rows: agent and sink against librdkafka's mock cluster. What that is not,
//! [`windward_tests::kafka`] says.

mod rows;
mod source;

use anyhow::{Result, bail};
use std::path::Path;
use std::time::Duration;
use windward_sink::config::Config;
use windward_sink::io::Running;
use windward_sink::io::store::Store;
use windward_tests::kafka::{self, KafkaMock};
use windward_tests::peers::required;

/// How long anything may take before a test fails: a lease must end first, when its holder died.
const SOON: Duration = Duration::from_secs(60);
const TOPIC: &str = "windward";

/// A cluster with the topic; nothing where there is no mock, and need not be.
async fn cluster(partitions: u32) -> Result<Option<KafkaMock>> {
    if !kafka::there() {
        if required() {
            bail!("missing: confluent-kafka");
        }
        println!("SKIPPED: missing confluent-kafka; tests/run installs it");
        return Ok(None);
    }
    let mut mock = KafkaMock::start().await?;
    mock.make(TOPIC, partitions)?;
    Ok(Some(mock))
}

/// The table `[kafka]` of agents and sinks alike.
fn table(mock: &KafkaMock) -> String {
    format!("[kafka]\nbrokers = {:?}\ntopic = \"{TOPIC}\"\n", mock.brokers)
}

/// A sink with this source, and its rows in a file.
async fn sink(source: &str, file: &Path) -> Result<Running> {
    windward_sink::io::start(config(source, file)?).await
}

fn config(source: &str, file: &Path) -> Result<Config> {
    let text = format!(
        "farm = \"test-farm\"\n{source}[store]\nsqlite = {file:?}\n[http]\nlisten = \"127.0.0.1:0\"\n\
         [presence]\nenabled = false\n"
    );
    Ok(Config::from_toml(&text, "the sink")?)
}

async fn store(file: &Path) -> Result<Store> {
    Store::open(&windward_sink::config::Store::Sqlite(file.into())).await
}
