//! What a directory of the store holds.

use super::super::frame;
use super::{COMMIT, Commit, Name, State};
use crate::time::Wall;
use std::collections::BTreeMap;

/// By name, the newest complete state and its generation.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub(super) states: BTreeMap<Name, (u64, State)>,
    /// No generation is newer, complete or not.
    pub(super) last_generation: u64,
    pub(super) damage: Option<String>,
}

impl Scan {
    pub(super) fn add(&mut self, other: Scan) {
        self.last_generation = self.last_generation.max(other.last_generation);
        for (generation, state) in other.states.into_values() {
            self.add_state(generation, state);
        }
    }

    fn add_state(&mut self, generation: u64, state: State) {
        if self.states.get(&state.name).is_none_or(|(newest, _)| *newest <= generation) {
            self.states.insert(state.name.clone(), (generation, state));
        }
    }
}

/// Puts the states together. A generation without its commit record was interrupted; one that has it and lacks anything
/// else is damage.
pub(super) fn scan(entries: sled::Iter) -> Scan {
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
        let Some((generation, chunk, body)) = opened(&key, &value) else {
            scan.damage = Some("a value is damaged".into());
            continue;
        };
        if generation > scan.last_generation {
            scan.last_generation = generation;
            bytes.clear();
        }
        if chunk != COMMIT {
            bytes.extend_from_slice(body);
            continue;
        }
        match frame::unseal::<Commit>(body) {
            // All chunks but the last are of one size, so that the length tells whether one is missing.
            Some(commit) if commit.bytes == bytes.len() as u64 => {
                let (fingerprint, saved) = (commit.fingerprint, Wall(commit.saved_ms));
                let bytes = std::mem::take(&mut bytes);
                scan.add_state(generation, State { name: commit.name, fingerprint, saved, bytes });
            }
            Some(Commit { name: (device, part), .. }) => {
                scan.damage = Some(format!("a chunk of the {part} of {device} is missing"));
            }
            None => scan.damage = Some("a commit record is damaged, or of another version".into()),
        }
    }
    scan
}

/// Generation, chunk and body of a value; `None` when it is damaged, or not the value of that key.
fn opened<'a>(key: &[u8], value: &'a [u8]) -> Option<(u64, u32, &'a [u8])> {
    let body = frame::without_crc(value)?.strip_prefix(key)?;
    let (generation, chunk) = key.split_first_chunk()?;
    Some((u64::from_be_bytes(*generation), u32::from_be_bytes(chunk.try_into().ok()?), body))
}
