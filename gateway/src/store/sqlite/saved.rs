//! What is done when another program deletes, moves or replaces the files of the open store.
//!
//! The files that are open still hold everything that was acknowledged, but no name leads to them any more: when the process ends they
//! are gone. So the connection that has them open saves them first.
//!
//! Promises:
//! * [`save`] puts everything into the database if that is still ours, else, or if that fails, into `<database>.saved` with a head file
//!   that fits. The copy appears under this name only when it and its head file are on disk. What lay there of another store is put aside.
//! * The copy is the mirror while that is whole, so that nothing another program wrote since is in it, and it needs no room.
//! * The next start takes the copy by itself ([`take_up`]) and keeps what stood in its place as `<database>.aside`.
//! * A copy of another store, or one that is behind what was acknowledged, is left where it is, and is not used.

use super::files::{Files, Misplaced, index_of, log_of, remove_if_there, sync_copy};
use super::mirror::{Mirror, mirror_of};
use super::{Trouble, trouble};
use crate::store::side_file::{Found, Head, SideFile};
use crate::store::{beside, blocking, sync_folder};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where everything was saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// In the database.
    Database,
    /// In a copy beside it.
    Copy(PathBuf),
    /// Byte by byte, under a name that no start takes: another program has spoiled the database under the log.
    Raw(PathBuf),
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

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database => f.write_str("the database"),
            Self::Copy(copy) => write!(f, "{}", copy.display()),
            Self::Raw(aside) => write!(f, "{} and its -wal, byte by byte", aside.display()),
        }
    }
}

/// Where a copy is saved.
pub(super) fn copy_of(database: &Path) -> PathBuf {
    beside(database, "saved")
}

/// Saves what the connection holds. Nothing else uses the connection meanwhile. May be tried again after an error.
pub(super) async fn save(
    conn: &mut SqliteConnection,
    database: &Path,
    head: Head,
    files: &Arc<Files>,
    mirror: &mut Mirror,
    misplaced: &Misplaced,
) -> Result<Place, NotSaved> {
    let is_complete = mirror.complete().await;
    if misplaced.database_is_ours {
        // The log is left as it is: a program that starts at this moment, and finds no index, reads it.
        match sqlx::query_as("PRAGMA wal_checkpoint(PASSIVE)").fetch_one(&mut *conn).await {
            // A program that reads at this moment keeps some of it from being moved, one may just have begun to write, and one may have
            // written, moved that into the database, and have deleted its log: then a copy.
            Ok((0, in_log, moved))
                if i64::eq(&in_log, &moved)
                    && files.misplaced().is_none_or(|found| found.database_is_ours)
                    && (!is_complete || mirror.is_the_database().await) =>
            {
                let files = Arc::clone(files);
                blocking(move || files.sync()).await?;
                return Ok(Place::Database);
            }
            Ok::<(i64, i64, i64), _>(_) => {}
            Err(error) => tracing::error!(%error, "the log could not be moved into the database; a copy is made"),
        }
    }
    // First from what no other program knows: whatever has been written into the database since is not in it.
    if let Some(copy) = save_mirror(database, head, mirror).await? {
        return Ok(Place::Copy(copy));
    }
    let draft = beside(database, "saving");
    remove_draft(&draft)?;
    let drafted = draft_copy(conn, &draft, head, files, mirror.is_log_of_another()).await;
    let saved = match drafted {
        Ok(true) => put_in_place(&draft, database, head).await.map(Some),
        Ok(false) => Ok(None),
        Err(error) => Err(error),
    };
    if !matches!(saved, Ok(Some(_))) {
        // Half a copy only takes room.
        remove_draft(&draft)?;
    }
    match saved? {
        Some(copy) => Ok(Place::Copy(copy)),
        None => {
            // The other program has written into the database what does not go with our log: no try will ever succeed.
            let (aside, files) = (free_name(database)?, Arc::clone(files));
            let to = aside.clone();
            blocking(move || files.copy(&to)).await?;
            Ok(Place::Raw(aside))
        }
    }
}

