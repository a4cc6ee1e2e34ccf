//! What is checked, and made durable, before the first acknowledgement.
//!
//! Promises: one process at a time; a database that is foreign, newer, of other keys, damaged, or behind what was acknowledged
//! is refused, and left as it was found: it is looked at through a read-only connection first, which neither recovers
//! nor empties its write-ahead log.

use super::files::{self, Files};
use super::mirror::mirror_of;
use super::{LockHolder, Trouble, holder, saved, trouble};
use crate::store::ballast::Ballast;
use crate::store::keys::{Keys, Ring, id_word};
use crate::store::side_file::{Found, Head, SideFile};
use crate::store::{OpenError, StoreConfig};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Row as _, SqliteConnection, SqlitePool};
use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;
use subtle::ConstantTimeEq;
use tokio::sync::watch;

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");
/// "UKTK", set by the first migration.
const APPLICATION_ID: i64 = 0x554b_544b;
/// `user_version` as the last migration leaves it.
const VERSION: i64 = 10;
/// The write-ahead log is cut back to this after a checkpoint.
const WAL_BYTES_MAX: usize = 16 * 1024 * 1024;
const READERS_MAX: u32 = 4;
/// Between looks at another program's lock, and how long the writer's own connection waits for one: what comes in meanwhile is heard.
pub(super) const LOCK_LOOK_EVERY: Duration = Duration::from_millis(250);

/// A store ready for its writer.
pub(super) struct Opened {
    pub(super) conn: SqliteConnection,
    pub(super) head: Head,
    pub(super) side: SideFile,
    pub(super) ballast: Ballast,
    pub(super) files: Files,
    /// Locked as long as it is open.
    pub(super) lock: File,
    /// SQLite has looked through the whole file.
    pub(super) checked: bool,
}

pub(super) async fn for_writing(
    config: &StoreConfig,
    keys: &Keys,
    lock_holder: &watch::Sender<Option<LockHolder>>,
) -> Result<Opened, OpenError> {
    let path = &config.path;
    let file = |doing| move |source| OpenError::Io { path: path.clone(), doing, source };
    let lock = files::lock(path)?;
    if saved::take_up(path, is_copy_of_these_keys(config, keys).await)
        .map_err(file("take up the copy that was saved when its files were deleted or replaced"))?
    {
        tracing::error!(
            database = %path.display(),
            "the store's files had been deleted or replaced by another program; everything was saved and is in use again"
        );
    }
    let ballast = Ballast::of(path, config.ballast_bytes);
    let looked = async || {
        // The side file first: a database read later can only be further.
        let side = SideFile::read(path).map_err(file("read its side file"))?;
        inspect(config, keys, side, Purpose::Write).await?;
        look_through(config).await
    };
    let (checked, watch) = match unlocked(path, lock_holder, &looked).await {
        // Even looking takes a little room: for the log's index.
        Err(error) if is_full(&error) && gives_room(path, &ballast) => {
            tracing::error!("the disk is full; the store gave back some of its reserve; free some space");
            unlocked(path, lock_holder, &looked).await?
        }
        looked => looked?,
    };
    let files = Files::open(path).map_err(file("open its files"))?;
    let opened = unlocked(path, lock_holder, &async || bring_up(config, keys, &files, &ballast).await).await;
    match opened {
        Ok((conn, head, side)) => {
            if let Some(watch) = watch {
                drop(watch.close().await);
            }
            Ok(Opened { conn, head, side, ballast, files, lock, checked })
        }
        Err(error) => {
            // Kept until the process ends: the other connection may still be closing.
            std::mem::forget((watch, files));
            Err(error)
        }
    }
}

/// Whether a saved copy lies beside the database that was sealed with these keys.
async fn is_copy_of_these_keys(config: &StoreConfig, keys: &Keys) -> bool {
    let copy = StoreConfig { path: saved::copy_of(&config.path), ..config.clone() };
    let Ok(Some(Contents { meta: Some(meta), .. })) = look(&copy).await else { return false };
    let Ring { current, former } = keys.ring();
    std::iter::once(&current)
        .chain(&former)
        .any(|key| keys.check(key, &meta.head.store_id).ct_eq(&meta.key_check).into())
}

