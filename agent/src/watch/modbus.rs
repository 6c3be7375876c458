//! Which registers to ask for, and what their words mean.
//!
//! Neighbouring registers are read in one request, but a register that no channel names only where the device's limits
//! allow a gap: with some devices reading has effects (the PRO-Modbus of Lambrecht resets its maximum when the average
//! is read, manual 3415207 p. 6), and others answer a hole with an exception.

#[cfg(test)]
mod tests;

use super::value::scaled;
use crate::config::{Function, Kind, Limits, Order, Register, Scaling, Sentinel};
use windward_protocol::{NoData, Reading, Value};

/// Most registers one request may ask for (Modbus Application Protocol V1.1b3, 6.3 and 6.4).
pub const MAX_REGISTERS: u16 = 125;
/// Most coils or discrete inputs one request may ask for (6.1 and 6.2).
pub const MAX_COILS: u16 = 2_000;
/// Greatest power of ten in a register, either way (SunSpec Information Model Specification, `sunssf`).
const MAX_EXPONENT: i16 = 10;

/// One request of a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Which table of registers.
    pub function: Function,
    /// First register, or coil.
    pub start: u16,
    /// Number of registers, 1 to [`MAX_REGISTERS`]; of coils, to [`MAX_COILS`].
    pub count: u16,
    /// It is asked at every so many of the device's intervals.
    pub every: u32,
    /// Whether reading changes what is read, so that it must not be asked twice.
    pub resets: bool,
}

/// Where a channel's words are found: in the answer to which request, from which word on. Each coil is a word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Index of the request.
    pub request: usize,
    /// Index of the first word in its answer.
    pub word: usize,
    /// The same of the register that holds the value's exponent.
    pub exponent: Option<(usize, usize)>,
}

/// Registers that are read as one: a value, or its exponent.
#[derive(Clone, Copy)]
struct Span {
    channel: usize,
    is_exponent: bool,
    function: Function,
    start: u32,
    end: u32,
    every: u32,
    resets: bool,
}

/// The fewest requests that read the registers of all channels within the limits, and for each channel its place in
/// their answers. A channel is a register and at every how many intervals it is read. Requests that change what they
/// read come last.
pub fn plan(channels: &[(&Register, u32)], limits: &Limits) -> (Vec<Request>, Vec<Place>) {
    let mut spans: Vec<Span> =
        channels.iter().enumerate().flat_map(|(index, channel)| spans(index, *channel)).collect();
    spans.sort_by_key(|span| (span.every, span.function, span.start));
    let resets: Vec<Span> = spans.iter().copied().filter(|span| span.resets).collect();
    let mut requests: Vec<Request> = Vec::new();
    let mut places = vec![Place::default(); channels.len()];
    for span in &spans {
        match requests.last_mut().filter(|last| joins(last, span, &resets, limits)) {
            // Registers may overlap: the same word as number and as status.
            Some(last) => {
                last.count = last.count.max((span.end - u32::from(last.start)) as u16);
                last.resets |= span.resets;
            }
            None => requests.push(Request {
                function: span.function,
                start: span.start as u16,
                count: (span.end - span.start) as u16,
                every: span.every,
                resets: span.resets,
            }),
        }
        let request = requests.len() - 1;
        let word = (span.start - u32::from(requests[request].start)) as usize;
        let place = &mut places[span.channel];
        match span.is_exponent {
            true => place.exponent = Some((request, word)),
            false => (place.request, place.word) = (request, word),
        }
    }
    resets_last(requests, places)
}

/// Puts requests that change what they read behind the others: extremes are to be read before what resets them.
fn resets_last(requests: Vec<Request>, mut places: Vec<Place>) -> (Vec<Request>, Vec<Place>) {
    let mut order: Vec<usize> = (0..requests.len()).collect();
    order.sort_by_key(|&index| requests[index].resets);
    let moved = |old: usize| order.iter().position(|&index| index == old).unwrap_or(old);
    for place in &mut places {
        place.request = moved(place.request);
        place.exponent = place.exponent.map(|(request, word)| (moved(request), word));
    }
    (order.iter().map(|&index| requests[index]).collect(), places)
}

