//! The core itself: its state, its inputs and timers, and its commits. The way of a row or an alert to a commit is in
//! `keep`, that from the disk to the sink in `send`.

use super::blocks::OpenBlocks;
use super::eras::Eras;
use super::journal::{Found, LaneFound, Note, Numbered, Room};
use super::orders::Orders;
use super::send::{FREE_EVERY_MS, KEEP_MARKS_EVERY_MS};
use super::uplink::{UplinkState, acked_by_all};
use super::{Counters, Input, MAX_UPLINKS, Order, Output, Settings, Uplink};
use crate::handover::Handover;
use crate::time::{Mono, Stamp};
use std::collections::VecDeque;
use windward_protocol::{Alert, DeviceHealth, Epoch, GapReason, Lane, Seq, SeqRange};

/// Closed blocks that start a commit before its time, bytes.
const FULL_COMMIT_BYTES: usize = 1024 * 1024;
/// How long a row waits for others of the same moment, where it need not wait for its commit, ms.
const GATHER_MS: u64 = 20;
/// By what part of `commit_every_ms` a commit may follow the last one sooner.
const COMMIT_SLACK: u64 = 20;
/// Pauses before a failed commit is tried again.
const RETRY_FIRST_MS: u64 = 1_000;
const RETRY_MAX_MS: u64 = 30_000;
/// Pause between two looks at a disk that is full.
const FULL_RETRY_MS: u64 = 10_000;
/// How long a graceful stop waits for acks.
const STOP_MS: u64 = 3_000;

/// What health and alarm say of a full disk.
const FULL: &str = "no space left on the device; the oldest readings make room, then new ones are dropped";

/// Closed and encoded, on the way to the disk.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) alerts: Vec<Numbered>,
    pub(super) readings: Vec<Numbered>,
    pub(super) readings_bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disk {
    Idle,
    /// A commit is under way; `covers` is the side file it makes superfluous.
    Committing {
        covers: Option<u64>,
    },
    /// The last commit failed.
    Failing {
        retry_at: Mono,
    },
}

/// Where a lane ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct LaneEnd {
    /// Next number to be given out.
    pub(super) next: Seq,
    /// Everything up to here is durable.
    pub(super) durable: Seq,
}

/// What is kept on disk of how far each uplink is.
#[derive(Debug)]
pub(super) struct KeptMarks {
    pub(super) kept: Vec<u8>,
    pub(super) keep_at: Mono,
}

/// The side file that rows go to now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Log {
    pub(super) file: u64,
    pub(super) state: LogState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LogState {
    NotBegun,
    Begun,
    /// It misses what the rows behind it need to be understood; the next commit begins another file. Until then rows
    /// stand in memory alone.
    Failed,
}

/// FORWARD's core.
pub struct Forward {
    pub(super) settings: Settings,
    pub(super) epoch: Epoch,
    pub(super) started: Stamp,
    pub(super) open: OpenBlocks,
    pub(super) pending: Pending,
    disk: Disk,
    /// The last commit was one of alerts alone, though readings were due.
    readings_waited: bool,
    retry_ms: u64,
    pub(super) commit_at: Option<Mono>,
    /// When the last commit of readings was due.
    last_commit: Option<Mono>,
    /// How the disk stood when it last answered.
    pub(super) room: Room,
    pub(super) log: Log,
    /// Something beside the commit could not be written since the last one that covers rows.
    beside_failed: bool,
    pub(super) alerts: LaneEnd,
    pub(super) readings: LaneEnd,
    pub(super) eras: Eras,
    pub(super) uplinks: Vec<UplinkState>,
    pub(super) orders: Orders,
    /// `None`: one uplink that goes from the oldest on is where the spool's own watermarks are.
    pub(super) marks: Option<KeptMarks>,
    pub(super) freed: [Seq; 2],
    pub(super) free_at: Mono,
    /// Room is needed: what may be freed is freed as soon as it may.
    pub(super) free_soon: bool,
    /// Number of the last gap record.
    pub(super) last_gap: Seq,
    /// Readings that make room, and the number of the record that says so.
    pub(super) going: Option<(Seq, SeqRange)>,
    pub(super) state_seq: Seq,
    pub(super) spool_error: String,
    pub(super) spool_alert: Option<Alert>,
    pub(super) devices: Vec<DeviceHealth>,
    dropped_before: u64,
    pub(super) rss_kib: u64,
    pub(super) counters: Counters,
    pub(super) stop_at: Option<Mono>,
    pub(super) finished: bool,
    pub(super) outputs: VecDeque<Output>,
}

