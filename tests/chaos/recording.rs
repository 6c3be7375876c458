//! What a process did to its files, as `recorder.c` has written it down.

use anyhow::{Context as _, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;
use windward_tests::life::Plan;
use windward_tests::process::program;

/// One call that changed something, or made it durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Open { fd: i64, path: PathBuf, creates: bool, truncates: bool },
    Write { fd: i64, offset: usize, bytes: Vec<u8> },
    Truncate { fd: i64, len: usize },
    Rename { from: PathBuf, to: PathBuf },
    Unlink(PathBuf),
    MakeDir(PathBuf),
    RemoveDir(PathBuf),
    Sync { fd: i64, only_data: bool },
}

/// Flags of open(2) on Linux; the same on x86, ARM and RISC-V.
const O_CREAT: i64 = 0o100;
const O_TRUNC: i64 = 0o1000;

/// One life with its calls recorded: the spool is `root/spool`, what was promised `root/said`.
pub(crate) fn record(recorder: &Path, root: &Path, plan: &Plan, steps: u64) -> Result<Vec<Call>> {
    let log = root.with_extension("log");
    let mut command = spool_life(root, plan, steps)?;
    command.env("RECORD_ROOT", root).env("RECORD_LOG", &log).env("LD_PRELOAD", recorder);
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the life ended with {}: {said}", output.status);
    let calls = parse(&std::fs::read(&log)?)?;
    std::fs::remove_file(&log)?;
    Ok(calls)
}

/// The command for one life in `root`.
pub(crate) fn spool_life(root: &Path, plan: &Plan, steps: u64) -> Result<Command> {
    let mut command = Command::new(program("spool-life")?);
    command.arg(root.join("spool")).arg(root.join("said"));
    command.args([plan.seed.to_string(), plan.life.to_string(), plan.boot.to_string()]);
    command.args([plan.blocks.name(), &plan.has_sink.to_string(), &steps.to_string()]);
    Ok(command)
}

fn parse(mut log: &[u8]) -> Result<Vec<Call>> {
    let mut calls = Vec::new();
    while !log.is_empty() {
        let mut head = [0i64; 5];
        for field in &mut head {
            let (bytes, rest) = log.split_first_chunk::<8>().context("half a record")?;
            (*field, log) = (i64::from_ne_bytes(*bytes), rest);
        }
        let [kind, fd, offset, a, b] = head;
        let (a, rest) = log.split_at_checked(usize::try_from(a)?).context("half a record")?;
        let (b, rest) = rest.split_at_checked(usize::try_from(b)?).context("half a record")?;
        log = rest;
        let path = |bytes: &[u8]| PathBuf::from(String::from_utf8_lossy(bytes).into_owned());
        calls.push(match u8::try_from(kind)? {
            b'o' => Call::Open { fd, path: path(a), creates: offset & O_CREAT != 0, truncates: offset & O_TRUNC != 0 },
            b'w' => Call::Write { fd, offset: usize::try_from(offset)?, bytes: a.to_vec() },
            b't' => Call::Truncate { fd, len: usize::try_from(offset)? },
            b'r' => Call::Rename { from: path(a), to: path(b) },
            b'u' => Call::Unlink(path(a)),
            b'm' => Call::MakeDir(path(a)),
            b'd' => Call::RemoveDir(path(a)),
            b's' => Call::Sync { fd, only_data: false },
            b'f' => Call::Sync { fd, only_data: true },
            other => anyhow::bail!("a record of kind {other}"),
        });
    }
    Ok(calls)
}
