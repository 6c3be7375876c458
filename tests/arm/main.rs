//! The agent for ARM gateways under qemu's emulation of a process, against servers that are not ours and a sink for this
//! machine. `WINDWARD_ARM` is a folder of programs, named by their architecture; `tests/arm/run` makes it.

#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

#[allow(dead_code, reason = "the end-to-end tests use more of it")]
#[path = "../e2e/system.rs"]
mod system;

use anyhow::{Context as _, Result, ensure};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use system::{Program, SOON, agent_toml, ask, kept, sink_toml};
use windward_tests::peers::{Mosquitto, PyModbus, there};
use windward_tests::process::{eventually, free_port, program};
use windward_tests::stored;

/// Reads in which the detector learns the usual wind; a row takes two.
const LEARNED: u64 = 260;

/// The programs, by the names of their architectures.
fn programs() -> Result<Vec<(String, PathBuf)>> {
    let dir = std::env::var_os("WINDWARD_ARM").context("WINDWARD_ARM names no folder; tests/arm/run makes one")?;
    let names = ["aarch64", "armv7"].into_iter();
    let programs: Vec<_> = names.map(|name| (name.to_owned(), Path::new(&dir).join(name))).collect();
    ensure!(programs.iter().all(|(_, path)| path.exists()), "not all of {programs:?} are there");
    Ok(programs)
}

/// What a program says when it is asked to its end, which must be a good one.
fn said(program: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} {arguments:?}: {}: {errors}", program.display(), output.status);
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn on_every_machine_it_says_the_same_of_itself_and_of_history() -> Result<()> {
    let here = program("windward-agent")?;
    let dir = tempfile::tempdir()?;
    let table = dir.path().join("wind.csv");
    fs::write(&table, history())?;
    let replay = |program: &Path, name: &str| -> Result<(String, Vec<u8>)> {
        let out = dir.path().join(name);
        let words = said(program, &["replay", table.to_str().unwrap(), "--out", out.to_str().unwrap()])?;
        Ok((words.replace(name, ""), fs::read(out)?))
    };
    let known = replay(&here, "here")?;
    ensure!(known.0.contains("alert"), "the history has a fault: {}", known.0);
    for (name, program) in programs()? {
        for arguments in [&["--version"][..], &["profiles"], &["profiles", "gill-windsonic"]] {
            assert_eq!(said(&program, arguments)?, said(&here, arguments)?, "{name}");
        }
        assert!(replay(&program, &name)? == known, "{name}: the table is judged otherwise than here");
        println!(
            "FIGURE {name}: {} judged rows are the same to the bit as on x86-64",
            known.1.split(|b| *b == b'\n').count()
        );
    }
    Ok(())
}

/// An hour of wind at 1 Hz, made of a few waves, in which the anemometer comes to stand still.
fn history() -> String {
    let wave = |second: f64, period: f64| (second * std::f64::consts::TAU / period).sin();
    let speed = |second: u32| match f64::from(second) {
        second if second < 3000.0 => 9.0 + 2.0 * wave(second, 61.0) + wave(second, 7.3) + 0.4 * wave(second, 2.9),
        _ => 9.3,
    };
    let rows = (0..3600).map(|second| format!("{},{:.2}\n", 1_795_182_840 + second, speed(second)));
    std::iter::once("timestamp,wind\n".to_owned()).chain(rows).collect()
}

/// Damage in the store shows itself as a panic, which must be caught where the store is opened. Here one ends the program
/// in good order, as one that unwinds does: the pipe that it prints to is closed.
#[test]
fn on_every_machine_a_panic_unwinds() -> Result<()> {
    for (name, program) in programs()? {
        let (nobody, pipe) = std::io::pipe()?;
        drop(nobody);
        let status = Command::new(program).arg("profiles").stdout(pipe).stderr(Stdio::null()).status()?;
        assert_eq!(status.code(), Some(101), "{name}: {status}");
    }
    Ok(())
}

