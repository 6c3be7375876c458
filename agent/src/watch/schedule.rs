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
