//! Profiles: what is known of a kind of device, so that a configuration need not say it. Data, not code: one file each
//! in `agent/profiles/`, compiled in.

use super::raw::{RawChannel, RawText};
use super::{Limits, Parity, problem};
use crate::watch::sentence::Format;
use serde::Deserialize;
use std::fmt::Write as _;

/// Every profile's name and text.
macro_rules! profiles {
    ($($name:literal),* $(,)?) => {
        const PROFILES: &[(&str, &str)] = &[$(($name, include_str!(concat!("../../profiles/", $name, ".toml")))),*];
    };
}

profiles![
    "dfrobot-sen0483",
    "generic-0-10v",
    "generic-4-20ma",
    "generic-bess",
    "generic-pulses",
    "generic-temperature",
    "generic-vibration",
    "gill-windsonic",
    "gill-windsonic-nmea",
    "lambrecht-pro-direction",
    "lambrecht-pro-speed",
    "lufft-ventus",
    "lufft-ws",
    "nmea-wind",
    "nrg-40",
    "renke-rs-fsjt-n01",
    "rm-young-85106",
    "sunspec-inverter",
    "sunspec-inverter-float",
    "thies-first-class-advanced-x",
    "vaisala-wm80",
    "vaisala-wmt700",
    "vaisala-wxt530-ascii",
    "vaisala-wxt530-modbus",
    "vaisala-wxt530-nmea",
    "wxt532-analog",
];

/// A profile.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// What the device is, in one line.
    pub title: String,
    /// How it is wired, what it needs, where its traps are.
    pub about: String,
    /// Where the figures come from: manual and page.
    pub source: String,
    /// The line it hangs on.
    pub link: LinkKind,
    /// What the manuals do not say for sure.
    #[serde(default)]
    pub unsure: Vec<String>,
    /// What a device of this kind says of itself; `None`: nothing that tells it from others.
    pub identify: Option<Identify>,
    pub(super) baud: Option<u32>,
    pub(super) parity: Option<Parity>,
    pub(super) stop_bits: Option<u8>,
    pub(super) slave: Option<u8>,
    pub(super) interval_ms: Option<u32>,
    pub(super) timeout_ms: Option<u32>,
    pub(super) late_ms: Option<u32>,
    pub(super) gap_ms: Option<u32>,
    pub(super) retries: Option<u8>,
    pub(super) wake: Option<bool>,
    pub(super) max_block: Option<u16>,
    pub(super) max_gap: Option<u16>,
    pub(super) one_by_one: Option<bool>,
    pub(super) format: Option<Format>,
    pub(super) poll: Option<String>,
    pub(super) address: Option<String>,
    #[serde(default)]
    pub(super) channel: Vec<RawChannel>,
    #[serde(default)]
    pub(super) text: Vec<RawText>,
}

/// The kind of line a profile is for; gateways may stand between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkKind {
    /// Modbus TCP.
    ModbusTcp,
    /// Modbus RTU on a serial line.
    ModbusRtu,
    /// Lines of text on a serial line.
    Serial,
    /// An ADS1115 on the gateway's I2C bus.
    I2c,
    /// Lines of a GPIO chip of the gateway.
    Gpio,
}

/// What a device says of itself when it is asked by function 0x2B/0x0E: parts of its texts, in any case of letters.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identify {
    /// Part of the vendor's name.
    pub vendor: Option<String>,
    /// Part of the product's code, name or model.
    pub product: Option<String>,
}

/// The names of all profiles, in the order of the alphabet.
pub fn names() -> impl Iterator<Item = &'static str> {
    PROFILES.iter().map(|(name, _)| *name)
}

/// The profile of this name.
pub fn find(name: &str) -> Option<Profile> {
    let (name, text) = PROFILES.iter().find(|(known, _)| *known == name)?;
    match toml::from_str(text) {
        Ok(profile) => Some(profile),
        // A test reads all of them; what is compiled in cannot go bad afterwards.
        Err(error) => unreachable!("{}", problem::of_toml(&error, text, name)),
    }
}

/// The name that was most likely meant.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    problem::nearest(name, &names().collect::<Vec<_>>())
}

