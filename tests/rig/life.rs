//! One life of a process over a spool: the real FORWARD, the real journal and the real side files, with rows that name
//! themselves, and a sink that acks some of them. Between two steps it can be killed, or the power can be cut.
//!
//! What it has been promised it writes down in a file of its own ([`Said`]): whoever opens the spool afterwards can
//! hold the spool to it. Time is virtual and everything is drawn from a seed.

use crate::random::Random;
use crate::rows;
use crate::said::{Said, safe_lines};
use anyhow::Context as _;
use std::collections::{BTreeMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use windward_agent::forward::journal::{Found, Journal as _};
use windward_agent::forward::{Forward, Input, Output, Settings, Uplink, recover};
use windward_agent::handover::Handover;
use windward_agent::io::spool::{self, SideFiles, SledJournal};
use windward_agent::time::{Mono, Stamp, Wall};
use windward_protocol::{Ack, AlertPhase, Envelope, Epoch, Lane, Schema, SchemaId, Seq, SeqRange, SeqSet, batch};

/// Devices of the life.
pub const DEVICES: usize = 3;
/// Rows of one device in one life, at most: each life counts on from its own first number.
const ROWS_A_LIFE: u64 = 1_000_000;

/// How large the blocks become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocks {
    /// One row a block, about 200 bytes.
    Row,
    /// About 1 KiB.
    Kib,
    /// As large as a block may be, 4 KiB.
    Full,
}

impl Blocks {
    /// Its name, for the command line.
    pub fn name(self) -> &'static str {
        match self {
            Blocks::Row => "row",
            Blocks::Kib => "kib",
            Blocks::Full => "full",
        }
    }

    /// By its name.
    pub fn named(name: &str) -> Option<Self> {
        [Blocks::Row, Blocks::Kib, Blocks::Full].into_iter().find(|blocks| blocks.name() == name)
    }

    fn commit_every_ms(self) -> u64 {
        match self {
            Blocks::Row => 100,
            Blocks::Kib => 15_000,
            Blocks::Full => 150_000,
        }
    }

    fn channels(self) -> usize {
        match self {
            Blocks::Row => 8,
            Blocks::Kib => 8,
            Blocks::Full => 12,
        }
    }
}

/// What a life is like.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Everything is drawn from it.
    pub seed: u64,
    /// Which life of this spool it is: its rows count from a number of its own.
    pub life: u64,
    /// How large its blocks become.
    pub blocks: Blocks,
    /// Bytes of values after which a new generation is begun.
    pub generation_bytes: u64,
    /// Bytes kept free for when the disk is full.
    pub ballast_bytes: u64,
    /// The boot it happens in: a power cut ends a boot, a kill does not.
    pub boot: u128,
    /// Most bytes of readings.
    pub max_bytes: u64,
    /// Whether there is a sink at all.
    pub has_sink: bool,
}

impl Plan {
    /// A life with generations so small that many come and go.
    pub fn new(seed: u64, life: u64, blocks: Blocks) -> Self {
        Self {
            seed,
            life,
            blocks,
            generation_bytes: 64 * 1024,
            ballast_bytes: 64 * 1024,
            boot: u128::from(life),
            max_bytes: u64::MAX,
            has_sink: true,
        }
    }
}

/// A running life.
pub struct Life {
    forward: Forward,
    journal: SledJournal,
    side_files: SideFiles,
    said: File,
    random: Random,
    now: Stamp,
    /// Number of the last row of each device.
    numbers: [u64; DEVICES],
    channels: usize,
    epoch: Epoch,
    /// What the disk has to do, in order.
    jobs: VecDeque<Output>,
    /// Published and not acked.
    flights: VecDeque<(Lane, SeqRange)>,
    has_sink: bool,
    /// The sink acks nothing for now.
    sink_away: bool,
    /// What may be sent (A1).
    safe: BTreeMap<Lane, SeqSet>,
    /// Commits that the disk has refused.
    pub refused: u64,
    /// Steps of alerts about the spool itself (A5).
    pub alarms: u64,
    is_failing: bool,
    /// What the sink knows of batches that name what they do not carry.
    schemas: BTreeMap<SchemaId, Schema>,
}

/// An open spool with what stood in its side files saved.
pub struct Opened {
    /// The journal.
    pub journal: SledJournal,
    /// What it found.
    pub found: Found,
}

/// Opens the spool in `dir` as the agent does, and saves what stands in its side files.
pub fn open(dir: &Path, plan: &Plan) -> anyhow::Result<Opened> {
    let options = spool::Options {
        // Should a life have to begin a spool anew, it is another spool.
        epoch: plan.seed.rotate_left(plan.life as u32),
        boot: plan.boot,
        label: format!("life-{}", plan.life),
        generation_bytes: plan.generation_bytes,
        ballast_bytes: plan.ballast_bytes,
    };
    let (mut journal, mut found) = spool::open(dir, &options)?;
    recover(&rows::agent(), &mut found, &mut journal)?;
    Ok(Opened { journal, found })
}

