//! What WATCH hands over becomes envelopes that wait for the disk; rows and statistics stand at once in the side file.

use super::core::{Forward, LogState};
use super::side::SideRecord;
use super::{Kept, Output};
use crate::time::Stamp;
use windward_protocol::{Alert, Block, Envelope, Gap, GapReason, Lane, Record, Row, Seq, Stats};

/// Most bytes of closed blocks that wait for the disk. Beyond, new rows are dropped and counted (A5 says so loudly).
const MAX_PENDING_BYTES: usize = 4 * 1024 * 1024;
/// Most records of the alert lane that wait for the disk. Beyond, new ones are dropped and said to be.
const MAX_PENDING_ALERTS: usize = 10_000;
/// Longest evidence of an alert that is sent, bytes; an envelope must fit one value of the spool.
const MAX_EVIDENCE: usize = 1_500;

impl Forward {
    pub(super) fn keep_row(&mut self, device: usize, synced: bool, row: Row, now: Stamp) {
        if self.pending.readings_bytes > MAX_PENDING_BYTES || self.takes_no_readings() {
            self.counters.rows_dropped += 1;
            return;
        }
        let first = row.readings.first().and_then(|reading| reading.ok()).map(|value| value.as_f64());
        let kept = Some(Kept { device, time_ms: row.time_ms, first });
        let next = self.readings.next;
        let (bytes, closed) = self.open.add(device, synced, row, &mut self.readings.next);
        if !synced && self.readings.next > next {
            self.eras.opened(next, now.mono);
        }
        self.counters.rows_kept += u64::from(self.log(bytes, kept));
        if let Some((seq, block)) = closed {
            self.queue_block(seq, block);
        }
        self.commit_in_time(now);
    }

    /// Statistics stand in the reading lane, and are kept as rows are: at once in the side file, in time on disk.
    pub(super) fn keep_stats(&mut self, stats: Stats, now: Stamp) {
        let seq = self.readings.next;
        let encoded = self.encode(Lane::Readings, seq, Record::Stats(stats.clone()));
        let has_room = self.pending.readings_bytes <= MAX_PENDING_BYTES && !self.takes_no_readings();
        let Some(envelope) = encoded.filter(|_| has_room) else {
            self.counters.rows_dropped += 1;
            return;
        };
        self.readings.next += 1;
        self.log(SideRecord::Stats { seq, stats }.frame(), None);
        self.pending.readings_bytes += envelope.len();
        self.pending.readings.push((seq, envelope));
        self.commit_in_time(now);
    }

    /// Appends to the side file, unless that has failed. Its first frame names the epoch.
    fn log(&mut self, frames: Vec<u8>, kept: Option<Kept>) -> bool {
        let file = self.log.file;
        let bytes = match self.log.state {
            LogState::Failed => return false,
            LogState::Begun => frames,
            LogState::NotBegun => [SideRecord::Epoch(self.epoch).frame(), frames].concat(),
        };
        self.log.state = LogState::Begun;
        self.outputs.push_back(Output::Log { file, bytes, kept });
        true
    }

    pub(super) fn queue_block(&mut self, seq: Seq, block: Block) {
        // `BlockBuilder` bounds the size; were that wrong, the lane goes on and a gap says what is missing.
        match self.encode(Lane::Readings, seq, Record::Block(block)) {
            Some(bytes) => {
                self.pending.readings_bytes += bytes.len();
                self.pending.readings.push((seq, bytes));
            }
            None => {
                let gap = Gap { lane: Lane::Readings, from: seq, to: seq, reason: GapReason::Refused };
                let instead = self.encode(Lane::Readings, seq, Record::Gap(gap));
                self.pending.readings.extend(instead.map(|bytes| (seq, bytes)));
            }
        }
    }

    pub(super) fn keep_alert(&mut self, mut alert: Alert) {
        alert.evidence.truncate(alert.evidence.floor_char_boundary(MAX_EVIDENCE));
        self.keep_record(Record::Alert(alert));
    }

    /// Gives a record the next number of the alert lane; it is committed at once.
    pub(super) fn keep_record(&mut self, record: Record) {
        // A gap is never dropped (A4). There are few: one comes of an answer of the disk.
        let is_gap = matches!(record, Record::Gap(_));
        if self.pending.alerts.len() >= MAX_PENDING_ALERTS && !is_gap {
            tracing::error!(?record, "dropped: the disk takes nothing and the queue for it is full");
            return;
        }
        let seq = self.alerts.next;
        match self.encode(Lane::Alerts, seq, record) {
            Some(bytes) => {
                self.alerts.next += 1;
                self.pending.alerts.push((seq, bytes));
            }
            None => tracing::error!("dropped: a record of the alert lane does not fit an envelope"),
        }
    }

    pub(super) fn encode(&self, lane: Lane, seq: Seq, record: Record) -> Option<Vec<u8>> {
        let envelope = Envelope { agent: self.settings.agent.clone(), epoch: self.epoch, lane, seq, record };
        envelope.encode().ok()
    }
}
