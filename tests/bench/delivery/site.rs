//! A site: what makes readings, the program at the edge that is judged, the link, the broker, and who receives.

use super::bridge::Bridge;
use super::windward::Windward;
use anyhow::Result;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use windward_tests::cost::Program;
use windward_tests::link::Link;
use windward_tests::peers::Mosquitto;
use windward_tests::process::eventually;

/// How long the first reading may take to arrive.
const PATIENCE: Duration = Duration::from_secs(30);
/// Nothing new for so long: nothing comes any more. Longer than the longest pause between two attempts to connect.
const QUIET: Duration = Duration::from_secs(25);
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Who is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum System {
    Windward,
    /// mosquitto's bridge, saved every second and without limits.
    Bridge,
    /// The same with the limits it is shipped with.
    BridgeAsShipped,
}

impl System {
    pub(crate) fn name(self) -> &'static str {
        match self {
            System::Windward => "Windward",
            System::Bridge => "bridge, autosave 1 s, unlimited",
            System::BridgeAsShipped => "bridge as shipped",
        }
    }
}

/// What became of the readings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Readings there were.
    pub(crate) made: u64,
    /// Those that the edge has said to have taken.
    pub(crate) taken: u64,
    /// Different ones that have arrived.
    pub(crate) arrived: u64,
    /// Taken and not arrived.
    pub(crate) lost: u64,
    /// Arrivals of what had arrived.
    pub(crate) repeated: u64,
}

enum Ends {
    Windward(Box<Windward>),
    Bridge(Bridge),
}

pub(crate) struct Site {
    pub(crate) edge: Program,
    pub(crate) link: Link,
    ends: Ends,
    broker: Mosquitto,
}

impl Site {
    /// Starts it all, and waits for the first reading to arrive. `tells_kept`: Windward's agent says what it has kept,
    /// without which nothing counts as taken.
    pub(crate) async fn start(system: System, round_trip: Duration, dir: &Path, tells_kept: bool) -> Result<Self> {
        // The far broker is to hold nothing up and to drop nothing.
        let broker = Mosquitto::start_with(dir, "max_queued_messages 0\nmax_inflight_messages 0\n").await?;
        let link = Link::long(SocketAddr::from(([127, 0, 0, 1], broker.port())), round_trip).await?;
        let (near, far) = (link.addr().port(), broker.port());
        let (ends, edge) = match system {
            System::Windward => {
                let (windward, agent) = Windward::start(dir, far, near, tells_kept).await?;
                (Ends::Windward(Box::new(windward)), agent)
            }
            System::Bridge | System::BridgeAsShipped => {
                let (bridge, gateway) = Bridge::start(dir, far, near, system == System::Bridge).await?;
                (Ends::Bridge(bridge), gateway)
            }
        };
        let mut site = Self { edge, link, ends, broker };
        let what = "the first reading to arrive";
        eventually(PATIENCE, what, async || {
            site.edge.check_alive()?;
            Ok((site.tally()?.arrived > 0).then_some(()))
        })
        .await?;
        Ok(site)
    }

    /// Readings there have been so far.
    pub(crate) fn made(&self) -> u64 {
        match &self.ends {
            Ends::Windward(windward) => windward.made(),
            Ends::Bridge(bridge) => bridge.made(),
        }
    }

    pub(crate) fn tally(&self) -> Result<Tally> {
        match &self.ends {
            Ends::Windward(windward) => windward.tally(&self.edge),
            Ends::Bridge(bridge) => Ok(bridge.tally()),
        }
    }

    /// Windward's sink.
    pub(crate) fn sink(&self) -> Option<&Program> {
        match &self.ends {
            Ends::Windward(windward) => Some(windward.sink()),
            Ends::Bridge(_) => None,
        }
    }

    /// The broker is killed for so long, and half-way the edge if it is to be. A subscriber is back before the link is, for
    /// nobody keeps its messages; Windward's sink comes back when it does.
    pub(crate) async fn broker_away(&mut self, away: Duration, kills_edge: bool) -> Result<()> {
        self.link.set(false);
        self.broker.kill()?;
        tokio::time::sleep(away / 2).await;
        if kills_edge {
            self.kill_edge()?;
        }
        tokio::time::sleep(away / 2).await;
        let before = match &self.ends {
            Ends::Windward(_) => 0,
            Ends::Bridge(bridge) => bridge.listened(),
        };
        self.broker.restart().await?;
        if let Ends::Bridge(bridge) = &self.ends {
            bridge.listens(before).await?;
        }
        self.link.set(true);
        Ok(())
    }

    /// SIGKILL, and a start at once.
    pub(crate) fn kill_edge(&mut self) -> Result<()> {
        self.edge.kill()?;
        self.edge.start()
    }

    /// Ends the readings after `at_least` of them, and waits until nothing comes any more.
    pub(crate) async fn settle(&mut self, at_least: u64) -> Result<Tally> {
        while self.made() < at_least {
            self.edge.check_alive()?;
            tokio::time::sleep(LOOK_EVERY).await;
        }
        match &self.ends {
            Ends::Windward(windward) => windward.stop(),
            Ends::Bridge(bridge) => bridge.stop(),
        }
        // What is under way between device and edge is taken or not by then.
        tokio::time::sleep(2 * LOOK_EVERY).await;
        let (mut tally, mut quiet) = (self.tally()?, Duration::ZERO);
        while tally.lost > 0 && quiet < QUIET {
            tokio::time::sleep(LOOK_EVERY).await;
            self.edge.check_alive()?;
            let now = self.tally()?;
            quiet = if now.arrived > tally.arrived { Duration::ZERO } else { quiet + LOOK_EVERY };
            tally = now;
        }
        Ok(tally)
    }
}