/// All that a lane holds above its ack watermark.
pub fn read_all(opened: &mut Opened, lane: Lane) -> anyhow::Result<BTreeMap<Seq, Vec<u8>>> {
    let mut all = BTreeMap::new();
    let mut from = opened.found.acked(lane) + 1;
    loop {
        let values = opened.journal.read(lane, from, 1 << 20)?;
        let Some((last, _)) = values.last() else { return Ok(all) };
        anyhow::ensure!(*last >= from, "a read from {from} gives {last}");
        from = last + 1;
        all.extend(values);
    }
}

impl Life {
    /// Opens the spool in `dir` and goes on from what it holds. Promises are appended to the file `said`.
    pub fn begin(dir: &Path, said: &Path, plan: &Plan) -> anyhow::Result<Self> {
        let mut opened = open(dir, plan)?;
        let mut said = OpenOptions::new().create(true).append(true).open(said)?;
        said.write_all(format!("{}\n", Said::Opened { epoch: opened.found.epoch }).as_bytes())?;
        let mut safe = BTreeMap::new();
        for lane in Lane::DURABLE {
            let values = read_all(&mut opened, lane)?;
            said.write_all(safe_lines(lane, &values)?.as_bytes())?;
            safe.insert(lane, set_of(values.keys()));
        }
        let side_files = SideFiles::start(dir)?;
        let mut random = Random::new(plan.seed);
        // A gateway without a battery for its clock knows the time only after a while.
        let synced = random.between(0, 2) > 0;
        let now = Stamp { mono: Mono(plan.life * 1_000_000_000), wall: Wall(rows::BASE_MS), synced };
        let channels = plan.blocks.channels();
        let settings = Settings {
            agent: rows::agent(),
            farm: "test-farm".into(),
            version: "1".into(),
            commit_every_ms: plan.blocks.commit_every_ms(),
            max_bytes: plan.max_bytes,
            max_age_ms: None,
            uplinks: vec![Uplink::new("mqtt")],
            accept: None,
            devices: (0..DEVICES).map(|device| rows::manifest(device, channels)).collect(),
            seed: random.bits(),
        };
        Ok(Self {
            forward: Forward::new(settings, &opened.found, now),
            epoch: opened.found.epoch,
            journal: opened.journal,
            side_files,
            said,
            random,
            now,
            numbers: [plan.life * ROWS_A_LIFE; DEVICES],
            channels,
            jobs: VecDeque::new(),
            flights: VecDeque::new(),
            schemas: BTreeMap::new(),
            has_sink: plan.has_sink,
            sink_away: !plan.has_sink,
            safe,
            refused: 0,
            alarms: 0,
            is_failing: false,
        })
    }

    /// Something happens.
    pub fn step(&mut self) -> anyhow::Result<()> {
        let ms = self.random.between(10, 150);
        self.now.mono = self.now.mono + ms;
        self.now.wall.0 += ms as i64;
        match self.random.between(0, 999) {
            0..20 => self.take(Handover::Alert(rows::alert(self.now))),
            20..30 => self.take(Handover::Stats(vec![rows::stats(self.now)])),
            30..33 => self.cut_link(),
            33..36 => self.now.synced = true,
            36..40 => self.sink_away = !self.sink_away || !self.has_sink,
            40..240 if self.sink_away => {}
            40..240 => self.ack()?,
            240..440 => self.work()?,
            _ => {
                let device = self.random.between(0, DEVICES as u64 - 1) as usize;
                self.numbers[device] += 1;
                let row = rows::row(device, self.numbers[device], self.channels);
                self.take(Handover::Row { device, synced: self.now.synced, row });
            }
        }
        if self.forward.poll_timeout().is_some_and(|(due, _)| due <= self.now.mono) {
            self.forward.handle_timeout(self.now);
        }
        self.carry_out()
    }

    /// Steps until `done`; an error after a number of steps that is far more than enough.
    pub fn go_on_until(&mut self, mut done: impl FnMut(&Self) -> bool) -> anyhow::Result<()> {
        for _ in 0..200_000 {
            if done(self) {
                return Ok(());
            }
            self.step()?;
        }
        anyhow::bail!("it does not come to it: {:?}", self.forward.counters())
    }

    /// Envelopes made durable so far.
    pub fn durable(&self) -> u64 {
        self.forward.counters().durable
    }

    /// Whether the last word about the spool is that it is failing (A5).
    pub fn is_failing(&self) -> bool {
        self.is_failing
    }

    fn take(&mut self, handover: Handover) {
        self.forward.handle(Input::Handover(handover), self.now);
    }

    /// The connection is lost, and stands again as soon as FORWARD asks for it.
    fn cut_link(&mut self) {
        self.flights.clear();
        self.forward.handle(Input::Disconnected { uplink: 0, reason: "the link is cut".into() }, self.now);
    }

