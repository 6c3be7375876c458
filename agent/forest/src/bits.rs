//! Numbers of any number of bits, one after the other, and the checksum over them.

use alloc::vec::Vec;

/// Appends to bytes, least significant bit first.
pub(crate) struct Writer<'a> {
    out: &'a mut Vec<u8>,
    pending: u64,
    bits: u32,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(out: &'a mut Vec<u8>) -> Self {
        Writer { out, pending: 0, bits: 0 }
    }

    /// The low `bits` of `value`, at most 32.
    pub(crate) fn put(&mut self, value: u32, bits: u32) {
        self.pending |= u64::from(value) << self.bits;
        self.bits += bits;
        if self.bits >= 32 {
            self.out.extend_from_slice(&(self.pending as u32).to_le_bytes());
            self.pending >>= 32;
            self.bits -= 32;
        }
    }

    pub(crate) fn put_u64(&mut self, value: u64) {
        self.put(value as u32, 32);
        self.put((value >> 32) as u32, 32);
    }

    /// Fills the last byte.
    pub(crate) fn finish(self) {
        self.out.extend_from_slice(&self.pending.to_le_bytes()[..self.bits.div_ceil(8) as usize]);
    }
}

/// Reads what a [`Writer`] wrote; `None` behind the end.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    pending: u64,
    bits: u32,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes, pending: 0, bits: 0 }
    }

    /// The next `bits`, at most 32.
    pub(crate) fn take(&mut self, bits: u32) -> Option<u32> {
        if self.bits < bits {
            self.refill(bits)?;
        }
        let value = (self.pending & ((1 << bits) - 1)) as u32;
        self.pending >>= bits;
        self.bits -= bits;
        Some(value)
    }

    /// Four bytes at once, as long as there are so many.
    fn refill(&mut self, bits: u32) -> Option<()> {
        if let Some((four, rest)) = self.bytes.split_first_chunk() {
            self.pending |= u64::from(u32::from_le_bytes(*four)) << self.bits;
            (self.bytes, self.bits) = (rest, self.bits + 32);
            return Some(());
        }
        while self.bits < bits {
            let (&byte, rest) = self.bytes.split_first()?;
            self.pending |= u64::from(byte) << self.bits;
            (self.bytes, self.bits) = (rest, self.bits + 8);
        }
        Some(())
    }

    pub(crate) fn take_u64(&mut self) -> Option<u64> {
        Some(u64::from(self.take(32)?) | u64::from(self.take(32)?) << 32)
    }

    pub(crate) fn bytes_left(&self) -> usize {
        self.bytes.len() + self.bits as usize / 8
    }

    /// Whether all has been read but the filling of the last byte.
    pub(crate) fn is_at_end(&self) -> bool {
        self.bytes_left() == 0 && self.pending == 0
    }
}

/// Bits that numbers below `count` need.
pub(crate) fn bits_for(count: usize) -> u32 {
    count.saturating_sub(1).checked_ilog2().map_or(0, |log| log + 1)
}

/// FNV-1a of 64 bits (Fowler, Noll, Vo). No single changed byte goes unseen.
pub(crate) fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(values in prop::collection::vec((any::<u32>(), 0u32..=32), 0..50)) {
            let low = |value: u32, bits: u32| (u64::from(value) & ((1 << bits) - 1)) as u32;
            let mut bytes = Vec::new();
            let mut writer = Writer::new(&mut bytes);
            values.iter().for_each(|&(value, bits)| writer.put(low(value, bits), bits));
            writer.finish();
            let mut reader = Reader::new(&bytes);
            for &(value, bits) in &values {
                prop_assert_eq!(reader.take(bits), Some(low(value, bits)));
            }
            prop_assert!(reader.is_at_end());
            prop_assert_eq!(reader.take(8), None);
        }
    }

    #[test]
    fn the_checksum_is_the_published_one() {
        assert_eq!(checksum(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(checksum(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn counts_need_as_many_bits_as_their_greatest_number() {
        assert_eq!([0, 1, 2, 3, 256, 257].map(bits_for), [0, 0, 1, 2, 8, 9]);
    }
}
