//! The shell: receives, commits, tells, acks and answers. What it decides stands in the core.

pub mod acknowledge;
mod api;
#[cfg(feature = "archive")]
pub mod archive;
#[cfg(feature = "aws")]
mod aws;
pub mod clock;
pub mod command;
mod committer;
pub mod company;
pub mod credentials;
#[cfg(feature = "aws")]
pub mod dynamodb;
mod fleet;
pub mod health;
mod intake;
mod jwt;
#[cfg(feature = "kafka")]
pub mod kafka;
#[cfg(feature = "aws")]
pub mod kinesis;
#[cfg(feature = "aws")]
pub mod labs;
#[cfg(feature = "aws")]
pub mod lambda;
pub mod mail;
pub mod mqtt;
pub mod presence;
mod pulse;
mod schemas;
pub mod secrets;
#[cfg(feature = "aws")]
pub mod sns;
mod source;
pub mod sqlite;
pub mod store;
#[cfg(any(feature = "aws", feature = "kafka"))]
mod stream;
pub mod systemd;
pub mod tell;
pub mod webhook;

#[cfg(any(test, fuzzing))]
pub use api::requests;

pub use crate::answer::Counters;
use crate::config::Config;
use anyhow::{Context, Result};
use committer::Committer;
use intake::Intake;
use presence::Lookout;
use pulse::Pulse;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use store::Store;
use tell::Notifier;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

/// Most deliveries committed together. Whatever waits is taken, nothing waits for more to come; and an alert waits for
/// no more than this much of a backlog.
const GROUP: usize = 64;
/// How often readings that are too old are deleted.
const PRUNE: Duration = Duration::from_secs(3_600);
/// How long a graceful stop waits for what is under way.
const DRAIN: Duration = Duration::from_secs(10);
/// How long it then waits for clients of page and API.
const HANG_UP: Duration = Duration::from_secs(2);

/// A sink at work.
pub struct Running {
    /// Where page and API listen.
    pub http: SocketAddr,
    sight: systemd::Sight,
    counts: Arc<Counts>,
    stop: watch::Sender<Stop>,
    sources: JoinSet<()>,
    committer: JoinHandle<()>,
    server: JoinHandle<()>,
    teller: JoinHandle<()>,
    rememberer: JoinHandle<()>,
    lookout: JoinHandle<()>,
    notifier: JoinHandle<()>,
}

/// The counters while they count.
#[derive(Debug, Default)]
struct Counts {
    deliveries: AtomicU64,
    envelopes: AtomicU64,
    readings: AtomicU64,
    repeated: AtomicU64,
    alerts: AtomicU64,
    told: AtomicU64,
    untold: AtomicU64,
    poison: AtomicU64,
    commits_failed: AtomicU64,
    unknown_schema: AtomicU64,
    archived: AtomicU64,
    archive_failed: AtomicU64,
    archive_unreadable: AtomicU64,
    shards: AtomicU64,
    behind_ms: AtomicU64,
    labs_records: AtomicU64,
    labs_items: AtomicU64,
    labs_left_out: AtomicU64,
    /// The broker is heard, or there is none.
    connected: AtomicBool,
    /// The stream is heard, or there is none.
    stream: AtomicBool,
    /// Turns of the parts that nothing goes on without.
    pulse: Pulse,
}

/// How far stopping has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// Not at all.
    Run,
    /// Nothing new is taken; what was taken is finished.
    Drain,
    /// Acks are out; disconnect.
    Quit,
}

/// Starts a sink. It is up when this returns; the broker may come later.
pub async fn start(config: Config) -> Result<Running> {
    start_beside(config, None).await
}

