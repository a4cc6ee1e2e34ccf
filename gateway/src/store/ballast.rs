//! Room kept for a full disk: on a full disk even deleting rows and checkpointing fail, so a file beside the database holds
//! space that is given back in that moment: one half to everybody, the other to whatever ends work rather than begins it.
//!
//! Promises: the file holds real blocks; it is made only where as much room again is left beside it, so that making it never
//! fills the disk; failing to make it is no error.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// The ballast of one database.
#[derive(Debug, Clone)]
pub(super) struct Ballast {
    path: PathBuf,
    bytes: usize,
}

impl Ballast {
    /// The ballast that belongs to `database`; `bytes` = 0 means none.
    pub(super) fn of(database: &Path, bytes: usize) -> Self {
        Self { path: super::beside(database, "ballast"), bytes }
    }

    /// Makes the file unless it is there; true when it is there afterwards. Blocks.
    pub(super) fn hold(&self) -> bool {
        if self.bytes == 0 || fs::metadata(&self.path).is_ok_and(|found| found.len() == self.bytes as u64) {
            return true;
        }
        self.write().inspect_err(|_| drop(fs::remove_file(&self.path))).is_ok()
    }

    /// Gives half of the room back; true when it was all there. Blocks.
    pub(super) fn release_half(&self) -> bool {
        let whole = fs::metadata(&self.path).is_ok_and(|found| self.bytes > 0 && found.len() == self.bytes as u64);
        let half = || OpenOptions::new().write(true).open(&self.path)?.set_len(self.bytes as u64 / 2);
        whole && half().is_ok()
    }

    /// Gives what is left of it back; true when there was some. Blocks.
    pub(super) fn release(&self) -> bool {
        fs::remove_file(&self.path).is_ok()
    }

    fn write(&self) -> io::Result<()> {
        let mut file = File::create(&self.path)?;
        // Not zeros: some file systems and disks store no blocks for those.
        let mut chunk = vec![0; 64 * 1024];
        rand::RngCore::fill_bytes(&mut rand::rng(), &mut chunk);
        let mut left = self.bytes * 2;
        while left > 0 {
            let piece = left.min(chunk.len());
            file.write_all(&chunk[..piece])?;
            left -= piece;
        }
        file.set_len(self.bytes as u64)?;
        file.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ballast_is_held_with_real_blocks_and_given_back_once() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().unwrap();
        let ballast = Ballast::of(&folder.path().join("db"), 100_000);
        assert!(ballast.hold() && ballast.hold());
        let found = fs::metadata(folder.path().join("db.ballast")).unwrap();
        assert_eq!(found.len(), 100_000);
        assert!(found.blocks() * 512 >= 100_000);
        assert!(ballast.release_half());
        assert_eq!(fs::metadata(folder.path().join("db.ballast")).unwrap().len(), 50_000);
        assert!(!ballast.release_half());
        assert!(ballast.release());
        assert!(!ballast.release());
    }

    #[test]
    fn ballast_that_cannot_be_made_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let ballast = Ballast::of(&folder.path().join("no-such-folder/db"), 100_000);
        assert!(!ballast.hold());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
