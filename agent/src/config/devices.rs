//! From devices as they are written, and their profiles, to devices as they are meant.

use super::faults::{Faults, place};
use super::line::Bus;
use super::profile::{self, LinkKind, Profile};
use super::raw::{RawDevice, RawI2c, unplaced};
use super::{Device, How, Limits, buses, channel};
use crate::watch::modbus::MAX_REGISTERS;
use std::collections::BTreeMap;
use std::ops::Range;
use toml::Spanned;
use windward_protocol::{AgentId, BlockBuilder, MAX_CHANNELS, Row, Value};

/// Most devices of an agent, so that the health of all of them fits one envelope.
const MAX_DEVICES: usize = 32;
/// Time between readings where nothing is said, ms.
const USUAL_INTERVAL_MS: u32 = 1_000;
/// Longest time between two readings that are forwarded, s.
const MAX_FORWARD_EVERY_S: u32 = 3_600;
/// Most retries of a request within its round.
const MAX_RETRIES: u8 = 5;
/// How long a device that speaks by itself may be silent when nothing is said, in its intervals, and at least ms.
const SILENT_INTERVALS: u32 = 3;
const SILENT_MS: u32 = 1_000;

/// The devices, and the buses they share.
pub(super) fn devices(
    raw: Vec<Spanned<RawDevice>>,
    agent: &AgentId,
    location: Option<&Spanned<String>>,
    faults: &mut Faults,
) -> (Vec<Bus>, Vec<Device>) {
    let (mut buses, mut devices) = (Vec::<Bus>::new(), Vec::new());
    let mut names = BTreeMap::<String, usize>::new();
    match raw.len() {
        0 => faults.add(0..0, "no [[device]]: there is nothing to read".into()),
        1..=MAX_DEVICES => {}
        count => {
            faults.add(0..0, format!("{count} devices; an agent has at most {MAX_DEVICES}, start another for the rest"))
        }
    }
    for raw in raw {
        let span = raw.span();
        let Some((raw, unsure)) = with_profile(raw.into_inner(), faults) else { continue };
        let Some(name) = raw.name.clone().or_else(|| raw.profile.clone()) else {
            faults.add(span, "missing key `name`".into());
            continue;
        };
        if names.insert(name.get_ref().clone(), span.start).is_some() {
            faults.add(name.span(), format!("device {:?} stands here for the second time", name.get_ref()));
        }
        let own_location = raw.location.clone().or_else(|| location.cloned());
        let location = own_location.unwrap_or_else(|| unplaced(agent.to_string()));
        faults.name_of(&name, "device");
        faults.text_of(&location, "location", 1..=128);
        let Some(bus) = buses::bus_of(&raw, &name, span.clone(), faults) else { continue };
        let bus = buses::shared(&mut buses, bus, span.clone(), faults);
        let named = Named { name: name.into_inner(), location: location.into_inner(), unsure };
        let Some(device) = device(raw, named, span.clone(), (&buses[bus], bus), faults) else { continue };
        if device.channels.len() <= MAX_CHANNELS && !row_fits(&device, agent) {
            let message =
                "one reading of all channels does not fit a block of 4 KiB: shorten names or split the device";
            faults.add(span, message.into());
        }
        devices.push(device);
    }
    (buses, devices)
}

/// What a device is called, and what its profile is not sure of.
struct Named {
    name: String,
    location: String,
    unsure: Vec<String>,
}

/// The device with what it leaves out taken from its profile, and what the profile is not sure of.
fn with_profile(mut raw: RawDevice, faults: &mut Faults) -> Option<(RawDevice, Vec<String>)> {
    let Some(name) = raw.profile.clone() else { return Some((raw, Vec::new())) };
    let Some(base) = profile::find(name.get_ref()) else {
        let meant = match profile::nearest(name.get_ref()) {
            Some(near) => format!("did you mean {near:?}?"),
            None => "`windward-agent profiles` lists them".to_owned(),
        };
        faults.add(name.span(), format!("there is no profile {:?}; {meant}", name.get_ref()));
        return None;
    };
    let span = name.span();
    let given = link_kind(&raw);
    if given.is_some_and(|given| given != family(base.link)) {
        let needs = base.example(name.get_ref()).lines().nth(2).unwrap_or_default().to_owned();
        faults.add(span, format!("profile {:?} is for another kind of line: {needs}", name.get_ref()));
        return None;
    }
    let mut unsure = base.unsure.clone();
    let told: Vec<String> = raw.channel.iter().map(|channel| channel.get_ref().name.get_ref().clone()).collect();
    for channel in base.channel.iter().filter(|channel| !told.contains(channel.name.get_ref())) {
        unsure.extend(channel.unsure.iter().map(|question| format!("{}: {question}", channel.name.get_ref())));
    }
    raw.fill(base, &span);
    Some((raw, unsure))
}

