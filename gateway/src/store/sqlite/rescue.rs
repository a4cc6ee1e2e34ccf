//! What can still be read of a database that does not open any more.
//!
//! Promises: nothing is changed in the database; every row that can be read is written out, sound or not, with that said; whatever cannot
//! be read is named. Personal values stay sealed unless they are asked for.

use super::case_rows::{CaseCells, LaterCells};
use super::files::create_private;
use super::kept::{KeptCells, TrailCells};
use super::open::read_options;
use super::rows::{FaceCells, OutboxCells, ReceptionCells};
use super::walk::{Guarded, seen};
use crate::store::keys::{Keys, id_word};
use crate::store::sealed::{Place, Sealed};
use crate::store::tables::RowKey;
use crate::store::{KeptName, StoreConfig};
use serde::Serialize;
use serde_json::{Map, Value};
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Column as _, ConnectOptions, Row as _, SqliteConnection, TypeInfo as _, ValueRef as _};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Rows in one statement.
const CHUNK: i64 = 256;
/// Rows in sequence that cannot be read before the rest of a table is given up.
const GAP_MAX: i64 = 10_000;

/// What came out of one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RescuedTable {
    /// Which.
    pub table: &'static str,
    /// Rows that were written out.
    pub rows: u64,
    /// Of those, rows that are not as they were written, or hold a value that the keys do not open.
    pub unsound: u64,
    /// What cannot be read, in words.
    pub unreadable: Vec<String>,
}

/// Why nothing was rescued.
#[derive(Debug, thiserror::Error)]
pub enum RescueError {
    /// The folder for it.
    #[error("cannot rescue to {}: cannot {doing}: {source}", to.display())]
    Io {
        /// The folder.
        to: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// SQLite finds no database in the file.
    #[error("cannot read anything of {}: {why}", path.display())]
    Unreadable {
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        why: String,
    },
}

/// Writes every row that can be read to `<table>.jsonl` files (mode 0600) in a new folder. `open`: personal values in plain, otherwise
/// sealed as they are.
pub(in crate::store) async fn rescue(
    config: &StoreConfig,
    keys: &Keys,
    to: &Path,
    open: bool,
) -> Result<Vec<RescuedTable>, RescueError> {
    let io = |doing| move |source| RescueError::Io { to: to.to_owned(), doing, source };
    let mut folder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut folder, 0o700);
    folder.create(to).map_err(io("make the new folder"))?;
    let unreadable = |error: sqlx::Error| RescueError::Unreadable { path: config.path.clone(), why: error.to_string() };
    let mut conn = read_options(config).connect().await.map_err(unreadable)?;
    sqlx::query("SELECT COUNT(*) FROM sqlite_schema").execute(&mut conn).await.map_err(unreadable)?;
    let mut rescue = Rescue { conn, keys, to, open };
    Ok(vec![
        rescue.table::<ReceptionCells>().await.map_err(io("write"))?,
        rescue.table::<OutboxCells>().await.map_err(io("write"))?,
        rescue.table::<CaseCells>().await.map_err(io("write"))?,
        rescue.table::<LaterCells>().await.map_err(io("write"))?,
        rescue.table::<FaceCells>().await.map_err(io("write"))?,
        rescue.table::<KeptCells>().await.map_err(io("write"))?,
        rescue.table::<TrailCells>().await.map_err(io("write"))?,
    ])
}

struct Rescue<'a> {
    conn: SqliteConnection,
    keys: &'a Keys,
    to: &'a Path,
    open: bool,
}

