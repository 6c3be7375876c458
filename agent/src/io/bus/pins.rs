//! The gateway's own pins: converters on an I2C bus, pulse lines and a beacon on a GPIO chip.

use super::{BeaconTimer, Wiring};

/// Without the feature there are no pins: every ask is told so.
#[cfg(not(feature = "hal"))]
pub(super) async fn run(mut wiring: Wiring) {
    let mut beacon = BeaconTimer::new(wiring.beacon.take().map(|(wanted, _)| wanted));
    tracing::error!(bus = %wiring.bus(), "this agent was built without the feature `hal`");
    loop {
        tokio::select! {
            on = beacon.due() => beacon.set(wiring.bus(), on, Err("built without the feature `hal`")),
            ask = wiring.asks.recv() => match ask {
                Some(ask) => {
                    if !wiring.answer(&ask, Err(windward_protocol::NoData::Disconnected)).await {
                        return;
                    }
                }
                None => return,
            },
        }
    }
}

#[cfg(feature = "hal")]
pub(super) use with_pins::run;

#[cfg(feature = "hal")]
mod with_pins {
    use super::super::backoff::Backoff;
    use super::{BeaconTimer, Wiring};
    use crate::config::{BeaconOutput, Bus, Device, Source};
    use crate::hal::ads1115::Rate;
    use crate::io::hal::{Beacon, I2cBus, Pulses};
    use crate::watch::{Answer, Ask, Query};
    use std::collections::BTreeMap;
    use std::io;
    use std::path::Path;
    use windward_protocol::NoData;

    /// Conversions a second: 8 ms each, so that four channels take a twentieth of a second, and mains hum is averaged
    /// somewhat.
    const RATE: Rate = Rate::Sps128;

    pub(in crate::io::bus) async fn run(wiring: Wiring) {
        match wiring.bus().clone() {
            Bus::I2c { path } => converters(wiring, &path).await,
            Bus::Gpio { chip } => pins(wiring, &chip).await,
            Bus::Modbus { .. } | Bus::Sentences { .. } => {}
        }
    }

    async fn converters(mut wiring: Wiring, path: &Path) {
        let mut backoff = Backoff::new(wiring.clock);
        let mut open: Option<I2cBus> = None;
        while let Some(ask) = wiring.asks.recv().await {
            if open.is_none() && backoff.retry_at <= wiring.clock.now().mono {
                open = match I2cBus::open(path) {
                    Ok(bus) => {
                        backoff.opened(wiring.bus());
                        Some(bus)
                    }
                    Err(error) => backoff.failed(wiring.bus(), &error),
                };
            }
            let result = match (&open, &ask.query) {
                (Some(bus), Query::Convert { address, input, gain }) => {
                    bus.convert(*address, *input, *gain, RATE).await.map(Answer::Counts)
                }
                _ => Err(NoData::Disconnected),
            };
            if !wiring.answer(&ask, result).await {
                return;
            }
        }
    }

    async fn pins(mut wiring: Wiring, chip: &Path) {
        let mut lines = BTreeMap::new();
        for device in wiring.config.devices.iter().filter(|device| device.bus == wiring.index) {
            lines.extend(pulse_lines(device, chip));
        }
        let output = wiring.beacon.take();
        let mut lamp = output.as_ref().map(|(_, output)| Lamp { chip, output: *output, open: None });
        let mut timer = BeaconTimer::new(output.map(|(wanted, _)| wanted));
        loop {
            tokio::select! {
                biased;
                on = timer.due() => if let Some(lamp) = &mut lamp {
                    let result = lamp.set(on);
                    timer.set(wiring.bus(), on, result);
                },
                ask = wiring.asks.recv() => {
                    let Some(ask) = ask else { return };
                    let result = take(&lines, &ask);
                    if !wiring.answer(&ask, result).await {
                        return;
                    }
                }
            }
        }
    }

    /// The device's pulse lines, by number; of one that cannot be had, why.
    fn pulse_lines(device: &Device, chip: &Path) -> Vec<(u32, Result<Pulses, String>)> {
        let line = |source: &Source| match source {
            Source::Pulses { line, debounce_us, .. } => {
                let pulses = Pulses::open(chip, *line, *debounce_us).map_err(|error| error.to_string());
                if let Err(error) = &pulses {
                    tracing::error!(chip = %chip.display(), line, error, "cannot count pulses");
                }
                Some((*line, pulses))
            }
            _ => None,
        };
        device.channels.iter().filter_map(|channel| line(&channel.source)).collect()
    }

    fn take(lines: &BTreeMap<u32, Result<Pulses, String>>, ask: &Ask) -> Result<Answer, NoData> {
        match &ask.query {
            Query::Pulses { line } => match lines.get(line) {
                Some(Ok(pulses)) => pulses.take().map(Answer::Pulses),
                _ => Err(NoData::Disconnected),
            },
            _ => Err(NoData::Protocol),
        }
    }

    /// The pin of the beacon, opened when it is first set and again after it has failed.
    struct Lamp<'a> {
        chip: &'a Path,
        output: BeaconOutput,
        open: Option<Beacon>,
    }

    impl Lamp<'_> {
        fn set(&mut self, on: bool) -> io::Result<()> {
            let BeaconOutput::Pin { line, active_low } = self.output else {
                return Err(io::ErrorKind::InvalidInput.into());
            };
            let mut beacon = match self.open.take() {
                Some(beacon) => beacon,
                None => Beacon::open(self.chip, line, active_low)?,
            };
            beacon.set(on)?;
            self.open = Some(beacon);
            Ok(())
        }
    }
}
