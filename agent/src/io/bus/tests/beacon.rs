//! The alarm relay: a coil that follows the alerts, however the relay behaves.

use super::{Asker, CONFIG, DEADLINE, Manner, crc16, reply, tcp_bus};
use crate::config::{BeaconOutput, Bus, Config, Framing, Link, Parity};
use crate::io::bus::{Wiring, run};
use crate::io::clock::Clock;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_serial::{SerialPort, SerialStream};

/// A relay that refuses so many writes and then takes them; gives its port and the states its coil 8 was given.
async fn relay(refusals: usize) -> (u16, mpsc::Receiver<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (states, given) = mpsc::channel(16);
    let refused = Arc::new(AtomicUsize::new(0));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (states, refused) = (states.clone(), refused.clone());
            tokio::spawn(async move {
                let mut request = [0u8; 12];
                while stream.read_exact(&mut request).await.is_ok() {
                    assert_eq!(request[6..10], [3, 5, 0, 8], "slave 3, write single coil, coil 8");
                    if refused.fetch_add(1, Ordering::SeqCst) < refusals {
                        let refusal = [request[0], request[1], 0, 0, 0, 3, 3, 0x85, 4];
                        stream.write_all(&refusal).await.unwrap();
                        continue;
                    }
                    states.send(request[10..12] == [0xff, 0]).await.unwrap();
                    stream.write_all(&request).await.unwrap();
                }
            });
        }
    });
    (port, given)
}

#[tokio::test]
async fn the_relay_is_off_at_first_follows_the_alerts_and_is_tried_again_until_it_obeys() {
    let (port, mut given) = relay(1).await;
    let mut config = Config::from_toml(CONFIG, "test.toml").unwrap();
    config.buses = vec![tcp_bus(port)];
    let (lit, is_lit) = watch::channel(false);
    let (_asks, asks) = mpsc::channel(1);
    let (inputs, _inputs) = mpsc::channel(1);
    let beacon = Some((is_lit, BeaconOutput::Coil { slave: 3, coil: 8 }));
    tokio::spawn(run(Wiring { config: Arc::new(config), index: 0, asks, inputs, beacon, clock: Clock::start() }));
    let mut next = async || timeout(DEADLINE, given.recv()).await.expect("the relay is told").unwrap();
    assert!(!next().await, "off at first, after the refusal");
    lit.send(true).unwrap();
    assert!(next().await);
    lit.send(false).unwrap();
    assert!(!next().await);
}

#[tokio::test]
async fn a_relay_that_answers_too_late_spoils_no_reading_of_its_line() {
    let (mut line, end) = SerialStream::pair().unwrap();
    let link = Link::Serial { port: end.name().unwrap().into(), baud: 115_200, parity: Parity::None, stop_bits: 1 };
    let mut config = Config::from_toml(CONFIG, "test.toml").unwrap();
    config.buses = vec![Bus::Modbus { link, framing: Framing::Rtu, gap_ms: 0 }];
    let (asked, mut was_asked) = mpsc::channel(16);
    tokio::spawn(async move {
        let mut request = [0u8; 8];
        while line.read_exact(&mut request).await.is_ok() {
            if request[1] == 5 {
                asked.send(()).await.unwrap();
                // Half a second is what it has.
                tokio::time::sleep(Duration::from_millis(600)).await;
                line.write_all(&request).await.unwrap();
                continue;
            }
            let (unit, pdu) = reply(Manner::Answer(0), request[0], &request[1..]);
            let mut frame = [&[unit], &pdu[..]].concat();
            frame.extend(crc16(&frame).to_le_bytes());
            line.write_all(&frame).await.unwrap();
        }
    });
    let (_lit, is_lit) = watch::channel(false);
    let beacon = Some((is_lit, BeaconOutput::Coil { slave: 3, coil: 8 }));
    let (asks, to_bus) = mpsc::channel(1);
    let (inputs, answers) = mpsc::channel(1);
    tokio::spawn(run(Wiring {
        config: Arc::new(config),
        index: 0,
        asks: to_bus,
        inputs,
        beacon,
        clock: Clock::start(),
    }));
    timeout(DEADLINE, was_asked.recv()).await.expect("the relay is told").unwrap();
    let mut asker = Asker { asks, answers, round: 0 };
    assert_eq!(asker.ask(70, 2).await, Ok(vec![1070, 1071]), "the line has rested until the relay was done");
    drop(end);
}
