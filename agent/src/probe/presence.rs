//! Whether anybody is there on a serial line: one request that every Modbus slave answers, if only to refuse it.

use crate::config::Function;
use crc::{CRC_16_MODBUS, Crc};

const CRC: Crc<u16> = Crc::<u16>::new(&CRC_16_MODBUS);

/// What came after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Nothing.
    Nothing,
    /// An answer of this slave. It may be another than was asked: then its answer to an earlier request came late.
    Slave(u8),
    /// Bytes that are no answer: a device at another rate or parity, two at once, one that speaks by itself, or noise.
    Noise,
}

/// The request for the first register of a table: address, function, start, count, CRC
/// (Modbus over Serial Line V1.02, 2.3).
pub fn request(slave: u8, function: Function) -> [u8; 8] {
    let [low, high] = CRC.checksum(&[slave, code(function), 0, 0, 0, 1]).to_le_bytes();
    [slave, code(function), 0, 0, 0, 1, low, high]
}

/// Judges what came after `request`. An adapter may hear what it sends itself: that says nothing. What stands before an
/// answer, as noise from a line that is switched, does not matter.
pub fn judge(request: &[u8], bytes: &[u8]) -> Heard {
    let bytes = bytes.strip_prefix(request).unwrap_or(bytes);
    if bytes.is_empty() || request.starts_with(bytes) {
        return Heard::Nothing;
    }
    match (0..bytes.len()).find_map(|at| answer(&bytes[at..])) {
        Some(slave) => Heard::Slave(slave),
        None => Heard::Noise,
    }
}

/// The slave, if the bytes begin with an answer to such a request: one register, or an exception.
fn answer(bytes: &[u8]) -> Option<u8> {
    let length = match *bytes {
        [1..=247, 3 | 4, 2, ..] => 7,
        [1..=247, 0x83 | 0x84, ..] => 5,
        _ => return None,
    };
    let (frame, crc) = bytes.get(..length)?.split_last_chunk::<2>()?;
    (CRC.checksum(frame) == u16::from_le_bytes(*crc)).then_some(bytes[0])
}

fn code(function: Function) -> u8 {
    match function {
        Function::Coil => 1,
        Function::Discrete => 2,
        Function::Holding => 3,
        Function::Input => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn framed(frame: &[u8]) -> Vec<u8> {
        [frame, &CRC.checksum(frame).to_le_bytes()].concat()
    }

    #[test]
    fn a_request_is_as_the_standard_has_it() {
        assert_eq!(request(1, Function::Input), [1, 4, 0, 0, 0, 1, 0x31, 0xca]);
    }

    #[test]
    fn an_answer_a_refusal_a_late_answer_an_echo_and_noise_are_told_apart() {
        let asked = request(5, Function::Holding);
        let answer = framed(&[5, 3, 2, 1, 2]);
        let (refusal, late) = (framed(&[5, 0x83, 2]), framed(&[4, 3, 2, 0, 0]));
        let garbled = [&answer[..6], &[answer[6] ^ 1]].concat();
        for (bytes, heard) in [
            (vec![], Heard::Nothing),
            (asked.to_vec(), Heard::Nothing),
            (asked[..5].to_vec(), Heard::Nothing),
            (answer.clone(), Heard::Slave(5)),
            (refusal.clone(), Heard::Slave(5)),
            (late, Heard::Slave(4)),
            ([&asked[..], &answer].concat(), Heard::Slave(5)),
            ([&[0][..], &refusal].concat(), Heard::Slave(5)),
            (garbled, Heard::Noise),
            (answer[..6].to_vec(), Heard::Noise),
            (b"$WIMWV,1".to_vec(), Heard::Noise),
        ] {
            assert_eq!(judge(&asked, &bytes), heard, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_judged(slave in 1u8..=247, bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            judge(&request(slave, Function::Input), &bytes);
        }
    }
}
