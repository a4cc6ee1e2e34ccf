//! The durable writes of cases, of later replies, and of the links between the receptions of a visit.

use super::case_rows::{CaseCells, LaterCells};
use super::rows::{OutboxCells, ReceptionCells, blobs, word};
use super::write::{Batch, Stop};
use crate::store::cases::{self, Step};
use crate::store::keys::Keys;
use crate::store::{
    CaseNotice, CaseRow, CaseWrite, KeptReply, Lane, NewCase, Opened, Opening, REQUEST_REJECTED, Request, RowState,
    StoreError, visit_age,
};
use std::collections::HashMap;
use uketsuke_core::clock::Stamp;
use uketsuke_core::consent::ConsentKind;
use uketsuke_core::ids::{OrderKey, ReceptionId};
use uketsuke_core::visit::{self, EarlierReception};
use uuid::Uuid;
use zeroize::Zeroizing;

/// Earlier receptions of the patients of a run of T1, each with the moment it was opened.
pub(super) type Earlier = HashMap<OrderKey, Vec<(EarlierReception, Opened)>>;

/// The receptions of the same patient that were recorded after this one, or opened and not recorded yet.
pub(super) const LATER_OF_PATIENT: &str = "SELECT later.* FROM receptions AS own \
     CROSS JOIN receptions AS later INDEXED BY receptions_by_key ON later.order_key = own.order_key \
     WHERE own.id = ? AND COALESCE(later.recorded_place, later.seq) > COALESCE(own.recorded_place, own.seq)";

/// What was answered at these, each kind once; `None` when one was altered.
pub(super) fn kinds_of(receptions: &[ReceptionCells], keys: &Keys) -> Option<Vec<ConsentKind>> {
    let read = receptions.iter().map(|row| if row.genuine(keys) { row.open_consents(keys).ok() } else { None });
    let consents = read.collect::<Option<Vec<_>>>()?;
    Some(cases::kinds(consents.iter().flatten()))
}

