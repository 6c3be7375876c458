//! Whether the sink still does what it is there for: a pure core.
//!
//! A service manager starts a service again that has not reported for some time. A report is due only when the committer
//! and every source have each turned since the last; each turns every now and then though nothing comes, so that idle is not
//! hung. A store or a broker that fails is no hung sink: who tries again turns.

/// A part of the sink that nothing goes on without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its name, for people.
    pub name: &'static str,
    /// How often it has turned since the start.
    pub turns: u64,
}

/// What is known since the last report.
#[derive(Clone, Debug, Default)]
pub struct Watchdog {
    reported: Vec<Part>,
}

impl Watchdog {
    /// Whether a report is due; if not, what has not moved. `parts` are always the same.
    pub fn look(&mut self, parts: Vec<Part>) -> Result<(), &'static str> {
        let before = |index: usize| self.reported.get(index).map_or(0, |part| part.turns);
        if let Some((_, stuck)) = parts.iter().enumerate().find(|(index, part)| part.turns == before(*index)) {
            return Err(stuck.name);
        }
        self.reported = parts;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(committer: u64, broker: u64) -> Vec<Part> {
        vec![Part { name: "committer", turns: committer }, Part { name: "broker", turns: broker }]
    }

    #[test]
    fn reports_when_every_part_has_turned_since_the_last_report() {
        let mut watchdog = Watchdog::default();
        assert_eq!(watchdog.look(parts(1, 0)), Err("broker"), "not all of it has started");
        assert_eq!(watchdog.look(parts(1, 1)), Ok(()));
        assert_eq!(watchdog.look(parts(2, 1)), Err("broker"));
        assert_eq!(watchdog.look(parts(2, 2)), Ok(()), "they may turn at different looks");
        for turns in 3..100 {
            assert_eq!(watchdog.look(parts(2, turns)), Err("committer"), "however much the other does");
        }
        assert_eq!(watchdog.look(parts(3, 100)), Ok(()));
    }
}
