//! One lane on its way from the disk to the sink: what may be sent next, what is acked, when to send again.
//!
//! ```text
//!    head              cursor            durable      next
//!     |  sent, unacked   |  to be sent     |  open      |
//! ────┴──────────────────┴─────────────────┴────────────┴──▶ seq
//! ```
//! Nothing beyond `durable` is sent (A1). `head` moves when the sink has acked all below it (A3); acks may come in any
//! order and from several sinks. When the sink says nothing for a while, the cursor goes back to `head` and a single
//! batch at a time is tried, at growing intervals, until an ack comes: the broker is not flooded while a sink is away.

use super::journal::Numbered;
use crate::time::Mono;
use std::borrow::Cow;
use std::collections::VecDeque;
use windward_protocol::batch::BatchBuilder;
use windward_protocol::{Lane, Seq, SeqRange, SeqSet};

/// Most envelopes sent and not yet acked by the sink.
pub(super) const MAX_UNACKED: u64 = 2048;
/// Most bytes of envelopes held in memory ahead of the cursor.
const MAX_CACHE: usize = 512 * 1024;
/// How long to wait for the sink's ack before sending again, at first and at most.
const RESEND_FIRST_MS: u64 = 10_000;
const RESEND_MAX_MS: u64 = 300_000;
/// Pause after a failed read.
const READ_AGAIN_MS: u64 = 1_000;

/// A lane's queue.
#[derive(Debug)]
pub(super) struct LaneQueue {
    pub(super) lane: Lane,
    /// Next number to be given out.
    pub(super) next: Seq,
    /// Everything up to here is durable.
    pub(super) durable: Seq,
    /// Everything below is acked, or lost and said to be.
    head: Seq,
    /// Next number to send.
    cursor: Seq,
    /// Acked or lost at or above `head`.
    done: SeqSet,
    /// Envelopes from the cursor on, without a hole.
    cache: VecDeque<Numbered>,
    cache_bytes: usize,
    /// A read of the journal is under way, from this number on.
    reading: Option<Seq>,
    /// After a failed read: not before this.
    read_again_at: Option<Mono>,
    /// The sink is silent: one batch at a time.
    probing: bool,
    resend_after_ms: u64,
    resend_at: Option<Mono>,
}

/// A batch to publish.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) range: SeqRange,
    pub(super) payload: Vec<u8>,
}

impl LaneQueue {
    /// A lane that continues after `acked`; `durable` is on disk, `next` comes next.
    pub(super) fn new(lane: Lane, acked: Seq, durable: Seq, next: Seq) -> Self {
        assert!(acked <= durable && durable < next, "{lane}: acked {acked}, durable {durable}, next {next}");
        Self {
            lane,
            next,
            durable,
            head: acked + 1,
            cursor: acked + 1,
            done: SeqSet::new(),
            cache: VecDeque::new(),
            cache_bytes: 0,
            reading: None,
            read_again_at: None,
            probing: false,
            resend_after_ms: RESEND_FIRST_MS,
            resend_at: None,
        }
    }

    /// Greatest number up to which all are acked.
    pub(super) fn acked(&self) -> Seq {
        self.head - 1
    }

    /// Envelopes on disk that are not acked.
    pub(super) fn waiting(&self) -> u64 {
        let done: u64 = self.done.ranges().map(|range| range.last - range.first + 1).sum();
        (self.durable + 1).saturating_sub(self.head + done)
    }

    /// These are durable now. Kept at hand when the cursor has caught up with them, so that live data is not read back.
    pub(super) fn committed(&mut self, values: Vec<Numbered>) {
        for (seq, value) in values {
            self.durable = self.durable.max(seq);
            if seq == self.cache_end() && self.reading.is_none() && self.cache_bytes + value.len() <= MAX_CACHE {
                self.cache_bytes += value.len();
                self.cache.push_back((seq, value));
            }
        }
    }

    /// The read of the journal to start now, if one is needed: the first number, and how many bytes.
    pub(super) fn wants_read(&mut self, now: Mono) -> Option<(Seq, usize)> {
        self.skip_done();
        self.read_again_at = self.read_again_at.filter(|at| *at > now);
        let starved = self.cache.is_empty() && self.cursor <= self.durable && self.room();
        if !starved || self.reading.is_some() || self.read_again_at.is_some() {
            return None;
        }
        self.reading = Some(self.cursor);
        Some((self.cursor, MAX_CACHE / 2))
    }

