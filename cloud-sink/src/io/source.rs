//! What every source hands to the committer: a delivery, and how to answer it.

use super::mqtt;
#[cfg(any(feature = "aws", feature = "kafka"))]
use super::stream;
use crate::decode::Delivery;
use windward_protocol::{Ack, AgentId};

/// Deliveries that wait to be committed. There is room for all that each source may have on its way by its own bound.
#[cfg(any(feature = "aws", feature = "kafka"))]
pub(super) const QUEUE: usize = mqtt::QUEUE + stream::ROOM;
#[cfg(not(any(feature = "aws", feature = "kafka")))]
pub(super) const QUEUE: usize = mqtt::QUEUE;

/// A delivery, and how to answer it.
pub(super) struct Incoming {
    /// What came.
    pub(super) delivery: Delivery,
    /// How to answer.
    pub(super) reply: Reply,
}

/// How a delivery is answered. There are two answers: one to the source, which frees the delivery there, and one to the
/// agent, which frees its disk (A3). A delivery whose answer is dropped comes again.
pub(super) enum Reply {
    /// By MQTT: a PUBACK, and acks on the agents' topics.
    Mqtt(mqtt::Reply),
    /// From a stream: the position may pass the record. Its agent hears nothing: what is in the stream has left its disk.
    #[cfg(any(feature = "aws", feature = "kafka"))]
    Stream(stream::Reply),
}

impl Reply {
    /// Tells the source that the delivery is stored.
    pub(super) async fn stored(&self) {
        match self {
            Reply::Mqtt(reply) => reply.puback().await,
            #[cfg(any(feature = "aws", feature = "kafka"))]
            Reply::Stream(reply) => reply.stored(),
        }
    }

    /// Whether agents wait for acks by this way.
    pub(super) fn reaches_agents(&self) -> bool {
        matches!(self, Reply::Mqtt(_))
    }

    /// Tells an agent what is committed (A3).
    pub(super) async fn ack(&self, agent: &AgentId, ack: &Ack) {
        match self {
            Reply::Mqtt(reply) => reply.ack(agent, ack).await,
            #[cfg(any(feature = "aws", feature = "kafka"))]
            Reply::Stream(_) => {}
        }
    }
}
