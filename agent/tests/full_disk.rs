//! The spool on a disk that is full or takes nothing: a small tmpfs, filled from outside. Mounting it needs root; without,
//! these tests say so and see nothing.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use windward_agent::forward::journal::conformance::{EPOCH, value};
use windward_agent::forward::journal::{Found, Journal as _, Numbered};
use windward_agent::io::spool::{self, Options, SideFiles, SledJournal};
use windward_protocol::{Lane, Seq};

/// A mounted tmpfs of 24 MiB.
struct Disk(tempfile::TempDir);

impl Disk {
    /// `None` where mounting is not permitted.
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=24m", "tmpfs"]).arg(dir.path()).output();
        if !mounted.is_ok_and(|output| output.status.success()) {
            eprintln!("SKIPPED: mounting a tmpfs is not permitted here");
            return None;
        }
        Some(Self(dir))
    }

    fn spool(&self) -> PathBuf {
        self.0.path().join("data").join("spool")
    }

    /// Another program takes all that is left, but for `bytes`.
    fn fill(&self, bytes: u64) {
        let path = self.0.path().join("other");
        let mut file = File::options().create(true).append(true).open(&path).unwrap();
        while file.write_all(&[7; 64 * 1024]).is_ok() {}
        while file.write_all(&[7; 512]).is_ok() {}
        let len = file.metadata().unwrap().len();
        file.set_len(len - bytes).unwrap();
    }

    fn empty(&self) {
        fs::remove_file(self.0.path().join("other")).unwrap();
    }

    fn remount(&self, how: &str) {
        let remounted = Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(self.0.path()).status();
        assert!(remounted.unwrap().success(), "remount,{how}");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: sled's threads may hold a file for a moment longer.
        drop(Command::new("umount").arg("-l").arg(self.0.path()).status());
    }
}

fn open(dir: &Path) -> (SledJournal, Found) {
    let (generation_bytes, ballast_bytes) = (64 * 1024, 1024 * 1024);
    spool::open(dir, &Options { epoch: EPOCH, boot: 1, label: "test".into(), generation_bytes, ballast_bytes }).unwrap()
}

fn values(lane: Lane, first: Seq, last: Seq) -> Vec<Numbered> {
    (first..=last).map(|seq| value(lane, seq)).collect()
}

/// Everything on disk from `from` on is there, to `last`.
fn assert_kept(journal: &mut SledJournal, lane: Lane, mut from: Seq, last: Seq) {
    while from <= last {
        let part = journal.read(lane, from, 64 * 1024).unwrap();
        let to = from + part.len() as u64 - 1;
        assert_eq!(part, values(lane, from, to));
        from = to + 1;
    }
}

/// Commits a thousand readings at a time until the disk is full. Gives the last one confirmed.
fn until_full(journal: &mut SledJournal, mut last: Seq) -> Seq {
    while !journal.room().is_full {
        journal.commit(&[], &values(Lane::Readings, last + 1, last + 1_000)).unwrap();
        last += 1_000;
        assert!(last < 1_000_000, "the disk does not fill");
    }
    last
}

#[test]
fn on_a_full_disk_the_ballast_makes_room_and_the_oldest_readings_bring_it_back() {
    let Some(disk) = Disk::mount() else { return };
    let (mut journal, _) = open(&disk.spool());
    journal.commit(&values(Lane::Alerts, 1, 5), &values(Lane::Readings, 1, 10_000)).unwrap();
    disk.fill(256 * 1024);
    let last = until_full(&mut journal, 10_000);
    assert!(!disk.spool().join("ballast").exists());
    journal.commit(&values(Lane::Alerts, 6, 6), &[]).unwrap();

    let mut freed = 0;
    while journal.room().is_full {
        let oldest = journal.room().oldest.expect("there is something to drop").range;
        assert!(oldest.first <= freed + 1 && oldest.last > freed, "{oldest:?} after {freed}");
        freed = oldest.last;
        journal.free(Lane::Readings, freed).unwrap();
    }
    assert_eq!(disk.spool().join("ballast").metadata().unwrap().len(), 1024 * 1024);
    assert_kept(&mut journal, Lane::Alerts, 1, 6);
    assert_kept(&mut journal, Lane::Readings, freed + 1, last);
}

