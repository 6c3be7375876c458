//! Programs that are not ours, so that Windward is not tested against itself: mosquitto, socat, pymodbus, modbus-tk,
//! mbpoll, ministack; and what Python plays of AWS that ministack does not.

use crate::certificates::{Authority, Issued};
use crate::process::{Process, eventually, free_port, target_dir};
use anyhow::{Context as _, bail};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
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
    let programs = ["mosquitto", "socat", "mbpoll", "openssl"].into_iter().filter(|name| find(name).is_none());
    let peers = ["python", "ministack", "oidc-provider-mock"]
        .into_iter()
        .filter(|name| !venv().join("bin").join(name).exists());
    programs.map(String::from).chain(peers.map(|name| format!("{name} in {}", venv().display()))).collect()
}

/// A provider of OpenID Connect, with people in it.
#[derive(Debug)]
pub struct Login {
    /// What it calls itself.
    pub issuer: String,
    _process: Process,
}

impl Login {
    /// Starts it on a free port, with these people and what it says of each.
    pub async fn start(people: &[(&str, serde_json::Value)]) -> anyhow::Result<Self> {
        let addr = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let mut command = Command::new(venv().join("bin/oidc-provider-mock"));
        command.args(["--port", &addr.port().to_string()]);
        let mut process = Process::start("oidc-provider-mock", &mut command)?;
        process.listens(addr, START).await?;
        for (name, claims) in people {
            let url = format!("http://{addr}/users/{name}");
            ureq::put(url).header("Content-Type", "application/json").send(claims.to_string())?;
        }
        Ok(Self { issuer: format!("http://{addr}"), _process: process })
    }
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
        Self::start_with(dir, "").await
    }

    /// Starts it with TLS, for clients whose certificate this authority has signed.
    pub async fn start_tls(dir: &Path, authority: &Authority, own: &Issued) -> anyhow::Result<Self> {
        let (ca, Issued { cert, key }) = (authority.pem(), own);
        let (ca, cert, key) = (ca.display(), cert.display(), key.display());
        // Started by root it would become somebody who cannot read its key.
        let tls = format!("user root\ncafile {ca}\ncertfile {cert}\nkeyfile {key}\nrequire_certificate true\n");
        Self::start_with(dir, &tls).await
    }

    /// Starts it with more lines in its configuration.
    pub async fn start_with(dir: &Path, more: &str) -> anyhow::Result<Self> {
        let listener = "listener PORT 127.0.0.1\nallow_anonymous true\npersistence false\n";
        Self::start_as(dir, &format!("{listener}{more}")).await
    }

    /// Starts it with this configuration alone, with a free port where it says `PORT`.
    pub async fn start_as(dir: &Path, text: &str) -> anyhow::Result<Self> {
        let addr = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let config = dir.join("mosquitto.conf");
        std::fs::write(&config, text.replace("PORT", &addr.port().to_string()))?;
        let process = Self::spawn(&config)?;
        let mut mosquitto = Self { process, config, addr };
        mosquitto.process.listens(addr, START).await?;
        Ok(mosquitto)
    }

    /// SIGKILL.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.process.kill()
    }

    /// Has it read certificates, lists and rights again. Whoever connects after that meets the new ones: it says so
    /// before it does, and does nothing else meanwhile. Its log must tell information.
    pub async fn reload(&self) -> anyhow::Result<()> {
        let reloads = || self.output().matches("Reloading config").count();
        let before = reloads();
        self.process.hang_up()?;
        eventually(START, "mosquitto to reload", async || Ok((reloads() > before).then_some(()))).await
    }

    /// What it has said since it was started last.
    pub fn output(&self) -> String {
        self.process.output()
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

/// Who has made a Modbus device that is not ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// Serves everything.
    PyModbus,
    /// Serves no RTU over TCP.
    ModbusTk,
}

/// How a Modbus device is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over<'a> {
    /// Modbus TCP at a port on loopback.
    Tcp(u16),
    /// RTU frames at a TCP port on loopback.
    RtuTcp(u16),
    /// A serial line without parity, at a baud rate.
    Rtu(&'a Path, u32),
}

impl Over<'_> {
    fn arguments(self) -> Vec<String> {
        match self {
            Over::Tcp(port) => vec!["tcp".into(), port.to_string()],
            Over::RtuTcp(port) => vec!["rtutcp".into(), port.to_string()],
            Over::Rtu(port, baud) => vec!["rtu".into(), port.to_string_lossy().into_owned(), baud.to_string()],
        }
    }
}

