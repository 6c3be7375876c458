//! What must hold for any registers of any channels. The first two bytes are the limits of the device, each ten that
//! follow are a channel and what its slave answers.

use windward_agent::config::{Function, Kind, Limits, Order, Register, Scale, Scaling, Sentinel};
use windward_agent::watch::modbus::{MAX_COILS, MAX_REGISTERS, decode, plan};
use windward_protocol::NoData;

const FUNCTIONS: [Function; 4] = [Function::Holding, Function::Input, Function::Coil, Function::Discrete];
const KINDS: [Kind; 8] = [Kind::U16, Kind::I16, Kind::U32, Kind::I32, Kind::U64, Kind::I64, Kind::F32, Kind::F64];
const ORDERS: [Order; 4] = [Order::Abcd, Order::Cdab, Order::Badc, Order::Dcba];

/// Panics when something does not hold.
pub(crate) fn check(bytes: &[u8]) {
    let [block, gap, channels @ ..] = bytes else { return };
    let limits = Limits {
        max_block: u16::from(*block).clamp(4, MAX_REGISTERS),
        max_gap: u16::from(gap >> 1),
        one_by_one: gap & 1 == 1,
    };
    // As many channels as a device may have.
    let (channels, _) = channels.as_chunks::<10>();
    let channels = &channels[..channels.len().min(64)];
    let registers: Vec<(Register, u32)> =
        channels.iter().map(|bytes| (register(bytes), u32::from(bytes[1] >> 6) + 1)).collect();
    check_plan(&registers, &limits);
    for (bytes, (register, _)) in channels.iter().zip(&registers) {
        check_decode(bytes, register);
    }
}

/// A register that a configuration can describe.
fn register(bytes: &[u8; 10]) -> Register {
    let [function, order, high, low, rest @ ..] = *bytes;
    let function_of = FUNCTIONS[usize::from(function & 3)];
    let kind = if function_of.is_bits() { Kind::Bool } else { KINDS[usize::from(function >> 2 & 7)] };
    let last = u16::MAX - (kind.words() - 1);
    let unsigned = matches!(kind, Kind::U16 | Kind::U32 | Kind::U64);
    let highest = (kind.words() * 16 - 1) as u8;
    Register {
        function: function_of,
        start: u16::from_be_bytes([high, low]).min(last),
        kind,
        order: ORDERS[usize::from(order & 3)],
        bits: (unsigned && order & 4 != 0).then(|| (rest[0] % 8, 8 + rest[1] % (highest - 7))),
        exponent: (function & 32 != 0 && kind != Kind::Bool).then(|| u16::from_be_bytes([low, high])),
        sentinels: vec![Sentinel::Bits(0x8000), Sentinel::Float(-999.9)],
        reset_on_read: order & 8 != 0,
    }
}

fn check_plan(registers: &[(Register, u32)], limits: &Limits) {
    let channels: Vec<(&Register, u32)> = registers.iter().map(|(register, every)| (register, *every)).collect();
    let (requests, places) = plan(&channels, limits);
    assert_eq!(places.len(), channels.len());
    for request in &requests {
        let most = if request.function.is_bits() { MAX_COILS } else { limits.max_block };
        assert!((1..=most).contains(&request.count), "{request:?}");
        assert!(u32::from(request.start) + u32::from(request.count) <= 0x1_0000, "{request:?}");
    }
    for ((register, every), place) in channels.iter().zip(&places) {
        let request = requests[place.request];
        assert_eq!((request.function, request.every), (register.function, *every));
        assert_eq!(usize::from(request.start) + place.word, usize::from(register.start));
        assert!(place.word + usize::from(register.kind.words()) <= usize::from(request.count));
        assert!(request.resets || !register.reset_on_read);
        assert_eq!(place.exponent.is_some(), register.exponent.is_some());
        if let (Some((index, word)), Some(start)) = (place.exponent, register.exponent) {
            assert_eq!(usize::from(requests[index].start) + word, usize::from(start));
            assert!(word < usize::from(requests[index].count));
        }
    }
}

fn check_decode(bytes: &[u8; 10], register: &Register) {
    let [.., a, b, c, d] = *bytes;
    let word = |high, low| u16::from_be_bytes([high, low]);
    let words = [word(a, b), word(c, d), word(bytes[4], bytes[5]), word(d, a)];
    let exponent = register.exponent.map(|_| word(c, b));
    let scales = [Scale::Decimal((a % 7) as i8 - 3), Scale::Factor(0.514), Scale::Factor(f64::from(b) * 1e300)];
    for scale in scales {
        for range in [None, Some((-40.0, 85.0))] {
            let scaling = Scaling { scale, offset: f64::from(c), range };
            assert_eq!(
                decode(register, &scaling, &words[..usize::from(register.kind.words()) - 1], exponent),
                Err(NoData::Protocol)
            );
            let Ok(value) = decode(register, &scaling, &words, exponent) else { continue };
            let value = value.as_f64();
            assert!(value.is_finite());
            assert!(range.is_none_or(|(least, most)| (least..=most).contains(&value)));
        }
    }
}
