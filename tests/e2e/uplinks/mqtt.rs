//! MQTT 5 at a round trip of 300 ms, cut again and again.

use super::{agent, start_again};
use crate::system::{Program, SOON, kept, seed, sink_toml};
use anyhow::Result;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use windward_tests::mqtt::publishes;
use windward_tests::peers::{Mosquitto, PyModbus, there};
use windward_tests::process::{eventually, free_port};
use windward_tests::random::Random;
use windward_tests::tap::Tap;
use windward_tests::{broker, stored};

const ONE_WAY: Duration = Duration::from_millis(150);
const CUTS: usize = 6;

#[tokio::test(flavor = "multi_thread")]
async fn e2e_mosquitto_knows_the_aliases_and_cuts_lose_nothing() -> Result<()> {
    if !there()? {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let broker = Mosquitto::start(dir.path()).await?;
    cuts_lose_nothing(SocketAddr::from(([127, 0, 0, 1], broker.port()))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_rumqttd_knows_the_aliases_and_cuts_lose_nothing() -> Result<()> {
    if !there()? {
        return Ok(());
    }
    cuts_lose_nothing(broker::start().await?).await
}

async fn cuts_lose_nothing(broker: SocketAddr) -> Result<()> {
    let mut random = Random::new(seed());
    let dir = tempfile::tempdir()?;
    let (mut device, port) = PyModbus::tcp().await?;
    device.tell(r#"{"set": {"0": 800}, "wobble": 60}"#)?;
    let tap = Tap::start(broker, ONE_WAY).await?;
    let file = dir.path().join("farm.db");
    let sink = sink_toml(broker.port(), &format!("sqlite = {file:?}"), "", free_port()?);
    let mut sink = Program::new("windward-sink", dir.path(), &sink)?;
    let mut program = Program::new("windward-agent", dir.path(), &agent(dir.path(), tap.addr().port(), "", port))?;
    sink.start()?;
    program.start()?;
    let rows_stored = || anyhow::Ok(stored::rows(&file)?.get("turbine-01/mast").map_or(0, |stored| stored.rows.len()));
    for _ in 0..CUTS {
        let more = rows_stored()? + random.between(10, 60) as usize;
        eventually(SOON, "the stream to go on", async || Ok((rows_stored()? >= more).then_some(()))).await?;
        // A cut can meet any step between a publish and its ack.
        tokio::time::sleep(Duration::from_millis(random.between(0, 400))).await;
        tap.cut();
    }
    let more = rows_stored()? + 20;
    eventually(SOON, "the stream to go on", async || Ok((rows_stored()? >= more).then_some(()))).await?;
    program.stop().await?;
    let taken: Vec<i64> = kept(&program.output()).remove("mast").unwrap_or_default().iter().map(|row| row.0).collect();
    // What the stop did not wait for goes with the next start.
    start_again(&mut program).await?;
    let all = async || Ok((rows_stored()? >= taken.len()).then_some(()));
    eventually(SOON, "all rows to be stored", all).await?;
    program.stop().await?;
    let stored: Vec<i64> = stored::rows(&file)?["turbine-01/mast"].rows.iter().map(|row| row.time_ms).collect();
    let missing = taken.iter().filter(|time| !stored.contains(time)).count();
    println!(
        "FIGURE {CUTS} cuts at a round trip of {} ms: {} rows, {missing} missing",
        2 * ONE_WAY.as_millis(),
        taken.len()
    );
    assert_eq!(missing, 0);
    assert!(stored.is_sorted_by(|a, b| a < b), "each once, in their order");
    aliases_are_used(&tap.heard())?;
    sink.stop().await
}

/// On each connection a topic is spelled once, and what follows carries its alias alone.
fn aliases_are_used(connections: &[Vec<(Instant, Vec<u8>)>]) -> Result<()> {
    let (mut spelled, mut alone) = (0, 0);
    for said in connections {
        let mut known = BTreeSet::new();
        for publish in publishes(said)? {
            let alias = publish.alias.expect("both brokers grant aliases");
            if publish.spelled {
                assert!(known.insert(alias), "spelled twice on one connection");
                spelled += 1;
            } else {
                alone += 1;
            }
        }
    }
    println!("FIGURE {alone} publishes with an alias alone, {spelled} with their topic");
    assert!(spelled >= CUTS && alone >= CUTS, "{spelled} spelled, {alone} alone");
    Ok(())
}
