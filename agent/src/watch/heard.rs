//! A device that speaks by itself: its sentences become rows as they come, and its silence becomes rows too.
//!
//! ```text
//!            sentence                     every channel is in, or one comes again, or SETTLE_MS is over
//! nothing ──────────────▶ row under way ──────────────────────────────────────────────────────────────▶ row
//!    │  silent for timeout_ms, or the line is down: a row of reasons at every interval, until a sentence comes
//! ```

use super::asked::speaks;
use super::sentence::{self, Format};
use super::value::scaled;
use crate::config::{Bus, Config, Device, Source};
use crate::time::{Mono, Stamp};
use windward_protocol::{NoData, Reading};

/// How long a row waits for further sentences that belong to it, ms. Devices send those that belong together in one go.
const SETTLE_MS: u64 = 50;

/// What a device has said so far.
pub(super) struct Heard {
    device: Device,
    format: Format,
    /// When each channel was last spoken of, or the start.
    last_spoken: Vec<Mono>,
    pending: Option<Pending>,
    /// When the device has been silent for too long, or the next row of its silence is due.
    silent_at: Mono,
    /// Whether the line is gone.
    down: bool,
}

/// A row under way.
struct Pending {
    stamp: Stamp,
    readings: Vec<Option<Reading>>,
    /// What was wrong with a line that came meanwhile.
    fault: Option<NoData>,
}

/// A complete row, and the moment it belongs to.
pub(super) type Row = (Stamp, Vec<Reading>);

impl Heard {
    /// `None` when the device does not speak by itself.
    pub(super) fn new(config: &Config, device: &Device) -> Option<Self> {
        let Bus::Sentences { format, .. } = &config.buses[device.bus] else { return None };
        (!device.is_asked()).then(|| Self {
            format: *format,
            last_spoken: vec![Mono(0); device.channels.len()],
            pending: None,
            silent_at: Mono(0),
            down: false,
            device: device.clone(),
        })
    }

    /// Begins to listen.
    pub(super) fn start(&mut self, now: Mono) {
        self.last_spoken.fill(now);
        self.silent_at = now + u64::from(self.device.timeout_ms);
    }

    /// When something is due next, and why.
    pub(super) fn poll_timeout(&self) -> (Mono, &'static str) {
        let silent = (self.silent_at, "a device is silent");
        let settled = self.pending.as_ref().map(|row| (row.stamp.mono + SETTLE_MS, "a row of sentences is complete"));
        settled.map_or(silent, |settled| silent.min(settled))
    }

    /// Takes a line; gives the rows that it completes.
    pub(super) fn line(&mut self, line: &[u8], now: Stamp) -> [Option<Row>; 2] {
        let sentence = match sentence::parse(self.format, line) {
            Ok(sentence) if speaks(&self.device.how, &sentence) => sentence,
            Ok(_another_device) => return [None, None],
            Err(fault) => {
                if let Some(reason) = fault.no_data() {
                    // The row that says so is no silence.
                    self.pending(now).fault = Some(reason);
                    self.silent_at = now.mono + u64::from(self.device.timeout_ms);
                }
                return [None, None];
            }
        };
        let spoken: Vec<Option<Reading>> = (self.device.channels.iter())
            .map(|channel| match &channel.source {
                Source::Field(field) => sentence.get(field),
                _ => None,
            })
            .collect();
        if spoken.iter().all(Option::is_none) {
            return [None, None];
        }
        self.silent_at = now.mono + u64::from(self.device.timeout_ms);
        let again = self.pending.as_ref().is_some_and(|row| {
            row.readings.iter().zip(&spoken).any(|(known, spoken)| known.is_some() && spoken.is_some())
        });
        let before = if again { self.complete() } else { None };
        for (index, reading) in spoken.into_iter().enumerate() {
            let Some(reading) = reading else { continue };
            self.last_spoken[index] = now.mono;
            let scaling = &self.device.channels[index].scaling;
            let reading = reading.and_then(|value| scaled(value, scaling));
            self.pending(now).readings[index] = Some(reading);
        }
        let whole = self.pending.as_ref().is_some_and(|row| row.readings.iter().all(Option::is_some));
        [before, if whole { self.complete() } else { None }]
    }

    /// The line is open, or is gone; that nothing can be heard is said at once.
    pub(super) fn listening(&mut self, open: bool, now: Stamp) {
        self.down = !open;
        if self.down {
            self.silent_at = self.silent_at.min(now.mono);
        }
    }

    /// Gives the rows that are due at `now`.
    pub(super) fn handle_timeout(&mut self, now: Stamp) -> [Option<Row>; 2] {
        let settled = self.pending.as_ref().is_some_and(|row| row.stamp.mono + SETTLE_MS <= now.mono);
        let row = if settled { self.complete() } else { None };
        if now.mono < self.silent_at || self.pending.is_some() {
            return [row, None];
        }
        let interval_ms = u64::from(self.device.interval_ms);
        let passed = (now.mono - self.silent_at) / interval_ms + 1;
        self.silent_at = self.silent_at + passed * interval_ms;
        let reason = if self.down { NoData::Disconnected } else { NoData::Timeout };
        let silence = vec![Err(reason); self.device.channels.len()];
        [row, Some((now, silence))]
    }

    fn pending(&mut self, now: Stamp) -> &mut Pending {
        let channels = self.device.channels.len();
        self.pending.get_or_insert_with(|| Pending { stamp: now, readings: vec![None; channels], fault: None })
    }

    /// The row under way, whatever is in it. A channel that was not spoken of has nothing to say yet, unless a line was
    /// spoilt that may have spoken of it, or it has been silent for too long.
    fn complete(&mut self) -> Option<Row> {
        let row = self.pending.take()?;
        let timeout_ms = u64::from(self.device.timeout_ms);
        let readings = row.readings.into_iter().zip(&self.last_spoken).map(|(reading, last)| {
            reading.unwrap_or(Err(match row.fault {
                Some(reason) => reason,
                None if row.stamp.mono - *last > timeout_ms => NoData::Timeout,
                None => NoData::NotDue,
            }))
        });
        Some((row.stamp, readings.collect()))
    }
}
