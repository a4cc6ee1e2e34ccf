//! Room kept for a full disk: on a full disk even deleting rows and checkpointing fail, so a file beside the database holds
//! space that is given back in that moment: one half to everybody, the other to whatever ends work rather than begins it.
//!
//! Promises: the file holds real blocks, also when it was found rather than made (a copy may have holes); it is made only where as much
//! room again is left beside it, so that making it never fills the disk; where there is no room for all of it, it is a half, a quarter
//! or an eighth, and a disk without room even for that counts as full.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where the whole does not fit, these parts of it are tried.
const PARTS: [usize; 4] = [1, 2, 4, 8];

/// The ballast of one database.
#[derive(Debug, Clone)]
pub(super) struct Ballast {
    path: PathBuf,
    bytes: usize,
    /// As it was made; as it was found, until then.
    made: Arc<AtomicU64>,
}

impl Ballast {
    /// The ballast that belongs to `database`; `bytes` = 0 means none.
    pub(super) fn of(database: &Path, bytes: usize) -> Self {
        let path = super::beside(database, "ballast");
        let found = fs::metadata(&path).map_or(0, |found| found.len());
        Self { path, bytes, made: Arc::new(found.into()) }
    }

    /// Makes the file unless it is there, as large as there is room for; true when there is one afterwards, or none is wanted. Blocks.
    pub(super) fn hold(&self) -> bool {
        if self.bytes == 0 || (self.is_whole() && self.has_blocks()) {
            return true;
        }
        let made = PARTS.into_iter().map(|part| self.bytes / part).find(|bytes| self.write(*bytes).is_ok());
        self.made.store(made.unwrap_or(0) as u64, Ordering::Relaxed);
        if made.is_none() {
            let _ = fs::remove_file(&self.path);
        }
        made.is_some()
    }

    /// Whether there is room for as much as was held before any of it was given back, with as much again beside it: somebody has freed
    /// some space, it is not only what was given back. Blocks.
    pub(super) fn has_room(&self) -> bool {
        let made = match self.made.load(Ordering::Relaxed) {
            0 => (self.bytes / PARTS[PARTS.len() - 1]) as u64,
            made => made,
        };
        let folder = self.path.parent().unwrap_or(Path::new("."));
        // Where nobody can say how much is free, trying shows it.
        free_bytes(folder).is_none_or(|free| free.saturating_add(self.length()) >= made.saturating_mul(2))
    }

    /// Whether all that is wanted is there.
    pub(super) fn is_whole(&self) -> bool {
        self.length() == self.bytes as u64
    }

    /// Gives half of the room back; true when it was all there. Blocks.
    pub(super) fn release_half(&self) -> bool {
        let made = self.made.load(Ordering::Relaxed);
        let whole = self.bytes > 0 && made > 0 && self.length() == made;
        let half = || OpenOptions::new().write(true).open(&self.path)?.set_len(made / 2);
        whole && half().is_ok()
    }

    /// Gives what is left of it back; true when there was some. Blocks.
    pub(super) fn release(&self) -> bool {
        fs::remove_file(&self.path).is_ok()
    }

    fn length(&self) -> u64 {
        fs::metadata(&self.path).map_or(0, |found| found.len())
    }

    /// Whether the disk holds as much as the file is long.
    fn has_blocks(&self) -> bool {
        // Blocks of 512 bytes, whatever the file system's are (stat(2)).
        fs::metadata(&self.path).is_ok_and(|found| found.blocks().saturating_mul(512) >= found.len())
    }

    fn write(&self, bytes: usize) -> io::Result<()> {
        let mut file = File::create(&self.path)?;
        let (mut random, mut chunk) = (rand::rng(), vec![0; 64 * 1024]);
        let mut left = bytes * 2;
        while left > 0 {
            let piece = left.min(chunk.len());
            // Neither zeros nor the same again: some file systems and disks store no blocks for those.
            rand::RngCore::fill_bytes(&mut random, &mut chunk);
            file.write_all(&chunk[..piece])?;
            left -= piece;
        }
        file.set_len(bytes as u64)?;
        file.sync_all()
    }
}

/// Room that is left on the disk of this file or folder; blocks kept for root do not count.
pub(super) fn free_bytes(path: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(path).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ballast_is_held_with_real_blocks_and_given_back_once() {
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
    fn ballast_with_holes_is_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db.ballast");
        File::create(&path).unwrap().set_len(1_000_000).unwrap();
        assert!(fs::metadata(&path).unwrap().blocks() * 512 < 1_000_000, "this file system makes no holes");
        let ballast = Ballast::of(&folder.path().join("db"), 1_000_000);
        assert!(ballast.hold());
        assert!(fs::metadata(&path).unwrap().blocks() * 512 >= 1_000_000);
    }

    #[test]
    fn ballast_that_cannot_be_made_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let ballast = Ballast::of(&folder.path().join("no-such-folder/db"), 100_000);
        assert!(!ballast.hold());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
