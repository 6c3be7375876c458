//! Which schemas a sink is known to have, so that batches name them and do not carry them.
//!
//! A sink has what it has acked: the ack of any envelope of a batch is one of all the batch carries. It may forget, or
//! another may come that shares nothing with it; hence what is known is forgotten with every connection, every ten
//! minutes, and when acks stay out: what is sent again then is not packed at all, and can be read by every sink.

use crate::time::Mono;
use std::collections::{BTreeSet, VecDeque};
use windward_protocol::{SchemaId, SeqRange};

/// How long a schema counts as known.
const KNOWN_MS: u64 = 600_000;
/// Most batches whose acks are waited for to learn from. Beyond, the oldest is forgotten and its schemas carried again.
const MOST_TOLD: usize = 64;

/// What is known of one uplink's sinks.
#[derive(Debug)]
pub(super) struct Known {
    schemas: BTreeSet<SchemaId>,
    /// Batches of readings that carry schemas not known yet.
    told: VecDeque<(SeqRange, Vec<SchemaId>)>,
    forget_at: Mono,
    /// Acks stay out: whoever is there may not be able to read what is packed.
    silent: bool,
}

impl Known {
    pub(super) fn nothing(now: Mono) -> Self {
        Self { schemas: BTreeSet::new(), told: VecDeque::new(), forget_at: now + KNOWN_MS, silent: false }
    }

    /// What the next batch may name; `None`: it is not to be packed.
    pub(super) fn schemas(&mut self, now: Mono) -> Option<&BTreeSet<SchemaId>> {
        if self.forget_at <= now {
            let silent = self.silent;
            *self = Self { silent, ..Self::nothing(now) };
        }
        (!self.silent).then_some(&self.schemas)
    }

    /// A batch with these readings carries or names these schemas.
    pub(super) fn sent(&mut self, range: SeqRange, schemas: Vec<SchemaId>) {
        if schemas.iter().all(|id| self.schemas.contains(id)) {
            return;
        }
        if self.told.len() == MOST_TOLD {
            self.told.pop_front();
        }
        self.told.push_back((range, schemas));
    }

    /// These readings are acked.
    pub(super) fn acked(&mut self, acked: SeqRange) {
        self.silent = false;
        let schemas = &mut self.schemas;
        self.told.retain(|(range, told)| {
            let is_acked = range.first <= acked.last && acked.first <= range.last;
            if is_acked {
                schemas.extend(told);
            }
            !is_acked
        });
    }

    /// There was no ack for too long.
    pub(super) fn silence(&mut self, now: Mono) {
        *self = Self { silent: true, ..Self::nothing(now) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: u64, last: u64) -> SeqRange {
        SeqRange { first, last }
    }

    fn known(known: &mut Known, now: u64) -> Option<Vec<u64>> {
        Some(known.schemas(Mono(now))?.iter().map(|id| id.0).collect())
    }

    #[test]
    fn what_any_envelope_of_a_batch_is_acked_of_is_known() {
        let mut sink = Known::nothing(Mono(0));
        sink.sent(range(1, 4), vec![SchemaId(7), SchemaId(8)]);
        sink.sent(range(5, 6), vec![SchemaId(9)]);
        sink.acked(range(10, 12));
        assert_eq!(known(&mut sink, 1), Some(vec![]));
        sink.acked(range(4, 4));
        assert_eq!(known(&mut sink, 1), Some(vec![7, 8]));
    }

    #[test]
    fn it_is_forgotten_in_time_and_with_silence() {
        let mut sink = Known::nothing(Mono(0));
        sink.sent(range(1, 1), vec![SchemaId(7)]);
        sink.acked(range(1, 1));
        assert_eq!(known(&mut sink, KNOWN_MS - 1), Some(vec![7]));
        assert_eq!(known(&mut sink, KNOWN_MS), Some(vec![]));
        sink.sent(range(2, 2), vec![SchemaId(7)]);
        sink.silence(Mono(KNOWN_MS));
        assert_eq!(known(&mut sink, KNOWN_MS), None);
        assert_eq!(known(&mut sink, 3 * KNOWN_MS), None, "as long as the silence lasts");
        sink.acked(range(2, 2));
        assert_eq!(known(&mut sink, 3 * KNOWN_MS), Some(vec![]), "what was sent before the silence teaches nothing");
    }

    #[test]
    fn what_waits_for_acks_is_bounded() {
        let mut sink = Known::nothing(Mono(0));
        (1..=1_000).for_each(|seq| sink.sent(range(seq, seq), vec![SchemaId(seq)]));
        assert_eq!(sink.told.len(), MOST_TOLD);
        sink.acked(range(1, 1_000));
        sink.sent(range(1_001, 1_001), vec![SchemaId(1_000)]);
        assert!(sink.told.is_empty(), "what is known needs no ack");
    }
}
