//! What a user of the forest sees.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

use proptest::prelude::*;
use windward_forest::{Forest, Options, Refused};

#[test]
fn after_a_constant_signal_the_same_scores_low_and_a_hundredfold_high() {
    let mut forest = forest(4, 1);
    for _ in 0..1_000 {
        forest.update(&[8.0]).unwrap();
    }
    assert!(score(&forest, 8.0) < 1.0);
    // Nothing but one point in the sample: any other is apart at the root, log2(257).
    assert!((score(&forest, 800.0) - 257f64.log2()).abs() < 1e-9);
}

#[test]
fn next_to_natural_noise_a_small_difference_is_nothing() {
    let mut noise = Noise(3);
    let mut forest = forest(4, 1);
    for _ in 0..2_000 {
        forest.update(&[8.0 + noise.next()]).unwrap();
    }
    let (at, beside) = (score(&forest, 8.0), score(&forest, 8.0001));
    assert!((at - beside).abs() < 0.01, "{at} {beside}");
    assert!(beside < 1.5, "{beside}");
    assert!(score(&forest, 800.0) > 4.0);
}

#[test]
fn what_is_farther_out_never_scores_lower() {
    let mut noise = Noise(5);
    let mut forest = forest(1, 2);
    for _ in 0..2_000 {
        forest.update(&[noise.next()]).unwrap();
    }
    let scores: Vec<f64> = (0..60).map(|step| score(&forest, 1.0 + step as f32 * 0.5)).collect();
    assert!(scores.windows(2).all(|pair| pair[1] >= pair[0]), "{scores:?}");
    assert!(scores[0] < 3.0 && scores[59] > 6.0, "{scores:?}");
}

#[test]
fn a_spike_raises_the_score_of_each_shingle_it_is_in_and_of_no_later_one() {
    let mut noise = Noise(11);
    let mut forest = forest(4, 3);
    for _ in 0..2_000 {
        forest.update(&[8.0 + noise.next()]).unwrap();
    }
    let mut scores = vec![];
    for at in 0..12 {
        let value = 8.0 + noise.next() + if at == 4 { 15.0 } else { 0.0 };
        scores.push(score(&forest, value));
        forest.update(&[value]).unwrap();
    }
    assert!(scores[..4].iter().all(|&score| score < 2.5), "{scores:?}");
    assert!(scores[4..8].iter().all(|&score| score > 3.0), "{scores:?}");
    assert!(scores[8..].iter().all(|&score| score < 2.5), "{scores:?}");
}

#[test]
fn a_second_spike_after_a_short_gap_is_seen_too() {
    let mut noise = Noise(13);
    let mut forest = forest(4, 4);
    for at in 0..2_000 {
        let spike = if at == 1_980 { 15.0 } else { 0.0 };
        forest.update(&[8.0 + noise.next() + spike]).unwrap();
    }
    let second = score(&forest, 23.0);
    assert!(second > 3.0, "{second}");
}

#[test]
fn a_lasting_new_level_becomes_usual() {
    let mut forest = forest(4, 5);
    let mut noise = Noise(17);
    for _ in 0..2_000 {
        forest.update(&[8.0 + noise.next()]).unwrap();
    }
    let before = score(&forest, 20.0);
    for _ in 0..2_000 {
        forest.update(&[20.0 + noise.next()]).unwrap();
    }
    let after = score(&forest, 20.0);
    assert!(before > 3.0 && after < 1.5, "{before} {after}");
}

#[test]
fn a_point_apart_only_in_combination_is_seen() {
    let mut noise = Noise(19);
    let mut forest = Forest::new(Options { dimensions: 2, trees: 100, seed: 6, ..Options::default() }).unwrap();
    for _ in 0..3_000 {
        let wind = noise.next() * 5.0;
        forest.update(&[wind, wind + noise.next() * 0.2]).unwrap();
    }
    let usual = forest.score(&[2.0, 2.0]).unwrap().unwrap();
    let iced = forest.score(&[-2.0, 2.0]).unwrap().unwrap();
    assert!(iced > usual * 1.5, "{usual} {iced}");
}

#[test]
fn nothing_is_scored_before_enough_was_seen() {
    let mut forest = Forest::new(Options { shingle: 4, output_after: 10, ..Options::default() }).unwrap();
    for seen in 0..13 {
        assert_eq!(forest.score(&[1.0]).unwrap(), None, "after {seen}");
        forest.update(&[1.0]).unwrap();
    }
    assert_eq!(forest.seen(), 10);
    assert!(forest.score(&[1.0]).unwrap().is_some());
}

