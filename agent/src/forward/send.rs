//! The way from the disk to the sink: connection, publishes, acks, hello and health.

use super::core::Forward;
use super::{Output, lanes::LaneQueue};
use crate::time::Stamp;
use windward_protocol::batch::BatchBuilder;
use windward_protocol::{Ack, DeviceManifest, Health, Hello, Lane, LaneHealth, Record, Seq, SeqRange};

/// How often the ack watermark is made durable. A crash in between sends again what the sink then absorbs (S2).
pub(super) const FREE_EVERY_MS: u64 = 5_000;
/// How often the health record is published.
const HEALTH_EVERY_MS: u64 = 30_000;

impl Forward {
    pub(super) fn connect(&mut self, now: Stamp) {
        let will = self.health_payload(now, false);
        self.outputs.push_back(Output::Connect { will });
    }

    pub(super) fn give_up_connection(&mut self, reason: &'static str, now: Stamp) {
        self.outputs.push_back(Output::Disconnect { reason });
        self.disconnected(reason, now);
    }

    pub(super) fn connected(&mut self, now: Stamp) {
        tracing::info!(waiting = self.counters().waiting, "connected to the broker");
        self.uplink.connected(now.mono);
        self.eras.connected(now.mono);
        self.health_at = now.mono;
    }

    /// What was under way may or may not have arrived: all that is not acked is sent again, and the sink absorbs it.
    pub(super) fn disconnected(&mut self, reason: &str, now: Stamp) {
        if self.finished {
            return;
        }
        let pause_ms = self.uplink.disconnected(now.mono);
        tracing::warn!(reason, pause_ms, "no connection to the broker");
        self.alerts.rewind();
        self.readings.rewind();
    }

    pub(super) fn puback(&mut self, token: u64, now: Stamp) {
        let Some(flight) = self.uplink.landed(token, now.mono) else { return };
        if self.settings.broker_ack && flight.lane != Lane::State {
            self.lane(flight.lane).done(flight.range, now.mono);
        }
    }

    /// The sink's ack (A3). One for another epoch is about a spool that is no more.
    pub(super) fn acked(&mut self, bytes: &[u8], now: Stamp) {
        let ack = match Ack::decode(bytes) {
            Ok(ack) => ack,
            Err(error) => return tracing::warn!(%error, "refused an ack"),
        };
        if ack.epoch != self.epoch || ack.lane == Lane::State {
            return tracing::debug!(epoch = ack.epoch, lane = %ack.lane, "ack for another spool");
        }
        for range in ack.ranges {
            self.lane(ack.lane).done(range, now.mono);
        }
    }

    pub(super) fn acked_marks(&self) -> [Seq; 2] {
        [self.alerts.acked(), self.readings.acked()]
    }

    /// Has the disk told what is acked, so that it gives the space back.
    pub(super) fn free(&mut self, now: Stamp) {
        self.free_at = now.mono + FREE_EVERY_MS;
        if self.alerts.durable < self.last_gap {
            // A4: were the numbers of a gap freed before the disk holds its record, a crash would hide the loss.
            return;
        }
        for (lane, (through, freed)) in Lane::DURABLE.into_iter().zip(self.acked_marks().into_iter().zip(self.freed)) {
            if through > freed {
                self.outputs.push_back(Output::Free { lane, through });
            }
        }
        self.freed = self.acked_marks();
    }

    pub(super) fn resend_silent(&mut self, now: Stamp) {
        if !self.uplink.is_up() {
            return;
        }
        for lane in [&mut self.alerts, &mut self.readings] {
            if lane.resend_at().is_some_and(|at| at <= now.mono) {
                tracing::warn!(lane = %lane.lane, from = lane.acked() + 1, "no ack from the sink; sending again");
                lane.resend();
            }
        }
    }

    /// Fills the window: alerts before readings.
    pub(super) fn send_what_fits(&mut self, now: Stamp) {
        if self.finished {
            return;
        }
        if self.uplink.is_up() && self.health_at <= now.mono && self.uplink.has_room(Lane::State) {
            self.health_at = now.mono + HEALTH_EVERY_MS;
            let payload = self.health_payload(now, true);
            self.publish(Lane::State, SeqRange { first: 0, last: 0 }, payload, now);
        }
        for lane in Lane::DURABLE {
            while self.uplink.has_room(lane) {
                let batch = match lane {
                    Lane::Readings => self.readings.batch(now.mono, |seq, value| self.eras.as_sent(seq, value)),
                    _ => self.lane(lane).batch(now.mono, |_, value| Some(value.into())),
                };
                let Some(batch) = batch else { break };
                self.counters.sent += batch.range.last - batch.range.first + 1;
                self.publish(lane, batch.range, batch.payload, now);
            }
            if self.uplink.is_up()
                && let Some((from, max_bytes)) = self.lane(lane).wants_read(now.mono)
            {
                self.outputs.push_back(Output::Read { lane, from, max_bytes });
            }
        }
    }

    fn publish(&mut self, lane: Lane, range: SeqRange, payload: Vec<u8>, now: Stamp) {
        let token = self.uplink.launch(lane, range, payload.len(), now.mono);
        self.outputs.push_back(Output::Publish { token, lane, payload });
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
        if self.uplink.is_up() {
            let payload = self.health_payload(now, false);
            self.publish(Lane::State, SeqRange { first: 0, last: 0 }, payload, now);
        }
    }

    fn health_payload(&mut self, now: Stamp, online: bool) -> Vec<u8> {
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
                alerts: lane_health(&self.alerts),
                readings: lane_health(&self.readings),
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
