//! What delivering costs and what it loses, beside mosquitto's bridge: the same readings of eight values, the same link,
//! the same broker, the same kills, by turns. Run by `tests/bench/delivery/run`.
//!
//! Windward is the agent as it comes (a commit a second), without detection, which the bridge has none of; it reads ten
//! Modbus TCP devices fifty times a second each, and its readings count as arrived when its sink has stored them. What
//! its figures of cost hold, and the bridge's do not, is the reading of the devices. The bridge is a mosquitto on the
//! gateway; a publisher gives it the same readings as JSON at QoS 1, and a subscriber behind the broker counts them.
//!
//! *Lost* is what the edge had said that it had taken (the agent's line that a reading is kept; the gateway's PUBACK) and
//! what never arrived. *Repeated* is what arrived again: with the bridge at the subscriber, with Windward in the table.
//! The benchmark fails where Windward has lost or repeated anything.
//!
//! *Cost* is a run without faults, and one with the broker away for a part of it: processor time and bytes to disk from
//! proc(5), syncs by strace in ten seconds of their own behind it, and bytes on the link in both directions, without TCP's
//! headers. *Drain* is Windward alone: values that wait in its spool, and how long until the sink has stored them.

mod bridge;
mod drain;
mod site;
mod windward;

use anyhow::{Context as _, Result, bail};
use site::{Site, System, Tally};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use windward_tests::process::eventually;

/// Time that everything runs before the first fault.
const LEAD: Duration = Duration::from_secs(5);
/// Time in which syncs are counted.
const SYNCS: Duration = Duration::from_secs(10);
/// Cuts of the link, the time it is cut, and the time between two.
const CUTS: usize = 6;
const CUT: Duration = Duration::from_secs(1);
const BETWEEN: Duration = Duration::from_secs(4);
const LONG: Duration = Duration::from_millis(300);
/// Bytes on the link from which on an edge is catching up.
const CATCHING_UP: u64 = 32 * 1024;
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at what has arrived.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Rows of the blocks that drain: a device that is read fifty times a second, and one that is read once.
const ROWS: [u64; 2] = [50, 1];

fn main() -> Result<()> {
    let arguments = Arguments::parse()?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(run(&arguments))
}

async fn run(arguments: &Arguments) -> Result<()> {
    let dir = match &arguments.dir {
        Some(dir) => tempfile::tempdir_in(dir)?,
        None => tempfile::tempdir()?,
    };
    let mut tallies: BTreeMap<(Case, System), Vec<Tally>> = BTreeMap::new();
    for repeat in 0..arguments.repeats {
        for case in Case::ALL.into_iter().filter(|case| arguments.wants(case.name())) {
            for system in case.systems() {
                let dir = dir.path().join(format!("{}-{system:?}-{repeat}", case.name()));
                std::fs::create_dir(&dir)?;
                let what = || format!("{}, {}", case.name(), system.name());
                match case {
                    Case::Cost | Case::CostAway => costs(case, *system, arguments, &dir).await.with_context(what)?,
                    _ => {
                        let tally = faults(case, *system, arguments, &dir).await.with_context(what)?;
                        tallies.entry((case, *system)).or_default().push(tally);
                    }
                }
                std::fs::remove_dir_all(&dir)?;
            }
        }
        if arguments.wants("drain") {
            for rows in ROWS {
                let dir = dir.path().join(format!("drain-{rows}-{repeat}"));
                std::fs::create_dir(&dir)?;
                drain::drain(arguments.values, rows, &dir).await.context("drain")?;
                std::fs::remove_dir_all(&dir)?;
            }
        }
    }
    let mut broken = 0;
    for ((case, system), tallies) in tallies {
        if system == System::Windward {
            broken += tallies.iter().filter(|tally| tally.lost + tally.repeated > 0).count();
        }
        let of = |figure: fn(&Tally) -> u64| -> String {
            let figures = tallies.iter().map(figure);
            let (least, most) = (figures.clone().min().unwrap_or(0), figures.max().unwrap_or(0));
            if least == most { most.to_string() } else { format!("{least} to {most}") }
        };
        println!(
            "FIGURE delivery {}, {}: of {} readings {} taken, {} lost, {} repeated ({} runs)",
            case.name(),
            system.name(),
            of(|tally| tally.made),
            of(|tally| tally.taken),
            of(|tally| tally.lost),
            of(|tally| tally.repeated),
            tallies.len(),
        );
    }
    anyhow::ensure!(broken == 0, "Windward has broken its promise in {broken} runs");
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Case {
    Cost,
    CostAway,
    BrokerAway,
    BrokerAwayKilled,
    Killed,
    Cuts,
    CatchUpKilled,
}

impl Case {
    const ALL: [Case; 7] = [
        Case::Cost,
        Case::CostAway,
        Case::BrokerAway,
        Case::BrokerAwayKilled,
        Case::Killed,
        Case::Cuts,
        Case::CatchUpKilled,
    ];

    /// As it is told and as `--only` names it.
    fn name(self) -> &'static str {
        match self {
            Case::Cost => "cost",
            Case::CostAway => "cost-broker-away",
            Case::BrokerAway => "broker-killed",
            Case::BrokerAwayKilled => "broker-and-edge-killed",
            Case::Killed => "edge-killed",
            Case::Cuts => "300-ms-six-cuts",
            Case::CatchUpKilled => "300-ms-killed-in-catch-up",
        }
    }

    fn systems(self) -> &'static [System] {
        match self {
            Case::BrokerAway | Case::BrokerAwayKilled => &[System::Windward, System::Bridge, System::BridgeAsShipped],
            _ => &[System::Windward, System::Bridge],
        }
    }

    fn round_trip(self) -> Duration {
        if matches!(self, Case::Cuts | Case::CatchUpKilled) { LONG } else { Duration::ZERO }
    }
}

