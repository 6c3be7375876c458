//! What is said in the end, in words that can be read out on the phone.

use super::rows::CHANNELS;
use super::{Speed, Tally, Wrong, Wrongs};
use std::fmt::{self, Write as _};

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
        line(f, "a commit takes", format_args!("{median} (median), {late} (99 %), {worst} (worst of {commits})"))?;
        let (per_s, bears_ms) = (N(self.speed.per_s()), self.speed.bears_ms());
        line(f, "", format_args!("{per_s} a second; commit_every_ms = {bears_ms} or more is no strain"))?;
        let (bytes, readings) = self.written;
        match bytes.checked_div(readings) {
            Some(whole) if bytes > 0 => {
                let (tenths, (every_ms, rows_per_s)) = (bytes % readings * 10 / readings, self.pace);
                let pace = N(u64::from(rows_per_s) * CHANNELS);
                let at = format_args!("{whole}.{tenths} a reading, at {pace} a second and commits every {every_ms} ms");
                line(f, "bytes to disk", at)
            }
            _ => line(f, "bytes to disk", "the system does not tell of this folder"),
        }
    }

    fn books(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { rows_said, rows_stored, rows_unsaid, rows_given_up, rows_lost, rows_saved, .. } = self.tally;
        let Tally { alerts_said, alerts_stored, envelopes, repeated, gaps, .. } = self.tally;
        let alerts_lost = self.wrongs.count(Wrong::AlertsLost);
        line(f, "confirmed", format_args!("{} readings, {} alerts", readings(rows_said), N(alerts_said)))?;
        line(f, "stored", format_args!("{} readings, {} alerts", readings(rows_stored), N(alerts_stored)))?;
        if rows_unsaid > 0 {
            let unsaid = readings(rows_unsaid);
            line(f, "", format_args!("{unsaid} of them written just before a kill, too late to be confirmed"))?;
        }
        let given_up = readings(rows_given_up);
        line(f, "given up", format_args!("{given_up} readings to the quota, declared by {gaps} gap records"))?;
        let (repeated, envelopes) = (N(repeated), N(envelopes));
        line(
            f,
            "repeated",
            format_args!("{repeated} times a block came again, and was absorbed; {envelopes} are stored"),
        )?;
        let (kills, median, worst) = (self.starts.0.len(), self.starts.median_ms(), self.starts.worst_ms());
        line(
            f,
            "killed",
            format_args!("{kills} times; {} readings came back from the side file", readings(rows_saved)),
        )?;
        line(f, "recovery", format_args!("{median} ms (median), {worst} ms (worst) from start to first publish"))?;
        line(f, "lost", format_args!("{} readings, {} alerts", readings(rows_lost), N(alerts_lost)))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.disk(f)?;
        self.books(f)?;
        if self.dropped > 0 {
            line(f, "refused", format_args!("{} readings: the disk was too slow for them", readings(self.dropped)))?;
        }
        for alert in &self.spool_alerts {
            line(f, "spool", alert)?;
        }
        let took_s = self.took_s;
        writeln!(f)?;
        if self.is_well() {
            writeln!(f, "WELL: nothing that was confirmed is lost, and every gap is declared ({took_s} s).")?;
        } else {
            writeln!(f, "NOT WELL ({took_s} s):\n{}", self.wrongs)?;
        }
        write!(f, "{NOT_TRIED}")
    }
}

/// What a kill does not show.
const NOT_TRIED: &str = "\
Not tried: a power cut. A kill leaves what the kernel has taken; whether the disk keeps what it said it had
written shows only when the plug is pulled.";

fn line(f: &mut fmt::Formatter<'_>, name: &str, what: impl fmt::Display) -> fmt::Result {
    writeln!(f, "{name:<16}{what}")
}

fn readings(rows: u64) -> N {
    N(rows * CHANNELS)
}

/// A number with a comma every three digits.
struct N(u64);

impl fmt::Display for N {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                f.write_char(',')?;
            }
            f.write_char(digit)?;
        }
        Ok(())
    }
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
