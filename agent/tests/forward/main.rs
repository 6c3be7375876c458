//! FORWARD under a seeded world: a disk that fails and forgets, a broker that loses, a sink that answers late, kills
//! and power cuts. The oracle knows A1, A2, A3 and the promise; it does not know how FORWARD works.
//!
//! `WINDWARD_SEED=n` replays one seed, `WINDWARD_SEEDS=n` runs so many.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bench;
mod clock;
mod commands;
mod room;
mod slow_disk;
mod uplinks;
mod world;

use windward_agent::forward::journal::{Journal as _, MemoryJournal, Room};
use windward_agent::forward::{AckBy, Forward, Input, Order, Output, Uplink};
use windward_agent::handover::Handover;
use windward_protocol::{Ack, Envelope, Lane, NoData, Record, Row, SeqRange};
use world::{EPOCH, Faults, PEACE, World, settings};

fn many_seeds(faults: Faults) {
    many_seeds_over(&[Uplink::new("mqtt")], faults);
}

fn many_seeds_over(uplinks: &[Uplink], faults: Faults) {
    let number = |name| std::env::var(name).ok().and_then(|text: String| text.parse::<u64>().ok());
    let seeds = match number("WINDWARD_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("WINDWARD_SEEDS").unwrap_or(200),
    };
    for seed in seeds {
        let run = std::panic::catch_unwind(|| {
            let mut world = World::new(seed, faults, uplinks);
            world.run();
            world.check();
        });
        assert!(run.is_ok(), "failed; replay with WINDWARD_SEED={seed}");
    }
}

#[test]
fn in_peace_everything_arrives_once() {
    many_seeds(PEACE);
}

#[test]
fn a_killed_process_loses_nothing_it_kept() {
    many_seeds(Faults { kills: true, ..PEACE });
}

#[test]
fn a_power_cut_loses_nothing_that_was_committed() {
    many_seeds(Faults { power_cuts: true, ..PEACE });
}

#[test]
fn cut_links_and_forgetful_brokers_lose_nothing() {
    many_seeds(Faults { cuts: true, lost_publishes: true, lost_acks: true, ..PEACE });
}

#[test]
fn a_failing_disk_loses_nothing_it_kept() {
    many_seeds(Faults { disk_errors: true, kills: true, ..PEACE });
}

#[test]
fn readings_wait_for_the_clock_and_arrive_with_their_true_times() {
    many_seeds(Faults { clock: true, ..PEACE });
}

#[test]
fn a_killed_process_leaves_what_waits_for_the_clock_to_the_next() {
    many_seeds(Faults { clock: true, kills: true, cuts: true, lost_acks: true, ..PEACE });
}

#[test]
fn boots_without_a_clock_one_after_another_keep_their_times_apart() {
    many_seeds(Faults { clock: true, kills: true, power_cuts: true, cuts: true, lost_acks: true, ..PEACE });
}

#[test]
fn a_decision_about_times_that_the_disk_refused_is_not_acted_on() {
    many_seeds(Faults { clock: true, kills: true, disk_errors: true, cuts: true, lost_acks: true, ..PEACE });
}

#[test]
fn all_at_once() {
    many_seeds(EVERYTHING);
}

/// A stream beside the broker: what is refused is sent again, and order is kept.
#[test]
fn two_uplinks_each_get_everything() {
    many_seeds_over(&[Uplink::new("mqtt"), stream()], Faults { kills: true, ..PEACE });
    many_seeds_over(&[Uplink::new("mqtt"), stream()], EVERYTHING);
}

#[test]
fn the_newest_first_is_everything_all_the_same() {
    let live = Uplink { order: Order::Live, ..Uplink::new("dashboard") };
    many_seeds_over(std::slice::from_ref(&live), PEACE);
    many_seeds_over(&[live, stream()], EVERYTHING);
}

