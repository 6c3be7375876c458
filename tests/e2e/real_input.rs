//! The main job on real input: registers served by pymodbus reach DynamoDB unchanged, and their jump reaches a person.

use crate::cloud::{self, Cloud};
use crate::system::{Program, SOON, agent_toml, seed, sink_toml};
use anyhow::{Context as _, Result};
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;
use windward_tests::clock;
use windward_tests::peers::{Ministack, Mosquitto, PyModbus, SerialLine, there};
use windward_tests::process::{eventually, free_port};
use windward_tests::random::Random;

/// Baud rate of the serial line.
const BAUD: u32 = 19_200;
/// Readings before the jump: the detector has learned by then.
const READINGS: usize = 450;
/// From the register's jump to the message in the queue.
const WITHIN: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn e2e_registers_over_tcp_reach_dynamodb_and_their_jump_reaches_a_queue() -> Result<()> {
    if !there()? {
        return Ok(());
    }
    let (device, port) = PyModbus::tcp().await?;
    let link = format!("modbus_tcp = {{ host = \"127.0.0.1\", port = {port} }}");
    real_input("TCP", device, &link).await
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_registers_over_rtu_reach_dynamodb_and_their_jump_reaches_a_queue() -> Result<()> {
    if !there()? {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let line = SerialLine::start(dir.path()).await?;
    let device = PyModbus::rtu(&line.far, BAUD).await?;
    let link = format!("modbus_rtu = {{ port = {:?}, baud = {BAUD}, parity = \"none\" }}", line.near);
    real_input("RTU", device, &link).await
}

/// A channel with a value that stays, and the registers it stands in.
struct Known {
    name: String,
    toml: String,
    value: f64,
}

async fn real_input(over: &str, mut device: PyModbus, link: &str) -> Result<()> {
    let mut random = Random::new(seed());
    let (dir, cloud_side) = (tempfile::tempdir()?, Ministack::start().await?);
    let cloud = Cloud::new(&cloud_side.endpoint).await;
    let (topic, queue) = cloud.topic_and_queue("alerts").await?;
    let broker = Mosquitto::start(dir.path()).await?;

    device.tell(r#"{"set": {"0": 800}, "wobble": 60}"#)?;
    let (known, registers) = known_values(&mut random);
    for (register, word) in registers {
        device.tell(&format!("{{\"set\": {{\"{register}\": {word}}}}}"))?;
    }
    let mut sink = start_sink(dir.path(), &cloud_side.endpoint, &topic, broker.port()).await?;
    let mut agent = Program::new("windward-agent", dir.path(), &agent_config(dir.path(), broker.port(), link, &known))?;
    agent.start()?;
    let items = eventually(SOON * 3, "readings in DynamoDB", async || {
        agent.check_alive()?;
        sink.check_alive()?;
        let items = cloud.items("turbine-01/mast").await?;
        Ok((cloud::rows(&items)?.rows.len() >= READINGS).then_some(items))
    })
    .await?;

    let stored = cloud::rows(&items)?;
    for known in &known {
        for value in stored.values(&known.name) {
            assert_eq!(value, Ok(known.value), "{} in a packed row", known.name);
        }
        for item in &items {
            let numbers = cloud::numbers(item, &known.name)?;
            for figure in ["min", "max", "last"] {
                assert_eq!(numbers.get(figure), Some(&known.value), "{figure} of {}", known.name);
            }
        }
    }
    println!("FIGURE {over}: {} rows of {} known channels in DynamoDB, all equal", stored.rows.len(), known.len());

    assert!(cloud.take(&queue).await?.is_empty(), "no message before the jump");
    let jumped = clock::now();
    device.tell(r#"{"set": {"0": 3400}, "wobble": 0}"#)?;
    let taken = async || Ok(Some(cloud.take(&queue).await?).filter(|taken| !taken.is_empty()));
    let message = eventually(SOON, "the message in the queue", taken).await?.remove(0);
    let delay = jumped.elapsed();
    println!("FIGURE {over}: register jump to message in the SQS queue {} ms", delay.as_millis());
    println!("FIGURE {over}: subject {}", message["Subject"]);
    let body = message["Message"].as_str().context("a notification holds a message")?;
    for word in ["Location: Turbine 1, mast", "Wind speed: 34.00 m/s", "Anomaly score: "] {
        assert!(body.contains(word), "the message names {word}: {body}");
    }
    assert!(delay <= WITHIN, "{delay:?}");
    // While the wind stays there and more rows come in, nobody is told again. It moves: a value that is held is another
    // matter.
    device.tell(r#"{"wobble": 60}"#)?;
    let rows = stored.rows.len();
    eventually(SOON * 2, "readings after the jump", async || {
        let stored = cloud::rows(&cloud.items("turbine-01/mast").await?)?;
        Ok((stored.rows.len() >= rows + 40).then_some(()))
    })
    .await?;
    assert!(cloud.take(&queue).await?.is_empty(), "one message, not more");
    agent.stop().await?;
    sink.stop().await
}

async fn start_sink(dir: &Path, endpoint: &str, topic: &str, broker: u16) -> Result<Program> {
    let store = format!("dynamodb = {{ endpoint = \"{endpoint}\" }}");
    let notify = format!("targets.crew.sns = {{ topic = \"{topic}\", endpoint = \"{endpoint}\" }}");
    let mut sink = Program::new("windward-sink", dir, &sink_toml(broker, &store, &notify, free_port()?))?;
    let (well, said) = sink.check(&["--create"]).await?;
    assert!(well, "windward-sink check --create: {said}");
    sink.start()?;
    Ok(sink)
}

fn agent_config(dir: &Path, broker: u16, link: &str, known: &[Known]) -> String {
    let mut text = agent_toml("turbine-01", dir, broker, "");
    write!(
        text,
        "[[device]]\nname = \"mast\"\nlocation = \"Turbine 1, mast\"\ninterval_ms = 100\ntimeout_ms = 90\n{link}\n\
         [[device.channel]]\nname = \"wind\"\nquantity = \"wind-speed\"\nunit = \"m/s\"\nregister = 0\ntype = \"u16\"\n\
         scale = 0.01\n"
    )
    .unwrap();
    known.iter().for_each(|known| text.push_str(&known.toml));
    text
}

/// A channel of every type in every order of bytes, at random values, from register 10 on.
fn known_values(random: &mut Random) -> (Vec<Known>, Vec<(usize, u16)>) {
    let (mut known, mut registers, mut next) = (Vec::new(), Vec::new(), 10);
    for (kind, width) in [("u16", 2), ("i16", 2), ("u32", 4), ("i32", 4), ("f32", 4), ("f64", 8)] {
        for order in ["ABCD", "CDAB", "BADC", "DCBA"] {
            let bits = random.bits();
            let (bytes, value) = match kind {
                "u16" => ((bits as u16).to_be_bytes().to_vec(), f64::from(bits as u16)),
                "i16" => ((bits as i16).to_be_bytes().to_vec(), f64::from(bits as i16)),
                "u32" => ((bits as u32).to_be_bytes().to_vec(), f64::from(bits as u32)),
                "i32" => ((bits as i32).to_be_bytes().to_vec(), f64::from(bits as i32)),
                "f32" => {
                    let value = (random.uniform() * 1e6 - 5e5) as f32;
                    (value.to_be_bytes().to_vec(), f64::from(value))
                }
                _ => {
                    let value = random.uniform() * 1e12 - 5e11;
                    (value.to_be_bytes().to_vec(), value)
                }
            };
            assert_eq!(bytes.len(), width);
            let words = on_the_wire(&bytes, order);
            let name = format!("{kind}-{order}");
            let toml = format!(
                "[[device.channel]]\nname = \"{name}\"\nunit = \"1\"\nregister = {next}\ntype = \"{kind}\"\n\
                 order = \"{order}\"\ndetect = false\n"
            );
            registers.extend(words.iter().enumerate().map(|(index, word)| (next + index, *word)));
            next += words.len();
            known.push(Known { name, toml, value });
        }
    }
    (known, registers)
}

/// The registers of a value whose bytes are given most significant first.
fn on_the_wire(bytes: &[u8], order: &str) -> Vec<u16> {
    let swap_words = matches!(order, "CDAB" | "DCBA");
    let swap_bytes = matches!(order, "BADC" | "DCBA");
    let word = |pair: &[u8]| u16::from_be_bytes([pair[0], pair[1]]);
    let mut words: Vec<u16> = bytes.chunks(2).map(word).collect();
    if swap_words {
        words.reverse();
    }
    if swap_bytes {
        words = words.into_iter().map(u16::swap_bytes).collect();
    }
    words
}
