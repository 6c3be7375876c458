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
    /// What has left the disk before it was mirrored.
    left_behind: [SeqSet; 2],
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

    /// Whether a stream lacks what must not leave the disk before the stream has it.
    pub(super) fn is_owed(&self, agent: usize, scenario: &Scenario, lane: Lane, seq: Seq) -> bool {
        scenario.sending.stream == Some(StreamUse::Frees) && self.is_lacking(agent, scenario, lane, seq)
    }

    /// Whether a stream lacks what it must have in the end.
    pub(super) fn is_lacking(&self, agent: usize, scenario: &Scenario, lane: Lane, seq: Seq) -> bool {
        let (streamed, index) = (&self.streams[agent], usize::from(lane == Lane::Readings));
        let may_lack = [&streamed.seen[index], &streamed.left_behind[index]].into_iter().any(|seqs| seqs.contains(seq));
        scenario.sending.stream.is_some() && !may_lack
    }

    /// A disk gives space back. What a mirror has not come to by then it need not have; what it has passed, it must.
    pub(super) fn leave_behind(&mut self, agent: usize, scenario: &Scenario, lane: Lane, through: Seq) {
        let (streamed, index) = (&mut self.streams[agent], usize::from(lane == Lane::Readings));
        let first = streamed.last[index] + 1;
        if scenario.sending.stream == Some(StreamUse::Mirrors) && first <= through {
            streamed.left_behind[index].insert(SeqRange { first, last: through });
        }
    }
}
