//! The way from the disk to the uplinks: connections, publishes, acks, hello and health.

use super::connection::Due;
use super::core::Forward;
use super::journal::Note;
use super::lanes::{Batch, LaneQueue};
use super::uplink::acked_by_all;
use super::{AckBy, Output, marks};
use crate::time::Stamp;
use windward_protocol::batch::BatchBuilder;
use windward_protocol::{Ack, DeviceManifest, Health, Hello, Lane, LaneHealth, Record, Seq, SeqRange};

/// How often the ack watermark is made durable. A crash in between sends again what the sink then absorbs (S2); more
/// often would be most of what a quiet agent writes.
pub(super) const FREE_EVERY_MS: u64 = 60_000;
/// How often it is kept how far each uplink is.
pub(super) const KEEP_MARKS_EVERY_MS: u64 = 60_000;
/// How often the health record is published.
const HEALTH_EVERY_MS: u64 = 30_000;

impl Forward {
    /// What the connections want when their time has come.
    pub(super) fn connections(&mut self, now: Stamp) {
        for uplink in 0..self.uplinks.len() {
            match self.uplinks[uplink].connection.handle_timeout(now.mono) {
                Some(Due::Connect) => {
                    let will = self.health_payload(uplink, now, false);
                    self.outputs.push_back(Output::Connect { uplink, will });
                }
                Some(Due::Drop(reason)) => {
                    self.outputs.push_back(Output::Disconnect { uplink, reason });
                    self.disconnected(uplink, reason, now);
                }
                None => {}
            }
        }
    }

    pub(super) fn connected(&mut self, uplink: usize, now: Stamp) {
        let up = &mut self.uplinks[uplink];
        tracing::info!(uplink = up.settings.name, waiting = up.waiting(), "connected");
        up.connection.connected(now.mono);
        up.health_at = now.mono;
        self.eras.connected(now.mono);
    }

    /// What was under way may or may not have arrived: all that is not acked is sent again, and the sink absorbs it.
    pub(super) fn disconnected(&mut self, uplink: usize, reason: &str, now: Stamp) {
        if self.finished {
            return;
        }
        let up = &mut self.uplinks[uplink];
        let pause_ms = up.disconnected(now.mono);
        tracing::warn!(uplink = up.settings.name, reason, pause_ms, "no connection");
    }

    pub(super) fn puback(&mut self, uplink: usize, token: u64, now: Stamp) {
        let up = &mut self.uplinks[uplink];
        let Some(flight) = up.connection.landed(token, now.mono) else { return };
        if up.settings.ack == AckBy::Uplink && flight.lane != Lane::State {
            up.lane_mut(flight.lane).done(flight.range, now.mono);
        }
    }

    /// One publish was refused. All that is not acked goes again, from the oldest on, after a pause.
    pub(super) fn refused(&mut self, uplink: usize, token: u64, now: Stamp) {
        let up = &mut self.uplinks[uplink];
        let Some((flight, pause_ms)) = up.connection.refused(token, now.mono) else { return };
        tracing::debug!(uplink = up.settings.name, lane = %flight.lane, pause_ms, "refused; to be sent again");
        if flight.lane != Lane::State {
            up.lane_mut(flight.lane).refused(pause_ms, now.mono);
        }
    }

    /// The sink's ack (A3). One for another epoch is about a spool that is no more.
    pub(super) fn acked(&mut self, uplink: usize, bytes: &[u8], now: Stamp) {
        let ack = match Ack::decode(bytes) {
            Ok(ack) => ack,
            Err(error) => return tracing::warn!(%error, "refused an ack"),
        };
        if ack.epoch != self.epoch || ack.lane == Lane::State {
            return tracing::debug!(epoch = ack.epoch, lane = %ack.lane, "ack for another spool");
        }
        let up = &mut self.uplinks[uplink];
        for range in ack.ranges {
            if ack.lane == Lane::Readings {
                up.known.acked(range);
            }
            up.lane_mut(ack.lane).done(range, now.mono);
        }
    }

    /// Whether the disk can be told what is acked. Not while it is busy, or a slow one would be told faster than it
    /// listens; and not before it holds the record of every gap, or a crash would hide the loss (A4).
    pub(super) fn may_free(&self) -> bool {
        !self.is_committing() && self.alerts.durable >= self.last_gap
    }

