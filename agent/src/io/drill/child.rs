//! The agent under drill: FORWARD, its journal, its side files and its disk thread as they run live, in a process of
//! their own that can be killed. A pipe takes the place of the broker, and rows that name themselves that of WATCH.

use super::super::clock::{Clock, World};
use super::super::forward::Shell;
use super::super::side_files::SideFiles;
use super::super::{ANSWERS, Spool, commands, disk, open_spool, random};
use super::pipe;
use crate::drill::{Ask, Begin, Fault, Held, Say, Status, rows};
use crate::forward::journal::{LaneFound, Numbered};
use crate::forward::{Forward, Input, Output, Settings, Uplink};
use crate::handover::Handover;
use anyhow::Context as _;
use std::io::{BufReader, BufWriter, Stdout, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;
use windward_protocol::{Ack, AlertKind, Envelope, Epoch, Lane, Record, Seq, SeqRange};

/// What is asked and not yet heard. There are two answers to a publish, and FORWARD has 51 under way at most, so this
/// never fills: nobody waits for somebody who waits for him.
const ASKS: usize = 256;
/// How often rows are written, and every how many times it is said how things are.
const TICK_MS: u32 = 20;
const TICKS_A_STATUS: u32 = 5;
/// Rows and alerts that wait for their commit. With more the disk is the slower one, and nothing new is written; nor is
/// a commit longer than what the quota gives up at once.
const MOST_ROWS_OPEN: u64 = 4_000;
const MOST_ALERTS_OPEN: u64 = 20;

/// Does as it is asked on standard input, and says on standard output what it does, until it is stopped or killed.
pub(super) async fn run() -> anyhow::Result<()> {
    let (asks, mut asked) = mpsc::channel(ASKS);
    std::thread::Builder::new().name("asked".into()).spawn(move || {
        let mut stdin = BufReader::new(std::io::stdin());
        while let Ok(Some(ask)) = pipe::read(&mut stdin) {
            if asks.blocking_send(ask).is_err() {
                return;
            }
        }
    })?;
    let Some(Ask::Begin(begin)) = asked.recv().await else { anyhow::bail!("this is for `drill` itself to start") };
    let (mut child, mut from_disk, thread) = Child::open(begin)?;
    let mut tick = tokio::time::interval(Duration::from_millis(u64::from(TICK_MS)));
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    while !child.finished {
        child.out.flush()?;
        anyhow::ensure!(!child.shell.jobs.is_closed(), "the disk thread has ended");
        let due = child.forward.poll_timeout().map(|(at, _)| child.shell.clock.until(at));
        tokio::select! {
            ask = asked.recv() => child.take(ask.context("the drill is gone")?).await?,
            Some(answer) = from_disk.recv() => child.answered(answer).await?,
            _ = tick.tick() => child.tick().await?,
            () = tokio::time::sleep(due.unwrap_or_default()), if due.is_some() => {
                child.forward.handle_timeout(child.shell.clock.now());
                child.settle().await?;
            }
        }
    }
    child.end(thread)
}

struct Child {
    begin: Begin,
    epoch: Epoch,
    forward: Forward,
    shell: Shell,
    out: BufWriter<Stdout>,
    /// What is to be written a second, and the thousandths of a row and of an alert that are due.
    pace: [u32; 2],
    credit: [u32; 2],
    /// Next numbers.
    row: u64,
    alert: u64,
    alerts_confirmed: u64,
    ticks: u32,
    status: Status,
    /// What [`Fault::Forget`] has kept from the disk.
    forgotten: Vec<Numbered>,
    finished: bool,
}

impl Child {
    fn open(begin: Begin) -> anyhow::Result<(Self, mpsc::Receiver<Input>, JoinHandle<()>)> {
        let spool = open_spool(Path::new(&begin.spool), begin.max_bytes, &rows::agent(), World::read())?;
        let Spool { journal, side_files, found, rows_saved, last_time, clock } = spool;
        let mut out = BufWriter::new(std::io::stdout());
        let durable = [durable(&found.alerts), durable(&found.readings)];
        pipe::write(&mut out, &Say::Ready { epoch: found.epoch, durable, saved: rows_saved as u64 })?;
        let forward = Forward::new(settings(&begin), &found, clock.now());
        let (answers, from_disk) = mpsc::channel(ANSWERS);
        let (jobs, thread) = disk::start(journal, last_time, clock, answers, Arc::default())?;
        let child = Self {
            epoch: found.epoch,
            forward,
            shell: shell(clock, jobs, side_files),
            out,
            pace: [0; 2],
            credit: [0; 2],
            row: begin.first,
            alert: begin.first,
            alerts_confirmed: 0,
            ticks: 0,
            status: Status::default(),
            forgotten: Vec::new(),
            finished: false,
            begin,
        };
        Ok((child, from_disk, thread))
    }

    fn say(&mut self, say: &Say) -> anyhow::Result<()> {
        Ok(pipe::write(&mut self.out, say)?)
    }

    async fn handle(&mut self, input: Input) -> anyhow::Result<()> {
        self.forward.handle(input, self.shell.clock.now());
        self.settle().await
    }

    async fn take(&mut self, ask: Ask) -> anyhow::Result<()> {
        let uplink = 0;
        let input = match ask {
            Ask::Begin(_) => anyhow::bail!("began twice"),
            Ask::Write { rows_per_s, alerts_per_s } => {
                self.pace = [rows_per_s, alerts_per_s];
                return Ok(());
            }
            Ask::Connected => Input::Connected { uplink },
            Ask::Cut => Input::Disconnected { uplink, reason: "cut".into() },
            Ask::PubAck(token) => Input::PubAck { uplink, token },
            Ask::Ack(bytes) => Input::Ack { uplink, bytes },
            Ask::Stop => {
                self.pace = [0; 2];
                Input::Stop
            }
        };
        self.handle(input).await
    }

    async fn answered(&mut self, mut answer: Input) -> anyhow::Result<()> {
        match &mut answer {
            Input::AlertsCommitted(alerts) => self.confirmed(alerts, &[])?,
            Input::Committed { alerts, readings, .. } => {
                readings.append(&mut self.forgotten);
                readings.sort_by_key(|(seq, _)| *seq);
                self.confirmed(alerts, readings)?;
            }
            _ => {}
        }
        self.handle(answer).await
    }

    /// Before FORWARD knows it: what is sent must have been said to be durable.
    fn confirmed(&mut self, alerts: &[Numbered], readings: &[Numbered]) -> anyhow::Result<()> {
        self.status.committed_bytes += readings.iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>();
        let [alerts, readings] = [alerts, readings].map(|values| held(values, self.begin.base_ms));
        let count = |held: &[Held]| held.iter().map(|held| held.holds.len() as u64).sum::<u64>();
        self.alerts_confirmed += count(&alerts);
        self.status.committed_rows += count(&readings);
        self.say(&Say::Confirmed { alerts, readings })
    }

    async fn tick(&mut self) -> anyhow::Result<()> {
        let due = [0, 1].map(|index| {
            self.credit[index] += self.pace[index] * TICK_MS;
            let due = self.credit[index] / 1000;
            self.credit[index] %= 1000;
            due
        });
        let open = self.row - self.begin.first - self.status.committed_rows;
        for _ in 0..if open < MOST_ROWS_OPEN { due[0] } else { 0 } {
            let (device, row) = rows::row(self.row, self.begin.base_ms);
            self.row += 1;
            self.handle(Input::Handover(Handover::Row { device, synced: true, row })).await?;
        }
        let open = self.alert - self.begin.first - self.alerts_confirmed;
        for _ in 0..if open < MOST_ALERTS_OPEN { due[1] } else { 0 } {
            let alert = rows::alert(self.alert, self.begin.base_ms);
            self.alert += 1;
            self.handle(Input::Handover(Handover::Alert(alert))).await?;
        }
        self.ticks += 1;
        if self.ticks.is_multiple_of(TICKS_A_STATUS) {
            self.say_status()?;
        }
        Ok(())
    }

    /// Carries out what FORWARD wants; says which rows the side file has taken once it has.
    async fn settle(&mut self) -> anyhow::Result<()> {
        let mut kept = Vec::new();
        while let Some(output) = self.forward.poll_output() {
            match output {
                Output::Connect { .. } => self.say(&Say::Connect)?,
                Output::Disconnect { reason, .. } => self.say(&Say::Disconnect(reason.into()))?,
                Output::Publish { token, lane, payload, .. } => {
                    self.say(&Say::Publish { token, lane, payload })?;
                    if self.begin.fault == Some(Fault::Forge) && lane != Lane::State {
                        let ranges = vec![SeqRange { first: 1, last: Seq::MAX }];
                        let bytes = Ack { epoch: self.epoch, lane, ranges }.encode();
                        self.forward.handle(Input::Ack { uplink: 0, bytes }, self.shell.clock.now());
                    }
                }
                Output::Finished => self.finished = true,
                output => {
                    let row = if let Output::Log { kept: Some(row), .. } = &output { Some(row.time_ms) } else { None };
                    let output = self.with_fault(output);
                    match self.shell.carry_out(output).await {
                        Some(input) => self.forward.handle(input, self.shell.clock.now()),
                        None => kept.extend(row.and_then(|time_ms| rows::number(time_ms, self.begin.base_ms))),
                    }
                }
            }
        }
        if kept.is_empty() { Ok(()) } else { self.say(&Say::Kept(kept)) }
    }

    fn with_fault(&mut self, mut output: Output) -> Output {
        if let (Some(Fault::Forget), Output::Commit { readings, .. }) = (self.begin.fault, &mut output) {
            self.forgotten.extend(readings.extract_if(.., |(seq, _)| *seq % 10 == 5));
        }
        output
    }

    fn say_status(&mut self) -> anyhow::Result<()> {
        let counters = self.forward.counters();
        self.status.waiting = counters.waiting;
        self.status.dropped = counters.rows_dropped;
        self.status.is_idle = self.pace == [0; 2];
        self.status.written_bytes = written_bytes();
        let status = Say::Status(self.status);
        self.say(&status)
    }

    /// The good end: all the disk's work is done when the last word is said.
    fn end(mut self, thread: JoinHandle<()>) -> anyhow::Result<()> {
        let (closed, _) = mpsc::channel(1);
        self.shell.jobs = closed;
        anyhow::ensure!(thread.join().is_ok(), "the disk thread panicked");
        self.say_status()?;
        self.say(&Say::Finished)?;
        Ok(self.out.flush()?)
    }
}

fn settings(begin: &Begin) -> Settings {
    Settings {
        agent: rows::agent(),
        farm: "drill".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        commit_every_ms: begin.commit_every_ms,
        max_bytes: begin.max_bytes,
        max_age_ms: None,
        uplinks: vec![Uplink::new("drill")],
        devices: rows::devices(),
        accept: None,
        seed: random(),
    }
}

/// What carries out FORWARD's outputs live; its uplink leads to the pipe.
fn shell(clock: Clock, jobs: mpsc::Sender<disk::Job>, side_files: SideFiles) -> Shell {
    let devices = rows::devices().into_iter().map(|device| device.device).collect();
    let (on_alarm, counters) = (Arc::new(|_: &_| {}), watch::Sender::default());
    let (carriers, _) = commands::ends(None);
    let pulse = Arc::default();
    let (agent, ways) = (rows::agent(), Vec::new());
    Shell { agent, ways, devices, clock, jobs, side_files, on_alarm, counters, carriers, pulse }
}

/// What is on disk, and what has been freed.
fn durable(found: &LaneFound) -> Vec<SeqRange> {
    let freed = (found.acked > 0).then_some(SeqRange { first: 1, last: found.acked });
    freed.into_iter().chain(found.present.ranges()).collect()
}

fn held(values: &[Numbered], base_ms: i64) -> Vec<Held> {
    values.iter().map(|(seq, bytes)| Held { seq: *seq, holds: numbers(bytes, base_ms) }).collect()
}

/// Numbers of the rows, or of the alert, in an envelope. The alert of a spool that fails has none.
fn numbers(envelope: &[u8], base_ms: i64) -> Vec<u64> {
    match Envelope::decode(envelope).map(|envelope| envelope.record) {
        Ok(Record::Block(block)) => {
            block.times().into_iter().filter_map(|time_ms| rows::number(time_ms, base_ms)).collect()
        }
        Ok(Record::Alert(alert)) if alert.kind != AlertKind::Spool => vec![alert.id],
        _ => Vec::new(),
    }
}

/// Bytes that this process has caused to be written to storage (proc(5), `/proc/pid/io`); 0 where that is not told.
fn written_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let figure = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.trim().parse::<u64>().ok()).unwrap_or(0)
    };
    figure("write_bytes:").saturating_sub(figure("cancelled_write_bytes:"))
}
