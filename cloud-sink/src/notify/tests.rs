use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;
use windward_protocol::AlertKind;

const HOUR_MS: i64 = 3_600_000;
/// 2026-11-20T13:54:00Z.
const T0: i64 = 1_795_182_840_000;

fn agent() -> AgentId {
    AgentId::new("t1").unwrap()
}

fn alert(phase: AlertPhase, severity: Severity, location: &str) -> Alert {
    Alert {
        id: 0x2a,
        phase,
        kind: AlertKind::Anomaly,
        severity,
        location: location.into(),
        device: "anemometer".into(),
        channel: "wind_speed".into(),
        opened_ms: T0,
        at_ms: T0 + 500,
        synced: true,
        value: Some(31.2),
        unit: "m/s".into(),
        wind_speed: Some(31.2),
        score: Some(4.125),
        threshold: Some(3.0),
        evidence: "Rose by 20 m/s within 1 s.".into(),
    }
}

fn policy(rules: Vec<Rule>) -> Policy {
    let targets = ["boss", "crew"].map(String::from).into();
    Policy { targets, rules, ..Policy::default() }
}

fn rule() -> Rule {
    let phases = vec![Phase::Open, Phase::Update, Phase::Clear];
    Rule { phases, ..Rule::of_openings(vec!["crew".into()]) }
}

fn notices(policy: &Policy, phase: AlertPhase, severity: Severity, now_ms: i64) -> Vec<NoticeRow> {
    notices_for("north-ridge", policy, &agent(), &alert(phase, severity, "Turbine 1, nacelle"), now_ms)
}

fn one(policy: &Policy, phase: AlertPhase, severity: Severity) -> NoticeRow {
    notices(policy, phase, severity, T0).remove(0)
}

fn marks(notices: &[NoticeRow]) -> Vec<(&str, i64)> {
    let mark = |notice: &'_ NoticeRow| notice.sort.find(&format!("{:016x}#", 0x2a)).unwrap() + 17;
    notices.iter().map(|notice| (&notice.sort[mark(notice)..], notice.due_ms - T0)).collect()
}

/// What is done with a notice of ours that was just claimed, when its alert stands so.
fn after_look(row: &NoticeRow, look: Look) -> Step {
    let mut telling = Telling { row: row.clone(), step: Step::Look };
    telling.take(Outcome::Looked(look), &policy(vec![rule()]), T0);
    telling.step
}

fn saying(row: &NoticeRow, said: Said) -> NoticeRow {
    NoticeRow { said: Some(said), ..row.clone() }
}

#[test]
fn the_message_names_what_the_crew_must_know() {
    let page = Some("https://farm.example/");
    let row = one(&policy(vec![]), AlertPhase::Open, Severity::Critical);
    let message = row.message(page).unwrap();
    assert_eq!(message.subject, "Windward: anomaly at Turbine 1, nacelle (critical)");
    assert_eq!(
        message.body,
        "Anomaly at Turbine 1, nacelle: critical.\nRose by 20 m/s within 1 s.\n\nThe reading does what this turbine \
         never did before. Compare it with the neighbours' wind first: if theirs moved too it is weather; if not, look \
         at the sensor, then at the turbine.\n\nFarm: north-ridge\nLocation: Turbine 1, nacelle\nAgent: t1\n\
         Device: anemometer\nChannel: wind_speed\nOpened: 2026-11-20T13:54:00.000Z\nValue: 31.20 m/s\n\
         Wind speed: 31.20 m/s\nAnomaly score: 4.12\nThreshold: 3.00\nAlert: 000000000000002a\n\
         Page: https://farm.example/\n"
    );
    assert_eq!(message.dedup_id, "t1-000000000000002a-open");
    let names: Vec<&str> = message.attributes.iter().map(|(_, value)| value.as_str()).collect();
    assert_eq!(names, ["north-ridge", "t1", "anomaly", "critical", "open"]);
}