/// Starts the sink of a simulated farm, whose page has buttons for faults: `demo` answers below `/api/v1/demo`.
pub async fn start_beside(config: Config, demo: Option<axum::Router>) -> Result<Running> {
    #[cfg(not(feature = "aws"))]
    anyhow::ensure!(
        config.kinesis.is_none() && config.labs.is_none(),
        "this program was built without Kinesis (feature `aws`)"
    );
    #[cfg(not(feature = "kafka"))]
    anyhow::ensure!(config.kafka.is_none(), "this program was built without Kafka (feature `kafka`)");
    #[cfg(not(feature = "archive"))]
    anyhow::ensure!(config.archive.is_none(), "this program was built without the archive (feature `archive`)");
    secrets::warn(&config);
    let has_stream = config.kinesis.is_some() || config.kafka.is_some();
    let has_source = config.mqtt.is_some() || has_stream;
    anyhow::ensure!(has_source, "[lambda] alone is for `windward-sink lambda`; add [mqtt], [kinesis] or [kafka]");
    let store = Store::open(&config.store).await?;
    let counts =
        Arc::new(Counts { connected: config.mqtt.is_none().into(), stream: (!has_stream).into(), ..Counts::default() });
    let notifier = Notifier::open(config.farm.clone(), store.clone(), &config.notify, counts.clone()).await?;
    let listener = tokio::net::TcpListener::bind(config.http.listen)
        .await
        .with_context(|| format!("cannot listen on {}", config.http.listen))?;
    let http = listener.local_addr()?;
    let (stop, stopped) = watch::channel(Stop::Run);
    let (into, incoming) = mpsc::channel(source::QUEUE);
    let (farm, stopping) = (config.farm.clone(), stopped.clone());
    let door = api::Door::new(&config.http)?;
    let tls = match (&config.http.cert, &config.http.key) {
        (Some(cert), Some(key)) => Some(api::serve::tls(cert, key)?),
        _ => None,
    };
    let is_demo = demo.is_some();
    let shared = api::Shared::new(farm, store.clone(), counts.clone(), notifier.clone(), door, is_demo, stopping);
    let live = shared.live();
    let teller = tokio::spawn(api::live::watch(shared.clone(), stopped.clone()));
    let rememberer = tokio::spawn(api::remember::remember(shared.clone(), stopped.clone()));
    let server = tokio::spawn(api::serve::serve(listener, tls, api::routes(shared, demo), stopped.clone()));
    #[cfg(feature = "archive")]
    if let Some(archive) = &config.archive {
        let archiver = archive::Archiver::open(store.clone(), config.farm.clone(), archive).await.context("archive")?;
        let every = Duration::from_secs(archive.every_s.into());
        tokio::spawn(archive::run(archiver, every, stopped.clone(), counts.clone()));
    }
    let lookout = Lookout::new(store.clone(), &config);
    let lookout = tokio::spawn(lookout.run(counts.clone(), stopped.clone()));
    let (queues, notifier) = notifier.run(stopped.clone());
    let intake = Intake::new(config.farm, config.notify.policy, store.clone());
    #[cfg(feature = "aws")]
    let intake = match &config.labs {
        Some(config) => intake.with_labs(labs::Labs::open(config).await.counting(counts.clone())),
        None => intake,
    };
    let committer = Committer { intake, queues, counts: counts.clone(), live };
    let committer = tokio::spawn(committer.run(incoming, stopped.clone()));
    let sight = systemd::Sight { counts: counts.clone(), has_broker: config.mqtt.is_some(), has_stream };
    let mut sources = JoinSet::new();
    if let Some(mqtt) = config.mqtt {
        sources.spawn(mqtt::receive(mqtt, into.clone(), stopped.clone(), counts.clone()));
    }
    #[cfg(feature = "aws")]
    if let Some(kinesis) = config.kinesis {
        sources.spawn(kinesis::follow(kinesis, store.clone(), into.clone(), stopped.clone(), counts.clone()));
    }
    #[cfg(feature = "kafka")]
    if let Some(kafka) = config.kafka {
        sources.spawn(kafka::follow(kafka, store.clone(), into.clone(), stopped.clone(), counts.clone()));
    }
    if let Some(days) = config.keep_days {
        tokio::spawn(prune(store, days, stopped));
    }
    tracing::info!(%http, "page and API");
    Ok(Running { http, sight, counts, stop, sources, committer, server, teller, rememberer, lookout, notifier })
}

