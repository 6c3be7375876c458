//! The disk: the folder that the drill works in, how much room there is, and how fast it commits.

use super::super::random;
use super::super::spool::{self, Options};
use super::{Stop, Stopwatch};
use crate::drill::{Plan, Speed, rows};
use crate::forward::journal::Journal as _;
use anyhow::Context as _;
use std::fs;
use std::path::{Path, PathBuf};
use windward_protocol::{BlockBuilder, Envelope, Lane, Record, Seq};

/// Rows of the block that is committed to see how long it takes: a second of a device that is read ten times a second.
const ROWS: u64 = 10;
const MIB: u64 = 1024 * 1024;

/// The drill's own folder; removed in the end, unless it is to be kept.
#[derive(Debug)]
pub(super) struct Scratch {
    pub(super) path: PathBuf,
    keep: bool,
}

impl Scratch {
    /// Makes the folder in `dir`, if there is room for the drill.
    pub(super) fn make(dir: &Path, plan: &Plan, keep: bool) -> anyhow::Result<Self> {
        anyhow::ensure!(dir.is_dir(), "there is no folder {}; give one on the agent's disk with --dir", dir.display());
        let free = free_bytes(dir).with_context(|| format!("how much room {} has", dir.display()))?;
        let (needs, reserve) = (plan.needs_bytes, plan.reserve_bytes);
        anyhow::ensure!(
            free >= needs + reserve,
            "{} has {} MiB free; a drill takes up to {} MiB, and {} MiB are to be left for the agent",
            dir.display(),
            free / MIB,
            needs / MIB,
            reserve / MIB,
        );
        let path = dir.join(format!("drill-{}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self { path, keep })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.keep {
            eprintln!("kept: {}", self.path.display());
        } else if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("cannot remove {}: {error}", self.path.display());
        }
    }
}

/// Bytes that an ordinary user can still write.
fn free_bytes(dir: &Path) -> std::io::Result<u64> {
    let stat = rustix::fs::statvfs(dir)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// How fast the disk makes one block durable, by the spool's own way: in a spool of its own in `dir`.
pub(super) fn speed(dir: &Path, plan: &Plan, stop: &Stop) -> anyhow::Result<Speed> {
    let epoch = random();
    let options = Options { epoch, ballast_bytes: 0, ..Options::default() };
    let (mut journal, _) = spool::open(dir, &options)?;
    let whole = Stopwatch::start();
    let mut times_us = Vec::with_capacity(plan.commits);
    for seq in 1..=plan.commits as Seq {
        let values = [(seq, block(seq, epoch)?)];
        let one = Stopwatch::start();
        journal.commit(&[], &values)?;
        // The first makes the generation.
        if seq > 1 {
            times_us.push(one.us());
        }
        stop.check()?;
        if whole.ms() > plan.commits_ms && times_us.len() >= 3 {
            break;
        }
    }
    Ok(Speed::of(times_us))
}

fn block(seq: Seq, epoch: u64) -> anyhow::Result<Vec<u8>> {
    let (agent, device) = (rows::agent(), rows::devices().swap_remove(0));
    let mut builder = BlockBuilder::new(&agent, &device.device, &device.location, &device.channels, true);
    for index in 0..ROWS {
        let (_, row) = rows::row(seq * ROWS + index, 0);
        anyhow::ensure!(builder.push(&row).is_ok(), "a block takes {ROWS} rows");
    }
    let block = builder.finish().context("a block has rows")?;
    Ok(Envelope { agent, epoch, lane: Lane::Readings, seq, record: Record::Block(block) }.encode()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_without_room_is_refused_with_figures_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let free = free_bytes(dir.path()).unwrap();
        let plan = Plan { needs_bytes: free, reserve_bytes: 1024 * MIB, ..Plan::quick(5) };
        let refused = Scratch::make(dir.path(), &plan, false).unwrap_err().to_string();
        assert!(
            refused.contains(&format!("a drill takes up to {} MiB, and 1024 MiB are to be left", free / MIB)),
            "{refused}"
        );
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
