//! A stream like Kinesis, the other way out of an agent: it takes a publish, refuses it while the agent stays connected,
//! or fails as a whole. What it has taken can be read from it at once, in that order, and is not forgotten.

use crate::machine::Machine;
use crate::stage::{Event, Mail, Stage};
use windward_sink::decode::Delivery;
use windward_tests::random::Random;

/// Its place among an agent's uplinks.
pub(crate) const STREAM: usize = 1;

/// The stream.
pub(crate) struct Stream {
    random: Random,
}

impl Stream {
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: Random::stream(seed, "stream", 0) }
    }

    /// An agent connects.
    pub(crate) fn connect(&mut self, machine: &mut Machine, session: u64, stage: &mut Stage) {
        let delay = machine.delay_ms(STREAM, stage);
        let fails = self.random.one_in(stage.scenario.stream.fails);
        let mail = if fails { Mail::Gone("no credentials") } else { Mail::Connected };
        stage.after(delay, Event::Mail { agent: machine.index, uplink: STREAM, session, mail });
    }

    /// A publish of an agent arrives. On a connection that the agent has given up it may still do so.
    pub(crate) fn publish(
        &mut self,
        machine: &mut Machine,
        session: u64,
        token: u64,
        delivery: &Delivery,
        stage: &mut Stage,
    ) {
        let is_current = machine.links[STREAM].session == session;
        if !is_current && self.random.one_in(2) {
            return;
        }
        let delay = machine.delay_ms(STREAM, stage);
        let faults = &stage.scenario.stream;
        let (is_refused, fails) = (self.random.one_in(faults.refuses), self.random.one_in(faults.fails));
        if is_refused {
            stage.count("publishes refused by a stream");
        } else if !fails || self.random.one_in(2) {
            // A call that fails may have done what it was to do.
            stage.count("publishes taken by a stream");
            stage.oracle.streamed(machine.index, delivery, is_current);
        }
        let mail = match (is_refused, fails) {
            (true, _) => Mail::Refused(token),
            (false, true) => Mail::Gone("internal failure"),
            (false, false) => Mail::PubAck(token),
        };
        stage.after(delay, Event::Mail { agent: machine.index, uplink: STREAM, session, mail });
    }
}
