//! What FORWARD does and says when something is wrong: a spool that fails (A5), space that ends, and numbers that will
//! never come (A4).

use super::Output;
use super::core::Forward;
use super::journal::Room;
use crate::time::Stamp;
use windward_protocol::{Alert, AlertKind, AlertPhase, Gap, GapReason, Lane, Record, SeqRange, Severity};

impl Forward {
    /// A5: told on the spot, and in the health record that needs no disk; the alert lane has it when it can.
    pub(super) fn spool_fails(&mut self, error: String, now: Stamp) {
        if self.spool_error != error {
            // Once, not for every row that meets the same full disk.
            tracing::error!(error, "the spool is failing");
            self.uplinks.iter_mut().for_each(|uplink| uplink.health_at = now.mono);
        }
        if self.spool_alert.is_none() {
            let alert = self.spool_alert(AlertPhase::Open, format!("the spool on disk is failing: {error}"), now);
            self.outputs.push_back(Output::Alarm(alert.clone()));
            self.keep_alert(alert.clone());
            self.spool_alert = Some(alert);
        }
        self.spool_error = error;
    }

    pub(super) fn spool_works(&mut self, now: Stamp) {
        let Some(opened) = self.spool_alert.take() else { return };
        self.spool_error.clear();
        self.uplinks.iter_mut().for_each(|uplink| uplink.health_at = now.mono);
        let clear = self.spool_alert(AlertPhase::Clear, "the spool on disk works again".into(), now);
        let clear = Alert { id: opened.id, opened_ms: opened.opened_ms, ..clear };
        self.outputs.push_back(Output::Alarm(clear.clone()));
        self.keep_alert(clear);
    }

    fn spool_alert(&self, phase: AlertPhase, evidence: String, now: Stamp) -> Alert {
        Alert {
            // The wall clock keeps it apart from the numbers of earlier runs, the seed from those of WATCH; 53 bits like
            // theirs.
            id: (self.settings.seed ^ (now.wall.0 as u64).rotate_left(20)) >> 11,
            phase,
            kind: AlertKind::Spool,
            severity: Severity::Critical,
            location: self.settings.devices.first().map_or_else(String::new, |device| device.location.clone()),
            device: String::new(),
            channel: String::new(),
            opened_ms: now.wall.0,
            at_ms: now.wall.0,
            synced: now.synced,
            value: None,
            unit: String::new(),
            wind_speed: None,
            score: None,
            threshold: None,
            evidence,
        }
    }

    /// The disk has not got these. What was freed may be gone, and is asked for only when it is wanted once more.
    pub(super) fn missing(&mut self, lane: Lane, range: SeqRange, now: Stamp) {
        let freed = self.freed[usize::from(lane == Lane::Readings)];
        if range.last > freed {
            // Whoever looked for them counts them as done already: where it is the oldest, they lie below its watermark.
            self.declare(lane, SeqRange { first: range.first.max(freed + 1), ..range }, GapReason::Damage, now);
        }
    }

    /// These numbers will never come: a gap record says so (A4), and nobody waits for them.
    pub(super) fn lost(&mut self, lane: Lane, range: SeqRange, reason: GapReason, now: Stamp) {
        if let Some(range) = self.not_acked(lane, range) {
            self.declare(lane, range, reason, now);
        }
    }

    fn not_acked(&self, lane: Lane, range: SeqRange) -> Option<SeqRange> {
        let acked = self.uplinks.iter().map(|uplink| uplink.lane(lane).acked()).min().unwrap_or(0);
        let first = range.first.max(acked + 1);
        (first <= range.last).then_some(SeqRange { first, ..range })
    }

    fn declare(&mut self, lane: Lane, range: SeqRange, reason: GapReason, now: Stamp) {
        self.say_lost(lane, range, reason);
        self.uplinks.iter_mut().for_each(|uplink| uplink.lane_mut(lane).done(range, now.mono));
    }

    fn say_lost(&mut self, lane: Lane, range: SeqRange, reason: GapReason) {
        match reason {
            GapReason::Skipped => {
                tracing::warn!(%lane, from = range.first, to = range.last, "numbers skipped after a power cut");
            }
            _ => tracing::error!(%lane, from = range.first, to = range.last, ?reason, "lost"),
        }
        self.keep_record(Record::Gap(Gap { lane, from: range.first, to: range.last, reason }));
        self.last_gap = self.alerts.next - 1;
    }

    /// A4: the oldest readings go, never alerts, when they take more than they may or the disk is full, or when they are
    /// too old. Their gap record is durable before they are passed over, or they would be sent late, out of order, should
    /// the process end in between; and before their space is given back (`free`).
    pub(super) fn make_room(&mut self, room: Room, now: Stamp) {
        self.room = room;
        if let Some((_, range)) = self.going.take_if(|(record, _)| *record <= self.alerts.durable) {
            self.uplinks.iter_mut().for_each(|uplink| uplink.readings.done(range, now.mono));
        }
        let Some(oldest) = room.oldest.filter(|_| self.going.is_none()) else { return };
        let too_old = |age_ms: u64| {
            oldest.newest_ms.is_some_and(|newest| newest.saturating_add_unsigned(age_ms) < now.wall.0) && now.synced
        };
        let reason = if room.is_full || room.readings_bytes > self.settings.max_bytes {
            GapReason::SpaceEnded
        } else if self.settings.max_age_ms.is_some_and(too_old) {
            GapReason::TooOld
        } else {
            return;
        };
        // What is neither acked nor on disk any more would stand before it for ever, and nothing could be freed.
        let before = self.confirmed(SeqRange { first: 1, last: oldest.range.first.saturating_sub(1) });
        self.lost(Lane::Readings, before, GapReason::Damage, now);
        if let Some(range) = self.not_acked(Lane::Readings, self.confirmed(oldest.range)) {
            self.say_lost(Lane::Readings, range, reason);
            self.going = Some((self.last_gap, range));
        }
        self.free_soon = true;
        let [_, freed] = self.freed;
        if oldest.range.last <= freed {
            // It was freed before, and the disk refused: nobody else would ask again before there are more acks.
            self.outputs.push_back(Output::Free { lane: Lane::Readings, through: freed });
        }
    }

    /// What a refused commit has left on disk is in memory as well, and is written again.
    fn confirmed(&self, range: SeqRange) -> SeqRange {
        SeqRange { last: range.last.min(self.readings.durable), ..range }
    }

    /// The disk is full, and there is nothing left to drop: what is left of it is for alerts.
    pub(super) fn takes_no_readings(&self) -> bool {
        self.room.is_full && self.room.oldest.is_none()
    }
}
