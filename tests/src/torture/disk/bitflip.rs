//! `bitflip`: one bit of the database, its write-ahead log or its side file is another, or two rows have exchanged a value. The next start,
//! or the walk through everything that follows it, finds out; or it makes no difference. Never is something silently wrong.

use super::iofault::{command, promises};
use super::load;
use super::scene::Promise;
use super::witness;
use crate::report::Report;
use crate::torture::Settings;
use anyhow::{Context, Result, bail, ensure};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqliteConnection};
use std::collections::BTreeMap;
use std::path::Path;
use uketsuke::store::{Inspection, Store, StoreHealth};

/// In the database itself; those after them are in its log.
const IN_DATABASE: u32 = 40;
const RECEPTIONS: u32 = 70;
/// One in so many is an exchange of values.
const SWAPS: u32 = 5;
const STEP_ROWS: usize = 256;
/// Tables whose rows carry a check, each with its key.
const TABLES: [(&str, &str); 4] =
    [("receptions", "seq"), ("outbox", "seq"), ("cases", "seq"), ("later_replies", "request")];

/// What became of a damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    /// The next start was refused.
    Refused,
    /// The walk or a read found it.
    Found,
    /// Everything is as it was promised.
    Harmless,
}

/// `settings.cycles` damages, one at a time.
pub(in crate::torture) fn run(dir: &Path, settings: Settings, report: &mut Report) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let store = dir.join("store");
    std::fs::create_dir(&store)?;
    let begun = command(&store, IN_DATABASE, 4)?.output()?;
    let went_on = command(&store, RECEPTIONS, 4)?.args(["--first", &IN_DATABASE.to_string(), "--abort"]).output()?;
    ensure!(begun.status.success(), "the load ended with {}", begun.status);
    let mut promised = promises(&begun)?;
    promised.extend(promises(&went_on)?);
    let mut rng = StdRng::seed_from_u64(settings.seed);
    let mut fates: BTreeMap<(&str, Fate), u32> = BTreeMap::new();
    for cycle in 0..settings.cycles {
        let copy = super::place(dir)?;
        std::fs::copy(store.with_extension("key"), copy.with_extension("key"))?;
        for name in ["store.db", "store.db-wal", "store.db.head"] {
            std::fs::copy(store.join(name), copy.join(name)).with_context(|| format!("copying {name}"))?;
        }
        let (of, what) = if cycle % SWAPS == 0 {
            ("swap", runtime.block_on(exchange(&copy, &mut rng))?)
        } else {
            flip(&copy, &mut rng)?
        };
        match runtime.block_on(judge(&copy, &promised))? {
            Ok(fate) => *fates.entry((of, fate)).or_default() += 1,
            Err(wrong) => {
                report.fault(format!("{what}: silently wrong: {}", wrong.join("; ")));
                std::fs::rename(&copy, dir.join(format!("silent-{cycle}")))?;
                continue;
            }
        }
        super::clear(&copy);
    }
    for ((of, fate), count) in fates {
        report.figure(format!("{of}_{fate:?}").to_lowercase(), count);
    }
    Ok(())
}

/// One bit of one file.
fn flip(dir: &Path, rng: &mut StdRng) -> Result<(&'static str, String)> {
    let (of, name) = *[
        ("database", "store.db"),
        ("database", "store.db"),
        ("log", "store.db-wal"),
        ("log", "store.db-wal"),
        ("side_file", "store.db.head"),
    ]
    .choose(rng)
    .context("a file")?;
    let path = dir.join(name);
    let mut bytes = std::fs::read(&path)?;
    let (at, bit) = (rng.random_range(0..bytes.len()), rng.random_range(0..8));
    bytes[at] ^= 1 << bit;
    std::fs::write(&path, bytes)?;
    Ok((of, format!("bit {bit} of byte {at} of {name}")))
}

