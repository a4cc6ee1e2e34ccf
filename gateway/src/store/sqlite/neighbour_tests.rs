//! Other programs on the same machine: they look at the database, lock it, delete it, and put something else in its place.

use super::files::{index_of, log_of};
use super::holder::own_locks;
use crate::store::keys::Keys;
use crate::store::rotation::Rotation;
use crate::store::scene::{at, config, opening, reception};
use crate::store::{Class, Destination, Inspection, OpenError, Store, StoreConfig, StoreError, StoreHealth};
use futures_util::FutureExt as _;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::sync::watch;

/// What SQLite holds on a database whose log is in use (SHARED_FIRST and SHARED_SIZE in its os.h), and on the log's index (the byte of the
/// dead man's switch, <https://www.sqlite.org/walformat.html>).
const SHARED: (u64, u64) = (0x4000_0002, 0x4000_0002 + 509);
const DEAD_MANS_SWITCH: (u64, u64) = (128, 128);

fn assert_locked(database: &Path, after: &str) {
    let inode = |path: &Path| fs::metadata(path).unwrap().ino();
    let held = |path: &Path, range: (u64, u64)| {
        own_locks(inode(path)).iter().any(|(kind, from, to)| kind == "READ" && (*from, *to) == range)
    };
    assert!(held(database, SHARED), "no lock on the database after {after}: {:?}", own_locks(inode(database)));
    let index = index_of(database);
    assert!(held(&index, DEAD_MANS_SWITCH), "no lock on the log's index after {after}: {:?}", own_locks(inode(&index)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_locks_are_held_after_the_start_and_after_each_kind_of_upkeep() {
    let folder = tempfile::tempdir().unwrap();
    let key_file = folder.path().join("keys");
    let keys = Keys::create(&key_file).unwrap();
    let config = StoreConfig { ballast_bytes: 100_000, ..config(folder.path()) };
    let database = config.path.clone();
    for start in ["a first start", "a later start"] {
        let store = Store::open(&config, keys.clone()).await.unwrap();
        assert_locked(&database, start);
        store.open_reception(opening(1, 1)).await.unwrap();
        assert_locked(&database, "a write");
        store.figures().await.unwrap();
        assert_locked(&database, "figures");
        store.checkpoint().await.unwrap();
        assert_locked(&database, "a checkpoint");
        store.shrink(100).await.unwrap();
        assert_locked(&database, "giving room back");
        store.check_file().await.unwrap();
        assert_locked(&database, "a full check");
        store.inspect(&mut Inspection::default(), 100, 0).await.unwrap();
        assert_locked(&database, "an inspection");
        let copy = folder.path().join(start);
        Store::backup(&config, keys.clone(), &copy).await.unwrap();
        assert_locked(&database, "a backup");
        Store::rescue(&config, &keys, &folder.path().join(format!("rescued after {start}")), false).await.unwrap();
        assert_locked(&database, "a rescue");
        let reading = Store::open_read_only(&config, keys.clone()).await.unwrap();
        reading.receptions(9).await.unwrap();
        reading.close().await.unwrap();
        assert_locked(&database, "another handle for reading");
        store.close().await.unwrap();
    }
    let store = Store::open(&config, keys.clone()).await.unwrap();
    Rotation::begin(store.clone(), &key_file).run().await.unwrap();
    assert_locked(&database, "a change of keys");
}

/// A first life with three receptions, ended by what `meddle` does to its files.
async fn meddled(meddle: impl Fn(&Path)) -> (tempfile::TempDir, Keys) {
    let (folder, keys) = (tempfile::tempdir().unwrap(), Keys::random());
    let config = config(folder.path());
    let store = Store::open(&config, keys.clone()).await.unwrap();
    for number in 1..=3 {
        store.open_reception(opening(number, number as u8)).await.unwrap();
    }
    meddle(&config.path);
    // Nothing is written: an idle gateway notices too.
    let mut health = store.health();
    let failed = health.wait_for(|health| matches!(health, StoreHealth::Failed { .. }));
    // Cloned: as long as the value is borrowed, the store cannot say anything else.
    let StoreHealth::Failed { what } = failed.await.unwrap().clone() else { unreachable!() };
    assert!(what.contains(&config.path.display().to_string()) && what.contains("deleted, moved or replaced"), "{what}");
    assert_eq!(
        store.open_reception(opening(4, 4)).await.unwrap_err().class(),
        Class::Fatal,
        "nothing more is promised"
    );
    store.close().await.unwrap_err();
    (folder, keys)
}

/// The process of the first life is still this one: its lock goes with the last of its tasks.
async fn next_start(config: &StoreConfig, keys: &Keys) -> Store {
    loop {
        match Store::open(config, keys.clone()).await {
            Err(OpenError::Locked { .. }) => tokio::time::sleep(Duration::from_millis(10)).await,
            opened => return opened.unwrap(),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_deleted_under_the_gateway_is_saved_and_taken_up_by_the_next_start() {
    for with_log in [false, true] {
        let (folder, keys) = meddled(|database| {
            fs::remove_file(database).unwrap();
            if with_log {
                fs::remove_file(log_of(database)).unwrap();
                fs::remove_file(index_of(database)).unwrap();
            }
        })
        .await;
        let config = config(folder.path());
        let store = next_start(&config, &keys).await;
        assert_eq!(store.receptions(9).await.unwrap().len(), 3);
        store.open_reception(opening(4, 4)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_program_put_in_the_databases_place_is_kept_beside_it_and_told() {
    let (folder, keys) = meddled(|database| {
        fs::remove_file(database).unwrap();
        fs::write(database, "of another program").unwrap();
    })
    .await;
    let config = config(folder.path());
    let store = next_start(&config, &keys).await;
    assert_eq!(store.receptions(9).await.unwrap().len(), 3);
    assert_eq!(store.figures().await.unwrap().put_aside, 1);
    assert_eq!(fs::read_to_string(folder.path().join("store.db.aside")).unwrap(), "of another program");
}

#[tokio::test]
async fn what_another_program_wrote_after_it_had_deleted_files_is_kept_beside_and_told() {
    // Only the index: the other program recovers our log and writes into it. Both: it writes to a log of its own, and empties that.
    for with_log in [false, true] {
        let (folder, keys) = meddled(|database| {
            fs::remove_file(index_of(database)).unwrap();
            if with_log {
                fs::remove_file(log_of(database)).unwrap();
            }
            let emptied = if with_log { "PRAGMA wal_checkpoint(TRUNCATE);" } else { "" };
            let wrote = format!(
                "PRAGMA wal_autocheckpoint = 0; CREATE TABLE of_another_program (what); DELETE FROM outbox; DELETE FROM receptions; {emptied}"
            );
            assert!(Command::new("sqlite3").arg(database).arg(wrote).status().unwrap().success());
        })
        .await;
        let config = config(folder.path());
        let store = next_start(&config, &keys).await;
        assert_eq!(store.receptions(9).await.unwrap().len(), 3, "with_log = {with_log}");
        assert_eq!(store.figures().await.unwrap().put_aside, 1, "nobody is told, with_log = {with_log}");
        let aside = folder.path().join("store.db.aside");
        let kept = Command::new("sqlite3").arg(&aside).arg("SELECT COUNT(*) FROM of_another_program").output().unwrap();
        assert_eq!(String::from_utf8_lossy(&kept.stdout).trim(), "0", "with_log = {with_log}: {kept:?}");
    }
}

/// A store whose mirror is whole.
async fn mirrored(config: &StoreConfig, keys: &Keys) -> Store {
    let store = Store::open(config, keys.clone()).await.unwrap();
    while store.figures().await.unwrap().mirror_bytes == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    store
}

/// More than the writer's connection keeps in memory, moved into the database, and three receptions more.
async fn filled(store: &Store) {
    let large = |number: u32| {
        let mut opening = opening(number, number as u8);
        opening.request.body = vec![number as u8; 50_000].into();
        store.open_reception(opening)
    };
    futures_util::future::try_join_all((1..=LARGE).map(large)).await.unwrap();
    store.checkpoint().await.unwrap();
    for number in 1..=3 {
        store.open_reception(opening(LARGE + number, number as u8)).await.unwrap();
    }
}

const LARGE: u32 = 250;

/// Deletes log and index, and has another program undo what had been moved into the database, and move that there. With one thread the
/// store notices nothing before this returns.
fn spoil(database: &Path, wrote: &str) {
    fs::remove_file(index_of(database)).unwrap();
    fs::remove_file(log_of(database)).unwrap();
    let wrote = format!("CREATE TABLE of_another_program (what); {wrote}; PRAGMA wal_checkpoint(TRUNCATE);");
    assert!(Command::new("sqlite3").arg(database).arg(wrote).status().unwrap().success());
}

#[tokio::test]
async fn what_another_program_moved_into_the_database_spoils_nothing_that_had_been_moved_there_before() {
    let (folder, keys) = (tempfile::tempdir().unwrap(), Keys::random());
    let config = config(folder.path());
    let store = mirrored(&config, &keys).await;
    filled(&store).await;
    spoil(&config.path, "DELETE FROM outbox; DELETE FROM receptions");
    store.health().wait_for(|health| matches!(health, StoreHealth::Failed { .. })).await.unwrap();
    store.close().await.unwrap_err();
    let store = next_start(&config, &keys).await;
    assert_eq!(store.receptions(999).await.unwrap().len(), LARGE as usize + 3);
    assert_eq!(store.outbox_counts(Destination::Central).await.unwrap().pending, u64::from(LARGE) + 3);
    assert_eq!(store.figures().await.unwrap().put_aside, 1, "what the other one wrote is kept");
}

#[tokio::test]
async fn what_another_program_wrote_and_left_no_log_of_is_noticed_in_the_database() {
    let (folder, keys) = (tempfile::tempdir().unwrap(), Keys::random());
    let config = config(folder.path());
    let store = mirrored(&config, &keys).await;
    store.open_reception(opening(1, 1)).await.unwrap();
    spoil(&config.path, "DELETE FROM outbox; DELETE FROM receptions");
    // As if nobody had been here.
    fs::remove_file(index_of(&config.path)).unwrap();
    fs::remove_file(log_of(&config.path)).unwrap();
    store.health().wait_for(|health| matches!(health, StoreHealth::Failed { .. })).await.unwrap();
    store.close().await.unwrap_err();
    let store = next_start(&config, &keys).await;
    assert_eq!(store.receptions(9).await.unwrap().len(), 1);
    assert_eq!(store.figures().await.unwrap().put_aside, 1, "what the other one wrote is kept");
}

#[tokio::test]
async fn a_database_that_was_written_over_in_place_is_saved_from_the_mirror() {
    let (folder, keys) = (tempfile::tempdir().unwrap(), Keys::random());
    let config = config(folder.path());
    let store = mirrored(&config, &keys).await;
    filled(&store).await;
    // In a process of its own: closing it in this one would drop the locks.
    let over = format!("of={}", config.path.display());
    let mut dd = Command::new("dd");
    dd.args(["if=/dev/zero", &over, "bs=4096", "seek=1", "count=2000", "conv=notrunc", "status=none"]);
    assert!(dd.status().unwrap().success());
    let damaged = store.check_file().await.unwrap_err();
    assert_eq!(damaged.class(), Class::Fatal);
    store.close().await.unwrap_err();
    let store = next_start(&config, &keys).await;
    assert_eq!(store.receptions(999).await.unwrap().len(), LARGE as usize + 3);
}

#[tokio::test]
async fn a_saved_mirror_needs_no_room_and_is_never_the_database_and_the_mirror_at_once() {
    let (folder, keys) = (tempfile::tempdir().unwrap(), Keys::random());
    let config = config(folder.path());
    let store = mirrored(&config, &keys).await;
    store.open_reception(opening(1, 1)).await.unwrap();
    let inode = |name: &str| fs::metadata(folder.path().join(name)).unwrap().ino();
    let mirror = inode("store.db.mirror");
    fs::remove_file(&config.path).unwrap();
    store.health().wait_for(|health| matches!(health, StoreHealth::Failed { .. })).await.unwrap();
    store.close().await.unwrap_err();
    assert_eq!(inode("store.db.saved"), mirror, "the file itself");
    // As a crash in the middle of earlier versions of this could leave it.
    fs::hard_link(folder.path().join("store.db.saved"), folder.path().join("store.db.mirror")).unwrap();
    let store = next_start(&config, &keys).await;
    while store.figures().await.unwrap().mirror_bytes == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_ne!(inode("store.db"), inode("store.db.mirror"));
    assert_eq!(store.receptions(9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_head_file_and_a_lock_that_are_deleted_are_made_anew() {
    let (folder, keys) = (tempfile::tempdir().unwrap(), Keys::random());
    let config = config(folder.path());
    let store = Store::open(&config, keys.clone()).await.unwrap();
    for name in ["store.db.head", "store.db.lock"] {
        fs::remove_file(folder.path().join(name)).unwrap();
    }
    store.open_reception(opening(1, 1)).await.unwrap();
    assert!(matches!(Store::open(&config, keys.clone()).await, Err(OpenError::Locked { .. })), "one gateway at a time");
    store.close().await.unwrap();
    let store = next_start(&config, &keys).await;
    assert_eq!(store.receptions(9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn without_a_mirror_what_another_program_has_spoiled_is_kept_byte_by_byte_and_told() {
    let (folder, keys) = (tempfile::tempdir().unwrap(), Keys::random());
    let config = config(folder.path());
    // No mirror can be made: a folder is in its way.
    fs::create_dir(folder.path().join("store.db.mirror")).unwrap();
    let store = Store::open(&config, keys.clone()).await.unwrap();
    filled(&store).await;
    // Each page that is not in our log becomes another one.
    spoil(
        &config.path,
        "DELETE FROM outbox; DELETE FROM receptions; INSERT INTO of_another_program SELECT randomblob(20000000)",
    );
    let mut health = store.health();
    let tells = |health: &StoreHealth| matches!(health, StoreHealth::Failed { what } if what.contains("is saved in"));
    let StoreHealth::Failed { what } = health.wait_for(tells).await.unwrap().clone() else { unreachable!() };
    assert!(what.contains("byte by byte") && what.contains("uketsuke queue rescue"), "{what}");
    store.close().await.unwrap_err();
    for (name, least) in [("store.db.aside", 20_000_000), ("store.db.aside-wal", 3 * 4096)] {
        assert!(fs::metadata(folder.path().join(name)).unwrap().len() > least, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_save_that_fails_is_said_and_tried_again_and_nothing_ends_before_it_succeeds() {
    let (folder, keys) = (tempfile::tempdir().unwrap(), Keys::random());
    let config = StoreConfig { ballast_bytes: 100_000, ..config(folder.path()) };
    let store = Store::open(&config, keys.clone()).await.unwrap();
    store.open_reception(opening(1, 1)).await.unwrap();
    let in_the_way = folder.path().join("store.db.saved");
    fs::create_dir(&in_the_way).unwrap();
    fs::remove_file(&config.path).unwrap();
    let mut health = store.health();
    let tells = |words: &'static str| move |health: &StoreHealth| matches!(health, StoreHealth::Failed { what } if what.contains(words));
    health.wait_for(tells("held by this process alone, so do not end it")).await.unwrap();
    assert!(!folder.path().join("store.db.ballast").exists(), "the room that is kept for a full disk is for this");
    assert!(store.secured().now_or_never().is_none(), "the process may end although nothing is saved");
    assert!(store.clone().close().now_or_never().is_none(), "the process may end although nothing is saved");
    fs::remove_dir(&in_the_way).unwrap();
    health.wait_for(tells("everything acknowledged is saved in")).await.unwrap();
    store.secured().await;
    store.close().await.unwrap_err();
    let store = next_start(&config, &keys).await;
    assert_eq!(store.receptions(9).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_are_deleted_after_another_failure_are_saved_before_the_end() {
    let (folder, keys) = (tempfile::tempdir().unwrap(), Keys::random());
    let config = config(folder.path());
    let store = Store::open(&config, keys.clone()).await.unwrap();
    store.open_reception(opening(1, 1)).await.unwrap();
    store.as_sqlite().unwrap().signals().failed("something else");
    fs::remove_file(&config.path).unwrap();
    store.close().await.unwrap_err();
    let store = next_start(&config, &keys).await;
    assert_eq!(store.receptions(9).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_are_deleted_on_a_full_idle_disk_are_noticed() {
    let (folder, keys) = (tempfile::tempdir().unwrap(), Keys::random());
    let config = StoreConfig { ballast_bytes: 100_000, ..config(folder.path()) };
    // No room comes back: a folder is in the reserve's way.
    fs::create_dir(folder.path().join("store.db.ballast")).unwrap();
    let store = Store::open(&config, keys.clone()).await.unwrap();
    store.open_reception(opening(1, 1)).await.unwrap();
    store.as_sqlite().unwrap().signals().full(false);
    fs::remove_file(log_of(&config.path)).unwrap();
    let failed = |health: &StoreHealth| matches!(health, StoreHealth::Failed { .. });
    store.health().wait_for(failed).await.unwrap();
    store.close().await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_an_earlier_store_left_stops_no_new_store_and_is_left() {
    let (folder, keys) = meddled(|database| fs::remove_file(database).unwrap()).await;
    let config = config(folder.path());
    // Until the last task of the first life has ended.
    while crate::store::sqlite::files::lock(&config.path).is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for name in ["store.db-wal", "store.db-shm", "store.db.head"] {
        fs::remove_file(folder.path().join(name)).unwrap();
    }
    let store = next_start(&config, &Keys::random()).await;
    assert_eq!(store.receptions(9).await.unwrap().len(), 0, "a new store");
    store.close().await.unwrap();
    assert!(folder.path().join("store.db.saved").exists());
    for name in ["store.db", "store.db.head"] {
        fs::remove_file(folder.path().join(name)).unwrap();
    }
    let store = next_start(&config, &keys).await;
    assert_eq!(store.receptions(9).await.unwrap().len(), 3, "its own keys, and nothing else is left: taken");
}

async fn other_program(database: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(database).connect().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_programs_lock_is_waited_for_and_said_until_it_is_gone() {
    let (folder, keys) = (tempfile::tempdir().unwrap(), Keys::random());
    let patience = Duration::from_millis(100);
    let store = Store::open(&StoreConfig { busy_timeout: patience, ..config(folder.path()) }, keys).await.unwrap();
    let mut other = other_program(&folder.path().join("store.db")).await;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    assert_eq!(store.open_reception(opening(1, 1)).await, Err(StoreError::Busy));
    assert!(matches!(*store.health().borrow(), StoreHealth::Locked { .. }));
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    store.health().wait_for(|health| *health == StoreHealth::Ok).await.unwrap();
    store.open_reception(opening(1, 1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_whose_caller_is_patient_is_acknowledged_when_the_lock_goes() {
    let (folder, keys) = (tempfile::tempdir().unwrap(), Keys::random());
    let patience = Duration::from_secs(60);
    let store = Store::open(&StoreConfig { busy_timeout: patience, ..config(folder.path()) }, keys).await.unwrap();
    let mut other = other_program(&folder.path().join("store.db")).await;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.open_reception(opening(1, 1)).await }
    });
    store.health().wait_for(|health| matches!(health, StoreHealth::Locked { .. })).await.unwrap();
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    waiting.await.unwrap().unwrap();
    assert_eq!(*store.health().borrow(), StoreHealth::Ok);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_under_another_programs_lock_waits_for_it() {
    let (folder, keys) = (tempfile::tempdir().unwrap(), Keys::random());
    let config = config(folder.path());
    Store::open(&config, keys.clone()).await.unwrap().close().await.unwrap();
    let mut other = other_program(&config.path).await;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let mut starting = std::pin::pin!(Store::open(&config, keys));
    let early = tokio::time::timeout(Duration::from_millis(700), &mut starting).await;
    assert!(early.is_err(), "it neither refuses nor opens under the lock");
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    starting.await.unwrap().close().await.unwrap();
    other.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_life_left_open_is_abandoned_also_when_a_lock_comes_just_after_the_opening() {
    let (folder, keys) = (tempfile::tempdir().unwrap(), Keys::random());
    let config = StoreConfig { busy_timeout: Duration::from_millis(100), ..config(folder.path()) };
    let store = Store::open(&config, keys).await.unwrap();
    store.open_reception(opening(1, 1)).await.unwrap();
    let mut other = other_program(&config.path).await;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let (told_in, mut told) = watch::channel(None);
    let abandoning = tokio::spawn({
        let store = store.clone();
        async move { store.abandon_former(at(0), &told_in).await }
    });
    told.wait_for(Option::is_some).await.unwrap();
    // Its caller is not patient: by now it has been told at least once that the store is busy.
    assert_eq!(store.open_reception(opening(2, 2)).await, Err(StoreError::Busy));
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    assert_eq!(abandoning.await.unwrap(), Ok(vec![reception(1)]));
    assert!(told.borrow().is_none(), "nobody is named any more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_programs_lock_is_named_before_the_next_patient_meets_it() {
    let (folder, keys) = (tempfile::tempdir().unwrap(), Keys::random());
    let config = config(folder.path());
    let store = Store::open(&config, keys).await.unwrap();
    // A process of its own: the kernel tells locks apart by process.
    let mut shell = Command::new("sqlite3").arg(&config.path).stdin(Stdio::piped()).spawn().unwrap();
    let mut typing = shell.stdin.take().unwrap();
    typing.write_all(b"BEGIN IMMEDIATE;\n").unwrap();
    let named = |health: &StoreHealth| matches!(health, StoreHealth::Locked { holder } if holder.to_string().contains("sqlite3"));
    store.health().wait_for(named).await.unwrap();
    drop(typing);
    shell.wait().unwrap();
    store.health().wait_for(|health| *health == StoreHealth::Ok).await.unwrap();
}
