//! What the judges have learned, on disk: checkpoints in `sled` 0.34 (see `sled_dir` for how that is made durable).
//!
//! ```text
//! <data>/state/<n>/            one sled directory, append only:
//!                              generation u64 | chunk u32, big-endian -> that key, up to 4,080 bytes, CRC-32C
//!                              chunk 0, 1, ..: the state; u32::MAX: its commit record, written when the rest is durable
//!              newest          the last generation of each part of each device, to notice what is gone
//!              drained-<n>/    one that is being removed
//!              quarantine/<n>/ the last one that was damaged, for people to look at
//! ```
//! A checkpoint of a part of a device is a generation; the newest that is complete counts, and older ones stay behind
//! it for as long as their directory lives. Nothing is ever deleted inside one. When it has grown to [`GROWTH`] times
//! what it holds of use, that is copied to a new one and the old one is removed whole. So it takes at most that much
//! space, and another time what is of use while it is copied; and the same again for what is in quarantine.

mod scan;

use super::frame;
use super::sled_dir::{self, LOCKED, SledDir};
use super::small_file::{self, sync_dir};
use crate::time::Wall;
use crate::watch::checkpoint::Part;
use scan::{Scan, scan};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Size of a directory at which a new one is begun, in times of what it holds of use.
/// sled writes three bytes for each byte of a value, so this is less than it seems.
const GROWTH: u64 = 8;
/// Below this size none is begun, bytes.
const FLOOR: u64 = 16 * 1024 * 1024;
/// The file that says which generations there must be, for sled may leave out the end of a damaged file without a word.
const NEWEST: &str = "newest";
/// Largest state of a part, bytes: the forest of the rows of 64 channels has 8 MB, and 160 with all settings at their
/// limits.
const MAX_STATE: usize = 192 * 1024 * 1024;
/// Bytes of a state in one value: with key and checksum it stays within the 4 KiB in which sled proved safe.
const CHUNK: usize = 4096 - size_of::<Key>() - 4;
/// The chunk that says that all others are there.
const COMMIT: u32 = u32::MAX;

/// Generation and chunk.
type Key = [u8; 12];

/// What a state is of: a device's name, and a part of what is kept of it.
pub(super) type Name = (String, Part);

/// A part of a device's state as it was at some moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) name: Name,
    /// What the state depends on, as a number.
    pub(super) fingerprint: u64,
    /// When it was taken.
    pub(super) saved: Wall,
    pub(super) bytes: Vec<u8>,
}

/// What was found on disk.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The newest complete state of each name, in the order of names.
    pub(super) states: Vec<State>,
    /// What was wrong, each told in a sentence.
    pub(super) damage: Vec<String>,
}

/// The states of an agent's devices, in a directory of their own.
#[derive(Debug)]
pub(super) struct Store {
    dir: PathBuf,
    /// Of others nothing is kept.
    names: BTreeSet<Name>,
    /// `None` before the first use, and after an error until the next.
    open: Option<Open>,
}

/// The directory that is written to.
#[derive(Debug)]
struct Open {
    number: u64,
    sled: SledDir,
    live: BTreeMap<Name, Live>,
    last_generation: u64,
}

/// Where the newest complete state of a name is.
#[derive(Clone, Copy, Debug)]
struct Live {
    generation: u64,
    bytes: u64,
}

/// By name, its last generation.
type Newest = BTreeMap<Name, u64>;

/// The body of a commit record.
#[derive(Debug, Serialize, Deserialize)]
struct Commit {
    name: Name,
    fingerprint: u64,
    saved_ms: i64,
    bytes: u64,
}

impl Store {
    /// A store of the states of these names. The directory is not touched yet.
    pub(super) fn new(dir: PathBuf, names: impl IntoIterator<Item = Name>) -> Self {
        Self { dir, names: names.into_iter().collect(), open: None }
    }

