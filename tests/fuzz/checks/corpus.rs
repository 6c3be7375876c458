//! Runs a check over every input that the fuzzer began from or found, and over some that are made from them, as ordinary
//! tests do. `WINDWARD_SEED` repeats a run.

use std::fs;

/// Inputs made from each one of the corpus.
const MADE: u64 = 64;

/// Panics when the check does not hold of an input of this target's corpus, or of one made from it.
pub(crate) fn holds(target: &str, check: fn(&[u8])) {
    // All crates that call this stand one folder below the workspace's.
    let folder = format!("{}/../tests/fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
    let mut inputs: Vec<(String, Vec<u8>)> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{folder}: {error}"))
        .map(|entry| entry.expect("the folder can be read").path())
        .map(|path| (path.display().to_string(), fs::read(path).expect("the input can be read")))
        .collect();
    inputs.sort();
    assert!(!inputs.is_empty(), "no inputs in {folder}");
    let seed = std::env::var("WINDWARD_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    for (name, bytes) in &inputs {
        eprintln!("{name}");
        check(bytes);
        let mut random = Random(seed);
        for nth in 0..MADE {
            eprintln!("{name}, made {nth}, WINDWARD_SEED={seed}");
            check(&changed(bytes, &mut random));
        }
    }
}

/// The input with up to four bytes changed, left out, put in or repeated.
fn changed(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len());
        match random.below(4) {
            0 if at < bytes.len() => bytes[at] = random.next() as u8,
            1 if at < bytes.len() => bytes[at] ^= 1 << random.below(7),
            2 => bytes.insert(at, random.next() as u8),
            3 => bytes.truncate(at),
            _ => bytes.extend_from_within(at..),
        }
    }
    bytes
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// 0 to `most`, included.
    fn below(&mut self, most: usize) -> usize {
        (self.next() % (most as u64 + 1)) as usize
    }
}