/// Lines between which no gateway stands.
#[derive(PartialEq, Eq)]
enum Family {
    Modbus,
    Sentences,
    I2c,
    Gpio,
}

fn family(link: LinkKind) -> Family {
    match link {
        LinkKind::ModbusTcp | LinkKind::ModbusRtu => Family::Modbus,
        LinkKind::Serial => Family::Sentences,
        LinkKind::I2c => Family::I2c,
        LinkKind::Gpio => Family::Gpio,
    }
}

fn link_kind(raw: &RawDevice) -> Option<Family> {
    if raw.modbus_tcp.is_some() || raw.modbus_rtu.is_some() || raw.modbus_rtu_tcp.is_some() {
        return Some(Family::Modbus);
    }
    if raw.serial.is_some() || raw.serial_tcp.is_some() {
        return Some(Family::Sentences);
    }
    if raw.i2c.is_some() {
        return Some(Family::I2c);
    }
    raw.gpio.is_some().then_some(Family::Gpio)
}

impl RawDevice {
    /// Takes from the profile what the device leaves out, as if it stood at `span`.
    fn fill(&mut self, base: Profile, span: &Range<usize>) {
        fn at<T>(own: &mut Option<Spanned<T>>, base: Option<T>, span: &Range<usize>) {
            if own.is_none() {
                *own = base.map(|value| Spanned::new(span.clone(), value));
            }
        }
        at(&mut self.slave, base.slave, span);
        at(&mut self.interval_ms, base.interval_ms, span);
        at(&mut self.timeout_ms, base.timeout_ms, span);
        at(&mut self.late_ms, base.late_ms, span);
        at(&mut self.gap_ms, base.gap_ms, span);
        at(&mut self.retries, base.retries, span);
        at(&mut self.wake, base.wake, span);
        at(&mut self.max_block, base.max_block, span);
        at(&mut self.max_gap, base.max_gap, span);
        at(&mut self.one_by_one, base.one_by_one, span);
        at(&mut self.format, base.format, span);
        at(&mut self.poll, base.poll, span);
        at(&mut self.address, base.address, span);
        for serial in [&mut self.modbus_rtu, &mut self.serial].into_iter().flatten() {
            let line = serial.as_mut();
            at(&mut line.baud, base.baud, span);
            at(&mut line.stop_bits, base.stop_bits, span);
            line.parity = line.parity.or(base.parity);
        }
        let interval_ms = self.interval_ms.as_ref().map_or(USUAL_INTERVAL_MS, |given| *given.get_ref()).max(1);
        let mut own = std::mem::take(&mut self.channel);
        for mut channel in base.channel {
            // Slow channels follow a device whose interval is not the profile's.
            channel.interval_ms = channel.interval_ms.map(|slow| {
                let times = (slow.get_ref() / interval_ms).max(1);
                unplaced(times.saturating_mul(interval_ms))
            });
            let same = own.iter().position(|own| own.get_ref().name.get_ref() == channel.name.get_ref());
            let channel = channel.placed(span);
            self.channel.push(match same {
                Some(index) => {
                    let own = own.remove(index);
                    Spanned::new(own.span(), own.into_inner().over(channel))
                }
                None => Spanned::new(span.clone(), channel),
            });
        }
        self.channel.extend(own);
        self.text.extend(base.text.into_iter().map(|text| Spanned::new(span.clone(), text)));
    }
}

fn device(
    raw: RawDevice,
    named: Named,
    span: Range<usize>,
    (bus, index): (&Bus, usize),
    faults: &mut Faults,
) -> Option<Device> {
    let how = how(&raw, bus, faults);
    let interval_ms = faults.or(&raw.interval_ms, "interval_ms", 10..=3_600_000, USUAL_INTERVAL_MS);
    let heard = matches!(how, How::Sentences { poll: None, .. });
    let usual = match heard {
        true => interval_ms.saturating_mul(SILENT_INTERVALS).max(SILENT_MS),
        false => interval_ms.clamp(100, 500),
    };
    let timeout_ms = faults.or(&raw.timeout_ms, "timeout_ms", 10..=if heard { 3_600_000 } else { 60_000 }, usual);
    if let Some(given) = raw.timeout_ms.as_ref().filter(|_| !heard && timeout_ms > interval_ms) {
        faults.add(given.span(), format!("timeout_ms = {timeout_ms} is longer than interval_ms = {interval_ms}"));
    }
    let forward_every_s = forward_every_s(&raw, interval_ms, faults);
    let late_ms = faults.or(&raw.late_ms, "late_ms", 0..=60_000, timeout_ms.min(60_000));
    let retries = faults.or(&raw.retries, "retries", 0..=MAX_RETRIES, 0);
    let count = raw.channel.len();
    if !(1..=MAX_CHANNELS).contains(&count) {
        faults.add(span, format!("a device has 1 to {MAX_CHANNELS} channels, here are {count}"));
    }
    let channels = channel::channels(raw.channel, bus, &how, interval_ms, faults);
    if !matches!(how, How::Modbus { .. }) && !raw.text.is_empty() {
        faults.add(raw.text[0].span(), "only Modbus devices have [[device.text]]".into());
    }
    Some(Device {
        name: named.name,
        location: named.location,
        unsure: named.unsure,
        profile: raw.profile.map(Spanned::into_inner),
        bus: index,
        interval_ms,
        forward_every_s,
        timeout_ms,
        late_ms,
        retries,
        how,
        channels,
        texts: channel::texts(raw.text, faults),
    })
}

