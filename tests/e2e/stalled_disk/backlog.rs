//! A day of readings in a spool, made through the agent's own journal: as an agent leaves it that had no broker.

use anyhow::{Context as _, Result};
use std::sync::Arc;
use windward_agent::config::Config;
use windward_agent::forward::journal::{Journal as _, Numbered};
use windward_agent::io::spool::{self, Options};
use windward_protocol::{BlockBuilder, Envelope, Lane, Record, Row, Seq};
use windward_tests::clock;
use windward_tests::plant::Turbine;
use windward_tests::slave;

/// One row a second for a day. Each is a block of its own, for blocks are closed once a second.
pub(super) const ROWS: usize = 86_400;
/// Rows of a commit here: as in the agent they are in the order of their numbers, and fewer commits change no byte of a
/// value.
const AT_ONCE: usize = 2_000;

/// The device's channels, in the agent's TOML: those of the simulated turbine with the sequence number first, so that the
/// trace of what was kept names it, and the anemometer's counts.
pub(super) fn channels_toml() -> String {
    let mut tables: Vec<&str> = slave::CHANNELS.split("[[device.channel]]").skip(1).collect();
    tables.rotate_right(1);
    tables.push("\nname = \"counts\"\nunit = \"1\"\nregister = 0\ntype = \"u16\"\ndetect = false\n");
    tables.iter().map(|table| format!("[[device.channel]]{table}")).collect()
}

/// What those channels have read in the last day.
pub(super) fn rows() -> Arc<Vec<Row>> {
    let mut turbine = Turbine::new(1);
    let start_ms = clock::wall_ms() - ROWS as i64 * 1_000;
    let row = |second: usize| {
        let sample = turbine.sample(second as u64 * 1_000)?;
        let mut row = slave::row(&sample, second as u32 + 1, start_ms + second as i64 * 1_000);
        row.readings.rotate_right(1);
        row.readings.push(row.readings[1]);
        row.scores = vec![None; row.readings.len()];
        Some(row)
    };
    Arc::new((0..ROWS).filter_map(row).collect())
}

/// Makes the spool of the agent with this configuration, and puts the rows into it.
pub(super) fn make(config: &str, rows: &[Row]) -> Result<()> {
    let config = Config::from_toml(config, "the turbine's agent")?;
    let manifest = config.manifest().pop().context("a device")?;
    let epoch = 1 + clock::wall_ms() as u64;
    let (mut journal, _) = spool::open(&config.data.join("spool"), &Options { epoch, ..Options::default() })?;
    let value = |(seq, row): (Seq, &Row)| -> Result<Numbered> {
        let (agent, lane) = (config.agent.clone(), Lane::Readings);
        let mut block = BlockBuilder::new(&agent, &manifest.device, &manifest.location, &manifest.channels, true);
        block.push(row).ok().context("a row fits a block")?;
        let record = Record::Block(block.finish().context("a block with a row")?);
        Ok((seq, Envelope { agent, epoch, lane, seq, record }.encode()?))
    };
    let mut numbered = (1..).zip(rows);
    let (mut te, mut tc) = (std::time::Duration::ZERO, std::time::Duration::ZERO);
    loop {
        let t0 = clock::now();
        let values = numbered.by_ref().take(AT_ONCE).map(value).collect::<Result<Vec<_>>>()?;
        if values.is_empty() {
            println!("encode {te:?} commit {tc:?}");
            return Ok(());
        }
        te += t0.elapsed();
        let t0 = clock::now();
        journal.commit(&[], &values)?;
        tc += t0.elapsed();
    }
}