/// A Modbus device made with pymodbus or modbus-tk, and the control over what its registers say.
#[derive(Debug)]
pub struct PyModbus {
    control: BufReader<TcpStream>,
    _process: Process,
}

impl PyModbus {
    /// pymodbus over TCP, slave 1; gives its port too.
    pub async fn tcp() -> anyhow::Result<(Self, u16)> {
        let port = free_port()?;
        Ok((Self::serve(Maker::PyModbus, Over::Tcp(port), 1).await?, port))
    }

    /// pymodbus over RTU, slave 1, on one end of a serial line.
    pub async fn rtu(port: &Path, baud: u32) -> anyhow::Result<Self> {
        Self::serve(Maker::PyModbus, Over::Rtu(port, baud), 1).await
    }

    /// Any slave over anything.
    pub async fn serve(maker: Maker, over: Over<'_>, slave: u8) -> anyhow::Result<Self> {
        let (name, script) = match maker {
            Maker::PyModbus => ("pymodbus", "peers/modbus_peer.py"),
            Maker::ModbusTk => ("modbus-tk", "peers/modbus_tk_peer.py"),
        };
        let control = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(script);
        let mut command = Command::new(venv().join("bin/python"));
        // No bytecode beside the sources.
        command.env("PYTHONDONTWRITEBYTECODE", "1").arg(script).arg(control.port().to_string());
        command.args(over.arguments()).arg(slave.to_string());
        let mut process = Process::start(name, &mut command)?;
        process.listens(control, START).await?;
        let control = TcpStream::connect(control)?;
        control.set_read_timeout(Some(CONTROL))?;
        Ok(Self { control: BufReader::new(control), _process: process })
    }

    /// Tells it something (see `tests/peers/contents.py`); gives the number of reads it has answered.
    pub fn tell(&mut self, command: &str) -> anyhow::Result<u64> {
        writeln!(self.control.get_mut(), "{command}")?;
        let mut answer = String::new();
        self.control.read_line(&mut answer)?;
        let answer: serde_json::Value = serde_json::from_str(&answer).context("the Modbus peer's answer")?;
        answer["served"].as_u64().context("the Modbus peer does not count")
    }
}

/// Reads registers, or bits, with mbpoll; waits until it has ended. `function` is 1 to 4.
pub fn mbpoll(over: Over<'_>, slave: u8, function: u8, start: u16, count: u16) -> anyhow::Result<Vec<u16>> {
    let table = match function {
        1 => "0",
        2 => "1",
        3 => "4",
        4 => "3",
        _ => bail!("mbpoll reads with functions 1 to 4"),
    };
    let numbers = [("-a", u16::from(slave)), ("-r", start), ("-c", count)];
    let mut command = Command::new(find("mbpoll").context("mbpoll is not installed")?);
    command.args(["-0", "-1", "-o", "2", "-t", table]);
    command.args(numbers.iter().flat_map(|(name, number)| [name.to_string(), number.to_string()]));
    match over {
        Over::Tcp(port) => command.args(["-m", "tcp", "-p", &port.to_string(), "127.0.0.1"]),
        Over::Rtu(port, baud) => command.args(["-m", "rtu", "-P", "none", "-b", &baud.to_string()]).arg(port),
        Over::RtuTcp(_) => bail!("mbpoll knows no RTU over TCP"),
    };
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("mbpoll: {}", errors.trim());
    }
    let words: Vec<u16> = text.lines().filter_map(mbpoll_value).collect();
    anyhow::ensure!(words.len() == usize::from(count), "mbpoll has read {} of {count}: {}", words.len(), errors.trim());
    Ok(words)
}

