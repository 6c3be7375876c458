//! A station behind a TCP port: a Modbus TCP device, or a serial server that passes bytes through.
//!
//! One connection at a time, and the newest wins. What a line says while nobody is connected is lost, or, behind a server
//! that buffers, is what the next connection hears first. What a Modbus TCP device still has to say to an earlier
//! connection is lost too.

use super::Station;
use super::serial::{carry, lock};
use crate::clock;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

/// A station behind a TCP port, for as long as the process lives.
#[derive(Debug)]
pub struct TcpPort<S> {
    station: Arc<Mutex<S>>,
    started: Instant,
    addr: SocketAddr,
}

impl<S: Station + Send + 'static> TcpPort<S> {
    /// Serves a station at a free port on loopback.
    pub fn start(station: S) -> anyhow::Result<Self> {
        Self::serve(station, false)
    }

    /// The same behind a server that keeps for the next connection what the last one did not hear.
    pub fn start_buffering(station: S) -> anyhow::Result<Self> {
        Self::serve(station, true)
    }

    fn serve(station: S, buffers: bool) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = Self { station: Arc::new(Mutex::new(station)), started: clock::now(), addr: listener.local_addr()? };
        let (station, started) = (port.station.clone(), port.started);
        std::thread::Builder::new()
            .name("tcp-line".into())
            .spawn(move || accept(&listener, &station, started, buffers))?;
        Ok(port)
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.addr.port()
    }

    /// The station.
    pub fn station(&self) -> MutexGuard<'_, S> {
        lock(&self.station)
    }

    /// Time of the station, µs.
    pub fn now_us(&self) -> u64 {
        self.started.elapsed().as_micros() as u64
    }
}

fn accept<S: Station + Send + 'static>(
    listener: &TcpListener,
    station: &Arc<Mutex<S>>,
    started: Instant,
    buffers: bool,
) {
    let mut current: Arc<AtomicBool> = Arc::default();
    for stream in listener.incoming() {
        {
            let mut station = lock(station);
            current.store(true, Ordering::Relaxed);
            current = Arc::default();
            if !buffers {
                station.come_again(started.elapsed().as_micros() as u64);
            }
        }
        let (station, over) = (station.clone(), current.clone());
        let served = stream.and_then(|stream| {
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let serve = move || {
                // An error is the client's going.
                carry(stream, &station, started, &over, || false).ok();
            };
            std::thread::Builder::new().name("tcp-line".into()).spawn(serve)
        });
        if let Err(error) = served {
            tracing::error!(%error, "the simulated device cannot accept");
        }
    }
}
