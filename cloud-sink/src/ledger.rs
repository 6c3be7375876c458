//! What the ledger is known to have, so that what comes again is not placed again.
//!
//! A bucket is looked up in the store once, then it is at hand. Another sink may add to it later: to know less than the
//! store costs a row that is there already, and nothing else.

use crate::place::{LEDGER_BUCKET, Seen};
use windward_protocol::{SeqRange, SeqSet};

/// Most ranges at hand, some fifty bytes each; a lane without gaps is one. When there would be more, all are forgotten and
/// looked up again.
const MOST: usize = 65_536;

/// The ledger as far as it is known here.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    seen: Seen,
    /// What was looked up, whole buckets.
    looked_up: Seen,
}

impl Ledger {
    /// What is known to be in the store.
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// Those of these sequences whose buckets are to be looked up first.
    pub fn unknown(&self, sequences: &Seen) -> Seen {
        let mut unknown = Seen::new();
        for (lane, sequences) in sequences {
            let looked_up = self.looked_up.get(lane);
            for range in sequences.ranges() {
                let whole = looked_up.and_then(|looked_up| looked_up.range_at(range.first));
                if whole.is_none_or(|whole| whole.last < range.last) {
                    unknown.entry(lane.clone()).or_default().insert(range);
                }
            }
        }
        unknown
    }

    /// Notes what the store has of the buckets of these sequences.
    pub fn looked_up(&mut self, sequences: &Seen, found: &Seen) {
        self.add(found);
        for (lane, sequences) in sequences {
            let looked_up = self.looked_up.entry(lane.clone()).or_default();
            sequences.ranges().for_each(|range| looked_up.insert(buckets(range)));
        }
    }

    /// Notes what the store has.
    pub fn add(&mut self, more: &Seen) {
        let held: usize = self.seen.values().chain(self.looked_up.values()).map(SeqSet::range_count).sum();
        if held > MOST {
            *self = Self::default();
        }
        for (lane, more) in more {
            let seen = self.seen.entry(lane.clone()).or_default();
            more.ranges().for_each(|range| seen.insert(range));
        }
    }
}

/// The buckets that hold a range, whole.
fn buckets(range: SeqRange) -> SeqRange {
    let first = range.first / LEDGER_BUCKET * LEDGER_BUCKET;
    let last = (range.last / LEDGER_BUCKET * LEDGER_BUCKET).saturating_add(LEDGER_BUCKET - 1);
    SeqRange { first, last }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::LaneName;
    use windward_protocol::{AgentId, Lane};

    fn lane(name: &str) -> LaneName {
        (AgentId::new(name).unwrap(), 7, Lane::Readings)
    }

    fn of(name: &str, sequences: &[u64]) -> Seen {
        Seen::from([(lane(name), sequences.iter().copied().collect())])
    }

    #[test]
    fn a_bucket_is_looked_up_once() {
        let mut ledger = Ledger::default();
        let asked = of("t1", &[5, 1030]);
        assert_eq!(ledger.unknown(&asked), asked);
        ledger.looked_up(&asked, &of("t1", &[5]));
        assert_eq!(ledger.unknown(&of("t1", &[0, 5, 6, 2047])), Seen::new());
        assert_eq!(ledger.unknown(&of("t1", &[2048])), of("t1", &[2048]));
        assert_eq!(ledger.unknown(&of("t2", &[5])), of("t2", &[5]), "another lane");
        assert_eq!(ledger.seen(), &of("t1", &[5]));
        ledger.add(&of("t1", &[6]));
        assert!(ledger.seen()[&lane("t1")].contains(6));
    }

    #[test]
    fn what_is_held_is_bounded() {
        let mut ledger = Ledger::default();
        // Every other sequence: a range each.
        for start in (0..10 * MOST as u64).step_by(1000) {
            let scattered: Vec<u64> = (start..start + 1000).step_by(2).collect();
            ledger.looked_up(&of("t1", &scattered), &of("t1", &scattered));
            assert!(ledger.seen()[&lane("t1")].range_count() <= MOST + 1000);
        }
    }
}
