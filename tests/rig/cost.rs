//! A program that is measured: what it has cost over all its lives, from proc(5), and its syncs, by strace.

use crate::peers::find;
use crate::process::{Process, eventually};
use anyhow::{Context as _, Result};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Ticks of processor time in a second: USER_HZ, 100 on every Linux of today.
const TICKS: f64 = 100.0;
/// How long strace may take to begin and to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a process has used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// Processor time, s.
    pub cpu_s: f64,
    /// Bytes to disk: those whose pages it has made dirty, less those that were gone before they were written.
    pub written: f64,
}

impl Cost {
    fn of(id: u32) -> Result<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat"))?;
        // The name may hold spaces: fields are counted after its closing bracket.
        let (_, fields) = stat.rsplit_once(')').context("no name in stat")?;
        let ticks = |field: Option<&str>| field.and_then(|field| field.parse::<f64>().ok()).context("a short stat");
        let mut times = fields.split_whitespace().skip(11);
        let cpu_s = (ticks(times.next())? + ticks(times.next())?) / TICKS;
        let io = std::fs::read_to_string(format!("/proc/{id}/io"))?;
        let written = number_after(&io, "\nwrite_bytes:")? - number_after(&io, "cancelled_write_bytes:")?;
        Ok(Self { cpu_s, written })
    }

    /// What was used since then.
    pub fn since(self, before: Self) -> Self {
        Self { cpu_s: self.cpu_s - before.cpu_s, written: self.written - before.written }
    }
}

/// A program: started, killed and started again with the same arguments.
#[derive(Debug)]
pub struct Program {
    name: &'static str,
    path: PathBuf,
    arguments: Vec<OsString>,
    /// Its RUST_LOG.
    pub log: &'static str,
    process: Option<Process>,
    /// Output of its lives before.
    said: String,
}

impl Program {
    /// One that does not run yet; `name` is for messages.
    pub fn new<const N: usize>(name: &'static str, path: PathBuf, arguments: [OsString; N]) -> Self {
        let arguments = arguments.to_vec();
        Self { name, path, arguments, log: "warn", process: None, said: String::new() }
    }

    /// Starts it.
    pub fn start(&mut self) -> Result<()> {
        let mut command = Command::new(&self.path);
        command.args(&self.arguments).env("RUST_LOG", self.log).env("NO_COLOR", "1");
        self.process = Some(Process::start(self.name, &mut command)?);
        Ok(())
    }

    /// SIGKILL.
    pub fn kill(&mut self) -> Result<()> {
        let process = self.process.as_mut().context("is not running")?;
        process.check_alive()?;
        process.kill()?;
        self.said.push_str(&process.output());
        self.process = None;
        Ok(())
    }

    /// SIGTERM; the end must be a good one.
    pub async fn stop(&mut self) -> Result<()> {
        let process = self.process.as_mut().context("is not running")?;
        let status = process.terminate(PATIENCE).await?;
        anyhow::ensure!(status.success(), "{} stopped with {status}, see {}", self.name, process.log().display());
        self.said.push_str(&process.output());
        self.process = None;
        Ok(())
    }

    /// Waits until it listens at this port of the loopback address.
    pub async fn listens(&mut self, port: u16) -> Result<()> {
        let process = self.process.as_mut().context("is not running")?;
        process.listens(std::net::SocketAddr::from(([127, 0, 0, 1], port)), PATIENCE).await
    }

    /// Fails when it has ended by itself.
    pub fn check_alive(&mut self) -> Result<()> {
        self.process.as_mut().context("is not running")?.check_alive()
    }

    /// Everything it has said, in all its lives.
    pub fn output(&self) -> String {
        let now = self.process.as_ref().map(Process::output).unwrap_or_default();
        format!("{}{now}", self.said)
    }

    /// What its present life has cost so far.
    pub fn cost(&self) -> Result<Cost> {
        Cost::of(self.id()?)
    }

    /// Proportional set size, KiB.
    pub fn pss_kib(&self) -> Result<f64> {
        number_after(&std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.id()?))?, "\nPss:")
    }

    /// Calls of fsync and fdatasync while `pass` passes; `None` without strace.
    pub async fn syncs(&self, dir: &Path, pass: impl AsyncFnOnce()) -> Result<Option<f64>> {
        let Some(strace) = find("strace") else { return Ok(None) };
        let table = dir.join("strace");
        let mut command = Command::new(strace);
        command.args(["-f", "-c", "-e", "trace=fsync,fdatasync", "-o"]).arg(&table);
        command.arg("-p").arg(self.id()?.to_string());
        let mut strace = Process::start("strace", &mut command)?;
        eventually(PATIENCE, "strace to begin", async || {
            strace.check_alive()?;
            Ok(strace.output().contains("attached").then_some(()))
        })
        .await?;
        pass().await;
        // A trace that is ended says so with its status.
        let _status = strace.terminate(PATIENCE).await?;
        let table = std::fs::read_to_string(table)?;
        let calls = |line: &str| -> Option<f64> {
            let fields: Vec<&str> = line.split_whitespace().collect();
            ["fsync", "fdatasync"].contains(fields.last()?).then(|| fields.get(3)?.parse().ok()).flatten()
        };
        Ok(Some(table.lines().filter_map(calls).sum()))
    }

    fn id(&self) -> Result<u32> {
        Ok(self.process.as_ref().context("is not running")?.id())
    }
}

/// The number behind a name in one of the kernel's files.
fn number_after(text: &str, name: &str) -> Result<f64> {
    let (_, rest) = text.split_once(name).with_context(|| format!("no {}", name.trim()))?;
    Ok(rest.split_whitespace().next().context("no number")?.parse()?)
}
