//! What is said in the end, in words that can be read out on the phone.

use super::rows::CHANNELS;
use super::{Speed, Tally, Wrong, Wrongs};
use std::fmt;

/// Times from a start after a kill to the first publish, ms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Starts(pub Vec<u64>);

impl Starts {
    fn median_ms(&self) -> u64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied().unwrap_or(0)
    }

    fn worst_ms(&self) -> u64 {
        self.0.iter().copied().max().unwrap_or(0)
    }
}

/// What a drill has found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How fast the disk commits.
    pub speed: Speed,
    /// Figures of the books.
    pub tally: Tally,
    /// After each kill.
    pub starts: Starts,
    /// Bytes to storage while rows were written and delivered in peace, and readings confirmed meanwhile. 0 where the
    /// system does not tell.
    pub written: (u64, u64),
    /// Time between commits meanwhile, ms, and rows a second.
    pub pace: (u64, u32),
    /// Rows dropped because the disk took nothing.
    pub dropped: u64,
    /// What the agent said of its spool.
    pub spool_alerts: Vec<String>,
    /// What is wrong.
    pub wrongs: Wrongs,
    /// How long it all took, s.
    pub took_s: u64,
}

impl Report {
    /// Whether nothing was lost and every gap is declared.
    pub fn is_well(&self) -> bool {
        self.wrongs.is_empty()
    }

    fn disk(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Speed { commits, median_us, late_us, worst_us } = self.speed;
        let (median, late, worst) = (Ms(median_us), Ms(late_us), Ms(worst_us));
        line(f, "disk commits in", format_args!("{median} (median), {late} (99 %), {worst} (worst of {commits})"))?;
        let (per_s, bears_ms) = (self.speed.per_s(), self.speed.bears_ms());
        line(f, "", format_args!("{per_s} a second; commit_every_ms = {bears_ms} or more is no strain"))?;
        let (bytes, readings) = self.written;
        let (every_ms, rows_per_s) = self.pace;
        let at = format!("at {} readings a second, committed every {every_ms} ms", u64::from(rows_per_s) * CHANNELS);
        match bytes.checked_div(readings) {
            Some(whole) if bytes > 0 => {
                let tenths = bytes % readings * 10 / readings;
                line(f, "bytes to disk", format_args!("{whole}.{tenths} a reading, {at}"))
            }
            _ => line(f, "bytes to disk", "the system does not tell of this folder"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { rows_said, rows_stored, rows_unsaid, rows_given_up, rows_lost, rows_saved, .. } = self.tally;
        let Tally { alerts_said, alerts_stored, envelopes, repeated, gaps, .. } = self.tally;
        self.disk(f)?;
        line(f, "confirmed", format_args!("{} readings, {alerts_said} alerts", readings(rows_said)))?;
        line(f, "stored", format_args!("{} readings, {alerts_stored} alerts", readings(rows_stored)))?;
        if rows_unsaid > 0 {
            let unsaid = readings(rows_unsaid);
            line(f, "", format_args!("{unsaid} of them written just before a kill, too late to be confirmed"))?;
        }
        line(
            f,
            "given up",
            format_args!("{} readings to the quota, declared by {gaps} gap records", readings(rows_given_up)),
        )?;
        line(f, "repeated", format_args!("{repeated} of {envelopes} blocks came again, and were absorbed"))?;
        let (kills, median, worst) = (self.starts.0.len(), self.starts.median_ms(), self.starts.worst_ms());
        line(
            f,
            "killed",
            format_args!("{kills} times; first publish {median} ms (median), {worst} ms (worst) after the start"),
        )?;
        line(f, "", format_args!("{} readings came back from the side file", readings(rows_saved)))?;
        line(
            f,
            "lost",
            format_args!("{} readings, {} alerts", readings(rows_lost), self.wrongs.count(Wrong::AlertsLost)),
        )?;
        if self.dropped > 0 {
            line(
                f,
                "too slow",
                format_args!("{} readings were refused, the disk being too slow", readings(self.dropped)),
            )?;
        }
        for alert in &self.spool_alerts {
            line(f, "spool", alert)?;
        }
        writeln!(f)?;
        if self.is_well() {
            writeln!(f, "Well: nothing that was confirmed is lost, and every gap is declared ({} s).", self.took_s)?;
        } else {
            writeln!(f, "NOT WELL ({} s):\n{}", self.took_s, self.wrongs)?;
        }
        write!(
            f,
            "Not tried: a power cut. What the kernel had taken survived these kills; whether the disk keeps what it says it\nhas written shows only when the plug is pulled."
        )
    }
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, what: impl fmt::Display) -> fmt::Result {
    writeln!(f, "{name:<16}{what}")
}

fn readings(rows: u64) -> u64 {
    rows * CHANNELS
}

/// µs as ms, with one decimal below 100.
struct Ms(u64);

impl fmt::Display for Ms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            us @ 0..100_000 => write!(f, "{}.{} ms", us / 1000, us % 1000 / 100),
            us => write!(f, "{} ms", us / 1000),
        }
    }
}
