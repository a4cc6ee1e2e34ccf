//! What is done when another program deletes, moves or replaces the files of the open store.
//!
//! The files that are open still hold everything that was acknowledged, but no name leads to them any more: when the process ends they
//! are gone. So the connection that has them open saves them first.
//!
//! Promises:
//! * [`save`] puts everything into the database if that is still ours, else into `<database>.saved` with a head file that fits. The copy
//!   appears under this name only when it and its head file are on disk.
//! * The next start takes the copy by itself ([`take_up`]) and keeps what stood in its place as `<database>.aside`.
//! * A copy of another store, or one that is behind what was acknowledged, is left where it is, and is not used.

use super::files::{Misplaced, index_of, log_of, sync_copy};
use crate::store::side_file::{Found, Head, SideFile};
use crate::store::{beside, sync_folder};
use sqlx::SqliteConnection;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where everything was saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// In the database.
    Database,
    /// In a copy beside it.
    Copy(PathBuf),
}

/// Why it could not be saved.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotSaved {
    /// A statement failed.
    #[error("SQLite: {0}")]
    Database(#[from] sqlx::Error),
    /// A file operation failed.
    #[error("{0}")]
    Io(#[from] io::Error),
}

fn copy_of(database: &Path) -> PathBuf {
    beside(database, "saved")
}

/// Saves what the connection holds. Nothing else uses the connection meanwhile.
pub(super) async fn save(
    conn: &mut SqliteConnection,
    database: &Path,
    head: Head,
    misplaced: &Misplaced,
) -> Result<Place, NotSaved> {
    if misplaced.database_is_ours {
        let emptied: (i64, i64, i64) = sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut *conn).await?;
        // A program that reads at this moment keeps the log from being emptied: then a copy.
        if emptied.0 == 0 && emptied.1 == emptied.2 {
            return Ok(Place::Database);
        }
    }
    let (copy, draft) = (copy_of(database), beside(database, "saving"));
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    // Made here for its permissions; SQLite takes an empty file as none.
    drop(super::files::create_private(&draft)?);
    sqlx::query("VACUUM INTO ?").bind(draft.display().to_string()).execute(conn).await?;
    sync_copy(&draft)?;
    SideFile::start(&copy, head)?;
    fs::rename(&draft, &copy)?;
    sync_folder(database)?;
    Ok(Place::Copy(copy))
}

/// Puts a saved copy in the place of the database, before anything of the store is opened; whether there was one to take. Killed at any
/// point, the next start goes on.
pub(super) fn take_up(database: &Path) -> io::Result<bool> {
    let copy = copy_of(database);
    let saved_head = SideFile::path(&copy);
    if !fs::exists(&copy)? {
        // Killed between the copy's taking its place and this.
        return match fs::remove_file(&saved_head) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(false),
        };
    }
    if !is_to_be_taken(SideFile::read(&copy)?, SideFile::read(database)?) {
        tracing::error!(
            copy = %copy.display(),
            "this copy is of another store, or has fewer commits than were acknowledged; it is not used: look at it, then move it away"
        );
        return Ok(false);
    }
    // The log first: one that is not the copy's must never lie beside it.
    let aside = free_name(database)?;
    for (from, to) in
        [(log_of(database), log_of(&aside)), (index_of(database), index_of(&aside)), (database.to_owned(), aside)]
    {
        match fs::rename(&from, &to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    sync_folder(database)?;
    fs::rename(&copy, database)?;
    sync_folder(database)?;
    fs::remove_file(&saved_head)?;
    Ok(true)
}

/// A copy is of the store whose commits were acknowledged, and has all of them.
fn is_to_be_taken(copy: Found, acknowledged: Found) -> bool {
    let Found::Head(copy) = copy else { return false };
    match acknowledged {
        Found::Head(told) => copy.store_id == told.store_id && copy.commits >= told.commits,
        // Deleted with the rest; the copy has a head file of its own.
        Found::Missing => true,
        Found::Damaged => false,
    }
}

/// Names that files were put aside under.
fn names(database: &Path) -> impl Iterator<Item = PathBuf> {
    let first = beside(database, "aside");
    let further = (2..=u32::MAX).map({
        let first = first.clone();
        move |number| {
            let mut name = first.clone().into_os_string();
            name.push(format!("-{number}"));
            PathBuf::from(name)
        }
    });
    std::iter::once(first).chain(further)
}

fn free_name(database: &Path) -> io::Result<PathBuf> {
    for name in names(database) {
        if !fs::exists(&name)? && !fs::exists(log_of(&name))? {
            return Ok(name);
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// How many databases were put aside and still lie there for somebody to look at.
pub(super) fn put_aside(database: &Path) -> u64 {
    // Counted while they are there: whoever has looked at one removes it.
    // A log alone is our own, whose database was deleted.
    names(database).take(16).filter(|name| name.exists()).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(store: u8, commits: i64) -> Head {
        Head { store_id: [store; 16], commits, last_seq: 0 }
    }

    #[test]
    fn a_copy_is_taken_only_if_it_is_of_this_store_and_lacks_nothing() {
        let found = |store, commits| Found::Head(head(store, commits));
        assert!(is_to_be_taken(found(1, 5), found(1, 5)));
        assert!(is_to_be_taken(found(1, 6), found(1, 5)), "a commit that nobody heard of");
        assert!(is_to_be_taken(found(1, 5), Found::Missing));
        assert!(!is_to_be_taken(found(1, 4), found(1, 5)), "behind");
        assert!(!is_to_be_taken(found(2, 5), found(1, 5)), "of another store");
        assert!(!is_to_be_taken(Found::Missing, found(1, 5)));
        assert!(!is_to_be_taken(Found::Damaged, Found::Missing));
        assert!(!is_to_be_taken(found(1, 5), Found::Damaged));
    }

    #[test]
    fn a_start_that_is_killed_while_it_takes_up_a_copy_goes_on_with_it() {
        // Stages as a kill may leave them: which of the four names are still to be moved.
        for done in 0..=4 {
            let folder = tempfile::tempdir().unwrap();
            let database = folder.path().join("store.db");
            SideFile::start(&database, head(1, 5)).unwrap();
            SideFile::start(&copy_of(&database), head(1, 5)).unwrap();
            let write = |path: PathBuf, text: &str| fs::write(path, text).unwrap();
            write(copy_of(&database), "saved");
            if done < 1 {
                write(log_of(&database), "foreign log");
            }
            if done < 2 {
                write(index_of(&database), "foreign index");
            }
            if done < 3 {
                write(database.clone(), "foreign");
            }
            if done == 4 {
                fs::rename(copy_of(&database), &database).unwrap();
            }
            assert_eq!(take_up(&database).unwrap(), done < 4);
            assert_eq!(fs::read_to_string(&database).unwrap(), "saved", "after {done} steps");
            assert!(!log_of(&database).exists() && !index_of(&database).exists());
            assert!(!SideFile::path(&copy_of(&database)).exists());
            assert_eq!(put_aside(&database), u64::from(done < 3));
            assert!(!take_up(&database).unwrap());
        }
    }

    #[test]
    fn what_was_put_aside_before_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("store.db");
        for round in 1..=3 {
            fs::write(&database, format!("foreign {round}")).unwrap();
            SideFile::start(&copy_of(&database), head(1, 5)).unwrap();
            fs::write(copy_of(&database), "saved").unwrap();
            assert!(take_up(&database).unwrap());
            assert_eq!(put_aside(&database), round);
        }
        assert_eq!(fs::read_to_string(folder.path().join("store.db.aside-2")).unwrap(), "foreign 2");
    }
}
