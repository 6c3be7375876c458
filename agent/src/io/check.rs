//! `check`: everything the configuration names is tried once, and what does not work is said in words that help.
//!
//! Devices are read by the same buses and the same core as in a running agent, for as long as it takes until each
//! channel has had its chance. What reading would change is left alone.

#[cfg(test)]
mod tests;

use crate::config::{Bus, Config, Device, DeviceChannel, Function, How, Kinesis, Link, Source, Text, Watching};
use crate::io::bus;
use crate::io::clock::Clock;
use crate::io::live::{Live, Told, harmless, is_changed_by_reading};
use crate::io::secrets;
use crate::time::Mono;
use crate::watch::load::{Load, load};
use crate::watch::{Ask, Query, Watch, modbus};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use windward_protocol::{NoData, Reading};

/// How long the broker has to accept a connection.
const BROKER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a line may take to open.
const OPEN_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a channel that has nothing to say yet is waited for beyond its device's own time: a cup at rest takes five
/// seconds to be known to rest.
const PATIENCE_MS: u64 = 6_000;

/// Tries everything once and writes a table of what was found. Gives whether all of it is well; fails only when
/// `out` does.
pub async fn check(config: &Config, out: &mut (dyn Write + Send)) -> io::Result<bool> {
    let mut well = true;
    writeln!(out, "{:<20} {:<20} {:>14} {:<8} quality", "device", "channel", "value", "unit")?;
    let lines = open_lines(config).await;
    let found = read(config, &lines).await;
    for (device, found) in config.devices.iter().zip(&found) {
        well &= write_device(device, &config.buses[device.bus], found, &lines[device.bus], out)?;
    }
    for watching in &config.rules {
        writeln!(out, "{:<20} {}", "rule", say_rule(config, watching))?;
    }
    for (index, bus) in config.buses.iter().enumerate() {
        if let Some(load) = load(config, index) {
            well &= load.busy <= 1.0;
            writeln!(out, "{:<20} {bus}: {}", "line", say_load(&load))?;
        }
    }
    let mut places = Vec::new();
    if let Some(mqtt) = &config.mqtt {
        places.push(("broker", reach(&mqtt.host, mqtt.port).await));
    }
    if let Some(kinesis) = &config.kinesis {
        let (host, port) = service(kinesis);
        places.push(("stream", reach(&host, port).await));
    }
    for broker in config.kafka.iter().flat_map(|kafka| &kafka.brokers) {
        let (host, port) = broker.rsplit_once(':').unwrap_or((broker, ""));
        let port = port.parse().unwrap_or_default();
        places.push(("kafka", reach(host.trim_matches(['[', ']']), port).await));
    }
    places.extend([("files", files(config)), ("data", data(&config.data))]);
    for (what, result) in places {
        well &= result.is_ok();
        let (Ok(said) | Err(said)) = result;
        writeln!(out, "{what:<20} {said}")?;
    }
    Ok(well)
}

/// What was found out about a device.
struct Found {
    /// One a channel; `None`: it was not read, for reading would change it.
    readings: Vec<Option<Reading>>,
    /// What it says of itself.
    texts: Vec<(String, String)>,
}

/// Opens each line once; of one that cannot be opened, why.
async fn open_lines(config: &Config) -> Vec<Option<String>> {
    let mut lines = Vec::new();
    for bus in &config.buses {
        lines.push(match bus {
            Bus::Modbus { link, .. } | Bus::Sentences { link, .. } => {
                match timeout(OPEN_TIMEOUT, bus::open(link)).await {
                    Ok(Ok(_port)) => None,
                    Ok(Err(error)) => Some(cannot_open(link, &error.to_string())),
                    Err(_elapsed) => Some(cannot_open(link, &format!("nothing answered within {OPEN_TIMEOUT:?}"))),
                }
            }
            Bus::I2c { path: device } | Bus::Gpio { chip: device } => {
                let there = std::fs::metadata(device);
                there.err().map(|error| format!("cannot open {}: {error}", device.display()))
            }
        });
    }
    lines
}

fn cannot_open(link: &Link, error: &str) -> String {
    match link {
        Link::Tcp { host, port } => format!("cannot connect to {host}:{port}: {error}"),
        Link::Serial { port, .. } => format!("cannot open {}: {error}", port.display()),
    }
}

