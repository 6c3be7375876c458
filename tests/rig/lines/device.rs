//! A slave whose every register names its question, so that a wrong value can be told from the value alone.
//!
//! | table | address | holds |
//! |---|---|---|
//! | input, holding | 0, 1 | number of the request that is answered, from 1, for each slave: u32, high word first |
//! | input, holding | 2 to 511 | [`expected`]: slave, table and address, unless a test has set them |
//! | input, holding | beyond | what a test has set, and [`ResetOnRead`] |
//! | coils, discrete inputs | 0 to 511 | [`expected_bit`], or what was written |

use super::manner::{Conduct, Manner};
use crate::random::Random;
use std::collections::BTreeMap;

/// Addresses of each table that exist whatever is set.
pub const ADDRESSES: u16 = 512;
/// Highest slave whose registers differ from all others'.
pub const MAX_SLAVE: u8 = 63;

/// A table of a slave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// Function codes 01 and 05.
    Coils,
    /// Function code 02.
    Discrete,
    /// Function code 03.
    Holding,
    /// Function code 04.
    Input,
}

/// The value of a register, different for every slave up to [`MAX_SLAVE`], table of registers, and address.
pub fn expected(slave: u8, table: Table, address: u16) -> u16 {
    let table = u16::from(table == Table::Input);
    u16::from(slave & MAX_SLAVE) << 10 | table << 9 | address & (ADDRESSES - 1)
}

/// The value of a coil or discrete input: as good as random, and always the same.
pub fn expected_bit(slave: u8, table: Table, address: u16) -> bool {
    let question = u64::from(slave) << 32 | (table as u64) << 16 | u64::from(address);
    Random::new(question).bits() & 1 == 1
}

/// Reading `trigger` resets what stands in `first..=last`: they hold how often that has happened (a Lambrecht's maximum
/// starts anew when its average is read).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResetOnRead {
    /// The register whose reading has the effect.
    pub trigger: u16,
    /// First register that is reset.
    pub first: u16,
    /// Last register that is reset.
    pub last: u16,
}

/// One slave of a line.
#[derive(Clone, Debug)]
pub struct Device {
    address: u8,
    /// Time from the end of a request to the beginning of the answer, µs.
    pub turnaround_us: u64,
    /// After a silence of so long it misses the next request (Vaisala's energy saving), µs.
    pub sleeps_after_us: Option<u64>,
    /// How it answers.
    pub conduct: Conduct,
    /// Registers with an effect.
    pub reset_on_read: Option<ResetOnRead>,
    /// Whether odd registers from 3 on hold the lower half of the request's number: then every pair tells not only its
    /// question but also when that was asked.
    pub dated: bool,
    /// Vendor, product and revision; without them the function is refused.
    pub identity: Option<[String; 3]>,
    set: BTreeMap<(Table, u16), u16>,
    resets: u16,
    heard: u32,
    heard_us: Option<u64>,
}

impl Device {
    /// A slave that answers at once, after a millisecond.
    pub fn new(address: u8) -> Self {
        Self {
            address,
            turnaround_us: 1_000,
            sleeps_after_us: None,
            conduct: Conduct::Always(Manner::Prompt),
            reset_on_read: None,
            dated: false,
            identity: Some(["Windward".into(), "simulated device".into(), "1.0".into()]),
            set: BTreeMap::new(),
            resets: 0,
            heard: 0,
            heard_us: None,
        }
    }

    /// Its address on the line.
    pub fn address(&self) -> u8 {
        self.address
    }

    /// Sets a register (or, not 0, a coil or discrete input).
    pub fn set(&mut self, table: Table, address: u16, value: u16) {
        self.set.insert((table, address), value);
    }

    /// A coil as it was last written.
    pub fn coil(&self, address: u16) -> bool {
        self.bit(Table::Coils, address)
    }

    /// Requests it has heard: the number that the last of them was answered with.
    pub fn heard(&self) -> u32 {
        self.heard
    }

    /// How often a reset on read has happened.
    pub fn resets(&self) -> u16 {
        self.resets
    }

    /// Hears a request that has arrived at `now_us`; gives whether it is awake.
    pub(super) fn hear(&mut self, now_us: u64) -> bool {
        let silence_us = self.heard_us.map_or(u64::MAX, |heard_us| now_us.saturating_sub(heard_us));
        self.heard_us = Some(now_us);
        self.heard += 1;
        self.sleeps_after_us.is_none_or(|sleeps_after_us| silence_us < sleeps_after_us)
    }

