//! The probe against devices it knows nothing of: slaves on pseudo-terminals that only understand their own rate, units
//! behind an address, sensors that speak by themselves.

#![allow(clippy::unwrap_used, reason = "tests stop at the first thing that is not as it should be")]

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};
use tokio_serial::{SerialPort, SerialStream};
use windward_agent::config::{Config, Function, How, Kind, Link, Order, Parity, Source};
use windward_agent::io::probe::{Serial, Tcp, serial, show, tcp};
use windward_agent::probe::config_of;

/// No test waits longer than this for anything.
const DEADLINE: Duration = Duration::from_secs(90);

/// A wind that moves from call to call.
fn wind() -> f32 {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    8.0 + 2.0 * (CALLS.fetch_add(1, Ordering::SeqCst) as f32 * 0.31).sin()
}

/// What a slave answers to a PDU.
type Answer = fn(&[u8]) -> Vec<u8>;

/// Requests that a probe must never send: writes, and registers that some known device resets when they are read.
static HARMFUL: AtomicU32 = AtomicU32::new(0);

fn look_at(pdu: &[u8]) {
    let harmful = match pdu {
        [4, high, low, many, count] => {
            let start = u32::from(u16::from_be_bytes([*high, *low]));
            let registers = start..start + u32::from(u16::from_be_bytes([*many, *count]));
            registers.contains(&30_002) || registers.contains(&30_202)
        }
        [1..=3 | 0x2b, ..] => false,
        _ => true,
    };
    HARMFUL.fetch_add(u32::from(harmful), Ordering::SeqCst);
}

fn exception(pdu: &[u8], code: u8) -> Vec<u8> {
    vec![pdu[0] | 0x80, code]
}

/// Answers a request for registers from a table; anything else is refused.
fn from_table(pdu: &[u8], function: u8, table: &BTreeMap<u16, u16>) -> Vec<u8> {
    if pdu[0] != function {
        return exception(pdu, 1);
    }
    let (start, count) = (u16::from_be_bytes([pdu[1], pdu[2]]), u16::from_be_bytes([pdu[3], pdu[4]]));
    let words: Option<Vec<u16>> = (start..start.saturating_add(count)).map(|at| table.get(&at).copied()).collect();
    match words {
        Some(words) => {
            [vec![function, 2 * count as u8], words.iter().flat_map(|word| word.to_be_bytes()).collect()].concat()
        }
        None => exception(pdu, 2),
    }
}

/// Input registers 0 to 39, with the wind as a float at 20, least significant word first.
fn float_device(pdu: &[u8]) -> Vec<u8> {
    let mut table: BTreeMap<u16, u16> = (0..40).map(|at| (at, 0)).collect();
    let bits = wind().to_bits();
    table.extend([(20, bits as u16), (21, (bits >> 16) as u16)]);
    from_table(pdu, 4, &table)
}

/// Two holding registers: the wind in tenths, and a setting.
fn tenths_device(pdu: &[u8]) -> Vec<u8> {
    from_table(pdu, 3, &BTreeMap::from([(0, (wind() * 10.0) as u16), (1, 0)]))
}

/// A one-phase inverter whose common model is one register shorter than the profile expects.
fn sunspec_device(pdu: &[u8]) -> Vec<u8> {
    let mut table: BTreeMap<u16, u16> = (40_000..40_130).map(|at| (at, 0)).collect();
    table.extend([(40_000, 0x5375), (40_001, 0x6e53), (40_002, 1), (40_003, 65)]);
    table.extend([(40_004, 0x4163), (40_005, 0x6d65)]);
    table.extend([(40_069, 101), (40_070, 50), (40_083, 4_200), (40_084, (-1i16) as u16), (40_121, 0xffff)]);
    from_table(pdu, 3, &table)
}

fn refusing_device(pdu: &[u8]) -> Vec<u8> {
    exception(pdu, 1)
}

