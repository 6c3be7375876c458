//! Acquisition: what the agent makes of every type, order, table and fault, on lines of ours and of others.

mod beacon;
mod busy;
mod delays;
mod farm;
mod habits;
mod talkers;

use crate::system::{Program, SOON, agent_toml, seed, sink_toml};
use anyhow::Result;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::MutexGuard;
use windward_protocol::Value;
use windward_tests::clock;
use windward_tests::known::{code, command, function, known, load};
use windward_tests::lines::device::{Device, Table, expected};
use windward_tests::lines::manner::{Conduct, Manner};
use windward_tests::lines::serial::SerialPort;
use windward_tests::lines::tcp::TcpPort;
use windward_tests::lines::{Line, Wire};
use windward_tests::peers::{Maker, Mosquitto, Over, PyModbus, SerialLine, mbpoll, there};
use windward_tests::process::{eventually, free_port};
use windward_tests::random::Random;
use windward_tests::stored::{self, Stored};

const SLAVE: u8 = 17;
const TABLES: [Table; 4] = [Table::Coils, Table::Discrete, Table::Holding, Table::Input];
/// Slaves that share a bad line.
const SLAVES: u8 = 8;
const INTERVAL_MS: u64 = 250;
const TIMEOUT_MS: u64 = 40;
/// Rows of every slave that are looked at.
const ROWS: usize = 80;
const BAUD: u32 = 115_200;

