//! How a value lies on disk: magic, length, envelope. The envelope's own checksum covers it, and the magic lets a raw
//! scan of a damaged file find it again.

use crc::{CRC_32_ISCSI, Crc};
use serde::{Serialize, de::DeserializeOwned};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read as _};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use windward_protocol::{AgentId, Epoch, Lane, MAX_ENVELOPE, Seq, version};

const MAGIC: [u8; 4] = *b"WWv1";
/// Magic of the value that is written last in a commit: where it stands, and sled says so, the commit is complete.
const LAST_MAGIC: [u8; 4] = *b"WWe1";
/// How much of a file is looked at in one go, bytes.
const WINDOW: u64 = 256 * 1024;
const HEAD: usize = MAGIC.len() + 2;
const CRC32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// Frames an encoded envelope. `ends`: it is the last one of a commit.
pub(super) fn frame(envelope: &[u8], ends: bool) -> Vec<u8> {
    assert!(envelope.len() <= MAX_ENVELOPE, "an envelope is at most {MAX_ENVELOPE} bytes");
    let mut framed = Vec::with_capacity(HEAD + envelope.len());
    framed.extend_from_slice(if ends { &LAST_MAGIC } else { &MAGIC });
    framed.extend_from_slice(&(envelope.len() as u16).to_le_bytes());
    framed.extend_from_slice(envelope);
    framed
}

/// The envelope in a frame; `None` when the frame or the envelope's checksum is broken.
pub(super) fn unframe(framed: &[u8]) -> Option<&[u8]> {
    let (len, envelope) = after_magic(framed)?.split_first_chunk::<2>()?;
    let intact = usize::from(u16::from_le_bytes(*len)) == envelope.len() && without_crc(envelope).is_some();
    intact.then_some(envelope)
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
    /// Number, place in the file, length; in order.
    places: Vec<(Seq, u32, u16)>,
}

impl Index {
    /// Looks through the whole file. One that cannot be read to its end gives what stands before.
    pub(super) fn of(file: &Path, epoch: Epoch, lane: Lane, acked: Seq) -> io::Result<Self> {
        let (mut file, mut places) = (File::open(file)?, Vec::new());
        scan(&mut file, |name, at, envelope| {
            // A generation is far below 4 GiB.
            if let (Some(seq), Ok(at)) = (wanted(name, (epoch, lane), acked), u32::try_from(at)) {
                places.push((seq, at, envelope.len() as u16));
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
            let mut envelope = vec![0; usize::from(len)];
            self.file.read_exact_at(&mut envelope, u64::from(at))?;
            match without_crc(&envelope) {
                Some(_) => Ok((seq, envelope)),
                None => Err(io::Error::new(io::ErrorKind::InvalidData, format!("value {seq} is damaged"))),
            }
        })
    }
}

/// What an envelope is called.
type Name = (Epoch, Lane, Seq);

/// Its number, if it is of this lane and above `acked`.
fn wanted((epoch, lane, seq): Name, of: (Epoch, Lane), acked: Seq) -> Option<Seq> {
    ((epoch, lane) == of && seq > acked).then_some(seq)
}

/// Hands over every intact envelope with its place in the file. One that stands there several times comes several times:
/// sled writes its pages anew as they fill.
fn scan(file: &mut File, mut take: impl FnMut(Name, u64, &[u8])) {
    let (mut window, mut window_at) = (Vec::new(), 0);
    loop {
        // A frame that the end of the window cuts is met whole when more has been read behind it.
        let read = file.take(WINDOW).read_to_end(&mut window).unwrap_or(0);
        let mut at = 0;
        while let Some(offset) = window[at..].iter().position(|&byte| byte == MAGIC[0]) {
            at += offset;
            if read > 0 && window.len() - at < HEAD + MAX_ENVELOPE {
                break;
            }
            if let Some(envelope) = frame_at(&window[at..])
                && let Some(name) = name(envelope)
            {
                take(name, window_at + (at + HEAD) as u64, envelope);
                at += HEAD + envelope.len() - 1;
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
    let (&version, body) = without_crc(envelope)?.split_first()?;
    let known = (version::MIN..=version::CURRENT).contains(&version);
    let ((_, epoch, lane, seq), _) = postcard::take_from_bytes::<(AgentId, Epoch, Lane, Seq)>(body).ok()?;
    known.then_some((epoch, lane, seq))
}

fn frame_at(bytes: &[u8]) -> Option<&[u8]> {
    let (len, rest) = after_magic(bytes)?.split_first_chunk::<2>()?;
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