/// Saves the mirror; `None` if it is not whole, or no sound database, and then it is given up.
pub(super) async fn save_mirror(database: &Path, head: Head, mirror: &mut Mirror) -> Result<Option<PathBuf>, NotSaved> {
    if !mirror.complete().await {
        return Ok(None);
    }
    let draft = beside(database, "saving");
    remove_draft(&draft)?;
    match mirror.hand_over(&draft).await {
        Ok(()) if is_sound(&draft, head).await => {
            let placed = put_in_place(&draft, database, head).await;
            if placed.is_err() {
                mirror.take_back(&draft);
            }
            return placed.map(Some);
        }
        Ok(()) => {}
        Err(error) => tracing::error!(%error, "the mirror cannot be used"),
    }
    remove_draft(&draft)?;
    mirror.give_up().await;
    Ok(None)
}

/// Makes a sound copy of everything in `draft` without the mirror; whether that can be done at all.
async fn draft_copy(
    conn: &mut SqliteConnection,
    draft: &Path,
    head: Head,
    files: &Arc<Files>,
    is_log_of_another: bool,
) -> Result<bool, NotSaved> {
    // A program that had no index has made one from our log, moved all of that into the database, and begun the log anew: what this
    // connection reads is not true any more, but what lies there is.
    if is_log_of_another {
        let (files, to) = (Arc::clone(files), draft.to_owned());
        blocking(move || files.copy(&to)).await?;
        if is_sound(draft, head).await {
            return Ok(true);
        }
        remove_draft(draft)?;
    }
    // Made here for its permissions; SQLite takes an empty file as none.
    drop(super::files::create_private(draft)?);
    match sqlx::query("VACUUM INTO ?").bind(draft.display().to_string()).execute(conn).await {
        Err(error) if trouble(&error) == Trouble::Damaged => Ok(false),
        Err(error) => Err(error.into()),
        Ok(_) => Ok(true),
    }
}

/// Recovers the draft from a log beside it; whether it is sound and lacks nothing that was acknowledged.
async fn is_sound(draft: &Path, head: Head) -> bool {
    let recovered: sqlx::Result<bool> = async {
        let options =
            SqliteConnectOptions::new().filename(draft).pragma("temp_store", "MEMORY").disable_statement_logging();
        let mut conn = options.connect().await?;
        let verdict: String = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&mut conn).await?;
        let (store_id, commits): (Vec<u8>, i64) =
            sqlx::query_as("SELECT store_id, commits FROM meta").fetch_one(&mut conn).await?;
        // Leaves one file.
        sqlx::query("PRAGMA journal_mode = DELETE").execute(&mut conn).await?;
        conn.close().await?;
        Ok(verdict == "ok" && store_id == head.store_id && commits >= head.commits)
    }
    .await;
    recovered.unwrap_or_else(|error| {
        tracing::error!(%error, "what was to be saved is no sound database; another way is tried");
        false
    })
}

/// Gives the finished draft its name, and a head file that fits.
async fn put_in_place(draft: &Path, database: &Path, head: Head) -> Result<PathBuf, NotSaved> {
    let (draft, database, copy) = (draft.to_owned(), database.to_owned(), copy_of(database));
    let placed = copy.clone();
    blocking(move || {
        sync_copy(&draft)?;
        put_away(&copy, &database, head)?;
        SideFile::start(&copy, head)?;
        fs::rename(&draft, &copy)?;
        sync_folder(&database)
    })
    .await?;
    Ok(placed)
}

fn remove_draft(draft: &Path) -> io::Result<()> {
    [log_of(draft), index_of(draft), draft.to_owned()].iter().try_for_each(|path| remove_if_there(path))
}

