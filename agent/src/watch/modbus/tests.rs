//! What is asked for, and what is made of the answers.

use super::*;
use crate::config::Scale;
use proptest::prelude::*;
use std::collections::BTreeSet;

const PLAIN: Scaling = Scaling { scale: Scale::Decimal(0), offset: 0.0, range: None };
const WHOLE: Limits = Limits { max_block: MAX_REGISTERS, max_gap: 0, one_by_one: false };

fn register(kind: Kind, order: Order) -> Register {
    Register {
        function: Function::Input,
        start: 0,
        kind,
        order,
        bits: None,
        exponent: None,
        sentinels: Vec::new(),
        reset_on_read: false,
    }
}

fn read(register: &Register, words: &[u16]) -> Reading {
    decode(register, &PLAIN, words, None)
}

fn int(mantissa: i64, exponent: i8) -> Reading {
    Ok(Value::Int { mantissa, exponent })
}

#[test]
fn words_become_values_in_every_order() {
    use Kind::*;
    use Order::*;
    // 1.5f32 is 3FC00000; 1.5f64 is 3FF8000000000000; -2 is FFFE and FFFFFFFE.
    let table: &[(Kind, Order, &[u16], Reading)] = &[
        (U16, Abcd, &[0x0102], int(0x0102, 0)),
        (U16, Cdab, &[0x0102], int(0x0102, 0)),
        (U16, Badc, &[0x0102], int(0x0201, 0)),
        (U16, Dcba, &[0x0102], int(0x0201, 0)),
        (U16, Abcd, &[0xffff], int(65535, 0)),
        (I16, Abcd, &[0xfffe], int(-2, 0)),
        (I16, Abcd, &[0x8000], int(-32768, 0)),
        (I16, Badc, &[0xfeff], int(-2, 0)),
        (U32, Abcd, &[0x0102, 0x0304], int(0x0102_0304, 0)),
        (U32, Cdab, &[0x0304, 0x0102], int(0x0102_0304, 0)),
        (U32, Badc, &[0x0201, 0x0403], int(0x0102_0304, 0)),
        (U32, Dcba, &[0x0403, 0x0201], int(0x0102_0304, 0)),
        (U32, Abcd, &[0xffff, 0xffff], int(4_294_967_295, 0)),
        (I32, Abcd, &[0xffff, 0xfffe], int(-2, 0)),
        (I32, Cdab, &[0xfffe, 0xffff], int(-2, 0)),
        (F32, Abcd, &[0x3fc0, 0x0000], Ok(Value::F32(1.5))),
        (F32, Cdab, &[0x0000, 0x3fc0], Ok(Value::F32(1.5))),
        (F32, Badc, &[0xc03f, 0x0000], Ok(Value::F32(1.5))),
        (F32, Dcba, &[0x0000, 0xc03f], Ok(Value::F32(1.5))),
        (F32, Abcd, &[0x7fc0, 0x0000], Err(NoData::NotANumber)),
        (F32, Abcd, &[0x7f80, 0x0000], Err(NoData::NotANumber)),
        (F64, Abcd, &[0x3ff8, 0, 0, 0], Ok(Value::F64(1.5))),
        (F64, Cdab, &[0, 0, 0, 0x3ff8], Ok(Value::F64(1.5))),
        (F64, Badc, &[0xf83f, 0, 0, 0], Ok(Value::F64(1.5))),
        (F64, Dcba, &[0, 0, 0, 0xf83f], Ok(Value::F64(1.5))),
        (F64, Abcd, &[0x7ff8, 0, 0, 0], Err(NoData::NotANumber)),
        (F64, Abcd, &[0x3ff8, 0, 0], Err(NoData::Protocol)),
        (U64, Abcd, &[0, 1, 0x0203, 0x0405], int(0x1_0203_0405, 0)),
        (U64, Cdab, &[0x0405, 0x0203, 1, 0], int(0x1_0203_0405, 0)),
        (U64, Badc, &[0, 0x0100, 0x0302, 0x0504], int(0x1_0203_0405, 0)),
        (U64, Abcd, &[0xffff; 4], Ok(Value::F64(18_446_744_073_709_551_615.0))),
        (I64, Abcd, &[0xffff, 0xffff, 0xffff, 0xfffe], int(-2, 0)),
        (I64, Dcba, &[0xfeff, 0xffff, 0xffff, 0xffff], int(-2, 0)),
        (Bool, Abcd, &[1], int(1, 0)),
        (Bool, Abcd, &[0], int(0, 0)),
        (U16, Abcd, &[], Err(NoData::Protocol)),
    ];
    for (kind, order, words, expected) in table {
        let reading = read(&register(*kind, *order), words);
        assert_eq!(reading, *expected, "{kind:?} {order:?} {words:04x?}");
    }
}