/// Does this again and again for as long as another program's lock is in the way: it passes, or a person ends that program. Whoever
/// refused to start instead would receive nobody after the lock is gone.
pub(super) async fn unlocked<T>(
    path: &Path,
    lock_holder: &watch::Sender<Option<LockHolder>>,
    attempt: &impl AsyncFn() -> Result<T, OpenError>,
) -> Result<T, OpenError> {
    loop {
        match attempt().await {
            Err(error) if has_trouble(&error, Trouble::Busy) => {
                let holder = holder::of(path);
                if lock_holder.borrow().as_ref() != Some(&holder) {
                    tracing::error!(
                        %holder,
                        "waiting for the lock of another program on the store's database; end that program"
                    );
                    lock_holder.send_replace(Some(holder));
                }
                tokio::time::sleep(LOCK_LOOK_EVERY).await;
            }
            done => {
                lock_holder.send_replace(None);
                return done;
            }
        }
    }
}

/// On a full disk: what an earlier life left of a mirror, and half of the reserve; whether there was any of it.
fn gives_room(database: &Path, ballast: &Ballast) -> bool {
    let removed = fs::remove_file(mirror_of(database)).is_ok();
    ballast.release_half() || removed
}

/// The connection of the writer, with everything recovered, up to date and on disk.
async fn bring_up(
    config: &StoreConfig,
    keys: &Keys,
    files: &Files,
    ballast: &Ballast,
) -> Result<(SqliteConnection, Head, SideFile), OpenError> {
    let path = &config.path;
    let sql = |doing| move |source| database_error(path, doing, source);
    let file = |doing| move |source| OpenError::Io { path: path.clone(), doing, source };
    let mut conn = write_options(config).connect().await.map_err(sql("open its database"))?;
    let brought = match MIGRATIONS.run(&mut conn).await {
        Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _))
            if trouble(&error) == Trouble::Full && gives_room(path, ballast) =>
        {
            tracing::error!("the disk is full; the store gave back some of its reserve; free some space");
            MIGRATIONS.run(&mut conn).await
        }
        brought => brought,
    };
    brought.map_err(|source| match source {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            sql("bring its tables up to date")(error)
        }
        source => {
            OpenError::Database { path: path.clone(), doing: "bring its tables up to date", source: source.into() }
        }
    })?;
    let head = match read_meta(&mut conn).await.map_err(sql("read how far it has come"))? {
        Some(meta) => meta.head,
        None => begin(&mut conn, keys).await.map_err(sql("write its first row"))?,
    };
    match note_keys(&mut conn, keys, &head).await {
        Err(error) if trouble(&error) == Trouble::Full && gives_room(path, ballast) => {
            note_keys(&mut conn, keys, &head).await.map_err(sql("write down which keys seal it"))?;
        }
        noted => noted.map_err(sql("write down which keys seal it"))?,
    }
    // What was recovered from the log may lie in the page cache only.
    match sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut conn).await {
        // A full disk stops no start: the log stays, and is made durable as it is.
        Err(error) if trouble(&error) == Trouble::Full => {
            tracing::error!("the disk is full; the store's write-ahead log could not be emptied; free some space");
        }
        emptied => {
            emptied.map_err(sql("empty its write-ahead log"))?;
        }
    }
    files.sync().map_err(file("write it to disk"))?;
    let side = SideFile::start(path, head).map_err(file("write its side file"))?;
    if !ballast.hold() || !ballast.is_whole() {
        tracing::warn!(
            bytes = config.ballast_bytes,
            "there is no room for all of the store's reserve; free some disk space"
        );
    }
    Ok((conn, head, side))
}

pub(super) async fn for_reading(config: &StoreConfig, keys: &Keys) -> Result<(), OpenError> {
    let side = SideFile::read(&config.path).map_err(|source| OpenError::Io {
        path: config.path.clone(),
        doing: "read its side file",
        source,
    })?;
    if !fs::exists(&config.path).unwrap_or(false) {
        // A start would not make a new one either.
        if let Found::Head(head) = side {
            behind(config.path.clone(), 0, Some(head))?;
        }
        return Err(OpenError::Missing { path: config.path.clone() });
    }
    inspect(config, keys, side, Purpose::Read).await
}

