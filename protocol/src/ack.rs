//! What the sink has committed, told back to the agent (invariant A3), and the set both sides keep of it.

use crate::seal::{self, DecodeError};
use crate::{Epoch, Lane, Seq, version};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Most ranges in one ack.
pub const MAX_RANGES: usize = 256;

const MAX_ACK: usize = 64 + MAX_RANGES * 20;

/// Sequences `first..=last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SeqRange {
    /// First sequence.
    pub first: Seq,
    /// Last sequence, included.
    pub last: Seq,
}

/// "These sequences of yours are committed." Ranges need not join: several sinks answer for what each has stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// Spool the sequences belong to; an agent with another epoch ignores the ack.
    pub epoch: Epoch,
    /// Lane the sequences belong to.
    pub lane: Lane,
    /// What is committed; at most [`MAX_RANGES`].
    pub ranges: Vec<SeqRange>,
}

impl Ack {
    /// Encodes. The caller splits what exceeds [`MAX_RANGES`] over several acks.
    pub fn encode(&self) -> Vec<u8> {
        debug_assert!(self.ranges.len() <= MAX_RANGES, "split acks over {MAX_RANGES} ranges");
        seal::seal(version::CURRENT, self)
    }

    /// Decodes and checks one ack.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let ack: Ack = seal::open(bytes, MAX_ACK, (version::MIN, version::CURRENT))?;
        if ack.ranges.len() > MAX_RANGES {
            return Err(DecodeError::Malformed("more ranges than one ack may hold"));
        }
        if ack.ranges.iter().any(|range| range.first > range.last) {
            return Err(DecodeError::Malformed("a range that ends before it begins"));
        }
        Ok(ack)
    }
}

/// A set of sequences, held as disjoint ranges that do not touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeqSet(BTreeMap<Seq, Seq>);

impl FromIterator<Seq> for SeqSet {
    fn from_iter<I: IntoIterator<Item = Seq>>(sequences: I) -> Self {
        let mut set = Self::new();
        sequences.into_iter().for_each(|seq| set.insert(SeqRange { first: seq, last: seq }));
        set
    }
}

impl SeqSet {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `range`; adding again changes nothing.
    pub fn insert(&mut self, range: SeqRange) {
        let SeqRange { mut first, mut last } = range;
        while let Some((&from, &to)) = self.0.range(..=last.saturating_add(1)).next_back() {
            if to.saturating_add(1) < first {
                break;
            }
            self.0.remove(&from);
            (first, last) = (first.min(from), last.max(to));
        }
        self.0.insert(first, last);
    }

    /// Forgets everything up to and including `seq`.
    pub fn remove_through(&mut self, seq: Seq) {
        while let Some((&first, &last)) = self.0.range(..=seq).next() {
            self.0.remove(&first);
            if last > seq {
                self.0.insert(seq + 1, last);
            }
        }
    }

    /// Whether `seq` is in the set.
    pub fn contains(&self, seq: Seq) -> bool {
        self.range_at(seq).is_some()
    }

    /// The range that holds `seq`.
    pub fn range_at(&self, seq: Seq) -> Option<SeqRange> {
        let (&first, &last) = self.0.range(..=seq).next_back()?;
        (last >= seq).then_some(SeqRange { first, last })
    }

    /// The ranges in order.
    pub fn ranges(&self) -> impl Iterator<Item = SeqRange> + '_ {
        self.0.iter().map(|(&first, &last)| SeqRange { first, last })
    }

    /// Number of ranges, a bound on the memory held.
    pub fn range_count(&self) -> usize {
        self.0.len()
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