/// A slave on a pseudo-terminal that understands its own rate only: at another, what it says is garbled. Gives the
/// other end, which must be kept.
fn slave(id: u8, baud: u32, delay: Duration, answer: Answer) -> SerialStream {
    let (mut master, other) = SerialStream::pair().unwrap();
    tokio::spawn(async move {
        let mut request = [0; 256];
        while let Ok(count) = master.read(&mut request).await {
            let [of, pdu @ .., _, _] = &request[..count] else { continue };
            if *of != id || pdu.len() < 4 {
                continue;
            }
            look_at(pdu);
            sleep(delay).await;
            let frame = [&[id], &answer(pdu)[..]].concat();
            let frame = [&frame[..], &crc16(&frame).to_le_bytes()].concat();
            let at_its_rate = master.baud_rate().unwrap() == baud;
            if master.write_all(if at_its_rate { &frame } else { &[0xf8, 0x00, 0xe0] }).await.is_err() {
                return;
            }
        }
    });
    other
}

/// CRC-16 of Modbus over Serial Line V1.02, 6.2.2.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xffff, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xa001 } else { crc >> 1 })
    })
}

/// Units behind one address; a gateway says of all others that they do not answer. Gives the port.
async fn units(units: &'static [(u8, Answer)]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = [0; 7];
                while stream.read_exact(&mut head).await.is_ok() {
                    let mut pdu = vec![0; usize::from(u16::from_be_bytes([head[4], head[5]])) - 1];
                    stream.read_exact(&mut pdu).await.unwrap();
                    look_at(&pdu);
                    let unit = units.iter().find(|(unit, _)| *unit == head[6]);
                    let answer = unit.map_or_else(|| exception(&pdu, 11), |(_, answer)| answer(&pdu));
                    let length = (answer.len() as u16 + 1).to_be_bytes();
                    let frame = [&head[..4], &length, &[head[6]], &answer].concat();
                    stream.write_all(&frame).await.unwrap();
                }
            });
        }
    });
    port
}

fn wanted(port: &SerialStream, bauds: &[u32]) -> Serial {
    let port = port.name().unwrap().into();
    Serial { port, bauds: bauds.to_vec(), parities: vec![Parity::None], ..Serial::default() }
}

async fn probed(wanted: Serial) -> (Vec<String>, String) {
    let mut out = Vec::new();
    let tables = timeout(DEADLINE, serial(&wanted, &mut out)).await.expect("in time").unwrap();
    (tables, String::from_utf8(out).unwrap())
}

fn config(tables: &[String]) -> Config {
    config_of(&tables.join("\n")).unwrap_or_else(|error| panic!("{error}\n{tables:?}"))
}

