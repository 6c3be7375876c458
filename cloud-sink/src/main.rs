//! The binary `windward-sink`.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
