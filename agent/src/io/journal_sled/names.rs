//! The names in a lane's directory: its generations, and what stands there while one comes or goes.

use super::{io_error, quarantine};
use crate::forward::journal::JournalError;
use crate::io::frame;
use crate::io::small_file::{self, sync_dir};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use windward_protocol::{Epoch, Lane, Seq};

/// How far a lane had come when its last generation went, for a spool whose mark is lost.
const EMPTIED: &str = "emptied";

/// Where the generation with this first number stands.
pub(super) fn generation(dir: &Path, first: Seq) -> PathBuf {
    dir.join(format!("{first:020}"))
}

/// Where the one stands that is to take its place.
pub(super) fn mending(dir: &Path, first: Seq) -> PathBuf {
    dir.join(format!("mending-{first:020}"))
}

/// Where it stands while it is removed.
pub(super) fn drained(dir: &Path, first: Seq) -> PathBuf {
    dir.join(format!("drained-{first:020}"))
}

/// First numbers of the generations in `dir`, in order. Brings to an end what was interrupted: a removal, and a mending
/// whose damaged generation has been set aside already; the new one is whole by then.
pub(super) fn list(dir: &Path) -> Result<Vec<Seq>, JournalError> {
    let error = |error: std::io::Error| io_error("read", dir, &error);
    let (mut firsts, mut mended) = (BTreeSet::new(), Vec::new());
    for entry in fs::read_dir(dir).map_err(error)? {
        let entry = entry.map_err(error)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if let Ok(first) = name.parse() {
            firsts.insert(first);
        } else if let Some(first) = name.strip_prefix("mending-").and_then(|first| first.parse().ok()) {
            mended.push(first);
        } else if name.starts_with("drained-") {
            tolerated(remove_if_there(&entry.path()));
        }
    }
    for first in mended {
        let new = mending(dir, first);
        if firsts.insert(first) {
            fs::rename(&new, generation(dir, first)).and_then(|()| sync_dir(dir)).map_err(error)?;
        } else {
            tolerated(remove_if_there(&new));
        }
    }
    Ok(firsts.into_iter().collect())
}

/// Says that the lane has come to `through`, and that nothing is left of it.
pub(super) fn say_emptied(dir: &Path, through: Seq) -> Result<(), JournalError> {
    small_file::replace(dir, EMPTIED, &through).map_err(|error| io_error("write", &dir.join(EMPTIED), &error))
}

/// Everything up to here has left the lane, as its directory says by itself.
pub(super) fn gone_through(dir: &Path) -> Result<Seq, JournalError> {
    let emptied = small_file::read(dir, EMPTIED).map_err(|error| io_error("read", &dir.join(EMPTIED), &error))?;
    let before = list(dir)?.first().map_or(0, |first| first.saturating_sub(1));
    Ok(emptied.unwrap_or(0).max(before))
}

/// The epoch that all values of the spool name; `None` when there are none, or when they differ.
pub(super) fn common_epoch(spool: &Path) -> Result<Option<Epoch>, JournalError> {
    let mut epochs = BTreeSet::new();
    for lane in Lane::DURABLE {
        let dir = spool.join(lane.name());
        for first in list(&dir)? {
            let path = generation(&dir, first);
            match super::generation::sealed_epoch(&path) {
                Some(epoch) => drop(epochs.insert(epoch)),
                None => epochs.extend(frame::epochs(&path.join("db"), lane)),
            }
        }
    }
    Ok(epochs.pop_first().filter(|_| epochs.is_empty()))
}

pub(super) fn remove_if_there(path: &Path) -> Result<(), JournalError> {
    quarantine::remove_if_there(path).map_err(|error| io_error("remove", path, &error))
}

/// What is left over takes up space and does no harm: a disk that takes nothing is not kept from being read by it.
fn tolerated(removed: Result<(), JournalError>) {
    if let Err(error) = removed {
        tracing::warn!(%error, "something is left over");
    }
}
