//! Scores beside those of `krcflib`, a port of the AWS library: the same scale, the same points above a threshold.
//!
//! Two forests never give the same scores, for they draw different cuts and samples; what may be expected is that ours
//! is as near to the library's as the library's is to its own with another seed. Each side's score of a point is the mean
//! over a few seeds. All seeds are fixed.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

#[path = "common/noise.rs"]
mod noise;
#[path = "common/wind.rs"]
mod wind;

use noise::Noise;
use rcflib::rcf::{RCFBuilder, RCFOptionsBuilder};
use wind::Wind;
use windward_forest::{Forest, Options};

const SEEDS: u64 = 6;
/// Points of a stream, and how many of them go before the first that is compared.
const POINTS: usize = 4_000;
const WARM_UP: usize = 500;

/// What the library's scores differ by from its own with other seeds (measured on these streams, six seeds a side) is
/// about 0.008 in the mean, 0.03 in the quantiles (0.1 in the last, which a few lumps of equal values make up) and 0.2 at
/// most in a single point. Ours may differ by twice that at most.
const MEAN: f64 = 0.02;
const QUANTILES: [(f64, f64); 4] = [(0.05, 0.04), (0.5, 0.04), (0.95, 0.06), (0.99, 0.2)];
const POINT: f64 = 0.4;
/// Both sides are above a threshold or below it, but for points whose score lies this close to it.
const NEAR: f64 = 0.2;
/// Spearman's; usual scores lie so close together that their order is partly chance (the library with itself: 0.95).
const RANKS: f64 = 0.92;

#[test]
fn normal_numbers_score_alike() {
    let mut noise = Noise(1);
    alike(1, 4, &stream(|_| 8.0 + noise.next()));
}

#[test]
fn turbulent_wind_scores_alike() {
    alike(1, 8, &wind(1));
}

#[test]
fn wind_of_three_sensors_scores_alike() {
    alike(3, 4, &wind(3));
}

#[test]
fn a_step_scores_alike_until_it_is_usual() {
    let mut noise = Noise(2);
    let step = stream(|at| noise.next() + if at >= POINTS / 2 { 8.0 } else { 0.0 });
    alike(1, 1, &step);
    alike(1, 4, &step);
}

#[test]
fn spikes_small_and_large_score_alike() {
    let mut noise = Noise(3);
    alike(1, 1, &stream(|at| noise.next() + if at % 200 == 199 { (at / 200) as f32 } else { 0.0 }));
}

#[test]
fn rounded_values_that_come_again_and_again_score_alike() {
    let rounded: Vec<f32> = wind(1).iter().map(|value| (value * 2.0).round() / 2.0).collect();
    alike(1, 1, &rounded);
}

#[test]
fn a_sensor_that_sticks_at_times_scores_alike() {
    let mut noise = Noise(4);
    alike(1, 2, &stream(|at| if at % 1_500 > 1_000 { 5.0 } else { noise.next() }));
}

/// Compares the scores of the stream's points one by one, as a distribution, by rank, and at the thresholds 2 and 3.
fn alike(dimensions: usize, shingle: usize, stream: &[f32]) {
    let (ours, theirs) = (ours(dimensions, shingle, stream), theirs(dimensions, shingle, stream));
    let mean = |scores: &[f64]| scores.iter().sum::<f64>() / scores.len() as f64;
    close("mean", mean(&ours), mean(&theirs), MEAN);
    for (share, allowed) in QUANTILES {
        close(&format!("quantile {share}"), quantile(&ours, share), quantile(&theirs, share), allowed);
    }
    for (at, (&ours, &theirs)) in ours.iter().zip(&theirs).enumerate() {
        close(&format!("point {at}"), ours, theirs, POINT);
    }
    for threshold in [2.0, 3.0] {
        let clear = ours.iter().zip(&theirs).filter(|&(_, &theirs)| (theirs - threshold).abs() > NEAR);
        for (&ours, &theirs) in clear {
            assert!((ours > threshold) == (theirs > threshold), "threshold {threshold}: ours {ours}, theirs {theirs}");
        }
    }
    let correlation = rank_correlation(&ours, &theirs);
    assert!(correlation > RANKS, "ranks: {correlation}");
}

