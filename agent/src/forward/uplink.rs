//! The connection to the broker: when to connect, how much may be under way, when it counts as dead.
//!
//! ```text
//!         retry_at            Connected
//!  Down ───────────▶ Connecting ───────▶ Up
//!   ▲                    │                │
//!   └────────────────────┴────────────────┘  Disconnected, or no progress for STALL_MS
//! ```

use crate::time::Mono;
use std::collections::BTreeMap;
use windward_protocol::{Lane, SeqRange};

/// Most publishes without a PUBACK; below rumqttc's own limit of 100, where packet identifiers collide.
pub const WINDOW: usize = 51;
/// Most bytes without a PUBACK: what an alert has to wait behind on a slow link.
const MAX_FLIGHT_BYTES: usize = 512 * 1024;
/// A connection with publishes under way and no PUBACK for this long is dead.
const STALL_MS: u64 = 10_000;
/// A connection attempt that takes longer has failed.
const CONNECT_MS: u64 = 15_000;
/// Pauses before connecting again; AWS IoT Core allows one CONNECT a second for a client id.
const BACKOFF_FIRST_MS: u64 = 1_000;
const BACKOFF_MAX_MS: u64 = 10_000;

/// A publish without its PUBACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flight {
    pub(super) lane: Lane,
    pub(super) range: SeqRange,
    bytes: usize,
}

#[derive(Debug)]
enum State {
    Down { retry_at: Mono },
    Connecting { since: Mono },
    Up { progress_at: Mono },
}

/// The state of the connection.
#[derive(Debug)]
pub(super) struct Uplink {
    state: State,
    failures: u32,
    flights: BTreeMap<u64, Flight>,
    flight_bytes: usize,
    next_token: u64,
    random: u64,
}

/// What the uplink wants when its time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Connect,
    /// Give the connection up, for this reason.
    Drop(&'static str),
}

impl Uplink {
    /// Down, and to be connected at once. `seed` shapes the jitter.
    pub(super) fn new(now: Mono, seed: u64) -> Self {
        Self {
            state: State::Down { retry_at: now },
            failures: 0,
            flights: BTreeMap::new(),
            flight_bytes: 0,
            next_token: 1,
            random: seed | 1,
        }
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(self.state, State::Up { .. })
    }

    /// Whether another publish may go. Two places are kept for alerts.
    pub(super) fn has_room(&self, lane: Lane) -> bool {
        let window = if lane == Lane::Alerts { WINDOW } else { WINDOW - 2 };
        let bytes = lane == Lane::Alerts || self.flight_bytes < MAX_FLIGHT_BYTES;
        self.is_up() && self.flights.len() < window && bytes
    }

    /// A publish goes out now; its token comes back with the PUBACK.
    pub(super) fn launch(&mut self, lane: Lane, range: SeqRange, bytes: usize, now: Mono) -> u64 {
        if let (State::Up { progress_at }, true) = (&mut self.state, self.flights.is_empty()) {
            *progress_at = now;
        }
        let token = self.next_token;
        self.next_token += 1;
        self.flights.insert(token, Flight { lane, range, bytes });
        self.flight_bytes += bytes;
        token
    }

    /// A PUBACK came; gives what it was for.
    pub(super) fn landed(&mut self, token: u64, now: Mono) -> Option<Flight> {
        let flight = self.flights.remove(&token)?;
        self.flight_bytes -= flight.bytes;
        self.failures = 0;
        if let State::Up { progress_at } = &mut self.state {
            *progress_at = now;
        }
        Some(flight)
    }

    pub(super) fn connected(&mut self, now: Mono) {
        self.state = State::Up { progress_at: now };
    }

    /// The connection is gone, and with it everything that was under way. Gives the pause before the next attempt, ms.
    pub(super) fn disconnected(&mut self, now: Mono) -> u64 {
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
            State::Down { retry_at } => Some((retry_at, "connect to the broker")),
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