fn forward_every_s(raw: &RawDevice, interval_ms: u32, faults: &mut Faults) -> Option<u32> {
    let given = raw.forward_every_s.as_ref()?;
    let every_s = *given.get_ref();
    faults.within(given, "forward_every_s", 1..=MAX_FORWARD_EVERY_S);
    if every_s > 0 && u64::from(every_s) * 1_000 <= u64::from(interval_ms) {
        let message = format!("forward_every_s = {every_s} leaves nothing out: interval_ms is {interval_ms}");
        faults.add(given.span(), message);
    }
    Some(every_s)
}

fn how(raw: &RawDevice, bus: &Bus, faults: &mut Faults) -> How {
    if !matches!(bus, Bus::Modbus { .. }) {
        let of_modbus = [
            ("slave", place(&raw.slave)),
            ("wake", place(&raw.wake)),
            ("gap_ms", place(&raw.gap_ms)),
            ("max_block", place(&raw.max_block)),
            ("max_gap", place(&raw.max_gap)),
            ("one_by_one", place(&raw.one_by_one)),
        ];
        faults.misplaced(&of_modbus, "Modbus devices");
    }
    if !matches!(bus, Bus::Sentences { .. }) {
        let of_sentences =
            [("format", place(&raw.format)), ("poll", place(&raw.poll)), ("address", place(&raw.address))];
        faults.misplaced(&of_sentences, "devices on `serial` or `serial_tcp`");
    }
    match bus {
        Bus::Modbus { framing, .. } => How::Modbus {
            slave: buses::slave(&raw.slave, *framing, faults),
            wake: raw.wake.as_ref().is_some_and(|given| *given.get_ref()),
            limits: Limits {
                max_block: faults.or(&raw.max_block, "max_block", 1..=MAX_REGISTERS, MAX_REGISTERS),
                max_gap: faults.or(&raw.max_gap, "max_gap", 0..=MAX_REGISTERS, 0),
                one_by_one: raw.one_by_one.as_ref().is_some_and(|given| *given.get_ref()),
            },
        },
        Bus::Sentences { .. } => {
            if let Some(poll) = raw.poll.as_ref().filter(|poll| !(1..=64).contains(&poll.get_ref().len())) {
                faults.add(poll.span(), "poll is not 1 to 64 bytes".into());
            }
            if let Some(address) = &raw.address {
                faults.text_of(address, "address", 1..=8);
            }
            How::Sentences {
                poll: raw.poll.as_ref().map(|poll| poll.get_ref().clone().into_bytes()),
                address: raw.address.as_ref().map(|address| address.get_ref().clone()),
            }
        }
        Bus::I2c { .. } => {
            How::Converter { address: raw.i2c.as_ref().map_or(0x48, |i2c| i2c_address(i2c.get_ref(), faults)) }
        }
        Bus::Gpio { .. } => How::Pulses,
    }
}

/// The four addresses an ADS1115 can have, by what its pin ADDR is wired to (TI SBAS444, table 7-2).
fn i2c_address(raw: &RawI2c, faults: &mut Faults) -> u8 {
    faults.or(&raw.address, "address", 0x48..=0x4b, 0x48)
}

/// Whether the longest row of the device fits an empty block; FORWARD relies on it.
fn row_fits(device: &Device, agent: &AgentId) -> bool {
    let channels = device.wire_channels();
    let longest = Value::Int { mantissa: i64::MIN, exponent: 0 };
    let row = Row {
        time_ms: i64::MAX,
        readings: vec![Ok(longest); channels.len()],
        scores: vec![Some(f32::MAX); channels.len()],
    };
    BlockBuilder::new(agent, &device.name, &device.location, &channels, true).push(&row).is_ok()
}
