//! Bytes under a right checksum, which no fuzzer would ever hit upon.

/// The bytes, and behind them their CRC-32C, reckoned here in another way than there.
pub(crate) fn sealed(bytes: &[u8]) -> Vec<u8> {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82F6_3B78 & (crc & 1).wrapping_neg());
        }
    }
    [bytes, &(!crc).to_le_bytes()].concat()
}
