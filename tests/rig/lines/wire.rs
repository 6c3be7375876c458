//! Frames on the wire: RTU (Modbus over Serial Line V1.02) and Modbus TCP (Messaging on TCP/IP V1.0b).

/// Longest frame of either kind: a whole RTU frame is 256 bytes, a TCP one 260.
pub(crate) const MAX_FRAME: usize = 260;
/// Longest Modbus TCP body: unit identifier and PDU.
const MAX_BODY: usize = 254;
/// Transaction, protocol, length, unit.
const HEADER: usize = 7;

/// A request as a slave hears it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Transaction of Modbus TCP; 0 in RTU.
    pub transaction: u16,
    /// Address of the slave, or unit identifier.
    pub slave: u8,
    /// Function code and data.
    pub pdu: Vec<u8>,
}

/// How frames are marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Address, PDU, CRC.
    Rtu,
    /// Header, PDU.
    Tcp,
}

impl Framing {
    /// Takes the first whole request off what was heard; what can be no request is dropped byte by byte.
    pub fn take(self, heard: &mut Vec<u8>) -> Option<Request> {
        match self {
            Framing::Rtu => take_rtu(heard),
            Framing::Tcp => take_tcp(heard),
        }
    }

    /// The frame of a PDU from or to a slave.
    pub fn frame(self, transaction: u16, slave: u8, pdu: &[u8]) -> Vec<u8> {
        match self {
            Framing::Rtu => {
                let mut frame = [&[slave], pdu].concat();
                frame.extend(crc16(&frame).to_le_bytes());
                frame
            }
            Framing::Tcp => {
                let length = (pdu.len() as u16 + 1).to_be_bytes();
                [&transaction.to_be_bytes()[..], &[0, 0], &length, &[slave], pdu].concat()
            }
        }
    }
}

fn take_rtu(heard: &mut Vec<u8>) -> Option<Request> {
    while let Some(length) = rtu_length(heard) {
        if length > heard.len() {
            return None;
        }
        if length >= 4 && intact(&heard[..length]) {
            let frame: Vec<u8> = heard.drain(..length).collect();
            return Some(Request { transaction: 0, slave: frame[0], pdu: frame[1..length - 2].to_vec() });
        }
        // Out of step: the next byte may begin a request.
        heard.remove(0);
    }
    None
}

/// Length of the request that begins here, as its function says; `None` until that is known.
fn rtu_length(heard: &[u8]) -> Option<usize> {
    Some(match *heard.get(1)? {
        1..=6 => 8,
        0x0f | 0x10 => 9 + usize::from(*heard.get(6)?),
        0x2b => 7,
        // Only a frame with its CRC at the end can be told: whatever was heard may be one.
        _ => heard.len(),
    })
}

fn take_tcp(heard: &mut Vec<u8>) -> Option<Request> {
    while heard.len() >= HEADER {
        let body = usize::from(u16::from_be_bytes([heard[4], heard[5]]));
        if heard[2..4] != [0, 0] || !(2..=MAX_BODY).contains(&body) {
            heard.remove(0);
            continue;
        }
        if heard.len() < HEADER - 1 + body {
            return None;
        }
        let frame: Vec<u8> = heard.drain(..HEADER - 1 + body).collect();
        let transaction = u16::from_be_bytes([frame[0], frame[1]]);
        return Some(Request { transaction, slave: frame[6], pdu: frame[HEADER..].to_vec() });
    }
    None
}

/// Whether an RTU frame ends with its own CRC.
pub fn intact(frame: &[u8]) -> bool {
    let Some((body, crc)) = frame.split_last_chunk::<2>() else { return false };
    crc16(body).to_le_bytes() == *crc
}

/// CRC-16 of Modbus over Serial Line V1.02, 2.5.1.2.
pub fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xffff, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xa001 } else { crc >> 1 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_specification() {
        // Read ten holding registers from 0 of slave 1: a frame found in any Modbus primer.
        assert!(intact(&[0x01, 0x03, 0x00, 0x00, 0x00, 0x0a, 0xc5, 0xcd]));
    }

    #[test]
    fn a_request_is_found_in_both_framings_among_noise_and_in_pieces() {
        let pdus: [&[u8]; 4] = [&[3, 0, 0, 0, 10], &[0x2b, 0x0e, 1, 0], &[0x10, 0, 1, 0, 1, 2, 9, 9], &[0x11]];
        for framing in [Framing::Rtu, Framing::Tcp] {
            for pdu in pdus {
                let frame = framing.frame(0, 7, pdu);
                let mut heard = Vec::new();
                for byte in &frame[..frame.len() - 1] {
                    heard.push(*byte);
                    // A frame of unknown length cannot wait: it is only known when it is whole.
                    if pdu[0] != 0x11 {
                        assert_eq!(framing.take(&mut heard), None, "{framing:?} {pdu:02x?}");
                    }
                }
                let mut noisy = [&[0xff, 0xff], &frame[..]].concat();
                let expected = Some(Request { transaction: 0, slave: 7, pdu: pdu.to_vec() });
                assert_eq!(framing.take(&mut noisy), expected, "{framing:?} {pdu:02x?}");
                assert!(noisy.is_empty());
            }
        }
    }
}