#[tokio::test]
async fn an_unlabelled_slave_is_found_with_its_rate_its_address_and_the_order_of_its_float() {
    let port = slave(11, 19_200, Duration::ZERO, float_device);
    let (tables, said) = probed(wanted(&port, &[9_600, 19_200])).await;
    let config = config(&tables);
    let windward_agent::config::Bus::Modbus { link: Link::Serial { baud, .. }, .. } = &config.buses[0] else {
        panic!("{said}")
    };
    let device = &config.devices[0];
    assert_eq!(*baud, 19_200, "{said}");
    assert!(matches!(device.how, How::Modbus { slave: 11, .. }), "{said}");
    let Source::Register(register) = &device.channels[0].source else { panic!("{said}") };
    let found = (register.function, register.start, register.kind, register.order);
    assert_eq!(found, (Function::Input, 20, Kind::F32, Order::Cdab), "{said}");
    assert!(said.contains("as a wind speed may") && said.contains("How sure: "), "{said}");
    assert_eq!(HARMFUL.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_slow_slave_is_known_by_its_late_answer_and_silence_is_explained() {
    let port = slave(3, 19_200, Duration::from_millis(90), refusing_device);
    let (tables, said) =
        probed(Serial { slaves: vec![2, 3, 4, 5], timeout_ms: Some(60), ..wanted(&port, &[19_200]) }).await;
    assert!(said.contains("slave 3 (slow)"), "{said}");
    assert_eq!(tables, Vec::<String>::new(), "it refuses everything");
    let (tables, said) = probed(Serial { slaves: vec![4, 5], timeout_ms: Some(60), ..wanted(&port, &[19_200]) }).await;
    assert!(tables.is_empty() && said.contains("Nothing answered") && said.contains("--slaves 1-247"), "{said}");
}

#[tokio::test]
async fn a_device_at_another_rate_is_heard_if_not_understood() {
    let port = slave(3, 19_200, Duration::ZERO, refusing_device);
    let (tables, said) = probed(Serial { slaves: vec![3], timeout_ms: Some(50), ..wanted(&port, &[9_600]) }).await;
    assert!(tables.is_empty() && said.contains("something was heard at 9600 8N1"), "{said}");
}

#[tokio::test]
async fn a_sensor_that_speaks_by_itself_is_known_by_its_sentences() {
    let (mut master, port) = SerialStream::pair().unwrap();
    tokio::spawn(async move {
        loop {
            let line: &[u8] = match master.baud_rate().unwrap() {
                9_600 => b"\x02Q,229,002.74,M,00,\x0316\r\n",
                _ => b"\xe0\x1c\xfe",
            };
            if master.write_all(line).await.is_err() {
                return;
            }
            sleep(Duration::from_millis(250)).await;
        }
    });
    let (tables, said) = probed(wanted(&port, &[4_800, 9_600])).await;
    assert!(said.contains("Q,229,002.74,M,00,"), "{said}");
    assert_eq!(config(&tables).devices[0].profile.as_deref(), Some("gill-windsonic"), "{said}");
}

#[tokio::test]
async fn units_behind_an_address_are_told_apart_and_an_inverter_is_read_where_its_map_has_it() {
    let port = units(&[(1, sunspec_device), (5, tenths_device)]).await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let mut out = Vec::new();
    let hosts = vec!["127.0.0.1".to_owned()];
    let wanted = Tcp { hosts: hosts.clone(), port, ..Tcp::default() };
    let tables = timeout(DEADLINE, tcp(&wanted, &mut out)).await.expect("in time").unwrap();
    let said = String::from_utf8(out).unwrap();
    assert!(said.contains("unit 1, 5") && said.contains("40069: model 101, 50 registers"), "{said}");
    assert!(said.contains("maker: Acme"), "{said}");
    let config = config(&tables);
    let [inverter, sensor] = &config.devices[..] else { panic!("{said}") };
    assert_eq!(inverter.profile.as_deref(), Some("sunspec-inverter"));
    let power = inverter.channels.iter().find(|channel| channel.channel.name == "power").unwrap();
    let Source::Register(register) = &power.source else { panic!("{said}") };
    assert_eq!((register.start, register.exponent), (40_083, Some(40_084)));
    let Source::Register(register) = &sensor.channels[0].source else { panic!("{said}") };
    assert_eq!((register.function, register.start, register.kind), (Function::Holding, 0, Kind::U16), "{said}");

    assert_eq!(HARMFUL.load(Ordering::SeqCst), 0);

    let mut live = Vec::new();
    timeout(DEADLINE, show(config, Some(3), false, &mut live)).await.expect("in time").unwrap();
    let live = String::from_utf8(live).unwrap();
    assert!(live.lines().any(|line| line.contains("power") && line.contains("420") && line.contains("good")), "{live}");

    let mut out = Vec::new();
    let refused = Tcp { hosts, port: closed, ..Tcp::default() };
    assert!(timeout(DEADLINE, tcp(&refused, &mut out)).await.expect("in time").unwrap().is_empty());
    assert_eq!(String::from_utf8(out).unwrap().matches("refused").count(), 1);
}

#[test]
fn profiles_are_listed_and_explained_and_a_wrong_name_gets_a_suggestion() {
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_windward-agent")).args(arguments).output().unwrap();
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        (output.status.success(), text)
    };
    let (well, [list, _]) = run(&["profiles"]);
    assert!(well && list.lines().any(|line| line.starts_with("gill-windsonic ")), "{list}");
    let (well, [text, _]) = run(&["profiles", "gill-windsonic"]);
    assert!(well && text.contains("Serial line: 9600 baud"), "{text}");
    let (well, [_, text]) = run(&["profiles", "gil-windsonic"]);
    assert!(!well && text.contains("did you mean \"gill-windsonic\"?"), "{text}");
    for wrong in [&["probe", "serial", "/dev/none", "--slaves", "5-1"][..], &["probe", "--watch"]] {
        let (well, [_, text]) = run(wrong);
        assert!(!well && !text.is_empty(), "{wrong:?}");
    }
}
