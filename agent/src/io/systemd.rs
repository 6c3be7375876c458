//! What systemd is told: that the agent is up, how it is, and that it still moves (sd_notify(3)).
//!
//! The protocol is one datagram of `KEY=value` lines to a socket, so it stands here with nothing but the standard
//! library. The crate `sd-notify` 0.5 makes a socket for each message, knows no abstract addresses (`@...`), and leaves
//! it to its user to not wait for a manager that does not read.

use super::clock::Clock;
use super::pulse::Pulse;
use crate::forward::Counters;
use crate::watchdog::{At, Watchdog};
use std::env;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use windward_protocol::DeviceHealth;

/// How often systemd hears how the agent is, where no watchdog asks for more.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Looks within the watchdog's limit, so that one that comes too early does no harm; and turns within that.
const LOOKS: u32 = 4;
const BEATS: u32 = 8;

/// How far the agent is.
#[derive(Clone, Debug)]
pub(super) enum Stage {
    /// The spool is being opened.
    Start,
    /// At work, with this to look at.
    Work(Sight),
    /// Between two configurations.
    Change,
    /// On its way to a good end.
    Stop,
}

/// What of a running agent is looked at.
#[derive(Clone, Debug)]
pub(super) struct Sight {
    pub(super) pulse: Arc<Pulse>,
    pub(super) counters: watch::Receiver<Counters>,
    pub(super) devices: watch::Receiver<Vec<DeviceHealth>>,
}

/// The service manager that started this process, if one did that wants to hear.
#[derive(Debug)]
pub(super) struct Manager {
    /// Where messages go.
    socket: Option<UnixDatagram>,
    /// How long it waits for a report; for ever, where there is no watchdog.
    limit: Option<Duration>,
}

impl Manager {
    /// The one that the environment names: `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`.
    pub(super) fn of_environment() -> Self {
        let socket = env::var_os("NOTIFY_SOCKET").and_then(|name| match connected(name.as_bytes()) {
            Ok(socket) => Some(socket),
            Err(error) => {
                tracing::warn!(socket = %name.display(), %error, "no service manager behind NOTIFY_SOCKET");
                None
            }
        });
        let number = |name| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let is_ours =
            env::var_os("WATCHDOG_PID").is_none() || number("WATCHDOG_PID") == Some(std::process::id().into());
        let limit = number("WATCHDOG_USEC").filter(|limit| is_ours && *limit > 0).map(Duration::from_micros);
        Self::at(socket, limit)
    }

    pub(super) fn at(socket: Option<UnixDatagram>, limit: Option<Duration>) -> Self {
        let limit = limit.filter(|_| socket.is_some());
        Self { socket, limit }
    }

    /// How often the parts are to turn though they have nothing to do.
    pub(super) fn beat(&self) -> Option<Duration> {
        self.limit.map(|limit| limit / BEATS)
    }

    /// Tells it what there is to tell, for as long as it is waited for.
    pub(super) async fn keep_told(self, mut stages: watch::Receiver<Stage>, clock: Clock) {
        if self.socket.is_none() {
            return std::future::pending().await;
        }
        let every = self.limit.map_or(LOOK_EVERY, |limit| limit / LOOKS);
        let mut teller = Teller { manager: self, watchdog: Watchdog::default(), is_ready: false, said: String::new() };
        loop {
            let stage = stages.borrow_and_update().clone();
            teller.tell(&stage, clock);
            // Readiness is waited for, so it is not looked for at leisure.
            let pause = if matches!(stage, Stage::Work(_)) && !teller.is_ready { every / 100 } else { every };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                // Whoever sets the stages waits for this one, and does not end before.
                _ = stages.changed() => {}
            }
        }
    }

    /// Sends one message. A manager that does not read its socket is not waited for.
    fn send(&self, message: &str) {
        if let Some(Err(error)) = self.socket.as_ref().map(|socket| socket.send(message.as_bytes())) {
            tracing::debug!(%error, message, "the service manager was not told");
        }
    }
}

/// A socket for what goes to the one named so: a path, or an abstract name behind an `@` (unix(7)).
fn connected(name: &[u8]) -> std::io::Result<UnixDatagram> {
    let address = match name.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(name))?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

struct Teller {
    manager: Manager,
    watchdog: Watchdog,
    /// READY was said since the start, or since RELOADING.
    is_ready: bool,
    /// The last status.
    said: String,
}

impl Teller {
    fn tell(&mut self, stage: &Stage, clock: Clock) {
        let at = match stage {
            Stage::Start => return self.say("opening the spool".into()),
            Stage::Stop => {
                self.manager.send("STOPPING=1\n");
                return self.say("stopping".into());
            }
            Stage::Change => {
                if std::mem::take(&mut self.is_ready) {
                    self.manager.send("RELOADING=1\n");
                }
                self.say("going on with another configuration".into());
                At::Change
            }
            Stage::Work(sight) => At::Work(sight.pulse.turns()),
        };
        match (self.watchdog.look(at, clock.now().mono), stage) {
            (Ok(()), Stage::Work(sight)) => {
                if !std::mem::replace(&mut self.is_ready, true) {
                    self.manager.send("READY=1\n");
                }
                self.report();
                self.say(status(&sight.devices.borrow(), &sight.counters.borrow()));
            }
            (Ok(()), _) => self.report(),
            // Before it is up, nothing is late yet.
            (Err(_), _) if !self.is_ready => {}
            (Err(part), _) => {
                tracing::warn!(part, "has not moved since the last look; the watchdog hears nothing until it does");
                self.say(format!("{part} does not move"));
            }
        }
    }

    fn report(&self) {
        if self.manager.limit.is_some() {
            self.manager.send("WATCHDOG=1\n");
        }
    }

    /// Says how the agent is, if that has changed.
    fn say(&mut self, status: String) {
        if self.said != status {
            self.manager.send(&format!("STATUS={status}\n"));
            self.said = status;
        }
    }
}

/// How the agent is, in one line.
fn status(devices: &[DeviceHealth], counters: &Counters) -> String {
    let count = |is: fn(&DeviceHealth) -> bool| devices.iter().filter(|device| is(device)).count();
    let silent = count(|device| device.failing.is_some());
    let well = count(|device| device.failing.is_none() && device.good > 0);
    let unread = match devices.len() - silent - well {
        0 => String::new(),
        unread => format!(", {unread} not read yet"),
    };
    let connected = if counters.connected { "connected" } else { "not connected" };
    format!("devices: {well} well, {silent} silent{unread}; {} envelopes wait; {connected}", counters.waiting)
}

#[cfg(test)]
mod tests;
