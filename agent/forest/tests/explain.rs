//! Which number a score comes from, and what a missing one would have been.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

#[path = "common/exact.rs"]
mod exact;
#[path = "common/noise.rs"]
mod noise;
#[path = "common/wind.rs"]
mod wind;

use exact::{Mean, all, exact, seeds, small};
use noise::Noise;
use wind::Wind;
use windward_forest::{Attribution, Forest, Options, Refused};

#[test]
fn the_mean_attribution_is_the_exact_one() {
    let points: [&[f32]; 6] =
        [&[0.0, 0.0, 3.0], &[1.0, 4.0, 1.0], &[2.0, 1.0, 0.0], &[6.0, 5.0, 2.0], &[7.0, 2.0, 8.0], &[2.0, 1.0, 0.0]];
    let options = Options { dimensions: 3, sample_size: 8, ..small() };
    for query in [[3.0f32, 3.0, 3.0], [9.0, 3.0, -1.0], [-2.0, 12.0, 40.0]] {
        let shares = exact(&all(&points), &query);
        let mut means = vec![Mean::default(); 6];
        for mut forest in seeds(&options, &points) {
            let mut found = [Attribution::default(); 3];
            forest.attribution(&query, &mut found).unwrap().unwrap();
            for (dimension, found) in found.iter().enumerate() {
                means[dimension].add(found.above);
                means[3 + dimension].add(found.below);
            }
        }
        for (at, (mean, share)) in means.iter().zip(shares).enumerate() {
            mean.is_about(share, &format!("share {at} of {query:?}"));
        }
    }
}

#[test]
fn attributions_sum_to_the_score_for_usual_strange_and_repeated_points() {
    let (dimensions, shingle) = (2, 3);
    let mut forest = Forest::new(Options { dimensions, shingle, seed: 1, ..Options::default() }).unwrap();
    let mut wind = Wind::new(1, dimensions);
    let mut input = [0.0; 2];
    for at in 0..3_000 {
        wind.next_into(&mut input);
        match at % 100 {
            98 => input[0] += 20.0,
            // A third of the time all is rounded so far that many points come again.
            _ if at % 3_000 > 2_000 => input = input.map(|value| (value / 4.0).round() * 4.0),
            _ => {}
        }
        let score = forest.score(&input).unwrap();
        let mut shares = vec![Attribution::default(); dimensions * shingle];
        assert_eq!(forest.attribution(&input, &mut shares).unwrap().is_some(), score.is_some());
        if let Some(score) = score {
            let sum: f64 = shares.iter().map(|share| share.above + share.below).sum();
            assert!((sum - score).abs() < 1e-6 * score, "{sum} {score}");
            assert!(shares.iter().all(|share| share.above >= 0.0 && share.below >= 0.0), "{shares:?}");
        }
        forest.update(&input).unwrap();
    }
}

#[test]
fn an_outlier_is_attributed_to_its_dimension_its_lag_and_its_side() {
    let (dimensions, shingle) = (3, 4);
    for (dimension, off) in [(0, 15.0), (1, 15.0), (2, -15.0)] {
        let mut forest = Forest::new(Options { dimensions, shingle, seed: 2, ..Options::default() }).unwrap();
        let mut wind = Wind::new(2, dimensions);
        let mut input = [0.0; 3];
        for at in 0..2_000 + shingle {
            wind.next_into(&mut input);
            if at == 2_000 {
                input[dimension] += off;
            }
            if let Some(lag) = at.checked_sub(2_000) {
                let mut shares = vec![Attribution::default(); dimensions * shingle];
                let score = forest.attribution(&input, &mut shares).unwrap().unwrap();
                let guilty = shares[(shingle - 1 - lag) * dimensions + dimension];
                let on_its_side = if off > 0.0 { guilty.above } else { guilty.below };
                assert!(on_its_side > 0.6 * score, "dimension {dimension}, lag {lag}: {on_its_side} of {score}");
            }
            forest.update(&input).unwrap();
        }
    }
}

#[test]
fn attribution_wants_room_for_every_number_and_waits_while_the_forest_learns() {
    let mut forest = Forest::new(Options { shingle: 2, output_after: 10, ..Options::default() }).unwrap();
    let mut shares = [Attribution::default(); 2];
    for _ in 0..11 {
        assert_eq!(forest.attribution(&[1.0], &mut shares), Ok(None));
        forest.update(&[1.0]).unwrap();
    }
    assert!(forest.attribution(&[1.0], &mut shares).unwrap().is_some());
    assert_eq!(forest.attribution(&[f32::NAN], &mut shares), Err(Refused::Value(0)));
}

#[test]
fn a_missing_number_of_a_correlated_stream_is_filled_nearer_the_truth_than_by_the_mean() {
    for (shingle, missing) in [(1, 0), (1, 1), (4, 0), (4, 1)] {
        let mut forest = Forest::new(Options { dimensions: 2, shingle, seed: 3, ..Options::default() }).unwrap();
        let mut noise = Noise(3);
        let (mut by_forest, mut by_mean, mut level) = (0.0, 0.0, 0.0f32);
        for at in 0..3_000 {
            // Two sensors of one thing, in different units.
            level = 0.9 * level + noise.next();
            let input = [10.0 + level, 50.0 - 4.0 * level + 0.4 * noise.next()];
            if at >= 2_000 {
                let mut filled = input;
                filled[missing] = f32::NAN;
                assert_eq!(forest.impute(&mut filled), Ok(true));
                assert_eq!(filled[1 - missing], input[1 - missing]);
                by_forest += (filled[missing] - input[missing]).abs();
                by_mean += ([10.0, 50.0][missing] - input[missing]).abs();
            }
            forest.update(&input).unwrap();
        }
        assert!(by_forest < 0.4 * by_mean, "shingle {shingle}, number {missing}: {by_forest} {by_mean}");
    }
}