/// Gives a copy the side file that fits it; the commits that it holds, and the keys that it is sealed with.
pub(super) async fn started(config: &StoreConfig, keys: &Keys) -> Result<(i64, Vec<Vec<u8>>), OpenError> {
    let path = &config.path;
    let Some(Contents { meta: Some(meta), .. }) = look(config).await? else {
        return Err(OpenError::Foreign { path: path.clone() });
    };
    let mut conn =
        read_options(config).connect().await.map_err(|error| database_error(path, "read the copy", error))?;
    quick_check(&mut conn, path).await?;
    let _ = conn.close().await;
    let file = |source| OpenError::Io { path: path.clone(), doing: "write its side file", source };
    SideFile::start(path, meta.head).map_err(file)?;
    let held = keys.ring();
    let ids = if meta.key_ids.is_empty() { vec![held.current.id.to_vec()] } else { meta.key_ids };
    Ok((meta.head.commits, ids))
}

pub(super) fn read_pool(config: &StoreConfig) -> SqlitePool {
    // Connections stay: nothing is gained by opening them again, and every statement stands alone, so that no reader
    // keeps the write-ahead log from being emptied.
    SqlitePoolOptions::new()
        .max_connections(READERS_MAX)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .connect_lazy_with(read_options(config))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Read,
    Write,
}

/// Looks at what is there without changing it.
async fn inspect(config: &StoreConfig, keys: &Keys, side: Found, purpose: Purpose) -> Result<(), OpenError> {
    let path = config.path.clone();
    let found = match look(config).await {
        // Only a first start has such a journal, until it switches to the write-ahead log. What was begun is undone, as its writer
        // would have done it.
        Err(OpenError::Database { source, .. }) if purpose == Purpose::Write && needs_rollback(source.as_ref()) => {
            roll_back(config).await?;
            look(config).await?
        }
        found => found?,
    };
    let acknowledged = match (&side, &found) {
        (Found::Head(head), _) => Some(*head),
        (Found::Damaged, _) => return Err(OpenError::SideFile { path, why: "is damaged" }),
        // Ended between its first row and its side file: nothing was acknowledged.
        (
            Found::Missing,
            Some(Contents { meta: None | Some(Meta { head: Head { commits: 0, .. }, .. }), .. }) | None,
        ) => None,
        (Found::Missing, Some(_)) => return Err(OpenError::SideFile { path, why: "is missing or empty" }),
    };
    let Some(Contents { application_id, version, tables, meta }) = found else {
        return behind(path, 0, acknowledged);
    };
    if application_id == 0 && tables == 0 {
        return if purpose == Purpose::Read { Err(OpenError::Foreign { path }) } else { behind(path, 0, acknowledged) };
    }
    if application_id != APPLICATION_ID {
        return Err(OpenError::Foreign { path });
    }
    if version > VERSION || (purpose == Purpose::Read && version != VERSION) {
        return Err(OpenError::Version { path, found: version, known: VERSION });
    }
    let Some(Meta { head, key_check, key_ids, store_check }) = meta else { return behind(path, 0, acknowledged) };
    let ring = keys.ring();
    // A rotation may have written its new key down without having switched to it.
    let belongs = std::iter::once(&ring.current).chain(&ring.former);
    let belongs =
        belongs.fold(false, |found, key| found | bool::from(keys.check(key, &head.store_id).ct_eq(&key_check)));
    let missing = key_ids.iter().find(|id| id.as_slice().try_into().map_or(true, |id| keys.opening(id).is_none()));
    let other = store_check.is_some_and(|check| !bool::from(keys.store_check(&head.store_id).ct_eq(&check)));
    match missing {
        _ if other => return Err(OpenError::WrongKey { path }),
        Some(id) => return Err(OpenError::KeyUnknown { path, key: id_word(id) }),
        None if !belongs => return Err(OpenError::WrongKey { path }),
        None => {}
    }
    match acknowledged {
        Some(told) if told.store_id != head.store_id => {
            Err(OpenError::SideFile { path, why: "belongs to another database" })
        }
        _ => behind(path, head.commits, acknowledged),
    }
}

