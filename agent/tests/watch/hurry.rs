//! Devices that are read more often for a while.

use crate::asked::healthy;
use crate::world::{START_MS, TCP, World, config, device};
use windward_protocol::NoData;

/// A device of which one channel is slower than the rest.
fn slow() -> String {
    device("slow", TCP).replace("register = 1\n", "register = 1\ninterval_ms = 5000\n")
}

/// Three devices: one that is read every second, the slow one, and one that counts pulses.
fn devices() -> String {
    let pulses = "[[device]]\nname = \"cup\"\nlocation = \"Mast\"\ngpio = { chip = \"/dev/gpiochip0\" }\n\
                  [[device.channel]]\nname = \"wind\"\nquantity = \"wind-speed\"\nunit = \"m/s\"\nline = 1\nscale = 0.7\n";
    format!("{}{}{pulses}", device("mast", TCP), slow())
}

#[test]
fn it_is_read_so_many_times_as_often_for_so_long_and_then_as_before() {
    let config = config(&device("mast", TCP));
    let mut world = World::new(&config, healthy);
    world.run_until(2_500);
    let said = world.watch.hurry("mast", 4, 1, world.stamp());
    assert_eq!(said, Ok("for 1 minutes: mast is read 4 times as often".into()));
    world.run_until(70_000);
    let times: Vec<i64> = world.rows_of(0).iter().map(|row| row.time_ms - START_MS - 10).collect();
    let fast: Vec<i64> = (3_000..=62_000).step_by(250).collect();
    let usual: Vec<i64> = (63_000..70_000).step_by(1_000).collect();
    assert_eq!(times, [&[0, 1_000, 2_000], &fast[..], &usual].concat());
}

#[test]
fn what_is_read_in_between_is_neither_judged_nor_counted_nor_thinned() {
    let text = device("mast", TCP).replace("interval_ms = 1000", "interval_ms = 1000\nforward_every_s = 30");
    let config = config(&text);
    let mut world = World::new(&config, healthy);
    world.run_until(300_500);
    let before = world.rows.len();
    world.watch.hurry("", 10, 1, world.stamp()).unwrap();
    world.run_until(600_500);
    // The minutes before and after come along, as they do around an alert; of the other three two rows each.
    let during = world.rows.len() - before;
    assert!((60 + 600 + 60..60 + 600 + 60 + 12).contains(&during), "{during}");
    let mut times: Vec<i64> = world.rows.iter().map(|(_, row)| row.time_ms).collect();
    times.sort_unstable();
    times.dedup();
    assert_eq!(times.len(), world.rows.len(), "no row twice");
    world.run_until(602_000);
    assert_eq!(world.stats[0].due, 600);
    assert_eq!(world.watch.health()[0].good, 602);
    let scored = world.rows.iter().filter(|(_, row)| row.scores[0].is_some());
    assert!(scored.clone().all(|(_, row)| (row.time_ms - START_MS) % 1_000 == 10), "only at its own rate");
    assert!(scored.count() > 0);
}

#[test]
fn slower_channels_keep_their_own_time() {
    let config = config(&slow());
    let mut world = World::new(&config, |ask| match ask.start {
        1 => (5, Ok(vec![270])),
        0 if ask.count == 1 => (5, Ok(vec![85])),
        _ => healthy(ask),
    });
    world.watch.hurry("slow", 5, 1, world.stamp()).unwrap();
    world.run_until(20_900);
    let asked = |start| world.asks.iter().filter(|(_, ask)| ask.start == start).count();
    assert_eq!((asked(0), asked(1)), (21 * 5, 5));
    let direction: Vec<_> = world.rows_of(0).iter().map(|row| row.readings[1].is_ok()).collect();
    assert_eq!(direction.iter().filter(|is_ok| **is_ok).count(), 5);
    assert!(world.rows_of(0).iter().all(|row| row.readings[1].is_ok() || row.readings[1] == Err(NoData::NotDue)));
}

#[test]
fn a_slow_answer_in_between_costs_no_row_of_its_own_time() {
    let config = config(&device("mast", TCP));
    // Two requests of 120 ms each, with 250 ms for both and sometimes more.
    let mut world = World::new(&config, |ask| (if ask.round % 3 == 0 { 190 } else { 120 }, healthy(ask).1));
    world.watch.hurry("mast", 4, 10, world.stamp()).unwrap();
    world.run_until(60_900);
    let asks: Vec<u64> = world.asks.iter().filter(|(_, ask)| ask.start == 0).map(|(at, _)| *at).collect();
    let own = asks.iter().filter(|at| *at % 1_000 == 0).count();
    assert_eq!(own, 61);
    assert!(asks.len() > 120, "{}", asks.len());
}

#[test]
fn what_cannot_be_is_said_and_changes_nothing() {
    let config = config(&devices());
    let mut world = World::new(&config, healthy);
    let mut hurry = |device: &str, times| world.watch.hurry(device, times, 5, world.stamp()).unwrap_err();
    assert_eq!(hurry("mats", 2), "there is no device \"mats\"");
    assert_eq!(hurry("mast", 101), "mast is read every 1000 ms: at most 100 times as often");
    assert_eq!(hurry("cup", 2), "cup counts pulses over its interval: read more often it would count fewer");
    // Of all devices those that can be are.
    let said = world.watch.hurry("", 2, 5, world.stamp()).unwrap();
    assert_eq!(
        said,
        "for 5 minutes: mast is read 2 times as often; slow is read 2 times as often; \
         cup counts pulses over its interval: read more often it would count fewer"
    );
    assert_eq!(world.watch.hurry("", 1, 0, world.stamp()), Ok("read as configured".into()));
}
