//! Rows to the bytes of a file, group by group: what is encoded is taken out as it comes, so that no file is ever whole
//! in memory.

use crate::archive::{Cells, Column, DataSet, Kind, MAX_ROWS, Reading, Table, push_reading, table_of};
use anyhow::{Context as _, Result};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::ColumnPath;
use std::fmt::Write as _;
use std::sync::Arc;
use windward_protocol::Iso8601;

/// Form of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Parquet, zstd.
    Parquet,
    /// Text, a line a row (RFC 4180).
    Csv,
}

impl Format {
    /// How names of its files end.
    pub fn ending(self) -> &'static str {
        match self {
            Format::Parquet => "parquet",
            Format::Csv => "csv",
        }
    }
}

/// A file in the making.
pub(super) struct Encoder {
    table: Table,
    file: File,
    rows: u64,
}

enum File {
    Parquet(Box<SerializedFileWriter<Vec<u8>>>),
    Csv(Vec<u8>),
}

impl Encoder {
    pub(super) fn new(set: DataSet, format: Format) -> Result<Self> {
        let table = table_of(set);
        let file = match format {
            Format::Parquet => File::Parquet(Box::new(parquet_file(&table)?)),
            Format::Csv => File::Csv(csv_header(&table)),
        };
        Ok(Self { table, file, rows: 0 })
    }

    /// Rows until now.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    pub(super) fn reading(&mut self, agent: &str, device: &str, reading: &Reading<'_>) -> Result<()> {
        self.row(|table| push_reading(table, agent, device, reading))
    }

    /// Adds the row that `push` pushes.
    pub(super) fn row(&mut self, push: impl FnOnce(&mut Table)) -> Result<()> {
        push(&mut self.table);
        self.rows += 1;
        if self.table.len() == MAX_ROWS { self.write() } else { Ok(()) }
    }

    /// The bytes that are encoded until now and were not taken before.
    pub(super) fn take(&mut self) -> Result<Vec<u8>> {
        match &mut self.file {
            File::Parquet(file) => {
                file.flush()?;
                Ok(std::mem::take(file.inner_mut()))
            }
            File::Csv(bytes) => Ok(std::mem::take(bytes)),
        }
    }

    /// The bytes that are left, and the file is whole.
    pub(super) fn finish(mut self) -> Result<Vec<u8>> {
        self.write()?;
        match self.file {
            File::Parquet(file) => Ok(file.into_inner()?),
            File::Csv(bytes) => Ok(bytes),
        }
    }

    fn write(&mut self) -> Result<()> {
        if !self.table.is_empty() {
            match &mut self.file {
                File::Parquet(file) => write_group(file, &self.table)?,
                File::Csv(bytes) => write_lines(bytes, &self.table),
            }
            self.table.clear();
        }
        Ok(())
    }
}

fn parquet_file(table: &Table) -> Result<SerializedFileWriter<Vec<u8>>> {
    let mut schema = format!("message {} {{", table.name);
    let mut properties = WriterProperties::builder()
        .set_created_by(concat!("windward-sink ", env!("CARGO_PKG_VERSION")).into())
        .set_compression(Compression::ZSTD(ZstdLevel::default()));
    for column in &table.columns {
        let (kind, logical) = match column.kind {
            Kind::Time => ("INT64", "(TIMESTAMP(MILLIS, true))"),
            Kind::Whole => ("INT64", ""),
            Kind::Number => ("DOUBLE", ""),
            Kind::Flag => ("BOOLEAN", ""),
            Kind::Text => ("BYTE_ARRAY", "(STRING)"),
        };
        let times = if column.required { "REQUIRED" } else { "OPTIONAL" };
        write!(schema, " {times} {kind} {} {logical};", column.name)?;
        if matches!(column.kind, Kind::Time | Kind::Whole) {
            // They come in steady steps, and a dictionary of them would be as long as they are.
            let path = ColumnPath::from(column.name);
            properties = properties
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
        }
    }
    schema.push('}');
    let schema = Arc::new(parse_message_type(&schema)?);
    Ok(SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties.build()))?)
}

fn write_group(file: &mut SerializedFileWriter<Vec<u8>>, table: &Table) -> Result<()> {
    let mut group = file.next_row_group()?;
    for column in &table.columns {
        let mut writer = group.next_column()?.context("a file with fewer columns than its table")?;
        match &column.cells {
            Cells::Whole(cells) => write_cells::<Int64Type, _>(&mut writer, column, cells, |cell| *cell)?,
            Cells::Number(cells) => {
                let number = |cell: &f64| Some(*cell).filter(|cell| !cell.is_nan());
                write_cells::<DoubleType, _>(&mut writer, column, cells, number)?;
            }
            Cells::Flag(cells) => write_cells::<BoolType, _>(&mut writer, column, cells, |cell| Some(*cell))?,
            Cells::Text { known, of_row, .. } => {
                let texts: Vec<ByteArray> = known.iter().map(|text| ByteArray::from(text.as_str())).collect();
                let text = |place: &u32| (*place > 0).then(|| texts[*place as usize].clone());
                write_cells::<ByteArrayType, _>(&mut writer, column, of_row, text)?;
            }
        }
        writer.close()?;
    }
    group.close()?;
    Ok(())
}

/// Writes a column, a few thousand cells at a time.
fn write_cells<T: DataType, C>(
    writer: &mut SerializedColumnWriter<'_>,
    column: &Column,
    cells: &[C],
    value: impl Fn(&C) -> Option<T::T>,
) -> Result<()> {
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    for cells in cells.chunks(4096) {
        values.clear();
        levels.clear();
        for cell in cells {
            let value = value(cell);
            levels.push(i16::from(value.is_some()));
            values.extend(value);
        }
        let levels = (!column.required).then_some(levels.as_slice());
        writer.typed::<T>().write_batch(&values, levels, None).with_context(|| format!("column {}", column.name))?;
    }
    Ok(())
}

fn csv_header(table: &Table) -> Vec<u8> {
    let names: Vec<&str> = table.columns.iter().map(|column| column.name).collect();
    format!("{}\r\n", names.join(",")).into_bytes()
}

fn write_lines(out: &mut Vec<u8>, table: &Table) {
    for row in 0..table.len() {
        let cells: Vec<String> = table.columns.iter().map(|column| csv_cell(column, row)).collect();
        out.extend(cells.join(",").as_bytes());
        out.extend(b"\r\n");
    }
}

/// A cell as text; nothing where there is none.
fn csv_cell(column: &Column, row: usize) -> String {
    match &column.cells {
        Cells::Whole(cells) => cells[row].map_or_else(String::new, |whole| match column.kind {
            Kind::Time => Iso8601(whole).to_string(),
            _ => whole.to_string(),
        }),
        Cells::Number(cells) if cells[row].is_nan() => String::new(),
        Cells::Number(cells) => cells[row].to_string(),
        Cells::Flag(cells) => cells[row].to_string(),
        Cells::Text { known, of_row, .. } => {
            let text = &known[of_row[row] as usize];
            if text.contains([',', '"', '\r', '\n']) {
                format!("\"{}\"", text.replace('"', "\"\""))
            } else {
                text.clone()
            }
        }
    }
}