#[test]
fn every_phase_has_its_own_words_and_its_own_name() {
    let policy = policy(vec![Rule { escalate: escalate(30), repeat: repeat(60, 2), ..rule() }]);
    let mut opened = notices(&policy, AlertPhase::Open, Severity::Warning, T0);
    let (open, escalated) = (opened.remove(1), opened.remove(0));
    let repeated = policy.follow(&open, T0).unwrap();
    let update = one(&policy, AlertPhase::Update, Severity::Critical);
    let clear = notices(&policy, AlertPhase::Clear, Severity::Info, T0).remove(1);
    let gone = saying(&open, Said::Gone);
    let mut names = BTreeSet::new();
    for (row, subject, dedup_id) in [
        (&open, "Windward: anomaly at", "t1-000000000000002a-open"),
        (&repeated, "Windward: still open: anomaly at", "t1-000000000000002a-repeat-0001"),
        (&escalated, "Windward: nobody answers: anomaly at", "t1-000000000000002a-escalate"),
        (&update, "Windward: worse: anomaly at", "t1-000000000000002a-update-critical"),
        (&clear, "Windward: ended: anomaly at", "t1-000000000000002a-clear"),
        (&gone, "Windward: came and went: anomaly at", "t1-000000000000002a-open"),
    ] {
        let message = row.message(None).unwrap();
        assert!(message.subject.starts_with(subject), "{}", message.subject);
        assert_eq!(message.dedup_id, dedup_id);
        names.insert(message.dedup_id);
        assert!(message.subject.len() <= 100);
    }
    assert_eq!(names.len(), 5, "only what came and went is the opening in other words");
}

#[test]
fn a_subject_is_what_sns_takes() {
    for location in ["Höhe 7", "two\nlines", &"far ".repeat(60), ""] {
        for phase in [AlertPhase::Open, AlertPhase::Update, AlertPhase::Clear] {
            let alert = alert(phase, Severity::Critical, location);
            for notice in notices_for("f", &policy(vec![rule()]), &agent(), &alert, T0) {
                let subject = notice.message(None).unwrap().subject;
                assert!(subject.len() <= 100, "{subject}");
                assert!(subject.bytes().all(|b| b == b' ' || b.is_ascii_graphic()), "{subject}");
                assert!(subject.ends_with("(critical)"), "{subject}");
            }
        }
    }
}

#[test]
fn every_kind_is_known_by_its_name() {
    assert!(kinds().count() >= 13);
    for kind in kinds() {
        assert_eq!(kind_named(kind.name()), Some(kind));
    }
    assert_eq!(kind_named("weather"), None);
}

#[test]
fn without_rules_everybody_is_told_of_openings_only() {
    let policy = policy(vec![]);
    assert_eq!(marks(&notices(&policy, AlertPhase::Open, Severity::Info, T0)), [("open#boss", 0), ("open#crew", 0)]);
    assert!(notices(&policy, AlertPhase::Update, Severity::Critical, T0).is_empty());
    assert!(notices(&policy, AlertPhase::Clear, Severity::Critical, T0).is_empty());
    assert!(notices(&Policy::default(), AlertPhase::Open, Severity::Critical, T0).is_empty());
}

fn repeat(minutes: i64, times: u32) -> Option<Repeat> {
    Some(Repeat { every_ms: minutes * 60_000, times })
}

fn escalate(minutes: i64) -> Option<Escalate> {
    Some(Escalate { after_ms: minutes * 60_000, to: vec!["boss".into()] })
}

#[test]
fn a_rule_chooses_by_severity_kind_and_phase_and_the_end_is_left_to_what_was_told() {
    let severe = Rule { from_severity: Severity::Critical, kinds: vec![AlertKind::Anomaly], ..rule() };
    let of_gusts = Rule { kinds: vec![AlertKind::Gust], ..rule() };
    let policy = policy(vec![severe, of_gusts]);
    assert!(notices(&policy, AlertPhase::Open, Severity::Warning, T0).is_empty());
    assert_eq!(marks(&notices(&policy, AlertPhase::Open, Severity::Critical, T0)), [("open#crew", 0)]);
    let grown = notices(&policy, AlertPhase::Update, Severity::Critical, T0);
    assert_eq!(marks(&grown), [("update-critical#crew", 0)]);
    assert_eq!(marks(&notices(&policy, AlertPhase::Clear, Severity::Info, T0)), [("clear#crew", 0)]);
}

#[test]
fn two_rules_that_say_the_same_to_one_target_say_it_once_and_at_the_earlier_time() {
    let asleep = Quiet::new("13:00", "15:00", "UTC", None).unwrap();
    let policy = policy(vec![Rule { quiet: Some(asleep), ..rule() }, rule()]);
    assert_eq!(marks(&notices(&policy, AlertPhase::Open, Severity::Info, T0)), [("open#crew", 0)]);
}