#[test]
fn on_every_machine_it_passes_its_own_drill() -> Result<()> {
    for (name, program) in programs()? {
        let dir = tempfile::tempdir()?;
        let words = said(&program, &["drill", "--quick", "--kills", "3", "--dir", dir.path().to_str().unwrap()])?;
        ensure!(words.contains("WELL: nothing that was confirmed is lost"), "{name}: {words}");
        for line in words.lines().filter(|line| ["confirmed", "killed", "lost"].iter().any(|of| line.starts_with(of))) {
            println!("FIGURE {name}: {line}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_left_out_is_refused_by_name() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let device = "[[device]]\nprofile = \"gill-windsonic\"\nserial = { port = \"/dev/null\" }\n";
    for (name, path) in programs()? {
        let mut agent = Program::new("windward-agent", dir.path(), &agent_toml("t", dir.path(), 1, device))?;
        agent.instead(path);
        let (_, words) = agent.check(&[]).await?;
        // The one for 32 bits is built with the least.
        assert_eq!(words.contains("(feature `serial`)"), name == "armv7", "{name}: {words}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_read_is_lost_and_an_alert_arrives_through_kills_and_a_damaged_disk() -> Result<()> {
    if !there()? {
        return Ok(());
    }
    for (name, path) in programs()? {
        through_kills(&name, path).await.with_context(|| name.clone())?;
    }
    Ok(())
}

async fn through_kills(name: &str, path: PathBuf) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (mut device, port) = PyModbus::tcp().await?;
    device.tell(r#"{"set": {"0": 800}, "wobble": 60}"#)?;
    let mut broker = Mosquitto::start(dir.path()).await?;
    let (http, file) = (free_port()?, dir.path().join("farm.db"));
    let sink = sink_toml(broker.port(), &format!("sqlite = {file:?}"), "", http);
    let mut sink = Program::new("windward-sink", dir.path(), &sink)?;
    let mut agent = Program::new("windward-agent", dir.path(), &config(dir.path(), broker.port(), port))?;
    agent.instead(path);
    sink.start()?;
    let (well, words) = agent.check(&[]).await?;
    ensure!(well, "check: {words}");
    agent.start()?;

    go_on(&mut device, LEARNED).await?;
    device.tell(r#"{"set": {"0": 3400}}"#)?;
    eventually(SOON, "an alert in the sink's table", async || {
        agent.check_alive()?;
        // The sink's page may not be up yet.
        let alerts =
            ask(http, "/api/v1/alerts?limit=10").ok().and_then(|answer| answer["alerts"].as_array().map(Vec::len));
        Ok(alerts.filter(|count| *count > 0))
    })
    .await?;

    broker.kill()?;
    go_on(&mut device, 60).await?;
    agent.kill()?;
    agent.start()?;
    go_on(&mut device, 60).await?;
    broker.restart().await?;
    go_on(&mut device, 60).await?;
    let (taken, twice) = all_stored(&mut device, &mut agent, &file).await?;
    println!("FIGURE {name}: broker killed, agent killed meanwhile: {taken} rows taken, 0 missing, {twice} twice");
    ensure!(twice == 0 && taken > 200, "{taken} rows taken, {twice} twice");

    agent.kill()?;
    spoil(&dir.path().join("turbine-01/spool"))?;
    device.tell(r#"{"exception": 0}"#)?;
    agent.start()?;
    go_on(&mut device, 60).await?;
    all_stored(&mut device, &mut agent, &file).await?;
    let words = agent.output();
    // Where sled finds it at once, it is opened without what it remembers; else what is missing is told.
    let told = ["opening once more", "the spool was damaged"].iter().any(|told| words.contains(told));
    ensure!(told, "no damage told: {words}");
    println!("FIGURE {name}: the damaged spool was told, and the agent went on");
    agent.stop().await?;
    sink.stop().await
}

/// Lets the device answer no more, and waits until all that was taken is stored; gives how many rows were taken, and how
/// many are stored twice.
async fn all_stored(device: &mut PyModbus, agent: &mut Program, file: &Path) -> Result<(usize, usize)> {
    device.tell(r#"{"exception": 6}"#)?;
    eventually(SOON, "everything taken to be stored", async || {
        agent.check_alive()?;
        let first = |row: &(i64, Option<f64>)| row.1.map(|sequence| sequence as u64);
        let taken: BTreeSet<u64> = kept(&agent.output()).values().flatten().filter_map(first).collect();
        let stored: Vec<u64> = stored::rows(file)?
            .values()
            .flat_map(|stored| stored.values("sequence"))
            .filter_map(|sequence| sequence.ok().map(|sequence| sequence as u64))
            .collect();
        let there: BTreeSet<u64> = stored.iter().copied().collect();
        Ok(taken.is_subset(&there).then_some((taken.len(), stored.len() - there.len())))
    })
    .await
}

/// Waits until the device has answered so many more reads.
async fn go_on(device: &mut PyModbus, reads: u64) -> Result<()> {
    let until = device.tell("{}")? + reads;
    eventually(SOON, "the stream to go on", async || Ok((device.tell("{}")? >= until).then_some(()))).await
}

/// Flips bits all over each store below a folder.
fn spoil(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            spoil(&path)?;
        } else if path.ends_with("db") {
            let mut bytes = fs::read(&path)?;
            bytes.iter_mut().step_by(97).for_each(|byte| *byte ^= 0x55);
            fs::write(&path, bytes)?;
        }
    }
    Ok(())
}

fn config(dir: &Path, broker: u16, device: u16) -> String {
    // Few readings to learn from: a test has no hours.
    let detect = "[detect]\nwarm_up = 40\nsample_size = 64\nthreshold = 2.0\n";
    let text = agent_toml("turbine-01", dir, broker, detect);
    format!(
        "{text}[[device]]\nname = \"mast\"\nlocation = \"Turbine 1, mast\"\ninterval_ms = 50\ntimeout_ms = 45\n\
         modbus_tcp = {{ host = \"127.0.0.1\", port = {device} }}\n\
         [[device.channel]]\nname = \"sequence\"\nunit = \"1\"\nregister = 100\ntype = \"u32\"\ndetect = false\n\
         [[device.channel]]\nname = \"wind\"\nquantity = \"wind-speed\"\nunit = \"m/s\"\nregister = 0\n\
         type = \"u16\"\nscale = 0.01\n"
    )
}
