//! What people are told is told once, by whichever sink, wherever one dies (S2), and is on record before the ack (S1).

use crate::farm::{FARM, Place, T0, agent, alert, block, commit, deliveries, delivery, envelope, open_alert};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Mutex;
use windward_protocol::{AlertPhase, Lane, Record, SeqRange};
use windward_sink::decode::{Delivery, Known};
use windward_sink::io::store::Store;
use windward_sink::notify::{
    CLAIM_MS, Ended, Escalate, Message, NoticeRow, Outcome, Phase, Policy, Quiet, Repeat, Rule, Step, Telling,
    notices_for,
};
use windward_sink::place::{AlertStep, Seen, alert_sort};
use windward_sink::sink;

const MINUTE_MS: i64 = 60_000;

fn policy(rules: Vec<Rule>) -> Policy {
    Policy { targets: ["boss", "crew"].map(String::from).into(), rules, ..Policy::default() }
}

fn rule() -> Rule {
    let phases = vec![Phase::Open, Phase::Update, Phase::Clear];
    Rule { phases, ..Rule::of_openings(vec!["crew".into()]) }
}

fn step(id: u64, seq: u64, phase: AlertPhase) -> Delivery {
    let record = Record::Alert(alert(id, phase, T0 + 20_000 + seq as i64));
    delivery(Lane::Alerts, &[envelope(Lane::Alerts, seq, record)])
}

/// People who are told.
#[derive(Default)]
struct People {
    /// Every message that went out: target, and what was said.
    sent: Vec<(String, Message)>,
    /// The next so many messages fail.
    failing: usize,
}

impl People {
    /// Subjects by target, in their order.
    fn heard(&self, target: &str) -> Vec<&str> {
        let of_target = self.sent.iter().filter(|(to, _)| to == target);
        of_target.map(|(_, message)| message.subject.strip_prefix("Windward: ").unwrap()).collect()
    }

    /// What a receiver that knows what it has had would keep.
    fn distinct(&self) -> BTreeSet<(&str, &str)> {
        self.sent.iter().map(|(to, message)| (to.as_str(), message.dedup_id.as_str())).collect()
    }
}

/// A notifier that dies after so many steps.
struct Life<'a> {
    store: &'a Store,
    policy: &'a Policy,
    people: &'a Mutex<People>,
    steps_left: usize,
}

struct Died;

impl Life<'_> {
    /// Goes through the steps of one notice.
    async fn tell(&mut self, row: NoticeRow, now_ms: i64) -> Result<Ended, Died> {
        let mut telling = Telling::begin(row);
        loop {
            if let Step::Over(ended) = telling.step {
                return Ok(ended);
            }
            self.steps_left = self.steps_left.checked_sub(1).ok_or(Died)?;
            let outcome = match telling.step {
                Step::Publish => self.publish(&telling.row),
                _ => self.store.perform(&telling, self.policy.at_once, now_ms).await.unwrap(),
            };
            telling.take(outcome, self.policy, now_ms);
        }
    }

    fn publish(&self, row: &NoticeRow) -> Outcome {
        let mut people = self.people.lock().unwrap();
        if people.failing > 0 {
            people.failing -= 1;
            return Outcome::Failed;
        }
        people.sent.push((row.target.clone(), row.message(None).unwrap()));
        Outcome::Done
    }

    /// Tells what the store says is due.
    async fn tell_due(&mut self, now_ms: i64) -> Result<(), Died> {
        for target in &self.policy.targets {
            for notice in self.store.due_notices(FARM, target, now_ms, 10_000).await.unwrap() {
                self.tell(notice, now_ms).await?;
            }
        }
        Ok(())
    }
}

/// A notifier that does not die looks for what is due at these times.
async fn tell_at(store: &Store, policy: &Policy, people: &Mutex<People>, times: &[i64]) {
    for &now_ms in times {
        let life = Life { store, policy, people, steps_left: usize::MAX }.tell_due(now_ms).await;
        assert!(life.is_ok());
    }
}

