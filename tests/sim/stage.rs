//! Virtual time, what is going to happen in it, and what all parts share: the store, the oracle, the trace.

use crate::breaks::Break;
use crate::oracle::Oracle;
use crate::scenario::Scenario;
use crate::store::Store;
use std::collections::BTreeMap;
use windward_agent::watch;
use windward_sink::decode::Delivery;

/// True time when the world begins: 2026-01-01.
pub(crate) const BEGIN_MS: i64 = 1_767_225_600_000;
pub(crate) const FARM: &str = "north-ridge";

/// Something that happens. `life` counts the processes of an agent or sink, `session` its connections: what was meant
/// for an earlier one comes to nothing.
#[derive(Debug)]
pub(crate) enum Event {
    Plant {
        agent: usize,
    },
    Boot {
        agent: usize,
        life: u64,
    },
    Wake {
        agent: usize,
        life: u64,
    },
    JobDone {
        agent: usize,
        life: u64,
    },
    Answer {
        agent: usize,
        life: u64,
        input: watch::Input,
    },
    Mail {
        agent: usize,
        uplink: usize,
        session: u64,
        mail: Mail,
    },
    Fault {
        agent: usize,
        fault: Fault,
    },
    Connect {
        agent: usize,
        uplink: usize,
        session: u64,
    },
    Publish {
        agent: usize,
        uplink: usize,
        session: u64,
        token: u64,
        delivery: Delivery,
    },
    Ack {
        agent: usize,
        bytes: Vec<u8>,
    },
    Garbage,
    BrokerDown,
    /// The store forgets what packed batches said once.
    SchemasForgotten,
    BrokerUp,
    Subscribe {
        sink: usize,
        life: u64,
    },
    Deliver {
        sink: usize,
        life: u64,
        id: u64,
        delivery: Delivery,
    },
    Puback {
        sink: usize,
        life: u64,
        id: u64,
    },
    SinkStart {
        sink: usize,
    },
    SinkWork {
        sink: usize,
        life: u64,
    },
    Tell {
        sink: usize,
        life: u64,
        task: u64,
    },
    /// A sink looks for what is due to be told.
    Due {
        sink: usize,
        life: u64,
    },
    Peace,
}

/// What reaches an agent on its connection.
#[derive(Clone, Debug)]
pub(crate) enum Mail {
    Connected,
    PubAck(u64),
    Refused(u64),
    Ack(Vec<u8>),
    Gone(&'static str),
}

/// What befalls an agent's machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Kill,
    PowerCut,
    Stop,
    CutLink(usize),
    DiskTrouble,
    Rot,
    ClockStep,
    /// The system writes its page cache back.
    WriteBack,
}

/// What all parts share.
pub(crate) struct Stage {
    pub(crate) now: u64,
    pub(crate) scenario: Scenario,
    pub(crate) broken: Option<Break>,
    pub(crate) oracle: Oracle,
    pub(crate) store: Store,
    queue: BTreeMap<(u64, u64), Event>,
    events: u64,
    /// How often what happened: that a world was not idle can be seen here.
    pub(crate) counts: BTreeMap<&'static str, u64>,
    trace: bool,
}

impl Stage {
    pub(crate) fn new(scenario: Scenario, broken: Option<Break>, trace: bool) -> Self {
        let (oracle, store) = (Oracle::new(&scenario), Store::default());
        Self {
            now: 0,
            scenario,
            broken,
            oracle,
            store,
            queue: BTreeMap::new(),
            events: 0,
            counts: BTreeMap::new(),
            trace,
        }
    }

    /// Whether this break was asked for.
    pub(crate) fn breaks(&self, which: Break) -> bool {
        self.broken == Some(which)
    }

    /// True wall-clock time.
    pub(crate) fn true_ms(&self) -> i64 {
        BEGIN_MS + self.now as i64
    }

    /// `event` happens in so many ms, after all that was planned for that moment before.
    pub(crate) fn after(&mut self, ms: u64, event: Event) {
        self.events += 1;
        self.queue.insert((self.now + ms, self.events), event);
    }

    /// The next event, whose time it is now.
    pub(crate) fn next(&mut self) -> Option<Event> {
        let ((at, _), event) = self.queue.pop_first()?;
        self.now = at;
        Some(event)
    }

    /// Counts something that happened.
    pub(crate) fn count(&mut self, what: &'static str) {
        self.count_many(what, 1);
    }

    /// Counts something that happened several times.
    pub(crate) fn count_many(&mut self, what: &'static str, times: u64) {
        *self.counts.entry(what).or_default() += times;
    }

    /// A line of the trace, if there is one.
    pub(crate) fn trace(&self, who: impl std::fmt::Display, words: impl FnOnce() -> String) {
        if self.trace {
            println!("{:>9.3} {who:<9} {}", self.now as f64 / 1e3, words());
        }
    }
}
