//! From a channel as it is written to a channel as it is meant.

use super::faults::{Faults, place};
use super::raw::{RawChannel, RawText};
use super::register::{Function, Kind, Order, Register, Scale, Scaling, Sentinel};
use super::{Bus, DeviceChannel, How, Source, Text};
use crate::hal::analog::{Analog, Flaw};
use crate::hal::pulses::{Cup, debounce_us};
use crate::watch::sentence::Field;
use std::ops::Range;
use toml::Spanned;
use windward_protocol::{Channel, Quantity};

/// Most registers of a text.
const MAX_TEXT_WORDS: u16 = 64;
/// Pulses a second of the fastest cup, where the channel's range does not say: an NRG #40 at 75 m/s gives 98.
const USUAL_MAX_HZ: f64 = 100.0;

/// The channels of a device. `interval_ms` is the device's.
pub(super) fn channels(
    raw: Vec<Spanned<RawChannel>>,
    bus: &Bus,
    how: &How,
    interval_ms: u32,
    faults: &mut Faults,
) -> Vec<DeviceChannel> {
    let mut channels: Vec<DeviceChannel> = Vec::with_capacity(raw.len());
    for raw in raw {
        let span = raw.span();
        let raw = raw.into_inner();
        let name = raw.name.get_ref();
        faults.name_of(&raw.name, "channel");
        if channels.iter().any(|known| known.channel.name == *name) {
            faults.add(raw.name.span(), format!("channel {name:?} stands here for the second time"));
        }
        let Some(unit) = &raw.unit else {
            faults.add(span, "missing key `unit`".into());
            continue;
        };
        faults.text_of(unit, "unit", 0..=32);
        let Some(source) = source(&raw, span, bus, how, faults) else { continue };
        let quantity = raw.quantity.unwrap_or(Quantity::Other);
        let scaling = match source {
            // All of it is in the cup: at rest the value is 0, whatever the offset.
            Source::Pulses { .. } => Scaling { scale: Scale::Decimal(0), offset: 0.0, range: None },
            _ => scaling(&raw, faults),
        };
        channels.push(DeviceChannel {
            channel: Channel { name: name.clone(), quantity, unit: unit.get_ref().clone() },
            source,
            scaling,
            every: every(&raw, interval_ms, faults),
            detect: raw.detect.unwrap_or(quantity == Quantity::WindSpeed),
        });
    }
    channels
}

/// Where the channel is read, by the line its device hangs on; `None` when a key is missing.
fn source(raw: &RawChannel, span: Range<usize>, bus: &Bus, how: &How, faults: &mut Faults) -> Option<Source> {
    let of_modbus = [
        ("function", place(&raw.function)),
        ("register", place(&raw.register)),
        ("type", place(&raw.kind)),
        ("order", place(&raw.order)),
        ("bits", place(&raw.bits)),
        ("sentinels", raw.sentinels.as_ref().and_then(|all| all.first().map(Spanned::span))),
        ("exponent_register", place(&raw.exponent_register)),
        ("reset_on_read", place(&raw.reset_on_read)),
    ];
    let of_sentences = [("field", place(&raw.field))];
    let of_converters = [
        ("input", place(&raw.input)),
        ("signal", place(&raw.signal)),
        ("span", place(&raw.span)),
        ("shunt_ohm", place(&raw.shunt_ohm)),
        ("divider", place(&raw.divider)),
    ];
    let of_pulses = [("line", place(&raw.line))];
    if !matches!(bus, Bus::Modbus { .. }) {
        faults.misplaced(&of_modbus, "Modbus devices");
    }
    if !matches!(bus, Bus::Sentences { .. }) {
        faults.misplaced(&of_sentences, "devices on `serial` or `serial_tcp`");
    }
    if !matches!(bus, Bus::I2c { .. }) {
        faults.misplaced(&of_converters, "devices on `i2c`");
    }
    if !matches!(bus, Bus::Gpio { .. }) {
        faults.misplaced(&of_pulses, "devices on `gpio`");
    }
    match bus {
        Bus::Modbus { .. } => register(raw, span, how, faults).map(Source::Register),
        Bus::Sentences { format, .. } => {
            let field = required(&raw.field, "field", span, faults)?;
            match Field::parse(*format, field.get_ref()) {
                Ok(field) => Some(Source::Field(field)),
                Err(error) => {
                    faults.add(field.span(), error);
                    None
                }
            }
        }
        Bus::I2c { .. } => analog(raw, span, faults),
        Bus::Gpio { .. } => {
            let line = required(&raw.line, "line", span, faults)?;
            faults.within(line, "line", 0..=1023);
            let Scaling { offset, range, .. } = scaling(raw, faults);
            let cup = Cup { slope: number(&raw.scale, 1.0), offset, range };
            let fastest_hz = range.map_or(USUAL_MAX_HZ, |(_, most)| (most - offset) / cup.slope);
            Some(Source::Pulses { line: *line.get_ref(), debounce_us: debounce_us(fastest_hz), cup })
        }
    }
}

