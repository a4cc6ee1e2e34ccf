//! The reads: single statements on read-only connections.

use super::rows::{FaceCells, OutboxCells, ReceptionCells, word};
use super::{Sqlite, Trouble, trouble};
use crate::store::{Destination, OutboxCounts, OutboxHead, StoreError};
use sqlx::sqlite::SqliteArguments;
use std::ops::Range;
use uketsuke_core::ids::{OrderKey, ReceptionId};
use uketsuke_core::record::{ReceptionRecord, Stage};

/// Receptions after the first of a visit among which the others are: no site opens as many while one visit lasts.
const VISIT_WITHIN: i64 = 2_000;

pub(super) type Query<'q, T> = sqlx::query::QueryAs<'q, sqlx::Sqlite, T, SqliteArguments>;

impl Sqlite {
    pub(in crate::store) async fn reception(&self, id: ReceptionId) -> Result<Option<ReceptionRecord>, StoreError> {
        let query: Query<'_, ReceptionCells> = sqlx::query_as("SELECT * FROM receptions WHERE id = ?").bind(id.0);
        match self.rows(query).await?.pop() {
            None => Ok(None),
            Some(row) => {
                row.record(&self.keys).map(Some).map_err(|why| self.unreadable(format!("reception {id}"), why))
            }
        }
    }

    pub(in crate::store) async fn receptions(&self, limit: usize) -> Result<Vec<ReceptionRecord>, StoreError> {
        self.records(sqlx::query_as("SELECT * FROM receptions ORDER BY seq DESC LIMIT ?").bind(count(limit))).await
    }

    pub(in crate::store) async fn visit(&self, first: ReceptionId) -> Result<Vec<ReceptionRecord>, StoreError> {
        // A visit is a matter of minutes: what follows it closely is looked through without an index.
        let query = sqlx::query_as(
            "SELECT r.* FROM receptions r, (SELECT seq AS begins FROM receptions WHERE id = ?1) \
             WHERE r.seq BETWEEN begins AND begins + ?2 AND (r.id = ?1 OR r.same_visit_as = ?1) ORDER BY r.seq",
        );
        self.records(query.bind(first.0).bind(VISIT_WITHIN)).await
    }

    pub(in crate::store) async fn abandoned_since(
        &self,
        wall_ms: i64,
        limit: usize,
    ) -> Result<Vec<ReceptionRecord>, StoreError> {
        let query = sqlx::query_as(
            "SELECT * FROM receptions WHERE stage = 'abandoned' AND abandoned_ms >= ? ORDER BY abandoned_ms DESC, seq DESC \
             LIMIT ?",
        );
        self.records(query.bind(wall_ms).bind(count(limit))).await
    }

    pub(in crate::store) async fn last_recorded(
        &self,
        reader: &str,
        key: OrderKey,
        recorded_ms: Range<i64>,
    ) -> Result<Option<ReceptionRecord>, StoreError> {
        let query: Query<'_, ReceptionCells> =
            sqlx::query_as("SELECT * FROM receptions WHERE reader = ? ORDER BY seq DESC LIMIT 1").bind(reader);
        let Some(row) = self.rows(query).await?.pop() else { return Ok(None) };
        let recorded = row.recorded_ms.is_some_and(|at| recorded_ms.contains(&at));
        if row.order_key != key.0 || row.stage != word(Stage::Recorded) || !recorded {
            return Ok(None);
        }
        row.record(&self.keys).map(Some).map_err(|why| self.unreadable(format!("reception {}", row.id), why))
    }

    pub(in crate::store) async fn face_failures(&self, key: OrderKey) -> Result<u32, StoreError> {
        let query: Query<'_, FaceCells> = sqlx::query_as("SELECT * FROM face_failures WHERE order_key = ?");
        match self.rows(query.bind(key.0.to_vec())).await?.pop() {
            None => Ok(0),
            Some(row) if row.genuine(&self.keys) => Ok(u32::try_from(row.failures).unwrap_or(u32::MAX)),
            // A count that somebody changed locks nobody out: the face is compared as if it were the first time.
            Some(_) => {
                self.signals.tampered("a count of face attempts");
                Ok(0)
            }
        }
    }

