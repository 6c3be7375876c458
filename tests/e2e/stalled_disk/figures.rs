//! What a gust under a stalled disk came to, and what stood in its way.

use anyhow::{Context as _, Result};
use std::path::Path;
use std::time::{Duration, Instant};
use windward_tests::clock;

/// One gust.
#[derive(Clone, Debug)]
pub(super) struct Gust {
    /// Making and removing files stalled too, and the gateway had one core.
    pub(super) names: bool,
    /// From the sample that raised the alert, as the device handed it out, to the lamp.
    pub(super) local: Duration,
    /// From that sample to the alert's publish, as the line heard its last byte.
    pub(super) published: Duration,
    /// From the end of the sync that made the alert durable to its publish.
    pub(super) after_durable: Duration,
    /// Commits that ended in between, beside the alert's own.
    pub(super) commits_before: usize,
    /// Syncs of the spool that the alert's way from the sample to the disk took, its own among them.
    pub(super) syncs: usize,
    /// Publishes of readings between the end of that sync and the alert's publish.
    pub(super) readings_between: usize,
    /// Longest time between two reads of the device while the disk was stalled.
    pub(super) longest_pause: Duration,
    /// Reads in that time, and how many were due.
    pub(super) reads: usize,
    pub(super) due: usize,
    /// Rows that were read and are not kept.
    pub(super) missing: usize,
}

/// Prints the figures of all gusts.
pub(super) fn print(gusts: &[Gust]) {
    let (names, syncs): (Vec<Gust>, Vec<Gust>) = gusts.iter().cloned().partition(|gust| gust.names);
    print_of("every sync takes 2 s", &syncs);
    print_of("names too, one core", &names);
}

fn print_of(disk: &str, gusts: &[Gust]) {
    let line = |what: &str, of: fn(&Gust) -> Duration| {
        let all = sorted(gusts.iter().map(of));
        let worst = all.last().copied().unwrap_or_default();
        println!("FIGURE {disk}: {what}: median {:.1} ms, worst {:.1} ms", ms(median(&all)), ms(worst));
    };
    let sum = |of: fn(&Gust) -> usize| gusts.iter().map(of).sum::<usize>();
    println!("FIGURE {disk}: {} gusts", gusts.len());
    line("sample to lamp", |gust| gust.local);
    line("sample to the alert's publish", |gust| gust.published);
    line("durable to the alert's publish", |gust| gust.after_durable);
    let most = |of: fn(&Gust) -> usize| gusts.iter().map(of).max().unwrap_or(0);
    println!(
        "FIGURE {disk}: most commits in line before an alert's own {}, most syncs with its own {}; readings published \
         between an alert's sync and its publish {}",
        most(|gust| gust.commits_before),
        most(|gust| gust.syncs),
        sum(|gust| gust.readings_between)
    );
    line("longest pause between two reads", |gust| gust.longest_pause);
    let (reads, due, missing) = (sum(|gust| gust.reads), sum(|gust| gust.due), sum(|gust| gust.missing));
    println!("FIGURE {disk}: {reads} reads while it stalled, {due} due; {missing} rows lost");
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// The shortest first.
pub(super) fn sorted(times: impl Iterator<Item = Duration>) -> Vec<Duration> {
    let mut all: Vec<Duration> = times.collect();
    all.sort();
    all
}

/// The middle one.
pub(super) fn median(sorted: &[Duration]) -> Duration {
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// Calls of an agent that made something of its spool durable.
pub(super) struct Syncs(Vec<Sync>);

/// One of them.
pub(super) struct Sync {
    pub(super) end: Instant,
    call: String,
    path: String,
}

impl Syncs {
    /// Reads the log of `tests/preload/stall.c`.
    pub(super) fn read(log: &Path) -> Result<Self> {
        let (now, now_us) = (clock::now(), clock::wall_us());
        let text = std::fs::read_to_string(log)?;
        let mut syncs = Vec::new();
        for line in text.lines().filter(|line| line.contains("/spool/")) {
            let mut words = line.splitn(4, ' ');
            let mut word = || words.next().context("a word of the log");
            let (call, _begun, end, path) = (word()?.to_owned(), word()?, word()?, word()?.to_owned());
            let ago = Duration::from_micros((now_us - end.parse::<i64>()?).max(0) as u64);
            syncs.push(Sync { end: now - ago, call, path });
        }
        Ok(Self(syncs))
    }

    /// The last one before `moment` that made alerts durable.
    pub(super) fn durable_before(&self, moment: Instant) -> Option<&Sync> {
        self.0.iter().rfind(|sync| sync.is_commit() && sync.path.contains("/alerts/") && sync.end <= moment)
    }

    /// How many commits of a lane have ended after `from`, up to and with `to`.
    pub(super) fn commits_between(&self, from: Instant, to: Instant) -> usize {
        self.between(from, to).filter(|sync| sync.is_commit()).count()
    }

    /// How many calls have ended in that time.
    pub(super) fn ended_between(&self, from: Instant, to: Instant) -> usize {
        self.between(from, to).count()
    }

    fn between(&self, from: Instant, to: Instant) -> impl Iterator<Item = &Sync> {
        self.0.iter().filter(move |sync| sync.end > from && sync.end <= to)
    }
}

impl Sync {
    /// Whether it is the last of those that a commit of a lane takes.
    fn is_commit(&self) -> bool {
        self.call == "fdatasync" && self.path.ends_with("/db")
    }
}