    /// The answer to a request: function code and data, or an exception.
    pub(super) fn answer(&mut self, pdu: &[u8]) -> Vec<u8> {
        let (&function, data) = pdu.split_first().unwrap_or((&0, &[]));
        let refused = |code| vec![function | 0x80, code];
        let table = match function {
            1 => Table::Coils,
            2 => Table::Discrete,
            3 => Table::Holding,
            4 => Table::Input,
            5 => return self.write_coil(data).unwrap_or_else(refused),
            0x2b => return self.identify(data).unwrap_or_else(refused),
            _ => return refused(1),
        };
        let &[a, b, c, d] = data else { return refused(3) };
        let (first, count) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        let most = if matches!(table, Table::Coils | Table::Discrete) { 2_000 } else { 125 };
        if !(1..=most).contains(&count) {
            return refused(3);
        }
        let Some(addresses) = first.checked_add(count).map(|end| first..end) else { return refused(2) };
        if !addresses.clone().all(|address| self.has(table, address)) {
            return refused(2);
        }
        let bytes: Vec<u8> = match table {
            Table::Coils | Table::Discrete => pack(addresses.clone().map(|address| self.bit(table, address))),
            _ => addresses.clone().flat_map(|address| self.register(table, address).to_be_bytes()).collect(),
        };
        self.resets += u16::from(self.reset_on_read.is_some_and(|reset| addresses.contains(&reset.trigger)));
        [&[function, bytes.len() as u8], &bytes[..]].concat()
    }

    fn has(&self, table: Table, address: u16) -> bool {
        let resets = |reset: ResetOnRead| address == reset.trigger || (reset.first..=reset.last).contains(&address);
        address < ADDRESSES || self.set.contains_key(&(table, address)) || self.reset_on_read.is_some_and(resets)
    }

    fn register(&self, table: Table, address: u16) -> u16 {
        let resets = self.reset_on_read.is_some_and(|reset| (reset.first..=reset.last).contains(&address));
        match (address, self.set.get(&(table, address))) {
            (_, Some(value)) => *value,
            _ if resets => self.resets,
            (0, None) => (self.heard >> 16) as u16,
            (1, None) => self.heard as u16,
            _ if self.dated && address % 2 == 1 => self.heard as u16,
            _ => expected(self.address, table, address),
        }
    }

    fn bit(&self, table: Table, address: u16) -> bool {
        let set = self.set.get(&(table, address)).map(|value| *value != 0);
        set.unwrap_or_else(|| expected_bit(self.address, table, address))
    }

    /// Function code 05 answers with its own request.
    fn write_coil(&mut self, data: &[u8]) -> Result<Vec<u8>, u8> {
        let &[a, b, on, 0] = data else { return Err(3) };
        let address = u16::from_be_bytes([a, b]);
        if !matches!(on, 0 | 0xff) {
            return Err(3);
        }
        if address >= ADDRESSES {
            return Err(2);
        }
        self.set(Table::Coils, address, u16::from(on));
        Ok([&[5], data].concat())
    }

    /// Function code 0x2B, type 0x0E: basic identification from the object asked for, or that object alone
    /// (Application Protocol V1.1b3, 6.21).
    fn identify(&self, data: &[u8]) -> Result<Vec<u8>, u8> {
        let identity = self.identity.as_ref().ok_or(1)?;
        let &[0x0e, code, object] = data else { return Err(3) };
        let objects: Vec<(u8, &String)> = (0u8..).zip(identity).collect();
        let told: Vec<_> = match code {
            1..=3 => objects.iter().filter(|(id, _)| *id >= object || object > 2).collect(),
            4 => objects.iter().filter(|(id, _)| *id == object).collect(),
            _ => return Err(3),
        };
        if told.is_empty() {
            return Err(2);
        }
        let head = [0x2b, 0x0e, code, 0x81, 0, 0, told.len() as u8];
        let texts = told.iter().flat_map(|(id, text)| [&[*id, text.len() as u8], text.as_bytes()].concat());
        Ok(head.into_iter().chain(texts).collect())
    }
}

