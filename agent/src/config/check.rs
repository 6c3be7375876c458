//! From what is written to what is meant: every fault is collected, then the configuration is made or refused.

use super::problem::{ConfigError, Problem};
use super::raw::{RawAck, RawChannel, RawConfig, RawDevice, RawMqtt, RawSerial, RawSpool, RawTcp};
use super::{AckMode, Bus, Config, Device, DeviceChannel, Kind, Mqtt, Register, Scale, Sentinel, Spool, Tls};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use toml::Spanned;
use windward_protocol::{AgentId, BlockBuilder, Channel, MAX_CHANNELS, Quantity, Row, Value};

/// Rates serial ports are made for.
const BAUDS: [u32; 15] = [
    1_200, 2_400, 4_800, 9_600, 14_400, 19_200, 28_800, 38_400, 57_600, 76_800, 115_200, 230_400, 460_800, 500_000,
    921_600,
];
/// Most devices of an agent, so that the health of all of them fits one envelope.
const MAX_DEVICES: usize = 32;
const MIB: u64 = 1024 * 1024;

/// Checks the whole file.
pub(super) fn check(raw: RawConfig, text: &str, file: &str) -> Result<Config, ConfigError> {
    let mut faults = Faults { text, file, problems: Vec::new() };
    faults.text_of(&raw.farm, "farm", 1..=64);
    let mqtt = mqtt(raw.mqtt, &mut faults);
    let spool = spool(&raw.spool, &mut faults);
    let detect = match raw.detect {
        Some(detect) => {
            if let Err(fault) = detect.get_ref().check() {
                faults.add(detect.span(), format!("[detect] {fault}"));
            }
            detect.into_inner()
        }
        None => Default::default(),
    };
    let alert_command = raw.alert.command.map(|command| {
        if command.get_ref().first().is_none_or(String::is_empty) {
            faults.add(command.span(), "command is empty; name a program, or leave the key out".into());
        }
        command.into_inner()
    });
    let (buses, devices) = devices(raw.device, &raw.agent, &mut faults);
    if faults.problems.is_empty() {
        return Ok(Config {
            agent: raw.agent,
            farm: raw.farm.into_inner(),
            data: raw.data,
            mqtt,
            spool,
            detect,
            alert_command,
            buses,
            devices,
        });
    }
    faults.problems.sort_by_key(|problem| (problem.line, problem.column));
    Err(ConfigError { problems: faults.problems })
}

/// The faults found so far, and the text they stand in.
struct Faults<'a> {
    text: &'a str,
    file: &'a str,
    problems: Vec<Problem>,
}

impl Faults<'_> {
    fn add(&mut self, span: Range<usize>, message: String) {
        self.problems.push(Problem::at(self.text, self.file, span, message));
    }

    /// Free text of so many bytes, without control characters.
    fn text_of(&mut self, value: &Spanned<String>, key: &str, len: RangeInclusive<usize>) {
        let text = value.get_ref();
        if !len.contains(&text.len()) || text.chars().any(char::is_control) {
            let (least, most) = (len.start(), len.end());
            self.add(value.span(), format!("{key} is not {least} to {most} bytes of printable text"));
        }
    }

    /// A name that stands in table keys: the alphabet of an agent id.
    fn name_of(&mut self, value: &Spanned<String>, what: &str) {
        if AgentId::new(value.get_ref()).is_err() {
            let name = value.get_ref();
            self.add(value.span(), format!("{what} name {name:?} is not 1 to 64 characters of A-Z a-z 0-9 . _ -"));
        }
    }

    fn within<T: PartialOrd + Display + Copy>(&mut self, value: &Spanned<T>, key: &str, limits: RangeInclusive<T>) {
        if !limits.contains(value.get_ref()) {
            let (given, least, most) = (value.get_ref(), limits.start(), limits.end());
            self.add(value.span(), format!("{key} = {given} is out of bounds: {least} to {most}"));
        }
    }
}

fn mqtt(raw: RawMqtt, faults: &mut Faults) -> Mqtt {
    faults.text_of(&raw.host, "host", 1..=253);
    faults.within(&raw.port, "port", 1..=u16::MAX);
    // rumqttc takes nothing below 5 s; MQTT 3.1.1, 3.1.2.10 nothing above 18 h.
    faults.within(&raw.keep_alive_s, "keep_alive_s", 5..=u16::MAX);
    let cert_key = match (raw.cert, raw.key) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        (Some(one), None) | (None, Some(one)) => {
            faults.add(one.span(), "cert and key belong together; one of them is missing".into());
            None
        }
    };
    let tls = match (raw.ca, cert_key) {
        (Some(ca), cert_key) => {
            Some(Tls { ca, cert_key: cert_key.map(|(cert, key)| (cert.into_inner(), key.into_inner())) })
        }
        (None, Some((cert, _))) => {
            faults.add(cert.span(), "cert without ca: name the file of the authority that signed the broker".into());
            None
        }
        (None, None) => None,
    };
    let login = match (raw.username, raw.password_file) {
        (Some(username), Some(file)) => Some((username.into_inner(), file.into_inner())),
        (None, None) => None,
        (Some(username), None) => {
            faults.add(
                username.span(),
                "username without password_file; the password stands in a file of its own".into(),
            );
            None
        }
        (None, Some(file)) => {
            faults.add(file.span(), "password_file without username".into());
            None
        }
    };
    Mqtt {
        host: raw.host.into_inner(),
        port: raw.port.into_inner(),
        keep_alive_s: raw.keep_alive_s.into_inner(),
        tls,
        login,
        ack: match raw.ack {
            RawAck::Sink => AckMode::Sink,
            RawAck::Broker => AckMode::Broker,
        },
    }
}

