//! Linux's side of the pins: `/dev/i2c-*` and `/dev/gpiochip*`.
//!
//! Calls that wait for a device are made on a thread of their own, one a bus or pulse line, never on the runtime.

mod adapter;
#[cfg(test)]
mod tests;

use crate::hal::ads1115::{Conversion, Gain, Input, Rate};
use crate::hal::beacon;
use crate::hal::pulses::{Count, Counter};
use adapter::Adapter;
use gpio_cdev::{Chip, EventRequestFlags, Line, LineEventHandle, LineRequestFlags};
use linux_embedded_hal::CdevPin;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use windward_protocol::NoData;

/// Conversions that wait for a bus. When it is full, the next waits for room until its own time is up.
const JOBS: usize = 32;
/// Longest wait for a conversion, with all that were asked before it.
const PATIENCE: Duration = Duration::from_secs(2);
/// Looks at a chip that is busy, or whose conversion should be done; after each but the last, a conversion's time passes.
const LOOKS: usize = 4;
/// The name under which `gpioinfo` shows the lines that are held.
const CONSUMER: &str = "windward-agent";

/// An I2C bus with converters on it.
#[derive(Debug)]
pub struct I2cBus {
    jobs: mpsc::Sender<Job>,
}

#[derive(Debug)]
struct Job {
    address: u8,
    input: Input,
    gain: Gain,
    rate: Rate,
    answer: oneshot::Sender<Result<i16, NoData>>,
}

impl I2cBus {
    /// Opens a bus, for example `/dev/i2c-1`, and starts its thread, which ends when this is dropped.
    pub fn open(path: &Path) -> io::Result<I2cBus> {
        let mut adapter = Some(Adapter::open(path)?);
        let path: PathBuf = path.into();
        let (jobs, mut incoming) = mpsc::channel::<Job>(JOBS);
        let work = move || {
            while let Some(job) = incoming.blocking_recv() {
                if !job.answer.is_closed() {
                    let result = convert(&path, &mut adapter, &job);
                    // Whoever asked may have lost patience meanwhile.
                    job.answer.send(result).ok();
                }
            }
        };
        std::thread::Builder::new().name("i2c".into()).spawn(work)?;
        Ok(I2cBus { jobs })
    }

    /// One conversion of the ADS1115 at `address`, in counts.
    ///
    /// - [`NoData::Disconnected`]: no such bus, or nobody answers at the address.
    /// - [`NoData::Protocol`]: not the chip, or it lost its settings.
    /// - [`NoData::Timeout`]: busy, never done, or the bus hangs: not done in 2 s.
    pub async fn convert(&self, address: u8, input: Input, gain: Gain, rate: Rate) -> Result<i16, NoData> {
        let (answer, result) = oneshot::channel();
        let asked = async {
            self.jobs.send(Job { address, input, gain, rate, answer }).await.map_err(|_| NoData::Disconnected)?;
            result.await.map_err(|_| NoData::Disconnected)?
        };
        timeout(PATIENCE, asked).await.unwrap_or(Err(NoData::Timeout))
    }
}

/// Carries a job out. A bus that failed is opened anew for the next one: an adapter on USB may have been replugged.
fn convert(path: &Path, adapter: &mut Option<Adapter>, job: &Job) -> Result<i16, NoData> {
    let open = match adapter.take() {
        Some(open) => open,
        None => Adapter::open(path).map_err(|_| NoData::Disconnected)?,
    };
    let open = adapter.insert(open);
    let once = Duration::from_micros(job.rate.conversion_us().into());
    let result =
        wait_for(once, || Conversion::start(open, job.address, job.input, job.gain, job.rate)).and_then(|conversion| {
            std::thread::sleep(once);
            wait_for(once, || conversion.read(open))
        });
    if result == Err(NoData::Disconnected) {
        *adapter = None;
    }
    result
}

/// Looks a few times until there is something.
fn wait_for<T>(pause: Duration, mut look: impl FnMut() -> Result<Option<T>, NoData>) -> Result<T, NoData> {
    for looked in 1..=LOOKS {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if looked < LOOKS {
            std::thread::sleep(pause);
        }
    }
    Err(NoData::Timeout)
}

/// A line that gives pulses.
///
/// The kernel stamps the edges and keeps 16 of them for the thread that counts, which is some 60 ms of a cup in a storm.
/// That thread waits in the kernel, and so ends with the line or the process; this type is made once for a line.
#[derive(Debug)]
pub struct Pulses {
    line: Line,
    counted: Arc<Mutex<Counted>>,
}

#[derive(Debug)]
struct Counted {
    counter: Counter,
    ended: bool,
}

impl Pulses {
    /// Takes a line of a chip, for example 17 of `/dev/gpiochip0`, and counts from now on.
    pub fn open(chip: &Path, line: u32, debounce_us: u64) -> io::Result<Pulses> {
        let line = line_of(chip, line)?;
        let events =
            line.events(LineRequestFlags::INPUT, EventRequestFlags::BOTH_EDGES, CONSUMER).map_err(io::Error::other)?;
        let counted = Arc::new(Mutex::new(Counted { counter: Counter::new(debounce_us), ended: false }));
        let shared = counted.clone();
        std::thread::Builder::new().name("pulses".into()).spawn(move || count(events, &shared))?;
        Ok(Pulses { line, counted })
    }

    /// What has come since the last take. [`NoData::Disconnected`] when the line is gone, and then for ever.
    pub fn take(&self) -> Result<Count, NoData> {
        // A thread that waits for a line of a chip that was pulled is not told so by every kernel: ask the chip.
        let there = self.line.info().is_ok();
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if there && !counted.ended { Ok(counted.counter.take()) } else { Err(NoData::Disconnected) }
    }
}

/// Takes edges until the line fails.
fn count(mut events: LineEventHandle, counted: &Mutex<Counted>) {
    loop {
        let event = events.get_event();
        let mut counted = counted.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Ok(event) => {
                let high = event.event_type() == gpio_cdev::EventType::RisingEdge;
                counted.counter.edge(event.timestamp() / 1000, high);
            }
            Err(error) => {
                tracing::warn!(%error, "a pulse line ended");
                counted.ended = true;
                return;
            }
        }
    }
}

/// A beacon on a line.
pub struct Beacon {
    beacon: beacon::Beacon<CdevPin>,
}

impl Beacon {
    /// Takes a line of a chip as an output that is off, without a flash. `active_low`: the relay pulls when it is low.
    pub fn open(chip: &Path, line: u32, active_low: bool) -> io::Result<Beacon> {
        let off = u8::from(active_low);
        let handle = line_of(chip, line)?.request(LineRequestFlags::OUTPUT, off, CONSUMER).map_err(io::Error::other)?;
        let pin = CdevPin::new(handle).map_err(io::Error::other)?;
        let beacon = beacon::Beacon::new(pin, active_low).map_err(io::Error::other)?;
        Ok(Beacon { beacon })
    }

    /// Switches. The call takes microseconds on a gateway's own pins, milliseconds behind an I2C expander.
    pub fn set(&mut self, on: bool) -> io::Result<()> {
        self.beacon.set(on).map_err(io::Error::other)
    }
}

fn line_of(chip: &Path, line: u32) -> io::Result<Line> {
    Chip::new(chip).and_then(|mut chip| chip.get_line(line)).map_err(io::Error::other)
}
