//! Whether the agent still does what it is there for: a pure core.
//!
//! A service manager starts a service again that has not reported for some time (systemd's `WatchdogSec=`). A report that a
//! timer sends by itself would say no more than that the timer runs. This one is due only when WATCH's loop, FORWARD's and
//! the disk thread have each turned since the last: each turns every now and then though it has nothing to do, so that idle
//! is not hung.

use crate::time::Mono;

/// How long a change of the configuration may keep the parts from turning, ms: a stop, and a start that may have to salvage
/// a spool.
const CHANGE_MS: u64 = 120_000;

/// How often each part has turned since the agent started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turns {
    /// WATCH's loop.
    pub watch: u64,
    /// FORWARD's loop.
    pub forward: u64,
    /// The disk thread: jobs that it has finished.
    pub disk: u64,
}

/// What the agent is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// Its work.
    Work(Turns),
    /// The change from one configuration to another: nothing turns.
    Change,
}

/// What is known since the last report.
#[derive(Clone, Copy, Debug, Default)]
pub struct Watchdog {
    reported: Turns,
    changing_since: Option<Mono>,
}

impl Watchdog {
    /// Whether a report is due; if not, what has not moved.
    pub fn look(&mut self, at: At, now: Mono) -> Result<(), &'static str> {
        let turns = match at {
            At::Work(turns) => turns,
            At::Change => {
                let since = *self.changing_since.get_or_insert(now);
                // The agent that comes counts from the beginning.
                self.reported = Turns::default();
                return if now - since <= CHANGE_MS { Ok(()) } else { Err("the change of configuration") };
            }
        };
        self.changing_since = None;
        let before = self.reported;
        let parts = [
            (turns.watch, before.watch, "WATCH"),
            (turns.forward, before.forward, "FORWARD"),
            (turns.disk, before.disk, "the disk thread"),
        ];
        match parts.iter().find(|(now, before, _)| now == before) {
            Some((.., part)) => Err(part),
            None => {
                self.reported = turns;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(watch: u64, forward: u64, disk: u64) -> At {
        At::Work(Turns { watch, forward, disk })
    }

    #[test]
    fn reports_when_each_part_has_turned_since_the_last_report() {
        let mut watchdog = Watchdog::default();
        assert_eq!(watchdog.look(work(1, 1, 0), Mono(0)), Err("the disk thread"), "not all of it has started");
        assert_eq!(watchdog.look(work(2, 1, 1), Mono(1)), Ok(()));
        assert_eq!(watchdog.look(work(3, 2, 2), Mono(2)), Ok(()));
    }

    #[test]
    fn one_part_that_stands_still_ends_the_reports_however_much_the_others_do() {
        for (stuck, name) in [(0, "WATCH"), (1, "FORWARD"), (2, "the disk thread")] {
            let mut watchdog = Watchdog::default();
            watchdog.look(work(5, 5, 5), Mono(0)).unwrap();
            for now in 1..100 {
                let turned = |part| if part == stuck { 5 } else { 5 + now };
                assert_eq!(watchdog.look(work(turned(0), turned(1), turned(2)), Mono(now)), Err(name));
            }
            assert_eq!(watchdog.look(work(105, 105, 105), Mono(100)), Ok(()), "it moves again");
        }
    }

    #[test]
    fn parts_may_move_at_different_looks() {
        let mut watchdog = Watchdog::default();
        watchdog.look(work(1, 1, 1), Mono(0)).unwrap();
        assert!(watchdog.look(work(2, 1, 1), Mono(1)).is_err());
        assert!(watchdog.look(work(2, 2, 1), Mono(2)).is_err());
        assert_eq!(watchdog.look(work(2, 2, 2), Mono(3)), Ok(()));
    }

    #[test]
    fn a_change_of_configuration_may_take_its_time_and_no_longer() {
        let mut watchdog = Watchdog::default();
        watchdog.look(work(900, 900, 900), Mono(0)).unwrap();
        assert_eq!(watchdog.look(At::Change, Mono(10)), Ok(()));
        assert_eq!(watchdog.look(At::Change, Mono(10 + CHANGE_MS)), Ok(()));
        assert!(watchdog.look(At::Change, Mono(11 + CHANGE_MS)).is_err());
        // The next agent counts anew, and the next change has its own time.
        assert_eq!(watchdog.look(work(1, 1, 1), Mono(20 + CHANGE_MS)), Ok(()));
        assert_eq!(watchdog.look(At::Change, Mono(30 + CHANGE_MS)), Ok(()));
    }
}
