//! What a seed decides beforehand: how large the world is, and which faults it has.
//!
//! A seed has some of the faults only, for a world in which everything fails always never gets far enough to fail in an
//! interesting way.

use windward_agent::forward::{AckBy, Order, Uplink};
use windward_tests::random::Random;

/// A world's size and its faults. Mean times of 0 mean never.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) agents: usize,
    pub(crate) devices: usize,
    pub(crate) sinks: usize,
    /// How long there are faults, ms.
    pub(crate) life_ms: u64,
    /// Mean time between two rows of an agent, ms.
    pub(crate) row_every_ms: u64,
    pub(crate) alert_every_ms: u64,
    /// Whether devices are polled by WATCH, or rows come from nowhere.
    pub(crate) watch: bool,
    pub(crate) commit_every_ms: u64,
    pub(crate) agent: AgentFaults,
    pub(crate) disk: DiskFaults,
    pub(crate) clock: ClockFaults,
    pub(crate) link: LinkFaults,
    pub(crate) broker: BrokerFaults,
    pub(crate) sink: SinkFaults,
    pub(crate) sending: Sending,
    pub(crate) stream: StreamFaults,
}

/// Ends of the agent's process.
#[derive(Clone, Debug)]
pub(crate) struct AgentFaults {
    pub(crate) kill_every_ms: u64,
    pub(crate) power_every_ms: u64,
    pub(crate) stop_every_ms: u64,
    /// One step in so many of a start is the last.
    pub(crate) die_at_boot: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct DiskFaults {
    /// One job in so many takes long, and how long at most.
    pub(crate) stall: u64,
    pub(crate) stall_ms: u64,
    /// One write in so many fails.
    pub(crate) write_error: u64,
    pub(crate) read_error: u64,
    /// Full, or read-only, for a while.
    pub(crate) trouble_every_ms: u64,
    /// A value is damaged.
    pub(crate) rot_every_ms: u64,
    /// One power cut in so many costs what was durable, at the end of a lane.
    pub(crate) forgets: u64,
    /// Most bytes of readings (A4).
    pub(crate) max_bytes: u64,
    /// How long they may stay at most.
    pub(crate) max_age_ms: Option<u64>,
}

#[derive(Clone, Debug)]
pub(crate) struct ClockFaults {
    /// Boots begin with a clock that is not set.
    pub(crate) unset: bool,
    /// The clock is set wrongly and back again.
    pub(crate) step_every_ms: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct LinkFaults {
    pub(crate) delay_ms: u64,
    pub(crate) cut_every_ms: u64,
    /// One packet in so many is seconds late, and all behind it on its connection.
    pub(crate) late: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct BrokerFaults {
    pub(crate) restart_every_ms: u64,
    /// How long it is away, in the mean.
    pub(crate) away_ms: u64,
    /// Whether it knows after a restart what it has acked.
    pub(crate) remembers: bool,
    /// One message in so many is acked and forgotten; delivered twice; one ack to an agent is lost.
    pub(crate) forgets: u64,
    pub(crate) repeats: u64,
    pub(crate) loses_acks: u64,
    /// Somebody publishes what nobody understands.
    pub(crate) garbage_every_ms: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct SinkFaults {
    /// One step in so many is the last of the process.
    pub(crate) dies: u64,
    /// One write in so many fails.
    pub(crate) store_error: u64,
    /// Whether the store takes a plan as a whole (SQLite), or row by row (DynamoDB).
    pub(crate) whole: bool,
    /// One message to people in so many fails.
    pub(crate) untold: u64,
    /// The store forgets the schemas of packed batches.
    pub(crate) forgets_every_ms: u64,
    /// The webhook beside SNS; the end of an alert is told too.
    pub(crate) webhook: bool,
    pub(crate) tells_clear: bool,
}

/// The ways out of an agent: the broker always, and a stream perhaps.
#[derive(Clone, Debug)]
pub(crate) struct Sending {
    pub(crate) stream: Option<StreamUse>,
    /// The newest readings go to the broker first.
    pub(crate) live: bool,
    /// 0: no limit.
    pub(crate) max_bytes_per_s: u64,
    pub(crate) publish_every_ms: u64,
}

/// What a stream is to an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamUse {
    /// It must have everything as well.
    Frees,
    /// It gets what is there.
    Mirrors,
}

#[derive(Clone, Debug)]
pub(crate) struct StreamFaults {
    /// One publish in so many is refused.
    pub(crate) refuses: u64,
    /// One call in so many fails as a whole, done or not.
    pub(crate) fails: u64,
}

impl Scenario {
    /// The scenario of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::stream(seed, "scenario", 0);
        let r = &mut random;
        // One world in sixteen is at peace: what fails there is the plainest to understand.
        let peace = r.one_in(16);
        let watch = r.one_in(4);
        let mut maybe = |times: u64, least: u64, most: u64| {
            let value = r.between(least, most);
            if r.one_in(times) && !peace { value } else { 0 }
        };
        let life_ms = 20_000 + maybe(2, 0, 40_000) + maybe(4, 0, 120_000);
        Scenario {
            agents: 1 + maybe(3, 1, 2) as usize,
            devices: 1 + maybe(2, 1, 2) as usize,
            sinks: 1 + maybe(2, 1, 1) as usize,
            life_ms,
            row_every_ms: if watch { 1_000 } else { 150 + maybe(2, 0, 1_500) },
            alert_every_ms: 15_000,
            watch,
            commit_every_ms: 1_000 + maybe(4, 0, 9_000),
            agent: AgentFaults {
                kill_every_ms: maybe(2, 3_000, 40_000),
                power_every_ms: maybe(3, 3_000, 40_000),
                stop_every_ms: maybe(6, 10_000, 40_000),
                die_at_boot: maybe(3, 2, 8),
            },
            disk: DiskFaults {
                stall: maybe(3, 5, 100),
                stall_ms: 500 + maybe(2, 0, 30_000),
                write_error: maybe(4, 5, 100),
                read_error: maybe(6, 5, 50),
                trouble_every_ms: maybe(4, 10_000, 60_000),
                rot_every_ms: maybe(4, 5_000, 60_000),
                forgets: maybe(6, 1, 4),
                max_bytes: if maybe(3, 1, 1) == 1 { 2_000 + maybe(1, 0, 8_000) } else { u64::MAX },
                max_age_ms: Some(maybe(6, 5_000, 60_000)).filter(|age_ms| *age_ms > 0),
            },
            clock: ClockFaults {
                unset: !watch && maybe(4, 1, 1) == 1,
                step_every_ms: if watch { 0 } else { maybe(6, 5_000, 40_000) },
            },
            link: LinkFaults {
                delay_ms: 1 + maybe(2, 0, 300),
                cut_every_ms: maybe(2, 3_000, 40_000),
                late: maybe(4, 5, 100),
            },
            broker: BrokerFaults {
                restart_every_ms: maybe(3, 8_000, 60_000),
                away_ms: 4_000 + maybe(3, 0, 40_000),
                remembers: maybe(2, 1, 1) == 0,
                forgets: maybe(4, 3, 30),
                repeats: maybe(3, 3, 30),
                loses_acks: maybe(3, 2, 10),
                garbage_every_ms: maybe(4, 5_000, 30_000),
            },
            sink: SinkFaults {
                dies: maybe(2, 10, 200),
                store_error: maybe(3, 5, 50),
                whole: maybe(2, 1, 1) == 1,
                untold: maybe(3, 2, 10),
                forgets_every_ms: maybe(5, 5_000, 40_000),
                webhook: maybe(2, 1, 1) == 1,
                tells_clear: maybe(2, 1, 1) == 1,
            },
            sending: Sending {
                stream: match maybe(3, 1, 4) {
                    0 => None,
                    1 => Some(StreamUse::Mirrors),
                    _ => Some(StreamUse::Frees),
                },
                live: maybe(4, 1, 1) == 1,
                max_bytes_per_s: maybe(6, 100, 2_000),
                publish_every_ms: maybe(5, 1_000, 20_000),
            },
            stream: StreamFaults { refuses: maybe(2, 2, 20), fails: maybe(3, 3, 40) },
        }
        .without_contradictions()
    }

    /// The ways out of an agent, as it is told of them.
    pub(crate) fn uplinks(&self) -> Vec<Uplink> {
        let Sending { stream, live, max_bytes_per_s, publish_every_ms } = self.sending;
        let order = if live { Order::Live } else { Order::Oldest };
        let mqtt = Uplink { order, max_bytes_per_s, publish_every_ms, ..Uplink::new("mqtt") };
        let to_stream = |stream_use| Uplink {
            frees: stream_use == StreamUse::Frees,
            ack: AckBy::Uplink,
            one_by_one: true,
            state: false,
            ..Uplink::new("kinesis")
        };
        std::iter::once(mqtt).chain(stream.map(to_stream)).collect()
    }

    /// The same world from the moment in which the faults end.
    pub(crate) fn at_peace(&self) -> Self {
        Scenario {
            agent: AgentFaults { kill_every_ms: 0, power_every_ms: 0, stop_every_ms: 0, die_at_boot: 0 },
            disk: DiskFaults {
                stall: 0,
                write_error: 0,
                read_error: 0,
                trouble_every_ms: 0,
                rot_every_ms: 0,
                forgets: 0,
                ..self.disk.clone()
            },
            clock: ClockFaults { unset: false, step_every_ms: 0 },
            link: LinkFaults { cut_every_ms: 0, late: 0, ..self.link.clone() },
            broker: BrokerFaults {
                restart_every_ms: 0,
                forgets: 0,
                repeats: 0,
                loses_acks: 0,
                garbage_every_ms: 0,
                ..self.broker.clone()
            },
            sink: SinkFaults { dies: 0, store_error: 0, untold: 0, forgets_every_ms: 0, ..self.sink.clone() },
            stream: StreamFaults { refuses: 0, fails: 0 },
            ..self.clone()
        }
    }

    /// Leaves out what cannot be told apart: with a clock that is set wrongly while readings wait for it to be set,
    /// nobody could say what their true time is.
    fn without_contradictions(mut self) -> Self {
        if self.clock.unset {
            self.clock.step_every_ms = 0;
            self.disk.forgets = 0;
        }
        // Nor how old what was read with a wrong clock is.
        if self.clock.unset || self.clock.step_every_ms > 0 {
            self.disk.max_age_ms = None;
        }
        self
    }
}

/// A time with this mean, ms: mostly shorter, now and then much longer.
pub(crate) fn about(random: &mut Random, mean_ms: u64) -> u64 {
    1 + (-(1.0 - random.uniform()).ln() * mean_ms as f64) as u64
}
