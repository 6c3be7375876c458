//! Devices that are asked, in all the ways they may fail.

use crate::world::{Asked, START_MS, Said, TCP, World, config, device};
use proptest::prelude::*;
use windward_agent::watch::{Answer, Input, Output};
use windward_protocol::{NoData, Value};

pub(crate) fn healthy(ask: &Asked) -> Said {
    let words = match ask.start {
        0 => vec![85, 270],
        10 => vec![0x4148, 0x0000],
        other => panic!("register {other} is nobody's"),
    };
    (5, Ok(words))
}

#[test]
fn a_device_is_read_at_its_rate_and_its_registers_become_the_row() {
    let config = config(&device("mast", TCP));
    let mut world = World::new(&config, healthy);
    world.run_until(10_500);
    let rows = world.rows_of(0);
    assert_eq!(rows.len(), 11);
    for (index, row) in rows.iter().enumerate() {
        assert_eq!(row.time_ms, START_MS + index as i64 * 1000 + 10, "two requests of 5 ms");
        let wind = Value::Int { mantissa: 85, exponent: -1 };
        let direction = Value::Int { mantissa: 270, exponent: 0 };
        assert_eq!(row.readings, [Ok(wind), Ok(direction), Ok(Value::F32(12.5))]);
        assert_eq!(row.scores.len(), 3);
    }
    let first: Vec<_> = world.asks[..2].iter().map(|(_, ask)| (ask.start, ask.count)).collect();
    assert_eq!(first, [(0, 2), (10, 2)]);
    let health = &world.watch.health()[0];
    assert_eq!((health.good, health.failed, health.failing), (11, 0, None));
}

#[test]
fn each_way_to_fail_is_a_row_with_its_reason_and_a_refusal_spoils_no_other_channel() {
    let config = config(&device("mast", TCP));
    let mut world = World::new(&config, |ask| match (ask.round, ask.start) {
        (1, 0) => (5, Err(NoData::Exception(2))),
        (2, 10) => (200, Err(NoData::Timeout)),
        (3, 0) => (5, Ok(vec![65535, 270])),
        (4, 0) => (5, Ok(vec![85])),
        (5, _) => (0, Err(NoData::Disconnected)),
        _ => healthy(ask),
    });
    world.run_until(5_900);
    let reasons: Vec<Vec<Option<NoData>>> =
        world.rows_of(0).iter().map(|row| row.readings.iter().map(|reading| reading.err()).collect()).collect();
    let (exception, timeout) = (Some(NoData::Exception(2)), Some(NoData::Timeout));
    let (protocol, gone) = (Some(NoData::Protocol), Some(NoData::Disconnected));
    assert_eq!(
        reasons,
        [
            vec![exception, exception, None],
            vec![None, None, timeout],
            vec![Some(NoData::Sentinel), None, None],
            vec![protocol, protocol, None],
            vec![gone, gone, gone],
            vec![None, None, None],
        ]
    );
}

#[test]
fn a_silent_device_delays_no_other_and_still_gives_rows() {
    let other = "modbus_tcp = { host = \"other\" }";
    let config = config(&format!("{}{}", device("dead", TCP), device("well", other)));
    let mut world = World::new(&config, |ask| match ask.device {
        0 => (200, Err(NoData::Timeout)),
        _ => healthy(ask),
    });
    world.run_until(60_000);
    assert_eq!(world.rows_of(1).len(), 60);
    let dead = world.rows_of(0);
    let asked = world.asks.iter().filter(|(_, ask)| ask.device == 0).count();
    assert_eq!(asked, 62, "alone on its bus it is asked every time; in the first round, twice");
    assert_eq!(dead.len(), 60);
    assert!(dead.iter().all(|row| row.readings == [Err(NoData::Timeout); 3]));
    assert_eq!(world.watch.health()[0].failing, Some(NoData::Timeout));
}

#[test]
fn on_a_shared_bus_a_silent_device_is_skipped_visibly_and_comes_back() {
    let serial = |slave: u8| format!("slave = {slave}\nmodbus_rtu = {{ port = \"/dev/ttyS0\" }}");
    let config = config(&format!("{}{}", device("dead", &serial(1)), device("well", &serial(2))));
    let alive = std::cell::Cell::new(false);
    let mut world = World::new(&config, |ask| match ask.device {
        0 if !alive.get() => (200, Err(NoData::Timeout)),
        _ => healthy(ask),
    });
    world.run_until(60_000);
    let asked = world.asks.iter().filter(|(_, ask)| ask.device == 0).count();
    assert!(asked <= 8, "rounds get ever rarer: {asked}");
    let dead = world.rows_of(0);
    assert!((59..=61).contains(&dead.len()), "a row at every moment: {}", dead.len());
    let skipped = dead.iter().filter(|row| row.readings == [Err(NoData::Skipped); 3]).count();
    assert!(skipped >= 50, "{skipped}");
    assert_eq!(world.rows_of(1).len(), 60);
    alive.set(true);
    world.run_until(180_000);
    let last = world.rows_of(0).last().unwrap().readings.clone();
    assert!(last.iter().all(Result::is_ok), "{last:?}");
}