/// 2026: in Berlin clocks go from 02:00 to 03:00 on March 29, and from 03:00 back to 02:00 on October 25.
#[test]
fn quiet_hours_end_at_their_local_time_over_midnight_and_when_the_clocks_change() {
    let at = |text: &str| windward_protocol::parse_iso8601(text).unwrap();
    let quiet = |from, to| Quiet::new(from, to, "Europe/Berlin", Some(Severity::Critical)).unwrap();
    for (from, to, now, end) in [
        ("22:00", "06:00", "2026-11-20T20:59:59Z", None),
        ("22:00", "06:00", "2026-11-20T21:00:00Z", Some("2026-11-21T05:00:00Z")),
        ("22:00", "06:00", "2026-11-21T04:59:59Z", Some("2026-11-21T05:00:00Z")),
        ("22:00", "06:00", "2026-11-21T05:00:00Z", None),
        ("12:00", "14:00", "2026-07-01T10:30:00Z", Some("2026-07-01T12:00:00Z")),
        ("12:00", "14:00", "2026-07-01T09:30:00Z", None),
        // The night that has an hour less, and the one that has an hour more.
        ("22:00", "06:00", "2026-03-28T21:30:00Z", Some("2026-03-29T04:00:00Z")),
        ("22:00", "06:00", "2026-10-24T21:30:00Z", Some("2026-10-25T05:00:00Z")),
        // An end that the clocks leave out, and one that they show twice.
        ("22:00", "02:30", "2026-03-28T22:30:00Z", Some("2026-03-29T01:30:00Z")),
        ("22:00", "02:30", "2026-10-24T22:30:00Z", Some("2026-10-25T00:30:00Z")),
        ("22:00", "02:30", "2026-10-25T01:10:00Z", None),
    ] {
        assert_eq!(quiet(from, to).until(Severity::Warning, at(now)), end.map(at), "{from} to {to} at {now}");
        assert_eq!(quiet(from, to).until(Severity::Critical, at(now)), None);
    }
    for (from, to, zone) in [("22", "06:00", "UTC"), ("22:00", "25:00", "UTC"), ("1:00", "2:00", "Mars/Olympus")] {
        assert!(Quiet::new(from, to, zone, None).is_err(), "{from} {to} {zone}");
    }
}

proptest! {
    /// Whatever the hours, zone and time: quiet hours end, within a day and a clock change, and are over then.
    #[test]
    fn quiet_hours_end(
        hours in (0u32..24, 0u32..60, 0u32..24, 0u32..60),
        zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kolkata"]),
        now_ms in 0i64..4_000_000_000_000,
    ) {
        let (from, to) = (format!("{:02}:{:02}", hours.0, hours.1), format!("{:02}:{:02}", hours.2, hours.3));
        prop_assume!(from != to);
        let quiet = Quiet::new(&from, &to, zone, None).unwrap();
        if let Some(end_ms) = quiet.until(Severity::Info, now_ms) {
            prop_assert!(end_ms > now_ms && end_ms - now_ms <= 25 * HOUR_MS);
            // Where the clocks show an hour twice, quiet hours within it come twice.
            prop_assert!(quiet.until(Severity::Info, end_ms).is_none_or(|again| again - end_ms <= HOUR_MS));
        }
    }
}

#[test]
fn what_is_held_back_over_night_is_due_in_the_morning_and_escalated_after_that() {
    let asleep = Quiet::new("13:00", "15:54", "UTC", Some(Severity::Critical)).unwrap();
    let policy = policy(vec![Rule { quiet: Some(asleep), escalate: escalate(30), ..rule() }]);
    let held = notices(&policy, AlertPhase::Open, Severity::Warning, T0);
    assert_eq!(marks(&held), [("escalate#boss", 2 * HOUR_MS + HOUR_MS / 2), ("open#crew", 2 * HOUR_MS)]);
    let at_once = notices(&policy, AlertPhase::Open, Severity::Critical, T0);
    let escalated = at_once.iter().find(|notice| notice.phase == Phase::Escalate).unwrap();
    assert_eq!(escalated.due_ms, T0 + HOUR_MS / 2);
}