#[test]
fn sentinels_give_their_reason_and_never_a_value() {
    let sentinels = vec![Sentinel::Bits(65535), Sentinel::Bits(32767)];
    let speed = Register { sentinels, ..register(Kind::U16, Order::Abcd) };
    assert_eq!(read(&speed, &[750]), int(750, 0));
    assert_eq!(read(&speed, &[65535]), Err(NoData::Sentinel));
    assert_eq!(read(&speed, &[32767]), Err(NoData::Sentinel));
    let float = Register { sentinels: vec![Sentinel::Float(-999.9)], ..register(Kind::F32, Order::Abcd) };
    let bits = (-999.9f32).to_bits();
    assert_eq!(read(&float, &[(bits >> 16) as u16, bits as u16]), Err(NoData::Sentinel));
}

#[test]
fn a_bit_field_is_the_number_that_its_bits_make() {
    let field = |lowest, highest| Register { bits: Some((lowest, highest)), ..register(Kind::U16, Order::Abcd) };
    assert_eq!(read(&field(0, 0), &[0b1010]), int(0, 0));
    assert_eq!(read(&field(1, 1), &[0b1010]), int(1, 0));
    assert_eq!(read(&field(4, 7), &[0x1a5b]), int(5, 0));
    assert_eq!(read(&field(0, 15), &[0xffff]), int(65535, 0));
    let wide = Register { bits: Some((0, 63)), ..register(Kind::U64, Order::Abcd) };
    assert_eq!(read(&wide, &[0, 0, 0, 7]), int(7, 0));
}

#[test]
fn an_exponent_that_the_device_gives_along_moves_the_point() {
    let power = Register { exponent: Some(84), ..register(Kind::I16, Order::Abcd) };
    let with = |exponent: i16| decode(&power, &PLAIN, &[1234], Some(exponent as u16));
    assert_eq!(with(0), int(1234, 0));
    assert_eq!(with(-2), int(1234, -2));
    assert_eq!(with(3), int(1234, 3));
    assert_eq!(with(i16::MIN), Err(NoData::Sentinel), "not implemented");
    assert_eq!(with(11), Err(NoData::Protocol), "no power that SunSpec knows");
    let kilo = Scaling { scale: Scale::Decimal(-3), ..PLAIN };
    assert_eq!(decode(&power, &kilo, &[1234], Some(1)), int(1234, -2));
}

#[test]
fn text_ends_at_its_padding() {
    assert_eq!(text(&[0x5468, 0x6965, 0x7320, 0x2020]), "Thies");
    assert_eq!(text(&[0x4142, 0x4300, 0x4445]), "ABC");
    assert_eq!(text(&[0x41ff, 0]), "A?");
    assert_eq!(text(&[]), "");
}

/// The requests as function, start and count.
fn asked(requests: &[Request]) -> Vec<(Function, u16, u16)> {
    requests.iter().map(|request| (request.function, request.start, request.count)).collect()
}

fn planned(registers: &[Register], limits: &Limits) -> (Vec<Request>, Vec<Place>) {
    plan(&registers.iter().map(|register| (register, 1)).collect::<Vec<_>>(), limits)
}

fn at(function: Function, start: u16, kind: Kind) -> Register {
    Register { function, start, ..register(kind, Order::Abcd) }
}

