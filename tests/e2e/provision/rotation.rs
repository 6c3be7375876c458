//! Certificates that are renewed and revoked under agents at work, and what a sink makes of an agent that lies.

use super::client::Client;
use super::{Authority, Broker};
use crate::system::{Program, SOON, agent_toml, ask, kept, sink_toml};
use anyhow::{Context as _, Result, ensure};
use rumqttc::v5::mqttbytes::v5::PubAckReason;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use windward_protocol::batch::BatchBuilder;
use windward_protocol::{AgentId, Envelope, Gap, GapReason, Lane, Record};
use windward_tests::certificates::Issued;
use windward_tests::peers::{PyModbus, there};
use windward_tests::process::{eventually, free_port};
use windward_tests::stored;

/// A broker, a sink and an agent at work, all by TLS.
struct Farm {
    dir: tempfile::TempDir,
    authority: Authority,
    broker: Broker,
    sink: Program,
    agent: Program,
    http: u16,
    _device: PyModbus,
}

impl Farm {
    async fn start() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let authority = Authority::new(dir.path().join("ca"))?;
        for arguments in [["broker", "localhost"], ["sink", "main"], ["agent", "turbine-01"], ["agent", "turbine-02"]] {
            authority.ca(&arguments)?;
        }
        let broker = Broker::start(dir.path().join("broker"), &authority, &authority.issued("localhost", 1)).await?;
        let tls = |config: String, name: &str| {
            let place = |end: &str| dir.path().join(format!("{name}.{end}"));
            let files = format!("ca = {:?}\ncert = {:?}\nkey = {:?}\n", authority.pem(), place("pem"), place("key"));
            config.replacen("host = \"127.0.0.1\"\n", &format!("host = \"localhost\"\n{files}"), 1)
        };
        let (mut device, modbus) = PyModbus::tcp().await?;
        device.tell(r#"{"set": {"0": 800}, "wobble": 60}"#)?;
        let port = broker.mosquitto.port();
        let mast = format!(
            "[[device]]\nname = \"mast\"\ninterval_ms = 50\ntimeout_ms = 45\n\
             modbus_tcp = {{ host = \"127.0.0.1\", port = {modbus} }}\n[[device.channel]]\nname = \"wind\"\n\
             quantity = \"wind-speed\"\nunit = \"m/s\"\nregister = 0\ntype = \"u16\"\nscale = 0.01\n"
        );
        let agent = tls(agent_toml("turbine-01", dir.path(), port, &mast), "turbine-01");
        let http = free_port()?;
        let store = format!("sqlite = {:?}", dir.path().join("farm.db"));
        let sink = tls(sink_toml(port, &store, "", http), "main");
        let mut sink = Program::new("windward-sink", dir.path(), &sink)?;
        let mut agent = Program::new("windward-agent", dir.path(), &agent)?;
        install(dir.path(), "main", &authority.issued("main", 1))?;
        install(dir.path(), "turbine-01", &authority.issued("turbine-01", 1))?;
        sink.start()?;
        agent.start()?;
        Ok(Self { dir, authority, broker, sink, agent, http, _device: device })
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("farm.db")
    }

    /// Times of the rows stored.
    fn stored(&self) -> Result<Vec<i64>> {
        let rows = stored::rows(&self.file())?;
        Ok(rows.get("turbine-01/mast").map_or(Vec::new(), |found| found.rows.iter().map(|row| row.time_ms).collect()))
    }

    /// Times of the rows that the agent has said it has kept.
    fn taken(&self) -> Vec<i64> {
        kept(&self.agent.output()).remove("mast").unwrap_or_default().iter().map(|row| row.0).collect()
    }

    async fn more_are_stored(&self) -> Result<()> {
        let more = self.stored()?.len() + 20;
        eventually(SOON, "rows to be stored", async || Ok((self.stored()?.len() >= more).then_some(()))).await
    }

    async fn said(&self, what: &str, times: usize) -> Result<()> {
        let said = async || Ok((self.agent.output().matches(what).count() >= times).then_some(()));
        eventually(SOON, &format!("the agent to say {what} {times} times"), said).await
    }
}

