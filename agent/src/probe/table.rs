//! What was found, as tables for the configuration.

use super::Known;
use super::plausible::{Candidate, Looks};
use super::sunspec::Moved;
use crate::config::{Bus, Function, How, Kind, Link, Order, Parity};
use crate::watch::sentence::{Field, Format};
use std::fmt::Write as _;

/// A device that follows a profile.
pub fn of_profile(name: &str, profile: &str, link: &Link, slave: u8, moved: &[Moved]) -> String {
    let mut text = head(name, Some(profile), &modbus_key(link));
    line(&mut text, format_args!("slave = {slave}"));
    for Moved { channel, register, exponent } in moved {
        line(&mut text, format_args!("[[device.channel]]\nname = {}\nregister = {register}", quoted(channel)));
        if let Some(exponent) = exponent {
            line(&mut text, format_args!("exponent_register = {exponent}"));
        }
    }
    text
}

/// A device of unknown make: the table of registers, and first address and candidate of each value.
pub fn of_registers(name: &str, link: &Link, slave: u8, values: &[(Function, u16, Candidate)]) -> String {
    let mut text = head(name, None, &modbus_key(link));
    line(&mut text, format_args!("slave = {slave}"));
    for (function, register, value) in values {
        let (table, kind) = (table(*function), kind(value.kind));
        line(&mut text, format_args!("# {}", why(value)));
        line(&mut text, format_args!("[[device.channel]]\nname = \"{table}-{register}\""));
        line(&mut text, format_args!("{}", looks(value.looks)));
        line(&mut text, format_args!("function = \"{table}\"\nregister = {register}\ntype = \"{kind}\""));
        if value.order != Order::Abcd {
            line(&mut text, format_args!("order = \"{}\"", order(value.order)));
        }
        if value.scale != 1.0 {
            line(&mut text, format_args!("scale = {}", value.scale));
        }
    }
    text
}

/// A device that speaks by itself. `fields`: what it says, where no profile does.
pub fn of_sentences(
    name: &str,
    profile: Option<&str>,
    link: &Link,
    format: Format,
    address: Option<&str>,
    fields: &[Field],
) -> String {
    let key = if matches!(link, Link::Tcp { .. }) { "serial_tcp" } else { "serial" };
    let mut text = head(name, profile, &format!("{key} = {}", place(link)));
    if profile.is_some() {
        return text;
    }
    line(&mut text, format_args!("format = \"{format}\""));
    if let Some(address) = address {
        line(&mut text, format_args!("address = {}", quoted(address)));
    }
    for field in fields {
        let name: String = field.name().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        line(&mut text, format_args!("[[device.channel]]\nname = {}", quoted(&name.to_lowercase())));
        line(&mut text, format_args!("unit = {}\nfield = {}", quoted(field.unit()), quoted(field.name())));
    }
    text
}

/// A device that follows the profile, on this line. `None`: it hangs on no line but on the gateway's pins.
pub fn of_known(known: &Known, link: &Link, slave: Option<u8>) -> Option<String> {
    match (&known.bus, &known.device.how) {
        (Bus::Modbus { .. }, How::Modbus { slave: usual, .. }) => {
            Some(of_profile(known.name, known.name, link, slave.unwrap_or(*usual), &[]))
        }
        (Bus::Sentences { format, .. }, _) => {
            Some(of_sentences(known.name, Some(known.name), link, *format, None, &[]))
        }
        _ => None,
    }
}

/// What was seen of a value and how sure it is, for people.
pub fn why(value: &Candidate) -> String {
    let (least, most) = value.range;
    let seen = match (value.moves, value.looks) {
        (false, _) => format!("stood still at {least}"),
        (true, Looks::WindSpeed) => format!("moved from {least} to {most}, as a wind speed may"),
        (true, Looks::WindDirection) => format!("moved from {least} to {most}, as a direction may"),
        (true, Looks::Number) => format!("moved from {least} to {most}"),
    };
    let rivals: Vec<String> =
        value.rivals.iter().map(|(of_kind, of_order)| format!("{} {}", kind(*of_kind), order(*of_order))).collect();
    let or = if rivals.is_empty() { String::new() } else { format!("; or as {}", rivals.join(", ")) };
    format!("{seen}; plausible to {:.0} %{or}", value.score * 100.0)
}

/// The name a table of registers has in the configuration.
pub fn table(function: Function) -> &'static str {
    match function {
        Function::Coil => "coil",
        Function::Discrete => "discrete",
        Function::Holding => "holding",
        Function::Input => "input",
    }
}

/// The name an order of words and bytes has in the configuration.
pub fn order(order: Order) -> String {
    format!("{order:?}").to_uppercase()
}

/// The name a type has in the configuration.
pub fn kind(kind: Kind) -> String {
    format!("{kind:?}").to_lowercase()
}

