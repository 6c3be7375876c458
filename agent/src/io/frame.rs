//! How a value lies on disk: magic, length, envelope. The envelope's own checksum covers it, and the magic lets a raw
//! scan of a damaged file find it again.

use crc::{CRC_32_ISCSI, Crc};
use serde::{Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io::Read as _;
use std::ops::Range;
use std::path::Path;
use windward_protocol::{AgentId, Epoch, Lane, MAX_ENVELOPE, Seq, version};

const MAGIC: [u8; 4] = *b"WWv1";
/// How much of a file is looked at in one go, bytes.
const WINDOW: u64 = 1024 * 1024;
const HEAD: usize = MAGIC.len() + 2;
const CRC32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// Frames an encoded envelope.
pub(super) fn frame(envelope: &[u8]) -> Vec<u8> {
    assert!(envelope.len() <= MAX_ENVELOPE, "an envelope is at most {MAX_ENVELOPE} bytes");
    let mut framed = Vec::with_capacity(HEAD + envelope.len());
    framed.extend_from_slice(&MAGIC);
    framed.extend_from_slice(&(envelope.len() as u16).to_le_bytes());
    framed.extend_from_slice(envelope);
    framed
}

/// The envelope in a frame; `None` when the frame or the envelope's checksum is broken.
pub(super) fn unframe(framed: &[u8]) -> Option<&[u8]> {
    let rest = framed.strip_prefix(&MAGIC)?;
    let (len, envelope) = rest.split_first_chunk::<2>()?;
    let intact = usize::from(u16::from_le_bytes(*len)) == envelope.len() && without_crc(envelope).is_some();
    intact.then_some(envelope)
}

/// Envelopes from the raw bytes of a file. They stand one behind the other in one piece of memory, which goes back to
/// the system in one piece.
#[derive(Debug, Default)]
pub(super) struct Salvaged {
    bytes: Vec<u8>,
    places: BTreeMap<Seq, Range<usize>>,
}

impl Salvaged {
    /// Their numbers.
    pub(super) fn seqs(&self) -> impl Iterator<Item = Seq> + '_ {
        self.places.keys().copied()
    }

    /// Number and envelope of each, in order.
    pub(super) fn values(&self) -> impl Iterator<Item = (Seq, &[u8])> + '_ {
        self.places.iter().map(|(&seq, place)| (seq, &self.bytes[place.clone()]))
    }

    fn add(&mut self, seq: Seq, envelope: &[u8]) {
        let Entry::Vacant(place) = self.places.entry(seq) else { return };
        place.insert(self.bytes.len()..self.bytes.len() + envelope.len());
        self.bytes.extend_from_slice(envelope);
    }
}

/// Intact envelopes of `epoch` and `lane` above `acked` in the raw bytes of a file; none when it cannot be read.
pub(super) fn salvage(file: &Path, epoch: Epoch, lane: Lane, acked: Seq) -> Salvaged {
    let mut found = Salvaged::default();
    let Ok(mut file) = File::open(file) else { return found };
    let mut window = Vec::new();
    loop {
        // A frame that the end of the window cuts is met whole when more has been read behind it.
        let read = file.by_ref().take(WINDOW).read_to_end(&mut window).unwrap_or(0);
        let mut at = 0;
        while let Some(offset) = window[at..].iter().position(|&byte| byte == MAGIC[0]) {
            at += offset;
            if read > 0 && window.len() - at < HEAD + MAX_ENVELOPE {
                break;
            }
            if let Some(envelope) = frame_at(&window[at..])
                && let Some((its_epoch, its_lane, seq)) = name(envelope)
                && (its_epoch, its_lane) == (epoch, lane)
                && seq > acked
            {
                found.add(seq, envelope);
            }
            at += 1;
        }
        if read == 0 {
            return found;
        }
        window.drain(..at.max(window.len().saturating_sub(HEAD + MAX_ENVELOPE)).min(window.len()));
    }
}

/// Epoch, lane and number of an intact envelope.
fn name(envelope: &[u8]) -> Option<(Epoch, Lane, Seq)> {
    let (&version, body) = without_crc(envelope)?.split_first()?;
    let known = (version::MIN..=version::CURRENT).contains(&version);
    let ((_, epoch, lane, seq), _) = postcard::take_from_bytes::<(AgentId, Epoch, Lane, Seq)>(body).ok()?;
    known.then_some((epoch, lane, seq))
}

fn frame_at(bytes: &[u8]) -> Option<&[u8]> {
    let (len, rest) = bytes.strip_prefix(&MAGIC)?.split_first_chunk::<2>()?;
    rest.get(..usize::from(u16::from_le_bytes(*len)))
}

/// A small value with its checksum, for files of our own.
pub(super) fn seal<T: Serialize>(value: &T) -> Vec<u8> {
    #[allow(clippy::unwrap_used, reason = "a Vec grows and the types are sized, so postcard cannot fail")]
    let bytes = postcard::to_allocvec(value).unwrap();
    with_crc(bytes)
}

/// The inverse of [`seal`]; `None` when the bytes are damaged.
pub(super) fn unseal<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    postcard::from_bytes(without_crc(bytes)?).ok()
}

/// The bytes, and behind them their CRC-32C.
pub(super) fn with_crc(mut bytes: Vec<u8>) -> Vec<u8> {
    let crc = CRC32C.checksum(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

/// The inverse of [`with_crc`]; `None` when the bytes are damaged.
pub(super) fn without_crc(bytes: &[u8]) -> Option<&[u8]> {
    let (body, crc) = bytes.split_last_chunk::<4>()?;
    (CRC32C.checksum(body) == u32::from_le_bytes(*crc)).then_some(body)
}
