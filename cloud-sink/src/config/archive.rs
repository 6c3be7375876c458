//! `[archive]`: Parquet files of closed hours.

use crate::archive::OPEN_AFTER_END_MS;
use serde::Deserialize;
use std::path::PathBuf;

/// The archive.
#[derive(Clone, Debug, PartialEq)]
pub struct Archive {
    /// Where its files go.
    pub place: ArchivePlace,
    /// How long after its end an hour is written for the first time, minutes, 5 to 1440.
    pub close_after_min: u32,
    /// How often hours are looked for that are to be written, seconds, 10 to 3600. An hour for which late data keep
    /// coming is written again once in that time.
    pub every_s: u32,
}

/// Where the files of the archive go.
#[derive(Clone, Debug, PartialEq)]
pub enum ArchivePlace {
    /// A folder.
    Folder(PathBuf),
    /// A bucket.
    S3(S3),
}

/// A bucket. Credentials come from where the AWS SDK looks.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3 {
    /// Name of the bucket.
    pub bucket: String,
    /// First part of every key, without `/` at its ends; none unless given.
    #[serde(default)]
    pub prefix: String,
    /// Region; the SDK's own search unless given.
    pub region: Option<String>,
    /// Another endpoint than the region's, for emulators and other makers' stores.
    pub endpoint: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    folder: Option<PathBuf>,
    s3: Option<S3>,
    #[serde(default = "default_close_after_min")]
    close_after_min: u32,
    #[serde(default = "default_every_s")]
    every_s: u32,
}

pub(super) fn check(raw: Raw) -> Result<Archive, (&'static str, String)> {
    let refuse = |key, reason: &str| Err((key, reason.to_string()));
    let place = match (raw.folder, raw.s3) {
        (Some(folder), None) => ArchivePlace::Folder(folder),
        (None, Some(s3)) => ArchivePlace::S3(s3),
        (None, None) => {
            return refuse("archive", "say where files go: folder = \"<folder>\" or s3 = { bucket = \"…\" }");
        }
        (Some(_), Some(_)) => return refuse("archive", "has both folder and s3; keep one"),
    };
    if let ArchivePlace::S3(s3) = &place {
        if s3.bucket.is_empty() {
            return refuse("archive.s3.bucket", "is empty");
        }
        if s3.prefix.starts_with('/') || s3.prefix.ends_with('/') || s3.prefix.contains("//") {
            return refuse("archive.s3.prefix", "must be names joined by single /, like farms/archive");
        }
    }
    // Below, two sinks whose clocks differ could take an hour for open and for closed.
    let least_min = OPEN_AFTER_END_MS as u32 / 60_000 + 4;
    if !(least_min..=1440).contains(&raw.close_after_min) {
        return Err(("archive.close_after_min", format!("must be {least_min} to 1440")));
    }
    if !(10..=3600).contains(&raw.every_s) {
        return refuse("archive.every_s", "must be 10 to 3600");
    }
    Ok(Archive { place, close_after_min: raw.close_after_min, every_s: raw.every_s })
}

fn default_close_after_min() -> u32 {
    10
}

fn default_every_s() -> u32 {
    300
}
