//! The examples beside the wind farm's, as their files stand: a vehicle whose temperatures depart from what they were, and
//! a battery rack held against its limits. Only addresses and paths are others.

use crate::system::{Program, SOON, ask};
use anyhow::{Context as _, Result};
use axum::Router;
use axum::routing::post;
use serde_json::Value as Json;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex, PoisonError};
use tempfile::TempDir;
use tokio::net::TcpListener;
use windward_tests::clock;
use windward_tests::peers::{Mosquitto, Over, PyModbus, mbpoll, there};
use windward_tests::process::{eventually, free_port};
use windward_tests::stored;

/// An example: its two files, and where in them the device, the program of the local alarm and the receiver stand.
struct Example {
    agent: &'static str,
    sink: &'static str,
    database: &'static str,
    device: &'static str,
    program: &'static str,
    /// Stored rows of the device, by their partition, after which windows have something to look back on.
    quiet: (&'static str, usize),
    /// What the device says usually, what it says beyond the limit.
    usual: &'static str,
    beyond: &'static str,
    /// What is then told.
    rule: &'static str,
    severity: &'static str,
}

const VEHICLE: Example = Example {
    agent: include_str!("../../deploy/examples/vehicle-agent.toml"),
    sink: include_str!("../../deploy/examples/vehicle-sink.toml"),
    database: "/var/lib/windward/fleet.db",
    device: "host = \"192.168.10.2\", port = 502",
    program: "/usr/local/bin/driver-display",
    // The first window may be half as long again, and three follow.
    quiet: ("truck-07/drive", 50),
    usual: r#"{"set": {"0": 850, "1": 900, "2": 600}, "wobble": 5}"#,
    beyond: r#"{"set": {"1": 1020}}"#,
    rule: "temperature departs: mean of 10 s off by ",
    severity: "warning",
};

const BATTERY: Example = Example {
    agent: include_str!("../../deploy/examples/battery-agent.toml"),
    sink: include_str!("../../deploy/examples/battery-sink.toml"),
    database: "/var/lib/windward/depot.db",
    device: "host = \"192.168.20.11\", port = 502",
    program: "/usr/local/bin/site-horn",
    quiet: ("battery-03/rack-1", 30),
    usual: r#"{"set": {"0": 7600, "1": 1000, "2": 300, "3": 3600, "4": 550}, "wobble": 10}"#,
    beyond: r#"{"set": {"0": 6800}}"#,
    rule: "rack voltage: mean of 10 s 6",
    severity: "critical",
};

#[tokio::test(flavor = "multi_thread")]
async fn e2e_the_vehicle_and_the_battery_of_the_examples_are_told_of_once_on_the_spot_and_centrally() -> Result<()> {
    if !there()? {
        return Ok(());
    }
    // Side by side, for their windows take their time.
    tokio::try_join!(told_once(&VEHICLE), told_once(&BATTERY))?;
    Ok(())
}

async fn told_once(example: &Example) -> Result<()> {
    let mut site = Site::start(example).await?;
    let file = site.dir.path().join("farm.db");
    let (partition, rows) = example.quiet;
    eventually(SOON * 4, "quiet rows in the store", async || {
        site.check_alive()?;
        Ok(stored::rows(&file)?.get(partition).filter(|stored| stored.rows.len() >= rows).map(drop))
    })
    .await?;
    assert_eq!((site.local()?, site.central()), (vec![], vec![]), "nobody is told of the usual");

    let (since, usual) = (clock::now(), example.usual);
    site.device.tell(example.beyond)?;
    let opened = site.step("open").await?;
    println!("FIGURE {} after {:.1} s: {}", site.name, since.elapsed().as_secs_f64(), text(&opened, "evidence"));
    assert!(text(&opened, "evidence").starts_with(example.rule), "{opened}");
    assert_eq!((text(&opened, "kind"), text(&opened, "severity")), ("limit", example.severity));
    site.lamp(true).await?;

    let since = clock::now();
    site.device.tell(usual)?;
    let cleared = site.step("clear").await?;
    println!("FIGURE {} over after {:.1} s: {}", site.name, since.elapsed().as_secs_f64(), text(&cleared, "evidence"));
    site.lamp(false).await?;

    for (where_, told) in [("on the spot", site.local()?), ("centrally", site.central())] {
        let steps: Vec<_> = told.iter().map(|told| (text(told, "id"), step_of(told))).collect();
        let id = text(&opened, "id");
        assert_eq!(steps, [(id, "open"), (id, "clear")], "{where_}");
    }
    let alerts = ask(site.http, "/api/v1/alerts?limit=1000")?;
    assert_eq!(alerts["alerts"].as_array().map(Vec::len), Some(1), "{alerts}");

    site.agent.stop().await?;
    site.sink.stop().await?;
    // An hour is archived when it is over; the same rows come out as Parquet at once.
    let (well, said) = site.sink.run(&["check"]).await?;
    assert!(well && said.contains("archive"), "{said}");
    let out = site.dir.path().join("raw.parquet");
    let now_ms = clock::wall_ms();
    let [from, to] = [now_ms - 3_600_000, now_ms].map(|ms| ms.to_string());
    let arguments = ["export", "--from", &from, "--to", &to, "--out", &out.to_string_lossy()];
    let (well, said) = site.sink.run(&arguments).await?;
    assert!(well && fs::read(&out)?.starts_with(b"PAR1"), "{said}");
    println!("FIGURE {}: {}", site.name, said.trim());
    Ok(())
}

/// An example's device, lamp, agent, broker and sink, the program of its local alarm and the receiver of its messages.
struct Site {
    name: &'static str,
    device: PyModbus,
    lamp: Option<(PyModbus, u16)>,
    agent: Program,
    sink: Program,
    http: u16,
    received: Received,
    _broker: Mosquitto,
    dir: TempDir,
}

/// Bodies that the receiver of messages was given.
type Received = Arc<Mutex<Vec<Json>>>;

impl Site {
    async fn start(example: &Example) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let (mut device, port) = PyModbus::tcp().await?;
        device.tell(example.usual)?;
        let broker = Mosquitto::start(dir.path()).await?;
        let (http, (webhook, received)) = (free_port()?, receiver().await?);
        let within = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
        fs::write(within("horn"), "#!/bin/sh\ncat >> \"$0.told\"\n")?;
        fs::set_permissions(within("horn"), fs::Permissions::from_mode(0o755))?;
        let at = |port: u16| format!("host = \"127.0.0.1\", port = {port}");
        let mut agent = example.agent.to_owned();
        let relay = "host = \"192.168.10.3\", port = 502";
        let lamp = if agent.contains(relay) { Some(PyModbus::tcp().await?) } else { None };
        if let Some((_, port)) = &lamp {
            agent = put(agent, relay, &at(*port));
        }
        let broker_port = format!("port = {}", broker.port());
        for (there, here) in [
            ("\"/var/lib/windward\"", format!("{:?}", within("agent"))),
            ("broker.example.org", "127.0.0.1".into()),
            ("port = 1883", broker_port.clone()),
            (example.program, within("horn")),
            (example.device, at(port)),
        ] {
            agent = put(agent, there, &here);
        }
        let mut sink = example.sink.to_owned();
        for (there, here) in [
            ("port = 1883", broker_port),
            (example.database, within("farm.db")),
            ("127.0.0.1:9000", format!("127.0.0.1:{webhook}")),
            ("127.0.0.1:8080\"", format!("127.0.0.1:{http}\"\nguarded = true")),
            ("/var/lib/windward/archive", within("archive")),
        ] {
            sink = put(sink, there, &here);
        }
        let mut sink = Program::new("windward-sink", dir.path(), &sink)?;
        let mut agent = Program::new("windward-agent", dir.path(), &agent)?;
        sink.start()?;
        agent.start()?;
        let name = example.quiet.0;
        Ok(Self { name, device, lamp, agent, sink, http, received, _broker: broker, dir })
    }

