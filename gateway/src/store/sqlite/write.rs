//! The durable writes, inside one open transaction.
//!
//! Promise: a command that ends in an error has changed nothing — everything is checked before the first statement that
//! writes. The one exception is said where it is made: a row found altered is held back.

use super::case_write::{link, note};
use super::rows::{FaceCells, OutboxCells, ReceptionCells, blobs, json, parse, word};
use crate::store::command::{Command, DONE, Effect, Outcome};
use crate::store::keys::{Keys, Ring, SealingKey};
use crate::store::{
    CaseNotice, Destination, ISOLATED_HOLD, KeptReply, Lane, Opening, REQUEST_REJECTED, RETRY_AFTER_MAX, Recording,
    ReplyNotice, Request, RequestKind, RowState, Settlement, StoreError,
};
use sqlx::SqliteConnection;
use std::collections::HashMap;
use std::time::Duration;
use uketsuke_core::answer::bounded_code;
use uketsuke_core::clock::Stamp;
use uketsuke_core::ids::{OrderKey, ReceptionId, RequestId};
use uketsuke_core::outbox::attempts_after;
use uketsuke_core::reception::{Ask, FaceCount};
use uketsuke_core::record::{Abandonment, Rejection, Reply, Shown, Stage};
use uuid::Uuid;
use zeroize::Zeroizing;

/// One transaction under way, and what is to be told once it is committed.
pub(super) struct Batch<'a> {
    pub(super) conn: &'a mut SqliteConnection,
    pub(super) keys: &'a Keys,
    /// Highest seq given; seqs of a transaction that fails are not given again.
    pub(super) last_seq: &'a mut i64,
    pub(super) told: Told,
}

/// What a transaction means to others.
#[derive(Default)]
pub(super) struct Told {
    /// Something was written.
    pub(super) changed: bool,
    /// Rows were added to the outbox.
    pub(super) appended: bool,
    /// Replies were attached.
    pub(super) replies: Vec<ReplyNotice>,
    /// Cases were opened or changed.
    pub(super) cases: Vec<CaseNotice>,
    /// Rows that were found altered.
    pub(super) tampered: Vec<String>,
    /// Keys that are used from the commit on.
    pub(super) ring: Option<Ring>,
}

/// Why a command ends early.
pub(super) enum Stop {
    /// The transaction has failed.
    Database(sqlx::Error),
    /// The caller's answer; the transaction goes on.
    Answer(StoreError),
}

impl From<sqlx::Error> for Stop {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Answer(error)
    }
}

fn conflict(what: String, why: &'static str) -> StoreError {
    StoreError::Conflict { what, why }
}

fn after_ms(at: Stamp, by: Duration) -> i64 {
    at.wall_ms.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX))
}

