//! The disk is full: what was confirmed is there, alerts go on as long as they can, and the spool comes back by itself
//! when there is room.
//!
//! The disk is a small one in memory, mounted in a name space of its own, which needs a system that allows it.

use crate::judge::judge;
use crate::{scratch, seed};
use anyhow::{Context as _, Result, ensure};
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use windward_tests::life::{Blocks, Life, Plan};
use windward_tests::random::Random;
use windward_tests::said::Promises;

/// Size of the disk, bytes.
const DISK: u64 = 8 * 1024 * 1024;
/// Kept free by the spool.
const BALLAST: u64 = 1024 * 1024;
/// Times that the disk becomes full.
const ROUNDS: u64 = 12;
/// In this variable the test is told that it runs in the name space already.
const INSIDE: &str = "WINDWARD_CHAOS_DISK";

#[test]
fn a_full_disk_loses_nothing_confirmed_and_the_spool_recovers_when_there_is_room() -> Result<()> {
    if let Some(disk) = std::env::var_os(INSIDE) {
        return fill_again_and_again(Path::new(&disk));
    }
    let disk = scratch()?;
    let unshare = |program: &Path| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount"]).arg(program);
        command
    };
    let mount = ["-t", "tmpfs", "-o", &format!("size={DISK}"), "none"];
    let probe = unshare(Path::new("mount")).args(mount).arg(disk.path()).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        println!("SKIPPED: a full disk, for this system allows no mount in a name space of its own");
        return Ok(());
    }
    let script = format!("mount -t tmpfs -o size={DISK} none \"${INSIDE}\" && exec \"$0\" \"$@\"");
    let name = "full_disk::a_full_disk_loses_nothing_confirmed_and_the_spool_recovers_when_there_is_room";
    let output = unshare(Path::new("sh"))
        .args(["-c", &script])
        .arg(std::env::current_exe()?)
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, disk.path())
        .output()?;
    // Its figures are this test's; its own summary is nobody's.
    let said = String::from_utf8_lossy(&output.stdout);
    said.lines().filter(|line| line.contains("FIGURE") || line.contains("seed:")).for_each(|line| println!("{line}"));
    ensure!(output.status.success(), "{}: {said}{}", output.status, String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn fill_again_and_again(disk: &Path) -> Result<()> {
    let mut random = Random::new(seed());
    let (spool, said, home) = (disk.join("spool"), "said", scratch()?);
    let said = home.path().join(said);
    let mut promises = Promises::default();
    let (mut refused, mut alarms, mut durable_when_full) = (0, 0, 0);
    let plan = Plan { boot: 1, ballast_bytes: BALLAST, ..Plan::new(random.bits() >> 1, 0, Blocks::Row) };
    let mut life = Life::begin(&spool, &said, &plan)?;
    for round in 1..=ROUNDS {
        let enough = life.durable() + random.between(20, 200);
        life.go_on_until(|life| life.durable() >= enough)?;
        fill(&disk.join("filler"), random.between(0, 64 * 1024))?;
        let before = life.durable();
        let steps = random.between(200, 2_000);
        for step in 0..steps {
            life.step()?;
            if step == steps / 2 {
                // Somebody takes what the spool has kept free, as soon as it gives it up.
                fill(&disk.join("another"), 0)?;
            }
        }
        durable_when_full += life.durable() - before;
        if random.between(0, 1) == 0 {
            // It ends, and is started again while the disk is full.
            (refused, alarms) = (refused + life.refused, alarms + life.alarms);
            drop(life);
            let plan = Plan { life: round, ..plan };
            life = Life::begin(&spool, &said, &plan).context("a start waits for no room (A7)")?;
            for _ in 0..500 {
                life.step()?;
            }
        }
        make_room(disk)?;
        let enough = life.durable() + 50;
        life.go_on_until(|life| life.durable() >= enough && !life.is_failing()).context("when there is room again")?;
    }
    (refused, alarms) = (refused + life.refused, alarms + life.alarms);
    drop(life);
    promises.hear(&std::fs::read_to_string(&said)?)?;
    let verdict = judge(&spool, &Plan { life: ROUNDS + 1, ..plan }, &promises);
    println!(
        "FIGURE disk full {ROUNDS} times: {} envelopes and {} rows promised, {} and {} lost, {durable_when_full} envelopes \
         durable while it was full, {refused} commits refused, no start, {alarms} alarms",
        promises.safe.len(),
        promises.kept.len(),
        verdict.lost.len(),
        verdict.rows_lost.len()
    );
    assert!(verdict.is_good() && verdict.rows_lost.is_empty() && verdict.damage.is_empty(), "{verdict:?}");
    assert!(alarms >= 2, "A5: a spool that fails, and works again, is told");
    Ok(())
}

fn make_room(disk: &Path) -> Result<()> {
    for name in ["filler", "another"] {
        std::fs::remove_file(disk.join(name)).ok();
    }
    Ok(())
}

/// Fills the disk but for `left` bytes.
fn fill(file: &Path, left: u64) -> Result<()> {
    let mut file = File::create(file)?;
    while file.write_all(&[0; 4096]).is_ok() {}
    let len = file.metadata()?.len();
    Ok(file.set_len(len.saturating_sub(left))?)
}