/// Reads all devices whose line is open.
async fn read(config: &Config, lines: &[Option<String>]) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    for device in &config.devices {
        let texts = match (&lines[device.bus], &device.how) {
            (None, How::Modbus { .. }) => read_texts(device, &config.buses[device.bus]).await,
            _ => Vec::new(),
        };
        found.push(Found { readings: vec![None; device.channels.len()], texts });
    }
    let (gentle, places) = harmless(config, |device| lines[device.bus].is_none());
    if gentle.devices.is_empty() {
        return found;
    }
    let clock = Clock::start();
    let deadline = clock.now().mono + gentle.devices.iter().map(longest_ms).max().unwrap_or(0);
    let gentle = Arc::new(gentle);
    let mut live = Live::start(&gentle, Watch::new(&gentle, 0), None, clock);
    while let Some(told) = before(deadline, &clock, live.next()).await {
        let Told::Row { device, row, .. } = told else { continue };
        let (device, channels) = &places[device];
        for (channel, reading) in channels.iter().zip(row.readings) {
            let known = &mut found[*device].readings[*channel];
            // The first word counts, but "nothing yet" is none.
            if matches!(known, None | Some(Err(NoData::NotDue))) {
                *known = Some(reading);
            }
        }
        let settled = |(device, channels): &(usize, Vec<usize>)| {
            let readings = &found[*device].readings;
            channels.iter().all(|channel| !matches!(readings[*channel], None | Some(Err(NoData::NotDue))))
        };
        if places.iter().all(settled) {
            break;
        }
    }
    live.stop().await;
    found
}

async fn before<T>(deadline: Mono, clock: &Clock, next: impl Future<Output = T>) -> Option<T> {
    timeout(clock.until(deadline), next).await.ok()
}

/// The longest it takes until the device has said something of every channel, ms.
fn longest_ms(device: &Device) -> u64 {
    let (interval_ms, timeout_ms) = (u64::from(device.interval_ms), u64::from(device.timeout_ms));
    let requests = if device.is_asked() { 2 * device.channels.len() as u64 } else { 1 };
    interval_ms + requests * (timeout_ms + u64::from(device.late_ms)) * (u64::from(device.retries) + 2) + PATIENCE_MS
}

/// What a Modbus device says of itself, as far as it does.
async fn read_texts(device: &Device, bus: &Bus) -> Vec<(String, String)> {
    let mut texts = Vec::new();
    for text in &device.texts {
        let (Bus::Modbus { link, framing, .. }, How::Modbus { slave, .. }) = (bus, &device.how) else { break };
        let Ok(Ok(port)) = timeout(OPEN_TIMEOUT, bus::open(link)).await else { break };
        let Text { function, start, words: count, .. } = *text;
        let ask = Ask {
            bus: device.bus,
            device: 0,
            round: 0,
            request: 0,
            query: Query::Registers { slave: *slave, function, start, count },
            timeout_ms: device.timeout_ms,
            late_ms: device.late_ms,
        };
        match bus::ask_once(&mut bus::attach(port, *framing), &ask).await {
            Ok(words) => texts.push((text.name.clone(), modbus::text(&words))),
            Err(_) => tokio::time::sleep(Duration::from_millis(device.late_ms.into())).await,
        }
    }
    texts
}

