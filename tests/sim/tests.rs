//! The simulator as a test: some hundred seeds, the seeds that have found something, and every deliberate break.

use crate::breaks::Break;
use crate::disk::Disk;
use crate::scenario::Scenario;
use crate::world::run;
use clap::ValueEnum as _;
use std::collections::BTreeMap;
use windward_agent::forward::journal::conformance;
use windward_tests::random::Random;

/// Seeds of an ordinary test run; `WINDWARD_SEEDS` asks for more, `WINDWARD_SEED` for one.
const SEEDS: u64 = 200;
/// Within so many a deliberate break must be caught.
const BREAK_SEEDS: u64 = 1_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn whatever_fails_the_promise_is_kept() {
    let seeds = match number("WINDWARD_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("WINDWARD_SEEDS").unwrap_or(SEEDS),
    };
    let all = seeds.end - seeds.start >= SEEDS;
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in seeds {
        let outcome = run(seed, None, false);
        assert_eq!(outcome.violation, None, "seed {seed}");
        outcome.counts.into_iter().for_each(|(what, times)| *counts.entry(what).or_default() += times);
    }
    // A world in which nothing fails proves nothing.
    let idle: Vec<_> = counts.iter().filter(|(_, times)| **times == 0).collect();
    assert!(!all || (counts.len() >= 20 && idle.is_empty()), "{counts:#?}");
}

/// `pinned.txt` says what each has found.
#[test]
fn seeds_that_have_found_something_find_nothing_any_more() {
    let lines = include_str!("pinned.txt").lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    for line in lines {
        let seed = line.split_whitespace().next().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| panic!("{line:?} begins with no seed"));
        assert_eq!(run(seed, None, false).violation, None, "{line}");
    }
}

#[test]
fn the_same_seed_is_the_same_world() {
    for seed in 0..5 {
        assert_eq!(run(seed, None, false), run(seed, None, false), "seed {seed}");
    }
}

/// What the oracle is worth is what it catches: every break, under the number that it breaks.
#[test]
fn every_deliberate_break_is_caught() {
    let caught = |broken: Break| {
        (0..BREAK_SEEDS).find_map(|seed| Some((seed, run(seed, Some(broken), false).violation?.invariant)))
    };
    for &broken in Break::value_variants() {
        let Some((seed, invariant)) = caught(broken) else {
            panic!("{broken:?} is not caught within {BREAK_SEEDS} seeds")
        };
        assert!(broken.caught_as().contains(&invariant), "{broken:?} is caught as {invariant} in seed {seed}");
    }
}

/// Where nothing fails, the disk is the journal that FORWARD knows.
#[test]
fn the_simulated_disk_is_a_journal() {
    for seed in 0..20 {
        let faults = Scenario::new(seed).at_peace().disk;
        conformance::check(seed, 60, |before: Option<Disk>| {
            let new = || Disk::new(conformance::EPOCH, faults.clone(), None, Random::new(seed));
            let mut disk = before.map_or_else(new, |mut disk| {
                disk.close();
                disk
            });
            let found = disk.open().unwrap();
            (disk, found)
        });
    }
}

#[test]
fn a_world_at_peace_has_no_faults() {
    let scenario = Scenario::new(7).at_peace();
    assert_eq!((scenario.agent.kill_every_ms, scenario.link.cut_every_ms, scenario.stream.fails), (0, 0, 0));
}
