//! From the lines as they are written to the buses as they are meant, each once however many devices share it.

use super::faults::Faults;
use super::line::{Bus, Framing, Link, Parity};
use super::raw::{RawBeacon, RawDevice, RawGpio, RawSerial, RawTcp};
use super::{Beacon, BeaconOutput};
use crate::watch::sentence::Format;
use std::ops::Range;
use std::path::PathBuf;
use toml::Spanned;
use windward_protocol::Severity;

/// Rates serial ports are made for.
const BAUDS: [u32; 15] = [
    1_200, 2_400, 4_800, 9_600, 14_400, 19_200, 28_800, 38_400, 57_600, 76_800, 115_200, 230_400, 460_800, 500_000,
    921_600,
];
/// The index of the bus, which other devices may share.
pub(super) fn shared(buses: &mut Vec<Bus>, bus: Bus, span: Range<usize>, faults: &mut Faults) -> usize {
    for (index, known) in buses.iter_mut().enumerate() {
        let (of_known, of_bus) = (known.gap_ms(), bus.gap_ms());
        if known.clone().with_gap_ms(0) == bus.clone().with_gap_ms(0) {
            *known = known.clone().with_gap_ms(of_known.max(of_bus));
            return index;
        }
        if known.same_line(&bus) {
            let message = format!("{bus}: another device has the same port as {known}; a line has one setting");
            faults.add(span.clone(), message);
        }
    }
    buses.push(bus);
    buses.len() - 1
}

/// The line a device hangs on; `None` when it names none or several.
pub(super) fn bus_of(raw: &RawDevice, name: &Spanned<String>, span: Range<usize>, faults: &mut Faults) -> Option<Bus> {
    let given = [
        raw.modbus_tcp.is_some(),
        raw.modbus_rtu_tcp.is_some(),
        raw.modbus_rtu.is_some(),
        raw.serial.is_some(),
        raw.serial_tcp.is_some(),
        raw.i2c.is_some(),
        raw.gpio.is_some(),
    ];
    if given.iter().filter(|given| **given).count() != 1 {
        let links = "modbus_tcp, modbus_rtu, modbus_rtu_tcp, serial, serial_tcp, i2c and gpio";
        faults.add(span, format!("device {:?} needs exactly one of {links}", name.get_ref()));
        return None;
    }
    let gap_ms = faults.or(&raw.gap_ms, "gap_ms", 0..=10_000, 0);
    if let Some(i2c) = &raw.i2c {
        return Some(Bus::I2c { path: path(&i2c.get_ref().bus, "bus", faults) });
    }
    if let Some(gpio) = &raw.gpio {
        return Some(gpio_bus(gpio.get_ref(), faults));
    }
    if raw.serial.is_none() && raw.serial_tcp.is_none() {
        return modbus_bus((&raw.modbus_tcp, &raw.modbus_rtu_tcp, &raw.modbus_rtu), gap_ms, faults);
    }
    let Some(format) = &raw.format else {
        faults.add(span, "missing key `format`: nmea, gill, wxt or wmt".into());
        return None;
    };
    let format = *format.get_ref();
    let link = match (&raw.serial, &raw.serial_tcp) {
        (Some(serial), _) => {
            // What these devices are delivered with: NMEA 0183 is 4,800 8N1; Vaisala's WXT 19,200; the others 9,600.
            let baud = match format {
                Format::Nmea => 4_800,
                Format::Wxt => 19_200,
                Format::Gill | Format::Wmt => 9_600,
            };
            serial_link(serial.get_ref(), baud, Parity::None, faults)
        }
        (None, Some(tcp)) => tcp_link(tcp.get_ref(), None, faults),
        (None, None) => return None,
    };
    Some(Bus::Sentences { link, format })
}

/// The three ways Modbus goes.
type ModbusLinks<'a> = (&'a Option<Spanned<RawTcp>>, &'a Option<Spanned<RawTcp>>, &'a Option<Spanned<RawSerial>>);

