//! What judging costs: the whole judge of a device, forests, pairs, health rules and alarms, on wind of 10 Hz.
//!
//! ```text
//! cargo bench -p windward-agent --bench detector                            # all shapes, about two minutes
//! cargo bench -p windward-agent --bench detector -- --shape 8x8 --quick     # devices x channels of each
//! ```
//! All channels are anemometers that feel the same gusts: the dearest there is, for each is held against others and
//! watched for gusts. Devices take turns row by row, as on a gateway. One line a shape:
//!
//! - `ns_per_reading`: CPU time of the thread for one reading of one channel, median of the rounds, after half an hour of
//!   readings; `core_share_at_10hz` is what that makes of a core with every channel read ten times a second.
//! - `allocs_per_row`: allocations for one row of one device.
//! - `bytes_per_channel`, `saved_bytes`, `save_us`, `restore_us`: heap of a channel; all parts of a device's checkpoint,
//!   and the CPU time to make them and to go on from them. All of a device that has learned for so long that its forests
//!   are full, which takes those of the hours three weeks; made here by giving as many rows as 10-minute values to another
//!   device, and then going on from those forests, which rest as they do beside a fast sensor.
//! - `readings_bytes`, `rows_bytes`, `hours_bytes`: the parts, the last for one channel; `a_day_bytes`: what of them is
//!   written in a day for all devices, with the usual checkpoints, each 15 minutes or six hours.
//! - `opened`: alerts in all the rows of 10 Hz. The wind is a wind that all sensors measure well.
//!
//! Instructions do not depend on the machine's mood. The difference of two runs leaves out the start:
//! ```text
//! cargo bench -p windward-agent --bench detector --no-run                   # prints the program's path
//! valgrind --tool=callgrind --callgrind-out-file=10 PROGRAM --shape 1x8 --rows 10000
//! valgrind --tool=callgrind --callgrind-out-file=20 PROGRAM --shape 1x8 --rows 20000
//! ```
//! (second count less the first) / 10,000 are those of a row. `callgrind_annotate` tells them by function, and for code
//! that was inlined by the file it stands in. `--trees N` says what of it are the forests; `--distinct` gives every
//! channel another quantity as far as there are any, and so leaves out pairs and gusts; `--rules N` has so many rules watch
//! each channel, on windows of ten seconds; `--saves N` makes checkpoints.
#![allow(clippy::unwrap_used, reason = "a benchmark may fail where it stands")]

#[path = "../forest/tests/common/counting.rs"]
mod counting;
#[path = "../forest/tests/common/noise.rs"]
mod noise;
#[path = "../forest/tests/common/wind.rs"]
mod wind;

use cpu_time::ThreadTime;
use std::collections::BTreeMap;
use std::hint::black_box;
use wind::Wind;
use windward_agent::time::{Mono, Stamp, Wall};
use windward_agent::watch::checkpoint::Part;
use windward_agent::watch::judge::{
    Bounds, DetectConfig, Judge, JudgeChannel, JudgeDevice, Limit, Over, Rule, Statistic,
};
use windward_protocol::{AlertPhase, Channel, Quantity, Reading, Severity, Value};

const SHAPES: [Shape; 4] = [shape(1, 1), shape(1, 8), shape(8, 8), shape(1, 64)];
/// Time between rows, ms: that of a fast sensor, and one that fills the forests of the hours in 1,100 rows.
const FAST_MS: u32 = 100;
const SLOW_MS: u32 = 600_000;
/// Rows before anything is measured. The forests take fewer rows in as they grow old, down to one in fifty.
const WARM_UP: usize = 18_000;
const FILL: usize = 1_500;
/// Midnight of 2026-01-01.
const START_MS: i64 = 1_767_225_600_000;

#[derive(Clone, Copy)]
struct Shape {
    devices: usize,
    channels: usize,
}

const fn shape(devices: usize, channels: usize) -> Shape {
    Shape { devices, channels }
}

fn main() {
    let arguments = match Arguments::read(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(wrong) => {
            eprintln!(
                "{wrong}\noptions: [--shape DxC] [--quick] [--trees N] [--distinct] [--rules N] [--rows N] \
                 [--saves N]\n\
                 --rows and --saves only do that, for a profiler"
            );
            std::process::exit(2);
        }
    };
    let shapes: Vec<Shape> = arguments.shape.map_or(SHAPES.to_vec(), |shape| vec![shape]);
    for shape in shapes {
        if arguments.rows > 0 {
            let mut farm = Farm::new(shape, FAST_MS, &arguments);
            farm.take(arguments.rows);
        } else if arguments.saves > 0 {
            let mut farm = Farm::new(shape, SLOW_MS, &arguments);
            farm.take(FILL);
            (0..arguments.saves).for_each(|_| drop(saved(&farm.judges[0])));
        } else {
            measure(shape, &arguments);
        }
    }
}

