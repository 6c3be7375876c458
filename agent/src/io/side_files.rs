//! The side files on disk: `open-<n>.log`, written without a sync.
//!
//! A file that is no longer needed is kept, and written from its beginning again: with a commit a second, making and
//! removing one each time was most of what a journaling file system wrote. As long as the rest of older frames then follows
//! the new ones, [`SIDE_FILE_END`] stands between them.

use crate::forward::SIDE_FILE_END;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// A longer file is removed rather than kept.
const MAX_SPARE_BYTES: u64 = 64 * 1024;

/// The side files of a spool.
#[derive(Debug)]
pub struct SideFiles {
    dir: PathBuf,
    /// Those that earlier runs have left, by number.
    left: BTreeMap<u64, PathBuf>,
    /// Number of the last of them; those of this run go on behind it.
    before: u64,
    /// Those of this run that may be needed, by number.
    open: BTreeMap<u64, Open>,
    /// One that is not needed any more.
    spare: Option<Open>,
}

/// A file that is written.
#[derive(Debug)]
struct Open {
    path: PathBuf,
    file: File,
    /// Length of the whole frames in it.
    whole: u64,
    /// Length of all that was ever written to it.
    len: u64,
}

impl SideFiles {
    /// What an earlier run has left that may be needed, oldest first.
    pub(super) fn read_all(dir: &Path) -> io::Result<Vec<Vec<u8>>> {
        let read = list(dir)?.into_values().map(fs::read);
        read.filter(|bytes| !bytes.as_ref().is_ok_and(|bytes| bytes.starts_with(&SIDE_FILE_END))).collect()
    }

    /// Goes on behind what earlier runs have left, which is removed with the first file of this one if not before: as long
    /// as it is not saved it may be needed once more. Writes nothing, for the disk may not take it.
    pub fn start(dir: &Path) -> io::Result<Self> {
        let left = list(dir)?;
        let before = left.last_key_value().map_or(0, |(&last, _)| last);
        Ok(Self { dir: dir.to_path_buf(), left, before, open: BTreeMap::new(), spare: None })
    }

    /// Appends to file `number`; the bytes are with the system when this returns, so a killed process keeps them.
    pub fn append(&mut self, number: u64, bytes: &[u8]) -> io::Result<()> {
        if !self.open.contains_key(&number) {
            let open = match self.spare.take() {
                Some(spare) => Open { whole: 0, ..spare },
                None => self.create(number)?,
            };
            self.open.insert(number, open);
        }
        let Some(open) = self.open.get_mut(&number) else { unreachable!("it is put there above") };
        let after = open.whole + bytes.len() as u64;
        let ended = if after < open.len { [bytes, &SIDE_FILE_END].concat() } else { bytes.to_vec() };
        // Half a frame would hide those that follow it.
        open.file.write_all_at(&ended, open.whole).inspect_err(|_| drop(open.file.set_len(open.whole)))?;
        open.len = open.len.max(open.whole + ended.len() as u64);
        open.whole = after;
        Ok(())
    }

    fn create(&self, number: u64) -> io::Result<Open> {
        let path = self.dir.join(format!("open-{}.log", self.before + number));
        let file = OpenOptions::new().create(true).write(true).truncate(true).open(&path)?;
        Ok(Open { path, file, whole: 0, len: 0 })
    }

    /// Does without the files up to and including `through`; 0: those of earlier runs.
    pub fn remove(&mut self, through: u64) -> io::Result<()> {
        while let Some(first) = self.left.first_entry() {
            fs::remove_file(first.get())?;
            first.remove();
        }
        while let Some(first) = self.open.first_entry().filter(|first| *first.key() <= through) {
            if self.spare.is_none() && first.get().whole <= MAX_SPARE_BYTES {
                first.get().file.write_all_at(&SIDE_FILE_END, 0)?;
                let spare = first.remove();
                self.spare = Some(Open { len: spare.len.max(SIDE_FILE_END.len() as u64), ..spare });
            } else {
                fs::remove_file(&first.get().path)?;
                first.remove();
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_needed_any_more_is_written_again_and_shows_nothing_of_before() {
        let dir = tempfile::tempdir().unwrap();
        let read = || -> Vec<String> {
            let end = |bytes: &Vec<u8>| bytes.windows(6).position(|six| six == SIDE_FILE_END).unwrap_or(bytes.len());
            let files = SideFiles::read_all(dir.path()).unwrap();
            files.iter().map(|bytes| String::from_utf8(bytes[..end(bytes)].to_vec()).unwrap()).collect()
        };
        let mut files = SideFiles::start(dir.path()).unwrap();
        files.append(1, b"a long first").unwrap();
        files.append(1, b", and more").unwrap();
        files.append(2, b"second").unwrap();
        assert_eq!(read(), ["a long first, and more", "second"]);
        files.remove(1).unwrap();
        files.append(3, b"third").unwrap();
        assert_eq!(read(), ["third", "second"]);
        files.append(3, b", which is longer than the first file ever was").unwrap();
        assert_eq!(read()[0], "third, which is longer than the first file ever was");
        files.remove(3).unwrap();
        assert_eq!(read(), [""; 0]);
        assert_eq!(list(dir.path()).unwrap().len(), 1, "one spare is enough");
        drop(files);
        SideFiles::start(dir.path()).unwrap().remove(0).unwrap();
        assert_eq!(list(dir.path()).unwrap().len(), 0);
    }

    #[test]
    fn a_long_file_is_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = SideFiles::start(dir.path()).unwrap();
        files.append(1, &vec![7; MAX_SPARE_BYTES as usize + 1]).unwrap();
        files.remove(1).unwrap();
        assert_eq!(list(dir.path()).unwrap().len(), 0);
    }
}