    /// What the program of the local alarm was told.
    fn local(&self) -> Result<Vec<Json>> {
        let told = self.dir.path().join("horn.told");
        if !told.exists() {
            return Ok(Vec::new());
        }
        let text = fs::read_to_string(told)?;
        // The last line may be under way.
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with("}\n"));
        whole.map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
    }

    /// What the receiver of messages was told.
    fn central(&self) -> Vec<Json> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until this step has been told on the spot and centrally; gives the central message.
    async fn step(&mut self, step: &str) -> Result<Json> {
        eventually(SOON * 3, &format!("a step: {step}"), async || {
            self.check_alive()?;
            let of = |told: Vec<Json>| told.into_iter().find(|told| step_of(told) == step);
            Ok(of(self.local()?).and(of(self.central())))
        })
        .await
    }

    /// Waits until the lamp is so, where there is one.
    async fn lamp(&self, on: bool) -> Result<()> {
        let Some((_, port)) = &self.lamp else { return Ok(()) };
        eventually(SOON, "the lamp", async || {
            Ok((mbpoll(Over::Tcp(*port), 1, 1, 0, 1)? == [u16::from(on)]).then_some(()))
        })
        .await
    }

    fn check_alive(&mut self) -> Result<()> {
        self.agent.check_alive()?;
        self.sink.check_alive()
    }
}

/// The text with another word in a place that it has.
fn put(text: String, there: &str, here: &str) -> String {
    assert!(text.contains(there), "the example has no {there}");
    text.replace(there, here)
}

fn text<'a>(told: &'a Json, key: &str) -> &'a str {
    told[key].as_str().unwrap_or_default()
}

/// The step of an alert as the local alarm names it, or a message.
fn step_of(told: &Json) -> &str {
    told["alert"].as_str().or(told["phase"].as_str()).unwrap_or_default()
}

/// Takes what is posted at `/alerts` of a port of its own.
async fn receiver() -> Result<(u16, Received)> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let port = listener.local_addr()?.port();
    let received = Received::default();
    let into = received.clone();
    let take = async move |body: String| {
        let body = serde_json::from_str(&body).unwrap_or(Json::Null);
        into.lock().unwrap_or_else(PoisonError::into_inner).push(body);
    };
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/alerts", post(take))).await });
    Ok((port, received))
}
