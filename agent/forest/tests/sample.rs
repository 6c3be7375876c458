//! What the trees keep of a stream, as far back as the decay says and no farther.
//!
//! A stream of two values is counted through the score: in a tree of two leaves the score of a value tells how often it
//! stands in the sample.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

use windward_forest::{Forest, Options};

const SAMPLE: usize = 256;

#[test]
fn a_sample_is_as_recent_as_its_decay_says() {
    for (time_decay, points, last) in [
        (0.0, 400, 100),
        (0.0, 3_000, 1_000),
        (0.1 / 256.0, 3_000, 300),
        (0.1 / 256.0, 6_000, 2_000),
        (0.01, 2_000, 100),
        (0.1, 2_000, 250),
    ] {
        let counts: Vec<f64> = (0..150).map(|seed| count_of_the_last(time_decay, points, last, seed)).collect();
        is_about(&counts, expected(time_decay, points, last), &format!("decay {time_decay}, {last} of {points}"));
    }
}

#[test]
fn a_sample_is_as_recent_after_half_a_million_points_as_after_a_few_thousand() {
    for (time_decay, last) in [(0.1 / 256.0, 1_500), (0.1, 250)] {
        let counts: Vec<f64> = (0..60).map(|seed| count_of_the_last(time_decay, 500_000, last, seed)).collect();
        // What came more than some tens of lifetimes ago weighs nothing.
        is_about(&counts, expected(time_decay, 60_000, last), &format!("decay {time_decay}, {last}"));
    }
    let counts: Vec<f64> = (0..60).map(|seed| count_of_the_last(0.0, 500_000, 250_000, seed)).collect();
    is_about(&counts, 128.0, "no decay, half of all");
}

/// How many of the stream's `last` points, which are 1 where those before are 0, stand in the one tree's sample.
fn count_of_the_last(time_decay: f64, points: usize, last: usize, seed: u64) -> f64 {
    let options = Options { trees: 1, sample_size: SAMPLE, time_decay, seed, ..Options::default() };
    let mut forest = Forest::new(options).unwrap();
    for at in 0..points {
        forest.update(&[if at + last >= points { 1.0 } else { 0.0 }]).unwrap();
    }
    let score = forest.score(&[1.0]).unwrap().unwrap();
    let apart = |count: usize| (score_of(count) - score).abs();
    let nearest = (0..=SAMPLE).min_by(|&a, &b| apart(a).total_cmp(&apart(b))).unwrap();
    assert!(apart(nearest) < 1e-4, "{score} is no score of such a tree");
    nearest as f64
}

/// The score of a value that stands `count` times in a full sample of two values.
fn score_of(count: usize) -> f64 {
    let (count, all) = (count as f64, SAMPLE as f64);
    let depth = if count == all { 0.0 } else { 1.0 };
    let score = if count == 0.0 { 1.0 } else { (1.0 - count / (2.0 * all)) / (depth + (count + 1.0).log2()) };
    score * (all + 1.0).log2()
}

/// How many of the last points are kept on average. A point is kept where its exponentially distributed key is below
/// the sample's threshold, and that lies where the chances of all points sum to the sample's size.
fn expected(time_decay: f64, points: usize, last: usize) -> f64 {
    let chance = |age: usize, threshold: f64| 1.0 - (-threshold * (-time_decay * age as f64).exp()).exp();
    let kept = |ages: usize, threshold: f64| (0..ages).map(|age| chance(age, threshold)).sum::<f64>();
    let (mut low, mut high) = (0.0, 1e12);
    for _ in 0..200 {
        let middle = (low + high) / 2.0;
        if kept(points, middle) < SAMPLE as f64 { low = middle } else { high = middle }
    }
    kept(last, low)
}

/// Within five standard errors, and half a point for the threshold's own spread.
fn is_about(counts: &[f64], expected: f64, what: &str) {
    let number = counts.len() as f64;
    let mean = counts.iter().sum::<f64>() / number;
    let variance = counts.iter().map(|count| (count - mean) * (count - mean)).sum::<f64>() / (number - 1.0);
    let allowed = 5.0 * (variance / number).sqrt() + 0.5;
    assert!((mean - expected).abs() <= allowed, "{what}: mean {mean}, expected {expected}, allowed {allowed}");
}
