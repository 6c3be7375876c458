//! Cup anemometers that give pulses: from edges on a line to a wind speed.
//!
//! Three steps, each of its own: [`Counter`] takes edges as they come, drops those of a bouncing contact, and sums up
//! whole periods; [`Counter::take`] hands over what has come since the last time; [`Meter`] makes a reading of it.
//!
//! Whole periods are timed, not pulses counted: in one second a cup at 3.4 Hz gives three pulses or four, and the speed
//! would jump by 0.8 m/s. Every period is counted once, in the reading in whose interval it ends.
//!
//! A cut wire gives no pulses, like a cup at rest. Nothing in the signal can tell the two apart.

use crate::time::Mono;
use embedded_hal::digital::InputPin;
use windward_protocol::{NoData, Reading, Value};

/// Without a pulse for so long a cup stands still: slower than 0.2 Hz no cup turns, for bearings have friction (an NRG
/// #40 starts at 0.78 m/s, which is 0.56 Hz).
pub const REST_US: u64 = 5_000_000;
/// Bounces for each pulse, and without any, up to which a line is believed.
const MOST_BOUNCES: u32 = 16;

/// How long a line must have been low before a rise counts, for a cup of at most `max_hz`: a quarter of its shortest
/// period, µs, so that pulses may have any duty from 25 to 75 %.
pub fn debounce_us(max_hz: f64) -> u64 {
    // The conversion saturates; no frequency at all is no debouncing.
    if max_hz > 0.0 { (250_000.0 / max_hz) as u64 } else { 0 }
}

/// What came since the last time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Pulses.
    pub pulses: u32,
    /// Whole periods that ended: as many as pulses, less those that came after a rest.
    pub periods: u32,
    /// Length of these periods together, µs.
    pub span_us: u64,
    /// Rises that came too soon after a fall to be pulses.
    pub bounces: u32,
}

/// Counts the pulses of one line. Time is that of the edges, µs, on a clock that never steps.
#[derive(Clone, Debug)]
pub struct Counter {
    debounce_us: u64,
    low_since: Option<u64>,
    last_pulse: Option<u64>,
    count: Count,
}

impl Counter {
    /// A counter for a line that must be low for `debounce_us` before a rise counts.
    pub fn new(debounce_us: u64) -> Self {
        Self { debounce_us, low_since: None, last_pulse: None, count: Count::default() }
    }

    /// Takes an edge: the line is `high` or low since `at_us`. Contacts bounce when they close and when they open; both
    /// show as rises after a short low, while a true pulse rises after a long one.
    pub fn edge(&mut self, at_us: u64, high: bool) {
        if !high {
            self.low_since = Some(at_us);
            return;
        }
        // The first rise is not known to end a low, and after a lost fall the next is not either.
        let Some(since) = self.low_since.take() else { return };
        if at_us.saturating_sub(since) < self.debounce_us {
            self.count.bounces = self.count.bounces.saturating_add(1);
            return;
        }
        self.count.pulses = self.count.pulses.saturating_add(1);
        if let Some(last) = self.last_pulse.replace(at_us)
            && at_us.saturating_sub(last) <= REST_US
        {
            self.count.periods = self.count.periods.saturating_add(1);
            self.count.span_us = self.count.span_us.saturating_add(at_us.saturating_sub(last));
        }
    }

    /// What has come since the last take.
    pub fn take(&mut self) -> Count {
        std::mem::take(&mut self.count)
    }
}

/// Makes edges of a line's level, for pins that report none. It must look at least four times a period.
#[derive(Clone, Debug, Default)]
pub struct Poller {
    high: Option<bool>,
}

impl Poller {
    /// Looks at the pin at `at_us`; a change goes to the counter. A pin that fails is [`NoData::Disconnected`].
    pub fn look(&mut self, pin: &mut impl InputPin, at_us: u64, counter: &mut Counter) -> Result<(), NoData> {
        let high = pin.is_high().map_err(|_| NoData::Disconnected)?;
        if self.high.replace(high) != Some(high) {
            counter.edge(at_us, high);
        }
        Ok(())
    }
}

/// What a pulse means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cup {
    /// Value for each Hz. An NRG #40 has 0.765 m/s.
    pub slope: f64,
    /// Value as the turning begins. An NRG #40 has 0.35 m/s. At rest the value is 0, not this.
    pub offset: f64,
    /// Outside of it there is no value.
    pub range: Option<(f64, f64)>,
}

/// Makes readings of counts.
#[derive(Clone, Debug)]
pub struct Meter {
    cup: Cup,
    /// The last frequency, while the cup turns.
    hz: Option<f64>,
    /// When pulses were seen last; at first the start.
    seen: Mono,
}

impl Meter {
    /// A meter that begins at `now`.
    pub fn new(cup: Cup, now: Mono) -> Self {
        Self { cup, hz: None, seen: now }
    }

    /// The reading of the interval that ends `now`.
    ///
    /// - Whole periods ended: their frequency.
    /// - None ended, but the cup has not rested long enough to stand: the last frequency, and from when a pulse is overdue
    ///   the greatest that still fits, which sinks. Before there is any frequency: [`NoData::NotDue`].
    /// - No pulse for [`REST_US`]: 0.
    /// - [`NoData::OutOfRange`]: outside of the range, or a line that shakes more than it pulses.
    pub fn reading(&mut self, count: Count, now: Mono) -> Reading {
        if count.bounces / MOST_BOUNCES > count.pulses {
            return Err(NoData::OutOfRange);
        }
        let quiet_us = (now - self.seen).saturating_mul(1000);
        if count.pulses > 0 {
            self.seen = now;
        }
        let hz = if count.periods > 0 {
            let hz = f64::from(count.periods) * 1e6 / count.span_us as f64;
            self.hz = Some(hz);
            hz
        } else if count.pulses > 0 {
            // The first pulse after a rest: it turns, and nobody knows yet how fast.
            self.hz = None;
            return Err(NoData::NotDue);
        } else if quiet_us >= REST_US {
            self.hz = None;
            return self.value(0.0);
        } else {
            self.hz.ok_or(NoData::NotDue)?.min(1e6 / quiet_us as f64)
        };
        self.value(self.cup.offset + self.cup.slope * hz)
    }

    fn value(&self, value: f64) -> Reading {
        let in_range = self.cup.range.is_none_or(|(least, most)| (least..=most).contains(&value));
        if value.is_finite() && in_range { Ok(Value::F64(value)) } else { Err(NoData::OutOfRange) }
    }
}

#[cfg(test)]
mod tests;