#[derive(Default)]
struct Arguments {
    shape: Option<Shape>,
    quick: bool,
    trees: Option<usize>,
    distinct: bool,
    rules: usize,
    rows: usize,
    saves: usize,
}

impl Arguments {
    fn read(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut arguments = Arguments::default();
        // `cargo bench` says so; anything else, such as `cargo test --benches`, only wants to know that it runs.
        let mut benchmark = false;
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            match word.as_str() {
                "--bench" => benchmark = true,
                "--quick" => arguments.quick = true,
                "--distinct" => arguments.distinct = true,
                "--shape" => arguments.shape = Some(read_shape(&value()?)?),
                "--trees" => arguments.trees = Some(read_number(&value()?)?),
                "--rules" => arguments.rules = read_number(&value()?)?,
                "--rows" => arguments.rows = read_number(&value()?)?,
                "--saves" => arguments.saves = read_number(&value()?)?,
                other => return Err(format!("unknown option: {other}")),
            }
        }
        if !benchmark {
            arguments.shape = arguments.shape.or(Some(SHAPES[0]));
            arguments.quick = true;
        }
        Ok(arguments)
    }
}

fn read_shape(word: &str) -> Result<Shape, String> {
    let (devices, channels) = word.split_once('x').ok_or(format!("{word} is no shape; 8x8 is one"))?;
    Ok(shape(read_number(devices)?, read_number(channels)?))
}

fn read_number(word: &str) -> Result<usize, String> {
    word.parse().ok().filter(|&number| number > 0).ok_or(format!("{word} is no number of something"))
}

/// Prints the line of a shape.
fn measure(shape: Shape, arguments: &Arguments) {
    let (warm_up, rounds, chunk) = if arguments.quick { (1_000, 3, 100) } else { (WARM_UP, 15, 200) };
    let mut farm = Farm::new(shape, FAST_MS, arguments);
    farm.take(warm_up);
    let (mut times, mut allocations) = (Vec::new(), 0);
    for _ in 0..rounds {
        let cost = farm.take(chunk);
        times.push(cost.ns / (chunk * shape.devices * shape.channels) as f64);
        allocations += cost.allocations;
    }
    let (ns, opened) = (median(times), farm.opened);
    let mut parts = saved(&farm.judges[0]);
    drop(farm);

    let device = self::shape(1, shape.channels);
    let mut full = Farm::new(device, SLOW_MS, arguments);
    full.take(FILL);
    let hours = saved(&full.judges[0]).into_iter().filter(|(part, _)| matches!(part, Part::Hours(_)));
    parts.extend(hours);
    let bytes_of = |part| parts.get(&part).map_or(0, Vec::len);
    let forests = parts.values().map(Vec::len).sum::<usize>() - bytes_of(Part::Readings);
    let before = counting::bytes_held();
    let mut judge = Judge::new(of_device(device, 0, FAST_MS, arguments), &config(arguments), 0);
    let at = full.stamp();
    let restore = median_of_five(|| {
        parts.iter().for_each(|(part, bytes)| judge.restore(*part, black_box(bytes), at, at.wall).unwrap());
    });
    let held = counting::bytes_held() - before;
    let save = median_of_five(|| drop(black_box(saved(&judge))));
    println!(
        "detector devices={} channels={} ns_per_reading={ns:.0} core_share_at_10hz={:.2}% bytes_per_channel={} \
         allocs_per_row={:.1} saved_bytes={} save_us={:.0} restore_us={:.0} \
         readings_bytes={} rows_bytes={} hours_bytes={} a_day_bytes={} opened={opened}",
        shape.devices,
        shape.channels,
        ns * 10.0 * (shape.devices * shape.channels) as f64 / 1e9 * 100.0,
        held / shape.channels as i64,
        allocations as f64 / (rounds * chunk * shape.devices) as f64,
        forests + bytes_of(Part::Readings),
        save / 1e3,
        restore / 1e3,
        bytes_of(Part::Readings),
        bytes_of(Part::Rows),
        bytes_of(Part::Hours(0)),
        shape.devices * (96 * bytes_of(Part::Readings) + 4 * forests),
    );
}

