//! The reads of cases, papers and answers.

use super::Sqlite;
use super::case_rows::{CaseCells, LaterCells};
use super::case_write::{LATER_OF_PATIENT, kinds_of};
use super::read::{Query, count};
use super::rows::{ReceptionCells, blobs, word};
use crate::store::papers::Paper;
use crate::store::sealed::Unreadable;
use crate::store::{CaseRow, KeptReply, StoreError};
use uketsuke_core::consent::ConsentKind;
use uketsuke_core::ids::{ReceptionId, RequestId};
use uketsuke_core::ladder::Owner;
use uuid::Uuid;
use zeroize::Zeroizing;

impl Sqlite {
    pub(in crate::store) async fn case(&self, reception: ReceptionId) -> Result<Option<CaseRow>, StoreError> {
        let row = self.case_cells(reception).await?;
        row.map(|row| self.genuine_case(&row, row.row(&self.keys))).transpose()
    }

    pub(in crate::store) async fn with_case(&self, receptions: &[ReceptionId]) -> Result<Vec<ReceptionId>, StoreError> {
        let query: Query<'_, (Uuid,)> =
            sqlx::query_as("SELECT reception FROM cases WHERE reception IN (SELECT unhex(value) FROM json_each(?))");
        let asked = blobs(receptions.iter().map(|reception| reception.0.as_bytes().as_slice()));
        let found = self.rows(query.bind(asked)).await?;
        Ok(found.into_iter().map(|(reception,)| ReceptionId(reception)).collect())
    }

    pub(in crate::store) async fn papers(&self, reception: ReceptionId) -> Result<Vec<Paper>, StoreError> {
        let Some(row) = self.case_cells(reception).await? else { return Ok(Vec::new()) };
        self.genuine_case(&row, row.row(&self.keys).and_then(|_| row.open_papers(&self.keys)))
    }

    pub(in crate::store) async fn open_cases(&self, limit: usize) -> Result<Vec<CaseRow>, StoreError> {
        self.cases(sqlx::query_as("SELECT * FROM cases WHERE open = 1 ORDER BY seq LIMIT ?").bind(count(limit))).await
    }

    pub(in crate::store) async fn open_cases_of(&self, owner: Owner, limit: usize) -> Result<Vec<CaseRow>, StoreError> {
        // Of rows of older versions only the case itself tells whose it is.
        let query = sqlx::query_as(
            "SELECT * FROM cases WHERE open = 1 AND (owner = ? OR owner IS NULL) ORDER BY seq DESC LIMIT ?",
        );
        let mut found = self.cases(query.bind(word(owner)).bind(count(limit))).await?;
        found.retain(|row| row.case.owner() == Some(owner));
        Ok(found)
    }

    pub(in crate::store) async fn count_open_cases_of(&self, owner: Owner) -> Result<u64, StoreError> {
        let query: Query<'_, (i64,)> =
            sqlx::query_as("SELECT COUNT(*) FROM cases WHERE open = 1 AND (owner = ? OR owner IS NULL)");
        Ok(self.rows(query.bind(word(owner))).await?.pop().map_or(0, |(count,)| count.unsigned_abs()))
    }

    pub(in crate::store) async fn earlier_cases(
        &self,
        of: ReceptionId,
        limit: usize,
    ) -> Result<Vec<CaseRow>, StoreError> {
        let query = sqlx::query_as(
            "SELECT cases.* FROM receptions AS this \
             JOIN receptions AS earlier ON earlier.order_key = this.order_key AND earlier.seq < this.seq \
             JOIN cases ON cases.seq = earlier.seq AND cases.open = 1 \
             WHERE this.id = ? ORDER BY cases.seq LIMIT ?",
        );
        self.cases(query.bind(of.0).bind(count(limit))).await
    }

    pub(in crate::store) async fn ended_cases_since(
        &self,
        wall_ms: i64,
        limit: usize,
    ) -> Result<Vec<CaseRow>, StoreError> {
        let query = sqlx::query_as("SELECT * FROM cases WHERE ended_ms >= ? ORDER BY ended_ms DESC, seq DESC LIMIT ?");
        self.cases(query.bind(wall_ms).bind(count(limit))).await
    }

    pub(in crate::store) async fn answered_since(
        &self,
        reception: ReceptionId,
    ) -> Result<Option<Vec<ConsentKind>>, StoreError> {
        if self.reception(reception).await?.is_none() {
            return Ok(None);
        }
        let later: Vec<ReceptionCells> = self.rows(sqlx::query_as(LATER_OF_PATIENT).bind(reception.0)).await?;
        Ok(kinds_of(&later, &self.keys))
    }

    pub(in crate::store) async fn kept_replies(&self, reception: ReceptionId) -> Result<Vec<KeptReply>, StoreError> {
        let first = self.reception(reception).await?;
        let own = first.and_then(|record| {
            let (at, reply) = record.replied?;
            Some(KeptReply { request: record.request, at, reply })
        });
        let query: Query<'_, LaterCells> =
            sqlx::query_as("SELECT * FROM later_replies WHERE reception = ? ORDER BY replied_ms, request");
        let mut kept: Vec<KeptReply> = own.into_iter().collect();
        for row in self.rows(query.bind(reception.0)).await? {
            match row.kept(&self.keys) {
                Ok(later) => kept.push(later),
                Err(why) => drop(self.unreadable(format!("a reply of reception {reception}"), why)),
            }
        }
        Ok(kept)
    }

    pub(in crate::store) async fn answer(
        &self,
        reception: ReceptionId,
        request: RequestId,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let what = format!("an answer of reception {reception}");
        let query: Query<'_, ReceptionCells> = sqlx::query_as("SELECT * FROM receptions WHERE id = ? AND request = ?");
        if let Some(row) = self.rows(query.bind(reception.0).bind(request.0)).await?.pop() {
            return self.genuine(what, row.open_answer(&self.keys));
        }
        let query: Query<'_, LaterCells> =
            sqlx::query_as("SELECT * FROM later_replies WHERE request = ? AND reception = ?");
        match self.rows(query.bind(request.0).bind(reception.0)).await?.pop() {
            Some(row) => self.genuine(what, row.open_answer(&self.keys)),
            None => Ok(None),
        }
    }

    async fn case_cells(&self, reception: ReceptionId) -> Result<Option<CaseCells>, StoreError> {
        let query: Query<'_, CaseCells> = sqlx::query_as("SELECT * FROM cases WHERE reception = ?").bind(reception.0);
        Ok(self.rows(query).await?.pop())
    }

    /// One altered row must not hide the others.
    async fn cases(&self, query: Query<'_, CaseCells>) -> Result<Vec<CaseRow>, StoreError> {
        let rows = self.rows(query).await?;
        Ok(rows.iter().filter_map(|row| self.genuine_case(row, row.row(&self.keys)).ok()).collect())
    }

    fn genuine_case<T>(&self, row: &CaseCells, read: Result<T, Unreadable>) -> Result<T, StoreError> {
        self.genuine(format!("the case of reception {}", row.reception), read)
    }

    fn genuine<T>(&self, what: String, read: Result<T, Unreadable>) -> Result<T, StoreError> {
        read.map_err(|why| self.unreadable(what, why))
    }
}
