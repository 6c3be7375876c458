//! The faults found while a configuration is checked, and the checks that many keys share.

use super::problem::Problem;
use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use toml::Spanned;
use windward_protocol::AgentId;

/// The faults found so far, and the text they stand in.
pub(super) struct Faults<'a> {
    text: &'a str,
    file: &'a str,
    problems: Vec<Problem>,
}

impl<'a> Faults<'a> {
    pub(super) fn new(text: &'a str, file: &'a str) -> Self {
        Self { text, file, problems: Vec::new() }
    }

    pub(super) fn add(&mut self, span: Range<usize>, message: String) {
        self.problems.push(Problem::at(self.text, self.file, span, message));
    }

    /// All of them, in the order of the file.
    pub(super) fn in_order(mut self) -> Vec<Problem> {
        self.problems.sort_by_key(|problem| (problem.line, problem.column));
        self.problems
    }

    /// Free text of so many bytes, without control characters.
    pub(super) fn text_of(&mut self, value: &Spanned<String>, key: &str, len: RangeInclusive<usize>) {
        let text = value.get_ref();
        if !len.contains(&text.len()) || text.chars().any(char::is_control) {
            let (least, most) = (len.start(), len.end());
            self.add(value.span(), format!("{key} is not {least} to {most} bytes of printable text"));
        }
    }

    /// A name that stands in table keys: the alphabet of an agent id.
    pub(super) fn name_of(&mut self, value: &Spanned<String>, what: &str) {
        if AgentId::new(value.get_ref()).is_err() {
            let name = value.get_ref();
            self.add(value.span(), format!("{what} name {name:?} is not 1 to 64 characters of A-Z a-z 0-9 . _ -"));
        }
    }

    pub(super) fn within<T: PartialOrd + Display + Copy>(
        &mut self,
        value: &Spanned<T>,
        key: &str,
        limits: RangeInclusive<T>,
    ) {
        if !limits.contains(value.get_ref()) {
            let (given, least, most) = (value.get_ref(), limits.start(), limits.end());
            self.add(value.span(), format!("{key} = {given} is out of bounds: {least} to {most}"));
        }
    }

    /// The value, or a default; a given value must lie within the limits.
    pub(super) fn or<T: PartialOrd + Display + Copy>(
        &mut self,
        value: &Option<Spanned<T>>,
        key: &str,
        limits: RangeInclusive<T>,
        default: T,
    ) -> T {
        let Some(value) = value else { return default };
        self.within(value, key, limits);
        *value.get_ref()
    }

    /// Keys that do not belong where they stand: each with its place, where it is given at all.
    pub(super) fn misplaced(&mut self, keys: &[(&str, Option<Range<usize>>)], belong: &str) {
        for (key, span) in keys {
            if let Some(span) = span {
                self.add(span.clone(), format!("key `{key}` belongs to {belong}"));
            }
        }
    }
}

/// Where a key stands, if it is given.
pub(super) fn place<T>(value: &Option<Spanned<T>>) -> Option<Range<usize>> {
    value.as_ref().map(Spanned::span)
}
