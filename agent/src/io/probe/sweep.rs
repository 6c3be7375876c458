//! Who is there: the sweep over settings and slaves.

use super::super::progress::Progress;
use super::line::Line;
use crate::config::{Function, Link};
use crate::io::bus::{self, Port};
use crate::probe::presence::{Heard, judge, request};
use crate::probe::sweep::{Setting, timeout_ms};
use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{sleep, timeout};
use windward_protocol::NoData;

/// How long the line rests after noise, before the slave gets its second chance.
const REST: Duration = Duration::from_millis(300);
/// So many times as long the second chance lasts.
const SECOND_CHANCE: u32 = 3;
/// When so many slaves in a row met nothing but noise, the setting is given up.
const NOISY: usize = 3;
/// Most bytes that are taken for one answer.
const MAX_ANSWER: usize = 512;

/// A slave that answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Present {
    pub(super) slave: u8,
    /// Whether its answer came when another was asked already.
    pub(super) late: bool,
}

impl fmt::Display for Present {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.slave, if self.late { " (slow)" } else { "" })
    }
}

/// What a sweep of a serial line found.
pub(super) struct Swept {
    pub(super) line: Option<Found>,
    /// The first setting at which there was noise only.
    pub(super) noisy: Option<Setting>,
}

/// The settings of a line, and who is on it.
pub(super) struct Found {
    pub(super) setting: Setting,
    pub(super) link: Link,
    pub(super) slaves: Vec<Present>,
}

/// Opens a serial port; the error says what helps.
pub(super) async fn open(path: &Path, setting: Setting) -> io::Result<(Port, Link)> {
    let Setting { baud, parity, stop_bits } = setting;
    let link = Link::Serial { port: path.to_owned(), baud, parity, stop_bits };
    match bus::open(&link).await {
        Ok(port) => Ok((port, link)),
        Err(error) => {
            let help = match error.kind() {
                io::ErrorKind::PermissionDenied => {
                    "; add yourself to the port's group (often dialout), or use sudo".into()
                }
                io::ErrorKind::NotFound | io::ErrorKind::InvalidInput => known_ports(),
                _ => String::new(),
            };
            Err(io::Error::new(error.kind(), format!("cannot open {}: {error}{help}", path.display())))
        }
    }
}

/// The serial adapters that are plugged in, as a hint.
fn known_ports() -> String {
    let entries = std::fs::read_dir("/dev/serial/by-id").into_iter().flatten().flatten();
    let ports: Vec<String> = entries.map(|entry| entry.path().display().to_string()).collect();
    match ports.is_empty() {
        true => "; no USB serial adapter is plugged in".into(),
        false => format!("; there are {}", ports.join(", ")),
    }
}

/// Sweeps a serial line: at each setting all slaves, until one setting has any. Nearly all devices answer a request for
/// holding registers, if only to refuse it; only when nobody did, all are asked for input registers too.
pub(super) async fn serial(
    path: &Path,
    settings: &[Setting],
    slaves: &[u8],
    given_ms: Option<u32>,
    progress: &Progress,
) -> io::Result<Swept> {
    progress.start(2 * settings.len() * slaves.len());
    let mut noisy = None;
    for function in [Function::Holding, Function::Input] {
        for setting in settings {
            progress.stage(format!("{} {setting}, {} registers", path.display(), crate::probe::table::table(function)));
            let (mut port, link) = open(path, *setting).await?;
            let timeout_ms = given_ms.unwrap_or_else(|| timeout_ms(setting.baud));
            let mut found: Vec<Present> = Vec::new();
            let mut noises = 0;
            for slave in slaves {
                progress.step();
                let mut heard = present(&mut port, &link, *slave, function, timeout_ms).await?;
                if let Heard::Slave(other) = heard
                    && other != *slave
                {
                    note(&mut found, Present { slave: other, late: true });
                    heard = present(&mut port, &link, *slave, function, timeout_ms).await?;
                }
                if let Heard::Slave(heard) = heard {
                    note(&mut found, Present { slave: heard, late: heard != *slave });
                }
                noises = if heard == Heard::Noise { noises + 1 } else { 0 };
                if noises == NOISY {
                    break;
                }
            }
            if noises > 0 {
                noisy = noisy.or(Some(*setting));
            }
            if !found.is_empty() {
                progress.clear();
                return Ok(Swept { line: Some(Found { setting: *setting, link, slaves: found }), noisy });
            }
        }
    }
    progress.clear();
    Ok(Swept { line: None, noisy })
}

fn note(found: &mut Vec<Present>, present: Present) {
    if found.iter().all(|known| known.slave != present.slave) {
        found.push(present);
    }
}

/// Asks for one register and listens. After noise the line rests, and the slave is asked once more.
async fn present(port: &mut Port, link: &Link, slave: u8, function: Function, timeout_ms: u32) -> io::Result<Heard> {
    let request = request(slave, function);
    let mut heard = Heard::Nothing;
    for patience_ms in [timeout_ms, SECOND_CHANCE * timeout_ms] {
        sleep(bus::silence(link)).await;
        drain(port).await?;
        port.write_all(&request).await?;
        heard = answer(port, &request, Duration::from_millis(patience_ms.into())).await?;
        if heard != Heard::Noise {
            break;
        }
        sleep(REST).await;
    }
    Ok(heard)
}

/// What comes within the time; an answer ends the wait.
async fn answer(port: &mut Port, request: &[u8], within: Duration) -> io::Result<Heard> {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 64]);
    let heard = timeout(within, async {
        while bytes.len() < MAX_ANSWER {
            let count = read(port, &mut chunk).await?;
            bytes.extend_from_slice(&chunk[..count]);
            if let heard @ Heard::Slave(_) = judge(request, &bytes) {
                return Ok(heard);
            }
        }
        Ok(Heard::Noise)
    });
    match heard.await {
        Ok(heard) => heard,
        Err(_elapsed) => Ok(judge(request, &bytes)),
    }
}

/// Throws away what has come in before.
async fn drain(port: &mut Port) -> io::Result<()> {
    let mut scrap = [0; 64];
    for _ in 0..MAX_ANSWER / scrap.len() {
        match timeout(Duration::ZERO, read(port, &mut scrap)).await {
            Ok(read) => drop(read?),
            Err(_elapsed) => break,
        }
    }
    Ok(())
}

async fn read(port: &mut Port, chunk: &mut [u8]) -> io::Result<usize> {
    match port.read(chunk).await? {
        0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the adapter was unplugged")),
        count => Ok(count),
    }
}

/// Sweeps the units of a host. A gateway's word that nobody is there is none of a device's.
pub(super) async fn tcp(line: &mut Line, slaves: &[u8], progress: &Progress) -> Vec<u8> {
    progress.start(slaves.len());
    progress.stage(format!("{}: asking for units", line.link));
    let mut found = Vec::new();
    for slave in slaves {
        let answer = line.read_once(*slave, Function::Holding, 0, 1).await;
        // Gateway path unavailable, target failed to respond (Modbus Application Protocol V1.1b3, 7).
        if matches!(answer, Ok(_) | Err(NoData::Exception(0..=9 | 12..))) {
            found.push(*slave);
        }
        progress.step();
    }
    progress.clear();
    found
}