#[test]
fn neighbours_share_a_request_and_holes_are_not_read() {
    use Function::{Coil, Holding, Input};
    let registers = [
        at(Input, 3, Kind::U16),
        at(Input, 0, Kind::U16),
        at(Input, 1, Kind::F32),
        at(Input, 5, Kind::U16),
        at(Holding, 4, Kind::U16),
        at(Input, 65535, Kind::U16),
        at(Coil, 5, Kind::Bool),
        at(Coil, 4, Kind::Bool),
    ];
    let (requests, places) = planned(&registers, &WHOLE);
    assert_eq!(asked(&requests), [(Coil, 4, 2), (Holding, 4, 1), (Input, 0, 4), (Input, 5, 1), (Input, 65535, 1)]);
    let found: Vec<_> = places.iter().map(|place| (place.request, place.word)).collect();
    assert_eq!(found, [(2, 3), (2, 0), (2, 1), (3, 0), (1, 0), (4, 0), (0, 1), (0, 0)]);
}

#[test]
fn a_device_is_asked_within_its_limits() {
    let registers: Vec<Register> = [0, 1, 2, 5, 20].map(|start| at(Function::Input, start, Kind::U16)).to_vec();
    let input = |start, count| (Function::Input, start, count);
    let limited = |limits| asked(&planned(&registers, &limits).0);
    assert_eq!(limited(WHOLE), [input(0, 3), input(5, 1), input(20, 1)]);
    assert_eq!(limited(Limits { max_gap: 2, ..WHOLE }), [input(0, 6), input(20, 1)]);
    assert_eq!(limited(Limits { max_gap: 20, ..WHOLE }), [input(0, 21)]);
    assert_eq!(limited(Limits { max_block: 2, ..WHOLE }), [input(0, 2), input(2, 1), input(5, 1), input(20, 1)]);
    assert_eq!(limited(Limits { one_by_one: true, ..WHOLE }).len(), 5);
}

#[test]
fn channels_of_different_rates_are_asked_for_apart() {
    let registers = [0, 1, 2].map(|start| at(Function::Input, start, Kind::U16));
    let (requests, places) = plan(&[(&registers[0], 1), (&registers[1], 60), (&registers[2], 1)], &WHOLE);
    let rates: Vec<_> = requests.iter().map(|request| (request.start, request.every)).collect();
    assert_eq!(rates, [(0, 1), (2, 1), (1, 60)]);
    assert_eq!(places[1], Place { request: 2, word: 0, exponent: None });
}

#[test]
fn what_reading_changes_is_never_read_along() {
    let average = Register { reset_on_read: true, ..at(Function::Input, 1, Kind::U16) };
    let (now, maximum) = (at(Function::Input, 0, Kind::U16), at(Function::Input, 2, Kind::U16));
    let gaps = Limits { max_gap: 10, ..WHOLE };
    let (requests, _) = plan(&[(&now, 1), (&average, 60), (&maximum, 1)], &gaps);
    let changing: Vec<_> = requests.iter().map(|request| (request.start, request.count, request.resets)).collect();
    assert_eq!(changing, [(0, 1, false), (2, 1, false), (1, 1, true)], "0 and 2 are not joined over it");
    let alone = Limits { one_by_one: true, ..WHOLE };
    let (requests, places) = planned(&[now.clone(), average.clone(), maximum.clone()], &alone);
    assert_eq!(
        requests.iter().map(|request| request.start).collect::<Vec<_>>(),
        [0, 2, 1],
        "the maximum before what resets it"
    );
    assert_eq!(places[1].request, 2);
    let (requests, _) = planned(&[now, average, maximum], &gaps);
    assert_eq!(asked(&requests), [(Function::Input, 0, 3)], "at one rate it is read with its neighbours, once");
    assert!(requests[0].resets);
}

#[test]
fn an_exponent_is_read_along_with_its_value() {
    let power = Register { exponent: Some(13), ..at(Function::Holding, 10, Kind::I16) };
    let (requests, places) = planned(std::slice::from_ref(&power), &Limits { max_gap: 5, ..WHOLE });
    assert_eq!(asked(&requests), [(Function::Holding, 10, 4)]);
    assert_eq!(places, [Place { request: 0, word: 0, exponent: Some((0, 3)) }]);
}

fn orders() -> impl Strategy<Value = Order> {
    prop::sample::select(vec![Order::Abcd, Order::Cdab, Order::Badc, Order::Dcba])
}

