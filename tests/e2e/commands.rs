//! Commands over a real broker: who may give them, what they do, and a configuration that is tried out and taken back.

use crate::system::{Program, SOON, agent_toml, kept, sink_toml};
use anyhow::{Context as _, Result};
use rusqlite::Connection;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use windward_tests::peers::{CREDENTIALS, Mosquitto, PyModbus, REGION, there};
use windward_tests::process::{eventually, free_port, program};

/// How long a new configuration may take to be found unhealthy, and the old one to be back.
const TRIAL: Duration = Duration::from_secs(180);

struct Farm {
    dir: tempfile::TempDir,
    agent: Program,
    config: String,
    _device: PyModbus,
    _broker: Mosquitto,
}

impl Farm {
    async fn start() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let (mut device, port) = PyModbus::tcp().await?;
        device.tell(r#"{"set": {"0": 800}, "wobble": 60}"#)?;
        let broker = Mosquitto::start(dir.path()).await?;
        openssl(dir.path(), "genpkey -algorithm ed25519 -out operator.key")?;
        openssl(dir.path(), "pkey -in operator.key -pubout -out operator.pub")?;
        openssl(dir.path(), "genpkey -algorithm ed25519 -out stranger.key")?;
        let sink = sink_toml(broker.port(), &format!("sqlite = {:?}", dir.path().join("farm.db")), "", free_port()?);
        std::fs::write(dir.path().join("windward-sink.toml"), sink)?;
        // A store that is here, so that commands are noted in it.
        std::fs::write(dir.path().join("farm.db"), "")?;
        let commands = format!("[commands]\naccept = \"signed\"\nkey = {:?}\n", dir.path().join("operator.pub"));
        let config = agent_toml("turbine-01", dir.path(), broker.port(), &commands);
        let config = format!(
            "{config}[[device]]\nname = \"mast\"\nlocation = \"Turbine 1, mast\"\ninterval_ms = 1000\n\
             modbus_tcp = {{ host = \"127.0.0.1\", port = {port} }}\n\
             [[device.channel]]\nname = \"wind\"\nquantity = \"wind-speed\"\nunit = \"m/s\"\nregister = 0\ntype = \"u16\"\n\
             scale = 0.01\n"
        );
        let mut agent = Program::new("windward-agent", dir.path(), &config)?;
        agent.start()?;
        let farm = Self { dir, agent, config, _device: device, _broker: broker };
        eventually(SOON, "the first rows", async || Ok((farm.rows() >= 2).then_some(()))).await?;
        Ok(farm)
    }

    fn rows(&self) -> usize {
        kept(&self.agent.output()).get("mast").map_or(0, Vec::len)
    }

    /// Gives a command with this key; whether it was done, and what was said.
    async fn command(&self, key: Option<&str>, ask: &[impl AsRef<OsStr>]) -> Result<(bool, String)> {
        let mut command = Command::new(program("windward-sink")?);
        command
            .args(["command", "--by", "Ann", "--agent", "turbine-01", "--config"])
            .arg(self.path("windward-sink.toml"));
        if let Some(key) = key {
            command.arg("--key").arg(self.path(key));
        }
        command.args(ask).envs(CREDENTIALS).env("AWS_REGION", REGION);
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        Ok((output.status.success(), said))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What the audit log says of commands.
    fn noted(&self) -> Result<Vec<String>> {
        let db = Connection::open(self.path("farm.db"))?;
        let mut rows = db.prepare("SELECT who || ': ' || what || ' ' || about FROM deeds ORDER BY sort")?;
        let said = rows.query_map([], |row| row.get(0))?;
        Ok(said.collect::<Result<_, _>>()?)
    }

    /// The file on disk is what the agent started with.
    fn configured(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.path("windward-agent.toml"))?)
    }
}