impl Batch<'_> {
    /// Performs commands in order; runs of T1 share their statements, and so do runs of settlements. An error means the transaction has
    /// failed.
    pub(super) async fn apply(&mut self, commands: &[&Command]) -> sqlx::Result<Vec<Outcome>> {
        let mut outcomes = Vec::with_capacity(commands.len());
        for run in commands.chunk_by(|a, b| {
            matches!((a, b), (Command::Open(_), Command::Open(_)) | (Command::Settle { .. }, Command::Settle { .. }))
        }) {
            if let [Command::Open(_), ..] = run {
                let openings: Vec<&Opening> = run
                    .iter()
                    .filter_map(|c| if let Command::Open(opening) = c { Some(opening) } else { None })
                    .collect();
                outcomes.extend(self.open(&openings).await?);
                continue;
            }
            let mut settled = self.settle_together(run).await?.into_iter();
            for command in run {
                if settled.next() == Some(true) {
                    outcomes.push(DONE);
                    continue;
                }
                outcomes.push(match self.one(command).await {
                    Ok(effect) => Ok(effect),
                    Err(Stop::Answer(error)) => Err(error),
                    Err(Stop::Database(error)) => return Err(error),
                });
            }
        }
        Ok(outcomes)
    }

    async fn one(&mut self, command: &Command) -> Result<Effect, Stop> {
        match command {
            Command::Record(recording) => self.record(recording).await?,
            Command::Abandon { reception, why, at } => {
                if let Some(row) = self.reception(reception.0).await? {
                    self.abandon(row, *why, *at).await?;
                }
            }
            Command::Close { reception } => self.close(*reception).await?,
            Command::FollowUp { reception, request, lane, at } => {
                self.follow_up(*reception, request, *lane, *at).await?;
            }
            Command::SaveCase(write) => self.save_case(write).await?,
            Command::CountFace { order_key, count, at } => self.count_face(*order_key, *count, *at).await?,
            Command::AbandonOpen { reader, at } => return self.abandon_open(reader.as_deref(), *at).await,
            Command::Settle { seq, settlement, at, .. } => self.settle(*seq, settlement, *at).await?,
            Command::Isolate { seq, now_ms } => return Ok(Effect::Rows(self.isolate(*seq, *now_ms).await?)),
            Command::Keep(keeping) => self.keep(keeping).await?,
            Command::Note(entry) => {
                self.told.changed = true;
                self.note(entry).await?;
            }
            Command::Requeue { seq } => self.requeue(*seq).await?,
            Command::SetAside { seq, why, at } => self.set_aside(*seq, why, *at).await?,
            Command::Forget { receptions, horizon } => {
                return Ok(Effect::Rows(self.forget(receptions, *horizon).await?));
            }
            Command::ForgetNotes { before_ms, limit } => {
                return Ok(Effect::Rows(self.forget_notes(*before_ms, *limit).await?));
            }
            Command::ForgetSettled { before_ms, limit } => {
                return Ok(Effect::Rows(self.forget_settled(*before_ms, *limit).await?));
            }
            Command::SwitchKey(key) => self.switch_key(key).await?,
            Command::Reseal { table, rows } => return Ok(Effect::Rows(self.reseal(*table, rows).await?)),
            Command::ForgetFormerKey => {
                sqlx::query("UPDATE meta SET former_key_id = NULL").execute(&mut *self.conn).await?;
                self.told.changed = true;
            }
            Command::Open(_) | Command::Ping => {}
            #[cfg(test)]
            Command::BreakSideFile => {}
            #[cfg(test)]
            Command::Sql(statement) => {
                sqlx::query(*statement).execute(&mut *self.conn).await?;
                self.told.changed = true;
            }
        }
        Ok(Effect::Done)
    }

    /// The database names the key before anything is sealed with it: [`super::open`] relies on that.
    async fn switch_key(&mut self, key: &SealingKey) -> sqlx::Result<()> {
        let former = self.keys.sealing();
        let store_id: Vec<u8> = sqlx::query_scalar("SELECT store_id FROM meta").fetch_one(&mut *self.conn).await?;
        sqlx::query("UPDATE meta SET key_check = ?, key_id = ?, former_key_id = ?")
            .bind(self.keys.check(key, &store_id).as_slice())
            .bind(key.id.as_slice())
            .bind(former.id.as_slice())
            .execute(&mut *self.conn)
            .await?;
        self.told.changed = true;
        self.told.ring = Some(Ring { current: key.clone(), former: Some(former) });
        Ok(())
    }

    async fn open(&mut self, run: &[&Opening]) -> sqlx::Result<Vec<Outcome>> {
        let mut receptions = self.known_receptions(run).await?;
        let mut bodies = self.known_bodies(run.iter().map(|opening| opening.request.id.0)).await?;
        let mut earlier = self.earlier(run).await?;
        let (mut rows, mut requests) = (Vec::new(), Vec::new());
        let mut outcomes = Vec::with_capacity(run.len());
        for opening in run {
            let (id, request) = (opening.reception.0, &opening.request);
            let body_mac = self.keys.body_mac(&request.body).to_vec();
            outcomes.push(match (receptions.get(&id), bodies.get(&request.id.0)) {
                (None, None) => {
                    let same_visit_as = link(&earlier, opening);
                    let (row, outbox) = self.opened(opening, same_visit_as);
                    let opened = opening.opened.into();
                    note(&mut earlier, opening.order_key, opening.reception, same_visit_as, opened);
                    receptions.insert(id, request.id.0);
                    bodies.insert(request.id.0, body_mac);
                    rows.push(row);
                    requests.push(outbox);
                    DONE
                }
                (Some(known), Some(body)) if *known == request.id.0 && *body == body_mac => DONE,
                (Some(_), _) => {
                    Err(conflict(format!("reception {id}"), "it was opened before with another request or body"))
                }
                (None, Some(_)) => Err(conflict(format!("request {}", request.id), "its id is in use")),
            });
        }
        if !rows.is_empty() {
            ReceptionCells::insert(&rows, self.conn).await?;
            self.append(&requests).await?;
        }
        Ok(outcomes)
    }

    fn opened(&mut self, opening: &Opening, same_visit_as: Option<ReceptionId>) -> (ReceptionCells, OutboxCells) {
        *self.last_seq += 1;
        let mut row = ReceptionCells {
            seq: *self.last_seq,
            id: opening.reception.0,
            request: opening.request.id.0,
            reader: opening.reader.clone(),
            order_key: opening.order_key.0.to_vec(),
            method: word(opening.evidence.verification.method),
            face_score: None,
            stage: word(Stage::Open),
            opened_ms: opening.opened.stamp.wall_ms,
            opened_sync: opening.opened.stamp.synchronised,
            recorded_ms: None,
            recorded_sync: None,
            shown: None,
            consents: None,
            consent_request: None,
            abandoned_ms: None,
            abandoned_sync: None,
            abandonment: None,
            replied_ms: None,
            replied_sync: None,
            reply: None,
            answer: None,
            awaits_reply: false,
            mac: Vec::new(),
            evidence: None,
            same_visit_as: same_visit_as.map(|first| first.0),
            followed_up_ms: None,
            followed_up_sync: None,
            followed_up: None,
            followed_up_answer: None,
            recorded_place: None,
            opened_boot: Some(opening.opened.boot.cast_signed()),
            opened_mono_ms: Some(opening.opened.mono.0.cast_signed()),
        };
        row.evidence = Some(row.seal(self.keys, "evidence", &opening.evidence));
        row.finish(self.keys);
        let request = OutboxCells::new(
            self.keys,
            row.seq,
            &opening.request,
            row.id,
            row.order_key.clone(),
            Lane::Interactive,
            opening.opened.stamp,
        );
        (row, request)
    }

    async fn record(&mut self, recording: &Recording) -> Result<(), Stop> {
        let what = || format!("reception {}", recording.reception);
        let mut row =
            self.reception(recording.reception.0).await?.ok_or_else(|| StoreError::Unknown { what: what() })?;
        let request = recording.request.as_ref();
        let known = self.known_bodies(request.map(|request| request.id.0)).await?;
        let known = request.and_then(|request| known.get(&request.id.0));
        let same_body = request.is_none_or(|r| known.is_some_and(|body| *body == self.keys.body_mac(&r.body)));
        let shown = json(&recording.shown);
        if row.stage == word(Stage::Abandoned) {
            return Err(conflict(what(), "it was abandoned").into());
        }
        if row.stage != word(Stage::Open) {
            let consents = row.open_consents(self.keys).map_err(|_| StoreError::Tampered { what: what() })?;
            let same = row.shown.as_ref() == Some(&shown)
                && consents == recording.consents
                && row.consent_request == request.map(|request| request.id.0)
                && same_body;
            return if same {
                Ok(())
            } else {
                Err(conflict(what(), "it was recorded before with other content").into())
            };
        }
        if known.is_some() && !same_body {
            return Err(conflict(what(), "its consent request's id is in use for another body").into());
        }
        row.stage = word(Stage::Recorded);
        row.recorded_ms = Some(recording.recorded.wall_ms);
        row.recorded_sync = Some(recording.recorded.synchronised);
        *self.last_seq += 1;
        row.recorded_place = Some(*self.last_seq);
        row.shown = Some(shown);
        row.consents = Some(row.seal(self.keys, "consents", &recording.consents));
        row.consent_request = request.map(|request| request.id.0);
        if recording.shown == Shown::Provisional {
            self.move_to_backlog(row.request).await?;
        }
        if let (Some(request), None) = (request, known) {
            self.append_consent(request, &row, recording.recorded).await?;
        }
        if let Some(new) = &recording.case {
            self.open_case(&row, new, recording.recorded).await?;
        }
        self.save(row).await
    }

    /// Nobody waits at the reader for a consent to arrive. One that references a rejected question is written down as rejected,
    /// as it would be had it come before.
    async fn append_consent(&mut self, request: &Request, row: &ReceptionCells, at: Stamp) -> sqlx::Result<()> {
        *self.last_seq += 1;
        let key = row.order_key.clone();
        let mut consent = OutboxCells::new(self.keys, *self.last_seq, request, row.id, key, Lane::Backlog, at);
        if !row.question_rejected() {
            return self.append(&[consent]).await;
        }
        consent.reject(REQUEST_REJECTED.into());
        consent.finish(self.keys);
        self.keep_settled(&consent, at).await?;
        OutboxCells::insert(&[consent], self.conn).await
    }

    /// The central system will never know the request that these reference: consents, and later questions on their way. Whoever asked
    /// those hears of it as of any other refusal. An altered one is left for the selection to find. `only`: this one of them.
    async fn reject_dependents(
        &mut self,
        order_key: &[u8],
        reception: Uuid,
        only: Option<Uuid>,
        at: Stamp,
    ) -> Result<(), Stop> {
        let dependents: Vec<OutboxCells> = sqlx::query_as(
            "SELECT * FROM outbox WHERE destination = ? AND order_key = ? AND reception = ? AND kind <> ? AND state = ? \
             ORDER BY seq",
        )
        .bind(word(Destination::Central))
        .bind(order_key)
        .bind(reception)
        .bind(word(RequestKind::Eligibility))
        .bind(word(RowState::Pending))
        .fetch_all(&mut *self.conn)
        .await?;
        let wanted = |row: &OutboxCells| only.is_none_or(|id| row.id == id) && row.genuine(self.keys);
        for mut row in dependents.into_iter().filter(wanted).collect::<Vec<_>>() {
            if let Some(ask) = parse::<RequestKind>(&row.kind).ok().and_then(RequestKind::asks) {
                let rejection = Rejection { code: REQUEST_REJECTED.into() };
                self.attach(&row, ask, &Reply::Rejected(rejection), None, at).await?;
            }
            self.keep_settled(&row, at).await?;
            row.reject(REQUEST_REJECTED.into());
            self.rewrite(row).await?;
        }
        Ok(())
    }

    async fn abandon(&mut self, mut row: ReceptionCells, why: Abandonment, at: Stamp) -> Result<(), Stop> {
        if row.stage != word(Stage::Open) {
            return Ok(());
        }
        row.stage = word(Stage::Abandoned);
        row.abandoned_ms = Some(at.wall_ms);
        row.abandoned_sync = Some(at.synchronised);
        row.abandonment = Some(word(why));
        self.move_to_backlog(row.request).await?;
        self.save(row).await
    }

    async fn close(&mut self, reception: ReceptionId) -> Result<(), Stop> {
        let what = || format!("reception {reception}");
        let mut row = self.reception(reception.0).await?.ok_or_else(|| StoreError::Unknown { what: what() })?;
        if row.stage == word(Stage::Closed) {
            return Ok(());
        }
        if row.stage != word(Stage::Recorded) {
            return Err(conflict(what(), "it is not recorded").into());
        }
        row.stage = word(Stage::Closed);
        self.save(row).await
    }

    /// One more question for a reception, whatever has become of that: an abandoned one hears its answer too.
    async fn follow_up(
        &mut self,
        reception: ReceptionId,
        request: &Request,
        lane: Lane,
        at: Stamp,
    ) -> Result<(), Stop> {
        let what = || format!("reception {reception}");
        let row = self.reception(reception.0).await?.ok_or_else(|| StoreError::Unknown { what: what() })?;
        let known = self.known_bodies([request.id.0]).await?;
        if let Some(body) = known.get(&request.id.0) {
            let same = *body == self.keys.body_mac(&request.body);
            return if same { Ok(()) } else { Err(conflict(what(), "its later question's id is in use").into()) };
        }
        self.append_follow_up(&row, request, false, lane, at).await
    }

    /// A later question of a reception. One that references a rejected question is refused at once, as it would be had it come before; one
    /// that stands alone references none.
    pub(super) async fn append_follow_up(
        &mut self,
        of: &ReceptionCells,
        request: &Request,
        stands_alone: bool,
        lane: Lane,
        at: Stamp,
    ) -> Result<(), Stop> {
        *self.last_seq += 1;
        let row = OutboxCells::new(self.keys, *self.last_seq, request, of.id, of.order_key.clone(), lane, at);
        self.append(&[row]).await?;
        if of.question_rejected() && !stands_alone {
            self.reject_dependents(&of.order_key, of.id, Some(request.id.0), at).await?;
        }
        Ok(())
    }

    async fn count_face(&mut self, order_key: OrderKey, count: FaceCount, at: Stamp) -> Result<(), Stop> {
        let key = order_key.0.to_vec();
        let known: Option<FaceCells> = sqlx::query_as("SELECT * FROM face_failures WHERE order_key = ?")
            .bind(&key)
            .fetch_optional(&mut *self.conn)
            .await?;
        let before = known.filter(|row| row.genuine(self.keys)).map_or(0, |row| row.failures);
        self.told.changed = true;
        match count {
            FaceCount::Failed => {
                let counted_ms = self.settled_ms(at).await?;
                let row = FaceCells { order_key: key, failures: before.saturating_add(1), counted_ms, mac: Vec::new() };
                row.put(self.keys, self.conn).await?;
            }
            FaceCount::Cleared => {
                sqlx::query("DELETE FROM face_failures WHERE order_key = ?").bind(key).execute(&mut *self.conn).await?;
            }
        }
        Ok(())
    }

    async fn abandon_open(&mut self, reader: Option<&str>, at: Stamp) -> Result<Effect, Stop> {
        let open: Vec<ReceptionCells> = sqlx::query_as(
            "SELECT * FROM receptions WHERE stage = 'open' AND (?1 IS NULL OR reader = ?1) ORDER BY seq",
        )
        .bind(reader)
        .fetch_all(&mut *self.conn)
        .await?;
        let mut abandoned = Vec::with_capacity(open.len());
        for row in open {
            let id = ReceptionId(row.id);
            if !row.genuine(self.keys) {
                // A start must not fail for one altered row.
                self.told.tampered.push(format!("reception {id}"));
                continue;
            }
            self.abandon(row, Abandonment::Restarted, at).await?;
            abandoned.push(id);
        }
        Ok(Effect::Abandoned(abandoned))
    }

    async fn settle(&mut self, seq: i64, settlement: &Settlement, at: Stamp) -> Result<(), Stop> {
        let what = || format!("outbox row {seq}");
        let row: Option<OutboxCells> =
            sqlx::query_as("SELECT * FROM outbox WHERE seq = ?").bind(seq).fetch_optional(&mut *self.conn).await?;
        let Some(mut row) = row else {
            // Given once and gone: it has its verdict.
            let given = (1..=*self.last_seq).contains(&seq);
            return if given { Ok(()) } else { Err(StoreError::Unknown { what: what() }.into()) };
        };
        if row.state == word(RowState::Rejected) {
            return Ok(());
        }
        if !row.genuine(self.keys) {
            self.isolate(seq, at.wall_ms).await?;
            return Err(StoreError::Tampered { what: what() }.into());
        }
        let kind: RequestKind = parse(&row.kind).map_err(|_| StoreError::Tampered { what: what() })?;
        match settlement {
            Settlement::Retry { code, after, own } => {
                row.attempts = attempts_after(u32::try_from(row.attempts).unwrap_or(u32::MAX), *own).into();
                row.not_before_ms = after_ms(at, (*after).min(RETRY_AFTER_MAX));
                row.last_error = Some(bounded_code(code));
                self.rewrite(row).await?;
            }
            Settlement::Answered { reply, answer } => {
                let Some(ask) = kind.asks() else {
                    return Err(conflict(what(), "an answer settles requests for eligibility only").into());
                };
                self.attach(&row, ask, reply, Some(answer), at).await?;
                self.remove(&row, at).await?;
            }
            Settlement::Delivered => {
                if kind.asks().is_some() {
                    return Err(conflict(what(), "a request for eligibility needs its answer").into());
                }
                self.remove(&row, at).await?;
            }
            Settlement::Rejected { code } => {
                let code = bounded_code(code);
                if let Some(ask) = kind.asks() {
                    self.attach(&row, ask, &Reply::Rejected(Rejection { code: code.clone() }), None, at).await?;
                }
                if kind == RequestKind::Eligibility {
                    self.reject_dependents(&row.order_key, row.reception, None, at).await?;
                }
                self.keep_settled(&row, at).await?;
                row.reject(code);
                self.rewrite(row).await?;
            }
        }
        Ok(())
    }

    /// Attaches a reply to the reception of `row`. The first one stays; of those to later questions, the latest. An altered reception stops the settlement, and the
    /// row is held back for people to see: its answer must not vanish with it.
    async fn attach(
        &mut self,
        row: &OutboxCells,
        ask: Ask,
        reply: &Reply,
        answer: Option<&Zeroizing<Vec<u8>>>,
        at: Stamp,
    ) -> Result<(), Stop> {
        let mut reception = match self.reception(row.reception).await {
            Ok(Some(reception)) if ask == Ask::FollowUp || reception.reply.is_none() => reception,
            Ok(_) => return Ok(()),
            Err(Stop::Answer(error)) => {
                self.isolate(row.seq, at.wall_ms).await?;
                return Err(error.into());
            }
            Err(stop) => return Err(stop),
        };
        let request = RequestId(row.id);
        let (wall_ms, synchronised) = (Some(at.wall_ms), Some(at.synchronised));
        match ask {
            Ask::First => {
                (reception.replied_ms, reception.replied_sync) = (wall_ms, synchronised);
                reception.reply = Some(json(reply));
                reception.answer = answer.map(|answer| reception.seal(self.keys, "answer", answer));
            }
            Ask::FollowUp => {
                (reception.followed_up_ms, reception.followed_up_sync) = (wall_ms, synchronised);
                reception.followed_up = Some(json(reply));
                let kept = KeptReply { request, at, reply: reply.clone() };
                self.keep_later_reply(row.reception, &kept, answer).await?;
            }
        }
        self.told.replies.push(ReplyNotice {
            reception: ReceptionId(row.reception),
            ask,
            request,
            reply: reply.clone(),
        });
        self.save(reception).await
    }

    pub(super) async fn remove(&mut self, row: &OutboxCells, at: Stamp) -> sqlx::Result<()> {
        self.keep_settled(row, at).await?;
        sqlx::query("DELETE FROM outbox WHERE seq = ?").bind(row.seq).execute(&mut *self.conn).await.map(drop)
    }

    async fn keep_settled(&mut self, row: &OutboxCells, at: Stamp) -> sqlx::Result<()> {
        self.told.changed = true;
        let settled_ms = self.settled_ms(at).await?;
        sqlx::query("INSERT OR IGNORE INTO settled (id, body_mac, settled_ms) VALUES (?, ?, ?)")
            .bind(row.id)
            .bind(&row.body_mac)
            .bind(settled_ms)
            .execute(&mut *self.conn)
            .await
            .map(drop)
    }

    /// The date of an id that is settled now: no earlier than the latest one known, whatever the clock says, so that it is not forgotten
    /// before its time.
    pub(super) async fn settled_ms(&mut self, at: Stamp) -> sqlx::Result<i64> {
        let latest: Option<i64> =
            sqlx::query_scalar("SELECT MAX(settled_ms) FROM settled").fetch_one(&mut *self.conn).await?;
        Ok(latest.map_or(at.wall_ms, |latest| latest.max(at.wall_ms)))
    }

    /// The check is not renewed: an altered row stays recognisable whatever its state is set to.
    async fn isolate(&mut self, seq: i64, now_ms: i64) -> sqlx::Result<u64> {
        let until = now_ms.saturating_add(ISOLATED_HOLD.as_millis() as i64);
        let held =
            sqlx::query("UPDATE outbox SET state = 'isolated', not_before_ms = ? WHERE seq = ? AND state = 'pending'")
                .bind(until)
                .bind(seq)
                .execute(&mut *self.conn)
                .await?;
        if held.rows_affected() > 0 {
            self.told.changed = true;
            self.told.tampered.push(format!("outbox row {seq}"));
        }
        Ok(held.rows_affected())
    }

    /// Nobody waits for this request any more. An altered row is left for the selection to find.
    async fn move_to_backlog(&mut self, request: Uuid) -> sqlx::Result<()> {
        let row: Option<OutboxCells> =
            sqlx::query_as("SELECT * FROM outbox WHERE id = ? AND state = 'pending' AND lane = 'interactive'")
                .bind(request)
                .fetch_optional(&mut *self.conn)
                .await?;
        match row {
            Some(mut row) if row.genuine(self.keys) => {
                row.lane = word(Lane::Backlog);
                self.rewrite(row).await
            }
            _ => Ok(()),
        }
    }

    /// A reception that passes its check.
    pub(super) async fn reception(&mut self, id: Uuid) -> Result<Option<ReceptionCells>, Stop> {
        let row: Option<ReceptionCells> =
            sqlx::query_as("SELECT * FROM receptions WHERE id = ?").bind(id).fetch_optional(&mut *self.conn).await?;
        match row {
            Some(row) if !row.genuine(self.keys) => {
                let what = format!("reception {id}");
                self.told.tampered.push(what.clone());
                Err(StoreError::Tampered { what }.into())
            }
            row => Ok(row),
        }
    }

    async fn save(&mut self, mut row: ReceptionCells) -> Result<(), Stop> {
        row.finish(self.keys);
        row.update(self.conn).await?;
        self.told.changed = true;
        Ok(())
    }

    pub(super) async fn rewrite(&mut self, mut row: OutboxCells) -> sqlx::Result<()> {
        row.finish(self.keys);
        self.told.changed = true;
        row.update(self.conn).await
    }

    pub(super) async fn append(&mut self, rows: &[OutboxCells]) -> sqlx::Result<()> {
        self.told.changed = true;
        self.told.appended = true;
        OutboxCells::insert(rows, self.conn).await
    }

    /// Which of these receptions exist, and with which eligibility request.
    async fn known_receptions(&mut self, run: &[&Opening]) -> sqlx::Result<HashMap<Uuid, Uuid>> {
        let known: Vec<(Uuid, Uuid)> =
            sqlx::query_as("SELECT id, request FROM receptions WHERE id IN (SELECT unhex(value) FROM json_each(?))")
                .bind(blobs(run.iter().map(|opening| opening.reception.0.as_bytes().as_slice())))
                .fetch_all(&mut *self.conn)
                .await?;
        Ok(known.into_iter().collect())
    }

    /// Which of these request ids are taken, waiting or settled, and by which body.
    pub(super) async fn known_bodies(
        &mut self,
        ids: impl IntoIterator<Item = Uuid>,
    ) -> sqlx::Result<HashMap<Uuid, Vec<u8>>> {
        let ids: Vec<Uuid> = ids.into_iter().collect();
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let known: Vec<(Uuid, Vec<u8>)> = sqlx::query_as(
            "SELECT id, body_mac FROM outbox WHERE id IN (SELECT unhex(value) FROM json_each(?1)) \
             UNION SELECT id, body_mac FROM settled WHERE id IN (SELECT unhex(value) FROM json_each(?1))",
        )
        .bind(blobs(ids.iter().map(|id| id.as_bytes().as_slice())))
        .fetch_all(&mut *self.conn)
        .await?;
        Ok(known.into_iter().collect())
    }
}
