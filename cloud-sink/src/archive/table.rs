//! A few thousand rows as columns, on their way into a file.

use std::collections::BTreeMap;

/// Most rows a table takes: one row group of a Parquet file, some 12 MB.
pub const MAX_ROWS: usize = 128 * 1024;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Milliseconds since 1970, UTC.
    Time,
    /// A whole number.
    Whole,
    /// A number.
    Number,
    /// Yes or no.
    Flag,
    /// Text.
    Text,
}

/// The cells of a column.
#[derive(Clone, Debug, PartialEq)]
pub enum Cells {
    /// Times or whole numbers.
    Whole(Vec<Option<i64>>),
    /// Numbers; not a number where there is none.
    Number(Vec<f64>),
    /// Flags.
    Flag(Vec<bool>),
    /// Texts, each by its place in `known`, whose first stands for none.
    Text {
        /// Texts in order of appearance; they stay from group to group.
        known: Vec<String>,
        /// Their places.
        places: BTreeMap<String, u32>,
        /// One a row.
        of_row: Vec<u32>,
    },
}

/// A column.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Whether each row has a cell.
    pub required: bool,
    /// The cells.
    pub cells: Cells,
}

/// Rows of one data set as columns. A row is pushed cell by cell, in the order of the columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Name, for the file's schema.
    pub name: &'static str,
    /// Columns.
    pub columns: Vec<Column>,
    next: usize,
}

impl Table {
    pub(super) fn new(name: &'static str, columns: &[(&'static str, Kind, bool)]) -> Self {
        let column = |&(name, kind, required): &(&'static str, Kind, bool)| {
            let cells = match kind {
                Kind::Time | Kind::Whole => Cells::Whole(Vec::new()),
                Kind::Number => Cells::Number(Vec::new()),
                Kind::Flag => Cells::Flag(Vec::new()),
                Kind::Text => Cells::Text { known: vec![String::new()], places: BTreeMap::new(), of_row: Vec::new() },
            };
            Column { name, kind, required, cells }
        };
        Self { name, columns: columns.iter().map(column).collect(), next: 0 }
    }

    /// Rows in it.
    pub fn len(&self) -> usize {
        match &self.columns[0].cells {
            Cells::Whole(cells) => cells.len(),
            Cells::Number(cells) => cells.len(),
            Cells::Flag(cells) => cells.len(),
            Cells::Text { of_row, .. } => of_row.len(),
        }
    }

    /// Whether it has no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes the rows out; the columns and their texts stay.
    pub fn clear(&mut self) {
        for column in &mut self.columns {
            match &mut column.cells {
                Cells::Whole(cells) => cells.clear(),
                Cells::Number(cells) => cells.clear(),
                Cells::Flag(cells) => cells.clear(),
                Cells::Text { of_row, .. } => of_row.clear(),
            }
        }
    }

    pub(super) fn whole(&mut self, value: impl Into<Option<i64>>) {
        match self.next_cells() {
            Cells::Whole(cells) => cells.push(value.into()),
            _ => unreachable!("a row's cells come in the order of the columns"),
        }
    }

    /// What is not finite is no number to anybody who sums.
    pub(super) fn number(&mut self, value: Option<f64>) {
        match self.next_cells() {
            Cells::Number(cells) => cells.push(value.filter(|value| value.is_finite()).unwrap_or(f64::NAN)),
            _ => unreachable!("a row's cells come in the order of the columns"),
        }
    }

    pub(super) fn flag(&mut self, value: bool) {
        match self.next_cells() {
            Cells::Flag(cells) => cells.push(value),
            _ => unreachable!("a row's cells come in the order of the columns"),
        }
    }

    pub(super) fn text<'a>(&mut self, text: impl Into<Option<&'a str>>) {
        let Cells::Text { known, places, of_row } = self.next_cells() else {
            unreachable!("a row's cells come in the order of the columns")
        };
        let Some(text) = text.into() else { return of_row.push(0) };
        // Rows come sorted, so it is mostly the text of the row before.
        let before = of_row.last().copied().unwrap_or(0);
        let place = if before > 0 && known[before as usize] == text {
            before
        } else {
            *places.entry(text.to_string()).or_insert_with(|| {
                known.push(text.to_string());
                known.len() as u32 - 1
            })
        };
        of_row.push(place);
    }

    fn next_cells(&mut self) -> &mut Cells {
        let column = self.next;
        self.next = (column + 1) % self.columns.len();
        &mut self.columns[column].cells
    }
}
