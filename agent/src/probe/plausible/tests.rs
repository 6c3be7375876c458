use super::*;
use proptest::prelude::*;

/// A float as the registers of a device with this order.
fn words(value: f32, order: Order) -> [u16; 2] {
    let bits = value.to_bits();
    let [high, low] = [(bits >> 16) as u16, bits as u16];
    match order {
        Order::Abcd => [high, low],
        Order::Cdab => [low, high],
        Order::Badc => [high.swap_bytes(), low.swap_bytes()],
        Order::Dcba => [low.swap_bytes(), high.swap_bytes()],
    }
}

#[test]
fn what_stands_in_registers_is_told_by_how_it_moves() {
    let none: Option<(u16, Kind, f64, Looks)> = None;
    let first = |offset, kind, scale, looks| Some((offset, kind, scale, looks));
    for (name, samples, expected) in [
        ("nothing read", vec![], none),
        ("all zero", vec![vec![0, 0, 0]; 4], none),
        ("the value for no value", vec![vec![32_767, 65_535]; 4], none),
        (
            "a wind speed in tenths",
            vec![vec![0, 105], vec![0, 107], vec![0, 104], vec![0, 110]],
            first(1, Kind::U16, 0.1, Looks::WindSpeed),
        ),
        (
            "a wind speed in hundredths",
            vec![vec![5_105], vec![5_170], vec![5_040], vec![4_992]],
            first(0, Kind::U16, 0.01, Looks::WindSpeed),
        ),
        (
            "a direction in tenths",
            vec![vec![1_805], vec![1_790], vec![1_822], vec![1_840]],
            first(0, Kind::U16, 0.1, Looks::WindDirection),
        ),
        (
            "a direction through north",
            vec![vec![3_580], vec![3_590], vec![12], vec![25]],
            first(0, Kind::U16, 0.1, Looks::WindDirection),
        ),
        (
            "a temperature around zero",
            vec![vec![3], vec![1], vec![0xffff], vec![0xfffd]],
            first(0, Kind::I16, 0.1, Looks::Number),
        ),
        (
            "a count beyond one register",
            vec![vec![2, 65_500], vec![2, 65_530], vec![3, 10], vec![3, 44]],
            first(0, Kind::U32, 1.0, Looks::Number),
        ),
        (
            "a setting that stands still beside a measurement",
            vec![vec![9_600, 1, 52], vec![9_600, 1, 53], vec![9_600, 1, 52], vec![9_600, 1, 55]],
            first(2, Kind::U16, 0.1, Looks::WindSpeed),
        ),
    ] {
        let found = plausible(&samples);
        let best = found.first().map(|best| (best.offset, best.kind, best.scale, best.looks));
        assert_eq!(best, expected, "{name}: {found:?}");
    }
}

#[test]
fn a_table_of_floats_at_an_odd_address_is_found_as_it_stands() {
    let sample = |step: f32| {
        let values = [7.3 + step, 181.2 - 3.0 * step, 1013.2 + 0.01 * step];
        let floats = values.iter().flat_map(|value| words(*value, Order::Abcd));
        [0].into_iter().chain(floats).chain([0]).collect::<Vec<u16>>()
    };
    let samples: Vec<Vec<u16>> = [0.0, 0.21, 0.13, 0.37, 0.55, 0.42].map(sample).to_vec();
    let mut found: Vec<(u16, Order)> = plausible(&samples).iter().map(|best| (best.offset, best.order)).collect();
    found.sort_by_key(|(offset, _)| *offset);
    assert_eq!(found, [(1, Order::Abcd), (3, Order::Abcd), (5, Order::Abcd)]);
}

#[test]
fn a_constant_that_could_be_an_exponent_does_not_borrow_the_words_of_the_float_behind_it() {
    // 187 with its bytes swapped is the first half of -0.002, 65 that of 8.0.
    for constant in [187, 65] {
        let sample = |wind| [&[constant][..], &words(wind, Order::Dcba), &[0x41]].concat();
        let samples: Vec<Vec<u16>> = [11.13, 11.31, 11.02, 11.48, 11.27].map(sample).to_vec();
        let best = &plausible(&samples)[0];
        assert_eq!((best.offset, best.order), (1, Order::Dcba), "{constant}");
    }
}

/// Winds of 3 to about 35 m/s that change by 1 to 5 % from sample to sample.
fn wind() -> impl Strategy<Value = Vec<f32>> {
    (3.0f32..25.0, proptest::collection::vec((0.01f32..0.05, any::<bool>()), 7)).prop_map(|(start, steps)| {
        let mut winds = vec![start];
        for (step, up) in steps {
            let last = winds[winds.len() - 1];
            winds.push(if up { last * (1.0 + step) } else { last * (1.0 - step) });
        }
        winds
    })
}

proptest! {
    #[test]
    fn a_wind_in_floats_is_found_in_its_order_at_its_address(
        winds in wind(),
        order in prop::sample::select(ORDERS.to_vec()),
        before in proptest::collection::vec(0u16..300, 0..6),
        after in proptest::collection::vec(0u16..300, 0..6),
    ) {
        let sample = |wind: &f32| [&before[..], &words(*wind, order), &after].concat();
        let samples: Vec<Vec<u16>> = winds.iter().map(sample).collect();
        let found = plausible(&samples);
        let best = &found[0];
        prop_assert_eq!((best.offset, best.kind, best.order), (before.len() as u16, Kind::F32, order), "{:?}", found);
        prop_assert!(best.score > 0.6 && best.score <= 1.0);
    }

    #[test]
    fn any_registers_can_be_judged_and_no_two_candidates_share_one(
        samples in proptest::collection::vec(proptest::collection::vec(any::<u16>(), 0..12), 0..5)
    ) {
        let mut taken = [false; 12];
        for found in plausible(&samples) {
            prop_assert!((0.0..=1.0).contains(&found.score));
            for register in found.offset..found.offset + found.kind.words() {
                prop_assert!(!std::mem::replace(&mut taken[usize::from(register)], true));
            }
        }
    }
}
