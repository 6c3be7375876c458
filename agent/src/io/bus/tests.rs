//! The buses against slaves that are late, rude, wrong or gone. Each register holds 1000 plus its address, so that an
//! answer to another question is known for what it is.

mod beacon;

use super::Wiring;
use crate::config::{Bus, Config, Framing, Function, Link, Parity};
use crate::io::clock::Clock;
use crate::time::Mono;
use crate::watch::{Answer, Ask, Input, Query};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_serial::{SerialPort, SerialStream};
use windward_protocol::NoData;

/// No test waits longer than this for anything.
const DEADLINE: Duration = Duration::from_secs(30);
const TIMEOUT_MS: u32 = 120;
const LATE_MS: u32 = 400;
/// Any valid file: the bus is put in its place.
const CONFIG: &str = "agent = \"t\"\nfarm = \"f\"\ndata = \"/tmp/w\"\n[mqtt]\nhost = \"h\"\n[[device]]\nname = \"d\"\n\
    modbus_tcp = { host = \"h\" }\n[[device.channel]]\nname = \"c\"\nunit = \"\"\nregister = 0\ntype = \"u16\"\n";

/// How a slave takes a request for `count` registers from `start` on.
#[derive(Clone, Copy, Debug)]
pub(in crate::io) enum Manner {
    /// Answers after so many ms.
    Answer(u64),
    /// Answers with one register too few.
    Short,
    /// Refuses with this exception.
    Refuse(u8),
    /// Answers under another slave address.
    Impostor,
    /// Answers with a spoiled checksum (serial) or protocol id (TCP).
    Garble,
    /// Answers, then closes the connection.
    AnswerAndClose,
    /// Closes the connection.
    Close,
}

pub(in crate::io) type Manners = Arc<dyn Fn(u16) -> Manner + Send + Sync>;

/// The reply's unit or slave address and its PDU.
fn reply(manner: Manner, unit: u8, request: &[u8]) -> (u8, Vec<u8>) {
    let start = u16::from_be_bytes([request[1], request[2]]);
    let count = u16::from_be_bytes([request[3], request[4]]);
    if let Manner::Refuse(code) = manner {
        return (unit, vec![request[0] | 0x80, code]);
    }
    let count = if matches!(manner, Manner::Short) { count - 1 } else { count };
    let mut pdu = vec![request[0], count as u8 * 2];
    for register in start..start + count {
        pdu.extend((1000 + register).to_be_bytes());
    }
    (if matches!(manner, Manner::Impostor) { unit + 1 } else { unit }, pdu)
}

/// A Modbus TCP slave; gives its bus, and the number of connections it has taken.
pub(in crate::io) async fn tcp_slave(manners: Manners) -> (Bus, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let manners = manners.clone();
            tokio::spawn(async move {
                let mut request = [0u8; 12];
                while stream.read_exact(&mut request).await.is_ok() {
                    let manner = manners(u16::from_be_bytes([request[8], request[9]]));
                    if matches!(manner, Manner::Close) {
                        return;
                    }
                    if let Manner::Answer(delay_ms) = manner {
                        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
                    }
                    let (unit, pdu) = reply(manner, request[6], &request[7..]);
                    let protocol = u8::from(matches!(manner, Manner::Garble));
                    let mut frame = vec![request[0], request[1], 0, protocol, 0, pdu.len() as u8 + 1, unit];
                    frame.extend(pdu);
                    if stream.write_all(&frame).await.is_err() || matches!(manner, Manner::AnswerAndClose) {
                        return;
                    }
                }
            });
        }
    });
    (tcp_bus(port), connections)
}

fn tcp_bus(port: u16) -> Bus {
    let link = Link::Tcp { host: "127.0.0.1".to_owned(), port };
    Bus::Modbus { link, framing: Framing::Tcp, gap_ms: 0 }
}

/// A slave on a pseudo-terminal; gives its bus and the other end, which must be kept.
pub(in crate::io) fn serial_slave(manners: Manners) -> (Bus, SerialStream) {
    let (mut master, slave) = SerialStream::pair().unwrap();
    let port = slave.name().unwrap().into();
    let link = Link::Serial { port, baud: 115_200, parity: Parity::None, stop_bits: 1 };
    let bus = Bus::Modbus { link, framing: Framing::Rtu, gap_ms: 0 };
    tokio::spawn(async move {
        let mut request = [0u8; 8];
        while master.read_exact(&mut request).await.is_ok() {
            let manner = manners(u16::from_be_bytes([request[2], request[3]]));
            if matches!(manner, Manner::Close) {
                return;
            }
            if let Manner::Answer(delay_ms) = manner {
                tokio::time::sleep(Duration::from_millis(delay_ms)).await;
            }
            let (unit, pdu) = reply(manner, request[0], &request[1..]);
            let mut frame = vec![unit];
            frame.extend(pdu);
            let crc = crc16(&frame) ^ u16::from(matches!(manner, Manner::Garble));
            frame.extend(crc.to_le_bytes());
            if master.write_all(&frame).await.is_err() {
                return;
            }
        }
    });
    (bus, slave)
}

