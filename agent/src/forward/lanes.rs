//! One uplink's place in a lane: what may be sent next, what is acked, when to send again.
//!
//! ```text
//!    head              cursor            durable      next
//!     |  sent, unacked   |  to be sent     |  open      |
//! ────┴──────────────────┴─────────────────┴────────────┴──▶ seq
//! ```
//! Nothing beyond `durable` is sent (A1). `head` moves when all below it is acked (A3); acks may come in any order and
//! from several sinks. When nothing is acked for a while, the cursor goes back to `head` and a single batch at a time
//! is tried, at growing intervals, until an ack comes: the broker is not flooded while a sink is away.
//!
//! With [`Order::Live`] a lane that has fallen behind has a *tail* as well: what is committed goes there and is sent
//! first, from memory. What the tail cannot hold is left behind for the cursor, which follows with the rest; where it
//! reaches the tail, the two are one again.
//! ```text
//!    head      cursor            durable then   tail.first    tail cursor    durable
//!     |  sent    |   backlog          ...           |  sent         |  to be sent |
//! ────┴──────────┴──────────────────────────────────┴───────────────┴─────────────┴──▶ seq
//! ```

use super::Order;
use super::journal::Numbered;
use super::payload::Payload;
use crate::time::Mono;
use std::borrow::Cow;
use std::collections::VecDeque;
use windward_protocol::{Lane, Seq, SeqRange, SeqSet};

/// Most envelopes sent and not yet acked.
pub(super) const MAX_UNACKED: u64 = 2048;
/// Most bytes of envelopes held in memory ahead of a cursor.
const MAX_CACHE: usize = 512 * 1024;
/// Most ranges remembered as acked above `head`; beyond, the shortest is forgotten and sent again, to be absorbed.
const MAX_DONE: usize = 64;
/// How long to wait for an ack before sending again, at first and at most.
const RESEND_FIRST_MS: u64 = 10_000;
const RESEND_MAX_MS: u64 = 300_000;
/// Pause after a failed read.
const READ_AGAIN_MS: u64 = 1_000;

/// Envelopes from a cursor on, without a hole.
#[derive(Debug)]
struct Cache {
    cursor: Seq,
    values: VecDeque<Vec<u8>>,
    bytes: usize,
}

impl Cache {
    fn at(cursor: Seq) -> Self {
        Self { cursor, values: VecDeque::new(), bytes: 0 }
    }

    /// First number behind it.
    fn end(&self) -> Seq {
        self.cursor + self.values.len() as u64
    }

    /// Takes a value that comes next, if there is room.
    fn takes(&mut self, seq: Seq, value: &[u8]) -> bool {
        let fits = seq == self.end() && self.bytes + value.len() <= MAX_CACHE;
        if fits {
            self.bytes += value.len();
            self.values.push_back(value.to_vec());
        }
        fits
    }

    /// Moves the cursor; what it passes is forgotten.
    fn move_to(&mut self, seq: Seq) {
        while self.cursor < seq {
            match self.values.pop_front() {
                Some(value) => {
                    self.bytes -= value.len();
                    self.cursor += 1;
                }
                None => self.cursor = seq,
            }
        }
    }
}

/// The newest envelopes, sent ahead of the backlog.
#[derive(Debug)]
struct Tail {
    first: Seq,
    cache: Cache,
}

/// An uplink's place in a lane.
#[derive(Debug)]
pub(super) struct LaneQueue {
    pub(super) lane: Lane,
    order: Order,
    /// Everything up to here is durable.
    pub(super) durable: Seq,
    /// Everything below is acked, or lost and said to be.
    head: Seq,
    /// Acked or lost at or above `head`.
    done: SeqSet,
    cache: Cache,
    tail: Option<Tail>,
    /// A read of the journal is under way, from this number on.
    reading: Option<Seq>,
    /// After a failed read, or a refused publish: nothing before this.
    pause_until: Option<Mono>,
    /// Nobody acks: one batch at a time.
    probing: bool,
    resend_after_ms: u64,
    resend_at: Option<Mono>,
}

/// A batch to publish.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) range: SeqRange,
    pub(super) payload: Payload,
}

impl LaneQueue {
    /// A lane of which everything up to `acked` is, and `done` above it; `durable` is on disk.
    pub(super) fn new(lane: Lane, order: Order, acked: Seq, done: &[SeqRange], durable: Seq) -> Self {
        assert!(acked <= durable, "{lane}: acked {acked}, durable {durable}");
        let mut queue = Self {
            lane,
            order,
            durable,
            head: acked + 1,
            done: SeqSet::new(),
            cache: Cache::at(acked + 1),
            tail: None,
            reading: None,
            pause_until: None,
            probing: false,
            resend_after_ms: RESEND_FIRST_MS,
            resend_at: None,
        };
        for range in done {
            queue.mark(*range);
        }
        queue
    }

    /// Greatest number up to which all are acked.
    pub(super) fn acked(&self) -> Seq {
        self.head - 1
    }

