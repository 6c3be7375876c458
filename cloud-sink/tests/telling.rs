//! One anomaly, one notification (S2), and no ack before it (S1): whatever is repeated, wherever a sink dies.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod farm;

use farm::{FARM, Place, T0, block, commit, deliveries, delivery, envelope, open_alert};
use std::collections::BTreeSet;
use windward_protocol::{AlertPhase, Lane, Record, SeqRange};
use windward_sink::decode::{Delivery, Known};
use windward_sink::io::store::{Claim, Store};
use windward_sink::notify::{CLAIM_MS, Next, Notice, Policy, Step, StepResult, Target, next};
use windward_sink::place::Seen;
use windward_sink::sink;

const BOTH: Policy = Policy { sns: true, webhook: true, clear: false };

/// People who are told: they take a message once for each target and deduplication id, as a FIFO topic does.
#[derive(Default)]
struct People {
    /// Every message that was sent.
    sent: usize,
    told: BTreeSet<(Target, String)>,
    /// The next so many messages fail.
    failing: usize,
}

/// A sink that dies after so many steps.
struct Life {
    steps_left: usize,
}

struct Died;

impl Life {
    fn step(&mut self) -> Result<(), Died> {
        self.steps_left = self.steps_left.checked_sub(1).ok_or(Died)?;
        Ok(())
    }

    /// Handles deliveries from the start, and says whether all were acked.
    async fn handle(
        &mut self,
        store: &Store,
        people: &mut People,
        deliveries: &[Delivery],
        now_ms: i64,
    ) -> Result<bool, Died> {
        self.step()?;
        let (plan, _) = commit(store, BOTH, deliveries, now_ms).await;
        let mut all = true;
        for (_, notices) in plan.deliveries.iter().flat_map(|remaining| &remaining.to_tell) {
            for notice in notices {
                all &= self.tell(store, people, notice, now_ms).await?;
            }
        }
        Ok(all)
    }

    async fn tell(&mut self, store: &Store, people: &mut People, notice: &Notice, now_ms: i64) -> Result<bool, Died> {
        let mut step = Step::Claim;
        loop {
            self.step()?;
            let result = match step {
                Step::Claim => match store.claim(notice, now_ms, now_ms + CLAIM_MS).await.unwrap() {
                    Claim::Ours => StepResult::Done,
                    Claim::ToldBefore => StepResult::ToldBefore,
                    Claim::Held => StepResult::Held,
                },
                Step::Publish if people.failing > 0 => {
                    people.failing -= 1;
                    StepResult::Failed
                }
                Step::Publish => {
                    people.sent += 1;
                    people.told.insert((notice.target, notice.message.dedup_id.clone()));
                    StepResult::Done
                }
                Step::Mark => {
                    store.mark(notice, now_ms).await.unwrap();
                    StepResult::Done
                }
                Step::Release => {
                    store.release(notice).await.unwrap();
                    StepResult::Done
                }
            };
            match next(step, result) {
                Next::Do(following) => step = following,
                Next::Told => return Ok(true),
                Next::Later => return Ok(false),
            }
        }
    }
}

async fn a_crash_between_any_two_steps_gives_one_notification(place: Place) {
    // Commit, then claim, publish and mark for each of two targets.
    for steps_left in 0..=7 {
        let id = steps_left as u64;
        let delivery = [open_alert(id, 1 + id)];
        let mut people = People::default();
        let first = Life { steps_left }.handle(&place.store, &mut people, &delivery, T0).await;
        assert_eq!(first.is_err(), steps_left < 7, "seven steps");
        // Unacked, the delivery comes again: at once, while a claim may still stand, and after claims have ended.
        let mut acked = false;
        for now_ms in [T0 + 1, T0 + CLAIM_MS + 1, T0 + CLAIM_MS + 2] {
            let mut second = Life { steps_left: usize::MAX };
            acked = second.handle(&place.store, &mut people, &delivery, now_ms).await.unwrap_or(false);
        }
        assert!(acked);
        assert_eq!(people.told.len(), 2, "died after {steps_left} steps");
        // Only a death between publish and mark sends twice, under one deduplication id.
        let twice = usize::from(steps_left == 3 || steps_left == 6);
        assert_eq!(people.sent, 2 + twice, "died after {steps_left} steps");
    }
}

