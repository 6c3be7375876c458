//! How much of a serial line's time its devices take, by arithmetic: what the wire cannot carry nobody can poll.

use super::modbus;
use crate::config::{Bus, Config, Device, How, Link};

/// Bits of a character: start, eight, parity or second stop, stop.
const BITS: f64 = 11.0;
/// Characters of silence before each frame (Modbus over Serial Line V1.02, 2.5.1.1).
const SILENCE_CHARS: f64 = 3.5;
/// Characters of a request, and of an answer beside its data.
const REQUEST_CHARS: f64 = 8.0;
const ANSWER_CHARS: f64 = 5.0;

/// What the devices of a line ask of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// Share of the time that frames and the silences between them take; above 1 the line cannot keep up.
    pub busy: f64,
    /// What is left of the shortest interval, ms.
    pub spare_ms: f64,
    /// What one attempt costs at which a device does not answer, at most, ms.
    pub vain_ms: u32,
}

/// The load of a serial Modbus line; `None` for any other bus, and for one without devices.
pub fn load(config: &Config, bus: usize) -> Option<Load> {
    let Bus::Modbus { link: Link::Serial { baud, .. }, gap_ms, .. } = &config.buses[bus] else { return None };
    let devices: Vec<&Device> = config.devices.iter().filter(|device| device.bus == bus).collect();
    let char_ms = BITS * 1_000.0 / f64::from((*baud).max(1));
    let busy: f64 = devices.iter().map(|device| share(device, char_ms, f64::from(*gap_ms))).sum();
    let shortest_ms = devices.iter().map(|device| device.interval_ms).min()?;
    let vain_ms = devices.iter().map(|device| device.timeout_ms + device.late_ms).max()?;
    Some(Load { busy, spare_ms: f64::from(shortest_ms) * (1.0 - busy).max(0.0), vain_ms })
}

/// The share of the line's time that a device takes.
fn share(device: &Device, char_ms: f64, gap_ms: f64) -> f64 {
    let How::Modbus { limits, .. } = &device.how else { return 0.0 };
    let cost = |request: &modbus::Request| {
        let data = match request.function.is_bits() {
            true => f64::from(request.count.div_ceil(8)),
            false => 2.0 * f64::from(request.count),
        };
        let wire_ms = (REQUEST_CHARS + ANSWER_CHARS + data + 2.0 * SILENCE_CHARS) * char_ms;
        (wire_ms + gap_ms) / (f64::from(device.interval_ms) * f64::from(request.every))
    };
    modbus::plan(&device.registers(), limits).0.iter().map(cost).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(devices: usize, link: &str, keys: &str) -> Config {
        let mut text = "agent = \"t\"\nfarm = \"f\"\ndata = \"/tmp/w\"\n[mqtt]\nhost = \"h\"\n".to_owned();
        for device in 1..=devices {
            text += &format!(
                "[[device]]\nname = \"d{device}\"\nslave = {device}\n{link}\n{keys}\n[[device.channel]]\nname = \"c\"\n\
                 unit = \"\"\nregister = 0\ntype = \"f32\"\n"
            );
        }
        Config::from_toml(&text, "test.toml").unwrap()
    }

    #[test]
    fn what_the_wire_carries_is_counted_in_characters() {
        let serial = "modbus_rtu = { port = \"/dev/ttyS0\", baud = 19200 }";
        let load = |devices, keys| load(&config(devices, serial, keys), 0).unwrap();
        // 8 + 5 + 4 characters and two silences: 24 characters of 0.573 ms.
        assert!((load(1, "").busy - 0.01375).abs() < 1e-5);
        let many = load(32, "timeout_ms = 200");
        assert!((many.busy - 0.44).abs() < 1e-5 && (many.spare_ms - 560.0).abs() < 0.1, "{many:?}");
        assert_eq!(many.vain_ms, 400);
        assert!(load(32, "gap_ms = 20").busy > 1.0, "32 silences of 20 ms more");
        let fast = load(32, "interval_ms = 100\ntimeout_ms = 50");
        assert!((fast.busy - 4.4).abs() < 1e-4 && fast.spare_ms == 0.0, "{fast:?}");
    }

    #[test]
    fn only_serial_lines_have_a_load() {
        assert_eq!(load(&config(1, "modbus_tcp = { host = \"h\" }", ""), 0), None);
    }
}
