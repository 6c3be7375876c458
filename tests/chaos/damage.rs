//! The medium is damaged: bits flip, pages become zeros, files lose their end. What the damage has not met is salvaged,
//! and all that is missing is said to be.

use crate::judge::{Verdict, judge};
use crate::recording::spool_life;
use crate::{keep, rounds, scratch, seed};
use anyhow::{Context as _, Result};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use windward_protocol::{Envelope, Lane, MAX_ENVELOPE, Seq};
use windward_tests::life::{Blocks, Life, Plan};
use windward_tests::random::Random;
use windward_tests::said::Promises;
use windward_tests::tree::copy_tree;

/// Images of every run; `WINDWARD_ROUNDS` asks for more.
const IMAGES: u64 = 60;
/// Images of one spool.
const IMAGES_A_SPOOL: u64 = 20;
/// Envelopes that each of a spool's two lives has made durable.
const BACKLOG: u64 = 250;
/// Least share of the undamaged values that is salvaged.
const SALVAGED: f64 = 0.999;
/// Pages of zeros are of this size, bytes.
const PAGE: usize = 4096;
/// Before each value in sled's file, and before the last one of a commit.
const MAGIC: [&[u8]; 2] = [b"WWv1", b"WWe1"];
/// In the length behind that: the value is an LZ4 block.
const PACKED: u16 = 0x8000;

#[test]
fn what_the_damage_has_not_met_is_salvaged_and_nothing_is_missing_in_silence() -> Result<()> {
    let mut random = Random::new(seed());
    let mut tally = Tally::default();
    let mut spool = None;
    for image in 0..rounds(IMAGES) {
        if image % IMAGES_A_SPOOL == 0 {
            spool = Some(Spool::make(&mut random, image / IMAGES_A_SPOOL)?);
        }
        spool.as_ref().context("one was made")?.damage(&mut random, &mut tally)?;
    }
    tally.tell();
    assert!(tally.bad.is_empty(), "{:#?}", &tally.bad[..tally.bad.len().min(3)]);
    assert!(tally.share() >= SALVAGED, "{:.5} of the undamaged values", tally.share());
    Ok(())
}

/// Where a value lies: file and bytes.
type Place = (PathBuf, Range<usize>);

/// A spool with several generations and a side file, as a killed process has left it.
struct Spool {
    home: TempDir,
    plan: Plan,
    /// The last process has put everything in order.
    was_closed: bool,
    promises: Promises,
    /// Where the values lie.
    places: BTreeMap<(Lane, Seq), Vec<Place>>,
}

/// What has become of the values of one image.
#[derive(Default)]
struct Values {
    damaged: u64,
    undamaged: u64,
    undamaged_lost: u64,
    /// Lost, and nobody says so.
    silent: Vec<(Lane, Seq)>,
}

#[derive(Default)]
struct Tally {
    images: u64,
    /// Images in which the journal told of damage.
    told: u64,
    damaged: u64,
    undamaged: u64,
    undamaged_lost: u64,
    /// Images of which all was set aside, and a new spool begun.
    begun_anew: u64,
    /// Images, by the name of the damaged file.
    files: BTreeMap<String, u64>,
    bad: Vec<String>,
}

impl Spool {
    fn make(random: &mut Random, number: u64) -> Result<Self> {
        let home = scratch()?;
        let blocks = [Blocks::Row, Blocks::Kib, Blocks::Full][(number % 3) as usize];
        let plan = Plan::new(random.bits() >> 1, 0, blocks);
        let said = home.path().join("said");
        // Two lives, so that what the second has found is not all that there is; a backlog is left by the second.
        for (life, has_sink) in [(0, true), (1, false)] {
            let mut life = Life::begin(&home.path().join("spool"), &said, &Plan { life, has_sink, ..plan })?;
            life.go_on_until(|life| life.durable() >= BACKLOG)?;
        }
        // A few more of a process that ends as the power does.
        let was_closed = random.between(0, 1) == 0;
        if !was_closed {
            spool_life(home.path(), &Plan { life: 2, has_sink: false, ..plan }, 50)?.output()?;
        }
        let mut promises = Promises::default();
        promises.hear(&std::fs::read_to_string(said)?)?;
        let mut places: BTreeMap<_, Vec<Place>> = BTreeMap::new();
        for file in files(&home.path().join("spool"))? {
            for (value, range) in values_in(&std::fs::read(&file)?) {
                places.entry(value).or_default().push((file.clone(), range));
            }
        }
        Ok(Self { home, plan, was_closed, promises, places })
    }

    /// One image with one file damaged.
    fn damage(&self, random: &mut Random, tally: &mut Tally) -> Result<()> {
        let spool = self.home.path().join("spool");
        let files: Vec<PathBuf> =
            files(&spool)?.into_iter().filter(|file| file.metadata().is_ok_and(|of| of.len() > 0)).collect();
        let file = &files[random.between(0, files.len() as u64 - 1) as usize];
        let mut bytes = std::fs::read(file)?;
        let (how, ranges) = spoil(&mut bytes, random);
        let name = file.strip_prefix(&spool)?;
        let image = scratch()?;
        copy_tree(&spool, &image.path().join("spool"))?;
        std::fs::write(image.path().join("spool").join(name), &bytes)?;

        // What has been closed may be found by the same boot too.
        let boot = if self.was_closed && random.between(0, 1) == 0 { self.plan.boot } else { self.plan.boot + 1 };
        let plan = Plan { life: 3, boot, ..self.plan };
        let verdict = judge(&image.path().join("spool"), &plan, &self.promises);
        let goes_on = self.goes_on(image.path(), &plan);
        let is_met = |(of, range): &Place| of == file && ranges.iter().any(|met| meet(met, range));
        let values = self.compare(&verdict, |places| places.iter().all(is_met));
        if !values.silent.is_empty() || !verdict.wrong.is_empty() || goes_on.is_err() {
            let evidence = keep(|path| {
                copy_tree(&spool, path)?;
                Ok(std::fs::write(path.join(name), &bytes)?)
            })?;
            tally.bad.push(format!(
                "{}, {how} {ranges:?}: silent {:?}, wrong {:?}, going on {goes_on:?}, told {:?}; kept in {}",
                name.display(),
                values.silent,
                verdict.wrong,
                verdict.damage,
                evidence.display()
            ));
        }
        let kind = name.file_name().unwrap_or_default().to_string_lossy();
        tally.count(kind.split(['-', '.']).next().unwrap_or_default(), &verdict, &values);
        Ok(())
    }

