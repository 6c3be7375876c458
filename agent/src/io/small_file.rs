//! Small files with a checksum that are replaced whole: after a power cut there is the old one or the new one.

use super::frame;
use serde::{Serialize, de::DeserializeOwned};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::Path;

/// What the file `name` in `dir` holds; `None` when there is none, or when it is damaged, which the log says.
pub(super) fn read<T: DeserializeOwned>(dir: &Path, name: &str) -> io::Result<Option<T>> {
    match fs::read(dir.join(name)) {
        Ok(bytes) => {
            let value = frame::unseal(&bytes);
            if value.is_none() {
                tracing::error!(file = %dir.join(name).display(), "damaged; going on as if it were not there");
            }
            Ok(value)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Puts `value` in the place of what the file `name` held, durably.
pub(super) fn replace<T: Serialize>(dir: &Path, name: &str, value: &T) -> io::Result<()> {
    let next = dir.join(format!("{name}.next"));
    let mut file = File::create(&next)?;
    file.write_all(&frame::seal(value))?;
    file.sync_all()?;
    fs::rename(&next, dir.join(name))?;
    sync_dir(dir)
}

/// Makes it durable which names stand in `dir`.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
