//! What carries the bytes of a line: a TCP connection or a serial port; and the cleaning of a line before a request.

#[cfg(test)]
mod tests;

use crate::config::{Link, Parity};
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
#[cfg(feature = "serial")]
use tokio_serial::{ClearBuffer, SerialPort as _, SerialStream};

/// Longest frame of Modbus RTU, bytes (Modbus over Serial Line V1.02, 2.3).
const MAX_FRAME: usize = 256;
/// Most bytes that are thrown away before a request: a line that never ends talking must not hold it up for ever.
const MAX_DISCARDED: usize = 16 * MAX_FRAME;

/// An open line.
#[derive(Debug)]
pub(in crate::io) enum Port {
    Tcp(TcpStream),
    #[cfg(feature = "serial")]
    Serial(SerialStream),
}

/// Opens a line. Of a serial port what it has taken in before is thrown away.
pub(in crate::io) async fn open(link: &Link) -> io::Result<Port> {
    match link {
        Link::Tcp { host, port } => {
            let stream = TcpStream::connect((host.as_str(), *port)).await?;
            stream.set_nodelay(true)?;
            Ok(Port::Tcp(stream))
        }
        Link::Serial { port, baud, parity, stop_bits } => open_serial(port, *baud, *parity, *stop_bits),
    }
}

#[cfg(feature = "serial")]
fn open_serial(path: &Path, baud: u32, parity: Parity, stop_bits: u8) -> io::Result<Port> {
    let builder = tokio_serial::new(path.to_string_lossy(), baud)
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
    Ok(Port::Serial(port))
}

/// A configuration that asks for a port is refused before; a probe comes here.
#[cfg(not(feature = "serial"))]
fn open_serial(_: &Path, _: u32, _: Parity, _: u8) -> io::Result<Port> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this program was built without serial ports (feature `serial`)"))
}

impl Port {
    /// Throws away what has come in: nobody asked for it.
    pub(super) fn discard(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        #[cfg(feature = "serial")]
        if let Port::Serial(port) = self {
            port.clear(ClearBuffer::Input).map_err(io::Error::from)?;
        }
        let mut scrap = [0; MAX_FRAME];
        for _ in 0..MAX_DISCARDED / MAX_FRAME {
            let mut buf = ReadBuf::new(&mut scrap);
            match Pin::new(&mut *self).poll_read(cx, &mut buf) {
                Poll::Pending => break,
                Poll::Ready(Ok(())) if buf.filled().is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
                Poll::Ready(result) => result?,
            }
        }
        Ok(())
    }
}

impl AsyncRead for Port {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Port::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            #[cfg(feature = "serial")]
            Port::Serial(port) => Pin::new(port).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Port {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            Port::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            #[cfg(feature = "serial")]
            Port::Serial(port) => Pin::new(port).poll_write(cx, bytes),
        }
    }

    /// Does not wait for bytes to leave a serial port, for that wait would hold up the thread, and with it other
    /// sensors (invariant A7).
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A line with Modbus RTU on it, made clean for each request: what came in before it is thrown away, and where the
/// adapter hears what it sends itself, as two-wire RS-485 may, that echo is taken off the answer.
///
/// A read request cannot be mistaken for an answer to itself. A write can: its answer repeats it, so there nothing is
/// taken off, and an echo passes for the answer.
#[derive(Debug)]
pub(super) struct CleanPort {
    port: Port,
    /// Whether the next byte written begins a request.
    idle: bool,
    /// Whether the request only reads.
    reads: bool,
    /// The request, as far as its echo may still come.
    sent: Vec<u8>,
    /// So many bytes of the echo have come.
    echoed: usize,
    /// Bytes that looked like the echo and were not, on their way to the reader.
    held: Vec<u8>,
}

impl CleanPort {
    pub(super) fn new(port: Port) -> Self {
        Self { port, idle: true, reads: false, sent: Vec::new(), echoed: 0, held: Vec::new() }
    }

    /// What is left of `bytes` when the echo is taken off.
    fn strip<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let expected = &self.sent[self.echoed..];
        let same = expected.iter().zip(bytes).take_while(|(expected, byte)| expected == byte).count();
        if same == expected.len() || same == bytes.len() {
            self.echoed += same;
            if self.echoed == self.sent.len() {
                self.sent.clear();
                self.echoed = 0;
            }
            return &bytes[same..];
        }
        // It was the answer, which begins like the request: with the slave's address.
        self.held.extend(self.sent.drain(..).take(self.echoed));
        self.echoed = 0;
        bytes
    }
}

impl AsyncRead for CleanPort {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.idle = true;
        let mut taken = [0; MAX_FRAME];
        loop {
            if !this.held.is_empty() {
                let count = this.held.len().min(buf.remaining());
                buf.put_slice(&this.held[..count]);
                this.held.drain(..count);
                return Poll::Ready(Ok(()));
            }
            let mut taken = ReadBuf::new(&mut taken);
            match Pin::new(&mut this.port).poll_read(cx, &mut taken) {
                Poll::Ready(Ok(())) if !taken.filled().is_empty() => {
                    let rest = this.strip(taken.filled());
                    this.held.extend_from_slice(rest);
                }
                // Nothing more will come: an end, an error, or nothing yet.
                other => return other,
            }
        }
    }
}

impl AsyncWrite for CleanPort {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.idle {
            this.port.discard(cx)?;
            this.reads = bytes.get(1).is_some_and(|code| *code <= 4);
            this.held.clear();
            this.sent.clear();
            this.echoed = 0;
        }
        let written = std::task::ready!(Pin::new(&mut this.port).poll_write(cx, bytes))?;
        if this.reads && this.sent.len() < MAX_FRAME {
            this.sent.extend_from_slice(&bytes[..written]);
        }
        this.idle = false;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.port).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.port).poll_shutdown(cx)
    }
}
