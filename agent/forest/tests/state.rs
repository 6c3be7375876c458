//! A saved forest goes on as if nothing had happened; a damaged one is refused.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

#[path = "common/noise.rs"]
mod noise;
#[path = "common/wind.rs"]
mod wind;

use noise::Noise;
use proptest::prelude::*;
use wind::Wind;
use windward_forest::{Attribution, Forest, MAX_MAGNITUDE, Options};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]
    #[test]
    fn a_restored_forest_scores_the_next_five_hundred_points_to_the_bit(
        options in options(),
        before in 0usize..700,
        kind in 0u8..6,
        seed: u64,
    ) {
        let mut stream = Stream { noise: Noise(seed), kind };
        let mut never_saved = Forest::new(options).unwrap();
        (0..before).for_each(|_| stream.next(&mut never_saved));
        let mut restored = Forest::restore(&saved(&never_saved)).unwrap();
        prop_assert_eq!(restored.options(), never_saved.options());
        prop_assert_eq!(restored.seen(), never_saved.seen());
        prop_assert_eq!(saved(&restored), saved(&never_saved));
        for at in 0..500 {
            let input = stream.input(never_saved.options().dimensions);
            if at % 100 == 99 {
                never_saved.interrupt();
                restored.interrupt();
            }
            let [one, other] = [never_saved.observe(&input), restored.observe(&input)];
            prop_assert_eq!(one.unwrap().map(f64::to_bits), other.unwrap().map(f64::to_bits), "point {}", at);
        }
        prop_assert_eq!(saved(&restored), saved(&never_saved));
    }

    #[test]
    fn bytes_that_are_no_state_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..3_000)) {
        prop_assert!(Forest::restore(&bytes).is_err());
    }

    #[test]
    fn a_state_with_many_bytes_damaged_is_refused(
        damages in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let good = saved(&small_forest());
        let mut bad = good.clone();
        for (at, byte) in damages {
            bad[at.index(good.len())] = byte;
        }
        prop_assert!(bad == good || Forest::restore(&bad).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(3_000) })]
    /// What passes the checksum and is no forest all the same is refused, or is a forest that does no harm.
    #[test]
    fn a_forged_state_never_panics(
        damages in prop::collection::vec((any::<prop::sample::Index>(), 0u8..8), 1..4),
        kind in 0u8..6,
    ) {
        let mut forged = saved(&forest_of(kind));
        // Magic, version and checksum stay; damage to those is always noticed.
        let body = 5..forged.len() - 8;
        for (at, bit) in damages {
            forged[body.start + at.index(body.len())] ^= 1 << bit;
        }
        let sum = checksum(&forged[..body.end]);
        forged[body.end..].copy_from_slice(&sum.to_le_bytes());
        if let Ok(mut forest) = Forest::restore(&forged) {
            let mut stream = Stream { noise: Noise(9), kind };
            for _ in 0..60 {
                let input = stream.input(forest.options().dimensions);
                let most = (forest.options().sample_size as f64 + 1.0).log2() + 1e-3;
                let score = forest.observe(&input).unwrap();
                prop_assert!(score.is_none_or(|score| score >= 0.0 && score <= most), "{:?}", score);
            }
            prop_assert!(Forest::restore(&saved(&forest)).is_ok());
        }
    }
}

#[test]
fn a_forest_saved_and_restored_at_every_point_never_leaves_its_way() {
    let options =
        Options { dimensions: 2, shingle: 2, trees: 5, sample_size: 16, output_after: 1, ..Options::default() };
    let mut never_saved = Forest::new(options.clone()).unwrap();
    let mut often_saved = Forest::new(options).unwrap();
    let mut stream = Stream { noise: Noise(7), kind: 3 };
    for at in 0..600 {
        let input = stream.input(2);
        let [one, other] = [never_saved.observe(&input), often_saved.observe(&input)];
        assert_eq!(one.unwrap().map(f64::to_bits), other.unwrap().map(f64::to_bits), "point {at}");
        often_saved = Forest::restore(&saved(&often_saved)).unwrap();
    }
}

#[test]
fn what_is_asked_of_a_restored_forest_is_answered_as_before() {
    let mut one = small_forest();
    let mut other = Forest::restore(&saved(&one)).unwrap();
    let answers = [&mut one, &mut other].map(|forest| {
        let mut shares = [Attribution::default(); 6];
        let score = forest.attribution(&[3.0, -1.0], &mut shares).unwrap();
        let mut filled = [f32::NAN, 0.5];
        forest.impute(&mut filled).unwrap();
        (
            score,
            shares.map(|share| (share.above, share.below)),
            filled,
            forest.observe_with_gaps(&[f32::NAN, 0.2]).unwrap(),
        )
    });
    assert_eq!(answers[0], answers[1]);
}

