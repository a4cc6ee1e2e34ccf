//! Kept values and the trail, on SQLite.

use super::Sqlite;
use super::read::count;
use super::write::Batch;
use crate::store::keys::Keys;
use crate::store::mac::RowMac;
use crate::store::sealed::{Place, Plain, Sealed, Unreadable};
use crate::store::{Keeping, KeptName, StoreError, TrailEntry};
use uuid::Uuid;
use zeroize::Zeroizing;

#[derive(sqlx::FromRow)]
pub(super) struct KeptCells {
    pub(super) name: String,
    pub(super) value: Vec<u8>,
    pub(super) mac: Vec<u8>,
}

impl KeptCells {
    pub(super) fn check(&self, keys: &Keys) -> RowMac {
        RowMac::new(keys, "site_state").text(self.name.as_str()).blob(self.value.as_slice())
    }

    fn place(&self) -> Place<'_> {
        Place { table: "site_state", column: "value", row: self.name.as_bytes() }
    }
}

#[derive(sqlx::FromRow)]
pub(super) struct TrailCells {
    pub(super) seq: i64,
    pub(super) id: Uuid,
    pub(super) at_ms: i64,
    pub(super) entry: Vec<u8>,
    pub(super) mac: Vec<u8>,
}

impl TrailCells {
    pub(super) fn check(&self, keys: &Keys) -> RowMac {
        RowMac::new(keys, "trail")
            .int(self.seq)
            .blob(self.id.as_bytes().as_slice())
            .int(self.at_ms)
            .blob(self.entry.as_slice())
    }

    fn open(&self, keys: &Keys) -> Result<TrailEntry, Unreadable> {
        if !self.check(keys).verify(&self.mac) {
            return Err(Unreadable::Altered);
        }
        let place = Place { table: "trail", column: "entry", row: self.id.as_bytes() };
        Sealed::from_disk(self.entry.clone()).open(keys, place)
    }
}

/// As JSON: fields may be added later.
impl Plain for TrailEntry {
    fn to_plain(&self) -> Zeroizing<Vec<u8>> {
        // Strings and numbers only: writing them cannot fail, and an empty value would not open.
        Zeroizing::new(serde_json::to_vec(self).unwrap_or_default())
    }
    fn from_plain(plain: Zeroizing<Vec<u8>>) -> Option<Self> {
        serde_json::from_slice(&plain).ok()
    }
}

impl Batch<'_> {
    pub(super) async fn keep(&mut self, keeping: &Keeping) -> sqlx::Result<()> {
        self.told.changed = true;
        let mut row = KeptCells { name: keeping.name.word().into(), value: Vec::new(), mac: Vec::new() };
        row.value = Sealed::seal(self.keys, row.place(), &keeping.value).into_disk();
        row.mac = row.check(self.keys).finish();
        sqlx::query("INSERT OR REPLACE INTO site_state (name, value, mac) VALUES (?, ?, ?)")
            .bind(row.name)
            .bind(row.value)
            .bind(row.mac)
            .execute(&mut *self.conn)
            .await?;
        for entry in &keeping.trail {
            self.note(entry).await?;
        }
        Ok(())
    }

    pub(super) async fn note(&mut self, entry: &TrailEntry) -> sqlx::Result<()> {
        let seq: i64 =
            sqlx::query_scalar("SELECT COALESCE(MAX(seq), 0) + 1 FROM trail").fetch_one(&mut *self.conn).await?;
        let place = Place { table: "trail", column: "entry", row: entry.id.as_bytes() };
        let sealed = Sealed::seal(self.keys, place, entry).into_disk();
        let mut row = TrailCells { seq, id: entry.id, at_ms: entry.at.wall_ms, entry: sealed, mac: Vec::new() };
        row.mac = row.check(self.keys).finish();
        sqlx::query("INSERT OR IGNORE INTO trail (seq, id, at_ms, entry, mac) VALUES (?, ?, ?, ?, ?)")
            .bind(row.seq)
            .bind(row.id)
            .bind(row.at_ms)
            .bind(row.entry)
            .bind(row.mac)
            .execute(&mut *self.conn)
            .await
            .map(drop)
    }
}

impl Sqlite {
    pub(in crate::store) async fn kept(&self, name: KeptName) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let query = sqlx::query_as("SELECT * FROM site_state WHERE name = ?").bind(name.word());
        let Some(row): Option<KeptCells> = self.rows(query).await?.pop() else { return Ok(None) };
        let genuine = row.check(&self.keys).verify(&row.mac);
        let value = if genuine {
            Sealed::from_disk(row.value.clone()).open(&self.keys, row.place())
        } else {
            Err(Unreadable::Altered)
        };
        value.map(Some).map_err(|why| self.unreadable(format!("the kept value {:?}", name.word()), why))
    }

    pub(in crate::store) async fn trail_since(
        &self,
        wall_ms: i64,
        limit: usize,
    ) -> Result<Vec<TrailEntry>, StoreError> {
        // The limit inside: a trail of years is not walked to its beginning for a few entries of today.
        let query = sqlx::query_as(
            "SELECT * FROM (SELECT * FROM trail ORDER BY seq DESC LIMIT ?2) WHERE at_ms >= ?1 ORDER BY seq DESC",
        );
        let rows: Vec<TrailCells> = self.rows(query.bind(wall_ms).bind(count(limit))).await?;
        let mut entries = Vec::new();
        for row in rows {
            match row.open(&self.keys) {
                Ok(entry) => entries.push(entry),
                Err(why) => drop(self.unreadable(format!("trail entry {}", row.seq), why)),
            }
        }
        Ok(entries)
    }
}