    /// Has the disk told what is acked, so that it gives the space back.
    pub(super) fn free(&mut self, now: Stamp) {
        self.free_at = now.mono + FREE_EVERY_MS;
        let acked = acked_by_all(&self.uplinks);
        for (index, lane) in Lane::DURABLE.into_iter().enumerate() {
            let through = acked[index];
            if through > self.freed[index] {
                self.outputs.push_back(Output::Free { lane, through });
                self.leave_behind(lane, through, now);
            }
        }
        self.freed = acked;
    }

    /// What has left the disk is not mirrored any more.
    fn leave_behind(&mut self, lane: Lane, through: Seq, now: Stamp) {
        for up in self.uplinks.iter_mut().filter(|up| up.lane(lane).acked() < through) {
            let missed = through - up.lane(lane).acked();
            tracing::warn!(uplink = up.settings.name, %lane, missed, "left the disk before it was mirrored");
            up.lane_mut(lane).done(SeqRange { first: 0, last: through }, now.mono);
        }
    }

    /// Has it kept how far each uplink is, where that has changed.
    pub(super) fn keep_marks(&mut self, now: Stamp) {
        let Some(marks) = &mut self.marks else { return };
        marks.keep_at = now.mono + KEEP_MARKS_EVERY_MS;
        if self.alerts.durable < self.last_gap {
            // An uplink that begins behind a gap next time says nothing of it any more: its record first (A4).
            return;
        }
        let bytes = marks::encode(self.epoch, &self.uplinks, self.freed);
        if bytes != marks.kept {
            marks.kept.clone_from(&bytes);
            self.outputs.push_back(Output::Keep(Note::Uplinks, bytes));
        }
    }

    pub(super) fn resend_silent(&mut self, now: Stamp) {
        for up in self.uplinks.iter_mut().filter(|up| up.connection.is_up()) {
            for lane in [&mut up.alerts, &mut up.readings] {
                if lane.resend_at().is_none_or(|at| at > now.mono) {
                    continue;
                }
                if up.connection.carries(lane.lane, lane.head()) {
                    // On a slow line: what has not arrived cannot be acked.
                    lane.wait_longer(now.mono);
                    continue;
                }
                let name = &up.settings.name;
                tracing::warn!(uplink = name, lane = %lane.lane, from = lane.head(), "no ack; sending again");
                lane.resend();
                up.known.silence(now.mono);
            }
        }
    }

    /// Fills the windows: alerts before readings.
    pub(super) fn send_what_fits(&mut self, now: Stamp) {
        if self.finished {
            return;
        }
        for uplink in 0..self.uplinks.len() {
            let up = &mut self.uplinks[uplink];
            up.begin_round();
            if !up.connection.is_up() {
                continue;
            }
            if up.settings.state && up.health_at <= now.mono && up.connection.has_room(Lane::State) {
                up.health_at = now.mono + HEALTH_EVERY_MS;
                self.publish_health(uplink, now, true);
            }
            self.publish_answers(uplink, now);
            for lane in Lane::DURABLE {
                self.send_lane(uplink, lane, now);
            }
        }
    }

    fn send_lane(&mut self, uplink: usize, lane: Lane, now: Stamp) {
        let is_stopping = self.stop_at.is_some();
        let (up, eras) = (&mut self.uplinks[uplink], &self.eras);
        let mut has_sent = false;
        while up.may_publish(lane, is_stopping, now.mono) {
            let payload = up.payload(lane);
            let batch = match lane {
                Lane::Readings => up.readings.batch(payload, now.mono, |seq, value| eras.as_sent(seq, value)),
                _ => up.lane_mut(lane).batch(payload, now.mono, |_, value| Some(value.into())),
            };
            let Some(Batch { range, payload }) = batch else { break };
            has_sent = true;
            self.counters.sent += range.last - range.first + 1;
            let bytes = payload.bytes();
            let (mut payloads, schemas) = payload.finish(up.known.schemas(now.mono));
            if up.settings.ack == AckBy::Sink {
                up.known.sent(range, schemas);
            }
            if payloads.is_empty() {
                // JSON has no words for any of it.
                up.lane_mut(lane).done(range, now.mono);
                continue;
            }
            if up.settings.one_by_one {
                payloads = vec![payloads.concat()];
            }
            let bytes = bytes / payloads.len();
            for payload in payloads {
                let token = up.launch(lane, range, &payload, bytes, now.mono);
                self.outputs.push_back(Output::Publish { uplink, token, lane, retain: false, payload });
            }
        }
        if lane == Lane::Readings {
            up.gather_if_drained(has_sent, now.mono);
        }
        if let Some((from, max_bytes)) = up.lane_mut(lane).wants_read(now.mono) {
            self.outputs.push_back(Output::Read { uplink, lane, from, max_bytes });
        }
    }

