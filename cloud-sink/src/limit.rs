//! How often somebody may do something (token bucket).

use std::collections::HashMap;
use std::hash::Hash;

/// How often each of many may do something: `burst` at once, then one every `refill_ms`. Remembers a bounded number of
/// them; when there is no room for another, those who have all of their burst again are forgotten, and if there are none
/// the new one is refused.
#[derive(Debug)]
pub struct Limit<K> {
    burst: u32,
    refill_ms: u64,
    most: usize,
    /// When each would have its whole burst again, ms.
    full_at: HashMap<K, u64>,
}

impl<K: Hash + Eq> Limit<K> {
    /// A limit for at most `most` at a time.
    pub fn new(burst: u32, refill_ms: u64, most: usize) -> Self {
        Self { burst, refill_ms, most, full_at: HashMap::new() }
    }

    /// Takes one of `key`'s at a time of a clock that never goes back. An error: after so many ms it may come again.
    pub fn take(&mut self, key: K, now_ms: u64) -> Result<(), u64> {
        if self.full_at.len() >= self.most && !self.full_at.contains_key(&key) {
            self.full_at.retain(|_, full_at| *full_at > now_ms);
            if self.full_at.len() >= self.most {
                return Err(self.refill_ms);
            }
        }
        let full_at = self.full_at.entry(key).or_insert(now_ms);
        let next = (*full_at).max(now_ms) + self.refill_ms;
        let latest = now_ms + u64::from(self.burst) * self.refill_ms;
        if next > latest {
            return Err(next - latest);
        }
        *full_at = next;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_let_through_and_then_one_a_refill() {
        let mut limit = Limit::new(3, 100, 10);
        assert_eq!([0, 0, 0].map(|now| limit.take("a", now)), [Ok(()); 3]);
        assert_eq!(limit.take("a", 0), Err(100));
        assert_eq!(limit.take("b", 0), Ok(()));
        assert_eq!(limit.take("a", 99), Err(1));
        assert_eq!(limit.take("a", 100), Ok(()));
        assert_eq!(limit.take("a", 100), Err(100));
    }

    #[test]
    fn no_more_are_remembered_than_there_is_room_for() {
        let mut limit = Limit::new(1, 1_000, 100);
        for n in 0..10_000u64 {
            let taken = limit.take(n, n);
            assert_eq!(taken.is_ok(), n < 100 || n % 1_000 < 100, "{n}");
        }
        assert!(limit.full_at.len() <= 100);
    }
}