    /// Opens the directory and reads it. What is damaged is set aside and told; what of it is intact is kept. An error
    /// means that it cannot be used now: nothing to read, or another process has it.
    pub(super) fn load(&mut self) -> Result<Found, String> {
        self.open = None;
        let doing = |what, error: io::Error| format!("cannot {what} {}: {error}", self.dir.display());
        fs::create_dir_all(&self.dir).map_err(|error| doing("create", error))?;
        let numbers = list(&self.dir).map_err(|error| doing("read", error))?;
        let (mut all, mut healthy, mut bad, mut damage) = (Scan::default(), Vec::new(), Vec::new(), Vec::new());
        for &number in &numbers {
            let scanned = match sled_dir::open(&path(&self.dir, number), |db| Ok(scan(db.iter()))) {
                Err(reason) if reason.contains(LOCKED) => {
                    return Err(format!("{} is in use by another process", self.dir.display()));
                }
                Ok((sled, scanned)) => {
                    if scanned.damage.is_none() {
                        healthy.push((number, sled));
                    }
                    scanned
                }
                Err(reason) => Scan { damage: Some(reason), ..Scan::default() },
            };
            if let Some(reason) = &scanned.damage {
                bad.push(number);
                damage
                    .push(format!("{reason}; {} states are intact, the rest goes to quarantine", scanned.states.len()));
            }
            all.add(scanned);
        }
        all.states.retain(|name, _| self.names.contains(name));
        if let Some(lost) = self.lost(&all).filter(|_| damage.is_empty()) {
            bad.extend(healthy.pop().map(|(number, _)| number));
            damage.push(format!("the newest state of {lost} is gone; {} older ones are intact", all.states.len()));
        }
        // Several are what an interrupted change to a new one leaves.
        let only = if damage.is_empty() && healthy.len() == 1 { healthy.pop() } else { None };
        let settled = match only {
            Some((number, sled)) => {
                let live = all.states.values().map(|(generation, state)| live(*generation, state)).collect();
                Ok(Open { number, sled, live, last_generation: all.last_generation })
            }
            None => {
                drop(healthy);
                self.begin_anew(&numbers, &bad, &all)
            }
        };
        match settled {
            Ok(open) => self.open = Some(open),
            Err(error) => damage.push(error),
        }
        Ok(Found { states: all.states.into_values().map(|(_, state)| state).collect(), damage })
    }

    /// Makes the states durable in the places of earlier ones, each for itself. After an error the next call opens anew.
    pub(super) fn save(&mut self, states: &[State]) -> Result<(), String> {
        if self.open.is_none() {
            for damage in self.load()?.damage {
                tracing::warn!(damage, "the checkpoints were damaged");
            }
        }
        let mut open = self.open.take().ok_or("cannot be opened")?;
        open.save(states)?;
        self.keep_newest(&open)?;
        if open.is_overgrown()? {
            open = open.replaced(&self.dir)?;
        }
        self.open = Some(open);
        Ok(())
    }

    fn keep_newest(&self, open: &Open) -> Result<(), String> {
        let newest: Newest = open.live.iter().map(|(name, live)| (name.clone(), live.generation)).collect();
        small_file::replace(&self.dir, NEWEST, &newest).map_err(|error| format!("cannot write {NEWEST}: {error}"))
    }

    /// What had a newer state than was found.
    fn lost(&self, found: &Scan) -> Option<String> {
        // Without the file, or with a damaged one, nothing is known to be lost.
        let newest: Newest = small_file::read(&self.dir, NEWEST).ok()??;
        let is_lost = |(name, generation): &(Name, u64)| {
            let found = found.states.get(name).map_or(0, |(found, _)| *found);
            found < *generation && self.names.contains(name)
        };
        newest.into_iter().find(is_lost).map(|((device, part), _)| format!("{device}, {part},"))
    }

    /// Puts the states into a directory of their own. Only then the old ones are removed, and the bad ones set aside.
    fn begin_anew(&self, old: &[u64], bad: &[u64], all: &Scan) -> Result<Open, String> {
        let number = old.last().map_or(1, |last| last + 1);
        let mut open = Open::begin(&self.dir, number, all.last_generation)?;
        let commits = all.states.values().map(|(generation, state)| open.write_chunks(*generation, state));
        let commits = commits.collect::<Result<_, _>>()?;
        open.commit(commits)?;
        self.keep_newest(&open)?;
        for &number in old {
            let is_gone = if bad.contains(&number) { set_aside(&self.dir, number) } else { remove(&self.dir, number) };
            is_gone.map_err(|error| format!("cannot remove {}: {error}", path(&self.dir, number).display()))?;
        }
        Ok(open)
    }
}

impl Open {
    fn begin(dir: &Path, number: u64, last_generation: u64) -> Result<Self, String> {
        let (sled, ()) = sled_dir::open(&path(dir, number), |_| Ok(()))?;
        sync_dir(dir).map_err(|error| format!("cannot sync {}: {error}", dir.display()))?;
        Ok(Self { number, sled, live: BTreeMap::new(), last_generation })
    }

