//! A station behind a pseudo-terminal, whose plug can be pulled.

use super::Station;
use crate::clock;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longest time between two looks at whether the plug is pulled.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A pseudo-terminal: the device's end, and the path of the other.
#[derive(Debug)]
pub(crate) struct Pty {
    /// The device's end.
    pub(crate) device: OwnedFd,
    /// Held open: without an open end the device reads an error until somebody comes.
    pub(crate) end: File,
    /// The end to be opened.
    pub(crate) path: PathBuf,
}

impl Pty {
    /// A new one, in raw mode.
    pub(crate) fn open() -> anyhow::Result<Self> {
        let device = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&device)?;
        unlockpt(&device)?;
        let path = PathBuf::from(ptsname(&device, Vec::new())?.into_string()?);
        let end = OpenOptions::new().read(true).write(true).open(&path)?;
        let mut line = tcgetattr(&end)?;
        line.make_raw();
        tcsetattr(&end, OptionalActions::Now, &line)?;
        Ok(Self { device, end, path })
    }
}

/// A station behind a serial port, under a path that stays the same when the plug is pulled and put in again. Its time
/// goes on while it is unplugged.
#[derive(Debug)]
pub struct SerialPort<S> {
    station: Arc<Mutex<S>>,
    started: Instant,
    path: PathBuf,
    /// Bits a second, if only those are understood.
    baud: Option<u32>,
    plugged: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
}

impl<S: Station + Send + 'static> SerialPort<S> {
    /// Plugs a station in at `path`, which becomes a link. With a baud rate given, whoever opens the port with another
    /// hears and says garbage.
    pub fn plug(station: S, path: &Path, baud: Option<u32>) -> anyhow::Result<Self> {
        let station = Arc::new(Mutex::new(station));
        let mut port = Self { station, started: clock::now(), path: path.into(), baud, plugged: None };
        port.replug()?;
        Ok(port)
    }

    /// Where it is to be opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The station.
    pub fn station(&self) -> MutexGuard<'_, S> {
        lock(&self.station)
    }

    /// Time of the station, µs.
    pub fn now_us(&self) -> u64 {
        self.started.elapsed().as_micros() as u64
    }

    /// Pulls the plug: whoever has the port open reads its end, and the path is gone.
    pub fn unplug(&mut self) -> anyhow::Result<()> {
        let Some((pulled, thread)) = self.plugged.take() else { return Ok(()) };
        std::fs::remove_file(&self.path)?;
        pulled.store(true, Ordering::Relaxed);
        thread.join().map_err(|_| anyhow::anyhow!("the simulated line has panicked"))
    }

    /// Puts the plug in again: another terminal at the same path. What was said meanwhile nobody has heard.
    pub fn replug(&mut self) -> anyhow::Result<()> {
        self.unplug()?;
        self.station().come_again(self.now_us());
        let pty = Pty::open()?;
        let flags = fcntl_getfl(&pty.device)?;
        // Nobody may listen: then what is said is lost, as on a wire.
        fcntl_setfl(&pty.device, flags | OFlags::NONBLOCK)?;
        std::os::unix::fs::symlink(&pty.path, &self.path)?;
        let (pulled, station, started, baud) = (Arc::default(), self.station.clone(), self.started, self.baud);
        let pulled_too: Arc<AtomicBool> = Arc::clone(&pulled);
        let thread = std::thread::Builder::new().name("serial-line".into()).spawn(move || {
            let garbled = || baud.is_some_and(|baud| tcgetattr(&pty.end).is_ok_and(|is| is.output_speed() != baud));
            if let Err(error) = carry(&pty.device, &station, started, &pulled_too, garbled) {
                tracing::error!(%error, "the simulated serial line has ended");
            }
        })?;
        self.plugged = Some((pulled, thread));
        Ok(())
    }
}

impl<S> Drop for SerialPort<S> {
    fn drop(&mut self) {
        if let Some((pulled, thread)) = self.plugged.take() {
            pulled.store(true, Ordering::Relaxed);
            // A panic there was already told by its own message.
            thread.join().ok();
        }
    }
}

/// Carries bytes between a file and a station until `over`, or the file's end.
pub(super) fn carry<S: Station>(
    file: impl AsFd,
    station: &Mutex<S>,
    started: Instant,
    over: &AtomicBool,
    garbled: impl Fn() -> bool,
) -> Result<(), Errno> {
    let mut buffer = [0; 512];
    loop {
        let now_us = started.elapsed().as_micros() as u64;
        let (mut heard, next_us) = {
            let mut station = lock(station);
            // With the station in hand: what belongs to the next one must not be taken any more.
            if over.load(Ordering::Relaxed) {
                return Ok(());
            }
            (station.poll_output(now_us), station.poll_timeout())
        };
        if !heard.is_empty() {
            garble(&mut heard, &garbled);
            match rustix::io::write(&file, &heard) {
                Ok(_) | Err(Errno::AGAIN) => {}
                Err(error) => return Err(error),
            }
        }
        let wait = next_us.map_or(LOOK_EVERY, |at_us| Duration::from_micros(at_us.saturating_sub(now_us)));
        if !readable(&file, wait.min(LOOK_EVERY))? {
            continue;
        }
        match rustix::io::read(&file, &mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => {
                garble(&mut buffer[..read], &garbled);
                let mut station = lock(station);
                if over.load(Ordering::Relaxed) {
                    return Ok(());
                }
                station.handle(&buffer[..read], started.elapsed().as_micros() as u64);
            }
            Err(Errno::AGAIN) => {}
            Err(error) => return Err(error),
        }
    }
}

