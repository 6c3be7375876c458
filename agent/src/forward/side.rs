//! The side file: every row of the open blocks, and all statistics, written at once without a sync, so that a killed
//! process loses nothing.
//!
//! A side file is a sequence of frames `u16 length, u32 CRC-32C, postcard`, all little endian. It belongs to one
//! commit: rows that arrive after a commit has begun go to the next file, and a file goes when its commit is durable.
//! A torn or foreign end is where it ends, or [`END`].

use crc::{CRC_32_ISCSI, Crc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use windward_protocol::{AgentId, BlockBuilder, Channel, Epoch, MAX_CHANNELS, Reading, Record, Row, Seq, Stats};

const CRC32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// Follows the last frame where the file may be longer: no body, and a checksum that nothing has.
pub const END: [u8; 6] = [0, 0, 0xff, 0xff, 0xff, 0xff];

/// One frame of a side file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum SideRecord {
    /// First in every file: rows of another epoch have nothing to do here.
    Epoch(Epoch),
    /// A block was opened under this number.
    Open { seq: Seq, device: String, location: String, channels: Vec<Channel>, synced: bool },
    /// A row of the block with this number.
    Row { seq: Seq, time_ms: i64, readings: Vec<Reading>, scores: Vec<Option<f32>> },
    /// Statistics that stand under a number of their own.
    Stats { seq: Seq, stats: Stats },
}

impl SideRecord {
    /// The framed bytes.
    pub(super) fn frame(&self) -> Vec<u8> {
        #[allow(clippy::unwrap_used, reason = "a Vec grows and the types are sized, so postcard cannot fail")]
        let body = postcard::to_allocvec(self).unwrap();
        let mut frame = Vec::with_capacity(body.len() + 6);
        // At most 64 channels of at most 12 bytes a reading and 6 a score, or of bounded names: far below 64 KiB.
        frame.extend_from_slice(&(body.len() as u16).to_le_bytes());
        frame.extend_from_slice(&CRC32C.checksum(&body).to_le_bytes());
        frame.extend_from_slice(&body);
        frame
    }
}

/// Blocks and statistics rebuilt from side files: those that `wanted` asks for, each under the number it was given.
pub(super) fn rebuild(
    agent: &AgentId,
    epoch: Epoch,
    files: &[Vec<u8>],
    wanted: impl Fn(Seq) -> bool,
) -> BTreeMap<Seq, Record> {
    // Each with the number of its channels.
    let mut builders: BTreeMap<Seq, (BlockBuilder, usize)> = BTreeMap::new();
    let mut rebuilt: BTreeMap<Seq, Record> = BTreeMap::new();
    for file in files {
        let mut records = frames(file);
        if records.next() != Some(SideRecord::Epoch(epoch)) {
            continue;
        }
        for record in records {
            match record {
                SideRecord::Epoch(_) => {}
                SideRecord::Open { seq, device, location, channels, synced }
                    if wanted(seq) && channels.len() <= MAX_CHANNELS =>
                {
                    let builder = BlockBuilder::new(agent, &device, &location, &channels, synced);
                    builders.insert(seq, (builder, channels.len()));
                }
                SideRecord::Row { seq, time_ms, readings, scores } => {
                    let Some((builder, width)) = builders.get_mut(&seq) else { continue };
                    // It fitted when it was written; a file that says otherwise is no reason not to start.
                    let fits = readings.len() == *width && scores.len() == *width;
                    if !fits || builder.push(&Row { time_ms, readings, scores }).is_err() {
                        tracing::warn!(seq, time_ms, "a row of a side file does not fit its block, and is left out");
                    }
                }
                SideRecord::Stats { seq, stats } if wanted(seq) => {
                    rebuilt.insert(seq, Record::Stats(stats));
                }
                SideRecord::Open { .. } | SideRecord::Stats { .. } => {}
            }
        }
    }
    let blocks = builders.into_iter().filter_map(|(seq, (builder, _))| Some((seq, Record::Block(builder.finish()?))));
    rebuilt.extend(blocks);
    rebuilt
}

/// The whole frames at the beginning of a file.
fn frames(mut bytes: &[u8]) -> impl Iterator<Item = SideRecord> + '_ {
    std::iter::from_fn(move || {
        let (len, rest) = bytes.split_first_chunk::<2>()?;
        let (crc, rest) = rest.split_first_chunk::<4>()?;
        let (body, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*len)))?;
        if CRC32C.checksum(body) != u32::from_le_bytes(*crc) {
            return None;
        }
        bytes = rest;
        postcard::from_bytes(body).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_behind_the_end_is_not_read() {
        let epoch = |n| SideRecord::Epoch(n).frame();
        assert_eq!(frames(&[epoch(1), epoch(2)].concat()).count(), 2);
        assert_eq!(frames(&[epoch(1), END.to_vec(), epoch(2)].concat()).count(), 1);
        assert_eq!(frames(&END).count(), 0);
    }
}