fn openssl(dir: &Path, arguments: &str) -> Result<()> {
    let output = Command::new("openssl").args(arguments.split(' ')).current_dir(dir).output().context("openssl")?;
    anyhow::ensure!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_commands_are_done_for_the_operator_and_for_nobody_else() -> Result<()> {
    if !there()? {
        return Ok(());
    }
    let mut farm = Farm::start().await?;
    let operator = Some("operator.key");
    for key in [None, Some("stranger.key")] {
        let (done, said) = farm.command(key, &["status"]).await?;
        assert!(!done && said.starts_with("refused  it is not signed with the key"), "{said}");
    }
    let (done, said) = farm.command(operator, &["status"]).await?;
    assert!(done && said.contains("mqtt: connected") && said.contains("mast: "), "{said}");

    let (done, said) = farm.command(operator, &["rate", "10", "--minutes", "1", "--device", "mast"]).await?;
    assert_eq!((done, said.trim_end()), (true, "done     for 1 minutes: mast is read 10 times as often"));
    let before = farm.rows();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let in_five_s = farm.rows() - before;
    assert!(in_five_s >= 25, "{in_five_s} rows in five seconds at ten a second");
    let (done, said) = farm.command(operator, &["rate", "5", "--device", "mats"]).await?;
    assert!(!done && said.contains("there is no device \"mats\""), "{said}");

    let (done, said) = farm.command(operator, &["resend", "readings", "1", "3"]).await?;
    assert!(done && said.contains("readings 1 to 3 go again"), "{said}");
    let noted = farm.noted()?;
    assert_eq!(noted.len(), 6, "those that were refused too: {noted:?}");
    assert_eq!(noted[3], "Ann: command turbine-01: rate 10 of mast for 1 min");

    farm.agent.stop().await?;
    let (done, said) = farm.command(operator, &["status"]).await?;
    assert!(!done && said.contains("turbine-01 is not connected to the broker"), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_a_configuration_is_used_if_it_is_healthy_and_the_old_one_if_not() -> Result<()> {
    if !there()? {
        return Ok(());
    }
    let mut farm = Farm::start().await?;
    let configure = async |text: &str| {
        std::fs::write(farm.path("new.toml"), text)?;
        let ask = ["configure".to_owned(), farm.path("new.toml").display().to_string()];
        tokio::time::timeout(TRIAL, farm.command(Some("operator.key"), &ask)).await?
    };
    let (done, said) = configure(&farm.config.replace("interval_ms", "intervall_ms")).await?;
    assert!(!done && said.contains("refused") && said.contains("intervall_ms"), "{said}");
    let (done, said) = configure(&farm.config.replace("turbine-01", "turbine-02")).await?;
    assert!(!done && said.contains("agent and data stay as they are"), "{said}");
    assert_eq!(farm.configured()?, farm.config);

    let faster = farm.config.replace("interval_ms = 1000", "interval_ms = 200");
    let (done, said) = configure(&faster).await?;
    assert!(done && said.starts_with("taken ") && said.contains("done     it is healthy"), "{said}");
    assert_eq!(farm.configured()?, faster);
    assert_eq!(std::fs::read_to_string(farm.path("windward-agent.toml.before"))?, farm.config);

    // A device that nobody answers for: found out, and taken back.
    let dead = free_port()?;
    let (head, tail) =
        faster.split_once("modbus_tcp = { host = \"127.0.0.1\", port = ").context("the device's line")?;
    let (_, tail) = tail.split_once(' ').context("the rest of it")?;
    let (done, said) = configure(&format!("{head}modbus_tcp = {{ host = \"127.0.0.1\", port = {dead} {tail}")).await?;
    assert!(!done && said.contains("failed   not healthy after 90s: mast gives no values, and did before"), "{said}");
    assert_eq!(farm.configured()?, faster);
    let before = farm.rows();
    eventually(SOON, "rows with the old configuration", async || Ok((farm.rows() > before + 5).then_some(()))).await?;
    farm.agent.check_alive()?;
    farm.agent.stop().await.map(drop)
}