fn required<'a, T>(
    value: &'a Option<Spanned<T>>,
    key: &str,
    span: Range<usize>,
    faults: &mut Faults,
) -> Option<&'a Spanned<T>> {
    if value.is_none() {
        faults.add(span, format!("missing key `{key}`"));
    }
    value.as_ref()
}

fn register(raw: &RawChannel, span: Range<usize>, how: &How, faults: &mut Faults) -> Option<Register> {
    let start = required(&raw.register, "register", span.clone(), faults)?;
    let function = raw.function.as_ref().map_or(Function::Input, |function| *function.get_ref());
    let kind = match &raw.kind {
        None if function.is_bits() => Kind::Bool,
        None => {
            faults.add(span, "missing key `type`".into());
            return None;
        }
        Some(kind) => {
            kind_fits(kind, function, faults);
            *kind.get_ref()
        }
    };
    if let How::Modbus { limits, .. } = how
        && kind.words() > limits.max_block
    {
        faults.add(span, format!("the type takes {} registers, and max_block is {}", kind.words(), limits.max_block));
    }
    let sentinels = raw.sentinels.iter().flatten().filter_map(|given| {
        let sentinel = sentinel(kind, *given.get_ref());
        if sentinel.is_none() {
            faults.add(given.span(), format!("sentinel {} does not fit the channel's type", given.get_ref()));
        }
        sentinel
    });
    let sentinels = sentinels.collect();
    Some(Register {
        function,
        start: address(start, kind.words(), faults),
        kind,
        order: raw.order.as_ref().map_or(Order::Abcd, |order| *order.get_ref()),
        bits: raw.bits.as_ref().map(|bits| bit_field(bits, kind, faults)),
        exponent: raw.exponent_register.as_ref().map(|register| address(register, 1, faults)),
        sentinels,
        reset_on_read: raw.reset_on_read.as_ref().is_some_and(|given| *given.get_ref()),
    })
}

fn analog(raw: &RawChannel, span: Range<usize>, faults: &mut Faults) -> Option<Source> {
    let input = required(&raw.input, "input", span.clone(), faults)?;
    let signal = required(&raw.signal, "signal", span.clone(), faults)?;
    let ends = required(&raw.span, "span", span, faults)?;
    let given = |value: &Option<Spanned<f64>>| value.as_ref().map(|value| *value.get_ref());
    let (shunt_ohm, divider) = (given(&raw.shunt_ohm), given(&raw.divider));
    match Analog::new(*input.get_ref(), *signal.get_ref(), shunt_ohm, divider, *ends.get_ref()) {
        Ok(analog) => Some(Source::Analog(analog)),
        Err(flaw) => {
            let place = match flaw {
                Flaw::Input => input.span(),
                Flaw::Span => ends.span(),
                _ => place(&raw.shunt_ohm).or(place(&raw.divider)).unwrap_or(signal.span()),
            };
            faults.add(place, flaw.to_string());
            None
        }
    }
}

fn kind_fits(kind: &Spanned<Kind>, function: Function, faults: &mut Faults) {
    match (*kind.get_ref() == Kind::Bool, function.is_bits()) {
        (true, false) => faults.add(
            kind.span(),
            "a bool stands in a coil or discrete input; of a register take type = \"u16\" and bits = [n, n]".into(),
        ),
        (false, true) => faults.add(kind.span(), "a coil or discrete input is a bool".into()),
        _ => {}
    }
}

