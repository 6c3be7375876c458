//! What a configuration asks for and this program was built without: features of Cargo that a small gateway leaves out.

use super::faults::Faults;
use super::raw::RawConfig;
use std::ops::Range;
use toml::Spanned;

/// Refuses each part that is not there, by the feature that brings it.
pub(super) fn check(raw: &RawConfig, faults: &mut Faults<'_>) {
    let mut without = |feature: &str, what: &str, span: Option<Range<usize>>| {
        if let Some(span) = span {
            faults.add(span, format!("this program was built without {what} (feature `{feature}`)"));
        }
    };
    if cfg!(not(feature = "kinesis")) {
        without("kinesis", "Kinesis", raw.kinesis.as_ref().map(Spanned::span));
    }
    if cfg!(not(feature = "kafka")) {
        without("kafka", "Kafka", raw.kafka.as_ref().map(Spanned::span));
    }
    let beacon = raw.alert.beacon.as_ref().map(Spanned::get_ref);
    if cfg!(not(feature = "serial")) {
        for device in raw.device.iter().map(Spanned::get_ref) {
            let port = device.modbus_rtu.as_ref().or(device.serial.as_ref());
            without("serial", "serial ports", port.map(Spanned::span));
        }
        without("serial", "serial ports", beacon.and_then(|beacon| beacon.modbus_rtu.as_ref()).map(Spanned::span));
    }
    if cfg!(not(feature = "hal")) {
        for device in raw.device.iter().map(Spanned::get_ref) {
            let pins = device.i2c.as_ref().map(Spanned::span).or(device.gpio.as_ref().map(Spanned::span));
            without("hal", "the gateway's own pins", pins);
        }
        let pin = beacon.and_then(|beacon| beacon.gpio.as_ref()).map(Spanned::span);
        without("hal", "the gateway's own pins", pin);
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, profile};

    #[test]
    fn a_line_of_a_part_that_was_left_out_is_refused_by_its_feature_and_its_device_known_all_the_same() {
        let head = "agent = \"a\"\nfarm = \"f\"\ndata = \"/tmp\"\n[mqtt]\nhost = \"h\"\n";
        for name in profile::names() {
            let table = profile::find(name).map(|profile| profile.example(name)).unwrap_or_default();
            let missing = match &table {
                table if table.contains("modbus_rtu = ") || table.contains("serial = ") => "serial",
                table if table.contains("i2c = ") || table.contains("gpio = ") => "hal",
                _ => "",
            };
            let is_there = match missing {
                "serial" => cfg!(feature = "serial"),
                "hal" => cfg!(feature = "hal"),
                _ => true,
            };
            let text = format!("{head}{table}");
            let refused = Config::from_toml(&text, "agent.toml").err().map(|error| error.to_string());
            let said = refused.as_ref().is_some_and(|words| words.contains(&format!("(feature `{missing}`)")));
            assert_eq!((said, refused.is_none()), (!is_there, is_there), "{name}: {refused:?}");
            assert!(Config::of_any_program(&text, "found").is_ok(), "{name}");
        }
    }
}
