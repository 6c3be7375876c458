//! The ballast: a file that does nothing but take up space, so that there is some to be had when the disk is full.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

const NAME: &str = "ballast";
const CHUNK: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Ballast {
    path: PathBuf,
    bytes: u64,
    is_there: bool,
}

impl Ballast {
    /// The ballast of a spool; `bytes` 0: none. It is not made yet ([`Self::restore`]).
    pub(super) fn find(spool: &Path, bytes: u64) -> Self {
        let path = spool.join(NAME);
        let is_there = fs::metadata(&path).is_ok_and(|file| file.len() == bytes);
        Self { path, bytes, is_there: is_there || bytes == 0 }
    }

    pub(super) fn is_there(&self) -> bool {
        self.is_there
    }

    /// Gives its space back; false when there is none to give.
    pub(super) fn release(&mut self) -> bool {
        let had = self.bytes > 0 && fs::remove_file(&self.path).is_ok();
        self.is_there = self.bytes == 0;
        had
    }

    /// Makes it anew when there is room for twice as much, or the next commit would want it back.
    pub(super) fn restore(&mut self) -> io::Result<()> {
        if self.is_there {
            return Ok(());
        }
        let made = self.make();
        match &made {
            Ok(()) => self.is_there = true,
            Err(_) => drop(fs::remove_file(&self.path)),
        }
        made
    }

    fn make(&self) -> io::Result<()> {
        let mut file = File::create(&self.path)?;
        // Written, not only sized: a file of holes takes up nothing.
        for _ in 0..(2 * self.bytes).div_ceil(CHUNK as u64) {
            file.write_all(&[0x57; CHUNK])?;
        }
        file.set_len(self.bytes)?;
        file.sync_all()
    }
}
