//! An uplink's connection: when to connect, how much may be under way, when it counts as dead.
//!
//! ```text
//!         retry_at            Connected
//!  Down ───────────▶ Connecting ───────▶ Up
//!   ▲                    │                │
//!   └────────────────────┴────────────────┘  Disconnected, or no progress for STALL_MS
//! ```

use crate::time::Mono;
use std::collections::BTreeMap;
use windward_protocol::batch::MAX_BATCH;
use windward_protocol::{Lane, Seq, SeqRange};

/// Most publishes without a PUBACK; below rumqttc's own limit of 100, where packet identifiers collide.
pub const WINDOW: usize = 51;
/// Longest batch on a new connection, and the shortest limit on one that proves slow, bytes. A batch of
/// [`MAX_BATCH`] on a line of 10 kB/s would take longer than [`STALL_MS`], again and again.
const FIRST_BATCH: usize = 16 * 1024;
const LEAST_BATCH: usize = 4 * 1024;
/// A batch that is taken faster than this makes the next ones longer, a slower one shorter.
const FAST_MS: u64 = 1_000;
const SLOW_MS: u64 = 3_000;
/// Most batches of that length without a PUBACK: what an alert has to wait behind on a slow line.
const BATCHES_AHEAD: usize = 4;
/// A connection with publishes under way and no PUBACK for this long is dead.
const STALL_MS: u64 = 10_000;
/// A connection attempt that takes longer has failed.
const CONNECT_MS: u64 = 15_000;
/// Pauses before connecting again; AWS IoT Core allows one CONNECT a second for a client id.
const BACKOFF_FIRST_MS: u64 = 1_000;
const BACKOFF_MAX_MS: u64 = 10_000;
/// Pauses before a refused publish is sent again.
const REFUSED_FIRST_MS: u64 = 200;
const REFUSED_MAX_MS: u64 = 10_000;

/// A publish without its PUBACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flight {
    pub(super) lane: Lane,
    pub(super) range: SeqRange,
    bytes: usize,
    since: Mono,
}

#[derive(Debug)]
enum State {
    Down { retry_at: Mono },
    Connecting { since: Mono },
    Up { progress_at: Mono },
}

/// The state of the connection.
#[derive(Debug)]
pub(super) struct Connection {
    state: State,
    /// Connections that ended without a PUBACK, one after another.
    failures: u32,
    /// Publishes that were refused, one after another.
    refusals: u32,
    one_by_one: bool,
    flights: BTreeMap<u64, Flight>,
    flight_bytes: usize,
    /// Longest batch for now, bytes.
    batch_bytes: usize,
    next_token: u64,
    random: u64,
}

/// What the connection wants when its time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Connect,
    /// Give the connection up, for this reason.
    Drop(&'static str),
}

impl Connection {
    /// Down, and to be connected at once. `seed` shapes the jitter.
    pub(super) fn new(now: Mono, one_by_one: bool, seed: u64) -> Self {
        Self {
            state: State::Down { retry_at: now },
            failures: 0,
            refusals: 0,
            one_by_one,
            flights: BTreeMap::new(),
            flight_bytes: 0,
            batch_bytes: FIRST_BATCH,
            next_token: 1,
            random: seed | 1,
        }
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(self.state, State::Up { .. })
    }

    /// Whether another publish may go. Two places are kept for alerts.
    pub(super) fn has_room(&self, lane: Lane) -> bool {
        if !self.is_up() || (self.one_by_one && self.flights.values().any(|flight| flight.lane == lane)) {
            return false;
        }
        match lane {
            Lane::Alerts => self.flights.len() < WINDOW,
            Lane::Readings | Lane::State => {
                self.flights.len() < WINDOW - 2 && self.flight_bytes < BATCHES_AHEAD * self.batch_bytes
            }
        }
    }

    /// How long a batch of readings may be, bytes. An alert's batch is as long as it comes.
    pub(super) fn batch_bytes(&self) -> usize {
        self.batch_bytes
    }

    /// Whether this number is in a publish under way.
    pub(super) fn carries(&self, lane: Lane, seq: Seq) -> bool {
        let holds = |flight: &Flight| flight.lane == lane && (flight.range.first..=flight.range.last).contains(&seq);
        self.flights.values().any(holds)
    }