/// The value of a line like `[4]: 65534 (-2)`.
fn mbpoll_value(line: &str) -> Option<u16> {
    let (_, value) = line.strip_prefix('[')?.split_once("]:")?;
    value.split_whitespace().next()?.parse().ok()
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

/// AWS IoT's credential provider, made of Python's own server.
#[derive(Debug)]
pub struct IotCredentials {
    /// Its port on loopback.
    pub port: u16,
    process: Process,
}

impl IotCredentials {
    /// Starts it; what it gives lasts for so many seconds.
    pub async fn start(authority: &Authority, own: &Issued, lasts_s: u32) -> anyhow::Result<Self> {
        let port = free_port()?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/iot_credentials.py");
        let mut command = Command::new(venv().join("bin/python"));
        command.env("PYTHONDONTWRITEBYTECODE", "1").arg(script).arg(port.to_string());
        command.arg(&own.cert).arg(&own.key).arg(authority.pem()).arg(lasts_s.to_string());
        let mut process = Process::start("iot-credentials", &mut command)?;
        process.listens(SocketAddr::from(([127, 0, 0, 1], port)), START).await?;
        Ok(Self { port, process })
    }

    /// A line for each request so far: path, thing, name in the certificate.
    pub fn asked(&self) -> Vec<String> {
        let output = self.process.output();
        output.lines().filter_map(|line| line.strip_prefix("asked ")).map(str::to_owned).collect()
    }
}

/// DynamoDB, SNS, SQS and Kinesis made by ministack.
#[derive(Debug)]
pub struct Ministack {
    /// Where its services are.
    pub endpoint: String,
    _process: Process,
    // After the process: it unpacks the functions that it runs there, 150 MB each, and leaves them.
    _dir: tempfile::TempDir,
}

impl Ministack {
    /// Starts it on a free port.
    pub async fn start() -> anyhow::Result<Self> {
        let addr = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let mut command = Command::new(venv().join("bin/ministack"));
        command.env("BIND_HOST", "127.0.0.1").env("GATEWAY_PORT", addr.port().to_string());
        // The functions that it runs find it by this.
        command.env("AWS_ENDPOINT_URL", format!("http://{addr}")).envs(CREDENTIALS);
        let dir = tempfile::tempdir()?;
        let mut process = Process::start("ministack", command.env("TMPDIR", dir.path()))?;
        process.listens(addr, START).await?;
        Ok(Self { endpoint: format!("http://{addr}"), _process: process, _dir: dir })
    }
}

/// A package of Lambda's: a program as `bootstrap` in a zip.
pub fn package(program: &Path, dir: &Path) -> anyhow::Result<Vec<u8>> {
    let (bootstrap, zip) = (dir.join("bootstrap"), dir.join("package.zip"));
    std::fs::copy(program, bootstrap)?;
    let mut command = Command::new(venv().join("bin/python"));
    let status = command.args(["-m", "zipfile", "-c", "package.zip", "bootstrap"]).current_dir(dir).status()?;
    anyhow::ensure!(status.success(), "Python made no zip: {status}");
    Ok(std::fs::read(zip)?)
}

/// What Python reads in the records of one of the labs' streams: location, speed and, of an anomaly, score.
pub fn labs_consumer(stream: &str, records: &[String]) -> anyhow::Result<Vec<(String, f64, Option<f64>)>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/labs_consumer.py");
    let mut command = Command::new(venv().join("bin/python"));
    command.arg(script).arg(stream).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut consumer = command.spawn()?;
    let mut input = consumer.stdin.take().context("its input is a pipe")?;
    input.write_all(serde_json::json!(records).to_string().as_bytes())?;
    drop(input);
    let output = consumer.wait_with_output()?;
    anyhow::ensure!(output.status.success(), "the labs' consumer: {}", output.status);
    let read: Vec<Vec<serde_json::Value>> = serde_json::from_slice(&output.stdout)?;
    let one = |fields: &Vec<serde_json::Value>| {
        let number = |nth: usize| fields.get(nth).and_then(serde_json::Value::as_f64);
        Some((fields.first()?.as_str()?.to_owned(), number(1)?, number(2)))
    };
    read.iter().map(|fields| one(fields).with_context(|| format!("{fields:?}"))).collect()
}

/// The region and the account that ministack plays.
pub const REGION: &str = "eu-west-1";
/// Credentials for programs that use ministack, as environment: it takes any.
pub const CREDENTIALS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")];

/// The virtual environment with the Python peers: `WINDWARD_PEERS`, or `venv` in the target directory.
pub(crate) fn venv() -> PathBuf {
    match std::env::var_os("WINDWARD_PEERS") {
        Some(dir) => dir.into(),
        None => target_dir().map(|dir| dir.join("venv")).unwrap_or_default(),
    }
}

/// A program in the path, or where Debian puts servers.
pub fn find(name: &str) -> Option<PathBuf> {
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