async fn a_failed_publish_is_tried_again_and_nothing_is_acked_before(place: Place) {
    let delivery = [open_alert(100, 1)];
    let mut people = People { failing: 1, ..People::default() };
    let mut life = Life { steps_left: usize::MAX };
    assert_eq!(life.handle(&place.store, &mut people, &delivery, T0).await.ok(), Some(false));
    assert_eq!(people.told.len(), 1, "one target failing holds up no other");
    let row = place.store.alerts(FARM, None, 1).await.unwrap().remove(0);
    assert_eq!(row.notified_ms, Some(T0));
    // The claim was given back: no waiting for its end.
    assert_eq!(life.handle(&place.store, &mut people, &delivery, T0 + 1).await.ok(), Some(true));
    assert_eq!((people.sent, people.told.len()), (2, 2));
}

#[tokio::test]
async fn sqlite_crash_between_any_two_steps_gives_one_notification() {
    a_crash_between_any_two_steps_gives_one_notification(Place::sqlite().await).await;
}

#[tokio::test]
async fn sqlite_failed_publish_is_tried_again() {
    a_failed_publish_is_tried_again_and_nothing_is_acked_before(Place::sqlite().await).await;
}

#[tokio::test]
async fn dynamodb_crash_between_any_two_steps_or_skipped_without_endpoint() {
    if let Some(place) = Place::dynamodb("crash").await {
        a_crash_between_any_two_steps_gives_one_notification(place).await;
    }
}

#[tokio::test]
async fn dynamodb_failed_publish_or_skipped_without_endpoint() {
    if let Some(place) = Place::dynamodb("failed").await {
        a_failed_publish_is_tried_again_and_nothing_is_acked_before(place).await;
    }
}

#[test]
fn readings_are_acked_by_the_commit_and_alerts_only_once_told() {
    let plan = sink::plan(FARM, BOTH, sink::open(&deliveries(), Known::new()), &Seen::new(), T0);
    let placed = plan.deliveries.iter().flat_map(|remaining| &remaining.placed);
    let acks = sink::acks(placed);
    let range = |first, last| SeqRange { first, last };
    let of = |lane| acks.iter().find(|(_, ack)| ack.lane == lane).unwrap().1.ranges.clone();
    assert_eq!(of(Lane::Readings), [range(1, 2), range(6, 6), range(1024, 1024)]);
    // Sequence 2 opens an alert.
    assert_eq!(of(Lane::Alerts), [range(1, 1), range(3, 6)]);
    let to_tell: Vec<_> = plan.deliveries.iter().flat_map(|remaining| &remaining.to_tell).collect();
    assert_eq!(to_tell.len(), 1);
    assert_eq!((to_tell[0].0.3, to_tell[0].1[0].phase), (2, AlertPhase::Open));
}

#[test]
fn what_no_table_can_hold_is_kept_as_poison_and_acked() {
    let Record::Block(mut refused) = block(T0, 80) else { unreachable!("a block is a block") };
    refused.device = "x".repeat(300);
    let envelopes = [envelope(Lane::Readings, 1, Record::Block(refused)), envelope(Lane::Readings, 2, block(T0, 80))];
    let plan =
        sink::plan(FARM, BOTH, sink::open(&[delivery(Lane::Readings, &envelopes)], Known::new()), &Seen::new(), T0);
    assert_eq!(plan.rows.readings.len(), 1);
    assert_eq!(plan.rows.poison[0].reason, "a device or channel name over 256 bytes");
    let acks = sink::acks(&plan.deliveries[0].placed);
    assert_eq!(acks[0].1.ranges, [SeqRange { first: 1, last: 2 }], "S3: or the agent would send it for ever");
}
