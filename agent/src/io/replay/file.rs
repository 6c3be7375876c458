//! One file through a replay.

use super::Options;
use super::part::Part;
use crate::replay::{Header, Plan, Replay, SURVEYED, Summary, time};
use crate::watch::judge::DetectConfig;
use anyhow::Context as _;
use csv::StringRecord;
use std::fs::{self, File};
use std::io::{BufReader, Write};
use std::path::Path;
use windward_protocol::Reading;

/// Progress is told at every so many rows.
const TOLD_EVERY: u64 = 1_000;

/// What is read and what is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Job<'a> {
    pub(super) input: &'a Path,
    pub(super) output: &'a Path,
    pub(super) plot: Option<&'a Path>,
}

/// What became of a file.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) summary: Summary,
    /// What the user should know before trusting the figures.
    pub(super) note: Option<String>,
}

/// Replays a file. `told` is given the bytes read since it was told last.
pub(super) fn replay(job: &Job<'_>, options: &Options, told: &dyn Fn(u64)) -> anyhow::Result<Done> {
    apart(job)?;
    let file = File::open(job.input).context("cannot be read")?;
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(BufReader::new(file));
    let header = Header::of(reader.headers()?.iter())?;
    let mut records = reader.into_records();
    let first: Vec<StringRecord> = records.by_ref().take(SURVEYED).collect::<Result<_, _>>()?;
    // A time that cannot be read is told of below, with its line.
    let times: Vec<i64> = first.iter().filter_map(|record| time(record.get(header.time)?)).collect();
    let name = job.input.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let plan = match &options.config {
        Some(config) => Plan::of_config(config, options.device.as_deref(), &name, &header, &times)?,
        None => Plan::of_columns(&name, &header, &times),
    };
    let usual = DetectConfig::default();
    let detect = options.config.as_ref().map_or(&usual, |config| &config.detect);
    let mut replay = Replay::new(&plan, detect, job.plot.is_some());

    let (part, file) = Part::create(job.output)?;
    let mut writer = csv::Writer::from_writer(file);
    let cannot = || format!("cannot write {}", job.output.display());
    writer.write_record(["timestamp", "score", "alert"]).with_context(cannot)?;
    let (mut readings, mut rows, mut told_bytes) = (Vec::new(), 0, 0);
    for record in first.into_iter().map(Ok).chain(records) {
        let record = record?;
        let time_ms = row(&record, &header, &plan, &mut readings)?;
        let verdict = replay.row(time_ms, &readings);
        let stamp = record.get(header.time).unwrap_or_default();
        let alert = if verdict.opened { "1" } else { "0" };
        writer.write_record([stamp, &six_digits(verdict.score), alert]).with_context(cannot)?;
        rows += 1;
        if rows % TOLD_EVERY == 0 {
            let bytes = record.position().map_or(0, csv::Position::byte);
            told(bytes - told_bytes);
            told_bytes = bytes;
        }
    }
    writer.flush().with_context(cannot)?;
    let title = job.input.file_name().unwrap_or_default().to_string_lossy();
    let (summary, svg) = replay.finish(&title);
    if let (Some(path), Some(svg)) = (job.plot, svg) {
        let (part, mut file) = Part::create(path)?;
        file.write_all(svg.as_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
        part.finish()?;
    }
    part.finish()?;
    Ok(Done { summary, note: plan.disagreement() })
}

/// The time of a row; its readings are put into `readings`.
fn row(record: &StringRecord, header: &Header, plan: &Plan, readings: &mut Vec<Reading>) -> anyhow::Result<i64> {
    let line = || record.position().map_or(0, csv::Position::line);
    if record.len() != header.columns {
        anyhow::bail!("line {}: {} cells where the header has {}", line(), record.len(), header.columns);
    }
    let cell = |at| record.get(at).unwrap_or_default();
    let Some(time_ms) = time(cell(header.time)) else {
        anyhow::bail!("line {}: {:?} is no time; 2026-11-20T13:54:00Z would be", line(), cell(header.time));
    };
    if let Err(at) = plan.readings(cell, readings) {
        let name = header.values.iter().find(|(column, _)| *column == at).map_or("", |(_, name)| name);
        anyhow::bail!("line {}: {:?} in column {name:?} is no number", line(), cell(at));
    }
    Ok(time_ms)
}

/// Refuses to write over what is read, and to write two things into one file.
fn apart(job: &Job<'_>) -> anyhow::Result<()> {
    let same = |a: &Path, b: &Path| {
        let found = |path| fs::canonicalize(path).ok();
        a == b || (found(a).is_some() && found(a) == found(b))
    };
    for output in [Some(job.output), job.plot].into_iter().flatten() {
        if same(output, job.input) {
            anyhow::bail!("is also the output; give --out and --plot other names");
        }
    }
    if job.plot.is_some_and(|plot| same(plot, job.output)) {
        anyhow::bail!("--out and --plot are the same file");
    }
    Ok(())
}

/// A number in six significant digits, without zeros at its end.
pub fn six_digits(number: f32) -> String {
    if !number.is_finite() || number == 0.0 {
        return "0".into();
    }
    let before_point = number.abs().log10().floor() as i32 + 1;
    let text = format!("{number:.*}", usize::try_from(6 - before_point).unwrap_or(0));
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}
