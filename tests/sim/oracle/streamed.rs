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
    /// A stream has taken a publish: every reader can read it by itself, and finds a lane in order, repeats left out.
    /// `may_be_passed`: it comes late, on a connection that was given up, and the disk may not have it any more: a mirror
    /// misses what has left the disk meanwhile. Then it was not sent again before what follows.
    pub(crate) fn streamed(&mut self, agent: usize, delivery: &Delivery, may_be_passed: bool) {
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
            let last = streamed.last[index];
            streamed.last[index] = last.max(seq);
            streamed.seen[index].insert(SeqRange { first: seq, last: seq });
            if seq < last && !may_be_passed {
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
