//! A link that is long and breaks: six cuts in mid-stream at 0, 150 and 300 ms there and back.

use crate::kills::{missing, twice};
use crate::system::{Program, SOON, agent_toml, kept, seed, sink_toml};
use anyhow::{Context as _, Result};
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use windward_protocol::{Envelope, Lane, Seq, SeqRange, SeqSet, batch};
use windward_tests::clock;
use windward_tests::link::Link;
use windward_tests::peers::{Mosquitto, PyModbus, there};
use windward_tests::process::{eventually, free_port};
use windward_tests::random::Random;
use windward_tests::stored;

/// Cuts of one link.
const CUTS: usize = 6;
/// Rows between two cuts, at least and at most.
const BETWEEN: (u64, u64) = (20, 80);

#[tokio::test(flavor = "multi_thread")]
async fn e2e_nothing_is_lost_or_comes_out_of_order_on_a_link_that_is_cut_six_times() -> Result<()> {
    if !there()? {
        return Ok(());
    }
    let mut random = Random::new(seed());
    for round_trip_ms in [0, 150, 300] {
        cut_six_times(Duration::from_millis(round_trip_ms), &mut random).await?;
    }
    Ok(())
}

async fn cut_six_times(round_trip: Duration, random: &mut Random) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (_device, device_port) = PyModbus::tcp().await?;
    let broker = Mosquitto::start(dir.path()).await?;
    let link = Link::long(SocketAddr::from(([127, 0, 0, 1], broker.port())), round_trip).await?;
    let file = dir.path().join("farm.db");
    let sink = sink_toml(broker.port(), &format!("sqlite = {file:?}"), "", free_port()?);
    let mut sink = Program::new("windward-sink", dir.path(), &sink)?;
    let config = agent_toml("turbine-01", dir.path(), link.addr().port(), "");
    let config = format!(
        "{config}[[device]]\nname = \"mast\"\nlocation = \"Turbine 1, mast\"\ninterval_ms = 50\ntimeout_ms = 45\n\
         modbus_tcp = {{ host = \"127.0.0.1\", port = {device_port} }}\n\
         [[device.channel]]\nname = \"sequence\"\nunit = \"1\"\nregister = 100\ntype = \"u32\"\ndetect = false\n"
    );
    let mut agent = Program::new("windward-agent", dir.path(), &config)?;
    let seen = listen(broker.port()).await?;
    sink.start()?;
    agent.start()?;

    let rows = |agent: &Program| kept(&agent.output()).get("mast").map_or(0, Vec::len);
    for _ in 0..CUTS {
        let until = rows(&agent) + random.between(BETWEEN.0, BETWEEN.1) as usize;
        eventually(SOON, "the stream to go on", async || Ok((rows(&agent) >= until).then_some(()))).await?;
        link.set(false);
        tokio::time::sleep(Duration::from_millis(random.between(0, 1_000))).await;
        link.set(true);
    }
    let (begun, until) = (clock::now(), rows(&agent));
    let all_stored = async || {
        agent.check_alive()?;
        let taken = BTreeMap::from([("mast".to_owned(), kept(&agent.output())["mast"][..until].to_vec())]);
        Ok(missing(&taken, &stored::rows(&file)?).is_empty().then_some(()))
    };
    let drained = eventually(SOON * 2, "everything taken to be stored", all_stored).await;
    let twice = twice(&stored::rows(&file)?);
    let Seen { envelopes, late, .. } = std::mem::take(&mut *seen.lock().unwrap());
    println!(
        "FIGURE {} ms there and back, {CUTS} cuts: {until} rows taken, all stored {} ms after the last cut, {twice} twice; \
         {envelopes} envelopes seen at the broker, {} out of order",
        round_trip.as_millis(),
        begun.elapsed().as_millis(),
        late.len()
    );
    drained?;
    assert_eq!(twice, 0);
    assert!(late.is_empty(), "came for the first time after a later one: {late:?}");
    agent.stop().await?;
    sink.stop().await
}

/// What has come to the broker.
#[derive(Default)]
pub(crate) struct Seen {
    envelopes: u64,
    lanes: BTreeMap<Lane, SeqSet>,
    /// Those that came for the first time after a later one of their lane.
    pub(crate) late: Vec<(Lane, Seq)>,
}

impl Seen {
    fn see(&mut self, payload: &[u8]) {
        for bytes in batch::split(payload).envelopes {
            let Ok(Envelope { lane, seq, .. }) = Envelope::decode(&bytes) else { continue };
            self.envelopes += 1;
            let seen = self.lanes.entry(lane).or_default();
            let is_late = !seen.contains(seq) && seen.ranges().last().is_some_and(|range| range.last > seq);
            self.late.extend(is_late.then_some((lane, seq)));
            seen.insert(SeqRange { first: seq, last: seq });
        }
    }
}

/// Listens at the broker to all that is sent on the durable lanes.
pub(crate) async fn listen(broker: u16) -> Result<Arc<Mutex<Seen>>> {
    let mut options = MqttOptions::new("witness", "127.0.0.1", broker);
    options.set_max_packet_size(1 << 20, 1 << 20);
    let (client, mut events) = AsyncClient::new(options, 16);
    client.subscribe("windward/v1/+/readings", QoS::AtLeastOnce).await?;
    client.subscribe("windward/v1/+/alerts", QoS::AtLeastOnce).await?;
    for _ in 0..2 {
        while !matches!(events.poll().await.context("the witness")?, Event::Incoming(Packet::SubAck(_))) {}
    }
    let seen = Arc::new(Mutex::new(Seen::default()));
    let sees = seen.clone();
    tokio::spawn(async move {
        // The client lives as long as it listens.
        let _client = client;
        while let Ok(event) = events.poll().await {
            if let Event::Incoming(Packet::Publish(publish)) = event {
                sees.lock().unwrap().see(&publish.payload);
            }
        }
    });
    Ok(seen)
}
