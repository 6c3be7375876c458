//! What a probe asks an unknown line, in which order, and what it makes of the answers. Pure: it is told what was
//! heard; the shell in `io::probe` opens, asks and draws.
//!
//! [`sweep`] lists settings and slave addresses, [`presence`] knows an answer when it hears one, [`fit`] says how well a
//! profile explains a device, [`sunspec`] walks the models of an inverter, [`plausible`] finds what looks like a
//! measurement among registers nobody has described, [`table`] writes what was found as a configuration.

pub mod fit;
pub mod plausible;
pub mod presence;
pub mod sunspec;
pub mod sweep;
pub mod table;

use crate::config::profile::{self, Identify};
use crate::config::{Bus, Config, ConfigError, Device, Function, Register, Source};

/// The part of a configuration that a probe does not know; what it finds is checked behind it.
const HEAD: &str = "agent = \"probe\"\nfarm = \"probe\"\ndata = \"/tmp\"\n[mqtt]\nhost = \"localhost\"\n";

/// A profile as it would be used, on the line its maker delivers it for.
pub struct Known {
    /// Name of the profile.
    pub name: &'static str,
    /// The line, with the settings it is delivered with; its port is a placeholder.
    pub bus: Bus,
    /// The device.
    pub device: Device,
    /// What it says of itself.
    pub identify: Option<Identify>,
}

/// All profiles.
pub fn known() -> Vec<Known> {
    let known = |name| {
        let profile = profile::find(name)?;
        // A test of the profiles reads each of them this way.
        let mut config = config_of(&profile.example(name)).ok()?;
        let device = config.devices.pop()?;
        Some(Known { name, bus: config.buses.swap_remove(device.bus), device, identify: profile.identify })
    };
    profile::names().filter_map(known).collect()
}

/// The configuration that the tables `[[device]]` make. Their lines may be such as this program was built without: what is
/// behind Modbus TCP may be a device that is known from a serial line.
pub fn config_of(tables: &str) -> Result<Config, ConfigError> {
    Config::of_any_program(&format!("{HEAD}{tables}"), "found")
}

/// The registers of a device's channels, and the index of each channel.
pub fn registers(device: &Device) -> impl Iterator<Item = (usize, &Register)> {
    device.channels.iter().enumerate().filter_map(|(index, channel)| match &channel.source {
        Source::Register(register) => Some((index, register)),
        _ => None,
    })
}

/// Registers that no probe reads, for with some known device reading changes them: table, first address, count.
pub fn forbidden(known: &[Known]) -> Vec<(Function, u16, u16)> {
    let of_known = known.iter().flat_map(|known| registers(&known.device));
    let changes = of_known.filter(|(_, register)| register.reset_on_read);
    changes.map(|(_, register)| (register.function, register.start, register.kind.words())).collect()
}

/// Whether `count` registers from `start` on may be read.
pub fn allowed(forbidden: &[(Function, u16, u16)], function: Function, start: u16, count: u16) -> bool {
    let (start, end) = (u32::from(start), u32::from(start) + u32::from(count));
    !forbidden.iter().any(|(of, from, words)| {
        *of == function && u32::from(*from) < end && u32::from(*from) + u32::from(*words) > start
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_is_known_and_what_reading_resets_is_never_read() {
        let known = known();
        assert_eq!(known.len(), profile::names().count());
        let forbidden = forbidden(&known);
        assert!(!allowed(&forbidden, Function::Input, 30002, 1), "the PRO-Modbus resets its extremes then");
        assert!(!allowed(&forbidden, Function::Input, 30001, 2), "nor as half of a value");
        assert!(allowed(&forbidden, Function::Holding, 30002, 1), "another table");
        assert!(allowed(&forbidden, Function::Input, 30003, 1));
    }
}