/// Two rows of a table exchange the value of a column.
async fn exchange(dir: &Path, rng: &mut StdRng) -> Result<String> {
    let mut conn = SqliteConnectOptions::new().filename(dir.join("store.db")).connect().await?;
    for _ in 0..100 {
        let (table, key) = *TABLES.choose(rng).context("a table")?;
        let columns: Vec<(String,)> =
            sqlx::query_as(AssertSqlSafe(format!("SELECT name FROM pragma_table_info('{table}')")))
                .fetch_all(&mut conn)
                .await?;
        let columns: Vec<&str> = columns.iter().map(|(name,)| name.as_str()).filter(|name| *name != key).collect();
        let column = *columns.choose(rng).context("a column")?;
        let from = format!("FROM {table} WHERE {column} IS NOT NULL");
        let (rows,): (i64,) =
            sqlx::query_as(AssertSqlSafe(format!("SELECT COUNT(*) {from}"))).fetch_one(&mut conn).await?;
        let offset = rng.random_range(0..rows.max(2) - 1);
        let statement = format!(
            "CREATE TEMP TABLE chosen AS SELECT {key} AS k, {column} AS v {from} ORDER BY {key} LIMIT 2 OFFSET {offset}"
        );
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut conn).await?;
        let (differ,): (i64,) = sqlx::query_as("SELECT COUNT(DISTINCT v) FROM chosen").fetch_one(&mut conn).await?;
        let swapped = differ == 2 && swap(&mut conn, table, key, column).await;
        sqlx::raw_sql("DROP TABLE chosen").execute(&mut conn).await?;
        if swapped {
            conn.close().await?;
            return Ok(format!("{column} of two rows of {table}"));
        }
    }
    bail!("no two rows differ in anything")
}

/// Exchanges the values that were chosen.
async fn swap(conn: &mut SqliteConnection, table: &str, key: &str, column: &str) -> bool {
    let other = format!("(SELECT v FROM chosen WHERE k <> {table}.{key})");
    let at_once = format!("UPDATE {table} SET {column} = {other} WHERE {key} IN (SELECT k FROM chosen)");
    // A column of unique values refuses that: one of the two makes way first.
    let by_detour = format!(
        "BEGIN; UPDATE {table} SET {column} = randomblob(16) WHERE {key} = (SELECT min(k) FROM chosen);
         UPDATE {table} SET {column} = {other} WHERE {key} = (SELECT max(k) FROM chosen);
         UPDATE {table} SET {column} = {other} WHERE {key} = (SELECT min(k) FROM chosen); COMMIT"
    );
    for statement in [at_once, by_detour] {
        if sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *conn).await.is_ok() {
            return true;
        }
        // Fails where there is nothing to undo.
        let _ = sqlx::raw_sql("ROLLBACK").execute(&mut *conn).await;
    }
    false
}

/// What is silently wrong, or what became of it.
async fn judge(dir: &Path, promised: &[Promise]) -> Result<Result<Fate, Vec<String>>> {
    let store = match Store::open(&load::config(dir, 0), load::keys(dir)?).await {
        Ok(store) => store,
        Err(_) => return Ok(Ok(Fate::Refused)),
    };
    // As the upkeep of a running gateway does.
    let mut inspection = Inspection::default();
    let walked = loop {
        match store.inspect(&mut inspection, STEP_ROWS, super::scene::at(0).wall_ms).await {
            Ok(false) => {}
            Ok(true) => break store.check_file().await,
            Err(error) => break Err(error),
        }
    };
    let read = witness::compare(&store, promised).await;
    let health = store.health().borrow().clone();
    let _ = store.close().await;
    let found = walked.is_err() || read.is_err() || !matches!(health, StoreHealth::Ok);
    let wrong = read.unwrap_or_default();
    Ok(match (wrong.is_empty(), found) {
        (true, false) => Ok(Fate::Harmless),
        (_, true) => Ok(Fate::Found),
        (false, false) => Err(wrong),
    })
}
