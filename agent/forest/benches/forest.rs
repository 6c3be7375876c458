//! Speed and memory of the forest beside `krcflib`, a port of the AWS library.
//!
//! ```text
//! cargo bench -p windward-forest                                            # all shapes, some minutes
//! cargo bench -p windward-forest -- --shape 1x8x50 --forests 1 --quick      # dimensions x shingle x trees
//! ```
//! Both take the same streams in one program, in turns: a chunk of points ours, the same chunk theirs, several rounds of
//! that, after every sample is full. A point is scored and then taken in. Times are CPU times of the thread; a figure
//! is the median of its rounds. With several forests each has a stream of its own and they take turns point by point, as
//! the sensors of a gateway do. Bytes are those on the heap, divided by the forests; `allocs` are our allocations a point.
//!
//! Instructions a point do not depend on the machine's mood. The difference of two runs leaves out the start:
//! ```text
//! cargo bench -p windward-forest --no-run                                   # prints the program's path
//! valgrind --tool=callgrind --callgrind-out-file=/dev/null PROGRAM --only ours --shape 1x8x50 --points 4000
//! valgrind --tool=callgrind --callgrind-out-file=/dev/null PROGRAM --only ours --shape 1x8x50 --points 8000
//! ```
//! (second count of instructions less the first) / 4000 are ours; `--only krcflib` gives theirs.
//!
//! **The library's options.** As in the AWS library's `RandomCutForest.Builder` by default: `time_decay` 0.1 / 256,
//! `output_after` 64 (a quarter of the sample), a cached box for every node, no rotation, one thread. Every point is
//! accepted until a sample is full, as in version 2 of that library (`initial_accept_fraction` 1; the port's default is
//! 0.125); after the warm-up that makes no difference. Shingling is internal on both sides.
#![allow(clippy::unwrap_used, reason = "a benchmark may fail where it stands")]

#[path = "../tests/common/counting.rs"]
mod counting;
#[path = "../tests/common/noise.rs"]
mod noise;
#[path = "../tests/common/wind.rs"]
mod wind;

use cpu_time::ThreadTime;
use rcflib::rcf::{RCF, RCFBuilder, RCFOptionsBuilder};
use std::hint::black_box;
use wind::Wind;
use windward_forest::{Forest, Options};

const SAMPLE: usize = 256;
const SHAPES: [Shape; 5] = [shape(1, 1, 50), shape(1, 8, 50), shape(3, 8, 50), shape(8, 1, 50), shape(1, 8, 100)];
/// Inputs made before a run of one side alone: the same work for every number of points up to this one.
const LONGEST_RUN: usize = 20_000;

#[derive(Clone, Copy, PartialEq)]
struct Shape {
    dimensions: usize,
    shingle: usize,
    trees: usize,
}

const fn shape(dimensions: usize, shingle: usize, trees: usize) -> Shape {
    Shape { dimensions, shingle, trees }
}

