//! Which settings a serial line is tried with, and which slaves are asked.

use super::Known;
use crate::config::{Bus, How, Link, Parity};
use std::fmt;

/// Settings of a serial line: eight data bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Bits per second.
    pub baud: u32,
    /// Parity bit.
    pub parity: Parity,
    /// Stop bits: 1 or 2.
    pub stop_bits: u8,
}

impl fmt::Display for Setting {
    /// `9600 8N1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} 8{}{}", self.baud, self.parity.letter(), self.stop_bits)
    }
}

/// What wind sensors are mostly delivered with, then what else is met. A device with two stop bits understands one.
const USUAL: [(u32, Parity); 14] = [
    (9_600, Parity::None),
    (19_200, Parity::Even),
    (4_800, Parity::None),
    (9_600, Parity::Even),
    (19_200, Parity::None),
    (38_400, Parity::None),
    (115_200, Parity::None),
    (38_400, Parity::Even),
    (57_600, Parity::None),
    (115_200, Parity::Even),
    (4_800, Parity::Even),
    (2_400, Parity::None),
    (9_600, Parity::Odd),
    (19_200, Parity::Odd),
];

/// Slaves asked when nothing is said.
const USUAL_SLAVES: std::ops::RangeInclusive<u8> = 1..=16;

/// The settings to try, the likeliest first. An empty list stands for "any that is usual"; where both are given, all
/// their pairs are tried.
pub fn settings(bauds: &[u32], parities: &[Parity]) -> Vec<Setting> {
    let setting = |(baud, parity)| Setting { baud, parity, stop_bits: 1 };
    if !bauds.is_empty() {
        let parities = if parities.is_empty() { &[Parity::None, Parity::Even, Parity::Odd] } else { parities };
        return bauds.iter().flat_map(|baud| parities.iter().map(|parity| setting((*baud, *parity)))).collect();
    }
    if parities.is_empty() {
        return USUAL.map(setting).to_vec();
    }
    let mut bauds: Vec<u32> = Vec::new();
    for (baud, _) in USUAL {
        if !bauds.contains(&baud) {
            bauds.push(baud);
        }
    }
    settings(&bauds, parities)
}

/// The slaves to ask when nothing is said: the first ones, then those that known devices are delivered with; over
/// Modbus TCP also those that devices give themselves there.
pub fn usual_slaves(known: &[Known], over_tcp: bool) -> Vec<u8> {
    let of_profiles = known.iter().filter_map(|known| match known.device.how {
        How::Modbus { slave, .. } => Some(slave),
        _ => None,
    });
    // 126 is what many inverters have for SunSpec; 255 and 0 mean the device itself (Modbus Messaging on TCP/IP, 4.4.1.2).
    let of_tcp: &[u8] = if over_tcp { &[126, 255, 0] } else { &[] };
    let mut slaves = Vec::new();
    for slave in USUAL_SLAVES.chain(of_profiles).chain(of_tcp.iter().copied()) {
        if !slaves.contains(&slave) {
            slaves.push(slave);
        }
    }
    slaves
}

/// Reads a list of slaves such as `1-32` or `0,1,255`. The error says what is wrong with it.
pub fn parse_slaves(text: &str) -> Result<Vec<u8>, String> {
    let number = |text: &str| {
        let text = text.trim();
        text.parse::<u8>().map_err(|_| format!("{text:?} is not a slave address; they go from 0 to 255"))
    };
    let mut slaves = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return Err(format!("{first}-{last}: the lower address stands first"));
        }
        slaves.extend((first..=last).filter(|slave| !slaves.contains(slave)).collect::<Vec<_>>());
    }
    Ok(slaves)
}

/// How long a slave has to answer on a serial line, ms: request and answer at this rate, an adapter's delays, and the
/// time that most devices need.
pub fn timeout_ms(baud: u32) -> u32 {
    100 + 300_000 / baud.max(1)
}

/// The rates among the settings, each once, in their order: what is listened at.
pub fn bauds(settings: &[Setting]) -> Vec<u32> {
    let mut bauds = Vec::new();
    for setting in settings {
        if !bauds.contains(&setting.baud) {
            bauds.push(setting.baud);
        }
    }
    bauds
}

/// Whether a profile's device is delivered with these settings; stop bits do not matter. `None`: over TCP nobody knows.
pub fn delivered_with(known: &Known, link: &Link) -> Option<bool> {
    let (Bus::Modbus { link: of_known, .. } | Bus::Sentences { link: of_known, .. }) = &known.bus else {
        return Some(false);
    };
    match (of_known, link) {
        (Link::Serial { baud, parity, .. }, Link::Serial { baud: found, parity: with, .. }) => {
            Some(baud == found && parity == with)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_of_all_profiles_are_tried_before_any_other() {
        let settings = settings(&[], &[]);
        let known = crate::probe::known();
        let modbus = known.iter().filter(|known| matches!(known.bus, Bus::Modbus { .. }));
        for known in modbus {
            let Bus::Modbus { link: Link::Serial { baud, parity, .. }, .. } = &known.bus else { continue };
            let place = settings.iter().position(|setting| (setting.baud, setting.parity) == (*baud, *parity));
            assert!(place.is_some_and(|place| place < 6), "{}: {place:?}", known.name);
        }
        assert_eq!(settings[0].to_string(), "9600 8N1");
    }

    #[test]
    fn given_settings_are_tried_in_all_pairs() {
        let both: Vec<String> =
            settings(&[9600, 4800], &[Parity::Even, Parity::None]).iter().map(Setting::to_string).collect();
        assert_eq!(both, ["9600 8E1", "9600 8N1", "4800 8E1", "4800 8N1"]);
        assert_eq!(settings(&[9600], &[]).len(), 3);
        assert!(settings(&[], &[Parity::Odd]).iter().all(|setting| setting.parity == Parity::Odd));
    }

    #[test]
    fn slaves_are_read_as_people_write_them() {
        for (text, slaves) in
            [("1-3", Ok(vec![1, 2, 3])), ("0,1,255", Ok(vec![0, 1, 255])), ("1-2, 2-3", Ok(vec![1, 2, 3]))]
        {
            assert_eq!(parse_slaves(text), slaves, "{text}");
        }
        for wrong in ["", "5-1", "256", "a", "1-", "1,,2"] {
            assert!(parse_slaves(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn slaves_that_known_devices_are_delivered_with_are_asked_too() {
        let slaves = usual_slaves(&crate::probe::known(), false);
        assert_eq!(&slaves[..16], (1..=16).collect::<Vec<u8>>());
        assert!(slaves.contains(&240), "Vaisala's");
    }
}
