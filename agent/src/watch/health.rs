//! Does the value move, and does it come at all? Pure; time is an argument, and where it does not enter readings are
//! counted.

use crate::time::Mono;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Fewest readings, after the first, that make a hold.
const MIN_HELD: f64 = 5.0;
/// A hold must be this many times longer than any that has ended by itself: a sensor that is polled more often than it
/// measures holds every value for a while, and a calm holds its zero for hours.
const LONGER_THAN_USUAL: f64 = 3.0;
/// Chance at which a hold is no chance any more.
const NO_CHANCE: f64 = 1e-9;
/// Share of repeated readings that is assumed at least: between the ends of the channel, and at one of them.
const LEAST_REPEATS: [f64; 2] = [0.005, 0.9];
/// Share of repeated readings that is assumed at most, and the readings it is learned over.
const MOST_REPEATS: f64 = 0.9999;
const MEMORY: f64 = 3_000.0;
/// Readings before a hold is judged.
const SETTLING: u32 = 100;
/// This share of the channel's range, at its lower end, is nearly calm.
const CALM_SHARE: f64 = 0.1;
/// The ends are the least and the greatest of so many blocks of so many readings.
const BLOCKS: usize = 128;
const BLOCK: u32 = 64;

/// Watches whether a value that should move does. What is usual is learned: how often the channel repeats a value, and
/// for how long at most, between its ends and at one of them: a calm, a rated speed, a battery that is full.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Hold {
    last: Option<f64>,
    /// Repeats so far.
    run: u32,
    place: usize,
    below_all: bool,
    stuck: bool,
    habits: [Habit; 2],
    ends: Ends,
}

/// How a channel holds values.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Habit {
    seen: u32,
    repeats: f64,
    longest: f64,
}

/// The least and the greatest the channel gave lately.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Ends {
    /// Of each of the last blocks, and of them all.
    blocks: VecDeque<(f64, f64)>,
    whole: Option<(f64, f64)>,
    /// Of the block that is filled.
    block: Option<(f64, f64)>,
    filled: u32,
}

/// A value that is held for too long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Held {
    /// Readings that repeat the first one.
    pub(super) repeats: u32,
    /// The value lies below all the channel gave before: it is not held, the signal is gone.
    pub(super) below_all: bool,
}

impl Hold {
    /// Takes a value; gives the hold it belongs to when that is too long. `wander`: the usual change from one reading to
    /// the next.
    pub(super) fn observe(&mut self, value: f64, wander: f64) -> Option<Held> {
        let repeats = self.last == Some(value);
        if repeats {
            self.run = self.run.saturating_add(1);
        } else {
            self.end();
            let ends = self.ends.known();
            self.place = usize::from(ends.is_some_and(|ends| self.is_at_an_end(value, ends, wander)));
            self.below_all = ends.is_some_and(|(least, _)| value < least - 0.05 * wander);
        }
        if self.last.is_some() && !self.stuck {
            self.habits[self.place].learn(repeats);
        }
        self.last = Some(value);
        self.ends.take(value);
        if self.habits.iter().map(|habit| habit.seen).sum::<u32>() < SETTLING {
            return None;
        }
        self.stuck |= f64::from(self.run) >= self.habits[self.place].limit(LEAST_REPEATS[self.place]);
        self.stuck.then_some(Held { repeats: self.run, below_all: self.below_all })
    }

    /// What sank to the lower end, or below it, is a calm; what fell there at once is none. What rises to the upper end is
    /// at its rated value, and that end may be reached at once.
    fn is_at_an_end(&self, value: f64, (least, greatest): (f64, f64), wander: f64) -> bool {
        let near = 0.5 * wander;
        let low = least + CALM_SHARE * (greatest - least);
        let came = self.last.is_some_and(|last| (value - last).abs() <= 3.0 * wander || last <= low);
        (value - greatest).abs() <= near || came && (value <= least + near || value >= greatest)
    }

    /// Repeats of the last value so far.
    pub(super) fn repeats(&self) -> u32 {
        self.run
    }

    /// Nothing came: what was held may have moved meanwhile.
    pub(super) fn interrupt(&mut self) {
        self.end();
        self.last = None;
    }

    fn end(&mut self) {
        if !self.stuck {
            let habit = &mut self.habits[self.place];
            habit.longest = habit.longest.max(f64::from(self.run));
        }
        (self.run, self.stuck) = (0, false);
    }
}

impl Habit {
    fn learn(&mut self, repeats: bool) {
        self.seen = self.seen.saturating_add(1);
        self.repeats += (f64::from(u8::from(repeats)) - self.repeats) / f64::from(self.seen).min(MEMORY);
        self.longest *= 1.0 - 1e-5;
    }

    /// Repeats that are too many.
    fn limit(&self, least: f64) -> f64 {
        let by_chance = NO_CHANCE.ln() / self.repeats.clamp(least, MOST_REPEATS).ln();
        by_chance.max(MIN_HELD).max(LONGER_THAN_USUAL * self.longest)
    }
}

impl Ends {
    fn known(&self) -> Option<(f64, f64)> {
        self.whole.into_iter().chain(self.block).reduce(wider)
    }

