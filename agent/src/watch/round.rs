//! One round of a device: its requests, one after another, and what became of them; and when a device that stays
//! silent is left out.

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

/// A round under way.
#[derive(Debug)]
pub(super) struct Round {
    /// Its number; an answer with another number is not for it.
    pub(super) number: u64,
    /// When it is given up.
    pub(super) overdue: Mono,
    answers: Vec<Option<Result<Vec<u16>, NoData>>>,
    /// Failures of the line that are left, and the last one.
    failures_left: usize,
    last_failure: NoData,
}

impl Round {
    /// A round of so many requests that is given up after `failures`, 1 to [`MAX_FAILURES`].
    pub(super) fn new(number: u64, overdue: Mono, requests: usize, failures: usize) -> Self {
        Self { number, overdue, answers: vec![None; requests], failures_left: failures, last_failure: NoData::Timeout }
    }

    /// Takes the answer to a request; gives the request to ask next, or `None` when the round is over.
    pub(super) fn answered(&mut self, request: usize, result: Result<Vec<u16>, NoData>) -> Option<usize> {
        if let Err(reason) = result
            && !is_reply(reason)
        {
            self.failures_left = self.failures_left.saturating_sub(1);
            self.last_failure = reason;
        }
        self.answers[request] = Some(result);
        if self.failures_left == 0 {
            return None;
        }
        self.answers.iter().position(Option::is_none)
    }

    /// Whether it has brought no registers so far.
    pub(super) fn barren(&self) -> bool {
        !self.answers.iter().flatten().any(Result::is_ok)
    }

    /// Whether the slave itself never answered, not even with an exception. A line that is down says nothing about the
    /// slave, and costs no time: then the bus pauses, not the device.
    pub(super) fn silent(&self) -> bool {
        let silence = |answer: &Option<Result<Vec<u16>, NoData>>| match answer {
            Some(Ok(_)) => false,
            Some(Err(reason)) => !is_reply(*reason) && *reason != NoData::Disconnected,
            None => true,
        };
        self.answers.iter().all(silence)
    }

    /// The answers; requests that were never asked share the fate of the last that failed.
    pub(super) fn answers(self) -> Vec<Result<Vec<u16>, NoData>> {
        let reason = self.last_failure;
        self.answers.into_iter().map(|answer| answer.unwrap_or(Err(reason))).collect()
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

    /// Failures a round may have.
    pub(super) fn patience(&self) -> usize {
        if self.silent_rounds == 0 { MAX_FAILURES } else { 1 }
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

    #[test]
    fn an_exception_does_not_end_the_round_and_a_second_silence_does() {
        let mut round = Round::new(1, Mono(0), 4, MAX_FAILURES);
        assert_eq!(round.answered(0, Err(NoData::Exception(2))), Some(1));
        assert_eq!(round.answered(1, Err(NoData::Timeout)), Some(2));
        assert_eq!(round.answered(2, Err(NoData::Checksum)), None);
        assert!(!round.silent(), "an exception is an answer");
        let answers = round.answers();
        assert_eq!(
            answers,
            [Err(NoData::Exception(2)), Err(NoData::Timeout), Err(NoData::Checksum), Err(NoData::Checksum)]
        );
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