async fn faults(case: Case, system: System, arguments: &Arguments, dir: &Path) -> Result<Tally> {
    let mut site = Site::start(system, case.round_trip(), dir, true).await?;
    tokio::time::sleep(LEAD).await;
    match case {
        Case::Cost | Case::CostAway => {}
        Case::BrokerAway => site.broker_away(arguments.away, false).await?,
        Case::BrokerAwayKilled => site.broker_away(arguments.away, true).await?,
        Case::Killed => site.kill_edge()?,
        Case::Cuts => {
            for _ in 0..CUTS {
                site.link.set(false);
                tokio::time::sleep(CUT).await;
                site.link.set(true);
                tokio::time::sleep(BETWEEN).await;
            }
        }
        Case::CatchUpKilled => {
            site.broker_away(arguments.away, false).await?;
            let before = site.link.carried();
            let catches_up = || site.link.carried() - before > CATCHING_UP;
            eventually(PATIENCE, "catching up", async || Ok(catches_up().then_some(()))).await?;
            site.kill_edge()?;
        }
    }
    let tally = site.settle(arguments.readings).await?;
    println!("{}, {}: {tally:?}; load {}", case.name(), system.name(), load());
    Ok(tally)
}

/// What readings cost while nothing goes wrong, or where the broker is away for a part of the time.
async fn costs(case: Case, system: System, arguments: &Arguments, dir: &Path) -> Result<()> {
    let mut site = Site::start(system, Duration::ZERO, dir, false).await?;
    tokio::time::sleep(LEAD).await;
    let (before, edge, carried) = (site.made(), site.edge.cost()?, site.link.carried());
    let sink = site.sink().map(|sink| sink.cost()).transpose()?;
    if case == Case::CostAway {
        site.broker_away(arguments.away, false).await?;
    }
    let are_made = async || Ok((site.made() - before >= arguments.readings).then_some(()));
    eventually(PATIENCE * 10, "the readings", are_made).await?;
    let wanted = site.made();
    eventually(PATIENCE, "the readings to arrive", async || {
        tokio::time::sleep(LOOK_EVERY).await;
        Ok((site.tally()?.arrived >= wanted).then_some(()))
    })
    .await?;
    let (readings, wire) = ((site.made() - before) as f64, (site.link.carried() - carried) as f64);
    let (edge, pss_kib) = (site.edge.cost()?.since(edge), site.edge.pss_kib()?);
    print!(
        "FIGURE delivery {}, {}: {readings:.0} readings, {:.1} CPU ms a 1,000, {:.0} bytes to disk and {:.1} on the \
         wire a reading, PSS {:.1} MiB",
        case.name(),
        system.name(),
        edge.cpu_s * 1e6 / readings,
        edge.written / readings,
        wire / readings,
        pss_kib / 1024.0,
    );
    if let (Some(sink), Some(before)) = (site.sink(), sink) {
        let cost = sink.cost()?.since(before);
        let (cpu, written, pss) = (cost.cpu_s * 1e6 / readings, cost.written / readings, sink.pss_kib()? / 1024.0);
        print!("; its sink {cpu:.1} CPU ms a 1,000, {written:.0} bytes to disk a reading, PSS {pss:.1} MiB");
    }
    let before = site.made();
    match site.edge.syncs(dir, async || tokio::time::sleep(SYNCS).await).await? {
        Some(syncs) => print!("; {syncs:.0} syncs in {} readings", site.made() - before),
        None => print!("; syncs not counted: no strace"),
    }
    println!("; load {}", load());
    Ok(())
}

/// Programs that wanted to run, on average of the last minute.
fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}

struct Arguments {
    readings: u64,
    away: Duration,
    repeats: usize,
    /// Values that drain.
    values: u64,
    /// Names of cases; all where there is none.
    only: Vec<String>,
    dir: Option<PathBuf>,
}

impl Arguments {
    fn parse() -> Result<Self> {
        let mut parsed = Self {
            readings: 20_000,
            away: Duration::from_secs(20),
            repeats: 3,
            values: 2_000_000,
            only: Vec::new(),
            dir: None,
        };
        let mut given = std::env::args().skip(1).filter(|argument| argument != "--bench");
        while let Some(name) = given.next() {
            let value = given.next().with_context(|| format!("{name} needs a value"))?;
            match name.as_str() {
                "--readings" => parsed.readings = value.parse()?,
                "--away" => parsed.away = Duration::from_secs(value.parse()?),
                "--repeats" => parsed.repeats = value.parse()?,
                "--values" => parsed.values = value.parse()?,
                "--only" => parsed.only.push(value),
                "--dir" => parsed.dir = Some(value.into()),
                _ => bail!("unknown argument {name}"),
            }
        }
        let known = |name: &str| name == "drain" || Case::ALL.iter().any(|case| case.name() == name);
        if let Some(unknown) = parsed.only.iter().find(|name| !known(name)) {
            bail!("no case {unknown}; there are drain, {}", Case::ALL.map(Case::name).join(", "));
        }
        Ok(parsed)
    }

    fn wants(&self, case: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == case)
    }
}
