//! The spool for programs that drive FORWARD themselves: the drill, the tests of power cuts, the benchmark.
//!
//! [`open`], then [`crate::forward::recover`], then [`SideFiles::start`]; [`crate::forward::Forward::new`] goes on with
//! what was found.

pub use super::journal_sled::{Options, SledJournal};
pub use super::side_files::SideFiles;
use crate::forward::journal::{Found, JournalError};
use std::path::Path;

/// Opens the spool in `dir`, which is made when it is missing, and reads its side files. [`Found::timeline`] is left to
/// the caller, who knows the clock.
pub fn open(dir: &Path, options: &Options) -> Result<(SledJournal, Found), JournalError> {
    let unusable = |error: std::io::Error| JournalError(format!("{}: {error}", dir.display()));
    std::fs::create_dir_all(dir).map_err(unusable)?;
    sync_names_of(dir).map_err(unusable)?;
    let (journal, mut found) = SledJournal::open(dir, options)?;
    found.side_files = SideFiles::read_all(dir).map_err(unusable)?;
    Ok((journal, found))
}

/// Makes it durable that `dir` and the data directory above it exist: a synced file is lost with a name that is not.
fn sync_names_of(dir: &Path) -> std::io::Result<()> {
    let dir = dir.canonicalize()?;
    dir.ancestors().skip(1).take(2).try_for_each(super::small_file::sync_dir)
}