    /// What has become of the values that were promised. `is_met` says whether the damage has met all these places.
    fn compare(&self, verdict: &Verdict, is_met: impl Fn(&[Place]) -> bool) -> Values {
        let mut values = Values::default();
        for &(lane, seq) in self.promises.safe.keys().filter(|(lane, seq)| !self.promises.is_released(*lane, *seq)) {
            let is_lost = verdict.lost.contains(&(lane, seq));
            match self.places.get(&(lane, seq)) {
                Some(places) if !is_met(places) => {
                    values.undamaged += 1;
                    values.undamaged_lost += u64::from(is_lost);
                }
                _ => values.damaged += 1,
            }
            let is_named = verdict.holes.get(&lane).is_some_and(|holes| holes.contains(seq));
            if is_lost && !is_named {
                values.silent.push((lane, seq));
            }
        }
        values
    }

    /// A life on the damaged spool; an error where it gives a number out twice (A2).
    fn goes_on(&self, image: &Path, plan: &Plan) -> Result<()> {
        let said = image.join("said");
        let mut life = Life::begin(&image.join("spool"), &said, plan)?;
        let enough = life.durable() + 20;
        life.go_on_until(|life| life.durable() >= enough)?;
        self.promises.clone().hear(&std::fs::read_to_string(said)?)
    }
}

impl Tally {
    fn count(&mut self, file: &str, verdict: &Verdict, values: &Values) {
        self.images += 1;
        self.told += u64::from(!verdict.damage.is_empty());
        *self.files.entry(file.into()).or_default() += 1;
        self.begun_anew += u64::from(verdict.begun_anew);
        self.damaged += values.damaged;
        self.undamaged += values.undamaged;
        self.undamaged_lost += values.undamaged_lost;
    }

    /// Share of the undamaged values that is salvaged.
    fn share(&self) -> f64 {
        1.0 - self.undamaged_lost as f64 / self.undamaged.max(1) as f64
    }

    fn tell(&self) {
        let Self { images, told, damaged, undamaged, undamaged_lost, begun_anew, files, bad } = self;
        println!(
            "FIGURE damage: {images} images, {told} told of, {} bad; {damaged} values damaged, {undamaged_lost} of {undamaged} \
             others lost ({:.3} % salvaged)",
            bad.len(),
            self.share() * 100.0
        );
        println!("FIGURE damage: {begun_anew} spools set aside as a whole; damaged: {files:?}");
    }
}

/// Damages the bytes; says how, and which of them it has met.
fn spoil(bytes: &mut Vec<u8>, random: &mut Random) -> (&'static str, Vec<Range<usize>>) {
    let last = bytes.len() as u64 - 1;
    match random.between(0, 2) {
        0 => {
            let flips = random.between(1, 8);
            let places: Vec<usize> = (0..flips).map(|_| random.between(0, last) as usize).collect();
            for &place in &places {
                bytes[place] ^= 1 << random.between(0, 7);
            }
            ("bits flipped", places.into_iter().map(|place| place..place + 1).collect())
        }
        1 => {
            let from = random.between(0, last) as usize / PAGE * PAGE;
            let to = (from + PAGE).min(bytes.len());
            bytes[from..to].fill(0);
            ("a page of zeros", std::iter::once(from..to).collect())
        }
        _ => {
            let len = random.between(0, last) as usize;
            bytes.truncate(len);
            ("its end cut off", std::iter::once(len..usize::MAX).collect())
        }
    }
}

fn meet(one: &Range<usize>, other: &Range<usize>) -> bool {
    one.start < other.end && other.start < one.end
}

/// The values in the raw bytes of a file, and where they lie with their heads.
fn values_in(bytes: &[u8]) -> Vec<((Lane, Seq), Range<usize>)> {
    let places = bytes.windows(4).enumerate().filter(|(_, window)| MAGIC.contains(window)).map(|(at, _)| at);
    let value = |at: usize| {
        let (len, rest) = bytes[at + 4..].split_first_chunk::<2>()?;
        let len = u16::from_le_bytes(*len);
        let body = rest.get(..usize::from(len & !PACKED))?;
        let unpacked = (len & PACKED != 0).then(|| lz4_flex::block::decompress(body, MAX_ENVELOPE));
        let envelope = unpacked.unwrap_or_else(|| Ok(body.to_vec())).ok()?;
        let Envelope { lane, seq, .. } = Envelope::decode(&envelope).ok()?;
        Some(((lane, seq), at..at + 6 + body.len()))
    };
    places.filter_map(value).collect()
}

/// All files below a directory.
fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
