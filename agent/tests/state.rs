//! What an agent has learned and what alerts it has open, across restarts.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use windward_agent::config::Config;
use windward_agent::io::{self, OnAlert, Options, Running};
use windward_protocol::{Alert, AlertPhase};

/// No test waits longer than this for anything.
const DEADLINE: Duration = Duration::from_secs(30);

/// An agent of one device, and no broker.
fn config(data: &Path, port: u16) -> Config {
    config_with(data, port, "")
}

/// The same with rules.
fn config_with(data: &Path, port: u16, rules: &str) -> Config {
    let text = format!(
        r#"
agent = "t"
farm = "f"
data = {data:?}
[mqtt]
host = "127.0.0.1"
port = 1
[spool]
commit_every_ms = 100
[[device]]
name = "mast"
location = "Mast 1"
modbus_tcp = {{ host = "127.0.0.1", port = {port} }}
interval_ms = 20
[[device.channel]]
name = "wind"
quantity = "wind-speed"
unit = "m/s"
register = 0
type = "u16"
scale = 0.1
{rules}
"#
    );
    Config::from_toml(&text, "test.toml").unwrap()
}

/// A running agent and the alerts it has raised.
struct Agent {
    running: Running,
    alerts: Arc<Mutex<Vec<Alert>>>,
}

impl Agent {
    async fn start(data: &Path, port: u16) -> Self {
        Self::start_with(config(data, port)).await
    }

    async fn start_with(config: Config) -> Self {
        let alerts = Arc::new(Mutex::new(Vec::new()));
        let raised = alerts.clone();
        let on_alert: OnAlert = Arc::new(move |alert: &Alert| raised.lock().unwrap().push(alert.clone()));
        let options = Options { on_alert: Some(on_alert), ..Options::default() };
        Self { running: io::start(config, options).await.unwrap(), alerts }
    }

    /// Waits until so many rows have been kept.
    async fn rows(&self, rows: u64) {
        self.until("rows are kept", || self.running.counters().rows_kept >= rows).await;
    }

    /// Waits for a step of an alert; gives its id.
    async fn step(&self, phase: AlertPhase) -> u64 {
        let find = || self.alerts.lock().unwrap().iter().find(|alert| alert.phase == phase).map(|alert| alert.id);
        self.until("a step of an alert", || find().is_some()).await;
        find().unwrap()
    }

    async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let wait = async {
            while !holds() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(DEADLINE, wait).await.expect(what);
    }

    fn opened(&self) -> usize {
        self.alerts.lock().unwrap().iter().filter(|alert| alert.phase == AlertPhase::Open).count()
    }

    async fn stop(self) {
        tokio::time::timeout(DEADLINE, self.running.stop()).await.unwrap().unwrap();
    }
}

/// A slave whose registers hold 85, from now on.
async fn slave(port: u16) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0u8; 12];
                while stream.read_exact(&mut request).await.is_ok() {
                    let frame = [request[0], request[1], 0, 0, 0, 5, request[6], request[7], 2, 0, 85];
                    if stream.write_all(&frame).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    port
}

/// A port on which nobody listens yet.
async fn silent_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn an_alert_that_is_open_at_a_stop_is_not_opened_again_and_clears_under_its_id() {
    let data = tempfile::tempdir().unwrap();
    let port = silent_port().await;
    let first = Agent::start(data.path(), port).await;
    let id = first.step(AlertPhase::Open).await;
    first.stop().await;

    let second = Agent::start(data.path(), port).await;
    second.rows(20).await;
    assert_eq!(second.opened(), 0, "it is open already");
    slave(port).await;
    assert_eq!(second.step(AlertPhase::Clear).await, id);
    second.stop().await;
}

#[tokio::test]
async fn an_open_alert_of_a_rule_outlives_a_restart_and_is_ended_when_the_rule_went_from_the_configuration() {
    let data = tempfile::tempdir().unwrap();
    let port = slave(0).await;
    let rule = "[[rule]]\nname = \"storm\"\nchannel = \"wind\"\nabove = 8.0\n";
    let ruled = || Agent::start_with(config_with(data.path(), port, rule));
    let first = ruled().await;
    let id = first.step(AlertPhase::Open).await;
    first.stop().await;

    let second = ruled().await;
    assert_eq!(second.step(AlertPhase::Update).await, id, "it is told that it is still open");
    second.rows(20).await;
    assert_eq!(second.opened(), 0);
    second.stop().await;

    let third = Agent::start(data.path(), port).await;
    assert_eq!(third.step(AlertPhase::Clear).await, id);
    third.stop().await;
}

#[tokio::test]
async fn an_alert_that_is_open_when_the_agent_is_killed_is_not_opened_again_and_clears_under_its_id() {
    let (data, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let port = silent_port().await;
    let first = Agent::start(data.path(), port).await;
    // `newest` names what is durable: another one says that the step is.
    let state = data.path().join("state");
    let before = std::fs::read(state.join("newest")).ok();
    let id = first.step(AlertPhase::Open).await;
    first.until("the step is on disk", || std::fs::read(state.join("newest")).ok() != before).await;
    copy(&state, &killed.path().join("state"));
    first.stop().await;

    let second = Agent::start(killed.path(), port).await;
    second.rows(20).await;
    assert_eq!(second.opened(), 0, "it is open already");
    slave(port).await;
    assert_eq!(second.step(AlertPhase::Clear).await, id);
    second.stop().await;
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (entry, is_dir) = entry.map(|entry| (entry.path(), entry.file_type().unwrap().is_dir())).unwrap();
        let to = to.join(entry.file_name().unwrap());
        if is_dir {
            copy(&entry, &to);
        } else {
            std::fs::copy(entry, to).unwrap();
        }
    }
}

#[tokio::test]
async fn damaged_state_neither_keeps_an_agent_from_starting_nor_its_next_state_from_being_kept() {
    let port = slave(0).await;
    type Spoil = fn(&Path);
    let spoil: [(&str, Spoil); 4] = [
        ("a file in its place", |state| {
            std::fs::remove_dir_all(state).unwrap();
            std::fs::write(state, "x").unwrap();
        }),
        ("nonsense in the database", |state| std::fs::write(state.join("1/db"), vec![0xa5; 100_000]).unwrap()),
        ("no configuration", |state| std::fs::write(state.join("1/conf"), "").unwrap()),
        ("an empty database", |state| std::fs::write(state.join("1/db"), "").unwrap()),
    ];
    for (what, spoil) in spoil {
        let data = tempfile::tempdir().unwrap();
        let state = data.path().join("state");
        for run in 0..3 {
            if run == 1 {
                spoil(&state);
            }
            let agent = Agent::start(data.path(), port).await;
            agent.rows(10).await;
            agent.stop().await;
            assert_eq!(run > 0 && what == "a file in its place", state.is_file(), "{what}, run {run}");
        }
    }
}

#[tokio::test]
async fn with_checkpoints_turned_off_nothing_is_written() {
    let data = tempfile::tempdir().unwrap();
    let mut config = config(data.path(), slave(0).await);
    config.spool.checkpoint_every_s = 0;
    let agent = Agent { running: io::start(config, Options::default()).await.unwrap(), alerts: Arc::default() };
    agent.rows(10).await;
    agent.stop().await;
    assert!(!data.path().join("state").exists());
}
