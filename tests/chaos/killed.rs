//! SIGKILL at any moment: all that was confirmed, and every row that stood in a side file, is there.

use crate::judge::judge;
use crate::recording::spool_life;
use crate::{keep, rounds, scratch, seed};
use anyhow::Result;
use std::process::Stdio;
use std::time::Duration;
use windward_tests::life::{Blocks, Plan};
use windward_tests::random::Random;
use windward_tests::said::Promises;
use windward_tests::tree::copy_tree;

/// Kills of every run; `WINDWARD_ROUNDS` asks for more.
const KILLS: u64 = 45;
/// Kills of one spool.
const LIVES: u64 = 15;
/// A life that is not killed ends here, which none does.
const STEPS: u64 = u64::MAX;

#[test]
fn nothing_confirmed_and_no_row_of_a_side_file_is_lost_to_a_kill() -> Result<()> {
    let mut random = Random::new(seed());
    let (mut promises, mut home) = (Promises::default(), scratch()?);
    let (mut rows, mut safe) = (0, 0);
    for kill in 0..rounds(KILLS) {
        let blocks = [Blocks::Row, Blocks::Kib, Blocks::Full][(kill / LIVES % 3) as usize];
        let plan = Plan { boot: 1, ..Plan::new(random.bits() >> 1, kill % LIVES, blocks) };
        if plan.life == 0 {
            (promises, home) = (Promises::default(), scratch()?);
        }
        let mut life = spool_life(home.path(), &plan, STEPS)?.stderr(Stdio::piped()).spawn()?;
        // Not to wait for something: to kill at any step, often while it opens what the kill before has left.
        let most_us = if random.between(0, 2) == 0 { 20_000 } else { 150_000 };
        std::thread::sleep(Duration::from_micros(random.between(0, most_us)));
        life.kill()?;
        let output = life.wait_with_output()?;
        assert!(output.status.code().is_none(), "it ended by itself: {}", String::from_utf8_lossy(&output.stderr));
        let said = std::fs::read_to_string(home.path().join("said")).unwrap_or_default();
        promises.hear(&said)?;
        std::fs::remove_file(home.path().join("said")).ok();
        let verdict = judge(&home.path().join("spool"), &plan, &promises);
        (rows, safe) = (rows + promises.kept.len(), safe + promises.safe.len());
        if !verdict.is_good() || !verdict.rows_lost.is_empty() || !verdict.damage.is_empty() {
            let evidence = keep(|path| copy_tree(home.path(), path))?;
            panic!("kill {kill}, {plan:?}, {}: {verdict:?}", evidence.display());
        }
    }
    println!("FIGURE {} SIGKILLs: {safe} envelopes and {rows} rows looked for, 0 missing", rounds(KILLS));
    Ok(())
}
