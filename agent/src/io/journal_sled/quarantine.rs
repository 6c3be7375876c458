//! Where damaged generations are kept for people to look at.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Most of them that are kept; the oldest go.
const MAX: usize = 8;

/// Moves `path` there under `name`, which begins with a time. Gives its new place.
pub(super) fn set_aside(spool: &Path, path: &Path, name: &str) -> io::Result<PathBuf> {
    let dir = spool.join("quarantine");
    fs::create_dir_all(&dir)?;
    let mut kept: Vec<PathBuf> = fs::read_dir(&dir)?.flatten().map(|entry| entry.path()).collect();
    kept.sort();
    kept.iter().take((kept.len() + 1).saturating_sub(MAX)).try_for_each(|oldest| remove_if_there(oldest))?;
    let mut aside = dir.join(name);
    for again in 1..=MAX {
        if !aside.exists() {
            break;
        }
        aside = dir.join(format!("{name}-{again}"));
    }
    fs::rename(path, &aside)?;
    Ok(aside)
}

/// Removes a directory with all that is in it.
pub(super) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
