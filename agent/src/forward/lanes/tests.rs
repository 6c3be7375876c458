//! A lane under any sequence of events: what it must never do, and that it comes to an end.

use super::super::Encoding;
use super::*;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Commit(u64),
    Send,
    /// Acks the sent range with this index, counted from the latest.
    Ack(usize),
    Cut,
    Silence,
    Refuse,
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1u64..150).prop_map(Step::Commit),
        6 => Just(Step::Send),
        4 => (0usize..6).prop_map(Step::Ack),
        1 => Just(Step::Cut),
        1 => Just(Step::Silence),
        1 => Just(Step::Refuse),
        2 => (1u64..3_000).prop_map(Step::Pass),
    ]
}

struct Bench {
    queue: LaneQueue,
    last: Seq,
    now: Mono,
    sent: Vec<SeqRange>,
    acked: SeqSet,
}

/// A value that says its number and is large enough for a few hundred to fill a cache.
fn value(seq: Seq) -> Vec<u8> {
    let mut value = vec![0; 2_000];
    value[..8].copy_from_slice(&seq.to_be_bytes());
    value
}

impl Bench {
    fn new(order: Order) -> Self {
        let queue = LaneQueue::new(Lane::Readings, order, 0, &[], 0);
        Self { queue, last: 0, now: Mono(0), sent: Vec::new(), acked: SeqSet::new() }
    }

    fn commit(&mut self, count: u64) {
        let values: Vec<Numbered> = (self.last + 1..=self.last + count).map(|seq| (seq, value(seq))).collect();
        self.last += count;
        self.queue.committed(&values);
    }

    /// Reads where it wants to, and sends one batch if there is one.
    fn send(&mut self) -> bool {
        if let Some((from, bytes)) = self.queue.wants_read(self.now) {
            let last = self.last.min(from + bytes as u64 / 2_000 - 1);
            let values = (from..=last).map(|seq| (seq, value(seq))).collect();
            assert_eq!(self.queue.read(values, self.now), None, "nothing is missing on this disk");
        }
        let seen = std::cell::RefCell::new(Vec::new());
        let batch = self.queue.batch(Payload::new(Encoding::Postcard, 16_000), self.now, |seq, value| {
            assert_eq!(value[..8], seq.to_be_bytes(), "the value of its number");
            seen.borrow_mut().push(seq);
            Some(value.into())
        });
        let Some(Batch { range, .. }) = batch else { return false };
        assert!(range.last <= self.last, "A1");
        assert!(seen.into_inner().starts_with(&(range.first..=range.last).collect::<Vec<_>>()), "without a hole");
        let again = (range.first..=range.last).find(|seq| self.acked.contains(*seq) && *seq > self.queue.acked());
        assert!(again.is_none() || self.queue.done.range_count() >= MAX_DONE, "{again:?} was acked");
        self.sent.push(range);
        true
    }

    fn ack(&mut self, index: usize) {
        let Some(range) = self.sent.len().checked_sub(index + 1).map(|index| self.sent[index]) else { return };
        self.acked.insert(range);
        self.queue.done(range, self.now);
    }

    fn check(&self) {
        let queue = &self.queue;
        let tail_bytes = queue.tail.as_ref().map_or(0, |tail| tail.cache.bytes);
        assert!(queue.cache.bytes <= MAX_CACHE && tail_bytes <= MAX_CACHE, "memory is bounded");
        assert!(queue.done.range_count() <= MAX_DONE);
        let acked = self.acked.range_at(1).map_or(0, |range| range.last);
        assert!(queue.acked() <= acked, "A3: {} is freed, {acked} is acked", queue.acked());
        assert_eq!(queue.durable, self.last);
        assert!(queue.waiting() <= self.last);
    }
}

fn lives(order: Order, steps: Vec<Step>) {
    let mut bench = Bench::new(order);
    for step in steps {
        match step {
            Step::Commit(count) => bench.commit(count),
            Step::Send => drop(bench.send()),
            Step::Ack(index) => bench.ack(index),
            Step::Cut => bench.queue.rewind(),
            Step::Silence => bench.queue.resend(),
            Step::Refuse => bench.queue.refused(500, bench.now),
            Step::Pass(ms) => bench.now = bench.now + ms,
        }
        bench.check();
    }
    bench.now = bench.now + 10_000;
    for _ in 0..10_000 {
        if bench.queue.waiting() == 0 {
            break;
        }
        if bench.send() {
            bench.ack(0);
        } else {
            // What is under way is not coming: the shell's timer says so.
            bench.queue.resend();
        }
        bench.check();
    }
    assert_eq!(bench.queue.waiting(), 0, "in the end everything is acked");
    assert_eq!(bench.queue.acked(), bench.last);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn oldest_first_loses_nothing_and_stays_small(steps in proptest::collection::vec(step(), 1..120)) {
        lives(Order::Oldest, steps);
    }

    #[test]
    fn live_loses_nothing_and_stays_small(steps in proptest::collection::vec(step(), 1..120)) {
        lives(Order::Live, steps);
    }
}

#[test]
fn a_day_behind_takes_no_more_memory_than_a_minute() {
    let mut bench = Bench::new(Order::Live);
    for _ in 0..864 {
        bench.commit(100);
    }
    bench.check();
    assert_eq!(bench.queue.waiting(), 86_400);
    // The newest of all are at hand.
    assert!(bench.send());
    assert!(bench.sent[0].first > 86_000, "{:?}", bench.sent);
}
