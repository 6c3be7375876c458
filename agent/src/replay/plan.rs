//! Which device the columns of a table are.

use super::cell::reading;
use super::header::Header;
use crate::config::{Config, Device, DeviceChannel, Source};
use crate::watch::judge::{JudgeChannel, JudgeDevice};
use windward_protocol::{Channel, NoData, Quantity, Reading};

/// So many times at the beginning of a table show how often its rows come.
pub const SURVEYED: usize = 100;
/// Time between rows where the times do not show it, ms.
const UNKNOWN_STEP_MS: u32 = 1_000;

/// A device, and where its readings stand in a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What the judge knows of the device.
    pub device: JudgeDevice,
    /// Time between rows as the table's own times show it, ms. The judge goes by the device's interval, which a
    /// configuration may set otherwise.
    pub step_ms: u32,
    columns: Vec<Column>,
}

/// Where the readings of a channel stand, and what is valid there.
#[derive(Clone, Debug, PartialEq)]
struct Column {
    at: usize,
    range: Option<(f64, f64)>,
    /// What an empty cell says: a channel that is read less often than its device has many of them.
    empty: NoData,
}

/// Why no device of a configuration is what the columns are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoDevice {
    /// There is no device of that name.
    #[error("the configuration has no device {name:?}; it has {known}")]
    Unknown {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// The device that was asked for has other channels.
    #[error("device {device:?} has no channel {column:?}; it has {known}")]
    OtherChannels {
        /// The device.
        device: String,
        /// The first column that is none of its channels.
        column: String,
        /// The channels it has.
        known: String,
    },
    /// No device has these channels.
    #[error("no device of the configuration has the channels {columns}")]
    NoneFits {
        /// The columns.
        columns: String,
    },
    /// More than one device has these channels.
    #[error("the columns fit the devices {devices}; say which with --device")]
    Several {
        /// The devices.
        devices: String,
    },
}

impl Plan {
    /// A device of which nothing is known but its name, each column a channel that the forest judges. `times`: the
    /// table's first [`SURVEYED`] times, ms.
    pub fn of_columns(name: &str, header: &Header, times: &[i64]) -> Plan {
        let step_ms = step_ms(times);
        let channel = |(_, name): &(usize, String)| JudgeChannel {
            channel: Channel { name: name.clone(), quantity: Quantity::Other, unit: String::new() },
            detect: true,
            rules: Vec::new(),
        };
        let column = |&(at, _): &(usize, String)| Column { at, range: None, empty: NoData::Invalid };
        Plan {
            device: JudgeDevice {
                device: name.to_owned(),
                location: String::new(),
                interval_ms: step_ms,
                channels: header.values.iter().map(channel).collect(),
            },
            step_ms,
            columns: header.values.iter().map(column).collect(),
        }
    }

    /// The device of a configuration whose channels the columns are; it may have others, which are then left out.
    /// `wanted` names the device. Without it, one that fits better than the others is taken: all of its channels are
    /// there, or it is called `name`.
    pub fn of_config(
        config: &Config,
        wanted: Option<&str>,
        name: &str,
        header: &Header,
        times: &[i64],
    ) -> Result<Plan, NoDevice> {
        let device = match wanted {
            Some(wanted) => named(config, wanted, header)?,
            None => fitting(config, name, header)?,
        };
        let mut channels = Vec::with_capacity(header.values.len());
        let mut columns = Vec::with_capacity(header.values.len());
        for channel in &device.channels {
            let Some((at, _)) = header.values.iter().find(|(_, name)| *name == channel.channel.name) else { continue };
            channels.push(JudgeChannel {
                channel: channel.channel.clone(),
                detect: channel.detect,
                rules: config.rules_of(device, channel).cloned().collect(),
            });
            let empty = if channel.every > 1 { NoData::NotDue } else { NoData::Invalid };
            columns.push(Column { at: *at, range: range(channel), empty });
        }
        let device = JudgeDevice {
            device: device.name.clone(),
            location: device.location.clone(),
            interval_ms: device.interval_ms,
            channels,
        };
        Ok(Plan { device, step_ms: step_ms(times), columns })
    }

    /// What to tell when the rows come much more or less often than the device is read.
    pub fn disagreement(&self) -> Option<String> {
        let (step, name, interval) = (self.step_ms, &self.device.device, self.device.interval_ms);
        let ratio = f64::from(step) / f64::from(interval);
        (!(0.67..=1.5).contains(&ratio))
            .then(|| format!("note: a row comes every {step} ms, and {name} is read every {interval} ms"))
    }

