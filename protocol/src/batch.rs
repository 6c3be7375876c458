//! What one MQTT publish or one Kinesis record carries: envelopes, each with its length, compressed as a whole.
//!
//! ```text
//! 0        1        codec   0 = plain, 1 = LZ4 block
//! 1        4        length of the plain form, u32 little endian (LZ4 only)
//! …                 the plain form: (u16 little endian length, envelope) repeated
//! ```

use crate::envelope::MAX_ENVELOPE;
use crate::seal::DecodeError;
use alloc::vec::Vec;

/// Longest batch, encoded and plain, in bytes: the largest publish AWS IoT Core takes.
pub const MAX_BATCH: usize = 128 * 1024;

const PLAIN: u8 = 0;
const LZ4: u8 = 1;

/// Envelopes on their way into one batch.
#[derive(Clone, Debug, Default)]
pub struct BatchBuilder {
    plain: Vec<u8>,
}

impl BatchBuilder {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an encoded envelope, or says that it no longer fits.
    pub fn push(&mut self, envelope: &[u8]) -> bool {
        assert!(envelope.len() <= MAX_ENVELOPE, "an envelope is at most {MAX_ENVELOPE} bytes");
        if 1 + self.plain.len() + 2 + envelope.len() > MAX_BATCH {
            return false;
        }
        self.plain.extend_from_slice(&(envelope.len() as u16).to_le_bytes());
        self.plain.extend_from_slice(envelope);
        true
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.plain.is_empty()
    }

    /// The batch as bytes, compressed when that is shorter.
    pub fn finish(self) -> Vec<u8> {
        let packed = lz4_flex::block::compress(&self.plain);
        let (codec, body): (u8, &[u8]) =
            if packed.len() + 4 < self.plain.len() { (LZ4, &packed) } else { (PLAIN, &self.plain) };
        let mut bytes = Vec::with_capacity(5 + body.len());
        bytes.push(codec);
        if codec == LZ4 {
            bytes.extend_from_slice(&(self.plain.len() as u32).to_le_bytes());
        }
        bytes.extend_from_slice(body);
        bytes
    }
}

/// A batch taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Encoded envelopes, in order; each still to be decoded and checked on its own.
    pub envelopes: Vec<Vec<u8>>,
    /// Why the rest could not be taken apart; the envelopes before it are whole.
    pub broken: Option<DecodeError>,
}

/// Takes a batch apart. What can be read is given even when the end is broken.
pub fn split(bytes: &[u8]) -> Split {
    match plain_form(bytes) {
        Ok(plain) => split_plain(&plain),
        Err(error) => Split { envelopes: Vec::new(), broken: Some(error) },
    }
}

fn plain_form(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    if bytes.len() > MAX_BATCH {
        return Err(DecodeError::TooLong { len: bytes.len(), max: MAX_BATCH });
    }
    match bytes.split_first() {
        Some((&PLAIN, rest)) => Ok(rest.to_vec()),
        Some((&LZ4, rest)) => {
            let Some((len, packed)) = rest.split_first_chunk::<4>() else {
                return Err(DecodeError::Truncated { have: bytes.len(), need: 5 });
            };
            let len = u32::from_le_bytes(*len) as usize;
            if len > MAX_BATCH {
                return Err(DecodeError::TooLong { len, max: MAX_BATCH });
            }
            let plain =
                lz4_flex::block::decompress(packed, len).map_err(|_| DecodeError::Malformed("not an LZ4 block"))?;
            if plain.len() != len {
                return Err(DecodeError::Malformed("LZ4 block of another length than stated"));
            }
            Ok(plain)
        }
        Some(_) => Err(DecodeError::Malformed("unknown codec of a batch")),
        None => Err(DecodeError::Truncated { have: 0, need: 1 }),
    }
}

fn split_plain(mut plain: &[u8]) -> Split {
    let mut envelopes = Vec::new();
    while !plain.is_empty() {
        let Some((len, rest)) = plain.split_first_chunk::<2>() else {
            return Split { envelopes, broken: Some(DecodeError::Truncated { have: plain.len(), need: 2 }) };
        };
        let len = usize::from(u16::from_le_bytes(*len));
        if len > rest.len() {
            return Split { envelopes, broken: Some(DecodeError::Truncated { have: rest.len(), need: len }) };
        }
        envelopes.push(rest[..len].to_vec());
        plain = &rest[len..];
    }
    Split { envelopes, broken: None }
}
