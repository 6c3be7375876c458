//! `probe`: finds out what hangs on a line, how it is set, and how it is read; only ever reads.
//!
//! A serial port is listened to first, for devices that speak by themselves; then settings and slaves are swept, and
//! what answers is examined. What it all means is decided in [`crate::probe`].

mod examine;
mod line;
mod listen;
mod show;
mod sweep;

pub use show::show;

use super::progress::Progress;
use crate::config::{Framing, Link, Parity};
use crate::probe::sweep::{bauds, settings, usual_slaves};
use crate::probe::{Known, known};
use examine::Finding;
use line::Line;
use std::io::{self, Write};
use std::path::PathBuf;
use sweep::Present;

/// A slave over TCP has this long to answer, ms, unless told otherwise.
const TCP_TIMEOUT_MS: u32 = 500;
/// Once a slave is found it is given more time than in the sweep, ms at least.
const PATIENT_MS: u32 = 400;
/// When so many slaves are asked over TCP and each of them answers, it is one device that answers to any address.
const ALL_THE_SAME: usize = 4;

/// A serial port to probe. An empty list stands for "what is usual".
#[derive(Clone, Debug, Default)]
pub struct Serial {
    /// Path of the port.
    pub port: PathBuf,
    /// Rates to try.
    pub bauds: Vec<u32>,
    /// Parities to try.
    pub parities: Vec<Parity>,
    /// Slaves to ask.
    pub slaves: Vec<u8>,
    /// How long a slave has to answer in the sweep, ms; `None`: by the rate.
    pub timeout_ms: Option<u32>,
}

/// Hosts to probe over Modbus TCP.
#[derive(Clone, Debug, Default)]
pub struct Tcp {
    /// Host names or addresses.
    pub hosts: Vec<String>,
    /// TCP port of all of them.
    pub port: u16,
    /// Unit identifiers to ask; empty: the usual ones.
    pub slaves: Vec<u8>,
    /// How long an answer may take, ms; `None`: half a second.
    pub timeout_ms: Option<u32>,
}

/// What a probe needs throughout.
struct Work {
    known: Vec<Known>,
    progress: Progress,
}

impl Work {
    fn new() -> Self {
        Self { known: known(), progress: Progress::new() }
    }
}

/// Probes a serial port and writes what is found to `out`. Gives the tables `[[device]]` of what was found; none when
/// nothing was. Fails when the port cannot be opened, or `out` does.
pub async fn serial(wanted: &Serial, out: &mut (dyn Write + Send)) -> io::Result<Vec<String>> {
    let work = Work::new();
    let settings = settings(&wanted.bauds, &wanted.parities);
    let mut slaves = wanted.slaves.clone();
    if slaves.is_empty() {
        slaves = usual_slaves(&work.known, false);
    }
    // 0 is the broadcast, which nobody answers; 248 and up are reserved (Modbus over Serial Line V1.02, 2.2).
    slaves.retain(|slave| (1..=247).contains(slave));

    if let Some(heard) = listen::listen(&wanted.port, &bauds(&settings), &work.progress).await? {
        let finding = listen::explain(&heard, &work.known);
        return report(vec![finding], out);
    }
    let found = sweep::serial(&wanted.port, &settings, &slaves, wanted.timeout_ms, &work.progress).await?;
    let Some(found) = found.line else {
        writeln!(out, "Nothing answered on {} at {} settings.", wanted.port.display(), settings.len())?;
        if let Some(noisy) = found.noisy {
            writeln!(
                out,
                "But something was heard at {noisy} that is no answer: a device at another rate or parity, two \
                 devices with one address, or noise. Try other settings with --baud and --parity."
            )?;
        }
        writeln!(
            out,
            "Check: supply voltage, A and B (swap them), ground; other addresses with --slaves 1-247; a slow device \
             with --timeout-ms 1000."
        )?;
        return Ok(Vec::new());
    };
    let ids: Vec<String> = found.slaves.iter().map(Present::to_string).collect();
    writeln!(out, "{} at {}: slave {}", wanted.port.display(), found.setting, ids.join(", "))?;
    let timeout_ms = wanted.timeout_ms.unwrap_or(0).max(PATIENT_MS);
    let mut line = Line::new(found.link, Framing::Rtu, timeout_ms);
    let mut findings = Vec::new();
    for present in found.slaves {
        findings.push(examine::examine(&mut line, present.slave, "", &work).await);
    }
    report(findings, out)
}

/// Probes hosts over Modbus TCP and writes what is found to `out`. Gives the tables `[[device]]` of what was found.
/// Fails only when `out` does.
pub async fn tcp(wanted: &Tcp, out: &mut (dyn Write + Send)) -> io::Result<Vec<String>> {
    let work = Work::new();
    let slaves = match wanted.slaves.is_empty() {
        true => usual_slaves(&work.known, true),
        false => wanted.slaves.clone(),
    };
    let mut tables = Vec::new();
    for host in &wanted.hosts {
        let link = Link::Tcp { host: host.clone(), port: wanted.port };
        let mut line = Line::new(link, Framing::Tcp, wanted.timeout_ms.unwrap_or(TCP_TIMEOUT_MS));
        if let Err(error) = line.open().await {
            writeln!(out, "{host}:{}: {}", wanted.port, cannot_connect(&error))?;
            continue;
        }
        let mut found = sweep::tcp(&mut line, &slaves, &work.progress).await;
        if found.is_empty() {
            writeln!(out, "{host}:{} accepts connections, but none of {} units answers.", wanted.port, slaves.len())?;
            continue;
        }
        let ids: Vec<String> = found.iter().map(u8::to_string).collect();
        writeln!(out, "{host}:{}: unit {}", wanted.port, ids.join(", "))?;
        if found.len() >= ALL_THE_SAME && found.len() == slaves.len() {
            writeln!(out, "It answers to any unit: one device, of which unit {} is examined.", found[0])?;
            found.truncate(1);
        }
        let suffix = if wanted.hosts.len() > 1 { host.as_str() } else { "" };
        let mut findings = Vec::new();
        for slave in found {
            findings.push(examine::examine(&mut line, slave, suffix, &work).await);
        }
        tables.extend(report(findings, out)?);
    }
    Ok(tables)
}

fn cannot_connect(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            "connection refused: the host is there, but nothing listens at this port; is Modbus TCP switched on?".into()
        }
        io::ErrorKind::TimedOut => "no answer: wrong address, or the host is off?".into(),
        _ => format!("cannot connect: {error}"),
    }
}

/// Writes what was found: first what is known of each device, then what to paste.
fn report(findings: Vec<Finding>, out: &mut (dyn Write + Send)) -> io::Result<Vec<String>> {
    let mut tables = Vec::new();
    for finding in findings {
        writeln!(out)?;
        for told in &finding.told {
            writeln!(out, "{told}")?;
        }
        tables.extend(finding.table);
    }
    if tables.is_empty() {
        writeln!(out, "\nNothing that could be read as a measurement was found.")?;
        return Ok(tables);
    }
    writeln!(out, "\nFor the configuration:\n\n{}", tables.join("\n").trim_end())?;
    Ok(tables)
}