/// All parts of what a judge keeps.
fn saved(judge: &Judge) -> BTreeMap<Part, Vec<u8>> {
    let part = |part| {
        let mut bytes = Vec::new();
        judge.save(part, &mut bytes);
        (part, bytes)
    };
    judge.parts().into_iter().map(part).collect()
}

/// The judges of all devices, and their wind.
struct Farm {
    judges: Vec<Judge>,
    streams: Vec<Wind>,
    interval_ms: u32,
    channels: usize,
    row: u64,
    /// Alerts that have opened.
    opened: usize,
}

/// What some rows have cost.
struct Cost {
    ns: f64,
    allocations: u64,
}

impl Farm {
    fn new(shape: Shape, interval_ms: u32, arguments: &Arguments) -> Self {
        let judge =
            |index| Judge::new(of_device(shape, index, interval_ms, arguments), &config(arguments), index as u64);
        let streams = (0..shape.devices).map(|device| Wind::new(device as u64, shape.channels));
        Farm {
            judges: (0..shape.devices).map(judge).collect(),
            streams: streams.collect(),
            interval_ms,
            channels: shape.channels,
            row: 0,
            opened: 0,
        }
    }

    /// Has so many rows of each device judged, the devices in turns. The rows are made first.
    fn take(&mut self, rows: usize) -> Cost {
        let mut input = vec![0.0; self.channels];
        let mut next = |wind: &mut Wind| {
            wind.next_into(&mut input);
            input.iter().map(|&speed| reading(speed)).collect::<Vec<_>>()
        };
        let rows: Vec<Vec<Vec<Reading>>> =
            (0..rows).map(|_| self.streams.iter_mut().map(&mut next).collect()).collect();
        let (start, before) = (ThreadTime::now(), counting::allocations());
        for row in &rows {
            let stamp = self.stamp();
            for (judge, readings) in self.judges.iter_mut().zip(row) {
                let judged = black_box(judge.judge(stamp, readings));
                self.opened += judged.alerts.iter().filter(|alert| alert.phase == AlertPhase::Open).count();
            }
            self.row += 1;
        }
        Cost { ns: start.elapsed().as_nanos() as f64, allocations: counting::allocations() - before }
    }

    fn stamp(&self) -> Stamp {
        let since_ms = self.row * u64::from(self.interval_ms);
        Stamp { mono: Mono(since_ms), wall: Wall(START_MS + since_ms as i64), synced: true }
    }
}

/// A speed as registers give it, in hundredths.
fn reading(speed: f32) -> Reading {
    Ok(Value::Int { mantissa: (speed.max(0.0) * 100.0).round() as i64, exponent: -2 })
}

fn config(arguments: &Arguments) -> DetectConfig {
    let usual = DetectConfig::default();
    DetectConfig { trees: arguments.trees.unwrap_or(usual.trees), ..usual }
}

fn of_device(shape: Shape, index: usize, interval_ms: u32, arguments: &Arguments) -> JudgeDevice {
    use Quantity::{Current, Humidity, Other, Power, Pressure, RotorSpeed, Temperature, Vibration, Voltage};
    let distinct = [Other, Temperature, Humidity, Pressure, Power, RotorSpeed, Vibration, Voltage, Current];
    let channel = |nth: usize| {
        let quantity = if arguments.distinct { distinct[nth % distinct.len()] } else { Quantity::WindSpeed };
        let channel = Channel { name: format!("channel-{nth}"), quantity, unit: "m/s".into() };
        JudgeChannel { channel, detect: true, rules: (0..arguments.rules).map(rule).collect() }
    };
    JudgeDevice {
        device: format!("device-{index}"),
        location: "bench".into(),
        interval_ms,
        channels: (0..shape.channels).map(channel).collect(),
    }
}

/// A limit that no wind passes, on each statistic in turn.
fn rule(nth: usize) -> Rule {
    use Statistic::{Change, Count, Deviation, Max, Mean, Min, Range, Std};
    let statistics = [Mean, Max, Min, Range, Std, Count, Change, Deviation { history: 6 }];
    Rule {
        name: format!("rule-{nth}"),
        over: Over::Windows { length_ms: 10_000, statistic: statistics[nth % statistics.len()] },
        bounds: Bounds { above: Some(Limit { at: 1e6, clear: 1e6 }), below: None },
        for_windows: 1,
        severity: Severity::Warning,
        say: String::new(),
    }
}

/// CPU time in nanoseconds.
fn median_of_five(mut work: impl FnMut()) -> f64 {
    let mut time = || {
        let start = ThreadTime::now();
        work();
        start.elapsed().as_nanos() as f64
    };
    median((0..5).map(|_| time()).collect())
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