    fn publish_health(&mut self, uplink: usize, now: Stamp, online: bool) {
        let payload = self.health_payload(uplink, now, online);
        let range = SeqRange { first: self.state_seq, last: self.state_seq };
        let token = self.uplinks[uplink].launch(Lane::State, range, &payload, payload.len(), now.mono);
        self.outputs.push_back(Output::Publish { uplink, token, lane: Lane::State, retain: true, payload });
    }

    /// What was answered goes to those who listen now; nobody is to take it for the answer to what he asks later.
    fn publish_answers(&mut self, uplink: usize, now: Stamp) {
        while self.uplinks[uplink].settings.state
            && self.uplinks[uplink].connection.has_room(Lane::State)
            && let Some(answer) = self.orders.answers.pop_front()
        {
            let seq = self.state_seq;
            self.state_seq += 1;
            let mut batch = BatchBuilder::new();
            // Its text is cut to fit.
            let Some(bytes) = self.encode(Lane::State, seq, Record::Answer(answer)) else { continue };
            batch.push(&bytes);
            let (payload, range) = (batch.finish(), SeqRange { first: seq, last: seq });
            let token = self.uplinks[uplink].launch(Lane::State, range, &payload, payload.len(), now.mono);
            self.outputs.push_back(Output::Publish { uplink, token, lane: Lane::State, retain: false, payload });
        }
    }

    /// Who this is and what it reads: one record for as many devices as fit one envelope.
    pub(super) fn say_hello(&mut self, now: Stamp) {
        let mut rest: &[DeviceManifest] = &self.settings.devices.clone();
        loop {
            let hello = |devices: &[DeviceManifest]| {
                Record::Hello(Hello {
                    version: self.settings.version.clone(),
                    farm: self.settings.farm.clone(),
                    at_ms: now.wall.0,
                    devices: devices.to_vec(),
                })
            };
            let fits = |count: &usize| self.encode(Lane::Alerts, u64::MAX, hello(&rest[..*count])).is_some();
            let count = (1..=rest.len()).rev().find(fits).unwrap_or(rest.len());
            let record = hello(&rest[..count]);
            self.keep_record(record);
            rest = &rest[count..];
            if rest.is_empty() {
                return;
            }
        }
    }

    /// The last word of a graceful stop; the broker's copy of the last will says the same after any other end.
    pub(super) fn say_goodbye(&mut self, now: Stamp) {
        for uplink in 0..self.uplinks.len() {
            if self.uplinks[uplink].settings.state && self.uplinks[uplink].connection.is_up() {
                self.publish_health(uplink, now, false);
            }
        }
    }

    fn health_payload(&mut self, uplink: usize, now: Stamp, online: bool) -> Vec<u8> {
        let seq = self.state_seq;
        self.state_seq += 1;
        let mut devices = self.devices.clone();
        // Failing ones first: should not all fit, the healthy ones are the ones to leave out.
        devices.sort_by_key(|device| device.failing.is_none());
        loop {
            let health = Health {
                online,
                at_ms: now.wall.0,
                synced: now.synced,
                uptime_ms: now.mono - self.started.mono,
                rss_kib: self.rss_kib,
                alerts: lane_health(&self.uplinks[uplink].alerts),
                readings: lane_health(&self.uplinks[uplink].readings),
                dropped_rows: self.counters().rows_dropped,
                spool_error: self.spool_error.chars().take(300).collect(),
                devices: devices.clone(),
            };
            if let Some(bytes) = self.encode(Lane::State, seq, Record::Health(health)) {
                let mut batch = BatchBuilder::new();
                batch.push(&bytes);
                return batch.finish();
            }
            devices.truncate(devices.len() / 2);
        }
    }
}

fn lane_health(lane: &LaneQueue) -> LaneHealth {
    LaneHealth { waiting: lane.waiting(), durable: lane.durable, acked: lane.acked() }
}