    pub(in crate::store) async fn outbox_counts(&self, destination: Destination) -> Result<OutboxCounts, StoreError> {
        // Each from the index alone: beside them lie the bodies, gigabytes of them after a long outage.
        let query: Query<'_, (i64, i64, i64, Option<i64>)> = sqlx::query_as(
            "SELECT (SELECT COUNT(*) FROM outbox INDEXED BY outbox_by_lane WHERE destination = ?1 AND state = 'pending'), \
             (SELECT COUNT(*) FROM outbox INDEXED BY outbox_by_lane WHERE destination = ?1 AND state = 'isolated'), \
             (SELECT COUNT(*) FROM outbox INDEXED BY outbox_by_lane WHERE destination = ?1 AND state = 'rejected'), \
             (SELECT MIN(created_ms) FROM outbox WHERE seq IN ( \
                 SELECT MIN(seq) FROM outbox INDEXED BY outbox_by_lane \
                 WHERE destination = ?1 AND state = 'pending' AND lane = 'interactive' \
                 UNION ALL \
                 SELECT MIN(seq) FROM outbox INDEXED BY outbox_by_lane \
                 WHERE destination = ?1 AND state = 'pending' AND lane = 'backlog'))",
        );
        let counts = self.rows(query.bind(word(destination))).await?.pop();
        Ok(counts.map_or_else(OutboxCounts::default, |(pending, isolated, rejected, oldest_created_ms)| OutboxCounts {
            pending: pending.unsigned_abs(),
            isolated: isolated.unsigned_abs(),
            rejected: rejected.unsigned_abs(),
            oldest_created_ms,
        }))
    }

    pub(in crate::store) async fn outbox(
        &self,
        destination: Destination,
        limit: usize,
    ) -> Result<Vec<OutboxHead>, StoreError> {
        let query: Query<'_, OutboxCells> = sqlx::query_as(
            "SELECT * FROM (SELECT * FROM outbox NOT INDEXED WHERE destination = ?1 AND state <> 'rejected' \
                 ORDER BY seq LIMIT ?2) \
                 UNION ALL \
                 SELECT * FROM (SELECT * FROM outbox INDEXED BY outbox_by_lane \
                 WHERE destination = ?1 AND state = 'rejected' ORDER BY seq LIMIT ?2) \
                 LIMIT ?2",
        );
        let rows = self.rows(query.bind(word(destination)).bind(count(limit))).await?;
        Ok(rows.into_iter().filter_map(|row| row.head().ok()).collect())
    }

    /// One altered row must not hide the others.
    async fn records(&self, query: Query<'_, ReceptionCells>) -> Result<Vec<ReceptionRecord>, StoreError> {
        let mut records = Vec::new();
        for row in self.rows(query).await? {
            match row.record(&self.keys) {
                Ok(record) => records.push(record),
                Err(why) => drop(self.unreadable(format!("reception {}", row.id), why)),
            }
        }
        Ok(records)
    }

    pub(super) async fn rows<T>(&self, query: Query<'_, T>) -> Result<Vec<T>, StoreError>
    where
        T: for<'r> sqlx::FromRow<'r, sqlx::sqlite::SqliteRow> + Send + Unpin,
    {
        self.signals.check()?;
        query.fetch_all(&self.pool).await.map_err(|error| {
            tracing::warn!(%error, "a read of the store failed");
            match trouble(&error) {
                Trouble::Busy => StoreError::Busy,
                Trouble::Full => StoreError::Full,
                Trouble::Row => StoreError::Tampered { what: "a row with a value of a wrong kind".into() },
                Trouble::Damaged | Trouble::Fatal => match (self.signals.check(), trouble(&error)) {
                    (Err(closed), _) => closed,
                    (Ok(()), Trouble::Damaged) => self.signals.damaged(&error.to_string()),
                    // A reader that finds no file handle says nothing of what the writer has promised.
                    (Ok(()), _) => StoreError::Unreadable { what: error.to_string() },
                },
            }
        })
    }
}

pub(super) fn count(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
