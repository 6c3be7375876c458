//! The bytes of an alert of a person's own limit in version 1: the next file like `v01.rs`, and never edited either.
#![allow(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

use windward_protocol::{AgentId, Alert, AlertKind, AlertPhase, Envelope, Lane, Record, Severity};

#[test]
fn a_limit_is_the_kind_after_those_of_the_sink() {
    let alert = Alert {
        id: 77,
        phase: AlertPhase::Open,
        kind: AlertKind::Limit,
        severity: Severity::Critical,
        location: "R1".into(),
        device: "rack".into(),
        channel: "cell".into(),
        opened_ms: 1_000,
        at_ms: 1_000,
        synced: true,
        value: Some(46.5),
        unit: "C".into(),
        wind_speed: None,
        score: None,
        threshold: Some(45.0),
        evidence: "x".into(),
    };
    let agent = AgentId::new("t1").unwrap();
    let envelope = Envelope { agent, epoch: 1, lane: Lane::Alerts, seq: 4, record: Record::Alert(alert) };
    let bytes = envelope.encode().unwrap();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(
        hex,
        "01027431010004014d001402025231047261636b0463656c6cd00fd00f01010000000000404740014300000100000000008046400178604bd1e9"
    );
    assert_eq!(Envelope::decode(&bytes), Ok(envelope));
}
