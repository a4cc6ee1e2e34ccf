//! The side file `<database>.head`: what was acknowledged, told by somebody other than SQLite.
//!
//! SQLite silently cuts a damaged write-ahead log short, and calls the rest sound. So the number of every acknowledged commit
//! is also written here, and a database that has fewer commits is not opened.
//!
//! Promises:
//! * Two slots take turns, each on its own sector with a checksum: a torn write damages only the commit that nobody has been
//!   told of yet.
//! * [`SideFile::record`] returns when the slot is on disk. The file never grows: a full disk does not stop it.
//! * The file appears whole: it is made under another name, and renamed when it is on disk.
//!
//! Slot: magic (8) ‖ store id (16) ‖ commits (8, little endian) ‖ highest outbox seq (8) ‖ CRC-32 of all before (4).

use crate::named_file::{self, Unread};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MAGIC: [u8; 8] = *b"uketHEAD";
const SLOT_BYTES: usize = 44;
/// Slots lie this far apart, so that no sector (512 or 4096 bytes) holds both.
const SLOT_STRIDE: u64 = 4096;

/// How far a store has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// Which database.
    pub(super) store_id: [u8; 16],
    /// Commits so far.
    pub(super) commits: i64,
    /// Highest outbox seq given so far.
    pub(super) last_seq: i64,
}

/// The open side file of one store.
#[derive(Clone)]
pub(super) struct SideFile {
    file: Arc<File>,
}

/// What was found in place of a side file.
#[derive(Debug)]
pub(super) enum Found {
    /// No file, or an empty one: an older version made it in place, and a crash may have come between.
    Missing,
    /// A file with at least one good slot; the newer one.
    Head(Head),
    /// A file with no good slot.
    Damaged,
}

impl SideFile {
    /// Where the side file of a database lies.
    pub(super) fn path(database: &Path) -> PathBuf {
        super::beside(database, "head")
    }

    /// Reads what an existing side file says.
    pub(super) fn read(database: &Path) -> io::Result<Found> {
        let file = match named_file::open(&Self::path(database)) {
            Ok(file) => file,
            Err(Unread::Io(error)) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Missing),
            Err(Unread::Io(error)) => return Err(error),
            Err(Unread::Unfit(_)) => return Ok(Found::Damaged),
        };
        if file.metadata()?.len() == 0 {
            return Ok(Found::Missing);
        }
        let newest = [0, 1].into_iter().filter_map(|slot| read_slot(&file, slot)).max_by_key(|head| head.commits);
        Ok(newest.map_or(Found::Damaged, Found::Head))
    }

    /// Opens the file for writing, making it at full size where there is none, and writes `head` to both slots. One that is
    /// there is written in place, so that a full disk stops no start.
    pub(super) fn start(database: &Path, head: Head) -> io::Result<Self> {
        let path = Self::path(database);
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        let there = fs::metadata(&path).is_ok_and(|found| found.len() > 0);
        let draft = super::beside(database, "head.new");
        let file = if there { options.open(&path)? } else { options.create(true).truncate(true).open(&draft)? };
        // One after the other, each on disk first: at every moment one slot is good.
        for slot in [head.commits + 1, head.commits] {
            write_slot(&file, slot, head)?;
            file.sync_all()?;
        }
        if !there {
            fs::rename(&draft, &path)?;
        }
        super::sync_folder(database)?;
        Ok(Self { file: Arc::new(file) })
    }

    /// Whether its name still leads to it.
    pub(super) fn is_in_place(&self, database: &Path) -> bool {
        super::is_at(&self.file, &Self::path(database))
    }

    /// The one of this database, which cannot be written.
    #[cfg(test)]
    pub(super) fn broken(database: &Path) -> Self {
        Self { file: Arc::new(File::open(Self::path(database)).unwrap()) }
    }

    /// Writes `head` and returns when it is on disk. Blocks.
    pub(super) fn record(&self, head: Head) -> io::Result<()> {
        write_slot(&self.file, head.commits, head)?;
        self.file.sync_data()
    }
}

fn offset_of(slot: i64) -> u64 {
    (slot.unsigned_abs() % 2) * SLOT_STRIDE
}

fn write_slot(file: &File, slot: i64, head: Head) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(SLOT_BYTES);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&head.store_id);
    bytes.extend_from_slice(&head.commits.to_le_bytes());
    bytes.extend_from_slice(&head.last_seq.to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    std::os::unix::fs::FileExt::write_all_at(file, &bytes, offset_of(slot))
}

fn read_slot(file: &File, slot: i64) -> Option<Head> {
    let mut bytes = [0; SLOT_BYTES];
    std::os::unix::fs::FileExt::read_exact_at(file, &mut bytes, offset_of(slot)).ok()?;
    let (body, crc) = bytes.split_at(SLOT_BYTES - 4);
    if body[..8] != MAGIC || crc32fast::hash(body).to_le_bytes() != crc {
        return None;
    }
    Some(Head {
        store_id: body[8..24].try_into().ok()?,
        commits: i64::from_le_bytes(body[24..32].try_into().ok()?),
        last_seq: i64::from_le_bytes(body[32..40].try_into().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(commits: i64) -> Head {
        Head { store_id: [7; 16], commits, last_seq: commits * 10 }
    }

    fn found(database: &Path) -> Option<Head> {
        match SideFile::read(database).unwrap() {
            Found::Head(head) => Some(head),
            Found::Missing | Found::Damaged => None,
        }
    }

    #[test]
    fn the_newest_record_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("db");
        assert!(matches!(SideFile::read(&database).unwrap(), Found::Missing));
        let side = SideFile::start(&database, head(5)).unwrap();
        assert_eq!(found(&database), Some(head(5)));
        for commits in 6..12 {
            side.record(head(commits)).unwrap();
            assert_eq!(found(&database), Some(head(commits)));
        }
    }

    #[test]
    fn a_half_made_file_is_as_none_and_one_that_appears_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("db");
        fs::write(SideFile::path(&database), b"").unwrap();
        fs::write(folder.path().join("db.head.new"), b"cut short by a crash").unwrap();
        assert!(matches!(SideFile::read(&database).unwrap(), Found::Missing));
        let side = SideFile::start(&database, head(0)).unwrap();
        assert_eq!(found(&database), Some(head(0)));
        side.record(head(1)).unwrap();
        assert_eq!(found(&database), Some(head(1)), "the file that is written is the one that is read");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "the draft is gone");
    }

    #[test]
    fn a_torn_slot_falls_back_to_the_commit_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("db");
        let side = SideFile::start(&database, head(5)).unwrap();
        side.record(head(6)).unwrap();
        side.record(head(7)).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&*side.file, b"torn", offset_of(7) + 20).unwrap();
        assert_eq!(found(&database), Some(head(6)));
        std::os::unix::fs::FileExt::write_all_at(&*side.file, b"torn", offset_of(6) + 20).unwrap();
        assert!(matches!(SideFile::read(&database).unwrap(), Found::Damaged));
    }
}