#[test]
fn a_limited_line_and_gathered_readings_lose_nothing() {
    let limited = Uplink { max_bytes_per_s: 2_000, overhead_bytes: 60, ..Uplink::new("metered") };
    let gathered = Uplink { publish_every_ms: 10_000, order: Order::Live, ..Uplink::new("gathered") };
    many_seeds_over(&[limited, gathered, stream()], EVERYTHING);
}

#[test]
fn one_that_only_mirrors_holds_nothing_up() {
    let mirror = Uplink { frees: false, max_bytes_per_s: 100, ..Uplink::new("mirror") };
    many_seeds_over(&[mirror, Uplink::new("mqtt")], EVERYTHING);
}

const EVERYTHING: Faults = Faults {
    kills: true,
    power_cuts: true,
    cuts: true,
    lost_publishes: true,
    lost_acks: true,
    disk_errors: true,
    clock: true,
};

fn stream() -> Uplink {
    Uplink { ack: AckBy::Uplink, one_by_one: true, state: false, ..Uplink::new("stream") }
}

/// The sink finds a row by the first time of its block.
#[test]
fn time_never_goes_back_within_a_block() {
    let now = |ms| clock::SimClock::set().now(ms);
    let mut forward = Forward::new(settings(), &MemoryJournal::default().found(EPOCH), now(0));
    // The hello goes to the disk before.
    let alerts = std::iter::from_fn(|| forward.poll_output()).find_map(|output| match output {
        Output::Commit { alerts, .. } => Some(alerts),
        _ => None,
    });
    forward.handle(Input::Committed { alerts: alerts.unwrap(), readings: vec![], room: Room::default() }, now(0));
    for time_ms in [20, 30, 30, 5, 6, 40] {
        let row = Row { time_ms, readings: vec![Err(NoData::Timeout); 2], scores: vec![None; 2] };
        forward.handle(Input::Handover(Handover::Row { device: 0, synced: true, row }), now(0));
    }
    forward.handle_timeout(now(1_000));
    let blocks = std::iter::from_fn(|| forward.poll_output()).flat_map(|output| match output {
        Output::Commit { readings, .. } => readings,
        _ => vec![],
    });
    let times = blocks.map(|(_, bytes)| match Envelope::decode(&bytes).unwrap().record {
        Record::Block(block) => block.times(),
        other => panic!("{other:?}"),
    });
    assert_eq!(times.collect::<Vec<_>>(), [vec![20, 30, 30], vec![5, 6, 40]]);
}

/// A crash in between would hide the loss: neither the reading nor the gap record would be there.
#[test]
fn a_lost_number_is_freed_only_when_the_disk_says_that_it_is_lost() {
    let now = |ms| clock::SimClock::set().now(ms);
    let mut journal = MemoryJournal::default();
    journal.commit(&[], &[(2, vec![0; 8])]).unwrap();
    let mut forward = Forward::new(settings(), &journal.found(EPOCH), now(0));
    forward.handle_timeout(now(0));
    forward.handle(Input::Connected { uplink: 0 }, now(0));
    let outputs: Vec<Output> = std::iter::from_fn(|| forward.poll_output()).collect();
    let commit = outputs.into_iter().find_map(|output| match output {
        Output::Commit { alerts, readings } => Some((alerts, readings)),
        _ => None,
    });
    let (alerts, readings) = commit.expect("the gap record is to be committed");
    let ranges = vec![SeqRange { first: 2, last: 2 }];
    let bytes = Ack { epoch: EPOCH, lane: Lane::Readings, ranges }.encode();
    forward.handle(Input::Ack { uplink: 0, bytes }, now(10));

    let frees = |forward: &mut Forward, ms| {
        forward.handle_timeout(now(ms));
        std::iter::from_fn(|| forward.poll_output()).any(|output| matches!(output, Output::Free { .. }))
    };
    assert!(!frees(&mut forward, 60_000), "A4: the record of the gap is not durable");
    forward.handle(Input::Committed { alerts, readings, room: Room::default() }, now(60_001));
    assert!(frees(&mut forward, 120_000));
}
