//! What people and age do to rows: tried at once, set aside, forgotten.

use super::Sqlite;
use super::case_rows::CaseCells;
use super::files::log_of;
use super::read::{Query, count};
use super::rows::{OutboxCells, ReceptionCells, word};
use super::saved::put_aside;
use super::write::{Batch, Stop};
use crate::store::ballast::free_bytes;
use crate::store::{
    Destination, Figures, Horizon, ISOLATED_HOLD, OutboxDetail, OutboxHead, RowState, StoreError, beside,
    dated_by_the_next, keys::id_word,
};
use std::fs;
use uketsuke_core::answer::bounded_code;
use uketsuke_core::clock::Stamp;
use uketsuke_core::ids::ReceptionId;
use uketsuke_core::record::Stage;
use uuid::Uuid;

impl Batch<'_> {
    /// A sound row that is on its way or was set aside may go at once.
    pub(super) async fn requeue(&mut self, seq: i64) -> Result<(), Stop> {
        let mut row = self.waiting(seq).await?;
        if row.state == word(RowState::Pending) && row.not_before_ms == 0 {
            return Ok(());
        }
        row.state = word(RowState::Pending);
        row.not_before_ms = 0;
        self.told.appended = true;
        Ok(self.rewrite(row).await?)
    }

    /// A sound row that is on its way is not tried any more until people say so. Unlike an altered one its check is renewed: that is
    /// how the two are told apart.
    pub(super) async fn set_aside(&mut self, seq: i64, why: &str, at: Stamp) -> Result<(), Stop> {
        let mut row = self.waiting(seq).await?;
        if row.state == word(RowState::Isolated) {
            return Ok(());
        }
        row.state = word(RowState::Isolated);
        row.not_before_ms = at.wall_ms.saturating_add(ISOLATED_HOLD.as_millis() as i64);
        row.last_error = Some(bounded_code(why));
        Ok(self.rewrite(row).await?)
    }

    /// A row without a verdict that passes its check.
    async fn waiting(&mut self, seq: i64) -> Result<OutboxCells, Stop> {
        let what = || format!("outbox row {seq}");
        let row: Option<OutboxCells> =
            sqlx::query_as("SELECT * FROM outbox WHERE seq = ?").bind(seq).fetch_optional(&mut *self.conn).await?;
        let row = row.ok_or_else(|| StoreError::Unknown { what: what() })?;
        if row.state == word(RowState::Rejected) {
            let why = "it was refused for good; ask anew on the page of its case";
            return Err(StoreError::Conflict { what: what(), why }.into());
        }
        if !row.genuine(self.keys) {
            return Err(StoreError::Tampered { what: what() }.into());
        }
        Ok(row)
    }

    /// Forgets receptions, each with its case, its replies and its refused requests; how many. One that is open, was opened later, is
    /// altered, waits for anything, or has a case that is open or ended later, stays.
    pub(super) async fn forget(&mut self, receptions: &[ReceptionId], horizon: Horizon) -> Result<u64, Stop> {
        let (mut forgotten, before_ms) = (0, horizon.before_ms);
        let old = |row: &ReceptionCells| row.opened_ms < before_ms || !horizon.believes(row.opened_ms, row.opened_sync);
        for id in receptions {
            match self.reception(id.0).await {
                // What another clock dated is as old as what came after it: the caller has seen to that.
                Ok(Some(row)) if row.stage != word(Stage::Open) && old(&row) => {
                    if self.is_over(id.0, &row.order_key, before_ms).await? {
                        self.delete(id.0, &row.order_key).await?;
                        forgotten += 1;
                    }
                }
                Ok(_) | Err(Stop::Answer(_)) => {}
                Err(stop) => return Err(stop),
            }
        }
        self.told.changed |= forgotten > 0;
        Ok(forgotten)
    }

    async fn is_over(&mut self, reception: Uuid, order_key: &[u8], before_ms: i64) -> sqlx::Result<bool> {
        let waits: Option<i64> = sqlx::query_scalar(
            "SELECT seq FROM outbox WHERE destination = ? AND order_key = ? AND reception = ? AND state <> ? LIMIT 1",
        )
        .bind(word(Destination::Central))
        .bind(order_key)
        .bind(reception)
        .bind(word(RowState::Rejected))
        .fetch_optional(&mut *self.conn)
        .await?;
        let case: Option<CaseCells> = sqlx::query_as("SELECT * FROM cases WHERE reception = ?")
            .bind(reception)
            .fetch_optional(&mut *self.conn)
            .await?;
        let ended = case.is_none_or(|case| {
            case.row(self.keys).is_ok_and(|row| row.ended_ms.is_some_and(|ended_ms| ended_ms < before_ms))
        });
        Ok(waits.is_none() && ended)
    }

    async fn delete(&mut self, reception: Uuid, order_key: &[u8]) -> sqlx::Result<()> {
        for statement in [
            "DELETE FROM later_replies WHERE reception = ?1 AND ?2 IS NOT NULL",
            "DELETE FROM cases WHERE reception = ?1 AND ?2 IS NOT NULL",
            "DELETE FROM outbox WHERE destination = 'central' AND order_key = ?2 AND reception = ?1",
            "DELETE FROM receptions WHERE id = ?1 AND ?2 IS NOT NULL",
        ] {
            sqlx::query(statement).bind(reception).bind(order_key).execute(&mut *self.conn).await?;
        }
        Ok(())
    }

    /// Forgets ids that were settled before, a few at once.
    pub(super) async fn forget_settled(&mut self, before_ms: i64, limit: usize) -> sqlx::Result<u64> {
        let forgotten = sqlx::query(
            "DELETE FROM settled WHERE id IN (SELECT id FROM settled WHERE settled_ms < ? ORDER BY settled_ms LIMIT ?)",
        )
        .bind(before_ms)
        .bind(count(limit))
        .execute(&mut *self.conn)
        .await?
        .rows_affected();
        self.told.changed |= forgotten > 0;
        Ok(forgotten)
    }

    /// Forgets entries of the trail and counts of faces that are old enough. An entry is no older than one that was written before it,
    /// whatever a clock that was wrong has dated it.
    pub(super) async fn forget_notes(&mut self, before_ms: i64, limit: usize) -> sqlx::Result<u64> {
        let mut forgotten = 0;
        for statement in [
            "DELETE FROM trail WHERE seq IN (SELECT seq FROM trail WHERE at_ms < ?1 AND seq < COALESCE( \
             (SELECT seq FROM trail WHERE at_ms >= ?1 ORDER BY seq LIMIT 1), 9223372036854775807) ORDER BY seq LIMIT ?2)",
            "DELETE FROM face_failures WHERE order_key IN (SELECT order_key FROM face_failures WHERE counted_ms < ?1 LIMIT ?2)",
        ] {
            let query = sqlx::query(statement).bind(before_ms).bind(count(limit));
            forgotten += query.execute(&mut *self.conn).await?.rows_affected();
        }
        self.told.changed |= forgotten > 0;
        Ok(forgotten)
    }
}

