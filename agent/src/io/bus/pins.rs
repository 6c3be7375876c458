//! The gateway's own pins: converters on an I2C bus, pulse lines and a beacon on a GPIO chip.

use super::{BeaconTimer, Wiring};

/// Without the feature there are no pins: every ask is told so.
#[cfg(not(feature = "hal"))]
pub(super) async fn run(mut wiring: Wiring) {
    let mut beacon = BeaconTimer::new(wiring.beacon.take().map(|(wanted, _)| wanted), wiring.clock);
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
    use crate::config::{BeaconOutput, Bus, Source};
    use crate::hal::ads1115::Rate;
    use crate::hal::pulses::Count;
    use crate::io::hal::{Beacon, I2cBus, Pulses};
    use crate::watch::{Answer, Query};
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
        let devices = wiring.config.devices.iter().filter(|device| device.bus == wiring.index);
        let lines = devices.flat_map(|device| &device.channels).filter_map(|channel| match channel.source {
            Source::Pulses { line, debounce_us, .. } => Some((line, PulseLine { debounce_us, open: None })),
            _ => None,
        });
        let mut lines: BTreeMap<u32, PulseLine> = lines.collect();
        let mut backoff = Backoff::new(wiring.clock);
        for line in lines.keys().copied().collect::<Vec<_>>() {
            // At once, so that the first reading has something to tell.
            take(&mut lines, line, chip, &mut backoff, &wiring).ok();
        }
        let output = wiring.beacon.take();
        let mut lamp = output.as_ref().map(|(_, output)| Lamp { chip, output: *output, open: None });
        let mut timer = BeaconTimer::new(output.map(|(wanted, _)| wanted), wiring.clock);
        loop {
            tokio::select! {
                biased;
                on = timer.due() => if let Some(lamp) = &mut lamp {
                    let result = lamp.set(on);
                    timer.set(wiring.bus(), on, result);
                },
                ask = wiring.asks.recv() => {
                    let Some(ask) = ask else { return };
                    let result = match ask.query {
                        Query::Pulses { line } => take(&mut lines, line, chip, &mut backoff, &wiring),
                        _ => Err(NoData::Protocol),
                    };
                    if !wiring.answer(&ask, result.map(Answer::Pulses)).await {
                        return;
                    }
                }
            }
        }
    }

    /// A pulse input, opened when it can be had and again after it was lost.
    struct PulseLine {
        debounce_us: u64,
        open: Option<Pulses>,
    }

    fn take(
        lines: &mut BTreeMap<u32, PulseLine>,
        number: u32,
        chip: &Path,
        backoff: &mut Backoff,
        wiring: &Wiring,
    ) -> Result<Count, NoData> {
        let line = lines.get_mut(&number).ok_or(NoData::Protocol)?;
        if line.open.is_none() && backoff.retry_at <= wiring.clock.now().mono {
            line.open = match Pulses::open(chip, number, line.debounce_us) {
                Ok(pulses) => {
                    backoff.opened(wiring.bus());
                    Some(pulses)
                }
                Err(error) => backoff.failed(wiring.bus(), &error),
            };
        }
        let taken = line.open.as_ref().ok_or(NoData::Disconnected)?.take();
        if taken.is_err() {
            line.open = None;
        }
        taken
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
