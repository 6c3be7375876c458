//! Talkers on a pseudo-terminal and behind a device server.

use crate::config::{Bus, Config, Link};
use crate::io::bus::{Wiring, run};
use crate::io::clock::Clock;
use crate::watch::{Answer, Ask, Input, Query};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_serial::{SerialPort as _, SerialStream};
use windward_protocol::NoData;

/// No test waits longer than this for anything.
const DEADLINE: Duration = Duration::from_secs(30);
const SENTENCE: &str = "$WIMWV,214.8,R,8.5,M,A*3C";

/// A running bus of sentences.
struct Ear {
    asks: mpsc::Sender<Ask>,
    inputs: mpsc::Receiver<Input>,
}

impl Ear {
    fn new(link: Link, poll: bool) -> Self {
        let keys = if poll { "poll = \"?\\r\\n\"\n" } else { "" };
        let text = format!(
            "agent = \"t\"\nfarm = \"f\"\ndata = \"/tmp/w\"\n[mqtt]\nhost = \"h\"\n[[device]]\nname = \"d\"\n\
             serial = {{ port = \"p\" }}\nformat = \"nmea\"\n{keys}timeout_ms = 100\n\
             [[device.channel]]\nname = \"c\"\nunit = \"\"\nfield = \"MWV.speed\"\n"
        );
        let mut config = Config::from_toml(&text, "test.toml").unwrap();
        let Bus::Sentences { link: of_file, .. } = &mut config.buses[0] else { panic!("a line of sentences") };
        *of_file = link;
        let (asks, to_bus) = mpsc::channel(1);
        let (from_bus, inputs) = mpsc::channel(16);
        let (config, clock) = (Arc::new(config), Clock::start());
        tokio::spawn(run(Wiring { config, index: 0, asks: to_bus, inputs: from_bus, beacon: None, clock }));
        Self { asks, inputs }
    }

    async fn next(&mut self) -> Input {
        timeout(DEADLINE, self.inputs.recv()).await.expect("in time").expect("the bus runs")
    }

    /// The next line that is heard, and whether the line was lost before it.
    async fn line(&mut self) -> (String, bool) {
        let mut lost = false;
        loop {
            match self.next().await {
                Input::Line { bus: 0, line } => return (String::from_utf8(line).unwrap(), lost),
                Input::Listening { bus: 0, open } => lost |= !open,
                other => panic!("{other:?}"),
            }
        }
    }

    async fn poll(&mut self) -> Result<String, NoData> {
        let query = Query::Poll(b"?\r\n".to_vec());
        let ask = Ask { bus: 0, device: 0, round: 1, request: 0, query, timeout_ms: 100, late_ms: 300 };
        self.asks.send(ask).await.unwrap();
        match self.next().await {
            Input::Answer { result: Ok(Answer::Line(line)), .. } => Ok(String::from_utf8(line).unwrap()),
            Input::Answer { result: Err(reason), .. } => Err(reason),
            other => panic!("{other:?}"),
        }
    }
}

fn pty() -> (Link, SerialStream, SerialStream) {
    let (talker, end) = SerialStream::pair().unwrap();
    let parity = crate::config::Parity::None;
    let link = Link::Serial { port: end.name().unwrap().into(), baud: 4_800, parity, stop_bits: 1 };
    (link, talker, end)
}

#[tokio::test]
async fn lines_are_heard_as_they_come_and_noise_costs_no_other() {
    let (link, mut talker, _end) = pty();
    let mut ear = Ear::new(link, false);
    assert_eq!(ear.next().await, Input::Listening { bus: 0, open: true });
    talker.write_all(format!("\u{1}\u{2}{SENTENCE}\r\n").as_bytes()).await.unwrap();
    assert_eq!(ear.line().await.0, SENTENCE);
    let (head, tail) = SENTENCE.split_at(9);
    talker.write_all(head.as_bytes()).await.unwrap();
    talker.write_all(format!("{tail}\r\n").as_bytes()).await.unwrap();
    assert_eq!(ear.line().await.0, SENTENCE);
}

#[tokio::test]
async fn a_line_that_is_lost_is_said_and_heard_again_when_it_is_back() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut ear = Ear::new(Link::Tcp { host: "127.0.0.1".into(), port }, false);
    let (mut talker, _) = listener.accept().await.unwrap();
    talker.write_all(format!("{SENTENCE}\r\n").as_bytes()).await.unwrap();
    assert_eq!(ear.line().await, (SENTENCE.into(), false));
    drop(talker);
    assert_eq!(ear.next().await, Input::Listening { bus: 0, open: false });
    let (mut talker, _) = timeout(DEADLINE, listener.accept()).await.unwrap().unwrap();
    talker.write_all(format!("{SENTENCE}\r\n").as_bytes()).await.unwrap();
    assert_eq!(ear.line().await, (SENTENCE.into(), false));
}

#[tokio::test]
async fn a_device_server_that_says_nothing_for_long_is_connected_to_anew() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut ear = Ear::new(Link::Tcp { host: "127.0.0.1".into(), port }, false);
    let (silent, _) = listener.accept().await.unwrap();
    let (mut talker, _) = timeout(DEADLINE, listener.accept()).await.expect("given up after a while").unwrap();
    drop(silent);
    talker.write_all(format!("{SENTENCE}\r\n").as_bytes()).await.unwrap();
    assert_eq!(ear.line().await, (SENTENCE.into(), true));
}

#[tokio::test]
async fn a_port_that_is_gone_is_said_and_asks_are_refused() {
    let port = "/dev/no-such-port".into();
    let link = Link::Serial { port, baud: 4_800, parity: crate::config::Parity::None, stop_bits: 1 };
    let mut ear = Ear::new(link, true);
    assert_eq!(ear.poll().await, Err(NoData::Disconnected));
    assert_eq!(ear.poll().await, Err(NoData::Disconnected));
}

#[tokio::test]
async fn a_poll_gets_its_answer_past_its_own_echo_and_a_late_one_is_nobodys() {
    let (link, mut talker, _end) = pty();
    let mut ear = Ear::new(link, true);
    // Echo and answer at once; no answer in time, but after; then prompt again.
    tokio::spawn(async move {
        for round in 0..3 {
            let mut poll = [0; 3];
            talker.read_exact(&mut poll).await.unwrap();
            if round == 1 {
                tokio::time::sleep(Duration::from_millis(200)).await;
                talker.write_all(b"$LATE\r\n").await.unwrap();
                continue;
            }
            talker.write_all(format!("?\r\n{SENTENCE}\r\n").as_bytes()).await.unwrap();
        }
        // Held open until the test is over.
        std::future::pending::<()>().await;
    });
    assert_eq!(ear.poll().await, Ok(SENTENCE.into()));
    assert_eq!(ear.poll().await, Err(NoData::Timeout));
    assert_eq!(ear.poll().await, Ok(SENTENCE.into()));
}
