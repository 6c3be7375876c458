//! One round of a device: its requests, one after another, and what became of them; and when a device that stays
//! silent is left out.

use super::Answer;
use crate::time::Mono;
use windward_protocol::NoData;

/// Requests of one round that may fail on the line before the rest of the round is given up. One may fail alone: some
/// devices answer nothing at all to a register they do not have. After a silent round there is no second try.
pub(super) const MAX_FAILURES: usize = 2;

/// Rounds in a row without an answer, after which a device on a shared bus is skipped.
const SKIP_AFTER: u32 = 2;
/// First pause of a skipped device; each further failure doubles it.
const FIRST_PAUSE_MS: u64 = 2_000;
/// Longest pause of a skipped device.
const LONGEST_PAUSE_MS: u64 = 60_000;

/// A round under way: what is due of a device's requests, one after another.
#[derive(Debug)]
pub(super) struct Round {
    /// Its number; an answer with another number is not for it.
    pub(super) number: u64,
    /// When it is given up.
    pub(super) overdue: Mono,
    slots: Vec<Slot>,
    /// Failures of the line that are left, and the last one.
    failures_left: usize,
    last_failure: NoData,
}

/// What has become of a request.
#[derive(Debug)]
pub(super) enum Slot {
    /// It is not part of this round.
    NotDue,
    /// It has not been answered, and may fail on the line so often before it has failed.
    Waiting {
        /// How often it is asked again.
        retries: u8,
    },
    /// It was answered, or failed.
    Done(Result<Answer, NoData>),
}

impl Round {
    /// A round of these requests that is given up after `failures`, 1 to [`MAX_FAILURES`].
    pub(super) fn new(number: u64, overdue: Mono, slots: Vec<Slot>, failures: usize) -> Self {
        Self { number, overdue, slots, failures_left: failures, last_failure: NoData::Timeout }
    }

    /// The request to ask next, or `None` when the round is over.
    pub(super) fn next(&self) -> Option<usize> {
        if self.failures_left == 0 {
            return None;
        }
        self.slots.iter().position(|slot| matches!(slot, Slot::Waiting { .. }))
    }

    /// Takes the answer to a request.
    pub(super) fn answered(&mut self, request: usize, result: Result<Answer, NoData>) {
        let line_failed = result.as_ref().is_err_and(|reason| !is_reply(*reason));
        if let Slot::Waiting { retries } = &mut self.slots[request]
            && *retries > 0
            // A line that is down is not up again at once.
            && line_failed
            && !matches!(result, Err(NoData::Disconnected))
        {
            *retries -= 1;
            return;
        }
        if let Err(reason) = result
            && line_failed
        {
            self.failures_left = self.failures_left.saturating_sub(1);
            self.last_failure = reason;
        }
        self.slots[request] = Slot::Done(result);
    }

    /// Whether it has brought no values so far.
    pub(super) fn barren(&self) -> bool {
        !self.slots.iter().any(|slot| matches!(slot, Slot::Done(Ok(_))))
    }

    /// Whether the device itself never answered, not even with an exception. A line that is down says nothing about
    /// the device, and costs no time: then the bus pauses, not the device.
    pub(super) fn silent(&self) -> bool {
        let silence = |slot: &Slot| match slot {
            Slot::NotDue | Slot::Waiting { .. } => true,
            Slot::Done(Ok(_)) => false,
            Slot::Done(Err(reason)) => !is_reply(*reason) && *reason != NoData::Disconnected,
        };
        self.slots.iter().all(silence)
    }

    /// The answers; requests that were never asked share the fate of the last that failed.
    pub(super) fn answers(self) -> Vec<Result<Answer, NoData>> {
        let reason = self.last_failure;
        let answer = |slot| match slot {
            Slot::NotDue => Err(NoData::NotDue),
            Slot::Waiting { .. } => Err(reason),
            Slot::Done(result) => result,
        };
        self.slots.into_iter().map(answer).collect()
    }
}

/// Whether the slave replied, if only to refuse.
fn is_reply(reason: NoData) -> bool {
    matches!(reason, NoData::Exception(_))
}

/// Whether a device is left out for a while, so that its silence does not cost the others of its bus their time.
///
/// ```text
///          silent round          silent round
/// asked ───────────────▶ asked ───────────────▶ paused ──▶ asked once ──▶ paused twice as long, to 60 s
///   ▲                                                           │
///   └───────────────────────── any answer ─────────────────────┘
/// ```
#[derive(Debug)]
pub(super) struct Skipping {
    /// Whether other devices hang on the bus; a device alone disturbs nobody and is always asked.
    shared: bool,
    silent_rounds: u32,
    until: Mono,
}