async fn a_crash_between_any_two_steps_gives_one_message(place: Place) {
    let policy = Policy { at_once: 100, ..policy(vec![]) };
    // Claim, look, place, publish and mark for each of two targets.
    for steps_left in 0..=10 {
        let id = steps_left as u64;
        let now_ms = T0 + id as i64 * 10 * MINUTE_MS;
        let people = Mutex::new(People::default());
        let (plan, _) = commit(&place.store, policy.clone(), &[open_alert(id, 1 + id)], now_ms).await;
        let mut first = Life { store: &place.store, policy: &policy, people: &people, steps_left };
        let mut died = false;
        for notice in plan.rows.notices {
            died |= first.tell(notice, now_ms).await.is_err();
        }
        assert_eq!(died, steps_left < 10, "ten steps");
        // Whether or not the delivery comes again: at once, while a claim may still stand, and after it has ended.
        commit(&place.store, policy.clone(), &[open_alert(id, 1 + id)], now_ms + 1).await;
        tell_at(&place.store, &policy, &people, &[now_ms + 1, now_ms + CLAIM_MS, now_ms + 2 * CLAIM_MS]).await;
        let people = people.into_inner().unwrap();
        assert_eq!(people.distinct().len(), 2, "died after {steps_left} steps");
        // Only a death between publish and mark sends twice, and the same message.
        let twice = usize::from(steps_left == 4 || steps_left == 9);
        assert_eq!(people.sent.len(), 2 + twice, "died after {steps_left} steps");
    }
}

async fn two_notifiers_at_once_tell_each_notice_once(place: Place) {
    let policy = Policy { at_once: 100, ..policy(vec![]) };
    let alerts: Vec<Delivery> = (0..20).map(|id| open_alert(id, 1 + id)).collect();
    commit(&place.store, policy.clone(), &alerts, T0).await;
    let people = Mutex::new(People::default());
    let times = [T0, T0 + 1];
    let one = || tell_at(&place.store, &policy, &people, &times);
    tokio::join!(one(), one());
    let people = people.into_inner().unwrap();
    assert_eq!((people.sent.len(), people.distinct().len()), (40, 40));
}

async fn a_failed_publish_is_tried_again_later_and_holds_up_no_other_target(place: Place) {
    let policy = policy(vec![]);
    let people = Mutex::new(People { failing: 1, ..People::default() });
    commit(&place.store, policy.clone(), &[open_alert(100, 1)], T0).await;
    let notified = async || place.store.alerts(FARM, None, 1).await.unwrap().remove(0).notified_ms;
    tell_at(&place.store, &policy, &people, &[T0, T0 + 999]).await;
    assert_eq!(people.lock().unwrap().sent.len(), 1, "the other target was told, this one has a second to recover");
    assert_eq!(notified().await, Some(T0));
    tell_at(&place.store, &policy, &people, &[T0 + 1_000, T0 + 2_000]).await;
    assert_eq!(people.lock().unwrap().distinct().len(), 2);
    assert_eq!(people.lock().unwrap().sent.len(), 2);
    assert_eq!(notified().await, Some(T0));
}

async fn a_digest_is_the_same_wherever_its_notifier_dies(place: Place) {
    // Claim, gather, seal, publish, mark, read the members, mark them.
    a_storm_is_a_few_messages_and_one_digest(place, 12, 0..=7).await;
}

#[tokio::test]
async fn sqlite_a_thousand_alerts_in_a_minute_are_five_messages_and_one_digest() {
    a_storm_is_a_few_messages_and_one_digest(Place::sqlite().await, 1_000, 7..=7).await;
}

/// A notifier dies after each of these numbers of steps with the digest; seven are all.
async fn a_storm_is_a_few_messages_and_one_digest(place: Place, alerts: u64, deaths: RangeInclusive<usize>) {
    let policy = Policy { targets: ["crew".to_string()].into(), ..Policy::default() };
    for steps_left in deaths {
        let from_ms = T0 + steps_left as i64 * 100 * MINUTE_MS;
        let ids = (0..alerts).map(|id| steps_left as u64 * 10_000 + id);
        let storm: Vec<Delivery> = ids.map(|id| open_alert(id, 1 + id)).collect();
        let people = Mutex::new(People::default());
        commit(&place.store, policy.clone(), &storm, from_ms).await;
        tell_at(&place.store, &policy, &people, &[from_ms, from_ms + MINUTE_MS - 1]).await;
        assert_eq!(people.lock().unwrap().sent.len(), 5);
        let due_ms = from_ms + MINUTE_MS + 2_000;
        let dies = Life { store: &place.store, policy: &policy, people: &people, steps_left }.tell_due(due_ms).await;
        assert_eq!(dies.is_err(), steps_left < 7, "seven steps");
        let late_ms = due_ms + CLAIM_MS + 1;
        tell_at(&place.store, &policy, &people, &[late_ms, late_ms + 2 * MINUTE_MS, late_ms + 10 * MINUTE_MS]).await;
        let people = people.into_inner().unwrap();
        assert_eq!(people.distinct().len(), 6, "died after {steps_left} steps");
        assert_eq!(people.sent.len(), 6 + usize::from(steps_left == 4), "died after {steps_left} steps");
        let digests: Vec<&Message> = people.sent[5..].iter().map(|(_, message)| message).collect();
        assert!(digests.iter().all(|digest| *digest == digests[0]), "a repeat says the same");
        let of_one_minute = format!("Windward: {} messages of one minute at {FARM} (warning)", alerts - 5);
        assert_eq!(digests[0].subject, of_one_minute);
        let left = place.store.due_notices(FARM, "crew", i64::MAX, 10).await.unwrap();
        assert_eq!(left, [], "nothing is left to tell");
        let rows = place.store.alerts(FARM, None, alerts as u32).await.unwrap();
        assert!(rows.iter().all(|row| row.notified_ms.is_some()));
    }
}

