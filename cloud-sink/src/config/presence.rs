//! What the sink looks for itself: silent agents, and turbines that depart from their neighbours.

use serde::Deserialize;

/// Presence: who is silent, whose clock is off, whose spool fills, what is missing.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Presence {
    /// Whether it is looked after at all.
    pub enabled: bool,
    /// Time between two looks, s: 1 to 60.
    pub every_s: u32,
    /// An agent is silent when nothing came from it for so long, s.
    pub silent_after_s: u32,
    /// It is silent so long after its last will, s, if nothing came from it since.
    pub will_after_s: u32,
    /// An alert ends when its cause has been away for so long, s.
    pub settle_s: u32,
    /// A device is silent when its agent has said so for so long, s.
    pub device_after_s: u32,
    /// A clock is off when it differs from the sink's by more, s.
    pub clock_limit_s: u32,
    /// A spool fills when more envelopes wait in it.
    pub spool_waiting: u64,
    /// A spool fills when it has grown for so long, min.
    pub spool_growing_min: u32,
    /// A sequence is missing when it was not seen so long after a later one, s.
    pub gap_after_s: u32,
    /// Agents of which nothing is expected: in store, under repair.
    pub absent: Vec<String>,
}

impl Default for Presence {
    fn default() -> Self {
        Self {
            enabled: true,
            every_s: 10,
            silent_after_s: 120,
            will_after_s: 60,
            settle_s: 300,
            device_after_s: 600,
            clock_limit_s: 10,
            spool_waiting: 100_000,
            spool_growing_min: 30,
            gap_after_s: 600,
            absent: Vec::new(),
        }
    }
}

/// The comparison of neighbours.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fleet {
    /// Whether turbines are compared at all.
    pub enabled: bool,
    /// Below this mean wind speed of the farm nothing is compared, m/s.
    pub cut_in_mps: f64,
}

impl Default for Fleet {
    fn default() -> Self {
        Self { enabled: true, cut_in_mps: 4.0 }
    }
}

pub(super) fn check(presence: &Presence, fleet: &Fleet) -> Result<(), (&'static str, String)> {
    let refuse = |key, reason: &str| Err((key, reason.to_string()));
    if !(1..=60).contains(&presence.every_s) {
        return refuse("presence.every_s", "must be 1 to 60");
    }
    for (key, value) in [
        ("presence.silent_after_s", presence.silent_after_s),
        ("presence.will_after_s", presence.will_after_s),
        ("presence.settle_s", presence.settle_s),
        ("presence.device_after_s", presence.device_after_s),
        ("presence.clock_limit_s", presence.clock_limit_s),
        ("presence.spool_growing_min", presence.spool_growing_min),
        ("presence.gap_after_s", presence.gap_after_s),
    ] {
        if !(1..=604_800).contains(&value) {
            return refuse(key, "must be 1 to 604800");
        }
    }
    if presence.silent_after_s < 90 {
        // An agent says how it is every 30 s; less than three of these is a hiccup.
        return refuse("presence.silent_after_s", "must be at least 90: agents say how they are every 30 s");
    }
    if !(0.0..=30.0).contains(&fleet.cut_in_mps) {
        return refuse("fleet.cut_in_mps", "must be 0 to 30");
    }
    Ok(())
}