    /// What the journal read; values that no longer belong at the cursor are left out. Gives the numbers that should be
    /// on disk and are not: the medium has lost them, and they count as done.
    pub(super) fn read(&mut self, values: Vec<Numbered>) -> Option<SeqRange> {
        let from = self.reading.take()?;
        if from != self.cursor || !self.cache.is_empty() {
            return None;
        }
        let first = values.first().map_or(self.durable + 1, |(seq, _)| *seq);
        let hole = (first > from).then(|| SeqRange { first: from, last: first - 1 });
        if let Some(hole) = hole {
            self.done.insert(hole);
            self.skip_done();
        }
        for (seq, value) in values {
            if seq == self.cache_end() && seq <= self.durable {
                self.cache_bytes += value.len();
                self.cache.push_back((seq, value));
            }
        }
        hole
    }

    /// The read failed; it is tried again after a pause.
    pub(super) fn read_failed(&mut self, now: Mono) {
        self.reading = None;
        self.read_again_at = Some(now + READ_AGAIN_MS);
    }

    /// When a failed read may be tried again.
    pub(super) fn read_again_at(&self) -> Option<Mono> {
        self.read_again_at
    }

    /// The next batch, if there is one and the window has room. It counts as sent. `as_sent` gives what is sent for an
    /// envelope, always the same bytes for the same number, or `None` while it must wait; what is behind waits with it.
    pub(super) fn batch(&mut self, now: Mono, as_sent: impl Fn(Seq, &[u8]) -> Option<Cow<'_, [u8]>>) -> Option<Batch> {
        if !self.room() {
            return None;
        }
        self.skip_done();
        let (mut builder, mut range) = (BatchBuilder::new(), None::<SeqRange>);
        while let Some((seq, value)) = self.cache.front() {
            // A range in an ack or a resend is without holes, so a batch is too.
            if self.done.contains(*seq) {
                break;
            }
            let Some(sent) = as_sent(*seq, value) else { break };
            if !builder.push(&sent) {
                break;
            }
            assert!(*seq <= self.durable, "A1: {} {seq} is not durable", self.lane);
            range = Some(SeqRange { first: range.map_or(*seq, |range| range.first), last: *seq });
            self.pop_cache();
        }
        let range = range?;
        self.resend_at.get_or_insert(now + self.resend_after_ms);
        Some(Batch { range, payload: builder.finish() })
    }

    /// The sink has committed `range`, or it is lost and a gap record says so. True when `head` moved.
    pub(super) fn done(&mut self, range: SeqRange, now: Mono) -> bool {
        // What was never sent cannot have been committed; an ack that says so is not about this spool.
        let last = range.last.min(self.durable);
        let first = range.first.max(self.head);
        if first > last {
            return false;
        }
        self.done.insert(SeqRange { first, last });
        let Some(at_head) = self.done.range_at(self.head) else { return false };
        self.head = at_head.last + 1;
        self.done.remove_through(at_head.last);
        self.probing = false;
        self.resend_after_ms = RESEND_FIRST_MS;
        self.resend_at = (self.cursor > self.head).then_some(now + self.resend_after_ms);
        if self.cursor < self.head {
            self.skip_done();
        }
        true
    }

    /// When the sink's silence becomes too long.
    pub(super) fn resend_at(&self) -> Option<Mono> {
        self.resend_at
    }

    /// The sink has been silent for too long: back to the head, one batch at a time, more slowly each time.
    pub(super) fn resend(&mut self) {
        self.rewind();
        self.probing = true;
        self.resend_after_ms = (self.resend_after_ms * 2).min(RESEND_MAX_MS);
    }

    /// Sends again all that is not acked, from the head on; after a broken connection.
    pub(super) fn rewind(&mut self) {
        self.cursor = self.head;
        self.cache.clear();
        self.cache_bytes = 0;
        self.resend_at = None;
    }

    fn room(&self) -> bool {
        let limit = if self.probing { 1 } else { MAX_UNACKED };
        self.cursor - self.head < limit
    }

    /// First number behind the cache.
    fn cache_end(&self) -> Seq {
        self.cursor + self.cache.len() as u64
    }

    fn pop_cache(&mut self) {
        if let Some((seq, value)) = self.cache.pop_front() {
            self.cache_bytes -= value.len();
            self.cursor = seq + 1;
        }
    }

    /// Moves the cursor over what needs no sending.
    fn skip_done(&mut self) {
        loop {
            let to = match self.done.range_at(self.cursor) {
                Some(range) => range.last + 1,
                None if self.cursor < self.head => self.head,
                None => return,
            };
            while self.cursor < to && !self.cache.is_empty() {
                self.pop_cache();
            }
            self.cursor = self.cursor.max(to);
        }
    }
}
