//! Faults of a configuration, told so that the line can be found and mended.

use std::fmt;
use std::ops::Range;

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, as it was named to the program.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl Problem {
    /// The fault `message` at the bytes `span` of `text`.
    pub(super) fn at(text: &str, file: &str, span: Range<usize>, message: String) -> Problem {
        let before = text.get(..span.start).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Problem {
            file: file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            message,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Problem { file, line, column, message } = self;
        write!(f, "{file}:{line}:{column}: {message}")
    }
}

/// Why a configuration was refused: every fault found, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The faults; at least one.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// What the TOML reader refused: bad syntax, a wrong type, a missing or an unknown key.
pub(super) fn of_toml(error: &toml::de::Error, text: &str, file: &str) -> ConfigError {
    let message = explain(error.message());
    ConfigError { problems: vec![Problem::at(text, file, error.span().unwrap_or(0..0), message)] }
}

/// serde's words for an unknown name, "unknown field `x`, expected one of `a`, `b`", with the nearest name suggested.
fn explain(message: &str) -> String {
    let kind = if message.starts_with("unknown field") {
        "key"
    } else if message.starts_with("unknown variant") {
        "value"
    } else {
        return message.replace("missing field", "missing key").replace('\n', "; ");
    };
    let names: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let Some((unknown, known)) = names.split_first() else {
        return message.to_owned();
    };
    match nearest(unknown, known) {
        Some(near) => format!("unknown {kind} `{unknown}`; did you mean `{near}`?"),
        None => format!("unknown {kind} `{unknown}`; known here: {}", known.join(", ")),
    }
}

/// The name that `word` most likely was meant to be: at most a third of its letters off.
pub(super) fn nearest<'a>(word: &str, names: &[&'a str]) -> Option<&'a str> {
    let near = names.iter().min_by_key(|name| edits(word, name))?;
    (edits(word, near) <= (word.chars().count() / 3).max(1)).then_some(near)
}

/// Least number of letters to add, drop, change or swap with their neighbour to make `a` into `b` (optimal string
/// alignment).
fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let changed = usize::from(a[i - 1] != b[j - 1]);
            let mut least = (rows[i - 1][j] + 1).min(row[j - 1] + 1).min(rows[i - 1][j - 1] + changed);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_the_edits_between_two_words() {
        for (a, b, count) in [
            ("", "", 0),
            ("", "abc", 3),
            ("baud", "baud", 0),
            ("intervall_ms", "interval_ms", 1),
            ("regsiter", "register", 1),
            ("scale", "type", 4),
        ] {
            assert_eq!(edits(a, b), count, "{a} -> {b}");
            assert_eq!(edits(b, a), count, "{b} -> {a}");
        }
    }

    #[test]
    fn suggests_only_what_is_near() {
        let names = ["name", "location", "interval_ms", "timeout_ms"];
        assert_eq!(nearest("intervall", &names), Some("interval_ms"));
        assert_eq!(nearest("nmae", &names), Some("name"));
        assert_eq!(nearest("polling", &names), None);
    }

    #[test]
    fn finds_line_and_column_in_characters() {
        let text = "a = 1\n\u{e4}\u{f6} = x\n";
        let at = text.find('x').unwrap();
        let problem = Problem::at(text, "f.toml", at..at + 1, "no".into());
        assert_eq!(problem.to_string(), "f.toml:2:6: no");
    }
}
