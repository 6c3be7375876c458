//! One uplink: its connection, its place in either lane, and what holds it back.

use super::connection::Connection;
use super::journal::{Found, LaneFound};
use super::known::Known;
use super::lanes::LaneQueue;
use super::payload::Payload;
use super::rate::Rate;
use super::{Order, Uplink, marks};
use crate::time::Mono;
use windward_protocol::batch::MAX_BATCH;
use windward_protocol::{Lane, Seq, SeqRange};

/// Longest batch on a limited line, in seconds of the limit: what an alert has to wait behind.
const BATCH_S: u64 = 4;
/// Shortest limit of a batch: an envelope or two.
const LEAST_BATCH: u64 = 8 * 1024;

/// The state of one uplink.
#[derive(Debug)]
pub(super) struct UplinkState {
    pub(super) settings: Uplink,
    pub(super) connection: Connection,
    pub(super) alerts: LaneQueue,
    pub(super) readings: LaneQueue,
    pub(super) known: Known,
    /// When the health record is published next.
    pub(super) health_at: Mono,
    rate: Option<Rate>,
    /// Readings are gathered until then.
    gather_until: Mono,
    /// Something was held back by the limit or to be gathered, until then.
    held_until: Option<Mono>,
}

impl UplinkState {
    /// Down, and where `found` says it was. `seed` shapes the jitter.
    pub(super) fn new(settings: Uplink, found: &Found, now: Mono, seed: u64) -> Self {
        let [alerts, readings] = marks::of(found, &settings.name);
        let durable = |lane: &LaneFound| lane.high_water.max(lane.acked);
        Self {
            connection: Connection::new(now, settings.one_by_one, seed),
            alerts: LaneQueue::new(Lane::Alerts, Order::Oldest, alerts.acked, &alerts.done, durable(&found.alerts)),
            readings: LaneQueue::new(
                Lane::Readings,
                settings.order,
                readings.acked,
                &readings.done,
                durable(&found.readings),
            ),
            known: Known::nothing(now),
            health_at: now,
            rate: (settings.max_bytes_per_s > 0).then(|| Rate::new(settings.max_bytes_per_s, now)),
            gather_until: now,
            held_until: None,
            settings,
        }
    }

    pub(super) fn lane(&self, lane: Lane) -> &LaneQueue {
        match lane {
            Lane::Alerts => &self.alerts,
            Lane::Readings => &self.readings,
            Lane::State => unreachable!("the state lane is not kept"),
        }
    }

    pub(super) fn lane_mut(&mut self, lane: Lane) -> &mut LaneQueue {
        match lane {
            Lane::Alerts => &mut self.alerts,
            Lane::Readings => &mut self.readings,
            Lane::State => unreachable!("the state lane is not kept"),
        }
    }

    /// Envelopes on disk that it has not acked.
    pub(super) fn waiting(&self) -> u64 {
        self.alerts.waiting() + self.readings.waiting()
    }

    /// The connection is gone: what was under way may or may not have arrived, and is sent again.
    pub(super) fn disconnected(&mut self, now: Mono) -> u64 {
        self.alerts.rewind();
        self.readings.rewind();
        self.known = Known::nothing(now);
        self.connection.disconnected(now)
    }

    /// Whether something of this lane may be published now. Where the limit or the gathering says no, it is to be asked
    /// again at `held_until`. Alerts are held by neither.
    pub(super) fn may_publish(&mut self, lane: Lane, is_stopping: bool, now: Mono) -> bool {
        if !self.connection.has_room(lane) {
            return false;
        }
        if lane == Lane::Alerts || !self.readings.has_unsent() {
            return true;
        }
        let gathered = if is_stopping { now } else { self.gather_until };
        let ready_at = self.rate.as_mut().map_or(now, |rate| rate.ready_at(now)).max(gathered);
        self.held_until = (ready_at > now).then_some(ready_at);
        self.held_until.is_none()
    }

    /// An empty payload for a batch of this lane.
    pub(super) fn payload(&self, lane: Lane) -> Payload {
        let limit = match lane {
            Lane::Alerts => MAX_BATCH,
            _ => self.connection.batch_bytes(),
        };
        let limited = self.settings.max_bytes_per_s.saturating_mul(BATCH_S).max(LEAST_BATCH);
        let limit = if self.rate.is_some() { limit.min(limited as usize) } else { limit };
        Payload::new(self.settings.encoding, limit)
    }

    /// Something goes out now; gives its token. `bytes` is its length before compression.
    pub(super) fn launch(&mut self, lane: Lane, range: SeqRange, payload: &[u8], bytes: usize, now: Mono) -> u64 {
        if let Some(rate) = &mut self.rate {
            rate.pay(payload.len() as u64 + self.settings.overhead_bytes, now);
        }
        self.connection.launch(lane, range, bytes, now)
    }

    /// All that is there has been sent: what comes now is gathered for a while.
    pub(super) fn gather_if_drained(&mut self, has_sent: bool, now: Mono) {
        if has_sent && !self.readings.has_unsent() {
            self.gather_until = now + self.settings.publish_every_ms;
        }
    }

    /// Begins a round of sending.
    pub(super) fn begin_round(&mut self) {
        self.held_until = None;
    }

    /// When something is due, and why.
    pub(super) fn deadline(&self, is_stopping: bool) -> Option<(Mono, &'static str)> {
        let connection = self.connection.deadline();
        if !self.connection.is_up() {
            return connection.filter(|_| !is_stopping);
        }
        let has_room = self.settings.state && self.connection.has_room(Lane::State);
        let lanes = [&self.alerts, &self.readings];
        let resend = lanes.map(|lane| lane.resend_at().map(|at| (at, "send again")));
        let pause = lanes.map(|lane| lane.pause_until().map(|at| (at, "go on after a pause")));
        let health = has_room.then_some((self.health_at, "publish health"));
        let held = self.held_until.map(|at| (at, "send what was held back"));
        [connection, health, held].into_iter().chain(resend).chain(pause).flatten().min()
    }
}

/// What all that free have acked, of each lane.
pub(super) fn acked_by_all(uplinks: &[UplinkState]) -> [Seq; 2] {
    Lane::DURABLE.map(|lane| {
        let acked = uplinks.iter().filter(|uplink| uplink.settings.frees).map(|uplink| uplink.lane(lane).acked());
        acked.min().unwrap_or(0)
    })
}
