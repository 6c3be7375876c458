//! The forest beside an exact and slow one: the score that a random cut tree gives on average, worked out over all cuts
//! instead of drawn.
//!
//! All seeds are fixed: a run that passes passes always.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

#[path = "common/exact.rs"]
mod exact;

use exact::{Mean, Sample, all, exact, seeds, small};
use std::collections::BTreeMap;
use windward_forest::Options;

#[test]
fn the_mean_score_is_the_exact_one_for_points_seen_between_and_outside() {
    let cases: [(Points, Points); 4] = [
        (&[&[5.0]], &[&[5.0], &[6.0]]),
        (&[&[0.0], &[1.0], &[3.0], &[7.0], &[8.0]], &[&[0.0], &[3.0], &[2.0], &[5.0], &[-4.0], &[30.0]]),
        (
            &[&[0.0, 0.0], &[1.0, 4.0], &[2.0, 1.0], &[6.0, 5.0], &[7.0, 2.0], &[3.0, 9.0]],
            &[&[6.0, 5.0], &[3.0, 3.0], &[9.0, 3.0], &[-2.0, 12.0], &[0.0, 8.0]],
        ),
        (
            &[&[0.0, 0.0, 3.0], &[1.0, 4.0, 1.0], &[2.0, 1.0, 0.0], &[6.0, 5.0, 2.0], &[7.0, 2.0, 8.0]],
            &[&[2.0, 1.0, 0.0], &[3.0, 3.0, 3.0], &[9.0, 3.0, -1.0], &[-2.0, 12.0, 40.0]],
        ),
    ];
    for (points, queries) in cases {
        let options = Options { dimensions: points[0].len(), sample_size: 8, ..small() };
        compare(&options, points, queries, &[(all(points), 1.0)]);
    }
}

#[test]
fn points_that_stand_several_times_in_the_sample_count_several_times() {
    let points: [&[f32]; 8] =
        [&[1.0, 1.0], &[1.0, 1.0], &[4.0, 2.0], &[1.0, 1.0], &[4.0, 2.0], &[0.0, 7.0], &[9.0, 7.0], &[1.0, 1.0]];
    let queries: [&[f32]; 5] = [&[1.0, 1.0], &[4.0, 2.0], &[9.0, 7.0], &[2.0, 2.0], &[1.0, 12.0]];
    let options = Options { dimensions: 2, sample_size: 8, ..small() };
    compare(&options, &points, &queries, &[(all(&points), 1.0)]);
}

#[test]
fn only_repeats_of_one_point_are_exact_too() {
    let options = Options { sample_size: 4, ..small() };
    let points: [&[f32]; 4] = [&[2.5]; 4];
    compare(&options, &points, &[&[2.5], &[2.0], &[700.0]], &[(all(&points), 1.0)]);
}

#[test]
fn shingles_of_a_stream_are_points_of_its_last_inputs() {
    let stream: [f32; 8] = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0];
    for shingle in [2, 3] {
        let shingles: Vec<&[f32]> = stream.windows(shingle).collect();
        let options = Options { shingle, sample_size: 8, ..small() };
        for next in [5.0, 0.0, 20.0] {
            let query: Vec<f32> = stream[stream.len() - shingle + 1..].iter().copied().chain([next]).collect();
            let inputs: Vec<&[f32]> = stream.chunks(1).collect();
            let mut mean = Mean::default();
            seeds(&options, &inputs).for_each(|mut forest| mean.add(forest.score(&[next]).unwrap().unwrap()));
            mean.is_about(exact(&all(&shingles), &query).iter().sum(), &format!("shingle {shingle}, next {next}"));
        }
    }
}

#[test]
fn larger_samples_are_exact() {
    let values: Vec<Vec<f32>> = (0..40).map(|at| vec![(at * at % 41) as f32 + (at / 20) as f32 * 60.0]).collect();
    let queries: [&[f32]; 5] = [&[16.0], &[7.5], &[50.0], &[77.5], &[130.0]];
    let points = borrowed(&values);
    compare(&Options { sample_size: 64, ..small() }, &points, &queries, &[(all(&points), 1.0)]);

    // Each far beyond those below it: a tree as deep as it has points.
    let values: Vec<Vec<f32>> = (0..24).map(|at| vec![1.8f32.powi(at * 7 % 24)]).collect();
    let queries: [&[f32]; 4] = [&[1.0], &[100.0], &[1.5e6], &[-1e6]];
    let points = borrowed(&values);
    compare(&Options { sample_size: 24, ..small() }, &points, &queries, &[(all(&points), 1.0)]);

    let values: Vec<Vec<f32>> = (0..14).map(|at| vec![(at * 5 % 14) as f32, (at * at % 17) as f32]).collect();
    let queries: [&[f32]; 4] = [&[5.0, 1.0], &[6.5, 8.5], &[20.0, 3.0], &[-3.0, 25.0]];
    let points = borrowed(&values);
    compare(&Options { dimensions: 2, sample_size: 16, ..small() }, &points, &queries, &[(all(&points), 1.0)]);
}

