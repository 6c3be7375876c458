use super::*;
use crate::io::commands::{self, Carried};
use std::sync::Mutex;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;
use windward_protocol::{AlertKind, AlertPhase, NoData, Row, Value};

/// No test waits longer than this for anything.
const DEADLINE: Duration = Duration::from_secs(30);

/// A slave whose register 0 holds what `speed` says, in tenths.
async fn slave(speed: watch::Receiver<u16>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0u8; 12];
            while stream.read_exact(&mut request).await.is_ok() {
                let [high, low] = speed.borrow().to_be_bytes();
                let frame = [request[0], request[1], 0, 0, 0, 5, request[6], 4, 2, high, low];
                if stream.write_all(&frame).await.is_err() {
                    break;
                }
            }
        }
    });
    port
}

fn config(port: u16) -> Arc<Config> {
    let text = format!(
        r#"
agent = "t"
farm = "f"
data = "/tmp/w"
[mqtt]
host = "h"
[[device]]
name = "mast"
location = "Mast 1"
modbus_tcp = {{ host = "127.0.0.1", port = {port} }}
interval_ms = 50
timeout_ms = 50
[[device.channel]]
name = "wind"
quantity = "wind-speed"
unit = "m/s"
register = 0
type = "u16"
scale = 0.1
[[device]]
name = "gone"
location = "Mast 2"
modbus_tcp = {{ host = "127.0.0.1", port = 1 }}
interval_ms = 50
[[device.channel]]
name = "wind"
unit = "m/s"
register = 0
type = "u16"
"#
    );
    Arc::new(Config::from_toml(&text, "test.toml").unwrap())
}

