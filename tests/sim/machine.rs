//! An agent's machine: its disk, its clock, its plant, and the process that runs on it and dies on it.

use crate::breaks::Break;
use crate::clock::Clock;
use crate::disk::{Disk, Trouble};
use crate::plant::{self, Plant};
use crate::process::Process;
use crate::scenario::about;
use crate::stage::{Event, FARM, Fault, Mail, Stage};
use crate::stream::STREAM;
use windward_agent::forward::journal::JournalError;
use windward_agent::forward::{Forward, Settings, recover};
use windward_agent::watch::Watch;
use windward_protocol::{AgentId, Lane};
use windward_tests::random::Random;

/// Pause before a process that could not start is started again, ms.
const START_AGAIN_MS: u64 = 2_000;

/// The machine.
pub(crate) struct Machine {
    pub(crate) index: usize,
    pub(crate) id: AgentId,
    random: Random,
    pub(crate) disk: Disk,
    pub(crate) clock: Clock,
    pub(crate) plant: Plant,
    pub(crate) process: Option<Process>,
    /// Number of the process.
    pub(crate) life: u64,
    /// The connections of the uplinks.
    pub(crate) links: [Link; 2],
    pub(crate) link: Random,
}

/// The connection of an uplink.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Link {
    /// Its number.
    pub(crate) session: u64,
    /// When the last packet sent on it arrives: they stay in order.
    pub(crate) last_arrival: u64,
}

/// The name of an agent.
pub(crate) fn agent_id(index: usize) -> AgentId {
    #[allow(clippy::unwrap_used, reason = "a short name of letters and a digit is an agent's")]
    AgentId::new(&format!("turbine-{index}")).unwrap()
}

impl Machine {
    /// A machine that is switched on now.
    pub(crate) fn new(index: usize, seed: u64, stage: &mut Stage) -> Self {
        let stream = |part| Random::stream(seed, part, index);
        let scenario = &stage.scenario;
        let disk = Disk::new(stream("epoch").bits(), scenario.disk.clone(), stage.broken, stream("disk"));
        let mut clock = Clock::new(stream("clock"));
        if scenario.clock.unset {
            clock.boot(0, true);
        }
        let mut machine = Self {
            index,
            id: agent_id(index),
            random: stream("machine"),
            disk,
            clock,
            plant: Plant::new(index, scenario.devices, stream("plant")),
            process: None,
            life: 0,
            links: Default::default(),
            link: stream("link"),
        };
        stage.after(0, Event::Boot { agent: index, life: 0 });
        stage.after(1, Event::Plant { agent: index });
        for fault in [
            Fault::Kill,
            Fault::PowerCut,
            Fault::Stop,
            Fault::CutLink(0),
            Fault::CutLink(STREAM),
            Fault::DiskTrouble,
            Fault::Rot,
            Fault::ClockStep,
            Fault::WriteBack,
        ] {
            machine.plan(fault, stage);
        }
        machine
    }

    /// The next time a fault strikes, if it ever does.
    fn plan(&mut self, fault: Fault, stage: &mut Stage) {
        let Stage { scenario, .. } = stage;
        let every_ms = match fault {
            Fault::Kill => scenario.agent.kill_every_ms,
            Fault::PowerCut => scenario.agent.power_every_ms,
            Fault::Stop => scenario.agent.stop_every_ms,
            Fault::CutLink(STREAM) if scenario.sending.stream.is_none() => 0,
            Fault::CutLink(_) => scenario.link.cut_every_ms,
            Fault::DiskTrouble => scenario.disk.trouble_every_ms,
            Fault::Rot => scenario.disk.rot_every_ms,
            Fault::ClockStep => scenario.clock.step_every_ms,
            Fault::WriteBack => 10_000,
        };
        if every_ms > 0 && stage.now < scenario.life_ms {
            let after = about(&mut self.random, every_ms);
            stage.after(after, Event::Fault { agent: self.index, fault });
        }
    }

