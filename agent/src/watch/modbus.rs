//! Which registers to ask for, and what their words mean.
//!
//! Neighbouring registers are read in one request, but never a register that no channel names: with some devices
//! reading has effects (the PRO-Modbus of Lambrecht resets its maximum when the average is read, manual 3415207 p. 6),
//! and others answer a hole with an exception.

use crate::config::{Function, Kind, Order, Register, Scale, Sentinel};
use windward_protocol::{NoData, Reading, Value};

/// Most registers one request may ask for (Modbus Application Protocol V1.1b3, 6.3 and 6.4).
pub const MAX_REGISTERS: u16 = 125;

/// One request of a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Which table of registers.
    pub function: Function,
    /// First register.
    pub start: u16,
    /// Number of registers, 1 to [`MAX_REGISTERS`].
    pub count: u16,
}

/// Where a channel's words are found: in the answer to which request, from which word on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Index of the request.
    pub request: usize,
    /// Index of the first word in its answer.
    pub word: usize,
}

/// The fewest requests that read all `registers` and nothing else, and for each register its place in their answers.
pub fn plan(registers: &[&Register]) -> (Vec<Request>, Vec<Place>) {
    let mut order: Vec<usize> = (0..registers.len()).collect();
    order.sort_by_key(|&index| (registers[index].function, registers[index].start));
    let mut requests: Vec<Request> = Vec::new();
    let mut places = vec![Place::default(); registers.len()];
    for index in order {
        let register = registers[index];
        let (start, words) = (u32::from(register.start), u32::from(register.kind.words()));
        let joined = requests.last_mut().filter(|last| {
            let (first, end) = (u32::from(last.start), u32::from(last.start) + u32::from(last.count));
            last.function == register.function && start <= end && start + words - first <= u32::from(MAX_REGISTERS)
        });
        match joined {
            // Registers may overlap: the same word as number and as status.
            Some(last) => last.count = last.count.max(register.start - last.start + register.kind.words()),
            None => requests.push(Request {
                function: register.function,
                start: register.start,
                count: register.kind.words(),
            }),
        }
        let request = requests.len() - 1;
        places[index] = Place { request, word: usize::from(register.start - requests[request].start) };
    }
    (requests, places)
}

/// What `words`, the answer from the register's place on, say. Too few words are a fault of the answer.
pub fn decode(register: &Register, words: &[u16]) -> Reading {
    let Some(words) = words.get(..usize::from(register.kind.words())) else {
        return Err(NoData::Protocol);
    };
    let number = number(register, words)?;
    let value = match number {
        Number::Int(integer) => scale_integer(register, integer),
        Number::F32(float) if unscaled(register) => Value::F32(float),
        Number::F32(float) => Value::F64(scale_float(register, f64::from(float))),
        Number::F64(float) => Value::F64(scale_float(register, float)),
    };
    let number = value.as_f64();
    match register.range {
        _ if !number.is_finite() => Err(NoData::NotANumber),
        Some((least, most)) if !(least..=most).contains(&number) => Err(NoData::OutOfRange),
        _ => Ok(value),
    }
}

/// A value before scaling.
enum Number {
    Int(i64),
    F32(f32),
    F64(f64),
}

/// Words to a number of the register's type, or the reason why it is none.
fn number(register: &Register, words: &[u16]) -> Result<Number, NoData> {
    let bits = bits(register.order, words);
    let sent = |sentinel: &Sentinel| match *sentinel {
        Sentinel::Bits(of_none) => u64::from(of_none) == bits,
        Sentinel::Float(of_none) => match register.kind {
            Kind::F32 => f32::from_bits(bits as u32) == of_none as f32,
            _ => f64::from_bits(bits) == of_none,
        },
    };
    if register.sentinels.iter().any(sent) {
        return Err(NoData::Sentinel);
    }
    Ok(match register.kind {
        Kind::U16 | Kind::U32 => Number::Int(bits as i64),
        Kind::I16 => Number::Int(i64::from(bits as u16 as i16)),
        Kind::I32 => Number::Int(i64::from(bits as u32 as i32)),
        Kind::F32 => Number::F32(f32::from_bits(bits as u32)),
        Kind::F64 => Number::F64(f64::from_bits(bits)),
    })
}

/// The words in the order that puts the most significant byte first. At most four words.
fn bits(order: Order, words: &[u16]) -> u64 {
    let (words_swapped, bytes_swapped) = match order {
        Order::Abcd => (false, false),
        Order::Cdab => (true, false),
        Order::Badc => (false, true),
        Order::Dcba => (true, true),
    };
    let join = |bits: u64, word: &u16| {
        let word = if bytes_swapped { word.swap_bytes() } else { *word };
        bits << 16 | u64::from(word)
    };
    if words_swapped { words.iter().rev().fold(0, join) } else { words.iter().fold(0, join) }
}

/// An integer keeps its digits when its scale is a power of ten and nothing is added.
fn scale_integer(register: &Register, integer: i64) -> Value {
    match register.scale {
        Scale::Decimal(exponent) => {
            let value = Value::Int { mantissa: integer, exponent };
            if register.offset == 0.0 { value } else { Value::F64(value.as_f64() + register.offset) }
        }
        Scale::Factor(factor) => Value::F64(integer as f64 * factor + register.offset),
    }
}

fn unscaled(register: &Register) -> bool {
    register.scale == Scale::Decimal(0) && register.offset == 0.0
}