#[test]
fn moments_that_pass_while_nothing_comes_in_are_rows_too() {
    let config = config(&device("mast", TCP));
    // The bus is held up for two seconds and more by others; then the answers come.
    let mut world = World::new(&config, |ask| match ask.round {
        1 if ask.request == 0 => (2_300, Ok(vec![85, 270])),
        _ => healthy(ask),
    });
    world.run_until(4_500);
    let rows: Vec<_> = world.rows_of(0).iter().map(|row| (row.time_ms - START_MS, row.readings[0].err())).collect();
    let skipped = Some(NoData::Skipped);
    assert_eq!(rows, [(1_000, skipped), (2_000, skipped), (2_305, None), (3_010, None), (4_010, None)]);
}

#[test]
fn a_late_answer_never_lands_in_another_round() {
    let config = config(&device("mast", TCP));
    // Nobody answers in time; the answers below are given by hand.
    let mut world = World::new(&config, |_| (u64::MAX / 2, Ok(vec![0, 0])));
    // The first round is given up as overdue; the second is under way when the first's answer comes.
    let is_second = |asks: &[(u64, Asked)]| asks.last().is_some_and(|(_, ask)| ask.round == 2);
    while !is_second(&world.asks) {
        world.run_until(world.now_ms + 500);
        world.now_ms += 500;
        assert!(world.now_ms < 60_000, "a round that nobody answers must end");
    }
    let rows = world.rows.len();
    assert!(world.rows_of(0).iter().any(|row| row.readings == [Err(NoData::Timeout); 3]));
    let late = Input::Answer { device: 0, round: 1, request: 0, result: Ok(Answer::Words(vec![999, 999])) };
    let now = world.stamp();
    world.watch.handle(late, now);
    assert_eq!(world.watch.poll_output(), None, "the late answer changes nothing");
    assert_eq!(world.rows.len(), rows);
    let right = Input::Answer { device: 0, round: 2, request: 0, result: Ok(Answer::Words(vec![85, 270])) };
    world.watch.handle(right, now);
    assert!(matches!(world.watch.poll_output(), Some(Output::Ask(ask)) if ask.request == 1));
}

#[test]
fn after_a_stall_there_is_no_burst() {
    let config = config(&device("mast", TCP));
    let mut world = World::new(&config, healthy);
    world.run_until(3_500);
    let before = world.asks.len();
    // The program stands still for a minute.
    world.now_ms = 63_500;
    world.run_until(63_900);
    assert_eq!(world.asks.len() - before, 2, "one round of two requests");
    world.run_until(66_500);
    let times: Vec<i64> = world.rows_of(0).iter().map(|row| row.time_ms - START_MS).collect();
    assert_eq!(times, [10, 1_010, 2_010, 3_010, 63_510, 64_010, 65_010, 66_010]);
}

/// What a slave may do to one ask: delay in ms, and how it answers.
fn behaviours() -> impl Strategy<Value = Vec<(u64, u8)>> {
    prop::collection::vec((0u64..400, 0u8..12), 50..200)
}

/// Words that tell which round they were asked in and which register they are of.
fn marked(ask: &Asked) -> Vec<u16> {
    (0..ask.count).map(|index| (ask.round as u16 % 60) * 1000 + ask.start + index).collect()
}

fn behave(behaviours: &[(u64, u8)], step: usize, ask: &Asked) -> Said {
    let (delay_ms, manner) = behaviours[step % behaviours.len()];
    let result = match manner {
        0 => Err(NoData::Timeout),
        1 => Err(NoData::Exception(4)),
        2 => Err(NoData::Disconnected),
        3 => Ok(Vec::new()),
        _ => Ok(marked(ask)),
    };
    (delay_ms, result)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_slaves_do_rows_are_whole_in_order_and_of_one_round(behaviours in behaviours()) {
        let serial = |slave: u8| format!("slave = {slave}\nmodbus_rtu = {{ port = \"/dev/ttyS0\" }}");
        let config = config(&format!("{}{}", device("a", &serial(1)), device("b", &serial(2))).replace("f32", "u16"));
        let step = std::cell::Cell::new(0);
        let mut world = World::new(&config, |ask| {
            step.set(step.get() + 1);
            behave(&behaviours, step.get(), ask)
        });
        world.run_until(60_000);
        for device in 0..2 {
            let rows = world.rows_of(device);
            prop_assert!(rows.len() >= 55, "a row at nearly every moment: {}", rows.len());
            prop_assert!(rows.windows(2).all(|pair| pair[0].time_ms <= pair[1].time_ms));
            for row in rows {
                prop_assert_eq!((row.readings.len(), row.scores.len()), (3, 3));
                let mut rounds = Vec::new();
                for (reading, register) in row.readings.iter().zip([0, 1, 10]) {
                    if let Ok(Value::Int { mantissa, .. }) = reading {
                        prop_assert_eq!(mantissa % 1000, register);
                        rounds.push(mantissa / 1000);
                    }
                }
                prop_assert!(rounds.windows(2).all(|pair| pair[0] == pair[1]), "values of several rounds: {:?}", rounds);
            }
            let health = &world.watch.health()[device];
            prop_assert_eq!(health.good + health.failed, world.rows_of(device).len() as u64);
        }
    }

    #[test]
    fn the_same_seed_and_the_same_answers_give_the_same_asks_and_rows(behaviours in behaviours()) {
        let config = config(&device("a", TCP));
        let run = || {
            let step = std::cell::Cell::new(0);
            let mut world = World::new(&config, |ask| {
                step.set(step.get() + 1);
                behave(&behaviours, step.get(), ask)
            });
            world.run_until(30_000);
            let World { asks, rows, .. } = world;
            (asks, rows)
        };
        prop_assert_eq!(run(), run());
    }
}
