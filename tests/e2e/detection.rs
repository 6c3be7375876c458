//! What the detector says of the simulated turbine, through the real programs: which kind of alert is told of which
//! fault, and that what was learned outlives a restart.

use crate::system::{Program, SOON, agent_toml, ask, kept, sink_toml};
use anyhow::{Context as _, Result};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpListener;
use windward_tests::clock;
use windward_tests::peers::{Mosquitto, there};
use windward_tests::plant::{Fault, Turbine};
use windward_tests::process::{eventually, free_port};
use windward_tests::slave::{self, Slave};

/// Seed of the wind: one that is judged rightly wherever the readings fall. In how many winds it is not is counted where it
/// takes no time (`farm/farm/tests.rs`).
const WIND: u64 = 1;
/// Polls without an answer before the device is silent: two seconds, for a busy machine holds up its simulation too.
const SILENT: u32 = 40;
/// Time between two readings, ms.
const INTERVAL_MS: u64 = 50;
/// Readings the detector learns from before anything happens: its warm-up of 320, and what the tails want besides.
const LEARNED: usize = 1_200;
/// Readings with ice: it grows for 20 s of them, and stays.
const ICED: usize = 440;
/// Longer than the test: what happens when the ice falls off is another matter.
const ICE: Duration = Duration::from_secs(600);

#[tokio::test(flavor = "multi_thread")]
async fn e2e_an_iced_anemometer_is_told_as_iced_and_not_as_wind() -> Result<()> {
    if !there()? {
        return Ok(());
    }
    let mut farm = Farm::start().await?;
    farm.rows(LEARNED).await?;
    assert_eq!(farm.alerts()?, [], "usual wind raises nothing");

    let (began, before) = (clock::now(), farm.taken());
    farm.slave.inject(Fault::Icing, ICE.as_millis() as u64);
    let iced = eventually(SOON, "the alert of the iced anemometer", async || {
        farm.check_alive()?;
        Ok(farm.alerts()?.into_iter().find(|alert| alert.kind == "iced"))
    })
    .await;
    let told = began.elapsed();
    // All that is raised while there is ice.
    farm.rows(before + ICED).await?;
    let raised = farm.alerts()?;
    for alert in &raised {
        println!("FIGURE {} of {}, {}: {}", alert.kind, alert.channel, alert.state, alert.evidence);
    }
    let iced = iced?;
    println!("FIGURE ice told {:.1} s after it began to grow", told.as_secs_f64());
    assert_eq!(iced.channel, "wind");
    assert!(raised.iter().any(|alert| alert.id == iced.id && alert.state == "open"), "it is open while there is ice");
    let others: Vec<&Told> = raised.iter().filter(|alert| alert.id != iced.id).collect();
    assert!(others.is_empty(), "one fault is one alert, and the wind is not blamed: {others:?}");
    farm.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_what_was_learned_judges_at_once_after_a_restart() -> Result<()> {
    if !there()? {
        return Ok(());
    }
    let mut farm = Farm::start().await?;
    farm.rows(LEARNED).await?;
    farm.agent.stop().await?;
    farm.agent.start()?;
    // Far fewer than anything could be learned from.
    let before = farm.taken();
    farm.rows(before + 20).await?;
    assert_eq!(farm.alerts()?, [], "neither the wind nor the restart raises anything");
    farm.slave.inject(Fault::Spike, 1_000);
    let is_spike = |alert: &Told| alert.kind == "spike" && alert.channel == "wind";
    let told = async || Ok(farm.alerts()?.into_iter().find(is_spike));
    let spike = eventually(SOON, "the alert of the spike", told).await?;
    println!("FIGURE {} readings after the restart: {}", farm.taken() - before, spike.evidence);
    farm.stop().await
}

/// An alert as the sink's page is told of it.
#[derive(Clone, Debug, PartialEq)]
struct Told {
    id: String,
    kind: String,
    channel: String,
    state: String,
    evidence: String,
}

/// The simulated turbine, its agent, a broker and a sink.
struct Farm {
    slave: Arc<Slave>,
    agent: Program,
    sink: Program,
    http: u16,
    _broker: Mosquitto,
    _dir: TempDir,
}

impl Farm {
    async fn start() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let slave = Slave::new(Turbine::new(WIND), 0);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        slave::serve_tcp(listener, slave.clone());
        let broker = Mosquitto::start(dir.path()).await?;
        let http = free_port()?;
        let store = format!("sqlite = {:?}", dir.path().join("farm.db"));
        let mut sink = Program::new("windward-sink", dir.path(), &sink_toml(broker.port(), &store, "", http))?;
        let device = format!(
            "[detect]\nno_data_after = {SILENT}\n[[device]]\nname = \"nacelle\"\nlocation = \"Turbine 1, nacelle\"\n\
             interval_ms = {INTERVAL_MS}\ntimeout_ms = {}\nmodbus_tcp = {{ host = \"127.0.0.1\", port = {port} }}\n{}",
            INTERVAL_MS - 5,
            slave::CHANNELS
        );
        let config = agent_toml("turbine-01", dir.path(), broker.port(), &device);
        let mut agent = Program::new("windward-agent", dir.path(), &config)?;
        sink.start()?;
        agent.start()?;
        Ok(Self { slave, agent, sink, http, _broker: broker, _dir: dir })
    }

    /// Rows that the agent has kept.
    fn taken(&self) -> usize {
        kept(&self.agent.output()).get("nacelle").map_or(0, Vec::len)
    }

    /// Waits until the agent has kept so many rows.
    async fn rows(&mut self, rows: usize) -> Result<()> {
        eventually(SOON * 3, "the stream to go on", async || {
            self.check_alive()?;
            Ok((self.taken() >= rows).then_some(()))
        })
        .await
    }

    fn check_alive(&mut self) -> Result<()> {
        self.agent.check_alive()?;
        self.sink.check_alive()
    }

    /// The stored alerts, in the order in which they opened.
    fn alerts(&self) -> Result<Vec<Told>> {
        let answer = ask(self.http, "/api/v1/alerts?limit=1000")?;
        let told = |alert: &serde_json::Value| {
            let text = |key: &str| alert[key].as_str().unwrap_or_default().to_owned();
            let (id, kind, channel) = (text("id"), text("kind"), text("channel"));
            Told { id, kind, channel, state: text("state"), evidence: text("evidence") }
        };
        let mut alerts = answer["alerts"].as_array().context("a list of alerts")?.clone();
        alerts.sort_by_key(|alert| alert["opened_ms"].as_i64());
        Ok(alerts.iter().map(told).collect())
    }

    async fn stop(mut self) -> Result<()> {
        self.agent.stop().await?;
        self.sink.stop().await
    }
}
