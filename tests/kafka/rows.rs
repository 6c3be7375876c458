//! The same agent's readings by MQTT and by Kafka, through everything that a cluster does to its clients.

use crate::{SOON, TOPIC, cluster, sink, store, table};
use anyhow::{Result, ensure};
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpListener;
use windward_agent::config::Config;
use windward_agent::io::{Options, Running};
use windward_sink::io::store::{Span, Store};
use windward_sink::query;
use windward_tests::kafka::{BROKERS, KafkaMock};
use windward_tests::plant::Turbine;
use windward_tests::process::eventually;
use windward_tests::slave::{self, Slave};
use windward_tests::{broker, stored};

/// NOT_ENOUGH_REPLICAS: what a leader says that has lost its followers.
const NOT_ENOUGH_REPLICAS: i16 = 19;

/// A device that is read twenty times a second.
async fn device() -> Result<(Arc<Slave>, String)> {
    let slave = Slave::new(Turbine::new(7), 0);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let port = listener.local_addr()?.port();
    slave::serve_tcp(listener, slave.clone());
    let text = format!(
        "[[device]]\nname = \"nacelle\"\nlocation = \"Turbine 1, nacelle\"\ninterval_ms = 50\ntimeout_ms = 45\n\
         modbus_tcp = {{ host = \"127.0.0.1\", port = {port} }}\n{}",
        slave::CHANNELS
    );
    Ok((slave, text))
}

async fn agent(dir: &Path, uplinks: &str, device: &str) -> Result<Running> {
    let text = format!(
        "agent = \"turbine-01\"\nfarm = \"test-farm\"\ndata = {:?}\n{uplinks}[spool]\ncommit_every_ms = 100\n{device}",
        dir.join("agent")
    );
    windward_agent::io::start(Config::from_toml(&text, "the agent")?, Options::default()).await
}

