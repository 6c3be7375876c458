//! Small C libraries that stand between a program and the system (`tests/preload`), built when a test needs them.

use crate::process::target_dir;
use anyhow::{Context as _, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds `tests/preload/<name>.c`; the library is for `LD_PRELOAD`.
pub fn build(name: &str) -> anyhow::Result<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("preload").join(name).with_extension("c");
    // Several tests may build it at the same time.
    let library = target_dir()?.join(format!("{name}-{}.so", std::process::id()));
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-o"]).arg(&library).arg(source).arg("-ldl");
    let output = cc.output().context("cc is missing")?;
    ensure!(output.status.success(), "cc: {}", String::from_utf8_lossy(&output.stderr));
    Ok(library)
}
