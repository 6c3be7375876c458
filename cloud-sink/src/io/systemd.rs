//! What systemd is told: that the sink is up, how it is, and that it still moves (sd_notify(3)).
//!
//! The protocol is one datagram of `KEY=value` lines to a socket, so it stands here with nothing but the standard
//! library.

use super::{Counters, Counts};
use crate::watchdog::{Part, Watchdog};
use std::env;
use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

/// How often systemd hears how the sink is, where no watchdog asks for more.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Looks within the watchdog's limit, so that one that comes too early does no harm.
const LOOKS: u32 = 4;

/// The service manager that started this process, if one did that wants to hear.
#[derive(Debug)]
pub struct Manager {
    /// Where messages go.
    socket: Option<UnixDatagram>,
    /// How long it waits for a report; for ever, where there is no watchdog.
    limit: Option<Duration>,
}

/// What of a running sink is looked at.
#[derive(Clone)]
pub struct Sight {
    pub(super) counts: Arc<Counts>,
    pub(super) has_broker: bool,
    pub(super) has_stream: bool,
}

impl Sight {
    fn parts(&self) -> Vec<Part> {
        let pulse = &self.counts.pulse;
        let mut parts = vec![pulse.committer.part("the committer")];
        parts.extend(self.has_broker.then(|| pulse.broker.part("the broker's source")));
        parts.extend(self.has_stream.then(|| pulse.stream.part("the stream's source")));
        parts
    }
}

impl Manager {
    /// The one that the environment names: `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`.
    pub fn of_environment() -> Self {
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
        Self { socket, limit }
    }

    /// Tells it that the sink is up, and then how it is, for as long as it is waited for.
    pub async fn keep_told(&self, sight: Sight) {
        self.send("READY=1\n");
        let every = self.limit.map_or(LOOK_EVERY, |limit| limit / LOOKS);
        let (mut watchdog, mut said) = (Watchdog::default(), String::new());
        loop {
            self.tell(&sight, &mut watchdog, &mut said);
            tokio::time::sleep(every).await;
        }
    }

    /// Tells it that the sink is on its way to a good end.
    pub fn stopping(&self) {
        self.send("STOPPING=1\nSTATUS=stopping\n");
    }

    fn tell(&self, sight: &Sight, watchdog: &mut Watchdog, said: &mut String) {
        let now = match watchdog.look(sight.parts()) {
            Ok(()) => {
                if self.limit.is_some() {
                    self.send("WATCHDOG=1\n");
                }
                status(&sight.counts.read())
            }
            // At the first look not every part has begun.
            Err(_) if said.is_empty() => return,
            Err(part) => {
                tracing::warn!(part, "has not moved since the last look; the watchdog hears nothing until it does");
                format!("{part} does not move")
            }
        };
        if *said != now {
            self.send(&format!("STATUS={now}\n"));
            *said = now;
        }
    }

    /// Sends one message. A manager that does not read its socket is not waited for.
    fn send(&self, message: &str) {
        if let Some(Err(error)) = self.socket.as_ref().map(|socket| socket.send(message.as_bytes())) {
            tracing::debug!(%error, message, "the service manager was not told");
        }
    }
}

/// How the sink is, in one line.
fn status(counters: &Counters) -> String {
    let connected = if counters.connected { "connected" } else { "not connected" };
    let Counters { envelopes, commits_failed, .. } = counters;
    format!("{connected}; {envelopes} envelopes stored; {commits_failed} commits failed")
}

/// A socket for what goes to the one named so: a path, or an abstract name behind an `@` (unix(7)).
fn connected(name: &[u8]) -> std::io::Result<UnixDatagram> {
    let address = match name.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(OsStr::from_bytes(name))?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_stands_still_ends_the_reports() {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        let manager = Manager { socket: Some(ours), limit: Some(Duration::from_secs(1)) };
        let sight = Sight { counts: Arc::default(), has_broker: true, has_stream: false };
        let (mut watchdog, mut said) = (Watchdog::default(), String::new());
        let mut told = |committer: bool, broker: bool| {
            let pulse = &sight.counts.pulse;
            if committer {
                pulse.committer.turn();
            }
            if broker {
                pulse.broker.turn();
            }
            manager.tell(&sight, &mut watchdog, &mut said);
            let mut buffer = [0; 512];
            let messages = std::iter::from_fn(|| theirs.recv(&mut buffer).ok().map(|len| buffer[..len].to_vec()));
            messages.map(|bytes| String::from_utf8(bytes).unwrap()).collect::<String>()
        };
        assert_eq!(told(true, false), "", "not all of it has begun");
        let status = "STATUS=not connected; 0 envelopes stored; 0 commits failed\n";
        assert_eq!(told(true, true), format!("WATCHDOG=1\n{status}"));
        assert_eq!(told(true, true), "WATCHDOG=1\n");
        assert_eq!(told(true, false), "STATUS=the broker's source does not move\n");
        assert_eq!(told(false, false), "");
        assert_eq!(told(false, true), format!("WATCHDOG=1\n{status}"), "each has moved since the last report");
    }
}
