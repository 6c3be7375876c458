//! A bus with Modbus slaves on it, asked one request after another.
//!
//! The client library takes a late answer for the answer to the next request, and then is off by one for good. So a
//! connection on which anything but an answer or an exception happened is never used again. A line that slaves share
//! then rests until the slave has surely finished talking, and only then is the connection closed: a device server
//! would keep what the line still says, and give it to the next one. What has come in is thrown away, and the next
//! request gets a fresh connection.

use super::backoff::Backoff;
use super::port::{CleanPort, Port};
use super::{BeaconTimer, Wiring};
use crate::config::{BeaconOutput, Bus, Framing, Function, Link};
use crate::time::Mono;
use crate::watch::{Answer, Ask, Query};
use std::io;
use std::time::Duration;
use tokio::time::timeout;
use tokio_modbus::client::{Client, rtu, tcp};
use tokio_modbus::slave::{Slave, SlaveContext};
use tokio_modbus::{Request, Response};
use windward_protocol::NoData;

/// How long a relay has to confirm a coil, ms, and may still be talking after that.
const COIL_TIMEOUT_MS: u32 = 500;

/// A connection to a bus.
pub(in crate::io) type Connection = tokio_modbus::client::Context;

pub(super) async fn run(mut wiring: Wiring) {
    let bus = wiring.bus().clone();
    let Bus::Modbus { link, framing, gap_ms } = &bus else { return };
    let backoff = Backoff::new(wiring.clock);
    let mut line = Line { bus: &bus, link, framing: *framing, connection: None, spent: None, backoff };
    let beacon = match wiring.beacon.take() {
        Some((wanted, BeaconOutput::Coil { slave, coil })) => Some((wanted, slave, coil)),
        _ => None,
    };
    let (slave, coil) = beacon.as_ref().map_or((0, 0), |(_, slave, coil)| (*slave, *coil));
    let mut timer = BeaconTimer::new(beacon.map(|(wanted, _, _)| wanted), wiring.clock);
    let mut free_at = Mono(0);
    loop {
        // The alarm first (invariant A7).
        tokio::select! {
            biased;
            on = timer.due() => {
                wiring.clock.sleep_until(free_at).await;
                let result = line.write_coil(slave, coil, on).await;
                timer.set(&bus, on, result);
            }
            ask = wiring.asks.recv() => {
                let Some(ask) = ask else { return };
                wiring.clock.sleep_until(free_at).await;
                let result = line.ask(&ask).await;
                let rest = line.must_rest(result.as_ref().err());
                if !wiring.answer(&ask, result).await {
                    return;
                }
                if rest {
                    line.rest(ask.late_ms).await;
                }
            }
        }
        if *gap_ms > 0 {
            free_at = wiring.clock.now().mono + u64::from(*gap_ms);
        }
    }
}

/// The client on an open line.
pub(in crate::io) fn attach(port: Port, framing: Framing) -> Connection {
    match framing {
        Framing::Tcp => tcp::attach(port),
        Framing::Rtu => rtu::attach(CleanPort::new(port)),
    }
}

/// Asks once on an open connection, for registers only. After any error but [`NoData::Exception`] the connection must
/// not be used again.
pub(in crate::io) async fn ask_once(connection: &mut Connection, ask: &Ask) -> Result<Vec<u16>, NoData> {
    let Query::Registers { slave, function, start, count } = ask.query else { return Err(NoData::Protocol) };
    let request = match function {
        Function::Coil => Request::ReadCoils(start, count),
        Function::Discrete => Request::ReadDiscreteInputs(start, count),
        Function::Holding => Request::ReadHoldingRegisters(start, count),
        Function::Input => Request::ReadInputRegisters(start, count),
    };
    let count = usize::from(count);
    // `call` rather than the library's readers: they check the count in debug builds only, by a panic. The codec does
    // match the answer's function to the request's.
    match call(connection, slave, request, ask.timeout_ms).await? {
        Response::ReadInputRegisters(words) | Response::ReadHoldingRegisters(words) if words.len() == count => {
            Ok(words)
        }
        // Coils come in bytes; the bits that fill the last one are nobody's.
        Response::ReadCoils(coils) | Response::ReadDiscreteInputs(coils)
            if coils.len() == count.next_multiple_of(8) || coils.len() == count =>
        {
            Ok(coils[..count].iter().map(|coil| u16::from(*coil)).collect())
        }
        _ => Err(NoData::Protocol),
    }
}

