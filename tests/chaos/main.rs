//! Real faults on the real spool: power cuts, SIGKILL, damage, full disks.
//!
//! `WINDWARD_SEED=<number>` repeats the random choices of a run, `WINDWARD_ROUNDS=<number>` asks for more of them: as many
//! images or kills in each test.

#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

mod damage;
mod disk;
mod full_disk;
mod judge;
mod killed;
mod power_cut;
mod recording;

use anyhow::Result;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use tempfile::TempDir;
use windward_tests::process::target_dir;

/// The seed of this run: `WINDWARD_SEED`, or one drawn from the clock.
fn seed() -> u64 {
    let seed = number("WINDWARD_SEED").unwrap_or_else(|| windward_tests::clock::wall_ms() as u64 % 1_000_000);
    println!("seed: WINDWARD_SEED={seed}");
    seed
}

/// How many rounds a test goes through: `WINDWARD_ROUNDS`, or what it does on every run.
fn rounds(usual: u64) -> u64 {
    number("WINDWARD_ROUNDS").unwrap_or(usual)
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// A directory for files that need not survive anything, in memory where there is one.
fn scratch() -> Result<TempDir> {
    let memory = Path::new("/dev/shm");
    Ok(if memory.is_dir() { TempDir::new_in(memory)? } else { TempDir::new()? })
}

/// Keeps what `write` writes to a path, for people to look at.
fn keep(write: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    static KEPT: AtomicU32 = AtomicU32::new(0);
    let dir = target_dir()?.join("chaos");
    std::fs::create_dir_all(&dir)?;
    let path = dir.join(format!("{}-{}", std::process::id(), KEPT.fetch_add(1, Ordering::Relaxed)));
    write(&path)?;
    Ok(path)
}