impl Forward {
    /// A core that goes on where the journal stands. `found` is what [`super::recover`] has put in order.
    pub fn new(settings: Settings, found: &Found, now: Stamp) -> Self {
        let lane = |found: &LaneFound| {
            let last = found.high_water.max(found.acked);
            LaneEnd { next: last + 1, durable: last }
        };
        let mut readings = lane(&found.readings);
        readings.next = found.unsaved.iter().map(|(seq, _)| seq + 1).fold(readings.next, Seq::max);
        let uplink = |(index, uplink): (usize, &Uplink)| {
            UplinkState::new(uplink.clone(), found, now.mono, settings.seed.wrapping_add(index as u64))
        };
        let uplinks: Vec<UplinkState> = settings.uplinks.iter().enumerate().map(uplink).collect();
        assert!((1..=MAX_UPLINKS).contains(&uplinks.len()), "{} uplinks", uplinks.len());
        let needs_marks = uplinks.len() > 1 || settings.uplinks.iter().any(|uplink| uplink.order == Order::Live);
        let keep_at = now.mono + KEEP_MARKS_EVERY_MS;
        let mut forward = Self {
            epoch: found.epoch,
            started: now,
            open: OpenBlocks::new(settings.agent.clone(), &settings.devices),
            pending: Pending {
                readings_bytes: found.unsaved.iter().map(|(_, bytes)| bytes.len()).sum(),
                readings: found.unsaved.clone(),
                alerts: Vec::new(),
            },
            disk: Disk::Idle,
            readings_waited: false,
            retry_ms: RETRY_FIRST_MS,
            commit_at: (!found.unsaved.is_empty()).then_some(now.mono),
            last_commit: None,
            room: Room::default(),
            log: Log { file: 1, state: LogState::NotBegun },
            beside_failed: false,
            alerts: lane(&found.alerts),
            readings,
            eras: Eras::new(found, now.mono),
            uplinks,
            orders: Orders::new(&settings.agent, settings.accept, found),
            marks: needs_marks.then(|| KeptMarks { kept: found.uplinks.clone(), keep_at }),
            freed: [found.alerts.acked, found.readings.acked],
            free_at: now.mono + FREE_EVERY_MS,
            free_soon: false,
            last_gap: 0,
            going: None,
            state_seq: 1,
            spool_error: String::new(),
            spool_alert: None,
            devices: Vec::new(),
            dropped_before: 0,
            rss_kib: 0,
            counters: Counters::default(),
            stop_at: None,
            finished: false,
            outputs: VecDeque::new(),
            settings,
        };
        forward.say_hello(now);
        let reason = if found.damage.is_empty() { GapReason::PowerCut } else { GapReason::Damage };
        for (lane, found) in [(Lane::Alerts, &found.alerts), (Lane::Readings, &found.readings)] {
            for hole in found.holes() {
                forward.lost(lane, hole, reason, now);
            }
            for skip in found.skips() {
                forward.lost(lane, skip, GapReason::Skipped, now);
            }
        }
        forward.advance(now);
        forward
    }

    /// Something happened.
    pub fn handle(&mut self, input: Input, now: Stamp) {
        match input {
            Input::Handover(Handover::Row { device, synced, row }) => self.keep_row(device, synced, row, now),
            Input::Handover(Handover::Alert(alert)) => self.keep_alert(alert),
            Input::Handover(Handover::Stats(stats)) => {
                stats.into_iter().for_each(|stats| self.keep_stats(stats, now));
            }
            Input::Handover(Handover::Devices { devices, dropped_rows }) => {
                (self.devices, self.dropped_before) = (devices, dropped_rows);
            }
            Input::AlertsCommitted(alerts) => self.durable(&alerts, &[]),
            Input::Committed { alerts, readings, room } => self.committed(&alerts, &readings, room, now),
            Input::CommitFailed { alerts, readings, error, room } => {
                self.commit_failed(alerts, readings, error, room, now);
            }
            Input::Kept(Note::Eras) => self.eras.kept(),
            Input::Kept(Note::Uplinks) => {}
            Input::Kept(Note::Commands) => self.order_kept(Ok(()), now),
            Input::KeepFailed(note, error) => {
                match note {
                    Note::Eras => self.eras.failed(now.mono),
                    // The next round writes it again.
                    Note::Uplinks => self.marks.iter_mut().for_each(|marks| marks.kept.clear()),
                    Note::Commands => self.order_kept(Err(&error), now),
                }
                self.beside_fails(error, now);
            }
            Input::LogFailed(error) => {
                self.log.state = LogState::Failed;
                self.beside_fails(error, now);
            }
            Input::SpoolFailed(error) => self.beside_fails(error, now),
            Input::Read { uplink, lane, values } => {
                if let Some(hole) = self.uplinks[uplink].lane_mut(lane).read(values, now.mono) {
                    self.missing(lane, hole, now);
                }
            }
            Input::ReadFailed { uplink, lane, error } => {
                self.uplinks[uplink].lane_mut(lane).read_failed(now.mono);
                self.spool_fails(error, now);
            }
            Input::Connected { uplink } => self.connected(uplink, now),
            Input::Disconnected { uplink, reason } => self.disconnected(uplink, &reason, now),
            Input::PubAck { uplink, token } => self.puback(uplink, token, now),
            Input::Refused { uplink, token } => self.refused(uplink, token, now),
            Input::Ack { uplink, bytes } => self.acked(uplink, &bytes, now),
            Input::Order { bytes, holds } => self.ordered(bytes, holds, now),
            Input::Answer(answer) => self.orders.answer(answer),
            Input::Stop => self.stop_at = self.stop_at.or(Some(now.mono + STOP_MS)),
        }
        self.advance(now);
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Stamp) {
        self.connections(now);
        self.resend_silent(now);
        if self.free_at <= now.mono && self.may_free() {
            self.free(now);
        }
        if self.marks.as_ref().is_some_and(|marks| marks.keep_at <= now.mono) {
            self.keep_marks(now);
        }
        self.advance(now);
    }

