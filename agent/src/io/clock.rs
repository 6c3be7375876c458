//! The agent's one clock. Everything else is told the time.
//!
//! A gateway without a battery for its clock starts in 1970, at the date of its file system, or at the time that was
//! saved before the power went, and is right only when a time server has answered. Until then the clock gives an
//! estimate (see [`Timeline`]) that goes on from the last time the agent knew, and says that it is one.

use super::last_time::Saved;
use crate::time::{Mono, Stamp, Timeline, Wall};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// 2024-01-01T00:00:00Z. No agent was built before it, so an earlier time is that of a clock that was never set.
const FIRST_BELIEVABLE_MS: i64 = 1_704_067_200_000;
/// By how much the last known time may turn out to have been late: a time server corrects a clock in both directions.
const CORRECTION_MS: i64 = 60_000;
/// Directory of systemd-timesyncd while it runs, and the file it makes there when it has heard from a time server
/// (systemd-timesyncd(8)). Before, it sets the clock to the time it saved last, which looks right and is not.
const TIMESYNCD: &str = "/run/systemd/timesync";
const SYNCHRONIZED: &str = "/run/systemd/timesync/synchronized";

/// The system's clocks. Copies agree with each other.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    /// Time since the boot at `start`.
    uptime_ms: u64,
    timeline: Timeline,
    /// A system's clock that stands before this was not set.
    floor_ms: i64,
    world: World,
}

/// What the clock asks, and tests replace.
#[derive(Clone, Copy, Debug)]
pub(super) struct World {
    /// The system's clock, ms since 1970.
    pub(super) system: fn() -> i64,
    /// Without this file the system's clock was not set.
    pub(super) witness: Option<&'static str>,
    pub(super) boot: u128,
    pub(super) uptime_ms: u64,
}

impl Clock {
    /// A clock that knows of no earlier time.
    pub fn start() -> Self {
        Self::after(None, World::read())
    }

    /// A clock that goes on from the time that was saved last.
    #[allow(clippy::disallowed_methods, reason = "this is the shell's clock")]
    pub(super) fn after(saved: Option<Saved>, world: World) -> Self {
        let known_ms = saved.map_or(FIRST_BELIEVABLE_MS, |saved| saved.known_ms.max(FIRST_BELIEVABLE_MS));
        let timeline = match saved {
            Some(Saved { timeline, .. }) if timeline.boot == world.boot => timeline,
            // The machine stood still for some time that nobody knows; whichever is later is the better guess.
            _ => {
                let by_system = (world.system)().saturating_sub_unsigned(world.uptime_ms);
                Timeline { boot: world.boot, base_ms: known_ms.max(by_system) }
            }
        };
        let floor_ms = (known_ms - CORRECTION_MS).max(FIRST_BELIEVABLE_MS);
        Self { start: Instant::now(), uptime_ms: world.uptime_ms, timeline, floor_ms, world }
    }

    /// The time. `synced` is false, and the wall-clock time an estimate, while the system's clock stands before 2024 or
    /// before the last time the agent knew, or while systemd-timesyncd has not heard from a time server on a machine
    /// without a clock of its own. Any other clock that is wrong is not noticed: the kernel's own opinion (`adjtimex`)
    /// takes a call that safe Rust does not offer.
    pub fn now(&self) -> Stamp {
        let mono = Mono(self.uptime_ms + self.start.elapsed().as_millis() as u64);
        let system = (self.world.system)();
        let synced = system >= self.floor_ms && self.world.witness.is_none_or(|path| Path::new(path).exists());
        let wall = if synced { Wall(system) } else { self.timeline.at(mono) };
        Stamp { mono, wall, synced }
    }

    /// What the time is estimated on while the system's clock is not set.
    pub(super) fn timeline(&self) -> Timeline {
        self.timeline
    }

    /// How long it is until `deadline`.
    pub fn until(&self, deadline: Mono) -> Duration {
        Duration::from_millis(deadline - self.now().mono)
    }

    /// Waits until `deadline`; not at all once it has passed, where tokio would wait for its next millisecond.
    pub(super) async fn sleep_until(&self, deadline: Mono) {
        let left = self.until(deadline);
        if !left.is_zero() {
            tokio::time::sleep(left).await;
        }
    }
}

impl World {
    /// This machine. Where it does not tell its boots apart (proc(5)), every process counts as one.
    pub(super) fn read() -> Self {
        let text = |path| std::fs::read_to_string(path).unwrap_or_default();
        let boot = u128::from_str_radix(&text("/proc/sys/kernel/random/boot_id").trim().replace('-', ""), 16);
        let boot = boot.unwrap_or_else(|_| (u128::from(super::random()) << 64) | u128::from(super::random()));
        let has_witness = Path::new(TIMESYNCD).exists() && !was_set_from_battery();
        Self {
            system: system_ms,
            witness: has_witness.then_some(SYNCHRONIZED),
            boot,
            uptime_ms: uptime_ms(&text("/proc/uptime")).unwrap_or(0),
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "this is the shell's clock")]
fn system_ms() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_millis() as i64,
        Err(before) => -(before.duration().as_millis() as i64),
    }
}

/// The first figure of `/proc/uptime`, seconds with two decimals, as ms.
fn uptime_ms(text: &str) -> Option<u64> {
    let (seconds, hundredths) = text.split_whitespace().next()?.split_once('.')?;
    Some(seconds.parse::<u64>().ok()? * 1000 + hundredths.parse::<u64>().ok()? * 10)
}

/// Whether the kernel has set the system's clock from one with a battery (`hctosys` in the kernel's `sysfs-class-rtc`).
fn was_set_from_battery() -> bool {
    let Ok(clocks) = std::fs::read_dir("/sys/class/rtc") else { return false };
    clocks.flatten().any(|clock| {
        std::fs::read_to_string(clock.path().join("hctosys")).is_ok_and(|set_system| set_system.trim() == "1")
    })
}

#[cfg(test)]
mod tests;
