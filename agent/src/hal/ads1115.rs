//! Texas Instruments ADS1115, a 16-bit converter with four inputs on I2C (datasheet SBAS444, revision E).
//!
//! One conversion at a time, without waiting: [`Conversion::start`] asks for it, [`Conversion::read`] fetches it when
//! it is there. The chip keeps one result and does not say of which input it is, so the config register is read before
//! and after the result: a chip that was reset, swapped or set by somebody else never gives another input's value.

use embedded_hal::i2c::I2c;
use windward_protocol::NoData;

/// Registers (table "Register Map").
const CONVERSION: u8 = 0;
const CONFIG: u8 = 1;

/// Bits of the config register (table "Config Register Field Descriptions").
/// Written: start a single conversion. Read: no conversion is under way.
const OS: u16 = 1 << 15;
const MUX: u16 = 12;
const PGA: u16 = 9;
/// Single conversions; without it the chip converts for ever.
const SINGLE: u16 = 1 << 8;
const DR: u16 = 5;
/// No comparator: the ALERT pin stays free.
const NO_COMPARATOR: u16 = 0b11;

/// What is measured against what. The number is the field MUX.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// AIN0 against AIN1.
    Pair01 = 0b000,
    /// AIN0 against AIN3.
    Pair03 = 0b001,
    /// AIN1 against AIN3.
    Pair13 = 0b010,
    /// AIN2 against AIN3.
    Pair23 = 0b011,
    /// AIN0 against ground.
    Ain0 = 0b100,
    /// AIN1 against ground.
    Ain1 = 0b101,
    /// AIN2 against ground.
    Ain2 = 0b110,
    /// AIN3 against ground.
    Ain3 = 0b111,
}

impl Input {
    /// Input 0 to 3 against ground.
    pub fn single(number: u8) -> Option<Input> {
        [Input::Ain0, Input::Ain1, Input::Ain2, Input::Ain3].get(usize::from(number)).copied()
    }
}

/// Full scale of the amplifier. The number is the field PGA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gain {
    /// ±6.144 V. No pin may go above the supply, whatever the full scale.
    V6_144 = 0b000,
    /// ±4.096 V.
    V4_096 = 0b001,
    /// ±2.048 V.
    V2_048 = 0b010,
    /// ±1.024 V.
    V1_024 = 0b011,
    /// ±0.512 V.
    V0_512 = 0b100,
    /// ±0.256 V.
    V0_256 = 0b101,
}

impl Gain {
    /// All, the finest first.
    pub const FINEST_FIRST: [Gain; 6] =
        [Gain::V0_256, Gain::V0_512, Gain::V1_024, Gain::V2_048, Gain::V4_096, Gain::V6_144];

    /// Greatest voltage it can tell, V.
    pub fn full_scale_v(self) -> f64 {
        match self {
            Gain::V6_144 => 6.144,
            Gain::V4_096 => 4.096,
            Gain::V2_048 => 2.048,
            Gain::V1_024 => 1.024,
            Gain::V0_512 => 0.512,
            Gain::V0_256 => 0.256,
        }
    }

    /// The voltage a result stands for, V: full scale is 2^15 counts.
    pub fn volts(self, counts: i16) -> f64 {
        f64::from(counts) * self.full_scale_v() / 32768.0
    }
}

/// Conversions a second. The number is the field DR. Slower is quieter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// 8 a second.
    Sps8 = 0b000,
    /// 16 a second.
    Sps16 = 0b001,
    /// 32 a second.
    Sps32 = 0b010,
    /// 64 a second.
    Sps64 = 0b011,
    /// 128 a second, the chip's own default.
    Sps128 = 0b100,
    /// 250 a second.
    Sps250 = 0b101,
    /// 475 a second.
    Sps475 = 0b110,
    /// 860 a second.
    Sps860 = 0b111,
}

impl Rate {
    /// Longest time a conversion takes, µs: the oscillator may be 10 % slow (table "Electrical Characteristics"), and
    /// waking up takes 25 µs.
    pub fn conversion_us(self) -> u32 {
        let per_second = match self {
            Rate::Sps8 => 8,
            Rate::Sps16 => 16,
            Rate::Sps32 => 32,
            Rate::Sps64 => 64,
            Rate::Sps128 => 128,
            Rate::Sps250 => 250,
            Rate::Sps475 => 475,
            Rate::Sps860 => 860,
        };
        1_000_000 / per_second * 10 / 9 + 25
    }
}