/// `SQLITE_READONLY_ROLLBACK`: a power cut left a transaction half done.
fn needs_rollback(error: &(dyn std::error::Error + 'static)) -> bool {
    let error = error.downcast_ref::<sqlx::Error>().and_then(sqlx::Error::as_database_error);
    error.and_then(|error| error.code()).as_deref() == Some("776")
}

fn is_full(error: &OpenError) -> bool {
    has_trouble(error, Trouble::Full)
}

fn has_trouble(error: &OpenError, wanted: Trouble) -> bool {
    let OpenError::Database { source, .. } = error else { return false };
    source.downcast_ref::<sqlx::Error>().is_some_and(|error| trouble(error) == wanted)
}

async fn roll_back(config: &StoreConfig) -> Result<(), OpenError> {
    let sql = |source| database_error(&config.path, "undo what a power cut left half done", source);
    let mut conn = options(config).connect().await.map_err(sql)?;
    sqlx::query("SELECT COUNT(*) FROM sqlite_schema").execute(&mut conn).await.map_err(sql)?;
    conn.close().await.map_err(sql)
}

fn behind(path: std::path::PathBuf, database: i64, acknowledged: Option<Head>) -> Result<(), OpenError> {
    match acknowledged {
        Some(told) if told.commits > database => Err(OpenError::Behind { path, database, acknowledged: told.commits }),
        _ => Ok(()),
    }
}

/// What a database file holds.
struct Contents {
    application_id: i64,
    version: i64,
    tables: i64,
    meta: Option<Meta>,
}

struct Meta {
    head: Head,
    key_check: [u8; 32],
    /// Of the keys that values in it are sealed with, as far as it says.
    key_ids: Vec<Vec<u8>>,
    /// Earlier versions wrote none.
    store_check: Option<Vec<u8>>,
}

/// None when there is no file, or an empty one.
async fn look(config: &StoreConfig) -> Result<Option<Contents>, OpenError> {
    let path = &config.path;
    let sql = |doing| move |source| database_error(path, doing, source);
    if fs::metadata(path).map_or(0, |found| found.len()) == 0 {
        return Ok(None);
    }
    let mut conn = read_options(config).connect().await.map_err(sql("read its database"))?;
    let number = |statement| sqlx::query_scalar::<_, i64>(statement);
    let application_id =
        number("PRAGMA application_id").fetch_one(&mut conn).await.map_err(sql("read whose database it is"))?;
    let version = number("PRAGMA user_version").fetch_one(&mut conn).await.map_err(sql("read its version"))?;
    // The migrator's own table comes before the first migration: a first start that was cut short may have left it alone.
    let tables = number("SELECT COUNT(*) FROM sqlite_schema WHERE tbl_name <> '_sqlx_migrations'");
    let tables = tables.fetch_one(&mut conn).await.map_err(sql("read its tables"))?;
    let meta = if application_id == APPLICATION_ID {
        read_meta(&mut conn).await.map_err(sql("read how far it has come"))?
    } else {
        None
    };
    conn.close().await.map_err(sql("read its database"))?;
    Ok(Some(Contents { application_id, version, tables, meta }))
}

async fn read_meta(conn: &mut SqliteConnection) -> sqlx::Result<Option<Meta>> {
    let Some(row) = sqlx::query("SELECT * FROM meta").fetch_optional(conn).await? else { return Ok(None) };
    let exact = |what: &'static str| move |_: Vec<u8>| sqlx::Error::Decode(what.into());
    let store_id = row.try_get::<Vec<u8>, _>("store_id")?.try_into();
    let store_id = store_id.map_err(exact("meta.store_id should have 16 bytes"))?;
    let key_check = row.try_get::<Vec<u8>, _>("key_check")?.try_into();
    let key_check = key_check.map_err(exact("meta.key_check should have 32 bytes"))?;
    // Columns that earlier versions do not have.
    let later = |column| row.try_get::<Option<Vec<u8>>, _>(column).ok().flatten();
    let key_ids = ["key_id", "former_key_id"].into_iter().filter_map(later).collect();
    let store_check = later("store_check");
    let head = Head { store_id, commits: row.try_get("commits")?, last_seq: row.try_get("last_seq")? };
    Ok(Some(Meta { head, key_check, key_ids, store_check }))
}

/// Before anything is sealed with the current key, the database says so: an older key file is a clear stop from then on. A rotation
/// that wrote its new key down and went no further is taken up here.
async fn note_keys(conn: &mut SqliteConnection, keys: &Keys, head: &Head) -> sqlx::Result<()> {
    let Ring { current, former } = keys.ring();
    let known: Option<Vec<u8>> = sqlx::query_scalar("SELECT key_id FROM meta").fetch_one(&mut *conn).await?;
    if known.as_deref() == Some(current.id.as_slice()) {
        return Ok(());
    }
    sqlx::query("UPDATE meta SET store_check = ?, key_check = ?, key_id = ?, former_key_id = ?")
        .bind(keys.store_check(&head.store_id).as_slice())
        .bind(keys.check(&current, &head.store_id).as_slice())
        .bind(current.id.as_slice())
        .bind(former.map(|former| former.id.to_vec()))
        .execute(conn)
        .await
        .map(drop)
}

/// The first row of a new store.
async fn begin(conn: &mut SqliteConnection, keys: &Keys) -> sqlx::Result<Head> {
    let store_id: [u8; 16] = *uuid::Uuid::new_v4().as_bytes();
    sqlx::query("INSERT INTO meta (one, store_id, key_check, commits, last_seq) VALUES (1, ?, ?, 0, 0)")
        .bind(store_id.as_slice())
        .bind(keys.check(&keys.sealing(), &store_id).as_slice())
        .execute(conn)
        .await?;
    Ok(Head { store_id, commits: 0, last_seq: 0 })
}

/// Has SQLite look through the whole file without changing it, unless that takes too long for a start; whether it was done, and the
/// connection. As long as that is open, SQLite removes no write-ahead log when another one is closed: one that could not open the log's
/// index takes the log for empty.
async fn look_through(config: &StoreConfig) -> Result<(bool, Option<SqliteConnection>), OpenError> {
    let path = &config.path;
    let bytes = fs::metadata(path).map_or(0, |found| found.len());
    let unread = |source| OpenError::Io { path: path.clone(), doing: "read its database", source };
    if bytes == 0 {
        return Ok((true, None));
    }
    let checked = bytes <= config.check_bytes_max || files::is_cut_short(path).map_err(unread)?;
    let sql = |source| database_error(path, "read its database", source);
    let mut conn = read_options(config).connect().await.map_err(sql)?;
    if checked {
        quick_check(&mut conn, path).await?;
    } else {
        // It holds the database from the first read on.
        sqlx::query("SELECT COUNT(*) FROM sqlite_schema").execute(&mut conn).await.map_err(sql)?;
    }
    Ok((checked, Some(conn)))
}

async fn quick_check(conn: &mut SqliteConnection, path: &Path) -> Result<(), OpenError> {
    let verdict: String = sqlx::query_scalar("PRAGMA quick_check(1)")
        .fetch_one(conn)
        .await
        .map_err(|source| database_error(path, "check its integrity", source))?;
    if verdict == "ok" { Ok(()) } else { Err(OpenError::Corrupt { path: path.to_owned(), what: verdict }) }
}

fn options(config: &StoreConfig) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(&config.path)
        .busy_timeout(config.busy_timeout)
        .foreign_keys(true)
        // Otherwise statements that may be undone write pages to the machine's folder for temporary files, which is not ours, and may be
        // full.
        .pragma("temp_store", "MEMORY")
        .disable_statement_logging()
}

pub(super) fn read_options(config: &StoreConfig) -> SqliteConnectOptions {
    options(config).read_only(true)
}

/// Every setting that durability rests on is said here, whatever the library's defaults are.
fn write_options(config: &StoreConfig) -> SqliteConnectOptions {
    options(config)
        .busy_timeout(config.busy_timeout.min(LOCK_LOOK_EVERY))
        .auto_vacuum(SqliteAutoVacuum::Incremental)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("journal_size_limit", WAL_BYTES_MAX.to_string())
        .pragma("wal_autocheckpoint", "1000")
        // In KiB. Nobody else writes, so what it has read stays true: the inner pages of the indexes are read once.
        .pragma("cache_size", "-8192")
        .pragma("trusted_schema", "OFF")
}

fn database_error(path: &Path, doing: &'static str, source: sqlx::Error) -> OpenError {
    let path = path.to_owned();
    match source.as_database_error().and_then(|error| error.code()).as_deref() {
        Some("26") => OpenError::Foreign { path },
        Some("11") => OpenError::Corrupt { path, what: source.to_string() },
        _ => OpenError::Database { path, doing, source: source.into() },
    }
}
