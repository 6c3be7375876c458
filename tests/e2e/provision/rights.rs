//! Who is let in, and what an agent may do there.

use super::client::Client;
use super::{Authority, Broker};
use anyhow::{Result, ensure};
use rumqttc::v5::mqttbytes::v5::PubAckReason;
use std::path::Path;
use windward_tests::certificates::Issued;
use windward_tests::peers::there;

#[tokio::test(flavor = "multi_thread")]
async fn e2e_an_agent_has_its_own_topics_and_nobody_elses() -> Result<()> {
    if !there()? {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let farm = Authority::new(dir.path().join("ca"))?;
    for arguments in [["broker", "localhost"], ["sink", "main"], ["agent", "turbine-01"], ["agent", "turbine-02"]] {
        farm.ca(&arguments)?;
    }
    let broker = Broker::start(dir.path().join("broker"), &farm, &farm.issued("localhost", 1)).await?;
    let port = broker.mosquitto.port();
    let (one, sink) = (farm.issued("turbine-01", 1), farm.issued("main", 1));
    // The name that it gives itself is of no use to it.
    let (mut thief, _) = Client::connect_as(port, "thief", Some("turbine-02"), &farm.pem(), Some(&one)).await?;
    let mut sink = Client::connect(port, "sink", &farm.pem(), Some(&sink)).await?;
    sink.subscribe("windward/v1/+/readings").await?;

    let mut refused = 0;
    for topic in [
        "windward/v1/turbine-02/readings",
        "windward/v1/turbine-02/alerts",
        "windward/v1/turbine-02/state",
        "windward/v1/turbine-02/ack",
        "windward/v1/turbine-02/cmd",
        "windward/v1/turbine-01/ack",
        "windward/v1/turbine-01/cmd",
        "windward/v1/turbine-01/readings/more",
        "elsewhere",
    ] {
        let said = thief.publish(topic, b"forged".to_vec()).await?;
        ensure!(said == PubAckReason::NotAuthorized, "turbine-01 may write {topic}: {said:?}");
        refused += 1;
    }
    ensure!(thief.publish("windward/v1/turbine-01/readings", b"own".to_vec()).await? == PubAckReason::Success);
    sink.hears("windward/v1/turbine-01/readings").await?;
    ensure!(sink.heard.len() == 1, "the sink has heard what was refused: {:?}", sink.heard);

    for filter in ["windward/v1/turbine-02/ack", "windward/v1/turbine-02/cmd", "windward/v1/turbine-01/ack", "#"] {
        thief.subscribe(filter).await?;
    }
    for topic in ["turbine-02/ack", "turbine-02/cmd", "turbine-01/ack"] {
        sink.publish(&format!("windward/v1/{topic}"), b"for its agent".to_vec()).await?;
    }
    // What was sent before has come before, if it comes at all.
    thief.hears("windward/v1/turbine-01/ack").await?;
    ensure!(thief.heard.iter().all(|topic| topic == "windward/v1/turbine-01/ack"), "heard {:?}", thief.heard);
    let said = sink.publish("windward/v1/turbine-01/readings", b"forged".to_vec()).await?;
    ensure!(said == PubAckReason::NotAuthorized, "a sink may write readings: {said:?}");
    println!("FIGURE {refused} forged publishes refused by the broker, acks and commands of another agent heard: 0");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_nobody_is_let_in_without_a_certificate_that_counts() -> Result<()> {
    if !there()? {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let (farm, other) = (Authority::new(dir.path().join("farm"))?, Authority::new(dir.path().join("other"))?);
    for arguments in [["broker", "localhost"], ["agent", "turbine-01"], ["agent", "turbine-02"]] {
        farm.ca(&arguments)?;
    }
    other.ca(&["agent", "turbine-01"])?;
    let own = farm.issued("localhost", 1);
    let broker = Broker::start(dir.path().join("broker"), &farm, &own).await?;
    let (one, two) = (farm.issued("turbine-01", 1), farm.issued("turbine-02", 1));
    let port = broker.mosquitto.port();
    let refused = async |what: &str, ca: &Path, own: Option<&Issued>, reason: &str| {
        let said = match Client::connect(port, "stranger", ca, own).await {
            Ok(_) => anyhow::bail!("{what} is a way in"),
            Err(error) => format!("{error:#}"),
        };
        ensure!(said.contains(reason), "{what}: {said}");
        println!("FIGURE {what}: {reason}");
        Ok(())
    };
    refused("no certificate", &farm.pem(), None, "CertificateRequired").await?;
    refused("another authority", &farm.pem(), Some(&other.issued("turbine-01", 1)), "UnknownCA").await?;
    refused("a broker's certificate", &farm.pem(), Some(&own), "UnsupportedCertificate").await?;
    refused("a broker of another farm", &other.pem(), Some(&one), "UnknownIssuer").await?;

    Client::connect(port, "turbine-02", &farm.pem(), Some(&two)).await?;
    farm.ca(&["revoke", "turbine-02"])?;
    broker.hears_of_revocations(&farm).await?;
    refused("a revoked certificate", &farm.pem(), Some(&two), "CertificateRevoked").await?;
    Client::connect(port, "turbine-01", &farm.pem(), Some(&one)).await?;

    // An agent's certificate makes no broker: nobody sends it anything.
    let posing = Broker::start(dir.path().join("posing"), &farm, &one).await?;
    match Client::connect(posing.mosquitto.port(), "turbine-01", &farm.pem(), Some(&one)).await {
        Ok(_) => anyhow::bail!("an agent can pose as the broker"),
        Err(error) => println!("FIGURE an agent as a broker: {error:#}"),
    }
    Ok(())
}