impl Running {
    /// What it has done until now.
    pub fn counters(&self) -> Counters {
        self.counts.read()
    }

    /// What the service manager is told about.
    pub fn sight(&self) -> systemd::Sight {
        self.sight.clone()
    }

    /// Returns only if a part of the sink has ended by itself, which is a fault: nothing goes on without it. Drop the
    /// sink then; a stop would wait for that part.
    pub async fn failed(&mut self) -> anyhow::Error {
        let (part, ended) = tokio::select! {
            Some(ended) = self.sources.join_next() => ("source", ended),
            ended = &mut self.committer => ("committer", ended),
            ended = &mut self.server => ("page and API", ended),
            ended = &mut self.teller => ("one who tells open pages", ended),
            ended = &mut self.rememberer => ("one who looks for what others stored", ended),
            ended = &mut self.lookout => ("lookout", ended),
            ended = &mut self.notifier => ("notifier", ended),
        };
        match ended {
            Ok(()) => anyhow::anyhow!("the {part} has ended"),
            Err(error) => anyhow::anyhow!("the {part} has ended: {error}"),
        }
    }

    /// Stops: takes nothing more, finishes and acks what it took, disconnects.
    pub async fn stop(mut self) -> Result<()> {
        self.stop.send_replace(Stop::Drain);
        // What is not finished in time stays unacked, and comes again.
        if tokio::time::timeout(DRAIN, &mut self.committer).await.is_err() {
            tracing::warn!("stopped with deliveries unfinished; they come again");
            self.committer.abort();
        }
        // What it does not finish is found again when its claim has ended.
        if tokio::time::timeout(DRAIN, &mut self.notifier).await.is_err() {
            tracing::warn!("stopped while people were being told; the next sink goes on");
            self.notifier.abort();
        }
        self.stop.send_replace(Stop::Quit);
        while let Some(ended) = self.sources.join_next().await {
            ended?;
        }
        // Whatever it is at, the next look does again.
        self.lookout.abort();
        if tokio::time::timeout(HANG_UP, &mut self.server).await.is_err() {
            tracing::debug!("a client of page or API did not hang up");
            self.server.abort();
        }
        Ok(())
    }
}

impl Counts {
    fn read(&self) -> Counters {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counters {
            deliveries: read(&self.deliveries),
            envelopes: read(&self.envelopes),
            readings: read(&self.readings),
            repeated: read(&self.repeated),
            alerts: read(&self.alerts),
            told: read(&self.told),
            untold: read(&self.untold),
            poison: read(&self.poison),
            commits_failed: read(&self.commits_failed),
            unknown_schema: read(&self.unknown_schema),
            archived: read(&self.archived),
            archive_failed: read(&self.archive_failed),
            archive_unreadable: read(&self.archive_unreadable),
            shards: read(&self.shards),
            behind_ms: read(&self.behind_ms),
            labs_records: read(&self.labs_records),
            labs_items: read(&self.labs_items),
            labs_left_out: read(&self.labs_left_out),
            connected: self.connected.load(Ordering::Relaxed) && self.stream.load(Ordering::Relaxed),
        }
    }
}

/// Deletes readings of more than so many days ago, until the sink stops.
async fn prune(store: Store, days: u32, mut stop: watch::Receiver<Stop>) {
    loop {
        match store.prune(clock::now_ms() - i64::from(days) * 86_400_000).await {
            Ok(0) => {}
            Ok(rows) => tracing::info!(rows, days, "deleted readings that were kept for long enough"),
            Err(error) => tracing::error!("readings that are too old stay: {error:#}"),
        }
        tokio::select! {
            () = tokio::time::sleep(PRUNE) => {}
            _ = stop.wait_for(|stop| *stop != Stop::Run) => return,
        }
    }
}