impl Profile {
    /// How its registers may be asked for together, where it says so.
    pub fn limits(&self) -> Limits {
        Limits {
            max_block: self.max_block.unwrap_or(crate::watch::modbus::MAX_REGISTERS),
            max_gap: self.max_gap.unwrap_or(0),
            one_by_one: self.one_by_one.unwrap_or(false),
        }
    }

    /// The least that a configuration must say to use it: a device's table for the file.
    pub fn example(&self, name: &str) -> String {
        let link = match self.link {
            LinkKind::ModbusTcp => "modbus_tcp = { host = \"10.0.0.7\" }",
            LinkKind::ModbusRtu => "modbus_rtu = { port = \"/dev/serial/by-id/...\" }",
            LinkKind::Serial => "serial = { port = \"/dev/serial/by-id/...\" }",
            LinkKind::I2c => "i2c = { bus = \"/dev/i2c-1\" }",
            LinkKind::Gpio => "gpio = { chip = \"/dev/gpiochip0\" }",
        };
        let mut example = format!("[[device]]\nprofile = \"{name}\"\n{link}\n");
        if self.link == LinkKind::Gpio {
            for channel in self.channel.iter().filter(|channel| channel.line.is_none()) {
                let of_channel = format!("[[device.channel]]\nname = \"{}\"\nline = 17\n", channel.name.get_ref());
                example.push_str(&of_channel);
            }
        }
        example
    }

    /// Everything a technician wants to know of it, as text.
    pub fn explain(&self, name: &str) -> String {
        let mut out = format!("{}\n\n{}\n\nSource: {}\n", self.title, self.about.trim(), self.source);
        #[allow(clippy::unwrap_used, reason = "writing to a String cannot fail")]
        self.write_settings(name, &mut out).unwrap();
        out
    }

    fn write_settings(&self, name: &str, out: &mut String) -> std::fmt::Result {
        writeln!(out)?;
        if let (Some(baud), Some(parity)) = (self.baud, self.parity) {
            writeln!(out, "Serial line: {baud} baud, 8{}{}", parity.letter(), self.stop_bits.unwrap_or(1))?;
        }
        if let Some(slave) = self.slave {
            writeln!(out, "Slave: {slave}")?;
        }
        if let Some(format) = self.format {
            writeln!(
                out,
                "Sentences: {format}, {}",
                if self.poll.is_some() { "polled" } else { "sent by the device" }
            )?;
        }
        writeln!(out, "Channels:")?;
        for channel in &self.channel {
            let unit = channel.unit.as_ref().map_or("", |unit| unit.get_ref());
            let source = channel.source.as_deref().unwrap_or("");
            writeln!(out, "  {:<20} {unit:<6} {:<24} {source}", channel.name.get_ref(), channel.place())?;
        }
        let of_channels = self.channel.iter().filter_map(|channel| {
            channel.unsure.as_ref().map(|unsure| format!("{}: {unsure}", channel.name.get_ref()))
        });
        let unsure: Vec<String> = self.unsure.iter().cloned().chain(of_channels).collect();
        if !unsure.is_empty() {
            writeln!(out, "Not sure; look these up on the device or in its manual:")?;
            for question in unsure {
                writeln!(out, "  - {question}")?;
            }
        }
        writeln!(out, "\nIn the configuration:\n\n{}", self.example(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn every_file_in_the_folder_is_compiled_in_and_they_stand_in_order() {
        let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles");
        let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<String> =
            files.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect();
        files.sort();
        assert_eq!(files, names().collect::<Vec<_>>());
    }

    #[test]
    fn a_profile_and_a_port_are_all_that_a_configuration_needs() {
        let head = "agent = \"t\"\nfarm = \"f\"\ndata = \"/tmp/w\"\n[mqtt]\nhost = \"h\"\n";
        for name in names() {
            let profile = find(name).unwrap();
            let text = format!("{head}{}", profile.example(name));
            let config = Config::from_toml(&text, name).unwrap_or_else(|error| panic!("{error}\n{text}"));
            let [device] = &config.devices[..] else { panic!("{name}: one device") };
            assert_eq!(device.name, name);
            assert!(!device.channels.is_empty(), "{name}");
            assert!(!profile.source.is_empty() && !profile.about.is_empty(), "{name}");
            assert!(profile.explain(name).contains(&profile.example(name)), "{name}");
        }
    }
}
