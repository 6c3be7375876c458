//! What must be so, whatever FORWARD does.

use super::peer::Peer;
use super::{EPOCH, World};
use crate::clock::{ERROR_MS, FIRST_MS};
use std::collections::BTreeSet;
use windward_protocol::{AlertKind, Block, Envelope, GapReason, Lane, Record, Row, Seq, Value};

impl World {
    pub(super) fn is_gap(&self, lane: Lane, seq: Seq) -> bool {
        let names = |envelope: &Envelope| match &envelope.record {
            Record::Gap(gap) => gap.lane == lane && (gap.from..=gap.to).contains(&seq),
            _ => false,
        };
        let durable = self.journal_envelopes(Lane::Alerts);
        self.peers.iter().any(|peer| peer.stored.values().any(names)) || durable.iter().any(names)
    }

    /// What says that its clock was set has its true time, and nothing says 1970.
    pub(super) fn check_times(&self, envelope: &Envelope) {
        let times = match &envelope.record {
            Record::Block(block) => {
                for (number, time_ms) in rows(block).into_iter().filter(|_| block.synced) {
                    let off = time_ms - self.taken_ms[&number];
                    // The clock's error when the row was taken, and that when the shift was fixed.
                    assert!(off.abs() <= 2 * ERROR_MS, "row {number} is {off} ms off and says that it is right");
                }
                block.times()
            }
            Record::Alert(alert) => vec![alert.opened_ms, alert.at_ms],
            Record::Hello(hello) => vec![hello.at_ms],
            Record::Health(health) => vec![health.at_ms],
            _ => vec![],
        };
        assert!(times.iter().all(|time| *time >= FIRST_MS), "{times:?} before 2024");
    }

    pub(super) fn journal_envelopes(&self, lane: Lane) -> Vec<Envelope> {
        let found = self.journal.found(EPOCH);
        let present = if lane == Lane::Alerts { found.alerts.present } else { found.readings.present };
        let seqs = present.ranges().flat_map(|range| range.first..=range.last);
        seqs.filter_map(|seq| Envelope::decode(self.journal.value(lane, seq)?).ok()).collect()
    }

    pub(super) fn note_durable(&mut self, envelopes: Vec<Envelope>) {
        for envelope in envelopes {
            match envelope.record {
                Record::Block(block) => {
                    self.durable.extend(rows(&block).into_iter().map(|(number, _)| number));
                }
                Record::Alert(alert) if alert.kind != AlertKind::Spool => {
                    self.alerts_durable.insert(alert.id);
                }
                Record::Stats(stats) => {
                    self.stats_durable.insert(stats.n);
                }
                _ => {}
            }
        }
    }

    pub(crate) fn check(&self) {
        self.peers.iter().filter(|peer| peer.must_have_all()).for_each(|peer| self.check_peer(peer));
    }

    fn check_peer(&self, peer: &Peer) {
        let always_set_in_time = self.clock.is_kind && self.is_steady;
        let mut stored = BTreeSet::new();
        let (mut alerts, mut all_stats) = (BTreeSet::new(), BTreeSet::new());
        for envelope in peer.stored.values() {
            match &envelope.record {
                Record::Block(block) => {
                    for (number, _) in rows(block) {
                        assert!(stored.insert(number), "row {number} stored twice");
                    }
                    assert!(block.synced || !always_set_in_time, "the clock was set in time, and nobody waited for it");
                }
                Record::Alert(alert) if alert.kind != AlertKind::Spool => {
                    assert!(alerts.insert(alert.id), "alert {} stored under two numbers", alert.id);
                }
                Record::Stats(stats) => {
                    assert!(all_stats.insert(stats.n), "statistics {} stored under two numbers", stats.n);
                }
                Record::Gap(gap) => assert_eq!(gap.reason, GapReason::PowerCut, "nothing else loses here"),
                _ => {}
            }
        }
        let missing: Vec<_> = self.kept.difference(&stored).collect();
        assert!(missing.is_empty(), "kept and not stored: {missing:?}");
        let missing: Vec<_> = self.stats_kept.difference(&all_stats).collect();
        assert!(missing.is_empty(), "statistics kept and not stored: {missing:?}");
        let missing: Vec<_> = self.alerts_durable.difference(&alerts).collect();
        assert!(missing.is_empty(), "durable alerts not stored: {missing:?}");
    }
}

/// The number of each row in a block, and its time.
fn rows(block: &Block) -> Vec<(i64, i64)> {
    let number = |row: &Row| match row.readings[1] {
        Ok(Value::Int { mantissa, .. }) => mantissa,
        other => panic!("{other:?} is no number of a row"),
    };
    block.rows().iter().map(|row| (number(row), row.time_ms)).collect()
}
