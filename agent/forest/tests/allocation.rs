//! After the samples are full the forest allocates nothing, whatever it is asked. The counts are each thread's own, and
//! each test runs in one.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

#[path = "common/counting.rs"]
mod counting;
#[path = "common/noise.rs"]
mod noise;
#[path = "common/wind.rs"]
mod wind;

use wind::Wind;
use windward_forest::{Attribution, BadState, Forest, Options};

#[test]
fn a_forest_in_use_allocates_nothing() {
    for (dimensions, shingle, trees) in [(1, 1, 50), (1, 8, 50), (3, 8, 20), (8, 1, 20), (2, 2, 1)] {
        let mut forest = Forest::new(Options { dimensions, shingle, trees, ..Options::default() }).unwrap();
        let mut wind = Wind::new(1, dimensions);
        let mut input = vec![0.0; dimensions];
        for _ in 0..3_000 {
            wind.next_into(&mut input);
            forest.observe(&input).unwrap();
        }
        let before = counting::allocations();
        for at in 0..5_000 {
            wind.next_into(&mut input);
            // A flat line now and then: many repeats of one point.
            if at % 1_000 > 700 {
                input.fill(3.0);
            }
            forest.observe(&input).unwrap();
        }
        assert_eq!(counting::allocations() - before, 0, "{dimensions} x {shingle} x {trees}");
    }
}

#[test]
fn scores_attributions_and_imputations_allocate_nothing() {
    let (dimensions, shingle) = (3, 4);
    let mut forest = Forest::new(Options { dimensions, shingle, ..Options::default() }).unwrap();
    let mut wind = Wind::new(2, dimensions);
    let mut input = [0.0; 3];
    let mut shares = [Attribution::default(); 12];
    let mut before = 0;
    for at in 0..4_000 {
        if at == 3_000 {
            before = counting::allocations();
        }
        wind.next_into(&mut input);
        forest.score(&input).unwrap();
        forest.attribution(&input, &mut shares).unwrap();
        input[at % 3] = f32::NAN;
        forest.observe_with_gaps(&input).unwrap();
        forest.impute(&mut input).unwrap();
        forest.update(&input.map(|value| if value.is_nan() { 0.0 } else { value })).unwrap();
        if at % 500 == 0 {
            forest.interrupt();
        }
    }
    assert_eq!(counting::allocations() - before, 0);
}

#[test]
fn a_restored_forest_allocates_no_more_than_one_in_use() {
    let mut forest = Forest::new(Options { shingle: 8, ..Options::default() }).unwrap();
    let mut wind = Wind::new(3, 1);
    let mut input = [0.0];
    for _ in 0..3_000 {
        wind.next_into(&mut input);
        forest.observe(&input).unwrap();
    }
    let mut state = Vec::new();
    forest.save(&mut state);
    let mut restored = Forest::restore(&state).unwrap();
    let before = counting::allocations();
    for _ in 0..2_000 {
        wind.next_into(&mut input);
        restored.observe(&input).unwrap();
    }
    assert_eq!(counting::allocations() - before, 0);
}

/// The options stand where `src/state.rs` says, and the checksum is made to fit.
#[test]
fn a_forged_state_of_a_few_bytes_takes_no_memory_worth_speaking_of() {
    let mut state = Vec::new();
    Forest::new(Options { trees: 1, ..Options::default() }).unwrap().save(&mut state);
    for [dimensions, shingle, trees, sample_size] in
        [[4_096u32, 1, 1, 32_766], [1, 4_096, 1, 32_766], [1, 2, 1_300, 32_766]]
    {
        let mut forged = state.clone();
        for (at, count) in [dimensions, shingle, trees, sample_size].into_iter().enumerate() {
            forged[5 + 4 * at..9 + 4 * at].copy_from_slice(&count.to_le_bytes());
        }
        let body = forged.len() - 8;
        // As many bytes as there are trees, twice, so that it is not refused for being too short.
        forged.splice(body..body, vec![0; 2 * trees as usize]);
        let body = forged.len() - 8;
        let fnv = |sum: u64, &byte: &u8| (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        let sum = forged[..body].iter().fold(0xcbf2_9ce4_8422_2325, fnv);
        forged[body..].copy_from_slice(&sum.to_le_bytes());
        let most = counting::most_held(|| assert_eq!(Forest::restore(&forged).err(), Some(BadState::Impossible)));
        assert!(most < 1 << 20, "{dimensions} x {shingle} x {trees}: {most}");
    }
}

#[test]
fn the_bytes_a_forest_tells_of_are_those_it_holds() {
    for (dimensions, shingle, trees) in [(1, 1, 50), (1, 8, 50), (8, 4, 10)] {
        let before = counting::bytes_held();
        let mut forest = Forest::new(Options { dimensions, shingle, trees, ..Options::default() }).unwrap();
        let mut wind = Wind::new(4, dimensions);
        let mut input = vec![0.0; dimensions];
        for _ in 0..3_000 {
            wind.next_into(&mut input);
            forest.observe(&input).unwrap();
        }
        let held = (counting::bytes_held() - before) as f64 + size_of::<Forest>() as f64;
        let told = forest.bytes() as f64;
        assert!((told / held - 1.0).abs() < 0.03, "{dimensions} x {shingle} x {trees}: told {told}, held {held}");
    }
}