fn main() {
    let arguments = match Arguments::read(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(wrong) => {
            eprintln!("{wrong}\noptions: [--shape DxSxT] [--forests N] [--quick] [--only ours|krcflib --points N]");
            std::process::exit(2);
        }
    };
    if let Some(side) = arguments.only {
        return run_alone(side, arguments.shape.unwrap_or(SHAPES[1]), arguments.points);
    }
    let shapes: Vec<Shape> = arguments.shape.map_or(SHAPES.to_vec(), |shape| vec![shape]);
    let forests: Vec<usize> = arguments.forests.map_or(vec![1, 64], |forests| vec![forests]);
    for &forests in &forests {
        for &shape in &shapes {
            compare(shape, forests, arguments.quick);
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Side {
    Ours,
    Krcflib,
}

#[derive(Default)]
struct Arguments {
    shape: Option<Shape>,
    forests: Option<usize>,
    quick: bool,
    only: Option<Side>,
    points: usize,
}

impl Arguments {
    fn read(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut arguments = Arguments { points: 4_000, ..Arguments::default() };
        // `cargo bench` says so; anything else, such as `cargo test --benches`, only wants to know that it runs.
        let mut benchmark = false;
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            match word.as_str() {
                "--bench" => benchmark = true,
                "--quick" => arguments.quick = true,
                "--shape" => arguments.shape = Some(read_shape(&value()?)?),
                "--forests" => arguments.forests = Some(read_number(&value()?)?),
                "--points" => arguments.points = read_number(&value()?)?,
                "--only" => {
                    arguments.only = Some(match value()?.as_str() {
                        "ours" => Side::Ours,
                        "krcflib" => Side::Krcflib,
                        other => return Err(format!("no such side: {other}")),
                    });
                }
                other => return Err(format!("unknown option: {other}")),
            }
        }
        if arguments.points > LONGEST_RUN {
            return Err(format!("at most {LONGEST_RUN} points"));
        }
        if !benchmark && arguments.only.is_none() {
            arguments.shape = arguments.shape.or(Some(SHAPES[0]));
            arguments.forests = arguments.forests.or(Some(1));
            arguments.quick = true;
        }
        Ok(arguments)
    }
}

fn read_shape(word: &str) -> Result<Shape, String> {
    let parts: Vec<usize> = word.split('x').map(read_number).collect::<Result<_, _>>()?;
    match parts[..] {
        [dimensions, shingle, trees] => Ok(Shape { dimensions, shingle, trees }),
        _ => Err(format!("{word} is no shape; 1x8x50 is one")),
    }
}

fn read_number(word: &str) -> Result<usize, String> {
    word.parse().ok().filter(|&number| number > 0).ok_or(format!("{word} is no number of something"))
}

/// Times both sides on the same streams and prints one line.
fn compare(shape: Shape, forests: usize, quick: bool) {
    let warm_up = if quick { 600 } else { 2_000 + shape.shingle };
    let (rounds, chunk) = match (quick, forests) {
        (true, 1) => (5, 300),
        (true, _) => (3, 10),
        (false, 1) => (15, 1_000),
        (false, _) => (9, 50),
    };
    let mut streams: Vec<Wind> = (0..forests).map(|seed| Wind::new(seed as u64, shape.dimensions)).collect();
    // One forest's inputs stand together, so that the warm-up can go forest by forest and stays in the cache.
    let first = inputs(&mut streams, shape, warm_up);

    let before = counting::bytes_held();
    let mut ours: Vec<Forest> = (0..forests).map(|seed| our_forest(shape, seed as u64)).collect();
    for (forest, inputs) in ours.iter_mut().zip(&first) {
        inputs.chunks(shape.dimensions).for_each(|input| take_ours(forest, input));
    }
    let our_bytes = counting::bytes_held() - before;

    let before = counting::bytes_held();
    let mut theirs: Vec<Box<dyn RCF>> = (0..forests).map(|seed| their_forest(shape, seed as u64)).collect();
    for (forest, inputs) in theirs.iter_mut().zip(&first) {
        inputs.chunks(shape.dimensions).for_each(|input| take_theirs(forest.as_mut(), input));
    }
    let their_bytes = counting::bytes_held() - before;

    let (mut our_times, mut their_times, mut allocations) = (vec![], vec![], 0);
    for _ in 0..rounds {
        let inputs = inputs(&mut streams, shape, chunk);
        let before = counting::allocations();
        let our_time = time_a_point(shape, &inputs, |forest, input| take_ours(&mut ours[forest], input));
        allocations += counting::allocations() - before;
        our_times.push(our_time);
        their_times.push(time_a_point(shape, &inputs, |forest, input| take_theirs(theirs[forest].as_mut(), input)));
    }
    let (our_ns, their_ns) = (median(our_times), median(their_times));
    println!(
        "forest dims={} shingle={} trees={} forests={forests} ours_ns={our_ns:.0} krcflib_ns={their_ns:.0} ratio={:.2} \
         ours_bytes={} krcflib_bytes={} allocs={}",
        shape.dimensions,
        shape.shingle,
        shape.trees,
        their_ns / our_ns,
        our_bytes / forests as i64,
        their_bytes / forests as i64,
        allocations as f64 / (rounds * chunk * forests) as f64,
    );
}

/// The next `count` inputs of each stream, one after the other.
fn inputs(streams: &mut [Wind], shape: Shape, count: usize) -> Vec<Vec<f32>> {
    let next = |stream: &mut Wind| {
        let mut inputs = vec![0.0; count * shape.dimensions];
        inputs.chunks_mut(shape.dimensions).for_each(|input| stream.next_into(input));
        inputs
    };
    streams.iter_mut().map(next).collect()
}

/// CPU time in nanoseconds that `take` needs for a point, the forests in turns. The clock is read once for all.
fn time_a_point(shape: Shape, inputs: &[Vec<f32>], mut take: impl FnMut(usize, &[f32])) -> f64 {
    let count = inputs[0].len() / shape.dimensions;
    let start = ThreadTime::now();
    for at in 0..count {
        for (forest, inputs) in inputs.iter().enumerate() {
            take(forest, &inputs[at * shape.dimensions..][..shape.dimensions]);
        }
    }
    start.elapsed().as_nanos() as f64 / (count * inputs.len()) as f64
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// One forest of one side over the first `points` of a stream, for a profiler.
fn run_alone(side: Side, shape: Shape, points: usize) {
    let inputs = inputs(&mut [Wind::new(0, shape.dimensions)], shape, LONGEST_RUN).remove(0);
    let inputs = inputs.chunks(shape.dimensions).take(points);
    match side {
        Side::Ours => {
            let mut forest = our_forest(shape, 0);
            inputs.for_each(|input| take_ours(&mut forest, input));
        }
        Side::Krcflib => {
            let mut forest = their_forest(shape, 0);
            inputs.for_each(|input| take_theirs(forest.as_mut(), input));
        }
    }
}

fn take_ours(forest: &mut Forest, input: &[f32]) {
    black_box(forest.observe(input).unwrap());
}

fn take_theirs(forest: &mut dyn RCF, input: &[f32]) {
    black_box(forest.score(input).unwrap());
    forest.update(input, 0).unwrap();
}

fn our_forest(shape: Shape, seed: u64) -> Forest {
    let Shape { dimensions, shingle, trees } = shape;
    Forest::new(Options { dimensions, shingle, trees, sample_size: SAMPLE, seed, ..Options::default() }).unwrap()
}

fn their_forest(shape: Shape, seed: u64) -> Box<dyn RCF> {
    RCFBuilder::new(shape.dimensions, shape.shingle)
        .tree_capacity(SAMPLE)
        .number_of_trees(shape.trees)
        .random_seed(seed)
        .parallel_enabled(false)
        .internal_shingling(true)
        .internal_rotation(false)
        .time_decay(0.1 / SAMPLE as f64)
        .initial_accept_fraction(1.0)
        .bounding_box_cache_fraction(1.0)
        .output_after(SAMPLE / 4)
        .build_default()
        .unwrap()
}