fn spans(channel: usize, (register, every): (&Register, u32)) -> impl Iterator<Item = Span> {
    let span = |start: u16, words: u16, is_exponent: bool| Span {
        channel,
        is_exponent,
        function: register.function,
        start: u32::from(start),
        end: u32::from(start) + u32::from(words),
        every,
        resets: register.reset_on_read && !is_exponent,
    };
    let exponent = register.exponent.map(|start| span(start, 1, true));
    std::iter::once(span(register.start, register.kind.words(), false)).chain(exponent)
}

/// Whether `span` may be read along with the request. What lies between them must not be changed by reading.
fn joins(last: &Request, span: &Span, resets: &[Span], limits: &Limits) -> bool {
    if limits.one_by_one || (last.function, last.every) != (span.function, span.every) {
        return false;
    }
    let most = match span.function.is_bits() {
        true => u32::from(MAX_COILS).min(u32::from(limits.max_block) * 16),
        false => u32::from(limits.max_block),
    };
    let end = u32::from(last.start) + u32::from(last.count);
    let changed = |reset: &Span| reset.function == span.function && reset.start < span.start && reset.end > end;
    span.start <= end + u32::from(limits.max_gap)
        && span.end - u32::from(last.start) <= most
        && !(span.start > end && resets.iter().any(changed))
}

/// What `words`, the answer from the register's place on, say in the channel's unit. `exponent` is the word of the
/// register that holds its power of ten, where it has one. Too few words are a fault of the answer.
pub fn decode(register: &Register, scaling: &Scaling, words: &[u16], exponent: Option<u16>) -> Reading {
    let Some(words) = words.get(..usize::from(register.kind.words())) else {
        return Err(NoData::Protocol);
    };
    let bits = bits(register.order, words);
    let sent = |sentinel: &Sentinel| match *sentinel {
        Sentinel::Bits(of_none) => of_none == bits,
        Sentinel::Float(of_none) => match register.kind {
            Kind::F32 => f32::from_bits(bits as u32) == of_none as f32,
            _ => f64::from_bits(bits) == of_none,
        },
    };
    if register.sentinels.iter().any(sent) {
        return Err(NoData::Sentinel);
    }
    scaled(raised(number(register, bits), exponent)?, scaling)
}

/// Words as text, two characters each, without what pads it. What is no printable ASCII is shown as `?`.
pub fn text(words: &[u16]) -> String {
    let bytes = words.iter().flat_map(|word| word.to_be_bytes());
    let text: String = bytes
        .take_while(|byte| *byte != 0)
        .map(|byte| if (b' '..=b'~').contains(&byte) { char::from(byte) } else { '?' })
        .collect();
    text.trim().to_owned()
}

/// Bits to a number of the register's type.
fn number(register: &Register, bits: u64) -> Value {
    let integer = |mantissa| Value::Int { mantissa, exponent: 0 };
    let bits = match register.bits {
        Some((lowest, highest)) => bits >> lowest & u64::MAX >> (63 - (highest - lowest)),
        None => bits,
    };
    match register.kind {
        // A count beyond 2^63 has more digits than anything measures; the float keeps 15 of them.
        Kind::U64 => i64::try_from(bits).map_or(Value::F64(bits as f64), integer),
        Kind::Bool => integer(i64::from(bits != 0)),
        Kind::U16 | Kind::U32 | Kind::I64 => integer(bits as i64),
        Kind::I16 => integer(i64::from(bits as u16 as i16)),
        Kind::I32 => integer(i64::from(bits as u32 as i32)),
        Kind::F32 => Value::F32(f32::from_bits(bits as u32)),
        Kind::F64 => Value::F64(f64::from_bits(bits)),
    }
}

/// The value times the power of ten that the device gives along. -32768 is SunSpec's "not implemented".
fn raised(value: Value, exponent: Option<u16>) -> Reading {
    let Some(exponent) = exponent.map(|word| word as i16) else { return Ok(value) };
    if exponent == i16::MIN {
        return Err(NoData::Sentinel);
    }
    if !(-MAX_EXPONENT..=MAX_EXPONENT).contains(&exponent) {
        return Err(NoData::Protocol);
    }
    Ok(match value {
        Value::Int { mantissa, .. } => Value::Int { mantissa, exponent: exponent as i8 },
        float => Value::F64(float.as_f64() * 10f64.powi(exponent.into())),
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
