//! What the sink has stored, read from its SQLite file behind its back, and what the agent had said that it kept.

use anyhow::Context as _;
use rusqlite::{Connection, OpenFlags};
use std::collections::BTreeMap;
use std::path::Path;
use windward_protocol::{Envelope, NoData, Record, Row, batch};

/// The stored rows of one device, with its channels' names.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    /// Names of the channels.
    pub channels: Vec<String>,
    /// Rows, in the order of the table.
    pub rows: Vec<Row>,
}

impl Stored {
    /// The values of a channel, in the order of the rows.
    pub fn values(&self, channel: &str) -> Vec<Result<f64, NoData>> {
        let Some(index) = self.channels.iter().position(|name| name == channel) else { return Vec::new() };
        self.rows.iter().map(|row| row.readings[index].map(|value| value.as_f64())).collect()
    }
}

/// Unpacks the envelopes of a stored row.
pub fn unpack(stored: &[u8], into: &mut Stored) -> anyhow::Result<()> {
    for bytes in batch::split(stored).envelopes {
        let Record::Block(block) = Envelope::decode(&bytes)?.record else { anyhow::bail!("a stored block is none") };
        into.channels = block.channels.iter().map(|channel| channel.name.clone()).collect();
        into.rows.extend(block.rows());
    }
    Ok(())
}

/// All stored rows, by `<agent>/<device>`; none while the sink has not made its tables.
pub fn rows(file: &Path) -> anyhow::Result<BTreeMap<String, Stored>> {
    if !file.exists() {
        return Ok(BTreeMap::new());
    }
    let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    if !connection.table_exists(None, "readings")? {
        return Ok(BTreeMap::new());
    }
    let mut query = connection.prepare("SELECT partition, block FROM readings ORDER BY partition, sort")?;
    let found = query.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?)))?;
    let mut stored: BTreeMap<String, Stored> = BTreeMap::new();
    for row in found {
        let (partition, block) = row?;
        let into = stored.entry(partition.clone()).or_default();
        unpack(&block, into).with_context(|| format!("a block of {partition}"))?;
    }
    Ok(stored)
}

/// What an agent has told of each row it had kept: time and first value, by device, in their order. It
/// tells with `RUST_LOG=windward_agent::kept=trace`.
pub fn kept(output: &str) -> BTreeMap<String, Vec<(i64, Option<f64>)>> {
    let mut kept: BTreeMap<String, Vec<_>> = BTreeMap::new();
    // A killed process may have left half a line.
    let whole = output.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    for line in whole.filter(|line| line.contains("windward_agent::kept")) {
        let (Some(device), Some(time_ms)) = (field(line, "device"), field(line, "time_ms")) else { continue };
        let Ok(time_ms) = time_ms.parse() else { continue };
        // A row whose first channel has no value names none.
        let first = field(line, "first").and_then(|first| first.parse().ok());
        kept.entry(device.into()).or_default().push((time_ms, first));
    }
    kept
}

/// The value of `name=value` in a log line, without quotes.
fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(&format!(" {name}="))?;
    let value = rest.split_whitespace().next()?;
    Some(value.trim_matches('"'))
}
