//! No secret leaves the files and the environment that it stands in: not to a log at any level, not to a command line, a
//! table, the API, an answer or the spool.

use crate::system::{Program, SOON, ask};
use anyhow::{Context as _, Result, ensure};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use windward_tests::peers::{Ministack, Mosquitto, PyModbus, find, there};
use windward_tests::process::{eventually, free_port};

/// What nobody may find anywhere, each with what it is.
const SECRETS: [(&str, &str); 8] = [
    ("the agent's password", "Sail-agent-4711"),
    ("the sink's password", "Sail-sink-4712"),
    ("the mailbox's password", "Sail-mail-4713"),
    ("the webhook's path", "Sail-hook-4714"),
    ("the webhook's query", "Sail-query-4715"),
    ("the key of AWS", "Sail/aws+4716"),
    ("the session token of AWS", "Sail-session-4717"),
    ("a password where none belongs", "Sail-config-4718"),
];

#[tokio::test(flavor = "multi_thread")]
async fn e2e_no_secret_is_told_at_any_level() -> Result<()> {
    if !there()? {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let broker = broker(dir.path()).await?;
    let aws = Ministack::start().await?;
    let (mut device, port) = PyModbus::tcp().await?;
    device.tell(r#"{"set": {"0": 800}, "wobble": 60}"#)?;
    let mut agent = Program::new("windward-agent", dir.path(), &agent_config(dir.path(), &broker, &aws, port)?)?;
    let stores = [format!("sqlite = {:?}", dir.path().join("farm.db")), dynamodb(&aws)];
    let (mut sinks, mut said) = (Vec::new(), Vec::new());
    for (nth, store) in stores.iter().enumerate() {
        let (home, http) = (dir.path().join(format!("sink-{nth}")), free_port()?);
        std::fs::create_dir(&home)?;
        let mut sink = Program::new("windward-sink", &home, &sink_config(dir.path(), &broker, nth, store, http)?)?;
        tell_everything(&mut sink);
        said.push(("check of the sink", sink.check(&["--create"]).await?.1));
        sink.start()?;
        sinks.push((sink, http));
    }
    tell_everything(&mut agent);
    said.push(("check of the agent", agent.check(&[]).await?.1));
    agent.start()?;
    for (_, http) in &sinks {
        // Neither the webhook nor the mail server is there: both failures are told.
        let untold = async || Ok(ask(*http, "/healthz").ok().filter(|health| health["untold"].as_u64() >= Some(2)));
        eventually(SOON, "both targets to fail", untold).await?;
    }
    std::fs::write(dir.path().join("bad.toml"), format!("agent = \"t\"\n[mqtt]\npassword = {:?}\n", SECRETS[7].1))?;
    let bad = dir.path().join("bad.toml").display().to_string();
    for order in [&["status"][..], &["configure", &bad]] {
        let (_, answer) = sinks[0].0.run(&[&["command", "--agent", "turbine-01"], order].concat()).await?;
        said.push(("answer to a command", answer));
    }
    said.push(("command line of the agent", cmdline(&agent)?));
    for (sink, http) in &sinks {
        said.push(("command line of the sink", cmdline(sink)?));
        for path in ["agents", "alerts", "gaps", "poison", "readings?agent=turbine-01&device=mast", "days"] {
            said.push(("API", ask(*http, &format!("/api/v1/{path}"))?.to_string()));
        }
        said.push(("health", ask(*http, "/healthz")?.to_string()));
    }
    agent.stop().await?;
    for (sink, _) in &mut sinks {
        sink.stop().await?;
        said.push(("log of the sink", sink.output()));
    }
    said.push(("log of the agent", agent.output()));
    let kept = ["farm.db", "farm.db-wal", "turbine-01"].map(|name| dir.path().join(name));
    kept.iter().try_for_each(|path| read_all(path, &mut said))?;

    let bytes: usize = said.iter().map(|(_, text)| text.len()).sum();
    println!("FIGURE {} texts of {} KiB looked through for {} secrets", said.len(), bytes / 1_024, SECRETS.len());
    for (place, text) in &said {
        for (what, secret) in SECRETS {
            let line = text.lines().find(|line| line.contains(secret));
            ensure!(line.is_none(), "{place} tells {what}: {}", line.unwrap_or_default());
        }
    }
    // They were there to be told.
    let (log, sink_log) = (agent.output(), sinks[1].0.output());
    ensure!(log.contains("TRACE") && sink_log.contains("TRACE"), "the logs tell everything");
    ensure!(sink_log.contains("webhook http://127.0.0.1:"), "the webhook that fails is named as far as it may be");
    let warned = log.lines().filter(|line| line.contains("every user of this machine may read it")).count();
    ensure!(warned == 1 && !log.contains("mail.password"), "{warned} warnings of files that are open to all");
    Ok(())
}

/// A mosquitto that lets nobody in without a password.
async fn broker(dir: &Path) -> Result<Mosquitto> {
    let file = dir.join("passwords");
    std::fs::write(&file, format!("turbine-01:{}\nsink:{}\n", SECRETS[0].1, SECRETS[1].1))?;
    let tool = find("mosquitto_passwd").context("mosquitto_passwd is not installed")?;
    let status = Command::new(tool).arg("-U").arg(&file).status()?;
    ensure!(status.success(), "mosquitto_passwd: {status}");
    Mosquitto::start_with(dir, &format!("user root\nallow_anonymous false\npassword_file {}\n", file.display())).await
}

fn agent_config(dir: &Path, broker: &Mosquitto, aws: &Ministack, device: u16) -> Result<String> {
    let (data, password) = (dir.join("turbine-01"), secret_file(dir, "agent.password", SECRETS[0].1, 0o644)?);
    Ok(format!(
        r#"agent = "turbine-01"
farm = "test-farm"
data = {data:?}
[mqtt]
host = "127.0.0.1"
port = {}
username = "turbine-01"
password_file = {password:?}
[kinesis]
stream = "not-there"
region = "eu-west-1"
endpoint = "{}"
mirror = true
[commands]
accept = "acl"
[spool]
commit_every_ms = 200
[[device]]
name = "mast"
location = "Mast"
interval_ms = 500
modbus_tcp = {{ host = "127.0.0.1", port = {device} }}
[[device.channel]]
name = "wind"
quantity = "wind-speed"
unit = "m/s"
register = 0
type = "u16"
scale = 0.01
[[rule]]
name = "there is wind"
quantity = "wind-speed"
above = 1.0
clear_below = 0.5
severity = "critical"
"#,
        broker.port(),
        aws.endpoint,
    ))
}

fn sink_config(dir: &Path, broker: &Mosquitto, nth: usize, store: &str, http: u16) -> Result<String> {
    let password = secret_file(dir, "sink.password", SECRETS[1].1, 0o600)?;
    let mail = secret_file(dir, "mail.password", SECRETS[2].1, 0o600)?;
    let (nobody, hook, query) = (free_port()?, SECRETS[3].1, SECRETS[4].1);
    Ok(format!(
        r#"farm = "test-farm"
[mqtt]
host = "127.0.0.1"
port = {}
client_id = "sink-{nth}"
username = "sink"
password_file = {password:?}
[store]
{store}
[notify.targets.hook.webhook]
url = "http://127.0.0.1:{nobody}/{hook}?key={query}"
[notify.targets.post.mail]
smtp = "smtp://127.0.0.1:{nobody}"
from = "farm@example.org"
to = ["crew@example.org"]
username = "farm"
password_file = {mail:?}
[http]
listen = "127.0.0.1:{http}"
guarded = true
"#,
        broker.port(),
    ))
}

fn dynamodb(aws: &Ministack) -> String {
    format!("dynamodb = {{ endpoint = \"{}\", region = \"eu-west-1\" }}", aws.endpoint)
}

fn secret_file(dir: &Path, name: &str, secret: &str, mode: u32) -> Result<PathBuf> {
    let path = dir.join(name);
    std::fs::write(&path, format!("{secret}\n"))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode))?;
    Ok(path)
}

/// The lowest level there is, and credentials of AWS that are none of the usual ones.
fn tell_everything(program: &mut Program) {
    program.env("RUST_LOG", "trace");
    program.env("AWS_SECRET_ACCESS_KEY", SECRETS[5].1);
    program.env("AWS_SESSION_TOKEN", SECRETS[6].1);
}

fn cmdline(program: &Program) -> Result<String> {
    let id = program.id().context("it runs")?;
    Ok(String::from_utf8_lossy(&std::fs::read(format!("/proc/{id}/cmdline"))?).replace('\0', " "))
}

/// The file, or all files below the folder.
fn read_all(path: &Path, said: &mut Vec<(&'static str, String)>) -> Result<()> {
    if path.is_dir() {
        for entry in std::fs::read_dir(path)? {
            read_all(&entry?.path(), said)?;
        }
    } else if path.exists() {
        said.push(("file on disk", String::from_utf8_lossy(&std::fs::read(path)?).into_owned()));
    }
    Ok(())
}
