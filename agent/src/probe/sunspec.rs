//! SunSpec: a map of registers that says itself what it holds (SunSpec Device Information Model Specification).

use super::Known;

/// Wire addresses, in holding registers, at which a map may begin.
pub const BASES: [u16; 3] = [40_000, 50_000, 0];
/// Most models that are walked: a map that never ends is none.
pub const MAX_MODELS: usize = 64;
/// What stands in place of a model's number behind the last one.
const END: u16 = 0xffff;
/// Where the profiles expect the inverter's model: its number, not its first value.
const EXPECTED_AT: u16 = 40_070;

/// A model of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Model {
    /// Its number.
    pub id: u16,
    /// Wire address of the register that holds the number.
    pub at: u16,
    /// Registers behind number and length.
    pub length: u16,
}

/// A register of a profile's channel that stands elsewhere in this device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Name of the channel.
    pub channel: String,
    /// Wire address.
    pub register: u16,
    /// Wire address of the register with its power of ten.
    pub exponent: Option<u16>,
}

/// Whether a map begins here: "SunS".
pub fn is_marker(words: &[u16]) -> bool {
    words == [0x5375, 0x6e53]
}

/// The model whose number and length `words` are, read at `at`, and the address of the next; `None` behind the last.
pub fn model(at: u16, words: &[u16]) -> Option<(Model, u16)> {
    let [id, length] = *words else { return None };
    let next = at.checked_add(2)?.checked_add(length)?;
    (id != END && id != 0).then_some((Model { id, at, length }, next))
}

/// What the model is, where Windward knows it.
pub fn title(id: u16) -> &'static str {
    match id {
        1 => "common: maker, model, serial number",
        101 => "inverter, one phase",
        102 => "inverter, split phase",
        103 => "inverter, three phases",
        111 => "inverter, one phase, floats",
        112 => "inverter, split phase, floats",
        113 => "inverter, three phases, floats",
        201..=204 | 211..=214 => "meter",
        120..=129 => "inverter settings",
        160 => "inverter, several direct-current inputs",
        307 => "weather station",
        802 => "battery",
        _ => "not known here",
    }
}

/// The texts of the common model, from its number on: name, offset, registers.
pub const TEXTS: [(&str, u16, u16); 4] =
    [("maker", 2, 16), ("model", 18, 16), ("version", 42, 8), ("serial number", 50, 16)];

/// The profile that reads the model.
pub fn profile(id: u16) -> Option<&'static str> {
    match id {
        101..=103 => Some("sunspec-inverter"),
        111..=113 => Some("sunspec-inverter-float"),
        _ => None,
    }
}

/// Where the profile's registers stand when its model is at `model.at`. Empty where they stand as in the profile.
pub fn moved(known: &Known, model: Model) -> Vec<Moved> {
    if model.at == EXPECTED_AT {
        return Vec::new();
    }
    let at = |register: u16| register.wrapping_sub(EXPECTED_AT).wrapping_add(model.at);
    super::registers(&known.device)
        .map(|(index, register)| Moved {
            channel: known.device.channels[index].channel.name.clone(),
            register: at(register.start),
            exponent: register.exponent.map(at),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_follow_each_other_until_the_end() {
        let map = [(1, 66), (103, 50), (END, 0)];
        let (mut at, mut found) = (40_002, Vec::new());
        for (id, length) in map {
            let Some((model, next)) = model(at, &[id, length]) else { break };
            found.push((model.id, model.at));
            at = next;
        }
        assert_eq!(found, [(1, 40_002), (103, 40_070)]);
        assert_eq!(model(65_500, &[1, 66]), None, "a model beyond the last register");
        assert_eq!(model(0, &[1]), None);
    }

    #[test]
    fn registers_move_with_their_model_and_stay_where_the_profile_expects_it() {
        let known = crate::probe::known();
        let inverter = known.iter().find(|known| known.name == profile(103).unwrap()).unwrap();
        let at = |at| moved(inverter, Model { id: 103, at, length: 50 });
        assert!(at(40_070).is_empty());
        for (place, power) in [(40_069, 40_083), (70, 84), (50_070, 50_084)] {
            let moved = at(place);
            assert_eq!(moved.len(), inverter.device.channels.len());
            let of_power = moved.iter().find(|moved| moved.channel == "power").unwrap();
            assert_eq!((of_power.register, of_power.exponent), (power, Some(power + 1)));
        }
    }
}