impl Sqlite {
    pub(in crate::store) async fn opened_after(
        &self,
        seq: i64,
        horizon: Horizon,
        limit: usize,
    ) -> Result<Vec<(i64, ReceptionId, i64)>, StoreError> {
        let query: Query<'_, (i64, Uuid, i64, bool)> =
            sqlx::query_as("SELECT seq, id, opened_ms, opened_sync FROM receptions WHERE seq > ? ORDER BY seq LIMIT ?");
        let rows = self.rows(query.bind(seq).bind(count(limit))).await?;
        let beyond = match rows.last() {
            Some((last, _, opened_ms, sync)) if !horizon.believes(*opened_ms, *sync) => {
                self.next_believed(*last, horizon).await?
            }
            _ => None,
        };
        let dates = dated_by_the_next(rows.iter().map(|row| (row.2, horizon.believes(row.2, row.3))), beyond);
        Ok(rows.into_iter().zip(dates).map(|((seq, id, ..), dated)| (seq, ReceptionId(id), dated)).collect())
    }

    /// When the first reception after `seq` was opened whose date is believed.
    async fn next_believed(&self, seq: i64, horizon: Horizon) -> Result<Option<i64>, StoreError> {
        let query: Query<'_, (i64,)> = sqlx::query_as(
            "SELECT opened_ms FROM receptions WHERE seq > ? AND opened_sync = 1 AND opened_ms <= ? ORDER BY seq LIMIT 1",
        );
        let query = query.bind(seq).bind(horizon.dated_max_ms());
        Ok(self.rows(query).await?.pop().map(|(opened_ms,)| opened_ms))
    }

    pub(in crate::store) async fn failing_since(
        &self,
        before_ms: i64,
        tries: u32,
        limit: usize,
    ) -> Result<Vec<i64>, StoreError> {
        let query: Query<'_, (i64,)> = sqlx::query_as(
            "SELECT seq FROM outbox WHERE destination = ?1 AND state = ?2 AND attempts >= ?5 AND created_ms < ?3 \
             AND EXISTS (SELECT 1 FROM receptions WHERE id = outbox.reception AND opened_sync = 1 AND opened_ms < ?3) \
             ORDER BY seq LIMIT ?4",
        );
        let query = query.bind(word(Destination::Central)).bind(word(RowState::Pending));
        let rows = self.rows(query.bind(before_ms).bind(count(limit)).bind(tries)).await?;
        Ok(rows.into_iter().map(|(seq,)| seq).collect())
    }

    pub(in crate::store) async fn outbox_row(&self, seq: i64) -> Result<Option<OutboxDetail>, StoreError> {
        let query: Query<'_, OutboxCells> = sqlx::query_as("SELECT * FROM outbox WHERE seq = ?").bind(seq);
        let Some(row) = self.rows(query).await?.pop() else { return Ok(None) };
        let genuine = row.genuine(&self.keys);
        let sealed_with = Some(id_word(row.body.get(..4).unwrap_or_default()));
        let stored_bytes = (row.body.len() + row.proof.as_ref().map_or(0, Vec::len)) as u64;
        let head: OutboxHead = row.head().map_err(|_| StoreError::Tampered { what: format!("outbox row {seq}") })?;
        Ok(Some(OutboxDetail { head, genuine, stored_bytes, sealed_with }))
    }

    pub(in crate::store) async fn figures(&self) -> Result<Figures, StoreError> {
        let length = |path: &std::path::Path| fs::metadata(path).map_or(0, |found| found.len());
        let ring = self.keys.ring();
        Ok(Figures {
            outbox: self.outbox_counts(Destination::Central).await?,
            database_bytes: length(&self.path),
            log_bytes: length(&log_of(&self.path)),
            reserve_bytes: length(&beside(&self.path, "ballast")),
            mirror_bytes: self.signals().mirror_bytes(),
            free_bytes: free_bytes(&self.path),
            keys: 1 + u64::from(ring.former.is_some()),
            put_aside: put_aside(&self.path),
        })
    }
}