/// A conversion that was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conversion {
    address: u8,
    config: u16,
}

impl Conversion {
    /// Starts a conversion in the chip at `address` (0x48 to 0x4B by the pin ADDR). `None`: the chip is busy with
    /// another one, which would be taken for this; try again after a conversion's time.
    ///
    /// A bus that fails, or where nobody answers, is [`NoData::Disconnected`].
    pub fn start(
        bus: &mut impl I2c,
        address: u8,
        input: Input,
        gain: Gain,
        rate: Rate,
    ) -> Result<Option<Self>, NoData> {
        let config = (input as u16) << MUX | (gain as u16) << PGA | SINGLE | (rate as u16) << DR | NO_COMPARATOR;
        let found = read_register(bus, address, CONFIG)?;
        if found & SINGLE == 0 {
            // Somebody left the chip converting for ever. It stops when the conversion under way ends.
            write_config(bus, address, config)?;
            return Ok(None);
        }
        if found & OS == 0 {
            return Ok(None);
        }
        write_config(bus, address, config | OS)?;
        Ok(Some(Self { address, config }))
    }

    /// The result in counts, or `None` while the conversion is under way.
    ///
    /// [`NoData::Protocol`] when the chip no longer has the settings it was given.
    pub fn read(&self, bus: &mut impl I2c) -> Result<Option<i16>, NoData> {
        if !self.is_done(bus)? {
            return Ok(None);
        }
        let counts = read_register(bus, self.address, CONVERSION)? as i16;
        // A reset clears the result to zero, which would be a fine 0 V: so look again that none has happened.
        let still_done = self.is_done(bus)?;
        Ok(still_done.then_some(counts))
    }

    fn is_done(&self, bus: &mut impl I2c) -> Result<bool, NoData> {
        let found = read_register(bus, self.address, CONFIG)?;
        if found & !OS == self.config { Ok(found & OS != 0) } else { Err(NoData::Protocol) }
    }
}

fn read_register(bus: &mut impl I2c, address: u8, register: u8) -> Result<u16, NoData> {
    let mut bytes = [0; 2];
    bus.write_read(address, &[register], &mut bytes).map_err(|_| NoData::Disconnected)?;
    Ok(u16::from_be_bytes(bytes))
}

fn write_config(bus: &mut impl I2c, address: u8, config: u16) -> Result<(), NoData> {
    let [high, low] = config.to_be_bytes();
    bus.write(address, &[CONFIG, high, low]).map_err(|_| NoData::Disconnected)
}

#[cfg(test)]
mod tests {
    use super::*;
    use embedded_hal::i2c::{ErrorKind, NoAcknowledgeSource};
    use embedded_hal_mock::eh1::i2c::{Mock, Transaction};

    const ADDRESS: u8 = 0x48;
    /// The config register after power-up.
    const POWER_UP: u16 = 0x8583;

    fn config_is(config: u16) -> Transaction {
        Transaction::write_read(ADDRESS, vec![CONFIG], config.to_be_bytes().to_vec())
    }

    fn config_becomes(config: u16) -> Transaction {
        let [high, low] = config.to_be_bytes();
        Transaction::write(ADDRESS, vec![CONFIG, high, low])
    }

    fn result_is(counts: i16) -> Transaction {
        Transaction::write_read(ADDRESS, vec![CONVERSION], counts.to_be_bytes().to_vec())
    }

    fn on(expected: &[Transaction], what: impl FnOnce(&mut Mock)) {
        let mut bus = Mock::new(expected);
        what(&mut bus);
        bus.done();
    }

    fn start(bus: &mut Mock) -> Result<Option<Conversion>, NoData> {
        Conversion::start(bus, ADDRESS, Input::Ain1, Gain::V4_096, Rate::Sps128)
    }

    const STARTED: Conversion = Conversion { address: ADDRESS, config: 0x5383 };

