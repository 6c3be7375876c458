//! Bad input, one after the other: each gets its own clear error, or a row that says why, and nothing else stops.

use crate::system::{Program, SOON, agent_toml, ask, sink_toml};
use anyhow::Result;
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use std::collections::BTreeSet;
use std::time::Duration;
use windward_protocol::batch::BatchBuilder;
use windward_protocol::{AgentId, Envelope, Gap, GapReason, Lane, NoData, Record, topic, version};
use windward_tests::peers::{Mosquitto, PyModbus, SerialLine, there};
use windward_tests::process::{eventually, free_port};
use windward_tests::stored;

const DEVICE: &str = "[[device]]\nname = \"mast\"\nlocation = \"Turbine 1, mast\"\n";
const CHANNEL: &str = "[[device.channel]]\nname = \"wind\"\nquantity = \"wind-speed\"\nunit = \"m/s\"\nregister = 0\n\
                       type = \"u16\"\nscale = 0.01\n";

#[tokio::test]
async fn e2e_a_bad_configuration_is_refused_with_its_place_and_what_was_meant() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let base = agent_toml("turbine-01", dir.path(), 1883, "");
    let tcp = "modbus_tcp = { host = \"127.0.0.1\" }\n";
    let rtu = "modbus_rtu = { port = \"/dev/ttyUSB0\", baud = 19201 }\n";
    let table: [(String, &[&str]); 4] = [
        (
            format!("{base}{DEVICE}intervall_ms = 100\n{tcp}{CHANNEL}"),
            &["windward-agent.toml:12", "intervall_ms", "did you mean `interval_ms`?"],
        ),
        (format!("{base}{DEVICE}{rtu}{CHANNEL}"), &["windward-agent.toml:12", "19201", "did you mean 19200?"]),
        (format!("{base}{DEVICE}{CHANNEL}"), &["modbus_tcp", "modbus_rtu"]),
        (format!("{base}{DEVICE}{tcp}"), &["channel"]),
    ];
    for (text, words) in table {
        let (well, said) = Program::new("windward-agent", dir.path(), &text)?.refused().await?;
        assert!(!well, "{said}");
        for word in words {
            assert!(said.contains(word), "{word:?} in: {said}");
        }
        println!("FIGURE refused: {}", said.trim().replace('\n', " | ").replace(&*dir.path().to_string_lossy(), ""));
    }
    let text = sink_toml(1883, "sqlite = \"farm.db\"", "", 0).replace("port = 1883", "prot = 1883");
    let (well, said) = Program::new("windward-sink", dir.path(), &text)?.refused().await?;
    assert!(!well && said.contains("windward-sink.toml:4") && said.contains("did you mean `port`?"), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_check_says_what_may_be_wrong_with_a_silent_line() -> Result<()> {
    if !there()? {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let line = SerialLine::start(dir.path()).await?;
    let base = agent_toml("turbine-01", dir.path(), free_port()?, "");
    let rtu = format!("slave = 3\nmodbus_rtu = {{ port = {:?}, baud = 9600 }}\n", line.near);
    let program = Program::new("windward-agent", dir.path(), &format!("{base}{DEVICE}{rtu}{CHANNEL}"))?;
    let (well, said) = program.check(&[]).await?;
    assert!(!well, "{said}");
    for word in ["slave 3", "9600", "8E1", "baud"] {
        assert!(said.contains(word), "{word:?} in: {said}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_a_bad_device_gives_rows_that_say_why_and_stops_no_other() -> Result<()> {
    if !there()? {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let broker = Mosquitto::start(dir.path()).await?;
    let (mut good, good_port) = PyModbus::tcp().await?;
    let (mut refusing, refusing_port) = PyModbus::tcp().await?;
    let (mut failed, failed_port) = PyModbus::tcp().await?;
    good.tell(r#"{"set": {"0": 800}, "wobble": 60}"#)?;
    refusing.tell(r#"{"exception": 4}"#)?;
    failed.tell(r#"{"set": {"0": 65535}}"#)?;
    let ports = [("good", good_port), ("refusing", refusing_port), ("failed", failed_port), ("away", free_port()?)];
    let mut text = agent_toml("turbine-01", dir.path(), broker.port(), "");
    for (name, port) in ports {
        let device = DEVICE.replace("mast", name);
        text.push_str(&format!(
            "{device}interval_ms = 200\ntimeout_ms = 150\nmodbus_tcp = {{ host = \"127.0.0.1\", port = {port} }}\n\
             {CHANNEL}sentinels = [65535]\n"
        ));
    }
    let file = dir.path().join("farm.db");
    let sink = sink_toml(broker.port(), &format!("sqlite = {file:?}"), "", free_port()?);
    let mut sink = Program::new("windward-sink", dir.path(), &sink)?;
    let mut agent = Program::new("windward-agent", dir.path(), &text)?;
    sink.start()?;
    agent.start()?;
    let stored = eventually(SOON, "rows of every device", async || {
        agent.check_alive()?;
        sink.check_alive()?;
        let stored = stored::rows(&file)?;
        Ok((stored.len() == ports.len() && stored.values().all(|stored| stored.rows.len() >= 20)).then_some(stored))
    })
    .await?;
    let reasons = |device: &str| -> BTreeSet<Option<NoData>> {
        stored[&format!("turbine-01/{device}")].values("wind").into_iter().map(Result::err).collect()
    };
    for (device, reason) in [
        ("good", None),
        ("refusing", Some(NoData::Exception(4))),
        ("failed", Some(NoData::Sentinel)),
        ("away", Some(NoData::Disconnected)),
    ] {
        println!("FIGURE device {device}: {:?}", reasons(device));
        assert_eq!(reasons(device), BTreeSet::from([reason]), "{device}");
    }
    agent.stop().await?;
    sink.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_a_bad_payload_is_kept_with_its_reason_and_stops_no_other() -> Result<()> {
    if !there()? {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let broker = Mosquitto::start(dir.path()).await?;
    let (http, file) = (free_port()?, dir.path().join("farm.db"));
    let sink = sink_toml(broker.port(), &format!("sqlite = {file:?}"), "", http);
    let mut sink = Program::new("windward-sink", dir.path(), &sink)?;
    sink.start()?;
    eventually(SOON, "the sink to listen to the broker", async || {
        sink.check_alive()?;
        Ok(ask(http, "/healthz").ok().filter(|health| health["connected"] != false))
    })
    .await?;

    let agent = AgentId::new("turbine-01")?;
    let alerts = topic::of_lane(&agent, Lane::Alerts);
    let good = |seq| envelope(&agent, seq).encode();
    let mut flipped = good(2)?;
    flipped[9] ^= 0x10;
    let of_another = envelope(&AgentId::new("turbine-02")?, 3).encode()?;
    let payloads = [
        (alerts.clone(), batch(&good(1)?)),
        (alerts.clone(), b"not a batch at all".to_vec()),
        (alerts.clone(), batch(&flipped)),
        (alerts.clone(), batch(&of_another)),
        (alerts.clone(), batch(&of_the_future(&good(4)?))),
        (alerts, batch(&good(5)?)),
    ];
    publish(broker.port(), &payloads).await?;
    let poison = eventually(SOON, "the poison rows", async || {
        sink.check_alive()?;
        let poison = ask(http, "/api/v1/poison")?["poison"].as_array().cloned().unwrap_or_default();
        Ok((poison.len() >= 4).then_some(poison))
    })
    .await?;
    let reasons: Vec<&str> = poison.iter().filter_map(|row| row["reason"].as_str()).collect();
    println!("FIGURE poison: {reasons:?}");
    assert_eq!(reasons.len(), 4);
    for word in ["batch", "checksum", "turbine-02", "version"] {
        assert!(reasons.iter().any(|reason| reason.contains(word)), "{word:?} in {reasons:?}");
    }
    // Both good ones, before and after the bad: each says that a sequence is lost, and the sink knows it.
    eventually(SOON, "the good envelopes", async || {
        let gaps = ask(http, "/api/v1/gaps")?.to_string();
        Ok((gaps.contains("1001") && gaps.contains("1005")).then_some(()))
    })
    .await?;
    sink.stop().await
}

fn envelope(agent: &AgentId, seq: u64) -> Envelope {
    let gap = Gap { lane: Lane::Readings, from: 1_000 + seq, to: 1_000 + seq, reason: GapReason::Damage };
    Envelope { agent: agent.clone(), epoch: 7, lane: Lane::Alerts, seq, record: Record::Gap(gap) }
}

fn batch(envelope: &[u8]) -> Vec<u8> {
    let mut batch = BatchBuilder::new();
    assert!(batch.push(envelope));
    batch.finish()
}

/// The same envelope as a later version would write it, intact.
fn of_the_future(envelope: &[u8]) -> Vec<u8> {
    let mut bytes = envelope[..envelope.len() - 4].to_vec();
    bytes[0] = version::CURRENT + 1;
    bytes.extend(crc32c(&bytes).to_le_bytes());
    bytes
}

/// CRC-32C bit by bit (RFC 3720, B.4).
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
}

/// Publishes as a stranger would, and waits for the broker's acks.
async fn publish(port: u16, payloads: &[(String, Vec<u8>)]) -> Result<()> {
    let options = MqttOptions::new("stranger", "127.0.0.1", port);
    let (client, mut events) = AsyncClient::new(options, payloads.len());
    for (topic, payload) in payloads {
        client.publish(topic, QoS::AtLeastOnce, false, payload.clone()).await?;
    }
    let acked = async {
        let mut acks = 0;
        while acks < payloads.len() {
            if let Event::Incoming(Packet::PubAck(_)) = events.poll().await? {
                acks += 1;
            }
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(Duration::from_secs(10), acked).await?
}