/// One request and its answer.
pub(in crate::io) async fn call(
    connection: &mut Connection,
    slave: u8,
    request: Request<'_>,
    timeout_ms: u32,
) -> Result<Response, NoData> {
    connection.set_slave(Slave(slave));
    match timeout(Duration::from_millis(timeout_ms.into()), connection.call(request)).await {
        Err(_elapsed) => Err(NoData::Timeout),
        Ok(Err(tokio_modbus::Error::Protocol(_))) => Err(NoData::Protocol),
        // The decoder gives up a frame with this kind: its checksum never fitted.
        Ok(Err(tokio_modbus::Error::Transport(error))) if error.kind() == io::ErrorKind::InvalidData => {
            Err(NoData::Checksum)
        }
        // Zero bytes, "end of file", is among these: a port whose adapter was pulled reads nothing for ever.
        Ok(Err(tokio_modbus::Error::Transport(_))) => Err(NoData::Disconnected),
        Ok(Ok(Err(exception))) => Err(NoData::Exception(exception.into())),
        Ok(Ok(Ok(response))) => Ok(response),
    }
}

/// The silence before each frame on a serial line: 3.5 characters of 11 bits, 1.75 ms above 19,200 baud
/// (Modbus over Serial Line V1.02, 2.5.1.1).
pub(in crate::io) fn silence(link: &Link) -> Duration {
    match link {
        Link::Tcp { .. } => Duration::ZERO,
        Link::Serial { baud, .. } if *baud > 19_200 => Duration::from_micros(1_750),
        Link::Serial { baud, .. } => Duration::from_micros(38_500_000 / u64::from(*baud.max(&1))),
    }
}

/// A bus with its connection.
struct Line<'a> {
    bus: &'a Bus,
    link: &'a Link,
    framing: Framing,
    connection: Option<Connection>,
    /// A connection that must not be used again, open until the line has rested.
    spent: Option<Connection>,
    backoff: Backoff,
}

impl Line<'_> {
    async fn ask(&mut self, ask: &Ask) -> Result<Answer, NoData> {
        let reused = self.connection.is_some();
        let result = self.try_ask(ask).await;
        // Many devices close a connection that was quiet for a while; that is found out only by asking. Once.
        if reused && result == Err(NoData::Disconnected) {
            return self.try_ask(ask).await.map(Answer::Words);
        }
        result.map(Answer::Words)
    }

    async fn try_ask(&mut self, ask: &Ask) -> Result<Vec<u16>, NoData> {
        let mut connection = self.connect(ask.timeout_ms).await?;
        let result = ask_once(&mut connection, ask).await;
        self.keep(connection, result.as_ref().err());
        if let Err(reason) = result {
            tracing::debug!(bus = %self.bus, query = ?ask.query, %reason, "no answer");
        }
        result
    }

    /// Sets a coil. The answer repeats the request, so one that differs is none.
    async fn write_coil(&mut self, slave: u8, coil: u16, on: bool) -> Result<(), NoData> {
        let mut connection = self.connect(COIL_TIMEOUT_MS).await?;
        let result = call(&mut connection, slave, Request::WriteSingleCoil(coil, on), COIL_TIMEOUT_MS).await;
        let result = result.and_then(|response| match response {
            Response::WriteSingleCoil(address, state) if (address, state) == (coil, on) => Ok(()),
            _ => Err(NoData::Protocol),
        });
        self.keep(connection, result.as_ref().err());
        if self.must_rest(result.as_ref().err()) {
            self.rest(COIL_TIMEOUT_MS).await;
        }
        result
    }

    /// Lets the line rest until nobody talks on it any more.
    async fn rest(&mut self, late_ms: u32) {
        tokio::time::sleep(Duration::from_millis(late_ms.into())).await;
        self.spent = None;
    }

    /// The connection, a fresh one if need be, after the silence that its line wants.
    async fn connect(&mut self, within_ms: u32) -> Result<Connection, NoData> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let port = self.backoff.open(self.bus, self.link, within_ms).await;
                attach(port.ok_or(NoData::Disconnected)?, self.framing)
            }
        };
        let silence = silence(self.link);
        if !silence.is_zero() {
            tokio::time::sleep(silence).await;
        }
        Ok(connection)
    }

    /// Keeps the connection for the next request, unless something was wrong with it.
    fn keep(&mut self, connection: Connection, failure: Option<&NoData>) {
        if matches!(failure, None | Some(NoData::Exception(_))) {
            self.connection = Some(connection);
        } else if self.must_rest(failure) {
            self.spent = Some(connection);
        }
    }

    /// Whether a slave may still be talking on a line that the next request would share with it. A fresh Modbus TCP
    /// connection is nobody else's; behind a device server the line is the same.
    fn must_rest(&self, failure: Option<&NoData>) -> bool {
        let garbled = matches!(failure, Some(NoData::Timeout | NoData::Checksum | NoData::Protocol));
        garbled && self.framing == Framing::Rtu
    }
}
