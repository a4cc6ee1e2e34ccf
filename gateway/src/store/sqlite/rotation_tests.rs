//! A change of the sealing key, cut short everywhere.

use crate::store::command::Command;
use crate::store::keys::{Keys, SealingKey};
use crate::store::rotation::{Rotation, RotationError, RotationStep};
use crate::store::scene::{answered, at, config, eligibility, follow_up, opening, reception, snapshot, with_case};
use crate::store::{
    Destination, Keeping, KeptName, KeyError, Lane, OpenError, Store, StoreError, StoreHealth, TrailEntry,
};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use std::fs;
use std::path::{Path, PathBuf};
use uuid::Uuid;
use zeroize::Zeroizing;

const RECEPTIONS: u32 = 70;

fn key_file(folder: &Path) -> PathBuf {
    folder.join("store.key")
}

async fn open(folder: &Path) -> Result<Store, OpenError> {
    Store::open(&config(folder), Keys::load(&key_file(folder)).unwrap()).await
}

/// A store with something in every sealed column of every table.
async fn full() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let keys = Keys::create(&key_file(folder.path())).unwrap();
    let store = Store::open(&config(folder.path()), keys).await.unwrap();
    for number in 1..=RECEPTIONS {
        store.open_reception(opening(number, number as u8)).await.unwrap();
    }
    store.record_reception(with_case(1)).await.unwrap();
    let seq = async |id| {
        let rows = store.outbox(Destination::Central, usize::MAX).await.unwrap();
        rows.into_iter().find(|row| row.id == id).map(|row| row.seq).unwrap()
    };
    store.settle(seq(eligibility(1).id).await, answered(), at(0)).await.unwrap();
    store.follow_up(reception(1), follow_up(9), Lane::Interactive, at(0)).await.unwrap();
    store.settle(seq(follow_up(9).id).await, answered(), at(0)).await.unwrap();
    let entry = TrailEntry {
        id: Uuid::from_u128(5),
        at: at(0),
        by: "x".into(),
        what: "y".into(),
        detail: "z".into(),
        rules: None,
    };
    let value = Zeroizing::new(b"MARKED-VALUE".to_vec());
    store.keep(Keeping { name: KeptName::Modes, value, trail: vec![entry] }).await.unwrap();
    (folder, store)
}

/// Everything that is sealed can be read.
async fn reads(store: &Store) {
    assert_eq!(store.receptions(999).await.unwrap().len(), RECEPTIONS as usize);
    let open = store.select(Destination::Central, 999, &[], at(0).wall_ms).await.unwrap();
    assert_eq!(open.len(), RECEPTIONS as usize, "of the first reception its consent, of every other its question");
    assert_eq!(store.papers(reception(1)).await.unwrap().len(), 1);
    for request in [eligibility(1).id, follow_up(9).id] {
        assert!(store.answer(reception(1), request).await.unwrap().is_some());
    }
    assert_eq!(store.kept(KeptName::Modes).await.unwrap().unwrap().as_slice(), b"MARKED-VALUE");
    assert_eq!(store.trail(9).await.unwrap().len(), 1);
    assert_eq!(*store.health().borrow(), StoreHealth::Ok);
}

/// The files as a power cut would leave them now.
fn cut(folder: &Path) -> tempfile::TempDir {
    let after = snapshot(folder);
    fs::copy(key_file(folder), key_file(after.path())).unwrap();
    after
}

