//! A farm of many turbines, for figures of the page: one connection publishes what each agent would. Broker and sink are in
//! this process. Started by `tests/browser/figures`; runs until it is killed.
//!
//! Each turbine has half an hour of wind behind it and a reading of three channels a second, health every half minute, and
//! every seventeenth an open alert; the first has the 10-minute statistics of a week.
#![allow(clippy::unwrap_used, reason = "an example fails by panicking")]

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::{AsyncClient, MqttOptions};
use std::f64::consts::TAU;
use std::time::Duration;
use windward_protocol::batch::BatchBuilder;
use windward_protocol::{
    AgentId, Alert, AlertKind, AlertPhase, BlockBuilder, Channel, DeviceHealth, DeviceManifest, Envelope, Health,
    Hello, Lane, LaneHealth, Quantity, Record, Row, Severity, Stats, Value, topic,
};
use windward_sink::config::Config;
use windward_tests::random::Random;
use windward_tests::{broker, clock};

const SECOND_MS: i64 = 1_000;
const HISTORY_MS: i64 = 30 * 60 * SECOND_MS;
const WINDOW_MS: i64 = 600 * SECOND_MS;
const WEEK_MS: i64 = 7 * 144 * WINDOW_MS;

struct Turbine {
    agent: AgentId,
    random: Random,
    wind_mps: f64,
    /// Envelopes so far: alerts, readings, health.
    seqs: [u64; 3],
    out: AsyncClient,
}

