//! `windward-agent drill` as a technician runs it: the program itself, on a true disk.
#![allow(clippy::unwrap_used, reason = "a failed test is the report")]

use std::path::Path;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

fn command(dir: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_windward-agent"));
    command.args(["drill", "--quick", "--dir"]).arg(dir).args(more);
    command
}

fn drill(dir: &Path, more: &[&str]) -> (Output, String) {
    let output = command(dir, more).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output, said)
}

/// The first number in the report's line of this name.
fn figure(said: &str, name: &str) -> u64 {
    let line = said.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name} in:\n{said}"));
    let digits: String = line.trim().chars().filter(|c| *c != ',').take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("no figure after {name} in:\n{said}"))
}

fn is_empty(dir: &Path) -> bool {
    std::fs::read_dir(dir).unwrap().next().is_none()
}

#[test]
fn a_quick_drill_loses_nothing_says_what_it_did_and_leaves_nothing_behind() {
    let dir = TempDir::new().unwrap();
    let (output, said) = drill(dir.path(), &["--kills", "3"]);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("WELL: nothing that was confirmed is lost"), "{said}");
    for name in ["confirmed", "stored", "given up", "repeated", "recovery"] {
        assert!(figure(&said, name) > 0, "{name}:\n{said}");
    }
    assert_eq!(figure(&said, "killed"), 3);
    assert_eq!(figure(&said, "lost"), 0);
    assert!(figure(&said, "confirmed") <= figure(&said, "stored") + figure(&said, "given up"), "{said}");
    assert!(is_empty(dir.path()), "{said}");
}

#[test]
fn an_agent_that_forgets_what_it_has_confirmed_is_found_out() {
    let dir = TempDir::new().unwrap();
    let (output, said) = drill(dir.path(), &["--kills", "3", "--fault", "forget"]);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("rows kept, and neither stored nor declared lost: rows "), "{said}");
    assert!(figure(&said, "lost") > 0, "{said}");
    assert!(is_empty(dir.path()), "{said}");
}

#[test]
fn an_agent_that_takes_for_acked_what_is_not_is_found_out_and_its_spool_can_be_looked_at() {
    let dir = TempDir::new().unwrap();
    let (output, said) = drill(dir.path(), &["--kills", "1", "--fault", "forge", "--keep"]);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("numbers that never came and that no gap record declares"), "{said}");
    assert!(figure(&said, "lost") > 0, "{said}");
    let kept = std::fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap().path();
    assert!(said.contains(&format!("kept: {}", kept.display())), "{said}");
    assert!(kept.join("spool").is_dir() && kept.join("agent.log").is_file());
}

#[test]
fn a_drill_that_is_stopped_takes_its_folder_away() {
    let dir = TempDir::new().unwrap();
    let mut running = command(dir.path(), &[]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    // Its first line says that it works.
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(running.stderr.take().unwrap()));
    assert_eq!(lines.next().unwrap().unwrap(), "1 of 6: how fast the disk commits");
    assert!(!is_empty(dir.path()));
    let stopped = Command::new("kill").args(["-INT", &running.id().to_string()]).status().unwrap();
    assert!(stopped.success());
    assert_eq!(running.wait().unwrap().code(), Some(130));
    assert!(is_empty(dir.path()));
}

#[test]
fn what_cannot_be_drilled_is_said() {
    let dir = TempDir::new().unwrap();
    let (output, said) = drill(&dir.path().join("missing"), &[]);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("there is no folder") && said.contains("--dir"), "{said}");
}
