//! When a device is due: at a fixed rate that neither drifts nor catches up in a burst.

use crate::time::Mono;

/// The moments at which one device is due: `first`, then every `interval_ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    next: Mono,
    interval_ms: u64,
    /// Number of the next moment, from 0.
    number: u64,
}

impl Schedule {
    /// The schedule of device `index` of `count` that starts at `start`. Devices of the same rate are spread evenly
    /// over their interval, so that they do not all ask at once.
    pub fn new(start: Mono, interval_ms: u64, index: usize, count: usize) -> Self {
        assert!(interval_ms > 0 && index < count, "a rate, and one of the devices");
        Self { next: start + interval_ms * index as u64 / count as u64, interval_ms, number: 0 }
    }

    /// The next moment.
    pub fn next(&self) -> Mono {
        self.next
    }

    /// The number of the moment that has come, if one has. Then the schedule moves on to the first moment after `now`:
    /// moments that passed while the program stood still are skipped.
    pub fn due(&mut self, now: Mono) -> Option<u64> {
        if now < self.next {
            return None;
        }
        let passed = (now - self.next) / self.interval_ms + 1;
        self.next = self.next + passed * self.interval_ms;
        self.number += passed;
        Some(self.number - 1)
    }
}

/// Moments in between those of a [`Schedule`], for a while: the device is read so many times as often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Between {
    times: u64,
    next: Mono,
    until: Mono,
}

impl Between {
    /// Moments that cut each interval of `schedule` into `times` parts, from its next moment on.
    pub(super) fn new(schedule: &Schedule, times: u16, until: Mono) -> Self {
        Self { times: u64::from(times.max(1)), next: schedule.next, until }
    }

    /// When it comes next, or is over.
    pub(super) fn next(&self) -> Mono {
        self.next.min(self.until)
    }

    /// Whether it is over.
    pub(super) fn is_over(&self, now: Mono) -> bool {
        self.until <= now
    }

    /// Whether a moment has come; `schedule` has been asked before, so that its own moments are none of these. Those
    /// that passed while the program stood still are skipped.
    pub(super) fn due(&mut self, schedule: &Schedule, now: Mono) -> bool {
        if now < self.next {
            return false;
        }
        let part_ms = schedule.interval_ms / self.times;
        let begin = Mono(schedule.next.0.saturating_sub(schedule.interval_ms));
        let at = |part: u64| begin + part * part_ms;
        // The last part is longer by what the division leaves.
        let part = (now - begin).checked_div(part_ms).unwrap_or(0).min(self.times - 1);
        let due = part > 0 && at(part) >= self.next;
        self.next = if part_ms > 0 && part + 1 < self.times { at(part + 1) } else { schedule.next + part_ms };
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn devices_of_one_rate_are_spread_over_the_interval() {
        let firsts: Vec<u64> = (0..4).map(|index| Schedule::new(Mono(7), 1000, index, 4).next().0).collect();
        assert_eq!(firsts, [7, 257, 507, 757]);
    }

    #[test]
    fn a_stall_costs_its_moments_and_no_more() {
        let mut schedule = Schedule::new(Mono(0), 100, 0, 1);
        assert_eq!(schedule.due(Mono(0)), Some(0));
        assert_eq!(schedule.due(Mono(99)), None);
        assert_eq!(schedule.due(Mono(5_050)), Some(50));
        assert_eq!(schedule.due(Mono(5_051)), None);
        assert_eq!(schedule.next(), Mono(5_100));
    }

    /// The moments of both, looked at every `step` ms.
    fn moments(interval: u64, times: u16, step: usize, end: u64) -> (Vec<u64>, Vec<u64>) {
        let mut schedule = Schedule::new(Mono(0), interval, 0, 1);
        let mut between = Between::new(&schedule, times, Mono(end));
        let (mut own, mut more) = (Vec::new(), Vec::new());
        for now in (0..end).step_by(step).map(Mono) {
            if schedule.due(now).is_some() {
                own.push(now.0);
            } else if between.due(&schedule, now) {
                more.push(now.0);
            }
        }
        (own, more)
    }

    #[test]
    fn in_between_each_interval_is_cut_into_parts() {
        assert_eq!(moments(1000, 4, 1, 2001), (vec![0, 1000, 2000], vec![250, 500, 750, 1250, 1500, 1750]));
        // What is no whole part is left at the end of the interval, and does not add up.
        assert_eq!(moments(100, 3, 1, 201), (vec![0, 100, 200], vec![33, 66, 133, 166]));
        // Seldom looked at, it gives no burst.
        assert_eq!(moments(1000, 4, 600, 3000), (vec![0, 1200, 2400], vec![600, 1800]));
        assert!(moments(1000, 1, 1, 3000).1.is_empty() && moments(2, 10, 1, 9).1.is_empty());
    }

    proptest! {
        #[test]
        fn moments_stay_on_the_grid_however_late_they_are_served(
            interval in 1u64..5000,
            delays in prop::collection::vec(0u64..20_000, 1..50),
        ) {
            let mut schedule = Schedule::new(Mono(3), interval, 0, 1);
            for delay in delays {
                let now = schedule.next() + delay;
                let number = schedule.due(now);
                prop_assert_eq!(number.map(|number| 3 + number * interval), Some(now.0 - (now.0 - 3) % interval));
                prop_assert_eq!((schedule.next().0 - 3) % interval, 0);
                prop_assert!(schedule.next() > now);
                prop_assert!(schedule.next() - now <= interval);
            }
        }
    }
}