#[tokio::main]
async fn main() {
    let turbines: usize = std::env::args().nth(1).map_or(200, |count| count.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let broker = broker::start().await.unwrap();
    let text = format!(
        "farm = \"Hohe Warte\"\n[mqtt]\nhost = \"127.0.0.1\"\nport = {}\n[store]\nsqlite = {:?}\n[http]\n\
         listen = \"127.0.0.1:0\"\nguarded = true\n",
        broker.port(),
        folder.path().join("farm.db")
    );
    let sink = windward_sink::io::start(Config::from_toml(&text, "the fleet's sink").unwrap()).await.unwrap();
    let mut options = MqttOptions::new("fleet", "127.0.0.1", broker.port());
    options.set_clean_start(true).set_outgoing_inflight_upper_limit(64);
    let (out, mut events) = AsyncClient::new(options, 64);
    tokio::spawn(async move { while events.poll().await.is_ok() {} });

    let mut farm: Vec<Turbine> = (1..=turbines).map(|number| Turbine::new(number, out.clone())).collect();
    // What is published before the sink has subscribed is for nobody.
    while sink.counters().deliveries == 0 {
        farm[0].health().await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for (index, turbine) in farm.iter_mut().enumerate() {
        turbine.begin(index).await;
    }
    farm[0].week().await;
    // What is stored last is the last that was sent.
    let sent: u64 = farm.iter().map(|turbine| turbine.seqs[0] + turbine.seqs[1]).sum();
    while sink.counters().envelopes < sent {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!("Page: http://{}", sink.http);
    let mut ticks = tokio::time::interval(Duration::from_millis(SECOND_MS as u64 / turbines as u64));
    for turn in 0.. {
        ticks.tick().await;
        let turbine = &mut farm[turn % turbines];
        turbine.readings(clock::wall_ms(), 1, SECOND_MS).await;
        if turn / turbines % 30 == 29 {
            turbine.health().await;
        }
    }
}

fn channels() -> Vec<Channel> {
    let channel = |name: &str, quantity, unit: &str| Channel { name: name.into(), quantity, unit: unit.into() };
    vec![
        channel("speed", Quantity::WindSpeed, "m/s"),
        channel("direction", Quantity::WindDirection, "°"),
        channel("power", Quantity::Power, "kW"),
    ]
}

impl Turbine {
    fn new(number: usize, out: AsyncClient) -> Self {
        let agent = AgentId::new(&format!("turbine-{number:03}")).unwrap();
        Self { agent, random: Random::stream(1, "fleet", number), wind_mps: 8.0, seqs: [0; 3], out }
    }

    async fn send(&mut self, lane: Lane, record: Record) {
        let seq = &mut self.seqs[match lane {
            Lane::Alerts => 0,
            Lane::Readings => 1,
            _ => 2,
        }];
        *seq += 1;
        let envelope = Envelope { agent: self.agent.clone(), epoch: 7, lane, seq: *seq, record };
        let mut batch = BatchBuilder::new();
        assert!(batch.push(&envelope.encode().unwrap()));
        let topic = topic::of_lane(&self.agent, lane);
        self.out.publish(topic, QoS::AtLeastOnce, lane == Lane::State, batch.finish()).await.unwrap();
    }

    /// Who it is, half an hour of wind, how it is, and perhaps what is strange.
    async fn begin(&mut self, index: usize) {
        let now_ms = clock::wall_ms();
        let device = DeviceManifest {
            device: "mast".into(),
            location: "Nacelle".into(),
            link: "modbus tcp 10.0.0.7:502".into(),
            interval_ms: SECOND_MS as u32,
            channels: channels(),
        };
        let (version, farm) = ("0.1.0".into(), "Hohe Warte".into());
        self.send(Lane::Alerts, Record::Hello(Hello { version, farm, at_ms: now_ms, devices: vec![device] })).await;
        for half_minute in 0..60 {
            self.readings(now_ms - HISTORY_MS + (half_minute * 30 + 20) * SECOND_MS, 3, 10 * SECOND_MS).await;
        }
        self.health().await;
        if index % 17 == 5 {
            let alert = self.alert(now_ms, index as u64);
            self.send(Lane::Alerts, Record::Alert(alert)).await;
        }
    }

    fn alert(&self, now_ms: i64, id: u64) -> Alert {
        Alert {
            id,
            phase: AlertPhase::Open,
            kind: AlertKind::Stuck,
            severity: if id.is_multiple_of(2) { Severity::Warning } else { Severity::Critical },
            location: "Nacelle".into(),
            device: "mast".into(),
            channel: "speed".into(),
            opened_ms: now_ms,
            at_ms: now_ms,
            synced: true,
            value: Some(self.wind_mps),
            unit: "m/s".into(),
            wind_speed: Some(self.wind_mps),
            score: None,
            threshold: None,
            evidence: "gave the same value 412 times, at most 9 are explained by chance".into(),
        }
    }

    /// A block of moments that ends at `last_ms`.
    async fn readings(&mut self, last_ms: i64, moments: i64, step_ms: i64) {
        let mut block = BlockBuilder::new(&self.agent, "mast", "Nacelle", &channels(), true);
        for moment in (0..moments).rev() {
            self.wind_mps = (self.wind_mps + 0.02 * (8.0 - self.wind_mps) + 0.3 * self.random.normal()).max(0.0);
            let power_kw = (self.wind_mps / 12.0).powi(3).min(1.0) * 2_000.0;
            let direction = (250.0 + 20.0 * self.random.normal()).rem_euclid(360.0);
            let figure = |value: f64| Ok(Value::Int { mantissa: (value * 100.0) as i64, exponent: -2 });
            let readings = [self.wind_mps, direction, power_kw].map(figure).to_vec();
            let scores = vec![Some(self.random.uniform() as f32), None, None];
            assert!(block.push(&Row { time_ms: last_ms - moment * step_ms, readings, scores }).is_ok());
        }
        self.send(Lane::Readings, Record::Block(block.finish().unwrap())).await;
    }

    async fn health(&mut self) {
        let lane = |seq: u64| LaneHealth { waiting: 0, durable: seq, acked: seq };
        let mast = DeviceHealth { device: "mast".into(), good: self.seqs[1], failed: 0, failing: None };
        let health = Health {
            online: true,
            at_ms: clock::wall_ms(),
            synced: true,
            uptime_ms: 3_600_000,
            rss_kib: 9_000,
            alerts: lane(self.seqs[0]),
            readings: lane(self.seqs[1]),
            dropped_rows: 0,
            spool_error: String::new(),
            devices: vec![mast],
        };
        self.send(Lane::State, Record::Health(health)).await;
    }

    /// Ten-minute windows of a week: weather that comes and goes, from where it mostly does.
    async fn week(&mut self) {
        let first_ms = (clock::wall_ms() - WEEK_MS) / WINDOW_MS * WINDOW_MS;
        for window in 0..WEEK_MS / WINDOW_MS {
            let days = window as f64 / 144.0;
            let mean = (8.0 + 4.0 * (TAU * days / 2.3).sin() + self.random.normal()).max(0.5);
            let std = mean * (0.09 + 0.3 / mean.max(2.0) + 0.015 * self.random.normal()).max(0.02);
            let from = (250.0 + 60.0 * (TAU * days / 3.1).sin() + 10.0 * self.random.normal()).rem_euclid(360.0);
            for (channel, mean, std) in
                channels().into_iter().zip([mean, from]).zip([std, 9.0]).map(|((c, m), s)| (c, m, s))
            {
                let is_speed = channel.quantity == Quantity::WindSpeed;
                let stats = Stats {
                    device: "mast".into(),
                    channel,
                    start_ms: first_ms + window * WINDOW_MS,
                    window_ms: WINDOW_MS as u32,
                    n: 600,
                    due: 600,
                    mean,
                    min: if is_speed { (mean - 2.5 * std).max(0.0) } else { 0.0 },
                    max: if is_speed { mean + 3.0 * std } else { 0.0 },
                    std,
                    gust_3s: is_speed.then_some(mean + 2.6 * std),
                };
                self.send(Lane::Readings, Record::Stats(stats)).await;
            }
        }
    }
}