    fn take(&mut self, value: f64) {
        self.block = Some(self.block.map_or((value, value), |block| wider(block, (value, value))));
        self.filled += 1;
        if self.filled == BLOCK {
            if self.blocks.len() == BLOCKS {
                self.blocks.pop_front();
            }
            self.blocks.extend(self.block.take());
            self.whole = self.blocks.iter().copied().reduce(wider);
            self.filled = 0;
        }
    }
}

fn wider(a: (f64, f64), b: (f64, f64)) -> (f64, f64) {
    // None is NaN; `f64::min` would ask each.
    (if b.0 < a.0 { b.0 } else { a.0 }, if b.1 > a.1 { b.1 } else { a.1 })
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

    /// Wind in hundredths that wanders between 5 and 11 m/s.
    fn wander(step: u64) -> f64 {
        let noise = step.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54;
        ((8.0 + 2.0 * (step as f64 / 50.0).sin() + noise as f64 / 1_024.0) * 100.0).round() / 100.0
    }

    fn first_held(hold: &mut Hold, values: impl Iterator<Item = f64>) -> Option<usize> {
        values.map(|value| hold.observe(value, 0.3)).position(|held| held.is_some())
    }

    #[test]
    fn a_value_that_wanders_and_then_stands_still_is_held_after_a_few_readings() {
        let mut hold = Hold::default();
        assert_eq!(first_held(&mut hold, (0..2_000).map(wander)), None);
        let held = first_held(&mut hold, std::iter::repeat_n(8.31, 60));
        assert!(held.is_some_and(|at| (5..20).contains(&at)), "{held:?}");
        assert_eq!(hold.observe(8.4, 0.3), None, "it moves again");
        // The hold was a fault, and is not taken for the sensor's way.
        assert_eq!(first_held(&mut hold, (0..500).map(wander)), None);
        assert!(first_held(&mut hold, std::iter::repeat_n(8.31, 60)).is_some_and(|at| at < 20));
    }

    #[test]
    fn a_fault_is_no_habit_however_long_it_lasts() {
        let mut hold = Hold::default();
        first_held(&mut hold, (0..2_000).map(wander));
        let mut after = || {
            let held: Vec<bool> = (0..600).map(|_| hold.observe(8.31, 0.3).is_some()).collect();
            first_held(&mut hold, (0..200).map(wander));
            held.iter().position(|held| *held)
        };
        let first = after();
        assert!(first.is_some());
        assert_eq!(after(), first);
    }

    #[test]
    fn a_sensor_that_once_held_a_value_by_itself_may_do_so_three_times_as_long() {
        let mut hold = Hold::default();
        let habit = (0..40).map(wander).chain(std::iter::repeat_n(8.31, 21)).chain((61..2_000).map(wander));
        assert_eq!(first_held(&mut hold, habit), None);
        let held = first_held(&mut hold, std::iter::repeat_n(9.47, 100));
        assert!(held.is_some_and(|at| (55..=60).contains(&at)), "{held:?}");
    }

    #[test]
    fn a_sensor_slower_than_its_polls_is_not_held() {
        let mut hold = Hold::default();
        // A new mean every 15 s, read every second.
        assert_eq!(first_held(&mut hold, (0..3_000).map(|second| wander(second / 15))), None);
        let after = first_held(&mut hold, std::iter::repeat_n(9.9, 600));
        assert!(after.is_some_and(|at| at > 3 * 14), "{after:?}");
    }

    #[test]
    fn a_constant_channel_and_a_switch_are_never_held() {
        assert_eq!(first_held(&mut Hold::default(), std::iter::repeat_n(4.2, 20_000)), None);
        assert_eq!(first_held(&mut Hold::default(), (0..20_000).map(|at| f64::from(at / 400 % 2))), None);
    }

    #[test]
    fn a_calm_is_no_hold_and_a_signal_that_falls_below_all_is_gone() {
        let mut hold = Hold::default();
        // Every day the wind falls to the cup's offset for some hours.
        let day = |step: u64| match step % 1_000 {
            hour @ 860..900 => wander(step) * (900 - hour) as f64 / 40.0 + 0.27,
            900.. => 0.27,
            _ => wander(step) + 0.27,
        };
        assert_eq!(first_held(&mut hold, (0..8_000).map(day)), None);
        // Out of the wind, and at once.
        assert_eq!(first_held(&mut hold, (8_000..8_500).map(day)), None);
        let gone: Vec<Held> = (0..40).filter_map(|_| hold.observe(0.0, 0.3)).collect();
        assert!(gone.first().is_some_and(|held| held.below_all), "{gone:?}");
    }

    #[test]
    fn a_rated_speed_is_no_hold_and_a_speed_that_stands_still_below_it_is_one() {
        let mut hold = Hold::default();
        // Clipped at the upper end for a third of the time, for up to a minute and a half.
        let clipped = |step: u64| wander(step).min(9.0);
        assert_eq!(first_held(&mut hold, (0..8_000).map(clipped)), None);
        let held = first_held(&mut hold, std::iter::repeat_n(7.31, 60));
        assert!(held.is_some_and(|at| at < 20), "{held:?}");
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
