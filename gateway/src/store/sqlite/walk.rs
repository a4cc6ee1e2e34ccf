//! Walking through every row that carries a check: to look at it, and to seal it anew.
//!
//! Promise: a look reads few rows at once on a connection for reading, and holds up no writer; sealing anew changes nothing but the
//! seal, and an altered row stays recognisable.

use super::Sqlite;
use super::case_rows::{CaseCells, LaterCells};
use super::kept::{KeptCells, TrailCells};
use super::read::{Query, count};
use super::rows::{FaceCells, OutboxCells, ReceptionCells};
use super::write::Batch;
use crate::store::StoreError;
use crate::store::keys::Keys;
use crate::store::sealed::{Place, Sealed, Unreadable};
use crate::store::tables::{RowKey, Seen, Table, Walk};
use sqlx::AssertSqlSafe;
use sqlx::sqlite::SqliteRow;
use zeroize::Zeroizing;

/// A row with a check, and perhaps sealed columns.
pub(super) trait Guarded: for<'r> sqlx::FromRow<'r, SqliteRow> + Send + Unpin {
    const TABLE: &'static str;
    /// The column that it is found by.
    const KEY: &'static str;

    fn key(&self) -> RowKey;
    /// What its sealed values are bound to.
    fn bound_to(&self) -> Vec<u8>;
    /// Sealed values that are there, by column.
    fn sealed(&mut self) -> Vec<(&'static str, &mut Vec<u8>)>;
    fn genuine(&self, keys: &Keys) -> bool;
    /// Renews the check.
    fn finish(&mut self, keys: &Keys);
    fn mac(&self) -> &[u8];
}

/// Calls a generic method for the rows of a table.
macro_rules! of_table {
    ($table:expr, $rows:ident => $call:expr) => {
        match $table {
            Table::Receptions => {
                type $rows = ReceptionCells;
                $call
            }
            Table::Outbox => {
                type $rows = OutboxCells;
                $call
            }
            Table::Cases => {
                type $rows = CaseCells;
                $call
            }
            Table::LaterReplies => {
                type $rows = LaterCells;
                $call
            }
            Table::FaceFailures => {
                type $rows = FaceCells;
                $call
            }
            Table::SiteState => {
                type $rows = KeptCells;
                $call
            }
            Table::Trail => {
                type $rows = TrailCells;
                $call
            }
        }
    };
}

/// Binds the key of a row to a query of any kind.
macro_rules! bind_key {
    ($query:expr, $key:expr) => {
        match $key {
            RowKey::Seq(seq) => $query.bind(*seq),
            RowKey::Id(id) => $query.bind(*id),
            RowKey::Bytes(bytes) => $query.bind(bytes.clone()),
            RowKey::Name(name) => $query.bind(name.clone()),
        }
    };
}

impl Sqlite {
    /// Looks at the next rows, at most `limit`, and moves the walk on. An empty answer is the end of a table.
    pub(in crate::store) async fn look(&self, walk: &mut Walk, limit: usize) -> Result<Vec<Seen>, StoreError> {
        let Some(table) = walk.table() else { return Ok(Vec::new()) };
        let seen = of_table!(table, Rows => self.look_at::<Rows>(walk.after.as_ref(), limit).await)?;
        walk.went(seen.last().map(|seen| seen.key.clone()));
        Ok(seen)
    }

    async fn look_at<R: Guarded>(&self, after: Option<&RowKey>, limit: usize) -> Result<Vec<Seen>, StoreError> {
        let (table, key) = (R::TABLE, R::KEY);
        let from = if after.is_some() { format!("WHERE {key} > ?") } else { String::new() };
        let statement = format!("SELECT * FROM {table} {from} ORDER BY {key} LIMIT ?");
        let mut query: Query<'_, R> = sqlx::query_as(AssertSqlSafe(statement));
        if let Some(after) = after {
            query = bind_key!(query, after);
        }
        let rows = self.rows(query.bind(count(limit))).await?;
        Ok(rows.into_iter().map(|row| seen(row, &self.keys)).collect())
    }
}

pub(super) fn seen<R: Guarded>(mut row: R, keys: &Keys) -> Seen {
    let (key, bound_to, current) = (row.key(), row.bound_to(), keys.sealing().id);
    let mut sound = if row.genuine(keys) { Ok(()) } else { Err(Unreadable::Altered) };
    let mut former = false;
    for (column, bytes) in row.sealed() {
        former |= !bytes.starts_with(&current);
        let opened = open(keys, Place { table: R::TABLE, column, row: &bound_to }, bytes);
        sound = sound.and(opened.map(drop));
    }
    let name = match &key {
        RowKey::Seq(seq) => seq.to_string(),
        RowKey::Id(id) => id.to_string(),
        RowKey::Name(name) => name.clone(),
        RowKey::Bytes(_) => "of a card".to_owned(),
    };
    Seen { key, what: format!("row {name} of {}", R::TABLE), sound, former }
}

fn open(keys: &Keys, place: Place<'_>, bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, Unreadable> {
    Sealed::from_disk(bytes.to_vec()).open(keys, place)
}

impl Batch<'_> {
    /// Seals these rows with the current key; how many were changed. A value that no key opens stays as it is.
    pub(super) async fn reseal(&mut self, table: Table, keys: &[RowKey]) -> sqlx::Result<u64> {
        let mut changed = 0;
        for key in keys {
            changed += u64::from(of_table!(table, Rows => self.reseal_row::<Rows>(key).await)?);
        }
        self.told.changed |= changed > 0;
        Ok(changed)
    }

