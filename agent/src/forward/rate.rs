//! A limit of bytes a second: a token bucket that holds one second's worth and may be overdrawn by the last who passes.

use crate::time::Mono;

/// The bucket.
#[derive(Debug)]
pub(super) struct Rate {
    bytes_per_s: u64,
    /// Thousandths of a byte that may pass; negative while the last has to be paid for.
    balance: i64,
    filled_at: Mono,
}

impl Rate {
    /// A full bucket.
    pub(super) fn new(bytes_per_s: u64, now: Mono) -> Self {
        Self { bytes_per_s, balance: bytes_per_s as i64 * 1000, filled_at: now }
    }

    /// When something may pass: now, or later.
    pub(super) fn ready_at(&mut self, now: Mono) -> Mono {
        self.fill(now);
        let owed = self.balance.min(0).unsigned_abs();
        now + owed.div_ceil(self.bytes_per_s)
    }

    /// So many bytes pass.
    pub(super) fn pay(&mut self, bytes: u64, now: Mono) {
        self.fill(now);
        self.balance -= bytes as i64 * 1000;
    }

    fn fill(&mut self, now: Mono) {
        // A millisecond brings a thousandth of what a second brings, and the balance is in thousandths.
        let more = (now - self.filled_at).saturating_mul(self.bytes_per_s);
        let full = self.bytes_per_s as i64 * 1000;
        self.balance = self.balance.saturating_add_unsigned(more).min(full);
        self.filled_at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn over_any_stretch_no_more_passes_than_the_limit_a_second_of_it_and_the_last(
            bytes_per_s in 100u64..1_000_000,
            wishes in proptest::collection::vec((0u64..5_000, 1u64..131_072), 1..200),
        ) {
            let mut rate = Rate::new(bytes_per_s, Mono(0));
            let (mut now, mut passed) = (Mono(0), 0);
            for (pause_ms, bytes) in wishes {
                now = now + pause_ms;
                if rate.ready_at(now) <= now {
                    let most = bytes_per_s * now.0 / 1000 + bytes_per_s;
                    prop_assert!(passed <= most, "{passed} bytes before this one at {now:?}, at most {most}");
                    rate.pay(bytes, now);
                    passed += bytes;
                }
            }
        }

        #[test]
        fn what_waits_passes_at_the_time_it_was_told(bytes_per_s in 1u64..1_000_000, bytes in 1u64..10_000_000) {
            let mut rate = Rate::new(bytes_per_s, Mono(0));
            rate.pay(bytes, Mono(0));
            let at = rate.ready_at(Mono(0));
            prop_assert!(at == Mono(0) || rate.ready_at(Mono(at.0 - 1)) == at, "not a moment earlier");
            prop_assert_eq!(rate.ready_at(at), at);
        }
    }
}