    #[test]
    fn the_settings_are_the_datasheets_bits() {
        // Power-up is AIN0 against AIN1, ±2.048 V, 128 a second, single, no comparator, idle: 0x8583.
        let table = [
            (Input::Pair01, Gain::V2_048, Rate::Sps128, 0x8583),
            (Input::Pair03, Gain::V6_144, Rate::Sps8, 0x9103),
            (Input::Pair13, Gain::V1_024, Rate::Sps16, 0xa723),
            (Input::Pair23, Gain::V0_512, Rate::Sps32, 0xb943),
            (Input::Ain0, Gain::V4_096, Rate::Sps64, 0xc363),
            (Input::Ain1, Gain::V0_256, Rate::Sps250, 0xdba3),
            (Input::Ain2, Gain::V2_048, Rate::Sps475, 0xe5c3),
            (Input::Ain3, Gain::V6_144, Rate::Sps860, 0xf1e3),
        ];
        for (input, gain, rate, bits) in table {
            on(&[config_is(POWER_UP), config_becomes(bits)], |bus| {
                let started = Conversion::start(bus, ADDRESS, input, gain, rate);
                assert_eq!(started, Ok(Some(Conversion { address: ADDRESS, config: bits & !OS })), "{bits:04x}");
            });
        }
    }

    #[test]
    fn a_result_is_given_when_the_conversion_is_done_and_not_before() {
        on(&[config_is(0x5383)], |bus| assert_eq!(STARTED.read(bus), Ok(None)));
        for counts in [0, 1, -1, i16::MAX, i16::MIN] {
            on(&[config_is(0xd383), result_is(counts), config_is(0xd383)], |bus| {
                assert_eq!(STARTED.read(bus), Ok(Some(counts)));
            });
        }
    }

    #[test]
    fn a_chip_that_lost_its_settings_gives_no_value() {
        on(&[config_is(POWER_UP)], |bus| assert_eq!(STARTED.read(bus), Err(NoData::Protocol)));
        on(&[config_is(0xffff)], |bus| assert_eq!(STARTED.read(bus), Err(NoData::Protocol)));
        // Reset between the two looks: the zero in the result register is nobody's measurement.
        on(&[config_is(0xd383), result_is(0), config_is(POWER_UP)], |bus| {
            assert_eq!(STARTED.read(bus), Err(NoData::Protocol));
        });
        // Somebody else has begun a conversion of the same input: its result will do.
        on(&[config_is(0xd383), result_is(7), config_is(0x5383)], |bus| assert_eq!(STARTED.read(bus), Ok(None)));
    }

    #[test]
    fn a_busy_chip_is_waited_for_and_one_that_runs_for_ever_is_stopped() {
        on(&[config_is(0x4383)], |bus| assert_eq!(start(bus), Ok(None)));
        for continuous in [0x8483, 0x0483] {
            on(&[config_is(continuous), config_becomes(0x5383)], |bus| assert_eq!(start(bus), Ok(None)));
        }
    }

    #[test]
    fn a_bus_where_nobody_answers_is_no_connection() {
        let nobody = ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address);
        for error in [nobody, ErrorKind::Bus, ErrorKind::ArbitrationLoss, ErrorKind::Other] {
            on(&[config_is(0).with_error(error)], |bus| assert_eq!(start(bus), Err(NoData::Disconnected)));
            on(&[config_is(POWER_UP), config_becomes(0xd383).with_error(error)], |bus| {
                assert_eq!(start(bus), Err(NoData::Disconnected));
            });
            on(&[config_is(0xd383), result_is(0).with_error(error)], |bus| {
                assert_eq!(STARTED.read(bus), Err(NoData::Disconnected));
            });
        }
    }

    #[test]
    fn counts_are_shares_of_the_full_scale() {
        // One count, by the datasheet: 187.5, 125, 62.5, 31.25, 15.625 and 7.8125 µV.
        let steps_uv = [7.8125, 15.625, 31.25, 62.5, 125.0, 187.5];
        for (gain, step_uv) in Gain::FINEST_FIRST.into_iter().zip(steps_uv) {
            assert!((gain.volts(1) * 1e6 - step_uv).abs() < 1e-9, "{gain:?}");
            assert!((gain.volts(i16::MIN) + gain.full_scale_v()).abs() < 1e-12);
        }
        assert_eq!(Rate::Sps860.conversion_us(), 1_316);
        assert_eq!(Rate::Sps8.conversion_us(), 138_913);
        assert_eq!((Input::single(3), Input::single(4)), (Some(Input::Ain3), None));
    }
}
