//! What acquiring costs, measured side by side and by turns: processor time of each reader from `/proc`, registers from
//! what the simulated devices were asked. Run by `tests/bench/acquisition`.
//!
//! *Saturating*: 125 registers a request, as 62 u32 and a u16 (a device of the agent's has 64 channels at most). The
//! agent asks eight devices every 10 ms each, its shortest interval; the loop asks them without a pause. *Paced*: 64
//! registers of one device ten times a second. The agent does all of its work, with every reading kept on disk and
//! forwarded to a broker where mosquitto is there; collectd writes CSV, one request a value, for its plugin knows no
//! other way; the loop throws the registers away. *Judged*: the agent alone, with the same 64 registers as anemometers in
//! turbulent wind, of one device and of eight, every reading judged.

mod wind;

use anyhow::{Context as _, Result, bail};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use wind::Wind;
use windward_tests::clock;
use windward_tests::lines::device::Device;
use windward_tests::lines::tcp::TcpPort;
use windward_tests::lines::{Line, Wire};
use windward_tests::peers::Mosquitto;

/// Devices that the saturated readers ask.
const DEVICES: usize = 8;
/// First register that is read.
const FIRST: u16 = 2;
/// Time a reader has to start before anything is counted.
const START: Duration = Duration::from_secs(5);
/// The same where readings are judged: after so many the detector has all of its work to do.
const LEARN: Duration = Duration::from_secs(40);
/// Length of a saturated run.
const SATURATED: Duration = Duration::from_secs(10);
/// Ticks of processor time in a second: USER_HZ, 100 on every Linux of today.
const TICKS: f64 = 100.0;

fn main() -> Result<()> {
    let arguments = Arguments::parse()?;
    let runtime = tokio::runtime::Runtime::new()?;
    let dir = tempfile::tempdir()?;
    let broker = runtime.block_on(Mosquitto::start(dir.path()));
    if let Err(error) = &broker {
        println!("without a broker: {error:#}");
    }
    // A port at which nobody listens costs the agent an attempt now and then.
    let broker_port = broker.as_ref().map_or(1, Mosquitto::port);
    let paced = Duration::from_secs(arguments.seconds);
    for load in [
        Load { devices: DEVICES, registers: 125, interval_ms: 10, lasts: SATURATED, kind: Kind::Saturating },
        Load { devices: 1, registers: 64, interval_ms: 100, lasts: paced, kind: Kind::Paced },
        Load { devices: 1, registers: 64, interval_ms: 100, lasts: paced, kind: Kind::Judged },
        Load { devices: 8, registers: 8, interval_ms: 100, lasts: paced, kind: Kind::Judged },
    ] {
        let mut readers = vec![Reader::Agent(arguments.agent.clone(), broker_port)];
        if load.kind != Kind::Judged {
            readers.extend([Reader::PyModbus, Reader::Collectd]);
        }
        readers.retain(Reader::is_there);
        let mut costs: Vec<Vec<Cost>> = readers.iter().map(|_| Vec::new()).collect();
        for repeat in 0..arguments.repeats {
            for (reader, costs) in readers.iter().zip(&mut costs) {
                let dir =
                    dir.path().join(format!("{}-{}-{}-{repeat}", reader.name(), load.kind.name(), load.registers));
                std::fs::create_dir(&dir)?;
                costs.push(measure(reader, load, &dir).with_context(|| reader.name())?);
            }
        }
        for (reader, costs) in readers.iter().zip(costs) {
            tell(reader, load, costs);
        }
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Saturating,
    Paced,
    Judged,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Saturating => "saturating",
            Kind::Paced => "paced",
            Kind::Judged => "judged",
        }
    }
}

/// What is asked of a reader.
#[derive(Clone, Copy)]
struct Load {
    devices: usize,
    registers: u16,
    interval_ms: u64,
    lasts: Duration,
    kind: Kind,
}

impl Load {
    /// The channels that fill its registers: address and number of registers, 1 or 2.
    fn channels(self) -> impl Iterator<Item = (u16, u16)> {
        let width = if self.kind == Kind::Saturating { 2 } else { 1 };
        let end = FIRST + self.registers;
        (FIRST..end).step_by(width.into()).map(move |register| (register, width.min(end - register)))
    }
}

/// What a run has cost.
#[derive(Clone, Copy)]
struct Cost {
    registers: f64,
    wall_s: f64,
    cpu_s: f64,
    pss_kib: f64,
    rss_kib: f64,
}

enum Reader {
    /// The program, and its broker's port.
    Agent(PathBuf, u16),
    PyModbus,
    Collectd,
}

