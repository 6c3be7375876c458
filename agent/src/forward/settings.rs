//! What FORWARD is told once, when it starts.

use crate::command::Accept;
use windward_protocol::{AgentId, DeviceManifest};

/// Most uplinks of one agent.
pub const MAX_UPLINKS: usize = 4;

/// What FORWARD has to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This agent.
    pub agent: AgentId,
    /// Its farm.
    pub farm: String,
    /// Version of the program.
    pub version: String,
    /// How long a row may wait for its commit, ms.
    pub commit_every_ms: u64,
    /// Most bytes of readings on disk; beyond, the oldest go (A4).
    pub max_bytes: u64,
    /// How long readings may wait on disk; older ones go, and a gap record says so. `None`: as long as there is room.
    pub max_age_ms: Option<u64>,
    /// Where everything is sent: one to [`MAX_UPLINKS`], of which at least one frees. Inputs and outputs name them by
    /// their index.
    pub uplinks: Vec<Uplink>,
    /// The devices, in the order of their indices.
    pub devices: Vec<DeviceManifest>,
    /// Whose commands are taken; `None`: nobody's.
    pub accept: Option<Accept>,
    /// Shapes the jitter of reconnection and the numbers of FORWARD's own alerts.
    pub seed: u64,
}

/// One way out, and the manner in which it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uplink {
    /// Its name, unlike any other's: how far it is, is kept on disk under it.
    pub name: String,
    /// Whether a block stays on disk until this one has it acked. One that does not free mirrors: it is sent what is
    /// there, and misses what the others have done with before it was connected.
    pub frees: bool,
    /// What counts as delivered (A3).
    pub ack: AckBy,
    /// Whether at most one publish a lane is under way, so that one which is refused is sent again before any later.
    pub one_by_one: bool,
    /// Whether the health record goes here.
    pub state: bool,
    /// How envelopes are written.
    pub encoding: Encoding,
    /// Which readings go first.
    pub order: Order,
    /// Most bytes a second, on average over a few seconds; 0: no limit. Alerts pass before everything else and are
    /// counted all the same.
    pub max_bytes_per_s: u64,
    /// What one publish costs beside its payload, with its answer, bytes: an estimate, for the limit alone.
    pub overhead_bytes: u64,
    /// How long readings are gathered before they are published, ms; 0: not at all. Alerts never wait.
    pub publish_every_ms: u64,
}

impl Uplink {
    /// MQTT to a sink that acks: a window of publishes, oldest first, no limit.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            frees: true,
            ack: AckBy::Sink,
            one_by_one: false,
            state: true,
            encoding: Encoding::Postcard,
            order: Order::Oldest,
            max_bytes_per_s: 0,
            overhead_bytes: 0,
            publish_every_ms: 0,
        }
    }
}

/// What counts as delivered (A3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckBy {
    /// The sink says that it has committed it.
    Sink,
    /// The uplink has taken it: a broker's PUBACK, which is weaker, or a stream's success.
    Uplink,
}

/// How envelopes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Batches of envelopes, for a sink of Windward's.
    Postcard,
    /// A JSON object a line, for consumers that are not ours: readings and alerts alone.
    Json,
}

/// Which readings go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The oldest: in the order of their numbers.
    Oldest,
    /// The newest, as they are committed; what has been left behind follows in the room they leave, oldest first.
    Live,
}
