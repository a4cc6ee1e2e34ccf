//! What only files can do: be older, damaged, foreign, altered, full, or in two hands.

use super::case_rows::CaseCells;
use super::rows::{OutboxCells, ReceptionCells};
use crate::store::command::Command;
use crate::store::keys::Keys;
use crate::store::scene::{
    Rig, answered, at, case_write, config, eligibility, follow_up, opening, reception, recording, snapshot, with_case,
};
use crate::store::{
    Class, Destination, Lane, OpenError, Proof, Settlement, Store, StoreConfig, StoreError, StoreHealth,
};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use std::fs;
use std::path::Path;
use uketsuke_core::ladder::Owner;
use uketsuke_core::record::{Shown, Verification};

async fn open(folder: &Path, keys: &Keys) -> Result<Store, OpenError> {
    Store::open(&config(folder), keys.clone()).await
}

/// A store of three receptions, still open, and where it lies.
async fn three() -> (tempfile::TempDir, Keys, Store) {
    let (folder, keys) = (tempfile::tempdir().unwrap(), Keys::random());
    let store = open(folder.path(), &keys).await.unwrap();
    for number in 1..=3 {
        store.open_reception(opening(number, number as u8)).await.unwrap();
    }
    (folder, keys, store)
}

/// What somebody with a database tool can do.
async fn meddle(database: &Path, statement: &str) {
    let mut conn = SqliteConnectOptions::new().filename(database).create_if_missing(true).connect().await.unwrap();
    sqlx::query(AssertSqlSafe(statement.to_owned())).execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_callers_share_commits() {
    let (_folder, _keys, store) = three().await;
    let before = store.commits();
    let writes = (100..300).map(|number| {
        let store = store.clone();
        tokio::spawn(async move { store.open_reception(opening(number, (number % 250) as u8)).await })
    });
    for write in writes.collect::<Vec<_>>() {
        write.await.unwrap().unwrap();
    }
    let commits = store.commits() - before;
    assert!(commits < 100, "{commits} commits for 200 callers");
    assert_eq!(store.outbox_counts(Destination::Central).await.unwrap().pending, 203);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_copy_in_place_of_the_database_is_refused() {
    let (folder, keys, store) = three().await;
    let older = snapshot(folder.path());
    store.open_reception(opening(4, 4)).await.unwrap();
    store.close().await.unwrap();
    for name in ["store.db", "store.db-wal"] {
        fs::copy(older.path().join(name), folder.path().join(name)).unwrap();
    }
    let error = open(folder.path(), &keys).await.err().unwrap();
    assert!(matches!(error, OpenError::Behind { database: 3, acknowledged: 4, .. }), "{error}");
    assert!(error.to_string().contains("lost commits that were acknowledged"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_or_damaged_log_is_refused_and_left_as_it_is() {
    let (folder, keys, _store) = three().await;
    let without = snapshot(folder.path());
    fs::remove_file(without.path().join("store.db-wal")).unwrap();
    let error = open(without.path(), &keys).await.err().unwrap();
    assert!(matches!(error, OpenError::Behind { acknowledged: 3, .. }), "{error}");

    let damaged = snapshot(folder.path());
    let log = damaged.path().join("store.db-wal");
    let mut bytes = fs::read(&log).unwrap();
    bytes[100] ^= 1;
    fs::write(&log, &bytes).unwrap();
    for _ in 0..2 {
        let error = open(damaged.path(), &keys).await.err().unwrap();
        assert!(matches!(error, OpenError::Behind { acknowledged: 3, .. }), "{error}");
        assert_eq!(fs::read(&log).unwrap(), bytes, "the evidence stays");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_side_file_that_is_missing_damaged_or_foreign_is_an_error_and_a_torn_slot_is_none() {
    let (folder, keys, store) = three().await;
    let (other, _, _other_store) = three().await;
    let head = |copy: &tempfile::TempDir| copy.path().join("store.db.head");

    let copy = snapshot(folder.path());
    fs::remove_file(head(&copy)).unwrap();
    let error = open(copy.path(), &keys).await.err().unwrap();
    assert!(matches!(error, OpenError::SideFile { why: "is missing or empty", .. }), "{error}");
    fs::write(head(&copy), b"").unwrap();
    let error = open(copy.path(), &keys).await.err().unwrap();
    assert!(
        matches!(error, OpenError::SideFile { why: "is missing or empty", .. }),
        "an emptied one hides losses: {error}"
    );
    fs::write(head(&copy), b"torn").unwrap();
    let error = open(copy.path(), &keys).await.err().unwrap();
    assert!(matches!(error, OpenError::SideFile { why: "is damaged", .. }), "{error}");
    fs::copy(other.path().join("store.db.head"), head(&copy)).unwrap();
    let error = open(copy.path(), &keys).await.err().unwrap();
    assert!(matches!(error, OpenError::SideFile { why: "belongs to another database", .. }), "{error}");

    let copy = snapshot(folder.path());
    let mut bytes = fs::read(head(&copy)).unwrap();
    bytes[4096 + 20] ^= 1;
    fs::write(head(&copy), bytes).unwrap();
    open(copy.path(), &keys).await.unwrap().close().await.unwrap();
    drop(store);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_cut_short_while_its_side_file_was_made_is_made_good_by_the_next() {
    let (folder, keys) = (tempfile::tempdir().unwrap(), Keys::random());
    open(folder.path(), &keys).await.unwrap().close().await.unwrap();
    fs::write(folder.path().join("store.db.head"), b"").unwrap();
    let store = open(folder.path(), &keys).await.unwrap();
    store.open_reception(opening(1, 1)).await.unwrap();
    store.close().await.unwrap();
    let store = open(folder.path(), &keys).await.unwrap();
    assert_eq!(store.receptions(9).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_finds_no_file_handle_fails_alone() {
    let (folder, _keys, store) = three().await;
    let (database, away) = (folder.path().join("store.db"), folder.path().join("away"));
    // What a connection meets that cannot be opened (CANTOPEN); too many open files look the same.
    fs::rename(&database, &away).unwrap();
    let error = store.receptions(9).await.unwrap_err();
    assert_eq!(error.class(), Class::Transient, "{error}");
    assert_eq!(*store.health().borrow(), StoreHealth::Ok);
    fs::rename(&away, &database).unwrap();
    store.open_reception(opening(4, 4)).await.unwrap();
    assert_eq!(store.receptions(9).await.unwrap().len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_finds_the_database_damaged_ends_all_acknowledgement() {
    let (folder, keys, store) = three().await;
    store.close().await.unwrap();
    let reading = Store::open_read_only(&config(folder.path()), keys).await.unwrap();
    fs::write(folder.path().join("store.db"), "not a database, but long enough to be looked at. ".repeat(1000))
        .unwrap();
    let error = reading.receptions(9).await.unwrap_err();
    assert_eq!(error.class(), Class::Fatal, "{error}");
    assert!(matches!(*reading.health().borrow(), StoreHealth::Failed { .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_a_newer_and_a_text_file_are_refused_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("store.db");
    meddle(&database, "CREATE TABLE other (a)").await;
    let before = fs::read(&database).unwrap();
    let error = open(folder.path(), &Keys::random()).await.err().unwrap();
    assert!(matches!(error, OpenError::Foreign { .. }), "{error}");
    assert_eq!(fs::read(&database).unwrap(), before);

    fs::write(&database, "not a database, but long enough to be looked at. ".repeat(100)).unwrap();
    let error = open(folder.path(), &Keys::random()).await.err().unwrap();
    assert!(matches!(error, OpenError::Foreign { .. }), "{error}");

    let (folder, keys, store) = three().await;
    store.close().await.unwrap();
    meddle(&folder.path().join("store.db"), "PRAGMA user_version = 99").await;
    let error = open(folder.path(), &keys).await.err().unwrap();
    assert!(matches!(error, OpenError::Version { found: 99, .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_start_that_a_power_cut_interrupted_stands_in_the_way_of_no_other() {
    let (folder, keys) = (tempfile::tempdir().unwrap(), Keys::random());
    let path = folder.path().join("store.db");
    // Half a transaction in the file and the other half to be undone: as a cut leaves it before there is a write-ahead log.
    let draft = folder.path().join("draft");
    let mut conn = SqliteConnectOptions::new().filename(&draft).create_if_missing(true).connect().await.unwrap();
    let begun = "CREATE TABLE first (one); DROP TABLE first; PRAGMA cache_size = 1; BEGIN; CREATE TABLE later (bytes BLOB); \
         INSERT INTO later VALUES (randomblob(500000))";
    sqlx::raw_sql(begun).execute(&mut conn).await.unwrap();
    std::fs::copy(&draft, &path).unwrap();
    std::fs::copy(folder.path().join("draft-journal"), folder.path().join("store.db-journal")).unwrap();
    let store = open(folder.path(), &keys).await.unwrap();
    store.open_reception(opening(1, 1)).await.unwrap();
    store.close().await.unwrap();
    open(folder.path(), &keys).await.unwrap();
}

/// Takes a store back to what the first version wrote: its tables, and rows with a score of their own instead of evidence.
const FIRST_VERSION: &str = "DROP INDEX receptions_replied; DROP INDEX receptions_by_key; DROP TABLE face_failures; \
     DROP TABLE cases; DROP TABLE later_replies; DROP TABLE site_state; DROP TABLE trail; \
     ALTER TABLE receptions DROP COLUMN evidence; ALTER TABLE receptions DROP COLUMN same_visit_as; \
     ALTER TABLE receptions DROP COLUMN followed_up_ms; ALTER TABLE receptions DROP COLUMN followed_up_sync; \
     ALTER TABLE receptions DROP COLUMN opened_boot; ALTER TABLE receptions DROP COLUMN opened_mono_ms; \
     ALTER TABLE receptions DROP COLUMN recorded_place; \
     ALTER TABLE receptions DROP COLUMN followed_up; ALTER TABLE receptions DROP COLUMN followed_up_answer; \
     ALTER TABLE outbox DROP COLUMN proof; ALTER TABLE meta DROP COLUMN key_id; ALTER TABLE meta DROP COLUMN former_key_id; ALTER TABLE meta DROP COLUMN store_check; \
     DELETE FROM _sqlx_migrations WHERE version > 1; PRAGMA user_version = 1";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_of_the_first_version_is_brought_up_to_this_one_with_everything_in_it() {
    let (folder, keys, store) = three().await;
    store.close().await.unwrap();
    let mut conn = SqliteConnectOptions::new().filename(folder.path().join("store.db")).connect().await.unwrap();
    let rows: Vec<ReceptionCells> = sqlx::query_as("SELECT * FROM receptions").fetch_all(&mut conn).await.unwrap();
    for mut row in rows {
        let score = row.seal(&keys, "face_score", &0.68f32);
        (row.face_score, row.evidence) = (Some(score.clone()), None);
        (row.opened_boot, row.opened_mono_ms) = (None, None);
        row.finish(&keys);
        let early = sqlx::query("UPDATE receptions SET face_score = ?, evidence = NULL, mac = ? WHERE seq = ?");
        early.bind(score).bind(&row.mac).bind(row.seq).execute(&mut conn).await.unwrap();
    }
    let requests: Vec<OutboxCells> = sqlx::query_as("SELECT * FROM outbox").fetch_all(&mut conn).await.unwrap();
    for mut row in requests {
        row.proof = None;
        row.finish(&keys);
        let early = sqlx::query("UPDATE outbox SET mac = ? WHERE seq = ?").bind(&row.mac).bind(row.seq);
        early.execute(&mut conn).await.unwrap();
    }
    sqlx::raw_sql(FIRST_VERSION).execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
    let error = Store::open_read_only(&config(folder.path()), keys.clone()).await.err().unwrap();
    assert!(matches!(error, OpenError::Version { found: 1, .. }), "{error}");
    let store = open(folder.path(), &keys).await.unwrap();
    let found = store.receptions(9).await.unwrap();
    assert_eq!(found.len(), 3);
    assert!(found.iter().all(|record| record.evidence.verification == Verification::by_face(0.68)));
    let waiting = store.select(Destination::Central, 9, &[], at(0).wall_ms).await.unwrap();
    assert_eq!(waiting.len(), 3);
    assert!(waiting.iter().all(|row| row.request.proof == Proof::Within), "their bodies hold what vouches for them");
    assert_eq!(*store.health().borrow(), StoreHealth::Ok, "no row counts as altered for having been written earlier");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_is_locked_out_but_may_read() {
    let (folder, keys, store) = three().await;
    let error = open(folder.path(), &keys).await.err().unwrap();
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");

    let reading = Store::open_read_only(&config(folder.path()), keys.clone()).await.unwrap();
    assert_eq!(reading.receptions(9).await.unwrap().len(), 3);
    assert_eq!(reading.select(Destination::Central, 9, &[], at(0).wall_ms).await.unwrap().len(), 3);
    assert_eq!(reading.open_reception(opening(4, 4)).await, Err(StoreError::ReadOnly));
    store.close().await.unwrap();
    reading.close().await.unwrap();
    open(folder.path(), &keys).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_key_file_is_a_clear_stop() {
    let (folder, keys, store) = three().await;
    store.close().await.unwrap();
    let error = open(folder.path(), &Keys::random()).await.err().unwrap();
    assert!(matches!(error, OpenError::WrongKey { .. }), "{error}");
    let error = Store::open_read_only(&config(folder.path()), Keys::random()).await.err().unwrap();
    assert!(matches!(error, OpenError::WrongKey { .. }), "{error}");
    open(folder.path(), &keys).await.unwrap();
    let empty = tempfile::tempdir().unwrap();
    let error = Store::open_read_only(&config(empty.path()), keys).await.err().unwrap();
    assert!(matches!(error, OpenError::Missing { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_altered_outbox_row_is_held_back_and_nobody_with_it() {
    let alterations = [
        "UPDATE outbox SET body = zeroblob(60) WHERE seq = 1",
        "UPDATE outbox SET order_key = zeroblob(32) WHERE seq = 1",
        "UPDATE outbox SET attempts = 7 WHERE seq = 1",
        "UPDATE outbox SET created_ms = 7 WHERE seq = 1",
        "UPDATE outbox SET body = (SELECT body FROM outbox WHERE seq = 2), mac = (SELECT mac FROM outbox WHERE seq = 2) WHERE seq = 1",
    ];
    for alteration in alterations {
        let (folder, _keys, store) = three().await;
        store.open_reception(opening(4, 1)).await.unwrap();
        meddle(&folder.path().join("store.db"), alteration).await;
        let seqs = async |now_ms| -> Vec<i64> {
            let rows = store.select(Destination::Central, 9, &[], now_ms).await.unwrap();
            rows.into_iter().map(|row| row.seq).filter(|seq| *seq != 4 || !alteration.contains("order_key")).collect()
        };
        assert_eq!(seqs(at(0).wall_ms).await, [2, 3], "{alteration}");
        assert_eq!(*store.health().borrow(), StoreHealth::Tampered { rows: 1 }, "{alteration}");
        let others: &[i64] = if alteration.contains("order_key") { &[2, 3] } else { &[2, 3, 4] };
        assert_eq!(seqs(at(0).wall_ms).await, others, "{alteration}");
        assert_eq!(store.outbox_counts(Destination::Central).await.unwrap().isolated, 1);
        let error = store.settle(1, answered(), at(0)).await.unwrap_err();
        assert!(matches!(error, StoreError::Tampered { .. }), "{error}");
        // Set to pending again by the same hand: still recognised.
        meddle(&folder.path().join("store.db"), "UPDATE outbox SET state = 'pending', not_before_ms = 0 WHERE seq = 1")
            .await;
        assert_eq!(seqs(at(0).wall_ms).await, [2, 3], "{alteration}");
        if !alteration.contains("order_key") {
            assert_eq!(seqs(at(25 * 3_600_000).wall_ms).await, [2, 3, 4], "{alteration}: its hold is over");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_come_together_are_each_kept_and_an_altered_row_among_them_alone_is_held_back() {
    let (folder, _keys, store) = three().await;
    for number in 4..=60 {
        store.open_reception(opening(number, number as u8)).await.unwrap();
    }
    meddle(&folder.path().join("store.db"), "UPDATE outbox SET attempts = 7 WHERE seq = 20").await;
    meddle(&folder.path().join("store.db"), "UPDATE receptions SET method = 'staff' WHERE seq = 30").await;
    let mut replies = store.replies();
    let before = store.commits();
    // Each twice, as after a crash between commit and acknowledgement.
    let settles = (1..=60).chain(1..=60).map(|seq| {
        let store = store.clone();
        async move { (seq, store.settle(seq, answered(), at(0)).await) }
    });
    for (seq, settled) in futures_util::future::join_all(settles).await {
        let tampered = matches!(settled, Err(StoreError::Tampered { .. }));
        assert_eq!(tampered, [20, 30].contains(&seq), "{seq}: {settled:?}");
    }
    assert!(store.commits() - before < 20, "{} commits", store.commits() - before);
    let counts = store.outbox_counts(Destination::Central).await.unwrap();
    assert_eq!((counts.pending, counts.isolated), (0, 2));
    for number in (1..=60).filter(|number| ![20, 30].contains(number)) {
        let kept = store.kept_replies(reception(number)).await.unwrap();
        assert_eq!(kept.len(), 1, "reception {number}");
        let answer = store.answer(reception(number), eligibility(number).id).await.unwrap();
        assert!(answer.is_some(), "reception {number}");
        // A settled id is known: the same request is not sent once more.
        store.open_reception(opening(number, number as u8)).await.unwrap();
    }
    assert_eq!(store.outbox_counts(Destination::Central).await.unwrap().pending, 0);
    let mut told = std::collections::BTreeSet::new();
    while let Ok(notice) = replies.try_recv() {
        assert!(told.insert(notice.reception), "told twice");
    }
    assert_eq!(told.len(), 58);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_altered_reception_is_not_read_recorded_or_listed() {
    let (folder, _keys, store) = three().await;
    meddle(&folder.path().join("store.db"), "UPDATE receptions SET method = 'staff' WHERE seq = 1").await;
    let tampered = |error: Option<StoreError>| matches!(error, Some(StoreError::Tampered { .. }));
    assert!(tampered(store.reception(reception(1)).await.err()));
    assert!(tampered(store.record_reception(recording(1, Shown::Provisional)).await.err()));
    assert!(tampered(store.settle(1, answered(), at(0)).await.err()));
    assert_eq!(store.outbox_counts(Destination::Central).await.unwrap().isolated, 1, "its answer does not vanish");
    assert_eq!(store.receptions(9).await.unwrap().len(), 2);
    assert_eq!(store.abandon_open(None, at(0)).await.unwrap(), [reception(2), reception(3)]);
    assert!(matches!(*store.health().borrow(), StoreHealth::Tampered { .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_altered_case_or_answer_is_not_used_and_hides_no_other() {
    let (folder, _keys, store) = three().await;
    for number in [1, 2] {
        store.record_reception(with_case(number)).await.unwrap();
    }
    store.follow_up(reception(2), follow_up(9), Lane::Interactive, at(0)).await.unwrap();
    let later = store.outbox(Destination::Central, 9).await.unwrap().into_iter().find(|row| row.id == follow_up(9).id);
    store.settle(later.unwrap().seq, answered(), at(0)).await.unwrap();
    let row = store.case(reception(1)).await.unwrap().unwrap();
    let database = folder.path().join("store.db");
    meddle(&database, "UPDATE cases SET version = version + 1 WHERE seq = 1").await;
    meddle(&database, "UPDATE later_replies SET replied_ms = replied_ms + 1").await;
    let tampered = |error: Option<StoreError>| matches!(error, Some(StoreError::Tampered { .. }));
    assert!(tampered(store.case(reception(1)).await.err()));
    assert!(tampered(store.papers(reception(1)).await.err()));
    assert!(tampered(store.save_case(case_write(&row, 10)).await.err()));
    assert!(tampered(store.answer(reception(2), follow_up(9).id).await.err()));
    assert_eq!(store.kept_replies(reception(2)).await, Ok(vec![]));
    assert_eq!(store.open_cases(9).await.unwrap().len(), 1);
    assert!(matches!(*store.health().borrow(), StoreHealth::Tampered { .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_personal_lies_in_the_files() {
    let (folder, _keys, store) = three().await;
    store.record_reception(with_case(1)).await.unwrap();
    store.settle(1, answered(), at(0)).await.unwrap();
    store.follow_up(reception(1), follow_up(9), Lane::Interactive, at(0)).await.unwrap();
    let later = store.outbox(Destination::Central, 9).await.unwrap().into_iter().find(|row| row.id == follow_up(9).id);
    store.settle(later.unwrap().seq, answered(), at(0)).await.unwrap();
    store.settle(2, Settlement::Rejected { code: "no".into() }, at(0)).await.unwrap();
    let score = opening(1, 1).evidence.verification.face_score.unwrap();
    let real = |bytes: &[u8], mark: &[u8]| bytes.windows(mark.len()).any(|window| window == mark);
    let mut searched = 0;
    let mut search = || {
        for entry in fs::read_dir(folder.path()).unwrap() {
            let path = entry.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            searched += bytes.len();
            for mark in [b"MARKED".as_slice(), b"checkups", &score.to_le_bytes(), &f64::from(score).to_be_bytes()] {
                assert!(!real(&bytes, mark), "{} in {}", String::from_utf8_lossy(mark), path.display());
            }
        }
    };
    search();
    store.close().await.unwrap();
    search();
    assert!(searched > 50_000, "{searched} bytes");
    assert!(real(&fs::read(folder.path().join("store.db")).unwrap(), b"desk-1/a"), "the search finds what is there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_the_database_refuses_fails_alone() {
    let (_folder, _keys, store) = three().await;
    let (before, poison, after) = tokio::join!(
        store.open_reception(opening(4, 4)),
        store.write(Command::Sql("INSERT INTO outbox (seq) VALUES (NULL)")),
        store.open_reception(opening(5, 5)),
    );
    assert_eq!((before, after), (Ok(()), Ok(())));
    assert!(matches!(poison, Err(StoreError::Refused { .. })), "{poison:?}");
    assert_eq!(store.receptions(9).await.unwrap().len(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_said_loses_nothing_and_ends() {
    let (folder, keys) = (tempfile::tempdir().unwrap(), Keys::random());
    let with_ballast = StoreConfig { ballast_bytes: 200_000, ..config(folder.path()) };
    let store = Store::open(&with_ballast, keys.clone()).await.unwrap();
    store.open_reception(opening(1, 1)).await.unwrap();
    assert!(folder.path().join("store.db.ballast").exists());
    store.write(Command::Sql("PRAGMA max_page_count = 1")).await.unwrap();
    let mut number = 1;
    let error = loop {
        number += 1;
        if let Err(error) = store.open_reception(opening(number, 1)).await {
            break error;
        }
    };
    assert_eq!(error, StoreError::Full);
    assert_eq!(*store.health().borrow(), StoreHealth::Full { writing: false });
    let ballast = || fs::metadata(folder.path().join("store.db.ballast")).map_or(0, |found| found.len());
    assert_eq!(ballast(), 100_000, "half of the reserve was given back");
    assert_eq!(store.write(Command::Sql("CREATE TABLE more AS SELECT zeroblob(100000)")).await, Err(StoreError::Full));
    assert_eq!(ballast(), 0, "all of it, to a write that begins nothing");
    let refused = store.open_reception(opening(number, 1)).await;
    assert_eq!(refused, Err(StoreError::Full), "no new reception takes its room");
    assert_eq!(store.receptions(999).await.unwrap().len(), number as usize - 1);

    store.write(Command::Sql("PRAGMA max_page_count = 100000")).await.unwrap();
    let mut health = store.health();
    let well = health.wait_for(|health| *health == StoreHealth::Ok);
    tokio::time::timeout(std::time::Duration::from_secs(20), well).await.expect("room is looked for").unwrap();
    assert_eq!(ballast(), 200_000, "and taken again");
    store.open_reception(opening(number, 1)).await.unwrap();
    store.close().await.unwrap();
    let store = Store::open(&with_ballast, keys).await.unwrap();
    assert_eq!(store.receptions(999).await.unwrap().len(), number as usize);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_whose_settled_id_was_forgotten_is_not_acknowledged() {
    let rig = Rig::sqlite().await;
    rig.store.open_reception(opening(1, 1)).await.unwrap();
    rig.settle(eligibility(1).id, answered()).await;
    assert_eq!(rig.store.forget_settled(at(86_400_000).wall_ms, 9).await.unwrap(), 1);
    let again = rig.store.open_reception(opening(1, 1)).await.unwrap_err();
    assert!(
        matches!(again, StoreError::Conflict { .. }),
        "what cannot be proven the same is not acknowledged: {again}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_side_file_that_cannot_be_written_ends_all_acknowledgement() {
    let (folder, keys, store) = three().await;
    store.write(Command::BreakSideFile).await.unwrap();
    let fatal = |error: Option<StoreError>| error.is_some_and(|error| error.class() == Class::Fatal);
    assert!(fatal(store.open_reception(opening(4, 4)).await.err()));
    assert!(matches!(*store.health().borrow(), StoreHealth::Failed { .. }));
    assert!(fatal(store.open_reception(opening(1, 1)).await.err()), "not even what is on disk already");
    assert!(fatal(store.reception(reception(1)).await.err()));
    assert!(fatal(store.clone().close().await.err()));

    let after = snapshot(folder.path());
    let store = open(after.path(), &keys).await.unwrap();
    store.open_reception(opening(4, 4)).await.unwrap();
    assert_eq!(store.receptions(9).await.unwrap().len(), 4, "the write that nobody heard of took place once");
}

/// A small file system in memory, gone when dropped; `None` where the machine lets nobody mount.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(folder.path());
        mount.output().is_ok_and(|done| done.status.success()).then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("--lazy").arg(self.0.path()).output();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_disk_that_is_really_full_settlements_go_on_and_nothing_is_lost() {
    let Some(disk) = SmallDisk::mount("24m") else {
        println!("skipped: this machine does not let us mount a small file system");
        return;
    };
    let keys = Keys::random();
    let config = StoreConfig { ballast_bytes: 8 * 1024 * 1024, ..StoreConfig::new(disk.0.path().join("store.db")) };
    let store = Store::open(&config, keys.clone()).await.unwrap();
    let mut acknowledged = 0;
    let error = loop {
        let mut next = opening(acknowledged + 1, 1);
        next.request.body.resize(8000, 7);
        match store.open_reception(next).await {
            Ok(()) => acknowledged += 1,
            Err(error) => break error,
        }
    };
    println!("{acknowledged} receptions, then: {error}");
    assert_eq!(error, StoreError::Full);
    let mut settled = 0;
    for seq in 1..=i64::from(acknowledged) {
        settled += u32::from(store.settle(seq, answered(), at(0)).await.is_ok());
    }
    println!("{settled} settled on a full disk, health {:?}", *store.health().borrow());
    assert_eq!(settled, acknowledged);
    assert_eq!(store.receptions(99_999).await.unwrap().len(), acknowledged as usize);
    store.close().await.unwrap();
    let store = Store::open(&config, keys).await.unwrap();
    assert_eq!(store.receptions(99_999).await.unwrap().len(), acknowledged as usize);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_that_an_earlier_life_left_gives_its_room_to_a_start_on_a_full_disk() {
    let Some(disk) = SmallDisk::mount("24m") else {
        println!("skipped: this machine does not let us mount a small file system");
        return;
    };
    let keys = Keys::random();
    let config = StoreConfig { ballast_bytes: 0, ..StoreConfig::new(disk.0.path().join("store.db")) };
    let store = Store::open(&config, keys.clone()).await.unwrap();
    store.open_reception(opening(1, 1)).await.unwrap();
    while store.figures().await.unwrap().mirror_bytes == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    store.close().await.unwrap();
    let mut other = fs::File::create(disk.0.path().join("somebody-else")).unwrap();
    while std::io::Write::write_all(&mut other, &[7; 512]).is_ok() {}
    let store = Store::open(&config, keys).await.unwrap();
    assert_eq!(store.receptions(9).await.unwrap().len(), 1);
}

/// As large as a request of the PIN path, with the card's certificate in it.
const REQUEST_BYTES: usize = 3000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_receptions_fit_on_a_disk_that_somebody_else_has_filled_and_then_drain() {
    let Some(disk) = SmallDisk::mount("128m") else {
        println!("skipped: this machine does not let us mount a small file system");
        return;
    };
    let keys = Keys::random();
    let config = StoreConfig::new(disk.0.path().join("store.db"));
    let store = Store::open(&config, keys.clone()).await.unwrap();
    store.open_reception(opening(1, 1)).await.unwrap();
    let mut other = fs::File::create(disk.0.path().join("somebody-else")).unwrap();
    while std::io::Write::write_all(&mut other, &[7; 4096]).is_ok() {}

    let mut done = 0;
    let error = loop {
        let number = done + 2;
        let mut next = opening(number, (number % 200) as u8);
        next.request.body.resize(REQUEST_BYTES, 7);
        if let Err(error) = store.open_reception(next).await {
            break error;
        }
        let mut counts = recording(number, Shown::Provisional);
        counts.request.as_mut().unwrap().body.resize(REQUEST_BYTES, 7);
        // Whoever was let in is seen through to the end.
        store.record_reception(counts).await.unwrap();
        done += 1;
    };
    println!("{done} receptions on a full disk, then: {error}");
    assert_eq!(error, StoreError::Full);
    assert!(done >= 500, "{done} receptions fit");
    let rows = store.outbox(Destination::Central, usize::MAX).await.unwrap();
    assert_eq!(rows.len(), 1 + 2 * done as usize);
    for row in rows {
        let verdict = if row.kind.asks().is_some() { answered() } else { Settlement::Delivered };
        store.settle(row.seq, verdict, at(0)).await.unwrap();
    }
    assert_eq!(store.outbox_counts(Destination::Central).await.unwrap().pending, 0, "the queue drains on a full disk");
    store.close().await.unwrap();
    let store = Store::open(&config, keys).await.unwrap();
    assert_eq!(store.receptions(99_999).await.unwrap().len(), 1 + done as usize);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_there_is_no_room_for_the_whole_reserve_a_part_of_it_is_held_and_a_store_on_a_full_disk_recovers() {
    let Some(disk) = SmallDisk::mount("16m") else {
        println!("skipped: this machine does not let us mount a small file system");
        return;
    };
    let config = StoreConfig::new(disk.0.path().join("store.db"));
    let store = Store::open(&config, Keys::random()).await.unwrap();
    let reserve = || fs::metadata(disk.0.path().join("store.db.ballast")).map_or(0, |found| found.len());
    assert_eq!(reserve(), 6 * 1024 * 1024, "a quarter: as much again is left beside it");
    let filler = disk.0.path().join("somebody-else");
    let mut other = fs::File::create(&filler).unwrap();
    let mut number = 0;
    loop {
        while std::io::Write::write_all(&mut other, &[7; 4096]).is_ok() {}
        number += 1;
        if store.open_reception(opening(number, 1)).await == Err(StoreError::Full) {
            break;
        }
    }
    // Only a closed file gives its room back.
    drop(other);
    fs::remove_file(filler).unwrap();
    // Patients keep coming: nobody has to wait for a lull.
    let well = async {
        while *store.health().borrow() != StoreHealth::Ok {
            number += 1;
            let _ = store.open_reception(opening(number, 1)).await;
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), well).await.expect("room is looked for");
    store.open_reception(opening(number + 1, 1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cases_of_an_older_version_are_found_by_their_owner_as_well() {
    let (folder, keys, store) = three().await;
    store.record_reception(with_case(1)).await.unwrap();
    let mut conn = SqliteConnectOptions::new().filename(folder.path().join("store.db")).connect().await.unwrap();
    let mut row: CaseCells = sqlx::query_as("SELECT * FROM cases").fetch_one(&mut conn).await.unwrap();
    row.owner = None;
    row.mac = row.check(&keys).finish();
    row.put(&mut conn).await.unwrap();
    conn.close().await.unwrap();
    let found = |owner| store.open_cases_of(owner, 9);
    assert_eq!(found(Owner::Machine).await.unwrap().len(), 1);
    assert_eq!(found(Owner::Desk).await, Ok(vec![]));
    assert_eq!(*store.health().borrow(), StoreHealth::Ok);
}