/// Puts aside what lies where a copy is to be saved, unless it is an earlier copy of the same store.
fn put_away(copy: &Path, database: &Path, head: Head) -> io::Result<()> {
    let lies = fs::metadata(copy).is_ok_and(|found| found.is_file());
    let ours = matches!(SideFile::read(copy)?, Found::Head(found) if found.store_id == head.store_id && found.commits <= head.commits);
    if !lies || ours {
        return Ok(());
    }
    let aside = free_name(database)?;
    for (from, to) in [(SideFile::path(copy), SideFile::path(&aside)), (copy.to_owned(), aside)] {
        match fs::rename(&from, &to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Puts a saved copy in the place of the database, before anything of the store is opened; whether there was one to take. Killed at any
/// point, the next start goes on. Where nothing tells which store had been here, the copy has to be one of the store's keys.
pub(super) fn take_up(database: &Path, of_these_keys: bool) -> io::Result<bool> {
    let copy = copy_of(database);
    let saved_head = SideFile::path(&copy);
    if !fs::exists(&copy)? {
        // Killed between the copy's taking its place and this.
        return remove_if_there(&saved_head).map(|()| false);
    }
    if !is_to_be_taken(SideFile::read(&copy)?, SideFile::read(database)?, of_these_keys) {
        tracing::error!(
            copy = %copy.display(),
            "this copy is of another store, or has fewer commits than were acknowledged; it is not used: look at it, then move it away"
        );
        return Ok(false);
    }
    if let (Found::Head(head), Found::Missing) = (SideFile::read(&copy)?, SideFile::read(database)?) {
        // Before it is the database: one without its head file is refused.
        SideFile::start(database, head)?;
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
fn is_to_be_taken(copy: Found, acknowledged: Found, of_these_keys: bool) -> bool {
    let Found::Head(copy) = copy else { return false };
    match acknowledged {
        Found::Head(told) => copy.store_id == told.store_id && copy.commits >= told.commits,
        // Deleted with the rest, or of a new store in a folder where another one had been.
        Found::Missing => of_these_keys,
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

/// What a life of the store, a save, and a start after it may have left here.
pub(in crate::store) fn leftovers(database: &Path) -> Vec<PathBuf> {
    let asides = names(database).take_while(|name| name.exists() || log_of(name).exists());
    let each = |of: PathBuf| [log_of(&of), index_of(&of), SideFile::path(&of), of];
    asides
        .chain([copy_of(database)])
        .flat_map(each)
        .chain(each(beside(database, "saving")))
        .chain([mirror_of(database)])
        .filter(|path| path.exists())
        .collect()
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
        assert!(is_to_be_taken(found(1, 5), found(1, 5), true));
        assert!(is_to_be_taken(found(1, 6), found(1, 5), true), "a commit that nobody heard of");
        assert!(is_to_be_taken(found(1, 5), Found::Missing, true));
        assert!(!is_to_be_taken(found(1, 5), Found::Missing, false), "of other keys");
        assert!(!is_to_be_taken(found(1, 4), found(1, 5), true), "behind");
        assert!(!is_to_be_taken(found(2, 5), found(1, 5), true), "of another store");
        assert!(!is_to_be_taken(Found::Missing, found(1, 5), true));
        assert!(!is_to_be_taken(Found::Damaged, Found::Missing, true));
        assert!(!is_to_be_taken(found(1, 5), Found::Damaged, true));
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
            assert_eq!(take_up(&database, false).unwrap(), done < 4);
            assert_eq!(fs::read_to_string(&database).unwrap(), "saved", "after {done} steps");
            assert!(!log_of(&database).exists() && !index_of(&database).exists());
            assert!(!SideFile::path(&copy_of(&database)).exists());
            assert_eq!(put_aside(&database), u64::from(done < 3));
            assert!(!take_up(&database, false).unwrap());
        }
    }

    #[test]
    fn what_was_put_aside_before_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("store.db");
        SideFile::start(&database, head(1, 5)).unwrap();
        for round in 1..=3 {
            fs::write(&database, format!("foreign {round}")).unwrap();
            SideFile::start(&copy_of(&database), head(1, 5)).unwrap();
            fs::write(copy_of(&database), "saved").unwrap();
            assert!(take_up(&database, false).unwrap());
            assert_eq!(put_aside(&database), round);
        }
        assert_eq!(fs::read_to_string(folder.path().join("store.db.aside-2")).unwrap(), "foreign 2");
    }
}
