//! The farm: everything started, driven and brought to an end.

use crate::arguments::{Arguments, TURBINES};
use crate::control::Command;
use crate::demo;
use crate::page::Page;
use crate::report::{Count, Injected, Report};
use anyhow::{Context as _, bail};
use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use windward_agent::config::Config as AgentConfig;
use windward_agent::io::{Options, Running as Agent};
use windward_protocol::{Alert, AlertKind, AlertPhase, Row};
use windward_sink::config::Config as SinkConfig;
use windward_sink::io::Running as Sink;
use windward_tests::link::Link;
use windward_tests::plant::Turbine;
use windward_tests::process::{eventually, rss_kib};
use windward_tests::slave::{self, Slave};
use windward_tests::{broker, clock, stored};

/// Time between two readings of a turbine, ms.
pub(crate) const INTERVAL_MS: u64 = 200;
/// Simulated time the detectors learn from before the farm starts, ms: as long as they look back, and some.
pub(crate) const HISTORY_MS: u64 = 12 * 60_000;
/// Alerts remembered for the table; later ones are not measured.
const MAX_ALERTS: usize = 10_000;
/// Slave address of the turbine on the serial line.
const RTU_ADDRESS: u8 = 3;
/// How long a bounded run waits at its end until everything that was read is stored.
const DRAIN: Duration = Duration::from_secs(60);

/// An alert that opened, and when it was where.
#[derive(Clone, Debug)]
pub(crate) struct Opened {
    pub(crate) turbine: usize,
    pub(crate) id: u64,
    pub(crate) kind: AlertKind,
    /// When the device gave the answer that raised it; not known for an alert that says there is none.
    pub(crate) sensed: Option<Instant>,
    pub(crate) local: Instant,
    pub(crate) on_page: Option<Instant>,
}

/// Alerts that opened, in their order.
pub(crate) type Alerts = Arc<Mutex<Vec<Opened>>>;

/// The running farm.
pub(crate) struct Farm {
    slaves: Vec<Arc<Slave>>,
    agents: Vec<Agent>,
    sink: Sink,
    broker: SocketAddr,
    link: Link,
    alerts: Alerts,
    page: Page,
    injected: Vec<Injected>,
    selected: usize,
    file: PathBuf,
    started: Instant,
    last_line: (Instant, u64),
}

impl Farm {
    /// Starts all parts, the receiving ones first. The page's buttons give `commands`.
    pub(crate) async fn start(
        arguments: &Arguments,
        data: &Path,
        commands: &mpsc::Sender<Command>,
    ) -> anyhow::Result<Self> {
        let http = arguments.http;
        // Looked at before anything runs, so that the message is about the address and nothing else.
        drop(TcpListener::bind(http).await.with_context(|| {
            format!("the page cannot listen at {http}; choose another address with --http 127.0.0.1:<port>")
        })?);
        let broker = broker::start().await?;
        let link = Link::start(broker).await?;
        let file = data.join("farm.db");
        let text = sink_toml(broker.port(), &file, http);
        let config = SinkConfig::from_toml(&text, "the farm's sink")?;
        let buttons = demo::buttons(commands.clone(), link.watch());
        let sink = windward_sink::io::start_beside(config, Some(buttons)).await?;

        let alerts = Alerts::default();
        let (mut slaves, mut agents) = (Vec::new(), Vec::new());
        for index in 0..TURBINES {
            let mut turbine = Turbine::new(arguments.seed.wrapping_mul(1_000) + index as u64);
            let history = history(&mut turbine, clock::wall_ms());
            let slave = Slave::new(turbine, HISTORY_MS);
            let device = put_on_line(index, slave.clone()).await?;
            let text = agent_toml(index, link.addr().port(), data, &device);
            let config = AgentConfig::from_toml(&text, &format!("the farm's agent {}", index + 1))?;
            let options = Options {
                history: BTreeMap::from([("nacelle".to_owned(), history)]),
                on_alert: Some(recorder(index, slave.clone(), alerts.clone())),
                beat: None,
            };
            agents.push(windward_agent::io::start(config, options).await?);
            slaves.push(slave);
        }
        let page = Page::watch(sink.http, alerts.clone())?;
        let now = clock::now();
        Ok(Self {
            slaves,
            agents,
            sink,
            broker,
            link,
            alerts,
            page,
            injected: Vec::new(),
            selected: 0,
            file,
            started: now,
            last_line: (now, 0),
        })
    }

