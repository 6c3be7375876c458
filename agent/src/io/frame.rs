//! How a value lies on disk: magic, length, envelope. The envelope's own checksum covers it, and the magic lets a raw
//! scan of a damaged file find it again. Where LZ4 makes it shorter the envelope is compressed: sled writes each value
//! almost three times, and the quota holds more.

use crc::{CRC_32_ISCSI, Crc};
use serde::{Serialize, de::DeserializeOwned};
use std::borrow::Cow;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use windward_protocol::{AgentId, Epoch, Lane, MAX_ENVELOPE, Seq, version};

const MAGIC: [u8; 4] = *b"WWv1";
/// Magic of the value that is written last in a commit: where it stands, and sled says so, the commit is complete.
const LAST_MAGIC: [u8; 4] = *b"WWe1";
/// How much of a file is looked at in one go, bytes.
const WINDOW: u64 = 256 * 1024;
pub(super) const HEAD: usize = MAGIC.len() + 2;
/// In the length: what follows is an LZ4 block.
const PACKED: u16 = 0x8000;
const CRC32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// Frames an encoded envelope. `ends`: it is the last one of a commit.
pub(super) fn frame(envelope: &[u8], ends: bool) -> Vec<u8> {
    assert!(envelope.len() <= MAX_ENVELOPE, "an envelope is at most {MAX_ENVELOPE} bytes");
    let packed = lz4_flex::block::compress(envelope);
    let (body, flag) = if packed.len() < envelope.len() { (&packed[..], PACKED) } else { (envelope, 0) };
    let mut framed = Vec::with_capacity(HEAD + body.len());
    framed.extend_from_slice(if ends { &LAST_MAGIC } else { &MAGIC });
    framed.extend_from_slice(&(body.len() as u16 | flag).to_le_bytes());
    framed.extend_from_slice(body);
    framed
}

/// The envelope in a frame; `None` when the frame or the envelope's checksum is broken.
pub(super) fn unframe(framed: &[u8]) -> Option<Cow<'_, [u8]>> {
    let (len, body) = frame_at(framed)?;
    (HEAD + body.len() == framed.len()).then_some(())?;
    unpack(len, body)
}

/// The envelope in the body of a frame with this length; `None` when it is not intact.
fn unpack(len: u16, body: &[u8]) -> Option<Cow<'_, [u8]>> {
    let envelope = if len & PACKED == 0 {
        Cow::Borrowed(body)
    } else {
        let mut envelope = vec![0; MAX_ENVELOPE];
        let len = lz4_flex::block::decompress_into(body, &mut envelope).ok()?;
        envelope.truncate(len);
        Cow::Owned(envelope)
    };
    without_crc(&envelope).is_some().then_some(envelope)
}

/// Whether the value in a frame is the last one of a commit.
pub(super) fn ends(framed: &[u8]) -> bool {
    framed.starts_with(&LAST_MAGIC)
}

fn after_magic(bytes: &[u8]) -> Option<&[u8]> {
    bytes.strip_prefix(&MAGIC).or_else(|| bytes.strip_prefix(&LAST_MAGIC))
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
    if let Ok(mut file) = File::open(file) {
        scan(&mut file, |name, _, envelope| {
            if let Some(seq) = wanted(name, (epoch, lane), acked) {
                found.add(seq, envelope);
            }
        });
    }
    found
}

/// The epochs that intact envelopes of a lane name in the raw bytes of a file.
pub(super) fn epochs(file: &Path, lane: Lane) -> BTreeSet<Epoch> {
    let mut epochs = BTreeSet::new();
    if let Ok(mut file) = File::open(file) {
        scan(&mut file, |(epoch, its_lane, _), _, _| epochs.extend((its_lane == lane).then_some(epoch)));
    }
    epochs
}

/// Where the envelopes of a file stand, so that they can be read without sled: it would write to the disk, and takes a
/// multiple of the memory.
#[derive(Debug)]
pub(super) struct Index {
    file: File,
    /// Number, place of the frame's body in the file, its length as in the frame; in order.
    places: Vec<(Seq, u32, u16)>,
}

impl Index {
    /// Looks through the whole file. One that cannot be read to its end gives what stands before.
    pub(super) fn of(file: &Path, epoch: Epoch, lane: Lane, acked: Seq) -> io::Result<Self> {
        let (mut file, mut places) = (File::open(file)?, Vec::new());
        scan(&mut file, |name, (at, len), _| {
            // A generation is far below 4 GiB.
            if let (Some(seq), Ok(at)) = (wanted(name, (epoch, lane), acked), u32::try_from(at)) {
                places.push((seq, at, len));
            }
        });
        places.sort_unstable();
        places.dedup_by_key(|(seq, ..)| *seq);
        places.shrink_to_fit();
        Ok(Self { file, places })
    }