#[test]
fn every_damaged_byte_is_noticed() {
    let good = saved(&small_forest());
    let mut bad = good.clone();
    for at in 0..good.len() {
        for damage in [0x01, 0x10, 0x80, 0xff] {
            bad[at] ^= damage;
            assert!(Forest::restore(&bad).is_err(), "byte {at} of {} by {damage:#x}", good.len());
            bad[at] = good[at];
        }
    }
    assert!(Forest::restore(&bad).is_ok());
}

#[test]
fn every_truncation_and_every_byte_too_many_is_noticed() {
    let good = saved(&small_forest());
    for length in 0..good.len() {
        assert!(Forest::restore(&good[..length]).is_err(), "{length} of {}", good.len());
    }
    for more in [0, 1, 0xff] {
        assert!(Forest::restore(&[&good[..], &[more]].concat()).is_err());
    }
}

#[test]
fn a_state_is_written_behind_what_the_buffer_holds() {
    let forest = small_forest();
    let mut out = vec![1, 2, 3];
    forest.save(&mut out);
    assert_eq!(out[..3], [1, 2, 3]);
    assert_eq!(out[3..], saved(&forest));
}

#[test]
fn a_state_is_small_enough_for_a_memory_card() {
    let mut forest = Forest::new(Options { shingle: 8, ..Options::default() }).unwrap();
    let mut wind = Wind::new(1, 1);
    let mut input = [0.0];
    for _ in 0..5_000 {
        wind.next_into(&mut input);
        forest.observe(&input).unwrap();
    }
    let length = saved(&forest).len();
    assert!(length < 200 * 1_024, "{length}");
}

/// Forests of all shapes, and with decays from none to one that keeps only the newest points.
fn options() -> impl Strategy<Value = Options> {
    let decay = prop_oneof![Just(0.0), 0.0..0.1, Just(1.0)];
    (1usize..4, 1usize..5, 1usize..8, 2usize..40, decay, 0usize..80, any::<u64>()).prop_map(
        |(dimensions, shingle, trees, sample_size, time_decay, output_after, seed)| Options {
            dimensions,
            shingle,
            trees,
            sample_size,
            time_decay,
            output_after,
            seed,
            ..Options::default()
        },
    )
}

fn small_forest() -> Forest {
    forest_of(1)
}

fn forest_of(kind: u8) -> Forest {
    let options =
        Options { dimensions: 2, shingle: 3, trees: 3, sample_size: 12, output_after: 1, ..Options::default() };
    let mut forest = Forest::new(options).unwrap();
    let mut stream = Stream { noise: Noise(5), kind };
    (0..100).for_each(|_| stream.next(&mut forest));
    forest
}

/// The checksum that ends a state: FNV-1a of 64 bits.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

fn saved(forest: &Forest) -> Vec<u8> {
    let mut state = Vec::new();
    forest.save(&mut state);
    state
}

/// Inputs of one kind: noise, few values, a constant, steps, magnitudes, or numbers from the ends of what is allowed.
struct Stream {
    noise: Noise,
    kind: u8,
}

impl Stream {
    fn next(&mut self, forest: &mut Forest) {
        if self.noise.uniform() < 0.01 {
            forest.interrupt();
        }
        let input = self.input(forest.options().dimensions);
        forest.observe(&input).unwrap();
    }

    fn input(&mut self, dimensions: usize) -> Vec<f32> {
        (0..dimensions).map(|_| self.value()).collect()
    }

    fn value(&mut self) -> f32 {
        match self.kind {
            0 => self.noise.next(),
            1 => self.noise.next().round(),
            2 if self.noise.uniform() < 0.95 => 8.0,
            2 => 8.0001,
            3 => (self.noise.uniform() * 3.0).floor() * 1_000.0 + self.noise.next(),
            // Each far beyond the ones below it: trees as deep as they have points.
            4 => (self.noise.uniform() * 80.0).exp2(),
            _ => {
                let ends = [0.0, -0.0, 1e-45, -1e-45, 1e-20, MAX_MAGNITUDE, -MAX_MAGNITUDE, 1e30, 1.0];
                ends[(self.noise.uniform() * ends.len() as f32) as usize]
            }
        }
    }
}