fn spool(raw: &RawSpool, faults: &mut Faults) -> Spool {
    faults.within(&raw.commit_every_ms, "commit_every_ms", 100..=60_000);
    faults.within(&raw.max_mib, "max_mib", 8..=1_048_576);
    Spool { commit_every_ms: *raw.commit_every_ms.get_ref(), max_bytes: raw.max_mib.get_ref().saturating_mul(MIB) }
}

/// The devices, and the buses they share.
fn devices(raw: Vec<Spanned<RawDevice>>, agent: &AgentId, faults: &mut Faults) -> (Vec<Bus>, Vec<Device>) {
    let (mut buses, mut devices) = (Vec::<Bus>::new(), Vec::new());
    let mut lines = BTreeMap::<String, usize>::new();
    match raw.len() {
        0 => faults.add(0..0, "no [[device]]: there is nothing to read".into()),
        1..=MAX_DEVICES => {}
        count => {
            faults.add(0..0, format!("{count} devices; an agent has at most {MAX_DEVICES}, start another for the rest"))
        }
    }
    for raw in raw {
        let span = raw.span();
        let raw = raw.into_inner();
        if lines.insert(raw.name.get_ref().clone(), span.start).is_some() {
            faults.add(raw.name.span(), format!("device {:?} stands here for the second time", raw.name.get_ref()));
        }
        let bus = match (&raw.modbus_tcp, &raw.modbus_rtu) {
            (Some(tcp), None) => tcp_bus(tcp.get_ref(), faults),
            (None, Some(serial)) => serial_bus(serial, &buses, &raw.slave, faults),
            _ => {
                faults.add(
                    span,
                    format!("device {:?} needs exactly one of modbus_tcp and modbus_rtu", raw.name.get_ref()),
                );
                continue;
            }
        };
        let index = buses.iter().position(|known| *known == bus).unwrap_or_else(|| {
            buses.push(bus);
            buses.len() - 1
        });
        devices.push(device(raw, span, index, agent, faults));
    }
    (buses, devices)
}

fn tcp_bus(raw: &RawTcp, faults: &mut Faults) -> Bus {
    faults.text_of(&raw.host, "host", 1..=253);
    faults.within(&raw.port, "port", 1..=u16::MAX);
    Bus::Tcp { host: raw.host.get_ref().clone(), port: *raw.port.get_ref() }
}

fn serial_bus(raw: &Spanned<RawSerial>, buses: &[Bus], slave: &Spanned<u8>, faults: &mut Faults) -> Bus {
    let span = raw.span();
    let raw = raw.get_ref();
    let path = raw.port.get_ref();
    if path.as_os_str().is_empty() || path.as_os_str().len() > 255 {
        faults.add(raw.port.span(), "port is not a path of 1 to 255 bytes".into());
    }
    // 0 is the broadcast nobody answers, and 248 to 255 are reserved: Modbus over Serial Line V1.02, 2.2.
    faults.within(slave, "slave", 1..=247);
    faults.within(&raw.stop_bits, "stop_bits", 1..=2);
    let baud = *raw.baud.get_ref();
    if !BAUDS.contains(&baud) {
        let nearest = BAUDS.iter().min_by_key(|known| known.abs_diff(baud)).unwrap_or(&BAUDS[0]);
        faults.add(raw.baud.span(), format!("baud {baud} is not a rate of serial ports; did you mean {nearest}?"));
    }
    let bus =
        Bus::Serial { port: raw.port.get_ref().clone(), baud, parity: raw.parity, stop_bits: *raw.stop_bits.get_ref() };
    let same_port = |known: &&Bus| matches!(known, Bus::Serial { port, .. } if port == raw.port.get_ref());
    if let Some(other) = buses.iter().find(same_port).filter(|other| **other != bus) {
        faults.add(span, format!("{bus}: another device has the same port as {other}; a line has one setting"));
    }
    bus
}