    /// A fault strikes.
    pub(crate) fn suffer(&mut self, fault: Fault, stage: &mut Stage) {
        if stage.now >= stage.scenario.life_ms {
            return;
        }
        match fault {
            Fault::Kill => self.kill(stage),
            Fault::PowerCut => self.power_cut(stage),
            Fault::Stop => self.stop(stage),
            Fault::CutLink(uplink) => self.lose_link(uplink, "cut", stage),
            Fault::DiskTrouble => {
                let kind = if self.random.one_in(3) { Trouble::ReadOnly } else { Trouble::Full };
                let trouble = self.disk.trouble(kind);
                stage.trace(&self.id, || format!("disk: {trouble:?}"));
            }
            Fault::Rot => {
                for (lane, seq, bytes) in self.disk.rot() {
                    stage.count("values damaged");
                    stage.trace(&self.id, || format!("disk: {lane} {seq} is damaged"));
                    stage.oracle.agents[self.index].damaged(lane, seq, &bytes);
                }
            }
            Fault::ClockStep => {
                stage.count("clocks set wrongly, or right again");
                self.clock.step();
            }
            Fault::WriteBack => {
                self.disk.write_back();
                self.clock.remember(stage.now);
            }
        }
        self.plan(fault, stage);
    }

    /// The faults are over.
    pub(crate) fn at_peace(&mut self, stage: &mut Stage) {
        self.disk.at_peace(stage.scenario.disk.clone());
        self.clock.set_right(stage.now);
    }

    fn kill(&mut self, stage: &mut Stage) {
        let Some(process) = self.process.take() else { return };
        stage.count("kills of an agent");
        stage.trace(&self.id, || "killed".into());
        self.disk.kill(process.job());
        stage.oracle.agents[self.index].killed();
        self.start_after(1, 6_000, stage);
    }

    fn power_cut(&mut self, stage: &mut Stage) {
        stage.count("power cuts");
        stage.trace(&self.id, || "power cut".into());
        let process = self.process.take();
        let forgotten = self.disk.power_cut(process.as_ref().and_then(Process::job));
        stage.count_many("durable values forgotten by a disk", forgotten.len() as u64);
        for (lane, seq, bytes) in forgotten {
            stage.trace(&self.id, || format!("the disk has forgotten {lane} {seq}"));
            stage.oracle.agents[self.index].forgotten(lane, seq, &bytes);
        }
        stage.oracle.agents[self.index].power_cut();
        let off_ms = about(&mut self.random, 5_000);
        self.clock.boot(stage.now + off_ms, stage.scenario.clock.unset);
        self.start_after(off_ms, off_ms, stage);
    }

    fn stop(&mut self, stage: &mut Stage) {
        if let Some(mut process) = self.process.take() {
            stage.trace(&self.id, || "to stop".into());
            process.stop(self, stage);
            self.keep(process, stage);
        }
    }

    /// Puts the process back after it has worked; a finished one has left.
    pub(crate) fn keep(&mut self, process: Process, stage: &mut Stage) {
        if !process.is_finished() {
            self.process = Some(process);
            return;
        }
        stage.count("good ends of an agent");
        stage.trace(&self.id, || "stopped".into());
        self.disk.kill(process.job());
        self.disk.close();
        stage.oracle.agents[self.index].killed();
        self.start_after(1, 3_000, stage);
    }

    fn start_after(&mut self, least_ms: u64, most_ms: u64, stage: &mut Stage) {
        self.life += 1;
        self.links.iter_mut().for_each(|link| link.session += 1);
        let after = self.random.between(least_ms, most_ms);
        stage.after(after, Event::Boot { agent: self.index, life: self.life });
    }

    /// A process starts, and goes on where the last one has left off. What is done here and in which order is what
    /// `agent/src/io/mod.rs` does.
    pub(crate) fn boot(&mut self, life: u64, stage: &mut Stage) {
        if life != self.life || self.process.is_some() {
            return;
        }
        if let Err(JournalError(error)) = self.start(stage) {
            stage.count("starts that came to nothing");
            stage.trace(&self.id, || format!("does not start: {error}"));
            self.start_after(START_AGAIN_MS, START_AGAIN_MS, stage);
        }
    }

