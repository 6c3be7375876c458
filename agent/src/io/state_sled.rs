//! What the judges have learned, on disk: checkpoints in `sled` 0.34 (see `sled_dir` for how that is made durable).
//!
//! ```text
//! <data>/state/<n>/            one sled directory, append only:
//!                              generation u64 | part u32, big-endian -> that key, up to 4,080 bytes, CRC-32C
//!                              part 0, 1, ..: the state; part u32::MAX: its commit record, written when the rest is durable
//!              newest          the last generation of each device, to notice what is gone
//!              drained-<n>/    one that is being removed
//!              quarantine/<n>/ the last one that was damaged, for people to look at
//! ```
//! A checkpoint of a device is a generation; the newest that is complete counts, and older ones stay behind it for as
//! long as their directory lives. Nothing is ever deleted inside one. When it has grown to [`GROWTH`] times what it holds
//! of use, that is copied to a new one and the old one is removed whole. So it takes at most that much space, and another
//! time what is of use while it is copied; and the same again for what is in quarantine.

use super::frame;
use super::sled_dir::{self, LOCKED, SledDir};
use super::small_file::{self, sync_dir};
use crate::time::Wall;
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
/// Largest state of a device, bytes: 17 MB with 64 channels and full forests, 80 with all settings at their limits.
const MAX_STATE: usize = 96 * 1024 * 1024;
/// Bytes of a state in one value: with key and checksum it stays within the 4 KiB in which sled proved safe.
const CHUNK: usize = 4096 - size_of::<Key>() - 4;
/// The part that says that all others are there.
const COMMIT: u32 = u32::MAX;

/// Generation and part.
type Key = [u8; 12];

/// A device's state as it was at some moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    /// The device's name.
    pub(super) device: String,
    /// What the state depends on, as a number.
    pub(super) fingerprint: u64,
    /// When it was taken.
    pub(super) saved: Wall,
    pub(super) bytes: Vec<u8>,
}

/// What was found on disk.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The newest complete state of each device.
    pub(super) states: Vec<State>,
    /// What was wrong, each told in a sentence.
    pub(super) damage: Vec<String>,
}

/// The states of an agent's devices, in a directory of their own.
#[derive(Debug)]
pub(super) struct Store {
    dir: PathBuf,
    /// Of others nothing is kept.
    devices: BTreeSet<String>,
    /// `None` before the first use, and after an error until the next.
    open: Option<Open>,
}

/// The directory that is written to.
#[derive(Debug)]
struct Open {
    number: u64,
    sled: SledDir,
    live: BTreeMap<String, Live>,
    last_generation: u64,
}

/// Where a device's newest complete state is.
#[derive(Clone, Copy, Debug)]
struct Live {
    generation: u64,
    bytes: u64,
}

/// By device, its last generation.
type Newest = BTreeMap<String, u64>;

/// The body of a commit record.
#[derive(Debug, Serialize, Deserialize)]
struct Commit {
    device: String,
    fingerprint: u64,
    saved_ms: i64,
    bytes: u64,
}