fn device(raw: RawDevice, span: Range<usize>, bus: usize, agent: &AgentId, faults: &mut Faults) -> Device {
    faults.name_of(&raw.name, "device");
    faults.text_of(&raw.location, "location", 1..=128);
    faults.within(&raw.interval_ms, "interval_ms", 10..=3_600_000);
    let interval_ms = *raw.interval_ms.get_ref();
    let timeout_ms = match &raw.timeout_ms {
        Some(timeout) => {
            faults.within(timeout, "timeout_ms", 10..=60_000);
            if *timeout.get_ref() > interval_ms {
                faults.add(
                    timeout.span(),
                    format!("timeout_ms = {} is longer than interval_ms = {interval_ms}", timeout.get_ref()),
                );
            }
            *timeout.get_ref()
        }
        None => interval_ms.clamp(100, 500),
    };
    let late_ms = match &raw.late_ms {
        Some(late) => {
            faults.within(late, "late_ms", 0..=60_000);
            *late.get_ref()
        }
        None => timeout_ms,
    };
    let count = raw.channel.len();
    if !(1..=MAX_CHANNELS).contains(&count) {
        faults.add(span.clone(), format!("a device has 1 to {MAX_CHANNELS} channels, here are {count}"));
    }
    let device = Device {
        name: raw.name.into_inner(),
        location: raw.location.into_inner(),
        bus,
        slave: *raw.slave.get_ref(),
        interval_ms,
        timeout_ms,
        late_ms,
        channels: channels(raw.channel, faults),
    };
    if count <= MAX_CHANNELS && !row_fits(&device, agent) {
        faults.add(
            span,
            "one reading of all channels does not fit a block of 4 KiB: shorten names or split the device".into(),
        );
    }
    device
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

fn channels(raw: Vec<Spanned<RawChannel>>, faults: &mut Faults) -> Vec<DeviceChannel> {
    let mut channels: Vec<DeviceChannel> = Vec::with_capacity(raw.len());
    for raw in raw {
        let raw = raw.into_inner();
        faults.name_of(&raw.name, "channel");
        if channels.iter().any(|known| known.channel.name == *raw.name.get_ref()) {
            faults.add(raw.name.span(), format!("channel {:?} stands here for the second time", raw.name.get_ref()));
        }
        faults.text_of(&raw.unit, "unit", 0..=32);
        let register = register(&raw, faults);
        channels.push(DeviceChannel {
            detect: raw.detect.unwrap_or(raw.quantity == Quantity::WindSpeed),
            channel: Channel { name: raw.name.into_inner(), quantity: raw.quantity, unit: raw.unit.into_inner() },
            register,
        });
    }
    channels
}

fn register(raw: &RawChannel, faults: &mut Faults) -> Register {
    let last = i64::from(u16::MAX) - i64::from(raw.kind.words()) + 1;
    let start = *raw.register.get_ref();
    if !(0..=last).contains(&start) {
        faults.add(
            raw.register.span(),
            format!(
                "register {start} is out of 0..={last}; give the wire address, counted from zero (a manual's 30001 is 0)"
            ),
        );
    }
    let scale = *raw.scale.get_ref();
    if !scale.is_finite() || scale == 0.0 {
        faults.add(raw.scale.span(), format!("scale {scale} makes no value"));
    }
    let offset = *raw.offset.get_ref();
    if !offset.is_finite() {
        faults.add(raw.offset.span(), format!("offset {offset} makes no value"));
    }
    let range = raw.range.as_ref().map(|range| {
        let [least, most] = *range.get_ref();
        // Written so that NaN is refused too.
        if least.partial_cmp(&most) != Some(std::cmp::Ordering::Less) {
            faults.add(range.span(), format!("range [{least}, {most}] is empty; the lesser bound stands first"));
        }
        (least, most)
    });
    let sentinels = raw.sentinels.iter().filter_map(|given| {
        let sentinel = sentinel(raw.kind, *given.get_ref());
        if sentinel.is_none() {
            faults.add(given.span(), format!("sentinel {} does not fit the channel's type", given.get_ref()));
        }
        sentinel
    });
    let sentinels = sentinels.collect();
    Register {
        function: raw.function,
        start: start as u16,
        kind: raw.kind,
        order: raw.order,
        scale: decimal(scale).map_or(Scale::Factor(scale), Scale::Decimal),
        offset,
        range,
        sentinels,
    }
}

/// A sentinel as the type's bits: 65535 and -1 are the same for a register.
fn sentinel(kind: Kind, given: f64) -> Option<Sentinel> {
    if kind.is_float() {
        return given.is_finite().then_some(Sentinel::Float(given));
    }
    let bits = 16 * u32::from(kind.words());
    let (least, most) = (-f64::from(1u32 << (bits - 1)), f64::from(u32::MAX >> (32 - bits)));
    if given.fract() != 0.0 || !(least..=most).contains(&given) {
        return None;
    }
    Some(Sentinel::Bits(given as i64 as u32 & (u32::MAX >> (32 - bits))))
}

/// The exponent, when `scale` is a power of ten; the text is compared, for a computed power may be one bit off.
fn decimal(scale: f64) -> Option<i8> {
    (-9..=9).find(|exponent| format!("1e{exponent}").parse() == Ok(scale))
}