/// CRC-16 of Modbus over Serial Line V1.02, 6.2.2.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xffff, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xa001 } else { crc >> 1 })
    })
}

/// A running bus.
struct Asker {
    asks: mpsc::Sender<Ask>,
    answers: mpsc::Receiver<Input>,
    round: u64,
}

impl Asker {
    fn new(bus: Bus) -> Self {
        let (asks, to_bus) = mpsc::channel(1);
        let (from_bus, answers) = mpsc::channel(1);
        let mut config = Config::from_toml(CONFIG, "test.toml").unwrap();
        config.buses = vec![bus];
        let (config, clock) = (Arc::new(config), Clock::start());
        let wiring = Wiring { config, index: 0, asks: to_bus, inputs: from_bus, beacon: None, clock };
        tokio::spawn(super::run(wiring));
        Self { asks, answers, round: 0 }
    }

    async fn ask(&mut self, start: u16, count: u16) -> Result<Vec<u16>, NoData> {
        self.round += 1;
        let ask = Ask {
            bus: 0,
            device: 0,
            round: self.round,
            request: 0,
            query: Query::Registers { slave: 1, function: Function::Input, start, count },
            timeout_ms: TIMEOUT_MS,
            late_ms: LATE_MS,
        };
        self.asks.send(ask).await.unwrap();
        let answer = timeout(DEADLINE, self.answers.recv()).await.unwrap().unwrap();
        let Input::Answer { round, result, .. } = answer else { panic!("{answer:?}") };
        assert_eq!(round, self.round);
        result.map(|answer| match answer {
            Answer::Words(words) => words,
            other => panic!("{other:?}"),
        })
    }
}

/// Registers below 100 are answered at once, 500 and above late.
fn late_from_500() -> Manners {
    Arc::new(|start| Manner::Answer(if start < 500 { 0 } else { u64::from(TIMEOUT_MS) * 2 }))
}

async fn late_answers_are_nobodys(mut asker: Asker) {
    for round in 0..5 {
        assert_eq!(asker.ask(500 + round, 2).await, Err(NoData::Timeout));
        let register = 5 + round;
        let expected = vec![1000 + register, 1001 + register];
        assert_eq!(asker.ask(register, 2).await, Ok(expected), "the register's own value");
    }
}

#[tokio::test]
async fn over_tcp_a_late_answer_is_never_another_registers_value() {
    let (bus, _) = tcp_slave(late_from_500()).await;
    late_answers_are_nobodys(Asker::new(bus)).await;
}

#[tokio::test]
async fn on_a_serial_line_a_late_answer_is_never_another_registers_value() {
    let (bus, _keep) = serial_slave(late_from_500());
    late_answers_are_nobodys(Asker::new(bus)).await;
}

/// Whatever the delays, an answer is the register's value or none.
async fn any_delay_gives_the_value_or_none(mut asker: Asker) {
    let mut right = 0;
    for step in 0..24u16 {
        let register = step * 7;
        match asker.ask(register, 3).await {
            Ok(words) => {
                assert_eq!(words, [1000 + register, 1001 + register, 1002 + register]);
                right += 1;
            }
            Err(reason) => assert_eq!(reason, NoData::Timeout),
        }
    }
    assert!(right > 0, "a slave that mostly answers in time must be heard");
}

/// Delays of 0 to twice the timeout, the same at every run.
fn erratic() -> Manners {
    Arc::new(|start| Manner::Answer(u64::from(start).wrapping_mul(0x9e37_79b9) % u64::from(TIMEOUT_MS * 2)))
}

#[tokio::test]
async fn over_tcp_no_delay_mixes_up_answers() {
    let (bus, _) = tcp_slave(erratic()).await;
    any_delay_gives_the_value_or_none(Asker::new(bus)).await;
}

#[tokio::test]
async fn on_a_serial_line_no_delay_mixes_up_answers() {
    let (bus, _keep) = serial_slave(erratic());
    any_delay_gives_the_value_or_none(Asker::new(bus)).await;
}

/// Manners by address: 10 is answered with too few registers, and so on.
fn by_address() -> Manners {
    Arc::new(|start| match start {
        10 => Manner::Short,
        20 => Manner::Refuse(2),
        30 => Manner::Impostor,
        40 => Manner::Garble,
        50 => Manner::AnswerAndClose,
        60 => Manner::Close,
        _ => Manner::Answer(0),
    })
}

#[tokio::test]
async fn each_fault_over_tcp_has_its_reason_and_the_next_answer_is_right() {
    let (bus, connections) = tcp_slave(by_address()).await;
    let mut asker = Asker::new(bus);
    for (register, expected, connections_after) in [
        (20, Err(NoData::Exception(2)), 1),
        (10, Err(NoData::Protocol), 1),
        (30, Err(NoData::Protocol), 2),
        (40, Err(NoData::Checksum), 3),
        (50, Ok(vec![1050, 1051]), 4),
        // The slave has closed behind its last answer; a fresh connection brings this one.
        (70, Ok(vec![1070, 1071]), 5),
        // Closed when asked, twice.
        (60, Err(NoData::Disconnected), 6),
        (70, Ok(vec![1070, 1071]), 7),
    ] {
        assert_eq!(asker.ask(register, 2).await, expected, "register {register}");
        assert_eq!(connections.load(Ordering::SeqCst), connections_after, "register {register}");
    }
}

