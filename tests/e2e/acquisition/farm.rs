//! An agent with lines of its own, a broker and a sink: what the rooms next to this one start and ask.

use crate::system::{Program, SOON, agent_toml, sink_toml};
use anyhow::Result;
use std::collections::BTreeMap;
use std::path::PathBuf;
use tempfile::TempDir;
use windward_tests::peers::Mosquitto;
use windward_tests::process::{eventually, free_port};
use windward_tests::stored::{self, Stored};

const AGENT: &str = "turbine-01";

/// All of it, in a directory of its own.
pub(super) struct Farm {
    pub(super) agent: Program,
    sink: Program,
    file: PathBuf,
    _dir: TempDir,
    _broker: Mosquitto,
}

impl Farm {
    /// Starts the broker; the agent has these further tables and devices, and is not started yet. The directory is where
    /// its lines are.
    pub(super) async fn new(dir: TempDir, more: &str) -> Result<Self> {
        let broker = Mosquitto::start(dir.path()).await?;
        let file = dir.path().join("farm.db");
        let sink = sink_toml(broker.port(), &format!("sqlite = {file:?}"), "", free_port()?);
        let sink = Program::new("windward-sink", dir.path(), &sink)?;
        let agent = Program::new("windward-agent", dir.path(), &agent_toml(AGENT, dir.path(), broker.port(), more))?;
        Ok(Self { agent, sink, file, _dir: dir, _broker: broker })
    }

    pub(super) fn start(&mut self) -> Result<()> {
        self.sink.start()?;
        self.agent.start()
    }

    pub(super) fn check_alive(&mut self) -> Result<()> {
        self.agent.check_alive()?;
        self.sink.check_alive()
    }

    /// What is stored of each device by now.
    pub(super) fn stored(&self) -> Result<BTreeMap<String, Stored>> {
        let stored = stored::rows(&self.file)?.into_iter();
        let own = |name: String| name.strip_prefix(AGENT).and_then(|name| name.strip_prefix('/')).map(str::to_owned);
        Ok(stored.filter_map(|(name, stored)| Some((own(name)?, stored))).collect())
    }

    /// Waits until so many rows of every one of `devices` devices are stored.
    pub(super) async fn rows(&mut self, devices: usize, rows: usize) -> Result<()> {
        eventually(SOON * 2, "rows of every device", async || {
            self.check_alive()?;
            let stored = self.stored()?;
            Ok((stored.len() == devices && stored.values().all(|stored| stored.rows.len() >= rows)).then_some(()))
        })
        .await
    }

    /// Stops both well, and gives all that is stored.
    pub(super) async fn stop(mut self) -> Result<BTreeMap<String, Stored>> {
        self.agent.stop().await?;
        self.sink.stop().await?;
        self.stored()
    }
}
