//! How far long work is: a bar on a terminal, else one plain line a stage. On standard error.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal as _;

/// What shows how far long work is.
pub(super) struct Progress {
    bar: ProgressBar,
    plain: bool,
}

impl Progress {
    pub(super) fn new() -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos:>4}/{len} {eta:>4} {msg}") {
            bar.set_style(style);
        }
        Self { bar, plain: !std::io::stderr().is_terminal() }
    }

    /// So many steps lie ahead in all.
    pub(super) fn start(&self, steps: usize) {
        self.bar.reset();
        self.bar.set_length(steps as u64);
    }

    /// Another part begins: a setting, a device.
    pub(super) fn stage(&self, what: String) {
        if self.plain {
            eprintln!("{what}");
        }
        self.bar.set_message(what);
    }

    /// What is being done within the stage; only a bar has room for it.
    pub(super) fn detail(&self, what: String) {
        self.bar.set_message(what);
    }

    /// One step is done.
    pub(super) fn step(&self) {
        self.bar.inc(1);
    }

    /// Takes the bar away: what is found comes next.
    pub(super) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