impl Skipping {
    pub(super) fn new(shared: bool) -> Self {
        Self { shared, silent_rounds: 0, until: Mono(0) }
    }

    /// Whether its last round brought no answer: then one failure is enough to end the next.
    pub(super) fn doubtful(&self) -> bool {
        self.silent_rounds > 0
    }

    /// Failures a round may have.
    pub(super) fn patience(&self) -> usize {
        if self.doubtful() { 1 } else { MAX_FAILURES }
    }

    /// Whether the device is left out at `now`.
    pub(super) fn skips(&self, now: Mono) -> bool {
        now < self.until
    }

    /// Notes how a round ended.
    pub(super) fn round_ended(&mut self, silent: bool, now: Mono) {
        if !silent {
            self.silent_rounds = 0;
            return;
        }
        self.silent_rounds = self.silent_rounds.saturating_add(1);
        if let Some(doublings) = self.silent_rounds.checked_sub(SKIP_AFTER)
            && self.shared
        {
            let pause = FIRST_PAUSE_MS << doublings.min(10);
            self.until = now + pause.min(LONGEST_PAUSE_MS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(retries: &[Option<u8>]) -> Round {
        let slot = |retries: &Option<u8>| retries.map_or(Slot::NotDue, |retries| Slot::Waiting { retries });
        Round::new(1, Mono(0), retries.iter().map(slot).collect(), MAX_FAILURES)
    }

    #[test]
    fn an_exception_does_not_end_the_round_and_a_second_silence_does() {
        let mut round = round(&[Some(0); 4]);
        let asked = [NoData::Exception(2), NoData::Timeout, NoData::Checksum].map(|reason| {
            let request = round.next().unwrap();
            round.answered(request, Err(reason));
            request
        });
        assert_eq!(asked, [0, 1, 2]);
        assert_eq!(round.next(), None);
        assert!(!round.silent(), "an exception is an answer");
        let answers = round.answers();
        assert_eq!(
            answers,
            [Err(NoData::Exception(2)), Err(NoData::Timeout), Err(NoData::Checksum), Err(NoData::Checksum)]
        );
    }

    #[test]
    fn a_request_is_asked_again_as_often_as_it_may_and_then_has_failed() {
        let mut round = round(&[None, Some(2), Some(0)]);
        for _ in 0..3 {
            assert_eq!(round.next(), Some(1));
            round.answered(1, Err(NoData::Timeout));
        }
        assert_eq!(round.next(), Some(2), "once the retries are used up the next one is asked");
        round.answered(2, Ok(Answer::Words(vec![7])));
        assert_eq!(round.next(), None);
        let answers = round.answers();
        assert_eq!(answers, [Err(NoData::NotDue), Err(NoData::Timeout), Ok(Answer::Words(vec![7]))]);
    }

    #[test]
    fn neither_a_refusal_nor_a_line_that_is_down_is_asked_again() {
        for reason in [NoData::Exception(6), NoData::Disconnected] {
            let mut round = round(&[Some(2)]);
            round.answered(0, Err(reason));
            assert_eq!(round.next(), None, "{reason}");
        }
    }

    #[test]
    fn pauses_of_a_silent_device_grow_to_a_minute_and_end_with_an_answer() {
        let mut skipping = Skipping::new(true);
        let mut now = Mono(0);
        skipping.round_ended(true, now);
        assert!(!skipping.skips(now), "one failure may be chance");
        let mut pauses = Vec::new();
        for _ in 0..8 {
            skipping.round_ended(true, now);
            let pause = (0..).step_by(1000).find(|&ms| !skipping.skips(now + ms)).unwrap_or(0);
            pauses.push(pause);
            now = now + pause;
        }
        assert_eq!(pauses, [2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]);
        skipping.round_ended(false, now);
        skipping.round_ended(true, now);
        assert!(!skipping.skips(now), "an answer wipes the slate");
    }

    #[test]
    fn a_device_alone_on_its_bus_is_never_skipped() {
        let mut skipping = Skipping::new(false);
        for ms in 0..10 {
            skipping.round_ended(true, Mono(ms));
            assert!(!skipping.skips(Mono(ms)));
        }
    }
}