#[test]
fn what_came_and_went_before_anybody_was_told_is_one_message() {
    let policy = policy(vec![rule()]);
    let (open, clear) =
        (one(&policy, AlertPhase::Open, Severity::Warning), one(&policy, AlertPhase::Clear, Severity::Info));
    let look = |notices: &[&NoticeRow]| Look {
        cleared: true,
        acknowledged: false,
        notices: notices.iter().copied().cloned().collect(),
    };
    assert_eq!(after_look(&open, look(&[&open, &clear])), Step::Place(Said::Gone));
    assert_eq!(after_look(&clear, look(&[&saying(&open, Said::Gone), &clear])), Step::Drop);
    assert_eq!(after_look(&clear, look(&[&saying(&open, Said::Own), &clear])), Step::Place(Said::Own));
    assert_eq!(after_look(&clear, look(&[&saying(&open, Said::Dropped), &clear])), Step::Drop);
    let in_digest = |said: Said| saying(&open, said.within(&digest_row(&open, T0)));
    assert_eq!(after_look(&clear, look(&[&in_digest(Said::Own), &clear])), Step::Place(Said::Own));
    assert_eq!(after_look(&clear, look(&[&in_digest(Said::Gone), &clear])), Step::Drop);
    assert_eq!(after_look(&clear, look(&[&clear])), Step::Drop, "who was not told of it is not told of its end");
    let of_another = NoticeRow { target: "boss".into(), ..saying(&open, Said::Own) };
    assert_eq!(after_look(&clear, look(&[&of_another, &clear])), Step::Drop);
    // Somebody may have looked at the opening before the alert had ended: the end waits for what comes of that.
    let on_its_way = NoticeRow { due_ms: T0 + CLAIM_MS, ..open.clone() };
    let waits = Step::Postpone { due_ms: T0 + CLAIM_MS + 1, attempts: 0, anew: false };
    assert_eq!(after_look(&clear, look(&[&on_its_way, &clear])), waits);
    let in_the_morning = NoticeRow { due_ms: T0 + HOUR_MS, ..open };
    assert_eq!(after_look(&clear, look(&[&in_the_morning, &clear])), Step::Drop);
}

#[test]
fn an_update_is_told_only_when_it_is_worse_than_what_was_told() {
    let policy = policy(vec![rule()]);
    let open = |severity| saying(&one(&policy, AlertPhase::Open, severity), Said::Own);
    let update = one(&policy, AlertPhase::Update, Severity::Warning);
    let look = |notices: Vec<NoticeRow>, cleared| Look { cleared, notices, ..Look::default() };
    assert_eq!(after_look(&update, look(vec![open(Severity::Info)], false)), Step::Place(Said::Own));
    assert_eq!(after_look(&update, look(vec![open(Severity::Warning)], false)), Step::Drop);
    assert_eq!(after_look(&update, look(vec![open(Severity::Critical)], false)), Step::Drop);
    assert_eq!(after_look(&update, look(vec![open(Severity::Info)], true)), Step::Drop, "the end says it all");
    assert_eq!(after_look(&update, look(vec![update.clone()], false)), Step::Place(Said::Own), "the first it hears");
    assert_eq!(after_look(&update, look(vec![], true)), Step::Place(Said::Gone));
}

#[test]
fn repeats_go_on_until_somebody_acknowledges_or_their_number_is_up() {
    let policy = policy(vec![Rule { repeat: repeat(10, 2), ..rule() }]);
    let open = one(&policy, AlertPhase::Open, Severity::Warning);
    let first = policy.follow(&open, T0 + 7).unwrap();
    assert_eq!(marks(std::slice::from_ref(&first)), [("repeat#0001#crew", 600_007)]);
    let second = policy.follow(&first, T0).unwrap();
    assert_eq!(marks(std::slice::from_ref(&second)), [("repeat#0002#crew", 600_000)]);
    assert_eq!(policy.follow(&second, T0), None);
    assert_eq!(policy.follow(&one(&policy, AlertPhase::Clear, Severity::Info), T0), None);
    assert_eq!(after_look(&first, Look::default()), Step::Place(Said::Own));
    for look in [Look { acknowledged: true, ..Look::default() }, Look { cleared: true, ..Look::default() }] {
        assert_eq!(after_look(&first, look.clone()), Step::Drop);
        assert_eq!(after_look(&NoticeRow { phase: Phase::Escalate, ..open.clone() }, look), Step::Drop);
    }
}

