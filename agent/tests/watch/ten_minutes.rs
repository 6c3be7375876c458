//! Statistics of ten minutes, and what is forwarded of a device that is thinned: both against all its rows.

use crate::world::{Asked, START_MS, Said, TCP, World, config, device};
use std::collections::BTreeSet;
use std::ops::Range;
use windward_agent::config::Config;
use windward_agent::forward::journal::{Found, MemoryJournal, Room};
use windward_agent::forward::{Forward, Input, Output, Settings, Uplink};
use windward_agent::handover::Handover;
use windward_agent::time::{Mono, Stamp, Wall};
use windward_protocol::{Envelope, NoData, Record, Row, Stats};

/// A gusty wind in tenths, a direction about north, a power; every 97th round fails, and all of these.
fn slave(silent_s: Range<u64>) -> impl FnMut(&Asked) -> Said {
    move |ask| {
        let round = ask.round;
        let is_silent = round % 97 == 0 || silent_s.contains(&round);
        if is_silent {
            return (200, Err(NoData::Timeout));
        }
        let words = match ask.start {
            0 => vec![80 + (round * 7 % 31) as u16, (350 + round % 20) as u16 % 360],
            _ => vec![0x42f6, (round % 100) as u16],
        };
        (3, Ok(words))
    }
}

/// What FORWARD makes durable of these rows and statistics of one device, taken back from its envelopes.
fn stored(config: &Config, rows: Vec<Row>, stats: Vec<Stats>) -> (Vec<Row>, Vec<Stats>) {
    let settings = Settings {
        agent: config.agent.clone(),
        farm: config.farm.clone(),
        version: "test".into(),
        commit_every_ms: 1_000,
        max_bytes: u64::MAX,
        max_age_ms: None,
        uplinks: vec![Uplink::new("mqtt")],
        devices: config.manifest(),
        accept: None,
        seed: 1,
    };
    let found: Found = MemoryJournal::default().found(1);
    let at = |ms: u64| Stamp { mono: Mono(ms), wall: Wall(START_MS + ms as i64), synced: true };
    let mut forward = Forward::new(settings, &found, at(0));
    let rows = rows.into_iter().map(|row| Handover::Row { device: 0, synced: true, row });
    let (mut ms, mut out) = (0, (Vec::new(), Vec::new()));
    for handover in rows.chain([Handover::Stats(stats), Handover::Devices { devices: vec![], dropped_rows: 0 }]) {
        ms += 1_000;
        forward.handle(Input::Handover(handover), at(ms));
        forward.handle_timeout(at(ms + 999));
        while let Some(output) = forward.poll_output() {
            let Output::Commit { alerts, readings } = output else { continue };
            for (_, bytes) in &readings {
                match Envelope::decode(bytes).unwrap().record {
                    Record::Block(block) => out.0.extend(block.rows()),
                    Record::Stats(stats) => out.1.push(stats),
                    other => panic!("{other:?}"),
                }
            }
            forward.handle(Input::Committed { alerts, readings, room: Room::default() }, at(ms + 999));
        }
    }
    out
}

fn values(rows: &[&Row], channel: usize) -> Vec<f64> {
    rows.iter().filter_map(|row| Some(row.readings[channel].ok()?.as_f64())).collect()
}

#[test]
fn the_statistics_of_a_window_are_those_of_the_stored_rows_in_it() {
    let config = config(&device("mast", TCP));
    let mut world = World::new(&config, slave(700..760));
    world.run_until(1_260_000);
    let rows: Vec<Row> = world.rows.into_iter().map(|(_, row)| row).collect();
    let (all, all_stats) = stored(&config, rows, world.stats);
    assert!(all.len() > 1_200);
    let starts: BTreeSet<i64> = all_stats.iter().map(|stats| stats.start_ms).collect();
    assert_eq!(starts, BTreeSet::from([START_MS, START_MS + 600_000]));
    for stats in &all_stats {
        let channel = config.devices[0].channels.iter().position(|c| c.channel == stats.channel).unwrap();
        let window = stats.start_ms..stats.start_ms + 600_000;
        let rows: Vec<&Row> = all.iter().filter(|row| window.contains(&row.time_ms)).collect();
        let values = values(&rows, channel);
        let name = stats.channel.name.as_str();
        assert_eq!((stats.n as usize, stats.due as usize), (values.len(), rows.len()), "{name}");
        assert!(stats.n < stats.due, "{name}: some rounds have failed");
        let n = values.len() as f64;
        if name == "dir" {
            assert!((stats.mean - 359.5).abs() < 0.5, "{} is not about north", stats.mean);
            continue;
        }
        let mean = values.iter().sum::<f64>() / n;
        let std = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n).sqrt();
        assert!((stats.mean - mean).abs() < 1e-9 && (stats.std - std).abs() < 1e-9, "{name}: {stats:?}");
        assert_eq!(Some(stats.max), values.iter().copied().reduce(f64::max), "{name}");
        assert_eq!(Some(stats.min), values.iter().copied().reduce(f64::min), "{name}");
        assert_eq!(stats.gust_3s.is_some(), name == "wind");
    }
}

#[test]
fn what_is_under_way_at_the_end_is_told() {
    let mut world = World::new(&config(&device("mast", TCP)), slave(0..0));
    world.run_until(300_000);
    assert!(world.stats.is_empty());
    world.watch.finish();
    world.run_until(300_000);
    let told: Vec<_> = world.stats.iter().map(|stats| stats.due).collect();
    assert_eq!(told, [600; 3], "half of it seen, all of it due");
    assert!(world.stats.iter().all(|stats| stats.n < 310));
}

#[test]
fn a_thinned_device_forwards_few_rows_and_those_around_an_alert_and_its_statistics_are_the_same() {
    let text = device("mast", TCP);
    let thinned = text.replace("interval_ms = 1000", "interval_ms = 1000\nforward_every_s = 30");
    let run = |text: &str| {
        let config = config(text);
        let mut world = World::new(&config, slave(900..920));
        world.run_until(1_500_000);
        let rows: Vec<Row> = world.rows.into_iter().map(|(_, row)| row).collect();
        (rows, world.stats, world.opened)
    };
    let ((all, stats, opened), (few, few_stats, few_opened)) = (run(&text), run(&thinned));
    assert_eq!((&stats, &opened), (&few_stats, &few_opened), "everything is judged and counted");
    assert_eq!(few.len(), few.iter().map(|row| row.time_ms).collect::<BTreeSet<_>>().len(), "none twice");

    assert!(!opened.is_empty(), "a silent device is an alert");
    let near = |row: &Row| opened.iter().any(|at| (row.time_ms - at).abs() <= 60_000);
    let around: Vec<&Row> = all.iter().filter(|row| near(row)).collect();
    let got: Vec<&Row> = few.iter().filter(|row| near(row)).collect();
    let sorted = |mut rows: Vec<Row>| {
        rows.sort_by_key(|row| row.time_ms);
        rows
    };
    assert_eq!(sorted(got.into_iter().cloned().collect()), sorted(around.into_iter().cloned().collect()));
    let quiet = few.iter().filter(|row| !near(row)).count();
    assert!((40..100).contains(&quiet), "{quiet}: one in 30 s, and those where a round failed");
}
