//! `replay`: a backtest over files of history, by the judge that runs live; see [`crate::replay`] for the tables.
//!
//! Rows are read, judged and written one by one, so that a file may be of any length. The output is written under
//! another name and takes its own only when it is whole.

mod file;
mod part;
mod tree;

pub use file::six_digits;

use crate::config::Config;
use crate::replay::Summary;
use anyhow::Context as _;
use file::Job;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::fs;
use std::io::Write;
use std::path::Path;

/// How files are replayed.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Gives the columns' quantities, units and interval, and how readings are judged. `None`: nothing is known of the
    /// columns, and the detector is set as it is by default.
    pub config: Option<Config>,
    /// Which of the configuration's devices the columns are; `None`: the one with channels of their names.
    pub device: Option<String>,
    /// Whether nothing but the figures is printed: no alerts, and no progress.
    pub quiet: bool,
}

/// Replays one file, prints figures and alerts to `out`, and draws a plot where one is wanted.
pub fn file(
    input: &Path,
    output: &Path,
    plot: Option<&Path>,
    options: &Options,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let found = fs::metadata(input).with_context(|| format!("cannot read {}", input.display()))?;
    anyhow::ensure!(!found.is_dir(), "{} is a folder; --dir replays one", input.display());
    let size = found.len();
    let bar = progress(size, options);
    let done = file::replay(&Job { input, output, plot }, options, &|bytes| bar.inc(bytes));
    bar.finish_and_clear();
    let done = done.with_context(|| input.display().to_string())?;
    if let Some(note) = done.note {
        eprintln!("{}: {note}", input.display());
    }
    writeln!(out, "{}", done.summary)?;
    if !options.quiet {
        alerts(&done.summary, out)?;
    }
    Ok(())
}

/// Replays every `*.csv` below `input` to the same relative path below `output`, on all cores, and prints figures and
/// alerts to `out` in the order of the paths. False: at least one file failed; its error is on standard error.
pub fn tree(input: &Path, output: &Path, options: &Options, out: &mut impl Write) -> anyhow::Result<bool> {
    tree::replay(input, output, options, out)
}

fn progress(bytes: u64, options: &Options) -> ProgressBar {
    let target = if options.quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(Some(bytes), target);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {bytes:>10}/{total_bytes} {eta:>4} {msg}") {
        bar.set_style(style);
    }
    bar
}

fn alerts(summary: &Summary, out: &mut impl Write) -> std::io::Result<()> {
    for event in &summary.events {
        writeln!(out, "{event}")?;
    }
    let unlisted = summary.opened.values().sum::<u64>() - summary.events.len() as u64;
    if unlisted > 0 {
        writeln!(out, "and {unlisted} alerts more")?;
    }
    Ok(())
}
