//! How often a device is asked, and again: slow channels, retries, waking up, and what reading changes.

use crate::asked::healthy;
use crate::world::{Asked, START_MS, TCP, World, config, device};
use windward_protocol::{NoData, Value};

/// A device of one channel at register 0, with these keys of device and channel.
fn one(keys: &str, channel: &str) -> String {
    format!(
        "[[device]]\nname = \"d\"\n{TCP}\ninterval_ms = 1000\ntimeout_ms = 200\n{keys}\n\
         [[device.channel]]\nname = \"c\"\nunit = \"\"\nregister = 0\ntype = \"u16\"\n{channel}\n"
    )
}

fn times_asked(world: &World, round: u64) -> usize {
    world.asks.iter().filter(|(_, ask)| ask.round == round).count()
}

#[test]
fn a_slow_channel_is_asked_at_its_own_rate_and_not_due_in_between() {
    let slow = "interval_ms = 3000\n[[device.channel]]\nname = \"fast\"\nunit = \"\"\nregister = 1\ntype = \"u16\"\n";
    let config = config(&one("", slow));
    let mut world = World::new(&config, |ask| (5, Ok(vec![100 + ask.start; usize::from(ask.count)])));
    world.run_until(6_900);
    let value = |mantissa| Ok(Value::Int { mantissa, exponent: 0 });
    let rows: Vec<_> = world.rows_of(0).iter().map(|row| row.readings.clone()).collect();
    let (both, fast) = (vec![value(100), value(101)], vec![Err(NoData::NotDue), value(101)]);
    assert_eq!(rows, [&both, &fast, &fast, &both, &fast, &fast, &both].map(Clone::clone));
    let slow_asks: Vec<u64> = world.asks.iter().filter(|(_, ask)| ask.start == 0).map(|(at, _)| *at).collect();
    assert_eq!(slow_asks, [5, 3_005, 6_005]);
    assert_eq!(world.watch.health()[0].failing, None, "not due is no failure");
}

#[test]
fn when_only_slow_channels_are_left_there_are_no_rows_in_between() {
    let config = config(&one("", "interval_ms = 4000"));
    let mut world = World::new(&config, |_| (5, Ok(vec![7])));
    world.run_until(9_000);
    let times: Vec<i64> = world.rows_of(0).iter().map(|row| row.time_ms - START_MS).collect();
    assert_eq!(times, [5, 4_005, 8_005]);
}

#[test]
fn a_failed_read_is_tried_again_as_often_as_the_file_says() {
    let config = config(&one("retries = 2", ""));
    let mut lost = 0;
    let mut world = World::new(&config, move |_| {
        lost += 1;
        // Of the first round two are lost, of the second all.
        if matches!(lost, 1 | 2 | 4..=6) { (200, Err(NoData::Timeout)) } else { (5, Ok(vec![7])) }
    });
    world.run_until(1_900);
    assert_eq!((times_asked(&world, 1), times_asked(&world, 2)), (3, 3));
    let readings: Vec<_> = world.rows_of(0).iter().map(|row| row.readings[0].err()).collect();
    assert_eq!(readings, [None, Some(NoData::Timeout)]);
    world.run_until(2_900);
    assert_eq!(times_asked(&world, 3), 1, "after a silent round there is no second try");
}

#[test]
fn a_device_that_has_to_wake_up_loses_its_first_query_and_no_reading() {
    let config = config(&device("d", TCP).replace("timeout_ms = 200", "timeout_ms = 200\nwake = true"));
    let mut last = (0, 0);
    let mut world = World::new(&config, move |ask: &Asked| {
        let first = last != (ask.round, ask.start) && ask.request == 0;
        last = (ask.round, ask.start);
        if first { (200, Err(NoData::Timeout)) } else { healthy(ask) }
    });
    world.run_until(4_900);
    let rows = world.rows_of(0);
    assert_eq!(rows.len(), 5);
    assert!(rows.iter().all(|row| row.readings.iter().all(Result::is_ok)), "{rows:?}");
    assert!((1..=5).all(|round| times_asked(&world, round) == 3), "only the first request is asked twice");
}

#[test]
fn what_reading_changes_is_never_asked_twice() {
    let config = config(&one("retries = 3\nwake = true", "reset_on_read = true"));
    let mut world = World::new(&config, |_| (200, Err(NoData::Timeout)));
    world.run_until(3_900);
    for round in 1..=4 {
        assert_eq!(times_asked(&world, round), 1, "round {round}");
    }
}