    /// Says what is running where.
    pub(crate) fn introduce(&self, arguments: &Arguments, log: &Path) {
        println!(
            "Turbines 1 and 2 answer on Modbus TCP, turbine 3 on Modbus RTU; each is read every {INTERVAL_MS} ms."
        );
        println!("The detectors have learned from {} minutes of simulated wind.", HISTORY_MS / 60_000);
        println!("Data in {}; log in {}.", self.file.display(), log.display());
        println!("Page: http://{}", self.sink.http);
        println!("Broker: mqtt://{}", self.broker);
        match arguments.duration_ms {
            Some(ms) => println!("It ends by itself after {} s.", ms as f64 / 1_000.0),
            None => println!("Ctrl-C ends it."),
        }
    }

    /// Does what was asked, and says so.
    pub(crate) fn obey(&mut self, command: Command) {
        match command {
            Command::Fault { fault, turbine, for_ms } => {
                let (turbine, for_ms) = (turbine.unwrap_or(self.selected), for_ms.unwrap_or(fault.usual_ms()));
                self.slaves[turbine].inject(fault, for_ms);
                self.injected.push(Injected { fault, turbine, at: clock::now() });
                self.say(&format!("{fault} at turbine {} for {} s", turbine + 1, for_ms as f64 / 1_000.0));
            }
            Command::Link(up) => {
                let up = up.unwrap_or(!self.link.is_up());
                self.link.set(up);
                self.say(if up { "link restored" } else { "link between agents and broker cut" });
            }
            Command::Select(turbine) => {
                self.selected = turbine;
                self.say(&format!("faults by key go to turbine {}", turbine + 1));
            }
            Command::Quit => {}
        }
    }

    /// Writes the live line: over itself on a terminal, one after the other elsewhere.
    pub(crate) fn line(&mut self, on_terminal: bool) -> anyhow::Result<()> {
        let now = clock::now();
        let produced: u64 = self.slaves.iter().map(|slave| u64::from(slave.served())).sum();
        let elapsed = now.duration_since(self.last_line.0).as_secs_f64().max(0.001);
        let rate = (produced - self.last_line.1) as f64 / elapsed;
        self.last_line = (now, produced);
        let waiting: u64 = self.agents.iter().map(|agent| agent.counters().waiting).sum();
        let stored = self.sink.counters().readings / slave::CHANNEL_COUNT;
        let (opened, delay) = {
            let alerts = self.alerts.lock().unwrap_or_else(PoisonError::into_inner);
            let last = alerts.iter().rev().find_map(|alert| Some(alert.on_page? - alert.sensed?));
            (alerts.len(), last.map_or("–".into(), |delay| format!("{} ms", delay.as_millis())))
        };
        let line = format!(
            "{:>5.0} s | {rate:>5.1} readings/s | stored {stored} | waiting {waiting} blocks | alerts {opened} | \
             sensor to page {delay} | {} MiB{}",
            now.duration_since(self.started).as_secs_f64(),
            rss_kib(std::process::id())? / 1024,
            if self.link.is_up() { "" } else { " | LINK CUT" },
        );
        let mut out = std::io::stdout();
        if on_terminal {
            write!(out, "\r\x1b[2K{line}")?
        } else {
            writeln!(out, "{line}")?
        }
        out.flush()?;
        Ok(())
    }

    /// Stops reading, waits until everything that was read is stored, stops all parts, counts.
    pub(crate) async fn finish(self) -> anyhow::Result<Report> {
        println!("\nStopping: no more readings; waiting until all are stored.");
        self.link.set(true);
        let rss_kib = rss_kib(std::process::id())?;
        let ran = self.started.elapsed();
        self.slaves.iter().for_each(|slave| slave.close());
        let served: Vec<u32> = self.slaves.iter().map(|slave| slave.served()).collect();
        let all_stored = async || Ok((count(&self.file, &served)?.lost() == 0).then_some(()));
        // What is missing is in the table; the wait itself is not the fault.
        if let Err(error) = eventually(DRAIN, "the last readings to be stored", all_stored).await {
            println!("{error}");
        }
        self.page.stop(&self.alerts).await;
        for agent in self.agents {
            agent.stop().await?;
        }
        let counters = self.sink.counters();
        self.sink.stop().await?;
        let alerts = self.alerts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(Report {
            ran,
            count: count(&self.file, &served)?,
            absorbed: counters.repeated,
            injected: self.injected,
            alerts,
            rss_kib,
        })
    }