#[test]
fn a_whole_input_missing_is_filled_from_those_before() {
    let mut forest = Forest::new(Options { shingle: 8, seed: 4, ..Options::default() }).unwrap();
    let mut noise = Noise(4);
    let (mut by_forest, mut by_mean) = (0.0, 0.0);
    for at in 0..3_000 {
        let value = (at as f32 * 0.3).sin() + 0.05 * noise.next();
        if at >= 2_000 {
            let mut filled = [f32::NAN];
            assert_eq!(forest.impute(&mut filled), Ok(true));
            by_forest += (filled[0] - value).abs();
            by_mean += value.abs();
        }
        forest.update(&[value]).unwrap();
    }
    assert!(by_forest < 0.4 * by_mean, "{by_forest} {by_mean}");
}

#[test]
fn what_is_filled_in_lies_among_what_the_stream_has_shown() {
    let mut forest = Forest::new(Options { dimensions: 2, shingle: 2, seed: 5, ..Options::default() }).unwrap();
    let mut noise = Noise(5);
    for _ in 0..1_000 {
        forest.update(&[noise.uniform(), 3.0 + noise.uniform()]).unwrap();
    }
    for known in [0.5, -1e6, 1e30] {
        let mut filled = [known, f32::NAN];
        assert_eq!(forest.impute(&mut filled), Ok(true));
        assert!((3.0..=4.0).contains(&filled[1]), "{filled:?}");
    }
}

#[test]
fn nothing_is_filled_in_while_the_forest_learns_and_nothing_changed_where_nothing_is_missing() {
    let mut forest = Forest::new(Options { dimensions: 2, ..Options::default() }).unwrap();
    assert_eq!(forest.impute(&mut [1.0, f32::NAN]), Ok(false));
    for at in 0..500 {
        forest.update(&[(at % 9) as f32, 1.0]).unwrap();
    }
    let mut whole = [77.0, -3.0];
    forest.impute(&mut whole).unwrap();
    assert_eq!(whole, [77.0, -3.0]);
    assert_eq!(forest.impute(&mut [f32::INFINITY, f32::NAN]), Err(Refused::Value(0)));
    assert_eq!(forest.impute(&mut [1.0]), Err(Refused::Dimensions(1)));
}

#[test]
fn gaps_in_a_usual_stream_are_no_anomalies() {
    let (dimensions, shingle) = (3, 4);
    let options = Options { dimensions, shingle, seed: 6, ..Options::default() };
    let mut whole = Forest::new(options.clone()).unwrap();
    let mut gappy = Forest::new(options).unwrap();
    let (mut wind, mut noise) = (Wind::new(6, dimensions), Noise(6));
    let mut input = [0.0; 3];
    for at in 0..6_000 {
        wind.next_into(&mut input);
        let usual = whole.observe(&input).unwrap().unwrap_or(0.0);
        // One number in ten is missing, at times all three, and the second one for a long time on end.
        for (i, value) in input.iter_mut().enumerate() {
            if noise.uniform() < 0.1 || (i == 1 && (3_000..4_000).contains(&at)) {
                *value = f32::NAN;
            }
        }
        let score = gappy.observe_with_gaps(&input).unwrap().unwrap_or(0.0);
        assert!(score < 2.5 || usual > 2.0, "second {at}, {input:?}: {score}, without gaps {usual}");
    }
}

#[test]
fn a_gap_hides_no_anomaly_of_the_numbers_that_are_there() {
    let mut forest = Forest::new(Options { dimensions: 3, shingle: 2, seed: 7, ..Options::default() }).unwrap();
    let mut wind = Wind::new(7, 3);
    let mut input = [0.0; 3];
    for _ in 0..2_000 {
        wind.next_into(&mut input);
        forest.observe_with_gaps(&input).unwrap();
    }
    let score = forest.observe_with_gaps(&[input[0] + 15.0, f32::NAN, input[2]]).unwrap().unwrap();
    assert!(score > 2.5, "{score}");
}

#[test]
fn a_stream_with_gaps_from_its_first_input_on_is_learned_too() {
    let mut forest = Forest::new(Options { dimensions: 2, shingle: 2, seed: 8, ..Options::default() }).unwrap();
    let mut noise = Noise(8);
    let mut last = None;
    for at in 0..2_000 {
        let input = [8.0 + noise.next(), if at % 3 == 0 { f32::NAN } else { 3.0 + noise.next() }];
        last = forest.observe_with_gaps(&input).unwrap();
    }
    assert!(last.is_some_and(|score| score < 2.5), "{last:?}");
}

#[test]
fn without_gaps_observing_with_gaps_is_observing() {
    let options = Options { dimensions: 2, shingle: 3, seed: 9, ..Options::default() };
    let mut one = Forest::new(options.clone()).unwrap();
    let mut other = Forest::new(options).unwrap();
    let mut wind = Wind::new(9, 2);
    let mut input = [0.0; 2];
    for _ in 0..1_500 {
        wind.next_into(&mut input);
        let [one, other] = [one.observe(&input), other.observe_with_gaps(&input)];
        assert_eq!(one.unwrap().map(f64::to_bits), other.unwrap().map(f64::to_bits));
    }
}