async fn what_came_and_went_at_night_is_one_message_in_the_morning(place: Place) {
    let asleep = |except| Some(Quiet::new("13:00", "15:54", "UTC", except).unwrap());
    let policy = policy(vec![Rule { quiet: asleep(None), ..rule() }]);
    let people = Mutex::new(People::default());
    let night = [step(1, 1, AlertPhase::Open), step(2, 2, AlertPhase::Open), step(1, 3, AlertPhase::Clear)];
    commit(&place.store, policy.clone(), &night, T0).await;
    let morning_ms = T0 + 2 * 60 * MINUTE_MS;
    tell_at(&place.store, &policy, &people, &[T0, morning_ms - 1]).await;
    assert_eq!(people.lock().unwrap().sent.len(), 0);
    tell_at(&place.store, &policy, &people, &[morning_ms, morning_ms + CLAIM_MS, morning_ms + 2 * CLAIM_MS]).await;
    let heard = people.lock().unwrap().heard("crew").join("; ");
    let place_name = "anomaly at Turbine 1, nacelle (warning)";
    assert_eq!(heard, format!("came and went: {place_name}; {place_name}"));
    // The other lasts into the day, and its end is told.
    commit(&place.store, policy.clone(), &[step(2, 4, AlertPhase::Clear)], morning_ms + 5).await;
    tell_at(&place.store, &policy, &people, &[morning_ms + 5]).await;
    assert_eq!(people.lock().unwrap().heard("crew")[2], "ended: anomaly at Turbine 1, nacelle (info)");
}

async fn an_update_is_told_when_it_is_worse_and_the_end_to_those_who_were_told(place: Place) {
    let severe = Rule { to: vec!["boss".into()], from_severity: windward_protocol::Severity::Critical, ..rule() };
    let policy = policy(vec![rule(), severe]);
    let people = Mutex::new(People::default());
    // Opened as a warning, grown critical, critical once more; another one that stays a warning.
    for (seq, (id, phase)) in
        (1..).zip([(1, AlertPhase::Open), (2, AlertPhase::Open), (1, AlertPhase::Update), (1, AlertPhase::Update)])
    {
        commit(&place.store, policy.clone(), &[step(id, seq, phase)], T0 + seq as i64).await;
        tell_at(&place.store, &policy, &people, &[T0 + seq as i64]).await;
    }
    let ends = [step(1, 8, AlertPhase::Clear), step(2, 9, AlertPhase::Clear)];
    commit(&place.store, policy.clone(), &ends, T0 + 9).await;
    tell_at(&place.store, &policy, &people, &[T0 + 9, T0 + CLAIM_MS + 9]).await;
    let at = "anomaly at Turbine 1, nacelle";
    let (warned, worse) = (format!("{at} (warning)"), format!("worse: {at} (critical)"));
    let ended = format!("ended: {at} (info)");
    let people = people.into_inner().unwrap();
    assert_eq!(people.heard("crew"), [&warned, &warned, &worse, &ended, &ended]);
    assert_eq!(people.heard("boss"), [&worse, &ended]);
}

