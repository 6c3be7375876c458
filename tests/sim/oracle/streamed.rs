//! What can be read from the stream of an agent.

use super::Oracle;
use crate::machine::agent_id;
use crate::scenario::{Scenario, StreamUse};
use windward_protocol::{Envelope, Lane, Seq, SeqRange, SeqSet, batch};
use windward_sink::decode::Delivery;

/// What was put into a stream, lane by lane.
#[derive(Debug, Default)]
pub(super) struct Streamed {
    seen: [SeqSet; 2],
    last: [Seq; 2],
}

impl Oracle {
    /// A stream has taken a publish: every reader can read it by itself, and finds a lane in order, repeats left out. What
    /// comes late, on a connection that was given up (`is_current` is false), may have been passed by what follows where
    /// the disk has lost it meanwhile, or freed it under a mirror: it is no part of the order.
    pub(crate) fn streamed(&mut self, agent: usize, delivery: &Delivery, is_current: bool) {
        let split = batch::split(&delivery.payload);
        if let Some(error) = split.broken {
            return self.violated("wire", || format!("a stream got what cannot be read by itself: {error}"));
        }
        for envelope in split.envelopes.iter().filter_map(|bytes| Envelope::decode(bytes).ok()) {
            let (lane, seq) = (envelope.lane, envelope.seq);
            let streamed = &mut self.streams[agent];
            let index = usize::from(lane == Lane::Readings);
            if streamed.seen[index].contains(seq) {
                continue;
            }
            streamed.seen[index].insert(SeqRange { first: seq, last: seq });
            if !is_current {
                continue;
            }
            let last = std::mem::replace(&mut streamed.last[index], seq);
            if seq < last {
                self.violated("order", || {
                    format!("{} {lane} {seq} came into the stream after {last}", agent_id(agent))
                });
            }
        }
    }

    /// Whether a stream still lacks what it must have.
    pub(super) fn is_owed(&self, agent: usize, scenario: &Scenario, lane: Lane, seq: Seq) -> bool {
        let seen = &self.streams[agent].seen[usize::from(lane == Lane::Readings)];
        scenario.sending.stream == Some(StreamUse::Frees) && !seen.contains(seq)
    }
}