    async fn reseal_row<R: Guarded>(&mut self, key: &RowKey) -> sqlx::Result<bool> {
        let (table, column) = (R::TABLE, R::KEY);
        let statement = format!("SELECT * FROM {table} WHERE {column} = ?");
        let query: Query<'_, R> = sqlx::query_as(AssertSqlSafe(statement));
        let Some(mut row) = bind_key!(query, key).fetch_optional(&mut *self.conn).await? else { return Ok(false) };
        let (genuine, bound_to, current) = (row.genuine(self.keys), row.bound_to(), self.keys.sealing().id);
        let mut renewed = Vec::new();
        for (column, bytes) in row.sealed() {
            let place = Place { table, column, row: &bound_to };
            if !bytes.starts_with(&current)
                && let Ok(plain) = open(self.keys, place, bytes)
            {
                *bytes = Sealed::seal(self.keys, place, &plain).into_disk();
                renewed.push((column, bytes.clone()));
            }
        }
        if renewed.is_empty() {
            return Ok(false);
        }
        if genuine {
            row.finish(self.keys);
        }
        let set: String = renewed.iter().map(|(column, _)| format!("{column} = ?, ")).collect();
        let mut query = sqlx::query(AssertSqlSafe(format!("UPDATE {table} SET {set}mac = ? WHERE {column} = ?")));
        for (_, bytes) in renewed {
            query = query.bind(bytes);
        }
        query = query.bind(row.mac().to_vec());
        bind_key!(query, key).execute(&mut *self.conn).await?;
        Ok(true)
    }
}

/// What is the same for every row: its name, its key, what it is bound to, and which of its columns are sealed.
macro_rules! guarded {
    ($rows:ty, $table:literal, $key:ident as $kind:ident, bound to $bound:expr, $sealed:expr) => {
        impl Guarded for $rows {
            const TABLE: &'static str = $table;
            const KEY: &'static str = stringify!($key);

            fn key(&self) -> RowKey {
                RowKey::$kind(self.$key.clone())
            }
            fn bound_to(&self) -> Vec<u8> {
                let bound: fn(&Self) -> &[u8] = $bound;
                bound(self).to_vec()
            }
            fn sealed(&mut self) -> Vec<(&'static str, &mut Vec<u8>)> {
                let sealed: fn(&mut Self) -> Vec<(&'static str, &mut Vec<u8>)> = $sealed;
                sealed(self)
            }
            fn genuine(&self, keys: &Keys) -> bool {
                self.check(keys).verify(&self.mac)
            }
            fn finish(&mut self, keys: &Keys) {
                self.mac = self.check(keys).finish();
            }
            fn mac(&self) -> &[u8] {
                &self.mac
            }
        }
    };
}

guarded!(ReceptionCells, "receptions", seq as Seq, bound to |row| row.id.as_bytes(), |row| {
    let columns = [
        ("face_score", &mut row.face_score),
        ("consents", &mut row.consents),
        ("answer", &mut row.answer),
        ("evidence", &mut row.evidence),
        ("followed_up_answer", &mut row.followed_up_answer),
    ];
    columns.into_iter().filter_map(|(column, bytes)| Some((column, bytes.as_mut()?))).collect()
});
guarded!(OutboxCells, "outbox", seq as Seq, bound to |row| row.id.as_bytes(), |row| {
    let proof = row.proof.as_mut().map(|bytes| ("proof", bytes));
    std::iter::once(("body", &mut row.body)).chain(proof).collect()
});
guarded!(CaseCells, "cases", seq as Seq, bound to |row| row.reception.as_bytes(), |row| {
    vec![("papers", &mut row.papers)]
});
guarded!(LaterCells, "later_replies", request as Id, bound to |row| row.request.as_bytes(), |row| {
    row.answer.as_mut().map(|bytes| ("answer", bytes)).into_iter().collect()
});
guarded!(FaceCells, "face_failures", order_key as Bytes, bound to |row| &row.order_key, |_| Vec::new());
guarded!(KeptCells, "site_state", name as Name, bound to |row| row.name.as_bytes(), |row| {
    vec![("value", &mut row.value)]
});
guarded!(TrailCells, "trail", seq as Seq, bound to |row| row.id.as_bytes(), |row| vec![("entry", &mut row.entry)]);