impl Batch<'_> {
    /// The case that T2 opens.
    pub(super) async fn open_case(&mut self, of: &ReceptionCells, new: &NewCase, at: Stamp) -> sqlx::Result<()> {
        let row = cases::opened(ReceptionId(of.id), new, at);
        self.put_case(of.seq, row, &new.papers).await
    }

    pub(super) async fn save_case(&mut self, write: &CaseWrite) -> Result<(), Stop> {
        let what = || format!("the case of reception {}", write.reception);
        let found: Option<CaseCells> = sqlx::query_as("SELECT * FROM cases WHERE reception = ?")
            .bind(write.reception.0)
            .fetch_optional(&mut *self.conn)
            .await?;
        let found = found.ok_or_else(|| StoreError::Unknown { what: what() })?;
        let read = found.row(self.keys).and_then(|row| Ok((row, found.open_papers(self.keys)?)));
        let Ok((row, papers)) = read else {
            self.told.tampered.push(what());
            return Err(StoreError::Tampered { what: what() }.into());
        };
        let known = self.known_bodies(write.request.as_ref().map(|request| request.id.0)).await?;
        let request = write.request.as_ref();
        let known = request.and_then(|r| known.get(&r.id.0).map(|body| *body == self.keys.body_mac(&r.body)));
        let Step::Write(row, papers) = cases::step(write, &row, &papers, known)? else { return Ok(()) };
        if let Some(anew) = &write.consents {
            let later: Vec<ReceptionCells> =
                sqlx::query_as(LATER_OF_PATIENT).bind(write.reception.0).fetch_all(&mut *self.conn).await?;
            if kinds_of(&later, self.keys).as_ref() != Some(&anew.answered_since) {
                let why = "its patient has answered anew";
                return Err(StoreError::Conflict { what: what(), why }.into());
            }
        }
        if request.is_some() || write.consents.is_some() {
            let of = self.reception(write.reception.0).await?.ok_or_else(|| StoreError::Unknown { what: what() })?;
            if let Some(request) = request {
                self.append_follow_up(&of, request, write.stands_alone, write.lane, write.at).await?;
            }
            if let Some(anew) = &write.consents {
                self.consent_anew(&of, &anew.request, write.at).await?;
            }
        }
        Ok(self.put_case(found.seq, *row, &papers).await?)
    }

    /// In place of the consent that was rejected with its question, if that is there and sound. Its id stays among those that were settled.
    async fn consent_anew(&mut self, of: &ReceptionCells, request: &Request, at: Stamp) -> sqlx::Result<()> {
        let former: Option<OutboxCells> =
            sqlx::query_as("SELECT * FROM outbox WHERE id = ? AND state = ? AND last_error = ?")
                .bind(of.consent_request)
                .bind(word(RowState::Rejected))
                .bind(REQUEST_REJECTED)
                .fetch_optional(&mut *self.conn)
                .await?;
        let Some(former) = former.filter(|row| row.genuine(self.keys)) else { return Ok(()) };
        self.remove(&former, at).await?;
        *self.last_seq += 1;
        let key = of.order_key.clone();
        let anew = OutboxCells::new(self.keys, *self.last_seq, request, of.id, key, Lane::Backlog, at);
        self.append(&[anew]).await
    }

    async fn put_case(
        &mut self,
        seq: i64,
        row: CaseRow,
        papers: &Vec<crate::store::papers::Paper>,
    ) -> sqlx::Result<()> {
        self.told.changed = true;
        self.told.cases.push(CaseNotice { reception: row.reception, version: row.version });
        CaseCells::new(self.keys, seq, &row, papers).put(self.conn).await
    }

    pub(super) async fn keep_later_reply(
        &mut self,
        reception: Uuid,
        kept: &KeptReply,
        answer: Option<&Zeroizing<Vec<u8>>>,
    ) -> sqlx::Result<()> {
        LaterCells::new(self.keys, reception, kept, answer).insert(self.conn).await
    }

    /// The receptions that those of this run could be linked to. An altered one links nothing.
    pub(super) async fn earlier(&mut self, run: &[&Opening]) -> sqlx::Result<Earlier> {
        let within_ms = visit::SAME_VISIT_WITHIN.as_millis() as i64;
        let earliest = |of: fn(&Opening) -> i64| {
            run.iter().map(|opening| of(opening)).min().unwrap_or(0).saturating_sub(within_ms)
        };
        let wall_since = earliest(|opening| opening.opened.stamp.wall_ms);
        let mono_since = earliest(|opening| opening.opened.mono.0.cast_signed());
        // Each patient by the index: few have a reception, and nobody's run makes a walk through all of them.
        let rows: Vec<ReceptionCells> = sqlx::query_as(
            "SELECT receptions.* FROM (SELECT DISTINCT unhex(value) AS patient FROM json_each(?1)) \
             CROSS JOIN receptions INDEXED BY receptions_by_key ON order_key = patient \
             WHERE opened_mono_ms >= ?2 OR (opened_sync = 1 AND opened_ms >= ?3)",
        )
        .bind(blobs(run.iter().map(|opening| opening.order_key.0.as_slice())))
        .bind(mono_since)
        .bind(wall_since)
        .fetch_all(&mut *self.conn)
        .await?;
        let mut earlier = Earlier::new();
        for row in rows.into_iter().filter(|row| row.genuine(self.keys)) {
            let Ok(key) = <[u8; 32]>::try_from(row.order_key.as_slice()) else { continue };
            let same_visit_as = row.same_visit_as.map(ReceptionId);
            note(&mut earlier, OrderKey(key), ReceptionId(row.id), same_visit_as, row.opened());
        }
        Ok(earlier)
    }
}

/// Remembers a reception that a later one may belong to.
pub(super) fn note(
    earlier: &mut Earlier,
    order_key: OrderKey,
    reception: ReceptionId,
    same_visit_as: Option<ReceptionId>,
    opened: Opened,
) {
    let age = std::time::Duration::ZERO;
    let one = EarlierReception { reception, order_key, age, same_visit_as };
    earlier.entry(order_key).or_default().push((one, opened));
}

/// The first reception of the visit that this one belongs to.
pub(super) fn link(earlier: &Earlier, opening: &Opening) -> Option<ReceptionId> {
    let of_patient = earlier.get(&opening.order_key)?;
    let aged = of_patient
        .iter()
        .filter_map(|(one, opened)| Some(EarlierReception { age: visit_age(opening.opened, *opened)?, ..*one }));
    visit::same_visit(opening.order_key, &aged.collect::<Vec<_>>(), visit::SAME_VISIT_WITHIN)
}
