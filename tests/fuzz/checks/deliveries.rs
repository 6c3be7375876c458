//! What must hold of whatever a source delivers to a sink. The bytes are taken as a payload, and once more as bodies of
//! envelopes of one agent, each behind its length.

#[allow(clippy::duplicate_mod, reason = "each check stands by itself, in a fuzz target and among the tests")]
#[path = "seal.rs"]
mod seal;

use seal::sealed;
use windward_protocol::batch::BatchBuilder;
use windward_protocol::{Ack, Iso8601};
use windward_sink::archive::{DeviceHour, hour_of};
use windward_sink::decode::{Delivery, Known, Origin};
use windward_sink::notify::Policy;
use windward_sink::place::{AgentChange, GapRow, Seen, ledger_rows};
use windward_sink::{labs, query, sink};

const NOW_MS: i64 = 1_750_000_000_000;

/// Panics when something does not hold.
pub(crate) fn check(bytes: &[u8]) {
    let (stream, key) = ("s".into(), "t1".into());
    check_delivery(Delivery { from: Origin::Record { stream, key }, payload: bytes.to_vec() });
    let Some((lane, rest)) = bytes.split_first() else { return };
    let lane = ["readings", "alerts", "state"][usize::from(lane % 3)];
    let from = Origin::Topic(format!("windward/v1/t1/{lane}"));
    check_delivery(Delivery { from, payload: batch(rest) });
}

/// Envelopes of agent `t1` with these bodies.
fn batch(mut bytes: &[u8]) -> Vec<u8> {
    let mut batch = BatchBuilder::new();
    while let Some((len, rest)) = bytes.split_first() {
        let (body, rest) = rest.split_at(rest.len().min(usize::from(*len) * 4));
        batch.push(&sealed(&[&[1, 2, b't', b'1'], body].concat()));
        bytes = rest;
    }
    batch.finish()
}

/// Nothing of an agent ends up under another's name; what came is the same when it comes again; and all of it can be
/// asked for, archived and told.
fn check_delivery(delivery: Delivery) {
    let delivery = [delivery];
    let opened = sink::open(&delivery, Known::new());
    let sequences = opened.sequences();
    let plan = sink::plan("f", &Policy::default(), opened.clone(), &Seen::new(), NOW_MS);
    assert_eq!(plan, sink::plan("f", &Policy::default(), opened.clone(), &Seen::new(), NOW_MS));
    let rows = &plan.rows;
    assert!(rows.readings.iter().all(|row| row.partition.starts_with("t1/")));
    assert!(rows.stats.iter().all(|row| row.partition.starts_with("t1/")));
    assert!(rows.alerts.iter().all(|row| row.agent.as_str() == "t1"));
    assert!(rows.schemas.iter().all(|schema| schema.agent.as_str() == "t1"));
    assert!(rows.gaps.iter().all(|row| row.partition.starts_with("t1#")));
    assert!(rows.agents.iter().all(|change| match change {
        AgentChange::Hello { agent, .. } | AgentChange::Health { agent, .. } | AgentChange::Heard { agent, .. } => {
            agent.as_str() == "t1"
        }
    }));
    for (agent, ack) in sink::acks(plan.deliveries.iter().flat_map(|remaining| &remaining.placed)) {
        assert!(agent.as_str() == "t1" && Ack::decode(&ack.encode()) == Ok(ack));
    }
    let again = sink::plan("f", &Policy::default(), opened.clone(), &sequences, NOW_MS);
    assert!(again.rows.readings.is_empty() && again.rows.alerts.is_empty() && again.rows.notices.is_empty());
    check_answers(&plan, &rows.gaps);
    let envelopes: Vec<_> = opened.unseen(&Seen::new()).into_iter().map(|(_, envelope)| envelope).collect();
    let told = labs::told(envelopes.iter().copied(), &labs::Locations::default(), None);
    assert!(told.scored.iter().all(|scored| scored.speed.is_finite()));
}

fn check_answers(plan: &sink::Plan, gaps: &[GapRow]) {
    let ledger: Vec<_> = ledger_rows(&plan.rows.ledger).into_iter().map(|(_, row)| row).collect();
    for whole in [true, false] {
        query::gaps(&ledger, whole, gaps);
    }
    for row in &plan.rows.readings {
        let answer = query::readings(std::slice::from_ref(&row.block), i64::MIN, i64::MAX);
        assert!(!answer.rows.is_empty(), "a row that cannot be read: {row:?}");
        let mut hour = DeviceHour::default();
        hour.add(&row.block, hour_of(row.first_ms), |_| true);
        assert_eq!(hour.unreadable(), 0);
        assert!(hour.readings().all(|reading| reading.value.is_none_or(f64::is_finite)));
        assert!(Iso8601(row.first_ms).to_string().is_ascii());
    }
    plan.rows.stats.iter().for_each(|row| drop(query::stats(row)));
    plan.rows.poison.iter().for_each(|row| drop(query::poison(row)));
}
