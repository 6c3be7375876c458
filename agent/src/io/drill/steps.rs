//! The steps of a drill.

use super::sink::{Ended, Mood, Run};
use super::{Progress, Stop, Stopwatch, disk, random};
use crate::drill::rows::CHANNELS;
use crate::drill::{Begin, Books, Fault, Plan, Report, Speed, Starts};
use std::path::Path;

/// Rows a second while the quota is filled: as many as the disk takes.
const FLOOD_ROWS_PER_S: u32 = 100_000;
/// Time between commits meanwhile, ms: one after another on a disk that takes longer.
const FLOOD_COMMIT_MS: u64 = 100;
/// Time between commits while it is measured what a reading costs, ms: that of a configuration that does not name one.
const USUAL_COMMIT_MS: u64 = 1_000;

/// A drill under way.
pub(super) struct Drill<'a> {
    plan: Plan,
    fault: Option<Fault>,
    dir: &'a Path,
    stop: &'a Stop,
    progress: &'a Progress,
    base_ms: i64,
    books: Books,
    speed: Speed,
    starts: Starts,
    dropped: u64,
    random: u64,
}

impl<'a> Drill<'a> {
    pub(super) fn new(plan: Plan, fault: Option<Fault>, dir: &'a Path, stop: &'a Stop, progress: &'a Progress) -> Self {
        let base_ms = super::super::clock::Clock::start().now().wall.0;
        Self {
            plan,
            fault,
            dir,
            stop,
            progress,
            base_ms,
            books: Books::new(base_ms),
            speed: Speed::default(),
            starts: Starts::default(),
            dropped: 0,
            random: random() | 1,
        }
    }

    /// All steps, one after another.
    pub(super) fn run(mut self) -> anyhow::Result<Report> {
        let since = Stopwatch::start();
        self.progress.start(5 + self.plan.kills as usize);
        self.step("1 of 6: how fast the disk commits");
        self.speed = disk::speed(&self.dir.join("speed"), &self.plan, self.stop)?;
        self.step("2 of 6: write and deliver");
        let written = self.write_and_deliver()?;
        for round in 0..self.plan.kills {
            self.step(&format!("3 of 6: kill {} of {}", round + 1, self.plan.kills));
            self.kill(round)?;
        }
        self.step("4 of 6: the sink falls silent, and the link is cut");
        self.break_link()?;
        self.step("5 of 6: the quota is filled without a link");
        self.fill_quota()?;
        self.step("6 of 6: come back, and drain");
        let waiting = self.come_back()?;
        let spool_alerts = self.books.spool_alerts().to_vec();
        let (tally, wrongs) = self.books.close(waiting, true);
        Ok(Report {
            speed: self.speed,
            tally,
            starts: self.starts,
            written,
            pace: (USUAL_COMMIT_MS, self.plan.rows_per_s),
            dropped: self.dropped,
            spool_alerts,
            wrongs,
            took_s: since.ms() / 1000,
        })
    }

    /// Gives the bytes written to the disk, and the readings confirmed meanwhile. There are no alerts, each of which
    /// would be a commit of its own.
    fn write_and_deliver(&mut self) -> anyhow::Result<(u64, u64)> {
        let plan = self.plan;
        let mut run = self.start(Mood::Well, USUAL_COMMIT_MS)?;
        run.until("it had told how it is", |run| run.status.is_idle)?;
        let before = run.status;
        run.write(plan.rows_per_s, 0);
        run.go_on(plan.write_ms)?;
        run.drain()?;
        let bytes = run.status.written_bytes.saturating_sub(before.written_bytes);
        let rows = run.status.committed_rows - before.committed_rows;
        let ended = run.end()?;
        self.note(ended, false);
        Ok((bytes, rows * CHANNELS))
    }

    /// By turns: killed while all is well, while acks do not come through, and while there is no link.
    fn kill(&mut self, round: u32) -> anyhow::Result<()> {
        let (least_ms, most_ms) = self.plan.kill_after_ms;
        let after_ms = least_ms + self.draw() % (most_ms - least_ms + 1);
        let mood = [Mood::Well, Mood::Mute, Mood::Cut][round as usize % 3];
        let (every_ms, rows_per_s, alerts_per_s) = self.pace();
        let mut run = self.start(Mood::Well, every_ms)?;
        run.until("its first publish", |run| run.first_publish_ms.is_some())?;
        run.write(rows_per_s, alerts_per_s);
        run.be(mood);
        run.go_on(after_ms)?;
        let ended = run.kill()?;
        self.note(ended, round > 0);
        Ok(())
    }

    fn break_link(&mut self) -> anyhow::Result<()> {
        let (plan, (every_ms, rows_per_s, alerts_per_s)) = (self.plan, self.pace());
        let mut run = self.start(Mood::Well, every_ms)?;
        run.until("its first publish", |run| run.first_publish_ms.is_some())?;
        run.write(rows_per_s, alerts_per_s);
        if plan.away_ms > 0 {
            run.be(Mood::Deaf);
            run.go_on(plan.away_ms)?;
            run.be(Mood::Well);
            run.drain()?;
            run.write(rows_per_s, alerts_per_s);
        }
        for (mood, ms) in [(Mood::Mute, plan.mute_ms), (Mood::Deaf, plan.deaf_ms), (Mood::Cut, plan.cut_ms)] {
            run.be(mood);
            run.go_on(ms)?;
        }
        run.be(Mood::Well);
        run.drain()?;
        let ended = run.end()?;
        self.note(ended, plan.kills > 0);
        Ok(())
    }

    fn fill_quota(&mut self) -> anyhow::Result<()> {
        let (bytes, (_, _, alerts_per_s)) = (self.plan.flood_bytes, self.pace());
        let mut run = self.start(Mood::Cut, FLOOD_COMMIT_MS)?;
        run.write(FLOOD_ROWS_PER_S, alerts_per_s);
        run.until("the quota was filled", |run| run.status.committed_bytes >= bytes)?;
        let ended = run.end()?;
        self.note(ended, false);
        Ok(())
    }

    /// Gives the number of envelopes that are left.
    fn come_back(&mut self) -> anyhow::Result<u64> {
        let (every_ms, ..) = self.pace();
        let mut run = self.start(Mood::Well, every_ms)?;
        run.drain()?;
        let ended = run.end()?;
        self.note(ended, false);
        Ok(ended.status.waiting)
    }

    fn note(&mut self, ended: Ended, after_kill: bool) {
        self.dropped += ended.status.dropped;
        self.starts.0.extend(ended.first_publish_ms.filter(|_| after_kill));
    }

    fn start(&mut self, mood: Mood, commit_every_ms: u64) -> anyhow::Result<Run<'_>> {
        let begin = Begin {
            spool: self.dir.join("spool").display().to_string(),
            first: self.books.begin(),
            base_ms: self.base_ms,
            commit_every_ms,
            max_bytes: self.plan.quota_bytes,
            fault: self.fault,
        };
        Run::start(begin, mood, &mut self.books, &self.dir.join("agent.log"), self.stop)
    }

    /// Time between commits, ms, and rows and alerts a second.
    fn pace(&self) -> (u64, u32, u32) {
        let (plan, speed) = (&self.plan, &self.speed);
        (plan.commit_every_ms(speed), plan.rows_per_s, plan.alerts_per_s(speed))
    }

    fn step(&self, what: &str) {
        self.progress.step();
        self.progress.stage(what.into());
    }

    /// xorshift64*: when to kill.
    fn draw(&mut self) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }
}
