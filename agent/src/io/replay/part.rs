//! A file that takes its name only when it is whole.

use anyhow::Context as _;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// A file in the making, beside the one whose place it will take. Dropped before that, it leaves nothing.
#[derive(Debug)]
pub(super) struct Part {
    name: PathBuf,
    target: PathBuf,
}

impl Part {
    /// Begins what will be `target`. What is there and is no plain file (a directory, `/dev/null`) is left alone.
    pub(super) fn create(target: &Path) -> anyhow::Result<(Part, File)> {
        let cannot = || format!("cannot write {}", target.display());
        // A link stays, and what it points to is replaced.
        let target = fs::canonicalize(target).unwrap_or_else(|_| target.to_owned());
        if fs::metadata(&target).is_ok_and(|found| !found.is_file()) {
            return Err(anyhow::anyhow!("there is something else than a plain file").context(cannot()));
        }
        let plain = target.file_name().with_context(cannot)?;
        let mut name = OsString::from(".");
        name.push(plain);
        name.push(format!(".{}.part", std::process::id()));
        let name = target.with_file_name(name);
        let file = File::create(&name).with_context(cannot)?;
        Ok((Part { name, target }, file))
    }

    /// It is whole and written out: gives it its name.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        fs::rename(&self.name, &self.target).with_context(|| format!("cannot write {}", self.target.display()))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // After a finish there is none of this name any more.
        fs::remove_file(&self.name).ok();
    }
}