impl Rescue<'_> {
    async fn table<R: Guarded>(&mut self) -> io::Result<RescuedTable> {
        let mut report = RescuedTable { table: R::TABLE, rows: 0, unsound: 0, unreadable: Vec::new() };
        let mut file = BufWriter::new(create_private(&self.to.join(format!("{}.jsonl", R::TABLE)))?);
        let (table, key) = (R::TABLE, R::KEY);
        let mut after: Option<SqliteRow> = None;
        let mut passed = i64::MIN;
        loop {
            let from = if after.is_some() || passed > i64::MIN { format!("WHERE {key} > ?") } else { String::new() };
            let statement = format!("SELECT * FROM {table} {from} ORDER BY {key} LIMIT {CHUNK}");
            let mut query = sqlx::query(AssertSqlSafe(statement));
            match after.as_ref().and_then(|row| R::from_row(row).ok()).map(|row: R| row.key()) {
                _ if passed > i64::MIN => query = query.bind(passed),
                Some(RowKey::Seq(seq)) => query = query.bind(seq),
                Some(RowKey::Id(id)) => query = query.bind(id),
                Some(RowKey::Bytes(bytes)) => query = query.bind(bytes),
                Some(RowKey::Name(name)) => query = query.bind(name),
                None if after.is_some() => {
                    report.unreadable.push("the rows after one without a key".into());
                    break;
                }
                None => {}
            }
            match query.fetch_all(&mut self.conn).await {
                Ok(rows) if rows.is_empty() => break,
                Ok(mut rows) => {
                    for row in &rows {
                        self.row::<R>(row, &mut file, &mut report)?;
                    }
                    after = rows.pop();
                    passed = i64::MIN;
                }
                Err(error) => match self.one_by_one::<R>(after.as_ref(), passed, &mut file, &mut report).await? {
                    Some(last) => passed = last,
                    None => {
                        report.unreadable.push(format!("the rest of the table: {error}"));
                        break;
                    }
                },
            }
        }
        file.flush()?;
        file.into_inner().map_err(io::IntoInnerError::into_error).and_then(|file: File| file.sync_all())?;
        Ok(report)
    }

    /// The rows that a chunk would have held, each for itself; the last seq that was tried. `None` where rows are not numbered, or so many
    /// in sequence cannot be read that none may follow.
    async fn one_by_one<R: Guarded>(
        &mut self,
        after: Option<&SqliteRow>,
        passed: i64,
        file: &mut BufWriter<File>,
        report: &mut RescuedTable,
    ) -> io::Result<Option<i64>> {
        if R::KEY != "seq" {
            return Ok(None);
        }
        let last = after.and_then(|row| row.try_get::<i64, _>("seq").ok()).unwrap_or(0);
        let first = last.max(passed).max(0) + 1;
        let mut failed: Vec<i64> = Vec::new();
        let mut found = false;
        let mut seq = first;
        while seq < first + CHUNK || (!found && seq < first + GAP_MAX) {
            let statement = format!("SELECT * FROM {} WHERE seq = ?", R::TABLE);
            match sqlx::query(AssertSqlSafe(statement)).bind(seq).fetch_optional(&mut self.conn).await {
                Ok(Some(row)) => {
                    found = true;
                    self.row::<R>(&row, file, report)?;
                }
                Ok(None) => {}
                Err(_) => failed.push(seq),
            }
            seq += 1;
        }
        if let (Some(first), Some(last)) = (failed.first(), failed.last()) {
            report.unreadable.push(format!("{} places between seq {first} and {last}", failed.len()));
        }
        Ok(found.then_some(seq - 1))
    }

    fn row<R: Guarded>(
        &self,
        row: &SqliteRow,
        file: &mut BufWriter<File>,
        report: &mut RescuedTable,
    ) -> io::Result<()> {
        let mut line = Map::new();
        for (at, column) in row.columns().iter().enumerate() {
            line.insert(column.name().to_owned(), value(row, at));
        }
        let sound = R::from_row(row).ok().is_some_and(|cells: R| {
            if self.open {
                self.open_values(cells, &mut line);
            }
            R::from_row(row).is_ok_and(|cells: R| seen(cells, self.keys).sound.is_ok())
        });
        line.insert("sound".into(), sound.into());
        report.rows += 1;
        report.unsound += u64::from(!sound);
        let text = Zeroizing::new(serde_json::to_vec(&line)?);
        file.write_all(&text)?;
        file.write_all(b"\n")
    }

    fn open_values<R: Guarded>(&self, mut cells: R, line: &mut Map<String, Value>) {
        let bound_to = cells.bound_to();
        // It holds the gateway's private key, which is nothing to be looked through.
        if R::TABLE == KeptCells::TABLE && bound_to == KeptName::LineMaterial.word().as_bytes() {
            return;
        }
        for (column, bytes) in cells.sealed() {
            let place = Place { table: R::TABLE, column, row: &bound_to };
            let opened = Sealed::<Zeroizing<Vec<u8>>>::from_disk(bytes.clone()).open(self.keys, place);
            if let Ok(plain) = opened {
                let told = std::str::from_utf8(&plain).map_or_else(|_| id_word(&plain), str::to_owned);
                line.insert(column.to_owned(), told.into());
            }
        }
    }
}

/// A cell as JSON: bytes as hex.
fn value(row: &SqliteRow, at: usize) -> Value {
    let kind =
        row.try_get_raw(at).map(|raw| if raw.is_null() { "NULL".into() } else { raw.type_info().name().to_owned() });
    match kind.as_deref() {
        Ok("NULL") => Value::Null,
        Ok("TEXT") => row.try_get::<String, _>(at).map_or(Value::Null, Into::into),
        Ok("INTEGER") => row.try_get_unchecked::<i64, _>(at).map_or(Value::Null, Into::into),
        _ => row.try_get_unchecked::<Vec<u8>, _>(at).map_or(Value::Null, |bytes| id_word(&bytes).into()),
    }
}
