//! Buses: one task each, which asks one request after another over Modbus TCP or a serial line.
//!
//! The client library takes a late answer for the answer to the next request, and then is off by one for good. So a
//! connection on which anything but an answer or an exception happened is never used again: it is dropped; a serial
//! line then rests until the slave has surely finished talking; what the port has taken in is thrown away; and the
//! next request gets a fresh connection.

#[cfg(test)]
pub(super) mod tests;

use crate::config::{Bus, Function, Parity};
use crate::io::clock::Clock;
use crate::time::Mono;
use crate::watch::{Ask, Input};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_modbus::client::{Client, rtu, tcp};
use tokio_modbus::slave::{Slave, SlaveContext};
use tokio_modbus::{Request, Response};
use tokio_serial::{ClearBuffer, SerialPort, SerialStream};
use windward_protocol::NoData;

/// First pause after a connection could not be made; each further failure doubles it.
const FIRST_PAUSE_MS: u64 = 250;
/// Longest pause between attempts to connect.
const LONGEST_PAUSE_MS: u64 = 5_000;

/// A connection to a bus.
pub(super) type Connection = tokio_modbus::client::Context;

/// Answers each ask with exactly one input, until the asks end. Nobody waits for longer than its timeout plus the time
/// of those before it.
pub(super) async fn run(bus: Bus, mut asks: mpsc::Receiver<Ask>, answers: mpsc::Sender<Input>, clock: Clock) {
    let mut line = Line { bus, clock, connection: None, failures: 0, retry_at: Mono(0) };
    while let Some(ask) = asks.recv().await {
        let result = line.ask(&ask).await;
        let rest = line.must_rest(&result);
        let answer = Input::Answer { device: ask.device, round: ask.round, request: ask.request, result };
        if answers.send(answer).await.is_err() {
            return;
        }
        if rest {
            tokio::time::sleep(Duration::from_millis(ask.late_ms.into())).await;
        }
    }
}

/// Connects to a bus.
pub(super) async fn connect(bus: &Bus) -> io::Result<Connection> {
    match bus {
        Bus::Tcp { host, port } => {
            let stream = TcpStream::connect((host.as_str(), *port)).await?;
            stream.set_nodelay(true)?;
            Ok(tcp::attach(stream))
        }
        Bus::Serial { port, baud, parity, stop_bits } => {
            let path = port.to_string_lossy();
            let builder = tokio_serial::new(path.as_ref(), *baud)
                .parity(match parity {
                    Parity::Even => tokio_serial::Parity::Even,
                    Parity::Odd => tokio_serial::Parity::Odd,
                    Parity::None => tokio_serial::Parity::None,
                })
                .stop_bits(match stop_bits {
                    2 => tokio_serial::StopBits::Two,
                    _ => tokio_serial::StopBits::One,
                });
            let port = SerialStream::open(&builder).map_err(io::Error::from)?;
            port.clear(ClearBuffer::Input).map_err(io::Error::from)?;
            Ok(rtu::attach(CleanPort(port)))
        }
    }
}

/// Asks once on an open connection. After any error but [`NoData::Exception`] the connection must not be used again.
pub(super) async fn ask_once(connection: &mut Connection, ask: &Ask) -> Result<Vec<u16>, NoData> {
    connection.set_slave(Slave(ask.slave));
    let request = match ask.function {
        Function::Input => Request::ReadInputRegisters(ask.start, ask.count),
        Function::Holding => Request::ReadHoldingRegisters(ask.start, ask.count),
    };
    // `call` rather than the library's readers: they check the count in debug builds only, by a panic.
    let answer = timeout(Duration::from_millis(ask.timeout_ms.into()), connection.call(request)).await;
    match answer {
        Err(_elapsed) => Err(NoData::Timeout),
        Ok(Err(tokio_modbus::Error::Protocol(_))) => Err(NoData::Protocol),
        // The decoder gives up a frame with this kind: its checksum never fitted.
        Ok(Err(tokio_modbus::Error::Transport(error))) if error.kind() == io::ErrorKind::InvalidData => {
            Err(NoData::Checksum)
        }
        // Zero bytes, "end of file", is among these: a port whose adapter was pulled reads nothing for ever.
        Ok(Err(tokio_modbus::Error::Transport(_))) => Err(NoData::Disconnected),
        Ok(Ok(Err(exception))) => Err(NoData::Exception(exception.into())),
        Ok(Ok(Ok(Response::ReadInputRegisters(words) | Response::ReadHoldingRegisters(words))))
            if words.len() == usize::from(ask.count) =>
        {
            Ok(words)
        }
        Ok(Ok(Ok(_))) => Err(NoData::Protocol),
    }
}

