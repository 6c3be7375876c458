//! The open blocks: one a device, filled row by row until the next commit.

use super::side::SideRecord;
use windward_protocol::{AgentId, Block, BlockBuilder, DeviceManifest, Row, Seq};

struct Open {
    seq: Seq,
    synced: bool,
    /// Time of the last row.
    last_ms: i64,
    builder: BlockBuilder,
}

/// All devices' open blocks.
pub(super) struct OpenBlocks {
    agent: AgentId,
    devices: Vec<DeviceManifest>,
    open: Vec<Option<Open>>,
}

impl OpenBlocks {
    pub(super) fn new(agent: AgentId, devices: &[DeviceManifest]) -> Self {
        let open = devices.iter().map(|_| None).collect();
        Self { agent, devices: devices.to_vec(), open }
    }

    /// Adds a row to its device's block. Gives the side file's bytes for it, and the block that had to be closed, if
    /// one had to: to make room, or because time has gone back. Within a block it never does, so that the sink finds
    /// rows by the time of the first. A new block takes its number from `next`.
    pub(super) fn add(
        &mut self,
        device: usize,
        synced: bool,
        row: Row,
        next: &mut Seq,
    ) -> (Vec<u8>, Option<(Seq, Block)>) {
        let mut closed = None;
        if let Some(open) = &mut self.open[device] {
            let rises = open.last_ms <= row.time_ms;
            if open.synced == synced && rises && open.builder.push(&row).is_ok() {
                open.last_ms = row.time_ms;
                return (row_frame(open.seq, row), None);
            }
            closed = self.close(device);
        }
        let seq = *next;
        *next += 1;
        let DeviceManifest { device: name, location, channels, .. } = &self.devices[device];
        let mut builder = BlockBuilder::new(&self.agent, name, location, channels, synced);
        let pushed = builder.push(&row);
        // The configuration's limits on names and channels see to it; checked by `a_device_at_its_limits_fits_a_block`.
        assert!(pushed.is_ok(), "an empty block takes a row");
        let opened = SideRecord::Open {
            seq,
            device: name.clone(),
            location: location.clone(),
            channels: channels.clone(),
            synced,
        };
        self.open[device] = Some(Open { seq, synced, last_ms: row.time_ms, builder });
        let mut frames = opened.frame();
        frames.extend(row_frame(seq, row));
        (frames, closed)
    }

    /// Closes every open block, in the order of their numbers.
    pub(super) fn close_all(&mut self) -> Vec<(Seq, Block)> {
        let mut blocks: Vec<_> = (0..self.open.len()).filter_map(|device| self.close(device)).collect();
        blocks.sort_by_key(|(seq, _)| *seq);
        blocks
    }

    /// Whether no row waits.
    pub(super) fn is_empty(&self) -> bool {
        self.open.iter().all(Option::is_none)
    }

    fn close(&mut self, device: usize) -> Option<(Seq, Block)> {
        let open = self.open[device].take()?;
        Some((open.seq, open.builder.finish()?))
    }
}

fn row_frame(seq: Seq, row: Row) -> Vec<u8> {
    SideRecord::Row { seq, time_ms: row.time_ms, readings: row.readings, scores: row.scores }.frame()
}
