//! Statistics of a device's channels over ten minutes, as wind energy counts them (IEC 61400-12-1): windows begin at
//! full ten minutes of UTC, and each channel gives one [`Stats`] a window, also when none of its readings had a value.
//!
//! A window ends when a row of another one comes, or a moment after its time is over. What it did not see it does not
//! hide: when there are fewer rows than the device's interval promises, `due` is as much greater, so that a window in
//! which the agent was started says by n / due how much of it is missing. Of a device that speaks by itself, the
//! interval is what its configuration says. A channel of which nothing was due, such as a vane in a calm, gives none.
//!
//! Rows from before the clock was set are in no window, for nobody knows in which. They are forwarded all the same,
//! and with their true times where those become known.

use super::figures::Figures;
use crate::config::{Device, DeviceChannel};
use crate::time::{Mono, Stamp};
use windward_protocol::{Channel, NoData, Reading, Stats};

/// Length of a window, ms.
const WINDOW_MS: u32 = 600_000;
/// How long after its end a window waits for rows of its time, ms: sentences that belong together may come that late.
const GRACE_MS: u64 = 1_000;

/// The statistics of one device.
pub(super) struct Tally {
    device: String,
    channels: Vec<Counted>,
    /// Rows that a whole window has at least.
    promised: u32,
    open: Option<Window>,
}

/// The window under way.
#[derive(Clone, Copy)]
struct Window {
    start_ms: i64,
    rows: u32,
    /// When it ends if no row ends it.
    end_at: Mono,
}

/// One channel, and what has been counted of it in this window.
struct Counted {
    channel: Channel,
    figures: Figures,
    /// Readings with a value.
    n: u32,
    /// Readings that should have had one.
    due: u32,
}

impl Tally {
    pub(super) fn new(device: &Device) -> Self {
        let interval_ms = |channel: &DeviceChannel| u64::from(device.interval_ms) * u64::from(channel.every);
        let counted = |channel: &DeviceChannel| Counted {
            figures: Figures::new(channel.channel.quantity, interval_ms(channel)),
            channel: channel.channel.clone(),
            n: 0,
            due: 0,
        };
        // When all channels are slow there are no rows in between.
        let least_ms = device.channels.iter().map(interval_ms).min().unwrap_or(1);
        Self {
            device: device.name.clone(),
            channels: device.channels.iter().map(counted).collect(),
            promised: (u64::from(WINDOW_MS) / least_ms) as u32,
            open: None,
        }
    }

    /// Counts a row: one reading a channel. Gives the statistics of the window that it ends, if it ends one.
    pub(super) fn observe(&mut self, stamp: Stamp, readings: &[Reading]) -> Vec<Stats> {
        if !stamp.synced {
            return Vec::new();
        }
        let start_ms = stamp.wall.0 - stamp.wall.0.rem_euclid(WINDOW_MS.into());
        let mut ended = Vec::new();
        if self.open.is_none_or(|open| open.start_ms != start_ms) {
            ended = self.finish();
        }
        let open = self.open.get_or_insert(Window { start_ms, rows: 0, end_at: end_at(start_ms, stamp) });
        open.rows += 1;
        for (counted, reading) in self.channels.iter_mut().zip(readings) {
            counted.observe(stamp.mono, *reading);
        }
        ended
    }

    /// Gives the statistics of the window whose time is over.
    pub(super) fn handle_timeout(&mut self, now: Stamp) -> Vec<Stats> {
        let Some(open) = self.open.as_mut().filter(|open| open.end_at <= now.mono) else { return Vec::new() };
        if now.synced && now.wall.0 < open.start_ms + i64::from(WINDOW_MS) {
            // The clock has been set back; the window goes on.
            open.end_at = end_at(open.start_ms, now);
            return Vec::new();
        }
        self.finish()
    }

    /// When the window ends if no row ends it, and why.
    pub(super) fn poll_timeout(&self) -> Option<(Mono, &'static str)> {
        self.open.map(|open| (open.end_at, "ten minutes are over"))
    }

    /// Ends the window under way, whatever is in it, and gives its statistics.
    pub(super) fn finish(&mut self) -> Vec<Stats> {
        let Some(window) = self.open.take() else { return Vec::new() };
        // The readings' beat is not the window's, so that one of them may fall into the next.
        let seen =
            if window.rows + 1 >= self.promised { 1.0 } else { f64::from(window.rows) / f64::from(self.promised) };
        let device = &self.device;
        self.channels.iter_mut().filter_map(|counted| counted.finish(device, window.start_ms, seen)).collect()
    }
}

/// A moment after the window that began at `start_ms` is over. The wall clock may step until then.
fn end_at(start_ms: i64, now: Stamp) -> Mono {
    let left_ms = start_ms + i64::from(WINDOW_MS) - now.wall.0;
    now.mono + left_ms.max(0).unsigned_abs() + GRACE_MS
}

impl Counted {
    fn observe(&mut self, at: Mono, reading: Reading) {
        match reading.map(|value| value.as_f64()) {
            Ok(value) if value.is_finite() => {
                self.n += 1;
                self.due += 1;
                self.figures.add(at, value);
            }
            Err(NoData::NotDue) => {}
            Err(NoData::Empty) => self.figures.miss(),
            _ => {
                self.due += 1;
                self.figures.miss();
            }
        }
    }

    /// The statistics of a window of which this share was seen, and a fresh start; `None` when nothing was due.
    fn finish(&mut self, device: &str, start_ms: i64, seen: f64) -> Option<Stats> {
        let (figures, n) = (self.figures.finish(), std::mem::take(&mut self.n));
        let due = (f64::from(std::mem::take(&mut self.due)) / seen).round() as u32;
        (due > 0).then(|| Stats {
            device: device.to_owned(),
            channel: self.channel.clone(),
            start_ms,
            window_ms: WINDOW_MS,
            n,
            due,
            mean: figures.mean,
            min: figures.min,
            max: figures.max,
            std: figures.std,
            gust_3s: figures.gust_3s,
        })
    }
}

#[cfg(test)]
mod tests;
