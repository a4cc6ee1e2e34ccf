//! The store's own hold on its database, write-ahead log and log index.
//!
//! POSIX locks belong to the process: when it closes *any* descriptor of a file, all its locks on that file are gone
//! (fcntl(2), <https://www.sqlite.org/howtocorrupt.html> 2.2). SQLite's locks are such locks. Without them the next
//! program that looks at the database takes itself for the last one, and removes the log with what was acknowledged.
//!
//! Promises:
//! * Inside this program only [`Files`] opens these three files beside SQLite, and it keeps them until SQLite has closed them.
//! * [`Files::misplaced`] tells whether the names still lead to the files that are open.
//! * Every other file that this folder of the source opens is opened by a function of this module.

use crate::store::{OpenError, beside, is_at, sync_folder};
use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Seek as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The write-ahead log of a database.
pub(in crate::store) fn log_of(database: &Path) -> PathBuf {
    with_suffix(database, "-wal")
}

/// The shared-memory index of the write-ahead log.
pub(in crate::store) fn index_of(database: &Path) -> PathBuf {
    with_suffix(database, "-shm")
}

fn with_suffix(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// One file that is kept open, with its name.
struct Held {
    path: PathBuf,
    file: File,
    device: u64,
    inode: u64,
}

impl Held {
    /// Opens the file; makes it, for this user alone, where there is none. SQLite gives log and index the mode of the database.
    fn open(path: PathBuf) -> io::Result<Self> {
        let file = open_private(&path)?;
        let found = file.metadata()?;
        Ok(Self { path, file, device: found.dev(), inode: found.ino() })
    }

    fn is(&self, found: &Metadata) -> bool {
        (found.dev(), found.ino()) == (self.device, self.inode) && found.nlink() > 0
    }

    /// Whether the name still leads to this file.
    fn is_in_place(&self) -> bool {
        // A file that cannot be looked at for another reason (no memory) is not known to be gone.
        match fs::metadata(&self.path) {
            Ok(found) => self.is(&found),
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        }
    }
}

/// Database, log and index of one open store. Drop it only after SQLite has closed them.
pub(super) struct Files {
    database: Held,
    log: Held,
    index: Held,
}

/// A file of the store that is not where it was: deleted, moved, or another one stands in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Misplaced {
    /// Which.
    pub(super) path: PathBuf,
    /// The database itself is still ours, and no log or index of another program lies beside it: what is in our log belongs into it.
    pub(super) database_is_ours: bool,
}

impl Files {
    /// Opens all three before SQLite writes; makes those that are missing.
    pub(super) fn open(database: &Path) -> io::Result<Self> {
        // A connection that reads may be open already: what is opened here stays open also when this fails.
        let keep = |opened: Vec<Held>| opened.into_iter().for_each(std::mem::forget);
        let held = Held::open(database.to_owned())?;
        let log = match Held::open(log_of(database)) {
            Ok(log) => log,
            Err(error) => {
                keep(vec![held]);
                return Err(error);
            }
        };
        match Held::open(index_of(database)) {
            Ok(index) => Ok(Self { database: held, log, index }),
            Err(error) => {
                keep(vec![held, log]);
                Err(error)
            }
        }
    }

    /// What is not in its place any more; `None` while all three are. Three calls of stat(2).
    pub(super) fn misplaced(&self) -> Option<Misplaced> {
        let lost = [&self.database, &self.log, &self.index].into_iter().find(|held| !held.is_in_place())?;
        // Whoever made the other one may have written: to the database, or through an index of its own to our log, of which our index
        // knows nothing. Its length tells nothing: a log that was moved into the database may be empty again.
        let others = [&self.log, &self.index].into_iter().any(|held| !held.is_in_place() && held.path.exists());
        let database_is_ours = self.database.is_in_place() && !others;
        Some(Misplaced { path: lost.path.clone(), database_is_ours })
    }