/// Writes a device's lines; gives whether all is well with it.
fn write_device(
    device: &Device,
    bus: &Bus,
    found: &Found,
    line: &Option<String>,
    out: &mut (dyn Write + Send),
) -> io::Result<bool> {
    let mut well = true;
    let mut remarks: Vec<String> = line.iter().cloned().collect();
    for (channel, reading) in device.channels.iter().zip(&found.readings) {
        let (value, quality) = match reading {
            _ if line.is_some() => ("-".to_owned(), NoData::Disconnected.to_string()),
            None if is_changed_by_reading(channel) => ("-".to_owned(), "not read: reading resets it".to_owned()),
            None => ("-".to_owned(), "nothing came".to_owned()),
            Some(Ok(value)) => (value.as_f64().to_string(), "good".to_owned()),
            Some(Err(reason)) => ("-".to_owned(), reason.to_string()),
        };
        well &= match reading {
            None => line.is_none() && is_changed_by_reading(channel),
            Some(reading) => !reading.is_err_and(|reason| !reason.is_no_fault()),
        };
        if let Some(Err(reason)) = reading {
            let remark = explain(*reason, bus, device, channel);
            // Said once: the rest fails alike.
            if !remarks.contains(&remark) {
                remarks.push(remark);
            }
        }
        let (name, unit) = (&channel.channel.name, &channel.channel.unit);
        writeln!(out, "{:<20} {name:<20} {value:>14} {unit:<8} {quality}", device.name)?;
    }
    let texts = found.texts.iter().map(|(name, text)| format!("says of itself: {name} {text:?}"));
    let unsure = device.unsure.iter().map(|question| format!("please look up: {question}"));
    let thinned = device.forward_every_s.map(|every_s| say_thinned(every_s, device.interval_ms));
    for remark in remarks.into_iter().chain(texts).chain(unsure).chain(thinned) {
        writeln!(out, "  {}: {remark}", device.name)?;
    }
    Ok(well)
}

fn say_thinned(every_s: u32, interval_ms: u32) -> String {
    let of = f64::from(every_s) * 1_000.0 / f64::from(interval_ms);
    format!("forwards 1 reading of {of:.0} in quiet times, and all from a minute before an alert to a minute after")
}

fn say_rule(config: &Config, watching: &Watching) -> String {
    let all = config.devices.iter().flat_map(|device| device.channels.iter().map(move |channel| (device, channel)));
    let watched = all.filter(|(device, channel)| watching.watches(device, channel));
    let names: Vec<String> =
        watched.map(|(device, channel)| format!("{}/{}", device.name, channel.channel.name)).collect();
    format!("{:?} watches {}", watching.rule.name, names.join(", "))
}

fn say_load(load: &Load) -> String {
    let Load { busy, spare_ms, vain_ms } = load;
    let percent = busy * 100.0;
    if *busy > 1.0 {
        return format!("{percent:.0} % busy: more than it can carry; read less often, or at a higher baud");
    }
    let mut said = format!("{percent:.0} % busy");
    if f64::from(*vain_ms) > *spare_ms {
        said += &format!(
            "; a device that does not answer costs the others {vain_ms} ms (timeout_ms + late_ms) of {spare_ms:.0} to spare"
        );
    }
    said
}

/// What a failed reading most likely means to the one who wired the device.
fn explain(reason: NoData, bus: &Bus, device: &Device, channel: &DeviceChannel) -> String {
    let timeout_ms = device.timeout_ms;
    let who = match &device.how {
        How::Modbus { slave, .. } => format!("slave {slave} on {bus}"),
        How::Converter { address } => format!("converter {address:#x} on {bus}"),
        How::Sentences { address: Some(address), .. } => format!("{address:?} on {bus}"),
        How::Sentences { address: None, .. } | How::Pulses => bus.to_string(),
    };
    let over_tcp = matches!(bus, Bus::Modbus { link: Link::Tcp { .. }, .. });
    match (reason, &channel.source) {
        (NoData::Timeout, Source::Register(_)) if over_tcp => {
            format!("no answer from {who} within {timeout_ms} ms: wrong id, or a gateway without it?")
        }
        (NoData::Timeout, Source::Register(_)) => {
            format!("no answer from {who} within {timeout_ms} ms: wrong baud, parity, id or wiring?")
        }
        (NoData::Timeout, Source::Field(field)) => {
            format!("nothing sound with {} from {who}: wrong baud, format, address or wiring?", field.name())
        }
        (NoData::Exception(code), Source::Register(register)) => format!(
            "{who} refuses {} {}: exception {code} ({})",
            table(register.function),
            register.start,
            exception(code)
        ),
        (NoData::Checksum, _) => format!("what comes from {who} is garbled: wrong baud or parity, or noise?"),
        (NoData::Protocol, Source::Field(field)) => {
            format!("{who} sends something else than a sentence with {}: another format, or a cut line?", field.name())
        }
        (NoData::Protocol, _) => format!("{who} answers something else than was asked"),
        (NoData::Disconnected, Source::Register(_)) => format!("{who} closed the connection when it was asked"),
        (NoData::Disconnected, _) => format!("nobody answers at {who}"),
        (NoData::BrokenWire, _) => {
            format!("{}: the signal is outside what a sound transmitter gives: broken wire?", channel.channel.name)
        }
        (reason, _) => format!("{}: {reason}", channel.channel.name),
    }
}