fn readable(file: impl AsFd, wait: Duration) -> Result<bool, Errno> {
    let wait = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() };
    let mut files = [PollFd::new(&file, PollFlags::IN)];
    Ok(poll(&mut files, Some(&wait))? > 0)
}

/// What a receiver at another baud rate makes of bytes.
fn garble(bytes: &mut [u8], garbled: impl Fn() -> bool) {
    if garbled() {
        bytes.iter_mut().for_each(|byte| *byte = byte.rotate_left(3) ^ 0x5a);
    }
}

pub(super) fn lock<S>(station: &Mutex<S>) -> MutexGuard<'_, S> {
    // A station is whole between statements; a panic elsewhere does not spoil it.
    station.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines::device::{Device, Table, expected};
    use crate::lines::tcp::TcpPort;
    use crate::lines::wire::Framing;
    use crate::lines::{Line, Wire};
    use rustix::termios::Termios;
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;

    const ASK: [u8; 5] = [4, 0, 5, 0, 1];

    fn line(wire: Wire) -> Line {
        Line::new(wire, [Device::new(7)], 1)
    }

    fn answer(framing: Framing) -> Vec<u8> {
        let [a, b] = expected(7, Table::Input, 5).to_be_bytes();
        framing.frame(0, 7, &[4, 2, a, b])
    }

    fn set(file: &File, change: impl Fn(&mut Termios)) {
        let mut line = tcgetattr(file).unwrap();
        change(&mut line);
        tcsetattr(file, OptionalActions::Now, &line).unwrap();
    }

    fn ask(port: &mut File) -> Vec<u8> {
        let mut heard = vec![0; 7];
        port.write_all(&Framing::Rtu.frame(0, 7, &ASK)).unwrap();
        port.read_exact(&mut heard).unwrap();
        heard
    }

    fn open(path: &Path) -> File {
        OpenOptions::new().read(true).write(true).open(path).unwrap()
    }

    #[test]
    fn a_pulled_plug_ends_the_port_and_the_next_one_has_the_same_path() {
        let dir = tempfile::tempdir().unwrap();
        let mut port = SerialPort::plug(line(Wire::rtu(115_200)), &dir.path().join("line"), None).unwrap();
        let mut near = open(port.path());
        assert_eq!(ask(&mut near), answer(Framing::Rtu));
        port.unplug().unwrap();
        assert!(!port.path().exists());
        assert!(matches!(near.read(&mut [0]), Ok(0) | Err(_)));
        port.replug().unwrap();
        assert_eq!(ask(&mut open(port.path())), answer(Framing::Rtu));
        assert_eq!(port.station().slave(7).unwrap().heard(), 2);
    }

    #[test]
    fn at_another_baud_rate_nobody_is_understood() {
        let dir = tempfile::tempdir().unwrap();
        let port = SerialPort::plug(line(Wire::rtu(19_200)), &dir.path().join("line"), Some(19_200)).unwrap();
        let mut near = open(port.path());
        set(&near, |line| line.set_speed(9_600).unwrap());
        near.write_all(&Framing::Rtu.frame(0, 7, &ASK)).unwrap();
        // What was sent is heard at the rate that holds then: it must be taken in before the rate changes.
        while !port.station().heard.iter().any(|byte| *byte != 0) {
            std::thread::yield_now();
        }
        set(&near, |line| line.set_speed(19_200).unwrap());
        assert_eq!(ask(&mut near), answer(Framing::Rtu));
        assert_eq!(port.station().slave(7).unwrap().heard(), 1);
    }

    #[test]
    fn a_tcp_port_carries_both_framings_to_the_newest_connection() {
        for wire in [Wire::tcp(), Wire::rtu(115_200)] {
            let port = TcpPort::start(line(wire)).unwrap();
            for _ in 0..2 {
                let mut near = TcpStream::connect(("127.0.0.1", port.port())).unwrap();
                let mut heard = vec![0; answer(wire.framing).len()];
                near.write_all(&wire.framing.frame(0, 7, &ASK)).unwrap();
                near.read_exact(&mut heard).unwrap();
                assert_eq!(heard, answer(wire.framing));
            }
        }
    }
}
