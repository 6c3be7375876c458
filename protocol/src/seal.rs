//! The frame of everything that is sealed: one version byte, postcard, CRC-32C (little endian) over both.

use crate::pack::SchemaId;
use alloc::vec::Vec;
use crc::{CRC_32_ISCSI, Crc, Table};
use serde::{Serialize, de::DeserializeOwned};

/// Bytes that the checksum takes at a time, a table of 1 KiB for each: few on gateways, more where sinks run.
const AT_A_TIME: usize = if cfg!(target_arch = "x86_64") { 16 } else { 1 };
/// CRC-32C (Castagnoli), the polynomial of iSCSI and SCTP.
const CRC32C: Crc<u32, Table<AT_A_TIME>> = Crc::<u32, Table<AT_A_TIME>>::new(&CRC_32_ISCSI);

/// Why bytes from outside were refused. Nothing of them has been used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Longer than the limit for its kind; refused before decoding.
    #[error("{len} bytes, the limit is {max}")]
    TooLong {
        /// Length found, in bytes.
        len: usize,
        /// Longest length allowed, in bytes.
        max: usize,
    },
    /// Ended before its stated or least length.
    #[error("truncated: {have} bytes where {need} are needed")]
    Truncated {
        /// Bytes there.
        have: usize,
        /// Bytes needed.
        need: usize,
    },
    /// The checksum does not fit the bytes: flipped or cut.
    #[error("checksum mismatch: stored {stored:08x}, computed {computed:08x}")]
    Checksum {
        /// CRC-32C found at the end.
        stored: u32,
        /// CRC-32C of what stands before it.
        computed: u32,
    },
    /// Intact, but written by a version this program does not know.
    #[error("wire version {found}, this program reads {min} to {max}")]
    Version {
        /// Version found.
        found: u8,
        /// Oldest version read.
        min: u8,
        /// Newest version read.
        max: u8,
    },
    /// Intact bytes that are no value of the expected type.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// A packed batch that names a schema the receiver has not been told. Sent again in full, it can be read.
    #[error("schema {0} is not known here")]
    UnknownSchema(SchemaId),
}

/// Bytes of the checksum at the end.
pub(crate) const CHECKSUM: usize = 4;
/// Bytes that frame a sealed value: version and checksum.
pub(crate) const OVERHEAD: usize = 1 + CHECKSUM;

/// CRC-32C of these bytes.
pub(crate) fn crc(bytes: &[u8]) -> u32 {
    CRC32C.checksum(bytes)
}

/// Frames `value` under `version`.
pub(crate) fn seal<T: Serialize>(version: u8, value: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(128);
    bytes.push(version);
    #[allow(
        clippy::unwrap_used,
        reason = "postcard fails only on a full buffer or an unsized sequence; a Vec grows and the types are sized"
    )]
    let mut bytes = postcard::to_extend(value, bytes).unwrap();
    let sum = crc(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}

/// Checks length, checksum and version, in this order, then decodes the whole of `bytes`.
pub(crate) fn open<T: DeserializeOwned>(bytes: &[u8], max: usize, versions: (u8, u8)) -> Result<T, DecodeError> {
    if bytes.len() > max {
        return Err(DecodeError::TooLong { len: bytes.len(), max });
    }
    let Some((body, tail)) = bytes.split_last_chunk::<4>().filter(|(body, _)| !body.is_empty()) else {
        return Err(DecodeError::Truncated { have: bytes.len(), need: OVERHEAD });
    };
    let (stored, computed) = (u32::from_le_bytes(*tail), crc(body));
    if stored != computed {
        return Err(DecodeError::Checksum { stored, computed });
    }
    let (found, (min, max)) = (body[0], versions);
    if found < min || found > max {
        return Err(DecodeError::Version { found, min, max });
    }
    match postcard::take_from_bytes(&body[1..]) {
        Ok((value, [])) => Ok(value),
        Ok(_) => Err(DecodeError::Malformed("bytes left over after the value")),
        Err(_) => Err(DecodeError::Malformed("not a value of this type")),
    }
}