/// The rig's own proof: a master that is not ours reads the same from every slave, ours among them.
#[tokio::test(flavor = "multi_thread")]
async fn e2e_another_master_reads_the_known_values_from_every_slave() -> Result<()> {
    if !there()? {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let known = known(&mut Random::new(seed()));
    let reads = |over: Over<'_>| -> Result<usize> {
        for known in &known {
            let words = mbpoll(over, SLAVE, code(known.table), known.address, known.words.len() as u16)?;
            assert_eq!(words, known.words, "{} over {over:?}", known.name);
        }
        Ok(known.len())
    };
    let device = || {
        let mut device = Device::new(SLAVE);
        load(&known, &mut device);
        device
    };
    let tcp = TcpPort::start(Line::new(Wire::tcp(), [device()], 1))?;
    println!("FIGURE {} known values read by mbpoll from our TCP device", reads(Over::Tcp(tcp.port()))?);
    let rtu = SerialPort::plug(Line::new(Wire::rtu(BAUD), [device()], 1), &dir.path().join("ours"), Some(BAUD))?;
    println!("FIGURE {} known values read by mbpoll from our RTU line", reads(Over::Rtu(rtu.path(), BAUD))?);
    for maker in [Maker::PyModbus, Maker::ModbusTk] {
        let over = Over::Tcp(free_port()?);
        let mut peer = PyModbus::serve(maker, over, SLAVE).await?;
        peer.tell(&command(&known))?;
        println!("FIGURE {} known values read by mbpoll from {maker:?} over TCP", reads(over)?);
        let line = SerialLine::start(dir.path()).await?;
        let mut peer = PyModbus::serve(maker, Over::Rtu(&line.far, BAUD), SLAVE).await?;
        peer.tell(&command(&known))?;
        println!("FIGURE {} known values read by mbpoll from {maker:?} over RTU", reads(Over::Rtu(&line.near, BAUD))?);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_the_agent_reads_every_known_value_exactly_over_every_link() -> Result<()> {
    if !there()? {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let broker = Mosquitto::start(dir.path()).await?;
    let known = known(&mut Random::new(seed()));
    let line = |wire| {
        let mut device = Device::new(SLAVE);
        load(&known, &mut device);
        Line::new(wire, [device], 1)
    };
    let tcp = TcpPort::start(line(Wire::tcp()))?;
    let server = TcpPort::start(line(Wire::rtu(BAUD)))?;
    let rtu = SerialPort::plug(line(Wire::rtu(BAUD)), &dir.path().join("ours"), Some(BAUD))?;
    let mut links = vec![
        ("our-tcp", over_toml(Over::Tcp(tcp.port()))),
        ("our-server", over_toml(Over::RtuTcp(server.port()))),
        ("our-rtu", rtu_toml(rtu.path())),
    ];
    let (mut peers, mut lines) = (Vec::new(), Vec::new());
    for (name, maker) in [("pymodbus-rtu", Maker::PyModbus), ("modbus-tk-rtu", Maker::ModbusTk)] {
        let dir = dir.path().join(name);
        std::fs::create_dir(&dir)?;
        let line = SerialLine::start(&dir).await?;
        peers.push(PyModbus::serve(maker, Over::Rtu(&line.far, BAUD), SLAVE).await?);
        links.push((name, rtu_toml(&line.near)));
        lines.push(line);
    }
    for (name, maker, over) in [
        ("pymodbus-tcp", Maker::PyModbus, Over::Tcp(free_port()?)),
        ("pymodbus-server", Maker::PyModbus, Over::RtuTcp(free_port()?)),
        ("modbus-tk-tcp", Maker::ModbusTk, Over::Tcp(free_port()?)),
    ] {
        peers.push(PyModbus::serve(maker, over, SLAVE).await?);
        links.push((name, over_toml(over)));
    }
    peers.iter_mut().try_for_each(|peer| peer.tell(&command(&known)).map(drop))?;

    // A device has no more than 64 channels: one for each table.
    let mut text = agent_toml("turbine-01", dir.path(), broker.port(), "");
    for ((name, link), table) in links.iter().flat_map(|link| TABLES.map(|table| (link, table))) {
        let device = format!("{name}-{}", function(table));
        write!(
            text,
            "[[device]]\nname = \"{device}\"\nlocation = \"Turbine 1\"\nslave = {SLAVE}\ninterval_ms = 1000\n{link}\n"
        )
        .unwrap();
        known.iter().filter(|known| known.table == table).for_each(|known| text.push_str(&known.toml()));
    }
    let file = dir.path().join("farm.db");
    let sink = sink_toml(broker.port(), &format!("sqlite = {file:?}"), "", free_port()?);
    let mut sink = Program::new("windward-sink", dir.path(), &sink)?;
    let mut agent = Program::new("windward-agent", dir.path(), &text)?;
    sink.start()?;
    agent.start()?;
    let stored = eventually(SOON, "rows of every device", async || {
        agent.check_alive()?;
        sink.check_alive()?;
        let stored = stored::rows(&file)?;
        let enough = stored.len() == links.len() * TABLES.len() && stored.values().all(|stored| stored.rows.len() >= 3);
        Ok(enough.then_some(stored))
    })
    .await?;
    let mut equal = 0;
    for (device, stored) in &stored {
        for row in &stored.rows {
            for (name, reading) in stored.channels.iter().zip(&row.readings) {
                let right = known.iter().find(|known| known.name == *name).map(|known| known.value);
                assert_eq!(reading.ok(), right, "{name} of {device}: {reading:?}");
                equal += 1;
            }
        }
    }
    println!("FIGURE {equal} readings of {} known values over {} links, all equal", known.len(), links.len());
    agent.stop().await?;
    sink.stop().await
}

/// A link's key in a device's TOML.
fn over_toml(over: Over<'_>) -> String {
    match over {
        Over::Tcp(port) => format!("modbus_tcp = {{ host = \"127.0.0.1\", port = {port} }}"),
        Over::RtuTcp(port) => format!("modbus_rtu_tcp = {{ host = \"127.0.0.1\", port = {port} }}"),
        Over::Rtu(port, baud) => format!("modbus_rtu = {{ port = {port:?}, baud = {baud}, parity = \"none\" }}"),
    }
}

fn rtu_toml(port: &Path) -> String {
    over_toml(Over::Rtu(port, BAUD))
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_no_value_from_a_bad_line_is_wrong_or_old() -> Result<()> {
    bad_line(Wire::rtu(BAUD), Behind::Port).await
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_no_value_is_wrong_or_old_where_late_answers_are_heard_whole() -> Result<()> {
    bad_line(Wire { collisions: false, ..Wire::rtu(BAUD) }, Behind::Port).await
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_no_value_is_wrong_or_old_where_the_master_hears_itself() -> Result<()> {
    bad_line(Wire { echo: true, ..Wire::rtu(BAUD) }, Behind::Port).await
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_no_value_is_wrong_or_old_behind_a_serial_server() -> Result<()> {
    bad_line(Wire { collisions: false, ..Wire::rtu(BAUD) }, Behind::Server).await
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_no_value_is_wrong_or_old_behind_a_serial_server_that_buffers() -> Result<()> {
    bad_line(Wire { collisions: false, ..Wire::rtu(BAUD) }, Behind::BufferingServer).await
}

/// What a bad line is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behind {
    Port,
    Server,
    BufferingServer,
    /// It is a Modbus TCP device itself.
    Tcp,
}

/// The near end of a line.
enum Port {
    Serial(SerialPort<Line>),
    Server(TcpPort<Line>),
    Tcp(TcpPort<Line>),
}

impl Port {
    /// `path` is where a port of this machine gets its link.
    fn new(line: Line, behind: Behind, path: &Path) -> Result<Self> {
        Ok(match behind {
            Behind::Port => Port::Serial(SerialPort::plug(line, path, Some(BAUD))?),
            Behind::Server => Port::Server(TcpPort::start(line)?),
            Behind::BufferingServer => Port::Server(TcpPort::start_buffering(line)?),
            Behind::Tcp => Port::Tcp(TcpPort::start(line)?),
        })
    }

    fn station(&self) -> MutexGuard<'_, Line> {
        match self {
            Port::Serial(port) => port.station(),
            Port::Server(port) | Port::Tcp(port) => port.station(),
        }
    }

    fn now_us(&self) -> u64 {
        match self {
            Port::Serial(port) => port.now_us(),
            Port::Server(port) | Port::Tcp(port) => port.now_us(),
        }
    }

    /// Its key in a device's TOML.
    fn toml(&self) -> String {
        match self {
            Port::Serial(port) => rtu_toml(port.path()),
            Port::Server(port) => over_toml(Over::RtuTcp(port.port())),
            Port::Tcp(port) => over_toml(Over::Tcp(port.port())),
        }
    }
}

/// Eight slaves on a line where everything goes wrong at times, and whose plug is pulled if it has one.
async fn bad_line(wire: Wire, behind: Behind) -> Result<()> {
    if !there()? {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let broker = Mosquitto::start(dir.path()).await?;
    let slaves = (1..=SLAVES).map(|address| {
        let mut device = Device::new(address);
        device.conduct = Conduct::Random(faults());
        device
    });
    let line = Line::new(wire, slaves, seed());
    let mut port = Port::new(line, behind, &dir.path().join("line"))?;
    let began_ms = clock::wall_ms() - (port.now_us() / 1_000) as i64;
    let file = dir.path().join("farm.db");
    let sink = sink_toml(broker.port(), &format!("sqlite = {file:?}"), "", free_port()?);
    let mut sink = Program::new("windward-sink", dir.path(), &sink)?;
    let config = bad_line_toml(dir.path(), broker.port(), &port.toml());
    let mut agent = Program::new("windward-agent", dir.path(), &config)?;
    sink.start()?;
    agent.start()?;
    for rows in [ROWS / 2, ROWS] {
        eventually(SOON * 2, "rows of every slave", async || {
            agent.check_alive()?;
            sink.check_alive()?;
            let stored = stored::rows(&file)?;
            let enough = stored.values().filter(|stored| stored.rows.len() >= rows).count();
            Ok((enough == usize::from(SLAVES)).then_some(()))
        })
        .await?;
        if let Port::Serial(port) = &mut port {
            port.replug()?;
        }
    }
    agent.stop().await?;
    sink.stop().await?;
    let (mut reasons, mut few) = (BTreeMap::new(), Vec::new());
    for (name, stored) in stored::rows(&file)? {
        let slave = name.rsplit('-').next().and_then(|slave| slave.parse().ok()).expect("the device names its slave");
        let good = check(&stored, slave, &port.station(), began_ms, &mut reasons);
        few.extend((good * 4 < stored.rows.len()).then(|| format!("{name}: {good} of {}", stored.rows.len())));
    }
    println!("FIGURE bad line, {behind:?}, echo {}, collisions {}: {reasons:?}", wire.echo, wire.collisions);
    assert!(few.is_empty(), "whole rows: {few:?}");
    Ok(())
}

/// Checks every value of a slave, and counts values and reasons; gives the number of rows that are whole.
fn check(stored: &Stored, slave: u8, line: &Line, began_ms: i64, reasons: &mut BTreeMap<String, usize>) -> usize {
    let asked = line.asked().iter().filter(|asked| asked.request.slave == slave && asked.request.pdu[1..3] == [0, 0]);
    let numbers: Vec<(i64, Option<u32>)> =
        asked.map(|asked| (began_ms + (asked.at_us / 1_000) as i64, asked.number)).collect();
    let mut good = 0;
    for row in &stored.rows {
        good += usize::from(row.readings.iter().all(Result::is_ok));
        for (name, reading) in stored.channels.iter().zip(&row.readings) {
            let said = reading.err().map_or("value".into(), |reason| reason.to_string());
            *reasons.entry(said).or_default() += 1;
            let Ok(value) = reading else { continue };
            let Value::Int { mantissa, exponent: 0 } = *value else { panic!("slave {slave}: {value:?}") };
            let right = match name.strip_prefix('r').map(str::parse) {
                Some(register) => i64::from(expected(slave, Table::Input, register.expect("a register's number"))),
                // The answer is the one to the last question before the row was done, or it is an old one.
                None => {
                    let before = numbers.iter().rfind(|(at_ms, _)| *at_ms <= row.time_ms);
                    before.and_then(|(_, number)| *number).map_or(-1, i64::from)
                }
            };
            assert_eq!(mantissa, right, "slave {slave}, {name}, at {}", row.time_ms);
        }
    }
    good
}

/// One answer of seven has a fault.
fn faults() -> Vec<(u32, Manner)> {
    let around_timeout = Manner::Late(TIMEOUT_MS * 800, TIMEOUT_MS * 1_500);
    let faults = [
        Manner::Silent,
        Manner::Exception(6),
        Manner::BitFlip,
        Manner::Cut,
        Manner::WrongSlave,
        Manner::Short,
        Manner::Noise,
        Manner::Foreign,
    ];
    let faults = faults.into_iter().map(|manner| (1, manner));
    faults.chain([(4, around_timeout), (72, Manner::Prompt)]).collect()
}

/// Every slave's number of the answer and four registers apart from it, which is another request.
fn bad_line_toml(dir: &Path, broker: u16, link: &str) -> String {
    let mut text = agent_toml("turbine-01", dir, broker, "");
    for slave in 1..=SLAVES {
        write!(
            text,
            "[[device]]\nname = \"slave-{slave}\"\nlocation = \"Turbine 1\"\nslave = {slave}\n\
             interval_ms = {INTERVAL_MS}\ntimeout_ms = {TIMEOUT_MS}\nlate_ms = {TIMEOUT_MS}\n\
             {link}\n\
             [[device.channel]]\nname = \"number\"\nunit = \"1\"\nregister = 0\ntype = \"u32\"\ndetect = false\n"
        )
        .unwrap();
        for register in [2, 3, 40, 41] {
            write!(
                text,
                "[[device.channel]]\nname = \"r{register}\"\nunit = \"1\"\nregister = {register}\ntype = \"u16\"\n\
                 detect = false\n"
            )
            .unwrap();
        }
    }
    text
}
