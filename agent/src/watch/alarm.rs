//! From verdicts on single readings to the steps of an alert. Pure; time is an argument.

use crate::time::Mono;
use serde::{Deserialize, Serialize};
use windward_protocol::AlertPhase;

/// What one reading says about the condition an alarm watches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Verdict {
    /// The condition holds, this badly: any number that grows as things get worse.
    Bad(f64),
    /// It does not hold.
    Good,
    /// Nothing can be said: no value, or one between bad and good.
    Unsure,
}

/// How patient an alarm is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Patience {
    /// Bad readings in a row that open it; at least 1.
    pub(super) open_after: u32,
    /// Good readings in a row that clear it; at least 1.
    pub(super) clear_after: u32,
    /// Shortest time from opening to clearing, ms.
    pub(super) min_open_ms: u64,
    /// Shortest time between two steps that are told because things grew worse, ms.
    pub(super) update_every_ms: u64,
}

/// An update is worth telling when things are worse than last told by this factor.
const WORSE: f64 = 1.25;
/// An alarm that opens within so many times its patience after it was cleared opens again.
const AGAIN: u32 = 2;
/// Patience is doubled at most so often.
const MOST_RESTLESS: u32 = 4;

/// One alarm.
///
/// ```text
///            bad                  open_after bad: OPEN
///   Idle ──────────▶ Pending ──────────────────────────▶ Open ◀─┐ bad; much worse: UPDATE
///    ▲                  │                                │ │    │
///    ├──────────────────┘ good                      good │ └────┘
///    │                                                   ▼
///    └────────────────────────────────────────────── Clearing ──▶ back to Open when bad
///         clear_after good, and min_open_ms over: CLEAR
/// ```
///
/// `Unsure` changes nothing anywhere: a sensor that falls silent in an open alert has not recovered.
///
/// Each time it opens again soon after it was cleared its end is waited for twice as long: what comes and goes is one
/// alert that lasts, not one after the other.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Alarm {
    state: State,
    /// Verdicts since it was last cleared.
    quiet: Option<u32>,
    /// How often it opened again soon after it was cleared.
    restless: u32,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
enum State {
    /// All is well.
    #[default]
    Idle,
    /// Bad, but not for long enough.
    Pending {
        /// Bad readings in a row.
        bad: u32,
    },
    /// An alert is open.
    Open(Told),
    /// An alert is open and its end is being confirmed.
    Clearing {
        /// The open alert.
        told: Told,
        /// Good readings in a row.
        good: u32,
    },
}

/// What has been told of an open alert.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Told {
    opened: Mono,
    last: Mono,
    badness: f64,
}

impl Alarm {
    /// Whether an alert is open.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_) | State::Clearing { .. })
    }

    /// Goes on at `now` from a state that was stored on another clock.
    pub(super) fn resume(&mut self, now: Mono) {
        if let State::Open(told) | State::Clearing { told, .. } = &mut self.state {
            (told.opened, told.last) = (now, now);
        }
    }

    /// Takes the verdict on the reading at `now`; returns the step to tell, if there is one.
    pub(super) fn step(&mut self, now: Mono, verdict: Verdict, patience: &Patience) -> Option<AlertPhase> {
        let clear_after = patience.clear_after << self.restless;
        let step = match verdict {
            Verdict::Bad(badness) => self.state.bad(now, badness, patience),
            Verdict::Good => self.state.good(now, clear_after, patience.min_open_ms),
            Verdict::Unsure => None,
        };
        match step {
            Some(AlertPhase::Open) => {
                let again = self.quiet.is_some_and(|quiet| quiet < AGAIN * clear_after);
                self.restless = if again { (self.restless + 1).min(MOST_RESTLESS) } else { 0 };
            }
            Some(AlertPhase::Clear) => self.quiet = Some(0),
            _ if !self.is_open() => self.quiet = self.quiet.map(|quiet| quiet.saturating_add(1)),
            _ => {}
        }
        step
    }
}

impl State {
    fn bad(&mut self, now: Mono, badness: f64, patience: &Patience) -> Option<AlertPhase> {
        let mut told = match *self {
            State::Idle | State::Pending { .. } => {
                let bad = if let State::Pending { bad } = self { *bad + 1 } else { 1 };
                if bad < patience.open_after {
                    *self = State::Pending { bad };
                    return None;
                }
                *self = State::Open(Told { opened: now, last: now, badness });
                return Some(AlertPhase::Open);
            }
            State::Open(told) | State::Clearing { told, .. } => told,
        };
        let worth_telling = badness >= told.badness * WORSE && now - told.last >= patience.update_every_ms;
        if worth_telling {
            told = Told { last: now, badness, ..told };
        }
        *self = State::Open(told);
        worth_telling.then_some(AlertPhase::Update)
    }

    fn good(&mut self, now: Mono, clear_after: u32, min_open_ms: u64) -> Option<AlertPhase> {
        let (told, good) = match *self {
            State::Idle | State::Pending { .. } => {
                *self = State::Idle;
                return None;
            }
            State::Open(told) => (told, 1),
            State::Clearing { told, good } => (told, good.saturating_add(1)),
        };
        if good >= clear_after && now - told.opened >= min_open_ms {
            *self = State::Idle;
            return Some(AlertPhase::Clear);
        }
        *self = State::Clearing { told, good };
        None
    }
}

