//! Whether the beacon is to be on: while an alert that is bad enough is open. Pure.

use std::collections::BTreeSet;
use windward_protocol::{Alert, AlertPhase, Severity};

/// Most alerts that are followed. Beyond them the beacon stays on until these have cleared, which is what a crew expects
/// of so many.
const MAX_OPEN: usize = 4_096;

/// Which alerts keep the beacon on.
#[derive(Clone, Debug)]
pub struct Beacon {
    severity: Severity,
    open: BTreeSet<u64>,
}

impl Beacon {
    /// A beacon for alerts of `severity` and worse.
    pub fn new(severity: Severity) -> Self {
        Self { severity, open: BTreeSet::new() }
    }

    /// Takes a step of an alert; says whether the beacon is to be on. An alert that grows worse turns it on; one that
    /// has turned it on keeps it on until it clears.
    pub fn handle(&mut self, alert: &Alert) -> bool {
        match alert.phase {
            AlertPhase::Clear => {
                self.open.remove(&alert.id);
            }
            AlertPhase::Open | AlertPhase::Update => {
                if alert.severity >= self.severity && self.open.len() < MAX_OPEN {
                    self.open.insert(alert.id);
                }
            }
        }
        !self.open.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use windward_protocol::AlertKind;

    fn step(id: u64, phase: AlertPhase, severity: Severity) -> Alert {
        Alert {
            id,
            phase,
            kind: AlertKind::Anomaly,
            severity,
            location: String::new(),
            device: String::new(),
            channel: String::new(),
            opened_ms: 0,
            at_ms: 0,
            synced: true,
            value: None,
            unit: String::new(),
            wind_speed: None,
            score: None,
            threshold: None,
            evidence: String::new(),
        }
    }

    #[test]
    fn it_is_on_while_an_alert_that_is_bad_enough_is_open() {
        use AlertPhase::{Clear, Open, Update};
        use Severity::{Critical, Info, Warning};
        let mut beacon = Beacon::new(Warning);
        for (id, phase, severity, on) in [
            (1, Open, Info, false),
            (2, Open, Warning, true),
            (3, Open, Critical, true),
            (2, Clear, Warning, true),
            (3, Clear, Critical, false),
            (3, Clear, Critical, false),
            (1, Update, Warning, true),
            (1, Update, Info, true),
            (1, Clear, Info, false),
        ] {
            assert_eq!(beacon.handle(&step(id, phase, severity)), on, "{id} {phase:?} {severity:?}");
        }
    }
}