    /// The readings of a row, in the order of the device's channels, in place of what `readings` held. `cell` gives a
    /// cell of the row by its index; the error is the index of the first that is no reading.
    pub fn readings<'a>(&self, cell: impl Fn(usize) -> &'a str, readings: &mut Vec<Reading>) -> Result<(), usize> {
        readings.clear();
        for column in &self.columns {
            let text = cell(column.at);
            readings.push(match reading(text).ok_or(column.at)? {
                Err(NoData::Invalid) => Err(column.empty),
                // As it is when a value is read from the device itself.
                Ok(value) if column.range.is_some_and(|(least, most)| !(least..=most).contains(&value.as_f64())) => {
                    Err(NoData::OutOfRange)
                }
                reading => reading,
            });
        }
        Ok(())
    }
}

fn named<'a>(config: &'a Config, wanted: &str, header: &Header) -> Result<&'a Device, NoDevice> {
    let device = config.devices.iter().find(|device| device.name == wanted).ok_or_else(|| NoDevice::Unknown {
        name: wanted.to_owned(),
        known: listed(config.devices.iter().map(|device| &device.name)),
    })?;
    match header.values.iter().find(|(_, column)| !has(device, column)) {
        None => Ok(device),
        Some((_, column)) => Err(NoDevice::OtherChannels {
            device: device.name.clone(),
            column: column.clone(),
            known: listed(device.channels.iter().map(|channel| &channel.channel.name)),
        }),
    }
}

fn fitting<'a>(config: &'a Config, name: &str, header: &Header) -> Result<&'a Device, NoDevice> {
    let fits = |device: &&Device| header.values.iter().all(|(_, column)| has(device, column));
    let fitting: Vec<&Device> = config.devices.iter().filter(fits).collect();
    let whole: Vec<&Device> =
        fitting.iter().copied().filter(|device| device.channels.len() == header.values.len()).collect();
    match (fitting.iter().find(|device| device.name == name), whole.as_slice(), fitting.as_slice()) {
        (Some(device), _, _) | (None, [device], _) | (None, _, [device]) => Ok(device),
        (_, _, []) => Err(NoDevice::NoneFits { columns: listed(header.values.iter().map(|(_, column)| column)) }),
        _ => Err(NoDevice::Several { devices: listed(fitting.iter().map(|device| &device.name)) }),
    }
}

fn has(device: &Device, column: &str) -> bool {
    device.channels.iter().any(|channel| channel.channel.name == column)
}

fn listed<'a>(names: impl Iterator<Item = &'a String>) -> String {
    names.map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn range(channel: &DeviceChannel) -> Option<(f64, f64)> {
    match &channel.source {
        Source::Pulses { cup, .. } => cup.range,
        _ => channel.scaling.range,
    }
}

/// The median time between rows. Where most rows share their time with the one before, which is how a logger writes
/// that counts whole seconds, the mean.
fn step_ms(times: &[i64]) -> u32 {
    let mut steps: Vec<i64> = times.windows(2).map(|pair| pair[1].saturating_sub(pair[0]).max(0)).collect();
    if steps.is_empty() {
        return UNKNOWN_STEP_MS;
    }
    let mean = steps.iter().fold(0i64, |sum, &step| sum.saturating_add(step)) / steps.len() as i64;
    steps.sort_unstable();
    let step = match steps[steps.len() / 2] {
        0 => mean,
        median => median,
    };
    if step == 0 { UNKNOWN_STEP_MS } else { u32::try_from(step).unwrap_or(u32::MAX) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_between_rows_is_learned_from_the_first_of_them() {
        for (times, expected) in [
            (vec![], 1_000),
            (vec![5], 1_000),
            (vec![5, 5, 5], 1_000),
            (vec![0, 600_000, 1_200_000], 600_000),
            (vec![0, 50, 100, 60_000, 60_050], 50),
            (vec![0, 50, 20, 70, 120], 50),
            (vec![0, 0, 0, 0, 1_000, 1_000, 1_000, 1_000, 2_000], 250),
            (vec![0, i64::MAX], u32::MAX),
        ] {
            assert_eq!(step_ms(&times), expected, "{times:?}");
        }
    }
}