/// Everything that came of what the agent said, in a form to compare. Which blocks share a row is a matter of which came
/// together.
async fn rows(store: &Store) -> Result<String> {
    let partition = "turbine-01/nacelle".to_owned();
    let span = Span { partition, from_ms: i64::MIN, to_ms: i64::MAX, after: None, limit: u64::MAX };
    let blocks = store.readings(&span).await?.blocks;
    let mut blocks: Vec<_> = query::named_blocks(&blocks).collect();
    blocks.sort_by(|(a, _), (b, _)| a.cmp(b));
    let alerts = store.alerts("test-farm", None, 1_000).await?;
    let mut ledger = store.ledger().await?;
    ledger.sort_by(|a, b| (&a.partition, a.bucket).cmp(&(&b.partition, b.bucket)));
    Ok(format!("{blocks:?}\n{alerts:?}\n{ledger:?}\n{:?}", store.gaps().await?))
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_by_kafka_are_those_by_mqtt_whatever_the_cluster_does() -> Result<()> {
    let Some(mut mock) = cluster(4).await? else { return Ok(()) };
    let dir = tempfile::tempdir()?;
    let mqtt = format!("[mqtt]\nhost = \"127.0.0.1\"\nport = {}\n", broker::start().await?.port());
    let (by_mqtt, by_kafka) = (dir.path().join("mqtt.db"), dir.path().join("kafka.db"));
    let first = sink(&mqtt, &by_mqtt).await?;
    let second = sink(&table(&mock), &by_kafka).await?;
    let (slave, device) = device().await?;
    let agent = agent(dir.path(), &format!("{mqtt}{}", table(&mock)), &device).await?;
    let count = || anyhow::Ok(stored::rows(&by_kafka)?.get("turbine-01/nacelle").map_or(0, |stored| stored.rows.len()));
    let goes_on = async |what: &str| -> Result<()> {
        let more = count()? + 20;
        eventually(SOON, what, async || Ok((count()? >= more).then_some(()))).await
    };
    goes_on("rows").await?;
    trouble(&mut mock, &goes_on).await?;
    // For longer than a single call is tried: the agent has given its connection up.
    BROKERS.clone().try_for_each(|broker| mock.set(broker, false))?;
    let given_up = async || Ok((!agent.counters().connected).then_some(()));
    eventually(SOON, "the agent to give up", given_up).await?;
    BROKERS.clone().try_for_each(|broker| mock.set(broker, true))?;
    goes_on("rows once all brokers are back").await?;
    let stores = [store(&by_mqtt).await?, store(&by_kafka).await?];
    // A device that is silent is an alert.
    slave.close();
    let told = async || Ok((!stores[1].alerts("test-farm", None, 1).await?.is_empty()).then_some(()));
    eventually(SOON, "the alert", told).await?;

    // A good end: all that was read is acked, by the broker's sink and by the cluster.
    agent.stop().await?;
    let mut found = [String::new(), String::new()];
    let same = async || {
        found = [rows(&stores[0]).await?, rows(&stores[1]).await?];
        Ok((found[0] == found[1]).then_some(()))
    };
    let same = eventually(SOON, "the same rows by both ways", same).await;
    ensure!(same.is_ok(), "rows differ:\n{}\n{}", found[0], found[1]);
    let counters = second.counters();
    ensure!(counters.poison == 0, "poison: {counters:?}");
    first.stop().await?;
    second.stop().await?;
    let total = count()?;

    let records = mock.read(TOPIC)?;
    ensure!(records.iter().all(|record| record.key.as_deref() == Some("turbine-01")), "the agent is the key");
    ensure!(records.iter().all(|record| record.partition == records[0].partition), "all in one partition");
    println!(
        "FIGURE {total} rows by Kafka as by MQTT, {} records, {} envelopes repeated",
        records.len(),
        counters.repeated
    );
    Ok(())
}

/// Leaders that move, a leader that refuses, brokers that are away one after the other.
async fn trouble(mock: &mut KafkaMock, goes_on: &impl AsyncFn(&str) -> Result<()>) -> Result<()> {
    for leader in BROKERS {
        (0..4).try_for_each(|partition| mock.lead(TOPIC, partition, leader))?;
        goes_on("rows under another leader").await?;
    }
    mock.refuse(NOT_ENOUGH_REPLICAS, 5)?;
    goes_on("rows after refusals").await?;
    for broker in BROKERS {
        mock.set(broker, false)?;
        // The cluster leaves it at that; a real one would elect another.
        let other = broker % 3 + 1;
        (0..4).try_for_each(|partition| mock.lead(TOPIC, partition, other))?;
        goes_on("rows without a broker").await?;
        mock.set(broker, true)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn json_is_a_record_a_line() -> Result<()> {
    let Some(mut mock) = cluster(1).await? else { return Ok(()) };
    let dir = tempfile::tempdir()?;
    let (slave, device) = device().await?;
    let agent = agent(dir.path(), &format!("{}encoding = \"json\"\n", table(&mock)), &device).await?;
    let read = async || Ok((slave.served() > 100).then_some(()));
    eventually(SOON, "readings", read).await?;
    slave.close();
    let drained = async || Ok((agent.counters().waiting == 0 && agent.counters().durable > 0).then_some(()));
    eventually(SOON, "the topic to have taken all", drained).await?;
    // Rows may still have come since.
    let ended = agent.stop().await?;
    ensure!(ended.waiting == 0, "the topic has not taken all: {ended:?}");
    let mut sequences = 0;
    for record in mock.read(TOPIC)? {
        let bytes = bytes(record.hex.as_deref().unwrap_or_default())?;
        let line: serde_json::Value = serde_json::from_slice(&bytes)?;
        sequences += u64::from(line["channel"] == "sequence" && line["alert"].is_null());
    }
    ensure!(sequences == ended.rows_kept, "{sequences} lines for {} rows", ended.rows_kept);
    Ok(())
}

fn bytes(hex: &str) -> Result<Vec<u8>> {
    (0..hex.len()).step_by(2).map(|at| Ok(u8::from_str_radix(&hex[at..at + 2], 16)?)).collect()
}