#[cfg(test)]
mod tests {
    use super::Verdict::{Bad, Good, Unsure};
    use super::*;
    use proptest::prelude::*;

    const PATIENCE: Patience = Patience { open_after: 2, clear_after: 3, min_open_ms: 5_000, update_every_ms: 10_000 };

    /// Steps told for one verdict a second, as letters.
    fn told(verdicts: &[Verdict]) -> String {
        let mut alarm = Alarm::default();
        let letter =
            |(second, verdict): (usize, &Verdict)| match alarm.step(Mono(1_000 * second as u64), *verdict, &PATIENCE) {
                None => '.',
                Some(AlertPhase::Open) => 'O',
                Some(AlertPhase::Update) => 'U',
                Some(AlertPhase::Clear) => 'C',
            };
        verdicts.iter().enumerate().map(letter).collect()
    }

    #[test]
    fn one_bad_reading_of_two_needed_opens_nothing() {
        assert_eq!(told(&[Bad(1.0), Good, Bad(1.0), Good]), "....");
        assert_eq!(told(&[Bad(1.0), Bad(1.0)]), ".O");
    }

    #[test]
    fn silence_neither_opens_nor_clears() {
        assert_eq!(told(&[Bad(1.0), Unsure, Unsure, Bad(1.0), Good, Good, Unsure, Unsure]), "...O....");
    }

    #[test]
    fn clears_after_three_good_readings_in_a_row_but_not_before_five_seconds() {
        assert_eq!(told(&[Bad(1.0), Bad(1.0), Good, Good, Good, Good, Good]), ".O....C");
        let mut long = vec![Bad(1.0); 8];
        long.extend([Good, Good, Bad(1.0), Good, Good, Good]);
        assert_eq!(told(&long), ".O...........C");
    }

    #[test]
    fn what_comes_and_goes_is_waited_for_longer_until_it_is_quiet() {
        let on = [Bad(1.0), Bad(1.0), Good, Good, Good, Good, Good];
        // Cleared after three, and open again at once: now it takes six.
        let again = [on.as_slice(), &[Bad(1.0), Bad(1.0)], &[Good; 8]].concat();
        assert_eq!(told(&again), ".O....C.O.....C..");
        // After twice its patience of quiet it is a new event.
        let later = [again.as_slice(), &[Good; 12], &on].concat();
        assert_eq!(told(&later), [&told(&again), "............", ".O....C"].concat());
    }

    #[test]
    fn an_alert_that_goes_on_on_another_clock_is_counted_from_there() {
        let mut alarm = Alarm::default();
        alarm.step(Mono(9_000_000), Bad(1.0), &PATIENCE);
        alarm.step(Mono(9_001_000), Bad(1.0), &PATIENCE);
        alarm.resume(Mono(0));
        assert!(alarm.is_open());
        let steps = (0..8).map(|second| alarm.step(Mono(1_000 * second), Good, &PATIENCE));
        assert_eq!(steps.collect::<Vec<_>>().iter().position(Option::is_some), Some(5));
    }

    #[test]
    fn tells_that_it_grew_worse_but_not_more_often_than_allowed() {
        let growing: Vec<Verdict> = (0..24).map(|second| Bad(1.5f64.powi(second))).collect();
        assert_eq!(told(&growing), ".O.........U.........U..");
        assert_eq!(told(&[Bad(1.0); 30]).matches('U').count(), 0);
    }

    proptest! {
        #[test]
        fn opens_and_clears_alternate_and_updates_come_between(
            readings in prop::collection::vec((0u64..20_000, verdict()), 0..300),
            open_after in 1u32..5,
            clear_after in 1u32..5,
        ) {
            let patience = Patience { open_after, clear_after, ..PATIENCE };
            let (mut alarm, mut now, mut open) = (Alarm::default(), Mono(0), None);
            let (mut bad_run, mut good_run) = (0, 0);
            for (pause, verdict) in readings {
                now = now + pause;
                match verdict {
                    Bad(_) => (bad_run, good_run) = (bad_run + 1, 0),
                    Good => (bad_run, good_run) = (0, good_run + 1),
                    Unsure => {}
                }
                match alarm.step(now, verdict, &patience) {
                    None => {}
                    Some(AlertPhase::Open) => {
                        prop_assert!(open.is_none() && bad_run >= open_after);
                        open = Some(now);
                    }
                    Some(AlertPhase::Update) => prop_assert!(open.is_some() && bad_run > 0),
                    Some(AlertPhase::Clear) => {
                        prop_assert!(good_run >= clear_after);
                        prop_assert!(open.take().is_some_and(|opened| now - opened >= patience.min_open_ms));
                    }
                }
                prop_assert_eq!(alarm.is_open(), open.is_some());
                prop_assert!(open.is_some() || bad_run < open_after, "a bad run that opened nothing");
            }
        }
    }

    fn verdict() -> impl Strategy<Value = Verdict> {
        prop_oneof![3 => (0.1f64..10.0).prop_map(Bad), 3 => Just(Good), 1 => Just(Unsure)]
    }
}