    /// What is acked beyond.
    pub(super) fn done_beyond(&self) -> impl Iterator<Item = SeqRange> + '_ {
        self.done.ranges()
    }

    /// Envelopes on disk that are not acked.
    pub(super) fn waiting(&self) -> u64 {
        (self.durable + 1).saturating_sub(self.head) - self.done_below(Seq::MAX)
    }

    /// These are durable now. Kept at hand when the cursor has caught up with them, so that live data is not read back.
    pub(super) fn committed(&mut self, values: &[Numbered]) {
        for (seq, value) in values {
            self.durable = self.durable.max(*seq);
            let caught_up = self.tail.is_none() && self.reading.is_none();
            if (caught_up && self.cache.takes(*seq, value)) || self.order == Order::Oldest || self.probing {
                continue;
            }
            if !self.tail.as_mut().is_some_and(|tail| tail.cache.takes(*seq, value)) {
                // There is none, or more has been committed than could be sent: what is newest goes first.
                let mut cache = Cache::at(*seq);
                cache.takes(*seq, value);
                self.tail = Some(Tail { first: *seq, cache });
            }
        }
    }

    /// The read of the journal to start now, if one is needed: the first number, and how many bytes.
    pub(super) fn wants_read(&mut self, now: Mono) -> Option<(Seq, usize)> {
        self.settle(now);
        let cursor = self.cache.cursor;
        let starved = self.cache.values.is_empty() && cursor <= self.durable && self.room();
        if !starved || self.reading.is_some() || self.pause_until.is_some() {
            return None;
        }
        self.reading = Some(cursor);
        Some((cursor, MAX_CACHE / 2))
    }

    /// What the journal read; values that no longer belong at the cursor are left out. Gives the numbers that should be
    /// on disk and are not: the medium has lost them, and they count as done.
    pub(super) fn read(&mut self, values: Vec<Numbered>, now: Mono) -> Option<SeqRange> {
        let from = self.reading.take()?;
        if from != self.cache.cursor || !self.cache.values.is_empty() {
            return None;
        }
        let first = values.first().map_or(self.durable + 1, |(seq, _)| *seq);
        let hole = (first > from).then(|| SeqRange { first: from, last: first - 1 });
        if let Some(hole) = hole {
            self.mark(hole);
            self.settle(now);
        }
        for (seq, value) in values.iter().filter(|(seq, _)| *seq <= self.durable) {
            self.cache.takes(*seq, value);
        }
        hole
    }

    /// The read failed; it is tried again after a pause.
    pub(super) fn read_failed(&mut self, now: Mono) {
        self.reading = None;
        self.pause_until = Some(now + READ_AGAIN_MS);
    }

    /// What was under way was refused; it goes first, after a pause.
    pub(super) fn refused(&mut self, pause_ms: u64, now: Mono) {
        self.rewind();
        self.pause_until = Some(now + pause_ms);
    }

    /// When a pause ends.
    pub(super) fn pause_until(&self) -> Option<Mono> {
        self.pause_until
    }

    /// Fills the payload with what comes next, if there is anything and the window has room. What it takes counts as
    /// sent. `as_sent` gives what is sent for an envelope, always the same bytes for the same number, or `None` while it
    /// must wait; what is behind waits with it.
    pub(super) fn batch(
        &mut self,
        mut payload: Payload,
        now: Mono,
        as_sent: impl Fn(Seq, &[u8]) -> Option<Cow<'_, [u8]>>,
    ) -> Option<Batch> {
        self.settle(now);
        if self.pause_until.is_some() {
            return None;
        }
        let tail = self.tail.as_mut().filter(|tail| tail.has_room(&self.done));
        let range = match tail.and_then(|tail| fill(&mut tail.cache, Seq::MAX, &self.done, &mut payload, &as_sent)) {
            Some(range) => range,
            None if self.room() => {
                let before = self.tail.as_ref().map_or(Seq::MAX, |tail| tail.first);
                let range = fill(&mut self.cache, before, &self.done, &mut payload, &as_sent)?;
                self.resend_at.get_or_insert(now + self.resend_after_ms);
                range
            }
            None => return None,
        };
        assert!(range.last <= self.durable, "A1: {} {} is not durable", self.lane, range.last);
        Some(Batch { range, payload })
    }

    /// Whether something on disk waits to be sent.
    pub(super) fn has_unsent(&self) -> bool {
        self.cache.cursor <= self.durable
    }

    /// This range is acked, or it is lost and a gap record says so.
    pub(super) fn done(&mut self, range: SeqRange, now: Mono) {
        let head = self.head;
        // What was never sent cannot have been committed; an ack that says so is not about this spool.
        self.mark(SeqRange { first: range.first, last: range.last.min(self.durable) });
        if self.head > head {
            self.probing = false;
            self.resend_after_ms = RESEND_FIRST_MS;
            self.resend_at = None;
            self.settle(now);
        }
    }

    /// When the silence becomes too long.
    pub(super) fn resend_at(&self) -> Option<Mono> {
        self.resend_at
    }

    /// What waits for its ack longest: the next number that none has come for.
    pub(super) fn head(&self) -> Seq {
        self.head
    }

    /// The head is still on its way: the silence is counted from here.
    pub(super) fn wait_longer(&mut self, now: Mono) {
        self.resend_at = Some(now + self.resend_after_ms);
    }

    /// There has been no ack for too long: back to the head, one batch at a time, more slowly each time.
    pub(super) fn resend(&mut self) {
        self.rewind();
        self.probing = true;
        self.resend_after_ms = (self.resend_after_ms * 2).min(RESEND_MAX_MS);
    }

    /// Sends a range of what is durable once more: it counts as not acked, while it is not sent again what lies behind.
    pub(super) fn send_again(&mut self, range: SeqRange) {
        if range.first < self.head {
            if range.last + 1 < self.head {
                self.done.insert(SeqRange { first: range.last + 1, last: self.head - 1 });
            }
            self.head = range.first;
        }
        let kept: Vec<SeqRange> = self.done.ranges().collect();
        self.done = SeqSet::new();
        for SeqRange { first, last } in kept {
            if first < range.first {
                self.done.insert(SeqRange { first, last: last.min(range.first - 1) });
            }
            if last > range.last {
                self.done.insert(SeqRange { first: first.max(range.last + 1), last });
            }
        }
        self.rewind();
    }

    /// Sends again all that is not acked, from the head on; after a broken connection.
    pub(super) fn rewind(&mut self) {
        self.cache = Cache::at(self.head);
        self.tail = None;
        self.resend_at = None;
        self.pause_until = None;
    }

    /// Whether the cursor may go on.
    fn room(&self) -> bool {
        let limit = if self.probing { 1 } else { MAX_UNACKED };
        (self.cache.cursor - self.head) - self.done_below(self.cache.cursor) < limit
    }

    fn done_below(&self, seq: Seq) -> u64 {
        let ranges = self.done.ranges().take_while(|range| range.first < seq);
        ranges.map(|range| range.last.min(seq - 1) - range.first + 1).sum()
    }

    fn mark(&mut self, range: SeqRange) {
        let first = range.first.max(self.head);
        let last = range.last.min(self.durable);
        if first > last {
            return;
        }
        self.done.insert(SeqRange { first, last });
        if let Some(at_head) = self.done.range_at(self.head) {
            self.head = at_head.last + 1;
            self.done.remove_through(at_head.last);
        }
        while self.done.range_count() > MAX_DONE {
            let shortest = self.done.ranges().min_by_key(|range| range.last - range.first);
            let kept = self.done.ranges().filter(|range| Some(*range) != shortest);
            self.done = kept.fold(SeqSet::new(), |mut set, range| {
                set.insert(range);
                set
            });
        }
    }

    /// Moves the cursors over what needs no sending, and joins the two where they meet.
    fn settle(&mut self, now: Mono) {
        self.pause_until = self.pause_until.filter(|at| *at > now);
        skip_done(&mut self.cache, self.head, &self.done);
        if let Some(tail) = &mut self.tail {
            skip_done(&mut tail.cache, self.head, &self.done);
        }
        if let Some(tail) = self.tail.take_if(|tail| tail.first <= self.cache.cursor) {
            self.cache = tail.cache;
        }
        if self.cache.cursor > self.head {
            self.resend_at.get_or_insert(now + self.resend_after_ms);
        }
    }
}

