//! Rows of `cases` and `later_replies`, and their checks.

use super::rows::{json, parse_json, word};
use crate::store::keys::Keys;
use crate::store::mac::RowMac;
use crate::store::papers::Paper;
use crate::store::sealed::{Place, Sealed, Unreadable};
use crate::store::{CaseRow, KeptReply};
use sqlx::SqliteConnection;
use uketsuke_core::clock::Stamp;
use uketsuke_core::ids::{ReceptionId, RequestId};
use uuid::Uuid;
use zeroize::Zeroizing;

/// A row of `cases`.
#[derive(sqlx::FromRow)]
pub(super) struct CaseCells {
    pub(super) seq: i64,
    pub(super) reception: Uuid,
    pub(super) version: i64,
    pub(super) state: String,
    pub(super) asks: String,
    pub(super) papers: Vec<u8>,
    pub(super) open: bool,
    pub(super) opened_ms: i64,
    pub(super) ended_ms: Option<i64>,
    pub(super) r#final: Option<String>,
    pub(super) mac: Vec<u8>,
    pub(super) owner: Option<String>,
}

impl CaseCells {
    /// What `row` and its papers look like on disk.
    pub(super) fn new(keys: &Keys, seq: i64, row: &CaseRow, papers: &Vec<Paper>) -> Self {
        let id = row.reception.0;
        let mut cells = Self {
            seq,
            reception: id,
            version: i64::try_from(row.version).unwrap_or(i64::MAX),
            state: json(&row.case),
            asks: json(&row.asks),
            papers: Sealed::seal(keys, papers_place(&id), papers).into_disk(),
            open: row.ended_ms.is_none(),
            opened_ms: row.opened_ms,
            ended_ms: row.ended_ms,
            r#final: row.case.ended().as_ref().map(json),
            mac: Vec::new(),
            owner: row.case.owner().map(word),
        };
        cells.mac = cells.check(keys).finish();
        cells
    }

    pub(super) fn check(&self, keys: &Keys) -> RowMac {
        RowMac::new(keys, "cases")
            .int(self.seq)
            .blob(self.reception.as_bytes().as_slice())
            .int(self.version)
            .text(self.state.as_str())
            .text(self.asks.as_str())
            .blob(self.papers.as_slice())
            .int(i64::from(self.open))
            .int(self.opened_ms)
            .int(self.ended_ms)
            .text(self.r#final.as_deref())
            .later("owner", self.owner.as_deref().map(str::as_bytes))
    }

    /// The case, if the row is genuine.
    pub(super) fn row(&self, keys: &Keys) -> Result<CaseRow, Unreadable> {
        if !self.check(keys).verify(&self.mac) {
            return Err(Unreadable::Altered);
        }
        Ok(CaseRow {
            reception: ReceptionId(self.reception),
            version: u64::try_from(self.version).map_err(|_| Unreadable::Altered)?,
            case: parse_json(&self.state)?,
            asks: parse_json(&self.asks)?,
            opened_ms: self.opened_ms,
            ended_ms: self.ended_ms,
        })
    }

    /// The papers; the row is known to be genuine.
    pub(super) fn open_papers(&self, keys: &Keys) -> Result<Vec<Paper>, Unreadable> {
        Sealed::from_disk(self.papers.clone()).open(keys, papers_place(&self.reception))
    }

    /// Writes the row, new or changed.
    pub(super) async fn put(self, conn: &mut SqliteConnection) -> sqlx::Result<()> {
        sqlx::query(
            "INSERT OR REPLACE INTO cases (seq, reception, version, state, asks, papers, open, opened_ms, ended_ms, final, \
             mac, owner) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(self.seq)
        .bind(self.reception)
        .bind(self.version)
        .bind(self.state)
        .bind(self.asks)
        .bind(self.papers)
        .bind(self.open)
        .bind(self.opened_ms)
        .bind(self.ended_ms)
        .bind(self.r#final)
        .bind(self.mac)
        .bind(self.owner)
        .execute(conn)
        .await
        .map(drop)
    }
}

fn papers_place(reception: &Uuid) -> Place<'_> {
    Place { table: "cases", column: "papers", row: reception.as_bytes() }
}

/// A row of `later_replies`.
#[derive(sqlx::FromRow)]
pub(super) struct LaterCells {
    pub(super) request: Uuid,
    pub(super) reception: Uuid,
    pub(super) replied_ms: i64,
    pub(super) replied_sync: bool,
    pub(super) reply: String,
    pub(super) answer: Option<Vec<u8>>,
    pub(super) mac: Vec<u8>,
}

impl LaterCells {
    /// A new row.
    pub(super) fn new(keys: &Keys, reception: Uuid, kept: &KeptReply, answer: Option<&Zeroizing<Vec<u8>>>) -> Self {
        let request = kept.request.0;
        let mut cells = Self {
            request,
            reception,
            replied_ms: kept.at.wall_ms,
            replied_sync: kept.at.synchronised,
            reply: json(&kept.reply),
            answer: answer.map(|answer| Sealed::seal(keys, answer_place(&request), answer).into_disk()),
            mac: Vec::new(),
        };
        cells.mac = cells.check(keys).finish();
        cells
    }

    pub(super) fn check(&self, keys: &Keys) -> RowMac {
        RowMac::new(keys, "later_replies")
            .blob(self.request.as_bytes().as_slice())
            .blob(self.reception.as_bytes().as_slice())
            .int(self.replied_ms)
            .int(i64::from(self.replied_sync))
            .text(self.reply.as_str())
            .blob(self.answer.as_deref())
    }

    /// The reply, if the row is genuine.
    pub(super) fn kept(&self, keys: &Keys) -> Result<KeptReply, Unreadable> {
        if !self.check(keys).verify(&self.mac) {
            return Err(Unreadable::Altered);
        }
        Ok(KeptReply {
            request: RequestId(self.request),
            at: Stamp { wall_ms: self.replied_ms, synchronised: self.replied_sync },
            reply: parse_json(&self.reply)?,
        })
    }

    /// The whole answer, if the row is genuine and it was one.
    pub(super) fn open_answer(&self, keys: &Keys) -> Result<Option<Zeroizing<Vec<u8>>>, Unreadable> {
        self.kept(keys)?;
        let Some(bytes) = &self.answer else { return Ok(None) };
        Sealed::from_disk(bytes.clone()).open(keys, answer_place(&self.request)).map(Some)
    }

    /// Writes a new row; the first reply to a question stays.
    pub(super) async fn insert(self, conn: &mut SqliteConnection) -> sqlx::Result<()> {
        sqlx::query(
            "INSERT OR IGNORE INTO later_replies (request, reception, replied_ms, replied_sync, reply, answer, mac) \
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(self.request)
        .bind(self.reception)
        .bind(self.replied_ms)
        .bind(self.replied_sync)
        .bind(self.reply)
        .bind(self.answer)
        .bind(self.mac)
        .execute(conn)
        .await
        .map(drop)
    }
}

fn answer_place(request: &Uuid) -> Place<'_> {
    Place { table: "later_replies", column: "answer", row: request.as_bytes() }
}
