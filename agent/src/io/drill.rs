//! `drill`: on the user's own gateway, in a folder of its own, an agent writes, is killed, loses its link, fills its
//! quota and comes back, and what has become of everything it had said was safe is counted; see [`crate::drill`] for
//! the books.
//!
//! This program starts itself once more for it: the agent under drill (`child`) runs FORWARD, the journal and the side
//! files as they run live, this one (`sink`) plays broker and sink at the other end of a pipe. The live spool is never
//! opened; a running agent notices a disk that is busier.

mod child;
mod disk;
mod pipe;
mod process;
mod sink;
mod steps;

use super::progress::Progress;
use super::random;
use crate::drill::{Fault, Plan, Report};
use disk::Scratch;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use steps::Drill;

/// How a drill is wanted.
#[derive(Clone, Debug)]
pub struct Options {
    /// Folder in which it makes one of its own: on the disk that the agent uses.
    pub dir: PathBuf,
    /// Ten seconds in place of a minute.
    pub quick: bool,
    /// How many times the agent is killed.
    pub kills: u32,
    /// Whether the folder is left for people to look at.
    pub keep: bool,
    /// What the agent is to do wrong, to see that it is noticed.
    pub fault: Option<Fault>,
}

/// Runs a drill, step by step with progress on standard error. It ends early, with an error, when `stop` is set. In
/// every case it takes its folder away.
pub fn run(options: &Options, stop: &Stop) -> anyhow::Result<Report> {
    let plan = if options.quick { Plan::quick(options.kills) } else { Plan::whole(options.kills) };
    let scratch = Scratch::make(&options.dir, &plan, options.keep)?;
    let progress = Progress::new();
    let report = Drill::new(plan, options.fault, &scratch.path, stop, &progress).run();
    progress.clear();
    report
}

/// The agent under drill: does what the drill asks on standard input, and says on standard output what it does.
pub async fn child() -> anyhow::Result<()> {
    child::run().await
}

/// Whether the drill is to end early. Copies are one.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Ends the drill.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was ended.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(!self.is_set(), "stopped");
        Ok(())
    }
}

/// How long something takes.
#[derive(Clone, Copy, Debug)]
struct Stopwatch(Instant);

impl Stopwatch {
    #[allow(clippy::disallowed_methods, reason = "how long things take is what a drill is about")]
    fn start() -> Self {
        Self(Instant::now())
    }

    fn us(self) -> u64 {
        self.0.elapsed().as_micros() as u64
    }

    fn ms(self) -> u64 {
        self.us() / 1000
    }
}
