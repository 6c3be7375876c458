//! One directory of `sled` 0.34, opened and made durable in the one way that proved safe.
//!
//! `sled::flush` alone is not durable on Linux (spacejam/sled #1351, #1452): it is followed by `fdatasync` of the file
//! `db`, and the directory and its files are synced once when it is opened. Opening a damaged one may panic or hang, so
//! it happens on a thread of its own with a deadline.

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

/// sled's page cache for each open directory, bytes. Values are read once or never.
const CACHE_BYTES: u64 = 1024 * 1024;
/// How long opening may take.
const OPEN_DEADLINE: Duration = Duration::from_secs(30);
/// A directory this process has just closed is still locked until sled's threads have let go of it, some ms later.
const LOCK_TRIES: u32 = 100;
/// Time between two looks at the lock.
const LOCK_PAUSE: Duration = Duration::from_millis(10);
/// Part of sled's message when another process holds the directory.
pub(super) const LOCKED: &str = "could not acquire lock";

/// An open directory. sled's lock keeps every other process out.
#[derive(Debug)]
pub(super) struct SledDir {
    pub(super) db: sled::Db,
    /// sled's log file, for the `fdatasync` that sled leaves out.
    file: File,
    /// It opened only without its snapshots: some of it was damaged, and sled may have cut off the end of its log.
    pub(super) mended: bool,
}

impl SledDir {
    /// Length of sled's log file.
    pub(super) fn file_bytes(&self) -> u64 {
        self.file.metadata().map_or(0, |metadata| metadata.len())
    }

    /// Makes everything written so far durable.
    pub(super) fn sync(&self) -> Result<(), String> {
        self.db.flush().map_err(|error| error.to_string())?;
        self.file.sync_data().map_err(|error| format!("fdatasync: {error}"))
    }
}

/// Opens the directory, or makes it, and has `look` see what it holds.
pub(super) fn open<T: Send + 'static>(path: &Path, look: Look<T>) -> Result<(SledDir, T), String> {
    match try_open(path, look) {
        Err(reason) if !reason.contains(LOCKED) && set_snapshots_aside(path) => {
            tracing::warn!(path = %path.display(), reason, "set sled's snapshots aside, opening once more");
            try_open(path, look).map(|(dir, seen)| (SledDir { mended: true, ..dir }, seen))
        }
        result => result,
    }
}

/// What is done with a directory that was just opened; it may panic or hang as opening may.
type Look<T> = fn(&sled::Db) -> Result<T, String>;

fn try_open<T: Send + 'static>(path: &Path, look: Look<T>) -> Result<(SledDir, T), String> {
    let (sender, receiver) = std::sync::mpsc::channel();
    let owned = path.to_path_buf();
    let open = move || {
        let result = std::panic::catch_unwind(|| open_and_look(&owned, look));
        let result = result.unwrap_or_else(|_| Err("sled panicked at open".into()));
        // Nobody listens any more when the deadline has passed.
        drop(sender.send(result));
    };
    std::thread::Builder::new().name("sled-open".into()).spawn(open).map_err(|error| error.to_string())?;
    receiver.recv_timeout(OPEN_DEADLINE).unwrap_or_else(|_| Err("opening takes too long".into()))
}

fn open_and_look<T>(path: &Path, look: Look<T>) -> Result<(SledDir, T), String> {
    let config = sled::Config::default().path(path).cache_capacity(CACHE_BYTES).flush_every_ms(None);
    let config = config.mode(sled::Mode::LowSpace);
    let mut left = LOCK_TRIES;
    let db = loop {
        match config.open() {
            Err(error) if left > 0 && error.to_string().contains(LOCKED) => {
                left -= 1;
                std::thread::sleep(LOCK_PAUSE);
            }
            result => break result.map_err(|error| error.to_string())?,
        }
    };
    let seen = look(&db)?;
    let sync = |path: &Path| File::open(path).and_then(|file| file.sync_all());
    let names = fs::read_dir(path).map_err(|error| error.to_string())?;
    for name in names {
        let name = name.map_err(|error| error.to_string())?;
        sync(&name.path()).map_err(|error| error.to_string())?;
    }
    sync(path).map_err(|error| error.to_string())?;
    let file = File::open(path.join("db")).map_err(|error| error.to_string())?;
    Ok((SledDir { db, file, mended: false }, seen))
}

/// sled can rebuild its snapshot from the log; a damaged one keeps it from opening. True if there was one.
fn set_snapshots_aside(path: &Path) -> bool {
    let Ok(entries) = fs::read_dir(path) else { return false };
    let mut any = false;
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with("snap.") {
            any |=
                fs::rename(entry.path(), path.join(format!("aside-{}", entry.file_name().to_string_lossy()))).is_ok();
        }
    }
    any
}
