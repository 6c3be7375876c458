//! A bridge's ends: a mosquitto on the gateway that is published to, and a subscriber at the far broker.
//!
//! The publisher forgets nothing: what it has no PUBACK for it publishes again on its next connection, so that only what
//! the gateway's mosquitto has said to have taken can be lost. The subscriber listens before the link comes back.

use super::site::Tally;
use anyhow::{Context as _, Result};
use rumqttc::{AsyncClient, Event, MqttOptions, Outgoing, Packet, QoS};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use windward_tests::clock;
use windward_tests::cost::Program;
use windward_tests::peers::find;
use windward_tests::plant::Turbine;
use windward_tests::process::{eventually, free_port};

/// Readings a second.
const RATE: u64 = 500;
const AGAIN: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(20);
const TOPIC: &str = "readings";
/// Most publishes that wait in a client.
const QUEUE: usize = 100_000;

pub(crate) struct Bridge {
    broker: u16,
    shared: Arc<Shared>,
}

/// What publisher and subscriber know.
#[derive(Default)]
struct Shared {
    made: AtomicU64,
    stopped: AtomicBool,
    /// Connections on which the subscriber listens, so far.
    listening: AtomicU64,
    taken: Mutex<BTreeSet<u64>>,
    seen: Mutex<BTreeMap<u64, u64>>,
}

impl Bridge {
    /// `is_tuned`: saved every second, without a limit of the queue or of what is under way; else as shipped.
    pub(crate) async fn start(dir: &Path, broker: u16, link: u16, is_tuned: bool) -> Result<(Self, Program)> {
        let (config, port, store) = (dir.join("bridge.conf"), free_port()?, dir.join("bridge"));
        std::fs::create_dir(&store)?;
        let tuned = "autosave_interval 1\nmax_queued_messages 0\nmax_inflight_messages 0\n";
        let text = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\nuser root\npersistence true\n\
             persistence_location {}/\n{}\
             connection cloud\naddress 127.0.0.1:{link}\ncleansession false\nrestart_timeout 2\ntopic {TOPIC} out 1\n",
            store.display(),
            if is_tuned { tuned } else { "" }
        );
        std::fs::write(&config, text)?;
        let path = find("mosquitto").context("mosquitto is not installed")?;
        let mut gateway = Program::new("bridge", path, ["-c".into(), config.into()]);
        let shared = Arc::new(Shared::default());
        tokio::spawn(subscribe(broker, shared.clone()));
        let bridge = Self { broker, shared };
        bridge.listens(0).await?;
        gateway.start()?;
        gateway.listens(port).await?;
        tokio::spawn(publish(port, bridge.shared.clone()));
        Ok((bridge, gateway))
    }

    /// Connections on which the subscriber has listened so far.
    pub(crate) fn listened(&self) -> u64 {
        self.shared.listening.load(Ordering::Relaxed)
    }

    /// Waits until the subscriber listens on one more connection than `before`.
    pub(crate) async fn listens(&self, before: u64) -> Result<()> {
        let what = format!("a subscriber at {}", self.broker);
        eventually(PATIENCE, &what, async || Ok((self.listened() > before).then_some(()))).await
    }

    pub(crate) fn made(&self) -> u64 {
        self.shared.made.load(Ordering::Relaxed)
    }

    pub(crate) fn stop(&self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
    }

    /// Taken is what the gateway's mosquitto has sent a PUBACK for; repeated is what the subscriber got again.
    pub(crate) fn tally(&self) -> Tally {
        let (taken, seen) = (lock(&self.shared.taken), lock(&self.shared.seen));
        Tally {
            made: self.made(),
            taken: taken.len() as u64,
            arrived: seen.len() as u64,
            lost: taken.iter().filter(|number| !seen.contains_key(number)).count() as u64,
            repeated: seen.values().map(|times| times - 1).sum(),
        }
    }
}

/// Publishes reading after reading, each at its time, on one connection after another.
async fn publish(port: u16, shared: Arc<Shared>) {
    let (mut turbine, began) = (Turbine::new(1), clock::now());
    let mut unacked: BTreeMap<u64, String> = BTreeMap::new();
    loop {
        let (client, mut events) = open("publisher", port);
        let (mut asked, mut by_pkid) = (VecDeque::new(), BTreeMap::new());
        for (number, reading) in &unacked {
            asked.push_back(*number);
            client.try_publish(TOPIC, QoS::AtLeastOnce, false, reading.clone()).ok();
        }
        let mut tick = tokio::time::interval(Duration::from_millis(2));
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(Event::Outgoing(Outgoing::Publish(pkid))) => {
                        asked.pop_front().and_then(|number| by_pkid.insert(pkid, number));
                    }
                    Some(Event::Incoming(Packet::PubAck(ack))) => {
                        if let Some(number) = by_pkid.remove(&ack.pkid) {
                            unacked.remove(&number);
                            lock(&shared.taken).insert(number);
                        }
                    }
                    Some(_) => {}
                    None => break,
                },
                _ = tick.tick() => {
                    let due = began.elapsed().as_millis() as u64 * RATE / 1_000;
                    while !shared.stopped.load(Ordering::Relaxed) && shared.made.load(Ordering::Relaxed) < due {
                        let number = shared.made.fetch_add(1, Ordering::Relaxed);
                        let reading = reading(&mut turbine, number);
                        asked.push_back(number);
                        // Where the client is gone, the next connection publishes it.
                        client.try_publish(TOPIC, QoS::AtLeastOnce, false, reading.clone()).ok();
                        unacked.insert(number, reading);
                    }
                }
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// A reading of eight values with its time, as JSON.
fn reading(turbine: &mut Turbine, number: u64) -> String {
    let time = clock::wall_ms();
    let Some(sample) = turbine.sample(number * 1_000 / RATE) else { return format!("{{\"sequence\":{number}}}") };
    format!(
        "{{\"sequence\":{number},\"time\":{time},\"values\":[{:.2},{:.2},{:.1},{:.1},{:.2},{:.3},{}]}}",
        sample.wind_mps,
        sample.second_wind_mps,
        sample.direction_deg,
        sample.temperature_c,
        sample.rotor_rpm,
        sample.power_kw,
        number % 10,
    )
}

/// Counts what comes, on one connection after another.
async fn subscribe(port: u16, shared: Arc<Shared>) {
    loop {
        let (client, mut events) = open("subscriber", port);
        client.try_subscribe(TOPIC, QoS::AtLeastOnce).ok();
        while let Some(event) = events.recv().await {
            match event {
                Event::Incoming(Packet::SubAck(_)) => {
                    shared.listening.fetch_add(1, Ordering::Relaxed);
                }
                Event::Incoming(Packet::Publish(publish)) => {
                    let reading: serde_json::Value = serde_json::from_slice(&publish.payload).unwrap_or_default();
                    if let Some(number) = reading["sequence"].as_u64() {
                        *lock(&shared.seen).entry(number).or_default() += 1;
                    }
                }
                _ => {}
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// A client with its event loop on a task of its own, for `EventLoop::poll` must not be cancelled half-way. The events
/// end with the connection.
fn open(name: &str, port: u16) -> (AsyncClient, mpsc::UnboundedReceiver<Event>) {
    let (client, mut event_loop) = AsyncClient::new(MqttOptions::new(name, "127.0.0.1", port), QUEUE);
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok(event) = event_loop.poll().await {
            if sender.send(event).is_err() {
                return;
            }
        }
    });
    (client, receiver)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is counted is whole between statements.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
