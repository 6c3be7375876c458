//! What keeping costs: the whole of FORWARD, the journal on disk and the side files, one thread each for FORWARD and disk.
//!
//! ```text
//! cargo bench -p windward-agent --bench spool                      # all of it; --dir DIR says on which disk
//! cargo bench -p windward-agent --bench spool -- append            # as fast as it goes, 8 and 64 channels
//! cargo bench -p windward-agent --bench spool -- minute            # 8 channels once a second, commits of 1, 10 and 30 s
//! cargo bench -p windward-agent --bench spool -- backlog --rows 10000000
//! cargo bench -p windward-agent --bench spool -- kill              # SIGKILL at full load, then open and recover
//! ```
//! - `append`: `values_per_s` are durable ones by the wall clock, `cpu_ns` is CPU time of all threads for a value;
//!   `bytes_in`, `bytes_in_out` are bytes written to the disk for a value, without a sink and with one that acks at once.
//! - `minute`: `kB_per_min` and syncs for rows that come once a second; the time is made up, the writes are real.
//! - `backlog`: `open_ms` until FORWARD can begin, `pss_kib` what the process has grown by over one that opened an empty
//!   spool; for blocks of one row and for full ones. `--generation MIB` for other sizes of a generation.
//! - `kill`: `ready_ms` until what a killed process left is durable, `cpu_ms` the CPU time of that.
//!
//! Bytes written are those of proc(5) `io`: `write_bytes` less `cancelled_write_bytes`; what the file system adds for its
//! own records is not among them. `--device loop0` takes what reaches that block device instead, on which `--dir` must
//! lie and nothing else be written:
//! ```text
//! truncate -s 2G disk.img && mkfs.ext4 -q disk.img && mount -o loop disk.img /mnt
//! ```
#![allow(clippy::unwrap_used, reason = "a benchmark may fail where it stands")]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};
use windward_agent::forward::journal::{Found, Journal as _, Numbered};
use windward_agent::forward::{Forward, Input, Output, Settings, Uplink, recover};
use windward_agent::handover::Handover;
use windward_agent::io::spool::{self, Options, SideFiles, SledJournal};
use windward_agent::time::{Mono, Stamp, Wall};
use windward_protocol::{
    Ack, AgentId, BlockBuilder, Channel, DeviceManifest, Envelope, Lane, Quantity, Reading, Record, Row, Schema,
    SchemaId, Seq, SeqRange, Value, batch,
};

/// Midnight of 2026-01-01.
const START_MS: i64 = 1_767_225_600_000;
const MIB: u64 = 1024 * 1024;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let option = |name: &str| args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1));
    let dir = option("--dir").map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = tempfile::Builder::new().prefix("windward-spool-").tempdir_in(dir).unwrap();
    let number = |name, default| option(name).map_or(default, |text| text.parse::<u64>().unwrap());
    let generation = number("--generation", Options::default().generation_bytes / MIB);
    match args.first().map(String::as_str) {
        Some("append") => append_all(dir.path(), number("--seconds", 10)),
        Some("minute") => minutes(dir.path()),
        Some("backlog") => backlogs(dir.path(), number("--rows", 10_000_000), generation),
        Some("kill") => kill(dir.path()),
        // Children of the above.
        Some("open") => open_and_tell(Path::new(&args[1])),
        Some("load") => load(Path::new(&args[1])),
        _ => {
            append_all(dir.path(), number("--seconds", 10));
            minutes(dir.path());
            kill(dir.path());
            backlogs(dir.path(), number("--rows", 1_000_000), generation);
        }
    }
}

// ---------------------------------------------------------------------------------------------------------- append