/// A bus with its connection.
struct Line {
    bus: Bus,
    clock: Clock,
    connection: Option<Connection>,
    /// Attempts to connect that failed in a row.
    failures: u32,
    /// Before this there is no further attempt.
    retry_at: Mono,
}

impl Line {
    async fn ask(&mut self, ask: &Ask) -> Result<Vec<u16>, NoData> {
        let reused = self.connection.is_some();
        let result = self.try_ask(ask).await;
        // Many devices close a connection that was quiet for a while; that is found out only by asking. Once.
        if reused && result == Err(NoData::Disconnected) {
            return self.try_ask(ask).await;
        }
        result
    }

    async fn try_ask(&mut self, ask: &Ask) -> Result<Vec<u16>, NoData> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.reconnect(ask.timeout_ms).await.ok_or(NoData::Disconnected)?,
        };
        tokio::time::sleep(self.silence()).await;
        let result = ask_once(&mut connection, ask).await;
        if matches!(result, Ok(_) | Err(NoData::Exception(_))) {
            self.connection = Some(connection);
        } else {
            tracing::debug!(bus = %self.bus, slave = ask.slave, register = ask.start, ?result, "connection dropped");
        }
        result
    }

    async fn reconnect(&mut self, timeout_ms: u32) -> Option<Connection> {
        if self.clock.now().mono < self.retry_at {
            return None;
        }
        let error = match timeout(Duration::from_millis(timeout_ms.into()), connect(&self.bus)).await {
            Ok(Ok(connection)) => {
                if self.failures > 0 {
                    tracing::info!(bus = %self.bus, attempts = self.failures + 1, "connected again");
                }
                self.failures = 0;
                return Some(connection);
            }
            Ok(Err(error)) => error,
            Err(_elapsed) => io::ErrorKind::TimedOut.into(),
        };
        // Told when it begins; an endpoint that is away for a week is not worth a line every five seconds.
        if self.failures == 0 {
            tracing::warn!(bus = %self.bus, %error, "cannot connect; trying again and again");
        }
        let pause = FIRST_PAUSE_MS << self.failures.min(10);
        self.failures = self.failures.saturating_add(1);
        self.retry_at = self.clock.now().mono + pause.min(LONGEST_PAUSE_MS);
        None
    }

    /// Whether a slave may still be talking on a line that the next request would share with it.
    fn must_rest(&self, result: &Result<Vec<u16>, NoData>) -> bool {
        let garbled = matches!(result, Err(NoData::Timeout | NoData::Checksum | NoData::Protocol));
        garbled && matches!(self.bus, Bus::Serial { .. })
    }

    /// The silence before each frame on a serial line: 3.5 characters of 11 bits, 1.75 ms above 19,200 baud
    /// (Modbus over Serial Line V1.02, 2.5.1.1).
    fn silence(&self) -> Duration {
        match self.bus {
            Bus::Tcp { .. } => Duration::ZERO,
            Bus::Serial { baud, .. } if baud > 19_200 => Duration::from_micros(1_750),
            Bus::Serial { baud, .. } => Duration::from_micros(38_500_000 / u64::from(baud.max(1))),
        }
    }
}

/// A serial port that throws away what it has taken in before each request: nobody asked for it. And it does not wait
/// for bytes to leave the port, for that wait would hold up the thread, and with it other sensors (invariant A7).
#[derive(Debug)]
struct CleanPort(SerialStream);

impl AsyncRead for CleanPort {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for CleanPort {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.clear(ClearBuffer::Input).map_err(io::Error::from)?;
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