impl Store {
    /// A store of the states of these devices. The directory is not touched yet.
    pub(super) fn new(dir: PathBuf, devices: impl IntoIterator<Item = String>) -> Self {
        Self { dir, devices: devices.into_iter().collect(), open: None }
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
        all.states.retain(|device, _| self.devices.contains(device));
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

    /// Makes the state durable in the place of the device's earlier one. After an error the next call opens anew.
    pub(super) fn save(&mut self, state: &State) -> Result<(), String> {
        if self.open.is_none() {
            for damage in self.load()?.damage {
                tracing::warn!(damage, "the checkpoints were damaged");
            }
        }
        let mut open = self.open.take().ok_or("cannot be opened")?;
        open.save(state)?;
        self.keep_newest(&open)?;
        if open.is_overgrown()? {
            open = open.replaced(&self.dir)?;
        }
        self.open = Some(open);
        Ok(())
    }

    fn keep_newest(&self, open: &Open) -> Result<(), String> {
        let newest: Newest = open.live.iter().map(|(device, live)| (device.clone(), live.generation)).collect();
        small_file::replace(&self.dir, NEWEST, &newest).map_err(|error| format!("cannot write {NEWEST}: {error}"))
    }

    /// A device that had a newer state than was found.
    fn lost(&self, found: &Scan) -> Option<String> {
        // Without the file, or with a damaged one, nothing is known to be lost.
        let newest: Newest = small_file::read(&self.dir, NEWEST).ok()??;
        let is_lost = |(device, generation): &(String, u64)| {
            let found = found.states.get(device).map_or(0, |(found, _)| *found);
            found < *generation && self.devices.contains(device)
        };
        newest.into_iter().find(is_lost).map(|(device, _)| device)
    }

    /// Puts the states into a directory of their own. Only then the old ones are removed, and the bad ones set aside.
    fn begin_anew(&self, old: &[u64], bad: &[u64], all: &Scan) -> Result<Open, String> {
        let number = old.last().map_or(1, |last| last + 1);
        let mut open = Open::begin(&self.dir, number, all.last_generation)?;
        for (generation, state) in all.states.values() {
            open.write(*generation, state)?;
        }
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

    fn save(&mut self, state: &State) -> Result<(), String> {
        if state.bytes.len() > MAX_STATE {
            return Err(format!("the state of {} has {} bytes", state.device, state.bytes.len()));
        }
        self.write(self.last_generation + 1, state)
    }

    /// The commit record says that the rest is durable, so that has to be true when it is written.
    fn write(&mut self, generation: u64, state: &State) -> Result<(), String> {
        self.last_generation = self.last_generation.max(generation);
        self.write_parts(generation, state)?;
        self.sled.sync()?;
        self.write_commit(generation, state)?;
        self.sled.sync()?;
        self.live.extend([live(generation, state)]);
        Ok(())
    }

    fn write_parts(&self, generation: u64, state: &State) -> Result<(), String> {
        (0..).zip(state.bytes.chunks(CHUNK)).try_for_each(|(part, chunk)| self.insert(generation, part, chunk))
    }

    fn write_commit(&self, generation: u64, state: &State) -> Result<(), String> {
        let State { device, fingerprint, saved, bytes } = state;
        let commit =
            Commit { device: device.clone(), fingerprint: *fingerprint, saved_ms: saved.0, bytes: bytes.len() as u64 };
        self.insert(generation, COMMIT, &frame::seal(&commit))
    }

    fn insert(&self, generation: u64, part: u32, body: &[u8]) -> Result<(), String> {
        let key = key(generation, part);
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
        for &Live { generation, .. } in self.live.values() {
            let found =
                scan(self.sled.db.range(key(generation, 0)..=key(generation, COMMIT))).states.into_values().next();
            let (_, state) = found.ok_or_else(|| format!("generation {generation} cannot be read again"))?;
            next.write(generation, &state)?;
        }
        let number = self.number;
        drop(self);
        remove(dir, number).map_err(|error| format!("cannot remove {}: {error}", path(dir, number).display()))?;
        Ok(next)
    }
}

/// What a directory holds: by device, the newest complete state and its generation.
#[derive(Debug, Default)]
struct Scan {
    states: BTreeMap<String, (u64, State)>,
    /// No generation is newer, complete or not.
    last_generation: u64,
    damage: Option<String>,
}

impl Scan {
    fn add(&mut self, other: Scan) {
        self.last_generation = self.last_generation.max(other.last_generation);
        for (generation, state) in other.states.into_values() {
            self.add_state(generation, state);
        }
    }

    fn add_state(&mut self, generation: u64, state: State) {
        if self.states.get(&state.device).is_none_or(|(newest, _)| *newest <= generation) {
            self.states.insert(state.device.clone(), (generation, state));
        }
    }
}

/// Puts the states together. A generation without its commit record was interrupted; one that has it and lacks anything
/// else is damage.
fn scan(entries: sled::Iter) -> Scan {
    let mut scan = Scan::default();
    let mut bytes = Vec::new();
    for entry in entries {
        let (key, value) = match entry {
            Ok(entry) => entry,
            Err(error) => {
                scan.damage = Some(error.to_string());
                return scan;
            }
        };
        let Some((generation, part, body)) = opened(&key, &value) else {
            scan.damage = Some("a value is damaged".into());
            continue;
        };
        if generation > scan.last_generation {
            scan.last_generation = generation;
            bytes.clear();
        }
        if part != COMMIT {
            bytes.extend_from_slice(body);
            continue;
        }
        match frame::unseal::<Commit>(body) {
            // All parts but the last are of one size, so that the length tells whether one is missing.
            Some(commit) if commit.bytes == bytes.len() as u64 => {
                let (fingerprint, saved) = (commit.fingerprint, Wall(commit.saved_ms));
                let bytes = std::mem::take(&mut bytes);
                scan.add_state(generation, State { device: commit.device, fingerprint, saved, bytes });
            }
            Some(commit) => scan.damage = Some(format!("a part of the state of {} is missing", commit.device)),
            None => scan.damage = Some("a commit record is damaged".into()),
        }
    }
    scan
}

fn live(generation: u64, state: &State) -> (String, Live) {
    (state.device.clone(), Live { generation, bytes: state.bytes.len() as u64 })
}

fn key(generation: u64, part: u32) -> Key {
    let mut key = [0; size_of::<Key>()];
    key[..8].copy_from_slice(&generation.to_be_bytes());
    key[8..].copy_from_slice(&part.to_be_bytes());
    key
}

/// Generation, part and body of a value; `None` when it is damaged, or not the value of that key.
fn opened<'a>(key: &[u8], value: &'a [u8]) -> Option<(u64, u32, &'a [u8])> {
    let body = frame::without_crc(value)?.strip_prefix(key)?;
    let (generation, part) = key.split_first_chunk()?;
    Some((u64::from_be_bytes(*generation), u32::from_be_bytes(part.try_into().ok()?), body))
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
