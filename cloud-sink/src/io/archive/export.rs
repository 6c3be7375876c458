//! A range of the store as files, for people.

use super::encode::{Encoder, Format};
use super::place::Place;
use super::{Wanted, add_part, parts};
use crate::archive::{DataSet, HOUR_MS, Hour, hour_of};
use crate::io::store::Store;
use anyhow::{Context as _, Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use object_store::buffered::BufWriter;
use std::path::{Path, PathBuf};
use tokio::io::AsyncWriteExt as _;
use windward_protocol::Iso8601;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Export {
    /// Farm.
    pub farm: String,
    /// Data set.
    pub set: DataSet,
    /// From this time on, ms.
    pub from_ms: i64,
    /// Until this time, included, ms.
    pub to_ms: i64,
    /// Only this agent.
    pub agent: Option<String>,
    /// Only this device.
    pub device: Option<String>,
    /// Form of the files.
    pub format: Format,
    /// One file; or a folder, when it is one or its name ends with `/`: then a file an hour as in the archive.
    pub out: PathBuf,
}

/// What an export wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Files.
    pub files: u64,
    /// Rows in them.
    pub rows: u64,
    /// Rows of the store that could not be read.
    pub unreadable: u64,
}

/// Writes the range, hour by hour. On a terminal a bar shows how far it is.
pub async fn export(store: &Store, export: &Export) -> Result<Exported> {
    ensure!(export.from_ms <= export.to_ms, "{} comes after {}", Iso8601(export.from_ms), Iso8601(export.to_ms));
    let hours = (hour_of(export.to_ms) - hour_of(export.from_ms)) / HOUR_MS + 1;
    let bar = ProgressBar::new(hours as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} hours {eta:>4} {msg}") {
        bar.set_style(style);
    }
    let is_folder = export.out.is_dir() || export.out.as_os_str().as_encoded_bytes().ends_with(b"/");
    let done = if is_folder { to_folder(store, export, &bar).await } else { to_file(store, export, &bar).await };
    bar.finish_and_clear();
    done
}

async fn to_folder(store: &Store, export: &Export, bar: &ProgressBar) -> Result<Exported> {
    let place = Place::folder(&export.out).await?;
    let mut done = Exported::default();
    for hour in hours(export) {
        let path = Path::new(&hour.path()).with_extension(export.format.ending());
        let mut upload = place.upload(path.to_str().context("a path that is no text")?);
        let encoder = Encoder::new(export.set, export.format)?;
        let (encoder, unreadable) = add_hour(store, export, &hour, encoder, &mut upload).await?;
        done.unreadable += unreadable;
        if encoder.rows() > 0 {
            done.files += 1;
            done.rows += encoder.rows();
            finish(encoder, upload).await?;
        }
        bar.set_message(format!("{} rows", done.rows));
        bar.inc(1);
    }
    Ok(done)
}

async fn to_file(store: &Store, export: &Export, bar: &ProgressBar) -> Result<Exported> {
    let name = export.out.file_name().and_then(|name| name.to_str()).context("--out names no file")?;
    let folder = export.out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut upload = Place::folder(folder).await?.upload(name);
    let mut encoder = Encoder::new(export.set, export.format)?;
    let mut done = Exported { files: 1, ..Exported::default() };
    for hour in hours(export) {
        let unreadable;
        (encoder, unreadable) = add_hour(store, export, &hour, encoder, &mut upload).await?;
        done.unreadable += unreadable;
        bar.set_message(format!("{} rows", encoder.rows()));
        bar.inc(1);
    }
    done.rows = encoder.rows();
    finish(encoder, upload).await?;
    Ok(done)
}

fn hours(export: &Export) -> impl Iterator<Item = Hour> {
    let (first, last) = (hour_of(export.from_ms), hour_of(export.to_ms));
    let hour = |start_ms| Hour { farm: export.farm.clone(), set: export.set, start_ms };
    (first..=last).step_by(HOUR_MS as usize).map(hour)
}

async fn add_hour(
    store: &Store,
    export: &Export,
    hour: &Hour,
    mut encoder: Encoder,
    upload: &mut BufWriter,
) -> Result<(Encoder, u64)> {
    let (agent, device) = (export.agent.clone(), export.device.clone());
    let wanted = Wanted { agent, device, from_ms: export.from_ms, to_ms: export.to_ms };
    let mut unreadable = 0;
    for part in parts(store, hour, &wanted).await? {
        let more;
        (encoder, more) = add_part(store, hour, &part, &wanted, encoder, upload).await?;
        unreadable += more;
    }
    Ok((encoder, unreadable))
}

async fn finish(encoder: Encoder, mut upload: BufWriter) -> Result<()> {
    upload.write_all(&encoder.finish()?).await?;
    upload.shutdown().await.context("cannot complete the file")
}
