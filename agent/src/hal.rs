//! Sensors on the gateway's own pins: converters on an I2C bus, pulse lines, an output for a beacon.
//!
//! Everything here is pure: drivers over the traits of `embedded-hal` 1.0, and arithmetic. What opens `/dev/i2c-1` and
//! `/dev/gpiochip0` is the shell's, under the feature `hal`.

pub mod ads1115;
pub mod analog;
pub mod beacon;
pub mod pulses;
