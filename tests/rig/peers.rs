//! Programs that are not ours, so that Windward is not tested against itself: mosquitto, socat, pymodbus, ministack.

use crate::process::{Process, free_port, target_dir};
use anyhow::{Context as _, bail};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How long a server may take to listen.
const START: Duration = Duration::from_secs(20);
/// How long a peer may take to answer on its control port.
const CONTROL: Duration = Duration::from_secs(5);

/// Whether the servers must be there: `tests/run` installs them, and then their absence is a failure.
pub fn required() -> bool {
    std::env::var_os("WINDWARD_E2E").is_some_and(|value| value == "1")
}

/// What is missing to run against real servers.
pub fn missing() -> Vec<String> {
    let programs = ["mosquitto", "socat"].into_iter().filter(|name| find(name).is_none());
    let peers = ["python", "ministack"].into_iter().filter(|name| !venv().join("bin").join(name).exists());
    programs.map(String::from).chain(peers.map(|name| format!("{name} in {}", venv().display()))).collect()
}

/// A mosquitto that forgets everything when it is killed, on one port for its life and those after it.
#[derive(Debug)]
pub struct Mosquitto {
    process: Process,
    config: PathBuf,
    addr: SocketAddr,
}

impl Mosquitto {
    /// Starts it with its configuration in `dir`.
    pub async fn start(dir: &Path) -> anyhow::Result<Self> {
        let addr = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let config = dir.join("mosquitto.conf");
        let text = format!("listener {} 127.0.0.1\nallow_anonymous true\npersistence false\n", addr.port());
        std::fs::write(&config, text)?;
        let process = Self::spawn(&config)?;
        let mut mosquitto = Self { process, config, addr };
        mosquitto.process.listens(addr, START).await?;
        Ok(mosquitto)
    }

    /// SIGKILL.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.process.kill()
    }

    /// Starts it again after a kill.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.process = Self::spawn(&self.config)?;
        self.process.listens(self.addr, START).await
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.addr.port()
    }

    fn spawn(config: &Path) -> anyhow::Result<Process> {
        let program = find("mosquitto").context("mosquitto is not installed")?;
        Process::start("mosquitto", Command::new(program).arg("-c").arg(config))
    }
}

/// A Modbus device made with pymodbus, and the control over what its registers say.
#[derive(Debug)]
pub struct PyModbus {
    control: BufReader<TcpStream>,
    _process: Process,
}

impl PyModbus {
    /// Over TCP; gives its port too.
    pub async fn tcp() -> anyhow::Result<(Self, u16)> {
        let port = free_port()?;
        Ok((Self::start(&["tcp", &port.to_string()]).await?, port))
    }

    /// Over RTU, on one end of a serial line.
    pub async fn rtu(port: &Path, baud: u32) -> anyhow::Result<Self> {
        Self::start(&["rtu", &port.to_string_lossy(), &baud.to_string()]).await
    }

    /// Tells it something (see `tests/peers/modbus_peer.py`); gives the number of reads it has answered.
    pub fn tell(&mut self, command: &str) -> anyhow::Result<u64> {
        writeln!(self.control.get_mut(), "{command}")?;
        let mut answer = String::new();
        self.control.read_line(&mut answer)?;
        let answer: serde_json::Value = serde_json::from_str(&answer).context("the pymodbus peer's answer")?;
        answer["served"].as_u64().context("the pymodbus peer does not count")
    }

    async fn start(arguments: &[&str]) -> anyhow::Result<Self> {
        let control = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/modbus_peer.py");
        let mut command = Command::new(venv().join("bin/python"));
        command.arg(script).arg(control.port().to_string()).args(arguments);
        let mut process = Process::start("pymodbus", &mut command)?;
        process.listens(control, START).await?;
        let control = TcpStream::connect(control)?;
        control.set_read_timeout(Some(CONTROL))?;
        Ok(Self { control: BufReader::new(control), _process: process })
    }
}

/// A serial line made by socat: two pseudo-terminals joined.
#[derive(Debug)]
pub struct SerialLine {
    /// The agent's end.
    pub near: PathBuf,
    /// The device's end.
    pub far: PathBuf,
    _process: Process,
}

impl SerialLine {
    /// A line whose ends are links in `dir`.
    pub async fn start(dir: &Path) -> anyhow::Result<Self> {
        let (near, far) = (dir.join("near"), dir.join("far"));
        let end = |path: &Path| format!("pty,raw,echo=0,link={}", path.display());
        let program = find("socat").context("socat is not installed")?;
        let mut process = Process::start("socat", Command::new(program).arg(end(&near)).arg(end(&far)))?;
        crate::process::eventually(START, "socat's serial line", async || {
            process.check_alive()?;
            Ok((near.exists() && far.exists()).then_some(()))
        })
        .await?;
        Ok(Self { near, far, _process: process })
    }
}

/// DynamoDB, SNS and SQS made by ministack.
#[derive(Debug)]
pub struct Ministack {
    /// Where its services are.
    pub endpoint: String,
    _process: Process,
}

impl Ministack {
    /// Starts it on a free port.
    pub async fn start() -> anyhow::Result<Self> {
        let addr = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let mut command = Command::new(venv().join("bin/ministack"));
        command.env("BIND_HOST", "127.0.0.1").env("GATEWAY_PORT", addr.port().to_string());
        let mut process = Process::start("ministack", &mut command)?;
        process.listens(addr, START).await?;
        Ok(Self { endpoint: format!("http://{addr}"), _process: process })
    }
}

/// The region and the account that ministack plays.
pub const REGION: &str = "eu-west-1";
/// Credentials for programs that use ministack, as environment: it takes any.
pub const CREDENTIALS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")];

/// The virtual environment with the Python peers: `WINDWARD_PEERS`, or `venv` in the target directory.
fn venv() -> PathBuf {
    match std::env::var_os("WINDWARD_PEERS") {
        Some(dir) => dir.into(),
        None => target_dir().map(|dir| dir.join("venv")).unwrap_or_default(),
    }
}

/// A program in the path, or where Debian puts servers.
fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    dirs.map(|dir| dir.join(name)).find(|path| path.exists())
}

/// Ends a test early when servers are missing: with a clear line where they may be, with an error where they may not.
pub fn there() -> anyhow::Result<bool> {
    let missing = missing();
    if missing.is_empty() {
        return Ok(true);
    }
    if required() {
        bail!("missing: {}", missing.join(", "));
    }
    println!("SKIPPED: missing {}; tests/run installs them", missing.join(", "));
    Ok(false)
}