#[test]
fn random_samples_are_exact() {
    let mut random = 1u64;
    let mut below = |end: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % end
    };
    for _ in 0..25 {
        let (dimensions, count) = (1 + below(3) as usize, 2 + below(5));
        let mut point = || (0..dimensions).map(|_| below(12) as f32 * 0.5 - 2.0).collect();
        let points: Vec<Vec<f32>> = (0..count).map(|_| point()).collect();
        let queries: Vec<Vec<f32>> = (0..3).map(|_| point()).collect();
        let (points, queries) = (borrowed(&points), borrowed(&queries));
        let options = Options { dimensions, sample_size: 8, ..small() };
        compare(&options, &points, &queries, &[(all(&points), 1.0)]);
    }
}

/// Guha et al. 2016, theorem 1: a tree from which points were deleted is as random as one built without them. What is
/// exact here is the mean over all samples the reservoir may have kept, each as a tree built afresh.
#[test]
fn after_deletions_a_tree_is_as_one_built_fresh_from_what_was_kept() {
    let points: [&[f32]; 8] =
        [&[0.0, 5.0], &[1.0, 1.0], &[9.0, 2.0], &[4.0, 4.0], &[4.0, 4.0], &[3.0, 0.0], &[6.0, 8.0], &[2.0, 7.0]];
    let queries: [&[f32]; 5] = [&[4.0, 4.0], &[0.0, 5.0], &[2.0, 7.0], &[5.0, 5.0], &[12.0, -1.0]];
    for time_decay in [0.0, 0.3, 1.0] {
        let options = Options { dimensions: 2, sample_size: 4, time_decay, ..small() };
        compare(&options, &points, &queries, &kept_samples(&points, 4, time_decay));
    }
}

#[test]
fn after_many_deletions_too() {
    // Each tree has been rebuilt many times over by insertions and deletions; six values come round and round.
    let values: Vec<[f32; 1]> = (0..600).map(|at| [[0.0], [1.0], [3.0], [7.0], [8.0], [20.0]][at % 6]).collect();
    let points: Vec<&[f32]> = values.iter().map(|value| &value[..]).collect();
    let options = Options { sample_size: 3, time_decay: 0.4, trees: 20, ..small() };
    // A point 40 places back is kept with a chance below e^(-0.4 * 40), a ten-millionth.
    let kept = kept_samples(&points[points.len() - 40..], 3, 0.4);
    compare(&options, &points, &[&[0.0], &[20.0], &[5.0], &[40.0]], &kept);
}

type Points<'a> = &'a [&'a [f32]];

/// All samples of `size` of the points that a reservoir may hold at the end, each with its chance: drawn one by one
/// without putting back, point number i with weight e^(time_decay * i).
fn kept_samples(points: Points, size: usize, time_decay: f64) -> Vec<(Sample, f64)> {
    let weights: Vec<f64> = (0..points.len()).map(|i| (time_decay * (i as f64 - points.len() as f64)).exp()).collect();
    let mut drawn = BTreeMap::from([(vec![], 1.0)]);
    for _ in 0..size {
        let mut next = BTreeMap::new();
        for (kept, chance) in drawn {
            let left: Vec<usize> = (0..points.len()).filter(|i| !kept.contains(i)).collect();
            let weight: f64 = left.iter().map(|&i| weights[i]).sum();
            for i in left {
                let mut kept = kept.clone();
                kept.push(i);
                kept.sort_unstable();
                *next.entry(kept).or_insert(0.0) += chance * weights[i] / weight;
            }
        }
        drawn = next;
    }
    let sample = |kept: Vec<usize>| all(&kept.iter().map(|&i| points[i]).collect::<Vec<_>>());
    drawn.into_iter().map(|(kept, chance)| (sample(kept), chance)).collect()
}

/// Checks the mean score of each query, after the points, against the exact mean over `samples`.
fn compare(options: &Options, points: Points, queries: Points, samples: &[(Sample, f64)]) {
    let mut means = vec![Mean::default(); queries.len()];
    for mut forest in seeds(options, points) {
        for (mean, query) in means.iter_mut().zip(queries) {
            mean.add(forest.score(query).unwrap().unwrap());
        }
    }
    for (mean, query) in means.iter().zip(queries) {
        let exact = samples.iter().map(|(sample, chance)| chance * exact(sample, query).iter().sum::<f64>()).sum();
        mean.is_about(exact, &format!("{query:?} after {points:?}"));
    }
}

fn borrowed(points: &[Vec<f32>]) -> Vec<&[f32]> {
    points.iter().map(|point| &point[..]).collect()
}