#[test]
fn no_point_spans_an_interruption() {
    let mut forest = forest(4, 7);
    for _ in 0..500 {
        forest.update(&[8.0]).unwrap();
    }
    forest.interrupt();
    for _ in 0..3 {
        assert_eq!(forest.score(&[20.0]).unwrap(), None);
        forest.update(&[20.0]).unwrap();
    }
    assert!(score(&forest, 20.0) > 3.0);
}

#[test]
fn what_is_no_number_is_refused_and_changes_nothing() {
    let mut forest = forest(2, 8);
    for at in 0..500 {
        forest.update(&[(at % 5) as f32]).unwrap();
    }
    let before = score(&forest, 2.0);
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX] {
        assert_eq!(forest.score(&[bad]), Err(Refused::Value(0)));
        assert_eq!(forest.update(&[bad]), Err(Refused::Value(0)));
    }
    assert_eq!(forest.update(&[1.0, 2.0]), Err(Refused::Dimensions(2)));
    assert_eq!(score(&forest, 2.0), before);
    assert_eq!(forest.seen(), 499);
}

#[test]
fn options_that_make_no_forest_are_refused() {
    let good = Options::default();
    for bad in [
        Options { dimensions: 0, ..good.clone() },
        Options { shingle: 0, ..good.clone() },
        Options { trees: 0, ..good.clone() },
        Options { sample_size: 1, ..good.clone() },
        Options { sample_size: 100_000, ..good.clone() },
        Options { time_decay: f64::NAN, ..good.clone() },
        Options { time_decay: -0.1, ..good.clone() },
    ] {
        assert!(Forest::new(bad.clone()).is_err(), "{bad:?}");
    }
}

/// The library (its Rust port `krcflib` 4.0.2, 50 trees of 256, no initial rejection) gave 0.782 and 0.722 as mean score
/// of independent normal numbers, single and in shingles of four, and 5.68 and 3.51 for those that one in a thousand
/// times lie ten standard deviations off.
#[test]
fn scores_stand_where_those_of_the_library_stand() {
    for (shingle, usual, spike) in [(1, 0.782, 5.68), (4, 0.722, 3.51)] {
        let mut noise = Noise(1);
        let mut forest = forest(shingle, 5);
        let mut means = [(0.0, 0u32); 2];
        for at in 0..20_000 {
            let off = at % 997 == 996;
            let value = noise.next() + if off { 10.0 } else { 0.0 };
            if at > 2_000 {
                let (sum, count) = &mut means[usize::from(off)];
                *sum += score(&forest, value);
                *count += 1;
            }
            forest.update(&[value]).unwrap();
        }
        let [of_usual, of_spikes] = means.map(|(sum, count)| sum / f64::from(count));
        assert!((of_usual - usual).abs() < 0.02, "shingle {shingle}: {of_usual}");
        assert!((of_spikes - spike).abs() < 0.2, "shingle {shingle}: {of_spikes}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn the_same_seed_gives_the_same_bits_and_every_score_is_sane(
        values in prop::collection::vec(-1e6f32..1e6, 20..200),
        seed: u64,
    ) {
        let options = Options { shingle: 3, trees: 10, sample_size: 32, output_after: 1, seed, ..Options::default() };
        let mut twins = [Forest::new(options.clone()).unwrap(), Forest::new(options).unwrap()];
        for value in values {
            let [one, other] = twins.each_ref().map(|forest| forest.score(&[value]).unwrap());
            prop_assert_eq!(one.map(f64::to_bits), other.map(f64::to_bits));
            prop_assert!(one.is_none_or(|score| score > 0.0 && score <= 33f64.log2() + 1e-9));
            for forest in &mut twins {
                forest.update(&[value]).unwrap();
            }
        }
    }
}

fn forest(shingle: usize, seed: u64) -> Forest {
    Forest::new(Options { shingle, seed, ..Options::default() }).unwrap()
}

fn score(forest: &Forest, value: f32) -> f64 {
    forest.score(&[value]).unwrap().unwrap()
}

/// About normal numbers of mean 0 and standard deviation 1 (the sum of twelve uniform ones).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f32 {
        let sum: f32 = (0..12)
            .map(|_| {
                self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (self.0 >> 40) as f32 / (1u64 << 24) as f32
            })
            .sum();
        sum - 6.0
    }
}
