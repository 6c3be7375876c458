//! What every source hands to the committer: a delivery, and how to answer it.

use super::mqtt;
use crate::decode::Delivery;
use windward_protocol::{Ack, AgentId};

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
}

impl Reply {
    /// Tells the source that the delivery is stored.
    pub(super) async fn stored(&self) {
        match self {
            Reply::Mqtt(reply) => reply.puback().await,
        }
    }

    /// Whether agents wait for acks by this way.
    pub(super) fn reaches_agents(&self) -> bool {
        match self {
            Reply::Mqtt(_) => true,
        }
    }

    /// Tells an agent what is committed (A3).
    pub(super) async fn ack(&self, agent: &AgentId, ack: &Ack) {
        match self {
            Reply::Mqtt(reply) => reply.ack(agent, ack).await,
        }
    }
}