    /// Copies database and log byte by byte, whatever they hold. Blocks.
    pub(super) fn copy(&self, to: &Path) -> io::Result<()> {
        copy_to(&self.log.file, &log_of(to))?;
        copy_to(&self.database.file, to)?;
        sync_folder(to)
    }

    pub(super) fn database(&self) -> &File {
        &self.database.file
    }

    pub(super) fn log(&self) -> &File {
        &self.log.file
    }

    pub(super) fn index(&self) -> &File {
        &self.index.file
    }

    /// Makes database, log and their names durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.database.file.sync_all()?;
        // Not emptied while another program reads; then it has to be on disk itself.
        self.log.file.sync_all()?;
        sync_folder(&self.database.path)
    }

    /// The inode of the log's index, where SQLite's locks of writers lie.
    pub(super) fn index_inode(&self) -> u64 {
        self.index.inode
    }
}

/// Whether the file has fewer pages than its header says. With frames in the write-ahead log SQLite does not notice: they may be what is
/// missing, as after a crash in the middle of a checkpoint, so that only a look through everything tells.
///
/// Opens and closes the database: only before SQLite has opened it.
pub(super) fn is_cut_short(database: &Path) -> io::Result<bool> {
    let file = File::open(database)?;
    let mut header = [0; 32];
    if let Err(error) = file.read_exact_at(&mut header, 0) {
        return if error.kind() == io::ErrorKind::UnexpectedEof { Ok(true) } else { Err(error) };
    }
    // SQLite file format, 1.3: page size (where 1 stands for 65536) and size of the database in pages, big endian.
    let page_bytes = match u64::from(u16::from_be_bytes([header[16], header[17]])) {
        1 => 65_536,
        bytes => bytes,
    };
    let pages = u64::from(u32::from_be_bytes([header[28], header[29], header[30], header[31]]));
    Ok(file.metadata()?.len() < pages * page_bytes)
}

/// The lock that one gateway at a time holds. It lies in a file of its own, and is one of flock(2), which belongs to the open file.
pub(super) fn lock(database: &Path) -> Result<File, OpenError> {
    let failed = |source| OpenError::Io { path: database.to_owned(), doing: crate::store::LOCKING, source };
    let file =
        OpenOptions::new().write(true).create(true).truncate(false).open(beside(database, "lock")).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked { path: database.to_owned() }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Whether the name of the lock still leads to the file that is locked.
pub(super) fn is_lock_in_place(lock: &File, database: &Path) -> bool {
    is_at(lock, &beside(database, "lock"))
}

/// A new file that only this user can read.
pub(super) fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}

/// A file that only this user can read; as it is, where there is one.
pub(super) fn open_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// Copies a whole file into one that only this user can read, and makes that durable.
pub(super) fn copy_to(mut from: &File, to: &Path) -> io::Result<()> {
    remove_if_there(to)?;
    let mut copy = create_private(to)?;
    from.rewind()?;
    io::copy(&mut from, &mut copy)?;
    copy.sync_all()
}

/// Removes a file that may not be there.
pub(super) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes a finished copy of the database durable: SQLite leaves that to the machine. Never the database itself.
pub(super) fn sync_copy(copy: &Path) -> io::Result<()> {
    File::open(copy)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_deleted_moved_or_replaced_is_misplaced_and_named() {
        for suffix in ["", "-wal", "-shm"] {
            for replaced in [false, true] {
                let folder = tempfile::tempdir().unwrap();
                let database = folder.path().join("store.db");
                let files = Files::open(&database).unwrap();
                assert_eq!(files.misplaced(), None);
                let path = with_suffix(&database, suffix);
                fs::rename(&path, folder.path().join("away")).unwrap();
                if replaced {
                    fs::write(&path, b"").unwrap();
                }
                let found = files.misplaced().unwrap();
                assert_eq!(found, Misplaced { path, database_is_ours: !suffix.is_empty() && !replaced });
            }
        }
    }
}