/// Puts a certificate and its key where a program finds them.
fn install(dir: &Path, name: &str, issued: &Issued) -> Result<()> {
    std::fs::copy(&issued.cert, dir.join(format!("{name}.pem"))).with_context(|| issued.cert.display().to_string())?;
    std::fs::copy(&issued.key, dir.join(format!("{name}.key")))?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_certificates_come_and_go_and_nothing_is_lost() -> Result<()> {
    if !there()? {
        return Ok(());
    }
    let mut farm = Farm::start().await?;
    farm.more_are_stored().await?;
    let (well, said) = farm.sink.run(&["health"]).await?;
    ensure!(well && said.starts_with("ok: "), "{said}");

    // Rotation: the new one beside the old one, a restart, and then the end of the old one.
    farm.authority.ca(&["rotate", "turbine-01"])?;
    let (first, second) = (farm.authority.issued("turbine-01", 1), farm.authority.issued("turbine-01", 2));
    install(farm.dir.path(), "turbine-01", &second)?;
    farm.agent.stop().await?;
    farm.agent.start()?;
    farm.said(": connected uplink", 2).await?;
    farm.authority.ca(&["revoke", "turbine-01", "--old"])?;
    farm.broker.hears_of_revocations(&farm.authority).await?;
    let port = farm.broker.mosquitto.port();
    let refused = Client::connect(port, "turbine-01-old", &farm.authority.pem(), Some(&first)).await;
    ensure!(refused.is_err(), "the old certificate is still a way in");
    farm.more_are_stored().await?;

    // Revoked under a running agent: it is out when the broker starts anew, keeps what it reads, and is in again with
    // a new one without being touched.
    farm.authority.ca(&["revoke", "turbine-01"])?;
    farm.broker.hears_of_revocations(&farm.authority).await?;
    farm.broker.mosquitto.kill()?;
    farm.broker.mosquitto.restart().await?;
    farm.said("CertificateRevoked", 1).await?;
    let waiting = farm.taken().len() + 40;
    eventually(SOON, "rows to be kept", async || Ok((farm.taken().len() >= waiting).then_some(()))).await?;
    farm.authority.ca(&["rotate", "turbine-01"])?;
    install(farm.dir.path(), "turbine-01", &farm.authority.issued("turbine-01", 3))?;
    farm.said(": connected uplink", 3).await?;
    farm.more_are_stored().await?;

    // The sink's turn, without a restart: it reads its files at each connection.
    farm.authority.ca(&["rotate", "main"])?;
    install(farm.dir.path(), "main", &farm.authority.issued("main", 2))?;
    farm.authority.ca(&["revoke", "main", "--old"])?;
    farm.broker.hears_of_revocations(&farm.authority).await?;
    farm.broker.mosquitto.kill()?;
    farm.broker.mosquitto.restart().await?;
    farm.more_are_stored().await?;

    let missing = nothing_is_missing(&mut farm).await?;
    println!("FIGURE three certificates of an agent, two of a sink, two revoked in use: {missing}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_an_agent_that_lies_is_found_out_by_broker_and_sink() -> Result<()> {
    if !there()? {
        return Ok(());
    }
    let mut farm = Farm::start().await?;
    farm.more_are_stored().await?;
    let (port, own) = (farm.broker.mosquitto.port(), farm.authority.issued("turbine-02", 1));
    let mut liar = Client::connect(port, "turbine-02", &farm.authority.pem(), Some(&own)).await?;
    let envelope = Envelope {
        agent: AgentId::new("turbine-01")?,
        epoch: 7,
        lane: Lane::Readings,
        seq: 1,
        record: Record::Gap(Gap { lane: Lane::Readings, from: 1, to: 1_000, reason: GapReason::Damage }),
    };
    let mut batch = BatchBuilder::new();
    ensure!(batch.push(&envelope.encode()?), "a batch has room");
    // On its own topic the broker takes it: what stands inside is the sink's to judge.
    let said = liar.publish("windward/v1/turbine-02/readings", batch.finish()).await?;
    ensure!(said == PubAckReason::Success, "{said:?}");
    let found = async || Ok(ask(farm.http, "/api/v1/poison?agent=turbine-02")?["poison"].get(0).cloned());
    let poison = eventually(SOON, "the lie to be found out", found).await?;
    ensure!(poison["reason"] == "agent turbine-01 inside, topic of turbine-02", "{poison}");
    let gaps = ask(farm.http, "/api/v1/gaps")?;
    ensure!(!gaps.to_string().contains("1000"), "the lie is believed: {gaps}");
    println!("FIGURE an envelope of turbine-01 from turbine-02: {}", poison["reason"]);

    // It takes the sink's session, with all its subscriptions: it hears nothing, and the sink loses nothing.
    let (mut thief, connack) =
        Client::connect_as(port, "windward-sink", Some("windward:sink"), &farm.authority.pem(), Some(&own)).await?;
    ensure!(connack.session_present, "it is the sink's session");
    thief.thrown_out().await?;
    ensure!(thief.heard.is_empty(), "the thief has heard {:?}", thief.heard);
    let missing = nothing_is_missing(&mut farm).await?;
    println!("FIGURE an agent in the sink's session heard 0 publishes; {missing}");
    Ok(())
}

/// All that the agent has ever taken comes to be stored, once; says so with figures.
async fn nothing_is_missing(farm: &mut Farm) -> Result<String> {
    farm.agent.stop().await?;
    let taken = farm.taken();
    // What the stop did not wait for goes with the next start.
    let connections = farm.agent.output().matches(": connected uplink").count();
    farm.agent.start()?;
    farm.said(": connected uplink", connections + 1).await?;
    let wanted: BTreeSet<i64> = taken.iter().copied().collect();
    let all = async || Ok(wanted.is_subset(&farm.stored()?.into_iter().collect()).then_some(()));
    eventually(SOON, "all rows to be stored", all).await?;
    farm.agent.stop().await?;
    farm.sink.stop().await?;
    let stored = farm.stored()?;
    // What a broker has forgotten comes after what it has not.
    let times = |of: &[i64], time: i64| of.iter().filter(|each| **each == time).count();
    for time in &wanted {
        let (once, now) = (times(&taken, *time), times(&stored, *time));
        ensure!(now <= once, "{time} was taken {once} times and is stored {now} times: {}", farm.dir.path().display());
    }
    Ok(format!("{} rows taken, 0 missing, each stored once", taken.len()))
}