fn close(what: &str, ours: f64, theirs: f64, allowed: f64) {
    assert!((ours - theirs).abs() <= allowed, "{what}: ours {ours}, theirs {theirs}");
}

fn stream(value: impl FnMut(usize) -> f32) -> Vec<f32> {
    (0..POINTS).map(value).collect()
}

fn wind(dimensions: usize) -> Vec<f32> {
    let mut wind = Wind::new(5, dimensions);
    let mut inputs = vec![0.0; POINTS * dimensions];
    inputs.chunks_mut(dimensions).for_each(|input| wind.next_into(input));
    inputs
}

fn ours(dimensions: usize, shingle: usize, stream: &[f32]) -> Vec<f64> {
    let forests = (0..SEEDS).map(|seed| {
        let mut forest = Forest::new(Options { dimensions, shingle, seed, ..Options::default() }).unwrap();
        move |input: &[f32]| forest.observe(input).unwrap().unwrap_or(0.0)
    });
    mean_scores(stream.chunks(dimensions), forests)
}

/// With the options that `benches/forest.rs` explains.
fn theirs(dimensions: usize, shingle: usize, stream: &[f32]) -> Vec<f64> {
    let forests = (0..SEEDS).map(|seed| {
        let mut forest = RCFBuilder::new(dimensions, shingle)
            .random_seed(seed)
            .initial_accept_fraction(1.0)
            .output_after(64)
            .build_default()
            .unwrap();
        move |input: &[f32]| {
            let score = forest.generic_score(input, 0, seen, unseen, damp, normal).unwrap();
            forest.update(input, 0).unwrap();
            score
        }
    });
    mean_scores(stream.chunks(dimensions), forests)
}

/// The parts of the library's score. They are given to the port for one of them: it counts a point that stands several
/// times in a sample once too few (its `increase_leaf_mass` keeps the repeats alone, its `mass` takes them for all; the
/// Java library adds the one). A point that stands there twice is still taken for one that stands there once.
fn seen(depth: usize, mass: usize) -> f64 {
    1.0 / (depth as f64 + (counted(mass) + 1.0).log2())
}

fn unseen(depth: usize, _mass: usize) -> f64 {
    1.0 / (depth as f64 + 1.0)
}

fn damp(mass: usize, of: usize) -> f64 {
    1.0 - counted(mass) / (2.0 * of as f64)
}

fn normal(score: f64, of: usize) -> f64 {
    score * (of as f64 + 1.0).log2()
}

fn counted(mass: usize) -> f64 {
    if mass > 1 { mass as f64 + 1.0 } else { 1.0 }
}

/// The mean score of each point after the warm-up.
fn mean_scores<'a, F: FnMut(&[f32]) -> f64>(
    inputs: impl Iterator<Item = &'a [f32]> + Clone,
    forests: impl Iterator<Item = F>,
) -> Vec<f64> {
    let mut means = vec![0.0; POINTS - WARM_UP];
    for mut forest in forests {
        for (at, input) in inputs.clone().enumerate() {
            let score = forest(input);
            if at >= WARM_UP {
                means[at - WARM_UP] += score / SEEDS as f64;
            }
        }
    }
    means
}

fn quantile(values: &[f64], share: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * share) as usize]
}

fn rank_correlation(x: &[f64], y: &[f64]) -> f64 {
    let (x, y) = (ranks(x), ranks(y));
    let n = x.len() as f64;
    let squares: f64 = x.iter().zip(&y).map(|(x, y)| (x - y) * (x - y)).sum();
    1.0 - 6.0 * squares / (n * (n * n - 1.0))
}

fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    for (rank, &at) in order.iter().enumerate() {
        ranks[at] = rank as f64;
    }
    ranks
}
