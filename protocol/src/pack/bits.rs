//! Bits, and the three ways in which integers become them.
//!
//! ```text
//! bits    so many bits, the least significant first; so is every byte filled
//! gamma k  for one number of about 2^k: h = number >> k; the length of h in ones, a zero, h without its leading one,
//!         k low bits
//! rice    for a series: the number >> k in ones, a zero, k low bits, where k follows the mean of what came before;
//!         24 ones: its length less one in 6 bits, and the number without its leading one
//! ```
//! Rice codes are all but optimal for the differences of a measured signal, and cost a few shifts.

use alloc::vec::Vec;

/// So many ones stand for a number that is written out.
const ESCAPE: u32 = 24;

/// The bits end before what they should hold, or hold what no writer makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadBits;

/// Bits on their way into bytes.
#[derive(Debug, Default)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    /// The last bits, fewer than 8.
    pending: u64,
    count: u32,
}

impl BitWriter {
    /// The `count` low bits of `value`; it has no others.
    pub(super) fn bits(&mut self, value: u64, count: u32) {
        debug_assert!(count == 64 || value >> count == 0, "{value} in {count} bits");
        if count > 32 {
            self.short(value & 0xffff_ffff, 32);
            self.short(value >> 32, count - 32);
        } else {
            self.short(value, count);
        }
    }

    fn short(&mut self, value: u64, count: u32) {
        self.pending |= value << self.count;
        self.count += count;
        while self.count >= 8 {
            self.bytes.push(self.pending as u8);
            self.pending >>= 8;
            self.count -= 8;
        }
    }

    /// One bit.
    pub(super) fn flag(&mut self, set: bool) {
        self.short(u64::from(set), 1);
    }

    /// So many ones, at most 64, and a zero.
    fn unary(&mut self, ones: u32) {
        let high = ones.min(32);
        self.short((1 << high) - 1, high);
        self.short((1 << (ones - high)) - 1, ones - high);
        self.short(0, 1);
    }

    /// One number of about 2^k.
    pub(super) fn gamma(&mut self, value: u64, k: u32) {
        let high = value >> k;
        let len = bit_len(high);
        self.unary(len);
        self.low(high, len.saturating_sub(1));
        self.low(value, k);
    }

    /// One number of about 2^k, and of either sign.
    pub(super) fn signed(&mut self, value: i64, k: u32) {
        self.gamma(zigzag(value), k);
    }

    fn low(&mut self, value: u64, count: u32) {
        self.bits(low_bits(value, count), count);
    }

    /// The bytes; the last one is filled up with zeros.
    pub(super) fn finish(mut self) -> Vec<u8> {
        if self.count > 0 {
            self.bytes.push(self.pending as u8);
        }
        self.bytes
    }
}

/// Bits out of bytes.
#[derive(Debug)]
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    pending: u64,
    count: u32,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, pending: 0, count: 0 }
    }

    pub(super) fn bits(&mut self, count: u32) -> Result<u64, BadBits> {
        if count > 32 {
            let low = self.short(32)?;
            return Ok(low | (self.short(count - 32)? << 32));
        }
        self.short(count)
    }

    fn short(&mut self, count: u32) -> Result<u64, BadBits> {
        while self.count < count {
            let (&byte, rest) = self.bytes.split_first().ok_or(BadBits)?;
            self.pending |= u64::from(byte) << self.count;
            self.count += 8;
            self.bytes = rest;
        }
        let value = low_bits(self.pending, count);
        self.pending >>= count;
        self.count -= count;
        Ok(value)
    }

    pub(super) fn flag(&mut self) -> Result<bool, BadBits> {
        Ok(self.short(1)? == 1)
    }

    /// Ones up to a zero; `most` ones end by themselves.
    fn unary(&mut self, most: u32) -> Result<u32, BadBits> {
        let mut ones = 0;
        while ones < most && self.flag()? {
            ones += 1;
        }
        Ok(ones)
    }

    pub(super) fn gamma(&mut self, k: u32) -> Result<u64, BadBits> {
        let len = self.unary(65)?;
        if len + k > 64 {
            return Err(BadBits);
        }
        let high = match len {
            0 => 0,
            len => 1 << (len - 1) | self.bits(len - 1)?,
        };
        Ok(high << k | self.bits(k)?)
    }

    pub(super) fn signed(&mut self, k: u32) -> Result<i64, BadBits> {
        Ok(unzigzag(self.gamma(k)?))
    }

    /// Nothing may follow but the zeros that fill the last byte.
    pub(super) fn finish(self) -> Result<(), BadBits> {
        if self.bytes.is_empty() && self.count < 8 && self.pending == 0 { Ok(()) } else { Err(BadBits) }
    }
}

/// The code of a series: how great its numbers have been lately.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rice {
    sum: u64,
    count: u32,
}

impl Rice {
    /// A series whose numbers are about `mean`.
    pub(super) fn new(mean: u64) -> Self {
        Self { sum: mean, count: 1 }
    }

    /// What is learned, as the first guess for a series of the same kind.
    pub(super) fn guess(&self) -> Self {
        Self::new(self.sum / u64::from(self.count))
    }

    pub(super) fn write(&mut self, bits: &mut BitWriter, value: u64) {
        let k = self.k();
        let high = value >> k;
        if high < u64::from(ESCAPE) {
            bits.unary(high as u32);
            bits.low(value, k);
        } else {
            let len = bit_len(value);
            bits.short((1 << ESCAPE) - 1, ESCAPE);
            bits.bits(u64::from(len - 1), 6);
            bits.low(value, len - 1);
        }
        self.learn(value, k);
    }

    pub(super) fn write_signed(&mut self, bits: &mut BitWriter, value: i64) {
        self.write(bits, zigzag(value));
    }

    pub(super) fn read(&mut self, bits: &mut BitReader<'_>) -> Result<u64, BadBits> {
        let k = self.k();
        let high = bits.unary(ESCAPE)?;
        let value = if high < ESCAPE {
            u64::from(high) << k | bits.bits(k)?
        } else {
            let len = bits.bits(6)? as u32;
            1 << len | bits.bits(len)?
        };
        self.learn(value, k);
        Ok(value)
    }

    pub(super) fn read_signed(&mut self, bits: &mut BitReader<'_>) -> Result<i64, BadBits> {
        Ok(unzigzag(self.read(bits)?))
    }

    /// The best number of low bits for a geometric series: its greatest bit is that of half the mean. Without a
    /// division, which is dear on a small processor.
    fn k(&self) -> u32 {
        let half = self.sum / 2;
        let mut k = bit_len(half).saturating_sub(bit_len(u64::from(self.count)));
        while u64::from(self.count) << k <= half {
            k += 1;
        }
        k
    }

    /// One number counts for a few of its neighbours, however great it is; old ones count less and less.
    fn learn(&mut self, value: u64, k: u32) {
        self.sum += value.min(16 << k.min(50));
        self.count += 1;
        if self.count == WINDOW {
            self.sum /= 2;
            self.count /= 2;
        }
    }
}

/// So many numbers, and the half of them is forgotten.
const WINDOW: u32 = 32;

pub(super) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

pub(super) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

pub(super) fn bit_len(value: u64) -> u32 {
    64 - value.leading_zeros()
}

fn low_bits(value: u64, count: u32) -> u64 {
    if count == 64 { value } else { value & ((1 << count) - 1) }
}