async fn holds(folder: &Path, id: [u8; 4]) -> bool {
    let mut conn = SqliteConnectOptions::new().filename(folder.join("store.db")).connect().await.unwrap();
    let mut found = 0;
    for (table, column) in [
        ("receptions", "evidence"),
        ("receptions", "consents"),
        ("receptions", "answer"),
        ("outbox", "body"),
        ("cases", "papers"),
        ("later_replies", "answer"),
        ("site_state", "value"),
        ("trail", "entry"),
    ] {
        let statement = format!("SELECT COUNT(*) FROM {table} WHERE substr({column}, 1, 4) = ?");
        let query = sqlx::query_scalar::<_, i64>(sqlx::AssertSqlSafe(statement)).bind(id.to_vec());
        found += query.fetch_one(&mut conn).await.unwrap();
    }
    conn.close().await.unwrap();
    found > 0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_seals_everything_anew_while_receptions_go_on_and_destroys_the_former_key() {
    let (folder, store) = full().await;
    let before = Keys::load(&key_file(folder.path())).unwrap();
    let going_on = tokio::spawn({
        let store = store.clone();
        async move {
            for number in 500..540 {
                store.open_reception(opening(number, 200)).await.unwrap();
                store
                    .abandon_reception(reception(number), uketsuke_core::record::Abandonment::Cancelled, at(0))
                    .await
                    .unwrap();
            }
        }
    });
    let done = Rotation::begin(store.clone(), &key_file(folder.path())).run().await.unwrap().unwrap();
    going_on.await.unwrap();
    assert!(!done.resumed && done.unreadable == 0 && done.resealed > u64::from(RECEPTIONS), "{done:?}");
    let after = Keys::load(&key_file(folder.path())).unwrap();
    assert!(after.ring().former.is_none() && after.opening(before.sealing().id).is_none());
    assert!(!holds(folder.path(), before.sealing().id).await && holds(folder.path(), after.sealing().id).await);
    assert_eq!(Rotation::resume(store.clone(), &key_file(folder.path())).run().await.unwrap(), None);
    store.close().await.unwrap();
    let error = Store::open(&config(folder.path()), before.clone()).await.err().unwrap();
    let OpenError::KeyUnknown { key, .. } = &error else { panic!("{error}") };
    assert_eq!(*key, super::super::keys::id_word(&after.sealing().id), "an old key file is a clear stop");
    assert_eq!(open(folder.path()).await.unwrap().receptions(999).await.unwrap().len(), RECEPTIONS as usize + 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_cut_short_after_any_step_loses_nothing_and_goes_on() {
    let (folder, store) = full().await;
    let former = Keys::load(&key_file(folder.path())).unwrap().sealing().id;
    let mut rotation = Rotation::begin(store.clone(), &key_file(folder.path()));
    let mut steps = Vec::new();
    loop {
        let step = rotation.step().await.unwrap();
        let after = cut(folder.path());
        let store = open(after.path()).await.unwrap_or_else(|error| panic!("after {steps:?}, {step:?}: {error}"));
        reads(&store).await;
        // What comes after the start is sealed with a key that stays.
        store.open_reception(opening(900, 250)).await.unwrap();
        store.abandon_reception(reception(900), uketsuke_core::record::Abandonment::Cancelled, at(0)).await.unwrap();
        let left = Rotation::resume(store.clone(), &key_file(after.path())).run().await.unwrap();
        assert_eq!(left.is_some(), !matches!(step, None | Some(RotationStep::Destroyed)), "{step:?}");
        assert!(!holds(after.path(), former).await, "after {step:?}");
        store.close().await.unwrap();
        assert!(Keys::load(&key_file(after.path())).unwrap().ring().former.is_none());
        assert_eq!(open(after.path()).await.unwrap().receptions(999).await.unwrap().len(), RECEPTIONS as usize + 1);
        let Some(step) = step else { break };
        steps.push(step);
    }
    for step in [RotationStep::KeyWritten, RotationStep::Switched, RotationStep::NoneLeft, RotationStep::Destroyed] {
        assert_eq!(steps.iter().filter(|taken| **taken == step).count(), 1, "{steps:?}");
    }
    reads(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_rotation_without_its_former_key_is_a_clear_stop() {
    let (folder, store) = full().await;
    let former = Keys::load(&key_file(folder.path())).unwrap().sealing().id;
    let mut rotation = Rotation::begin(store.clone(), &key_file(folder.path()));
    while rotation.step().await.unwrap() != Some(RotationStep::Switched) {}
    let after = cut(folder.path());
    let ring = Keys::load(&key_file(after.path())).unwrap();
    let alone = super::super::keys::Ring { current: ring.sealing(), former: None };
    ring.replace(&key_file(after.path()), &alone).unwrap();
    let error = open(after.path()).await.err().unwrap();
    let OpenError::KeyUnknown { key, .. } = &error else { panic!("{error}") };
    assert_eq!(*key, super::super::keys::id_word(&former));
    assert!(error.to_string().contains("put back the key file that holds it"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_whose_key_is_gone_stops_the_store_and_isolates_nothing() {
    let (folder, store) = full().await;
    let keys = store.as_sqlite().unwrap().keys().clone();
    store.close().await.unwrap();
    // As after a rotation that somebody finished by hand in the database.
    let store = Store::open(&config(folder.path()), keys.clone()).await.unwrap();
    keys.set_ring(super::super::keys::Ring { current: SealingKey::random(&[]), former: None });
    let error = store.select(Destination::Central, 9, &[], at(0).wall_ms).await.err().unwrap();
    assert!(
        matches!(&error, StoreError::Fatal { what } if what.contains("which the key file does not hold")),
        "{error}"
    );
    assert!(matches!(*store.health().borrow(), StoreHealth::Failed { .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_altered_value_stays_recognisable_and_holds_no_rotation_up() {
    let (folder, store) = full().await;
    store.write(Command::Sql("UPDATE outbox SET attempts = 3 WHERE seq = 5")).await.unwrap();
    store.write(Command::Sql("UPDATE receptions SET evidence = substr(evidence, 1, 30) WHERE seq = 6")).await.unwrap();
    let done = Rotation::begin(store.clone(), &key_file(folder.path())).run().await.unwrap().unwrap();
    assert_eq!(done.unreadable, 1);
    let sent = store.select(Destination::Central, 999, &[], at(0).wall_ms).await.unwrap();
    assert!(sent.iter().all(|row| row.seq != 5), "sealed anew, and still known to be altered");
    assert!(matches!(store.reception(reception(6)).await, Err(StoreError::Tampered { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_file_that_is_exposed_or_exchanged_is_not_rotated() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, store) = full().await;
    let path = key_file(folder.path());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let error = Rotation::begin(store.clone(), &path).run().await.unwrap_err();
    assert!(matches!(error, RotationError::Keys(KeyError::Exposed { .. })), "{error}");
    fs::remove_file(&path).unwrap();
    Keys::create(&path).unwrap();
    let error = Rotation::begin(store.clone(), &path).run().await.unwrap_err();
    assert!(matches!(error, RotationError::Exchanged { .. }), "{error}");
    reads(&store).await;
}
