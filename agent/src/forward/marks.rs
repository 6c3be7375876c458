//! How far each uplink is, as it is kept on disk: after a restart none is sent again what it has long acked.
//!
//! The spool itself knows only what all have acked. What is kept here may be some time behind, or lost: then a little is
//! sent again, and absorbed. Kept under the name of the uplink, so that a configuration may change; one that is new
//! begins with what is on disk.

use super::journal::Found;
use super::uplink::UplinkState;
use serde::{Deserialize, Serialize};
use windward_protocol::{Epoch, Lane, Seq, SeqRange};

/// What is kept.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Table {
    epoch: Epoch,
    uplinks: Vec<Marks>,
}

/// How far one uplink is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Marks {
    name: String,
    lanes: [Mark; 2],
}

/// How far it is in one lane.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// Everything up to here is acked.
    pub(super) acked: Seq,
    /// And this beyond it.
    pub(super) done: Vec<SeqRange>,
}

/// What was kept of the uplink with this name: a mark for each lane.
pub(super) fn of(found: &Found, name: &str) -> [Mark; 2] {
    let table = postcard::from_bytes::<Table>(&found.uplinks).ok().filter(|table| table.epoch == found.epoch);
    let marks = table.and_then(|table| table.uplinks.into_iter().find(|marks| marks.name == name));
    let mut lanes = marks.unwrap_or_default().lanes;
    for (mark, lane) in lanes.iter_mut().zip([&found.alerts, &found.readings]) {
        mark.acked = mark.acked.clamp(lane.acked, lane.high_water.max(lane.acked));
    }
    lanes
}

/// What to keep; nothing when the spool's own watermarks say it all.
pub(super) fn encode(epoch: Epoch, uplinks: &[UplinkState], freed: [Seq; 2]) -> Vec<u8> {
    let marks = |uplink: &UplinkState| {
        let lanes = Lane::DURABLE.map(|lane| {
            let lane = uplink.lane(lane);
            Mark { acked: lane.acked(), done: lane.done_beyond().collect() }
        });
        Marks { name: uplink.settings.name.clone(), lanes }
    };
    let uplinks: Vec<Marks> = uplinks.iter().map(marks).collect();
    let known = freed.map(|acked| Mark { acked, done: Vec::new() });
    if uplinks.iter().all(|marks| marks.lanes == known) {
        return Vec::new();
    }
    #[allow(clippy::unwrap_used, reason = "a Vec grows and the types are sized, so postcard cannot fail")]
    postcard::to_allocvec(&Table { epoch, uplinks }).unwrap()
}
