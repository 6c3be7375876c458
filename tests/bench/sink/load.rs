//! A farm's load on one sink: agents with a connection each, a publish every so often, and how long until it is acked.

use crate::farm::{CHANNELS, Farm};
use anyhow::{Context as _, Result, bail, ensure};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use rusqlite::{Connection, OpenFlags};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;
use windward_protocol::{Ack, topic};
use windward_tests::clock;
use windward_tests::cost::Program;
use windward_tests::peers::{Mosquitto, find};
use windward_tests::process::{free_port, program};

/// How long the last ack may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Connections that begin at once.
const TOGETHER: usize = 50;

/// What the farm does.
pub(crate) struct Load {
    pub(crate) agents: usize,
    pub(crate) lasts: Duration,
    /// Between two publishes of an agent, s: each holds a block of one moment a second.
    pub(crate) every_s: u64,
}

/// Loads a sink that may use one core, and says how it fares.
pub(crate) async fn load(load: Load, dir: &Path) -> Result<()> {
    let mosquitto = Mosquitto::start_with(dir, "max_queued_messages 0\nmax_inflight_messages 0\n").await?;
    let (file, http, config) = (dir.join("farm.db"), free_port()?, dir.join("sink.toml"));
    let text = format!(
        "farm = \"bench\"\n[mqtt]\nhost = \"127.0.0.1\"\nport = {}\n[store]\nsqlite = {file:?}\n\
         [http]\nlisten = \"127.0.0.1:{http}\"\nguarded = true\n",
        mosquitto.port()
    );
    std::fs::write(&config, text)?;
    let taskset = find("taskset").context("taskset (util-linux) is not installed")?;
    let windward = program("windward-sink")?;
    let arguments = ["-c".into(), "1".into(), windward.into(), "run".into(), "-c".into(), config.into()];
    let mut sink = Program::new("windward-sink", taskset, arguments);
    sink.start()?;
    sink.listens(http).await?;

    let (begin, begun) = watch::channel(None);
    let lags = Arc::new(Mutex::new(Vec::new()));
    let mut agents = JoinSet::new();
    for number in 0..load.agents {
        let farm = Farm::new(number..number + 1, (1, load.every_s as usize));
        let offset = Duration::from_secs(load.every_s).mul_f64(number as f64 / load.agents as f64);
        agents.spawn(agent(farm, mosquitto.port(), begun.clone(), offset, load.lasts, load.every_s, lags.clone()));
        if number % TOGETHER == 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    let before = sink.cost()?;
    let start = clock::now() + Duration::from_secs(2);
    begin.send_replace(Some(start));
    let mut readings = 0;
    while let Some(done) = agents.join_next().await {
        readings += done??;
        sink.check_alive()?;
    }
    let (cost, pss) = (sink.cost()?.since(before), sink.pss_kib()? / 1024.0);
    let stored = stored(&file)?;
    ensure!(stored * CHANNELS == readings, "{readings} readings were sent, {} are stored", stored * CHANNELS);
    let mut lags = std::mem::take(&mut *lags.lock().unwrap_or_else(PoisonError::into_inner));
    lags.sort_unstable();
    let at = |part: f64| lags[((lags.len() - 1) as f64 * part) as usize];
    let seconds = load.lasts.as_secs_f64();
    println!(
        "FIGURE {} agents, a publish every {} s, {:.0} readings/s for {seconds:.0} s: publish to ack median {} ms, p99 {} \
         ms, worst {} ms; sink {:.1} % of a core, PSS {pss:.1} MiB, {:.0} kB/s to disk, {:.1} bytes a reading kept",
        load.agents,
        load.every_s,
        readings as f64 / seconds,
        at(0.5),
        at(0.99),
        at(1.0),
        cost.cpu_s * 100.0 / seconds,
        cost.written / seconds / 1e3,
        std::fs::metadata(&file)?.len() as f64 / readings as f64,
    );
    sink.stop().await
}

/// One agent; gives the readings it has sent, all of them acked.
async fn agent(
    mut farm: Farm,
    broker: u16,
    mut begun: watch::Receiver<Option<Instant>>,
    offset: Duration,
    lasts: Duration,
    every_s: u64,
    lags: Arc<Mutex<Vec<u32>>>,
) -> Result<usize> {
    let id = farm.agent(0).clone();
    let mut options = MqttOptions::new(id.as_str(), "127.0.0.1", broker);
    // Its room for what is under way would otherwise be ten megabytes an agent.
    options.set_keep_alive(Duration::from_secs(30)).set_clean_start(true).set_outgoing_inflight_upper_limit(64);
    let (client, mut events) = AsyncClient::new(options, 64);
    client.subscribe(topic::ack(&id), QoS::AtMostOnce).await?;
    let mut start = None;
    let (mut sent, mut seq) = (BTreeMap::new(), 0u64);
    let mut mine = Vec::new();
    loop {
        let next = start.map(|start: Instant| start + Duration::from_secs(seq / every_s * every_s));
        let is_over = matches!((start, next), (Some(start), Some(next)) if next >= start + lasts);
        if is_over && sent.is_empty() {
            lags.lock().unwrap_or_else(PoisonError::into_inner).append(&mut mine);
            return Ok(farm.readings);
        }
        let due = match next {
            Some(next) if !is_over => next,
            Some(next) => next + PATIENCE,
            None => clock::now() + PATIENCE,
        };
        tokio::select! {
            event = events.poll() => {
                let Event::Incoming(Packet::Publish(publish)) = event? else { continue };
                for range in Ack::decode(&publish.payload)?.ranges {
                    for acked in range.first..=range.last {
                        let Some(at) = sent.remove(&acked) else { continue };
                        mine.push(clock::now().duration_since(at).as_millis() as u32);
                    }
                }
            }
            _ = begun.changed(), if start.is_none() => start = begun.borrow().map(|start| start + offset),
            () = tokio::time::sleep_until(due.into()) => {
                if is_over || start.is_none() {
                    bail!("{id}: {} blocks are not acked", sent.len());
                }
                let delivery = farm.publish(0);
                let now = clock::now();
                for _ in 0..every_s {
                    seq += 1;
                    sent.insert(seq, now);
                }
                client.try_publish(delivery.from.to_string(), QoS::AtLeastOnce, false, delivery.payload)?;
            }
        }
    }
}

/// Moments in the sink's table.
fn stored(file: &Path) -> Result<usize> {
    let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let found = connection.query_row("SELECT coalesce(sum(n), 0) FROM readings", [], |row| row.get::<_, i64>(0))?;
    Ok(found as usize)
}
