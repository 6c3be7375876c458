//! What stands in the registers of anemometers while an agent judges them.

use super::Load;
use std::time::Duration;
use windward_tests::clock;
use windward_tests::lines::Line;
use windward_tests::lines::device::Table;
use windward_tests::lines::tcp::TcpPort;
use windward_tests::plant::Turbine;
use windward_tests::random::Random;

/// The wind at each device.
pub(crate) struct Wind {
    turbines: Vec<Turbine>,
    random: Random,
    at_ms: u64,
}

impl Wind {
    pub(crate) fn new(devices: usize) -> Self {
        Self { turbines: (1..=devices as u64).map(Turbine::new).collect(), random: Random::new(1), at_ms: 0 }
    }

    /// Lets this time pass. A device's anemometers feel the same wind, and a little each for itself, new for every poll.
    pub(crate) fn blow(&mut self, lines: &[TcpPort<Line>], load: Load, lasts: Duration) {
        let end = clock::now() + lasts;
        while clock::now() < end {
            self.at_ms += load.interval_ms;
            for (turbine, line) in self.turbines.iter_mut().zip(lines) {
                let speed = turbine.sample(self.at_ms).map_or(0.0, |sample| sample.wind_mps);
                for slave in line.station().slaves() {
                    for (register, _) in load.channels() {
                        let hundredths = 100.0 * (speed + 0.1 * self.random.normal()).max(0.0);
                        slave.set(Table::Holding, register, hundredths as u16);
                        slave.set(Table::Input, register, hundredths as u16);
                    }
                }
            }
            std::thread::sleep(Duration::from_millis(load.interval_ms));
        }
    }
}
