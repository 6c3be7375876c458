//! End-to-end tests: Windward's programs between servers that are not ours. Each prints its figures.
//!
//! `WINDWARD_SEED=<number>` repeats the random choices of a run. `tests/run` installs the servers; where they are missing
//! otherwise, a test says so and ends.

#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

mod accounts;
mod acquisition;
mod bad_input;
mod clock_steps;
mod cloud;
mod commands;
mod cuts;
mod detection;
mod kills;
mod labs;
mod outage;
mod provision;
mod real_input;
mod rules;
mod secrets;
mod stalled_disk;
mod system;
mod template;
mod uplinks;