fn looks(looks: Looks) -> &'static str {
    match looks {
        Looks::WindSpeed => "quantity = \"wind-speed\" # a guess\nunit = \"m/s\" # a guess",
        Looks::WindDirection => "quantity = \"wind-direction\" # a guess\nunit = \"°\" # a guess",
        Looks::Number => "unit = \"\"",
    }
}

fn head(name: &str, profile: Option<&str>, link: &str) -> String {
    let mut text = String::from("[[device]]\n");
    line(&mut text, format_args!("name = {}", quoted(name)));
    if let Some(profile) = profile {
        line(&mut text, format_args!("profile = {}", quoted(profile)));
    }
    line(&mut text, format_args!("{link}"));
    text
}

fn modbus_key(link: &Link) -> String {
    let key = if matches!(link, Link::Tcp { .. }) { "modbus_tcp" } else { "modbus_rtu" };
    format!("{key} = {}", place(link))
}

fn place(link: &Link) -> String {
    match link {
        Link::Tcp { host, port } => format!("{{ host = {}, port = {port} }}", quoted(host)),
        Link::Serial { port, baud, parity, stop_bits } => {
            let parity = match parity {
                Parity::Even => "even",
                Parity::Odd => "odd",
                Parity::None => "none",
            };
            let port = quoted(&port.to_string_lossy());
            format!("{{ port = {port}, baud = {baud}, parity = \"{parity}\", stop_bits = {stop_bits} }}")
        }
    }
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.extend(format!("\\u{:04X}", u32::from(c)).chars()),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[allow(clippy::unwrap_used, reason = "writing to a String cannot fail")]
fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    writeln!(text, "{content}").unwrap();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Source};
    use crate::probe::{config_of, known};

    fn valid(tables: &str) -> Config {
        config_of(tables).unwrap_or_else(|error| panic!("{error}\n{tables}"))
    }

    fn serial() -> Link {
        Link::Serial { port: "/dev/a \"b\\".into(), baud: 19_200, parity: Parity::Even, stop_bits: 1 }
    }

    #[test]
    fn every_profile_makes_a_valid_table_on_the_line_where_it_was_found() {
        for known in known().iter().filter(|known| matches!(known.bus, Bus::Modbus { .. } | Bus::Sentences { .. })) {
            for link in [serial(), Link::Tcp { host: "10.0.0.7".into(), port: 5020 }] {
                let config = valid(&of_known(known, &link, Some(7)).unwrap());
                assert_eq!(config.devices[0].profile.as_deref(), Some(known.name));
                let (Bus::Modbus { link: of_config, .. } | Bus::Sentences { link: of_config, .. }) = &config.buses[0]
                else {
                    panic!("{:?}", config.buses)
                };
                assert_eq!(of_config, &link, "{}", known.name);
            }
        }
    }

    #[test]
    fn registers_of_an_unknown_device_are_read_as_they_were_found() {
        let value = Candidate {
            offset: 0,
            kind: Kind::F32,
            order: Order::Cdab,
            scale: 1.0,
            looks: Looks::WindSpeed,
            score: 0.9,
            moves: true,
            range: (3.5, 4.25),
            rivals: vec![(Kind::F32, Order::Abcd)],
        };
        assert_eq!(why(&value), "moved from 3.5 to 4.25, as a wind speed may; plausible to 90 %; or as f32 ABCD");
        let short = Candidate { kind: Kind::U16, order: Order::Abcd, scale: 0.1, ..value.clone() };
        let values = [(Function::Input, 10, value), (Function::Holding, 3, short)];
        let config = valid(&of_registers("device-3", &serial(), 3, &values));
        let device = &config.devices[0];
        let [wind, short] = &device.channels[..] else { panic!("two channels") };
        let (Source::Register(of_wind), Source::Register(of_short)) = (&wind.source, &short.source) else {
            panic!("registers")
        };
        assert_eq!((of_wind.function, of_wind.start, of_wind.kind), (Function::Input, 10, Kind::F32));
        assert_eq!((of_wind.order, wind.channel.unit.as_str()), (Order::Cdab, "m/s"));
        assert_eq!((of_short.function, of_short.start, of_short.kind), (Function::Holding, 3, Kind::U16));
        assert!(matches!(device.how, How::Modbus { slave: 3, .. }));
    }

    #[test]
    fn sentences_that_no_profile_reads_become_channels() {
        let fields = ["MDA.pressure", "XDR.C.AirTemp"].map(|name| Field::parse(Format::Nmea, name).unwrap());
        let config = valid(&of_sentences("nmea-device", None, &serial(), Format::Nmea, Some("WI"), &fields));
        assert_eq!(config.devices[0].channels.len(), 2);
    }
}
