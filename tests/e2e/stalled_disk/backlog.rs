//! A day of readings in a spool, made through the agent's own journal: as an agent leaves it that had no broker.

use anyhow::{Context as _, Result};
use std::path::Path;
use windward_agent::config::Config;
use windward_agent::forward::journal::{Journal as _, Numbered};
use windward_agent::io::spool::{self, Options};
use windward_protocol::{BlockBuilder, Envelope, Lane, Record, Row, Seq, Value};
use windward_tests::clock;
use windward_tests::plant::{Sample, Turbine};
use windward_tests::slave;

/// One row a second for a day. Each is a block of its own, for blocks are closed once a second.
pub(super) const ROWS: u32 = 86_400;
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

/// Makes a spool for the agent with this configuration, and puts a day of its readings into it.
pub(super) fn make(spool: &Path, config: &str) -> Result<()> {
    let config = Config::from_toml(config, "the turbine's agent")?;
    let manifest = config.manifest().pop().context("a device")?;
    let epoch = clock::wall_us() as u64;
    let (mut journal, _) = spool::open(spool, &Options { epoch, ..Options::default() })?;
    let value = |seq: Seq, row: &Row| -> Result<Numbered> {
        let (agent, lane) = (config.agent.clone(), Lane::Readings);
        let mut block = BlockBuilder::new(&agent, &manifest.device, &manifest.location, &manifest.channels, true);
        block.push(row).ok().context("a row fits a block")?;
        let record = Record::Block(block.finish().context("a block with a row")?);
        Ok((seq, Envelope { agent, epoch, lane, seq, record }.encode()?))
    };
    let (mut turbine, start_ms) = (Turbine::new(1), clock::wall_ms() - i64::from(ROWS) * 1_000);
    let mut values = Vec::new();
    for second in 0..ROWS {
        let sample = turbine.sample(u64::from(second) * 1_000).context("a turbine that answers")?;
        let row = row(&sample, second + 1, start_ms + i64::from(second) * 1_000);
        values.push(value(u64::from(second) + 1, &row)?);
        if values.len() == AT_ONCE || second + 1 == ROWS {
            journal.commit(&[], &std::mem::take(&mut values))?;
        }
    }
    Ok(())
}

/// What those channels say.
fn row(sample: &Sample, sequence: u32, time_ms: i64) -> Row {
    let mut row = slave::row(sample, sequence, time_ms);
    row.readings.rotate_right(1);
    row.readings.push(Ok(Value::Int { mantissa: i64::from(slave::registers(sample, sequence)[0]), exponent: 0 }));
    row.scores = vec![None; row.readings.len()];
    row
}
