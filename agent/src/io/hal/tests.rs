//! Against the kernel's devices. They need a machine that has them; `tests/devices/run` makes two.

use super::*;
use crate::hal::pulses::{Cup, Meter};
use crate::io::clock::Clock;
use linux_embedded_hal::I2cdev;
use linux_embedded_hal::i2cdev::core::I2CDevice;
use tempfile::tempdir;

/// The machine's pins: one on which it shows that it is to be powered down, and a free one.
const CHIP: &str = "/dev/gpiochip0";
const PULSED: u32 = 3;
const BEACON: u32 = 5;
/// Where the machine's kernel has a register file in place of a chip, and where it has nobody.
const CONVERTER: u8 = 0x48;
const NOBODY: u8 = 0x4b;
/// Registers, and what the second holds after power-up.
const CONVERSION: u8 = 0;
const CONFIG: u8 = 1;
const POWER_UP: u16 = 0x8583;

#[tokio::test]
async fn devices_that_are_not_there_are_errors_that_say_so() {
    let dir = tempdir().unwrap();
    let missing = dir.path().join("missing");
    assert_eq!(I2cBus::open(&missing).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert!(Pulses::open(&missing, 0, 0).unwrap_err().to_string().contains("No such file"));
    assert!(Beacon::open(&missing, 0, false).is_err());
    let file = dir.path().join("file");
    std::fs::write(&file, "no device").unwrap();
    assert!(I2cBus::open(&file).is_err());
    assert!(Pulses::open(&file, 0, 0).is_err());
}

/// The bus whose adapter has this in its name.
fn bus(name: &str) -> PathBuf {
    let buses = std::fs::read_dir("/sys/class/i2c-dev").unwrap().map(|bus| bus.unwrap());
    let named = |bus: &std::fs::DirEntry| std::fs::read_to_string(bus.path().join("name")).unwrap().contains(name);
    let found = buses.into_iter().find(named).unwrap_or_else(|| panic!("no bus {name}"));
    Path::new("/dev").join(found.file_name())
}

/// A second way to the registers, as the chip itself or somebody else would change them.
struct Registers(I2cdev);

impl Registers {
    fn of(bus: &Path) -> Self {
        let mut device = I2cdev::new(bus).unwrap();
        device.set_slave_address(CONVERTER.into()).unwrap();
        Self(device)
    }

    fn put(&mut self, register: u8, value: u16) {
        self.0.smbus_write_word_data(register, value.swap_bytes()).unwrap();
    }

    fn get(&mut self, register: u8) -> u16 {
        self.0.smbus_read_word_data(register).unwrap().swap_bytes()
    }
}

#[tokio::test]
#[ignore = "needs /dev/i2c-*: tests/devices/run"]
async fn i2c_a_converter_gives_its_result_and_only_with_its_own_settings() {
    let path = bus("SMBus stub");
    let (bus, mut registers) = (I2cBus::open(&path).unwrap(), Registers::of(&path));
    for counts in [12_345, -2, 0, i16::MAX, i16::MIN] {
        registers.put(CONFIG, POWER_UP);
        registers.put(CONVERSION, counts as u16);
        assert_eq!(bus.convert(CONVERTER, Input::Ain1, Gain::V4_096, Rate::Sps128).await, Ok(counts));
        assert_eq!(registers.get(CONFIG), 0xd383, "the settings asked for");
    }

    registers.put(CONFIG, POWER_UP);
    let resets = tokio::task::spawn_blocking(move || {
        while registers.get(CONFIG) == POWER_UP {}
        registers.put(CONFIG, POWER_UP);
        registers
    });
    assert_eq!(bus.convert(CONVERTER, Input::Ain1, Gain::V4_096, Rate::Sps8).await, Err(NoData::Protocol));
    let mut registers = resets.await.unwrap();

    registers.put(CONFIG, POWER_UP & 0x7fff);
    let busy = bus.convert(CONVERTER, Input::Ain1, Gain::V4_096, Rate::Sps860).await;
    assert_eq!(busy, Err(NoData::Timeout), "busy for ever");
    registers.put(CONFIG, POWER_UP & 0xfeff);
    assert!(bus.convert(CONVERTER, Input::Ain1, Gain::V4_096, Rate::Sps860).await.is_err());
    assert_eq!(registers.get(CONFIG), 0x53e3, "a chip that ran for ever is told to stop");
}

#[tokio::test]
#[ignore = "needs /dev/i2c-*: tests/devices/run"]
async fn i2c_a_bus_is_asked_by_many_at_once_and_goes_on_after_a_failure() {
    let path = bus("SMBus stub");
    let (bus, mut registers) = (Arc::new(I2cBus::open(&path).unwrap()), Registers::of(&path));
    registers.put(CONFIG, POWER_UP);
    registers.put(CONVERSION, 77);
    let asked: Vec<_> = (0..40)
        .map(|number| {
            let bus = bus.clone();
            let address = if number % 4 == 3 { NOBODY } else { CONVERTER };
            tokio::spawn(async move { bus.convert(address, Input::Ain0, Gain::V2_048, Rate::Sps860).await })
        })
        .collect();
    for (number, result) in asked.into_iter().enumerate() {
        let expected = if number % 4 == 3 { Err(NoData::Disconnected) } else { Ok(77) };
        assert_eq!(result.await.unwrap(), expected, "{number}");
    }
}

#[tokio::test]
#[ignore = "needs /dev/i2c-*: tests/devices/run"]
async fn i2c_another_chip_on_a_true_i2c_adapter_gives_no_value() {
    // The wires over which a monitor tells its name are an I2C bus that transfers any message.
    let bus = I2cBus::open(&bus("dvi")).unwrap();
    let found = bus.convert(0x50, Input::Ain0, Gain::V2_048, Rate::Sps860).await;
    assert_eq!(found, Err(NoData::Protocol), "a monitor is no converter");
    let found = bus.convert(CONVERTER, Input::Ain0, Gain::V2_048, Rate::Sps860).await;
    assert_eq!(found, Err(NoData::Disconnected), "nobody answers");
}

#[test]
#[ignore = "needs /dev/gpiochip0: tests/devices/run"]
fn gpio_a_line_that_pulses_is_counted_and_then_rests() {
    let clock = Clock::start();
    let cup = Cup { slope: 1.0, offset: 0.0, range: Some((0.0, 100.0)) };
    let pulses = Pulses::open(Path::new(CHIP), PULSED, 2_000).unwrap();
    assert!(Pulses::open(Path::new(CHIP), PULSED, 2_000).is_err(), "a line has one owner");
    let mut meter = Meter::new(cup, clock.now().mono);
    println!("PULSES WANTED");
    let (mut all, mut speeds) = (0, Vec::new());
    for _ in 0..40 {
        std::thread::sleep(Duration::from_secs(1));
        let count = pulses.take().unwrap();
        all += count.pulses;
        let reading = meter.reading(count, clock.now().mono);
        println!("{count:?}: {reading:?}");
        speeds.push(reading.map_or(-1.0, |value| value.as_f64()));
        if all > 0 && reading == Ok(windward_protocol::Value::F64(0.0)) {
            break;
        }
    }
    assert_eq!(all, 7, "eight were made, and the first rise is not known to end a low");
    assert_eq!(speeds.last(), Some(&0.0), "it rests");
    // Made every half second, by a machine that is emulated on one that may be busy.
    assert!(speeds.iter().any(|hz| (1.2..2.8).contains(hz)), "{speeds:?}");
}

#[test]
#[ignore = "needs /dev/gpiochip0: tests/devices/run"]
fn gpio_a_beacon_switches_its_line_and_is_off_at_first() {
    for active_low in [false, true] {
        let mut beacon = Beacon::open(Path::new(CHIP), BEACON, active_low).unwrap();
        assert!(Beacon::open(Path::new(CHIP), BEACON, active_low).is_err(), "a line has one owner");
        let level = |beacon: &Beacon| beacon.beacon.pin().get_value().unwrap() == 1;
        assert_eq!(level(&beacon), active_low, "off");
        beacon.set(true).unwrap();
        assert_eq!(level(&beacon), !active_low, "on");
        beacon.set(false).unwrap();
        assert_eq!(level(&beacon), active_low, "off");
    }
    assert!(Beacon::open(Path::new(CHIP), 4_000, false).is_err(), "no such line");
}
