//! Whether anything can be written: a disk that is full takes what the ballast has left, and what is freed.

use super::{Disk, Trouble};
use windward_agent::forward::journal::JournalError;

/// Bytes kept free for when the disk is full.
const BALLAST: u64 = 8_000;

impl Disk {
    /// Room for so many bytes, if there is any.
    pub(super) fn write(&mut self, bytes: u64) -> Result<(), JournalError> {
        match self.trouble {
            Some(Trouble::Full) if self.spare <= bytes => Err(JournalError("no space left on device".into())),
            Some(Trouble::Full) => {
                self.spare -= bytes;
                Ok(())
            }
            Some(Trouble::ReadOnly) => Err(JournalError("read-only file system".into())),
            None if self.random.one_in(self.faults.write_error) => Err(JournalError("input/output error".into())),
            None => Ok(()),
        }
    }

    /// The ballast is given up for what does not fit any more.
    pub(super) fn write_with_ballast(&mut self, bytes: u64) -> Result<(), JournalError> {
        let written = self.write(bytes);
        if written.is_ok() || self.trouble != Some(Trouble::Full) {
            return written;
        }
        self.is_full = true;
        if std::mem::take(&mut self.has_ballast) {
            self.spare += BALLAST;
        }
        self.write(bytes)
    }

    /// The disk is full as long as there is no room for the ballast.
    pub(super) fn restore_ballast(&mut self) {
        if !self.has_ballast {
            self.has_ballast = self.write(BALLAST).is_ok();
            self.is_full = !self.has_ballast;
        }
    }
}