    fn say(&self, what: &str) {
        // The live line, where it is overwritten, gives way.
        let clear = if std::io::stdout().is_terminal() { "\r\x1b[2K" } else { "" };
        println!("{clear}{:>5.0} s | {what}", self.started.elapsed().as_secs_f64());
    }
}

/// Simulated rows that end at `now_ms`; the turbine's time is [`HISTORY_MS`] afterwards.
pub(crate) fn history(turbine: &mut Turbine, now_ms: i64) -> Vec<Row> {
    let times = (0..HISTORY_MS).step_by(INTERVAL_MS as usize);
    let row = |at_ms: u64| {
        let sample = turbine.sample(at_ms)?;
        Some(slave::row(&sample, 0, now_ms - (HISTORY_MS - at_ms) as i64))
    };
    times.filter_map(row).collect()
}

/// Serves the turbine, and gives the agent's words for where.
async fn put_on_line(index: usize, slave: Arc<Slave>) -> anyhow::Result<String> {
    if index + 1 == TURBINES {
        let port = slave::serve_rtu(slave, RTU_ADDRESS)?;
        return Ok(format!(
            "slave = {RTU_ADDRESS}\nmodbus_rtu = {{ port = {port:?}, baud = 19200, parity = \"none\" }}"
        ));
    }
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let port = listener.local_addr()?.port();
    slave::serve_tcp(listener, slave);
    Ok(format!("modbus_tcp = {{ host = \"127.0.0.1\", port = {port} }}"))
}

pub(crate) fn agent_toml(index: usize, broker: u16, data: &Path, device: &str) -> String {
    let number = index + 1;
    let data = data.join(format!("turbine-{number}"));
    // No [detect] table: the demo judges as it is shipped.
    format!(
        "agent = \"turbine-{number}\"\nfarm = \"simulated\"\ndata = {data:?}\n\n[mqtt]\nhost = \"127.0.0.1\"\n\
         port = {broker}\n\n[spool]\ncommit_every_ms = 500\n\n[[device]]\nname = \"nacelle\"\n\
         location = \"Turbine {number}, nacelle\"\ninterval_ms = {INTERVAL_MS}\ntimeout_ms = 150\n{device}\n{}",
        slave::CHANNELS
    )
}

fn sink_toml(broker: u16, file: &Path, http: SocketAddr) -> String {
    format!(
        "farm = \"simulated\"\n[mqtt]\nhost = \"127.0.0.1\"\nport = {broker}\n[store]\nsqlite = {file:?}\n[http]\n\
         listen = \"{http}\"\nguarded = true\n"
    )
}

/// Writes down every alert that opens at a turbine, with the time of the answer that raised it.
fn recorder(turbine: usize, slave: Arc<Slave>, alerts: Alerts) -> Arc<dyn Fn(&Alert) + Send + Sync> {
    Arc::new(move |alert| {
        let local = clock::now();
        if alert.phase != AlertPhase::Open {
            return;
        }
        let sensed = match alert.kind {
            AlertKind::NoData => None,
            _ => slave.answered_before(local),
        };
        let mut alerts = alerts.lock().unwrap_or_else(PoisonError::into_inner);
        if alerts.len() < MAX_ALERTS {
            alerts.push(Opened { turbine, id: alert.id, kind: alert.kind, sensed, local, on_page: None });
        }
    })
}

/// Compares what was served with what is stored, by the sequence numbers in the rows.
fn count(file: &Path, served: &[u32]) -> anyhow::Result<Count> {
    let stored = stored::rows(file)?;
    let mut count = Count { produced: served.iter().map(|last| u64::from(*last)).sum(), ..Count::default() };
    for (index, &last) in served.iter().enumerate() {
        let Some(device) = stored.get(&format!("turbine-{}/nacelle", index + 1)) else { continue };
        let mut times = vec![0u32; last as usize + 1];
        for sequence in device.values("sequence") {
            match sequence {
                Ok(sequence) if sequence >= 1.0 && sequence <= f64::from(last) => times[sequence as usize] += 1,
                Ok(sequence) => bail!("a stored sequence number, {sequence}, was never served"),
                Err(_) => count.without_data += 1,
            }
        }
        count.stored += times.iter().filter(|times| **times > 0).count() as u64;
        count.twice += times.iter().filter(|times| **times > 1).count() as u64;
    }
    Ok(count)
}

#[cfg(test)]
mod tests;
