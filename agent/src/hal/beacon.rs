//! A beacon or horn on an output pin, mostly through a relay.

use embedded_hal::digital::{OutputPin, PinState};

/// An output that is on or off. It stays as it was set; a program that ends leaves that to the pin's driver.
#[derive(Debug)]
pub struct Beacon<P> {
    pin: P,
    active_low: bool,
}

impl<P: OutputPin> Beacon<P> {
    /// A beacon on `pin`, off at first. `active_low`: the relay pulls when the pin is low.
    pub fn new(pin: P, active_low: bool) -> Result<Self, P::Error> {
        let mut beacon = Self { pin, active_low };
        beacon.set(false)?;
        Ok(beacon)
    }

    /// The pin.
    pub fn pin(&self) -> &P {
        &self.pin
    }

    /// Switches. An error is the pin's: the beacon is then in no known state, and to be set again.
    pub fn set(&mut self, on: bool) -> Result<(), P::Error> {
        self.pin.set_state(PinState::from(on != self.active_low))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use embedded_hal_mock::eh1::MockError;
    use embedded_hal_mock::eh1::digital::{Mock, State, Transaction};
    use std::io::ErrorKind;

    #[test]
    fn a_beacon_is_off_at_first_and_follows_its_polarity() {
        for (active_low, on, off) in [(false, State::High, State::Low), (true, State::Low, State::High)] {
            let mut pin = Mock::new(&[off, on, on, off].map(Transaction::set));
            let mut beacon = Beacon::new(pin.clone(), active_low).unwrap();
            for state in [true, true, false] {
                beacon.set(state).unwrap();
            }
            pin.done();
        }
    }

    #[test]
    fn a_failing_pin_is_reported_and_can_be_set_again() {
        let broken = MockError::Io(ErrorKind::NotConnected);
        let mut pin = Mock::new(&[
            Transaction::set(State::Low),
            Transaction::set(State::High).with_error(broken.clone()),
            Transaction::set(State::High),
        ]);
        let mut beacon = Beacon::new(pin.clone(), false).unwrap();
        assert_eq!(beacon.set(true), Err(broken));
        assert_eq!(beacon.set(true), Ok(()));
        pin.done();
    }
}