#[test]
fn a_start_on_a_full_disk_works() {
    let Some(disk) = Disk::mount() else { return };
    let (mut journal, _) = open(&disk.spool());
    journal.commit(&values(Lane::Alerts, 1, 5), &values(Lane::Readings, 1, 2_000)).unwrap();
    drop(journal);
    disk.fill(0);
    let (mut journal, found) = open(&disk.spool());
    assert_eq!((found.readings.high_water, found.damage), (2_000, vec![]));
    journal.commit(&values(Lane::Alerts, 6, 6), &values(Lane::Readings, 2_001, 2_010)).unwrap();
    assert!(journal.room().is_full);
    assert_kept(&mut journal, Lane::Alerts, 1, 6);
    assert_kept(&mut journal, Lane::Readings, 1, 2_010);
    disk.empty();
    journal.commit(&[], &[]).unwrap();
    assert!(!journal.room().is_full, "an empty commit sees that there is room again");
}

#[test]
fn when_the_ballast_is_used_up_commits_fail_until_there_is_room_and_nothing_confirmed_is_lost() {
    let Some(disk) = Disk::mount() else { return };
    let (mut journal, _) = open(&disk.spool());
    disk.fill(0);
    let mut last = 0;
    while journal.commit(&[], &values(Lane::Readings, last + 1, last + 1_000)).is_ok() {
        last += 1_000;
        assert!(last < 1_000_000, "the disk does not fill");
    }
    for _ in 0..3 {
        assert!(journal.commit(&[], &values(Lane::Readings, last + 1, last + 1_000)).is_err());
        assert!(journal.room().is_full);
    }
    assert_eq!(journal.read(Lane::Readings, 1, 1).map(|values| values.len()), Ok(1), "what is sealed can be read");
    disk.empty();
    journal.commit(&values(Lane::Alerts, 1, 1), &values(Lane::Readings, last + 1, last + 1_000)).unwrap();
    journal.commit(&[], &[]).unwrap();
    assert!(!journal.room().is_full);
    assert_kept(&mut journal, Lane::Readings, 1, last + 1_000);
    drop(journal);
    let (_, found) = open(&disk.spool());
    assert_eq!((found.readings.holes(), found.damage), (vec![], vec![]));
}

#[test]
fn a_disk_that_takes_nothing_is_no_damage_and_works_again_by_itself() {
    let Some(disk) = Disk::mount() else { return };
    let (mut journal, _) = open(&disk.spool());
    journal.commit(&values(Lane::Alerts, 1, 5), &values(Lane::Readings, 1, 2_000)).unwrap();
    drop(journal);
    // sled's threads let go of the file a moment after; a file that is open for writing keeps the disk writable.
    let mut tries = 0..200;
    while !Command::new("mount").args(["-o", "remount,ro"]).arg(disk.0.path()).status().unwrap().success() {
        assert!(tries.next().is_some(), "the disk stays writable");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let (mut journal, found) = open(&disk.spool());
    assert_eq!((found.readings.high_water, found.damage), (2_000, vec![]));
    let next = values(Lane::Readings, 2_001, 2_010);
    for _ in 0..2 {
        assert!(journal.commit(&[], &next).unwrap_err().to_string().contains("Read-only"));
    }
    disk.remount("rw");
    journal.commit(&[], &next).unwrap();
    assert_kept(&mut journal, Lane::Readings, 1, 2_010);
    assert!(!disk.spool().join("quarantine").exists());
}

#[test]
fn side_files_stay_until_a_disk_that_took_nothing_has_taken_a_commit() {
    for how in ["full", "ro"] {
        let Some(disk) = Disk::mount() else { return };
        let (journal, _) = open(&disk.spool());
        let mut side = SideFiles::start(&disk.spool()).unwrap();
        side.append(1, b"of an earlier run").unwrap();
        drop((journal, side));
        if how == "full" {
            disk.fill(0)
        } else {
            disk.remount("ro")
        }
        let (journal, found) = open(&disk.spool());
        let mut side = SideFiles::start(&disk.spool()).unwrap();
        assert_eq!(found.side_files, [b"of an earlier run".to_vec()], "{how}");
        if how == "ro" {
            assert!(side.append(1, b"refused").is_err());
            disk.remount("rw");
        } else {
            disk.empty();
        }
        side.append(1, b"of this run").unwrap();
        drop(journal);
        assert_eq!(open(&disk.spool()).1.side_files, [b"of an earlier run".to_vec(), b"of this run".to_vec()]);
        side.remove(1).unwrap();
        assert_eq!(open(&disk.spool()).1.side_files, [] as [Vec<u8>; 0]);
    }
}