    /// The sink commits one of the publishes, often the oldest.
    fn ack(&mut self) -> anyhow::Result<()> {
        if self.flights.is_empty() {
            return Ok(());
        }
        let most = if self.random.between(0, 3) > 0 { 0 } else { self.flights.len() as u64 - 1 };
        let which = self.random.between(0, most) as usize;
        let Some((lane, range)) = self.flights.remove(which) else { return Ok(()) };
        self.say(&Said::Acked { lane, range })?;
        let bytes = Ack { epoch: self.epoch, lane, ranges: vec![range] }.encode();
        self.forward.handle(Input::Ack { uplink: 0, bytes }, self.now);
        Ok(())
    }

    fn carry_out(&mut self) -> anyhow::Result<()> {
        while let Some(output) = self.forward.poll_output() {
            match output {
                Output::Log { file, bytes, kept } => match (self.side_files.append(file, &bytes), kept) {
                    (Ok(()), Some(kept)) => {
                        let number = kept.first.context("the first channel is the number")? as u64;
                        self.say(&Said::Kept { device: kept.device, number })?;
                    }
                    (Ok(()), None) => {}
                    (Err(error), _) => self.forward.handle(Input::LogFailed(error.to_string()), self.now),
                },
                Output::RemoveLogs { through } => {
                    if let Err(error) = self.side_files.remove(through) {
                        self.forward.handle(Input::SpoolFailed(error.to_string()), self.now);
                    }
                }
                Output::Connect { uplink, .. } => self.forward.handle(Input::Connected { uplink }, self.now),
                Output::Disconnect { .. } => self.flights.clear(),
                Output::Publish { uplink, token, lane, payload, .. } => {
                    self.published(lane, &payload)?;
                    self.forward.handle(Input::PubAck { uplink, token }, self.now);
                }
                Output::Alarm(alert) => {
                    self.alarms += 1;
                    self.is_failing = alert.phase != AlertPhase::Clear;
                }
                Output::Finished => {}
                job => self.jobs.push_back(job),
            }
        }
        Ok(())
    }

    fn published(&mut self, lane: Lane, payload: &[u8]) -> anyhow::Result<()> {
        if lane == Lane::State {
            return Ok(());
        }
        let mut numbers = Vec::new();
        let split = batch::split_with(payload, &self.schemas);
        self.schemas.extend(split.schemas.into_iter().map(|schema| (schema.id(), schema)));
        for bytes in split.envelopes {
            numbers.push(Envelope::decode(&bytes)?.seq);
        }
        let safe = self.safe.entry(lane).or_default();
        anyhow::ensure!(numbers.iter().all(|&seq| safe.contains(seq)), "A1: {lane} {numbers:?} sent before it is safe");
        if let (Some(&first), Some(&last)) = (numbers.first(), numbers.last()) {
            self.flights.push_back((lane, SeqRange { first, last }));
        }
        Ok(())
    }

    /// The disk does one of its jobs.
    fn work(&mut self) -> anyhow::Result<()> {
        let input = match self.jobs.pop_front() {
            Some(Output::Commit { alerts, readings }) => match self.journal.commit(&alerts, &readings) {
                Ok(()) => {
                    for (lane, values) in [(Lane::Alerts, &alerts), (Lane::Readings, &readings)] {
                        let lines = safe_lines(lane, &values.iter().cloned().collect())?;
                        // In one write: what is confirmed together is confirmed at one moment.
                        self.said.write_all(lines.as_bytes())?;
                        let safe = self.safe.entry(lane).or_default();
                        values.iter().for_each(|&(seq, _)| safe.insert(SeqRange { first: seq, last: seq }));
                    }
                    Input::Committed { alerts, readings, room: self.journal.room() }
                }
                Err(error) => {
                    self.refused += 1;
                    Input::CommitFailed { alerts, readings, error: error.0, room: self.journal.room() }
                }
            },
            Some(Output::Read { uplink, lane, from, max_bytes }) => match self.journal.read(lane, from, max_bytes) {
                Ok(values) => Input::Read { uplink, lane, values },
                Err(error) => Input::ReadFailed { uplink, lane, error: error.0 },
            },
            Some(Output::Keep(note, bytes)) => match self.journal.keep(note, &bytes) {
                Ok(()) => Input::Kept(note),
                Err(error) => Input::KeepFailed(note, error.0),
            },
            Some(Output::Free { lane, through }) => match self.journal.free(lane, through) {
                Ok(()) => return Ok(()),
                Err(error) => Input::SpoolFailed(error.0),
            },
            Some(other) => anyhow::bail!("no job for a disk: {other:?}"),
            None => return Ok(()),
        };
        self.forward.handle(input, self.now);
        Ok(())
    }

    /// In one write: half a line is no promise.
    fn say(&mut self, said: &Said) -> anyhow::Result<()> {
        Ok(self.said.write_all(format!("{said}\n").as_bytes())?)
    }
}

fn set_of<'a>(numbers: impl Iterator<Item = &'a Seq>) -> SeqSet {
    let mut set = SeqSet::new();
    numbers.for_each(|&seq| set.insert(SeqRange { first: seq, last: seq }));
    set
}