#[test]
fn a_target_that_fails_is_tried_less_and_less_and_for_ever() {
    let policy = policy(vec![]);
    let mut row = one(&policy, AlertPhase::Open, Severity::Warning);
    let mut pauses = Vec::new();
    let mut now_ms = T0;
    for _ in 0..400 {
        let mut telling = Telling { row: row.clone(), step: Step::Publish };
        telling.take(Outcome::Failed, &policy, now_ms);
        let Step::Postpone { due_ms, attempts, anew: false } = telling.step else { panic!("{:?}", telling.step) };
        pauses.push((due_ms - now_ms) / 1_000);
        (row.attempts, now_ms) = (attempts, due_ms);
    }
    assert_eq!(pauses[..10], [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
    assert_eq!(pauses[399], 3_600, "after a day each hour, and said each time");
    assert!(row.is_overdue(now_ms));
}

#[test]
fn how_a_notice_is_said_stands_in_its_row() {
    for said in [
        Said::Own,
        Said::Gone,
        Said::Dropped,
        Said::Digest { sort: "d#1".into(), gone: true },
        Said::Digest { sort: "d".into(), gone: false },
    ] {
        assert_eq!(Said::parse(&said.text()), said);
    }
}

#[test]
fn a_digest_begins_with_the_worst_and_counts_the_rest() {
    let policy = Policy { page: Some("http://page/".into()), ..policy(vec![]) };
    let severities = [Severity::Warning, Severity::Critical, Severity::Info];
    let members: Vec<NoticeRow> = (0..995)
        .map(|index| {
            let location = format!("Turbine {:03}", index % 100);
            let mut alert = alert(AlertPhase::Open, severities[index % 3], &location);
            (alert.id, alert.kind) = (index as u64, if index < 95 { AlertKind::Stuck } else { AlertKind::Anomaly });
            notices_for("north-ridge", &policy, &agent(), &alert, T0).remove(1)
        })
        .collect();
    let mut telling = Telling { row: digest_row(&members[0], T0 + 59_999), step: Step::Gather };
    assert_eq!(telling.row.sort, "digest#2026-11-20T13:54:00.000Z#crew");
    assert_eq!(telling.row.due_ms, T0 + 62_000);
    telling.take(Outcome::Gathered(members.clone()), &policy, T0 + 62_000);
    let Step::Seal(digest) = telling.step.clone() else { panic!("{:?}", telling.step) };
    let message = &digest.message;
    assert_eq!(message.subject, "Windward: 995 messages of one minute at north-ridge (critical)");
    let lines: Vec<&str> = message.body.lines().collect();
    assert_eq!(lines[0], "995 more messages of one minute at north-ridge, the worst of them critical.");
    assert_eq!(lines[2..4], ["   900  anomaly", "    95  stuck"]);
    assert!(lines[5].starts_with("critical: Turbine 000: "), "{}", lines[5]);
    assert_eq!(lines[45], "and 955 more.");
    assert!(message.body.len() < 10_000 && message.body.ends_with("Page: http://page/\n"));
    assert_eq!(message.dedup_id, format!("digest-crew-{}", T0 / 60_000));
    assert_eq!(digest.members.len(), 995);
    // Sealed, it says the same whatever comes, and settles exactly those it speaks for.
    telling.take(Outcome::Done, &policy, T0);
    assert_eq!(telling.step, Step::Publish);
    assert_eq!(telling.row.message(None).unwrap(), digest.message);
    telling.take(Outcome::Done, &policy, T0);
    assert_eq!(telling.step, Step::Mark(None));
    telling.take(Outcome::Done, &policy, T0);
    let late = NoticeRow { sort: "late".into(), ..members[0].clone() };
    telling.take(Outcome::Gathered(vec![members[3].clone(), late.clone()]), &policy, T0);
    assert_eq!(telling.step, Step::MarkAll(vec![(members[3].clone(), None)]));
    // What it left out begins again; what it speaks for waits for it.
    let settled = |row: &NoticeRow, told_ms| {
        let row = saying(row, Said::Own.within(&telling.row));
        let digest = NoticeRow { told_ms, ..telling.row.clone() };
        let mut telling = Telling { row, step: Step::Settle(String::new()) };
        telling.take(Outcome::Digest(Some(Box::new(digest))), &policy, T0);
        telling.step
    };
    assert_eq!(settled(&members[3], Some(T0)), Step::Mark(None));
    assert!(matches!(settled(&members[3], None), Step::Postpone { anew: false, .. }));
    assert_eq!(settled(&late, Some(T0)), Step::Postpone { due_ms: T0, attempts: 0, anew: true });
    assert_eq!(settled(&late, None), Step::Postpone { due_ms: T0, attempts: 0, anew: true });
}