fn table(function: Function) -> &'static str {
    match function {
        Function::Coil => "coil",
        Function::Discrete => "discrete input",
        Function::Holding => "holding register",
        Function::Input => "input register",
    }
}

/// Names of exception codes (Modbus Application Protocol V1.1b3, 7).
fn exception(code: u8) -> &'static str {
    match code {
        1 => "illegal function: try the other of input and holding",
        2 => "illegal data address: no such register; is the address counted from zero?",
        3 => "illegal data value",
        4 => "device failure",
        5 => "acknowledge: still working",
        6 => "busy",
        8 => "memory parity error",
        10 => "gateway path unavailable",
        11 => "gateway target does not respond: wrong id, or the device is off?",
        _ => "unknown code",
    }
}

async fn reach(host: &str, port: u16) -> Result<String, String> {
    match timeout(BROKER_TIMEOUT, TcpStream::connect((host, port))).await {
        Ok(Ok(_stream)) => Ok(format!("{host}:{port} accepts connections")),
        Ok(Err(error)) => Err(format!("cannot connect to {host}:{port}: {error}")),
        Err(_elapsed) => Err(format!("cannot connect to {host}:{port} within {BROKER_TIMEOUT:?}")),
    }
}

/// Host and port of a stream's service.
fn service(kinesis: &Kinesis) -> (String, u16) {
    let Some(url) = &kinesis.endpoint else {
        return (format!("kinesis.{}.amazonaws.com", kinesis.region), 443);
    };
    let (default, rest) = match url.strip_prefix("http://") {
        Some(rest) => (80, rest),
        None => (443, url.trim_start_matches("https://")),
    };
    let authority = rest.split('/').next().unwrap_or(rest);
    match authority.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?))) {
        Some((host, port)) => (host.to_owned(), port),
        None => (authority.to_owned(), default),
    }
}

/// Whether the files that the configuration names can be read.
fn files(config: &Config) -> Result<String, String> {
    let of_mqtt = config.mqtt.iter().flat_map(|mqtt| &mqtt.tls);
    let of_iot = config.kinesis.iter().flat_map(|kinesis| &kinesis.iot).map(|iot| &iot.tls);
    let of_kafka = config.kafka.iter().flat_map(|kafka| &kafka.tls);
    let of_tls = of_mqtt.chain(of_iot).chain(of_kafka).flat_map(|tls| {
        let cert_key = tls.cert_key.iter().flat_map(|(cert, key)| [cert, key]);
        std::iter::once(&tls.ca).chain(cert_key)
    });
    let of_login = config.mqtt.iter().flat_map(|mqtt| &mqtt.login).map(|(_, file)| file);
    let of_sasl = config.kafka.iter().flat_map(|kafka| &kafka.sasl).map(|sasl| &sasl.password_file);
    let paths: Vec<_> = of_tls.chain(of_login).chain(of_sasl).collect();
    for path in &paths {
        std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    }
    let open: Vec<String> = secrets::open_to_all(config).iter().map(|path| path.display().to_string()).collect();
    Ok(match (paths.len(), open.len()) {
        (0, _) => "none named".to_owned(),
        (count, 0) => format!("{count} named, all readable"),
        (count, _) => format!(
            "{count} named, all readable; but secret, and readable by every user of this machine: {}; chmod o= helps",
            open.join(", ")
        ),
    })
}

/// Whether the spool's directory can be written.
fn data(path: &Path) -> Result<String, String> {
    let probe = path.join(".windward-check");
    std::fs::create_dir_all(path)
        .and_then(|()| std::fs::write(&probe, b"check"))
        .and_then(|()| std::fs::remove_file(&probe))
        .map(|()| format!("{} can be written", path.display()))
        .map_err(|error| format!("cannot write to {}: {error}", path.display()))
}
