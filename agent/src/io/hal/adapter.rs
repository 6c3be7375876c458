//! An I2C adapter of Linux, also one that speaks only SMBus.

use embedded_hal::i2c::{ErrorType, I2c, Operation};
use linux_embedded_hal::i2cdev::core::I2CDevice;
use linux_embedded_hal::i2cdev::linux::LinuxI2CError;
use linux_embedded_hal::{I2CError, I2cdev};
use std::io;
use std::path::Path;

/// Operation not supported, as Linux numbers it on every machine with pins that Rust is built for but MIPS.
const EOPNOTSUPP: i32 = 95;

/// An open adapter. Those of ARM gateways transfer any message. Those of PC chipsets (i801, piix4) know only the
/// transfers of SMBus, of which the *word* is what a chip with 16-bit registers understands.
pub(super) struct Adapter {
    device: I2cdev,
    only_smbus: bool,
}

impl Adapter {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { device: I2cdev::new(path)?, only_smbus: false })
    }

    /// The two transfers that are words: to write a register, and to read one. A word's low byte comes first.
    fn transfer_word(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), LinuxI2CError> {
        self.device.set_slave_address(address.into())?;
        match operations {
            [Operation::Write([register, first, second])] => {
                self.device.smbus_write_word_data(*register, u16::from_le_bytes([*first, *second]))
            }
            [Operation::Write([register]), Operation::Read(bytes)] if bytes.len() == 2 => {
                let word = self.device.smbus_read_word_data(*register)?;
                bytes.copy_from_slice(&word.to_le_bytes());
                Ok(())
            }
            _ => Err(LinuxI2CError::Errno(EOPNOTSUPP)),
        }
    }
}

impl ErrorType for Adapter {
    type Error = I2CError;
}

impl I2c for Adapter {
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), I2CError> {
        let result = match self.only_smbus {
            true => self.transfer_word(address, operations).map_err(I2CError::from),
            false => match self.device.transaction(address, operations) {
                Err(error) if is_unsupported(&error) => {
                    self.only_smbus = true;
                    self.transfer_word(address, operations).map_err(I2CError::from)
                }
                result => result,
            },
        };
        if let Err(error) = &result {
            tracing::debug!(address, %error, "no I2C transfer");
        }
        result
    }
}

fn is_unsupported(error: &I2CError) -> bool {
    match error.inner() {
        LinuxI2CError::Errno(number) => *number == EOPNOTSUPP,
        LinuxI2CError::Io(error) => error.raw_os_error() == Some(EOPNOTSUPP),
    }
}
