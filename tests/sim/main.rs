//! `sim`: Windward's real cores in a simulated world, in virtual time, from one seed, judged by an oracle that knows
//! only the promise (A1 to A7, S1 to S4). A violation comes with the command that replays it.

mod breaks;
mod broker;
mod clock;
mod disk;
mod known;
mod machine;
mod oracle;
mod plant;
mod process;
mod scenario;
mod sink;
mod stage;
mod store;
mod stream;
#[cfg(test)]
mod tests;
mod world;

use breaks::Break;
use clap::Parser;
use std::collections::BTreeMap;
use std::ops::Range;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use windward_tests::clock as real;
use world::Outcome;

/// Runs simulated worlds, one a seed, and says which promise was broken in which.
#[derive(Clone, Debug, Parser)]
#[command(version)]
struct Arguments {
    /// How many seeds.
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    from: u64,
    /// How many run at a time; as many as there are cores, unless given.
    #[arg(long, value_name = "NUMBER")]
    jobs: Option<usize>,
    /// Run this seed only.
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,
    /// Print what happens, a line each.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Break something on purpose, and see it caught.
    #[arg(long, value_name = "WHAT")]
    broken: Option<Break>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // A panic in a core is a violation like any other, and told as one.
    std::panic::set_hook(Box::new(|_| {}));
    let seeds = match arguments.seed {
        Some(seed) => seed..seed + 1,
        None => arguments.from..arguments.from + arguments.seeds,
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let started = real::now();
    let (violations, counts) = run_all(seeds.clone(), arguments.jobs.unwrap_or(cores), &arguments);
    let (count, took) = (seeds.end - seeds.start, started.elapsed());
    let a_minute = count as f64 * 60.0 / took.as_secs_f64();
    counts.iter().for_each(|(what, times)| println!("{times:>12} {what}"));
    println!("{count} seeds in {took:.1?} ({a_minute:.0} a minute): {violations} violations");
    if violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs the seeds on so many threads. Gives the number of violations, and how often what happened.
fn run_all(seeds: Range<u64>, jobs: usize, arguments: &Arguments) -> (u64, BTreeMap<&'static str, u64>) {
    let (next, sum) = (AtomicU64::new(seeds.start), Mutex::new((0, BTreeMap::new())));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let outcome = world::run(seed, arguments.broken, arguments.trace);
            let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(words) = words(seed, &outcome, arguments) {
                sum.0 += 1;
                println!("{words}");
            }
            outcome.counts.into_iter().for_each(|(what, times)| *sum.1.entry(what).or_default() += times);
        }
    };
    std::thread::scope(|scope| (0..jobs.max(1)).for_each(|_| drop(scope.spawn(work))));
    sum.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// A violation, and how to see it again.
fn words(seed: u64, outcome: &Outcome, arguments: &Arguments) -> Option<String> {
    let violation = outcome.violation.as_ref()?;
    let what: String = violation.what.chars().take(600).collect();
    let how = arguments.broken.map_or_else(String::new, |broken| format!(" --broken {}", name_of(broken)));
    Some(format!(
        "{}: {what}\n  seed {seed}; replay: cargo run --release -p windward-tests --bin sim -- --seed {seed} --trace{how}",
        violation.invariant
    ))
}

fn name_of(broken: Break) -> String {
    use clap::ValueEnum as _;
    broken.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}