fn append_all(dir: &Path, seconds: u64) {
    for channels in [8, 64] {
        for acked in [false, true] {
            let dir = dir.join(format!("append-{channels}-{acked}"));
            let mut agent = Agent::start(&dir, channels, 1_000, acked);
            let (begun, cpu, written) = (Instant::now(), cpu_ns(), written_bytes());
            while begun.elapsed() < Duration::from_secs(seconds) {
                for _ in 0..100 {
                    agent.row(1_000 / 10, agent.real_now());
                }
            }
            agent.drain();
            let values = (agent.forward.counters().rows_kept * channels as u64) as f64;
            let wall = begun.elapsed().as_secs_f64();
            let (cpu, written) = ((cpu_ns() - cpu) as f64, (written_bytes() - written) as f64);
            println!(
                "append channels={channels} values={values} values_per_s={:.0} cpu_ns={:.0} {}={:.2}",
                values / wall,
                cpu / values,
                if acked { "bytes_in_out" } else { "bytes_in" },
                written / values,
            );
            drop(agent);
            std::fs::remove_dir_all(&dir).unwrap();
        }
    }
}

// ---------------------------------------------------------------------------------------------------------- minute

fn minutes(dir: &Path) {
    const MINUTES: u64 = 5;
    for commit_s in [1, 10, 30] {
        let dir = dir.join(format!("minute-{commit_s}"));
        let mut agent = Agent::start(&dir, 8, commit_s * 1_000, true);
        let written = written_bytes();
        let calls = write_calls();
        for second in 0..60 * MINUTES {
            let now = stamp(10_000 + second * 1_000);
            agent.row(1_000, now);
            agent.wait(now);
        }
        let kb = (written_bytes() - written) as f64 / 1_000.0 / MINUTES as f64;
        println!(
            "minute commit_s={commit_s} kB_per_min={kb:.0} write_calls_per_min={}",
            (write_calls() - calls) / MINUTES
        );
        drop(agent);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}

// --------------------------------------------------------------------------------------------------------- backlog

fn backlogs(dir: &Path, rows: u64, generation_mib: u64) {
    let empty = dir.join("empty");
    drop(spool::open(&empty, &options()).unwrap());
    let (_, empty_pss) = child_open(&empty);
    for (name, rows_a_block) in [("full", 100), ("one", 1)] {
        let dir = dir.join(format!("backlog-{name}"));
        let begun = Instant::now();
        let options = Options { generation_bytes: generation_mib * MIB, ..options() };
        let (mut journal, _) = spool::open(&dir, &options).unwrap();
        let (mut plant, mut seq, mut bytes) = (Plant::new(8), 0, 0);
        let mut values: Vec<Numbered> = Vec::new();
        while seq * rows_a_block < rows {
            seq += 1;
            values.push((seq, plant.block(seq, rows_a_block)));
            if values.len() >= 1_000 {
                bytes += values.iter().map(|(_, value)| value.len()).sum::<usize>();
                journal.commit(&[], &std::mem::take(&mut values)).unwrap();
            }
        }
        journal.commit(&[], &values).unwrap();
        let room = journal.room();
        drop(journal);
        let made_s = begun.elapsed().as_secs();
        let (open_ms, pss) = child_open(&dir);
        println!(
            "backlog blocks={name} rows={rows} generation_mib={generation_mib} value_bytes={} disk_mib={} made_s={made_s} \
             open_ms={open_ms} pss_kib={}",
            bytes as u64 / seq,
            room.readings_bytes / MIB,
            pss - empty_pss,
        );
        std::fs::remove_dir_all(&dir).unwrap();
    }
}

/// Opens a spool in a process of its own. Gives the time that took, ms, and the process's memory, PSS in KiB.
fn child_open(dir: &Path) -> (f64, i64) {
    let output = Command::new(std::env::current_exe().unwrap()).arg("open").arg(dir).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut words = text.split_whitespace().map(|word| word.parse::<f64>().unwrap());
    (words.next().unwrap(), words.next().unwrap() as i64)
}

fn open_and_tell(dir: &Path) {
    let begun = Instant::now();
    let (mut journal, mut found) = spool::open(dir, &options()).unwrap();
    recover(&agent_id(), &mut found, &mut journal).unwrap();
    let forward = Forward::new(settings(8, 1_000), &found, stamp(0));
    let open_ms = begun.elapsed().as_micros() as f64 / 1_000.0;
    let smaps = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    println!("{open_ms} {}", number_after(&smaps, "Pss:"));
    drop((forward, journal));
}

// ------------------------------------------------------------------------------------------------------------ kill

fn kill(dir: &Path) {
    let dir = dir.join("kill");
    for round in 0..3 {
        let mut child =
            Command::new(std::env::current_exe().unwrap()).arg("load").arg(&dir).stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(4_000 + 300 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        let (begun, cpu) = (Instant::now(), cpu_ns());
        let (mut journal, mut found) = spool::open(&dir, &options()).unwrap();
        let opened_ms = begun.elapsed().as_millis();
        let rows = recover(&agent_id(), &mut found, &mut journal).unwrap();
        let ready_ms = begun.elapsed().as_millis();
        assert_eq!(found.readings.holes(), [], "nothing is lost by a kill");
        let cpu_ms = (cpu_ns() - cpu) / 1_000_000;
        println!("kill open_ms={opened_ms} ready_ms={ready_ms} cpu_ms={cpu_ms} rows_recovered={rows}");
        drop(SideFiles::start(&dir).unwrap());
    }
}

fn load(dir: &Path) {
    let mut agent = Agent::start(dir, 8, 1_000, false);
    loop {
        agent.row(100, agent.real_now());
    }
}

// ----------------------------------------------------------------------------------------------------------- agent

/// FORWARD with its journal on a thread of its own, as in the agent; the sink acks at once, or is not there.
struct Agent {
    forward: Forward,
    side: SideFiles,
    jobs: Option<Sender<Output>>,
    answers: Receiver<Input>,
    disk: Option<std::thread::JoinHandle<()>>,
    under_way: usize,
    is_acked: bool,
    plant: Plant,
    begun: Instant,
    at_ms: i64,
    schemas: BTreeMap<SchemaId, Schema>,
}

impl Agent {
    fn start(dir: &Path, channels: usize, commit_every_ms: u64, is_acked: bool) -> Self {
        let (journal, found) = opened(dir);
        let side = SideFiles::start(dir).unwrap();
        let forward = Forward::new(settings(channels, commit_every_ms), &found, stamp(0));
        let (jobs, work) = channel();
        let (answer, answers) = channel();
        let disk = std::thread::spawn(move || carry_out(journal, &work, &answer));
        let plant = Plant::new(channels);
        let (jobs, disk) = (Some(jobs), Some(disk));
        let begun = Instant::now();
        let mut agent = Self {
            forward,
            side,
            jobs,
            answers,
            disk,
            under_way: 0,
            is_acked,
            plant,
            begun,
            at_ms: START_MS,
            schemas: BTreeMap::new(),
        };
        agent.pump(stamp(0));
        agent
    }

    fn real_now(&self) -> Stamp {
        stamp(self.begun.elapsed().as_millis() as u64)
    }

    fn row(&mut self, interval_ms: i64, now: Stamp) {
        self.at_ms += interval_ms;
        let row = self.plant.row(self.at_ms);
        let kept = self.forward.counters().rows_kept;
        self.forward.handle(Input::Handover(Handover::Row { device: 0, synced: true, row: row.clone() }), now);
        self.pump(now);
        while self.forward.counters().rows_kept == kept {
            // The disk is behind: this is as fast as it goes.
            self.answer(now);
            self.forward.handle(Input::Handover(Handover::Row { device: 0, synced: true, row: row.clone() }), now);
            self.pump(now);
        }
    }

    /// What is due is done, and nothing is under way.
    fn wait(&mut self, now: Stamp) {
        self.pump(now);
        while self.under_way > 0 {
            self.answer(now);
        }
    }

    /// Everything is durable.
    fn drain(&mut self) {
        let now = stamp(self.begun.elapsed().as_millis() as u64 + 2_000);
        self.wait(now);
    }

    fn answer(&mut self, now: Stamp) {
        let input = self.answers.recv().unwrap();
        self.take(input, now);
        self.pump(now);
    }

    fn take(&mut self, input: Input, now: Stamp) {
        self.under_way -= 1;
        if let Input::CommitFailed { error, .. } | Input::SpoolFailed(error) = &input {
            panic!("{error}");
        }
        self.forward.handle(input, now);
    }

    fn pump(&mut self, now: Stamp) {
        if self.forward.poll_timeout().is_some_and(|(at, _)| at <= now.mono) {
            self.forward.handle_timeout(now);
        }
        loop {
            while let Ok(input) = self.answers.try_recv() {
                self.take(input, now);
            }
            let Some(output) = self.forward.poll_output() else { return };
            match output {
                Output::Log { file, bytes, .. } => self.side.append(file, &bytes).unwrap(),
                Output::RemoveLogs { through } => self.side.remove(through).unwrap(),
                Output::Commit { .. } | Output::Read { .. } => {
                    self.under_way += 1;
                    self.jobs.as_ref().unwrap().send(output).unwrap();
                }
                Output::Free { .. } | Output::Keep(..) => self.jobs.as_ref().unwrap().send(output).unwrap(),
                Output::Connect { .. } if self.is_acked => self.forward.handle(Input::Connected { uplink: 0 }, now),
                Output::Publish { uplink, token, lane, payload, .. } => {
                    self.forward.handle(Input::PubAck { uplink, token }, now);
                    self.ack(lane, &payload, now);
                }
                Output::Connect { .. } | Output::Disconnect { .. } | Output::Alarm(_) | Output::Finished => {}
                Output::Hurry { .. } | Output::Configure { .. } => unreachable!("nobody commands"),
            }
        }
    }

    fn ack(&mut self, lane: Lane, payload: &[u8], now: Stamp) {
        let split = batch::split_with(payload, &self.schemas);
        self.schemas.extend(split.schemas.into_iter().map(|schema| (schema.id(), schema)));
        let envelopes = split.envelopes;
        let seq = |bytes: &Vec<u8>| Envelope::decode(bytes).unwrap();
        let (Some(first), Some(last)) = (envelopes.first().map(seq), envelopes.last().map(seq)) else { return };
        if lane != Lane::State {
            let ranges = vec![SeqRange { first: first.seq, last: last.seq }];
            let bytes = Ack { epoch: first.epoch, lane, ranges }.encode();
            self.forward.handle(Input::Ack { uplink: 0, bytes }, now);
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(disk) = self.disk.take() {
            disk.join().unwrap();
        }
    }
}

/// The disk's thread; what `io/disk.rs` is in the agent.
fn carry_out(mut journal: SledJournal, work: &Receiver<Output>, answer: &Sender<Input>) {
    for job in work {
        let input = match job {
            Output::Commit { alerts, readings } => match journal.commit(&alerts, &readings) {
                Ok(()) => Input::Committed { alerts, readings, room: journal.room() },
                Err(error) => Input::CommitFailed { alerts, readings, error: error.0, room: journal.room() },
            },
            Output::Read { uplink, lane, from, max_bytes } => {
                Input::Read { uplink, lane, values: journal.read(lane, from, max_bytes).unwrap() }
            }
            Output::Free { lane, through } => {
                journal.free(lane, through).unwrap();
                continue;
            }
            Output::Keep(note, bytes) => {
                journal.keep(note, &bytes).unwrap();
                continue;
            }
            other => panic!("{other:?} is no job of the disk"),
        };
        if answer.send(input).is_err() {
            return;
        }
    }
}

// ----------------------------------------------------------------------------------------------------------- plant

/// Channels that feel one wind, in hundredths, as registers give them; each with its score.
struct Plant {
    channels: usize,
    wind: i64,
    random: u64,
    at_ms: i64,
}

impl Plant {
    fn new(channels: usize) -> Self {
        Self { channels, wind: 800, random: 88_172_645_463_325_252, at_ms: START_MS }
    }

    fn draw(&mut self, end: u64) -> i64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random % end) as i64
    }

    fn row(&mut self, time_ms: i64) -> Row {
        self.wind = (self.wind + self.draw(41) - 20).clamp(0, 3_000);
        let readings: Vec<Reading> = (0..self.channels)
            .map(|_| Ok(Value::Int { mantissa: self.wind + self.draw(21) - 10, exponent: -2 }))
            .collect();
        let scores = (0..self.channels).map(|_| Some(0.5 + self.draw(80) as f32 / 100.0)).collect();
        Row { time_ms, readings, scores }
    }

    /// An envelope with as many rows as asked for, or as many as fit.
    fn block(&mut self, seq: Seq, rows: u64) -> Vec<u8> {
        let mut builder = BlockBuilder::new(&agent_id(), "mast", "Turbine 7, nacelle", &channels(self.channels), true);
        for _ in 0..rows {
            self.at_ms += 1_000;
            let row = self.row(self.at_ms);
            if builder.push(&row).is_err() {
                break;
            }
        }
        let record = Record::Block(builder.finish().unwrap());
        Envelope { agent: agent_id(), epoch: 1, lane: Lane::Readings, seq, record }.encode().unwrap()
    }
}

fn agent_id() -> AgentId {
    AgentId::new("turbine-07").unwrap()
}

fn channels(count: usize) -> Vec<Channel> {
    let channel = |index: usize| Channel {
        name: format!("wind_speed_{index}"),
        quantity: Quantity::WindSpeed,
        unit: "m/s".into(),
    };
    (0..count).map(channel).collect()
}

fn settings(count: usize, commit_every_ms: u64) -> Settings {
    let device = DeviceManifest {
        device: "mast".into(),
        location: "Turbine 7, nacelle".into(),
        link: "modbus_tcp 10.0.0.7:502 slave 1".into(),
        interval_ms: 1_000,
        channels: channels(count),
    };
    Settings {
        agent: agent_id(),
        farm: "north-ridge".into(),
        version: "bench".into(),
        commit_every_ms,
        max_bytes: u64::MAX,
        max_age_ms: None,
        uplinks: vec![Uplink::new("mqtt")],
        devices: vec![device],
        accept: None,
        seed: 1,
    }
}

fn options() -> Options {
    Options { epoch: 1, boot: 1, ..Options::default() }
}

fn opened(dir: &Path) -> (SledJournal, Found) {
    let (mut journal, mut found) = spool::open(dir, &options()).unwrap();
    recover(&agent_id(), &mut found, &mut journal).unwrap();
    (journal, found)
}

fn stamp(ms: u64) -> Stamp {
    Stamp { mono: Mono(ms), wall: Wall(START_MS + ms as i64), synced: true }
}

fn number_after(text: &str, name: &str) -> i64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

fn written_bytes() -> i64 {
    let args: Vec<String> = std::env::args().collect();
    if let Some(at) = args.iter().position(|arg| arg == "--device") {
        // Field 7 of the kernel's Documentation/block/stat.rst: sectors of 512 bytes written.
        let stat = std::fs::read_to_string(format!("/sys/block/{}/stat", args[at + 1])).unwrap();
        return stat.split_whitespace().nth(6).unwrap().parse::<i64>().unwrap() * 512;
    }
    let text = std::fs::read_to_string("/proc/self/io").unwrap();
    number_after(&text, "write_bytes:") - number_after(&text, "cancelled_write_bytes:")
}

fn write_calls() -> u64 {
    number_after(&std::fs::read_to_string("/proc/self/io").unwrap(), "syscw:") as u64
}

/// CPU time of the process, all threads.
fn cpu_ns() -> u64 {
    cpu_time::ProcessTime::now().as_duration().as_nanos() as u64
}
