//! Copies of a store: a backup that is restored, a rescue of what is damaged, and its end.

use crate::store::command::Command;
use crate::store::keys::Keys;
use crate::store::scene::{answered, at, config, opening, snapshot, with_case};
use crate::store::{
    BackupError, Destination, Inspection, Keeping, KeptName, OpenError, Store, StoreConfig, StoreError, StoreHealth,
    WipeError, wipe,
};
use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};

async fn many(receptions: u32) -> (tempfile::TempDir, Keys, Store) {
    let folder = tempfile::tempdir().unwrap();
    let keys = Keys::create(&folder.path().join("store.key")).unwrap();
    let store = Store::open(&config(folder.path()), keys.clone()).await.unwrap();
    let writes = (1..=receptions).map(|number| {
        let store = store.clone();
        tokio::spawn(async move { store.open_reception(opening(number, (number % 200) as u8)).await })
    });
    for write in writes.collect::<Vec<_>>() {
        write.await.unwrap().unwrap();
    }
    (folder, keys, store)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_made_while_receptions_go_on_is_restored() {
    let (folder, keys, store) = many(50).await;
    let going_on = tokio::spawn({
        let store = store.clone();
        async move {
            for number in 100..160 {
                store.open_reception(opening(number, 250)).await.unwrap();
            }
        }
    });
    let to = folder.path().join("backup");
    let done = Store::backup(&config(folder.path()), keys.clone(), &to).await.unwrap();
    going_on.await.unwrap();
    assert_eq!(done.key_ids, [super::super::keys::id_word(&keys.sealing().id)]);
    assert_eq!(fs::metadata(&done.database).unwrap().permissions().mode() & 0o077, 0);
    let again = Store::backup(&config(folder.path()), keys.clone(), &to).await.unwrap_err();
    assert!(matches!(again, BackupError::Taken { .. }), "{again}");

    let restored = StoreConfig { path: done.database, ..config(folder.path()) };
    let error = Store::open(&restored, Keys::random()).await.err().unwrap();
    assert!(matches!(error, OpenError::WrongKey { .. }), "{error}");
    let store = Store::open(&restored, keys).await.unwrap();
    let receptions = store.receptions(999).await.unwrap().len();
    assert!((50..=110).contains(&receptions), "{receptions}");
    assert_eq!(store.select(Destination::Central, 999, &[], at(0).wall_ms).await.unwrap().len(), 51.min(receptions));
    store.open_reception(opening(500, 7)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_be_read_of_a_damaged_database_is_rescued_and_the_rest_named() {
    let (folder, keys, store) = many(400).await;
    for (name, value) in [(KeptName::LineMaterial, "MARKED-KEY"), (KeptName::Modes, "MARKED-MODES")] {
        let value = zeroize::Zeroizing::new(value.as_bytes().to_vec());
        store.keep(Keeping { name, value, trail: Vec::new() }).await.unwrap();
    }
    store.write(Command::Sql("UPDATE outbox SET attempts = 9 WHERE seq = 399")).await.unwrap();
    store.close().await.unwrap();
    let path = folder.path().join("store.db");
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    let pages = file.metadata().unwrap().len() / 4096;
    // A scratch across the middle of the disk.
    for page in pages / 2..pages / 2 + 6 {
        file.write_all_at(&[0xa5; 4096], page * 4096).unwrap();
    }
    let damaged = fs::read(&path).unwrap();
    let error = Store::open(&config(folder.path()), keys.clone()).await.err().unwrap();
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
    assert!(fs::read(&path).unwrap() == damaged, "the evidence stays");
    let log = fs::metadata(folder.path().join("store.db-wal")).map_or(0, |found| found.len());
    assert_eq!(log, 0, "nothing is to be added to it either");
    let to = folder.path().join("rescued");
    let told = Store::rescue(&config(folder.path()), &keys, &to, false).await.unwrap();
    let rows: u64 = told.iter().map(|table| table.rows).sum();
    assert!((600..800).contains(&rows), "{told:?}");
    assert!(told.iter().any(|table| !table.unreadable.is_empty()), "{told:?}");
    assert!(told.iter().any(|table| table.table == "outbox" && table.unsound >= 1), "{told:?}");
    let text = fs::read_to_string(to.join("outbox.jsonl")).unwrap();
    assert!(!text.contains("MARKED") && text.contains("\"sound\":true"));
    assert_eq!(fs::metadata(to.join("outbox.jsonl")).unwrap().permissions().mode() & 0o077, 0);
    let open = folder.path().join("opened");
    Store::rescue(&config(folder.path()), &keys, &open, true).await.unwrap();
    assert!(fs::read_to_string(open.join("outbox.jsonl")).unwrap().contains("MARKED-QUESTION "));
    let kept = fs::read_to_string(open.join("site_state.jsonl")).unwrap();
    assert!(kept.contains("MARKED-MODES") && kept.contains("line_material"), "{kept}");
    assert!(!kept.contains("MARKED-KEY"), "a private key stays sealed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_truncated_database_is_refused() {
    let (folder, keys, store) = many(50).await;
    store.close().await.unwrap();
    let path = folder.path().join("store.db");
    let whole = fs::read(&path).unwrap();
    for part in [1, 100, 4096, whole.len() / 2, whole.len() - 4096] {
        fs::write(&path, &whole[..part]).unwrap();
        let error = Store::open(&config(folder.path()), keys.clone()).await.err();
        let error = error.unwrap_or_else(|| panic!("{part} of {} bytes are taken for a store", whole.len()));
        assert!(error.to_string().starts_with("cannot open the store"), "{error}");
    }
    fs::write(&path, &whole).unwrap();
    assert_eq!(Store::open(&config(folder.path()), keys).await.unwrap().receptions(99).await.unwrap().len(), 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_cut_short_under_its_log_is_refused_however_large_it_is() {
    let (folder, keys, store) = many(300).await;
    store.checkpoint().await.unwrap();
    // What is in the log hides from SQLite that the file before it ends too early.
    store.open_reception(opening(900, 9)).await.unwrap();
    let whole = fs::metadata(folder.path().join("store.db")).unwrap().len();
    for left in [whole - 4096, whole / 2, 3 * 4096] {
        let cut = snapshot(folder.path());
        let file = fs::OpenOptions::new().write(true).open(cut.path().join("store.db")).unwrap();
        file.set_len(left).unwrap();
        let large = StoreConfig { check_bytes_max: 0, ..config(cut.path()) };
        match Store::open(&large, keys.clone()).await {
            Err(error) => assert!(error.to_string().starts_with("cannot open the store"), "{error}"),
            // The log may hold the very last page.
            Ok(store) => {
                assert!(left > whole / 2 && store.checked_at_open(), "{left} of {whole} bytes are taken for a store");
                assert_eq!(store.receptions(999).await.unwrap().len(), 301);
            }
        }
    }
    let left = snapshot(folder.path());
    let large = StoreConfig { check_bytes_max: 0, ..config(left.path()) };
    let store = Store::open(&large, keys).await.unwrap();
    assert!(!store.checked_at_open(), "a whole one of this size is looked through later");
    assert_eq!(store.receptions(999).await.unwrap().len(), 301);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inspection_finds_what_was_altered_once_and_before_it_is_used() {
    let (_folder, _keys, store) = many(30).await;
    store.record_reception(with_case(1)).await.unwrap();
    for alteration in [
        "UPDATE outbox SET attempts = 3 WHERE seq = 5",
        "UPDATE receptions SET reader = 'desk-9/z' WHERE seq = 6",
        "UPDATE cases SET opened_ms = 0",
    ] {
        store.write(Command::Sql(alteration)).await.unwrap();
    }
    let mut inspection = Inspection::default();
    while inspection.walks() < 3 {
        store.inspect(&mut inspection, 7, at(0).wall_ms).await.unwrap();
    }
    assert_eq!(*store.health().borrow(), StoreHealth::Tampered { rows: 3 });
    assert_eq!(store.outbox_counts(Destination::Central).await.unwrap().isolated, 1);
    assert!(matches!(store.requeue(5).await, Err(StoreError::Tampered { .. })));
    assert!(!store.outbox_row(5).await.unwrap().unwrap().genuine);
    store.check_file().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_damaged_under_its_gateway_stops_it() {
    let (folder, _keys, store) = many(400).await;
    store.checkpoint().await.unwrap();
    let file = fs::OpenOptions::new().write(true).open(folder.path().join("store.db")).unwrap();
    let pages = file.metadata().unwrap().len() / 4096;
    for page in pages / 2..pages / 2 + 6 {
        file.write_all_at(&[0xa5; 4096], page * 4096).unwrap();
    }
    let error = store.check_file().await.unwrap_err();
    assert!(matches!(error, StoreError::Fatal { .. }), "{error}");
    assert!(matches!(*store.health().borrow(), StoreHealth::Failed { .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_is_wiped_only_when_nothing_in_it_is_unsent() {
    let (folder, keys, store) = many(2).await;
    let key_file = folder.path().join("store.key");
    let config = config(folder.path());
    let wiped = || wipe(&config, keys.clone(), &key_file);
    assert!(matches!(wiped().await, Err(WipeError::Open(OpenError::Locked { .. }))), "while it is in use");
    store.close().await.unwrap();
    assert!(matches!(wiped().await, Err(WipeError::Unsent { pending: 2, isolated: 0 })));
    let store = Store::open(&config, keys.clone()).await.unwrap();
    store.settle(1, answered(), at(0)).await.unwrap();
    store.set_aside(2, "asked", at(0)).await.unwrap();
    store.close().await.unwrap();
    assert!(matches!(wiped().await, Err(WipeError::Unsent { pending: 0, isolated: 1 })));
    let store = Store::open(&config, keys.clone()).await.unwrap();
    store.settle(2, answered(), at(0)).await.unwrap();
    assert_eq!(store.abandon_open(None, at(0)).await.unwrap().len(), 2);
    store.close().await.unwrap();
    // Left by earlier lives; a copy of another store is not taken.
    for name in ["aside", "aside-wal", "aside-shm", "aside-2", "saved", "saved.head", "saving"] {
        fs::write(folder.path().join(format!("store.db.{name}")), "left").unwrap();
    }
    assert!(wiped().await.unwrap().len() >= 3);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