    /// The next thing to do, until there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Self::handle_timeout`] is due, and why.
    pub fn poll_timeout(&self) -> Option<(Mono, &'static str)> {
        if self.finished {
            return None;
        }
        let commit = match self.disk {
            Disk::Idle => self.commit_at.map(|at| (at, "commit")),
            Disk::Committing { .. } => None,
            Disk::Failing { retry_at } => Some((retry_at, "try the commit again")),
        };
        let is_stopping = self.stop_at.is_some();
        let uplinks = self.uplinks.iter().filter_map(|uplink| uplink.deadline(is_stopping)).min();
        [
            commit,
            uplinks,
            self.stop_at.filter(|_| !self.is_committing()).map(|at| (at, "stop")),
            (self.freed != acked_by_all(&self.uplinks) && self.may_free())
                .then_some((self.free_at, "free what is acked")),
            self.marks.as_ref().map(|marks| (marks.keep_at, "keep how far each uplink is")),
            self.eras.deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Figures so far.
    pub fn counters(&self) -> Counters {
        let unsafe_yet = self.pending.alerts.len() + self.pending.readings.len() + usize::from(self.is_dirty());
        Counters {
            rows_dropped: self.counters.rows_dropped + self.dropped_before,
            waiting: self.uplinks.iter().map(UplinkState::waiting).max().unwrap_or(0) + unsafe_yet as u64,
            connected: self.uplinks.iter().all(|uplink| uplink.connection.is_up()),
            ..self.counters
        }
    }

    /// Resident memory for the next health record, KiB.
    pub fn note_rss(&mut self, rss_kib: u64) {
        self.rss_kib = rss_kib;
    }

    /// After every input and timeout: what can be done now is put out.
    fn advance(&mut self, now: Stamp) {
        let eras = self.eras.advance(now, self.readings.next);
        self.outputs.extend(eras.map(|eras| Output::Keep(Note::Eras, eras)));
        self.commit_if_due(now);
        self.send_what_fits(now);
        let Some(stop_at) = self.stop_at.filter(|_| !self.finished) else { return };
        let has_no_use_for_time = |uplink: &UplinkState| !uplink.connection.is_up() || uplink.waiting() == 0;
        let no_use_waiting = stop_at <= now.mono || self.uplinks.iter().all(has_no_use_for_time);
        // A disk that fails to the last leaves the rows in the side file, where the next start finds them.
        let disk_is_dead = matches!(self.disk, Disk::Failing { .. }) && stop_at <= now.mono;
        if (!self.is_dirty() && no_use_waiting) || disk_is_dead {
            if self.may_free() {
                self.free(now);
            }
            self.keep_marks(now);
            self.say_goodbye(now);
            self.finished = true;
            self.outputs.push_back(Output::Finished);
        }
    }

    pub(super) fn is_committing(&self) -> bool {
        matches!(self.disk, Disk::Committing { .. })
    }

    /// Whether anything has been taken that is not durable.
    fn is_dirty(&self) -> bool {
        self.is_committing()
            || !self.open.is_empty()
            || !self.pending.alerts.is_empty()
            || !self.pending.readings.is_empty()
    }

    /// Starts a commit when one is due and the disk is free: alerts at once, readings at their time. Where both are due
    /// alerts go alone, for an alert can be sent when its own commit is done; but not twice on end, or many alerts on a
    /// slow disk would keep the readings in memory.
    fn commit_if_due(&mut self, now: Stamp) {
        let disk_free = match self.disk {
            Disk::Idle => true,
            Disk::Committing { .. } => false,
            Disk::Failing { retry_at } => retry_at <= now.mono,
        };
        let full = self.pending.readings_bytes >= FULL_COMMIT_BYTES;
        let stopping = self.stop_at.is_some() && self.commit_at.is_some();
        let readings_due = full || stopping || self.commit_at.is_some_and(|at| at <= now.mono);
        let due = readings_due || !self.pending.alerts.is_empty();
        if !disk_free || !due {
            return;
        }
        let alerts = std::mem::take(&mut self.pending.alerts);
        let (mut readings, mut covers) = (Vec::new(), None);
        self.readings_waited = readings_due && !alerts.is_empty() && !self.readings_waited;
        if readings_due && !self.readings_waited {
            for (seq, block) in self.open.close_all() {
                self.queue_block(seq, block);
            }
            readings = std::mem::take(&mut self.pending.readings);
            readings.sort_by_key(|(seq, _)| *seq);
            self.pending.readings_bytes = 0;
            self.last_commit = Some(self.commit_at.take().map_or(now.mono, |at| at.min(now.mono)));
            covers = Some(self.log.file);
            self.log = Log { file: self.log.file + 1, state: LogState::NotBegun };
        }
        self.disk = Disk::Committing { covers };
        self.outputs.push_back(Output::Commit { alerts, readings });
    }

    /// These can be sent (A1).
    fn durable(&mut self, alerts: &[Numbered], readings: &[Numbered]) {
        self.counters.durable += (alerts.len() + readings.len()) as u64;
        for (end, values) in [(&mut self.alerts, alerts), (&mut self.readings, readings)] {
            end.durable = values.iter().map(|(seq, _)| *seq).fold(end.durable, Seq::max);
        }
        for uplink in &mut self.uplinks {
            uplink.alerts.committed(alerts);
            uplink.readings.committed(readings);
        }
    }

    fn committed(&mut self, alerts: &[Numbered], readings: &[Numbered], room: Room, now: Stamp) {
        let covers = if let Disk::Committing { covers } = self.disk { covers } else { None };
        self.outputs.extend(covers.map(|through| Output::RemoveLogs { through }));
        self.disk = Disk::Idle;
        self.retry_ms = RETRY_FIRST_MS;
        self.durable(alerts, readings);
        self.make_room(room, now);
        if room.is_full {
            self.spool_fails(FULL.into(), now);
            // Also when there is nothing to commit: an answer says whether it is full still.
            self.commit_by(now.mono + FULL_RETRY_MS);
        } else if covers.is_some() && !std::mem::take(&mut self.beside_failed) {
            // A commit of alerts alone says nothing about the rows that met a full disk a moment ago.
            self.spool_works(now);
        }
        // An alert that waits goes first, unless it is room that it may want.
        let is_time = self.free_at <= now.mono && self.pending.alerts.is_empty();
        if (self.free_soon || is_time) && self.may_free() {
            self.free_soon = false;
            self.free(now);
        }
    }

    /// What is new is due to be committed when the time since the last commit is nearly over, and after a longer pause at
    /// once, with what comes in the same moment: a reading every second is on its way milliseconds after it was read, for
    /// no more commits than if each waited for the end of a second.
    pub(super) fn commit_in_time(&mut self, now: Stamp) {
        let every = self.settings.commit_every_ms;
        // Without the slack the commits would lag behind the latest of the readings for ever.
        let earliest = self.last_commit.map_or(now.mono, |last| last + (every - every / COMMIT_SLACK));
        self.commit_by((now.mono + GATHER_MS).max(earliest).min(now.mono + every));
    }

    /// A commit of readings is due at this time, or earlier if it was.
    pub(super) fn commit_by(&mut self, at: Mono) {
        self.commit_at = Some(self.commit_at.map_or(at, |due| due.min(at)));
    }

    /// Something beside a commit was refused.
    fn beside_fails(&mut self, error: String, now: Stamp) {
        self.beside_failed = true;
        self.spool_fails(error, now);
    }

    fn commit_failed(&mut self, alerts: Vec<Numbered>, readings: Vec<Numbered>, error: String, room: Room, now: Stamp) {
        self.room = room;
        self.disk = Disk::Failing { retry_at: now.mono + self.retry_ms };
        self.retry_ms = (self.retry_ms * 2).min(RETRY_MAX_MS);
        self.pending.alerts.splice(0..0, alerts);
        self.pending.readings_bytes += readings.iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
        // One of nothing, which was to see whether the disk is still full, is to be tried again as well.
        if !readings.is_empty() || self.pending.alerts.is_empty() {
            self.commit_at = Some(now.mono);
        }
        self.pending.readings.splice(0..0, readings);
        self.spool_fails(error, now);
    }
}
