//! SIGKILL of agent, broker and sink in mid-stream: what the agent had taken is stored once, and every alert told once.

use crate::cloud::Cloud;
use crate::system::{Program, SOON, agent_toml, ask, kept, seed, sink_toml};
use anyhow::{Context as _, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;
use windward_tests::clock;
use windward_tests::peers::{Ministack, Mosquitto, PyModbus, there};
use windward_tests::process::{eventually, free_port};
use windward_tests::random::Random;
use windward_tests::stored::{self, Stored};

/// Rounds; in each all three are killed.
const ROUNDS: usize = 20;
/// Reads between two kills, at least and at most; a row takes two.
const BETWEEN: (u64, u64) = (2, 12);
/// Reads in which the detector learns the usual wind.
const LEARNED: u64 = 260;

#[tokio::test(flavor = "multi_thread")]
async fn e2e_nothing_taken_is_lost_or_stored_twice_when_all_are_killed_again_and_again() -> Result<()> {
    if !there()? {
        return Ok(());
    }
    let mut random = Random::new(seed());
    let dir = tempfile::tempdir()?;
    let ministack = Ministack::start().await?;
    let cloud = Cloud::new(&ministack.endpoint).await;
    let (topic, queue) = cloud.topic_and_queue("alerts.fifo").await?;
    let (mut device, port) = PyModbus::tcp().await?;
    device.tell(r#"{"set": {"0": 800}, "wobble": 60}"#)?;
    let mut broker = Mosquitto::start(dir.path()).await?;
    let (http, file) = (free_port()?, dir.path().join("farm.db"));
    let notify =
        format!("at_once = 1000\ntargets.crew.sns = {{ topic = \"{topic}\", endpoint = \"{}\" }}", ministack.endpoint);
    let sink = sink_toml(broker.port(), &format!("sqlite = {file:?}"), &notify, http);
    let mut sink = Program::new("windward-sink", dir.path(), &sink)?;
    let mut agent = Program::new("windward-agent", dir.path(), &config(dir.path(), broker.port(), port))?;
    sink.start()?;
    agent.start()?;

    let mut order = ["agent", "broker", "sink"];
    for _ in 0..ROUNDS {
        // Usual wind long enough to be learned anew, then a jump: an alert is on its way while all three are killed.
        device.tell(r#"{"set": {"0": 800}}"#)?;
        go_on(&mut device, LEARNED).await?;
        device.tell(r#"{"set": {"0": 3400}}"#)?;
        let turn = random.between(0, 2) as usize;
        order.rotate_left(turn);
        for victim in order {
            go_on(&mut device, random.between(BETWEEN.0, BETWEEN.1)).await?;
            // A random time within the interval: a kill can meet every step between two readings.
            a_moment(&mut random).await;
            match victim {
                "agent" => {
                    agent.kill()?;
                    agent.start()?;
                }
                "broker" => {
                    broker.kill()?;
                    a_moment(&mut random).await;
                    broker.restart().await?;
                }
                _ => {
                    sink.kill()?;
                    sink.start()?;
                }
            }
        }
    }
    device.tell(r#"{"exception": 6}"#)?;
    let begun = clock::now();
    // The agent goes on meanwhile, with rows that say why there is no value: what is compared was taken before the table
    // was read.
    let mut last = None;
    let all_stored = async || {
        agent.check_alive()?;
        sink.check_alive()?;
        let taken = kept(&agent.output());
        let table = stored::rows(&file)?;
        let drained = missing(&taken, &table).is_empty();
        last = Some((taken, table));
        Ok(drained.then_some(()))
    };
    let drained = eventually(SOON * 4, "everything taken to be stored", all_stored).await;
    let (taken, table) = last.context("the table was read")?;
    let missing = missing(&taken, &table);
    let twice = twice(&table);
    let rows: usize = taken.values().map(Vec::len).sum();
    println!("FIGURE {ROUNDS} rounds of 3 SIGKILLs: {rows} rows taken, {} missing, {twice} twice", missing.len());
    println!("FIGURE all stored {} ms after the last round", begun.elapsed().as_millis());
    let raised = agent.output().lines().filter(|line| line.contains("phase=\"open\"")).count();
    println!("FIGURE {raised} alerts raised locally");
    assert!(missing.is_empty(), "missing: {missing:?}");
    drained?;
    assert_eq!(twice, 0);
    alerts_told_once(http, &cloud, &queue).await?;
    agent.stop().await?;
    sink.stop().await
}

/// Waits until the device has answered so many more reads.
pub(crate) async fn go_on(device: &mut PyModbus, reads: u64) -> Result<()> {
    let until = device.tell("{}")? + reads;
    eventually(SOON, "the stream to go on", async || Ok((device.tell("{}")? >= until).then_some(()))).await
}

/// A random time: not to wait for something, but to kill at any step of the work.
async fn a_moment(random: &mut Random) {
    tokio::time::sleep(Duration::from_millis(random.between(0, 400))).await;
}

/// What the agent had kept and the table does not hold: device, time and first value.
pub(crate) fn missing(
    taken: &BTreeMap<String, Vec<(i64, Option<f64>)>>,
    table: &BTreeMap<String, Stored>,
) -> Vec<(String, i64, Option<f64>)> {
    let mut missing = Vec::new();
    for (device, rows) in taken {
        let stored: BTreeSet<(i64, Option<u64>)> = table
            .get(&format!("turbine-01/{device}"))
            .into_iter()
            .flat_map(|stored| &stored.rows)
            .map(|row| (row.time_ms, row.readings[0].ok().map(|value| value.as_f64().to_bits())))
            .collect();
        let gone = rows.iter().filter(|(time_ms, first)| !stored.contains(&(*time_ms, first.map(f64::to_bits))));
        missing.extend(gone.map(|(time_ms, first)| (device.clone(), *time_ms, *first)));
    }
    missing
}

/// Sequence numbers of the device that stand in the table more than once.
pub(crate) fn twice(table: &BTreeMap<String, Stored>) -> usize {
    let sequences: Vec<u64> = table
        .values()
        .flat_map(|stored| stored.values("sequence"))
        .filter_map(|sequence| sequence.ok().map(f64::to_bits))
        .collect();
    sequences.len() - sequences.iter().collect::<BTreeSet<_>>().len()
}

/// Every alert in the table has one message in the queue, and there are no others.
async fn alerts_told_once(http: u16, cloud: &Cloud, queue: &str) -> Result<()> {
    let mut told: Vec<(String, String)> = Vec::new();
    let all_told = async || {
        for message in cloud.take(queue).await? {
            let text = message["Message"].as_str().unwrap_or_default();
            let opened = text.lines().find_map(|line| line.strip_prefix("Opened: ")).unwrap_or_default();
            let kind = message["MessageAttributes"]["kind"]["Value"].as_str().unwrap_or_default();
            told.push((kind.into(), opened.into()));
        }
        let alerts = opened_alerts(http)?;
        // The device's silence raises the last alert there can be.
        let last = alerts.iter().any(|(kind, _)| kind == "no-data");
        Ok((last && told.len() >= alerts.len()).then_some(alerts))
    };
    let mut alerts = eventually(SOON * 4, "every alert to be told", all_told).await?;
    told.extend(cloud.take(queue).await?.iter().map(|message| ("late".into(), message.to_string())));
    println!("FIGURE {} alerts in the table, {} messages in the queue", alerts.len(), told.len());
    alerts.sort();
    told.sort();
    assert!(alerts.len() >= ROUNDS / 4, "the jumps of the wind raised alerts: {alerts:?}");
    assert_eq!(told, alerts);
    Ok(())
}

fn opened_alerts(http: u16) -> Result<Vec<(String, String)>> {
    let answer = ask(http, "/api/v1/alerts?limit=1000")?;
    let text = |alert: &serde_json::Value, key: &str| alert[key].as_str().unwrap_or_default().to_owned();
    let alerts = answer["alerts"].as_array().into_iter().flatten();
    Ok(alerts.map(|alert| (text(alert, "kind"), text(alert, "opened"))).collect())
}

fn config(dir: &Path, broker: u16, device: u16) -> String {
    // Few readings to learn from: a kill costs what was learned since the last checkpoint.
    let detect = "[detect]\nwarm_up = 40\nsample_size = 64\nthreshold = 2.0\n";
    let text = agent_toml("turbine-01", dir, broker, detect);
    format!(
        "{text}[[device]]\nname = \"mast\"\nlocation = \"Turbine 1, mast\"\ninterval_ms = 50\ntimeout_ms = 45\n\
         modbus_tcp = {{ host = \"127.0.0.1\", port = {device} }}\n\
         [[device.channel]]\nname = \"sequence\"\nunit = \"1\"\nregister = 100\ntype = \"u32\"\ndetect = false\n\
         [[device.channel]]\nname = \"wind\"\nquantity = \"wind-speed\"\nunit = \"m/s\"\nregister = 0\n\
         type = \"u16\"\nscale = 0.01\n"
    )
}