/// Big-endian bytes as a device with this order puts them into registers.
fn words_of(order: Order, bytes: &[u8]) -> Vec<u16> {
    let big = bytes.chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    let mut words: Vec<u16> = match order {
        Order::Abcd | Order::Cdab => big.collect(),
        Order::Badc | Order::Dcba => big.map(u16::swap_bytes).collect(),
    };
    if matches!(order, Order::Cdab | Order::Dcba) {
        words.reverse();
    }
    words
}

proptest! {
    #[test]
    fn what_a_device_encodes_is_what_is_decoded(order in orders(), bits in any::<u64>()) {
        let (short, long) = (bits as u16, bits as u32);
        let read = |kind, bytes: &[u8]| read(&register(kind, order), &words_of(order, bytes));
        prop_assert_eq!(read(Kind::U16, &short.to_be_bytes()), int(i64::from(short), 0));
        prop_assert_eq!(read(Kind::I16, &short.to_be_bytes()), int(i64::from(short as i16), 0));
        prop_assert_eq!(read(Kind::U32, &long.to_be_bytes()), int(i64::from(long), 0));
        prop_assert_eq!(read(Kind::I32, &long.to_be_bytes()), int(i64::from(long as i32), 0));
        prop_assert_eq!(read(Kind::I64, &bits.to_be_bytes()), int(bits as i64, 0));
        let small = bits >> 1;
        prop_assert_eq!(read(Kind::U64, &small.to_be_bytes()), int(small as i64, 0));
        let (single, double) = (f32::from_bits(long), f64::from_bits(bits));
        let expected = if single.is_finite() { Ok(Value::F32(single)) } else { Err(NoData::NotANumber) };
        prop_assert_eq!(read(Kind::F32, &long.to_be_bytes()), expected);
        let expected = if double.is_finite() { Ok(Value::F64(double)) } else { Err(NoData::NotANumber) };
        prop_assert_eq!(read(Kind::F64, &bits.to_be_bytes()), expected);
    }

    #[test]
    fn a_plan_reads_every_register_within_its_limits_and_no_other_but_in_gaps(
        starts in prop::collection::vec((0u16..400, 0usize..3, 0usize..3, any::<bool>()), 1..64),
        max_block in 4u16..=MAX_REGISTERS,
        max_gap in 0u16..20,
    ) {
        let kinds = [Kind::U16, Kind::F32, Kind::F64];
        let limits = Limits { max_block, max_gap, one_by_one: false };
        let channels: Vec<(Register, u32)> = starts
            .iter()
            .map(|&(start, kind, every, reset_on_read)| {
                (Register { reset_on_read, ..at(Function::Input, start, kinds[kind]) }, [1, 5, 60][every])
            })
            .collect();
        let (requests, places) = plan(&channels.iter().map(|(register, every)| (register, *every)).collect::<Vec<_>>(), &limits);
        let range = |start: u16, count: u16| start..start + count;
        for every in [1, 5, 60] {
            let of_rate = channels.iter().filter(|(_, own)| *own == every).map(|(register, _)| register);
            let wanted: BTreeSet<u16> =
                of_rate.flat_map(|register| range(register.start, register.kind.words())).collect();
            let changing = channels.iter().map(|(register, _)| register).filter(|register| register.reset_on_read);
            let changing: BTreeSet<u16> =
                changing.flat_map(|register| range(register.start, register.kind.words())).collect();
            let of_rate = requests.iter().filter(|request| request.every == every);
            let read: BTreeSet<u16> = of_rate.flat_map(|request| range(request.start, request.count)).collect();
            prop_assert!(wanted.is_subset(&read));
            let along: BTreeSet<u16> = read.difference(&wanted).copied().collect();
            prop_assert!(max_gap > 0 || along.is_empty());
            prop_assert!(along.is_disjoint(&changing), "a gap over what reading changes");
        }
        for ((register, every), place) in channels.iter().zip(&places) {
            let request = requests[place.request];
            prop_assert!(request.count <= max_block);
            prop_assert_eq!(request.every, *every);
            prop_assert!(request.resets || !register.reset_on_read);
            prop_assert_eq!(usize::from(register.start), usize::from(request.start) + place.word);
            prop_assert!(place.word + usize::from(register.kind.words()) <= usize::from(request.count));
        }
    }
}
