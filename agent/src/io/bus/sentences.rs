//! A line on which devices send lines of text, by themselves or when they are polled.

#[cfg(test)]
mod tests;

use super::Wiring;
use super::backoff::Backoff;
use super::port::Port;
use crate::config::{Bus, How, Link};
use crate::watch::sentence::{self, Fault, Format, Framer};
use crate::watch::{Answer, Ask, Input, Query};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use windward_protocol::NoData;

/// How long opening may take, ms.
const OPEN_WITHIN_MS: u32 = 5_000;
/// A TCP connection on which nothing came for so many times the longest silence a device may keep is given up: when a
/// device server loses its power, nobody tells this end.
const IDLE_TIMES: u32 = 3;
/// Bytes taken at a time.
const CHUNK: usize = 256;

pub(super) async fn run(mut wiring: Wiring) {
    let bus = wiring.bus().clone();
    let Bus::Sentences { link, format } = &bus else { return };
    let mut backoff = Backoff::new(wiring.clock);
    let (idle, listens) = (longest_silence(&wiring, link), listens(&wiring));
    let mut line = Line { idle, listens, format: *format, framer: Framer::new(*format) };
    let mut told_down = false;
    loop {
        let Some(mut port) = backoff.open(&bus, link, OPEN_WITHIN_MS).await else {
            if !told_down && !line.listening(&wiring, false).await {
                return;
            }
            told_down = true;
            if !refuse_until(&mut wiring, &backoff).await {
                return;
            }
            continue;
        };
        line.framer = Framer::new(line.format);
        if !line.listening(&wiring, true).await {
            return;
        }
        match line.serve(&mut port, &mut wiring).await {
            Ok(()) => return,
            // The next attempt to open says more, or succeeds at once.
            Err(error) => {
                tracing::info!(%bus, %error, "line lost");
                if !line.listening(&wiring, false).await {
                    return;
                }
                told_down = true;
                backoff.failed::<()>(&bus, &error);
            }
        }
    }
}

/// Answers asks until it is time to open the line again; `false` when the asks have ended.
async fn refuse_until(wiring: &mut Wiring, backoff: &Backoff) -> bool {
    loop {
        tokio::select! {
            () = tokio::time::sleep(wiring.clock.until(backoff.retry_at)) => return true,
            ask = wiring.asks.recv() => match ask {
                Some(ask) => {
                    if !wiring.answer(&ask, Err(NoData::Disconnected)).await {
                        return false;
                    }
                }
                None => return false,
            },
        }
    }
}

/// Whether any device of the bus speaks by itself.
fn listens(wiring: &Wiring) -> bool {
    wiring.config.devices.iter().any(|device| device.bus == wiring.index && !device.is_asked())
}

/// How long a connection may be silent before it is given up, where silence says something.
fn longest_silence(wiring: &Wiring, link: &Link) -> Option<Duration> {
    let speaks = |how: &How| matches!(how, How::Sentences { poll: None, .. });
    let devices = wiring.config.devices.iter().filter(|device| device.bus == wiring.index && speaks(&device.how));
    let longest = devices.map(|device| device.timeout_ms).max()?;
    matches!(link, Link::Tcp { .. }).then(|| Duration::from_millis(longest.into()) * IDLE_TIMES)
}

/// What a line is used for, and its framer.
struct Line {
    idle: Option<Duration>,
    listens: bool,
    format: Format,
    framer: Framer,
}

impl Line {
    /// Tells whether devices can be heard; `false` when nobody wants to know.
    async fn listening(&self, wiring: &Wiring, open: bool) -> bool {
        !self.listens || wiring.inputs.send(Input::Listening { bus: wiring.index, open }).await.is_ok()
    }

    /// Listens and polls until the line fails; `Ok` when the asks have ended.
    async fn serve(&mut self, port: &mut Port, wiring: &mut Wiring) -> io::Result<()> {
        let mut chunk = [0; CHUNK];
        loop {
            tokio::select! {
                biased;
                ask = wiring.asks.recv() => {
                    let Some(ask) = ask else { return Ok(()) };
                    let result = self.poll(port, &ask).await;
                    let rest = result.as_ref().is_ok_and(Result::is_err);
                    let failure = result.as_ref().err().map(|error| io::Error::from(error.kind()));
                    if !wiring.answer(&ask, result.unwrap_or(Err(NoData::Disconnected))).await {
                        return Ok(());
                    }
                    if let Some(failure) = failure {
                        return Err(failure);
                    }
                    if rest {
                        tokio::time::sleep(Duration::from_millis(ask.late_ms.into())).await;
                    }
                }
                read = read(port, &mut chunk, self.idle) => {
                    for byte in &chunk[..read?] {
                        let Some(line) = self.framer.push(*byte) else { continue };
                        let input = Input::Line { bus: wiring.index, line: line.to_vec() };
                        if self.listens && wiring.inputs.send(input).await.is_err() {
                            return Ok(());
                        }
                    }
                }
            }
        }
    }

    /// Sends the poll and takes the next line for its answer, unless that is the poll itself, which two-wire RS-485
    /// may send back, or a line of a kind that nobody reads. The outer error is the line's.
    async fn poll(&mut self, port: &mut Port, ask: &Ask) -> io::Result<Result<Answer, NoData>> {
        let Query::Poll(poll) = &ask.query else { return Ok(Err(NoData::Protocol)) };
        std::future::poll_fn(|cx| std::task::Poll::Ready(port.discard(cx))).await?;
        self.framer = Framer::new(self.format);
        port.write_all(poll).await?;
        let answered = timeout(Duration::from_millis(ask.timeout_ms.into()), self.next_line(port, poll)).await;
        Ok(match answered {
            Ok(line) => Ok(Answer::Line(line?)),
            Err(_elapsed) => Err(NoData::Timeout),
        })
    }

    async fn next_line(&mut self, port: &mut Port, poll: &[u8]) -> io::Result<Vec<u8>> {
        let mut chunk = [0; CHUNK];
        loop {
            let count = read(port, &mut chunk, None).await?;
            for byte in &chunk[..count] {
                if let Some(line) = self.framer.push(*byte)
                    && line != poll.trim_ascii_end()
                    && sentence::parse(self.format, line) != Err(Fault::Other)
                {
                    // What follows in the chunk was not asked for.
                    return Ok(line.to_vec());
                }
            }
        }
    }
}

/// Reads some bytes, at least one. Zero bytes is a closed connection, or a port whose adapter was pulled.
async fn read(port: &mut Port, chunk: &mut [u8], idle: Option<Duration>) -> io::Result<usize> {
    let read = match idle {
        Some(idle) => timeout(idle, port.read(chunk)).await.map_err(|_elapsed| io::ErrorKind::TimedOut)?,
        None => port.read(chunk).await,
    };
    match read? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        count => Ok(count),
    }
}