/// The wire address of a value of so many words.
fn address(given: &Spanned<i64>, words: u16, faults: &mut Faults) -> u16 {
    let last = i64::from(u16::MAX) - i64::from(words) + 1;
    let start = *given.get_ref();
    if !(0..=last).contains(&start) {
        let hint = "give the wire address, counted from zero (a manual's 30001 is often 0)";
        faults.add(given.span(), format!("register {start} is out of 0..={last}; {hint}"));
    }
    start as u16
}

fn bit_field(given: &Spanned<[u8; 2]>, kind: Kind, faults: &mut Faults) -> (u8, u8) {
    let [lowest, highest] = *given.get_ref();
    let bits = 16 * kind.words();
    if !matches!(kind, Kind::U16 | Kind::U32 | Kind::U64) {
        faults.add(given.span(), "bits are parts of a u16, u32 or u64".into());
    } else if lowest > highest || u16::from(highest) >= bits {
        let message =
            format!("bits [{lowest}, {highest}]: the lowest stands first, and the highest is at most {}", bits - 1);
        faults.add(given.span(), message);
    }
    (lowest, highest)
}

fn scaling(raw: &RawChannel, faults: &mut Faults) -> Scaling {
    let (scale, offset) = (number(&raw.scale, 1.0), number(&raw.offset, 0.0));
    if let Some(given) = raw.scale.as_ref().filter(|_| !scale.is_finite() || scale == 0.0) {
        faults.add(given.span(), format!("scale {scale} makes no value"));
    }
    if let Some(given) = raw.offset.as_ref().filter(|_| !offset.is_finite()) {
        faults.add(given.span(), format!("offset {offset} makes no value"));
    }
    let range = raw.range.as_ref().map(|range| {
        let [least, most] = *range.get_ref();
        // Written so that NaN is refused too.
        if least.partial_cmp(&most) != Some(std::cmp::Ordering::Less) {
            faults.add(range.span(), format!("range [{least}, {most}] is empty; the lesser bound stands first"));
        }
        (least, most)
    });
    Scaling { scale: decimal(scale).map_or(Scale::Factor(scale), Scale::Decimal), offset, range }
}

fn number(given: &Option<Spanned<f64>>, default: f64) -> f64 {
    given.as_ref().map_or(default, |given| *given.get_ref())
}

/// At every how many of the device's intervals the channel is read.
fn every(raw: &RawChannel, interval_ms: u32, faults: &mut Faults) -> u32 {
    let Some(given) = &raw.interval_ms else { return 1 };
    let of_channel = *given.get_ref();
    faults.within(given, "interval_ms", 10..=86_400_000);
    if of_channel % interval_ms.max(1) != 0 {
        let name = raw.name.get_ref();
        faults.add(
            given.span(),
            format!("interval_ms = {of_channel} of channel {name:?} is no multiple of its device's {interval_ms}"),
        );
    }
    (of_channel / interval_ms.max(1)).max(1)
}

/// A sentinel as the type's bits: 65535 and -1 are the same for a register.
fn sentinel(kind: Kind, given: f64) -> Option<Sentinel> {
    if kind.is_float() {
        return given.is_finite().then_some(Sentinel::Float(given));
    }
    let bits = 16 * u32::from(kind.words());
    let (least, most) = (-((bits - 1) as f64).exp2(), (bits as f64).exp2());
    if given.fract() != 0.0 || given < least || given >= most {
        return None;
    }
    let mask = u64::MAX >> (64 - bits);
    let number = if given < 0.0 { given as i64 as u64 } else { given as u64 };
    Some(Sentinel::Bits(number & mask))
}

/// The exponent, when `scale` is a power of ten; the text is compared, for a computed power may be one bit off.
fn decimal(scale: f64) -> Option<i8> {
    (-9..=9).find(|exponent| format!("1e{exponent}").parse() == Ok(scale))
}