    fn start(&mut self, stage: &mut Stage) -> Result<(), JournalError> {
        let dies = |machine: &mut Self, stage: &Stage| match machine.random.one_in(stage.scenario.agent.die_at_boot) {
            true => Err(JournalError("killed while it starts".into())),
            false => Ok(()),
        };
        let mut found = self.disk.open()?;
        found.timeline = self.clock.timeline();
        dies(self, stage)?;
        let rows = recover(&self.id, &mut found, &mut self.disk)?;
        if stage.breaks(Break::UnsavedForgotten) {
            found.unsaved.clear();
        }
        for lane in Lane::DURABLE {
            stage.oracle.agents[self.index].found(lane, self.disk.values(lane, self.disk.acked(lane) + 1));
        }
        dies(self, stage)?;
        if found.unsaved.is_empty() && !found.eras_are_behind && self.disk.remove_side(0).is_ok() {
            dies(self, stage)?;
        }
        let saved = if found.unsaved.is_empty() { "rows saved from side files" } else { "rows not to be saved yet" };
        stage.count_many(saved, rows as u64);
        stage.trace(&self.id, || {
            let lane = |lane: Lane| format!("{} to {}", found.acked(lane), self.disk.values(lane, 0).count());
            let (alerts, readings) = (lane(Lane::Alerts), lane(Lane::Readings));
            format!("starts; {rows} {saved}, acked and waiting: {alerts}, {readings}; {:?}", found.damage)
        });
        let seed = self.random.bits();
        let mut uplinks = stage.scenario.uplinks();
        if stage.breaks(Break::FreeAtOneAck) {
            uplinks.iter_mut().skip(STREAM).for_each(|uplink| uplink.frees = false);
        }
        if stage.breaks(Break::LimitForgotten) {
            uplinks.iter_mut().for_each(|uplink| uplink.max_bytes_per_s = 0);
        }
        let settings = Settings {
            agent: self.id.clone(),
            farm: FARM.into(),
            version: "simulated".into(),
            commit_every_ms: stage.scenario.commit_every_ms,
            max_bytes: stage.scenario.disk.max_bytes,
            max_age_ms: stage.scenario.disk.max_age_ms,
            uplinks,
            accept: None,
            devices: plant::devices(stage.scenario.devices),
            seed,
        };
        let watch = stage.scenario.watch.then(|| Watch::new(&plant::config(stage.scenario.devices), seed));
        let forward = Forward::new(settings, &found, self.clock.now(stage.now));
        let mut process = Process::new(forward, watch);
        process.work(self, stage);
        self.keep(process, stage);
        Ok(())
    }

    /// The process, at work with all of the machine.
    pub(crate) fn with_process(
        &mut self,
        life: u64,
        stage: &mut Stage,
        work: impl FnOnce(&mut Process, &mut Self, &mut Stage),
    ) {
        if life != self.life {
            return;
        }
        if let Some(mut process) = self.process.take() {
            work(&mut process, self, stage);
            self.keep(process, stage);
        }
    }

    /// A reading is due, or something else happens at the plant.
    pub(crate) fn measure(&mut self, stage: &mut Stage) {
        if stage.now >= stage.scenario.life_ms {
            return;
        }
        let scenario = &stage.scenario;
        let (devices, watch) = (scenario.devices as u64, scenario.watch);
        let alerts_in = (scenario.alert_every_ms / scenario.row_every_ms).max(1);
        let after = about(&mut self.random, scenario.row_every_ms);
        stage.after(after, Event::Plant { agent: self.index });
        let what = self.random.one_in(alerts_in);
        let device = self.random.between(0, devices - 1) as usize;
        let is_stats = self.random.one_in(3);
        self.with_process(self.life, stage, |process, machine, stage| match (what, is_stats) {
            (true, false) => process.raise(machine, stage),
            (true, true) if !watch => process.count(machine, stage),
            (false, _) if !watch => process.read(device, machine, stage),
            _ => {}
        });
    }

    /// The agent notices that the connection is gone; packets of it may still be under way.
    pub(crate) fn lose_link(&mut self, uplink: usize, reason: &'static str, stage: &mut Stage) {
        let session = self.links[uplink].session;
        stage.count("connections lost");
        // Now and then it notices nothing: no packet arrives any more, and only silence tells.
        if self.link.one_in(3) {
            self.links[uplink].session += 1;
            stage.trace(&self.id, || format!("link: {reason}, unnoticed"));
        } else {
            stage.after(0, Event::Mail { agent: self.index, uplink, session, mail: Mail::Gone(reason) });
        }
    }

    /// When a packet sent now is at the other end, ms from now.
    pub(crate) fn delay_ms(&mut self, uplink: usize, stage: &Stage) -> u64 {
        let faults = &stage.scenario.link;
        let mut delay = self.link.between(1, faults.delay_ms);
        if self.link.one_in(faults.late) {
            delay += self.link.between(1_000, 8_000);
        }
        let last = &mut self.links[uplink].last_arrival;
        *last = (*last).max(stage.now + delay);
        *last - stage.now
    }
}