impl Tail {
    fn has_room(&self, done: &SeqSet) -> bool {
        let acked_to = done.range_at(self.first).map_or(self.first, |range| range.last + 1);
        self.cache.cursor.saturating_sub(acked_to) < MAX_UNACKED
    }
}

/// Fills a payload from a cache, up to but without the number `before`.
fn fill(
    cache: &mut Cache,
    before: Seq,
    done: &SeqSet,
    payload: &mut Payload,
    as_sent: &impl Fn(Seq, &[u8]) -> Option<Cow<'_, [u8]>>,
) -> Option<SeqRange> {
    let first = cache.cursor;
    // A range in an ack or a resend is without holes, so a batch is too.
    while let Some(value) = cache.values.front().filter(|_| cache.cursor < before && !done.contains(cache.cursor)) {
        let Some(sent) = as_sent(cache.cursor, value) else { break };
        if !payload.push(&sent) {
            break;
        }
        cache.move_to(cache.cursor + 1);
    }
    (cache.cursor > first).then(|| SeqRange { first, last: cache.cursor - 1 })
}

fn skip_done(cache: &mut Cache, head: Seq, done: &SeqSet) {
    let cursor = cache.cursor.max(head);
    cache.move_to(done.range_at(cursor).map_or(cursor, |range| range.last + 1));
}

#[cfg(test)]
mod tests;
