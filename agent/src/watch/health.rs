//! Sensor verdicts that need no learning: does the value move, and does it come at all. Pure; time is an argument.

use crate::time::Mono;

/// Wind below this, m/s, may well stand still: cup anemometers start to turn at 0.3 to 1 m/s, and calm is calm.
pub(super) const MOVING_WIND_MPS: f64 = 2.0;

/// Fewest equal readings that count as a hold, for sensors read only every few minutes.
const MIN_HELD: u32 = 6;

/// A hold must last this many times longer than any that has ended by itself: a sensor that is polled more often than it
/// measures holds every value for a while.
const LONGER_THAN_USUAL: u64 = 3;

/// Watches whether a value that should move does.
#[derive(Clone, Debug, Default)]
pub(super) struct Hold {
    current: Option<Held>,
    /// Longest hold so far that ended before it was called stuck, ms.
    longest_ms: u64,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    value: f64,
    since: Mono,
    last: Mono,
    readings: u32,
    stuck: bool,
}

impl Hold {
    /// Takes a value. Returns for how long it has been held, in ms, when that is too long: at least `stuck_after_ms`,
    /// and much longer than what is usual for this sensor. `tolerance` is how far a held value may still waver.
    pub(super) fn observe(&mut self, now: Mono, value: f64, tolerance: f64, stuck_after_ms: u64) -> Option<u64> {
        let held = match self.current {
            Some(held) if (value - held.value).abs() <= tolerance => held,
            ended => {
                if let Some(Held { since, last, stuck: false, .. }) = ended {
                    self.longest_ms = self.longest_ms.max(last - since);
                }
                Held { value, since: now, last: now, readings: 0, stuck: false }
            }
        };
        let (held_ms, readings) = (now - held.since, held.readings.saturating_add(1));
        let limit_ms = stuck_after_ms.max(self.longest_ms.saturating_mul(LONGER_THAN_USUAL));
        let stuck = held.stuck || (readings >= MIN_HELD && held_ms >= limit_ms);
        self.current = Some(Held { last: now, readings, stuck, ..held });
        stuck.then_some(held_ms)
    }

    /// The value is one that may stand still: whatever was held is over, and says nothing about what is usual.
    pub(super) fn rest(&mut self) {
        self.current = None;
    }
}

/// Counts polls without a value.
#[derive(Clone, Debug, Default)]
pub(super) struct Silence {
    since: Option<Mono>,
    polls: u32,
}

impl Silence {
    /// Takes one poll. Returns how many polls in a row gave nothing, and for how long, in ms; `None` when this one gave
    /// something.
    pub(super) fn observe(&mut self, now: Mono, gave_value: bool) -> Option<(u32, u64)> {
        if gave_value {
            *self = Silence::default();
            return None;
        }
        let since = *self.since.get_or_insert(now);
        self.polls = self.polls.saturating_add(1);
        Some((self.polls, now - since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_held_for_a_minute_is_stuck_and_one_that_moves_is_not() {
        let mut hold = Hold::default();
        let stuck = |hold: &mut Hold, second: u64, value: f64| hold.observe(Mono(second * 1_000), value, 0.0, 60_000);
        for second in 0..60 {
            assert_eq!(stuck(&mut hold, second, 8.0), None);
        }
        assert_eq!(stuck(&mut hold, 60, 8.0), Some(60_000));
        assert_eq!(stuck(&mut hold, 61, 8.0), Some(61_000));
        assert_eq!(stuck(&mut hold, 62, 8.1), None);
        // The stuck minute is not taken for this sensor's way.
        for second in 63..122 {
            assert_eq!(stuck(&mut hold, second, 8.1), None, "{second}");
        }
        assert_eq!(stuck(&mut hold, 122, 8.1), Some(60_000));
    }

    #[test]
    fn wavering_within_the_tolerance_is_still_held() {
        let mut hold = Hold::default();
        let waver = |second: u64| 8.0 + if second.is_multiple_of(2) { 0.004 } else { -0.004 };
        let last = (0..=60).map(|second| hold.observe(Mono(second * 1_000), waver(second), 0.01, 60_000)).last();
        assert_eq!(last, Some(Some(60_000)));
    }

    #[test]
    fn a_sensor_slower_than_its_polls_is_not_stuck() {
        let mut hold = Hold::default();
        // A new mean every 15 s, read every second.
        let mut verdicts = vec![];
        for second in 0..600 {
            let value = 8.0 + (second / 15 % 7) as f64 * 0.3;
            verdicts.push(hold.observe(Mono(second * 1_000), value, 0.0, 20_000));
        }
        assert!(verdicts.iter().all(Option::is_none));
        let after = (600..700).find(|second| hold.observe(Mono(second * 1_000), 9.9, 0.0, 20_000).is_some());
        assert_eq!(after, Some(642), "three times the usual 14 s");
    }

    #[test]
    fn two_readings_far_apart_are_no_hold() {
        let mut hold = Hold::default();
        for hour in 0..5 {
            assert_eq!(hold.observe(Mono(hour * 3_600_000), 8.0, 0.0, 60_000), None);
        }
        assert!(hold.observe(Mono(5 * 3_600_000), 8.0, 0.0, 60_000).is_some());
    }

    #[test]
    fn silence_is_counted_until_a_value_comes() {
        let mut silence = Silence::default();
        assert_eq!(silence.observe(Mono(0), true), None);
        assert_eq!(silence.observe(Mono(1_000), false), Some((1, 0)));
        assert_eq!(silence.observe(Mono(2_000), false), Some((2, 1_000)));
        assert_eq!(silence.observe(Mono(3_000), true), None);
        assert_eq!(silence.observe(Mono(4_000), false), Some((1, 0)));
    }
}
