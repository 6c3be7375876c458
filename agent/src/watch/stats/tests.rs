use super::*;
use crate::config::Config;
use crate::time::Wall;
use proptest::prelude::*;
use windward_protocol::Value;

/// 2026-01-01T00:00:00Z.
const MIDNIGHT_MS: i64 = 1_767_225_600_000;
const WINDOW: u64 = 600_000;

/// A device with a wind speed, a direction and, five times slower, a temperature.
fn tally(interval_ms: u32) -> Tally {
    let text = format!(
        "agent = \"t\"\nfarm = \"f\"\ndata = \"/tmp/w\"\n[mqtt]\nhost = \"h\"\n[[device]]\nname = \"mast\"\n\
         modbus_tcp = {{ host = \"h\" }}\ninterval_ms = {interval_ms}\ntimeout_ms = 10\n\
         [[device.channel]]\nname = \"wind\"\nquantity = \"wind-speed\"\nunit = \"m/s\"\nregister = 0\ntype = \"f32\"\n\
         [[device.channel]]\nname = \"dir\"\nquantity = \"wind-direction\"\nunit = \"°\"\nregister = 2\ntype = \"f32\"\n\
         [[device.channel]]\nname = \"air\"\nquantity = \"temperature\"\nunit = \"°C\"\nregister = 4\ntype = \"f32\"\n\
         interval_ms = {}\n",
        5 * interval_ms
    );
    Tally::new(&Config::from_toml(&text, "test.toml").unwrap().devices[0])
}

/// A moment so many ms after midnight.
fn stamp(at_ms: u64) -> Stamp {
    Stamp { mono: Mono(5_000 + at_ms), wall: Wall(MIDNIGHT_MS + at_ms as i64), synced: true }
}

fn ok(value: f64) -> Reading {
    Ok(Value::F64(value))
}

const NOTHING: Reading = Err(NoData::NotDue);

/// One reading of the wind alone a row, every `interval_ms` from `from_ms` on.
fn feed(tally: &mut Tally, from_ms: u64, interval_ms: u64, readings: &[Reading]) -> Vec<Stats> {
    let times = (from_ms..).step_by(interval_ms as usize);
    times.zip(readings).flat_map(|(at, reading)| tally.observe(stamp(at), &[*reading, NOTHING, NOTHING])).collect()
}

#[test]
fn a_window_ends_with_the_first_row_of_the_next() {
    let mut tally = tally(1_000);
    let winds: Vec<Reading> = (0..1_201).map(|second| ok(if second % 2 == 0 { 8.0 } else { 10.0 })).collect();
    let stats = feed(&mut tally, 7, 1_000, &winds);
    let starts: Vec<i64> = stats.iter().map(|stats| stats.start_ms - MIDNIGHT_MS).collect();
    assert_eq!(starts, [0, WINDOW as i64]);
    let Stats { device, window_ms, n, due, mean, min, max, std, gust_3s, .. } = stats[0].clone();
    assert_eq!((device.as_str(), window_ms, n, due), ("mast", 600_000, 600, 600));
    assert!((mean - 9.0).abs() < 1e-12 && (std - 1.0).abs() < 1e-12, "{mean} {std}");
    assert_eq!((min, max, gust_3s), (8.0, 10.0, Some(28.0 / 3.0)));
}

#[test]
fn a_window_ends_without_a_row_when_its_time_is_over() {
    let mut tally = tally(1_000);
    assert_eq!(tally.poll_timeout(), None);
    feed(&mut tally, 599_000, 1_000, &[ok(7.0)]);
    let (at, _) = tally.poll_timeout().unwrap();
    assert_eq!(at, stamp(WINDOW).mono + GRACE_MS);
    assert_eq!(tally.handle_timeout(stamp(WINDOW)), [], "not before its time");
    let stats = tally.handle_timeout(stamp(WINDOW + GRACE_MS));
    assert_eq!(stats.len(), 1);
    assert_eq!(tally.poll_timeout(), None);
}

