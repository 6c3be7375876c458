//! Windward's ends: simulated turbines that an agent reads, and a sink with SQLite behind the broker.

use super::site::Tally;
use anyhow::Result;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::TcpListener;
use windward_protocol::AgentId;
use windward_tests::cost::Program;
use windward_tests::plant::Turbine;
use windward_tests::process::{free_port, program};
use windward_tests::slave::{Slave, serve_tcp};
use windward_tests::stored;

pub(crate) const AGENT: &str = "turbine-01";
/// Devices, and the time between two readings of each: 500 readings a second.
const DEVICES: usize = 10;
const INTERVAL_MS: u64 = 20;
/// Channels of a reading: name, register, type. The first numbers the readings of its device.
const CHANNELS: [(&str, u16, &str); 8] = [
    ("sequence", 6, "u32"),
    ("wind", 0, "u16"),
    ("wind-2", 8, "u16"),
    ("direction", 1, "u16"),
    ("temperature", 2, "i16"),
    ("rotor", 3, "u16"),
    ("power", 4, "u32"),
    ("power-low", 5, "u16"),
];

pub(crate) struct Windward {
    slaves: Vec<Arc<Slave>>,
    sink: Program,
    file: PathBuf,
}

impl Windward {
    /// Starts the sink at the broker, and the agent on the link to it.
    pub(crate) async fn start(dir: &Path, broker: u16, link: u16, tells_kept: bool) -> Result<(Self, Program)> {
        let (mut slaves, mut ports) = (Vec::new(), Vec::new());
        for seed in 1..=DEVICES as u64 {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
            ports.push(listener.local_addr()?.port());
            let slave = Slave::new(Turbine::new(seed), 0);
            serve_tcp(listener, slave.clone());
            slaves.push(slave);
        }
        let file = dir.join("farm.db");
        let mut sink = sink(dir, broker, &file)?;
        let mut agent = agent(dir, link, &agent_devices(&ports))?;
        if tells_kept {
            agent.log = "warn,windward_agent::kept=trace";
        }
        sink.start()?;
        agent.start()?;
        Ok((Self { slaves, sink, file }, agent))
    }

    /// Readings that the devices have given.
    pub(crate) fn made(&self) -> u64 {
        self.slaves.iter().map(|slave| u64::from(slave.served())).sum()
    }

    /// From now on there are no readings.
    pub(crate) fn stop(&self) {
        self.slaves.iter().for_each(|slave| slave.close());
    }

    pub(crate) fn sink(&self) -> &Program {
        &self.sink
    }

    /// Taken is what the agent said it had kept. Repeated would be what is stored twice.
    pub(crate) fn tally(&self, agent: &Program) -> Result<Tally> {
        let table = stored::rows(&self.file)?;
        let mut numbers: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
        let (mut tally, mut stored) = (Tally { made: self.made(), ..Tally::default() }, 0);
        for (partition, rows) in &table {
            let sequences = rows.values("sequence").into_iter().filter_map(|sequence| Some(sequence.ok()? as u64));
            let device = partition.rsplit_once('/').map_or("", |(_, device)| device);
            let numbers = numbers.entry(device).or_default();
            sequences.for_each(|sequence| {
                stored += 1;
                numbers.insert(sequence);
            });
        }
        tally.arrived = numbers.values().map(|numbers| numbers.len() as u64).sum();
        tally.repeated = stored - tally.arrived;
        for (device, rows) in stored::kept(&agent.output()) {
            for sequence in rows.into_iter().filter_map(|(_, first)| Some(first? as u64)) {
                tally.taken += 1;
                tally.lost += u64::from(!numbers.get(device.as_str()).is_some_and(|all| all.contains(&sequence)));
            }
        }
        Ok(tally)
    }
}

/// An agent as it comes, without detection: no peer has one.
pub(crate) fn agent(dir: &Path, broker: u16, devices: &str) -> Result<Program> {
    let config = dir.join("windward-agent.toml");
    let data = dir.join("data");
    let text = format!(
        "agent = \"{AGENT}\"\nfarm = \"bench\"\ndata = {data:?}\n[mqtt]\nhost = \"127.0.0.1\"\nport = {broker}\n{devices}"
    );
    std::fs::write(&config, text)?;
    Ok(Program::new("windward-agent", program("windward-agent")?, ["run".into(), "--config".into(), config.into()]))
}

pub(crate) fn sink(dir: &Path, broker: u16, file: &Path) -> Result<Program> {
    let (config, http) = (dir.join("windward-sink.toml"), free_port()?);
    let text = format!(
        "farm = \"bench\"\n[mqtt]\nhost = \"127.0.0.1\"\nport = {broker}\n[store]\nsqlite = {file:?}\n[http]\n\
         listen = \"127.0.0.1:{http}\"\nguarded = true\n"
    );
    std::fs::write(&config, text)?;
    Ok(Program::new("windward-sink", program("windward-sink")?, ["run".into(), "--config".into(), config.into()]))
}

fn agent_devices(ports: &[u16]) -> String {
    let mut text = String::new();
    for (index, port) in ports.iter().enumerate() {
        text += &format!(
            "[[device]]\nname = \"device-{index}\"\nlocation = \"here\"\ninterval_ms = {INTERVAL_MS}\n\
             modbus_tcp = {{ host = \"127.0.0.1\", port = {port} }}\n"
        );
        for (name, register, kind) in CHANNELS {
            // Writing to a string cannot fail.
            writeln!(
                text,
                "[[device.channel]]\nname = \"{name}\"\nunit = \"1\"\nregister = {register}\ntype = \"{kind}\"\ndetect = false"
            )
            .ok();
        }
    }
    text
}

pub(crate) fn agent_id() -> Result<AgentId> {
    Ok(AgentId::new(AGENT)?)
}