fn modbus_bus(links: ModbusLinks, gap_ms: u32, faults: &mut Faults) -> Option<Bus> {
    let (link, framing) = match links {
        (Some(tcp), None, None) => (tcp_link(tcp.get_ref(), Some(502), faults), Framing::Tcp),
        (None, Some(tcp), None) => (tcp_link(tcp.get_ref(), None, faults), Framing::Rtu),
        // 19,200 baud, even parity, one stop bit: Modbus over Serial Line V1.02, 2.5.1 and 3.1.
        (None, None, Some(serial)) => (serial_link(serial.get_ref(), 19_200, Parity::Even, faults), Framing::Rtu),
        _ => return None,
    };
    Some(Bus::Modbus { link, framing, gap_ms })
}

fn gpio_bus(raw: &RawGpio, faults: &mut Faults) -> Bus {
    Bus::Gpio { chip: path(&raw.chip, "chip", faults) }
}

/// `port`: what is usual, if anything is.
fn tcp_link(raw: &RawTcp, port: Option<u16>, faults: &mut Faults) -> Link {
    faults.text_of(&raw.host, "host", 1..=253);
    let port = match (&raw.port, port) {
        (Some(given), _) => {
            faults.within(given, "port", 1..=u16::MAX);
            *given.get_ref()
        }
        (None, Some(usual)) => usual,
        (None, None) => {
            faults.add(raw.host.span(), "missing key `port`: device servers have no usual one".into());
            0
        }
    };
    Link::Tcp { host: raw.host.get_ref().clone(), port }
}

fn serial_link(raw: &RawSerial, baud: u32, parity: Parity, faults: &mut Faults) -> Link {
    let port = path(&raw.port, "port", faults);
    let stop_bits = faults.or(&raw.stop_bits, "stop_bits", 1..=2, 1);
    let baud = match &raw.baud {
        None => baud,
        Some(given) => {
            let baud = *given.get_ref();
            if !BAUDS.contains(&baud) {
                let nearest = BAUDS.iter().min_by_key(|known| known.abs_diff(baud)).unwrap_or(&BAUDS[0]);
                faults.add(given.span(), format!("baud {baud} is not a rate of serial ports; did you mean {nearest}?"));
            }
            baud
        }
    };
    Link::Serial { port, baud, parity: raw.parity.unwrap_or(parity), stop_bits }
}

fn path(given: &Spanned<PathBuf>, key: &str, faults: &mut Faults) -> PathBuf {
    let path = given.get_ref();
    if path.as_os_str().is_empty() || path.as_os_str().len() > 255 {
        faults.add(given.span(), format!("{key} is not a path of 1 to 255 bytes"));
    }
    path.clone()
}

pub(super) fn slave(given: &Option<Spanned<u8>>, framing: Framing, faults: &mut Faults) -> u8 {
    // 0 is the broadcast nobody answers, and 248 to 255 are reserved: Modbus over Serial Line V1.02, 2.2.
    let limits = if framing == Framing::Rtu { 1..=247 } else { 0..=255 };
    faults.or(given, "slave", limits, 1)
}

/// What shows the alarms, and the bus it hangs on.
pub(super) fn beacon(raw: Spanned<RawBeacon>, buses: &mut Vec<Bus>, faults: &mut Faults) -> Option<Beacon> {
    let span = raw.span();
    let raw = raw.into_inner();
    let severity = raw.severity.map_or(Severity::Warning, |severity| severity.severity());
    let of_modbus = modbus_bus((&raw.modbus_tcp, &raw.modbus_rtu_tcp, &raw.modbus_rtu), 0, faults);
    let (bus, output) = match (of_modbus, &raw.gpio, &raw.coil, &raw.line) {
        (Some(bus @ Bus::Modbus { framing, .. }), None, Some(coil), None) => {
            let slave = slave(&raw.slave, framing, faults);
            (bus, BeaconOutput::Coil { slave, coil: *coil.get_ref() })
        }
        (None, Some(gpio), None, Some(line)) => {
            let output = BeaconOutput::Pin { line: *line.get_ref(), active_low: raw.active_low };
            (gpio_bus(gpio.get_ref(), faults), output)
        }
        _ => {
            let needs = "a beacon needs modbus_tcp, modbus_rtu or modbus_rtu_tcp with `coil`, or gpio with `line`";
            faults.add(span, needs.into());
            return None;
        }
    };
    Some(Beacon { bus: shared(buses, bus, span, faults), output, severity })
}
