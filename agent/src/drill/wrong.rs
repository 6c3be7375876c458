//! What can be wrong with the books.

use std::collections::BTreeMap;
use std::fmt;

/// A kind of wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wrong {
    /// Rows that were said to be kept are neither stored nor declared by a gap record.
    RowsLost,
    /// Alerts that were said to be durable are not stored.
    AlertsLost,
    /// Numbers of a lane neither came nor are in a gap record.
    Missing,
    /// A gap record that the quota does not explain: another reason, or another lane.
    Gap,
    /// One number was given to two things (A2).
    TwoThings,
    /// A row or an alert under two numbers.
    Twice,
    /// A row or an alert that is not what was written.
    Changed,
    /// A row or an alert that nobody wrote.
    Invented,
    /// Sent before it was said to be durable (A1).
    TooEarly,
    /// A later number was sent first.
    Disorder,
    /// Bytes that are no envelope of this spool.
    Foreign,
    /// Something was left in the spool when all had been given time to arrive.
    NotDrained,
    /// More than the quota was written, and nothing had to go.
    QuotaIdle,
}

impl Wrong {
    fn words(self) -> &'static str {
        match self {
            Wrong::RowsLost => "rows kept, and neither stored nor declared lost",
            Wrong::AlertsLost => "alerts confirmed and not stored",
            Wrong::Missing => "numbers that never came and that no gap record declares",
            Wrong::Gap => "gap records that the quota does not explain",
            Wrong::TwoThings => "numbers given to two things",
            Wrong::Twice => "rows or alerts that came under two numbers",
            Wrong::Changed => "rows or alerts that are not what was written",
            Wrong::Invented => "rows or alerts that nobody wrote",
            Wrong::TooEarly => "envelopes sent before they were durable",
            Wrong::Disorder => "envelopes sent after later ones",
            Wrong::Foreign => "envelopes that are not of this spool",
            Wrong::NotDrained => "envelopes left in the spool at the end",
            Wrong::QuotaIdle => "quota filled from which nothing had to go",
        }
    }
}

/// All that is wrong: of each kind how often, and the first places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wrongs(BTreeMap<Wrong, (u64, Vec<String>)>);

/// Most places named of a kind.
const PLACES: usize = 5;

impl Wrongs {
    /// Adds `count` of a kind, at this place.
    pub fn add(&mut self, wrong: Wrong, count: u64, place: impl fmt::Display) {
        let (sum, places) = self.0.entry(wrong).or_default();
        *sum += count;
        if places.len() < PLACES {
            places.push(place.to_string());
        }
    }

    /// How many of a kind there are.
    pub fn count(&self, wrong: Wrong) -> u64 {
        self.0.get(&wrong).map_or(0, |(count, _)| *count)
    }

    /// The kinds there are.
    pub fn kinds(&self) -> Vec<Wrong> {
        self.0.keys().copied().collect()
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Wrongs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (wrong, (count, places)) in &self.0 {
            writeln!(f, "  {count} {}: {}", wrong.words(), places.join("; "))?;
        }
        Ok(())
    }
}
