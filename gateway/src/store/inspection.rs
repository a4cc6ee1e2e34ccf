//! Looking through everything that is kept, a little at a time.

use super::command::Command;
use super::sealed::Unreadable;
use super::tables::{RowKey, Table, Walk};
use super::{Store, StoreError};
use std::collections::HashSet;

/// A walk through every row that carries a check; it begins anew at its end.
#[derive(Debug, Default)]
pub struct Inspection {
    walk: Walk,
    /// Told already: a row that stays altered is one finding, however often it is met.
    known: HashSet<String>,
    walks: u64,
}

impl Inspection {
    /// Walks that came to their end.
    pub fn walks(&self) -> u64 {
        self.walks
    }
}

impl Store {
    /// One step of an inspection: looks at the next rows, at most `limit`, on a connection for reading. An altered row shows in
    /// [`Store::health`]; one of the outbox is held back before the courier meets it. A value whose key is gone stops the store.
    /// Returns whether the walk has come to its end.
    pub async fn inspect(&self, inspection: &mut Inspection, limit: usize, now_ms: i64) -> Result<bool, StoreError> {
        let Some(sqlite) = self.as_sqlite() else { return Ok(true) };
        let Some(table) = inspection.walk.table() else {
            inspection.walk = Walk::default();
            inspection.walks += 1;
            return Ok(true);
        };
        for seen in sqlite.look(&mut inspection.walk, limit).await? {
            let Err(why) = seen.sound else { continue };
            // Nothing happens to one that does not wait, or says so: what it says is not to be believed.
            if let (Table::Outbox, RowKey::Seq(seq), Unreadable::Altered) = (table, &seen.key, why)
                && self.rows(Command::Isolate { seq: *seq, now_ms }).await? > 0
            {
                inspection.known.insert(seen.what);
                continue;
            }
            if inspection.known.insert(seen.what.clone()) {
                drop(sqlite.unreadable(seen.what, why));
            }
        }
        Ok(false)
    }

    /// Has SQLite look through the whole file; a damaged one stops the store ([`super::StoreHealth::Failed`]). One long read.
    pub async fn check_file(&self) -> Result<(), StoreError> {
        match self.as_sqlite() {
            Some(sqlite) => sqlite.check_file().await,
            None => Ok(()),
        }
    }

    /// Gives pages that nothing uses back to the disk, at most so many, and moves the write-ahead log into the database as far as nobody
    /// has to wait for it.
    pub async fn shrink(&self, pages: u32) -> Result<(), StoreError> {
        match self.as_sqlite() {
            Some(sqlite) => sqlite.shrink(pages).await,
            None => Ok(()),
        }
    }
}
