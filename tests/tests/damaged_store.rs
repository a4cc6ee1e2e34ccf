//! A store that lost anything acknowledged, or whose keys do not fit, stops the start with a sentence and is left as it is.

use anyhow::{Context, Result};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use uketsuke_tests::central::ModeSpec;
use uketsuke_tests::scene::{PIN, Scene};
use uketsuke_tests::site::Plan;

const READER: &str = "desk-1/a";
const FILES: [&str; 3] = ["uketsuke.db", "uketsuke.db-wal", "uketsuke.db.head"];

/// A gateway whose power went after patients had been received; the write-ahead log holds what they were told.
async fn cut_off() -> Result<(Scene, String)> {
    let mut scene = Scene::start(Plan { answer_deadline_ms: 500, ..Plan::default() })?;
    scene.central(ModeSpec::new("down"))?;
    // Who reads keeps the log from being moved into the database: whatever does that after a start may come as late as the last reception.
    let options = SqliteConnectOptions::new().filename(data(&scene).join("uketsuke.db")).read_only(true);
    let mut reader = options.connect().await?;
    sqlx::query("BEGIN").execute(&mut reader).await?;
    sqlx::query("SELECT COUNT(*) FROM receptions").fetch_one(&mut reader).await?;
    let visit = scene.check_in(READER, &scene.card("TEST-VALID-1")?, PIN).await?;
    scene.site.kill_gateway()?;
    reader.close().await?;
    Ok((scene, visit.reception))
}

fn data(scene: &Scene) -> PathBuf {
    scene.dir().join("data")
}

/// The files of a store, to be put back.
fn kept(scene: &Scene) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let read = |name| {
        let path = data(scene).join(name);
        let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
        Ok((path, bytes))
    };
    FILES.into_iter().map(read).collect()
}

fn put_back(files: &[(PathBuf, Vec<u8>)]) -> Result<()> {
    files.iter().try_for_each(|(path, bytes)| Ok(std::fs::write(path, bytes)?))
}

/// `run`, `check` and `queue` refuse the store with these words, each with its exit code.
fn refused(scene: &Scene, what: &str, words: &str) -> Result<()> {
    for (command, expected) in [("run", 74), ("check", 1), ("queue", 74)] {
        let (code, said) = scene.ended(&[command])?;
        assert_eq!(code, Some(expected), "{what}, {command}: {said}");
        assert!(said.contains("cannot open the store") && said.contains(words), "{what}, {command}: {said}");
        assert!(!said.contains("panicked"), "{what}, {command}: {said}");
    }
    Ok(())
}

