//! Live values: what each channel says now, whether that is good, and how old its last good value is.

use crate::config::{Config, Device};
use crate::io::clock::Clock;
use crate::io::live::{Live, Told, harmless};
use crate::time::Mono;
use crate::watch::Watch;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;
use windward_protocol::{NoData, Reading, Row};

/// A terminal is drawn anew so often, rows or not: ages grow.
const DRAW_EVERY: Duration = Duration::from_millis(500);

/// Columns of device and channel: on a terminal a line must not break.
const NARROW: [usize; 2] = [14, 22];
const WIDE: [usize; 2] = [32, 24];

/// A channel as it is shown.
struct Shown {
    device: String,
    channel: String,
    unit: String,
    reading: Option<Reading>,
    last_good: Option<Mono>,
}

/// Shows the values of all devices, but those that reading resets, until `for_s` seconds are over. `in_place`: a table
/// that is drawn anew, as on a terminal; else one line a reading.
pub async fn show(config: Config, for_s: Option<u64>, in_place: bool, out: &mut (dyn Write + Send)) -> io::Result<()> {
    let (clock, config) = (Clock::start(), Arc::new(harmless(&config, |_| true).0));
    let widths = if in_place { NARROW } else { WIDE };
    let mut shown: Vec<Vec<Shown>> = config.devices.iter().map(channels).collect();
    let mut live = Live::start(&config, Watch::new(&config, 0), None, clock);
    let over = tokio::time::sleep(Duration::from_secs(for_s.unwrap_or(0)));
    tokio::pin!(over);
    let mut draw = tokio::time::interval(DRAW_EVERY);
    let mut drawn = 0;
    writeln!(out, "{}", line(widths, ["device", "channel", "value", "unit", "quality", "age"]))?;
    loop {
        tokio::select! {
            () = &mut over, if for_s.is_some() => break,
            told = live.next() => {
                let Told::Row { device, row, .. } = told else { continue };
                let now = clock.now().mono;
                note(&mut shown[device], &row, now);
                if !in_place {
                    write_lines(shown[device].iter(), widths, now, out)?;
                }
            }
            _ = draw.tick(), if in_place => {
                if drawn > 0 {
                    // Up to the first line, and clear all below.
                    write!(out, "\x1b[{drawn}A\x1b[J")?;
                }
                drawn = write_lines(shown.iter().flatten(), widths, clock.now().mono, out)?;
                out.flush()?;
            }
        }
    }
    live.stop().await;
    Ok(())
}

fn channels(device: &Device) -> Vec<Shown> {
    let shown = |channel: windward_protocol::Channel| Shown {
        device: device.name.clone(),
        channel: channel.name,
        unit: channel.unit,
        reading: None,
        last_good: None,
    };
    device.wire_channels().into_iter().map(shown).collect()
}

/// Takes a row's readings; a channel that had no turn in it keeps its last.
fn note(channels: &mut [Shown], row: &Row, now: Mono) {
    for (channel, reading) in channels.iter_mut().zip(&row.readings) {
        if *reading == Err(NoData::NotDue) {
            continue;
        }
        channel.reading = Some(*reading);
        if reading.is_ok() {
            channel.last_good = Some(now);
        }
    }
}

/// Writes a line a channel; gives how many.
fn write_lines<'a>(
    channels: impl Iterator<Item = &'a Shown>,
    widths: [usize; 2],
    now: Mono,
    out: &mut (dyn Write + Send),
) -> io::Result<usize> {
    let mut count = 0;
    for channel in channels {
        let quality = match channel.reading {
            None => "waiting".to_owned(),
            Some(Ok(_)) => "good".to_owned(),
            Some(Err(reason)) => reason.to_string(),
        };
        // A value stands there only while it is good; how old the last good one is says the age.
        let value = match channel.reading {
            Some(Ok(value)) => number(value.as_f64()),
            _ => "-".to_owned(),
        };
        let age = channel.last_good.map_or("-".to_owned(), |at| format!("{:.1} s", (now - at) as f64 / 1_000.0));
        let cells = [&channel.device, &channel.channel, &value, &channel.unit, &quality, &age];
        writeln!(out, "{}", line(widths, cells.map(String::as_str)))?;
        count += 1;
    }
    Ok(count)
}

fn line([of_device, of_channel]: [usize; 2], [device, channel, value, unit, quality, age]: [&str; 6]) -> String {
    format!(
        "{device:<of_device$.of_device$} {channel:<of_channel$.of_channel$} {value:>12.12} {unit:<5.5} {quality:<13.13} {age:>8.8}"
    )
}

/// At most three decimals.
fn number(value: f64) -> String {
    ((value * 1_000.0).round() / 1_000.0).to_string()
}