#[test]
fn what_was_not_seen_is_counted_as_due() {
    type Case = (&'static str, u64, usize, Reading, Option<(u32, u32)>);
    let cases: [Case; 6] = [
        ("whole", 0, 600, ok(1.0), Some((600, 600))),
        ("one reading fell into the next window", 500, 599, ok(1.0), Some((599, 599))),
        ("started in the middle", 300_000, 300, ok(1.0), Some((300, 600))),
        ("silent", 0, 600, Err(NoData::Timeout), Some((0, 600))),
        ("a sensor that sends no numbers", 0, 600, ok(f64::NAN), Some((0, 600))),
        ("rightly left out", 0, 600, Err(NoData::Empty), None),
    ];
    for (case, from_ms, count, reading, expected) in cases {
        let mut tally = tally(1_000);
        feed(&mut tally, from_ms, 1_000, &vec![reading; count]);
        let stats = tally.finish();
        let wind = stats.iter().find(|stats| stats.channel.name == "wind");
        assert_eq!(wind.map(|stats| (stats.n, stats.due)), expected, "{case}");
        if expected == Some((0, 600)) {
            let Stats { mean, min, max, std, gust_3s, .. } = wind.unwrap().clone();
            assert_eq!((mean, min, max, std, gust_3s), (0.0, 0.0, 0.0, 0.0, None), "{case}");
        }
    }
}

#[test]
fn a_slow_channel_is_due_at_its_own_rate() {
    let mut tally = tally(1_000);
    for second in 0..600 {
        let air = if second % 5 == 0 { ok(20.0) } else { NOTHING };
        tally.observe(stamp(second * 1_000), &[ok(9.0), ok(180.0), air]);
    }
    let due: Vec<_> = tally.finish().into_iter().map(|stats| (stats.n, stats.due)).collect();
    assert_eq!(due, [(600, 600), (600, 600), (120, 120)]);
}

#[test]
fn a_channel_that_speaks_less_often_than_its_device_is_not_missed_in_between() {
    let mut tally = tally(1_000);
    // Started in the middle; the direction comes every tenth time, by no plan of ours.
    for second in 300..600 {
        let dir = if second % 10 == 0 { ok(180.0) } else { NOTHING };
        tally.observe(stamp(second * 1_000), &[ok(9.0), dir, NOTHING]);
    }
    let due: Vec<_> = tally.finish().into_iter().map(|stats| (stats.n, stats.due)).collect();
    assert_eq!(due, [(300, 600), (30, 60)]);
}

#[test]
fn a_channel_slower_than_the_window_has_statistics_where_it_has_readings() {
    let mut tally = tally(240_000);
    let mut stats = Vec::new();
    for step in 0..10 {
        let air = if step % 5 == 0 { ok(20.0) } else { NOTHING };
        stats.extend(tally.observe(stamp(step * 240_000), &[ok(9.0), ok(180.0), air]));
    }
    let air: Vec<_> = stats.iter().filter(|stats| stats.channel.name == "air").collect();
    assert_eq!(air.iter().map(|stats| stats.start_ms - MIDNIGHT_MS).collect::<Vec<_>>(), [0, 1_200_000]);
    assert!(stats.iter().all(|stats| stats.gust_3s.is_none()), "nothing is known of gusts");
}

#[test]
fn directions_are_averaged_on_the_circle() {
    let of = |degrees: &[f64]| {
        let mut tally = tally(1_000);
        for (second, degrees) in (0..).zip(degrees) {
            tally.observe(stamp(second * 1_000), &[NOTHING, ok(*degrees), NOTHING]);
        }
        let stats = tally.finish().into_iter().find(|stats| stats.channel.name == "dir").unwrap();
        assert_eq!((stats.min, stats.max, stats.gust_3s), (0.0, 0.0, None), "a circle has no ends");
        (stats.mean, stats.std)
    };
    let off = |a: f64, b: f64| (a - b + 180.0).rem_euclid(360.0) - 180.0;
    let (mean, std) = of(&[350.0, 10.0]);
    assert!(off(mean, 0.0).abs() < 1e-9 && (std - 10.0).abs() < 0.03, "{mean} {std}");
    assert_eq!(of(&[0.0, 360.0]).0.round(), 0.0);
    let (mean, std) = of(&[90.0; 600]);
    assert!((mean - 90.0).abs() < 1e-9 && std < 1e-4, "{mean} {std}");
    let (_, std) = of(&[0.0, 90.0, 180.0, 270.0]);
    assert!((std - 103.92).abs() < 0.01, "all round: {std}");
}

#[test]
fn a_gust_is_three_seconds_without_a_hole() {
    let gust = |interval_ms: u32, winds: &[Reading]| {
        let mut tally = tally(interval_ms);
        feed(&mut tally, 0, interval_ms.into(), winds);
        tally.finish()[0].gust_3s
    };
    let hole = Err(NoData::Timeout);
    assert_eq!(gust(1_000, &[ok(3.0), ok(6.0), ok(9.0), ok(0.0)]), Some(6.0));
    assert_eq!(gust(1_000, &[ok(9.0), ok(9.0), hole, ok(9.0), ok(9.0)]), None);
    let left_out = |step: usize| if step == 30 { Err(NoData::Empty) } else { ok(9.0) };
    assert_eq!(gust(50, &(0..61).map(left_out).collect::<Vec<_>>()), None, "one value is left out");
    assert_eq!(gust(2_000, &[ok(9.0); 30]), None);
    let quick = |step: usize| ok(if (100..160).contains(&step) { 20.0 } else { 10.0 });
    assert_eq!(gust(50, &(0..400).map(quick).collect::<Vec<_>>()), Some(20.0), "60 readings of 20 Hz");
    let brief = |step: usize| ok(if (100..130).contains(&step) { 20.0 } else { 10.0 });
    assert_eq!(gust(50, &(0..400).map(brief).collect::<Vec<_>>()), Some(15.0), "half a gust is half as strong");
}

#[test]
fn rows_that_never_came_are_a_hole_in_a_gust_too() {
    let mut tally = tally(50);
    feed(&mut tally, 0, 50, &[ok(9.0); 30]);
    // Four readings of sixty are missing.
    feed(&mut tally, 1_700, 50, &[ok(9.0); 30]);
    assert_eq!(tally.finish()[0].gust_3s, None);
}

#[test]
fn a_gust_counts_in_the_window_in_which_it_ends() {
    let mut tally = tally(1_000);
    let stats = feed(&mut tally, 598_000, 1_000, &[ok(9.0), ok(9.0), ok(9.0), ok(1.0)]);
    assert_eq!(stats[0].gust_3s, None);
    assert_eq!(tally.finish()[0].gust_3s, Some(9.0));
}

#[test]
fn rows_without_a_set_clock_are_in_no_window() {
    let mut tally = tally(1_000);
    let unset = Stamp { synced: false, ..stamp(1_000) };
    assert_eq!(tally.observe(unset, &[ok(1.0), NOTHING, NOTHING]), []);
    assert_eq!(tally.poll_timeout(), None);
    feed(&mut tally, 2_000, 1_000, &[ok(4.0)]);
    assert_eq!(tally.finish()[0].n, 1);
}

#[test]
fn a_clock_that_is_set_back_neither_ends_the_window_early_nor_keeps_it_open() {
    let mut tally = tally(1_000);
    feed(&mut tally, 500_000, 1_000, &[ok(1.0)]);
    // By the clock there are still 200 s to go when the time first planned has come.
    let now = Stamp { wall: Wall(MIDNIGHT_MS + 400_000), ..stamp(WINDOW + GRACE_MS) };
    assert_eq!(tally.handle_timeout(now), []);
    assert_eq!(tally.poll_timeout().unwrap().0, now.mono + 200_000 + GRACE_MS);
    // Back into the window before: this one ends, that one begins anew, and says how little it has seen.
    let stats = tally.observe(Stamp { wall: Wall(MIDNIGHT_MS - 1_000), ..now }, &[ok(1.0), NOTHING, NOTHING]);
    assert_eq!(stats[0].start_ms, MIDNIGHT_MS);
    let stats = tally.finish();
    assert_eq!((stats[0].start_ms, stats[0].n, stats[0].due), (MIDNIGHT_MS - WINDOW as i64, 1, 600));
}

proptest! {
    #[test]
    fn figures_are_those_of_two_passes_over_the_values(
        offset in prop::sample::select(vec![0.0, -40.0, 1e6]),
        values in prop::collection::vec(prop::option::weighted(0.9, 0.0f64..60.0), 1..600),
    ) {
        let mut tally = tally(1_000);
        let reading = |value: &Option<f64>| value.map(|value| Value::F64(offset + value)).ok_or(NoData::Timeout);
        feed(&mut tally, 0, 1_000, &values.iter().map(reading).collect::<Vec<_>>());
        let stats = tally.finish().remove(0);
        let good: Vec<f64> = values.iter().flatten().map(|value| offset + value).collect();
        let n = good.len() as f64;
        // One reading of a whole window may fall into the next.
        let due = if values.len() == 599 { 599 } else { 600 };
        prop_assert_eq!((stats.n as usize, stats.due), (good.len(), due));
        if good.is_empty() {
            return Ok(());
        }
        let mean = good.iter().sum::<f64>() / n;
        let std = (good.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n).sqrt();
        prop_assert!((stats.mean - mean).abs() <= 1e-9 * offset.abs().max(1.0));
        prop_assert!((stats.std - std).abs() <= 1e-7, "{} {}", stats.std, std);
        prop_assert_eq!(stats.min, good.iter().copied().reduce(f64::min).unwrap());
        prop_assert_eq!(stats.max, good.iter().copied().reduce(f64::max).unwrap());
        let three = values.windows(3).filter_map(|three| Some((three[0]? + three[1]? + three[2]?) / 3.0 + offset));
        match (stats.gust_3s, three.reduce(f64::max)) {
            (Some(gust), Some(expected)) => prop_assert!((gust - expected).abs() <= 1e-9 * offset.abs().max(1.0)),
            (gust, expected) => prop_assert_eq!(gust, expected),
        }
    }
}