/// A running WATCH, its queue and the alerts it has raised.
struct Running {
    from_watch: mpsc::Receiver<Handover>,
    alerts: Arc<Mutex<Vec<Alert>>>,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

fn start(config: Arc<Config>, history: &[Row], queue: usize) -> Running {
    let checkpoints = Checkpoints::none(config.clone(), Clock::start());
    start_with(config, history, queue, checkpoints)
}

fn start_with(config: Arc<Config>, history: &[Row], queue: usize, checkpoints: Checkpoints) -> Running {
    let (to_forward, from_watch) = mpsc::channel(queue);
    let (stop, stopped) = watch::channel(false);
    let alerts = Arc::new(Mutex::new(Vec::new()));
    let raised = alerts.clone();
    let on_alert: OnAlert = Arc::new(move |alert: &Alert| raised.lock().unwrap().push(alert.clone()));
    let mut core = Watch::new(&config, 7);
    core.learn(0, history);
    let (_, Carried { hurries, answers, .. }) = commands::ends(None);
    let health = watch::channel(Vec::new()).0;
    let ends = Ends { to_forward, alarms: (on_alert, None), hurries, answers, health, pulse: Arc::default(), stopped };
    let task = tokio::spawn(run(config, core, Clock::start(), checkpoints, ends));
    Running { from_watch, alerts, stop, task }
}

#[tokio::test]
async fn rows_of_live_registers_come_out_and_a_dead_device_stops_none() {
    let (_speed, speed) = watch::channel(85);
    let mut running = start(config(slave(speed).await), &[], 64);
    let (mut good, mut dead, mut accounts) = (0, 0, 0);
    let taken = async {
        while good < 20 || dead < 5 || accounts == 0 {
            match running.from_watch.recv().await.expect("WATCH runs") {
                Handover::Row { device: 0, row, .. } => {
                    if let Ok(value) = row.readings[0] {
                        assert_eq!(value, Value::Int { mantissa: 85, exponent: -1 });
                        good += 1;
                    }
                }
                Handover::Row { row, .. } => {
                    assert_eq!(row.readings, [Err(NoData::Disconnected)]);
                    dead += 1;
                }
                Handover::Devices { devices, .. } => {
                    assert_eq!(devices.len(), 2);
                    accounts += 1;
                }
                Handover::Alert(alert) => assert_ne!(alert.device, "mast"),
                Handover::Stats(_) => {}
            }
        }
    };
    timeout(DEADLINE, taken).await.unwrap();
    running.stop.send(true).unwrap();
    timeout(DEADLINE, running.task).await.unwrap().unwrap();
}

/// Twenty-five minutes of turbulent wind around 8.5 m/s, at the device's rate.
fn history() -> Vec<Row> {
    let row = |index: i64| {
        let swing = (index as f64 * 0.7).sin() * 6.0 + (index as f64 * 0.13).sin() * 9.0;
        Row {
            time_ms: index * 50,
            readings: vec![Ok(Value::Int { mantissa: 85 + swing as i64, exponent: -1 })],
            scores: vec![None],
        }
    };
    (0..30_000).map(row).collect()
}

/// Lets the wind jump once something is in the queue to FORWARD, and waits until the alarm is raised.
async fn raise(running: &Running, speed: &watch::Sender<u16>) {
    let raised = async {
        while running.from_watch.is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        speed.send(400).unwrap();
        let is_raised =
            |alert: &Alert| alert.device == "mast" && matches!(alert.kind, AlertKind::Anomaly | AlertKind::Spike);
        while !running.alerts.lock().unwrap().iter().any(is_raised) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(DEADLINE, raised).await.expect("a jump from 8.5 to 40 m/s raises an alarm without FORWARD");
}

#[tokio::test]
async fn a_stop_hands_over_the_alerts_that_waited() {
    let (speed, of_slave) = watch::channel(85);
    let mut running = start(config(slave(of_slave).await), &history(), 1);
    raise(&running, &speed).await;
    running.stop.send(true).unwrap();
    // On this one thread WATCH sees the stop now, while the queue is still full.
    tokio::task::yield_now().await;
    let mut handed_over = Vec::new();
    let drained = async {
        while let Some(handover) = running.from_watch.recv().await {
            handed_over.extend(if let Handover::Alert(alert) = handover { Some(alert) } else { None });
        }
    };
    timeout(DEADLINE, drained).await.expect("WATCH ends and drops its end of the queue");
    running.task.await.unwrap();
    assert_eq!(handed_over, *running.alerts.lock().unwrap());
}

#[tokio::test]
async fn with_forward_stalled_the_alarm_is_raised_and_its_alert_goes_first_when_there_is_room() {
    let (speed, of_slave) = watch::channel(85);
    // One place in the queue, and nobody who takes what is in it.
    let mut running = start(config(slave(of_slave).await), &history(), 1);
    raise(&running, &speed).await;
    // First what was in the queue; then every alert that waited, before any further row.
    let first = timeout(DEADLINE, running.from_watch.recv()).await.unwrap().unwrap();
    assert!(!matches!(first, Handover::Alert(_)), "the queue was full before the alert");
    let second = timeout(DEADLINE, running.from_watch.recv()).await.unwrap().unwrap();
    assert!(matches!(&second, Handover::Alert(alert) if alert.phase == AlertPhase::Open), "{second:?}");
    running.stop.send(true).unwrap();
    timeout(DEADLINE, running.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_disk_that_takes_no_learned_state_delays_no_row() {
    let (_speed, speed) = watch::channel(85);
    let config = config(slave(speed).await);
    let mut checkpoints = Checkpoints::none(config.clone(), Clock::start());
    // Every device is due all the time, and nobody takes what is to be written.
    let (mut states, ending) = checkpoints.begin(1, &Watch::new(&config, 7));
    let mut running = start_with(config, &[], 64, checkpoints);
    let mut rows = 0;
    let many = async {
        while rows < 50 {
            let handover = running.from_watch.recv().await.expect("WATCH runs");
            rows += usize::from(matches!(handover, Handover::Row { device: 0, .. }));
        }
    };
    timeout(DEADLINE, many).await.expect("rows come while the disk does nothing");
    assert_eq!(states.len(), 1, "one state waits, and no other is made before there is room");
    // With the disk back the turns go on.
    for _ in 0..5 {
        timeout(DEADLINE, states.recv()).await.unwrap().unwrap();
    }
    running.stop.send(true).unwrap();
    let rest = async { while states.recv().await.is_some() {} };
    timeout(DEADLINE, rest).await.expect("what is new is written at the stop");
    drop(ending);
    timeout(DEADLINE, running.task).await.unwrap().unwrap();
}