#[tokio::test]
async fn each_fault_on_a_serial_line_has_its_reason_and_the_next_answer_is_right() {
    let (bus, _keep) = serial_slave(by_address());
    let mut asker = Asker::new(bus);
    for (register, expected) in [(20, NoData::Exception(2)), (10, NoData::Protocol), (30, NoData::Protocol)] {
        assert_eq!(asker.ask(register, 2).await, Err(expected), "register {register}");
        assert_eq!(asker.ask(70, 2).await, Ok(vec![1070, 1071]));
    }
    // The decoder may wait for a frame that fits until the time is over.
    let garbled = asker.ask(40, 2).await;
    assert!(matches!(garbled, Err(NoData::Checksum | NoData::Timeout)), "{garbled:?}");
    assert_eq!(asker.ask(70, 2).await, Ok(vec![1070, 1071]));
}

#[tokio::test]
async fn a_port_whose_other_end_is_gone_is_disconnected_and_not_spun_on() {
    let (bus, keep) = serial_slave(by_address());
    let mut asker = Asker::new(bus);
    assert_eq!(asker.ask(70, 1).await, Ok(vec![1070]));
    let gone = asker.ask(60, 1).await;
    assert!(matches!(gone, Err(NoData::Disconnected | NoData::Timeout)), "{gone:?}");
    drop(keep);
    for _ in 0..3 {
        assert_eq!(asker.ask(70, 1).await, Err(NoData::Disconnected));
    }
}

#[tokio::test]
async fn an_endpoint_that_refuses_is_disconnected_until_it_is_back() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut asker = Asker::new(tcp_bus(address.port()));
    for _ in 0..3 {
        assert_eq!(asker.ask(0, 1).await, Err(NoData::Disconnected));
    }
    let listener = TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0u8; 12];
        while stream.read_exact(&mut request).await.is_ok() {
            let frame = [request[0], request[1], 0, 0, 0, 5, request[6], 4, 2, 0x03, 0xe8];
            stream.write_all(&frame).await.unwrap();
        }
    });
    let back = async {
        while asker.ask(0, 1).await != Ok(vec![1000]) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(DEADLINE, back).await.expect("the pause between attempts is bounded");
}

/// A slave behind a device server: RTU frames over TCP, each connection on the same line behind it, where answers that
/// were late for one come out at the next.
async fn rtu_over_tcp_slave(manners: Manners) -> Bus {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (line, _) = tokio::sync::broadcast::channel::<Vec<u8>>(16);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (mut requests, mut answers) = stream.into_split();
            let (manners, line) = (manners.clone(), line.clone());
            let mut heard = line.subscribe();
            tokio::spawn(async move {
                while let Ok(frame) = heard.recv().await {
                    if answers.write_all(&frame).await.is_err() {
                        return;
                    }
                }
            });
            tokio::spawn(async move {
                let mut request = [0u8; 8];
                while requests.read_exact(&mut request).await.is_ok() {
                    let manner = manners(u16::from_be_bytes([request[2], request[3]]));
                    let (unit, pdu) = reply(manner, request[0], &request[1..]);
                    let mut frame = [&[unit], &pdu[..]].concat();
                    frame.extend(crc16(&frame).to_le_bytes());
                    if let Manner::Answer(delay_ms) = manner {
                        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
                    }
                    line.send(frame).ok();
                }
            });
        }
    });
    let link = Link::Tcp { host: "127.0.0.1".to_owned(), port };
    Bus::Modbus { link, framing: Framing::Rtu, gap_ms: 0 }
}

#[tokio::test]
async fn behind_a_device_server_a_late_answer_is_never_another_registers_value() {
    late_answers_are_nobodys(Asker::new(rtu_over_tcp_slave(late_from_500()).await)).await;
}

#[tokio::test]
async fn behind_a_device_server_no_delay_mixes_up_answers() {
    any_delay_gives_the_value_or_none(Asker::new(rtu_over_tcp_slave(erratic()).await)).await;
}

#[tokio::test]
async fn requests_keep_the_least_silence_that_the_bus_wants() {
    let (bus, _) = tcp_slave(by_address()).await;
    let Bus::Modbus { link, framing, .. } = bus else { panic!("{bus}") };
    let mut asker = Asker::new(Bus::Modbus { link, framing, gap_ms: 150 });
    let clock = Clock::start();
    for _ in 0..4 {
        assert_eq!(asker.ask(70, 1).await, Ok(vec![1070]));
    }
    assert!(clock.now().mono >= Mono(450), "three silences between four requests");
}
