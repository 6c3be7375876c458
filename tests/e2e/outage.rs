//! The broker is away for two minutes: the agent goes on, does not grow, and delivers everything afterwards.

use crate::system::{Program, SOON, agent_toml, kept, sink_toml};
use anyhow::Result;
use std::time::Duration;
use windward_tests::clock;
use windward_tests::peers::{Mosquitto, PyModbus, there};
use windward_tests::process::{eventually, free_port};
use windward_tests::stored;

/// How long the broker is away.
const AWAY: Duration = Duration::from_secs(120);
/// Readings due in that time at ten a second, less a share that a busy machine may skip.
const AT_LEAST: usize = 1_100;
/// Most that the agent's memory may grow from the outage's first quarter to its end, KiB.
const MAX_GROWTH_KIB: u64 = 2_048;

#[tokio::test(flavor = "multi_thread")]
async fn e2e_an_outage_of_two_minutes_costs_neither_readings_nor_memory() -> Result<()> {
    if !there()? {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let (mut device, port) = PyModbus::tcp().await?;
    device.tell(r#"{"set": {"0": 800}, "wobble": 60}"#)?;
    let mut broker = Mosquitto::start(dir.path()).await?;
    let file = dir.path().join("farm.db");
    let sink = sink_toml(broker.port(), &format!("sqlite = {file:?}"), "", free_port()?);
    let mut sink = Program::new("windward-sink", dir.path(), &sink)?;
    let config = agent_toml("turbine-01", dir.path(), broker.port(), "");
    let config = format!(
        "{config}[[device]]\nname = \"mast\"\nlocation = \"Turbine 1, mast\"\ninterval_ms = 100\ntimeout_ms = 90\n\
         modbus_tcp = {{ host = \"127.0.0.1\", port = {port} }}\n\
         [[device.channel]]\nname = \"wind\"\nquantity = \"wind-speed\"\nunit = \"m/s\"\nregister = 0\ntype = \"u16\"\n\
         scale = 0.01\n"
    );
    let mut agent = Program::new("windward-agent", dir.path(), &config)?;
    sink.start()?;
    agent.start()?;
    let rows_stored = || anyhow::Ok(stored::rows(&file)?.get("turbine-01/mast").map_or(0, |stored| stored.rows.len()));
    // The forest fills its sample in the first 256 readings; after that nothing should grow.
    eventually(SOON * 2, "a steady stream", async || Ok((rows_stored()? >= 300).then_some(()))).await?;

    let rows = |agent: &Program| kept(&agent.output()).get("mast").map_or(0, Vec::len);
    let before = rows(&agent);
    broker.kill()?;
    tokio::time::sleep(AWAY / 4).await;
    let early_kib = agent.rss_kib()?;
    tokio::time::sleep(AWAY - AWAY / 4).await;
    agent.check_alive()?;
    let (late_kib, taken) = (agent.rss_kib()?, rows(&agent) - before);
    broker.restart().await?;
    let back = clock::now();
    println!("FIGURE broker away {} s: {taken} readings taken meanwhile", AWAY.as_secs());
    println!("FIGURE agent's RSS {early_kib} KiB after a quarter of it, {late_kib} KiB at its end");
    assert!(taken >= AT_LEAST, "the agent went on: {taken}");
    assert!(late_kib <= early_kib + MAX_GROWTH_KIB, "the agent's memory is flat");

    let until = rows(&agent);
    eventually(SOON * 2, "what was taken in the outage to be stored", async || {
        Ok((rows_stored()? >= until).then_some(()))
    })
    .await?;
    println!("FIGURE all {until} stored {:.1} s after the broker was back", back.elapsed().as_secs_f64());
    agent.stop().await?;
    let taken: Vec<i64> = kept(&agent.output()).remove("mast").unwrap_or_default().iter().map(|row| row.0).collect();
    eventually(SOON, "the last rows to be stored", async || Ok((rows_stored()? >= taken.len()).then_some(()))).await?;
    let stored: Vec<i64> = stored::rows(&file)?["turbine-01/mast"].rows.iter().map(|row| row.time_ms).collect();
    assert_eq!(stored, taken, "all, once, in their order");
    sink.stop().await
}
