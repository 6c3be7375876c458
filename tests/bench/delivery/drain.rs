//! How fast a spool drains: two million values queued, then a broker and a sink beside the agent.

use super::windward::{AGENT, agent, agent_id, sink};
use anyhow::{Context as _, Result};
use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use std::time::Duration;
use windward_agent::forward::journal::{Journal as _, Numbered};
use windward_agent::io::spool::{self, Options};
use windward_protocol::{BlockBuilder, Channel, Envelope, Lane, Quantity, Record, Seq};
use windward_tests::clock;
use windward_tests::cost::Cost;
use windward_tests::peers::Mosquitto;
use windward_tests::plant::Turbine;
use windward_tests::process::{eventually, free_port};
use windward_tests::slave;

/// Blocks of a commit.
const COMMIT: usize = 500;
/// Between two rows.
const INTERVAL_MS: u64 = 20;
const PATIENCE: Duration = Duration::from_secs(300);

/// Fills a spool with so many values, in blocks of so many rows, and has it drained.
pub(crate) async fn drain(values: u64, rows: u64, dir: &Path) -> Result<()> {
    let blocks = values / rows / slave::CHANNEL_COUNT;
    let bytes = fill(&dir.join("data/spool"), blocks, rows)?;
    let mosquitto = Mosquitto::start_with(dir, "max_queued_messages 0\nmax_inflight_messages 0\n").await?;
    let file = dir.join("farm.db");
    let (mut sink, nobody) = (sink(dir, mosquitto.port(), &file)?, free_port()?);
    // A device that is not there: hardly anything is read meanwhile.
    let device = format!(
        "[[device]]\nname = \"mast\"\nlocation = \"here\"\ninterval_ms = 60000\n\
         modbus_tcp = {{ host = \"127.0.0.1\", port = {nobody} }}\n\
         [[device.channel]]\nname = \"wind\"\nunit = \"1\"\nregister = 0\ntype = \"u16\"\ndetect = false\n"
    );
    let mut agent = agent(dir, mosquitto.port(), &device)?;
    sink.start()?;
    eventually(PATIENCE, "the sink's tables", async || Ok(stored(&file, rows).ok())).await?;
    agent.log = "info";
    agent.start()?;
    eventually(PATIENCE, "the first block", async || Ok((stored(&file, rows)? > 0).then_some(()))).await?;
    let (begun, before) = (clock::now(), stored(&file, rows)?);
    let (agent_before, sink_before) = (agent.cost()?, sink.cost()?);
    eventually(PATIENCE, "all to be stored", async || {
        agent.check_alive()?;
        sink.check_alive()?;
        Ok((stored(&file, rows)? >= blocks).then_some(()))
    })
    .await?;
    let took_s = begun.elapsed().as_secs_f64();
    let values = ((blocks - before) * rows * slave::CHANNEL_COUNT) as f64;
    let per = |cost: Cost| cost.cpu_s * 1e9 / values;
    let (agent_cost, sink_cost) = (agent.cost()?.since(agent_before), sink.cost()?.since(sink_before));
    println!(
        "FIGURE drain, {rows} rows a block: {values:.0} values, {:.2} bytes each on disk: {took_s:.2} s, {:.0} values/s; agent {:.0} ns of CPU \
         and {:.1} bytes to disk a value, PSS {:.1} MiB; sink {:.0} ns, {:.1} bytes, PSS {:.1} MiB; load {}",
        bytes as f64 / (blocks * rows * slave::CHANNEL_COUNT) as f64,
        values / took_s,
        per(agent_cost),
        agent_cost.written / values,
        agent.pss_kib()? / 1024.0,
        per(sink_cost),
        sink_cost.written / values,
        sink.pss_kib()? / 1024.0,
        super::load(),
    );
    agent.stop().await?;
    sink.stop().await?;
    let (_, found) = spool::open(&dir.join("data/spool"), &Options { epoch: 1, boot: 1, ..Options::default() })?;
    anyhow::ensure!(found.readings.acked >= blocks, "acked {} of {blocks} blocks", found.readings.acked);
    Ok(())
}

/// Gives the bytes of all blocks.
fn fill(dir: &Path, blocks: u64, rows: u64) -> Result<u64> {
    let (mut journal, _) = spool::open(dir, &Options { epoch: 1, boot: 1, ..Options::default() })?;
    let (mut turbine, began_ms) = (Turbine::new(1), clock::wall_ms() - 86_400_000);
    let (mut values, mut bytes): (Vec<Numbered>, u64) = (Vec::new(), 0);
    for seq in 1..=blocks {
        let value = block(seq, &mut turbine, began_ms, rows)?;
        bytes += value.len() as u64;
        values.push((seq, value));
        if values.len() == COMMIT || seq == blocks {
            journal.commit(&[], &std::mem::take(&mut values))?;
        }
    }
    Ok(bytes)
}

fn block(seq: Seq, turbine: &mut Turbine, began_ms: i64, rows: u64) -> Result<Vec<u8>> {
    let channel = |index: u64| Channel { name: format!("c{index}"), quantity: Quantity::Other, unit: "1".into() };
    let channels: Vec<Channel> = (0..slave::CHANNEL_COUNT).map(channel).collect();
    let mut block = BlockBuilder::new(&agent_id()?, "mast", "here", &channels, true);
    for number in (seq - 1) * rows..seq * rows {
        let at_ms = number * INTERVAL_MS;
        let Some(sample) = turbine.sample(at_ms) else { anyhow::bail!("{AGENT} is silent") };
        let row = slave::row(&sample, number as u32, began_ms + at_ms as i64);
        anyhow::ensure!(block.push(&row).is_ok(), "{rows} rows are more than a block holds");
    }
    let record = Record::Block(block.finish().context("an empty block")?);
    Ok(Envelope { agent: agent_id()?, epoch: 1, lane: Lane::Readings, seq, record }.encode()?)
}

/// Blocks of so many rows that the sink has stored.
fn stored(file: &Path, rows: u64) -> Result<u64> {
    let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let found = connection.query_row("SELECT coalesce(sum(n), 0) FROM readings", [], |row| row.get::<_, i64>(0))?;
    Ok(found as u64 / rows)
}