fn scale_float(register: &Register, float: f64) -> f64 {
    let scaled = match register.scale {
        Scale::Decimal(0) => float,
        Scale::Decimal(exponent) => float * 10f64.powi(i32::from(exponent)),
        Scale::Factor(factor) => float * factor,
    };
    scaled + register.offset
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn register(kind: Kind, order: Order) -> Register {
        Register {
            function: Function::Input,
            start: 0,
            kind,
            order,
            scale: Scale::Decimal(0),
            offset: 0.0,
            range: None,
            sentinels: Vec::new(),
        }
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
            (U16, Abcd, &[], Err(NoData::Protocol)),
        ];
        for (kind, order, words, expected) in table {
            let reading = decode(&register(*kind, *order), words);
            assert_eq!(reading, *expected, "{kind:?} {order:?} {words:04x?}");
        }
    }

    #[test]
    fn a_power_of_ten_keeps_the_digits_and_anything_else_makes_a_float() {
        let tenths = Register { scale: Scale::Decimal(-1), ..register(Kind::U16, Order::Abcd) };
        assert_eq!(decode(&tenths, &[105]), int(105, -1));
        let kelvin = Register { offset: -273.15, ..tenths.clone() };
        assert_eq!(decode(&kelvin, &[2932]), Ok(Value::F64(293.2 - 273.15)));
        let knots = Register { scale: Scale::Factor(0.5), ..register(Kind::I16, Order::Abcd) };
        assert_eq!(decode(&knots, &[0xfffd]), Ok(Value::F64(-1.5)));
    }

    #[test]
    fn sentinels_and_limits_give_their_reason_and_never_a_value() {
        let speed = Register {
            scale: Scale::Decimal(-1),
            range: Some((0.0, 75.0)),
            sentinels: vec![Sentinel::Bits(65535), Sentinel::Bits(32767)],
            ..register(Kind::U16, Order::Abcd)
        };
        assert_eq!(decode(&speed, &[750]), int(750, -1));
        assert_eq!(decode(&speed, &[751]), Err(NoData::OutOfRange));
        assert_eq!(decode(&speed, &[65535]), Err(NoData::Sentinel));
        assert_eq!(decode(&speed, &[32767]), Err(NoData::Sentinel));
        let float = Register { sentinels: vec![Sentinel::Float(-999.9)], ..register(Kind::F32, Order::Abcd) };
        let bits = (-999.9f32).to_bits();
        assert_eq!(decode(&float, &[(bits >> 16) as u16, bits as u16]), Err(NoData::Sentinel));
    }

    #[test]
    fn neighbours_share_a_request_and_holes_are_not_read() {
        let at = |function, start, kind| Register { function, start, ..register(kind, Order::Abcd) };
        let registers = [
            at(Function::Input, 3, Kind::U16),
            at(Function::Input, 0, Kind::U16),
            at(Function::Input, 1, Kind::F32),
            at(Function::Input, 5, Kind::U16),
            at(Function::Holding, 4, Kind::U16),
            at(Function::Input, 65535, Kind::U16),
        ];
        let (requests, places) = plan(&registers.iter().collect::<Vec<_>>());
        let asked: Vec<_> = requests.iter().map(|r| (r.function, r.start, r.count)).collect();
        assert_eq!(
            asked,
            [(Function::Input, 0, 4), (Function::Input, 5, 1), (Function::Input, 65535, 1), (Function::Holding, 4, 1)]
        );
        let found: Vec<_> = places.iter().map(|place| (place.request, place.word)).collect();
        assert_eq!(found, [(0, 3), (0, 0), (0, 1), (1, 0), (3, 0), (2, 0)]);
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
            let read = |kind, bytes: &[u8]| decode(&register(kind, order), &words_of(order, bytes));
            prop_assert_eq!(read(Kind::U16, &short.to_be_bytes()), int(i64::from(short), 0));
            prop_assert_eq!(read(Kind::I16, &short.to_be_bytes()), int(i64::from(short as i16), 0));
            prop_assert_eq!(read(Kind::U32, &long.to_be_bytes()), int(i64::from(long), 0));
            prop_assert_eq!(read(Kind::I32, &long.to_be_bytes()), int(i64::from(long as i32), 0));
            let (single, double) = (f32::from_bits(long), f64::from_bits(bits));
            let expected = if single.is_finite() { Ok(Value::F32(single)) } else { Err(NoData::NotANumber) };
            prop_assert_eq!(read(Kind::F32, &long.to_be_bytes()), expected);
            let expected = if double.is_finite() { Ok(Value::F64(double)) } else { Err(NoData::NotANumber) };
            prop_assert_eq!(read(Kind::F64, &bits.to_be_bytes()), expected);
        }

        #[test]
        fn a_plan_reads_every_register_and_no_other(starts in prop::collection::vec((0u16..400, 0usize..3), 1..64)) {
            let kinds = [Kind::U16, Kind::F32, Kind::F64];
            let registers: Vec<Register> = starts
                .iter()
                .map(|&(start, kind)| Register { start, ..register(kinds[kind], Order::Abcd) })
                .collect();
            let (requests, places) = plan(&registers.iter().collect::<Vec<_>>());
            let wanted: std::collections::BTreeSet<u16> = registers
                .iter()
                .flat_map(|register| register.start..register.start + register.kind.words())
                .collect();
            let asked: std::collections::BTreeSet<u16> =
                requests.iter().flat_map(|request| request.start..request.start + request.count).collect();
            prop_assert_eq!(wanted, asked);
            for (register, place) in registers.iter().zip(&places) {
                let request = requests[place.request];
                prop_assert!(request.count <= MAX_REGISTERS);
                prop_assert_eq!(usize::from(register.start), usize::from(request.start) + place.word);
                prop_assert!(place.word + usize::from(register.kind.words()) <= usize::from(request.count));
            }
        }
    }
}
