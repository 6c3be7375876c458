//! The checks that guard lines, for those who read lines and those who imitate devices.

use crc::{CRC_16_ARC, Crc};

const CRC: Crc<u16> = Crc::<u16>::new(&CRC_16_ARC);

/// Exclusive or of all bytes: NMEA 0183's checksum, Gill's, the WMT700's.
pub fn xor(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum ^ byte)
}

/// The three characters that guard `bytes` in the WXT's ASCII protocol with CRC: CRC-16/ARC in steps of 4, 6 and 6
/// bits, each with 0x40 added (WXT530 User Guide M211840EN, "CRC-16 Computation").
pub fn wxt(bytes: &[u8]) -> [u8; 3] {
    let crc = CRC.checksum(bytes);
    [crc >> 12, crc >> 6, crc].map(|bits| 0x40 | (bits & 0x3f) as u8)
}

/// Whether `digits` are `sum` as two hexadecimal digits.
pub(super) fn is_hex(digits: &[u8], sum: u8) -> bool {
    digits.eq_ignore_ascii_case(format!("{sum:02X}").as_bytes())
}
