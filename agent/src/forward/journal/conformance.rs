//! What every journal must do alike, whatever it keeps its values in: one seeded list of operations, carried out by a
//! journal and by [`MemoryJournal`], with all answers compared. For tests; it panics where they differ.

use super::{Found, Journal, MemoryJournal, Note, Numbered};
use std::collections::BTreeSet;
use windward_protocol::{AgentId, Envelope, Epoch, Gap, GapReason, Lane, Record, Seq};

/// Epoch of the spool that the journal opens.
pub const EPOCH: Epoch = 7;

/// Carries out `steps` operations of `seed`. `open` makes an empty journal of [`EPOCH`] when it is given none, and
/// otherwise closes in order the one that it is given and opens what it has left.
///
/// # Panics
/// When an answer is not that of [`MemoryJournal`].
pub fn check<J: Journal>(seed: u64, steps: u32, mut open: impl FnMut(Option<J>) -> (J, Found)) {
    let (journal, found) = open(None);
    let mut pair =
        Pair { journal, reference: MemoryJournal::default(), next: [1; 2], left_out: <[BTreeSet<Seq>; 2]>::default() };
    assert_eq!(found, pair.reference.found(EPOCH), "a new spool is empty");
    let mut random = Random(seed);
    for step in 0..steps {
        let context = format!("seed {seed}, step {step}");
        match random.below(12) {
            0..=4 => pair.commit(&mut random, &context),
            5..=7 => pair.read(&mut random, &context),
            8 | 9 => pair.free(&mut random, &context),
            10 => pair.keep(&mut random, &context),
            _ => {
                let mut found;
                (pair.journal, found) = open(Some(pair.journal));
                // What is known to be complete is for side files, which this journal has none of.
                (found.alerts.complete, found.readings.complete) = (0, 0);
                assert_eq!(found, pair.reference.found(EPOCH), "{context}: opened again");
            }
        }
        pair.look_at_room(&context);
    }
}

struct Pair<J> {
    journal: J,
    reference: MemoryJournal,
    next: [Seq; 2],
    /// Numbers that were passed over, and come later or never.
    left_out: [BTreeSet<Seq>; 2],
}

impl<J: Journal> Pair<J> {
    fn commit(&mut self, random: &mut Random, context: &str) {
        let [alerts, readings] = [Lane::Alerts, Lane::Readings].map(|lane| self.values(lane, random));
        assert_eq!(self.journal.commit(&alerts, &readings), Ok(()), "{context}: commit");
        assert_eq!(self.reference.commit(&alerts, &readings), Ok(()));
    }

    /// Mostly the next numbers; sometimes one is passed over, one that was comes late, or one comes again.
    fn values(&mut self, lane: Lane, random: &mut Random) -> Vec<Numbered> {
        let (index, acked) = (usize::from(lane == Lane::Readings), self.reference.found(EPOCH).acked(lane));
        let mut seqs = Vec::new();
        for _ in 0..random.below(if lane == Lane::Alerts { 4 } else { 30 }) {
            match random.below(20) {
                0 => {
                    self.left_out[index].insert(self.next[index]);
                    self.next[index] += 1;
                }
                1 => seqs.extend(self.left_out[index].pop_first()),
                2 => seqs.push(acked + 1 + random.below(self.next[index] - acked)),
                _ => {
                    seqs.push(self.next[index]);
                    self.next[index] += 1;
                }
            }
        }
        seqs.retain(|seq| (acked + 1..self.next[index]).contains(seq));
        seqs.into_iter().map(|seq| value(lane, seq)).collect()
    }

    fn read(&mut self, random: &mut Random, context: &str) {
        let lane = random.lane();
        // What is acked may be gone or may still be there.
        let acked = self.reference.found(EPOCH).acked(lane);
        let from = acked + 1 + random.below(60);
        let max_bytes = random.below(3_000) as usize;
        let ours = self.journal.read(lane, from, max_bytes);
        assert_eq!(
            ours,
            self.reference.read(lane, from, max_bytes),
            "{context}: {lane} from {from}, {max_bytes} bytes"
        );
    }

    fn free(&mut self, random: &mut Random, context: &str) {
        let lane = random.lane();
        let (index, acked) = (usize::from(lane == Lane::Readings), self.reference.found(EPOCH).acked(lane));
        let through = (acked + random.below(50)).min(self.next[index] - 1);
        assert_eq!(self.journal.free(lane, through), Ok(()), "{context}: free {lane} through {through}");
        assert_eq!(self.reference.free(lane, through), Ok(()));
    }

    fn keep(&mut self, random: &mut Random, context: &str) {
        let note = if random.below(2) == 0 { Note::Eras } else { Note::Uplinks };
        let bytes: Vec<u8> = (0..random.below(20)).map(|byte| byte as u8).collect();
        assert_eq!(self.journal.keep(note, &bytes), Ok(()), "{context}: keep");
        assert_eq!(self.reference.keep(note, &bytes), Ok(()));
    }

    /// How a journal cuts its readings into stretches is its own affair; that the oldest is the oldest is not.
    fn look_at_room(&self, context: &str) {
        let Some(oldest) = self.journal.room().oldest else { return };
        let present = self.reference.found(EPOCH).readings.present;
        let first = present.ranges().next().map(|range| range.first);
        assert!(
            first.is_none_or(|first| oldest.range.first <= first || oldest.range.last < first),
            "{context}: {oldest:?}"
        );
        assert!(oldest.range.first <= oldest.range.last && oldest.range.last < self.next[1], "{context}: {oldest:?}");
    }
}

/// A value as an agent writes it, of some hundred bytes.
pub fn value(lane: Lane, seq: Seq) -> Numbered {
    let record = Record::Gap(Gap { lane, from: seq, to: seq, reason: GapReason::Refused });
    #[allow(clippy::unwrap_used, reason = "the name is valid and the record short")]
    let (agent, encode) = (AgentId::new("turbine-07").unwrap(), |envelope: Envelope| envelope.encode().unwrap());
    (seq, encode(Envelope { agent, epoch: EPOCH, lane, seq, record }))
}

/// splitmix64.
struct Random(u64);

impl Random {
    /// Below `end`, which is not 0.
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % end
    }

    fn lane(&mut self) -> Lane {
        if self.below(3) == 0 { Lane::Alerts } else { Lane::Readings }
    }
}
