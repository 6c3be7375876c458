//! Writes the agent's manual pages and shell completions into a folder, for packages.

#[allow(dead_code, reason = "only the description of the command line is used here")]
#[path = "../src/cli.rs"]
mod cli;

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_complete::Shell;
use std::path::PathBuf;

fn main() -> anyhow::Result<()> {
    let folder = PathBuf::from(std::env::args_os().nth(1).context("usage: agent-pages FOLDER")?);
    let man = folder.join("man");
    std::fs::create_dir_all(&man).with_context(|| format!("cannot create {}", man.display()))?;
    let command = cli::Arguments::command().name("windward-agent");
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut command.clone(), "windward-agent", &folder)?;
    }
    clap_mangen::generate_to(command.disable_help_subcommand(true), &man)?;
    Ok(())
}