    /// The numbers, in order.
    pub(super) fn seqs(&self) -> impl Iterator<Item = Seq> + '_ {
        self.places.iter().map(|(seq, ..)| *seq)
    }

    /// Envelopes from `from` on with their numbers, each read when it is asked for.
    pub(super) fn values(&self, from: Seq) -> impl Iterator<Item = io::Result<(Seq, Vec<u8>)>> + '_ {
        let first = self.places.partition_point(|(seq, ..)| *seq < from);
        self.places[first..].iter().map(|&(seq, at, len)| {
            let mut body = vec![0; usize::from(len & !PACKED)];
            self.file.read_exact_at(&mut body, u64::from(at))?;
            match unpack(len, &body) {
                Some(envelope) => Ok((seq, envelope.into_owned())),
                None => Err(io::Error::new(io::ErrorKind::InvalidData, format!("value {seq} is damaged"))),
            }
        })
    }
}

/// What an envelope is called.
pub(super) type Name = (Epoch, Lane, Seq);

/// Its number, if it is of this lane and above `acked`.
fn wanted((epoch, lane, seq): Name, of: (Epoch, Lane), acked: Seq) -> Option<Seq> {
    ((epoch, lane) == of && seq > acked).then_some(seq)
}

/// Hands over every intact envelope with the place and length of its frame's body in the file. One that stands there
/// several times comes several times: sled writes its pages anew as they fill.
pub(super) fn scan(file: &mut impl Read, mut take: impl FnMut(Name, (u64, u16), &[u8])) {
    let (mut window, mut window_at) = (Vec::new(), 0);
    loop {
        // A frame that the end of the window cuts is met whole when more has been read behind it.
        let read = file.by_ref().take(WINDOW).read_to_end(&mut window).unwrap_or(0);
        let mut at = 0;
        while let Some(offset) = window[at..].iter().position(|&byte| byte == MAGIC[0]) {
            at += offset;
            if read > 0 && window.len() - at < HEAD + MAX_ENVELOPE {
                break;
            }
            if let Some((len, body)) = frame_at(&window[at..])
                && let Some(envelope) = unpack(len, body)
                && let Some(name) = name(&envelope)
            {
                take(name, (window_at + (at + HEAD) as u64, len), &envelope);
                at += HEAD + body.len() - 1;
            }
            at += 1;
        }
        if read == 0 {
            return;
        }
        let done = at.max(window.len().saturating_sub(HEAD + MAX_ENVELOPE)).min(window.len());
        window.drain(..done);
        window_at += done as u64;
    }
}

/// Epoch, lane and number of an intact envelope.
fn name(envelope: &[u8]) -> Option<Name> {
    let (&version, body) = envelope.split_first()?;
    let known = (version::MIN..=version::CURRENT).contains(&version);
    let ((_, epoch, lane, seq), _) = postcard::take_from_bytes::<(AgentId, Epoch, Lane, Seq)>(body).ok()?;
    known.then_some((epoch, lane, seq))
}

/// Length as it stands there, and body, of the frame that begins here.
fn frame_at(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (len, rest) = after_magic(bytes)?.split_first_chunk::<2>()?;
    let len = u16::from_le_bytes(*len);
    Some((len, rest.get(..usize::from(len & !PACKED))?))
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bytes that LZ4 makes shorter, and such that it does not.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let dull = (0u8..4, 1..MAX_ENVELOPE - 4).prop_map(|(byte, len)| vec![byte; len]);
        prop_oneof![dull, prop::collection::vec(any::<u8>(), 1..MAX_ENVELOPE - 4)]
    }

    proptest! {
        #[test]
        fn what_is_framed_comes_back_and_what_is_damaged_does_not(
            bytes in bytes(), ends in any::<bool>(), at in any::<prop::sample::Index>(), bit in 0u8..8,
        ) {
            let envelope = with_crc(bytes);
            let mut framed = frame(&envelope, ends);
            prop_assert!(framed.len() <= HEAD + envelope.len());
            prop_assert_eq!(super::ends(&framed), ends);
            prop_assert!(unframe(&framed).is_some_and(|read| *read == envelope[..]));
            let at = at.index(framed.len());
            framed[at] ^= 1 << bit;
            // Another way to pack the same would do no harm.
            let read = unframe(&framed);
            prop_assert!(read.is_none_or(|read| *read == envelope[..]));
        }
    }
}
