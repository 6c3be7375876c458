//! Programs under test: started, watched, killed by their own id, never by name.

use crate::clock;
use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Time between two looks at whether something has happened.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A running program. It is killed when this is dropped; its output stays in a file under `target/logs`.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Process {
    /// Starts a program; standard output and error go to its log.
    pub fn start(name: &str, command: &mut Command) -> anyhow::Result<Self> {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let dir = target_dir()?.join("logs");
        std::fs::create_dir_all(&dir)?;
        let log = dir.join(format!("{name}-{}-{number}.log", std::process::id()));
        let out = File::create(&log)?;
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn().with_context(|| format!("cannot start {program}"))?;
        Ok(Self { child, name: name.into(), log })
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has written so far.
    pub fn output(&self) -> String {
        std::fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Where its output goes.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Resident memory, KiB.
    pub fn rss_kib(&self) -> anyhow::Result<u64> {
        rss_kib(self.child.id())
    }

    /// SIGKILL, and waits for its end.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGHUP, by which servers read their files again.
    pub fn hang_up(&self) -> anyhow::Result<()> {
        let pid = Pid::from_raw(self.child.id() as i32).context("a process has an id")?;
        Ok(kill_process(pid, Signal::HUP)?)
    }

    /// SIGTERM, and waits for its end for at most `patience`.
    pub async fn terminate(&mut self, patience: Duration) -> anyhow::Result<ExitStatus> {
        let pid = Pid::from_raw(self.child.id() as i32).context("a process has an id")?;
        kill_process(pid, Signal::TERM)?;
        self.ended(patience).await
    }

    /// Waits for its end for at most `patience`.
    pub async fn ended(&mut self, patience: Duration) -> anyhow::Result<ExitStatus> {
        let what = format!("the end of {}", self.name);
        eventually(patience, &what, async || Ok(self.child.try_wait()?)).await
    }

    /// Fails with the end of its output when it has ended.
    pub fn check_alive(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            let output = self.output();
            let tail: Vec<&str> = output.lines().rev().take(10).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            bail!("{} has ended with {status}: {}", self.name, tail.join("\n"));
        }
        Ok(())
    }

    /// Waits until it accepts connections at `addr`.
    pub async fn listens(&mut self, addr: SocketAddr, patience: Duration) -> anyhow::Result<()> {
        let what = format!("{} to listen at {addr}", self.name);
        eventually(patience, &what, async || {
            self.check_alive()?;
            Ok(tokio::net::TcpStream::connect(addr).await.ok().map(drop))
        })
        .await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Looks again and again until `look` gives something, for at most `patience`; an error of `look` ends it at once.
pub async fn eventually<T>(
    patience: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let deadline = clock::now() + patience;
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if clock::now() >= deadline {
            bail!("waited {} s in vain for {what}", patience.as_secs_f64());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Waits until somebody accepts connections at `addr`.
pub async fn wait_for_port(addr: SocketAddr, patience: Duration) -> anyhow::Result<()> {
    let what = format!("a server at {addr}");
    eventually(patience, &what, async || Ok(tokio::net::TcpStream::connect(addr).await.ok().map(drop))).await
}

/// A port on loopback that nobody listens at, this process's until it ends: no other that asks here is given it, nor does
/// this one get it again. It is none of those from which Linux takes a connection's own end (32768 on, ip(7)), so nothing
/// comes before whoever is to listen at it.
pub fn free_port() -> anyhow::Result<u16> {
    const PORTS: std::ops::Range<u32> = 12_000..32_000;
    // A name is taken from the socket that has it when the process ends, however it ends.
    static TAKEN: Mutex<Vec<UnixDatagram>> = Mutex::new(Vec::new());
    let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    // Processes begin far from each other, so that few names are tried.
    let first = std::process::id().wrapping_mul(7_919);
    for step in 0..PORTS.len() as u32 {
        let port = (PORTS.start + first.wrapping_add(step) % PORTS.len() as u32) as u16;
        let name = UnixAddr::from_abstract_name(format!("windward-port-{port}"))?;
        if let Ok(mine) = UnixDatagram::bind_addr(&name)
            && TcpListener::bind(("127.0.0.1", port)).is_ok()
        {
            taken.push(mine);
            return Ok(port);
        }
    }
    bail!("no port of {PORTS:?} is free")
}

/// Resident memory of a process, KiB.
pub fn rss_kib(pid: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).context("no VmRSS in its status")?;
    Ok(kib.parse()?)
}

/// The path of one of the workspace's programs, which must have been built in the same profile.
pub fn program(name: &str) -> anyhow::Result<PathBuf> {
    let path = profile_dir()?.join(name);
    if !path.exists() {
        bail!("{} is not built: cargo build -p {name}", path.display());
    }
    Ok(path)
}

/// The `target` directory this program was built into.
pub fn target_dir() -> anyhow::Result<PathBuf> {
    Ok(profile_dir()?.parent().context("a profile lies in the target directory")?.to_path_buf())
}

fn profile_dir() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let dir = own.parent().context("a program lies in a directory")?;
    // Tests lie one level deeper than programs.
    Ok(if dir.ends_with("deps") { dir.join("..").canonicalize()? } else { dir.to_path_buf() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_port_is_given_once_and_is_no_connections_own_end() {
        let of_connections = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
        let first: u16 = of_connections.split_whitespace().next().unwrap().parse().unwrap();
        let many = || (0..100).map(|_| free_port().unwrap()).collect::<Vec<u16>>();
        let given: Vec<u16> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(many)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert!(given.iter().all(|port| *port < first), "{first} and on are for connections: {given:?}");
        assert_eq!(given.iter().collect::<HashSet<_>>().len(), given.len());
    }

    #[test]
    fn a_port_that_somebody_listens_at_or_another_process_was_given_is_not_given() {
        let given = free_port().unwrap();
        // The next ones: one is listened at, one is another's.
        let _listener = TcpListener::bind(("127.0.0.1", given + 1));
        let other = UnixAddr::from_abstract_name(format!("windward-port-{}", given + 2)).unwrap();
        let _other = UnixDatagram::bind_addr(&other);
        let more: Vec<u16> = (0..5).map(|_| free_port().unwrap()).collect();
        assert!(!more.contains(&(given + 1)) && !more.contains(&(given + 2)), "{given}, then {more:?}");
    }
}