    fn save(&mut self, states: &[State]) -> Result<(), String> {
        let mut commits = Vec::new();
        for state in states {
            if state.bytes.len() > MAX_STATE {
                return Err(format!("the {} of {} have {} bytes", state.name.1, state.name.0, state.bytes.len()));
            }
            self.last_generation += 1;
            commits.push(self.write_chunks(self.last_generation, state)?);
        }
        self.commit(commits)
    }

    /// All of a state but its commit record, which is given back.
    fn write_chunks(&self, generation: u64, state: &State) -> Result<(u64, Commit), String> {
        let State { name, fingerprint, saved, bytes } = state;
        (0..).zip(bytes.chunks(CHUNK)).try_for_each(|(nth, chunk)| self.insert(generation, nth, chunk))?;
        let bytes = bytes.len() as u64;
        Ok((generation, Commit { name: name.clone(), fingerprint: *fingerprint, saved_ms: saved.0, bytes }))
    }

    /// A commit record says that the rest is durable, so that has to be true when it is written.
    fn commit(&mut self, commits: Vec<(u64, Commit)>) -> Result<(), String> {
        self.sled.sync()?;
        for (generation, commit) in &commits {
            self.insert(*generation, COMMIT, &frame::seal(commit))?;
        }
        self.sled.sync()?;
        let live = |(generation, commit): (u64, Commit)| (commit.name, Live { generation, bytes: commit.bytes });
        self.live.extend(commits.into_iter().map(live));
        Ok(())
    }

    fn insert(&self, generation: u64, chunk: u32, body: &[u8]) -> Result<(), String> {
        let key = key(generation, chunk);
        let value = frame::with_crc([&key, body].concat());
        self.sled.db.insert(key, value).map(drop).map_err(|error| error.to_string())
    }

    /// Whether too much of the directory is of no use any more.
    fn is_overgrown(&self) -> Result<bool, String> {
        let useful: u64 = self.live.values().map(|live| live.bytes).sum();
        let size = self.sled.db.size_on_disk().map_err(|error| error.to_string())?;
        Ok(size > FLOOR.max(GROWTH * useful))
    }

    /// A new directory with what is of use in this one, which is removed.
    fn replaced(self, dir: &Path) -> Result<Self, String> {
        let mut next = Self::begin(dir, self.number + 1, self.last_generation)?;
        let mut commits = Vec::new();
        for &Live { generation, .. } in self.live.values() {
            let found =
                scan(self.sled.db.range(key(generation, 0)..=key(generation, COMMIT))).states.into_values().next();
            let (_, state) = found.ok_or_else(|| format!("generation {generation} cannot be read again"))?;
            commits.push(next.write_chunks(generation, &state)?);
        }
        next.commit(commits)?;
        let number = self.number;
        drop(self);
        remove(dir, number).map_err(|error| format!("cannot remove {}: {error}", path(dir, number).display()))?;
        Ok(next)
    }
}

fn live(generation: u64, state: &State) -> (Name, Live) {
    (state.name.clone(), Live { generation, bytes: state.bytes.len() as u64 })
}

fn key(generation: u64, chunk: u32) -> Key {
    let mut key = [0; size_of::<Key>()];
    key[..8].copy_from_slice(&generation.to_be_bytes());
    key[8..].copy_from_slice(&chunk.to_be_bytes());
    key
}

fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(number.to_string())
}

/// Numbers of the directories, in order. Removes what an interrupted removal has left.
fn list(dir: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        match name.to_str().and_then(|name| name.parse().ok()) {
            Some(number) => numbers.push(number),
            None if name.to_string_lossy().starts_with("drained-") => fs::remove_dir_all(entry.path())?,
            None => {}
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Renamed first: half a sled directory would look like damage at the next start.
fn remove(dir: &Path, number: u64) -> io::Result<()> {
    let gone = dir.join(format!("drained-{number}"));
    fs::rename(path(dir, number), &gone)?;
    fs::remove_dir_all(&gone)
}

/// The quarantine holds one directory, so that a disk that damages every one of them does not fill up.
fn set_aside(dir: &Path, number: u64) -> io::Result<()> {
    let quarantine = dir.join("quarantine");
    match fs::remove_dir_all(&quarantine) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => fs::create_dir(&quarantine)?,
    }
    fs::rename(path(dir, number), quarantine.join(number.to_string()))
}

#[cfg(test)]
mod tests;