impl Reader {
    fn name(&self) -> &'static str {
        match self {
            Reader::Agent(..) => "agent",
            Reader::PyModbus => "pymodbus",
            Reader::Collectd => "collectd",
        }
    }

    fn is_there(&self) -> bool {
        let program = match self {
            Reader::Agent(program, _) => program.clone(),
            Reader::PyModbus => python(),
            Reader::Collectd => COLLECTD.into(),
        };
        let there = program.exists();
        if !there {
            println!("SKIPPED: {} is not at {}", self.name(), program.display());
        }
        there
    }

    /// Registers that it asks for in one request, on average.
    fn registers_a_request(&self, load: Load) -> f64 {
        let requests = if matches!(self, Reader::Collectd) { load.channels().count() } else { 1 };
        f64::from(load.registers) / requests as f64
    }

    fn command(&self, load: Load, ports: &[u16], dir: &Path) -> Result<Command> {
        let mut command = match self {
            Reader::Agent(program, broker) => {
                let config = dir.join("windward-agent.toml");
                std::fs::write(&config, agent_toml(load, ports, dir, *broker))?;
                let mut command = Command::new(program);
                command.args(["run", "--config"]).arg(config).env("RUST_LOG", "warn");
                command
            }
            Reader::PyModbus => {
                let pause_s = if load.kind == Kind::Saturating { 0.0 } else { load.interval_ms as f64 / 1e3 };
                let mut command = Command::new(python());
                command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/pymodbus_loop.py"));
                command.arg(pause_s.to_string()).arg(load.registers.to_string());
                command.args(ports.iter().map(u16::to_string));
                command
            }
            Reader::Collectd => {
                let config = dir.join("collectd.conf");
                std::fs::write(&config, collectd_conf(load, ports, dir))?;
                let mut command = Command::new(COLLECTD);
                command.arg("-f").arg("-C").arg(config);
                command
            }
        };
        let log = std::fs::File::create(dir.join("log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Ok(command)
    }
}

const COLLECTD: &str = "/usr/sbin/collectd";

fn python() -> PathBuf {
    let venv = std::env::var_os("WINDWARD_PEERS").map(PathBuf::from);
    let target = || windward_tests::process::target_dir().map(|dir| dir.join("venv")).unwrap_or_default();
    venv.unwrap_or_else(target).join("bin/python")
}

/// Lets a reader run for a while, and counts after it has started.
fn measure(reader: &Reader, load: Load, dir: &Path) -> Result<Cost> {
    let line = || {
        let mut device = Device::new(1);
        device.turnaround_us = 0;
        TcpPort::start(Line::new(Wire::tcp(), [device], 1))
    };
    let lines: Result<Vec<_>> = (0..load.devices).map(|_| line()).collect();
    let lines = lines?;
    let ports: Vec<u16> = lines.iter().map(TcpPort::port).collect();
    let asked = || -> u64 {
        let requests =
            |line: &TcpPort<Line>| line.station().slaves().map(|slave| u64::from(slave.heard())).sum::<u64>();
        lines.iter().map(requests).sum()
    };
    let mut running = Running(reader.command(load, &ports, dir)?.spawn()?);
    let id = running.0.id();
    let mut wind = (load.kind == Kind::Judged).then(|| Wind::new(load.devices));
    let mut pass = |time: Duration| match &mut wind {
        Some(wind) => wind.blow(&lines, load, time),
        None => std::thread::sleep(time),
    };
    pass(if load.kind == Kind::Judged { LEARN } else { START });
    let (began, cpu_s, before) = (clock::now(), cpu_s(id)?, asked());
    pass(load.lasts);
    let (wall_s, cpu_s, requests) = (began.elapsed().as_secs_f64(), self::cpu_s(id)? - cpu_s, asked() - before);
    if let Some(status) = running.0.try_wait()? {
        bail!("has ended with {status}: {}", std::fs::read_to_string(dir.join("log"))?);
    }
    if requests == 0 {
        bail!("has asked nothing: {}", std::fs::read_to_string(dir.join("log"))?);
    }
    let registers = requests as f64 * reader.registers_a_request(load);
    Ok(Cost {
        registers,
        wall_s,
        cpu_s,
        pss_kib: kib(id, "smaps_rollup", "Pss:")?,
        rss_kib: kib(id, "status", "VmRSS:")?,
    })
}

fn tell(reader: &Reader, load: Load, costs: Vec<Cost>) {
    let of = |figure: fn(&Cost) -> f64| median(costs.iter().map(figure).collect());
    println!(
        "FIGURE acquisition {}, {} of {} registers, {}: {:.0} registers/s, {:.0} a CPU second, {:.2} CPU µs a register, \
         {:.1} % CPU, PSS {:.1} MiB, RSS {:.1} MiB (medians of {})",
        load.kind.name(),
        load.devices,
        load.registers,
        reader.name(),
        of(|cost| cost.registers / cost.wall_s),
        of(|cost| cost.registers / cost.cpu_s.max(1.0 / TICKS)),
        of(|cost| cost.cpu_s * 1e6 / cost.registers),
        of(|cost| cost.cpu_s * 100.0 / cost.wall_s),
        of(|cost| cost.pss_kib / 1024.0),
        of(|cost| cost.rss_kib / 1024.0),
        costs.len(),
    );
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

fn agent_toml(load: Load, ports: &[u16], dir: &Path, broker: u16) -> String {
    let mut text = format!(
        "agent = \"turbine-01\"\nfarm = \"bench\"\ndata = {:?}\n[mqtt]\nhost = \"127.0.0.1\"\nport = {broker}\n\
         ack = \"broker\"\n",
        dir.join("data")
    );
    for port in ports {
        write_line(
            &mut text,
            &format!(
                "[[device]]\nname = \"device-{port}\"\nlocation = \"here\"\ninterval_ms = {}\n\
                 modbus_tcp = {{ host = \"127.0.0.1\", port = {port} }}",
                load.interval_ms
            ),
        );
        for (register, width) in load.channels() {
            let kind = 16 * width;
            let measures = match load.kind {
                Kind::Judged => "quantity = \"wind-speed\"\nunit = \"m/s\"\nscale = 0.01",
                _ => "unit = \"1\"\ndetect = false",
            };
            write_line(
                &mut text,
                &format!(
                    "[[device.channel]]\nname = \"c{register}\"\nregister = {register}\ntype = \"u{kind}\"\n{measures}"
                ),
            );
        }
    }
    text
}

fn collectd_conf(load: Load, ports: &[u16], dir: &Path) -> String {
    let dir = dir.display();
    let interval_s = load.interval_ms as f64 / 1e3;
    let mut text = format!(
        "Hostname \"bench\"\nFQDNLookup false\nBaseDir \"{dir}\"\nPIDFile \"{dir}/pid\"\nInterval {interval_s}\n\
         TypesDB \"/usr/share/collectd/types.db\"\nLoadPlugin csv\nLoadPlugin modbus\n\
         <Plugin csv>\n DataDir \"{dir}/csv\"\n</Plugin>\n<Plugin modbus>\n"
    );
    for (register, width) in load.channels() {
        let kind = 16 * width;
        write_line(
            &mut text,
            &format!(
                "<Data \"c{register}\">\n RegisterBase {register}\n RegisterType uint{kind}\n RegisterCmd ReadInput\n Type gauge\n \
                 Instance \"c{register}\"\n</Data>"
            ),
        );
    }
    for port in ports {
        write_line(
            &mut text,
            &format!(
                "<Host \"h{port}\">\n Address \"127.0.0.1\"\n Port \"{port}\"\n Interval {interval_s}\n <Slave 1>\n  \
                 Instance \"s\""
            ),
        );
        load.channels().for_each(|(register, _)| write_line(&mut text, &format!("  Collect \"c{register}\"")));
        write_line(&mut text, " </Slave>\n</Host>");
    }
    write_line(&mut text, "</Plugin>");
    text
}

fn write_line(text: &mut String, line: &str) {
    // Writing to a string cannot fail.
    writeln!(text, "{line}").ok();
}

/// A program that ends with this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Processor time that a process and its threads have used, s (proc(5), `utime` and `stime`).
fn cpu_s(id: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat"))?;
    // The name may hold spaces: fields are counted after its closing bracket.
    let (_, fields) = stat.rsplit_once(')').context("no name in stat")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks: Result<Vec<f64>, _> = fields.get(11..13).context("a short stat")?.iter().map(|t| t.parse()).collect();
    Ok(ticks?.iter().sum::<f64>() / TICKS)
}

/// A figure in KiB from a file of a process.
fn kib(id: u32, file: &str, name: &str) -> Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{id}/{file}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

struct Arguments {
    agent: PathBuf,
    seconds: u64,
    repeats: usize,
}

impl Arguments {
    fn parse() -> Result<Self> {
        let mut parsed = Self { agent: PathBuf::new(), seconds: 60, repeats: 3 };
        let mut given = std::env::args().skip(1).filter(|argument| argument != "--bench");
        while let Some(name) = given.next() {
            let value = given.next().with_context(|| format!("{name} needs a value"))?;
            match name.as_str() {
                "--agent" => parsed.agent = value.into(),
                "--seconds" => parsed.seconds = value.parse()?,
                "--repeats" => parsed.repeats = value.parse()?,
                _ => bail!("unknown argument {name}"),
            }
        }
        Ok(parsed)
    }
}