fn cut(path: &Path, bytes: u64) -> Result<()> {
    Ok(std::fs::File::options().write(true).open(path)?.set_len(bytes)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_lost_what_was_acknowledged_is_refused_and_left_as_it_is() -> Result<()> {
    let (mut scene, reception) = cut_off().await?;
    let good = kept(&scene)?;
    let [database, log, head] = FILES.map(|name| data(&scene).join(name));
    let length = |path: &Path| std::fs::metadata(path).map(|found| found.len());
    let lost = "lost commits that were acknowledged";
    for (what, path, left, words) in [
        ("half of the log", &log, Some(length(&log)? / 2), lost),
        ("the log but its header", &log, Some(32), lost),
        ("an emptied log", &log, Some(0), lost),
        ("no log", &log, None, lost),
        ("an emptied database", &database, Some(0), lost),
        ("a head that is cut short", &head, Some(10), "is damaged"),
        ("an emptied head", &head, Some(0), "is missing or empty"),
        ("no head", &head, None, "is missing or empty"),
    ] {
        match left {
            Some(bytes) => cut(path, bytes)?,
            None => std::fs::remove_file(path)?,
        }
        refused(&scene, what, words)?;
        match left {
            Some(bytes) => assert_eq!(length(path)?, bytes, "{what}: the evidence stays"),
            None => assert!(!path.exists() || length(path)? == 0, "{what}: nothing is put in its place"),
        }
        put_back(&good)?;
    }
    scene.site.start_gateway()?;
    assert_eq!(scene.explanation(&reception)?["code"], "provisional", "whole again, it has everything");
    Ok(())
}

/// The page, counted from 1, at which a table begins.
async fn root_page(database: &Path, table: &str) -> Result<u64> {
    let mut conn = SqliteConnectOptions::new().filename(database).read_only(true).connect().await?;
    let query = sqlx::query_scalar("SELECT rootpage FROM sqlite_schema WHERE type = 'table' AND name = ?").bind(table);
    let page: i64 = query.fetch_one(&mut conn).await?;
    conn.close().await?;
    Ok(page.try_into()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_cut_short_or_scratched_is_refused_and_rescue_says_what_cannot_be_read() -> Result<()> {
    let mut scene = Scene::start(Plan::default())?;
    for number in 1..=3 {
        scene.check_in(READER, &scene.card(&format!("TEST-VALID-{number}"))?, PIN).await?;
    }
    assert_eq!(scene.site.stop_gateway()?, Some(0));
    let database = data(&scene).join("uketsuke.db");
    let good = std::fs::read(&database)?;
    let whole = good.len() as u64;
    for bytes in [100, 4096, whole / 2, whole - 4096] {
        cut(&database, bytes)?;
        refused(&scene, &format!("{bytes} of {whole} bytes"), "")?;
        std::fs::write(&database, &good)?;
    }

    let page = root_page(&database, "receptions").await?;
    let file = std::fs::File::options().write(true).open(&database)?;
    file.write_all_at(&[0xa5; 4096], (page - 1) * 4096)?;
    drop(file);
    let scratched = std::fs::read(&database)?;
    let (code, said) = scene.ended(&["run"])?;
    assert!(code == Some(74) && said.contains("cannot open the store"), "{code:?} {said}");
    let to = scene.dir().join("rescued");
    let (code, said) = scene.ended(&["queue", "rescue", "--to", to.to_str().context("a path in UTF-8")?])?;
    assert!(code == Some(0) && said.contains("cannot be read: "), "{code:?} {said}");
    assert!(to.join("receptions.jsonl").is_file() && to.join("outbox.jsonl").is_file(), "{said}");
    assert!(std::fs::read(&database)? == scratched, "neither the start nor rescue changes what is damaged");

    std::fs::write(&database, &good)?;
    scene.site.start_gateway()?;
    scene.receives_the_next_patient(READER).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_a_newer_version_is_refused_and_left_alone() -> Result<()> {
    let mut scene = Scene::start(Plan::default())?;
    assert_eq!(scene.site.stop_gateway()?, Some(0));
    let database = data(&scene).join("uketsuke.db");
    let own = std::fs::read(&database)?;
    let mut newer = own.clone();
    // The user version of a SQLite file (file format, 1.3).
    newer[60..64].copy_from_slice(&99_u32.to_be_bytes());
    std::fs::write(&database, &newer)?;
    refused(&scene, "a newer version", "it has version 99, this program knows version")?;
    assert!(std::fs::read(&database)? == newer, "the newer file was changed");
    std::fs::write(&database, own)?;
    scene.site.start_gateway()?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_file_that_does_not_hold_the_databases_keys_is_a_clear_stop() -> Result<()> {
    let mut scene = Scene::start(Plan::default())?;
    let visit = scene.check_in(READER, &scene.card("TEST-VALID-1")?, PIN).await?;
    let key_file = scene.dir().join("keys/store.key");
    let before = std::fs::read(&key_file)?;
    assert_eq!(scene.site.ask(&["keys", "rotate"])?.0, Some(0));
    assert_eq!(scene.site.stop_gateway()?, Some(0));
    let own = std::fs::read(&key_file)?;

    std::fs::write(&key_file, before)?;
    refused(&scene, "the key file of before the rotation", "which the key file does not hold")?;

    let mut other = Scene::start(Plan::default())?;
    assert_eq!(other.site.stop_gateway()?, Some(0));
    std::fs::write(&key_file, std::fs::read(other.dir().join("keys/store.key"))?)?;
    refused(&scene, "the key file of another site", "the key file belongs to another database")?;

    let half = &own[..own.len() / 2];
    std::fs::write(&key_file, half)?;
    for (command, expected) in [("run", 64), ("check", 1), ("queue", 64)] {
        let (code, said) = scene.ended(&[command])?;
        assert!(code == Some(expected) && said.contains("restore it from its backup"), "{command}: {code:?} {said}");
    }

    std::fs::write(&key_file, own)?;
    scene.site.start_gateway()?;
    assert_eq!(scene.explanation(&visit.reception)?["code"], "confirmed");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_wiped_while_a_request_waits() -> Result<()> {
    let (scene, _) = cut_off().await?;
    let (code, said) = scene.ended(&["queue", "wipe", "--yes"])?;
    assert!(code == Some(1) && said.contains("the store is not wiped: 2 requests wait"), "{code:?} {said}");
    for path in FILES.map(|name| data(&scene).join(name)).iter().chain([&scene.dir().join("keys/store.key")]) {
        // The log was moved into the database when wipe closed it.
        assert!(path.exists() || path.ends_with("uketsuke.db-wal"), "{} is gone", path.display());
    }
    Ok(())
}