async fn repeats_and_escalation_end_when_somebody_acknowledges(place: Place) {
    let rule = Rule {
        repeat: Some(Repeat { every_ms: 10 * MINUTE_MS, times: 3 }),
        escalate: Some(Escalate { after_ms: 15 * MINUTE_MS, to: vec!["boss".into()] }),
        ..rule()
    };
    let policy = policy(vec![rule]);
    let people = Mutex::new(People::default());
    // The first is acknowledged after the first repeat, the second by nobody.
    let both = [step(1, 1, AlertPhase::Open), step(2, 2, AlertPhase::Open)];
    commit(&place.store, policy.clone(), &both, T0).await;
    tell_at(&place.store, &policy, &people, &[T0, T0 + 10 * MINUTE_MS]).await;
    let sort = alert_sort(&agent(), &alert(1, AlertPhase::Open, T0));
    let acknowledge =
        async |sort, by, now_ms| place.store.acknowledge(FARM, sort, by, "on my way", now_ms).await.unwrap();
    assert_eq!(acknowledge(&sort, "Ada", T0 + 5).await.unwrap().by, "Ada");
    assert_eq!(acknowledge(&sort, "Ben", T0 + 6).await.unwrap().by, "Ada", "the first to say so stays");
    assert_eq!(acknowledge("no such alert", "Ben", T0 + 6).await, None);
    let rows = place.store.alerts(FARM, None, 2).await.unwrap();
    let seen = rows.iter().map(|row| row.acknowledged.as_ref().map(|seen| (seen.at_ms, seen.note.as_str())));
    assert_eq!(seen.collect::<Vec<_>>(), [None, Some((T0 + 5, "on my way"))]);
    // A step that comes later keeps it.
    commit(&place.store, policy.clone(), &[step(1, 3, AlertPhase::Update)], T0 + 7).await;
    assert!(place.store.alerts(FARM, None, 2).await.unwrap()[1].acknowledged.is_some());

    let times: Vec<i64> = (11..100).map(|minute| T0 + minute * MINUTE_MS).collect();
    tell_at(&place.store, &policy, &people, &times).await;
    let people = people.into_inner().unwrap();
    let mut counts: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    for (target, message) in &people.sent {
        let of = &message.attributes[4].1;
        *counts.entry((target.as_str(), of.as_str())).or_default() += 1;
    }
    let expected = [(("boss", "escalate"), 1), (("crew", "open"), 2), (("crew", "repeat"), 4), (("crew", "update"), 1)];
    assert_eq!(counts, expected.into());
}

async fn alerts_of_the_sinks_own_are_committed_and_told_like_any(place: Place) {
    let policy = policy(vec![]);
    let people = Mutex::new(People::default());
    let alert = alert(7, AlertPhase::Open, T0);
    let notices = notices_for(FARM, &policy, &agent(), &alert, T0);
    let step =
        AlertStep { farm: FARM.into(), sort: alert_sort(&agent(), &alert), agent: agent(), said: "1#a".into(), alert };
    for _ in 0..2 {
        place.store.commit_alerts(vec![step.clone()], notices.clone()).await.unwrap();
        tell_at(&place.store, &policy, &people, &[T0]).await;
    }
    assert_eq!(people.lock().unwrap().sent.len(), 2, "one for each target");
    assert_eq!(place.store.alerts(FARM, None, 9).await.unwrap().len(), 1);
}

on_both_stores! {
    a_crash_between_any_two_steps_gives_one_message
    two_notifiers_at_once_tell_each_notice_once
    a_failed_publish_is_tried_again_later_and_holds_up_no_other_target
    a_digest_is_the_same_wherever_its_notifier_dies
    what_came_and_went_at_night_is_one_message_in_the_morning
    an_update_is_told_when_it_is_worse_and_the_end_to_those_who_were_told
    repeats_and_escalation_end_when_somebody_acknowledges
    alerts_of_the_sinks_own_are_committed_and_told_like_any
}

#[test]
fn everything_is_acked_by_the_commit_that_holds_whom_to_tell() {
    let plan = sink::plan(FARM, &policy(vec![]), sink::open(&deliveries(), Known::new()), &Seen::new(), T0);
    let placed = plan.deliveries.iter().flat_map(|remaining| &remaining.placed);
    let acks = sink::acks(placed);
    let range = |first, last| SeqRange { first, last };
    let of = |lane| acks.iter().find(|(_, ack)| ack.lane == lane).unwrap().1.ranges.clone();
    assert_eq!(of(Lane::Readings), [range(1, 2), range(6, 6), range(1024, 1024)]);
    assert_eq!(of(Lane::Alerts), [range(1, 6)]);
    let told: Vec<_> = plan.rows.notices.iter().map(|row| (row.target.as_str(), row.phase)).collect();
    assert_eq!(told, [("boss", Phase::Open), ("crew", Phase::Open)]);
}

#[test]
fn what_no_table_can_hold_is_kept_as_poison_and_acked() {
    let Record::Block(mut refused) = block(T0, 80) else { unreachable!("a block is a block") };
    refused.device = "x".repeat(300);
    let envelopes = [envelope(Lane::Readings, 1, Record::Block(refused)), envelope(Lane::Readings, 2, block(T0, 80))];
    let plan = sink::plan(
        FARM,
        &policy(vec![]),
        sink::open(&[delivery(Lane::Readings, &envelopes)], Known::new()),
        &Seen::new(),
        T0,
    );
    assert_eq!(plan.rows.readings.len(), 1);
    assert_eq!(plan.rows.poison[0].reason, "a device or channel name over 256 bytes");
    let acks = sink::acks(&plan.deliveries[0].placed);
    assert_eq!(acks[0].1.ranges, [SeqRange { first: 1, last: 2 }], "S3: or the agent would send it for ever");
}