    /// A publish goes out now; its token comes back with the PUBACK.
    pub(super) fn launch(&mut self, lane: Lane, range: SeqRange, bytes: usize, now: Mono) -> u64 {
        if let (State::Up { progress_at }, true) = (&mut self.state, self.flights.is_empty()) {
            *progress_at = now;
        }
        let token = self.next_token;
        self.next_token += 1;
        self.flights.insert(token, Flight { lane, range, bytes, since: now });
        self.flight_bytes += bytes;
        token
    }

    /// A PUBACK came; gives what it was for, once all parts of it are taken.
    pub(super) fn landed(&mut self, token: u64, now: Mono) -> Option<Flight> {
        let (flight, took_ms) = self.remove(token, now)?;
        (self.failures, self.refusals) = (0, 0);
        if took_ms < FAST_MS && flight.bytes * 2 >= self.batch_bytes {
            self.batch_bytes = (self.batch_bytes * 2).min(MAX_BATCH);
        } else if took_ms > SLOW_MS {
            self.batch_bytes = (self.batch_bytes / 2).max(LEAST_BATCH);
        }
        let is_last = !self.flights.values().any(|other| (other.lane, other.range) == (flight.lane, flight.range));
        is_last.then_some(flight)
    }

    /// A publish was refused; gives what it was for, and the pause before it may be sent again, ms.
    pub(super) fn refused(&mut self, token: u64, now: Mono) -> Option<(Flight, u64)> {
        let (flight, _) = self.remove(token, now)?;
        let ceiling = (REFUSED_FIRST_MS << self.refusals.min(10)).min(REFUSED_MAX_MS);
        self.refusals += 1;
        Some((flight, ceiling / 2 + self.draw() % (ceiling / 2 + 1)))
    }

    /// Takes a flight out; gives how long the line was busy with it, ms.
    fn remove(&mut self, token: u64, now: Mono) -> Option<(Flight, u64)> {
        let flight = self.flights.remove(&token)?;
        self.flight_bytes -= flight.bytes;
        let State::Up { progress_at } = &mut self.state else { return None };
        let took_ms = now - flight.since.max(*progress_at);
        *progress_at = now;
        Some((flight, took_ms))
    }

    pub(super) fn connected(&mut self, now: Mono) {
        self.state = State::Up { progress_at: now };
    }

    /// The connection is gone, and with it everything that was under way. Gives the pause before the next attempt, ms.
    pub(super) fn disconnected(&mut self, now: Mono) -> u64 {
        if !self.flights.is_empty() {
            self.batch_bytes = (self.batch_bytes / 2).max(LEAST_BATCH);
        }
        self.flights.clear();
        self.flight_bytes = 0;
        let ceiling = (BACKOFF_FIRST_MS << self.failures.min(10)).min(BACKOFF_MAX_MS);
        self.failures += 1;
        // Half fixed, half random: many agents that lost one broker do not come back in one moment.
        let pause = BACKOFF_FIRST_MS.max(ceiling / 2) + self.draw() % (ceiling / 2 + 1);
        self.state = State::Down { retry_at: now + pause };
        pause
    }

    pub(super) fn deadline(&self) -> Option<(Mono, &'static str)> {
        match self.state {
            State::Down { retry_at } => Some((retry_at, "connect")),
            State::Connecting { since } => Some((since + CONNECT_MS, "give up connecting")),
            State::Up { progress_at } if !self.flights.is_empty() => {
                Some((progress_at + STALL_MS, "stalled connection"))
            }
            State::Up { .. } => None,
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Mono) -> Option<Due> {
        let (deadline, _) = self.deadline()?;
        if now < deadline {
            return None;
        }
        match self.state {
            State::Down { .. } => {
                self.state = State::Connecting { since: now };
                Some(Due::Connect)
            }
            State::Connecting { .. } => Some(Due::Drop("no answer to CONNECT")),
            State::Up { .. } => Some(Due::Drop("no PUBACK for 10 s")),
        }
    }

    /// xorshift64*: enough for jitter.
    fn draw(&mut self) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }
}