/// What the device says of itself.
pub(super) fn texts(raw: Vec<Spanned<RawText>>, faults: &mut Faults) -> Vec<Text> {
    let text = |raw: Spanned<RawText>| {
        let raw = raw.into_inner();
        faults.text_of(&raw.name, "name", 1..=64);
        faults.within(&raw.words, "words", 1..=MAX_TEXT_WORDS);
        if raw.function.is_some_and(Function::is_bits) {
            faults.add(raw.name.span(), "a text stands in input or holding registers".into());
        }
        let words = *raw.words.get_ref();
        Text {
            function: raw.function.unwrap_or(Function::Holding),
            start: address(&raw.register, words, faults),
            words,
            name: raw.name.into_inner(),
        }
    };
    raw.into_iter().map(text).collect()
}

impl RawChannel {
    /// Where it is read, for people.
    pub(super) fn place(&self) -> String {
        if let Some(field) = &self.field {
            return format!("field {}", field.get_ref());
        }
        if let Some(input) = &self.input {
            return format!("input {}", input.get_ref());
        }
        if let Some(register) = &self.register {
            let function = match self.function.as_ref().map(|function| *function.get_ref()) {
                None | Some(Function::Input) => "input",
                Some(Function::Holding) => "holding",
                Some(Function::Coil) => "coil",
                Some(Function::Discrete) => "discrete",
            };
            let kind = self.kind.as_ref().map(|kind| format!("{:?}", kind.get_ref()).to_lowercase());
            return format!("{function} {} {}", register.get_ref(), kind.unwrap_or_default());
        }
        String::new()
    }

    /// The channel with what it leaves out taken from `base`, its profile's channel of the same name.
    pub(super) fn over(self, base: RawChannel) -> RawChannel {
        RawChannel {
            name: self.name,
            quantity: self.quantity.or(base.quantity),
            unit: self.unit.or(base.unit),
            range: self.range.or(base.range),
            interval_ms: self.interval_ms.or(base.interval_ms),
            detect: self.detect.or(base.detect),
            scale: self.scale.or(base.scale),
            offset: self.offset.or(base.offset),
            function: self.function.or(base.function),
            register: self.register.or(base.register),
            kind: self.kind.or(base.kind),
            order: self.order.or(base.order),
            bits: self.bits.or(base.bits),
            sentinels: self.sentinels.or(base.sentinels),
            exponent_register: self.exponent_register.or(base.exponent_register),
            reset_on_read: self.reset_on_read.or(base.reset_on_read),
            field: self.field.or(base.field),
            input: self.input.or(base.input),
            signal: self.signal.or(base.signal),
            span: self.span.or(base.span),
            shunt_ohm: self.shunt_ohm.or(base.shunt_ohm),
            divider: self.divider.or(base.divider),
            line: self.line.or(base.line),
            source: self.source.or(base.source),
            unsure: self.unsure.or(base.unsure),
        }
    }

    /// The channel as if all of it stood at `span`: a profile's text is not the user's.
    pub(super) fn placed(self, span: &Range<usize>) -> RawChannel {
        fn at<T>(value: Option<Spanned<T>>, span: &Range<usize>) -> Option<Spanned<T>> {
            value.map(|value| Spanned::new(span.clone(), value.into_inner()))
        }
        RawChannel {
            name: Spanned::new(span.clone(), self.name.into_inner()),
            unit: at(self.unit, span),
            range: at(self.range, span),
            interval_ms: at(self.interval_ms, span),
            scale: at(self.scale, span),
            offset: at(self.offset, span),
            function: at(self.function, span),
            register: at(self.register, span),
            kind: at(self.kind, span),
            order: at(self.order, span),
            bits: at(self.bits, span),
            sentinels: self
                .sentinels
                .map(|all| all.into_iter().map(|given| Spanned::new(span.clone(), given.into_inner())).collect()),
            exponent_register: at(self.exponent_register, span),
            reset_on_read: at(self.reset_on_read, span),
            field: at(self.field, span),
            input: at(self.input, span),
            signal: at(self.signal, span),
            span: at(self.span, span),
            shunt_ohm: at(self.shunt_ohm, span),
            divider: at(self.divider, span),
            line: at(self.line, span),
            ..self
        }
    }
}
