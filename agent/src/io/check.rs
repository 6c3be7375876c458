//! `check`: everything the configuration names is tried once, and what does not work is said in words that help.

#[cfg(test)]
mod tests;

use crate::config::{Bus, Config, Device, Mqtt};
use crate::io::bus::{self, Connection};
use crate::watch::{Ask, modbus};
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use windward_protocol::{NoData, Reading};

/// How long the broker has to accept a connection.
const BROKER_TIMEOUT: Duration = Duration::from_secs(5);

/// Tries everything once and writes a table of what was found. Gives whether all of it is well; fails only when
/// `out` does.
pub async fn check(config: &Config, out: &mut (dyn Write + Send)) -> io::Result<bool> {
    let mut well = true;
    writeln!(out, "{:<20} {:<20} {:>14} {:<8} quality", "device", "channel", "value", "unit")?;
    for device in &config.devices {
        let (readings, remarks) = read(device, &config.buses[device.bus]).await;
        for (channel, reading) in device.channels.iter().zip(&readings) {
            let (value, quality) = match reading {
                Ok(value) => (value.as_f64().to_string(), "good".to_owned()),
                Err(reason) => ("-".to_owned(), reason.to_string()),
            };
            let (name, unit) = (&channel.channel.name, &channel.channel.unit);
            writeln!(out, "{:<20} {name:<20} {value:>14} {unit:<8} {quality}", device.name)?;
        }
        for remark in remarks {
            writeln!(out, "  {}: {remark}", device.name)?;
        }
        well &= readings.iter().all(Result::is_ok);
    }
    for (what, result) in
        [("broker", broker(&config.mqtt).await), ("files", files(config)), ("data", data(&config.data))]
    {
        well &= result.is_ok();
        let (Ok(said) | Err(said)) = result;
        writeln!(out, "{what:<20} {said}")?;
    }
    Ok(well)
}

/// Reads all channels of a device once; gives a remark for each thing that failed.
async fn read(device: &Device, bus: &Bus) -> (Vec<Reading>, Vec<String>) {
    let registers: Vec<_> = device.channels.iter().map(|channel| &channel.register).collect();
    let (requests, places) = modbus::plan(&registers);
    let (mut answers, mut remarks) = (Vec::new(), Vec::new());
    let mut connection = None;
    for (index, request) in requests.iter().enumerate() {
        let ask = Ask {
            bus: device.bus,
            device: 0,
            round: 0,
            request: index,
            slave: device.slave,
            function: request.function,
            start: request.start,
            count: request.count,
            timeout_ms: device.timeout_ms,
            late_ms: device.late_ms,
        };
        let (answer, remark) = ask_once(&mut connection, device, bus, &ask).await;
        remarks.extend(remark);
        let line_failed = matches!(answer, Err(reason) if !matches!(reason, NoData::Exception(_)));
        answers.push(answer);
        if line_failed {
            connection = None;
            // Said once: the rest would fail alike and take as long.
            break;
        }
    }
    if matches!(bus, Bus::Serial { .. }) && connection.is_none() {
        tokio::time::sleep(Duration::from_millis(device.late_ms.into())).await;
    }
    let reading = |(register, place): (&&crate::config::Register, &modbus::Place)| match answers.get(place.request) {
        Some(Ok(words)) => modbus::decode(register, &words[place.word..]),
        Some(Err(reason)) => Err(*reason),
        None => Err(NoData::Skipped),
    };
    (registers.iter().zip(&places).map(reading).collect(), remarks)
}

async fn ask_once(
    connection: &mut Option<Connection>,
    device: &Device,
    bus: &Bus,
    ask: &Ask,
) -> (Result<Vec<u16>, NoData>, Option<String>) {
    if connection.is_none() {
        let limit = Duration::from_millis(device.timeout_ms.into()).max(Duration::from_secs(1));
        match timeout(limit, bus::connect(bus)).await {
            Ok(Ok(connected)) => *connection = Some(connected),
            Ok(Err(error)) => return (Err(NoData::Disconnected), Some(cannot_open(bus, &error))),
            Err(_elapsed) => {
                let error = io::Error::new(io::ErrorKind::TimedOut, format!("no connection within {limit:?}"));
                return (Err(NoData::Disconnected), Some(cannot_open(bus, &error)));
            }
        }
    }
    let Some(connection) = connection else {
        return (Err(NoData::Disconnected), None);
    };
    let answer = bus::ask_once(connection, ask).await;
    let remark = answer.as_ref().err().map(|reason| explain(*reason, bus, ask));
    (answer, remark)
}

fn cannot_open(bus: &Bus, error: &io::Error) -> String {
    match bus {
        Bus::Tcp { host, port } => format!("cannot connect to {host}:{port}: {error}"),
        Bus::Serial { port, .. } => format!("cannot open {}: {error}", port.display()),
    }
}

/// What a failed request most likely means to the one who wired the device.
fn explain(reason: NoData, bus: &Bus, ask: &Ask) -> String {
    let Ask { slave, start, count, timeout_ms, .. } = ask;
    let last = u32::from(*start) + u32::from(*count) - 1;
    match (reason, bus) {
        (NoData::Timeout, Bus::Serial { .. }) => {
            format!("no answer from slave {slave} on {bus} within {timeout_ms} ms: wrong baud, parity, id or wiring?")
        }
        (NoData::Timeout, Bus::Tcp { .. }) => {
            format!("no answer from slave {slave} on {bus} within {timeout_ms} ms: wrong id, or a gateway without it?")
        }
        (NoData::Exception(code), _) => {
            format!("slave {slave} refuses registers {start} to {last}: exception {code} ({})", exception(code))
        }
        (NoData::Checksum, _) => {
            format!("answer of slave {slave} on {bus} is garbled: wrong baud or parity, or noise?")
        }
        (NoData::Protocol, _) => format!("slave {slave} on {bus} answers something else than was asked"),
        (NoData::Disconnected, _) => format!("{bus} closed the connection when it was asked"),
        (reason, _) => reason.to_string(),
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

async fn broker(mqtt: &Mqtt) -> Result<String, String> {
    let (host, port) = (mqtt.host.as_str(), mqtt.port);
    match timeout(BROKER_TIMEOUT, TcpStream::connect((host, port))).await {
        Ok(Ok(_stream)) => Ok(format!("{host}:{port} accepts connections")),
        Ok(Err(error)) => Err(format!("cannot connect to {host}:{port}: {error}")),
        Err(_elapsed) => Err(format!("cannot connect to {host}:{port} within {BROKER_TIMEOUT:?}")),
    }
}

/// Whether the files that the configuration names can be read.
fn files(config: &Config) -> Result<String, String> {
    let tls = config.mqtt.tls.iter();
    let of_tls = tls.flat_map(|tls| {
        let cert_key = tls.cert_key.iter().flat_map(|(cert, key)| [cert, key]);
        std::iter::once(&tls.ca).chain(cert_key)
    });
    let paths: Vec<_> = of_tls.chain(config.mqtt.login.iter().map(|(_, file)| file)).collect();
    for path in &paths {
        std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    }
    Ok(match paths.len() {
        0 => "none named".to_owned(),
        count => format!("{count} named, all readable"),
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
