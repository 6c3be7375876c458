//! The wall clock is set while the agent runs, forwards and backwards by hours and days: nothing is lost, and nothing
//! comes out of order.

use crate::cuts::listen;
use crate::kills::go_on;
use crate::system::{Program, SOON, agent_toml, kept, seed, sink_toml};
use anyhow::Result;
use std::collections::BTreeSet;
use windward_tests::peers::{Mosquitto, PyModbus, there};
use windward_tests::process::{eventually, free_port};
use windward_tests::random::Random;
use windward_tests::{preload, stored};

/// What the clock is off by, s: an hour and days, in both directions; at last it is right again.
const STEPS: [i64; 8] = [3_600, -3_600, 86_400, 30 * 86_400, -2 * 86_400, 7_200, -90 * 86_400, 0];
/// Reads between two steps, at least and at most.
const BETWEEN: (u64, u64) = (10, 60);

#[tokio::test(flavor = "multi_thread")]
async fn e2e_a_clock_that_is_set_forwards_and_backwards_costs_no_reading_and_no_order() -> Result<()> {
    if !there()? {
        return Ok(());
    }
    let mut random = Random::new(seed());
    let dir = tempfile::tempdir()?;
    let (mut device, port) = PyModbus::tcp().await?;
    let broker = Mosquitto::start(dir.path()).await?;
    let file = dir.path().join("farm.db");
    let sink = sink_toml(broker.port(), &format!("sqlite = {file:?}"), "", free_port()?);
    let mut sink = Program::new("windward-sink", dir.path(), &sink)?;
    let config = agent_toml("turbine-01", dir.path(), broker.port(), "");
    let config = format!(
        "{config}[[device]]\nname = \"mast\"\nlocation = \"Turbine 1, mast\"\ninterval_ms = 50\ntimeout_ms = 45\n\
         modbus_tcp = {{ host = \"127.0.0.1\", port = {port} }}\n\
         [[device.channel]]\nname = \"sequence\"\nunit = \"1\"\nregister = 100\ntype = \"u32\"\ndetect = false\n"
    );
    let mut agent = Program::new("windward-agent", dir.path(), &config)?;
    let offset = dir.path().join("offset");
    agent.env("LD_PRELOAD", preload::build("clock")?);
    agent.env("CLOCK_OFFSET", &offset);
    let seen = listen(broker.port()).await?;
    sink.start()?;
    agent.start()?;

    for step in STEPS {
        go_on(&mut device, random.between(BETWEEN.0, BETWEEN.1)).await?;
        std::fs::write(&offset, step.to_string())?;
    }
    go_on(&mut device, BETWEEN.1).await?;
    agent.stop().await?;
    // Times differ: what was read while the clock was wrong has got its true time. The numbers do not.
    let output = agent.output();
    let taken = kept(&output).remove("mast").unwrap_or_default();
    let numbers: Vec<u64> = taken.iter().filter_map(|row| row.1).map(|number| number as u64).collect();
    let jumps = taken.windows(2).filter(|pair| (pair[1].0 - pair[0].0).abs() > 1_800_000).count();
    let is_stored = async || {
        let rows = stored::rows(&file)?.remove("turbine-01/mast").unwrap_or_default();
        let stored: Vec<u64> = rows.values("sequence").into_iter().flatten().map(|number| number as u64).collect();
        let there: BTreeSet<u64> = stored.iter().copied().collect();
        Ok(numbers.iter().all(|number| there.contains(number)).then_some((stored.len(), there.len())))
    };
    let (stored, different) = eventually(SOON, "everything taken to be stored", is_stored).await?;
    let late = std::mem::take(&mut seen.lock().unwrap().late);
    println!(
        "FIGURE {} steps of the clock, {jumps} seen in the rows' times: {} rows taken, 0 missing, {} twice, {} out of order",
        STEPS.len(),
        numbers.len(),
        stored - different,
        late.len()
    );
    assert!(jumps > 0, "the clock was set: {taken:?}");
    assert_eq!(stored, different, "stored once");
    assert!(late.is_empty(), "came for the first time after a later one: {late:?}");
    sink.stop().await
}
