//! One value of every type, in every order of bytes, in every table of a slave: what the registers hold, and what an agent
//! must make of them. Loaded into simulated devices and into peers that are not ours.

use crate::lines::device::{Device, Table};
use crate::random::Random;
use std::collections::BTreeMap;
use windward_protocol::Value;

/// The first address in each table. The peers count their answers from [`PEER_NUMBER`] on, simulated devices below this.
const FIRST: u16 = 10;
/// Where a peer's table has the number of the answer, and this none of its own.
pub const PEER_NUMBER: u16 = 100;
/// How a value's bytes `A` to `D`, most significant first, stand in its registers.
const ORDERS: [&str; 4] = ["ABCD", "CDAB", "BADC", "DCBA"];
/// Types of registers and their widths in bytes.
const TYPES: [(&str, usize); 8] =
    [("u16", 2), ("i16", 2), ("u32", 4), ("i32", 4), ("f32", 4), ("u64", 8), ("i64", 8), ("f64", 8)];
/// Bits in each of their tables.
const BITS: u16 = 20;

/// A known value.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    /// Unlike any other in the table.
    pub name: String,
    /// Where it stands.
    pub table: Table,
    /// Its type, in the agent's words.
    pub kind: &'static str,
    /// Order of its bytes, in the agent's words.
    pub order: &'static str,
    /// Its first address.
    pub address: u16,
    /// What stands there.
    pub words: Vec<u16>,
    /// What that means.
    pub value: Value,
}

impl Known {
    /// Its channel in the agent's TOML.
    pub fn toml(&self) -> String {
        let Self { name, kind, order, address, .. } = self;
        let order = if *kind == "bool" { String::new() } else { format!("order = \"{order}\"\n") };
        format!(
            "[[device.channel]]\nname = \"{name}\"\nunit = \"1\"\nfunction = \"{}\"\nregister = {address}\n\
             type = \"{kind}\"\n{order}detect = false\n",
            function(self.table)
        )
    }
}

/// The whole table; the same numbers give the same values.
pub fn known(random: &mut Random) -> Vec<Known> {
    let mut known = Vec::new();
    for table in [Table::Coils, Table::Discrete] {
        for address in FIRST..FIRST + BITS {
            let bit = random.bits() as u16 & 1;
            let value = Value::Int { mantissa: bit.into(), exponent: 0 };
            let name = format!("{}-{address}", function(table));
            known.push(Known { name, table, kind: "bool", order: "ABCD", address, words: vec![bit], value });
        }
    }
    for table in [Table::Holding, Table::Input] {
        let mut address = FIRST;
        for (kind, width) in TYPES {
            for order in ORDERS {
                let (bytes, value) = drawn(kind, random);
                let words = on_the_wire(&bytes[8 - width..], order);
                let name = format!("{}-{kind}-{order}", function(table));
                known.push(Known { name, table, kind, order, address, words, value });
                address += width as u16 / 2;
            }
        }
    }
    known
}

/// Puts the values into a simulated device.
pub fn load(known: &[Known], device: &mut Device) {
    for Known { table, address, words, .. } in known {
        (*address..).zip(words).for_each(|(address, word)| device.set(*table, address, *word));
    }
}

/// What to tell a peer so that it has the values.
pub fn command(known: &[Known]) -> String {
    let mut tables: BTreeMap<&str, BTreeMap<String, u16>> = BTreeMap::new();
    for Known { table, address, words, .. } in known {
        let name = match table {
            Table::Coils => "coils",
            table => function(*table),
        };
        let places = tables.entry(name).or_default();
        places.extend((*address..).zip(words).map(|(address, word)| (address.to_string(), *word)));
    }
    serde_json::json!(tables).to_string()
}

/// A table's name in the agent's TOML.
pub fn function(table: Table) -> &'static str {
    match table {
        Table::Coils => "coil",
        Table::Discrete => "discrete",
        Table::Holding => "holding",
        Table::Input => "input",
    }
}

/// Its function code.
pub fn code(table: Table) -> u8 {
    match table {
        Table::Coils => 1,
        Table::Discrete => 2,
        Table::Holding => 3,
        Table::Input => 4,
    }
}

/// A value of a type, and its bytes, most significant first, at the end of eight.
fn drawn(kind: &str, random: &mut Random) -> ([u8; 8], Value) {
    let bits = random.bits();
    let int = |mantissa| Value::Int { mantissa, exponent: 0 };
    let value = match kind {
        "u16" => int(i64::from(bits as u16)),
        "i16" => int(i64::from(bits as i16)),
        "u32" => int(i64::from(bits as u32)),
        "i32" => int(i64::from(bits as i32)),
        "i64" => int(bits as i64),
        // The upper half of its range has no place in an integer of the agent's.
        "u64" => i64::try_from(bits).map_or(Value::F64(bits as f64), int),
        "f32" => {
            let value = (random.uniform() * 1e6 - 5e5) as f32;
            return (u64::from(value.to_bits()).to_be_bytes(), Value::F32(value));
        }
        _ => {
            let value = random.uniform() * 1e12 - 5e11;
            return (value.to_be_bytes(), Value::F64(value));
        }
    };
    (bits.to_be_bytes(), value)
}

/// The registers of a value whose bytes are given most significant first.
fn on_the_wire(bytes: &[u8], order: &str) -> Vec<u16> {
    let mut words: Vec<u16> = bytes.chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
    if matches!(order, "CDAB" | "DCBA") {
        words.reverse();
    }
    if matches!(order, "BADC" | "DCBA") {
        words.iter_mut().for_each(|word| *word = word.swap_bytes());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_stands_in_every_order_in_every_table_apart_from_the_others() {
        let known = known(&mut Random::new(1));
        assert_eq!(known.len(), 2 * 20 + 2 * 8 * 4);
        for table in [Table::Coils, Table::Discrete, Table::Holding, Table::Input] {
            let of_table = known.iter().filter(|known| known.table == table);
            let mut taken: Vec<u16> = of_table.flat_map(|known| (known.address..).take(known.words.len())).collect();
            let count = taken.len();
            taken.sort_unstable();
            taken.dedup();
            assert_eq!(taken.len(), count);
            assert!(taken.iter().all(|address| (FIRST..PEER_NUMBER).contains(address)));
        }
    }

    #[test]
    fn bytes_stand_in_registers_as_the_order_says() {
        for (order, words) in [
            ("ABCD", [0x0102, 0x0304]),
            ("CDAB", [0x0304, 0x0102]),
            ("BADC", [0x0201, 0x0403]),
            ("DCBA", [0x0403, 0x0201]),
        ] {
            assert_eq!(on_the_wire(&[1, 2, 3, 4], order), words, "{order}");
        }
    }
}
