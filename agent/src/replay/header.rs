//! The first line of a table: which column is what.

use std::collections::BTreeSet;
use windward_protocol::MAX_CHANNELS;

/// Where the time and the values of a table stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Index of the column `timestamp`.
    pub time: usize,
    /// Index and name of each column of values, in the order of the file; 1 to [`MAX_CHANNELS`].
    pub values: Vec<(usize, String)>,
    /// Columns in all.
    pub columns: usize,
}

/// A first line that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHeader {
    /// There is no first line, or nothing in it.
    #[error("the file is empty; its first line names the columns, as in `timestamp,value`")]
    Empty,
    /// There is no time.
    #[error("no column `timestamp` in the header {0:?}; columns are separated by commas")]
    NoTime(String),
    /// There is nothing to judge.
    #[error("no column of values beside `timestamp` in the header {0:?}")]
    NoValue(String),
    /// Two columns cannot be told apart.
    #[error("column {0:?} stands in the header twice")]
    Twice(String),
    /// A device has no more channels.
    #[error("{0} columns of values, and a device has at most {MAX_CHANNELS} channels")]
    TooMany(usize),
}

impl Header {
    /// The columns that the cells of the first line name. Case does not matter for `timestamp` and `label`.
    pub fn of<'a>(cells: impl Iterator<Item = &'a str> + Clone) -> Result<Header, BadHeader> {
        let named = |name: &str, cell: &str| cell.trim().eq_ignore_ascii_case(name);
        let line = || cells.clone().collect::<Vec<_>>().join(",");
        if cells.clone().all(|cell| cell.trim().is_empty()) {
            return Err(BadHeader::Empty);
        }
        let time = cells.clone().position(|cell| named("timestamp", cell));
        let time = time.ok_or_else(|| BadHeader::NoTime(line()))?;
        let values: Vec<(usize, String)> = cells
            .clone()
            .enumerate()
            .filter(|&(at, cell)| at != time && !named("label", cell))
            .map(|(at, cell)| (at, cell.trim().to_owned()))
            .collect();
        let mut seen = BTreeSet::new();
        if let Some((_, name)) = values.iter().find(|(_, name)| !seen.insert(name)) {
            return Err(BadHeader::Twice(name.clone()));
        }
        match values.len() {
            0 => Err(BadHeader::NoValue(line())),
            n if n > MAX_CHANNELS => Err(BadHeader::TooMany(n)),
            _ => Ok(Header { time, values, columns: cells.count() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Result<Header, BadHeader> {
        Header::of(line.split(','))
    }

    #[test]
    fn every_column_but_time_and_label_is_a_channel() {
        for (line, time, values) in [
            ("timestamp,value,label", 0, vec![(1, "value")]),
            ("timestamp,value,value2", 0, vec![(1, "value"), (2, "value2")]),
            ("Label,speed, Timestamp ,temperature", 2, vec![(1, "speed"), (3, "temperature")]),
        ] {
            let header = of(line).unwrap();
            let found: Vec<_> = header.values.iter().map(|(at, name)| (*at, name.as_str())).collect();
            assert_eq!((header.time, found), (time, values), "{line}");
        }
    }

    #[test]
    fn a_header_that_cannot_be_used_says_why() {
        assert_eq!(of(""), Err(BadHeader::Empty));
        assert_eq!(of("time;value"), Err(BadHeader::NoTime("time;value".into())));
        assert_eq!(of("timestamp,label"), Err(BadHeader::NoValue("timestamp,label".into())));
        assert_eq!(of("timestamp,value,value"), Err(BadHeader::Twice("value".into())));
        let many = (0..=MAX_CHANNELS).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
        assert_eq!(of(&format!("timestamp,{many}")), Err(BadHeader::TooMany(MAX_CHANNELS + 1)));
    }
}
