//! A clock over a system whose clock is what the test says.

use super::*;
use crate::io::last_time::LastTime;
use std::sync::atomic::{AtomicI64, Ordering};

const YEAR_2030: i64 = 1_893_456_000_000;
const HOUR: i64 = 3_600_000;

/// A machine whose clock stands still, a minute after its boot.
fn world(system: fn() -> i64) -> World {
    World { system, witness: None, boot: 1, uptime_ms: 60_000 }
}

fn saved(boot: u128, base_ms: i64, known_ms: i64) -> Option<Saved> {
    Some(Saved { timeline: Timeline { boot, base_ms }, known_ms })
}

/// Whether both are within the time that a test may take.
fn about(wall: Wall, expected: i64) -> bool {
    (expected..expected + 60_000).contains(&wall.0)
}

#[test]
fn a_clock_is_believed_unless_it_is_before_2024_or_before_the_last_known_time() {
    type Case = (fn() -> i64, Option<Saved>, bool);
    let cases: [Case; 6] = [
        (|| 0, None, false),
        (|| -1, None, false),
        (|| FIRST_BELIEVABLE_MS, None, true),
        (|| YEAR_2030 - HOUR, saved(9, 0, YEAR_2030), false),
        // A time server may have found that the clock was late by a second.
        (|| YEAR_2030 - 1_000, saved(9, 0, YEAR_2030), true),
        (|| YEAR_2030 + HOUR, saved(9, 0, YEAR_2030), true),
    ];
    for (system, saved, expected) in cases {
        let now = Clock::after(saved, world(system)).now();
        assert_eq!(now.synced, expected, "{} after {saved:?}", system());
        assert!(!expected || now.wall.0 == system());
        assert!(now.wall.0 >= FIRST_BELIEVABLE_MS, "nothing ever says 1970");
    }
}

#[test]
fn a_clock_that_a_time_server_has_not_confirmed_is_not_believed_where_that_can_be_known() {
    for (witness, expected) in [(None, true), (Some("/"), true), (Some("/there is no such file"), false)] {
        let now = Clock::after(None, World { witness, ..world(|| YEAR_2030) }).now();
        assert_eq!(now.synced, expected, "{witness:?}");
        assert!(about(now.wall, YEAR_2030), "the best guess there is");
    }
}

#[test]
fn an_estimate_goes_on_from_the_last_known_time_for_as_long_as_the_boot_lasts() {
    let first = Clock::after(saved(9, 0, YEAR_2030), world(|| 0));
    assert!(about(first.now().wall, YEAR_2030 + 60_000), "known when the machine was switched off, plus the uptime");
    assert!(about(Clock::after(None, world(|| 0)).now().wall, FIRST_BELIEVABLE_MS + 60_000));
    let next = Clock::after(
        Some(Saved { timeline: first.timeline(), known_ms: YEAR_2030 + HOUR }),
        World { uptime_ms: 120_000, ..world(|| 0) },
    );
    assert_eq!(next.timeline(), first.timeline());
    assert!(about(next.now().wall, YEAR_2030 + 120_000));
}

#[test]
fn monotonic_time_is_the_time_since_the_boot() {
    assert_eq!(uptime_ms("3542.61 3229.37\n"), Some(3_542_610));
    assert_eq!(uptime_ms(""), None);
    let now = Clock::start().now();
    assert!(now.synced, "the machine that tests run on has a clock");
    assert_eq!(World::read().boot, World::read().boot);
}

#[test]
fn the_last_known_time_is_kept_through_boots_and_only_a_set_clock_renews_it() {
    static SYSTEM: AtomicI64 = AtomicI64::new(0);
    let boot = |boot, system| {
        SYSTEM.store(system, Ordering::Relaxed);
        World { boot, ..world(|| SYSTEM.load(Ordering::Relaxed)) }
    };
    let dir = tempfile::tempdir().unwrap();
    let open = |world| LastTime::open(dir.path(), world);

    let (mut file, clock) = open(boot(1, YEAR_2030));
    SYSTEM.store(YEAR_2030 + HOUR, Ordering::Relaxed);
    file.renew(clock.now());

    let (mut file, clock) = open(boot(2, 0));
    assert!(!clock.now().synced && about(clock.now().wall, YEAR_2030 + HOUR + 60_000));
    file.renew(clock.now());
    assert_eq!(open(boot(2, 0)).1.timeline(), clock.timeline(), "one boot, one base, whatever was written in between");
    SYSTEM.store(YEAR_2030 + 5 * HOUR, Ordering::Relaxed);
    assert!(clock.now().synced && clock.now().wall.0 == YEAR_2030 + 5 * HOUR);
    file.renew_if_due(clock.now());
    assert_eq!(open(boot(2, YEAR_2030 + 5 * HOUR)).1.timeline(), clock.timeline());

    assert!(about(open(boot(3, 0)).1.now().wall, YEAR_2030 + 5 * HOUR + 60_000));
    let (mut file, clock) = open(boot(3, 0));
    file.renew(clock.now());
    assert!(about(open(boot(4, 0)).1.now().wall, YEAR_2030 + 5 * HOUR + 60_000), "an estimate is not known");
    std::fs::write(dir.path().join("time"), b"nonsense").unwrap();
    assert!(about(open(boot(5, 0)).1.now().wall, FIRST_BELIEVABLE_MS + 60_000), "damaged, and so no help");
}