/// Bits as function codes 01 and 02 put them into bytes: the first is the lowest of the first byte.
fn pack(bits: impl Iterator<Item = bool>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (index, bit) in bits.enumerate() {
        if index % 8 == 0 {
            bytes.push(0);
        }
        bytes[index / 8] |= u8::from(bit) << (index % 8);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_register_of_every_slave_has_a_value_of_its_own() {
        let mut seen = BTreeSet::new();
        for slave in 0..=MAX_SLAVE {
            for table in [Table::Holding, Table::Input] {
                assert!((0..ADDRESSES).all(|address| seen.insert(expected(slave, table, address))));
            }
        }
    }

    #[test]
    fn answers_follow_the_application_protocol() {
        let bits = |table| pack((3..13).map(|address| expected_bit(9, table, address)));
        let table: [(&[u8], Vec<u8>); 13] = [
            (&[1, 0, 3, 0, 10], [&[1, 2], &bits(Table::Coils)[..]].concat()),
            (&[2, 0, 3, 0, 10], [&[2, 2], &bits(Table::Discrete)[..]].concat()),
            (&[3, 0, 2, 0, 1], [&[3, 2][..], &expected(9, Table::Holding, 2).to_be_bytes()].concat()),
            (&[4, 0, 2, 0, 1], [&[4, 2][..], &expected(9, Table::Input, 2).to_be_bytes()].concat()),
            (&[4, 0, 0, 0, 126], vec![0x84, 3]),
            (&[4, 0, 0, 0, 0], vec![0x84, 3]),
            (&[4, 1, 255, 0, 2], vec![0x84, 2]),
            (&[4, 255, 255, 0, 2], vec![0x84, 2]),
            (&[4, 0], vec![0x84, 3]),
            (&[6, 0, 0, 0, 1], vec![0x86, 1]),
            (&[5, 2, 0, 0xff, 0], vec![0x85, 2]),
            (&[5, 0, 0, 1, 0], vec![0x85, 3]),
            (&[0x2b, 0x0e, 4, 2], b"\x2b\x0e\x04\x81\0\0\x01\x02\x031.0".to_vec()),
        ];
        for (request, answer) in table {
            assert_eq!(Device::new(9).answer(request), answer, "{request:02x?}");
        }
    }

    #[test]
    fn a_coil_that_was_written_stays() {
        let mut device = Device::new(1);
        for on in [true, false] {
            let request = [5, 0, 7, if on { 0xff } else { 0 }, 0];
            assert_eq!(device.answer(&request), request);
            assert_eq!(device.coil(7), on);
            assert_eq!(device.answer(&[1, 0, 7, 0, 1]), [1, 1, u8::from(on)]);
        }
    }

    #[test]
    fn an_answer_carries_the_number_of_its_request() {
        let mut device = Device::new(1);
        for number in 1..=3 {
            assert!(device.hear(u64::from(number) * 10));
            assert_eq!(device.answer(&[4, 0, 0, 0, 2]), [4, 4, 0, 0, 0, number]);
        }
        assert_eq!(device.heard(), 3);
    }

    #[test]
    fn reading_the_average_resets_the_maximum() {
        let mut device = Device::new(1);
        device.reset_on_read = Some(ResetOnRead { trigger: 3, first: 4, last: 5 });
        let read = |device: &mut Device, address| device.answer(&[4, 0, address, 0, 1])[3];
        assert_eq!([read(&mut device, 4), read(&mut device, 3), read(&mut device, 4)], [0, 3, 1]);
        assert_eq!(device.resets(), 1);
    }

    #[test]
    fn registers_far_away_exist_where_something_stands() {
        let mut device = Device::new(1);
        device.set(Table::Input, 30_001, 85);
        device.reset_on_read = Some(ResetOnRead { trigger: 30_002, first: 30_003, last: 30_004 });
        let [a, b] = 30_001u16.to_be_bytes();
        assert_eq!(device.answer(&[4, a, b, 0, 1]), [4, 2, 0, 85]);
        assert_eq!(device.answer(&[4, a, b, 0, 5]), [0x84, 2]);
        assert_eq!(device.answer(&[4, a, b, 0, 4])[6..], [0, 0, 0, 0]);
        assert_eq!(device.answer(&[4, a, b, 0, 4])[6..], [0, 1, 0, 1]);
    }

    #[test]
    fn a_dated_pair_tells_its_question_and_its_number() {
        let mut device = Device::new(1);
        device.dated = true;
        let [a, b] = expected(1, Table::Input, 40).to_be_bytes();
        for number in 1..=3 {
            device.hear(0);
            assert_eq!(device.answer(&[4, 0, 40, 0, 2]), [4, 4, a, b, 0, number]);
        }
    }

    #[test]
    fn a_sleeper_misses_the_first_request_after_a_silence() {
        let mut device = Device::new(1);
        device.sleeps_after_us = Some(1_000);
        assert_eq!([0, 10, 900, 2_000, 2_010].map(|now_us| device.hear(now_us)), [false, true, true, false, true]);
    }
}
