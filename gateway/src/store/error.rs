//! What can go wrong, named after what the caller does next.

use super::key_file::KeyError;
use std::path::PathBuf;

/// How a caller treats an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The same call may succeed later.
    Transient,
    /// The same call fails again; the store goes on.
    Permanent,
    /// The store does not go on.
    Fatal,
}

/// Why a call had no effect, or none that is promised.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Nothing was written and nothing is lost. Try again after a while; meanwhile say so at the reader.
    #[error("cannot write to the store: the disk is full; free some space, the store tries again by itself")]
    Full,
    /// Another program holds the database. Try again.
    #[error("cannot write to the store: another program holds the database locked; close it")]
    Busy,
    /// A read failed for want of something else than what is on disk: a file handle, memory, a connection. Try again.
    #[error(
        "cannot read the store at this moment: {what}; it is tried again; if this goes on, look at the open files and the disk"
    )]
    Unreadable {
        /// What failed.
        what: String,
    },
    /// The id is taken by other content, or the reception has gone another way. Do not try again.
    #[error("cannot write {what}: {why}")]
    Conflict {
        /// Kind and id.
        what: String,
        /// What stands against it.
        why: &'static str,
    },
    /// The store does not know the id. Do not try again.
    #[error("cannot write {what}: the store does not know it")]
    Unknown {
        /// Kind and id.
        what: String,
    },
    /// The content breaks a limit. Do not try again.
    #[error("cannot write {what}: {why}")]
    Refused {
        /// Kind and id.
        what: String,
        /// The limit, or the database's word; no content.
        why: String,
    },
    /// The row was altered outside this program, or its keys were. Show it to an administrator.
    #[error("cannot use {what}: it was altered outside this program; compare with a backup")]
    Tampered {
        /// Kind and id.
        what: String,
    },
    /// The store was opened for reading.
    #[error("cannot write to the store: it is open for reading only; the running gateway alone writes")]
    ReadOnly,
    /// [`super::Store::close`] was called.
    #[error("cannot use the store: it is closed")]
    Closed,
    /// An I/O error. Whether the write took place is unknown; after a restart the store knows. End the process.
    #[error("cannot use the store any more: {what}; check the disk, then start the gateway again")]
    Fatal {
        /// What failed.
        what: String,
    },
}

impl StoreError {
    /// How to treat it.
    pub fn class(&self) -> Class {
        match self {
            Self::Full | Self::Busy | Self::Unreadable { .. } => Class::Transient,
            Self::Conflict { .. }
            | Self::Unknown { .. }
            | Self::Refused { .. }
            | Self::Tampered { .. }
            | Self::ReadOnly
            | Self::Closed => Class::Permanent,
            Self::Fatal { .. } => Class::Fatal,
        }
    }
}

/// Why the store does not open. Nothing was changed in the database.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The keys are not there.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// One process at a time.
    #[error("cannot open the store {}: another process has it open; stop that one first", path.display())]
    Locked {
        /// The database.
        path: PathBuf,
    },
    /// Opened for reading, but there is none.
    #[error("cannot open the store {}: there is no such file; start the gateway once to create it", path.display())]
    Missing {
        /// The database.
        path: PathBuf,
    },
    /// Somebody else's file.
    #[error(
        "cannot open the store {}: this file is not a database of Uketsuke; give another path, or put the database and its head \
         file back from a backup (`uketsuke backup` makes them)",
        path.display()
    )]
    Foreign {
        /// The database.
        path: PathBuf,
    },
    /// Written by a newer version, or, opened for reading, not yet brought up to this one.
    #[error(
        "cannot open the store {}: it has version {found}, this program knows version {known}; use the program that \
         wrote it, or a backup of this program's version",
        path.display()
    )]
    Version {
        /// The database.
        path: PathBuf,
        /// In the file.
        found: i64,
        /// In this program.
        known: i64,
    },
    /// The keys open another database.
    #[error(
        "cannot open the store {}: the key file belongs to another database; put back the key file that was made with it, from its \
         own backup",
        path.display()
    )]
    WrongKey {
        /// The database.
        path: PathBuf,
    },
    /// The keys are of this store, but one that values in it are sealed with is not among them.
    #[error(
        "cannot open the store {}: values in it are sealed with key {key}, which the key file does not hold; put back the key file \
         that holds it, from its own backup: the one of the same moment as the database",
        path.display()
    )]
    KeyUnknown {
        /// The database.
        path: PathBuf,
        /// The id of the key.
        key: String,
    },
    /// Writes that were acknowledged are gone.
    #[error(
        "cannot open the store {}: the database lost commits that were acknowledged (it has {database}, {acknowledged} were \
         acknowledged): an older copy was put in its place, or its -wal file was removed or damaged; keep all its files as \
         they are and put back the latest ones, or a backup with its head file; `uketsuke queue rescue` first writes out what can \
         still be read",
        path.display()
    )]
    Behind {
        /// The database.
        path: PathBuf,
        /// Commits in the database.
        database: i64,
        /// Commits in the side file.
        acknowledged: i64,
    },
    /// Nothing tells whether writes are gone.
    #[error(
        "cannot open the store {}: its side file {} {why}, so nobody can tell whether acknowledged writes are missing; put it \
         back from the same moment as the database, or put back both from one backup; `uketsuke queue rescue` first writes out \
         what can still be read",
        path.display(),
        super::beside(path, "head").display()
    )]
    SideFile {
        /// The database.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The database is damaged.
    #[error(
        "cannot open the store {}: its integrity check says: {what}; put database and head file back from a backup; `uketsuke queue \
         rescue` first writes out what can still be read",
        path.display()
    )]
    Corrupt {
        /// The database.
        path: PathBuf,
        /// What the check says.
        what: String,
    },
    /// A file operation failed.
    #[error(
        "cannot open the store {}: cannot {doing}: {source}; see to the disk and to what has that name, or put database and head file \
         back from a backup",
        path.display()
    )]
    Io {
        /// The database.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A statement failed.
    #[error(
        "cannot open the store {}: cannot {doing}: {source}; see to the disk and to what has that name, or put database and head file \
         back from a backup",
        path.display()
    )]
    Database {
        /// The database.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// Why it failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_of_the_store_refuses_a_start_names_a_backup_or_the_rescue() {
        let path = || PathBuf::from("data/store.db");
        let io = || std::io::Error::from(std::io::ErrorKind::IsADirectory);
        let refusals = [
            OpenError::Foreign { path: path() },
            OpenError::Version { path: path(), found: 99, known: 10 },
            OpenError::WrongKey { path: path() },
            OpenError::KeyUnknown { path: path(), key: "00000000".into() },
            OpenError::Behind { path: path(), database: 3, acknowledged: 4 },
            OpenError::SideFile { path: path(), why: "is damaged" },
            OpenError::Corrupt { path: path(), what: "malformed".into() },
            OpenError::Io { path: path(), doing: "read its side file", source: io() },
            OpenError::Database { path: path(), doing: "read it", source: Box::new(io()) },
        ];
        for refused in refusals {
            let said = refused.to_string();
            assert!(said.contains("rescue") || said.contains("backup"), "{said}");
            assert!(!said.contains("anew"), "what was acknowledged is never moved away: {said}");
        }
    }
}
