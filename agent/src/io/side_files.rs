//! The side files on disk: `open-<n>.log`, appended without a sync.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// The side files of a spool.
#[derive(Debug)]
pub struct SideFiles {
    dir: PathBuf,
    /// Number of the last file that earlier runs have left; those of this run go on behind it.
    before: u64,
    open: Option<Open>,
}

/// The file that rows go to now.
#[derive(Debug)]
struct Open {
    number: u64,
    file: File,
    /// Length of the whole frames in it.
    whole: u64,
}

impl SideFiles {
    /// What an earlier run has left, oldest first.
    pub(super) fn read_all(dir: &Path) -> io::Result<Vec<Vec<u8>>> {
        list(dir)?.into_values().map(fs::read).collect()
    }

    /// Goes on behind what earlier runs have left, which is removed with the first file of this one if not before: as long
    /// as it is not saved it may be needed once more. Writes nothing, for the disk may not take it.
    pub fn start(dir: &Path) -> io::Result<Self> {
        let before = list(dir)?.last_key_value().map_or(0, |(&last, _)| last);
        Ok(Self { dir: dir.to_path_buf(), before, open: None })
    }

    /// Appends to file `number`; the bytes are with the system when this returns, so a killed process keeps them.
    pub fn append(&mut self, number: u64, bytes: &[u8]) -> io::Result<()> {
        let open = match &mut self.open {
            Some(open) if open.number == number => open,
            slot => {
                let path = self.dir.join(format!("open-{}.log", self.before + number));
                let file = OpenOptions::new().create(true).append(true).open(path)?;
                let whole = file.metadata()?.len();
                slot.insert(Open { number, file, whole })
            }
        };
        // Half a frame would hide those that follow it.
        open.file.write_all(bytes).inspect_err(|_| drop(open.file.set_len(open.whole)))?;
        open.whole += bytes.len() as u64;
        Ok(())
    }

    /// Removes the files up to and including `through`; 0: those of earlier runs.
    pub fn remove(&mut self, through: u64) -> io::Result<()> {
        for (_, path) in list(&self.dir)?.range(..=self.before + through) {
            fs::remove_file(path)?;
        }
        Ok(())
    }
}

fn list(dir: &Path) -> io::Result<BTreeMap<u64, PathBuf>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("open-")?.strip_suffix(".log")?.parse().ok());
        files.extend(number.map(|number| (number, entry.path())));
    }
    Ok(files)
}
