//! The power is cut at any moment: what was confirmed is there, whatever the disk has done with what was not synced.
//!
//! A life over a spool is recorded call by call (`recording`), and the record is played on a model of a disk (`disk`)
//! up to a random call. What the cut leaves there is opened by the real journal and judged (`judge`); the next life
//! goes on from one of these images, so that cuts meet recovery too.

use crate::disk::{Disk, Trust};
use crate::judge::{Verdict, judge};
use crate::recording::{Call, record};
use crate::{keep, rounds, scratch, seed};
use anyhow::{Context as _, Result};
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use windward_tests::clock;
use windward_tests::life::{Blocks, Plan};
use windward_tests::preload;
use windward_tests::random::Random;
use windward_tests::said::Promises;

/// Images of each size that every run judges; `WINDWARD_ROUNDS` asks for more.
const IMAGES: u64 = 100;
/// Images of one life, and lives of one spool.
const CUTS: u64 = 20;
const LIVES: u64 = 5;
/// The boot after a cut.
const AFTER: u128 = 1_000;

#[test]
fn no_block_of_one_row_is_lost_to_a_power_cut() -> Result<()> {
    nothing_is_lost(Blocks::Row)
}

#[test]
fn no_block_of_a_kilobyte_is_lost_to_a_power_cut() -> Result<()> {
    nothing_is_lost(Blocks::Kib)
}

#[test]
fn no_full_block_is_lost_to_a_power_cut() -> Result<()> {
    nothing_is_lost(Blocks::Full)
}

#[test]
fn without_any_one_of_the_syncs_blocks_are_lost_or_damage_is_told_and_the_test_sees_it() -> Result<()> {
    for trust in [Trust::NoFdatasync, Trust::NoFsyncOfFiles, Trust::NoFsyncOfDirectories] {
        let tally = Replay::new(Blocks::Row, trust, 1)?.run(CUTS)?;
        let (bad, told) = (tally.bad.len(), tally.told.len());
        println!("FIGURE {trust:?}: {bad} of {} images bad, {} blocks lost, {told} told of", tally.images, tally.lost);
        // What is lost of a file beside the values is found out from the values, which tells of damage and costs none.
        let is_noticed = if trust == Trust::NoFsyncOfFiles { told > 0 } else { bad > 0 };
        assert!(is_noticed, "{trust:?} goes unnoticed");
    }
    Ok(())
}

fn nothing_is_lost(blocks: Blocks) -> Result<()> {
    let begun = clock::now();
    let tally = Replay::new(blocks, Trust::All, seed())?.run(rounds(IMAGES))?;
    println!(
        "FIGURE power cut, blocks of {} bytes: {} images, {} blocks safe at the cut, {} lost, {} opens bad, {} images \
         with damage told, {:.0} s",
        tally.blocks.1 / tally.blocks.0.max(1),
        tally.images,
        tally.safe,
        tally.lost,
        tally.bad.len(),
        tally.told.len(),
        begun.elapsed().as_secs_f64()
    );
    tally.told.iter().take(3).for_each(|told| println!("told of damage: {told}"));
    assert!(tally.bad.is_empty(), "{:#?}", &tally.bad[..tally.bad.len().min(3)]);
    Ok(())
}

struct Replay {
    recorder: PathBuf,
    blocks: Blocks,
    trust: Trust,
    seed: u64,
}

/// What came of all images.
#[derive(Default)]
struct Tally {
    images: u64,
    /// Blocks that had been confirmed and not released, over all images.
    safe: u64,
    lost: u64,
    /// What the journal itself called damage, of every image in which it did.
    told: Vec<String>,
    /// Blocks found, and their bytes.
    blocks: (u64, u64),
    bad: Vec<String>,
}

impl Replay {
    fn new(blocks: Blocks, trust: Trust, seed: u64) -> Result<Self> {
        Ok(Self { recorder: preload::build("recorder")?, blocks, trust, seed })
    }

    /// Life after life, until so many images have been judged.
    fn run(&self, images: u64) -> Result<Tally> {
        let (mut tally, mut random) = (Tally::default(), Random::new(self.seed));
        let (mut promises, mut home) = (Promises::default(), scratch()?);
        for life in 0.. {
            if tally.images >= images {
                break;
            }
            let plan = Plan::new(random.bits() >> 1, life % LIVES, self.blocks);
            if plan.life == 0 {
                (promises, home) = (Promises::default(), scratch()?);
                std::fs::create_dir(home.path().join("root"))?;
            }
            let cuts = CUTS.min(images - tally.images);
            (promises, home) = self.live(&plan, promises, home.path(), cuts, &mut random, &mut tally)?;
        }
        Ok(tally)
    }

    /// One life, cut `cuts` times. Gives what was promised at the last of them, and what that has left.
    fn live(
        &self,
        plan: &Plan,
        mut promises: Promises,
        home: &Path,
        cuts: u64,
        random: &mut Random,
        tally: &mut Tally,
    ) -> Result<(Promises, TempDir)> {
        let root = home.join("root");
        // What earlier lives were promised is known.
        std::fs::remove_file(root.join("said")).ok();
        let mut disk = Disk::of(&root, self.trust)?;
        let calls = record(&self.recorder, &root, plan, random.between(1, most_steps(self.blocks)))?;
        let next = scratch()?;
        let (mut played, after) = (0, Plan { boot: AFTER, ..*plan });
        let chosen = choose(&calls, random, cuts);
        for (index, &cut) in chosen.iter().enumerate() {
            play(&mut disk, &calls[played..cut], &mut promises)?;
            played = cut;
            let image = scratch()?;
            let fates = random.bits();
            disk.cut(&image.path().join("root"), &mut Random::new(fates))?;
            let verdict = judge(&image.path().join("root/spool"), &after, &promises);
            tally.count(&verdict, &promises);
            if !verdict.is_good() {
                // As it was before it was opened.
                let evidence = keep(|path| disk.cut(path, &mut Random::new(fates)))?;
                tally.bad.push(format!("{plan:?}, cut at call {cut}, {}: {verdict:?}", evidence.display()));
            }
            if index + 1 == chosen.len() {
                disk.cut(&next.path().join("root"), &mut Random::new(fates))?;
            }
        }
        let promised = promises.clone();
        play(&mut disk, &calls[played..], &mut promises)?;
        // Had a call gone past the recorder, all this would prove nothing.
        disk.compare(&root).context("the recorder has missed something")?;
        Ok((promised, next))
    }
}

impl Tally {
    fn count(&mut self, verdict: &Verdict, promises: &Promises) {
        self.images += 1;
        self.safe += promises.safe.keys().filter(|(lane, seq)| !promises.is_released(*lane, *seq)).count() as u64;
        self.lost += verdict.lost.len() as u64;
        self.blocks = (self.blocks.0 + verdict.blocks.0, self.blocks.1 + verdict.blocks.1);
        self.told.extend(verdict.damage.first().cloned());
    }
}

/// Most calls of `step` in one life: some hundred commits.
fn most_steps(blocks: Blocks) -> u64 {
    match blocks {
        Blocks::Row => 2_000,
        Blocks::Kib => 6_000,
        Blocks::Full => 20_000,
    }
}

fn play(disk: &mut Disk, calls: &[Call], promises: &mut Promises) -> Result<()> {
    for call in calls {
        if let Some(said) = disk.call(call, "said")? {
            promises.hear(&String::from_utf8_lossy(said))?;
        }
    }
    // A power cut may cost what stands only in a side file.
    promises.kept.clear();
    Ok(())
}

/// Where to cut: half of the places anywhere, half of them at once after something was promised.
fn choose(calls: &[Call], random: &mut Random, cuts: u64) -> Vec<usize> {
    let promised: Vec<usize> = (0..calls.len()).filter(|&index| is_promise(&calls[index])).collect();
    let mut chosen: Vec<usize> = (0..cuts)
        .map(|_| match random.between(0, 1) {
            1 if !promised.is_empty() => promised[random.between(0, promised.len() as u64 - 1) as usize] + 1,
            _ => random.between(0, calls.len() as u64) as usize,
        })
        .collect();
    chosen.sort_unstable();
    chosen
}

fn is_promise(call: &Call) -> bool {
    matches!(call, Call::Write { bytes, .. } if bytes.starts_with(b"safe "))
}
